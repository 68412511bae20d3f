// SPDX-License-Identifier: MIT
/*
 * A hostile host: the input is a program of accesses to the card's regions, commands, resets and
 * departures. The card must answer every one, and be as new for the next host.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <tethys/hw/edma.h>
#include <tethys/hw/fwarea.h>
#include <tethys/hw/fwproto.h>
#include <tethys/hw/pci.h>

#include "card/card.h"

#define REGION_CONFIG 7
#define HOST_BASE 0x10000ull
#define HOST_BYTES ((size_t)1 << 20)
/* More would only repeat itself; each may start a transfer. */
#define STEPS_MAX 256

static struct card *card;
static uint8_t *host;

static int bus_move(bool to_host, uint64_t iova, void *mem, size_t len)
{
	if (iova < HOST_BASE || iova - HOST_BASE >= HOST_BYTES ||
	    len > HOST_BYTES - (iova - HOST_BASE))
		return -EFAULT;
	iova -= HOST_BASE;
	memcpy(to_host ? host + iova : mem, to_host ? mem : host + iova, len);
	return 0;
}

static int bus_read(void *ctx, uint64_t iova, void *dst, size_t len)
{
	(void)ctx;
	return bus_move(false, iova, dst, len);
}

static int bus_write(void *ctx, uint64_t iova, const void *src, size_t len)
{
	(void)ctx;
	return bus_move(true, iova, (void *)(uintptr_t)src, len);
}

static void bus_msi(void *ctx, unsigned int vector)
{
	(void)ctx;
	/* A promise of the card to every transport. */
	if (vector >= METIS_MSI_VECTORS)
		abort();
}

static void power_off(void)
{
	card_destroy(card);
	free(host);
}

static void attach(void)
{
	const struct card_bus bus = {.dma_read = bus_read, .dma_write = bus_write, .msi = bus_msi};

	if (card_attach(card, &bus))
		abort();
}

static void power_on(void)
{
	const struct card_config config = {.personality = "1.6.0",
					   .engine = "null",
					   .keep_imwr = -1,
					   .mirror_dma = true,
					   .latch_target = true};

	host = calloc(1, HOST_BYTES);
	if (!host || card_create(&config, &card, NULL))
		abort();
	atexit(power_off);
	attach();
}

static void store(unsigned int region, uint64_t offset, uint64_t value, size_t len)
{
	card_region_write(card, region, offset, &value, len);
}

/* What every driver does first; without it most inputs would end at a closed door. */
static void enable(void)
{
	store(REGION_CONFIG, METIS_CAP_MSI + METIS_MSI_ADDR_LO, 0xfee01000, 4);
	store(REGION_CONFIG, METIS_CAP_MSI + METIS_MSI_CONTROL, 0x51, 2);
	store(REGION_CONFIG, 4, 0x6, 2);
	store(METIS_BAR_EDMA, METIS_EDMA_WR_ENGINE_EN, 1, 4);
	store(METIS_BAR_EDMA, METIS_EDMA_RD_ENGINE_EN, 1, 4);
	store(METIS_BAR_EDMA, METIS_EDMA_WR_DONE_IMWR_LO, 0xfee01000, 4);
	store(METIS_BAR_EDMA, METIS_EDMA_RD_DONE_IMWR_LO, 0xfee01000, 4);
}

struct program {
	const uint8_t *at;
	size_t left;
};

static uint64_t take(struct program *program, size_t bytes)
{
	uint64_t value = 0;

	while (bytes-- && program->left) {
		value = value << 8 | *program->at++;
		program->left--;
	}
	return value;
}

/* Offsets where something happens, so that a short input reaches it. */
static uint64_t l2_offset(struct program *program)
{
	uint64_t raw = take(program, 2);

	switch (raw >> 14) {
	case 0:
		return raw & 0x3fff; /* firmware's areas */
	case 1:
		return METIS_FW_MAILBOX_OFFSET(0) + (raw & 0x3fff);
	default:
		return METIS_EDMA_LISTS_BASE - METIS_L2_BASE + (raw & 0x7fff);
	}
}

/* An element whose fields are likely to be good. */
static void put_element(struct program *program)
{
	uint64_t at = METIS_EDMA_LISTS_BASE - METIS_L2_BASE +
		      take(program, 1) % (8 * METIS_EDMA_LIST_ELEMENTS) * 24;
	uint64_t iova = HOST_BASE + take(program, 2) * 16,
		 local = METIS_DDR_BASE + take(program, 2);
	uint32_t control = take(program, 1), size = take(program, 2);
	struct metis_edma_element element = {control, size, iova, local};

	if (control & METIS_EDMA_LLP)
		element.sar = METIS_EDMA_LISTS_BASE + take(program, 1) * 24;
	else if (take(program, 1) & 1)
		element = (struct metis_edma_element){control, size, local, iova};
	card_region_write(card, METIS_BAR_L2, at, &element, sizeof(element));
}

static void start_list(struct program *program)
{
	uint64_t channel = take(program, 1), at = take(program, 1) * 24;
	bool write = channel & 4;
	uint32_t base = write ? METIS_EDMA_WR_CH(channel & 3) : METIS_EDMA_RD_CH(channel & 3);

	store(METIS_BAR_EDMA, base + METIS_EDMA_CH_CONTROL1, 0x300, 4);
	store(METIS_BAR_EDMA, base + METIS_EDMA_CH_LLP_LO, METIS_EDMA_LISTS_BASE + at, 4);
	store(METIS_BAR_EDMA, base + METIS_EDMA_CH_LLP_HI, 0, 4);
	store(METIS_BAR_EDMA, write ? METIS_EDMA_WR_DOORBELL : METIS_EDMA_RD_DOORBELL, channel & 3,
	      4);
}

static void access_region(struct program *program, uint8_t op)
{
	static const unsigned int regions[] = {METIS_BAR_EDMA, METIS_BAR_L2, REGION_CONFIG, 1};
	unsigned int region = regions[op >> 4 & 3];
	size_t len = (size_t)1 << (op >> 2 & 3);
	uint64_t offset, value;

	offset = region == METIS_BAR_L2 ? l2_offset(program) : take(program, 2) & 0x1fff;
	/* Mostly words, which is what BAR0 takes. */
	if (region == METIS_BAR_EDMA && op & 0x40)
		offset &= 0xffc;
	if (region == METIS_BAR_EDMA && op & 0x40)
		len = 4;
	if (op & 0x80) {
		card_region_read(card, region, offset, &value, len);
		return;
	}
	value = take(program, len);
	store(region, offset, value, len);
}

/* A request with fields of any kind in a mailbox, and the store that starts it. */
static void start_command(struct program *program)
{
	struct metis_fw_request request = {
		.magic = METIS_FW_REQUEST_MAGIC,
		.version = METIS_FW_EXT_MAJOR,
		.op = take(program, 1) & 7,
		.module = take(program, 1),
		.module_addr = METIS_DDR_BASE + take(program, 2),
		.module_bytes = take(program, 4),
		.tensors_addr = METIS_DDR_BASE + take(program, 2),
		.cores = take(program, 1) & 7,
	};
	uint32_t context = take(program, 1) & 3, mailbox = METIS_FW_MAILBOX_OFFSET(context);
	uint64_t at;

	card_region_write(card, METIS_BAR_L2, mailbox, &request, sizeof(request));
	at = METIS_FW_AREAS_OFFSET + context * sizeof(struct metis_context);
	store(METIS_BAR_L2, at + offsetof(struct metis_context, arg), METIS_L2_BASE + mailbox, 8);
	store(METIS_BAR_L2, at + offsetof(struct metis_context, cmd), METIS_FW_CMD(request.op, 0),
	      8);
}

static void change(struct program *program, uint8_t op)
{
	switch (op >> 2 & 3) {
	case 0:
		card_reset(card, CARD_RESET_FLR);
		break;
	case 1:
		card_reset(card, CARD_RESET_BUS);
		break;
	case 2:
		if (card_detach(card))
			abort();
		attach();
		break;
	default:
		start_command(program);
		return;
	}
	enable();
}

static void step(struct program *program)
{
	uint8_t op = take(program, 1);

	switch (op & 3) {
	case 0:
		put_element(program);
		break;
	case 1:
		start_list(program);
		break;
	case 2:
		change(program, op);
		break;
	default:
		access_region(program, op);
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct program program = {data, size};
	uint32_t value = 0;
	int steps;

	if (!card)
		power_on();
	enable();
	for (steps = 0; steps < STEPS_MAX && program.left; steps++)
		step(&program);
	if (card_detach(card))
		abort();
	attach();
	card_region_read(card, METIS_BAR_EDMA, METIS_EDMA_WR_ENGINE_EN, &value, 4);
	if (value)
		abort();
	card_region_read(card, REGION_CONFIG, 0, &value, 4);
	if (value != (METIS_PCI_DEVICE_OMEGA << 16 | METIS_PCI_VENDOR))
		abort();
	return 0;
}
