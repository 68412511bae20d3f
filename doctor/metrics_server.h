/* SPDX-License-Identifier: MIT */
/*
 * Serves one text over HTTP/1.1, for Prometheus: GET /metrics, and / that points there. One thread,
 * a few clients, each with a deadline; whatever they send, they cost no more than that.
 */
#ifndef TETHYS_DOCTOR_METRICS_SERVER_H
#define TETHYS_DOCTOR_METRICS_SERVER_H

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>

#include "common/reason.h"

#define METRICS_CLIENTS_MAX 8u
#define METRICS_POLL_MAX (METRICS_CLIENTS_MAX + 1)

struct metrics_server;

/* Whether "--metrics TEXT" is an address (":9101", "10.0.0.7:9101", "[::1]:9101") and no file. */
bool metrics_server_is_address(const char *text);

/**
 * metrics_server_create() - listen
 * @address: as above; ":PORT" is on 127.0.0.1 only, port 0 is any free one
 *
 * Return: 0; -EINVAL, -EADDRINUSE, -EACCES, others of socket(2), with @why.
 */
int metrics_server_create(const char *address, struct metrics_server **ret_server,
			  struct reason *why);
/* NULL is fine. */
void metrics_server_destroy(struct metrics_server *server);

/* The text from now on; copied. Return: 0; -ENOMEM, then the old one stays. */
int metrics_server_publish(struct metrics_server *server, const char *text, size_t size);
unsigned int metrics_server_port(const struct metrics_server *server);

/* What to wait for. Return: how many of @ret_fds were filled. */
size_t metrics_server_poll(const struct metrics_server *server,
			   struct pollfd ret_fds[METRICS_POLL_MAX]);
/* After poll(): answer who can be answered without waiting, drop who took too long. */
void metrics_server_serve(struct metrics_server *server);

#endif
