/* SPDX-License-Identifier: MIT */
/*
 * The lab's card: "tethys card" as a process of its own, with control socket and record.
 */
#ifndef TETHYS_LAB_CARD_H
#define TETHYS_LAB_CARD_H

#include "lab/loop.h"
#include "lab/scenario.h"

struct lab_card;

/**
 * lab_card_start() - power a card on and wait until it listens
 * @command: the tethys to run
 * @socket_dir: short; for SOCKET_DIR/NAME.sock and NAME.ctl
 * @log_dir: for LOG_DIR/NAME.log and NAME.record
 * @name: "card", "card2": one for each life
 *
 * The scenario's seeds have been carried out when this returns.
 *
 * Return: 0; -ETIMEDOUT; -ECHILD it ended at once; -EINVAL it refused a seed.
 */
int lab_card_start(struct lab_loop *loop, const char *command,
		   const struct lab_scenario_card *config, const char *socket_dir,
		   const char *log_dir, const char *name, struct lab_card **ret_card,
		   struct reason *why);
void lab_card_destroy(struct lab_card *card); /* NULL is fine; ends it in order */

const char *lab_card_socket(const struct lab_card *card);
const char *lab_card_record(const struct lab_card *card); /* complete once it has ended */
const char *lab_card_log(const struct lab_card *card);	  /* path of what it printed */

/**
 * lab_card_control() - one control command (card/control.h)
 * @ret_reply: a line of JSON without '\n'; set on success and on -EREMOTEIO
 *
 * Return: 0; -EREMOTEIO the card refused it; -ETIMEDOUT; -EPIPE the card is dead.
 */
int lab_card_control(struct lab_card *card, const char *command, unsigned int timeout_ms,
		     char *ret_reply, size_t size, struct reason *why);

#endif
