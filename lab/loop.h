/* SPDX-License-Identifier: MIT */
/*
 * One thread that waits for everything: descriptors and a deadline.
 */
#ifndef TETHYS_LAB_LOOP_H
#define TETHYS_LAB_LOOP_H

#include <stdbool.h>
#include <stdint.h>

struct lab_loop;

int lab_loop_create(struct lab_loop **ret_loop);
void lab_loop_destroy(struct lab_loop *loop); /* NULL is fine */

/**
 * lab_loop_add() - watch @fd for poll(2) @events
 * @fn: called with the events seen; may add and remove, itself included
 *
 * Return: 0; -ENOMEM.
 */
int lab_loop_add(struct lab_loop *loop, int fd, short events, void (*fn)(void *ctx, short revents),
		 void *ctx);
/* Change what is watched for; 0 events: only errors and hang-ups. */
void lab_loop_events(struct lab_loop *loop, int fd, short events);
void lab_loop_remove(struct lab_loop *loop, int fd); /* before closing it */

/**
 * lab_loop_run() - dispatch until @done says so
 * @done: asked after every dispatch and at least each 100 ms
 * @timeout_ms: from now
 *
 * Return: 0; -ETIMEDOUT; -EINTR lab_loop_stop() was called.
 */
int lab_loop_run(struct lab_loop *loop, bool (*done)(void *ctx), void *ctx, int64_t timeout_ms);

/* End the present and all later lab_loop_run(); from any thread or signal handler. */
void lab_loop_stop(struct lab_loop *loop);

int64_t lab_now_ms(void); /* monotonic */

#endif
