/* SPDX-License-Identifier: MIT */
/*
 * A card in another process, behind a vfio-user socket.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include <tethys/hw/pci.h>

#include "probe/bus.h"
#include "runtime/device/vfio_user_client.h"

struct vu_bus {
	struct probe_bus bus; /* first */
	struct vfio_user_client client;
	unsigned int msi_cap; /* 0: interrupts are off */
};

static struct vu_bus *vu_of(struct probe_bus *bus)
{
	return (struct vu_bus *)bus;
}

/* The server's DMA where it does not map our memory. */
static int vu_dma(void *ctx, bool write, uint64_t iova, void *data, uint64_t len)
{
	return probe_bus_copy(ctx, write, iova, data, len) ? -ENODEV : 0;
}

/* --- regions --- */

static int read_once(struct vu_bus *vu, unsigned int region, uint64_t offset, void *buf, size_t len,
		     struct reason *why)
{
	struct vfio_user_region_access access = {.offset = offset, .region = region, .count = len};
	uint8_t reply[sizeof(access) + PROBE_PAGE_BYTES];
	struct vfio_user_request request = {
		.command = VFIO_USER_REGION_READ,
		.body = {{&access, sizeof(access)}},
		.reply = reply,
		.reply_bytes = sizeof(access) + len,
	};
	int err = vfio_user_client_call(&vu->client, &request, why);

	if (!err && request.reply_bytes != sizeof(access) + len)
		err = reason_add(why, -EIO, "the card process answers a read of %zu bytes with %zu",
				 len, request.reply_bytes);
	if (!err)
		memcpy(buf, reply + sizeof(access), len);
	return err;
}

static int write_once(struct vu_bus *vu, unsigned int region, uint64_t offset, const void *buf,
		      size_t len, struct reason *why)
{
	struct vfio_user_region_access access = {.offset = offset, .region = region, .count = len};
	struct vfio_user_region_access reply;
	struct vfio_user_request request = {
		.command = VFIO_USER_REGION_WRITE,
		.body = {{&access, sizeof(access)}, {(void *)(uintptr_t)buf, len}},
		.reply = &reply,
		.reply_bytes = sizeof(reply),
	};

	return vfio_user_client_call(&vu->client, &request, why);
}

/* At most a page at a time, and what the peer takes. */
static size_t piece(const struct vu_bus *vu, size_t len)
{
	size_t most = PROBE_PAGE_BYTES;

	if (vu->client.peer.max_data_xfer_size < most)
		most = vu->client.peer.max_data_xfer_size;
	return len < most ? len : most;
}

static int vu_bar_read(struct probe_bus *bus, unsigned int bar, uint64_t offset, void *buf,
		       size_t len, struct reason *why)
{
	size_t done, n;
	int err = 0;

	for (done = 0; !err && done < len; done += n) {
		n = piece(vu_of(bus), len - done);
		err = read_once(vu_of(bus), bar, offset + done, (uint8_t *)buf + done, n, why);
	}
	return err;
}

static int vu_bar_write(struct probe_bus *bus, unsigned int bar, uint64_t offset, const void *buf,
			size_t len, struct reason *why)
{
	size_t done, n;
	int err = 0;

	for (done = 0; !err && done < len; done += n) {
		n = piece(vu_of(bus), len - done);
		err = write_once(vu_of(bus), bar, offset + done, (const uint8_t *)buf + done, n,
				 why);
	}
	return err;
}

static int vu_config_read(struct probe_bus *bus, uint32_t offset, void *buf, size_t len,
			  struct reason *why)
{
	return vu_bar_read(bus, VFIO_USER_REGION_CONFIG, offset, buf, len, why);
}

static int vu_config_write(struct probe_bus *bus, uint32_t offset, const void *buf, size_t len,
			   struct reason *why)
{
	return vu_bar_write(bus, VFIO_USER_REGION_CONFIG, offset, buf, len, why);
}

/* --- memory --- */

static int vu_map(struct probe_bus *bus, struct probe_mem *mem, struct reason *why)
{
	struct vfio_user_dma_map map = {
		.argsz = sizeof(map),
		.flags = (mem->prot & PROBE_MAP_READ ? VFIO_USER_DMA_READABLE : 0) |
			 (mem->prot & PROBE_MAP_WRITE ? VFIO_USER_DMA_WRITABLE : 0),
		.iova = mem->iova,
		.size = mem->bytes,
	};
	struct vfio_user_request request = {
		.command = VFIO_USER_DMA_MAP,
		.body = {{&map, sizeof(map)}},
		.fds = &mem->fd,
		.fds_nr = 1,
	};

	/* So that the server need not fear to lose it under its hands. */
	if (fcntl(mem->fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL))
		return reason_add(why, -errno, "memory can't be sealed: %s", strerror(errno));
	return vfio_user_client_call(&vu_of(bus)->client, &request, why);
}

/* --- interrupts --- */

static int assign(struct vu_bus *vu, unsigned int start, unsigned int count, struct reason *why)
{
	struct vfio_user_irq_set set = {
		.argsz = sizeof(set),
		.flags = VFIO_USER_IRQ_DATA_EVENTFD | VFIO_USER_IRQ_ACTION_TRIGGER,
		.index = VFIO_USER_IRQ_MSI,
		.start = start,
		.count = count,
	};
	struct vfio_user_request request = {
		.command = VFIO_USER_DEVICE_SET_IRQS,
		.body = {{&set, sizeof(set)}},
		.fds = vu->bus.events + start,
		.fds_nr = count,
	};

	return vfio_user_client_call(&vu->client, &request, why);
}

static int vu_irq_on(struct probe_bus *bus, enum probe_irq_kind kind, unsigned int cap,
		     unsigned int want, struct reason *why)
{
	struct vu_bus *vu = vu_of(bus);
	unsigned int start, count, most = vu->client.peer.max_msg_fds;
	int err = 0;

	(void)want;
	if (kind != PROBE_IRQ_MSI)
		return reason_add(why, -EOPNOTSUPP, "the card has MSI only");
	if (most > VFIO_USER_MAX_FDS)
		most = VFIO_USER_MAX_FDS;
	if (!most)
		return reason_add(why, -EPROTO, "the card process takes no descriptors");
	if (!bus->vectors)
		err = probe_bus_events(bus, METIS_MSI_VECTORS, why);
	for (start = 0; !err && start < METIS_MSI_VECTORS; start += count) {
		count = METIS_MSI_VECTORS - start < most ? METIS_MSI_VECTORS - start : most;
		err = assign(vu, start, count, why);
	}
	if (err)
		return err;
	vu->msi_cap = cap;
	return probe_bus_msi_program(bus, cap, METIS_MSI_VECTORS, why);
}

static void vu_irq_off(struct probe_bus *bus)
{
	probe_bus_msi_off(bus, vu_of(bus)->msi_cap);
	vu_of(bus)->msi_cap = 0;
}

static int vu_reset(struct probe_bus *bus, struct reason *why)
{
	struct vfio_user_request request = {.command = VFIO_USER_DEVICE_RESET};

	return vfio_user_client_call(&vu_of(bus)->client, &request, why);
}

/* --- open and close --- */

static void vu_close(struct probe_bus *bus)
{
	vfio_user_client_deinit(&vu_of(bus)->client);
	probe_bus_deinit(bus);
	free(bus);
}

static const struct probe_bus_ops vu_ops = {
	.close = vu_close,
	.config_read = vu_config_read,
	.config_write = vu_config_write,
	.bar_read = vu_bar_read,
	.bar_write = vu_bar_write,
	.map = vu_map,
	.irq_on = vu_irq_on,
	.irq_off = vu_irq_off,
	.msi_message = probe_bus_msi_message,
	.reset = vu_reset,
};

/* Sizes as the server says them; what it says else is not trusted. */
static int find_bars(struct vu_bus *vu, struct reason *why)
{
	struct vfio_user_region_info ask = {.argsz = sizeof(ask)}, reply;
	struct vfio_user_fds fds = {.count = 0};
	struct vfio_user_request request = {.command = VFIO_USER_DEVICE_GET_REGION_INFO};
	unsigned int bar;
	int err = 0;

	for (bar = 0; !err && bar < PROBE_BARS_NR; bar++) {
		ask.index = bar;
		request.body[0] = (struct iovec){&ask, sizeof(ask)};
		request.reply = &reply;
		request.reply_bytes = sizeof(reply);
		request.reply_fds = &fds;
		err = vfio_user_client_call(&vu->client, &request, why);
		vfio_user_fds_close(&fds);
		if (!err && request.reply_bytes == sizeof(reply))
			vu->bus.bar_bytes[bar] = reply.size;
	}
	return err;
}

int probe_bus_open_vfio_user(const char *path, unsigned int timeout_ms, struct probe_bus **ret_bus,
			     struct reason *why)
{
	struct vu_bus *vu = calloc(1, sizeof(*vu));
	int err;

	if (!vu)
		return reason_add(why, -ENOMEM, "out of memory");
	probe_bus_init(&vu->bus, &vu_ops);
	probe_bus_all_addresses(&vu->bus);
	vfio_user_client_init(&vu->client, timeout_ms, true, vu_dma, &vu->bus);
	err = vfio_user_client_connect(&vu->client, path, why);
	if (!err)
		err = find_bars(vu, why);
	if (err) {
		vu_close(&vu->bus);
		return err;
	}
	*ret_bus = &vu->bus;
	return 0;
}
