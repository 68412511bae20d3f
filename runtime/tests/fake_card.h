/* SPDX-License-Identifier: MIT */
/*
 * A card made of plain memory, for tests of what the runtime does when things go wrong. It stands
 * in for runtime/device/: axdev_open() and axdev_list() are its own. The network it "executes"
 * copies inputs to outputs.
 */
#ifndef TETHYS_RUNTIME_TESTS_FAKE_CARD_H
#define TETHYS_RUNTIME_TESTS_FAKE_CARD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "runtime/device/device.h"

/* What goes wrong, and what was seen; reset by fake_reset(). */
struct fake_card {
	/* faults */
	int open_err;
	bool no_protocol;    /* no tethys area */
	bool no_user_memory; /* xfer_user is -ENOTSUP */
	int xfer_err;	     /* of each transfer, once xfer_good are over */
	int xfer_good;
	bool lose_irqs;		       /* of the contexts */
	bool hang;		       /* commands never end */
	bool deaf;		       /* nor when cancelled */
	_Atomic int32_t refuse_status; /* of every command */
	uint32_t refuse_reason;
	const char *refuse_text;
	unsigned int run_ms;
	atomic_bool gone; /* everything is -ENODEV from now on */
	atomic_bool ones; /* as power lost: reads give ones, nothing happens any more */
	bool two_cards;	  /* list vfio-user:/fake as well */
	/* A driver shares it out to several programs. */
	bool shared;
	uint32_t others;   /* cores that other programs have */
	uint64_t left_sts; /* of the cores' contexts when they are taken: what was there before */
	atomic_uint driver_losses;
	atomic_uint given; /* calls of cores_give */

	/* seen */
	atomic_uint opens, closes;
	atomic_uint loads, unloads, runs, cancels;
	atomic_uint transfers, user_transfers;
	atomic_ullong uploaded;		   /* bytes to the card */
	atomic_uint modules;		   /* loaded now */
	atomic_uint overlaps;		   /* commands stored while one was running: must stay 0 */
	atomic_uint running, most_running; /* runs at a time, all contexts */
	uint32_t last_cores;
	uint32_t last_context;
};

extern struct fake_card fake;

void fake_reset(void);

/* Tests of the client itself. */
extern const struct axdev_options fake_defaults;

#endif
