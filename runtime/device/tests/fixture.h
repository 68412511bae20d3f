/* SPDX-License-Identifier: MIT */
/*
 * A card to test a backend with: in this process, or behind a socket served by a thread of it.
 */
#ifndef TETHYS_RUNTIME_DEVICE_TESTS_FIXTURE_H
#define TETHYS_RUNTIME_DEVICE_TESTS_FIXTURE_H

#include <pthread.h>
#include <stdbool.h>

#include "card/transport/vfio_user_server.h"
#include "runtime/device/device.h"

struct fixture {
	struct axdev *dev;
	struct card *card; /* behind a socket only */
	struct vfio_user_server *server;
	pthread_t thread;
	char dir[64];
	char path[96];
};

enum fixture_mode {
	FIXTURE_SIM,
	FIXTURE_VFIO_USER,
	FIXTURE_ONE_SOCKET, /* no twin socket, L2 not mapped */
	FIXTURE_MESSAGES,   /* no memory is shared, one socket */
	FIXTURE_MODES_NR,
};

extern const char *const fixture_modes[FIXTURE_MODES_NR];

/* Where a card process could listen; the folder is made. */
int fixture_path(struct fixture *fx);
/* A card that listens at fx->path. */
int fixture_serve(struct fixture *fx, const char *personality, bool no_direct);
/* Disconnects the client, if there is one. */
void fixture_unserve(struct fixture *fx);

/**
 * fixture_open() - a card of @personality reached by @mode
 * @options: may be NULL
 *
 * Return: 0 or negative errno; fixture_close() either way.
 */
int fixture_open(struct fixture *fx, enum fixture_mode mode, const char *personality,
		 const struct axdev_options *options, struct reason *why);
void fixture_close(struct fixture *fx);

#endif
