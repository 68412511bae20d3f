/* SPDX-License-Identifier: MIT */
/*
 * Card memory of one connection: first fit. What is in use is on our side only; the firmware has
 * no say in it.
 */
#ifndef TETHYS_RUNTIME_DDR_H
#define TETHYS_RUNTIME_DDR_H

#include <pthread.h>
#include <stdint.h>

#include "common/reason.h"

#define DDR_ALIGN 64u

struct ddr_range;

struct ddr {
	pthread_mutex_t lock; /* ranges */
	uint64_t base;
	uint64_t bytes;
	struct ddr_range *ranges; /* in use, by rising address */
};

/* Unaligned ends of [@base, @base + @bytes) are left out. */
void ddr_init(struct ddr *ddr, uint64_t base, uint64_t bytes);
void ddr_deinit(struct ddr *ddr); /* whatever is still in use is forgotten */

/* @bytes > 0. Return: 0; -ENOSPC; -ENOMEM. */
int ddr_alloc(struct ddr *ddr, uint64_t bytes, uint64_t *ret_addr, struct reason *why);
void ddr_free(struct ddr *ddr, uint64_t addr); /* 0: nothing happens */

#endif
