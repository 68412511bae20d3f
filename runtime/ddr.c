/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdlib.h>

#include "runtime/ddr.h"

struct ddr_range {
	uint64_t addr;
	uint64_t end;
	struct ddr_range *next;
};

void ddr_init(struct ddr *ddr, uint64_t base, uint64_t bytes)
{
	uint64_t skip = -base & (DDR_ALIGN - 1);

	pthread_mutex_init(&ddr->lock, NULL);
	ddr->base = base + skip;
	ddr->bytes = bytes > skip ? (bytes - skip) & ~(uint64_t)(DDR_ALIGN - 1) : 0;
	ddr->ranges = NULL;
}

void ddr_deinit(struct ddr *ddr)
{
	struct ddr_range *range;

	while ((range = ddr->ranges)) {
		ddr->ranges = range->next;
		free(range);
	}
	pthread_mutex_destroy(&ddr->lock);
}

/* Put @range into the first gap it fits; @range->end holds its size. */
static int ddr_place(struct ddr *ddr, struct ddr_range *range)
{
	uint64_t at = ddr->base, gap_end, bytes = range->end;
	struct ddr_range **link = &ddr->ranges;

	for (;; at = (*link)->end, link = &(*link)->next) {
		gap_end = *link ? (*link)->addr : ddr->base + ddr->bytes;
		if (bytes <= gap_end - at)
			break;
		if (!*link)
			return -ENOSPC;
	}
	range->addr = at;
	range->end = at + bytes;
	range->next = *link;
	*link = range;
	return 0;
}

int ddr_alloc(struct ddr *ddr, uint64_t bytes, uint64_t *ret_addr, struct reason *why)
{
	struct ddr_range *range;
	int r;

	if (bytes > ddr->bytes)
		return reason_add(why, -ENOSPC, "%llu bytes do not fit in the %llu of these cores",
				  (unsigned long long)bytes, (unsigned long long)ddr->bytes);
	range = calloc(1, sizeof(*range));
	if (!range)
		return reason_add(why, -ENOMEM, "out of memory");
	range->end = (bytes + DDR_ALIGN - 1) & ~(uint64_t)(DDR_ALIGN - 1);
	pthread_mutex_lock(&ddr->lock);
	r = ddr_place(ddr, range);
	if (!r)
		*ret_addr = range->addr;
	pthread_mutex_unlock(&ddr->lock);
	if (r) {
		free(range);
		return reason_add(why, r, "no %llu bytes of card memory left for these cores",
				  (unsigned long long)bytes);
	}
	return 0;
}

void ddr_free(struct ddr *ddr, uint64_t addr)
{
	struct ddr_range **link, *range = NULL;

	if (!addr)
		return;
	pthread_mutex_lock(&ddr->lock);
	for (link = &ddr->ranges; *link; link = &(*link)->next) {
		if ((*link)->addr != addr)
			continue;
		range = *link;
		*link = range->next;
		break;
	}
	pthread_mutex_unlock(&ddr->lock);
	free(range);
}
