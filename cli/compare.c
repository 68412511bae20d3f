/* SPDX-License-Identifier: MIT */
#include <stdlib.h>

#include "cli/clock.h"
#include "cli/compare.h"
#include "cli/term.h"

#define PAIRS_MIN 3u

static int run_pair(struct job *job, struct direct *direct, double *card_ms, double *direct_ms,
		    bool *identical, struct reason *why)
{
	int rc = job_run(job, card_ms, why);

	if (rc != CLI_OK)
		return rc;
	if (direct_run(direct, direct_ms, why))
		return CLI_FAILED;
	*identical = *identical && direct_equal(direct);
	return CLI_OK;
}

int compare_run(struct job *job, struct direct *direct, unsigned int runs, double limit_ms,
		struct compare_result *ret_result, struct reason *why)
{
	double *times = calloc(2 * (size_t)runs, sizeof(*times));
	struct compare_result result = {.identical = true};
	struct term_progress *bar;
	double start, warm[2];
	int rc;

	if (!times) {
		reason_add(why, 0, "No memory for %u times.", runs);
		return CLI_FAILED;
	}
	bar = term_progress_start("measuring", runs);
	rc = run_pair(job, direct, &warm[0], &warm[1], &result.identical, why);
	start = clock_ms();
	while (rc == CLI_OK && result.runs < runs) {
		rc = run_pair(job, direct, &times[result.runs], &times[runs + result.runs],
			      &result.identical, why);
		term_progress_set(bar, ++result.runs);
		if (limit_ms > 0 && result.runs >= PAIRS_MIN && clock_ms() - start > limit_ms)
			break;
	}
	term_progress_stop(bar);
	if (rc == CLI_OK) {
		result.card_ms = clock_median(times, result.runs);
		result.direct_ms = clock_median(times + runs, result.runs);
		result.ratio = result.card_ms / result.direct_ms;
		*ret_result = result;
	}
	free(times);
	return rc;
}
