/* SPDX-License-Identifier: MIT */
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lab/agent/parse.h"
#include "lab/agent/proto.h"

/* --- commands --- */

/* Return: false when they are not exactly @count strings that fill @bytes. */
static int count_strings(const char *text, size_t bytes, size_t count)
{
	size_t i, seen = 0;

	if (!bytes || text[bytes - 1])
		return 0;
	for (i = 0; i < bytes; i++)
		seen += !text[i];
	return seen == count;
}

static char **point(char **at, char **text, size_t count)
{
	size_t i;

	for (i = 0; i < count; i++) {
		*at++ = *text;
		*text += strlen(*text) + 1;
	}
	*at++ = NULL;
	return at;
}

static int environment_valid(char *const *env)
{
	for (; *env; env++)
		if (!strchr(*env, '=') || **env == '=')
			return 0;
	return 1;
}

int lab_exec_parse(const void *body, size_t bytes, struct lab_exec_parsed *ret_exec)
{
	struct lab_exec_parsed exec = {0};
	struct lab_exec head;
	size_t argc, envc;
	char *at;

	if (bytes < sizeof(head))
		return -EPROTO;
	memcpy(&head, body, sizeof(head));
	bytes -= sizeof(head);
	argc = le16toh(head.argc);
	envc = le16toh(head.envc);
	if (!argc || le32toh(head.flags) & ~LAB_EXEC_PTY)
		return -EPROTO;
	if (argc + envc > LAB_EXEC_STRINGS_MAX)
		return -E2BIG;
	if (!count_strings((const char *)body + sizeof(head), bytes, argc + envc))
		return -EPROTO;
	exec.text = malloc(bytes);
	exec.argv = calloc(argc + envc + 2, sizeof(*exec.argv));
	if (!exec.text || !exec.argv) {
		lab_exec_parsed_deinit(&exec);
		return -ENOMEM;
	}
	memcpy(exec.text, (const char *)body + sizeof(head), bytes);
	at = exec.text;
	exec.env = point(exec.argv, &at, argc);
	point(exec.env, &at, envc);
	if (!*exec.argv[0] || !environment_valid(exec.env)) {
		lab_exec_parsed_deinit(&exec);
		return -EPROTO;
	}
	exec.flags = le32toh(head.flags);
	exec.timeout_ms = le32toh(head.timeout_ms);
	exec.rows = le16toh(head.rows);
	exec.columns = le16toh(head.columns);
	*ret_exec = exec;
	return 0;
}

void lab_exec_parsed_deinit(struct lab_exec_parsed *exec)
{
	free(exec->text);
	free(exec->argv); /* env is its second half */
	memset(exec, 0, sizeof(*exec));
}

/* --- the kernel's log --- */

static int hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return -1;
}

/* The kernel writes what is not printable, and '\', as \xNN. */
static void unescape(char *text)
{
	char *to = text;

	while (*text) {
		if (text[0] == '\\' && text[1] == 'x' && hex(text[2]) >= 0 && hex(text[3]) >= 0 &&
		    (hex(text[2]) || hex(text[3]))) {
			*to++ = (char)(hex(text[2]) << 4 | hex(text[3]));
			text += 4;
		} else {
			*to++ = *text++;
		}
	}
	*to = 0;
}

/* A number and the comma behind it. Return: where it goes on; NULL there is none. */
static char *number(char *at, unsigned long long *ret_number)
{
	char *end;

	if (!at || *at < '0' || *at > '9')
		return NULL;
	*ret_number = strtoull(at, &end, 10);
	return *end == ',' ? end + 1 : NULL;
}

int lab_kmsg_parse(char *line, uint64_t *ret_time_us, unsigned int *ret_level, char **ret_text)
{
	unsigned long long priority, sequence, time_us;
	char *text;

	text = number(number(number(line, &priority), &sequence), &time_us);
	if (text)
		text = strchr(text, ';'); /* after the flags */
	if (!text)
		return -EPROTO;
	text++;
	unescape(text);
	*ret_time_us = time_us;
	*ret_level = priority & 7; /* the rest is the facility */
	*ret_text = text;
	return 0;
}
