/* SPDX-License-Identifier: MIT */
/*
 * Faults on request: one line in, one line of JSON out. For the lab and for curious people; who
 * can write here can make the card do anything a broken card does.
 *
 *	dma-read ADDR BYTES	a read of host memory out of nowhere
 *	dma-write ADDR BYTES	a write; each byte is 0xa5
 *	imwr ADDR DATA		a 32-bit write into the interrupt window
 *	poke OFFSET VALUE	store to a register of BAR0, as a host would
 *	peek OFFSET
 *	lose-interrupts N	the next N messages are dropped; "all", "none"
 *	stall N			the next N transfers never end; "all", "none"
 *	abort N			the next N transfers end with an abort; "all", "none"
 *	vanish			from now on all reads give ones, writes do nothing; "return" ends it
 *	return
 *	reset flr|bus|cold
 *	stats
 *
 * Words are separated by blanks. Numbers are decimal, or hexadecimal with 0x. DATA and VALUE have
 * 32 bits; ADDR of an imwr and OFFSET are multiples of 4; BYTES is at most CARD_CONTROL_DMA_MAX.
 *
 * A transfer that stalls moves nothing and stays until the host stops its channel or the card is
 * reset; "stall none" is only about those to come. What is armed outlives resets and owners.
 *
 * Replies: {"ok":true, ...} or {"ok":false,"error":"..."}. "result" of dma-read, dma-write and
 * imwr is 0, or the errno the bus gave and "name" spells; "value" of peek is a string in
 * hexadecimal. Each number of stats stands under its name in struct card_stats
 * (what the host accesses is counted there, poke and peek are not); what is still
 * armed under "armed", -1 for all.
 */
#ifndef TETHYS_CARD_CONTROL_H
#define TETHYS_CARD_CONTROL_H

#include <stddef.h>

#include "card/card.h"

#define CARD_CONTROL_LINE_MAX 256u
#define CARD_CONTROL_REPLY_MAX 2048u
#define CARD_CONTROL_DMA_MAX (16u << 20)

/**
 * card_control() - carry out one command
 * @line: without '\n'; need not be trusted
 * @ret_reply: one line of JSON without '\n', always set
 *
 * Context: any thread. dma-read and dma-write may wait for the owner of the card.
 *
 * Return: 0; -EINVAL no such command or bad arguments; -ENOMEM; what the bus gave.
 */
int card_control(struct card *card, const char *line, char ret_reply[CARD_CONTROL_REPLY_MAX]);

#endif
