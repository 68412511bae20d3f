/* SPDX-License-Identifier: MIT */
/*
 * The cards this process has open. A card is opened once and shared by all connections to it, of
 * all contexts; who has which core is kept here.
 */
#ifndef TETHYS_RUNTIME_CARDS_H
#define TETHYS_RUNTIME_CARDS_H

#include <stdatomic.h>
#include <stdbool.h>

#include "runtime/firmware_client.h"

struct card_handle {
	struct card_handle *next;
	char name[256];
	unsigned int references;
	uint32_t cores;	       /* mask of the taken ones */
	atomic_bool loss_told; /* that interrupts get lost */
	struct axdev *dev;
	struct fw_client fw;
};

/**
 * cards_open() - a reference to an open card, opened now if need be
 * @options: of a card that is open already, engine and personality must be the same where given
 *
 * Return: 0; as axdev_open() and fw_client_init(); -ENOTUNIQ open with other options.
 */
int cards_open(const char *name, const struct axdev_options *options, struct card_handle **ret_card,
	       struct reason *why);
void cards_close(struct card_handle *card); /* NULL is fine */

/**
 * cards_take_cores() - reserve @count adjacent cores, lowest first
 *
 * Return: 0; -EBUSY no such run is free.
 */
int cards_take_cores(struct card_handle *card, unsigned int count, unsigned int *ret_first,
		     struct reason *why);
void cards_give_cores(struct card_handle *card, unsigned int first, unsigned int count);

/* What there is to know of a card without connecting to it. */
struct card_look {
	unsigned int taken; /* cores, by this process */
	uint64_t ddr_bytes;
	char personality[16 + 1];
	bool has_board;
	struct metis_board board;
};

/**
 * cards_look() - look at a card, opening it for the moment if need be
 *
 * Return: 0; as axdev_open() and fw_client_init().
 */
int cards_look(const char *name, struct card_look *ret_look, struct reason *why);

#endif
