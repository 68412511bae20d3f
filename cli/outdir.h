/* SPDX-License-Identifier: MIT */
/*
 * The folder results go to. Names made from those of photos and tensors are safe, and never the
 * same twice.
 */
#ifndef TETHYS_CLI_OUTDIR_H
#define TETHYS_CLI_OUTDIR_H

#include <limits.h>
#include <stddef.h>

#include "common/reason.h"

#define OUTDIR_NAMES_MAX 4096

struct outdir {
	char path[PATH_MAX];
	char **used; /* [count] file names given out so far */
	size_t count;
};

/**
 * outdir_open() - make the folder, with its parents, when it isn't there
 *
 * Return: 0; -errno of mkdir; -ENAMETOOLONG.
 */
int outdir_open(const char *path, struct outdir *ret_dir, struct reason *why);
void outdir_close(struct outdir *dir);

/**
 * outdir_path() - where to write one result
 * @stem: anything; characters that are no letter, digit, '.', '-' or '_' become '_'
 * @ending: added as it is, ".bin"
 * @ret_path: DIR/STEM.ending, with -2, -3, ... after the stem when that was given out before
 *
 * Return: 0; -ENAMETOOLONG; -ENOMEM; -ENOSPC too many.
 */
int outdir_path(struct outdir *dir, const char *stem, const char *ending, char ret_path[PATH_MAX],
		struct reason *why);

#endif
