/* SPDX-License-Identifier: MIT */
#include <stdlib.h>

#include "cli/clock.h"
#include "cli/compare.h"
#include "cli/term.h"

/*
 * Runs of one side in a row; the first isn't counted: the other side's threads still spin then,
 * waiting for work that doesn't come, and would take a processor from this one.
 */
#define TURN 5u
#define RUNS_MIN 4u

struct comparison {
	struct job *job;
	struct direct *direct;
	double *card_ms, *direct_ms; /* [runs] */
	double *ratio;		     /* [runs]; one for each turn */
	unsigned int runs, done, turns;
	bool identical;
};

static int run_card(struct comparison *c, double *ret_ms, struct reason *why)
{
	int rc = job_run(c->job, ret_ms, why);

	c->identical = c->identical && (rc != CLI_OK || direct_equal(c->direct));
	return rc;
}

static int run_direct(struct comparison *c, double *ret_ms, struct reason *why)
{
	return direct_run(c->direct, ret_ms, why) ? CLI_FAILED : CLI_OK;
}

/* A turn of each: the same number of counted runs. */
static int take_turns(struct comparison *c, struct reason *why)
{
	unsigned int count = c->runs - c->done < TURN - 1 ? c->runs - c->done : TURN - 1;
	double uncounted;
	int rc = run_direct(c, &uncounted, why);

	for (unsigned int i = 0; rc == CLI_OK && i < count; i++)
		rc = run_direct(c, &c->direct_ms[c->done + i], why);
	if (rc == CLI_OK)
		rc = run_card(c, &uncounted, why);
	for (unsigned int i = 0; rc == CLI_OK && i < count; i++)
		rc = run_card(c, &c->card_ms[c->done + i], why);
	if (rc == CLI_OK)
		c->ratio[c->turns++] = clock_median(c->card_ms + c->done, count) /
				       clock_median(c->direct_ms + c->done, count);
	c->done += count;
	return rc;
}

static void conclude(const struct comparison *c, struct compare_result *ret_result)
{
	*ret_result = (struct compare_result){
		.runs = c->done,
		.card_ms = clock_median(c->card_ms, c->done),
		.direct_ms = clock_median(c->direct_ms, c->done),
		.ratio = clock_median(c->ratio, c->turns),
		.identical = c->identical,
	};
}

int compare_run(struct job *job, struct direct *direct, unsigned int runs, double limit_ms,
		struct compare_result *ret_result, struct reason *why)
{
	double *times = calloc(3 * (size_t)runs, sizeof(*times)), start = clock_ms();
	struct comparison c = {.job = job, .direct = direct, .runs = runs, .identical = true};
	struct term_progress *bar;
	int rc = CLI_OK;

	if (!times) {
		reason_add(why, 0, "No memory for %u times.", runs);
		return CLI_FAILED;
	}
	c.card_ms = times;
	c.direct_ms = times + runs;
	c.ratio = times + 2 * (size_t)runs;
	bar = term_progress_start("measuring", runs);
	while (rc == CLI_OK && c.done < runs) {
		rc = take_turns(&c, why);
		term_progress_set(bar, c.done);
		if (limit_ms > 0 && c.done >= RUNS_MIN && clock_ms() - start > limit_ms)
			break;
	}
	term_progress_stop(bar);
	if (rc == CLI_OK)
		conclude(&c, ret_result);
	free(times);
	return rc;
}
