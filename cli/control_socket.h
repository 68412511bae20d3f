/* SPDX-License-Identifier: MIT */
/*
 * The card's control socket: commands of card/control.h, a line each, answered with a line each.
 */
#ifndef TETHYS_CLI_CONTROL_SOCKET_H
#define TETHYS_CLI_CONTROL_SOCKET_H

#include "card/card.h"
#include "common/reason.h"

struct control_socket;

/**
 * control_socket_create() - listen, and serve in a thread
 * @card: stays the caller's, must outlive the socket
 * @path: the file gets mode 0600, which is the only authentication
 *
 * Up to eight clients at a time; commands are carried out one after another. A line that ends
 * without '\n' is not carried out. A client whose line is too long, or that doesn't read its
 * answers, is disconnected.
 *
 * Return: 0; -EADDRINUSE, -EEXIST, -EINVAL, others: as unix_listener_open(); -ENOMEM.
 */
int control_socket_create(struct card *card, const char *path, struct control_socket **ret_control,
			  struct reason *why);
/* NULL is fine. Waits for the command in work; removes the file. */
void control_socket_destroy(struct control_socket *control);

#endif
