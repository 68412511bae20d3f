/* SPDX-License-Identifier: MIT */
/*
 * What must be gone when the command ends, however it ends: files, folders, child processes.
 *
 * Once something is registered, SIGINT, SIGTERM and SIGHUP are taken by a thread that undoes
 * everything and then ends the process by the same signal, so that the shell sees the truth.
 */
#ifndef TETHYS_CLI_CLEANUP_H
#define TETHYS_CLI_CLEANUP_H

#include <sys/types.h>

/**
 * cleanup_start() - take over the signals that end a command
 *
 * Call before the first thread, so that every thread inherits the mask. SIGKILL can't be helped:
 * children get their parent's end as SIGTERM.
 *
 * Return: 0; negative errno.
 */
int cleanup_start(void);

/* Unmask in a child before exec. */
void cleanup_in_child(void);

/*
 * Registered things are undone in reverse order. Paths are copied. Each returns 0; -ENOSPC when
 * the list is full.
 */
int cleanup_add_file(const char *path);
int cleanup_add_dir(const char *path);
int cleanup_add_process(pid_t pid);

/*
 * No signal ends the process between these two: for the moment a file is half written. Keep it
 * short, and register nothing meanwhile.
 */
void cleanup_hold(void);
void cleanup_release(void);

/* Undo everything registered so far. */
void cleanup_all(void);

#endif
