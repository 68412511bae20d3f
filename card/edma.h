/* SPDX-License-Identifier: MIT */
/*
 * The eDMA from the inside: edma.c has the registers, edma_channel.c what a channel's thread does.
 */
#ifndef TETHYS_CARD_EDMA_H
#define TETHYS_CARD_EDMA_H

#include <pthread.h>

#include <tethys/hw/edma.h>

#include "card/bus.h"
#include "card/internal.h"

#define EDMA_CHANNELS_NR (2 * METIS_EDMA_CHANNELS)

/* Why a channel's thread is done with a job. */
enum edma_end {
	EDMA_END_OK,
	EDMA_END_CANCELED, /* by a stop, or by a reset that has forgotten the job */
	EDMA_END_CARD,	   /* the card's side of an element is no card memory */
	EDMA_END_FETCH,	   /* an element could not be read, or the list leads nowhere */
	EDMA_END_BUS,	   /* the host's side: unsupported request */
	EDMA_END_BUS_IO,   /* the host's side: completer abort */
};

/* One start of a channel, from doorbell to end: the channel's registers as they move along. */
struct edma_job {
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
	uint32_t due; /* LIE and RIE of elements done that nobody has been told of */
	/* Links and empty elements in a row. */
	uint32_t still;
};

struct edma_channel {
	struct card_edma *edma;
	unsigned int index;
	bool write; /* the engine's view: card to host */
	/* Under edma->lock. */
	uint32_t job; /* what CS speaks of; 0: nothing runs */
	struct edma_job next;
	bool queued;   /* @next waits for the thread */
	bool active;   /* the thread is in a job, perhaps in one that no longer counts */
	bool stopping; /* the host has asked @job to stop */
	bool spent;    /* a single transfer has used its size up */
	bool started;  /* @thread exists */
	pthread_t thread;
	/* The word of edma_job.run. Written under edma->lock. */
	_Atomic uint32_t calls_off;
	/* Futex: changes when there is something to do. */
	_Atomic uint32_t bell;
	_Atomic bool asleep;
};

struct card_edma {
	struct card *card;
	/* Protects registers and channels. No bus function is called with it held. */
	pthread_mutex_t lock;
	uint32_t regs[METIS_EDMA_END / 4];
	uint8_t access[METIS_EDMA_END / 4]; /* enum edma_access; constant */
	struct edma_channel channels[EDMA_CHANNELS_NR]; /* read channels, then write channels */
	uint32_t jobs;
	bool quit;
	_Atomic uint32_t resets; /* the word of edma_job.tell. Written under @lock */
	/*
	 * How long a thread that has just finished looks for its next job before it sleeps, in
	 * microseconds: waking it from sleep can cost 100 us and more, which is what 4 KiB take.
	 */
	unsigned int spin_us;
};

/* A register of a channel. edma->lock is held. */
uint32_t *card_edma_channel_reg(struct edma_channel *channel, uint32_t reg);

/*
 * The end of a job: registers, then the interrupt. By the channel's thread, no lock held.
 */
void card_edma_finish(struct edma_channel *channel, struct edma_job *job, enum edma_end end);

/* Tell what is due in the middle of a list: status, then the interrupt. As above. */
void card_edma_progress(struct edma_channel *channel, struct edma_job *job);

/* Have a thread for @channel. edma->lock is held. Return: 0 or what pthread_create() said. */
int card_edma_channel_start(struct edma_channel *channel);

/* Make the thread look for something to do. No lock held, or it would wake into it. */
void card_edma_channel_ring(struct edma_channel *channel);

#endif
