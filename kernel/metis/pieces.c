// SPDX-License-Identifier: GPL-2.0-only
#include <linux/minmax.h>
#include <linux/sizes.h>

#include "metis.h"
#include "pieces.h"

#define ELEMENT_MAX SZ_4M /* so that progress can be seen */

static void cursor_next_entry(struct metis_cursor *c)
{
	c->sg = sg_next(c->sg);
	c->left--;
	c->bus = sg_dma_address(c->sg);
	c->len = sg_dma_len(c->sg);
}

int metis_cursor_init(struct metis_cursor *c, const struct metis_xfer *x)
{
	u64 skip = x->offset, sum = 0;
	struct scatterlist *sg;
	unsigned int i;

	*c = (struct metis_cursor){.bus = x->bus, .len = x->len, .remaining = x->len};
	if (!x->sgt)
		return 0;
	for_each_sgtable_dma_sg(x->sgt, sg, i)
		sum += sg_dma_len(sg);
	if (!x->sgt->nents || skip > sum || x->len > sum - skip)
		return -EINVAL;
	c->sg = x->sgt->sgl;
	c->left = x->sgt->nents - 1;
	c->bus = sg_dma_address(c->sg);
	c->len = sg_dma_len(c->sg);
	while (skip >= c->len) {
		skip -= c->len;
		cursor_next_entry(c);
	}
	c->bus += skip;
	c->len -= skip;
	return 0;
}

u32 metis_cursor_take(struct metis_cursor *c, dma_addr_t *ret_bus)
{
	u64 size = 0, take;

	while (!c->len)
		cursor_next_entry(c);
	*ret_bus = c->bus;
	for (;;) {
		take = min3(c->len, c->remaining, ELEMENT_MAX - size);
		size += take;
		c->bus += take;
		c->len -= take;
		c->remaining -= take;
		if (!c->remaining || c->len || size == ELEMENT_MAX || !c->left)
			return size;
		cursor_next_entry(c);
		if (c->bus != *ret_bus + size)
			return size;
	}
}

unsigned int metis_cursor_count(struct metis_cursor c)
{
	unsigned int count = 0;
	dma_addr_t bus;

	while (c.remaining) {
		metis_cursor_take(&c, &bus);
		count++;
	}
	return count;
}
