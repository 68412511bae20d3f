/* SPDX-License-Identifier: MIT */
/*
 * A kernel driver's node without a kernel: a folder for /dev and /sys, files that stand for open
 * nodes, a few megabytes of card memory, and knobs for what goes wrong.
 */
#ifndef TETHYS_RUNTIME_DEVICE_FAKE_NODE_H
#define TETHYS_RUNTIME_DEVICE_FAKE_NODE_H

#include "runtime/device/chardev.h"

#define FAKE_FDS_MAX 256
#define FAKE_DDR_BYTES ((size_t)1 << 20)
#define FAKE_SIZES_MAX 64

enum fake_kind {
	FAKE_NONE,
	FAKE_NODE,
	FAKE_HEAP,
	FAKE_DMABUF,
};

struct fake_fd {
	enum fake_kind kind;
	int attached; /* dma-buf; -1 */
	int number;   /* whose events it gets; -1 */
	unsigned int events;
	uint32_t cores;
	int pending; /* result of an asynchronous transfer; 1: none */
};

struct fake {
	char root[64];
	struct fake_fd fds[FAKE_FDS_MAX];
	int l2; /* memory file */
	uint8_t *ddr;
	uint32_t cores;
	/* Knobs. Errors are negative errnos. */
	int open_err, user_err, read_err, dmabuf_err, ioctl_err;
	bool lose_data; /* of transfers that fail */
	bool no_heap, show_regs;
	uint64_t l2_bytes;
	/* Records. */
	unsigned int user_nr, dmabuf_nr, status_nr, attach_nr, syncs_nr;
	size_t sizes[FAKE_SIZES_MAX]; /* of requests */
	unsigned int sizes_nr;
};

extern struct fake fake;
extern struct chardev_sys fake_sys;

/* A machine with /dev/metis-0-86-0. */
int fake_init(void);
void fake_deinit(void);
void fake_put(const char *path, const char *text);
/* The card raises interrupt @number. */
void fake_signal(int number);
unsigned int fake_open_nr(void); /* files that nobody closed */

#endif
