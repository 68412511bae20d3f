/* SPDX-License-Identifier: MIT */
/*
 * Whole files in, whole files out.
 */
#ifndef TETHYS_TASKS_FILE_H
#define TETHYS_TASKS_FILE_H

#include <stddef.h>
#include <stdint.h>

#include "common/reason.h"

/**
 * task_file_read() - a regular file, whole
 * @max: bytes allowed
 * @ret_data: NUL-terminated after the last byte; for the caller to free()
 * @ret_bytes: without that NUL
 *
 * Return: 0; -errno of open and read; -EFBIG over @max; -EINVAL no regular file; -ENOMEM.
 */
int task_file_read(const char *path, size_t max, char **ret_data, size_t *ret_bytes,
		   struct reason *why);

struct task_span {
	const void *data;
	size_t bytes;
};

/**
 * task_file_write() - write @spans one after the other, then put the file in place
 *
 * A reader sees the old file or the whole new one, never a part; on failure nothing is left behind.
 *
 * Return: 0; -errno.
 */
int task_file_write(const char *path, const struct task_span *spans, size_t count,
		    struct reason *why);

#endif
