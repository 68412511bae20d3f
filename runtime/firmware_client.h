/* SPDX-License-Identifier: MIT */
/*
 * The host's side of the open command protocol (tethys/hw/fwproto.h).
 */
#ifndef TETHYS_RUNTIME_FIRMWARE_CLIENT_H
#define TETHYS_RUNTIME_FIRMWARE_CLIENT_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <tethys/hw/fwarea.h>
#include <tethys/hw/fwproto.h>

#include "common/reason.h"
#include "runtime/device/device.h"

struct fw_context {
	pthread_mutex_t lock; /* one command at a time: mailbox, cmd, the below */
	uint32_t seq;
	bool arg_written; /* context.arg already points to the mailbox */
	bool stuck;	  /* a command would not end; the firmware may still use its memory */
	uint64_t ddr_base;
	uint64_t ddr_bytes;
};

struct fw_client {
	struct axdev *dev;
	uint32_t contexts_offset; /* in BAR2 */
	uint32_t mailbox_offset;
	uint32_t mailbox_stride;
	uint64_t ddr_bytes; /* of the card */
	char engine[16 + 1];
	char personality[16 + 1];
	bool has_board;
	struct metis_board board;
	struct fw_context contexts[METIS_CORES];
	atomic_bool polling; /* the last completion came without its interrupt */
	atomic_bool gone;    /* the card does not answer any more */
};

/**
 * fw_client_init() - find the firmware of a card
 * @dev: stays the caller's, must outlive the client
 *
 * Return: 0; -EPROTO no firmware that speaks our protocol; -ENODEV; what bar_read gave.
 */
int fw_client_init(struct fw_client *client, struct axdev *dev, struct reason *why);
void fw_client_deinit(struct fw_client *client);

/**
 * fw_client_adopt() - begin to use a context that another program may have used since init
 *
 * A command it left running is ended.
 *
 * Return: 0; -EBUSY that command does not end; -ENODEV.
 */
int fw_client_adopt(struct fw_client *client, unsigned int context, struct reason *why);

/**
 * fw_client_load() - have a module that is in card memory executed from now on
 * @context: 0-3
 * @ret_module: handle
 * @ret_engine_ns: time the card's engine took
 *
 * Return: 0; -EINVAL, -ENOTSUP, -ENOMEM, -EBUSY as the firmware said; -ETIMEDOUT; -ENODEV.
 */
int fw_client_load(struct fw_client *client, unsigned int context, uint64_t addr, uint64_t bytes,
		   unsigned int cores, unsigned int timeout_ms, uint32_t *ret_module,
		   uint64_t *ret_engine_ns, struct reason *why);
int fw_client_unload(struct fw_client *client, unsigned int context, uint32_t module,
		     unsigned int timeout_ms, struct reason *why);

/**
 * fw_client_run() - execute a loaded module
 * @tensors: [inputs + outputs], little-endian
 * @cancel: set by another thread: end the run soon; may be NULL
 *
 * Return: 0; -EIO failed; -ECANCELED; -ETIMEDOUT, after which the firmware has let go of the
 * tensors' memory unless fw_client_stuck(); -ENODEV.
 */
int fw_client_run(struct fw_client *client, unsigned int context, uint32_t module,
		  const struct metis_fw_tensor *tensors, unsigned int inputs, unsigned int outputs,
		  unsigned int timeout_ms, const atomic_bool *cancel, uint64_t *ret_engine_ns,
		  struct reason *why);

/* May the firmware still touch memory of a command that has timed out? */
bool fw_client_stuck(struct fw_client *client, unsigned int context);

#endif
