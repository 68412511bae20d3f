/* SPDX-License-Identifier: MIT */
/*
 * Reading what others wrote: commands of the runner, records of the kernel's log. Pure functions.
 */
#ifndef TETHYS_LAB_AGENT_PARSE_H
#define TETHYS_LAB_AGENT_PARSE_H

#include <stddef.h>
#include <stdint.h>

#define LAB_EXEC_STRINGS_MAX 4096u /* arguments and environment together */

struct lab_exec_parsed {
	uint32_t flags;
	unsigned int timeout_ms, rows, columns;
	char **argv; /* NULL at the end; strings are in the frame's own copy */
	char **env;
	char *text; /* argv, env and this: lab_exec_parsed_deinit() */
};

/* Return: 0; -EPROTO lengths or strings don't fit; -E2BIG; -ENOMEM. */
int lab_exec_parse(const void *body, size_t bytes, struct lab_exec_parsed *ret_exec);
void lab_exec_parsed_deinit(struct lab_exec_parsed *exec);

/**
 * lab_kmsg_parse() - take a line of /dev/kmsg apart
 * @line: without '\n'; its text is unescaped in place
 * @ret_text: within @line; may have '\n'
 *
 * Return: 0; -EPROTO not a record: a continuation, or nonsense.
 */
int lab_kmsg_parse(char *line, uint64_t *ret_time_us, unsigned int *ret_level, char **ret_text);

#endif
