/* SPDX-License-Identifier: MIT */
/*
 * A card in this process.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

#include <tethys/hw/pci.h>

#include "card/card.h"
#include "probe/bus.h"

#define REGION_CONFIG 7

struct sim_bus {
	struct probe_bus bus; /* first */
	struct card *card;
	bool attached;
	unsigned int msi_cap; /* 0: interrupts are off */
};

static struct sim_bus *sim_of(struct probe_bus *bus)
{
	return (struct sim_bus *)bus;
}

/* --- the card's side --- */

static int sim_dma_read(void *ctx, uint64_t iova, void *dst, size_t len)
{
	return probe_bus_copy(ctx, false, iova, dst, len);
}

static int sim_dma_write(void *ctx, uint64_t iova, const void *src, size_t len)
{
	return probe_bus_copy(ctx, true, iova, (void *)(uintptr_t)src, len);
}

static void sim_msi(void *ctx, unsigned int vector)
{
	const struct probe_bus *bus = ctx;

	if (vector < PROBE_VECTORS_MAX && bus->events[vector] >= 0)
		eventfd_write(bus->events[vector], 1);
}

/* --- ours --- */

static int card_error(int err, const char *what, struct reason *why)
{
	return err ? reason_add(why, err, "the card refuses a %s: %s", what, strerror(-err)) : 0;
}

static int sim_config_read(struct probe_bus *bus, uint32_t offset, void *buf, size_t len,
			   struct reason *why)
{
	return card_error(card_region_read(sim_of(bus)->card, REGION_CONFIG, offset, buf, len),
			  "configuration read", why);
}

static int sim_config_write(struct probe_bus *bus, uint32_t offset, const void *buf, size_t len,
			    struct reason *why)
{
	return card_error(card_region_write(sim_of(bus)->card, REGION_CONFIG, offset, buf, len),
			  "configuration write", why);
}

static int sim_bar_read(struct probe_bus *bus, unsigned int bar, uint64_t offset, void *buf,
			size_t len, struct reason *why)
{
	return card_error(card_region_read(sim_of(bus)->card, bar, offset, buf, len), "BAR read",
			  why);
}

static int sim_bar_write(struct probe_bus *bus, unsigned int bar, uint64_t offset, const void *buf,
			 size_t len, struct reason *why)
{
	return card_error(card_region_write(sim_of(bus)->card, bar, offset, buf, len), "BAR write",
			  why);
}

static int sim_map(struct probe_bus *bus, struct probe_mem *mem, struct reason *why)
{
	(void)bus, (void)mem, (void)why;
	return 0;
}

static void sim_irq_off(struct probe_bus *bus)
{
	probe_bus_msi_off(bus, sim_of(bus)->msi_cap);
	sim_of(bus)->msi_cap = 0;
}

/* The events outlive irq_off: the card may be about to signal one. */
static int sim_irq_on(struct probe_bus *bus, enum probe_irq_kind kind, unsigned int cap,
		      unsigned int want, struct reason *why)
{
	int err = 0;

	(void)want;
	if (kind != PROBE_IRQ_MSI)
		return reason_add(why, -EOPNOTSUPP, "the card has MSI only");
	if (!bus->vectors)
		err = probe_bus_events(bus, METIS_MSI_VECTORS, why);
	if (err)
		return err;
	sim_of(bus)->msi_cap = cap;
	return probe_bus_msi_program(bus, cap, METIS_MSI_VECTORS, why);
}

static int sim_reset(struct probe_bus *bus, struct reason *why)
{
	(void)why;
	card_reset(sim_of(bus)->card, CARD_RESET_BUS);
	return 0;
}

static void sim_close(struct probe_bus *bus)
{
	struct sim_bus *sim = sim_of(bus);

	if (sim->attached)
		card_detach(sim->card);
	card_destroy(sim->card);
	probe_bus_deinit(bus);
	free(sim);
}

static const struct probe_bus_ops sim_ops = {
	.close = sim_close,
	.config_read = sim_config_read,
	.config_write = sim_config_write,
	.bar_read = sim_bar_read,
	.bar_write = sim_bar_write,
	.map = sim_map,
	.irq_on = sim_irq_on,
	.irq_off = sim_irq_off,
	.msi_message = probe_bus_msi_message,
	.reset = sim_reset,
};

int probe_bus_open_sim(const char *personality, struct probe_bus **ret_bus, struct reason *why)
{
	const struct card_config config = {
		.personality = personality, .engine = "null", .keep_imwr = -1};
	struct sim_bus *sim = calloc(1, sizeof(*sim));
	const struct card_bus bus = {
		.ctx = sim,
		.dma_read = sim_dma_read,
		.dma_write = sim_dma_write,
		.msi = sim_msi,
	};
	int err;

	if (!sim)
		return reason_add(why, -ENOMEM, "out of memory");
	probe_bus_init(&sim->bus, &sim_ops);
	probe_bus_all_addresses(&sim->bus);
	sim->bus.bar_bytes[METIS_BAR_EDMA] = METIS_BAR_EDMA_BYTES;
	sim->bus.bar_bytes[METIS_BAR_L2] = METIS_BAR_L2_BYTES;
	err = card_create(&config, &sim->card, why);
	if (!err) {
		err = card_attach(sim->card, &bus);
		sim->attached = !err;
	}
	if (err) {
		sim_close(&sim->bus);
		return err;
	}
	*ret_bus = &sim->bus;
	return 0;
}
