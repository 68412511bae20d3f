/* SPDX-License-Identifier: MIT */
/*
 * Where files of a user are: XDG base directories.
 */
#ifndef TETHYS_COMMON_USERDIR_H
#define TETHYS_COMMON_USERDIR_H

#include <limits.h>

#include "common/reason.h"

enum userdir {
	USERDIR_CACHE, /* ${XDG_CACHE_HOME:-~/.cache}/tethys */
	USERDIR_STATE, /* ${XDG_STATE_HOME:-~/.local/state}/tethys */
};

/**
 * userdir_path() - a path in one of the folders; nothing is made
 * @name: in that folder; "": the folder itself
 *
 * Return: 0; -ENOENT neither that variable nor HOME is set; -ENAMETOOLONG.
 */
int userdir_path(enum userdir dir, const char *name, char ret_path[PATH_MAX], struct reason *why);

#endif
