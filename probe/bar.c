/* SPDX-License-Identifier: MIT */
/*
 * Registers and memory behind the BARs.
 */
#include <endian.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <tethys/hw/fwproto.h>
#include <tethys/hw/pci.h>

#include "probe/internal.h"

static int l2_read(struct probe *p, uint64_t offset, void *buf, size_t len, struct reason *why)
{
	return p->bus->ops->bar_read(p->bus, METIS_BAR_L2, offset, buf, len, why);
}

static int l2_write(struct probe *p, uint64_t offset, const void *buf, size_t len,
		    struct reason *why)
{
	return p->bus->ops->bar_write(p->bus, METIS_BAR_L2, offset, buf, len, why);
}

/* --- a device that is not known --- */

static int read_first_words(struct probe *p, struct reason *why)
{
	bool any = false;
	unsigned int bar;
	uint32_t value;
	int err = 0;

	for (bar = 0; !err && bar < PROBE_BARS_NR; bar++) {
		if (p->bus->bar_bytes[bar] < 4)
			continue;
		err = p->bus->ops->bar_read(p->bus, bar, 0, &value, 4, why);
		if (err)
			break;
		any = any || value != UINT32_MAX;
		probe_note(p, "BAR%u: 0x%08x", bar, value);
	}
	/* One that has ones there by design is rare; all of them are not. */
	if (!err && !any)
		err = reason_add(why, -ENODEV, "the first words of all BARs read as all ones");
	return err;
}

static int other_device(struct probe *p, struct reason *why)
{
	char sizes[PROBE_BARS_NR * 24] = "";
	unsigned int bar, used = 0;

	for (bar = 0; bar < PROBE_BARS_NR; bar++)
		if (p->bus->bar_bytes[bar])
			used += (unsigned int)snprintf(sizes + used, sizeof(sizes) - used,
						       "%sBAR%u %llu KiB", used ? ", " : "", bar,
						       (unsigned long long)p->bus->bar_bytes[bar] >>
							       10);
	if (!used) {
		probe_note(p, "the device has no BAR");
		return PROBE_SKIP;
	}
	if (p->options.read_bars)
		return read_first_words(p, why);
	probe_note(p, "%s are there; reading a register may have effects: --read-bars", sizes);
	return PROBE_SKIP;
}

/* --- Metis --- */

static bool inside(uint64_t offset, uint64_t bytes)
{
	return offset <= METIS_BAR_L2_BYTES && bytes <= METIS_BAR_L2_BYTES - offset;
}

/* Where firmware wants the lists, or the top of L2, which every driver knows. */
static int find_lists(struct probe *p, const struct metis_sysctl *sysctl, struct reason *why)
{
	struct metis_dma_list_area area = {.base = htole64(METIS_EDMA_LISTS_BASE)};
	uint64_t ref = le64toh(sysctl->dma_list.offset);
	int err = 0;

	p->metis.l2_base = le64toh(sysctl->memory_map[0]);
	if (!p->metis.l2_base)
		p->metis.l2_base = METIS_L2_BASE;
	if (le16toh(sysctl->dma_list.magic) == METIS_MAGIC_DMA_LIST && inside(ref, sizeof(area)))
		err = l2_read(p, ref, &area, sizeof(area), why);
	p->metis.lists = le64toh(area.base);
	p->metis.lists_offset = p->metis.lists - p->metis.l2_base;
	if (!err && (p->metis.lists % 8 || !inside(p->metis.lists_offset, METIS_EDMA_LISTS_BYTES)))
		err = reason_add(why, -EPROTO, "firmware puts the DMA lists at 0x%llx, not in BAR2",
				 (unsigned long long)p->metis.lists);
	return err;
}

/*
 * Firmware may still have the virtual-MSI page of whoever drove the card before, and would write
 * there with the first interrupt we ask for.
 */
static int forget_host_driver(struct probe *p, const struct metis_sysctl *sysctl,
			      struct reason *why)
{
	uint64_t ref = le64toh(sysctl->host_driver.offset);
	struct metis_host_driver area;
	uint32_t none = 0;
	int err;

	if (le16toh(sysctl->host_driver.magic) != METIS_MAGIC_HOST_DRIVER ||
	    !inside(ref, sizeof(area)))
		return 0;
	err = l2_read(p, ref, &area, sizeof(area), why);
	if (err || le32toh(area.ctrl) != 1)
		return err;
	probe_note(p, "a former driver's page 0x%llx was still set for its flags: taken back",
		   (unsigned long long)le64toh(area.target));
	return l2_write(p, ref + offsetof(struct metis_host_driver, ctrl), &none, 4, why);
}

static int read_firmware(struct probe *p, struct reason *why)
{
	struct metis_sysctl sysctl;
	uint32_t first[2];
	int err = l2_read(p, METIS_SYSCTL_OFFSET, &sysctl, sizeof(sysctl), why);

	if (err)
		return err;
	memcpy(first, &sysctl, sizeof(first));
	if (first[0] == UINT32_MAX && first[1] == UINT32_MAX && sysctl.dma_vm == UINT32_MAX)
		return reason_add(why, -ENODEV, "BAR2 reads as all ones");
	p->metis.firmware = le16toh(sysctl.header.magic) == METIS_MAGIC_HEADER ||
			    le64toh(sysctl.memory_map[0]) == METIS_L2_BASE;
	p->metis.owns_imwr = le32toh(sysctl.dma_vm) == METIS_DMA_VM_MAGIC;
	p->metis.context = le64toh(sysctl.context.offset);
	p->metis.commands = le16toh(sysctl.tethys.magic) == METIS_MAGIC_TETHYS &&
			    le16toh(sysctl.context.magic) == METIS_MAGIC_CONTEXT &&
			    inside(p->metis.context, sizeof(struct metis_context));
	err = find_lists(p, &sysctl, why);
	return err ? err : forget_host_driver(p, &sysctl, why);
}

static int read_imwr(struct probe *p, enum probe_dir dir, struct reason *why)
{
	static const struct {
		uint16_t done, abort, data;
	} at[] = {
		[PROBE_IN] = {METIS_EDMA_RD_DONE_IMWR_LO, METIS_EDMA_RD_ABORT_IMWR_LO,
			      METIS_EDMA_RD_CH01_IMWR_DATA},
		[PROBE_OUT] = {METIS_EDMA_WR_DONE_IMWR_LO, METIS_EDMA_WR_ABORT_IMWR_LO,
			       METIS_EDMA_WR_CH01_IMWR_DATA},
	};
	struct probe_imwr *imwr = &p->metis.imwr[dir];
	uint32_t words[6];
	unsigned int i;
	int err = 0;

	for (i = 0; !err && i < 2; i++) {
		err = probe_reg_read(p, at[dir].done + 4 * i, &words[i], why);
		if (!err)
			err = probe_reg_read(p, at[dir].abort + 4 * i, &words[2 + i], why);
		if (!err)
			err = probe_reg_read(p, at[dir].data + 4 * i, &words[4 + i], why);
	}
	if (err)
		return err;
	imwr->done = (uint64_t)words[1] << 32 | words[0];
	imwr->abort = (uint64_t)words[3] << 32 | words[2];
	imwr->data[0] = words[4];
	imwr->data[1] = words[5];
	return 0;
}

/* Who runs now has been started by somebody before us, and no reset has ended it. */
static int find_busy(struct probe *p, struct reason *why)
{
	uint32_t control, reg;
	unsigned int i;
	int err = 0;

	for (i = 0; !err && i < 2 * METIS_EDMA_CHANNELS; i++) {
		reg = i < METIS_EDMA_CHANNELS ? METIS_EDMA_RD_CH(i)
					      : METIS_EDMA_WR_CH(i - METIS_EDMA_CHANNELS);
		err = probe_reg_read(p, reg + METIS_EDMA_CH_CONTROL1, &control, why);
		if (!err && METIS_GET(METIS_EDMA_CS, control) == METIS_EDMA_CS_RUNNING)
			p->metis.busy |= METIS_BIT(i);
	}
	if (!err && p->metis.busy)
		probe_note(p, "%u DMA channels were running: a former owner's transfers",
			   (unsigned int)__builtin_popcount(p->metis.busy));
	return err;
}

static int metis_bars(struct probe *p, struct reason *why)
{
	uint32_t ctrl;
	int err;

	if (p->bus->bar_bytes[METIS_BAR_EDMA] < METIS_BAR_EDMA_BYTES ||
	    p->bus->bar_bytes[METIS_BAR_L2] < METIS_BAR_L2_BYTES) {
		probe_suggest(p, "mmio-window");
		return reason_add(why, -EPROTO,
				  "BAR0 has %llu bytes and BAR2 %llu, a Metis card's have %u and "
				  "%u",
				  (unsigned long long)p->bus->bar_bytes[METIS_BAR_EDMA],
				  (unsigned long long)p->bus->bar_bytes[METIS_BAR_L2],
				  METIS_BAR_EDMA_BYTES, METIS_BAR_L2_BYTES);
	}
	err = probe_reg_read(p, METIS_EDMA_CTRL, &ctrl, why);
	if (!err && ctrl == UINT32_MAX)
		err = reason_add(why, -ENODEV, "BAR0 reads as all ones");
	if (!err)
		err = read_firmware(p, why);
	if (!err)
		err = read_imwr(p, PROBE_IN, why);
	if (!err)
		err = read_imwr(p, PROBE_OUT, why);
	if (!err)
		err = find_busy(p, why);
	if (err)
		return err;
	p->metis.seen = true;
	probe_note(p, "eDMA control 0x%08x, %s", ctrl,
		   !p->metis.firmware	? "no firmware area in BAR2"
		   : p->metis.owns_imwr ? "firmware that sends DMA interrupts itself"
					: "firmware that leaves IMWr to the driver");
	return 0;
}

int probe_hop_bar_read(struct probe *p, struct reason *why)
{
	return p->is_metis ? metis_bars(p, why) : other_device(p, why);
}

/* --- writing --- */

/* @reg: a channel's source address. An idle channel does nothing with it, each element sets it. */
static int try_register(struct probe *p, uint32_t reg, uint32_t value, struct reason *why)
{
	uint32_t back = 0;
	int err = probe_store(p, METIS_BAR_EDMA, reg, 4, value, why);

	if (!err)
		err = probe_reg_read(p, reg, &back, why);
	if (!err && back != value)
		err = reason_add(why, -EIO, "BAR0: 0x%08x stored at 0x%03x reads back as 0x%08x",
				 value, reg, back);
	return err;
}

/* In the lists' memory, which is the host's by protocol. */
static int try_memory(struct probe *p, uint64_t offset, struct reason *why)
{
	static const uint32_t values[] = {0xa5a55a5a, 0x5a5aa5a5};
	uint32_t before, back = 0;
	unsigned int i;
	int err = l2_read(p, offset, &before, 4, why);

	for (i = 0; !err && i < 2; i++) {
		err = l2_write(p, offset, &values[i], 4, why);
		if (!err)
			err = l2_read(p, offset, &back, 4, why);
		if (!err && back != values[i])
			err = reason_add(why, -EIO,
					 "BAR2: 0x%08x stored at 0x%llx reads back as 0x%08x",
					 values[i], (unsigned long long)offset, back);
	}
	l2_write(p, offset, &before, 4, NULL);
	return err;
}

int probe_hop_bar_write(struct probe *p, struct reason *why)
{
	unsigned int n = 0;
	uint32_t reg;
	int err;

	if (!p->is_metis) {
		probe_note(p, "only for devices whose registers are known");
		return PROBE_SKIP;
	}
	if (p->metis.busy)
		probe_suggest(p, "stale-dma-no-reset");
	err = probe_channel(p, PROBE_OUT, &n, why);
	reg = METIS_EDMA_WR_CH(n) + METIS_EDMA_CH_SAR_LO;
	if (!err)
		err = try_register(p, reg, 0x5a5aa5a4, why);
	if (!err)
		err = try_register(p, reg, 0xa5a55a58, why);
	if (!err)
		err = try_memory(p, METIS_EDMA_WR_LIST(p->metis.lists_offset, n), why);
	if (!err)
		probe_note(p, "a register and a word of L2 keep what is stored");
	return err;
}
