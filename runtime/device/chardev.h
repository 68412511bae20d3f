/* SPDX-License-Identifier: MIT */
/*
 * "metis-0:86:0", "chardev": a card behind a kernel driver that speaks uapi/metis.h.
 *
 *	chardev.c		opening, transfers, the functions of struct axdev_ops
 *	chardev_node.c		names, what the driver says, cores, interrupts
 *	chardev_memory.c	buffers: the program's own memory, or dma-bufs
 *	chardev_guard.c		survive a card that goes away under its mapping
 *
 * A file of the driver has one dma-buf, one set of cores, and one count of events for all it waits
 * for. So there is a file for each: of the card, of a buffer, of a number, of cores taken.
 */
#ifndef TETHYS_RUNTIME_DEVICE_CHARDEV_H
#define TETHYS_RUNTIME_DEVICE_CHARDEV_H

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include <tethys/hw/irq.h>
#include <tethys/hw/memory.h>
#include <tethys/hw/pci.h>
#include <uapi/metis.h>

#include "runtime/device/device.h"

/* "metis-ffffffff:ff:1f" and its zero, with room to spare */
#define CHARDEV_NAME_BYTES 36

/* The kernel; a test brings its own. All as the calls of that name, errno included. */
struct chardev_sys {
	const char *root; /* before "/dev" and "/sys" */
	int (*open)(const char *path, int flags);
	int (*close)(int fd);
	int (*ioctl)(int fd, unsigned long request, void *arg);
	void *(*mmap)(void *addr, size_t bytes, int prot, int flags, int fd, off_t offset);
	int (*munmap)(void *addr, size_t bytes);
	int (*poll)(struct pollfd *fds, nfds_t count, int timeout_ms);
	ssize_t (*pread)(int fd, void *buf, size_t len, off_t offset);
	ssize_t (*pwrite)(int fd, const void *buf, size_t len, off_t offset);
};

enum chardev_dma {
	CHARDEV_USER,	/* the program's own memory, pinned for each transfer */
	CHARDEV_DMABUF, /* buffers of the dma-heap, mapped for the card once */
};

struct chardev_guard;

struct chardev {
	struct axdev dev; /* first: the backend is known by it */
	const struct chardev_sys *sys;
	char node[256]; /* path */
	int fd;
	enum chardev_dma dma;
	int heap;	    /* -1: not opened */
	size_t chunk_bytes; /* most of one request; a test may lower it */
	uint8_t *l2;
	struct chardev_guard *l2_guard;
	/* The below, up to the end. */
	pthread_mutex_t lock;
	uint8_t *regs; /* NULL: not mapped, as is usual */
	struct chardev_guard *regs_guard;
	int waiters[METIS_IRQ_NR]; /* files that get the events of a number; -1: not opened */
	int cores[METIS_CORES];	   /* files that hold cores, by the lowest of these */
	int losses;		   /* the driver's counter in sysfs; -1: it has none */
	uint64_t losses_seen, losses_at_us;
};

static inline struct chardev *chardev_of(struct axdev *dev)
{
	return (struct chardev *)dev;
}

/* --- chardev_node.c --- */

/**
 * chardev_parse() - "metis-0:86:0" or "metis-0-86-0", as the driver's versions name nodes
 * @ret_name: the first form, CHARDEV_NAME_BYTES
 *
 * Return: is it one?
 */
bool chardev_parse(const char *text, char *ret_name);
/* Names of the cards that have a node, in order. */
void chardev_list(const struct chardev_sys *sys, void (*found)(void *ctx, const char *name),
		  void *ctx);
/* What the user wrote to a card's name. Return: 0; -EINVAL; -ENODEV. */
int chardev_resolve(const struct chardev_sys *sys, const char *text, char *ret_name,
		    struct reason *why);
/* The node of @name. Return: 0; -ENODEV, -EACCES and so on, with what to do. */
int chardev_node_find(const struct chardev_sys *sys, const char *name, char *ret_path, size_t bytes,
		      int *ret_fd, struct reason *why);
/* One more file of the node. Return: it; negative errno. */
int chardev_open_again(struct chardev *card, struct reason *why);
void chardev_close_fd(struct chardev *card, int *fd); /* -1 is fine, and is what it becomes */
/* An ioctl, repeated when a signal came. Return: its value; negative errno. */
int chardev_request(struct chardev *card, int fd, unsigned long request, void *arg);
/* -ENODEV in words. */
int chardev_gone(const struct chardev *card, struct reason *why);

/* The axdev_ops of these names. */
int chardev_irq_wait(struct axdev *dev, unsigned int number, unsigned int timeout_ms,
		     struct reason *why);
void chardev_irq_clear(struct axdev *dev, unsigned int number);
int chardev_cores_take(struct axdev *dev, unsigned int count, unsigned int *ret_first,
		       struct reason *why);
void chardev_cores_give(struct axdev *dev, unsigned int first);
void chardev_losses(struct axdev *dev, bool now);
/* The card's driver has it reset; needs root. The mapping is the caller's to renew. */
int chardev_reset(struct chardev *card, struct reason *why);
/* Remember where the driver counts losses. */
void chardev_losses_open(struct chardev *card);

/* --- chardev_memory.c --- */

struct chardev_dmabuf;

int chardev_buf_alloc(struct axdev *dev, size_t bytes, struct axdev_buf *ret_buf,
		      struct reason *why);
void chardev_buf_free(struct axdev *dev, struct axdev_buf *buf);
/* From options, else TETHYS_DMA; opens the heap where dma-bufs are asked for. */
int chardev_choose_dma(struct chardev *card, struct reason *why);
/* Anonymous, zeroed. Return: NULL: no memory. */
void *chardev_pages_alloc(size_t bytes);
void chardev_pages_free(void *ptr, size_t bytes);

/* A file that has the buffer attached, for one transfer at a time. */
struct chardev_port {
	pthread_mutex_t lock; /* held by whose transfer it is */
	int fd;		      /* -1: not opened */
};

/* Return: 0 and a port of @buf, locked; negative errno. */
int chardev_port_take(struct chardev *card, const struct axdev_buf *buf,
		      struct chardev_port **ret_port, struct reason *why);
/* @broken: a transfer may still be under way; closing the file ends it. */
void chardev_port_give(struct chardev *card, struct chardev_port *port, bool broken);
/* Caches of the host, before the card reads and after it wrote. */
int chardev_dmabuf_sync(struct chardev *card, const struct axdev_buf *buf, enum axdev_dir dir);

/* --- chardev_guard.c --- */

/**
 * chardev_guard_create() - make touching a mapping whose device went away harmless
 *
 * From then on a SIGBUS there puts pages that read as all ones in place, as a dead bus does, and is
 * remembered. Other SIGBUS go to the handler there was before. A program that puts in a handler of
 * its own later has to pass on what it doesn't know; a thread that blocks SIGBUS is not protected.
 *
 * Return: NULL: not possible.
 */
struct chardev_guard *chardev_guard_create(void *start, size_t bytes);
void chardev_guard_destroy(struct chardev_guard *guard); /* before munmap(); NULL is fine */
bool chardev_guard_hit(const struct chardev_guard *guard);
void chardev_guard_renew(struct chardev_guard *guard); /* mapped anew: forget the hit */

/* --- chardev.c --- */

int chardev_open(const struct chardev_sys *sys, const char *name,
		 const struct axdev_options *options, struct axdev **ret_dev, struct reason *why);

#endif
