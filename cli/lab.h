/* SPDX-License-Identifier: MIT */
/*
 * tethys lab: what its sub-commands share.
 */
#ifndef TETHYS_CLI_LAB_H
#define TETHYS_CLI_LAB_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

#include "common/reason.h"
#include "lab/image.h"
#include "lab/scenario.h"

struct lab_options {
	const char *logs;	  /* folder of runs; NULL: default */
	const char *const *names; /* scenarios, or paths of files */
	size_t count;
	bool all;
	bool keep;
	bool json;
	bool tap;
	unsigned int jobs;
	unsigned int repeat;
};

/* Several in the order they were named. */
struct lab_set {
	struct lab_scenario **item;
	size_t count;
};

/**
 * lab_set_load() - scenarios by name, or by path where there is a '/' or the name of a file
 * @names: NULL: all that are shipped, by name
 *
 * Return: 0; as lab_scenario_load().
 */
int lab_set_load(const char *const *names, size_t count, struct lab_set *ret_set,
		 struct reason *why);
void lab_set_deinit(struct lab_set *set);

/* Each prints its own errors and returns enum cli_exit, or 128 + a signal that ended it. */
int lab_cmd_build(bool quiet, bool without_vfio, bool json);
int lab_cmd_run(const struct lab_options *options);
int lab_cmd_list(bool json);
int lab_cmd_logs(const char *logs, const char *scenario, const char *which, bool json);
int lab_cmd_shell(const char *logs, const char *where, const char *scenario);

#endif
