/* SPDX-License-Identifier: MIT */
/*
 * The card's record: what an observer of card and transport is told, as text, one line an event.
 *
 *	tethys-record 1				the first line
 *	owner					a client has the card from now on
 *	left					and no more
 *	map ADDR BYTES PERM WAY			PERM: r or -, then w or -; WAY: direct, message
 *	unmap ADDR BYTES			or "unmap all"
 *	read ADDR BYTES RESULT WAY		host to card; WAY: none (it never went out), direct
 *	write ADDR BYTES RESULT WAY		card to host
 *	sent NUMBER read|write ADDR BYTES	a message goes out
 *	read|write ADDR BYTES RESULT message NUMBER	and its end is known
 *	msi ADDR BYTES RESULT			a message of the MSI capability
 *	imwr ADDR BYTES RESULT			another one into the interrupt window
 *	reset flr|bus|cold
 *
 * One blank between words. ADDR has 0x and 16 hexadecimal digits, other numbers are decimal. RESULT
 * is 0, a negative errno, or "?": given up, and perhaps carried out after all.
 *
 * The order of lines is a fact: a direct access stands between the "map" and the "unmap" of what it
 * goes to, because it holds the mapping meanwhile; a client may carry a message out at any time
 * from "sent" to its end. "unmap" is written before the client hears that it may have its memory
 * back, so what was sent before is no crime.
 */
#ifndef TETHYS_CARD_RECORD_H
#define TETHYS_CARD_RECORD_H

#include "card/card.h"
#include "common/reason.h"

#define CARD_RECORD_HEADER "tethys-record 1"

struct card_record;

/**
 * card_record_create() - begin a record
 * @path: created, or emptied; may be a pipe
 *
 * Return: 0; negative errno of open(2) or write(2).
 */
int card_record_create(const char *path, struct card_record **ret_record, struct reason *why);

/**
 * card_record_destroy() - end it
 * @record: NULL is fine
 *
 * Return: 0; negative errno of the first line that could not be written: nothing follows it.
 */
int card_record_destroy(struct card_record *record);

/**
 * card_record_event() - write one line
 * @ctx: struct card_record
 *
 * For card_config.trace and vfio_user_server_config.trace, both of the same card. The line is in
 * the file when this returns, so a card that is killed leaves whole lines.
 */
void card_record_event(void *ctx, const struct card_event *event);

#endif
