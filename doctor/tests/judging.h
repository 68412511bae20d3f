/* SPDX-License-Identifier: MIT */
/*
 * For tests of rules: facts made by hand or by the parser, machines made by hand, one judgement.
 */
#ifndef TETHYS_DOCTOR_TESTS_JUDGING_H
#define TETHYS_DOCTOR_TESTS_JUDGING_H

#include <string.h>

#include "doctor/log/log.h"
#include "doctor/rules/rule.h"

struct judging {
	struct arena arena;
	struct doctor_facts facts;
	struct doctor_case seen;
	struct doctor_report report;
	struct machine machine[2];
	size_t machine_count;
};

static inline void judging_init(struct judging *judging)
{
	*judging = (struct judging){0};
	doctor_facts_init(&judging->facts, &judging->arena);
}

static inline void judging_deinit(struct judging *judging)
{
	doctor_facts_deinit(&judging->facts);
	arena_free(&judging->arena);
}

static inline void judging_log(struct judging *judging, const char *name, enum doctor_side side,
			       const char *text, size_t size)
{
	struct doctor_parser *parser;

	parser = doctor_parser_create(&judging->facts, name, side, NULL, NULL);
	doctor_parser_feed(parser, text, size);
	doctor_parser_finish(parser);
	doctor_parser_destroy(parser);
}

static inline void judging_text(struct judging *judging, const char *text)
{
	judging_log(judging, "test.log", DOCTOR_SIDE_UNKNOWN, text, strlen(text));
}

/* Another fact, behind those that are there; the caller sets more of it. */
static inline struct doctor_fact *judging_fact(struct judging *judging, enum doctor_fact_kind kind,
					       const char *text)
{
	struct doctor_facts *facts = &judging->facts;
	struct doctor_fact *fact;

	fact = arena_grow(&judging->arena, &facts->fact, facts->count, sizeof(*fact));
	facts->count++;
	fact->kind = kind;
	fact->text = text;
	fact->count = 1;
	fact->line = fact->last_line = facts->count;
	fact->time_us = fact->last_time_us = DOCTOR_TIME_NONE;
	return fact;
}

static inline struct bdf judging_bdf(const char *text)
{
	struct bdf bdf = {0};

	bdf_parse(text, strlen(text), &bdf, NULL);
	return bdf;
}

static inline struct doctor_fact *judging_device_fact(struct judging *judging,
						      enum doctor_fact_kind kind,
						      const char *device, const char *text)
{
	struct doctor_fact *fact = judging_fact(judging, kind, text);

	fact->has_device = true;
	fact->device = judging_bdf(device);
	return fact;
}

static inline void judging_judge(struct judging *judging)
{
	judging->seen = (struct doctor_case){.arena = &judging->arena,
					     .machine = judging->machine,
					     .machine_count = judging->machine_count,
					     .facts = &judging->facts};
	doctor_judge_case(&judging->seen, &judging->report);
}

/* "" when there is none. */
static inline const char *judging_first(const struct judging *judging)
{
	return judging->report.count ? judging->report.finding[0].rule->id : "";
}

static inline const struct doctor_finding *judging_find(const struct judging *judging,
							const char *id)
{
	for (size_t i = 0; i < judging->report.count; i++)
		if (!strcmp(judging->report.finding[i].rule->id, id))
			return &judging->report.finding[i];
	return NULL;
}

#endif
