/* SPDX-License-Identifier: MIT */
/*
 * How the vendor's driver uses the card's registers, replayed on a card in this process.
 *
 * Source: the vendor's public driver, 1.4.4 and 1.6.2 (order and widths of its accesses; the words
 * are ours), user memory to the card, with 32 interrupt vectors.
 */
#ifndef TETHYS_BENCH_VENDOR_WAY_H
#define TETHYS_BENCH_VENDOR_WAY_H

#include <stdint.h>

#include "common/reason.h"

enum vendor_version {
	VENDOR_1_4_4,
	VENDOR_1_6_2,
	VENDOR_NR,
};

/**
 * vendor_way() - move @bytes in @segments pieces to the card as that driver does
 * @segments: no two of which can be put together; 1 to @bytes
 * @ret_accesses: reads and writes of both BARs, as the card has counted them
 *
 * Whatever depends on luck is taken in the driver's favour: the engine starts and ends at once.
 *
 * Return: 0; -EIO the card did not move what it was to; others as card_create().
 */
int vendor_way(enum vendor_version version, uint64_t segments, uint64_t bytes,
	       uint64_t *ret_accesses, struct reason *why);

#endif
