/* SPDX-License-Identifier: MIT */
/*
 * Addresses for the card to see.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/device/vfio.h"

/* Above everything 32-bit: a card that truncates an address hits nothing of ours. */
#define IOVA_FIRST 0x100000000ull

static int compare(const void *a, const void *b)
{
	const struct vfio_iova_range *left = a, *right = b;

	return left->start < right->start ? -1 : left->start > right->start;
}

int vfio_iova_init(struct vfio_iova *iova, const struct vfio_iova_range *ranges,
		   unsigned int ranges_nr)
{
	struct vfio_iova_range range;
	unsigned int i;

	*iova = (struct vfio_iova){.next = IOVA_FIRST};
	for (i = 0; i < ranges_nr && iova->ranges_nr < VFIO_IOVA_RANGES_MAX; i++) {
		range = ranges[i];
		/* 0 stands for "no address" elsewhere. */
		if (range.start < VFIO_PAGE_BYTES)
			range.start = VFIO_PAGE_BYTES;
		if (range.end > range.start)
			iova->ranges[iova->ranges_nr++] = range;
	}
	qsort(iova->ranges, iova->ranges_nr, sizeof(iova->ranges[0]), compare);
	return iova->ranges_nr ? 0 : -ENOSPC;
}

static const struct vfio_span *overlap(const struct vfio_iova *iova, uint64_t start, uint64_t bytes)
{
	const struct vfio_span *span;

	for (span = iova->spans; span; span = span->next)
		if (start < span->start + span->bytes && span->start < start + bytes)
			return span;
	return NULL;
}

/* Round @at up; false: there is nothing above it. */
static bool align(uint64_t *at, uint64_t to)
{
	if (__builtin_add_overflow(*at, to - 1, at))
		return false;
	*at &= ~(to - 1);
	return true;
}

/* The first place at or after @from. */
static int place(const struct vfio_iova *iova, uint64_t from, uint64_t bytes, uint64_t alignment,
		 uint64_t *ret_start)
{
	const struct vfio_iova_range *range;
	const struct vfio_span *span;
	uint64_t at;
	unsigned int i;

	for (i = 0; i < iova->ranges_nr; i++) {
		range = &iova->ranges[i];
		at = from > range->start ? from : range->start;
		while (align(&at, alignment) && at <= range->end && bytes - 1 <= range->end - at) {
			span = overlap(iova, at, bytes);
			if (!span) {
				*ret_start = at;
				return 0;
			}
			at = span->start + span->bytes;
		}
	}
	return -ENOSPC;
}

int vfio_iova_take(struct vfio_iova *iova, struct vfio_span *span, uint64_t bytes)
{
	/* So that the IOMMU can use huge pages where the memory has them. */
	uint64_t alignment = bytes < VFIO_HUGE_BYTES ? VFIO_PAGE_BYTES : VFIO_HUGE_BYTES;
	int err;

	/* A gap after each buffer: running off its end faults. */
	if (__builtin_add_overflow(bytes, 2 * VFIO_PAGE_BYTES - 1, &bytes))
		return -ENOSPC;
	bytes &= ~(VFIO_PAGE_BYTES - 1);
	err = place(iova, iova->next, bytes, alignment, &span->start);
	if (err)
		err = place(iova, 0, bytes, alignment, &span->start);
	if (err)
		return err;
	span->bytes = bytes;
	span->next = iova->spans;
	iova->spans = span;
	iova->next = span->start + bytes;
	return 0;
}

void vfio_iova_give(struct vfio_iova *iova, struct vfio_span *span)
{
	struct vfio_span **at;

	for (at = &iova->spans; *at && *at != span; at = &(*at)->next)
		;
	if (*at)
		*at = span->next;
}
