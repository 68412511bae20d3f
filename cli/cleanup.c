/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "cli/cleanup.h"

#define THINGS_MAX 32
#define PROCESS_GRACE_MS 1000

enum thing_kind {
	THING_FILE,
	THING_DIR,
	THING_PROCESS,
};

struct thing {
	enum thing_kind kind;
	pid_t pid;
	char path[PATH_MAX];
};

/* A true singleton: a process has one end. */
static struct {
	pthread_mutex_t lock; /* protects things and count; held by the signal thread to the end */
	struct thing things[THINGS_MAX];
	size_t count;
} cleanup = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* Those that were ignored when we started (nohup, a job in the background) stay ignored. */
static void ending_signals(sigset_t *ret_set)
{
	static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
	struct sigaction old;

	sigemptyset(ret_set);
	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		if (!sigaction(signals[i], NULL, &old) && old.sa_handler != SIG_IGN)
			sigaddset(ret_set, signals[i]);
}

static void sleep_ms(unsigned int ms)
{
	struct timespec ts = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};

	nanosleep(&ts, NULL);
}

/* Ask, wait, insist. The pid is our own unreaped child, so it can't be someone else's by now. */
static void end_process(pid_t pid)
{
	kill(pid, SIGTERM);
	for (unsigned int waited = 0; waited < PROCESS_GRACE_MS; waited += 5) {
		if (waitpid(pid, NULL, WNOHANG) != 0)
			return;
		sleep_ms(5);
	}
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

static void undo(const struct thing *thing)
{
	switch (thing->kind) {
	case THING_FILE:
		unlink(thing->path);
		break;
	case THING_DIR:
		rmdir(thing->path);
		break;
	case THING_PROCESS:
		end_process(thing->pid);
		break;
	}
}

static void undo_all_locked(void)
{
	while (cleanup.count > 0)
		undo(&cleanup.things[--cleanup.count]);
}

void cleanup_all(void)
{
	pthread_mutex_lock(&cleanup.lock);
	undo_all_locked();
	pthread_mutex_unlock(&cleanup.lock);
}

void cleanup_hold(void)
{
	pthread_mutex_lock(&cleanup.lock);
}

void cleanup_release(void)
{
	pthread_mutex_unlock(&cleanup.lock);
}

static int add(enum thing_kind kind, const char *path, pid_t pid)
{
	int rc = -ENOSPC;

	pthread_mutex_lock(&cleanup.lock);
	if (cleanup.count < THINGS_MAX && (!path || strlen(path) < PATH_MAX)) {
		struct thing *thing = &cleanup.things[cleanup.count++];

		thing->kind = kind;
		thing->pid = pid;
		snprintf(thing->path, sizeof(thing->path), "%s", path ? path : "");
		rc = 0;
	}
	pthread_mutex_unlock(&cleanup.lock);
	return rc;
}

int cleanup_add_file(const char *path)
{
	return add(THING_FILE, path, 0);
}

int cleanup_add_dir(const char *path)
{
	return add(THING_DIR, path, 0);
}

int cleanup_add_process(pid_t pid)
{
	return add(THING_PROCESS, NULL, pid);
}

/* The lock is kept: nobody can register a thing that would then outlive us. */
static void *signal_main(void *arg)
{
	sigset_t set;
	int sig;

	(void)arg;
	ending_signals(&set);
	if (sigwait(&set, &sig))
		return NULL; /* all of them ignored: nothing to wait for */
	/* The other threads must not report the card we are about to take away. */
	ftrylockfile(stderr);
	ftrylockfile(stdout);
	pthread_mutex_lock(&cleanup.lock);
	undo_all_locked();
	signal(sig, SIG_DFL);
	kill(getpid(), sig);
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);
	_exit(128 + sig);
}

int cleanup_start(void)
{
	pthread_attr_t attr;
	pthread_t thread;
	sigset_t set;
	int rc;

	ending_signals(&set);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	rc = -pthread_create(&thread, &attr, signal_main, NULL);
	pthread_attr_destroy(&attr);
	if (rc)
		pthread_sigmask(SIG_UNBLOCK, &set, NULL);
	return rc;
}

void cleanup_in_child(void)
{
	sigset_t set;

	ending_signals(&set);
	sigprocmask(SIG_UNBLOCK, &set, NULL);
}
