/* SPDX-License-Identifier: MIT */
/*
 * The upper half of backends that hold the card's BARs themselves: struct axdev_ops on top of
 * struct axdev_pci_ops.
 */
#include <errno.h>
#include <linux/pci_regs.h>
#include <string.h>
#include <time.h>

#include "runtime/device/pci.h"

/*
 * Our MSI message. Both sides are software of ours or a vfio-user peer: nobody but the card
 * compares it, with the IMWr registers. The low 5 bits of the data are the vector.
 */
#define MSI_ADDR METIS_MSI_WINDOW_BASE
#define MSI_DATA 0x0040u

/* The longest chain of capabilities 192 bytes can hold. */
#define CAPS_MAX 48

/* Cleared by the card on a function-level reset; what a driver needs on. */
#define COMMAND_ON (PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER)

static struct axdev_pci *pci_of(struct axdev *dev)
{
	return (struct axdev_pci *)dev;
}

uint64_t axdev_now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

/* --- configuration space --- */

static int config_read16(struct axdev_pci *pci, uint32_t offset, uint16_t *ret_value,
			 struct reason *why)
{
	return pci->bus->config_read(pci, offset, ret_value, 2, why);
}

static int config_write16(struct axdev_pci *pci, uint32_t offset, uint16_t value,
			  struct reason *why)
{
	return pci->bus->config_write(pci, offset, &value, 2, why);
}

static int config_write32(struct axdev_pci *pci, uint32_t offset, uint32_t value,
			  struct reason *why)
{
	return pci->bus->config_write(pci, offset, &value, 4, why);
}

static int check_identity(struct axdev_pci *pci, struct reason *why)
{
	uint16_t vendor, device;
	int err;

	err = config_read16(pci, PCI_VENDOR_ID, &vendor, why);
	if (!err)
		err = config_read16(pci, PCI_DEVICE_ID, &device, why);
	if (err)
		return err;
	if (vendor == 0xffff)
		return reason_add(why, -ENODEV, "the card does not answer: it reads as all ones");
	if (vendor != METIS_PCI_VENDOR ||
	    (device != METIS_PCI_DEVICE_OMEGA && device != METIS_PCI_DEVICE_ALPHA))
		return reason_add(why, -EPROTO,
				  "the device is %04x:%04x, no Metis card (%04x:%04x)", vendor,
				  device, METIS_PCI_VENDOR, METIS_PCI_DEVICE_OMEGA);
	return 0;
}

static int find_capability(struct axdev_pci *pci, uint8_t id, unsigned int *ret_offset,
			   struct reason *why)
{
	uint8_t pos, cap[2];
	unsigned int i;
	int err;

	err = pci->bus->config_read(pci, PCI_CAPABILITY_LIST, &pos, 1, why);
	for (i = 0; !err && i < CAPS_MAX && (pos &= ~3) >= PCI_STD_HEADER_SIZEOF; i++) {
		err = pci->bus->config_read(pci, pos, cap, 2, why);
		if (!err && cap[0] == id) {
			*ret_offset = pos;
			return 0;
		}
		pos = cap[1];
	}
	return err ? err : reason_add(why, -EPROTO, "the card has no PCI capability %u", id);
}

/* 32 vectors, none masked: numbers and vectors are the same thing. */
static int enable_msi(struct axdev_pci *pci, struct reason *why)
{
	unsigned int cap = pci->msi_cap;
	uint16_t control;
	int err;

	err = config_read16(pci, cap + METIS_MSI_CONTROL, &control, why);
	if (err)
		return err;
	if ((control & PCI_MSI_FLAGS_QMASK) != 0x0a || !(control & PCI_MSI_FLAGS_64BIT))
		return reason_add(why, -EPROTO,
				  "the card's MSI capability offers no 32 vectors (control 0x%04x)",
				  control);
	err = config_write32(pci, cap + METIS_MSI_ADDR_LO, (uint32_t)MSI_ADDR, why);
	if (!err)
		err = config_write32(pci, cap + METIS_MSI_ADDR_HI, (uint32_t)(MSI_ADDR >> 32), why);
	if (!err)
		err = config_write16(pci, cap + METIS_MSI_DATA, MSI_DATA, why);
	if (!err && (control & PCI_MSI_FLAGS_MASKBIT))
		err = config_write32(pci, cap + METIS_MSI_MASK, 0, why);
	control &= ~PCI_MSI_FLAGS_QSIZE;
	control |= 0x50 | PCI_MSI_FLAGS_ENABLE;
	return err ? err : config_write16(pci, cap + METIS_MSI_CONTROL, control, why);
}

int axdev_pci_start(struct axdev_pci *pci, struct reason *why)
{
	uint16_t command;
	int err;

	err = check_identity(pci, why);
	if (!err)
		err = find_capability(pci, PCI_CAP_ID_MSI, &pci->msi_cap, why);
	if (!err)
		err = config_read16(pci, PCI_COMMAND, &command, why);
	if (!err)
		err = config_write16(pci, PCI_COMMAND, command | COMMAND_ON, why);
	if (!err)
		err = pci->no_msi_message ? 0 : enable_msi(pci, why);
	if (!err)
		err = pci->bus->irq_setup(pci, why);
	if (!err)
		err = axdev_edma_start(pci, MSI_ADDR, MSI_DATA, why);
	return err;
}

/* --- BARs --- */

/* Where BAR2 bytes [@offset, @offset + @len) are mapped; NULL: not, or not in one piece. */
static uint8_t *l2_at(const struct axdev_pci *pci, uint64_t offset, size_t len)
{
	const struct axdev_l2_area *area;
	unsigned int i;

	for (i = 0; i < pci->l2_areas; i++) {
		area = &pci->l2[i];
		if (offset >= area->offset &&
		    axdev_pci_range(offset - area->offset, len, area->bytes))
			return area->ptr + (offset - area->offset);
	}
	return NULL;
}

/* The widest access that is aligned at @at and not longer than @len. */
static size_t device_width(const void *at, size_t len)
{
	size_t width = 8;

	while (width > len || (uintptr_t)at % width)
		width /= 2;
	return width;
}

void axdev_mmio_read(void *buf, const volatile uint8_t *at, size_t len)
{
	uint8_t *to = buf;
	size_t width;
	uint64_t value;

	for (; len; at += width, to += width, len -= width) {
		width = device_width((const void *)at, len);
		if (width == 8)
			value = *(const volatile uint64_t *)at;
		else if (width == 4)
			value = *(const volatile uint32_t *)at;
		else if (width == 2)
			value = *(const volatile uint16_t *)at;
		else
			value = *at;
		memcpy(to, &value, width);
	}
}

void axdev_mmio_write(volatile uint8_t *at, const void *buf, size_t len)
{
	const uint8_t *from = buf;
	uint64_t value = 0;
	size_t width;

	for (; len; at += width, from += width, len -= width) {
		width = device_width((const void *)at, len);
		memcpy(&value, from, width);
		if (width == 8)
			*(volatile uint64_t *)at = value;
		else if (width == 4)
			*(volatile uint32_t *)at = (uint32_t)value;
		else if (width == 2)
			*(volatile uint16_t *)at = (uint16_t)value;
		else
			*at = (uint8_t)value;
	}
}

int axdev_pci_l2_read(struct axdev_pci *pci, uint64_t offset, void *buf, size_t len,
		      struct reason *why)
{
	const uint8_t *at = l2_at(pci, offset, len);

	if (!at)
		return pci->bus->bar_read(pci, METIS_BAR_L2, offset, buf, len, why);
	if (pci->l2_is_device)
		axdev_mmio_read(buf, at, len);
	else
		memcpy(buf, at, len);
	return 0;
}

int axdev_pci_l2_write(struct axdev_pci *pci, uint64_t offset, const void *buf, size_t len,
		       struct reason *why)
{
	uint8_t *at = l2_at(pci, offset, len);

	if (!at)
		return pci->bus->bar_write(pci, METIS_BAR_L2, offset, buf, len, why);
	if (pci->l2_is_device)
		axdev_mmio_write(at, buf, len);
	else
		memcpy(at, buf, len);
	/* Before any doorbell that tells of it. */
	atomic_thread_fence(memory_order_seq_cst);
	return 0;
}

static int check_access(unsigned int bar, uint64_t offset, size_t len, struct reason *why)
{
	uint64_t size = bar == METIS_BAR_EDMA ? METIS_BAR_EDMA_BYTES
			: bar == METIS_BAR_L2 ? METIS_BAR_L2_BYTES
					      : 0;

	if (!len || !axdev_pci_range(offset, len, size))
		return reason_add(why, -EINVAL, "access of %zu bytes at 0x%llx leaves BAR%u", len,
				  (unsigned long long)offset, bar);
	if (bar == METIS_BAR_EDMA && ((len != 4 && len != 8) || offset % 4))
		return reason_add(why, -EINVAL, "BAR0 takes aligned accesses of 4 bytes only");
	return 0;
}

static int pci_bar_read(struct axdev *dev, unsigned int bar, uint64_t offset, void *buf, size_t len,
			struct reason *why)
{
	struct axdev_pci *pci = pci_of(dev);
	int err = check_access(bar, offset, len, why);

	if (err)
		return err;
	if (bar == METIS_BAR_L2)
		return axdev_pci_l2_read(pci, offset, buf, len, why);
	err = pci->bus->bar_read(pci, bar, offset, buf, 4, why);
	if (!err && len == 8)
		err = pci->bus->bar_read(pci, bar, offset + 4, (uint8_t *)buf + 4, 4, why);
	return err;
}

static int pci_bar_write(struct axdev *dev, unsigned int bar, uint64_t offset, const void *buf,
			 size_t len, struct reason *why)
{
	struct axdev_pci *pci = pci_of(dev);
	struct axdev_reg regs[2];
	int err = check_access(bar, offset, len, why);

	if (err)
		return err;
	if (bar == METIS_BAR_L2)
		return axdev_pci_l2_write(pci, offset, buf, len, why);
	regs[0].offset = offset;
	regs[1].offset = offset + 4;
	memcpy(&regs[0].value, buf, 4);
	if (len == 8)
		memcpy(&regs[1].value, (const uint8_t *)buf + 4, 4);
	return pci->bus->regs_write(pci, regs, len / 4, why);
}

/* --- memory and transfers --- */

static int pci_buf_alloc(struct axdev *dev, size_t bytes, struct axdev_buf *ret_buf,
			 struct reason *why)
{
	if (!bytes || bytes > SIZE_MAX / 2)
		return reason_add(why, -EINVAL, "a buffer of %zu bytes", bytes);
	return pci_of(dev)->bus->mem_alloc(pci_of(dev), bytes, ret_buf, why);
}

static void pci_buf_free(struct axdev *dev, struct axdev_buf *buf)
{
	if (buf->ptr)
		pci_of(dev)->bus->mem_free(pci_of(dev), buf);
	memset(buf, 0, sizeof(*buf));
}

int axdev_pci_check_xfer(int channel, uint64_t card_addr, size_t len, struct reason *why)
{
	if (!len)
		return reason_add(why, -EINVAL, "a transfer of zero bytes");
	if (channel < -1 || channel >= METIS_EDMA_CHANNELS)
		return reason_add(why, -EINVAL, "there is no DMA channel %d", channel);
	if (card_addr + (len - 1) < card_addr)
		return reason_add(why, -EINVAL, "card address 0x%llx + %zu bytes passes 2^64",
				  (unsigned long long)card_addr, len);
	return 0;
}

static int pci_xfer(struct axdev *dev, enum axdev_dir dir, int channel, uint64_t card_addr,
		    const struct axdev_buf *buf, size_t offset, size_t len, struct reason *why)
{
	int err = axdev_pci_check_xfer(channel, card_addr, len, why);

	if (err)
		return err;
	if (!axdev_pci_range(offset, len, buf->bytes))
		return reason_add(why, -EINVAL,
				  "offset %zu + %zu bytes leaves the buffer of %zu bytes", offset,
				  len, buf->bytes);
	return axdev_edma_xfer(pci_of(dev), dir, channel, card_addr, buf, offset, len, why);
}

static int pci_xfer_user(struct axdev *dev, enum axdev_dir dir, int channel, uint64_t card_addr,
			 void *ptr, size_t len, struct reason *why)
{
	struct axdev_buf buf = {.ptr = ptr, .bytes = len};
	struct axdev_pci *pci = pci_of(dev);
	int err;

	if (!pci->bus->user_begin)
		return -ENOTSUP;
	err = axdev_pci_check_xfer(channel, card_addr, len, why);
	if (!err)
		err = pci->bus->user_begin(pci, dir, ptr, len, &buf.iova, why);
	if (err)
		return err;
	err = axdev_edma_xfer(pci, dir, channel, card_addr, &buf, 0, len, why);
	pci->bus->user_end(pci, dir, ptr, len);
	return err;
}

/* --- interrupts, reset, close --- */

static int pci_irq_wait(struct axdev *dev, unsigned int number, unsigned int timeout_ms,
			struct reason *why)
{
	int err;

	if (number >= METIS_IRQ_NR)
		return reason_add(why, -EINVAL, "there is no interrupt %u", number);
	err = pci_of(dev)->bus->irq_wait(pci_of(dev), number, timeout_ms * 1000ull, why);
	if (err == -ETIMEDOUT)
		reason_add(why, err, "Failed to wait for MSI %u: %s", number, strerror(-err));
	return err;
}

static void pci_irq_clear(struct axdev *dev, unsigned int number)
{
	if (number < METIS_IRQ_NR)
		pci_of(dev)->bus->irq_clear(pci_of(dev), number);
}

static int pci_reset(struct axdev *dev, struct reason *why)
{
	struct axdev_pci *pci = pci_of(dev);
	unsigned int i;
	int err;

	axdev_edma_lock_all(pci);
	err = pci->bus->reset(pci, why);
	for (i = 0; !err && i < METIS_IRQ_NR; i++)
		pci->bus->irq_clear(pci, i);
	if (!err)
		err = axdev_pci_start(pci, why);
	axdev_edma_unlock_all(pci);
	return err;
}

/* Leave the card quiet for whoever gets it next; errors change nothing any more. */
static void pci_close(struct axdev *dev)
{
	struct axdev_pci *pci = pci_of(dev);
	uint16_t word;

	axdev_edma_lock_all(pci);
	axdev_edma_stop(pci);
	if (!pci->no_msi_message &&
	    !config_read16(pci, pci->msi_cap + METIS_MSI_CONTROL, &word, NULL))
		config_write16(pci, pci->msi_cap + METIS_MSI_CONTROL, word & ~PCI_MSI_FLAGS_ENABLE,
			       NULL);
	if (!config_read16(pci, PCI_COMMAND, &word, NULL))
		config_write16(pci, PCI_COMMAND, word & ~PCI_COMMAND_MASTER, NULL);
	axdev_edma_unlock_all(pci);
	pci->bus->destroy(pci);
}

static const struct axdev_ops pci_ops = {
	.close = pci_close,
	.bar_read = pci_bar_read,
	.bar_write = pci_bar_write,
	.buf_alloc = pci_buf_alloc,
	.buf_free = pci_buf_free,
	.xfer = pci_xfer,
	.xfer_user = pci_xfer_user,
	.irq_wait = pci_irq_wait,
	.irq_clear = pci_irq_clear,
	.reset = pci_reset,
};

int axdev_pci_init(struct axdev_pci *pci, const struct axdev_pci_ops *bus, const char *name,
		   const struct axdev_options *options, struct reason *why)
{
	int err = axdev_init(&pci->dev, &pci_ops, name, options, why);

	if (err)
		return err;
	pci->bus = bus;
	axdev_edma_init(pci);
	return 0;
}

void axdev_pci_deinit(struct axdev_pci *pci)
{
	axdev_edma_deinit(pci);
	axdev_deinit(&pci->dev);
}
