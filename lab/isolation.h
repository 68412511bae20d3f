/* SPDX-License-Identifier: MIT */
/*
 * Did the card ever reach memory that its owner had not mapped? Judged from the card's own record,
 * whose lines card/record.h describes.
 *
 * What is judged, in the order of the lines:
 *	- a DMA access with result 0 must lie within live mappings of the owner that have the
 *	  permission; it may span adjacent ones;
 *	- one by message is fine when that held at its "sent", at its end, or at any time between:
 *	  the client carries it out whenever it likes;
 *	- from "left" to the next "owner" there are no mappings, and no interrupt may go out either;
 *	- an access that was refused is none, and one that was given up ("?") proves nothing.
 * An access outside of all mappings that a client carried out counts as a violation too: it went to
 * another device, or into the interrupt window.
 */
#ifndef TETHYS_LAB_ISOLATION_H
#define TETHYS_LAB_ISOLATION_H

#include <stdint.h>
#include <stdio.h>

#include "common/reason.h"

struct lab_isolation {
	uint64_t maps, unmaps, owners;
	uint64_t accesses;   /* DMA reads and writes */
	uint64_t refused;    /* of these: ended with an error, so did not land */
	uint64_t unknown;    /* of these: given up, so nobody knows */
	uint64_t messages;   /* interrupts that were sent, by either way */
	uint64_t violations; /* landed outside, or without the permission, or without an owner */
	char first[160];     /* the first violation in words; "" */
};

/**
 * lab_isolation_check() - read a record from its start to its end
 * @ret_result: set on success only
 *
 * A last line without its '\n' is what a killed card leaves, and is ignored. Takes memory for the
 * mappings that live at a time, and no more.
 *
 * Return: 0, also with violations; -ENOENT and others of fopen(3); -EPROTO a line that no card
 * writes, or no header; -ENOMEM.
 */
int lab_isolation_check(const char *path, struct lab_isolation *ret_result, struct reason *why);

/* The same of an open file, which stays the caller's. */
int lab_isolation_read(FILE *record, struct lab_isolation *ret_result, struct reason *why);

#endif
