/* SPDX-License-Identifier: MIT */
#include <errno.h>

#include "runtime/internal.h"
#include "runtime/worker.h"

static void *worker_main(void *arg)
{
	struct worker *worker = arg;
	struct worker_job *job;
	bool stopping;

	pthread_mutex_lock(&worker->lock);
	for (;;) {
		while (!worker->first && !worker->stop)
			pthread_cond_wait(&worker->wake, &worker->lock);
		job = worker->first;
		if (!job)
			break;
		worker->first = job->next;
		if (!worker->first)
			worker->last = &worker->first;
		stopping = worker->stop;
		pthread_mutex_unlock(&worker->lock);
		job->work(job, stopping);
		pthread_mutex_lock(&worker->lock);
		worker->waiting--;
		pthread_mutex_unlock(&worker->lock);
		job->finished(job); /* may push it, or another, again */
		pthread_mutex_lock(&worker->lock);
	}
	pthread_mutex_unlock(&worker->lock);
	return NULL;
}

int worker_start(struct worker *worker, unsigned int max)
{
	int r;

	pthread_mutex_init(&worker->lock, NULL);
	pthread_cond_init(&worker->wake, NULL);
	worker->last = &worker->first;
	worker->max = max;
	r = axr_thread_start(&worker->thread, worker_main, worker);
	if (r) {
		pthread_cond_destroy(&worker->wake);
		pthread_mutex_destroy(&worker->lock);
		return r;
	}
	worker->started = true;
	return 0;
}

void worker_stop(struct worker *worker)
{
	if (!worker->started)
		return;
	pthread_mutex_lock(&worker->lock);
	worker->stop = true;
	pthread_cond_signal(&worker->wake);
	pthread_mutex_unlock(&worker->lock);
	pthread_join(worker->thread, NULL);
	pthread_cond_destroy(&worker->wake);
	pthread_mutex_destroy(&worker->lock);
	worker->started = false;
}

int worker_push(struct worker *worker, struct worker_job *job)
{
	int r = 0;

	pthread_mutex_lock(&worker->lock);
	if (worker->stop) {
		r = -ECANCELED;
	} else if (worker->waiting == worker->max) {
		r = -EAGAIN;
	} else {
		job->next = NULL;
		*worker->last = job;
		worker->last = &job->next;
		worker->waiting++;
		pthread_cond_signal(&worker->wake);
	}
	pthread_mutex_unlock(&worker->lock);
	return r;
}
