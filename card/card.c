// SPDX-License-Identifier: MIT
/*
 * The card as a whole: its life, its regions, its resets.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <tethys/hw/edma.h>
#include <tethys/hw/fwproto.h>
#include <tethys/hw/memory.h>
#include <tethys/hw/pci.h>

#include "card/bus.h"
#include "card/internal.h"

/* VFIO's index of configuration space. */
#define REGION_CONFIG 7

/*
 * How long a reset waits for copies in flight. A direct copy of one chunk ends within it. A copy
 * by messages may need the very thread that is resetting, so waiting longer is pointless: its
 * chunk may still land, nothing after it will.
 */
#define RESET_DRAIN_MS 5
/* And a detach, which has to: eight channels' chunks on a busy machine take 10 (measured). */
#define DETACH_DRAIN_MS 1000

static int card_build(struct card *card, struct reason *why)
{
	int ret;

	card->personality = card_personality_find(card->config.personality);
	if (!card->personality)
		return reason_add(why, -EINVAL, "No firmware personality \"%s\"",
				  card->config.personality);
	card->config.mirror_dma |= card->personality->vmsi_for_dma;
	card->config.latch_target |= card->personality->latch_target;
	ret = card_bus_create(&card->gate);
	if (!ret)
		ret = card_memory_create(card, &card->memory);
	if (!ret)
		ret = card_pci_create(card, &card->pci);
	if (!ret)
		ret = card_edma_create(card, &card->edma);
	if (ret)
		return reason_add(why, ret, "No memory for a card of 16 GiB: %s", strerror(-ret));
	return card_firmware_create(card, &card->firmware, why);
}

int card_create(const struct card_config *config, struct card **ret_card, struct reason *why)
{
	struct card *card = calloc(1, sizeof(*card));
	int ret;

	if (!card)
		return reason_add(why, -ENOMEM, "No memory for a card");
	if (config)
		card->config = *config;
	else
		card->config.keep_imwr = -1;
	card_fault_init(&card->faults);
	ret = card_build(card, why);
	if (ret) {
		card_destroy(card);
		return ret;
	}
	/* The names were the caller's; the parts have looked them up. */
	card->config.personality = card->personality->name;
	card->config.engine = NULL;
	*ret_card = card;
	return 0;
}

void card_destroy(struct card *card)
{
	if (!card)
		return;
	while (card->gate && card_detach(card))
		; /* there is no way to take memory from under a thread that uses it */
	/* Channel workers call into the firmware, and both use the rest. */
	card_edma_destroy(card->edma);
	card_firmware_destroy(card->firmware);
	card_pci_destroy(card->pci);
	card_memory_destroy(card->memory);
	card_bus_destroy(card->gate);
	card_fault_deinit(&card->faults);
	free(card);
}

static bool reset_keeps(const struct card *card, enum card_reset kind)
{
	if (kind == CARD_RESET_COLD)
		return false;
	if (card->config.keep_imwr >= 0)
		return card->config.keep_imwr;
	return kind == CARD_RESET_FLR ? card->personality->keep_over_flr
				      : card->personality->keep_over_bus_reset;
}

/*
 * The gate is shut. Workers are told to stop first; the second time clears what a doorbell from
 * another thread may have done in the meantime.
 *
 * Return: 0; -ETIMEDOUT somebody is still in the bus.
 */
static int reset_shut(struct card *card, enum card_reset kind, int drain_ms)
{
	const struct card_event event = {.kind = CARD_EVENT_RESET, .reset = kind};
	bool keep = reset_keeps(card, kind), cold = kind == CARD_RESET_COLD;
	int ret;

	card_edma_reset(card->edma, keep, cold);
	ret = card_bus_drain(card->gate, drain_ms);
	card_pci_reset(card->pci);
	card_edma_reset(card->edma, keep, cold);
	card_firmware_reset(card->firmware, keep, cold);
	CARD_COUNT(card, resets);
	if (card->config.trace)
		card->config.trace(card->config.trace_ctx, &event);
	return ret;
}

/* What a client sees who has L2 mapped and whose card is gone. */
static void l2_blank(struct card *card)
{
	memset(card_l2(card, NULL, NULL), 0xff, METIS_L2_BYTES);
}

/* Each owner gets an L2 of its own. Nobody has the card. */
static int change_hands(struct card *card)
{
	int ret;

	/* Else a card that returns at this moment could be blanked after its reset. */
	pthread_mutex_lock(&card->faults.lock);
	ret = card_memory_renew_l2(card->memory);
	atomic_store(&card->l2_stale, ret != 0);
	if (!ret)
		card_firmware_reset(card->firmware, false, true);
	if (card_vanished(card))
		l2_blank(card);
	pthread_mutex_unlock(&card->faults.lock);
	return ret;
}

void card_reset(struct card *card, enum card_reset kind)
{
	/* What is gone hears nothing, and comes back as new anyway. */
	if (card_vanished(card))
		return;
	card_bus_shut(card->gate);
	reset_shut(card, kind, RESET_DRAIN_MS);
	card_bus_open(card->gate);
}

/* The gate stays shut while the card is gone: that stops all DMA and interrupts. */
void card_vanish(struct card *card)
{
	pthread_mutex_lock(&card->faults.lock);
	if (!atomic_exchange(&card->faults.vanished, true)) {
		card_bus_shut(card->gate);
		reset_shut(card, CARD_RESET_COLD, RESET_DRAIN_MS);
		l2_blank(card);
		CARD_COUNT(card, vanished);
	}
	pthread_mutex_unlock(&card->faults.lock);
}

void card_return(struct card *card)
{
	pthread_mutex_lock(&card->faults.lock);
	if (card_vanished(card)) {
		reset_shut(card, CARD_RESET_COLD, RESET_DRAIN_MS);
		atomic_store(&card->faults.vanished, false);
		card_bus_open(card->gate);
	}
	pthread_mutex_unlock(&card->faults.lock);
}

int card_attach(struct card *card, const struct card_bus *bus)
{
	int ret = atomic_load(&card->l2_stale) ? change_hands(card) : 0;

	return ret ? ret : card_bus_plug(card->gate, bus);
}

int card_detach(struct card *card)
{
	int ret;

	if (!card_bus_unplug_begin(card->gate))
		return 0;
	ret = reset_shut(card, CARD_RESET_COLD, DETACH_DRAIN_MS);
	if (!ret)
		change_hands(card); /* failing, card_attach() tries again */
	card_bus_unplug_end(card->gate, !ret);
	return ret;
}

uint64_t card_region_size(unsigned int region)
{
	switch (region) {
	case METIS_BAR_EDMA:
		return METIS_BAR_EDMA_BYTES;
	case METIS_BAR_L2:
		return METIS_BAR_L2_BYTES;
	case REGION_CONFIG:
		return METIS_PCI_CFG_BYTES;
	default:
		return 0;
	}
}

static int region_check(unsigned int region, uint64_t offset, size_t len)
{
	uint64_t size = card_region_size(region);

	return len && offset < size && len <= size - offset ? 0 : -EINVAL;
}

static void edma_read(struct card *card, uint64_t offset, void *buf, size_t len)
{
	uint32_t value;

	memset(buf, 0, len);
	if (len != sizeof(value) || offset % sizeof(value))
		return;
	value = card_edma_read(card, offset);
	memcpy(buf, &value, sizeof(value));
}

static void edma_write(struct card *card, uint64_t offset, const void *buf, size_t len)
{
	uint32_t value;

	if (len != sizeof(value) || offset % sizeof(value))
		return;
	memcpy(&value, buf, sizeof(value));
	card_edma_write(card, offset, value);
}

/*
 * L2 is shared with channels, firmware and perhaps another process: an aligned word is read and
 * written in one piece, as on the real bus.
 */
static void l2_read(const uint8_t *l2, void *buf, size_t len)
{
	uintptr_t at = (uintptr_t)l2;

	if (len == 8 && !(at % 8)) {
		uint64_t value = __atomic_load_n((const uint64_t *)l2, __ATOMIC_ACQUIRE);

		memcpy(buf, &value, sizeof(value));
	} else if (len == 4 && !(at % 4)) {
		uint32_t value = __atomic_load_n((const uint32_t *)l2, __ATOMIC_ACQUIRE);

		memcpy(buf, &value, sizeof(value));
	} else {
		memcpy(buf, l2, len);
	}
}

static void l2_store(uint8_t *l2, const void *buf, size_t len)
{
	uintptr_t at = (uintptr_t)l2;

	if (len == 8 && !(at % 8)) {
		uint64_t value;

		memcpy(&value, buf, sizeof(value));
		__atomic_store_n((uint64_t *)l2, value, __ATOMIC_RELEASE);
	} else if (len == 4 && !(at % 4)) {
		uint32_t value;

		memcpy(&value, buf, sizeof(value));
		__atomic_store_n((uint32_t *)l2, value, __ATOMIC_RELEASE);
	} else {
		memcpy(l2, buf, len);
	}
}

static void l2_write(struct card *card, uint64_t offset, const void *buf, size_t len)
{
	uint8_t *l2 = card_l2(card, NULL, NULL);

	l2_store(l2 + offset, buf, len);
	if (offset < METIS_FW_TRAPPED_BYTES) {
		size_t trapped = METIS_FW_TRAPPED_BYTES - offset;

		card_firmware_l2_written(card, offset, len < trapped ? len : trapped);
	}
}

static void count_access(struct card *card, unsigned int region, bool write)
{
	if (region == METIS_BAR_EDMA && write)
		CARD_COUNT(card, bar0_writes);
	else if (region == METIS_BAR_EDMA)
		CARD_COUNT(card, bar0_reads);
	else if (region == METIS_BAR_L2 && write)
		CARD_COUNT(card, l2_writes);
	else if (region == METIS_BAR_L2)
		CARD_COUNT(card, l2_reads);
}

int card_region_read(struct card *card, unsigned int region, uint64_t offset, void *buf, size_t len)
{
	if (region_check(region, offset, len))
		return -EINVAL;
	count_access(card, region, false);
	if (card_vanished(card))
		memset(buf, 0xff, len);
	else if (region == METIS_BAR_EDMA)
		edma_read(card, offset, buf, len);
	else if (region == METIS_BAR_L2)
		l2_read((uint8_t *)card_l2(card, NULL, NULL) + offset, buf, len);
	else
		card_pci_read(card, offset, buf, len);
	return 0;
}

int card_region_write(struct card *card, unsigned int region, uint64_t offset, const void *buf,
		      size_t len)
{
	if (region_check(region, offset, len))
		return -EINVAL;
	count_access(card, region, true);
	if (card_vanished(card))
		return 0;
	if (region == METIS_BAR_EDMA)
		edma_write(card, offset, buf, len);
	else if (region == METIS_BAR_L2)
		l2_write(card, offset, buf, len);
	else
		card_pci_write(card, offset, buf, len);
	return 0;
}

void *card_l2(struct card *card, int *ret_fd, size_t *ret_trapped)
{
	void *l2;
	int fd;

	l2 = card_memory_l2(card->memory, &fd);
	if (ret_fd)
		*ret_fd = fd;
	if (ret_trapped)
		*ret_trapped = METIS_FW_TRAPPED_BYTES;
	return l2;
}

void card_stats(const struct card *card, struct card_stats *ret_stats)
{
	uint64_t values[sizeof(card->stats) / sizeof(card->stats[0])] = {0};
	size_t i;

	_Static_assert(sizeof(values) == sizeof(*ret_stats), "every counter is one word");
	for (i = 0; i < sizeof(values) / sizeof(values[0]); i++)
		values[i] = atomic_load_explicit(&card->stats[i], memory_order_relaxed);
	memcpy(ret_stats, values, sizeof(values));
}

bool card_idle(const struct card *card)
{
	return card_edma_idle(card->edma) && card_firmware_idle(card->firmware);
}

int card_inject_imwr(struct card *card, uint64_t addr, uint32_t data)
{
	return card_imwr(card, addr, data);
}
