/* SPDX-License-Identifier: MIT */
/*
 * Field helpers of the hardware contract.
 *
 * Used by card, kernel modules, runtime and doctor alike, so this folder depends on
 * <linux/types.h> only and asserts with the keyword, which both worlds have.
 */
#ifndef TETHYS_HW_BITS_H
#define TETHYS_HW_BITS_H

#include <linux/types.h>

/* Mask of bits @high..@low of a 32-bit word, both included. */
#define METIS_BITS(high, low) ((0xffffffffu >> (31 - (high))) & (0xffffffffu << (low)))
#define METIS_BIT(n) (1u << (n))

/* Position of the lowest set bit of a constant mask. */
#define METIS_SHIFT(mask) (__builtin_ctz(mask))

/* Value of field @mask in @word; @word with field @mask holding @value. */
#define METIS_GET(mask, word) (((word) & (mask)) >> METIS_SHIFT(mask))
#define METIS_PREP(mask, value) (((__u32)(value) << METIS_SHIFT(mask)) & (mask))

/* Layout assertions: a wrong offset must not compile. */
#define METIS_ASSERT_SIZE(type, bytes) \
	_Static_assert(sizeof(type) == (bytes), #type " must be " #bytes " bytes")
#define METIS_ASSERT_AT(type, member, off) \
	_Static_assert(__builtin_offsetof(type, member) == (off), #type "." #member " must be at " #off)

#define METIS_PACKED __attribute__((packed))

#endif
