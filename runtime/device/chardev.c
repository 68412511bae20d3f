/* SPDX-License-Identifier: MIT */
/*
 * Transfers and registers of a card behind a kernel driver.
 *
 * The lines of a failed transfer have the words of the vendor's layers, so that what is said about
 * those in public can be found: the driver's request, what waited for it, the transfer as a whole.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "runtime/device/chardev.h"
#include "runtime/device/pci.h"

/*
 * Of one request. Old drivers give one 2 s, and pin all of it at once; a slow virtual card moves as
 * much in that time.
 */
#define CHUNK_BYTES ((size_t)64 << 20)
#define BOUNCE_BYTES ((size_t)4 << 20)
#define EVIDENCE_BYTES 4096u

#define FAILED(why, err, what) \
	reason_add(why, err, "[chardev.c:%d] %s failed: %s", __LINE__, what, strerror(-(err)))

/* One transfer, or a part of it. */
struct move {
	struct chardev *card;
	enum axdev_dir dir;
	int channel;
	uint64_t card_addr;
	const struct axdev_buf *buf; /* its dma-buf is where the bytes are; NULL: only @ptr */
	size_t offset;		     /* in @buf */
	uint8_t *ptr;
	size_t len;
};

static uint32_t direction(const struct move *move)
{
	return move->dir == AXDEV_TO_CARD ? METIS_XFER_WRITE : METIS_XFER_READ;
}

static size_t least(size_t a, size_t b)
{
	return a < b ? a : b;
}

static struct move part_of(const struct move *move, size_t done, size_t most)
{
	struct move part = *move;

	part.card_addr += done;
	part.offset += done;
	part.ptr += done;
	part.len = least(move->len - done, most);
	return part;
}

/* --- the program's own memory --- */

/* Any channel: the request has none. */
static int user_request(const struct move *move)
{
	struct metis_user_xfer xfer = {
		.card = move->card_addr,
		.user = (uintptr_t)move->ptr,
		.size = move->len,
		.flags = direction(move),
	};
	int err = chardev_request(move->card, move->card->fd, METIS_IOC_USER_XFER, &xfer);

	return err < 0 ? err : 0;
}

static int user_move(const struct move *move, struct reason *why)
{
	struct move part;
	size_t done;
	int err = 0;

	for (done = 0; !err && done < move->len; done += part.len) {
		part = part_of(move, done, move->card->chunk_bytes);
		err = user_request(&part);
	}
	return err ? FAILED(why, err, "USR_DMA_XFER") : 0;
}

/* --- dma-bufs --- */

static int dmabuf_wait(const struct move *move, int fd, struct reason *why)
{
	struct metis_dmabuf_xfer xfer = {.flags = METIS_XFER_SYNC};
	int err = chardev_request(move->card, fd, METIS_IOC_DMA_SYNC_STATUS, &xfer);

	return err < 0 ? FAILED(why, err, "DMA_GET_XFER_SYNC_STATUS") : 0;
}

static int dmabuf_start(const struct move *move, int fd, struct reason *why)
{
	struct metis_dmabuf_xfer xfer = {
		.card = move->card_addr,
		.size = move->len,
		.offset = (uint32_t)move->offset,
		.handle = -1,
		.flags = direction(move) | METIS_XFER_ASYNC,
		.channel = move->channel,
	};
	int err;

	if (move->offset > UINT32_MAX)
		return reason_add(why, -EFBIG, "a dma-buf is used up to 4 GiB only");
	err = chardev_request(move->card, fd, METIS_IOC_DMA_XFER, &xfer);
	return err < 0 ? FAILED(why, err, "DMA_XFER") : 0;
}

static int dmabuf_request(const struct move *move, struct reason *why)
{
	struct chardev *card = move->card;
	struct chardev_port *port;
	int err = chardev_port_take(card, move->buf, &port, why);

	if (err)
		return err;
	if (move->dir == AXDEV_TO_CARD)
		err = chardev_dmabuf_sync(card, move->buf, move->dir);
	if (!err)
		err = dmabuf_start(move, port->fd, why);
	if (!err) {
		err = dmabuf_wait(move, port->fd, why);
		if (err)
			FAILED(why, err, "DMABUF_METIS_WAIT");
	}
	if (!err && move->dir == AXDEV_FROM_CARD)
		err = chardev_dmabuf_sync(card, move->buf, move->dir);
	chardev_port_give(card, port, err != 0);
	return err;
}

static int dmabuf_move(const struct move *move, struct reason *why)
{
	struct move part;
	size_t done;
	int err = 0;

	for (done = 0; !err && done < move->len; done += part.len) {
		part = part_of(move, done, move->card->chunk_bytes);
		err = dmabuf_request(&part, why);
	}
	return err;
}

/*
 * A dma-buf's bytes by the other path. They go through pages of our own, because those of a dma-buf
 * can't be pinned.
 */
static int bounce_move(const struct move *move, struct reason *why)
{
	size_t bytes = least(move->len, BOUNCE_BYTES), done;
	uint8_t *pages = chardev_pages_alloc(bytes);
	struct move part;
	int err = 0;

	if (!pages)
		return reason_add(why, -ENOMEM, "no memory to fall back from dma-bufs");
	for (done = 0; !err && done < move->len; done += part.len) {
		part = part_of(move, done, bytes);
		if (move->dir == AXDEV_TO_CARD)
			memcpy(pages, part.ptr, part.len);
		part.ptr = pages;
		err = user_move(&part, why);
		if (!err && move->dir == AXDEV_FROM_CARD)
			memcpy(move->ptr + done, pages, part.len);
	}
	chardev_pages_free(pages, bytes);
	return err;
}

/* --- a transfer --- */

/*
 * A write timed out: did the bytes arrive all the same? One try to read the last ones back; its own
 * completion may get lost too, so its memory, which held the opposite, counts and not its result.
 * With healing the driver would not have reported such a timeout.
 */
static void look_for_data(const struct move *move, struct reason *why)
{
	size_t len = least(move->len, EVIDENCE_BYTES), i;
	struct move back = part_of(move, move->len - len, len);
	const uint8_t *sent = back.ptr;
	uint8_t *there = chardev_pages_alloc(EVIDENCE_BYTES);
	int err;

	if (!there)
		return;
	for (i = 0; i < len; i++)
		there[i] = (uint8_t)~sent[i];
	back.dir = AXDEV_FROM_CARD;
	back.ptr = there;
	err = user_request(&back);
	if (!memcmp(there, sent, len))
		reason_add(why, 0,
			   "the data did arrive: card memory holds its last %zu bytes; only "
			   "completions get lost, healing would go on",
			   len);
	else if (err)
		reason_add(why, 0, "whether the data arrived is unknown: reading it back fails: %s",
			   strerror(-err));
	else
		reason_add(why, 0, "the data did not arrive: card memory holds other bytes");
	chardev_pages_free(there, EVIDENCE_BYTES);
}

/* At once, not after the other path was tried, which would write the same bytes again. */
static void gather_evidence(const struct move *move, int err, struct reason *evidence)
{
	if (err == -ETIMEDOUT && move->dir == AXDEV_TO_CARD && move->card->dev.options.no_healing)
		look_for_data(move, evidence);
}

/* What is known of it, innermost; then @lines, then the transfer as a whole. */
static int explain(const struct move *move, int err, const struct reason *evidence,
		   const struct reason *lines, struct reason *why)
{
	if (evidence->text[0])
		reason_add(why, err, "%s", evidence->text);
	else if (err == -ENODEV)
		chardev_gone(move->card, why);
	else if (err == -EIO)
		reason_add(why, err, "the card or the bus refused a transfer: see dmesg");
	else if (err == -EFAULT)
		reason_add(why, err, "memory is not mapped, or of a kind no card can be given");
	if (lines->text[0])
		reason_add(why, err, "%s", lines->text);
	return FAILED(why, err, "axl_dma_xfer");
}

static int run_move(const struct move *move, struct reason *why)
{
	bool dmabuf = move->buf && move->buf->priv;
	struct reason evidence = {0}, lines = {0};
	int err;

	if (chardev_guard_hit(move->card->l2_guard))
		return chardev_gone(move->card, why);
	err = dmabuf ? dmabuf_move(move, &lines) : user_move(move, &lines);
	gather_evidence(move, err, &evidence);
	/* As the vendor's runtime does; both failures are told. */
	if (dmabuf && err == -ETIMEDOUT)
		err = bounce_move(move, &lines);
	return err ? explain(move, err, &evidence, &lines, why) : 0;
}

static int xfer(struct axdev *dev, enum axdev_dir dir, int channel, uint64_t card_addr,
		const struct axdev_buf *buf, size_t offset, size_t len, struct reason *why)
{
	struct move move = {
		.card = chardev_of(dev),
		.dir = dir,
		.channel = channel,
		.card_addr = card_addr,
		.buf = buf,
		.offset = offset,
		.ptr = (uint8_t *)buf->ptr + offset,
		.len = len,
	};
	int err = axdev_pci_check_xfer(channel, card_addr, len, why);

	if (err)
		return err;
	if (!axdev_pci_range(offset, len, buf->bytes))
		return reason_add(why, -EINVAL,
				  "offset %zu + %zu bytes leaves the buffer of %zu bytes", offset,
				  len, buf->bytes);
	return run_move(&move, why);
}

static int xfer_user(struct axdev *dev, enum axdev_dir dir, int channel, uint64_t card_addr,
		     void *ptr, size_t len, struct reason *why)
{
	struct move move = {
		.card = chardev_of(dev),
		.dir = dir,
		.channel = channel,
		.card_addr = card_addr,
		.ptr = ptr,
		.len = len,
	};
	struct reason inner = {0};
	int err;

	if (move.card->dma != CHARDEV_USER)
		return -ENOTSUP;
	err = axdev_pci_check_xfer(channel, card_addr, len, why);
	if (err)
		return err;
	err = run_move(&move, &inner);
	/* A mapping of a device, or one that is only read: the vendor's driver pins for writing. */
	if (err == -EFAULT)
		return -ENOTSUP;
	return err ? reason_add(why, err, "%s", inner.text) : 0;
}

/* --- registers and L2 --- */

static int check_access(unsigned int bar, uint64_t offset, size_t len, struct reason *why)
{
	uint64_t size = bar == METIS_BAR_L2	? METIS_BAR_L2_BYTES
			: bar == METIS_BAR_EDMA ? METIS_BAR_EDMA_BYTES
						: 0;

	if (!len || !axdev_pci_range(offset, len, size))
		return reason_add(why, -EINVAL, "access of %zu bytes at 0x%llx leaves BAR%u", len,
				  (unsigned long long)offset, bar);
	if (bar == METIS_BAR_EDMA && ((len != 4 && len != 8) || offset % 4))
		return reason_add(why, -EINVAL, "BAR0 takes aligned accesses of 4 bytes only");
	return 0;
}

static void *map_bar(struct chardev *card, void *at, unsigned int page, size_t bytes)
{
	return card->sys->mmap(at, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | (at ? MAP_FIXED : 0),
			       card->fd, (off_t)page * sysconf(_SC_PAGESIZE));
}

/* Rarely needed and rarely allowed, so only when asked for. */
static int map_regs(struct chardev *card, struct reason *why)
{
	void *regs = NULL;
	int err = 0;

	pthread_mutex_lock(&card->lock);
	if (!card->regs) {
		regs = map_bar(card, NULL, METIS_MMAP_EDMA, METIS_BAR_EDMA_BYTES);
		err = regs == MAP_FAILED ? -errno : 0;
	}
	if (regs && !err) {
		card->regs_guard = chardev_guard_create(regs, METIS_BAR_EDMA_BYTES);
		if (card->regs_guard)
			card->regs = regs;
		else
			err = -ENOMEM;
		if (err)
			card->sys->munmap(regs, METIS_BAR_EDMA_BYTES);
	}
	pthread_mutex_unlock(&card->lock);
	if (err == -ENODEV)
		return chardev_gone(card, why);
	if (err == -EACCES || err == -EPERM)
		return reason_add(
			why, -EPERM,
			"the registers of %s are its driver's: they are shown to root, or "
			"with the module parameter user_registers=1",
			card->dev.name);
	return err ? reason_add(why, err, "%s does not map its registers: %s", card->dev.name,
				strerror(-err))
		   : 0;
}

static int regs_read(struct chardev *card, uint64_t offset, void *buf, size_t len,
		     struct reason *why)
{
	int err = map_regs(card, why);

	if (err)
		return err;
	axdev_mmio_read(buf, card->regs + offset, 4);
	if (len == 8)
		axdev_mmio_read((uint8_t *)buf + 4, card->regs + offset + 4, 4);
	return chardev_guard_hit(card->regs_guard) ? chardev_gone(card, why) : 0;
}

static int bar_read(struct axdev *dev, unsigned int bar, uint64_t offset, void *buf, size_t len,
		    struct reason *why)
{
	struct chardev *card = chardev_of(dev);
	int err = check_access(bar, offset, len, why);

	if (err)
		return err;
	if (bar == METIS_BAR_EDMA)
		return regs_read(card, offset, buf, len, why);
	if (!chardev_guard_hit(card->l2_guard))
		axdev_mmio_read(buf, card->l2 + offset, len);
	return chardev_guard_hit(card->l2_guard) ? chardev_gone(card, why) : 0;
}

static int bar_write(struct axdev *dev, unsigned int bar, uint64_t offset, const void *buf,
		     size_t len, struct reason *why)
{
	struct chardev *card = chardev_of(dev);
	int err = check_access(bar, offset, len, why);

	if (err)
		return err;
	if (bar == METIS_BAR_EDMA)
		return reason_add(why, -EPERM, "the registers of %s are its driver's to write",
				  dev->name);
	if (!chardev_guard_hit(card->l2_guard)) {
		axdev_mmio_write(card->l2 + offset, buf, len);
		/* Before any command that tells of it. */
		atomic_thread_fence(memory_order_seq_cst);
	}
	return chardev_guard_hit(card->l2_guard) ? chardev_gone(card, why) : 0;
}

/* --- open, reset, close --- */

static int reset(struct axdev *dev, struct reason *why)
{
	struct chardev *card = chardev_of(dev);
	unsigned int i;
	int err = chardev_reset(card, why);

	if (err)
		return err;
	for (i = 0; i < METIS_IRQ_NR; i++)
		if (card->waiters[i] >= 0)
			chardev_irq_clear(dev, i);
	/* In place: nobody who holds the address is to be told. */
	if (map_bar(card, card->l2, METIS_MMAP_L2, METIS_BAR_L2_BYTES) == MAP_FAILED)
		return reason_add(why, -errno, "%s does not map L2 after its reset: %s", dev->name,
				  strerror(errno));
	chardev_guard_renew(card->l2_guard);
	return 0;
}

/* Takes half-built ones too. Buffers never freed are let go of by the kernel. */
static void destroy(struct axdev *dev)
{
	struct chardev *card = chardev_of(dev);
	unsigned int i;

	chardev_guard_destroy(card->l2_guard);
	chardev_guard_destroy(card->regs_guard);
	if (card->l2)
		card->sys->munmap(card->l2, METIS_BAR_L2_BYTES);
	if (card->regs)
		card->sys->munmap(card->regs, METIS_BAR_EDMA_BYTES);
	for (i = 0; i < METIS_IRQ_NR; i++)
		chardev_close_fd(card, &card->waiters[i]);
	for (i = 0; i < METIS_CORES; i++)
		chardev_close_fd(card, &card->cores[i]);
	chardev_close_fd(card, &card->losses);
	chardev_close_fd(card, &card->heap);
	chardev_close_fd(card, &card->fd);
	pthread_mutex_destroy(&card->lock);
	axdev_deinit(dev);
	free(card);
}

static const struct axdev_ops chardev_ops = {
	.close = destroy,
	.bar_read = bar_read,
	.bar_write = bar_write,
	.buf_alloc = chardev_buf_alloc,
	.buf_free = chardev_buf_free,
	.xfer = xfer,
	.xfer_user = xfer_user,
	.irq_wait = chardev_irq_wait,
	.irq_clear = chardev_irq_clear,
	.cores_take = chardev_cores_take,
	.cores_give = chardev_cores_give,
	.losses = chardev_losses,
	.reset = reset,
};

/* Some drivers map whatever follows a BAR that is shorter. */
static int check_l2(struct chardev *card, struct reason *why)
{
	struct metis_resources resources = {0};
	int err = chardev_request(card, card->fd, METIS_IOC_GET_RESOURCES, &resources);

	if (err == -ENODEV)
		return chardev_gone(card, why);
	if (err < 0)
		return reason_add(why, err == -ENOTTY ? -EPROTO : err,
				  "%s is not of a Metis driver: GET_RESOURCE_INFO failed: %s",
				  card->node, strerror(-err));
	if (resources.l2_size < METIS_BAR_L2_BYTES)
		return reason_add(why, -EPROTO, "%s has %llu bytes of L2, a Metis card's has %u",
				  card->dev.name, (unsigned long long)resources.l2_size,
				  METIS_BAR_L2_BYTES);
	return 0;
}

static int map_l2(struct chardev *card, struct reason *why)
{
	void *l2 = map_bar(card, NULL, METIS_MMAP_L2, METIS_BAR_L2_BYTES);

	if (l2 == MAP_FAILED && errno == ENODEV)
		return chardev_gone(card, why);
	if (l2 == MAP_FAILED)
		return reason_add(why, -errno, "%s does not map L2: %s", card->node,
				  strerror(errno));
	card->l2 = l2;
	card->l2_guard = chardev_guard_create(l2, METIS_BAR_L2_BYTES);
	return card->l2_guard ? 0
			      : reason_add(why, -ENOMEM, "too many cards are open in this program");
}

static int start(struct chardev *card, struct reason *why)
{
	int err = chardev_node_find(card->sys, card->dev.name, card->node, sizeof(card->node),
				    &card->fd, why);

	if (!err)
		err = check_l2(card, why);
	if (!err)
		err = map_l2(card, why);
	if (!err)
		err = chardev_choose_dma(card, why);
	if (!err)
		chardev_losses_open(card);
	return err;
}

int chardev_open(const struct chardev_sys *sys, const char *name,
		 const struct axdev_options *options, struct axdev **ret_dev, struct reason *why)
{
	char resolved[CHARDEV_NAME_BYTES];
	struct chardev *card;
	unsigned int i;
	int err = chardev_resolve(sys, name, resolved, why);

	if (err)
		return err;
	card = calloc(1, sizeof(*card));
	if (!card)
		return reason_add(why, -ENOMEM, "out of memory");
	err = axdev_init(&card->dev, &chardev_ops, resolved, options, why);
	if (err) {
		free(card);
		return err;
	}
	card->sys = sys;
	card->fd = card->heap = card->losses = -1;
	card->chunk_bytes = CHUNK_BYTES;
	for (i = 0; i < METIS_IRQ_NR; i++)
		card->waiters[i] = -1;
	for (i = 0; i < METIS_CORES; i++)
		card->cores[i] = -1;
	pthread_mutex_init(&card->lock, NULL);
	err = start(card, why);
	if (err) {
		destroy(&card->dev);
		return err;
	}
	*ret_dev = &card->dev;
	return 0;
}

/* --- the kernel --- */

static int sys_open(const char *path, int flags)
{
	return open(path, flags);
}

static int sys_ioctl(int fd, unsigned long request, void *arg)
{
	return ioctl(fd, request, arg);
}

static const struct chardev_sys linux_sys = {
	.root = "",
	.open = sys_open,
	.close = close,
	.ioctl = sys_ioctl,
	.mmap = mmap,
	.munmap = munmap,
	.poll = poll,
	.pread = pread,
	.pwrite = pwrite,
};

static int open_card(const char *name, const struct axdev_options *options, struct axdev **ret_dev,
		     struct reason *why)
{
	return chardev_open(&linux_sys, name, options, ret_dev, why);
}

static void list_cards(void (*found)(void *ctx, const char *name), void *ctx)
{
	chardev_list(&linux_sys, found, ctx);
}

static bool is_node(const char *name)
{
	return !strncmp(name, "metis", 5) || !strncmp(name, "/dev/metis", 10);
}

const struct axdev_backend axdev_chardev = {
	.scheme = "chardev",
	.owns = is_node,
	.open = open_card,
	.list = list_cards,
};
