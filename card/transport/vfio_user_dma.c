/* SPDX-License-Identifier: MIT */
/*
 * DMA of the card: a copy where client memory is mapped, messages where it is not.
 *
 * An address nobody mapped is sent all the same. It is the only way for the IOMMU a guest sees to
 * raise its fault, with our requester id and the address.
 */
#include <errno.h>
#include <string.h>

#include "card/transport/vfio_user_internal.h"

#define SLOT_MASK (VUS_DMA_SLOTS - 1)
_Static_assert((VUS_DMA_SLOTS & SLOT_MASK) == 0, "the low bits of an id are the slot");

/* One call of the card, waiting in its thread. */
struct vus_dma_job {
	pthread_cond_t done;
	unsigned int pending; /* messages without reply */
	int error;	      /* first one, negative errno */
	bool untold;	      /* an interrupt, which is the card's to tell of */
};

/* The head of a DMA message. */
struct dma_head {
	struct vfio_user_header header;
	struct vfio_user_dma_access access;
} VFIO_USER_PACKED;

int vus_dma_init(struct vus_dma *dma)
{
	memset(dma, 0, sizeof(*dma));
	if (pthread_mutex_init(&dma->lock, NULL))
		return -ENOMEM;
	if (pthread_cond_init(&dma->room, NULL)) {
		pthread_mutex_destroy(&dma->lock);
		return -ENOMEM;
	}
	return 0;
}

void vus_dma_deinit(struct vus_dma *dma)
{
	pthread_cond_destroy(&dma->room);
	pthread_mutex_destroy(&dma->lock);
}

/* --- slots; dma->lock is held --- */

/* The end of a message, while its range may still be mapped for it. */
static void trace_end(const struct vus_dma *dma, const struct vus_dma_slot *slot, int result)
{
	const struct card_event event = {
		.kind = slot->command == VFIO_USER_DMA_WRITE ? CARD_EVENT_WRITE : CARD_EVENT_READ,
		.way = CARD_WAY_MESSAGE,
		.number = slot->id,
		.addr = slot->iova,
		.len = slot->count,
		.result = result,
	};

	if (!slot->job->untold)
		vus_trace(dma->server, &event);
}

static void slot_release(struct vus_dma *dma, struct vus_dma_slot *slot, int error)
{
	struct vus_dma_job *job = slot->job;

	slot->job = NULL;
	dma->busy--;
	if (error && !job->error)
		job->error = error;
	if (!--job->pending)
		pthread_cond_signal(&job->done);
	pthread_cond_signal(&dma->room);
}

/* A free slot for @job. NULL: the gate is closed, or the job has failed meanwhile. */
static struct vus_dma_slot *slot_get(struct vus_dma *dma, struct vus_dma_job *job)
{
	struct vus_dma_slot *slot = dma->slots;

	while (dma->busy == VUS_DMA_SLOTS && !dma->closed && !job->error)
		pthread_cond_wait(&dma->room, &dma->lock);
	if (dma->closed && !job->error)
		job->error = -ENODEV;
	if (job->error)
		return NULL;
	while (slot->job)
		slot++;
	/* The high bits tell this use from the last 1023: a late reply finds nobody. */
	slot->id = (uint16_t)(((slot->id & ~SLOT_MASK) + VUS_DMA_SLOTS) | (slot - dma->slots));
	slot->job = job;
	dma->busy++;
	job->pending++;
	return slot;
}

void vus_dma_close(struct vus_dma *dma)
{
	struct vus_dma_slot *slot;

	pthread_mutex_lock(&dma->lock);
	dma->closed++;
	for (slot = dma->slots; slot < dma->slots + VUS_DMA_SLOTS; slot++)
		if (slot->job) {
			trace_end(dma, slot, CARD_RESULT_UNKNOWN);
			slot_release(dma, slot, -ENODEV);
		}
	pthread_cond_broadcast(&dma->room);
	pthread_mutex_unlock(&dma->lock);
}

void vus_dma_open(struct vus_dma *dma)
{
	pthread_mutex_lock(&dma->lock);
	dma->closed--;
	pthread_mutex_unlock(&dma->lock);
}

/* --- replies --- */

/* What an error of the client means for the card: struct card_bus. */
static int reply_error(uint32_t error)
{
	switch (error) {
	case ENODEV: /* QEMU: no translation, no permission, no memory, bus master off */
	case EFAULT: /* QEMU: interrupt remapping refused */
		return -EFAULT;
	case EPERM:
	case EACCES:
		return -EPERM;
	default:
		return -EIO;
	}
}

/* Take the data of a successful reply. Return: 0; -EPROTO. */
static int reply_take(const struct vus_dma_slot *slot, const uint8_t *body, size_t len)
{
	const struct vfio_user_dma_access *access = (const void *)body;

	if (slot->command == VFIO_USER_DMA_WRITE)
		return len <= sizeof(*access) ? 0 : -EPROTO; /* older peers echo less */
	if (len != sizeof(*access) + slot->count)
		return -EPROTO;
	memcpy(slot->dst, access->data, slot->count);
	return 0;
}

int vus_dma_reply(struct vus_conn *conn, const struct vfio_user_header *header, const void *body)
{
	struct vus_dma *dma = &conn->dma;
	struct vus_dma_slot *slot = &dma->slots[header->id & SLOT_MASK];
	int error = 0, ret = 0;

	pthread_mutex_lock(&dma->lock);
	/* QEMU sends error replies to commands that asked for none; resets leave replies behind. */
	if (!slot->job || slot->id != header->id || slot->command != header->command) {
		VUS_COUNT(conn->server, replies_dropped);
		goto out;
	}
	if (header->flags & VFIO_USER_ERROR) {
		error = reply_error(header->error);
		VUS_COUNT(conn->server, dma_refused);
	} else {
		ret = reply_take(slot, body, header->size - sizeof(*header));
		error = ret ? -EIO : 0;
	}
	trace_end(dma, slot, error);
	slot_release(dma, slot, error);
out:
	pthread_mutex_unlock(&dma->lock);
	return ret;
}

/* --- messages --- */

/* Bytes one message may move. */
static size_t piece_bytes(const struct vus_conn *conn, bool write)
{
	/* The short write QEMU ignores can't happen to our own client. */
	size_t most = write || conn->twin >= 0 ? VUS_DMA_PIECE : VFIO_USER_MAX_DMA_READ;

	return conn->peer.max_data_xfer_size < most ? conn->peer.max_data_xfer_size : most;
}

/* dma->lock is held: nobody can tell of the end before this. */
static void trace_sent(const struct vus_dma *dma, const struct vus_dma_slot *slot)
{
	const struct card_event event = {
		.kind = CARD_EVENT_SENT,
		.write = slot->command == VFIO_USER_DMA_WRITE,
		.number = slot->id,
		.addr = slot->iova,
		.len = slot->count,
	};

	if (!slot->job->untold)
		vus_trace(dma->server, &event);
}

/* Send one message of @job. Return: 0; negative errno, in the job too. */
static int piece_send(struct vus_conn *conn, struct vus_dma_job *job, bool write, uint64_t iova,
		      uint8_t *buf, size_t len)
{
	struct vus_dma *dma = &conn->dma;
	struct vus_dma_slot *slot;
	int error;
	struct dma_head head = {
		.header.command = write ? VFIO_USER_DMA_WRITE : VFIO_USER_DMA_READ,
		.header.size = (uint32_t)(sizeof(head) + (write ? len : 0)),
		.access = {.iova = iova, .count = len},
	};

	pthread_mutex_lock(&dma->lock);
	slot = slot_get(dma, job);
	if (slot) {
		slot->command = head.header.command;
		slot->count = (uint32_t)len;
		slot->iova = iova;
		slot->dst = buf;
		head.header.id = slot->id;
		trace_sent(dma, slot);
	}
	error = job->error;
	pthread_mutex_unlock(&dma->lock);
	if (!slot)
		return error;
	VUS_COUNT(conn->server, dma_messages);
	VUS_COUNT_BY(conn->server, message_bytes, len);
	/* A failure breaks the connection, whose end closes the gate and so releases the slot. */
	return vus_conn_send_dma(conn, &head, sizeof(head), buf, write ? len : 0);
}

/* Move @len bytes by message and wait. @untold: the observer hears of it from the card. */
static int dma_by_message(struct vus_conn *conn, bool write, uint64_t iova, uint8_t *buf,
			  size_t len, bool untold)
{
	struct vus_dma_job job = {.untold = untold};
	size_t piece, most = piece_bytes(conn, write);

	pthread_cond_init(&job.done, NULL);
	for (; len; len -= piece, iova += piece, buf += piece) {
		piece = len < most ? len : most;
		if (piece_send(conn, &job, write, iova, buf, piece))
			break;
	}
	pthread_mutex_lock(&conn->dma.lock);
	while (job.pending)
		pthread_cond_wait(&job.done, &conn->dma.lock);
	pthread_mutex_unlock(&conn->dma.lock);
	pthread_cond_destroy(&job.done);
	return job.error;
}

/* Nothing of an access has left us. Return: @result. */
static int dma_refuse(struct vus_conn *conn, bool write, uint64_t iova, size_t len, int result)
{
	const struct card_event event = {
		.kind = write ? CARD_EVENT_WRITE : CARD_EVENT_READ,
		.way = CARD_WAY_NONE,
		.addr = iova,
		.len = len,
		.result = result,
	};

	vus_trace(conn->server, &event);
	return result;
}

static int dma_move(struct vus_conn *conn, bool write, uint64_t iova, uint8_t *buf, size_t len)
{
	size_t done, gap;
	int ret;

	if (len && iova + (len - 1) < iova)
		return dma_refuse(conn, write, iova, len, -EFAULT);
	for (; len; len -= done, iova += done, buf += done) {
		if (atomic_load_explicit(&conn->broken, memory_order_relaxed))
			return dma_refuse(conn, write, iova, len, -ENODEV);
		done = vus_map_copy(&conn->maps, write, iova, buf, len, &gap);
		if (done) {
			VUS_COUNT_BY(conn->server, direct_bytes, done);
			continue;
		}
		ret = dma_by_message(conn, write, iova, buf, gap, false);
		if (ret)
			return ret;
		done = gap;
	}
	/* What comes next may be an interrupt: the data must be seen first. */
	atomic_thread_fence(memory_order_release);
	return 0;
}

int vus_dma_read(void *ctx, uint64_t iova, void *dst, size_t len)
{
	return dma_move(ctx, false, iova, dst, len);
}

int vus_dma_write(void *ctx, uint64_t iova, const void *src, size_t len)
{
	/* Only read from, whatever the type says: one path serves both directions. */
	return dma_move(ctx, true, iova, (uint8_t *)(uintptr_t)src, len);
}

int vus_dma_raw_write32(void *ctx, uint64_t addr, uint32_t data)
{
	return dma_by_message(ctx, true, addr, (uint8_t *)&data, sizeof(data), true);
}
