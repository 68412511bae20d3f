// SPDX-License-Identifier: MIT
/*
 * The way out of the card: DMA and interrupts, safe against a bus that goes away.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <tethys/hw/irq.h>

#include "card/bus.h"

enum bus_state {
	BUS_NONE,
	BUS_PLUGGED,
	BUS_UNPLUGGING, /* by a thread that is at it */
	BUS_STUCK,	/* by one that has given up: somebody is still in */
};

/*
 * A count instead of a reader lock: a bus function may lead back into the card (a DMA to its own
 * BAR, an unmasked MSI) while somebody waits for the users to leave.
 */
struct card_bus_gate {
	struct card_bus bus;	/* changes only while nobody is in and @shut is not 0 */
	_Atomic uint32_t users; /* threads inside, or just finding out that they may not be */
	_Atomic uint32_t shut;	/* reasons to let nobody in; 0: open */
	pthread_mutex_t lock;	/* protects @state; held for moments only */
	pthread_cond_t changed; /* @users fell to 0, or @state changed */
	enum bus_state state;
};

int card_bus_create(struct card_bus_gate **ret_gate)
{
	struct card_bus_gate *gate = calloc(1, sizeof(*gate));
	pthread_condattr_t attr;

	if (!gate)
		return -ENOMEM;
	atomic_init(&gate->shut, 1);
	pthread_mutex_init(&gate->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&gate->changed, &attr);
	pthread_condattr_destroy(&attr);
	*ret_gate = gate;
	return 0;
}

void card_bus_destroy(struct card_bus_gate *gate)
{
	if (!gate)
		return;
	pthread_cond_destroy(&gate->changed);
	pthread_mutex_destroy(&gate->lock);
	free(gate);
}

static void bus_leave(struct card_bus_gate *gate)
{
	/* Whoever drains has shut the gate before looking at @users, so one of us sees the other. */
	if (atomic_fetch_sub(&gate->users, 1) != 1 || !atomic_load(&gate->shut))
		return;
	pthread_mutex_lock(&gate->lock);
	pthread_cond_broadcast(&gate->changed);
	pthread_mutex_unlock(&gate->lock);
}

static int bus_enter(struct card_bus_gate *gate)
{
	atomic_fetch_add(&gate->users, 1);
	if (!atomic_load(&gate->shut))
		return 0;
	bus_leave(gate);
	return -ENODEV;
}

void card_bus_shut(struct card_bus_gate *gate)
{
	atomic_fetch_add(&gate->shut, 1);
}

void card_bus_open(struct card_bus_gate *gate)
{
	atomic_fetch_sub(&gate->shut, 1);
}

int card_bus_drain(struct card_bus_gate *gate, int timeout_ms)
{
	struct timespec until;
	int ret = 0;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += timeout_ms * 1000000ll % 1000000000;
	until.tv_sec += timeout_ms / 1000 + until.tv_nsec / 1000000000;
	until.tv_nsec %= 1000000000;

	pthread_mutex_lock(&gate->lock);
	while (atomic_load(&gate->users) && !ret)
		ret = pthread_cond_timedwait(&gate->changed, &gate->lock, &until);
	pthread_mutex_unlock(&gate->lock);
	return -ret;
}

int card_bus_plug(struct card_bus_gate *gate, const struct card_bus *bus)
{
	int ret = -EBUSY;

	pthread_mutex_lock(&gate->lock);
	if (gate->state == BUS_NONE) {
		gate->bus = *bus;
		gate->state = BUS_PLUGGED;
		card_bus_open(gate);
		ret = 0;
	}
	pthread_mutex_unlock(&gate->lock);
	return ret;
}

bool card_bus_unplug_begin(struct card_bus_gate *gate)
{
	bool mine;

	pthread_mutex_lock(&gate->lock);
	/* A second caller has the same promise to keep to its own caller. */
	while (gate->state == BUS_UNPLUGGING)
		pthread_cond_wait(&gate->changed, &gate->lock);
	mine = gate->state != BUS_NONE;
	if (gate->state == BUS_PLUGGED)
		card_bus_shut(gate);
	if (mine)
		gate->state = BUS_UNPLUGGING;
	pthread_mutex_unlock(&gate->lock);
	return mine;
}

void card_bus_unplug_end(struct card_bus_gate *gate, bool drained)
{
	pthread_mutex_lock(&gate->lock);
	if (drained)
		memset(&gate->bus, 0, sizeof(gate->bus));
	gate->state = drained ? BUS_NONE : BUS_STUCK;
	pthread_cond_broadcast(&gate->changed);
	pthread_mutex_unlock(&gate->lock);
}

static void bus_trace(struct card *card, enum card_event_kind kind, enum card_way way,
		      uint64_t addr, uint64_t len, int result)
{
	const struct card_event event = {
		.kind = kind,
		.way = way,
		.addr = addr,
		.len = len,
		.result = result,
	};

	if (card->config.trace)
		card->config.trace(card->config.trace_ctx, &event);
}

static enum card_event_kind dma_event(bool write)
{
	return write ? CARD_EVENT_WRITE : CARD_EVENT_READ;
}

static bool in_msi_window(uint64_t addr, uint64_t len)
{
	return addr <= METIS_MSI_WINDOW_LAST && addr + (len - 1) >= METIS_MSI_WINDOW_BASE;
}

static int bus_check(uint64_t iova, uint64_t len)
{
	if (iova + (len - 1) < iova)
		return -EFAULT;
	return in_msi_window(iova, len) ? -EPERM : 0;
}

static int bus_move(struct card *card, bool write, uint64_t iova, void *mem, size_t len)
{
	const struct card_bus *bus = &card->gate->bus;
	int ret;

	if (!card_pci_bus_master(card->pci)) {
		bus_trace(card, dma_event(write), CARD_WAY_NONE, iova, len, -ENODEV);
		return -ENODEV;
	}
	if (write)
		ret = bus->dma_write(bus->ctx, iova, mem, len);
	else
		ret = bus->dma_read(bus->ctx, iova, mem, len);
	bus_trace(card, dma_event(write), CARD_WAY_BUS, iova, len, ret);
	if (!ret && write)
		CARD_COUNT_BY(card, dma_write_bytes, len);
	else if (!ret)
		CARD_COUNT_BY(card, dma_read_bytes, len);
	return ret;
}

static int bus_chunk(struct card *card, bool write, uint64_t iova, void *mem, size_t len,
		     const struct card_ticket *ticket)
{
	int ret = bus_enter(card->gate);

	if (ret)
		return ret;
	/* Looked at inside only: a void ticket and a drained gate mean that nothing can follow. */
	ret = card_ticket_void(ticket) ? -ECANCELED : bus_move(card, write, iova, mem, len);
	bus_leave(card->gate);
	return ret;
}

int card_bus_copy(struct card *card, bool write, uint64_t iova, void *mem, size_t len,
		  const struct card_ticket *ticket, size_t *moved)
{
	size_t chunk = len < CARD_BUS_BULK_BYTES ? CARD_BUS_CHUNK_BYTES : CARD_BUS_BULK_CHUNK_BYTES;
	size_t done = 0;
	int ret = 0;

	if (len) {
		ret = bus_check(iova, len);
		if (ret)
			bus_trace(card, dma_event(write), CARD_WAY_NONE, iova, len, ret);
	}
	while (!ret && done < len) {
		size_t n = len - done < chunk ? len - done : chunk;

		ret = bus_chunk(card, write, iova + done, (char *)mem + done, n, ticket);
		if (!ret)
			done += n;
	}
	if (moved)
		*moved += done;
	return ret;
}

/* The one door that MSIs leave by. The gate is ours. */
static void msi_call(struct card *card, unsigned int vector)
{
	const struct card_bus *bus = &card->gate->bus;
	unsigned int vectors;
	uint64_t addr = 0;
	uint32_t data;

	if (card_fault_take(card, CARD_FAULT_LOSE_INTERRUPT)) {
		CARD_COUNT(card, interrupts_lost);
		return;
	}
	bus->msi(bus->ctx, vector);
	CARD_COUNT(card, msi_raised);
	if (card->config.trace && card_pci_msi_message(card->pci, &addr, &data, &vectors))
		bus_trace(card, CARD_EVENT_MSI, CARD_WAY_BUS, addr, 4, 0);
}

void card_msi_send(struct card *card, unsigned int vector)
{
	if (bus_enter(card->gate)) {
		CARD_COUNT(card, msi_unsent);
		return;
	}
	msi_call(card, vector);
	bus_leave(card->gate);
}

/* The gate is ours. */
static void msi_put(struct card *card, unsigned int number)
{
	unsigned int vectors;
	uint64_t addr;
	uint32_t data;

	if (!card_pci_bus_master(card->pci) ||
	    !card_pci_msi_message(card->pci, &addr, &data, &vectors))
		CARD_COUNT(card, msi_unsent);
	else if (card_pci_msi_admit(card->pci, number & (vectors - 1)))
		msi_call(card, number & (vectors - 1));
}

void card_msi_ticket(struct card *card, unsigned int number, const struct card_ticket *ticket)
{
	if (bus_enter(card->gate)) {
		CARD_COUNT(card, msi_unsent);
		return;
	}
	if (!card_ticket_void(ticket))
		msi_put(card, number);
	bus_leave(card->gate);
}

void card_msi(struct card *card, unsigned int number)
{
	card_msi_ticket(card, number, NULL);
}

/* Is this a message the host's MSI capability allows, and which vector is it? */
static bool imwr_is_msi(struct card *card, uint64_t addr, uint32_t data, unsigned int *ret_vector)
{
	unsigned int vectors;
	uint64_t msi_addr;
	uint32_t msi_data;

	if (!card_pci_msi_message(card->pci, &msi_addr, &msi_data, &vectors))
		return false;
	if (addr != msi_addr || ((data ^ msi_data) & ~(uint32_t)(vectors - 1)))
		return false;
	*ret_vector = data & (vectors - 1);
	return true;
}

/* Into the interrupt window, but not ours. The gate is ours. */
static int imwr_foreign(struct card *card, uint64_t addr, uint32_t data)
{
	const struct card_bus *bus = &card->gate->bus;
	enum card_way way = CARD_WAY_NONE;
	int ret = -EPERM;

	if (!card->config.raw_imwr || !bus->raw_write32) {
		CARD_COUNT(card, imwr_refused);
	} else if (card_fault_take(card, CARD_FAULT_LOSE_INTERRUPT)) {
		/* Posted: the card does not learn that it got lost. */
		CARD_COUNT(card, interrupts_lost);
		return 0;
	} else {
		way = CARD_WAY_BUS;
		ret = bus->raw_write32(bus->ctx, addr, data);
		if (!ret)
			CARD_COUNT(card, imwr_raw);
	}
	bus_trace(card, CARD_EVENT_IMWR, way, addr, sizeof(data), ret);
	return ret;
}

/* The gate is ours. */
static int imwr_put(struct card *card, uint64_t addr, uint32_t data)
{
	uint8_t bytes[4] = {data, data >> 8, data >> 16, data >> 24};
	unsigned int vector;
	int ret;

	if (!card_pci_bus_master(card->pci)) {
		CARD_COUNT(card, msi_unsent);
		return -ENODEV;
	}
	if (imwr_is_msi(card, addr, data, &vector)) {
		if (card_pci_msi_admit(card->pci, vector))
			msi_call(card, vector);
		return 0;
	}
	ret = bus_check(addr, sizeof(bytes));
	if (ret == -EPERM)
		return imwr_foreign(card, addr, data);
	return ret ? ret : bus_move(card, true, addr, bytes, sizeof(bytes));
}

int card_imwr_ticket(struct card *card, uint64_t addr, uint32_t data,
		     const struct card_ticket *ticket)
{
	int ret = bus_enter(card->gate);

	if (ret) {
		CARD_COUNT(card, msi_unsent);
		return ret;
	}
	ret = card_ticket_void(ticket) ? -ECANCELED : imwr_put(card, addr, data);
	bus_leave(card->gate);
	return ret;
}

int card_imwr(struct card *card, uint64_t addr, uint32_t data)
{
	return card_imwr_ticket(card, addr, data, NULL);
}
