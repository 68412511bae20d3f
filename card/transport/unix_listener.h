/* SPDX-License-Identifier: MIT */
/*
 * A unix socket that listens at a path: for the card, and for who controls it.
 */
#ifndef TETHYS_CARD_UNIX_LISTENER_H
#define TETHYS_CARD_UNIX_LISTENER_H

#include <sys/types.h>

#include "common/reason.h"

struct unix_listener {
	int fd;		/* -1: none */
	char *path;	/* of the socket file we made; NULL: none */
	dev_t path_dev; /* so that only our own file is removed */
	ino_t path_ino;
};

/**
 * unix_listener_open() - listen at @path
 * @mode: permissions of the file, the only authentication; 0: 0600
 * @ret_listener: for unix_listener_close() also after a failure
 * @why: set on failure; may be NULL
 *
 * The file that a dead server has left is replaced. The socket does not block.
 *
 * Return: 0; -EADDRINUSE a live server listens there; -EEXIST something else is there; -EINVAL
 * path empty or too long; -ENOMEM; other negative errno of bind(2).
 */
int unix_listener_open(struct unix_listener *ret_listener, const char *path, mode_t mode,
		       struct reason *why);
/* Removes the file, if it is still ours. */
void unix_listener_close(struct unix_listener *listener);

#endif
