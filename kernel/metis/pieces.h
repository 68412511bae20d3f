/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The memory of a transfer in pieces as list elements take them: merged where they follow each
 * other on the bus, cut where they are too long.
 */
#ifndef TETHYS_KERNEL_METIS_PIECES_H
#define TETHYS_KERNEL_METIS_PIECES_H

#include <linux/scatterlist.h>
#include <linux/types.h>

struct metis_xfer;

struct metis_cursor {
	struct scatterlist *sg;
	unsigned int left; /* entries after @sg */
	dma_addr_t bus;
	u64 len;       /* of this entry, from @bus on */
	u64 remaining; /* of the transfer */
};

/* Return: 0; -EINVAL the memory is shorter than the transfer. */
int metis_cursor_init(struct metis_cursor *c, const struct metis_xfer *x);
/* Bytes of the next piece; the transfer isn't over yet. */
u32 metis_cursor_take(struct metis_cursor *c, dma_addr_t *ret_bus);
/* Pieces that are left. */
unsigned int metis_cursor_count(struct metis_cursor c);

#endif
