/* SPDX-License-Identifier: MIT */
/*
 * A job against ONNX Runtime alone: in turns, so that both meet the same weather.
 */
#ifndef TETHYS_CLI_COMPARE_H
#define TETHYS_CLI_COMPARE_H

#include <stdbool.h>

#include "cli/direct.h"
#include "cli/job.h"

struct compare_result {
	unsigned int runs;
	double card_ms, direct_ms; /* medians */
	double ratio;		   /* median of the turns' ratios: speed drifts from turn to turn */
	bool identical;		   /* outputs, byte for byte, in every run */
};

/**
 * compare_run() - a few runs of one, a few of the other, and so on
 * @runs: of each
 * @limit_ms: stop early, after at least four of each, when this has passed; 0: no limit
 *
 * Return: enum cli_exit.
 */
int compare_run(struct job *job, struct direct *direct, unsigned int runs, double limit_ms,
		struct compare_result *ret_result, struct reason *why);

#endif
