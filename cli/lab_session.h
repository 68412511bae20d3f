/* SPDX-License-Identifier: MIT */
/*
 * What every command needs that starts machines: images, accelerator, and an end in order when a
 * signal comes.
 */
#ifndef TETHYS_CLI_LAB_SESSION_H
#define TETHYS_CLI_LAB_SESSION_H

#include <pthread.h>
#include <signal.h>

#include "lab/run.h"

#define LAB_SESSION_LOOPS 64

struct lab_session {
	struct lab_run_options options; /* command, logs, images and accelerator are filled in */
	struct lab_images images;
	char command[PATH_MAX], logs[PATH_MAX], accel_line[160];
	pthread_t thread;
	bool has_thread;
	pthread_mutex_t lock; /* protects loops and signal */
	struct lab_loop *loops[LAB_SESSION_LOOPS];
	int signal; /* that ends it; 0: none so far */
};

/**
 * lab_session_open() - images up to date, accelerator chosen, signals taken
 * @quiet: nothing on stdout
 *
 * Return: 0; enum cli_exit, and the error has been printed. Close it in either case.
 */
int lab_session_open(struct lab_session *session, const char *logs, bool quiet);
/*
 * Return: @rc; when a signal ended the session it ends the process by the same signal, so that
 * the shell sees the truth.
 */
int lab_session_close(struct lab_session *session, int rc);

/* A loop that a signal stops. Return: 0; -EINTR a signal has come; -ENOMEM. */
int lab_session_loop(struct lab_session *session, struct lab_loop **ret_loop);
void lab_session_loop_done(struct lab_session *session, struct lab_loop *loop);
/* Until a signal comes. */
void lab_session_wait(struct lab_session *session);

#endif
