/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "lab/loop.h"

#define ASK_DONE_MS 100

struct watch {
	int fd; /* -1: removed, its place is freed after the dispatch */
	short events;
	void (*fn)(void *ctx, short revents);
	void *ctx;
};

struct lab_loop {
	struct watch *watches;
	size_t count, room;
	unsigned int depth; /* a callback may run the loop itself */
	int stop_fd;	    /* readable for good once stopped */
	atomic_bool stopped;
};

int64_t lab_now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int lab_loop_create(struct lab_loop **ret_loop)
{
	struct lab_loop *loop = calloc(1, sizeof(*loop));
	int err;

	if (!loop)
		return -ENOMEM;
	loop->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (loop->stop_fd < 0) {
		err = -errno;
		free(loop);
		return err;
	}
	*ret_loop = loop;
	return 0;
}

void lab_loop_destroy(struct lab_loop *loop)
{
	if (!loop)
		return;
	close(loop->stop_fd);
	free(loop->watches);
	free(loop);
}

int lab_loop_add(struct lab_loop *loop, int fd, short events, void (*fn)(void *ctx, short revents),
		 void *ctx)
{
	struct watch *more;
	size_t room;

	if (loop->count == loop->room) {
		room = loop->room ? loop->room * 2 : 16;
		more = realloc(loop->watches, room * sizeof(*more));
		if (!more)
			return -ENOMEM;
		loop->watches = more;
		loop->room = room;
	}
	loop->watches[loop->count++] = (struct watch){fd, events, fn, ctx};
	return 0;
}

static struct watch *find(struct lab_loop *loop, int fd)
{
	size_t i;

	for (i = 0; i < loop->count; i++)
		if (loop->watches[i].fd == fd)
			return &loop->watches[i];
	return NULL;
}

void lab_loop_events(struct lab_loop *loop, int fd, short events)
{
	struct watch *watch = find(loop, fd);

	if (watch)
		watch->events = events;
}

static void compact(struct lab_loop *loop)
{
	size_t i, kept = 0;

	for (i = 0; i < loop->count; i++)
		if (loop->watches[i].fd >= 0)
			loop->watches[kept++] = loop->watches[i];
	loop->count = kept;
}

void lab_loop_remove(struct lab_loop *loop, int fd)
{
	struct watch *watch = fd < 0 ? NULL : find(loop, fd);

	if (watch)
		watch->fd = -1;
	if (!loop->depth)
		compact(loop);
}

/* Places do not move meanwhile, and new ones come behind those that were polled. */
static void dispatch(struct lab_loop *loop, const struct pollfd *polled, size_t count)
{
	struct watch watch;
	size_t i;

	loop->depth++;
	for (i = 0; i < count; i++) {
		watch = loop->watches[i];
		if (polled[i].revents && watch.fd >= 0 && watch.fd == polled[i].fd)
			watch.fn(watch.ctx, polled[i].revents);
	}
	if (!--loop->depth)
		compact(loop);
}

static int poll_once(struct lab_loop *loop, int timeout_ms)
{
	size_t i, count = loop->count;
	struct pollfd *polled = calloc(count + 1, sizeof(*polled));
	int err = 0;

	if (!polled)
		return -ENOMEM;
	for (i = 0; i < count; i++)
		polled[i] = (struct pollfd){.fd = loop->watches[i].fd,
					    .events = loop->watches[i].events};
	polled[count] = (struct pollfd){.fd = loop->stop_fd, .events = POLLIN};
	if (poll(polled, count + 1, timeout_ms) < 0)
		err = errno == EINTR ? 0 : -errno;
	else if (!polled[count].revents)
		dispatch(loop, polled, count);
	free(polled);
	return err;
}

int lab_loop_run(struct lab_loop *loop, bool (*done)(void *ctx), void *ctx, int64_t timeout_ms)
{
	int64_t until_ms = lab_now_ms() + timeout_ms, left_ms;
	int err;

	for (;;) {
		if (atomic_load(&loop->stopped))
			return -EINTR;
		if (done && done(ctx))
			return 0;
		left_ms = until_ms - lab_now_ms();
		if (left_ms <= 0)
			return -ETIMEDOUT;
		err = poll_once(loop, left_ms < ASK_DONE_MS ? (int)left_ms : ASK_DONE_MS);
		if (err)
			return err;
	}
}

void lab_loop_stop(struct lab_loop *loop)
{
	int saved = errno; /* of whom a signal handler interrupted */
	uint64_t one = 1;
	ssize_t done;

	atomic_store(&loop->stopped, true);
	done = write(loop->stop_fd, &one, sizeof(one));
	(void)done; /* fails only when the counter is full: it is readable then too */
	errno = saved;
}
