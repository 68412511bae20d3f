/* SPDX-License-Identifier: MIT */
/*
 * What the parts of the collection share. See collect.c for the table of what is read.
 */
#ifndef TETHYS_DOCTOR_COLLECT_COLLECT_H
#define TETHYS_DOCTOR_COLLECT_COLLECT_H

#include <stdbool.h>
#include <stddef.h>

#include "doctor/snapshot.h"

/* Limits, so that no machine and no folder made by somebody can fill the memory. */
#define COLLECT_TOTAL_BYTES ((size_t)64 << 20)
#define COLLECT_ENTRIES_MAX 200000u
#define COLLECT_DIR_MAX 8192u /* names looked at in one folder */
#define COLLECT_PATH_BYTES 1024u

struct collect {
	struct snapshot *snapshot;
	int root;      /* what paths are below */
	bool live;     /* this machine, not a folder */
	bool confined; /* the kernel keeps links within root (openat2) */
	bool full;     /* a limit was reached, and a note says so */
	size_t bytes;  /* stored so far */
	char *buffer;  /* of buffer_bytes */
	size_t buffer_bytes;
	const char *denied; /* first path that may not be read since collect_denied() */
	size_t denied_count;
};

/* Files of one folder, or of all that a pattern names. */
struct collect_rule {
	const char *dir;	  /* each part may be a pattern as of fnmatch(3) */
	const char *const *names; /* below it, the same; ends with NULL */
	size_t max_bytes;	  /* of a file */
	const char *tells;	  /* for the note when it may not be read */
};

/**
 * collect_init() - begin
 * @root: as of snapshot_collect()
 *
 * Return: 0; -ENOENT with @why when @root isn't a folder, -ENOSYS when the kernel can't keep links
 * within it, -ENOMEM.
 */
int collect_init(struct collect *collect, struct snapshot *snapshot, const char *root,
		 struct reason *why);
void collect_deinit(struct collect *collect);

/* Open a folder below root for collect_names(), links are followed within root. Return: fd,
 * negative errno. */
int collect_open_dir(struct collect *collect, const char *path);

/**
 * collect_read() - a file's content into @collect->buffer
 * @dir: the folder it is in
 * @path: its whole path; a link to a file is followed within root
 *
 * Return: bytes, with @ret_cut when there are more than @max_bytes; negative errno, -EISDIR and
 * -ENODEV for what isn't a file.
 */
ssize_t collect_read(struct collect *collect, int dir, const char *name, const char *path,
		     size_t max_bytes, bool *ret_cut);

/* Store what a file holds, where a link points to, that a folder is there, how a node looks. */
void collect_take(struct collect *collect, int dir, const char *name, const char *path,
		  size_t max_bytes);
void collect_store(struct collect *collect, enum store_kind kind, const char *path,
		   const void *data, size_t size, bool cut);
void collect_error(struct collect *collect, const char *path, int err);

/* Everything that @rule names. */
void collect_rule(struct collect *collect, const struct collect_rule *rule);
/* A single pattern, of which each part may be one as of fnmatch(3). */
void collect_pattern(struct collect *collect, const char *pattern, size_t max_bytes,
		     const char *tells);
/* Note what may not be read since the last call. */
void collect_denied(struct collect *collect, const char *tells);

/* Calls @each for names in @dir (a folder's fd) that match @pattern. */
void collect_names(struct collect *collect, int dir, const char *path, const char *pattern,
		   void (*each)(struct collect *collect, int dir, const char *name, void *context),
		   void *context);

/* processes.c: QEMU's. */
void collect_processes(struct collect *collect);

#endif
