/* SPDX-License-Identifier: MIT */
/*
 * One way to reach a card: one struct of functions, one file each.
 *
 * Names: "metis-0:86:0", "/dev/metis-0-86-0" or "chardev"; "vfio:0000:86:00.0" or "vfio"; "sim" or
 * "sim:N"; "vfio-user:PATH".
 * Backends that see raw BARs (sim, vfio-user, vfio) implement struct axdev_pci_ops and get DMA and
 * interrupt bookkeeping from pci.c; chardev, behind a kernel driver, implements struct axdev_ops.
 */
#ifndef TETHYS_RUNTIME_DEVICE_H
#define TETHYS_RUNTIME_DEVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/reason.h"

struct axdev;

/* A part of a buffer that is one piece for the card: from @offset to the next run or the end. */
struct axdev_run {
	size_t offset;
	uint64_t iova;
};

/* Host memory the card can reach. */
struct axdev_buf {
	void *ptr;     /* in this process */
	uint64_t iova; /* as the card sees it; 0 where the backend hides it */
	size_t bytes;
	void *priv; /* the backend's */
	/* Where the card sees several pieces, ascending, the first at offset 0; NULL: only one. */
	const struct axdev_run *runs;
	size_t runs_nr;
};

enum axdev_dir {
	AXDEV_TO_CARD,	 /* eDMA read channel */
	AXDEV_FROM_CARD, /* eDMA write channel */
};

/* Settings of open; zero is the default of each. */
struct axdev_options {
	const char *personality; /* sim: card_config.personality */
	const char *engine;	 /* sim: card_config.engine */
	/* Transfers of chardev are its driver's: it has module parameters for these three. */
	unsigned int dma_timeout_ms; /* per transfer; 0: 1000, plus 10 per MiB */
	bool dma_poll;		     /* never ask for interrupts */
	bool no_healing; /* a lost interrupt is an error even when the channel is done */
	const char *dma; /* chardev: "user", "dmabuf", "auto"; NULL: TETHYS_DMA, else "user" */
	bool one_socket; /* vfio-user: take the server's DMA messages on the main socket, as QEMU */
	unsigned int request_timeout_ms; /* vfio-user: of each message; 0: 5000 */
	int spin_us; /* most time to watch for a completion before sleeping; 0: 320, negative: never */
};

struct axdev_ops {
	void (*close)(struct axdev *dev);
	/*
	 * Registers and L2. @bar: 0 or 2. Any aligned width of 4 or 8; L2 also any length.
	 * Return: 0; -EINVAL; -ENODEV the card is gone.
	 */
	int (*bar_read)(struct axdev *dev, unsigned int bar, uint64_t offset, void *buf, size_t len,
			struct reason *why);
	int (*bar_write)(struct axdev *dev, unsigned int bar, uint64_t offset, const void *buf,
			 size_t len, struct reason *why);
	/* Page-aligned, zeroed host memory the card can reach. */
	int (*buf_alloc)(struct axdev *dev, size_t bytes, struct axdev_buf *ret_buf,
			 struct reason *why);
	void (*buf_free)(struct axdev *dev, struct axdev_buf *buf);
	/*
	 * Move @len bytes between @buf + @offset and card address @card_addr on @channel (0-3, or -1:
	 * any free one), and wait. Thread safe; different channels run side by side.
	 * Return: 0; -ETIMEDOUT; -EIO the card refused; -ENODEV; -EINVAL.
	 */
	int (*xfer)(struct axdev *dev, enum axdev_dir dir, int channel, uint64_t card_addr,
		    const struct axdev_buf *buf, size_t offset, size_t len, struct reason *why);
	/*
	 * The same for memory the backend did not allocate. -ENOTSUP: copy through a buffer. sim
	 * reaches any memory.
	 */
	int (*xfer_user)(struct axdev *dev, enum axdev_dir dir, int channel, uint64_t card_addr,
			 void *ptr, size_t len, struct reason *why);
	/*
	 * Wait for interrupt @number (one count consumed), at most @timeout_ms.
	 * Return: 0; -ETIMEDOUT; -ENODEV the card is gone.
	 */
	int (*irq_wait)(struct axdev *dev, unsigned int number, unsigned int timeout_ms,
			struct reason *why);
	void (*irq_clear)(struct axdev *dev, unsigned int number);
	/*
	 * Reserve @count adjacent cores among all programs that share the card, until given back or
	 * closed. NULL, all three: nobody shares it.
	 * Return: 0 and the lowest core; -EBUSY; -ENODEV.
	 */
	int (*cores_take)(struct axdev *dev, unsigned int count, unsigned int *ret_first,
			  struct reason *why);
	void (*cores_give)(struct axdev *dev, unsigned int first);
	/* Bring lost_irqs up to date; cheap unless it must be exact @now. */
	void (*losses)(struct axdev *dev, bool now);
	/* Bus reset; all loaded modules are gone. */
	int (*reset)(struct axdev *dev, struct reason *why);
};

/* Every backend's struct starts with this. */
struct axdev {
	const struct axdev_ops *ops;
	struct axdev_options options;
	char name[256];
	uint64_t lost_irqs; /* healed by polling; atomic */
};

struct axdev_backend {
	const char *scheme;		/* "sim" */
	bool (*owns)(const char *name); /* names without the scheme; NULL: there are none */
	int (*open)(const char *name, const struct axdev_options *options, struct axdev **ret_dev,
		    struct reason *why);
	/* Calls @found with the name of each card there is to open; may be NULL: none to find. */
	void (*list)(void (*found)(void *ctx, const char *name), void *ctx);
};

extern const struct axdev_backend axdev_chardev;
extern const struct axdev_backend axdev_sim;
extern const struct axdev_backend axdev_vfio;
extern const struct axdev_backend axdev_vfio_user;

/**
 * axdev_open() - reach a card by name
 * @options: copied (strings too); NULL: defaults
 *
 * Return: 0; -EINVAL name of no known form; -ENODEV; -EBUSY someone else has it; -EPROTO the peer
 * is no card.
 */
int axdev_open(const char *name, const struct axdev_options *options, struct axdev **ret_dev,
	       struct reason *why);
void axdev_close(struct axdev *dev); /* NULL is fine */

/**
 * axdev_list() - names of the cards there are: all backends', then those of TETHYS_DEVICES, joined
 * by ','
 */
void axdev_list(void (*found)(void *ctx, const char *name), void *ctx);

/* Interrupts found lost since the card was opened; @now: not just about. */
static inline uint64_t axdev_lost_irqs(struct axdev *dev, bool now)
{
	if (dev->ops->losses)
		dev->ops->losses(dev, now);
	return __atomic_load_n(&dev->lost_irqs, __ATOMIC_RELAXED);
}

/**
 * axdev_init() - for backends: fill the common part; strings of @options are copied
 *
 * Return: 0; -ENOMEM; -EINVAL name too long.
 */
int axdev_init(struct axdev *dev, const struct axdev_ops *ops, const char *name,
	       const struct axdev_options *options, struct reason *why);
void axdev_deinit(struct axdev *dev);

#endif
