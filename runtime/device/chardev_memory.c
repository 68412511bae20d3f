/* SPDX-License-Identifier: MIT */
/*
 * Buffers for a card behind a kernel driver.
 *
 * The program's own pages: the driver pins and maps them for each transfer. Buffers of the
 * dma-heap: mapped for the card once, when attached; no page table is walked for a transfer, but
 * the memory is apart from the program's, and a file of the driver takes one of them.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/dma-buf.h>
#include <linux/dma-heap.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "runtime/device/chardev.h"

#define HEAP "/dev/dma_heap/system"
#define PAGE_BYTES 4096ull
#define HUGE_BYTES (2ull << 20)
#define PORTS_NR 4 /* as many as channels of a direction */

struct chardev_dmabuf {
	int fd;
	size_t bytes;
	struct chardev_port ports[PORTS_NR];
};

void *chardev_pages_alloc(size_t bytes)
{
	size_t mapped = (bytes + PAGE_BYTES - 1) & ~(size_t)(PAGE_BYTES - 1);
	void *ptr = mmap(NULL, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (ptr == MAP_FAILED)
		return NULL;
	/* Fewer, longer elements in the card's list. */
	if (mapped >= HUGE_BYTES)
		madvise(ptr, mapped, MADV_HUGEPAGE);
	return ptr;
}

void chardev_pages_free(void *ptr, size_t bytes)
{
	munmap(ptr, (bytes + PAGE_BYTES - 1) & ~(size_t)(PAGE_BYTES - 1));
}

/* --- the choice --- */

static int open_heap(struct chardev *card, struct reason *why)
{
	char path[256];

	snprintf(path, sizeof(path), "%s%s", card->sys->root, HEAP);
	card->heap = card->sys->open(path, O_RDWR | O_CLOEXEC);
	if (card->heap >= 0)
		return 0;
	if (errno == EACCES)
		return reason_add(why, -EACCES,
				  "%s is not yours to open: be root, or as root: chown NAME %s; or "
				  "go without: TETHYS_DMA=user",
				  HEAP, HEAP);
	return reason_add(why, -errno,
			  "%s: %s: a kernel with CONFIG_DMABUF_HEAPS_SYSTEM has it; or go without: "
			  "TETHYS_DMA=user",
			  HEAP, strerror(errno));
}

int chardev_choose_dma(struct chardev *card, struct reason *why)
{
	const char *way = card->dev.options.dma;

	if (!way)
		way = getenv("TETHYS_DMA");
	card->dma = CHARDEV_USER;
	if (!way || !*way || !strcmp(way, "user"))
		return 0;
	if (!strcmp(way, "auto")) {
		if (!open_heap(card, NULL))
			card->dma = CHARDEV_DMABUF;
		return 0;
	}
	if (strcmp(way, "dmabuf") != 0)
		return reason_add(why, -EINVAL,
				  "tethys.dma or TETHYS_DMA is \"%.40s\": use user, dmabuf or auto",
				  way);
	card->dma = CHARDEV_DMABUF;
	return open_heap(card, why);
}

/* --- ports --- */

static int open_port(struct chardev *card, struct chardev_dmabuf *dmabuf, struct chardev_port *port,
		     struct reason *why)
{
	int fd = chardev_open_again(card, why), err;
	__s32 handle = dmabuf->fd;

	if (fd < 0)
		return fd;
	err = chardev_request(card, fd, METIS_IOC_DMA_ATTACH, &handle);
	if (err < 0) {
		chardev_close_fd(card, &fd);
		if (err == -ENODEV)
			return chardev_gone(card, why);
		return reason_add(why, err, "DMA_ATTACH failed: %s", strerror(-err));
	}
	port->fd = fd;
	return 0;
}

int chardev_port_take(struct chardev *card, const struct axdev_buf *buf,
		      struct chardev_port **ret_port, struct reason *why)
{
	struct chardev_dmabuf *dmabuf = buf->priv;
	struct chardev_port *port;
	unsigned int i;
	int err = 0;

	for (i = 0; i < PORTS_NR; i++)
		if (!pthread_mutex_trylock(&dmabuf->ports[i].lock))
			break;
	/* All at work: the driver ends each of their transfers in time. */
	port = &dmabuf->ports[i % PORTS_NR];
	if (i == PORTS_NR)
		pthread_mutex_lock(&port->lock);
	if (port->fd < 0)
		err = open_port(card, dmabuf, port, why);
	if (err) {
		pthread_mutex_unlock(&port->lock);
		return err;
	}
	*ret_port = port;
	return 0;
}

void chardev_port_give(struct chardev *card, struct chardev_port *port, bool broken)
{
	if (broken)
		chardev_close_fd(card, &port->fd);
	pthread_mutex_unlock(&port->lock);
}

int chardev_dmabuf_sync(struct chardev *card, const struct axdev_buf *buf, enum axdev_dir dir)
{
	const struct chardev_dmabuf *dmabuf = buf->priv;
	struct dma_buf_sync sync = {.flags = dir == AXDEV_TO_CARD
						     ? DMA_BUF_SYNC_END | DMA_BUF_SYNC_WRITE
						     : DMA_BUF_SYNC_START | DMA_BUF_SYNC_READ};
	int err = chardev_request(card, dmabuf->fd, DMA_BUF_IOCTL_SYNC, &sync);

	return err < 0 ? err : 0;
}

/* --- buffers --- */

/* Takes half-built ones too. */
static void dmabuf_destroy(struct chardev *card, struct chardev_dmabuf *dmabuf, void *ptr)
{
	unsigned int i;

	for (i = 0; i < PORTS_NR; i++) {
		chardev_close_fd(card, &dmabuf->ports[i].fd);
		pthread_mutex_destroy(&dmabuf->ports[i].lock);
	}
	if (ptr)
		card->sys->munmap(ptr, dmabuf->bytes);
	chardev_close_fd(card, &dmabuf->fd);
	free(dmabuf);
}

static struct chardev_dmabuf *dmabuf_create(size_t bytes)
{
	struct chardev_dmabuf *dmabuf = calloc(1, sizeof(*dmabuf));
	unsigned int i;

	if (!dmabuf)
		return NULL;
	dmabuf->fd = -1;
	dmabuf->bytes = (bytes + PAGE_BYTES - 1) & ~(size_t)(PAGE_BYTES - 1);
	for (i = 0; i < PORTS_NR; i++) {
		dmabuf->ports[i].fd = -1;
		pthread_mutex_init(&dmabuf->ports[i].lock, NULL);
	}
	return dmabuf;
}

/* Memory, and where we see it. */
static int dmabuf_fill(struct chardev *card, struct chardev_dmabuf *dmabuf, void **ret_ptr,
		       struct reason *why)
{
	struct dma_heap_allocation_data data = {.len = dmabuf->bytes,
						.fd_flags = O_RDWR | O_CLOEXEC};
	int err = chardev_request(card, card->heap, DMA_HEAP_IOCTL_ALLOC, &data);
	void *ptr;

	if (err < 0)
		return reason_add(why, err, "%s gives no %zu bytes: %s", HEAP, dmabuf->bytes,
				  strerror(-err));
	dmabuf->fd = (int)data.fd;
	ptr = card->sys->mmap(NULL, dmabuf->bytes, PROT_READ | PROT_WRITE, MAP_SHARED, dmabuf->fd,
			      0);
	if (ptr == MAP_FAILED)
		return reason_add(why, -errno, "a dma-buf is not mapped: %s", strerror(errno));
	*ret_ptr = ptr;
	return 0;
}

static int dmabuf_alloc(struct chardev *card, size_t bytes, struct axdev_buf *ret_buf,
			struct reason *why)
{
	struct chardev_dmabuf *dmabuf = dmabuf_create(bytes);
	void *ptr = NULL;
	int err;

	if (!dmabuf)
		return reason_add(why, -ENOMEM, "out of memory");
	err = dmabuf_fill(card, dmabuf, &ptr, why);
	/* A card that can't take it says so now. */
	if (!err)
		err = open_port(card, dmabuf, &dmabuf->ports[0], why);
	if (err) {
		dmabuf_destroy(card, dmabuf, ptr);
		return err;
	}
	*ret_buf = (struct axdev_buf){.ptr = ptr, .bytes = bytes, .priv = dmabuf};
	return 0;
}

int chardev_buf_alloc(struct axdev *dev, size_t bytes, struct axdev_buf *ret_buf,
		      struct reason *why)
{
	struct chardev *card = chardev_of(dev);
	void *ptr;

	if (!bytes || bytes > SIZE_MAX / 2)
		return reason_add(why, -EINVAL, "a buffer of %zu bytes", bytes);
	if (card->dma == CHARDEV_DMABUF)
		return dmabuf_alloc(card, bytes, ret_buf, why);
	ptr = chardev_pages_alloc(bytes);
	if (!ptr)
		return reason_add(why, -ENOMEM, "no memory for a buffer of %zu bytes", bytes);
	*ret_buf = (struct axdev_buf){.ptr = ptr, .bytes = bytes};
	return 0;
}

void chardev_buf_free(struct axdev *dev, struct axdev_buf *buf)
{
	if (buf->priv)
		dmabuf_destroy(chardev_of(dev), buf->priv, buf->ptr);
	else if (buf->ptr)
		chardev_pages_free(buf->ptr, buf->bytes);
	memset(buf, 0, sizeof(*buf));
}
