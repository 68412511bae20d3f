// SPDX-License-Identifier: MIT
/*
 * eDMA: the threads, made when there is first work for them.
 */
#include <errno.h>
#include <sched.h>
#include <string.h>
#include <time.h>

#include "card/edma.h"

#define SPIN_US 30
#define STACK_BYTES (256 * 1024)

void card_edma_workers_init(struct card_edma *edma)
{
	sem_init(&edma->workers.recruits, 0, 0);
	edma->workers.spin_us = SPIN_US;
}

void card_edma_workers_deinit(struct card_edma *edma)
{
	struct edma_workers *workers = &edma->workers;
	unsigned int i;

	pthread_mutex_lock(&edma->lock);
	workers->quit = true;
	card_edma_unqueue(edma);
	pthread_mutex_unlock(&edma->lock);
	/* Nobody adds threads any more: the card's users are gone. */
	for (i = 0; i < workers->count; i++)
		sem_post(&workers->recruits);
	for (i = 0; i < workers->count; i++)
		pthread_join(workers->threads[i], NULL);
	sem_destroy(&workers->recruits);
}

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000000ull + now.tv_nsec;
}

static void relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("yield");
#endif
}

/* On the processor of whoever rings, looking for a ring would only keep it from being made. */
static bool in_the_way(struct edma_workers *workers)
{
	return sched_getcpu() == atomic_load_explicit(&workers->ringer_cpu, memory_order_relaxed);
}

static void spin(struct edma_workers *workers)
{
	uint64_t until = now_ns() + workers->spin_us * 1000ull;

	while (!atomic_load_explicit(&workers->queued, memory_order_relaxed) &&
	       !in_the_way(workers) && now_ns() < until)
		relax();
}

/* edma->lock is held, and dropped while there is nothing to do. */
static void wait_for_job(struct card_edma *edma)
{
	struct edma_workers *workers = &edma->workers;

	/* One that looks is enough; it takes the next job, and whoever rings gets another for more. */
	if (!workers->looking && !workers->quit) {
		workers->looking++;
		pthread_mutex_unlock(&edma->lock);
		spin(workers);
		pthread_mutex_lock(&edma->lock);
		workers->looking--;
	}
	while (!workers->queued && !workers->quit) {
		workers->asleep++;
		pthread_mutex_unlock(&edma->lock);
		while (sem_wait(&workers->recruits))
			;
		pthread_mutex_lock(&edma->lock);
		/* The recruiter has moved us from @asleep to @looking; deinit does not care. */
		if (!workers->quit)
			workers->looking--;
	}
}

/* edma->lock is held. Return: false when the card goes. */
static bool take(struct card_edma *edma, struct edma_job *ret_job)
{
	struct edma_workers *workers = &edma->workers;

	if (!workers->queued)
		wait_for_job(edma);
	if (workers->quit)
		return false;
	*ret_job = workers->queue[0];
	workers->queued--;
	memmove(workers->queue, workers->queue + 1, workers->queued * sizeof(workers->queue[0]));
	return true;
}

static void *worker_main(void *arg)
{
	struct card_edma *edma = arg;
	struct edma_job job;
	bool looks = true;

	pthread_mutex_lock(&edma->lock);
	edma->workers.looking -= looks;
	while (take(edma, &job)) {
		edma->workers.busy++;
		pthread_mutex_unlock(&edma->lock);
		looks = card_edma_finish(&job, card_edma_run(&job));
		pthread_mutex_lock(&edma->lock);
		edma->workers.looking -= looks;
		edma->workers.busy--;
	}
	pthread_mutex_unlock(&edma->lock);
	return NULL;
}

/* edma->lock is held. */
static int worker_create(struct card_edma *edma)
{
	struct edma_workers *workers = &edma->workers;
	int ret;

	if (workers->count == EDMA_WORKERS_MAX)
		return -EAGAIN;
	ret = card_thread_create(&workers->threads[workers->count], STACK_BYTES, worker_main, edma);
	if (ret)
		return ret;
	workers->count++;
	workers->looking++;
	return 0;
}

int card_edma_queue(struct card_edma *edma, const struct edma_job *job)
{
	struct edma_workers *workers = &edma->workers;
	bool wake = false;
	int ret;

	atomic_store_explicit(&workers->ringer_cpu, sched_getcpu(), memory_order_relaxed);
	if (workers->queued >= workers->looking) {
		wake = workers->asleep;
		ret = wake ? 0 : worker_create(edma);
		/* With one thread at all the job only has to wait for its turn. */
		if (ret && !workers->count)
			return ret;
	}
	if (wake) {
		workers->asleep--;
		workers->looking++;
	}
	workers->queue[workers->queued] = *job;
	workers->queued++;
	return wake;
}

void card_edma_wake(struct card_edma *edma)
{
	sem_post(&edma->workers.recruits);
}

void card_edma_unqueue(struct card_edma *edma)
{
	edma->workers.queued = 0;
}
