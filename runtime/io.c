/* SPDX-License-Identifier: MIT */
#include <endian.h>
#include <errno.h>
#include <string.h>

#include "runtime/io.h"

#define ANY_CHANNEL (-1)

static uint64_t align_up(uint64_t n)
{
	return (n + DDR_ALIGN - 1) & ~(uint64_t)(DDR_ALIGN - 1);
}

/* --- layout --- */

static void side_add(struct io_side *side, const struct metis_module_tensor *table,
		     unsigned int count, bool large)
{
	unsigned int i;
	uint64_t bytes;

	for (i = 0; i < count; i++) {
		bytes = le64toh(table[i].bytes);
		if ((bytes >= IO_DIRECT_BYTES) != large)
			continue;
		side->tensors[side->count++] = (struct io_tensor){i, side->end, bytes, large};
		side->end += align_up(bytes);
	}
}

/* Can't overflow: 64 tensors of at most the card's memory each. */
static void side_init(struct io_side *side, const struct metis_module_tensor *table,
		      unsigned int count, uint64_t start)
{
	side->count = 0;
	side->end = start;
	side_add(side, table, count, true);
	side_add(side, table, count, false);
}

static void table_fill(const struct io_side *side, uint64_t slot_addr,
		       struct metis_fw_tensor *table)
{
	const struct io_tensor *tensor;
	unsigned int i;

	for (i = 0; i < side->count; i++) {
		tensor = &side->tensors[i];
		table[tensor->index] = (struct metis_fw_tensor){
			.addr = htole64(slot_addr + tensor->offset),
			.bytes = htole64(tensor->bytes),
		};
	}
}

int io_init(struct io *io, struct axdev *dev, struct ddr *ddr, struct shared_memory *memory,
	    const struct module *module, unsigned int slots, struct reason *why)
{
	unsigned int slot;
	uint64_t addr;
	int r;

	memset(io, 0, sizeof(*io));
	io->dev = dev;
	io->ddr = ddr;
	io->memory = memory;
	io->slots = slots;
	atomic_store(&io->staged, !dev->ops->xfer_user);
	side_init(&io->inputs, module->tensors, module->inputs, 0);
	side_init(&io->outputs, module->tensors + module->inputs, module->outputs, io->inputs.end);
	io->slot_bytes = io->outputs.end;
	r = ddr_alloc(ddr, slots * io->slot_bytes, &io->card_addr, why);
	if (r)
		return r;
	r = dev->ops->buf_alloc(dev, (size_t)(slots * io->slot_bytes), &io->staging, why);
	if (r) {
		ddr_free(ddr, io->card_addr);
		io->card_addr = 0;
		return reason_add(why, r, "Failed to allocate DMA buffers");
	}
	for (slot = 0; slot < slots; slot++) {
		addr = io->card_addr + slot * io->slot_bytes;
		table_fill(&io->inputs, addr, io->table[slot]);
		table_fill(&io->outputs, addr, io->table[slot] + module->inputs);
	}
	return 0;
}

void io_deinit(struct io *io, bool forget)
{
	if (!io->card_addr)
		return;
	io->dev->ops->buf_free(io->dev, &io->staging);
	if (!forget)
		ddr_free(io->ddr, io->card_addr);
	io->card_addr = 0;
}

/* --- moving --- */

static char *staging_at(const struct io *io, unsigned int slot, uint64_t offset)
{
	return (char *)io->staging.ptr + slot * io->slot_bytes + offset;
}

static void count(struct io_counts *counts, uint64_t bytes)
{
	counts->bytes += bytes;
	counts->transfers++;
}

/* The device copies to or from the application's memory. Return: 0; -ENOTSUP; negative errno. */
static int move_direct(struct io *io, enum axdev_dir dir, unsigned int slot,
		       const struct io_tensor *tensor, void *ptr, struct io_counts *counts,
		       struct reason *why)
{
	uint64_t card_addr = io->card_addr + slot * io->slot_bytes + tensor->offset;
	struct reason inner = {0};
	struct axdev_buf buf;
	size_t offset;
	int r;

	if (!tensor->large)
		return -ENOTSUP;
	if (shared_memory_find(io->memory, ptr, tensor->bytes, &buf, &offset)) {
		r = io->dev->ops->xfer(io->dev, dir, ANY_CHANNEL, card_addr, &buf, offset,
				       tensor->bytes, why);
		if (!r)
			count(counts, tensor->bytes);
		return r;
	}
	if (atomic_load_explicit(&io->staged, memory_order_relaxed))
		return -ENOTSUP;
	r = io->dev->ops->xfer_user(io->dev, dir, ANY_CHANNEL, card_addr, ptr, tensor->bytes,
				    &inner);
	if (!r)
		count(counts, tensor->bytes);
	else if (r == -ENOTSUP)
		atomic_store(&io->staged, true);
	else
		reason_add(why, r, "%s", inner.text[0] ? inner.text : strerror(-r));
	return r;
}

/* One transfer of [@start, @end) of a slot between its buffer and the card. */
static int move_staged(struct io *io, enum axdev_dir dir, unsigned int slot, uint64_t start,
		       uint64_t end, struct io_counts *counts, struct reason *why)
{
	uint64_t base = slot * io->slot_bytes + start;
	int r;

	if (start == end)
		return 0;
	r = io->dev->ops->xfer(io->dev, dir, ANY_CHANNEL, io->card_addr + base, &io->staging,
			       (size_t)base, (size_t)(end - start), why);
	if (!r)
		count(counts, end - start);
	return r;
}

/*
 * Move the large tensors that go without a copy. The rest begins with the first one that does not:
 * "no" is the device's answer for all that follow.
 *
 * Return: how many went; negative errno.
 */
static int move_large(struct io *io, enum axdev_dir dir, unsigned int slot,
		      const struct io_side *side, const axrArgument *arguments,
		      struct io_counts *counts, struct reason *why)
{
	const struct io_tensor *tensor;
	unsigned int i;
	int r;

	for (i = 0; i < side->count; i++) {
		tensor = &side->tensors[i];
		r = move_direct(io, dir, slot, tensor, arguments[tensor->index].ptr, counts, why);
		if (r == -ENOTSUP)
			break;
		if (r)
			return r;
	}
	return (int)i;
}

static uint64_t start_of(const struct io_side *side, unsigned int i)
{
	return i < side->count ? side->tensors[i].offset : side->end;
}

int io_write(struct io *io, unsigned int slot, const axrArgument *inputs, struct io_counts *counts,
	     struct reason *why)
{
	const struct io_side *side = &io->inputs;
	const struct io_tensor *tensor;
	int gone = move_large(io, AXDEV_TO_CARD, slot, side, inputs, counts, why);
	unsigned int i;

	if (gone < 0)
		return gone;
	for (i = (unsigned int)gone; i < side->count; i++) {
		tensor = &side->tensors[i];
		memcpy(staging_at(io, slot, tensor->offset), inputs[tensor->index].ptr,
		       tensor->bytes);
	}
	return move_staged(io, AXDEV_TO_CARD, slot, start_of(side, (unsigned int)gone), side->end,
			   counts, why);
}

static void copy_out(const struct io *io, unsigned int slot, unsigned int from,
		     const axrArgument *outputs)
{
	const struct io_tensor *tensor;
	unsigned int i;

	for (i = from; i < io->outputs.count; i++) {
		tensor = &io->outputs.tensors[i];
		memcpy(outputs[tensor->index].ptr, staging_at(io, slot, tensor->offset),
		       tensor->bytes);
	}
}

int io_read(struct io *io, unsigned int slot, const axrArgument *outputs, struct io_counts *counts,
	    struct reason *why)
{
	const struct io_side *side = &io->outputs;
	int gone = move_large(io, AXDEV_FROM_CARD, slot, side, outputs, counts, why);
	int r;

	if (gone < 0)
		return gone;
	r = move_staged(io, AXDEV_FROM_CARD, slot, start_of(side, (unsigned int)gone), side->end,
			counts, why);
	if (!r)
		copy_out(io, slot, (unsigned int)gone, outputs);
	return r;
}

int io_fetch(struct io *io, unsigned int slot, struct io_counts *counts, struct reason *why)
{
	return move_staged(io, AXDEV_FROM_CARD, slot, start_of(&io->outputs, 0), io->outputs.end,
			   counts, why);
}

void io_copy_out(const struct io *io, unsigned int slot, const axrArgument *outputs)
{
	copy_out(io, slot, 0, outputs);
}
