/* SPDX-License-Identifier: MIT */
/*
 * The commands of a client. All answers come from state: nothing here waits for DMA.
 */
#include <errno.h>
#include <linux/pci_regs.h>
#include <string.h>

#include <tethys/hw/pci.h>

#include "card/transport/vfio_user_internal.h"

/* Body of the reply being made. */
static void *reply_body(struct vus_conn *conn)
{
	return conn->reply + sizeof(struct vfio_user_header);
}

/* A reply that repeats @len bytes of the request. */
static int answer_echo(struct vus_conn *conn, const void *body, size_t len,
		       struct vus_answer *answer)
{
	memcpy(reply_body(conn), body, len);
	answer->len = len;
	return 0;
}

/* --- DMA ranges --- */

static int handle_dma_map(struct vus_conn *conn, const void *body, size_t len,
			  struct vus_answer *answer)
{
	const struct vfio_user_dma_map *map = body;
	const char *why;
	int ret;

	(void)len;
	(void)answer;
	/* Bits 2 and 3 are hints of libvfio-user's clients about ways of access. */
	if (map->argsz < sizeof(*map) || map->flags & ~0xfu || conn->fds.count > 1)
		return -EINVAL;
	if (conn->fds.count)
		VUS_COUNT(conn->server, maps);
	ret = vus_map_add(&conn->maps, map, vfio_user_fds_take(&conn->fds, 0),
			  conn->server->config.no_direct, &why);
	if (ret < 0)
		return ret;
	if (ret && why) {
		VUS_COUNT(conn->server, maps_indirect);
		vus_event(conn->server, VFIO_USER_EVENT_INDIRECT, "%s", why);
	}
	return 0;
}

/* After the last direct access, before the client hears that its memory is its own again. */
static void trace_unmap(const struct vus_conn *conn, uint64_t iova, uint64_t len)
{
	const struct card_event event = {.kind = CARD_EVENT_UNMAP, .addr = iova, .len = len};

	vus_trace(conn->server, &event);
}

static int handle_dma_unmap(struct vus_conn *conn, const void *body, size_t len,
			    struct vus_answer *answer)
{
	const struct vfio_user_dma_unmap *unmap = body;
	uint64_t last = unmap->iova + (unmap->size - 1);

	if (unmap->argsz < sizeof(*unmap) || unmap->flags & ~VFIO_USER_UNMAP_ALL)
		return -EINVAL;
	if (unmap->flags & VFIO_USER_UNMAP_ALL) {
		if (unmap->iova || unmap->size)
			return -EINVAL;
		vus_map_remove(&conn->maps, 0, UINT64_MAX);
		trace_unmap(conn, 0, 0);
		return answer_echo(conn, body, len, answer);
	}
	/* Inclusive ends: QEMU unmaps up to 2^64. What it never mapped it unmaps as well. */
	if (!unmap->size || last < unmap->iova)
		return -EINVAL;
	vus_map_remove(&conn->maps, unmap->iova, last);
	trace_unmap(conn, unmap->iova, unmap->size);
	return answer_echo(conn, body, len, answer);
}

/* --- what there is --- */

static int handle_get_info(struct vus_conn *conn, const void *body, size_t len,
			   struct vus_answer *answer)
{
	const struct vfio_user_device_info *request = body;
	const struct vfio_user_device_info info = {
		.argsz = sizeof(info),
		.flags = VFIO_USER_DEVICE_RESETTABLE | VFIO_USER_DEVICE_PCI,
		.regions = VFIO_USER_REGION_NR,
		.irqs = VFIO_USER_IRQ_NR,
	};

	(void)len;
	if (request->argsz < sizeof(*request))
		return -EINVAL;
	return answer_echo(conn, &info, sizeof(info), answer);
}

/* L2's mapping: all but the part where the firmware must see each store. */
static void region_info_l2(struct vus_conn *conn, uint32_t argsz,
			   struct vfio_user_region_info *info, struct vus_answer *answer)
{
	struct vfio_user_cap_sparse *sparse = (void *)(info + 1);
	size_t trapped;
	int fd;

	info->argsz = sizeof(*info) + sizeof(*sparse) + sizeof(sparse->areas[0]);
	info->flags |= VFIO_USER_REGION_FLAG_MMAP;
	/*
	 * The client asks again with the size it now knows. Until then there is no capability:
	 * QEMU refuses a device that says CAPS and names no offset (measured).
	 */
	if (argsz < info->argsz)
		return;
	info->flags |= VFIO_USER_REGION_FLAG_CAPS;
	card_l2(conn->card, &fd, &trapped);
	info->cap_offset = sizeof(*info);
	sparse->header = (struct vfio_user_cap){.id = VFIO_USER_CAP_SPARSE_MMAP, .version = 1};
	sparse->areas_nr = 1;
	sparse->reserved = 0;
	sparse->areas[0].offset = trapped;
	sparse->areas[0].size = info->size - trapped;
	answer->len = info->argsz;
	answer->fd = fd;
}

static int handle_get_region_info(struct vus_conn *conn, const void *body, size_t len,
				  struct vus_answer *answer)
{
	const struct vfio_user_region_info *request = body;
	struct vfio_user_region_info *info = reply_body(conn);

	(void)len;
	if (request->argsz < sizeof(*request) || request->index >= VFIO_USER_REGION_NR)
		return -EINVAL;
	*info = (struct vfio_user_region_info){
		.argsz = sizeof(*info),
		.index = request->index,
		.size = card_region_size(request->index),
	};
	if (info->size)
		info->flags = VFIO_USER_REGION_FLAG_READ | VFIO_USER_REGION_FLAG_WRITE;
	answer->len = sizeof(*info);
	if (request->index == METIS_BAR_L2 && vus_conn_shares_l2(conn))
		region_info_l2(conn, request->argsz, info, answer);
	return 0;
}

static int handle_get_irq_info(struct vus_conn *conn, const void *body, size_t len,
			       struct vus_answer *answer)
{
	const struct vfio_user_irq_info *request = body;
	struct vfio_user_irq_info info = {.argsz = sizeof(info), .index = request->index};

	(void)len;
	if (request->argsz < sizeof(*request) || request->index >= VFIO_USER_IRQ_NR)
		return -EINVAL;
	info.count = vus_irq_count(request->index);
	if (info.count)
		info.flags = VFIO_USER_IRQ_FLAG_EVENTFD;
	return answer_echo(conn, &info, sizeof(info), answer);
}

static int handle_set_irqs(struct vus_conn *conn, const void *body, size_t len,
			   struct vus_answer *answer)
{
	const struct vfio_user_irq_set *set = body;

	(void)answer;
	if (set->argsz < sizeof(*set))
		return -EINVAL;
	return vus_irq_set(conn, set, len - sizeof(*set), &conn->fds);
}

/* --- registers and memory of the card --- */

static int handle_region_read(struct vus_conn *conn, const void *body, size_t len,
			      struct vus_answer *answer)
{
	const struct vfio_user_region_access *request = body;
	struct vfio_user_region_access *reply = reply_body(conn);

	(void)len;
	if (!request->count || request->count > VFIO_USER_MAX_DATA)
		return -EINVAL;
	*reply = *request;
	answer->len = sizeof(*reply) + request->count;
	return card_region_read(conn->card, request->region, request->offset, reply->data,
				request->count);
}

/* A function-level reset comes as nothing but a bit in configuration space. */
static bool write_is_flr(unsigned int region, uint64_t offset, const uint8_t *data, size_t len)
{
	const uint64_t at = METIS_CAP_EXP + PCI_EXP_DEVCTL + 1;

	return region == VFIO_USER_REGION_CONFIG && offset <= at && at - offset < len &&
	       data[at - offset] & PCI_EXP_DEVCTL_BCR_FLR >> 8;
}

/*
 * A reset stops the card's threads, which may wait for replies only this thread can take: release
 * them, and let none in, until it is over.
 */
static int region_write(struct vus_conn *conn, unsigned int region, uint64_t offset,
			const uint8_t *data, size_t len)
{
	bool flr = write_is_flr(region, offset, data, len);
	int ret;

	if (flr)
		vus_dma_close(&conn->dma);
	ret = card_region_write(conn->card, region, offset, data, len);
	if (flr)
		vus_dma_open(&conn->dma);
	return ret;
}

static int handle_region_write(struct vus_conn *conn, const void *body, size_t len,
			       struct vus_answer *answer)
{
	const struct vfio_user_region_access *request = body;
	int ret;

	if (!request->count || request->count != len - sizeof(*request))
		return -EINVAL;
	ret = region_write(conn, request->region, request->offset, request->data, request->count);
	return ret ? ret : answer_echo(conn, request, sizeof(*request), answer);
}

static int handle_write_multi(struct vus_conn *conn, const void *body, size_t len,
			      struct vus_answer *answer)
{
	const struct vfio_user_write_multi *request = body;
	const struct vfio_user_write_record *record = request->records;
	size_t nr = (len - sizeof(*request)) / sizeof(*record), i;
	int ret = 0, error;

	if (!nr || request->count != nr || (len - sizeof(*request)) % sizeof(*record))
		return -EINVAL;
	for (i = 0; i < nr; i++)
		if (!record[i].count || record[i].count > sizeof(record->data))
			return -EINVAL;
	/* Posted writes: one that fails does not keep the next from being done. */
	for (i = 0; i < nr; i++) {
		error = region_write(conn, record[i].region, record[i].offset, record[i].data,
				     record[i].count);
		if (!ret)
			ret = error;
	}
	return ret ? ret : answer_echo(conn, request, sizeof(*request), answer);
}

static int handle_reset(struct vus_conn *conn, const void *body, size_t len,
			struct vus_answer *answer)
{
	(void)body;
	(void)len;
	(void)answer;
	vus_dma_close(&conn->dma);
	card_reset(conn->card, CARD_RESET_BUS);
	vus_dma_open(&conn->dma);
	return 0;
}

static int handle_version(struct vus_conn *conn, const void *body, size_t len,
			  struct vus_answer *answer)
{
	return vus_conn_version(conn, body, len, answer);
}

/* --- dispatch --- */

enum {
	LONGER = 1, /* the body may be longer */
	FDS = 2,    /* descriptors may come along */
};

struct command {
	int (*handle)(struct vus_conn *conn, const void *body, size_t len,
		      struct vus_answer *answer);
	size_t len; /* of the body */
	unsigned int flags;
};

/*
 * Absent: no migration, no features, and no REGION_IO_FDS, on whose layout the known peers
 * disagree.
 */
static const struct command commands[] = {
	[VFIO_USER_VERSION] = {handle_version, sizeof(struct vfio_user_version), LONGER},
	[VFIO_USER_DMA_MAP] = {handle_dma_map, sizeof(struct vfio_user_dma_map), FDS},
	[VFIO_USER_DMA_UNMAP] = {handle_dma_unmap, sizeof(struct vfio_user_dma_unmap), 0},
	[VFIO_USER_DEVICE_GET_INFO] = {handle_get_info, sizeof(struct vfio_user_device_info), 0},
	[VFIO_USER_DEVICE_GET_REGION_INFO] = {handle_get_region_info,
					      sizeof(struct vfio_user_region_info), LONGER},
	[VFIO_USER_DEVICE_GET_IRQ_INFO] = {handle_get_irq_info, sizeof(struct vfio_user_irq_info),
					   0},
	[VFIO_USER_DEVICE_SET_IRQS] = {handle_set_irqs, sizeof(struct vfio_user_irq_set),
				       LONGER | FDS},
	[VFIO_USER_REGION_READ] = {handle_region_read, sizeof(struct vfio_user_region_access), 0},
	[VFIO_USER_REGION_WRITE] = {handle_region_write, sizeof(struct vfio_user_region_access),
				    LONGER},
	[VFIO_USER_DEVICE_RESET] = {handle_reset, 0, 0},
	[VFIO_USER_REGION_WRITE_MULTI] = {handle_write_multi, sizeof(struct vfio_user_write_multi),
					  LONGER},
};

int vus_msg_handle(struct vus_conn *conn, const struct vfio_user_header *header, size_t len,
		   struct vus_answer *ret_answer)
{
	const struct command *command;

	if (header->command >= sizeof(commands) / sizeof(commands[0]))
		return -EINVAL;
	command = &commands[header->command];
	if (!command->handle)
		return -EINVAL;
	if (len < command->len || (len > command->len && !(command->flags & LONGER)))
		return -EINVAL;
	if (conn->fds.count && !(command->flags & FDS))
		return -EINVAL;
	return command->handle(conn, conn->request + sizeof(*header), len, ret_answer);
}
