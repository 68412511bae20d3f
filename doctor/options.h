/* SPDX-License-Identifier: MIT */
/*
 * What the user asked doctor for.
 */
#ifndef TETHYS_DOCTOR_OPTIONS_H
#define TETHYS_DOCTOR_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>

#include "cli/options.h"
#include "doctor/bdf.h"

#define DOCTOR_FILES_MAX 8u
#define DOCTOR_GO_ON OPTIONS_GO_ON

struct doctor_options {
	const char *file[DOCTOR_FILES_MAX]; /* snapshots */
	size_t file_count;
	struct option_list log, guest_log;
	const char *root;     /* NULL: none */
	bool live;	      /* this machine, or that of @root, is looked at */
	const char *snapshot; /* write one; NULL: don't */
	const char *html, *explain, *metrics;
	bool redact, json, list, watch, verbose;
	unsigned int interval_s;
	bool has_device;
	struct bdf device;
	bool metrics_served; /* @metrics is an address, not a file */
};

/* Return: DOCTOR_GO_ON, or the exit code to leave with. Prints help or the mistake itself. */
int doctor_options_parse(int argc, char **argv, struct doctor_options *ret_options);

#endif
