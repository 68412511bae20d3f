/* SPDX-License-Identifier: MIT */
/*
 * Faults that the card has because somebody asked for them (card/control.h). They belong to the
 * board, not to its state: no reset and no change of owner takes one back.
 */
#ifndef TETHYS_CARD_FAULT_H
#define TETHYS_CARD_FAULT_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct card;

/* Faults of single events, each armed for a number of them. */
enum card_fault {
	CARD_FAULT_LOSE_INTERRUPT, /* a message leaves, and never arrives */
	CARD_FAULT_STALL,	   /* a transfer moves nothing and never ends by itself */
	CARD_FAULT_ABORT,	   /* a transfer ends as if the host had refused its first access */
	CARD_FAULT_NR,
};

#define CARD_FAULT_ALL UINT64_MAX

struct card_faults {
	_Atomic uint64_t armed[CARD_FAULT_NR]; /* events still to be hit */
	/* Set with @lock; read by every access of a host without it. */
	_Atomic bool vanished;
	pthread_mutex_t lock; /* makes going and coming back one step each */
};

void card_fault_init(struct card_faults *faults);
void card_fault_deinit(struct card_faults *faults);

/* Arm @fault for the next @count events: 0 for none, CARD_FAULT_ALL for all to come. */
void card_fault_arm(struct card *card, enum card_fault fault, uint64_t count);
uint64_t card_fault_armed(const struct card *card, enum card_fault fault);
/* One of its events happens: true when the fault hits it. */
bool card_fault_take(struct card *card, enum card_fault fault);

/**
 * card_vanish() - the card falls off the bus
 *
 * All transfers and commands end, no access leaves the card, all reads of its regions give ones and
 * writes do nothing. A client that has L2 mapped reads ones there as well, but can read back what
 * it stores. Does nothing when the card is gone already.
 */
void card_vanish(struct card *card);
/* The card is there again, as after power-on. Does nothing when it was never gone. */
void card_return(struct card *card);
bool card_vanished(const struct card *card);

#endif
