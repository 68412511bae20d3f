/* SPDX-License-Identifier: MIT */
/*
 * A card process of our own: this very program, as "tethys card", on a socket nobody else knows.
 */
#ifndef TETHYS_CLI_CARD_PROCESS_H
#define TETHYS_CLI_CARD_PROCESS_H

#include "common/reason.h"

struct card_process {
	char device[160]; /* "vfio-user:DIR/card.sock" */
};

/**
 * card_process_start() - start a card and wait until it is ready
 *
 * cleanup_all() ends it and removes its folder; when this process is killed the kernel sends the
 * card SIGTERM. Call from the main thread: that signal is tied to the thread.
 *
 * Return: 0; -ETIMEDOUT; -ECHILD it ended at once; negative errno of what failed.
 */
int card_process_start(struct card_process *ret_process, struct reason *why);

#endif
