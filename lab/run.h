/* SPDX-License-Identifier: MIT */
/*
 * Plays a scenario and says whether what was seen is what it promised.
 */
#ifndef TETHYS_LAB_RUN_H
#define TETHYS_LAB_RUN_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/reason.h"
#include "lab/image.h"
#include "lab/isolation.h"
#include "lab/loop.h"
#include "lab/scenario.h"

/* Something the scenario promised. */
struct lab_check {
	char *text; /* "host log = no /DMAR/" */
	char *seen; /* when it did not hold: what was there instead */
	bool passed;
};

enum lab_stage_kind {
	LAB_STAGE_OURS, /* card, boot, set-up, end */
	LAB_STAGE_STEP, /* of the scenario */
};

struct lab_stage {
	char *name;
	enum lab_stage_kind kind;
	bool passed;
	double seconds;	     /* on this machine's clock */
	char *detail;	     /* why it failed, lines; NULL: it did not */
	char *output;	     /* of a command, at most 64 KiB; NULL: none */
	int status;	     /* of a command, as struct lab_exit; -1: none */
	uint64_t elapsed_us; /* of a command, on its machine's clock */
	struct lab_check *check;
	size_t checks;
};

struct lab_result {
	const struct lab_scenario *scenario;
	bool passed;
	char dir[PATH_MAX]; /* of its logs */
	char accel[160];
	double seconds;
	struct lab_stage *stage;
	size_t stages;
	struct lab_isolation isolation;
	/*
	 * It failed by a guest's kernel that got an interrupt twice, the second while interrupts
	 * were off, or that stood still before its first word: faults of QEMU's emulated SVM (11.1,
	 * seen once in about 45 guests, and once in some hundred), of which no scenario is guilty.
	 * Play it again.
	 */
	bool emulator_fault;
};

enum lab_stage_state {
	LAB_STAGE_BEGINS,
	LAB_STAGE_GOES_ON, /* about ten times a second */
	LAB_STAGE_PASSED,
	LAB_STAGE_FAILED,
};

struct lab_run_options {
	const char *command;   /* the tethys for the card */
	const char *logs_dir;  /* run folders are made there */
	struct lab_loop *loop; /* stopping it ends the run; the caller's */
	const struct lab_images *images;
	enum lab_accel accel;
	const char *accel_line;
	/* Told of every stage as it goes; may be NULL. */
	void (*watch)(void *ctx, const struct lab_stage *stage, enum lab_stage_state state);
	void *watch_ctx;
	/*
	 * Called with everything still running: after the last stage when @keep is set, or as soon
	 * as @until is up ("tethys lab shell"). May be NULL.
	 */
	int (*inside)(void *ctx, const char *socket_dir);
	void *inside_ctx;
	bool keep;
	bool shell; /* no steps but those that start guests, up to and with @until */
	enum lab_where until;
};

/**
 * lab_run() - play a scenario from power-on to power-off
 * @ret_result: always set; for lab_result_deinit()
 *
 * Everything it started has ended when it returns.
 *
 * Return: 0 the scenario was played, see @ret_result for how it went; -EINTR the loop was stopped;
 * other negative errno: it could not be played (no folder, no memory).
 */
int lab_run(const struct lab_scenario *scenario, const struct lab_run_options *options,
	    struct lab_result *ret_result, struct reason *why);
void lab_result_deinit(struct lab_result *result);

#endif
