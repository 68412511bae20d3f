/* SPDX-License-Identifier: MIT */
/*
 * Interrupt numbers: what the card means by MSI (or virtual MSI) n. Source: driver.
 */
#ifndef TETHYS_HW_IRQ_H
#define TETHYS_HW_IRQ_H

#include <tethys/hw/bits.h>

#define METIS_IRQ_CONTEXT(n) (0u + (n))	  /* n 0-3: the context's command is done */
#define METIS_IRQ_DMA_READ(n) (4u + (n))  /* n 0-3: eDMA read channel done, host to card */
#define METIS_IRQ_DMA_WRITE(n) (8u + (n)) /* n 0-3: eDMA write channel done, card to host */
#define METIS_IRQ_MESSAGE 12u
#define METIS_IRQ_AXE_MESSAGE 24u
#define METIS_IRQ_NR 32u

/*
 * Writes to this window are interrupts, not memory (x86; Intel SDM 3A 11.11). The card refuses
 * to DMA into it.
 */
#define METIS_MSI_WINDOW_BASE 0xfee00000ull
#define METIS_MSI_WINDOW_LAST 0xfeefffffull

#endif
