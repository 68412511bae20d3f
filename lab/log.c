/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lab/log.h"

struct lab_log {
	FILE *file; /* NULL: none */
	char *text; /* ends in NUL */
	size_t len, room;
	bool full; /* more came than was kept */
};

int lab_log_create(const char *path, struct lab_log **ret_log)
{
	struct lab_log *log = calloc(1, sizeof(*log));

	if (!log)
		return -ENOMEM;
	log->room = 4096;
	log->text = calloc(1, log->room);
	if (!log->text) {
		lab_log_destroy(log);
		return -ENOMEM;
	}
	if (path) {
		log->file = fopen(path, "ae");
		if (!log->file) {
			int err = -errno;

			lab_log_destroy(log);
			return err;
		}
		/* Whoever looks meanwhile sees whole lines. */
		setvbuf(log->file, NULL, _IOLBF, 0);
	}
	*ret_log = log;
	return 0;
}

void lab_log_destroy(struct lab_log *log)
{
	if (!log)
		return;
	if (log->file)
		fclose(log->file);
	free(log->text);
	free(log);
}

static void remember(struct lab_log *log, const char *data, size_t len)
{
	char *text;
	size_t room = log->room;

	if (len > LAB_LOG_BYTES_MAX - log->len) {
		len = LAB_LOG_BYTES_MAX - log->len;
		log->full = true;
	}
	while (room - log->len <= len)
		room *= 2;
	if (room != log->room) {
		text = realloc(log->text, room);
		if (!text) {
			log->full = true;
			return;
		}
		log->text = text;
		log->room = room;
	}
	memcpy(log->text + log->len, data, len);
	log->len += len;
	log->text[log->len] = '\0';
}

void lab_log_add(struct lab_log *log, const char *data, size_t len)
{
	if (log->file)
		fwrite(data, 1, len, log->file);
	remember(log, data, len);
}

void lab_log_add_kmsg(struct lab_log *log, unsigned long long time_us, const char *line)
{
	if (log->file)
		fprintf(log->file, "[%5llu.%06llu] %s\n", time_us / 1000000, time_us % 1000000,
			line);
	remember(log, line, strlen(line));
	remember(log, "\n", 1);
}

const char *lab_log_text(const struct lab_log *log, size_t *ret_len)
{
	*ret_len = log->len;
	return log->text;
}

unsigned int lab_log_count(const struct lab_log *log, const struct lab_pattern *pattern)
{
	return lab_pattern_count(pattern, log->text, log->len);
}

bool lab_log_full(const struct lab_log *log)
{
	return log->full;
}

int lab_log_load(const char *path, struct lab_log **ret_log)
{
	FILE *file = fopen(path, "re");
	char block[4096];
	size_t n;
	int err;

	if (!file)
		return -errno;
	err = lab_log_create(NULL, ret_log);
	if (!err) {
		do {
			n = fread(block, 1, sizeof(block), file);
			lab_log_add(*ret_log, block, n);
		} while (n == sizeof(block));
	}
	fclose(file);
	return err;
}
