/* SPDX-License-Identifier: MIT */
/*
 * Scenario files come from anywhere. What was accepted must keep what lab/scenario.h promises to
 * the executor, and its patterns must be safe to match.
 */
#include <stdlib.h>
#include <string.h>

#include "lab/scenario.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t bytes);

static void promise(bool kept)
{
	if (!kept)
		abort();
}

static void check_pattern(const struct lab_pattern *pattern, const char *text, size_t len)
{
	promise(pattern->text && pattern->source && *pattern->source);
	promise(strlen(pattern->source) <= LAB_PATTERN_BYTES_MAX);
	promise(pattern->min <= pattern->max);
	/* A few lines; long ones are for the test of patterns. */
	lab_pattern_count(pattern, text, len < 256 ? len : 256);
}

static void check_step(const struct lab_scenario *scenario, size_t index, bool *runs)
{
	const struct lab_step *step = &scenario->step[index];
	bool in_guest = step->where != LAB_IN_HOST;
	unsigned int guest = in_guest ? step->where - LAB_IN_GUEST1 : 0;

	promise(step->title && *step->title && step->line && step->within_ms);
	promise(guest < LAB_GUESTS_MAX && (!in_guest || scenario->guest[guest].present));
	switch (step->action) {
	case LAB_DO_RUN:
		promise(step->command && (!in_guest || runs[guest]));
		promise(step->at_most_ms <= step->within_ms);
		break;
	case LAB_DO_START_GUEST:
		promise(in_guest && !runs[guest] && step->exit >= 0);
		runs[guest] = !step->exit;
		break;
	case LAB_DO_STOP_GUEST:
	case LAB_DO_KILL_GUEST:
		promise(in_guest && runs[guest]);
		runs[guest] = false;
		break;
	case LAB_DO_CARD:
	case LAB_DO_WAIT_STEP:
		promise(step->command && *step->command);
		break;
	default:
		break;
	}
}

static void check(const struct lab_scenario *scenario, const char *text, size_t len)
{
	bool runs[LAB_GUESTS_MAX] = {0};
	size_t i, j;

	promise(scenario->title && scenario->about && scenario->host.driver &&
		scenario->host.cmdline);
	promise(scenario->steps && scenario->steps <= LAB_STEPS_MAX);
	promise(!scenario->host.intremap || scenario->host.iommu);
	for (i = 0; i < LAB_GUESTS_MAX; i++)
		if (scenario->guest[i].present)
			promise(scenario->guest[i].driver && scenario->guest[i].cmdline);
	for (i = 0; i < scenario->steps; i++) {
		check_step(scenario, i, runs);
		if (scenario->step[i].action == LAB_DO_WAIT_LOG)
			check_pattern(&scenario->step[i].pattern, text, len);
		for (j = 0; j < scenario->step[i].prints.count; j++)
			check_pattern(&scenario->step[i].prints.item[j], text, len);
	}
	promise(runs[0] || (!scenario->guest_doctor.asked && !scenario->doctor_together.asked));
	for (i = 0; i < scenario->expects; i++)
		check_pattern(&scenario->expect[i].pattern, text, len);
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t bytes)
{
	struct lab_scenario *scenario;
	struct reason why = {0};

	if (lab_scenario_parse("fuzz.scenario", (const char *)data, bytes, &scenario, &why)) {
		promise(why.text[0]);
		return 0;
	}
	check(scenario, (const char *)data, bytes);
	lab_scenario_destroy(scenario);
	return 0;
}
