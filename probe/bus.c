/* SPDX-License-Identifier: MIT */
/*
 * What the ways to a device share.
 */
#include <errno.h>
#include <linux/pci_regs.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <tethys/hw/irq.h>

#include "probe/bus.h"

/* Only the card compares it, with its IMWr registers; the low bits of the data are the vector. */
#define MSI_ADDR METIS_MSI_WINDOW_BASE
#define MSI_DATA 0x0040u
#define ADDRESS_LAST ((1ull << 47) - 1)
#define WAIT_SLICE_MS 50

/* --- life --- */

void probe_bus_init(struct probe_bus *bus, const struct probe_bus_ops *ops)
{
	unsigned int i;

	bus->ops = ops;
	pthread_mutex_init(&bus->lock, NULL);
	for (i = 0; i < PROBE_VECTORS_MAX; i++)
		bus->events[i] = -1;
}

void probe_bus_deinit(struct probe_bus *bus)
{
	struct probe_mem *mem;

	while ((mem = bus->memory)) {
		bus->memory = mem->next;
		if (!mem->borrowed)
			munmap(mem->ptr, mem->bytes);
		if (mem->fd >= 0)
			close(mem->fd);
		free(mem);
	}
	probe_bus_events_close(bus);
	pthread_mutex_destroy(&bus->lock);
}

void probe_bus_close(struct probe_bus *bus)
{
	if (bus)
		bus->ops->close(bus);
}

void probe_bus_all_addresses(struct probe_bus *bus)
{
	bus->ranges[0] = (struct probe_range){PROBE_PAGE_BYTES, METIS_MSI_WINDOW_BASE - 1};
	bus->ranges[1] = (struct probe_range){METIS_MSI_WINDOW_LAST + 1, ADDRESS_LAST};
	bus->ranges_nr = 2;
}

/* --- memory --- */

int probe_map(struct probe_bus *bus, uint64_t iova, size_t bytes, unsigned int prot,
	      struct probe_mem **ret_mem, struct reason *why)
{
	struct probe_mem *mem = calloc(1, sizeof(*mem));
	int err;

	if (!mem)
		return reason_add(why, -ENOMEM, "out of memory");
	*mem = (struct probe_mem){.iova = iova, .bytes = bytes, .prot = prot};
	mem->fd = memfd_create("tethys-probe", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	mem->ptr = MAP_FAILED;
	if (mem->fd >= 0 && !ftruncate(mem->fd, (off_t)bytes))
		mem->ptr = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, mem->fd, 0);
	if (mem->ptr == MAP_FAILED) {
		err = reason_add(why, -ENOMEM, "no memory of %zu bytes: %s", bytes,
				 strerror(errno));
		if (mem->fd >= 0)
			close(mem->fd);
		free(mem);
		return err;
	}
	/* There before it is pinned; a child must not part the device's page from ours. */
	memset(mem->ptr, 0, bytes);
	madvise(mem->ptr, bytes, MADV_DONTFORK);
	pthread_mutex_lock(&bus->lock);
	mem->next = bus->memory;
	bus->memory = mem;
	pthread_mutex_unlock(&bus->lock);
	/* On failure it stays in the list, and goes with the bus; the device can't reach it. */
	err = bus->ops->map(bus, mem, why);
	if (err) {
		mem->prot = 0;
		return err;
	}
	*ret_mem = mem;
	return 0;
}

int probe_bus_copy(struct probe_bus *bus, bool write, uint64_t iova, void *data, size_t len)
{
	unsigned int need = write ? PROBE_MAP_WRITE : PROBE_MAP_READ;
	const struct probe_mem *mem;
	int err = -EFAULT;

	pthread_mutex_lock(&bus->lock);
	for (mem = bus->memory; mem; mem = mem->next) {
		if (!(mem->prot & need) || iova < mem->iova || iova - mem->iova > mem->bytes ||
		    len > mem->bytes - (iova - mem->iova))
			continue;
		if (write)
			memcpy(mem->ptr + (iova - mem->iova), data, len);
		else
			memcpy(data, mem->ptr + (iova - mem->iova), len);
		err = 0;
		break;
	}
	pthread_mutex_unlock(&bus->lock);
	return err;
}

int probe_bus_find_iova(const struct probe_bus *bus, uint64_t from, uint64_t bytes,
			uint64_t *ret_iova)
{
	const struct probe_range *range;
	uint64_t at;
	unsigned int i;

	for (i = 0; i < bus->ranges_nr; i++) {
		range = &bus->ranges[i];
		at = range->start > from ? range->start : from;
		if (at > range->last || range->last - at < bytes + PROBE_PAGE_BYTES)
			continue;
		at = (at + PROBE_PAGE_BYTES - 1) & ~(uint64_t)(PROBE_PAGE_BYTES - 1);
		if (at > range->last || range->last - at < bytes - 1)
			continue;
		*ret_iova = at;
		return 0;
	}
	return -ENOSPC;
}

/* --- interrupts --- */

int probe_bus_events(struct probe_bus *bus, unsigned int vectors, struct reason *why)
{
	unsigned int i;

	probe_bus_events_close(bus);
	for (i = 0; i < vectors; i++) {
		bus->events[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		if (bus->events[i] < 0)
			return reason_add(why, -errno, "no eventfd to be had: %s", strerror(errno));
	}
	bus->vectors = vectors;
	return 0;
}

void probe_bus_events_close(struct probe_bus *bus)
{
	unsigned int i;

	for (i = 0; i < PROBE_VECTORS_MAX; i++) {
		if (bus->events[i] >= 0)
			close(bus->events[i]);
		bus->events[i] = -1;
	}
	bus->vectors = 0;
}

void probe_bus_drain(struct probe_bus *bus)
{
	eventfd_t count;
	unsigned int i;

	/* One read takes all of an eventfd's count. */
	for (i = 0; i < bus->vectors; i++)
		eventfd_read(bus->events[i], &count);
}

static uint64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

int probe_bus_wait(struct probe_bus *bus, unsigned int vector, unsigned int timeout_ms,
		   const volatile sig_atomic_t *cancel)
{
	struct pollfd poller = {.fd = bus->events[vector], .events = POLLIN};
	uint64_t end = now_ms() + timeout_ms, now;
	eventfd_t count;

	for (;;) {
		if (!eventfd_read(bus->events[vector], &count))
			return 0;
		now = now_ms();
		if (cancel && *cancel)
			return -ECANCELED;
		if (now >= end)
			return -ETIMEDOUT;
		poll(&poller, 1, (int)(end - now < WAIT_SLICE_MS ? end - now : WAIT_SLICE_MS));
	}
}

/* --- the MSI capability, where it is ours to fill --- */

int probe_bus_msi_program(struct probe_bus *bus, unsigned int cap, unsigned int vectors,
			  struct reason *why)
{
	uint32_t low = (uint32_t)MSI_ADDR, high = (uint32_t)(MSI_ADDR >> 32), none = 0;
	uint16_t control, data = MSI_DATA;
	int err = bus->ops->config_read(bus, cap + PCI_MSI_FLAGS, &control, 2, why);

	if (err)
		return err;
	if (!(control & PCI_MSI_FLAGS_64BIT))
		return reason_add(why, -EPROTO, "the MSI capability takes no 64-bit addresses");
	err = bus->ops->config_write(bus, cap + PCI_MSI_ADDRESS_LO, &low, 4, why);
	if (!err)
		err = bus->ops->config_write(bus, cap + PCI_MSI_ADDRESS_HI, &high, 4, why);
	if (!err)
		err = bus->ops->config_write(bus, cap + PCI_MSI_DATA_64, &data, 2, why);
	if (!err && (control & PCI_MSI_FLAGS_MASKBIT))
		err = bus->ops->config_write(bus, cap + PCI_MSI_MASK_64, &none, 4, why);
	control &= (uint16_t)~PCI_MSI_FLAGS_QSIZE;
	control |= (uint16_t)(__builtin_ctz(vectors) << 4 | PCI_MSI_FLAGS_ENABLE);
	return err ? err : bus->ops->config_write(bus, cap + PCI_MSI_FLAGS, &control, 2, why);
}

void probe_bus_msi_off(struct probe_bus *bus, unsigned int cap)
{
	uint16_t control;

	if (!cap || bus->ops->config_read(bus, cap + PCI_MSI_FLAGS, &control, 2, NULL))
		return;
	control &= (uint16_t)~(PCI_MSI_FLAGS_ENABLE | PCI_MSI_FLAGS_QSIZE);
	bus->ops->config_write(bus, cap + PCI_MSI_FLAGS, &control, 2, NULL);
}

int probe_msi_decode(const uint8_t cap[16], uint64_t *ret_addr, uint32_t *ret_data)
{
	uint16_t control, data;
	uint32_t low, high = 0;
	unsigned int at;

	memcpy(&control, cap + PCI_MSI_FLAGS, 2);
	memcpy(&low, cap + PCI_MSI_ADDRESS_LO, 4);
	if (control & PCI_MSI_FLAGS_64BIT)
		memcpy(&high, cap + PCI_MSI_ADDRESS_HI, 4);
	at = control & PCI_MSI_FLAGS_64BIT ? PCI_MSI_DATA_64 : PCI_MSI_DATA_32;
	memcpy(&data, cap + at, 2);
	if (!(control & PCI_MSI_FLAGS_ENABLE))
		return -ENODATA;
	*ret_addr = (uint64_t)high << 32 | low;
	*ret_data = data;
	return 0;
}

int probe_bus_msi_message(struct probe_bus *bus, unsigned int cap, uint64_t *ret_addr,
			  uint32_t *ret_data, struct reason *why)
{
	uint8_t bytes[16];
	int err = bus->ops->config_read(bus, cap, bytes, sizeof(bytes), why);

	return err ? err : probe_msi_decode(bytes, ret_addr, ret_data);
}
