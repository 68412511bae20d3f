/* SPDX-License-Identifier: MIT */
/*
 * The card's side of the bus, for card.c, pci.c and the eDMA: who may use it, until when.
 */
#ifndef TETHYS_CARD_BUS_H
#define TETHYS_CARD_BUS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "card/internal.h"
#include "common/copy.h"

/*
 * One call of a bus function moves at most this; with eight channels at work on a busy machine
 * pieces of 4 MiB made a detach take 350 ms, pieces of 2 MiB 10 (measured). Only what no cache
 * would keep moves in pieces that large, for copy_bulk() to write around the caches: a network's
 * tensors are used at once, so they had better stay.
 */
#define CARD_BUS_CHUNK_BYTES (COPY_BULK_BYTES / 2)
#define CARD_BUS_BULK_CHUNK_BYTES COPY_BULK_BYTES
#define CARD_BUS_BULK_BYTES ((size_t)32 << 20)

/* The right to use the bus: void as soon as *@word is no longer @value. */
struct card_ticket {
	const _Atomic uint32_t *word;
	uint32_t value;
};

static inline bool card_ticket_void(const struct card_ticket *ticket)
{
	return ticket && atomic_load(ticket->word) != ticket->value;
}

int card_bus_create(struct card_bus_gate **ret_gate);
void card_bus_destroy(struct card_bus_gate *gate);

/**
 * card_bus_plug() - let users in
 * Return: 0; -EBUSY another bus is plugged in.
 */
int card_bus_plug(struct card_bus_gate *gate, const struct card_bus *bus);

/**
 * card_bus_shut() - no new user comes in; pairs with card_bus_open(), nests
 */
void card_bus_shut(struct card_bus_gate *gate);
void card_bus_open(struct card_bus_gate *gate);

/**
 * card_bus_drain() - wait until no user of a shut gate is left
 * @timeout_ms: how long at most
 *
 * Return: 0; -ETIMEDOUT some user is still in.
 */
int card_bus_drain(struct card_bus_gate *gate, int timeout_ms);

/**
 * card_bus_unplug_begin() - shut the gate for good
 *
 * Return: true when the caller is the one to drain it and go on with card_bus_unplug_end(); false
 * when there was no bus, or another thread has unplugged it in the meantime.
 */
bool card_bus_unplug_begin(struct card_bus_gate *gate);
/* @drained: nobody is in. Else the bus stays, behind a shut gate, for another try to unplug it. */
void card_bus_unplug_end(struct card_bus_gate *gate, bool drained);

/**
 * card_bus_copy() - move @len bytes between @mem and host memory, in chunks
 * @write: to the host
 * @mem: card memory; not written to when @write
 * @ticket: checked before each chunk; may be NULL
 * @moved: grows by the bytes that got through, also on failure; may be NULL
 *
 * Return: 0; as struct card_bus; -ENODEV no bus or bus master off; -EPERM the range touches the
 * interrupt window; -EFAULT it wraps; -ECANCELED the ticket is void.
 */
int card_bus_copy(struct card *card, bool write, uint64_t iova, void *mem, size_t len,
		  const struct card_ticket *ticket, size_t *moved);

/* As card_msi(), unless @ticket is void. */
void card_msi_ticket(struct card *card, unsigned int number, const struct card_ticket *ticket);
/* As card_imwr(), unless @ticket is void: -ECANCELED. */
int card_imwr_ticket(struct card *card, uint64_t addr, uint32_t data,
		     const struct card_ticket *ticket);

/* Send MSI @vector, which card_pci has admitted. */
void card_msi_send(struct card *card, unsigned int vector);

#endif
