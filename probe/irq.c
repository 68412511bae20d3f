/* SPDX-License-Identifier: MIT */
/*
 * Interrupts: those of the MSI capability, and those that the DMA engine writes itself.
 *
 * No message is sent but the one that this kernel has put into the MSI capability. What IMWr held
 * is judged by what it says: it could hit any vector of a host that does not remap interrupts. In
 * a guest this kernel's message is foreign to the host, as when a driver there writes it to IMWr:
 * that it does not arrive is what the hop is there to show.
 */
#include <endian.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <tethys/hw/fwproto.h>
#include <tethys/hw/irq.h>
#include <tethys/hw/pci.h>

#include "probe/internal.h"

/* No firmware knows it: it is refused, and the refusal is told by interrupt. */
#define COMMAND_NONE 0x7ffeu
#define OTHER_VECTORS 8u /* of devices that are not known */

#define REMAPPABLE 0x10ull /* bit of the address: handle format */

/* --- switching on --- */

/* Return: the kind the device has; -ENOENT none. */
static int kind_of(const struct probe *p, enum probe_irq_kind *ret_kind, unsigned int *ret_cap)
{
	if (p->cap_msi && (p->is_metis || !p->cap_msix)) {
		*ret_kind = PROBE_IRQ_MSI;
		*ret_cap = p->cap_msi;
	} else if (p->cap_msix) {
		*ret_kind = PROBE_IRQ_MSIX;
		*ret_cap = p->cap_msix;
	} else if (p->pin) {
		*ret_kind = PROBE_IRQ_INTX;
		*ret_cap = 0;
	} else {
		return -ENOENT;
	}
	return 0;
}

/* The host's side alone: the eventfd, and what signals it. */
static int try_loop(struct probe *p, struct reason *why)
{
	unsigned int last = p->bus->vectors - 1;
	int err;

	if (!p->bus->ops->irq_loop)
		return 0;
	probe_bus_drain(p->bus);
	err = p->bus->ops->irq_loop(p->bus, last, why);
	if (!err)
		err = probe_bus_wait(p->bus, last, p->options.timeout_ms, p->options.cancel);
	if (err == -ETIMEDOUT)
		reason_add(why, err, "vector %u does not arrive even when the kernel raises it",
			   last);
	return err;
}

static unsigned int vector_of(const struct probe *p, unsigned int number)
{
	return number & (p->bus->vectors - 1);
}

/* @number has been asked for. */
static int await(struct probe *p, unsigned int number, const char *what, struct reason *why)
{
	int err = probe_bus_wait(p->bus, vector_of(p, number), p->options.timeout_ms,
				 p->options.cancel);

	if (err == -ETIMEDOUT)
		reason_add(why, err,
			   "%s ended, but its interrupt (%u, vector %u) did not come in "
			   "%u ms",
			   what, number, vector_of(p, number), p->options.timeout_ms);
	return err;
}

/* --- ways to have one raised --- */

/* A direction that works. */
static bool good_dir(const struct probe *p, enum probe_dir *ret_dir)
{
	if (p->stuck)
		return false;
	*ret_dir = probe_good(p, PROBE_DMA_IN) ? PROBE_IN : PROBE_OUT;
	return probe_good(p, PROBE_DMA_IN) || probe_good(p, PROBE_DMA_OUT);
}

static int by_transfer(struct probe *p, enum probe_dir dir, struct reason *why)
{
	const struct probe_xfer xfer = {
		.dir = dir,
		.host = p->high ? p->high : p->low,
		.interrupt = true,
	};
	unsigned int n = 0;
	int err = probe_channel(p, dir, &n, why);

	probe_bus_drain(p->bus);
	if (!err)
		err = probe_transfer(p, &xfer, why);
	if (err)
		return err;
	return await(p, dir == PROBE_IN ? METIS_IRQ_DMA_READ(n) : METIS_IRQ_DMA_WRITE(n),
		     dir == PROBE_IN ? "a transfer to the card" : "a transfer from the card", why);
}

static int word(struct probe *p, bool write, size_t field, uint32_t *value, struct reason *why)
{
	uint64_t at = p->metis.context + field;

	return write ? p->bus->ops->bar_write(p->bus, METIS_BAR_L2, at, value, 4, why)
		     : p->bus->ops->bar_read(p->bus, METIS_BAR_L2, at, value, 4, why);
}

/* A command that nothing comes of but an interrupt. */
static int by_command(struct probe *p, struct reason *why)
{
	const size_t cmd = offsetof(struct metis_context, cmd);
	const size_t arg = offsetof(struct metis_context, arg);
	uint32_t state = 0, seq = 0, args[2] = {0}, none = 0, op = METIS_FW_CMD_OP(COMMAND_NONE);
	unsigned int i;
	int err = word(p, false, offsetof(struct metis_context, sts), &state, why);

	if (!err && (int32_t)le32toh(state) > 0)
		err = reason_add(why, -EBUSY, "the firmware is busy with a command");
	if (!err)
		err = word(p, false, cmd + 4, &seq, why);
	for (i = 0; !err && i < 2; i++)
		err = word(p, false, arg + 4 * i, &args[i], why);
	for (i = 0; !err && i < 2; i++)
		err = word(p, true, arg + 4 * i, &none, why);
	probe_bus_drain(p->bus);
	seq = htole32(le32toh(seq) + 1);
	op = htole32(op);
	if (!err)
		err = word(p, true, cmd + 4, &seq, why);
	if (!err)
		err = word(p, true, cmd, &op, why);
	if (err)
		return err;
	err = await(p, METIS_IRQ_CONTEXT(0), "a firmware command", why);
	for (i = 0; i < 2; i++)
		word(p, true, arg + 4 * i, &args[i], NULL);
	return err;
}

/* Return: 0 it came; PROBE_SKIP nobody can be asked; as the hops. */
static int raised_by_card(struct probe *p, struct reason *why)
{
	enum probe_dir dir;

	if (p->metis.owns_imwr && good_dir(p, &dir)) {
		probe_note(p, "the firmware's own came");
		return by_transfer(p, dir, why);
	}
	if (p->metis.seen && p->metis.commands) {
		probe_note(p, "the firmware's own came");
		return by_command(p, why);
	}
	return PROBE_SKIP;
}

/* --- MSI --- */

int probe_hop_msi(struct probe *p, struct reason *why)
{
	static const char *const names[] = {"INTx", "MSI", "MSI-X"};
	enum probe_irq_kind kind;
	unsigned int cap;
	int err;

	if (kind_of(p, &kind, &cap)) {
		probe_note(p, "the device has no interrupts");
		return PROBE_SKIP;
	}
	err = p->bus->ops->irq_on(p->bus, kind, cap,
				  p->is_metis ? METIS_MSI_VECTORS : OTHER_VECTORS, why);
	if (err == -EBUSY && kind == PROBE_IRQ_INTX)
		probe_suggest(p, "intx-shared-busy");
	else if (err)
		probe_suggest(p, "msi-vectors-short");
	if (!err)
		probe_note(p, "%u %s vector%s%s", p->bus->vectors, names[kind],
			   p->bus->vectors == 1 ? "" : "s",
			   p->bus->ops->irq_loop ? ", the host's side delivers" : "");
	if (!err)
		err = try_loop(p, why);
	if (!err)
		err = raised_by_card(p, why);
	if (err != PROBE_SKIP)
		return err;
	probe_note(p, "the device itself was not asked for one");
	return 0;
}

/* --- IMWr --- */

struct message {
	uint64_t addr;
	uint32_t data; /* the lowest vector's */
};

/* What an IOMMU with interrupt remapping makes of it. */
static void describe(struct probe *p, uint64_t addr, uint32_t data, struct reason *why)
{
	probe_suggest(p, "raw-msi-in-bar");
	if (addr < METIS_MSI_WINDOW_BASE || addr > METIS_MSI_WINDOW_LAST) {
		probe_suggest(p, "dma-unmapped-write");
		reason_add(why, 0, "outside of the interrupt window: a plain DMA write");
	} else if (addr & REMAPPABLE) {
		probe_suggest(p, "irte-not-present");
		reason_add(why, 0,
			   "in remappable format: an IOMMU would look at index 0x%x, which this "
			   "host has not given to the card",
			   (uint32_t)(addr >> 5 & 0x7fff) + (addr & 8 ? data & 0xffff : 0));
	} else {
		probe_suggest(p, "compat-msi-blocked");
		reason_add(
			why, 0,
			"in compatibility format (vector 0x%02x): an IOMMU blocks it, reason 0x25",
			data & 0xff);
	}
}

static bool is_ours(const struct probe *p, const struct message *ours, uint64_t addr, uint32_t data)
{
	return addr == ours->addr && !((data ^ ours->data) & ~(uint32_t)(p->bus->vectors - 1));
}

/* The first of the messages as found that is not the host's. */
static int judge_found(struct probe *p, const struct message *ours, struct reason *why)
{
	unsigned int dir, i;

	for (dir = 0; dir < 2; dir++) {
		const struct probe_imwr *imwr = &p->metis.imwr[dir];

		for (i = 0; imwr->done && i < 4; i++) {
			uint32_t data = imwr->data[i / 2] >> (i % 2 ? 16 : 0) & 0xffff;

			if (is_ours(p, ours, imwr->done, data))
				continue;
			reason_add(why, 0,
				   "when the probe came, IMWr of %s channel %u held 0x%llx and "
				   "data 0x%04x, which is no message of this host's",
				   dir == PROBE_IN ? "read" : "write", i,
				   (unsigned long long)imwr->done, data);
			describe(p, imwr->done, data, why);
			return -EPROTO;
		}
	}
	return 0;
}

static uint32_t pair(const struct probe *p, const struct message *ours, unsigned int number)
{
	uint32_t base = ours->data & ~(uint32_t)(p->bus->vectors - 1);

	return (base | vector_of(p, number)) | (base | vector_of(p, number + 1)) << 16;
}

static int program(struct probe *p, const struct message *ours, struct reason *why)
{
	uint32_t lo = (uint32_t)ours->addr, hi = (uint32_t)(ours->addr >> 32);
	const struct {
		uint32_t offset, value;
	} stores[] = {
		{METIS_EDMA_WR_DONE_IMWR_LO, lo},
		{METIS_EDMA_WR_DONE_IMWR_HI, hi},
		{METIS_EDMA_WR_ABORT_IMWR_LO, lo},
		{METIS_EDMA_WR_ABORT_IMWR_HI, hi},
		{METIS_EDMA_RD_DONE_IMWR_LO, lo},
		{METIS_EDMA_RD_DONE_IMWR_HI, hi},
		{METIS_EDMA_RD_ABORT_IMWR_LO, lo},
		{METIS_EDMA_RD_ABORT_IMWR_HI, hi},
		{METIS_EDMA_WR_CH01_IMWR_DATA, pair(p, ours, METIS_IRQ_DMA_WRITE(0))},
		{METIS_EDMA_WR_CH23_IMWR_DATA, pair(p, ours, METIS_IRQ_DMA_WRITE(2))},
		{METIS_EDMA_RD_CH01_IMWR_DATA, pair(p, ours, METIS_IRQ_DMA_READ(0))},
		{METIS_EDMA_RD_CH23_IMWR_DATA, pair(p, ours, METIS_IRQ_DMA_READ(2))},
	};
	unsigned int i;
	int err = 0;

	/* Not noted: they are left empty. */
	for (i = 0; !err && i < sizeof(stores) / sizeof(stores[0]); i++)
		err = probe_reg_write(p, stores[i].offset, stores[i].value, why);
	return err;
}

/* Return: 0; PROBE_SKIP with a note; as the hops. */
static int host_message(struct probe *p, struct message *ret_message, struct reason *why)
{
	struct reason own = {""};
	int err = p->bus->ops->msi_message(p->bus, p->cap_msi, &ret_message->addr,
					   &ret_message->data, &own);

	if (err == -EACCES) {
		probe_note(p, "%s", own.text);
		return PROBE_SKIP;
	}
	if (err == -ENODATA)
		return reason_add(why, -EIO,
				  "MSI is off in the card's capability, although the host switched "
				  "it on");
	if (err)
		return reason_add(why, err, "%s", own.text);
	return 0;
}

static int imwr_skip(struct probe *p)
{
	enum probe_dir dir;

	if (!p->is_metis)
		probe_note(p, "only for devices that write their interrupts themselves");
	else if (p->metis.owns_imwr)
		probe_note(p,
			   "the firmware owns these registers, and sends such interrupts itself");
	else if (!p->bus->vectors)
		probe_note(p, "the host gives no interrupt to compare with");
	else if (!good_dir(p, &dir))
		probe_note(p, "needs a transfer that ends");
	else
		return 0;
	return PROBE_SKIP;
}

int probe_hop_imwr(struct probe *p, struct reason *why)
{
	struct message ours;
	int err = imwr_skip(p);

	if (!err)
		err = host_message(p, &ours, why);
	if (!err)
		err = program(p, &ours, why);
	if (!err && probe_good(p, PROBE_DMA_IN))
		err = by_transfer(p, PROBE_IN, why);
	if (!err && probe_good(p, PROBE_DMA_OUT))
		err = by_transfer(p, PROBE_OUT, why);
	if (err == -ETIMEDOUT)
		reason_add(why, err, "IMWr held the message of this kernel: 0x%llx, data 0x%04x",
			   (unsigned long long)ours.addr, ours.data);
	if (err)
		return err;
	err = judge_found(p, &ours, why);
	if (err)
		return reason_add(why, err,
				  "the message of this kernel arrives; IMWr is empty now");
	probe_note(p, "the message of this kernel, 0x%llx and data 0x%04x, arrives",
		   (unsigned long long)ours.addr, ours.data);
	return 0;
}
