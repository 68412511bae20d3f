/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <time.h>

#include <linux/pci_regs.h>

#include <tethys/hw/edma.h>
#include <tethys/hw/irq.h>
#include <tethys/hw/pci.h>

#include "bench/vendor_way.h"
#include "card/card.h"

#define CONFIG 7
#define CHANNEL 0
#define HOST_ADDRESS 0x100000000ull
#define CARD_ADDRESS (METIS_DDR_BASE + 0x10000000ull)
#define MSI_ADDRESS 0xfee01000u
#define WAIT_S 5

struct host {
	struct card *card;
	pthread_mutex_t lock; /* protects done */
	pthread_cond_t told;
	bool done;
};

/* --- what the card does to its host --- */

static int give_zeros(void *ctx, uint64_t iova, void *dst, size_t len)
{
	(void)ctx;
	(void)iova;
	memset(dst, 0, len);
	return 0;
}

static int refuse(void *ctx, uint64_t iova, const void *src, size_t len)
{
	(void)ctx;
	(void)iova;
	(void)src;
	(void)len;
	return -EFAULT;
}

static void interrupt(void *ctx, unsigned int vector)
{
	struct host *host = ctx;

	if (vector != METIS_IRQ_DMA_READ(CHANNEL))
		return;
	pthread_mutex_lock(&host->lock);
	host->done = true;
	pthread_cond_signal(&host->told);
	pthread_mutex_unlock(&host->lock);
}

static int wait_for_interrupt(struct host *host)
{
	struct timespec until;
	int err = 0;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += WAIT_S;
	pthread_mutex_lock(&host->lock);
	while (!host->done && !err)
		err = pthread_cond_timedwait(&host->told, &host->lock, &until);
	host->done = false;
	pthread_mutex_unlock(&host->lock);
	return -err;
}

/* --- what the host does to its card --- */

static void store(struct host *host, unsigned int region, uint64_t offset, uint64_t value,
		  size_t len)
{
	card_region_write(host->card, region, offset, &value, len);
}

static uint32_t load(struct host *host, unsigned int region, uint64_t offset)
{
	uint32_t value = 0;

	card_region_read(host->card, region, offset, &value, sizeof(value));
	return value;
}

static void set_register(struct host *host, uint32_t offset, uint32_t value)
{
	store(host, METIS_BAR_EDMA, offset, value, sizeof(value));
}

static uint32_t state(struct host *host)
{
	uint32_t at = METIS_EDMA_RD_CH(CHANNEL) + METIS_EDMA_CH_CONTROL1;

	return METIS_GET(METIS_EDMA_CS, load(host, METIS_BAR_EDMA, at));
}

static void ring(struct host *host)
{
	set_register(host, METIS_EDMA_RD_DOORBELL, CHANNEL);
}

static void list_word(struct host *host, uint64_t offset, uint64_t value, size_t len)
{
	uint64_t list = METIS_EDMA_RD_LIST(METIS_EDMA_LISTS_BASE, CHANNEL) - METIS_L2_BASE;

	store(host, METIS_BAR_L2, list + offset, value, len);
}

/* --- one batch --- */

/* What is left of the transfer. */
struct rest {
	uint64_t segments, bytes,
		piece; /* @piece: bytes of each segment, the last one's may be fewer */
	uint64_t moved;
};

static void point_to_list(struct host *host)
{
	uint32_t channel = METIS_EDMA_RD_CH(CHANNEL);
	uint64_t list = METIS_EDMA_RD_LIST(METIS_EDMA_LISTS_BASE, CHANNEL);

	set_register(host, METIS_EDMA_RD_LL_ERR_EN, 1u << CHANNEL);
	set_register(host, channel + METIS_EDMA_CH_CONTROL1, METIS_EDMA_LLE | METIS_EDMA_CCS);
	set_register(host, channel + METIS_EDMA_CH_LLP_LO, (uint32_t)list);
	set_register(host, channel + METIS_EDMA_CH_LLP_HI, list >> 32);
}

static void write_list(struct host *host, struct rest *rest, uint64_t count)
{
	uint64_t at = 0, size;

	for (; count; count--, at += sizeof(struct metis_edma_element)) {
		size = rest->bytes < rest->piece ? rest->bytes : rest->piece;
		list_word(host, at, METIS_EDMA_CB | (count == 1 ? METIS_EDMA_RIE : 0), 4);
		list_word(host, at + 4, size, 4);
		list_word(host, at + 8, HOST_ADDRESS + rest->moved, 8);
		list_word(host, at + 16, CARD_ADDRESS + rest->moved, 8);
		rest->moved += size;
		rest->bytes -= size;
		rest->segments--;
	}
	list_word(host, at, METIS_EDMA_TCB, 4);
	list_word(host, at + sizeof(struct metis_edma_element), 0, 4);
	/* It reads the terminator back, so that the list is there before the engine starts. */
	load(host, METIS_BAR_L2,
	     METIS_EDMA_RD_LIST(METIS_EDMA_LISTS_BASE, CHANNEL) - METIS_L2_BASE + at);
}

static int start_and_wait(struct host *host, enum vendor_version version)
{
	unsigned int looks;
	uint32_t cs;
	int err;

	if (version == VENDOR_1_6_2)
		ring(host);
	for (looks = 0; looks < 100000; looks++) {
		cs = state(host);
		if (cs != METIS_EDMA_CS_IDLE)
			break;
		ring(host);
	}
	err = wait_for_interrupt(host);
	if (err)
		return err;
	return state(host) == METIS_EDMA_CS_STOPPED ? 0 : -EIO;
}

static int all_batches(struct host *host, enum vendor_version version, struct rest rest)
{
	uint64_t count;
	int err = 0;

	while (!err && rest.segments) {
		count = rest.segments < METIS_EDMA_LIST_DATA_MAX ? rest.segments
								 : METIS_EDMA_LIST_DATA_MAX;
		point_to_list(host);
		write_list(host, &rest, count);
		err = start_and_wait(host, version);
	}
	return err;
}

/* --- the card --- */

/* Firmware 1.8.0 sends the interrupts of channels by the MSI capability: all 32 vectors. */
static void probe(struct host *host)
{
	store(host, CONFIG, PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER, 2);
	store(host, CONFIG, METIS_CAP_MSI + METIS_MSI_ADDR_LO, MSI_ADDRESS, 4);
	store(host, CONFIG, METIS_CAP_MSI + METIS_MSI_CONTROL,
	      PCI_MSI_FLAGS_ENABLE | METIS_PREP(PCI_MSI_FLAGS_QSIZE, 5), 2);
	set_register(host, METIS_EDMA_RD_ENGINE_EN, 1);
}

static uint64_t accesses_of(const struct card_stats *stats)
{
	return stats->bar0_reads + stats->bar0_writes + stats->l2_reads + stats->l2_writes;
}

static int count(struct host *host, enum vendor_version version, const struct rest *rest,
		 uint64_t *ret_accesses, struct reason *why)
{
	struct card_stats before, after;
	int err;

	card_stats(host->card, &before);
	err = all_batches(host, version, *rest);
	card_stats(host->card, &after);
	if (err || after.dma_read_bytes - before.dma_read_bytes != rest->bytes)
		return reason_add(why, err ? err : -EIO, "the card doesn't move it that way");
	*ret_accesses = accesses_of(&after) - accesses_of(&before);
	return 0;
}

int vendor_way(enum vendor_version version, uint64_t segments, uint64_t bytes,
	       uint64_t *ret_accesses, struct reason *why)
{
	struct card_config config = {.personality = "1.8.0", .engine = "null", .keep_imwr = -1};
	struct host host = {.lock = PTHREAD_MUTEX_INITIALIZER, .told = PTHREAD_COND_INITIALIZER};
	struct card_bus bus = {
		.ctx = &host,
		.dma_read = give_zeros,
		.dma_write = refuse,
		.msi = interrupt,
	};
	struct rest rest = {
		.segments = segments, .bytes = bytes, .piece = (bytes + segments - 1) / segments};
	int err = card_create(&config, &host.card, why);

	if (err)
		return err;
	err = card_attach(host.card, &bus);
	if (!err) {
		probe(&host);
		err = count(&host, version, &rest, ret_accesses, why);
	}
	card_destroy(host.card);
	return err;
}
