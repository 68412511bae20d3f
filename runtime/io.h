/* SPDX-License-Identifier: MIT */
/*
 * How the tensors of a run travel. An instance has one or more slots; each is a piece of card
 * memory with all inputs and outputs in it, and a piece of DMA buffer of the same layout. Small
 * tensors lie side by side, so that one transfer moves them all; large ones go straight from and
 * to the application's memory where the device can do that.
 */
#ifndef TETHYS_RUNTIME_IO_H
#define TETHYS_RUNTIME_IO_H

#include <stdatomic.h>

#include "runtime/ddr.h"
#include "runtime/device/device.h"
#include "runtime/module_build.h"
#include "runtime/shared_memory.h"

#include <axruntime/axruntime.h>

#define IO_SLOTS_MAX 3u
#define IO_DIRECT_BYTES (64u << 10) /* from here on a copy costs more than a transfer */

struct io_tensor {
	unsigned int index; /* in the application's array */
	uint64_t offset;    /* in the slot */
	uint64_t bytes;
	bool large;
};

/* Inputs or outputs, by rising offset, large ones first. */
struct io_side {
	unsigned int count;
	struct io_tensor tensors[METIS_FW_TENSORS_MAX];
	uint64_t end; /* offset of the first byte behind */
};

struct io_counts {
	uint64_t bytes;
	uint64_t transfers;
};

struct io {
	struct axdev *dev;
	struct ddr *ddr;
	struct shared_memory *memory; /* the application's, from us */
	struct io_side inputs;
	struct io_side outputs;
	unsigned int slots;
	uint64_t slot_bytes;
	uint64_t card_addr; /* of slot 0; 0: none */
	struct axdev_buf staging;
	atomic_bool staged; /* the device can't reach the application's memory */
	/* For the RUN command; little-endian. */
	struct metis_fw_tensor table[IO_SLOTS_MAX][METIS_FW_TENSORS_MAX];
};

/**
 * io_init() - card memory and buffers for @slots runs at a time
 *
 * Return: 0; -ENOSPC card memory; -ENOMEM; what buf_alloc gave.
 */
int io_init(struct io *io, struct axdev *dev, struct ddr *ddr, struct shared_memory *memory,
	    const struct module *module, unsigned int slots, struct reason *why);
/* @forget: leave the card memory reserved, the firmware may still use it. A zeroed one is fine. */
void io_deinit(struct io *io, bool forget);

/* Inputs from the application into the card. */
int io_write(struct io *io, unsigned int slot, const axrArgument *inputs, struct io_counts *counts,
	     struct reason *why);
/* Outputs from the card to the application. */
int io_read(struct io *io, unsigned int slot, const axrArgument *outputs, struct io_counts *counts,
	    struct reason *why);
/* The same in two steps: from the card into the slot's buffer, and from there. */
int io_fetch(struct io *io, unsigned int slot, struct io_counts *counts, struct reason *why);
void io_copy_out(const struct io *io, unsigned int slot, const axrArgument *outputs);

#endif
