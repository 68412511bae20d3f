/* SPDX-License-Identifier: MIT */
/*
 * The eDMA from the inside:
 *
 *	edma.c		registers, doorbells, status and interrupts
 *	edma_job.c	what one start of a channel does on the bus
 *	edma_worker.c	the threads that do it
 */
#ifndef TETHYS_CARD_EDMA_H
#define TETHYS_CARD_EDMA_H

#include <pthread.h>
#include <semaphore.h>

#include <tethys/hw/edma.h>

#include "card/bus.h"
#include "card/internal.h"

#define EDMA_CHANNELS_NR (2 * METIS_EDMA_CHANNELS)
/* All channels, and once more for jobs that a reset has left behind in the bus. */
#define EDMA_WORKERS_MAX (2 * EDMA_CHANNELS_NR)

struct card_edma;

struct edma_channel {
	struct card_edma *edma;
	unsigned int index;
	bool write; /* the engine's view: card to host */
	/* Under edma->lock. */
	uint32_t job;  /* what CS speaks of; 0: nothing runs */
	bool stopping; /* the host has asked @job to stop */
	bool spent;    /* a single transfer has used its size up */
	bool stalled;  /* no worker is at @job any more, and it will not end by itself */
	/* The word of edma_job.run. Written under edma->lock. */
	_Atomic uint32_t calls_off;
	/*
	 * What LLP reads as while a list runs, in EDMA_LIVE_BITS; above them a part of the job's id,
	 * so that the worker of a job that no longer counts finds out. 0: the register has it. Set and
	 * cleared under edma->lock, moved along by the worker without it.
	 */
	_Atomic uint64_t live;
};

/* More bits than any address of card memory has. */
#define EDMA_LIVE_BITS 40

/* One start of a channel, from doorbell to end: the channel's registers as they move along. */
struct edma_job {
	struct edma_channel *channel;
	uint32_t id;
	struct card_ticket run;	 /* void after a stop or a reset */
	struct card_ticket tell; /* void after a reset */
	bool list;
	uint32_t control; /* of the element in work; of the channel in a single transfer */
	uint32_t ccs;	  /* METIS_EDMA_CB or 0 */
	uint32_t size;
	uint64_t sar;
	uint64_t dar;
	uint64_t llp;
	uint32_t due;	/* LIE and RIE of elements done that nobody has been told of */
	uint32_t still; /* links and empty elements in a row */
	uint64_t live;	/* what the channel's should be */
};

/* Why a worker is done with a job. */
enum edma_end {
	EDMA_END_OK,
	EDMA_END_CANCELED, /* by a stop, or by a reset that has forgotten the job */
	EDMA_END_CARD,	   /* the card's side of an element is no card memory */
	EDMA_END_FETCH,	   /* an element could not be read, or the list leads nowhere */
	EDMA_END_BUS,	   /* the host's side: unsupported request */
	EDMA_END_BUS_IO,   /* the host's side: completer abort */
	EDMA_END_STALLED,  /* not at all: a fault on request */
};

/*
 * A pool, not a thread a channel: the thread that has just finished is awake, and the next doorbell
 * is often another channel's. What is not atomic, and
 * not @recruits, is under edma->lock.
 */
struct edma_workers {
	pthread_t threads[EDMA_WORKERS_MAX];
	unsigned int count;
	unsigned int asleep;  /* waiting for @recruits */
	unsigned int looking; /* about to look at the queue */
	unsigned int busy;    /* in a job, perhaps in one that no longer counts */
	bool quit;
	sem_t recruits;
	struct edma_job queue[EDMA_CHANNELS_NR]; /* oldest first; at most one a channel */
	_Atomic unsigned int queued;		 /* written under edma->lock */
	/*
	 * How long the last one awake looks for a job before it sleeps, in microseconds. Waking it
	 * costs as much as copying 256 KiB.
	 */
	unsigned int spin_us;
	_Atomic int ringer_cpu; /* processor of the last doorbell */
};

struct card_edma {
	struct card *card;
	/*
	 * Makes changes of registers, channels and workers one. Held for moments only, never over a
	 * bus function. Reading a register takes no lock: drivers poll CS.
	 */
	pthread_mutex_t lock;
	_Atomic uint32_t regs[METIS_EDMA_END / 4];
	uint32_t reset[METIS_EDMA_END / 4];		/* constant */
	uint8_t access[METIS_EDMA_END / 4];		/* enum edma_access; constant */
	struct edma_channel channels[EDMA_CHANNELS_NR]; /* read channels, then write channels */
	struct edma_workers workers;
	uint32_t jobs;		 /* ids given; under @lock */
	_Atomic uint32_t resets; /* the word of edma_job.tell; written under @lock */
};

/* --- edma.c; called by a worker, without the lock --- */
/* LLP shows the element that the job is at. */
void card_edma_follow(struct edma_job *job);
/* What is due in the middle of a list: status, then the interrupt. */
void card_edma_progress(struct edma_job *job);
/*
 * The end of a job: registers, then the interrupt.
 *
 * Return: the worker counts as looking already. A host that polls CS rings again before the worker
 * is back at the queue, and must not pay for waking another.
 */
bool card_edma_finish(struct edma_job *job, enum edma_end end);

/* --- edma_job.c --- */
enum edma_end card_edma_run(struct edma_job *job);

/* --- edma_worker.c --- */
void card_edma_workers_init(struct card_edma *edma);
/* Ends and joins all threads; each leaves the bus at its next chunk. */
void card_edma_workers_deinit(struct card_edma *edma);
/*
 * Hand @job to a worker. Under edma->lock.
 *
 * Return: 1 the caller must card_edma_wake() after unlocking; 0 it need not; negative errno: there
 * is no thread for it.
 */
int card_edma_queue(struct card_edma *edma, const struct edma_job *job);
void card_edma_wake(struct card_edma *edma);
/* Forget all queued jobs. Under edma->lock. */
void card_edma_unqueue(struct card_edma *edma);

#endif
