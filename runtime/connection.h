/* SPDX-License-Identifier: MIT */
/*
 * A connection: cores of a card, the card memory that goes with them, which instance sits where.
 */
#ifndef TETHYS_RUNTIME_CONNECTION_H
#define TETHYS_RUNTIME_CONNECTION_H

#include "runtime/cards.h"
#include "runtime/ddr.h"
#include "runtime/internal.h"
#include "runtime/settings.h"
#include "runtime/shared_memory.h"

/* One core of a connection. */
struct core_use {
	unsigned int instances; /* that run on it */
	unsigned int lead;	/* lowest core of these, the same for all */
};

struct axrConnection {
	struct axrObject base;
	struct card_handle *card;
	unsigned int first; /* core */
	unsigned int cores;
	unsigned int timeout_ms;
	unsigned int load_timeout_ms;
	struct ddr ddr;
	struct shared_memory memory;
	pthread_mutex_t lock; /* use */
	struct core_use use[METIS_CORES];
};

/**
 * connection_place() - choose cores for an instance
 * @ret_cores: in: cores wanted, 1 to the connection's; out: cores got
 *
 * The firmware lets modules share cores only when these have the same lowest core. So the least
 * used run of cores that keeps to this is chosen, a shorter one when there is none of full length;
 * one core is always to be had.
 *
 * Return: the lowest core.
 */
unsigned int connection_place(struct axrConnection *connection, unsigned int *ret_cores);
void connection_unplace(struct axrConnection *connection, unsigned int lead, unsigned int cores);

#endif
