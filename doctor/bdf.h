/* SPDX-License-Identifier: MIT */
/*
 * A PCI function's address, as sysfs, logs and configurations write it.
 */
#ifndef TETHYS_DOCTOR_BDF_H
#define TETHYS_DOCTOR_BDF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bdf {
	uint32_t domain; /* 0 where a text leaves it out */
	uint8_t bus;
	uint8_t slot;	  /* 0..31 */
	uint8_t function; /* 0..7 */
};

#define BDF_TEXT_BYTES 24

/**
 * bdf_parse() - read "0000:86:00.0", "86:00.0", or "0x00:0x02.0" as one kernel release printed it
 * @text: need not end with NUL
 * @size: characters at @text that may be looked at
 * @ret_used: characters that belong to the address; may be NULL, then all @size must
 *
 * Return: false when there is no address at the beginning of @text; nothing is written then.
 */
bool bdf_parse(const char *text, size_t size, struct bdf *ret_bdf, size_t *ret_used);

/* "0000:86:00.0". */
const char *bdf_text(struct bdf bdf, char ret_text[BDF_TEXT_BYTES]);
bool bdf_equal(struct bdf a, struct bdf b);
/* For sorting; by domain, bus, slot, function. */
int bdf_compare(struct bdf a, struct bdf b);
/* Requester id as the bus carries it: bus 15:8, slot 7:3, function 2:0. */
uint16_t bdf_requester(struct bdf bdf);

#endif
