/* SPDX-License-Identifier: MIT */
/*
 * For tests: a folder that goes away at the end.
 */
#ifndef TETHYS_TASKS_TESTS_SCRATCH_H
#define TETHYS_TASKS_TESTS_SCRATCH_H

#include <stddef.h>

/* Path of @name in the folder; the text stays until the next but three calls. */
const char *scratch_path(const char *name);

/* Write @bytes as @name and give its path. */
const char *scratch_file(const char *name, const void *data, size_t bytes);

#endif
