/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runtime/device/tests/fixture.h"

const char *const fixture_modes[FIXTURE_MODES_NR] = {
	[FIXTURE_SIM] = "sim",
	[FIXTURE_VFIO_USER] = "vfio-user",
	[FIXTURE_ONE_SOCKET] = "one-socket",
	[FIXTURE_MESSAGES] = "messages",
};

int fixture_path(struct fixture *fx)
{
	strcpy(fx->dir, "/tmp/tethys-test-XXXXXX");
	if (!mkdtemp(fx->dir)) {
		fx->dir[0] = '\0';
		return -errno;
	}
	snprintf(fx->path, sizeof(fx->path), "%s/card.sock", fx->dir);
	return 0;
}

static void *serve(void *arg)
{
	vfio_user_server_run(arg);
	return NULL;
}

int fixture_serve(struct fixture *fx, const char *personality, bool no_direct)
{
	struct card_config card = {.personality = personality, .engine = "null", .keep_imwr = -1};
	struct vfio_user_server_config config = {
		.path = fx->path,
		.listen_fd = -1,
		.no_direct = no_direct,
	};
	int err;

	err = card_create(&card, &fx->card, NULL);
	if (!err)
		err = vfio_user_server_create(fx->card, &config, &fx->server, NULL);
	return err ? err : -pthread_create(&fx->thread, NULL, serve, fx->server);
}

void fixture_unserve(struct fixture *fx)
{
	if (fx->server) {
		vfio_user_server_stop(fx->server);
		pthread_join(fx->thread, NULL);
		vfio_user_server_destroy(fx->server);
	}
	card_destroy(fx->card);
	fx->server = NULL;
	fx->card = NULL;
}

int fixture_open(struct fixture *fx, enum fixture_mode mode, const char *personality,
		 const struct axdev_options *options, struct reason *why)
{
	struct axdev_options opts = {0};
	char name[128] = "sim";
	int err;

	memset(fx, 0, sizeof(*fx));
	if (options)
		opts = *options;
	opts.personality = personality;
	opts.engine = "null";
	opts.one_socket = mode == FIXTURE_ONE_SOCKET || mode == FIXTURE_MESSAGES;
	if (mode != FIXTURE_SIM) {
		err = fixture_path(fx);
		if (!err)
			err = fixture_serve(fx, personality, mode == FIXTURE_MESSAGES);
		if (err)
			return err;
		snprintf(name, sizeof(name), "vfio-user:%s", fx->path);
	}
	return axdev_open(name, &opts, &fx->dev, why);
}

void fixture_close(struct fixture *fx)
{
	axdev_close(fx->dev);
	fx->dev = NULL;
	fixture_unserve(fx);
	if (fx->dir[0])
		rmdir(fx->dir);
}
