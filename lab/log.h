/* SPDX-License-Identifier: MIT */
/*
 * A log that is written to a file and looked at while it grows.
 */
#ifndef TETHYS_LAB_LOG_H
#define TETHYS_LAB_LOG_H

#include <stdbool.h>
#include <stddef.h>

#include "lab/scenario.h"

struct lab_log;

/* In memory; more is in the file only. Who looks for lines must ask lab_log_full(), too. */
#define LAB_LOG_BYTES_MAX (8u << 20)

/**
 * lab_log_create() - start a log
 * @path: appended to; NULL: in memory only
 *
 * Return: 0; negative errno of open(2); -ENOMEM.
 */
int lab_log_create(const char *path, struct lab_log **ret_log);
void lab_log_destroy(struct lab_log *log); /* NULL is fine */

/* Bytes as they come; a file that is full is not our reader's problem. */
void lab_log_add(struct lab_log *log, const char *data, size_t len);
/* One line of a kernel's log. In the file it has its time, in memory, for patterns, it has not. */
void lab_log_add_kmsg(struct lab_log *log, unsigned long long time_us, const char *line);

/* All so far: @ret_len bytes, valid until the next call for this log. Never NULL. */
const char *lab_log_text(const struct lab_log *log, size_t *ret_len);
unsigned int lab_log_count(const struct lab_log *log, const struct lab_pattern *pattern);
/* Has some of it not been kept, so that patterns have not seen it? */
bool lab_log_full(const struct lab_log *log);

/* The text of a file as such a log; -ENOENT and others as open(2). */
int lab_log_load(const char *path, struct lab_log **ret_log);

#endif
