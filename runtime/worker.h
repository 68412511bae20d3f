/* SPDX-License-Identifier: MIT */
/*
 * A thread that does jobs in the order they come.
 */
#ifndef TETHYS_RUNTIME_WORKER_H
#define TETHYS_RUNTIME_WORKER_H

#include <pthread.h>
#include <stdbool.h>

struct worker_job {
	struct worker_job *next;
	/* @stopping: the worker is being stopped, the job is to end without doing its work. */
	void (*work)(struct worker_job *job, bool stopping);
	/* Its place in the queue is free again; the last the worker does with the job. */
	void (*finished)(struct worker_job *job);
};

struct worker {
	pthread_t thread;
	bool started;
	pthread_mutex_t lock; /* the below */
	pthread_cond_t wake;
	struct worker_job *first;
	struct worker_job **last;
	unsigned int waiting; /* jobs queued or running */
	unsigned int max;
	bool stop;
};

/* @max: of jobs queued or running. Return: 0 or negative errno. */
int worker_start(struct worker *worker, unsigned int max);
/* Every job still queued is ended, with @stopping, then the thread. A zeroed worker is fine. */
void worker_stop(struct worker *worker);
/* Return: 0; -EAGAIN the queue is full; -ECANCELED the worker is being stopped. */
int worker_push(struct worker *worker, struct worker_job *job);

#endif
