// SPDX-License-Identifier: MIT
/*
 * eDMA: what one start of a channel does. It works on a copy of the registers and calls the bus
 * without a lock; card_edma_progress() and card_edma_finish() make what it did visible.
 */
#include <endian.h>
#include <errno.h>
#include <string.h>

#include "card/edma.h"

/*
 * A list may go on for ever as long as it moves data: the host asked for it and can stop it. One
 * that only leads in circles is an error. No honest list comes near this.
 */
#define STILL_MAX 65536

/*
 * Copied once, then judged: the host may change it at any time. The control word first, for a host
 * that appends to a running list stores it last. The barrier at the end keeps the compiler from
 * reading the original again.
 */
static int fetch(struct card *card, uint64_t addr, struct metis_edma_element *ret_element)
{
	const size_t rest = offsetof(struct metis_edma_element, size);
	const char *at = card_memory_at(card, addr, sizeof(*ret_element));
	struct metis_edma_element raw;

	if (!at)
		return -EFAULT;
	memcpy(&raw.control, at, sizeof(raw.control));
	atomic_thread_fence(memory_order_acquire);
	memcpy((char *)&raw + rest, at + rest, sizeof(raw) - rest);
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
static enum edma_end move(struct edma_job *job)
{
	struct card *card = job->channel->edma->card;
	bool write = job->channel->write;
	size_t moved = 0;
	void *mem;
	int ret;

	/* The addresses of nothing do not matter. */
	if (!job->size)
		return ++job->still > STILL_MAX ? EDMA_END_FETCH : EDMA_END_OK;
	mem = card_memory_at(card, write ? job->sar : job->dar, job->size);
	if (!mem)
		return EDMA_END_CARD;
	if (card_fault_take(card, CARD_FAULT_STALL)) {
		CARD_COUNT(card, transfers_stalled);
		return EDMA_END_STALLED;
	}
	if (card_fault_take(card, CARD_FAULT_ABORT)) {
		CARD_COUNT(card, transfers_aborted);
		return EDMA_END_BUS;
	}
	ret = card_bus_copy(card, write, write ? job->dar : job->sar, mem, job->size, &job->run,
			    &moved);
	job->size -= moved;
	job->sar += moved;
	job->dar += moved;
	job->still = 0;
	return end_of(ret);
}

static enum edma_end run_single(struct edma_job *job)
{
	enum edma_end end = move(job);

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

static enum edma_end run_element(struct edma_job *job, const struct metis_edma_element *element)
{
	enum edma_end end;

	/* What came before was not the last one, so it is told with the channel still running. */
	if (job->due)
		card_edma_progress(job);
	job->control = element->control;
	job->size = element->size;
	job->sar = element->sar;
	job->dar = element->dar;
	end = move(job);
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
static enum edma_end run_list(struct edma_job *job)
{
	struct card *card = job->channel->edma->card;
	struct metis_edma_element element;
	enum edma_end end = EDMA_END_OK;

	while (end == EDMA_END_OK) {
		if (card_ticket_void(&job->run))
			return EDMA_END_CANCELED;
		card_edma_follow(job);
		if (fetch(card, job->llp, &element))
			return EDMA_END_FETCH;
		if ((element.control & METIS_EDMA_CB) != job->ccs)
			return EDMA_END_OK;
		if (element.control & METIS_EDMA_LLP)
			end = follow(job, &element);
		else
			end = run_element(job, &element);
	}
	return end;
}

enum edma_end card_edma_run(struct edma_job *job)
{
	return job->list ? run_list(job) : run_single(job);
}
