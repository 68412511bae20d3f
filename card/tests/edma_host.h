/* SPDX-License-Identifier: MIT */
/*
 * The fake host, as the tests of the DMA engine use it.
 */
#ifndef TETHYS_CARD_TESTS_EDMA_HOST_H
#define TETHYS_CARD_TESTS_EDMA_HOST_H

#include "card/internal.h"
#include "card/tests/fake_host.h"

#define DDR METIS_DDR_BASE
#define CB METIS_EDMA_CB
#define RIE METIS_EDMA_RIE
#define LIE METIS_EDMA_LIE

static struct host host;

static inline uint8_t *card_mem(uint64_t addr, size_t len)
{
	return card_memory_at(host.card, addr, len);
}

/* The driver's end of a list: one terminator, then a cleared control word. */
static inline void terminate(uint64_t at)
{
	host_element(&host, at, METIS_EDMA_TCB, 0, 0, 0);
	host_element(&host, at + 24, 0, 0, 0, 0);
}

static inline void fill(uint8_t *at, size_t len, uint32_t seed)
{
	size_t i;

	for (i = 0; i < len; i++)
		at[i] = (seed + i) * 2654435761u >> 11;
}

#endif
