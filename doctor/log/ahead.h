/* SPDX-License-Identifier: MIT */
/*
 * A big file read and searched by all processors: threads read blocks and note where keys stand in
 * them, the caller takes the blocks in order and looks at those places only.
 */
#ifndef TETHYS_DOCTOR_LOG_AHEAD_H
#define TETHYS_DOCTOR_LOG_AHEAD_H

#include <sys/types.h>

#include "doctor/log/prefilter.h"

#define AHEAD_BLOCK_BYTES (1024u * 1024)
#define AHEAD_HITS_MAX 4096u

struct ahead_block {
	const char *data;
	ssize_t size; /* 0 = end of the file, negative errno */
	/* Where keys stand, rising, the first of each line only. */
	const uint32_t *hit;
	size_t hits;
	size_t searched; /* bytes of data of which that is all */
};

struct ahead;

/**
 * ahead_create() - begin to read
 * @fd: a regular file, read from its present place on; not to be touched until ahead_destroy()
 *
 * Return: NULL when there is one processor only, or no memory or no thread to be had.
 */
struct ahead *ahead_create(int fd, const struct prefilter *filter);
/* The next block; it is good until the next call. Not to be called again after the end. */
struct ahead_block ahead_next(struct ahead *ahead);
/* NULL is accepted. */
void ahead_destroy(struct ahead *ahead);

#endif
