/* SPDX-License-Identifier: MIT */
/*
 * A child on this machine: QEMU, the card, a script. It never outlives us.
 */
#ifndef TETHYS_LAB_PROCESS_H
#define TETHYS_LAB_PROCESS_H

#include <stdbool.h>

#include "common/reason.h"
#include "lab/loop.h"

struct lab_process;

/**
 * lab_process_start() - run @argv with output to @log_path
 * @argv: NULL at the end; argv[0] is looked up in PATH
 * @log_path: appended to; NULL: our own stdout and stderr
 *
 * In a process group of its own; gets SIGKILL when the calling thread ends.
 *
 * Return: 0; -ENOENT no such program; other negative errno.
 */
int lab_process_start(struct lab_loop *loop, const char *const *argv, const char *log_path,
		      struct lab_process **ret_process, struct reason *why);
/*
 * SIGTERM to its group, SIGKILL after @grace_ms, wait; nothing of this when it has ended. Return:
 * its exit code; 128 + signal; -1 not even SIGKILL ended it.
 */
int lab_process_stop(struct lab_process *process, int grace_ms);
void lab_process_destroy(struct lab_process *process); /* NULL is fine; kills what still runs */

bool lab_process_running(const struct lab_process *process); /* as of the last lab_loop_run() */

#endif
