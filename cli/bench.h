/* SPDX-License-Identifier: MIT */
#ifndef TETHYS_CLI_BENCH_H
#define TETHYS_CLI_BENCH_H

#include <stdbool.h>

#include "cli/job.h"

struct bench_options {
	struct job_options job;
	unsigned int runs;
	bool json;
};

/* Measure and print. Return: enum cli_exit; errors are printed. */
int bench_main(const struct bench_options *options);

#endif
