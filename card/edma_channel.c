// SPDX-License-Identifier: MIT
/*
 * eDMA: what a channel's thread does. It works on a copy of the registers and calls the bus
 * without a lock; card_edma_progress() and card_edma_finish() make what it did visible.
 */
#include <endian.h>
#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "card/edma.h"

#define STACK_BYTES (256 * 1024)

/*
 * A list may go on for ever as long as it moves data: the host asked for it and can stop it. One
 * that only leads in circles is an error. No honest list comes near this.
 */
#define STILL_MAX 65536

/*
 * Copied once, then judged: the host may change it at any time. The barrier keeps the compiler from
 * reading the original again.
 */
static int fetch(struct edma_channel *channel, uint64_t addr, struct metis_edma_element *ret_element)
{
	const void *at = card_memory_at(channel->edma->card, addr, sizeof(*ret_element));
	struct metis_edma_element raw;

	if (!at)
		return -EFAULT;
	memcpy(&raw, at, sizeof(raw));
	__asm__ volatile("" : : "r"(&raw) : "memory");
	ret_element->control = le32toh(raw.control);
	ret_element->size = le32toh(raw.size);
	ret_element->sar = le64toh(raw.sar);
	ret_element->dar = le64toh(raw.dar);
	return 0;
}

static enum edma_end end_of(int err)
{
	switch (err) {
	case 0:
		return EDMA_END_OK;
	case -ECANCELED:
		return EDMA_END_CANCELED;
	case -EIO:
		return EDMA_END_BUS_IO;
	default:
		return EDMA_END_BUS;
	}
}

/* Move what the job's size, SAR and DAR say; they move along. */
static enum edma_end move(struct edma_channel *channel, struct edma_job *job)
{
	struct card *card = channel->edma->card;
	size_t moved = 0;
	void *mem;
	int ret;

	/* The addresses of nothing do not matter. */
	if (!job->size)
		return ++job->still > STILL_MAX ? EDMA_END_FETCH : EDMA_END_OK;
	mem = card_memory_at(card, channel->write ? job->sar : job->dar, job->size);
	if (!mem)
		return EDMA_END_CARD;
	ret = card_bus_copy(card, channel->write, channel->write ? job->dar : job->sar, mem,
			    job->size, &job->run, &moved);
	job->size -= moved;
	job->sar += moved;
	job->dar += moved;
	job->still = 0;
	return end_of(ret);
}

static enum edma_end run_single(struct edma_channel *channel, struct edma_job *job)
{
	enum edma_end end = move(channel, job);

	if (end == EDMA_END_OK)
		job->due = job->control & (METIS_EDMA_LIE | METIS_EDMA_RIE);
	return end;
}

static enum edma_end follow(struct edma_job *job, const struct metis_edma_element *element)
{
	job->llp = element->sar;
	if (element->control & METIS_EDMA_TCB)
		job->ccs ^= METIS_EDMA_CB;
	return ++job->still > STILL_MAX ? EDMA_END_FETCH : EDMA_END_OK;
}

static enum edma_end run_element(struct edma_channel *channel, struct edma_job *job,
				 const struct metis_edma_element *element)
{
	enum edma_end end;

	/* What came before was not the last one, so it is told with the channel still running. */
	if (job->due)
		card_edma_progress(channel, job);
	job->control = element->control;
	job->size = element->size;
	job->sar = element->sar;
	job->dar = element->dar;
	end = move(channel, job);
	if (end != EDMA_END_OK)
		return end;
	job->due = element->control & (METIS_EDMA_LIE | METIS_EDMA_RIE);
	job->llp += sizeof(*element);
	return EDMA_END_OK;
}

/*
 * An element whose cycle bit is not the channel's ends the list, whatever else it says: a link as
 * well. LLP stays there, so that a list can be continued, and a second doorbell does nothing.
 */
static enum edma_end run_list(struct edma_channel *channel, struct edma_job *job)
{
	struct metis_edma_element element;
	enum edma_end end = EDMA_END_OK;

	while (end == EDMA_END_OK) {
		if (card_ticket_void(&job->run))
			return EDMA_END_CANCELED;
		if (fetch(channel, job->llp, &element))
			return EDMA_END_FETCH;
		if ((element.control & METIS_EDMA_CB) != job->ccs)
			return EDMA_END_OK;
		if (element.control & METIS_EDMA_LLP)
			end = follow(job, &element);
		else
			end = run_element(channel, job, &element);
	}
	return end;
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

static void sleep_on(struct edma_channel *channel, uint32_t seen)
{
	uint64_t until = now_ns() + channel->edma->spin_us * 1000ull;

	while (now_ns() < until) {
		if (atomic_load(&channel->bell) != seen)
			return;
		relax();
	}
	/* The ringer changes the bell before it looks at @asleep, we the other way round. */
	atomic_store(&channel->asleep, true);
	while (atomic_load(&channel->bell) == seen)
		syscall(SYS_futex, &channel->bell, FUTEX_WAIT_PRIVATE, seen, NULL, NULL, 0);
	atomic_store(&channel->asleep, false);
}

void card_edma_channel_ring(struct edma_channel *channel)
{
	atomic_fetch_add(&channel->bell, 1);
	if (atomic_load(&channel->asleep))
		syscall(SYS_futex, &channel->bell, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

/* Wait for a job. Return: false when the card goes. */
static bool take(struct edma_channel *channel, struct edma_job *ret_job)
{
	struct card_edma *edma = channel->edma;
	uint32_t seen;
	bool quit;

	pthread_mutex_lock(&edma->lock);
	channel->active = false;
	while (!channel->queued && !edma->quit) {
		seen = atomic_load(&channel->bell);
		pthread_mutex_unlock(&edma->lock);
		sleep_on(channel, seen);
		pthread_mutex_lock(&edma->lock);
	}
	quit = edma->quit;
	channel->active = !quit;
	channel->queued = false;
	*ret_job = channel->next;
	pthread_mutex_unlock(&edma->lock);
	return !quit;
}

static void *channel_thread(void *arg)
{
	struct edma_channel *channel = arg;
	struct edma_job job;

	while (take(channel, &job)) {
		if (job.list)
			card_edma_finish(channel, &job, run_list(channel, &job));
		else
			card_edma_finish(channel, &job, run_single(channel, &job));
	}
	return NULL;
}

int card_edma_channel_start(struct edma_channel *channel)
{
	sigset_t all, before;
	pthread_attr_t attr;
	int ret;

	if (channel->started)
		return 0;
	/* The signals of the process are not this thread's business. */
	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, &before);
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK_BYTES);
	ret = pthread_create(&channel->thread, &attr, channel_thread, channel);
	pthread_attr_destroy(&attr);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	channel->started = !ret;
	return -ret;
}
