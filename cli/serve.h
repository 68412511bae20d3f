/* SPDX-License-Identifier: MIT */
/*
 * tethys card: a card in this process, served on a socket until a signal ends it.
 */
#ifndef TETHYS_CLI_SERVE_H
#define TETHYS_CLI_SERVE_H

#include <stdbool.h>

#include "card/card.h"
#include "card/transport/vfio_user_server.h"
#include "cli/options.h"

struct serve_options {
	struct card_config card;
	struct vfio_user_server_config server;
	const char *record;	  /* file for every host access the card makes; NULL: none */
	const char *control;	  /* path of the control socket; NULL: none */
	struct option_list seeds; /* control commands, carried out before anybody connects */
	bool verbose;
};

/**
 * serve_card() - power the card on, say so in one line on stdout, serve
 * @options: trace and event functions are set by this function
 *
 * SIGINT and SIGTERM end it with success and without the socket file.
 *
 * Return: enum cli_exit; errors are printed.
 */
int serve_card(const struct serve_options *options);

#endif
