/* SPDX-License-Identifier: MIT */
/*
 * Card addresses: what SAR/DAR, list pointers and firmware fields name on the card's side.
 */
#ifndef TETHYS_HW_MEMORY_H
#define TETHYS_HW_MEMORY_H

#include <tethys/hw/bits.h>

/* On-chip L2; BAR2 offset 0 is its first byte. Source: driver (compile-time constants). */
#define METIS_L2_BASE 0x08000000ull
#define METIS_L2_BYTES 0x02000000ull

/* DDR of the 16 GB card. The base is a guess: no public source names it. */
#define METIS_DDR_BASE 0x80000000ull
#define METIS_DDR_BYTES 0x400000000ull

#define METIS_CORES 4	/* AI cores; driver */

#endif
