/* SPDX-License-Identifier: MIT */
/*
 * A model on a connection's cores.
 *
 *	instance.c	life: properties, load, unload
 *	instance_run.c	runs: plain, double-buffered, queued
 */
#ifndef TETHYS_RUNTIME_INSTANCE_H
#define TETHYS_RUNTIME_INSTANCE_H

#include "runtime/connection.h"
#include "runtime/internal.h"
#include "runtime/io.h"
#include "runtime/worker.h"

/*
 * Double buffering: call N queues its run and hands out run N - 2's outputs, so three are alive at
 * a time: one being handed out, one running, one being filled.
 */
#define DOUBLE_DELAY 2u
#define DOUBLE_SLOTS (DOUBLE_DELAY + 1)
_Static_assert(DOUBLE_SLOTS <= IO_SLOTS_MAX, "a slot for each");

/* A run of a double-buffered instance. */
struct double_run {
	struct worker_job job; /* first */
	struct axrModelInstance *instance;
	unsigned int slot;
	bool done; /* instance->done_lock */
	int err;
	struct reason why;
};

struct axrModelInstance {
	struct axrObject base;
	struct axrModel *model;		  /* holds a reference */
	struct axrConnection *connection; /* base.parent */
	unsigned int lead;
	unsigned int cores; /* 0: not placed */
	uint32_t module;    /* the firmware's handle; 0: not loaded */
	bool double_buffer;
	bool async_mode;
	struct io io;
	struct worker worker;
	atomic_bool cancel;    /* the instance is being destroyed */
	atomic_bool timed_out; /* a command did; look whether the firmware let go */

	pthread_mutex_t lock; /* one run at a time: io, calls */
	uint64_t calls;	      /* of a double-buffered instance */
	struct double_run runs[DOUBLE_SLOTS];
	pthread_mutex_t done_lock; /* runs[].done */
	pthread_cond_t done;

	pthread_mutex_t stats_lock; /* stats */
	struct tethys_instance_stats stats;
};

/* --- instance_run.c --- */
void instance_runs_init(struct axrModelInstance *instance);
/* Kind of a failure of a load or a run; -ENODEV and the like: the connection. */
axrResult instance_result(int err);
/* A warning, once for each card, if interrupts got lost; @now: those of just before too. */
void instance_tell_losses(const struct axrModelInstance *instance, bool now);

#endif
