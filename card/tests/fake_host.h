/* SPDX-License-Identifier: MIT */
/*
 * A host for card tests: some memory on a bus, a driver's few steps, and switches for faults.
 */
#ifndef TETHYS_CARD_TESTS_FAKE_HOST_H
#define TETHYS_CARD_TESTS_FAKE_HOST_H

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <linux/pci_regs.h>

#include <tethys/hw/edma.h>
#include <tethys/hw/fwarea.h>
#include <tethys/hw/irq.h>
#include <tethys/hw/pci.h>

#include "card/bus.h"
#include "card/card.h"
#include "tests/tap.h"

#define HOST_BASE 0x100000000ull /* first IOVA of its memory */
#define HOST_BYTES ((size_t)4 << 20)
#define HOST_CONFIG 7
#define HOST_MSI_ADDR 0xfee01000ull
#define HOST_RAW_MAX 16

struct host {
	struct card *card;
	uint8_t *mem;
	/* The memory shows up again and again in this many bytes from HOST_BASE on. */
	uint64_t window;
	_Atomic uint32_t msi[METIS_MSI_VECTORS];
	_Atomic uint32_t msi_total;
	_Atomic uint32_t calls;	   /* of the DMA functions */
	_Atomic uint32_t inside;   /* calls of any function running now */
	_Atomic bool hold;	   /* DMA calls wait while set */
	_Atomic int fail;	   /* DMA calls return this, if not 0 */
	_Atomic uint32_t delay_us; /* each DMA call takes this longer */
	_Atomic uint32_t raw_total;
	uint64_t raw_addr;
	uint32_t raw_data;
	/* Called by msi() before it is counted; may be NULL. */
	void (*on_msi)(struct host *host, unsigned int vector);
	/* Called by the DMA functions before they do anything; may be NULL. */
	void (*on_dma)(struct host *host, uint64_t iova);
	uint64_t seen; /* for these two */
};

static inline uint64_t host_now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000ull + now.tv_nsec / 1000000;
}

static inline void host_sleep_us(uint32_t us)
{
	struct timespec time = {us / 1000000, us % 1000000 * 1000};

	nanosleep(&time, NULL);
}

static inline int host_move(struct host *host, bool to_host, uint64_t iova, void *card, size_t len)
{
	int ret = atomic_load(&host->fail);
	size_t n;

	atomic_fetch_add(&host->inside, 1);
	atomic_fetch_add(&host->calls, 1);
	if (host->on_dma)
		host->on_dma(host, iova);
	while (atomic_load(&host->hold))
		host_sleep_us(200);
	if (atomic_load(&host->delay_us))
		host_sleep_us(atomic_load(&host->delay_us));
	if (!ret && (iova < HOST_BASE || iova - HOST_BASE >= host->window ||
		     len > host->window - (iova - HOST_BASE)))
		ret = -EFAULT;
	for (; !ret && len; len -= n, iova += n, card = (char *)card + n) {
		size_t at = (iova - HOST_BASE) % HOST_BYTES;

		n = len < HOST_BYTES - at ? len : HOST_BYTES - at;
		memcpy(to_host ? host->mem + at : card, to_host ? card : host->mem + at, n);
	}
	atomic_fetch_sub(&host->inside, 1);
	return ret;
}

static inline int host_dma_read(void *ctx, uint64_t iova, void *dst, size_t len)
{
	return host_move(ctx, false, iova, dst, len);
}

static inline int host_dma_write(void *ctx, uint64_t iova, const void *src, size_t len)
{
	return host_move(ctx, true, iova, (void *)(uintptr_t)src, len);
}

static inline void host_msi(void *ctx, unsigned int vector)
{
	struct host *host = ctx;

	atomic_fetch_add(&host->inside, 1);
	if (host->on_msi)
		host->on_msi(host, vector);
	atomic_fetch_add(&host->msi[vector % METIS_MSI_VECTORS], 1);
	atomic_fetch_add(&host->msi_total, 1);
	atomic_fetch_sub(&host->inside, 1);
}

static inline int host_raw_write32(void *ctx, uint64_t addr, uint32_t data)
{
	struct host *host = ctx;

	host->raw_addr = addr;
	host->raw_data = data;
	atomic_fetch_add(&host->raw_total, 1);
	return 0;
}

/* An access out of nowhere, of card memory at @card_addr. Return: what the bus said; -EINVAL. */
static inline int host_inject_dma(struct host *host, bool write, uint64_t iova, uint64_t card_addr,
				  size_t len)
{
	void *mem = card_memory_at(host->card, card_addr, len);

	return mem ? card_bus_copy(host->card, write, iova, mem, len, NULL, NULL) : -EINVAL;
}

static inline struct card_bus host_bus(struct host *host)
{
	return (struct card_bus){
		.ctx = host,
		.dma_read = host_dma_read,
		.dma_write = host_dma_write,
		.msi = host_msi,
		.raw_write32 = host_raw_write32,
	};
}

/* --- configuration space --- */

static inline uint32_t host_cfg(struct host *host, uint32_t offset, unsigned int len)
{
	uint32_t value = 0;

	EXPECT_EQ(card_region_read(host->card, HOST_CONFIG, offset, &value, len), 0);
	return value;
}

static inline void host_cfg_set(struct host *host, uint32_t offset, uint32_t value,
				unsigned int len)
{
	EXPECT_EQ(card_region_write(host->card, HOST_CONFIG, offset, &value, len), 0);
}

/* As a kernel does: message first, then the enable bit. @code: log2 of the vectors. */
static inline void host_enable_msi(struct host *host, unsigned int code, uint16_t data)
{
	host_cfg_set(host, METIS_CAP_MSI + METIS_MSI_ADDR_LO, (uint32_t)HOST_MSI_ADDR, 4);
	host_cfg_set(host, METIS_CAP_MSI + METIS_MSI_ADDR_HI, HOST_MSI_ADDR >> 32, 4);
	host_cfg_set(host, METIS_CAP_MSI + METIS_MSI_DATA, data, 2);
	host_cfg_set(host, METIS_CAP_MSI + METIS_MSI_CONTROL,
		     PCI_MSI_FLAGS_ENABLE | METIS_PREP(PCI_MSI_FLAGS_QSIZE, code), 2);
}

static inline void host_bus_master(struct host *host, bool on)
{
	host_cfg_set(host, PCI_COMMAND, PCI_COMMAND_MEMORY | (on ? PCI_COMMAND_MASTER : 0), 2);
}

/* --- BAR0 and BAR2 --- */

static inline uint32_t host_reg(struct host *host, uint32_t offset)
{
	uint32_t value = 0;

	EXPECT_EQ(card_region_read(host->card, METIS_BAR_EDMA, offset, &value, 4), 0);
	return value;
}

static inline void host_reg_set(struct host *host, uint32_t offset, uint32_t value)
{
	EXPECT_EQ(card_region_write(host->card, METIS_BAR_EDMA, offset, &value, 4), 0);
}

static inline uint8_t *host_l2(struct host *host)
{
	int fd;
	size_t trapped;

	return card_l2(host->card, &fd, &trapped);
}

/* What a driver does at probe: IMWr registers to the literals for 32 vectors, both engines on. */
static inline void host_setup_edma(struct host *host)
{
	static const uint32_t low[] = {METIS_EDMA_WR_DONE_IMWR_LO, METIS_EDMA_WR_ABORT_IMWR_LO,
				       METIS_EDMA_RD_DONE_IMWR_LO, METIS_EDMA_RD_ABORT_IMWR_LO};
	size_t i;

	for (i = 0; i < sizeof(low) / sizeof(low[0]); i++) {
		host_reg_set(host, low[i], (uint32_t)HOST_MSI_ADDR);
		host_reg_set(host, low[i] + 4, HOST_MSI_ADDR >> 32);
	}
	host_reg_set(host, METIS_EDMA_RD_CH01_IMWR_DATA, 0x00050004);
	host_reg_set(host, METIS_EDMA_RD_CH23_IMWR_DATA, 0x00070006);
	host_reg_set(host, METIS_EDMA_WR_CH01_IMWR_DATA, 0x00090008);
	host_reg_set(host, METIS_EDMA_WR_CH23_IMWR_DATA, 0x000b000a);
	host_reg_set(host, METIS_EDMA_WR_ENGINE_EN, 1);
	host_reg_set(host, METIS_EDMA_RD_ENGINE_EN, 1);
}

/* --- life --- */

/* A card with @config (engine "null" unless it says), a bus, MSI with 32 vectors, engines on. */
static inline bool host_up(struct host *host, const struct card_config *config)
{
	struct card_config defaults = {.personality = "1.6.0", .engine = "null", .keep_imwr = -1};
	struct card_bus bus = host_bus(host);
	struct reason why = {0};
	size_t i;

	memset(host, 0, sizeof(*host));
	host->window = HOST_BYTES;
	host->mem = malloc(HOST_BYTES);
	for (i = 0; host->mem && i < HOST_BYTES; i++)
		host->mem[i] = i * 2654435761u >> 13;
	if (!host->mem || card_create(config ? config : &defaults, &host->card, &why)) {
		TAP_FAIL("no card: %s", why.text);
		return false;
	}
	EXPECT_EQ(card_attach(host->card, &bus), 0);
	host_bus_master(host, true);
	host_enable_msi(host, 5, 0);
	host_setup_edma(host);
	return !tap_this_failed;
}

static inline void host_down(struct host *host)
{
	card_destroy(host->card);
	free(host->mem);
}

static inline bool host_wait(bool (*done)(struct host *host, uint64_t arg), struct host *host,
			     uint64_t arg)
{
	uint64_t until = host_now_ms() + 5000;

	while (!done(host, arg)) {
		if (host_now_ms() > until)
			return false;
		host_sleep_us(50);
	}
	return true;
}

static inline bool host_msi_is(struct host *host, uint64_t total)
{
	return atomic_load(&host->msi_total) >= total;
}

static inline bool host_is_idle(struct host *host, uint64_t arg)
{
	(void)arg;
	return card_idle(host->card);
}

static inline bool host_calls_are(struct host *host, uint64_t calls)
{
	return atomic_load(&host->calls) >= calls;
}

static inline struct card_stats host_stats(struct host *host)
{
	struct card_stats stats;

	card_stats(host->card, &stats);
	return stats;
}

/* --- lists: as the driver's, at the fixed place in L2 --- */

static inline uint32_t host_channel(bool write, unsigned int index)
{
	return write ? METIS_EDMA_WR_CH(index) : METIS_EDMA_RD_CH(index);
}

static inline uint64_t host_list(bool write, unsigned int index)
{
	return write ? METIS_EDMA_WR_LIST(METIS_EDMA_LISTS_BASE, index)
		     : METIS_EDMA_RD_LIST(METIS_EDMA_LISTS_BASE, index);
}

static inline void host_element(struct host *host, uint64_t at, uint32_t control, uint32_t size,
				uint64_t sar, uint64_t dar)
{
	struct metis_edma_element element = {control, size, sar, dar};

	memcpy(host_l2(host) + (at - METIS_L2_BASE), &element, sizeof(element));
}

static inline void host_set64(struct host *host, uint32_t low, uint64_t value)
{
	host_reg_set(host, low, value);
	host_reg_set(host, low + 4, value >> 32);
}

static inline void host_ring(struct host *host, bool write, unsigned int index)
{
	host_reg_set(host, write ? METIS_EDMA_WR_DOORBELL : METIS_EDMA_RD_DOORBELL, index);
}

static inline void host_start_list(struct host *host, bool write, unsigned int index, uint64_t list)
{
	uint32_t channel = host_channel(write, index);

	host_reg_set(host, channel + METIS_EDMA_CH_CONTROL1, METIS_EDMA_LLE | METIS_EDMA_CCS);
	host_set64(host, channel + METIS_EDMA_CH_LLP_LO, list);
	host_ring(host, write, index);
}

static inline void host_start_single(struct host *host, bool write, unsigned int index,
				     uint32_t control, uint32_t size, uint64_t iova, uint64_t card)
{
	uint32_t channel = host_channel(write, index);

	host_reg_set(host, channel + METIS_EDMA_CH_SIZE, size);
	host_reg_set(host, channel + METIS_EDMA_CH_CONTROL1, control);
	host_set64(host, channel + METIS_EDMA_CH_SAR_LO, write ? card : iova);
	host_set64(host, channel + METIS_EDMA_CH_DAR_LO, write ? iova : card);
	host_ring(host, write, index);
}

static inline uint32_t host_cs(struct host *host, bool write, unsigned int index)
{
	return METIS_GET(METIS_EDMA_CS,
			 host_reg(host, host_channel(write, index) + METIS_EDMA_CH_CONTROL1));
}

/* Wait until @write/@index no longer runs. Return: CS. */
static inline uint32_t host_finish(struct host *host, bool write, unsigned int index)
{
	uint64_t until = host_now_ms() + 5000;
	uint32_t cs;

	while ((cs = host_cs(host, write, index)) == METIS_EDMA_CS_RUNNING && host_now_ms() < until)
		host_sleep_us(50);
	return cs;
}

#endif
