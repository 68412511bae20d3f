/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/lab_session.h"
#include "cli/term.h"
#include "lab/accel.h"
#include "lab/dir.h"

static void ending_signals(sigset_t *ret_set)
{
	static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
	struct sigaction old;
	size_t i;

	sigemptyset(ret_set);
	for (i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		if (!sigaction(signals[i], NULL, &old) && old.sa_handler != SIG_IGN)
			sigaddset(ret_set, signals[i]);
	sigaddset(ret_set, SIGUSR1); /* ours: the thread's end */
}

/*
 * Everything unwinds by itself once its loop stops. A second Ctrl-C finds its default action:
 * somebody has lost patience. Not in the first second: timeout(1), for one, sends its signal twice.
 */
static void *signal_main(void *arg)
{
	const struct timespec patience = {.tv_sec = 1};
	struct lab_session *session = arg;
	sigset_t set;
	unsigned int i;
	int sig;

	ending_signals(&set);
	if (sigwait(&set, &sig) || sig == SIGUSR1)
		return NULL;
	pthread_mutex_lock(&session->lock);
	session->signal = sig;
	for (i = 0; i < LAB_SESSION_LOOPS; i++)
		if (session->loops[i])
			lab_loop_stop(session->loops[i]);
	pthread_mutex_unlock(&session->lock);
	while ((sig = sigtimedwait(&set, NULL, &patience)) > 0)
		if (sig == SIGUSR1)
			return NULL;
	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);
	/* Stays, for the signal to have a thread that takes it. */
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigwait(&set, &sig);
	return NULL;
}

static int take_signals(struct lab_session *session)
{
	sigset_t set;
	int err;

	ending_signals(&set);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	err = -pthread_create(&session->thread, NULL, signal_main, session);
	session->has_thread = !err;
	return err;
}

int lab_session_loop(struct lab_session *session, struct lab_loop **ret_loop)
{
	struct lab_loop *loop;
	unsigned int i;
	int err = lab_loop_create(&loop);

	if (err)
		return err;
	err = -ENOMEM;
	pthread_mutex_lock(&session->lock);
	if (session->signal)
		err = -EINTR;
	for (i = 0; err == -ENOMEM && i < LAB_SESSION_LOOPS; i++) {
		if (session->loops[i])
			continue;
		session->loops[i] = loop;
		err = 0;
	}
	pthread_mutex_unlock(&session->lock);
	if (err)
		lab_loop_destroy(loop);
	else
		*ret_loop = loop;
	return err;
}

void lab_session_loop_done(struct lab_session *session, struct lab_loop *loop)
{
	unsigned int i;

	pthread_mutex_lock(&session->lock);
	for (i = 0; i < LAB_SESSION_LOOPS; i++)
		if (session->loops[i] == loop)
			session->loops[i] = NULL;
	pthread_mutex_unlock(&session->lock);
	lab_loop_destroy(loop);
}

void lab_session_wait(struct lab_session *session)
{
	struct timespec pause = {.tv_nsec = 100000000};
	bool ended;

	do {
		nanosleep(&pause, NULL);
		pthread_mutex_lock(&session->lock);
		ended = session->signal;
		pthread_mutex_unlock(&session->lock);
	} while (!ended);
}

static int choose_accel(struct lab_session *session, struct reason *why)
{
	struct lab_loop *loop;
	int err = lab_session_loop(session, &loop);

	if (err)
		return err;
	err = lab_accel_choose(loop, &session->images, &session->options.accel, session->accel_line,
			       why);
	lab_session_loop_done(session, loop);
	return err;
}

int lab_session_open(struct lab_session *session, const char *logs, bool quiet)
{
	struct reason why = {0};
	ssize_t n;
	int err;

	memset(session, 0, sizeof(*session));
	pthread_mutex_init(&session->lock, NULL);
	n = readlink("/proc/self/exe", session->command, sizeof(session->command) - 1);
	err = n > 0 ? lab_logs_dir(logs, session->logs, &why)
		    : reason_add(&why, -ENOENT, "/proc is not mounted");
	if (!err)
		err = lab_images_make(quiet, &session->images, &why);
	if (!err)
		err = take_signals(session);
	if (!err)
		err = choose_accel(session, &why);
	session->options.command = session->command;
	session->options.logs_dir = session->logs;
	session->options.images = &session->images;
	session->options.accel_line = session->accel_line;
	if (err && err != -EINTR)
		term_error("%s", *why.text ? why.text : strerror(-err));
	return err ? CLI_FAILED : CLI_OK;
}

int lab_session_close(struct lab_session *session, int rc)
{
	sigset_t set;

	if (session->has_thread) {
		pthread_kill(session->thread, SIGUSR1);
		pthread_join(session->thread, NULL);
	}
	pthread_mutex_destroy(&session->lock);
	if (!session->signal)
		return rc;
	fflush(stdout);
	ending_signals(&set);
	signal(session->signal, SIG_DFL);
	raise(session->signal);
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);
	return 128 + session->signal;
}
