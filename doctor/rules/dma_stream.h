/* SPDX-License-Identifier: MIT */
/*
 * Faults of one requester, direction and reason: what dma.c collects, dma_readings.c explains and
 * dma_say.c puts in words.
 */
#ifndef TETHYS_DOCTOR_RULES_DMA_STREAM_H
#define TETHYS_DOCTOR_RULES_DMA_STREAM_H

#include "doctor/rules/dma_rules.h"

#define DMA_PAGES_MAX 64u /* of a stream that are looked at */

#define DMA_AMD_PRESENT 0x010u
#define DMA_AMD_WRITE 0x020u
#define DMA_AMD_PERMISSION 0x040u

enum dma_shape {
	SHAPE_UNMAPPED,	   /* no translation for the address */
	SHAPE_NO_CONTEXT,  /* no domain for the requester */
	SHAPE_TOO_WIDE,	   /* address beyond what the IOMMU takes */
	SHAPE_TABLE,	   /* the tables themselves are wrong */
	SHAPE_BAD_REQUEST, /* AMD: a kind of request that isn't allowed */
};

struct dma_stream {
	enum doctor_fact_kind kind;
	enum doctor_side side;
	bool write, has_reason;
	uint32_t reason;
	enum dma_shape shape;
	struct dma_requester who;
	struct dma_span span;
	struct dma_place place; /* of the first page */
	enum dma_when when;
	const struct doctor_fact *fact[DMA_PAGES_MAX];
	size_t facts;
	uint64_t lines, suppressed;
};

/* All readings that could explain a stream. */
void dma_read_stream(const struct doctor_case *seen, const struct dma_stream *stream,
		     struct dma_readings *readings);
/* "dma-unmapped-write" or "dma-unmapped-read". */
const char *dma_unmapped(const struct dma_stream *stream);
/* So many lines, printed or suppressed, that the device does it all the time. */
bool dma_is_storm(const struct dma_stream *stream);

/* What the lines prove and what not, the arithmetic, what to look at next. */
void dma_say(struct doctor_judge *judge, struct doctor_finding *finding,
	     const struct dma_stream *stream);

#endif
