/* SPDX-License-Identifier: MIT */
/*
 * The engine: rules over facts and machines, see rule.h for its steps.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "doctor/rules/judge.h"

#define DROP_BELOW 10u /* percent */
/* A suspicion is no ground to hide a finding that is surer than itself. */
#define SWALLOW_FROM 30u

/* "pvedaemon[2451]: ..." or "kernel: ...": a line that a journal or syslog brought. */
static bool from_journal(const struct doctor_fact *fact)
{
	const char *at = fact->text ? fact->text : "";

	if (strstr(at, "kernel: "))
		return true;
	while ((at = strstr(at, "]: "))) {
		const char *digit = at;

		while (digit > fact->text && digit[-1] >= '0' && digit[-1] <= '9')
			digit--;
		if (digit < at && digit - fact->text >= 2 && digit[-1] == '[' && digit[-2] > ' ')
			return true;
		at++;
	}
	return false;
}

/*
 * Two facts can be put in order only when they carry times of the same kind, or both none; and a
 * "TASK OK" of a task's own log that was pasted below lines of a journal says nothing about them.
 */
static bool is_before(const struct doctor_fact *a, const struct doctor_fact *b)
{
	bool a_timed = a->last_time_us != DOCTOR_TIME_NONE;
	bool b_timed = b->last_time_us != DOCTOR_TIME_NONE;

	if (a_timed != b_timed || (a_timed && a->wall_clock != b->wall_clock) ||
	    from_journal(a) != from_journal(b))
		return false;
	if (a->log == b->log)
		return a->last_line < b->last_line;
	/* Times since boot of two logs may be of two machines or two boots. */
	return a_timed && a->wall_clock && a->last_time_us < b->last_time_us;
}

bool judge_is_past(const struct doctor_case *seen, const struct doctor_fact *fact)
{
	const struct doctor_fact *start = NULL;

	while ((start = doctor_fact_next(seen->facts, DOCTOR_START_OK, start))) {
		if (start->has_device && fact->has_device &&
		    !bdf_equal(start->device, fact->device))
			continue;
		if (is_before(fact, start))
			return true;
	}
	return false;
}

/*
 * The finding of a rule and side that a line without a device most likely belongs to: the nearest
 * in its log, else any.
 */
static struct doctor_finding *nearest(struct doctor_judge *judge, const struct doctor_rule *rule,
				      bool guest, bool with_device, unsigned int log, uint64_t line)
{
	struct doctor_finding *best = NULL;
	uint64_t best_distance = 0;

	for (size_t i = 0; i < judge->count; i++) {
		struct judge_entry *entry = judge->entry[i];
		struct doctor_finding *finding = &entry->finding;
		uint64_t distance = UINT64_MAX;

		if (finding->rule != rule || finding->guest != guest || entry->dropped ||
		    (with_device && !finding->has_device))
			continue;
		if (finding->line != UINT64_MAX && line != UINT64_MAX && entry->log == log)
			distance =
				finding->line > line ? finding->line - line : line - finding->line;
		if (!best || distance < best_distance) {
			best = finding;
			best_distance = distance;
		}
	}
	return best;
}

static void confirm(struct doctor_judge *judge, const struct doctor_rule *rule,
		    const struct doctor_signal *signal, const struct doctor_fact *fact)
{
	struct doctor_finding *finding = NULL;

	if (fact->has_device)
		finding = judge_find_fact(judge, rule->id, fact);
	else
		finding = nearest(judge, rule, judge_is_guests(fact), false, fact->log, fact->line);
	if (finding)
		judge_confirm(finding, signal->percent);
	else
		finding = judge_add_fact(judge, rule, fact, signal->percent);
	judge_evidence(judge, finding, fact);
	if (signal->says)
		judge_why(judge, finding, "%s", signal->says);
}

static void confirm_all(struct doctor_judge *judge, const struct doctor_rule *rule,
			bool with_device)
{
	const struct doctor_case *seen = judge->seen;

	for (const struct doctor_signal *signal = rule->confirm;
	     signal && signal->kind != DOCTOR_FACT_NONE; signal++) {
		const struct doctor_fact *fact = NULL;

		while ((fact = doctor_fact_next(seen->facts, signal->kind, fact))) {
			if (fact->has_device != with_device ||
			    (signal->when && !signal->when(seen, fact)) ||
			    judge_is_past(seen, fact))
				continue;
			confirm(judge, rule, signal, fact);
		}
	}
}

/* What is seen in a guest says nothing of its host, nor the other way round. */
static bool is_about(const struct doctor_fact *fact, const struct doctor_finding *finding)
{
	return judge_is_guests(fact) == finding->guest &&
	       (!finding->has_device || !fact->has_device ||
		bdf_equal(finding->device, fact->device));
}

static void refute_all(struct doctor_judge *judge, const struct doctor_rule *rule)
{
	const struct doctor_case *seen = judge->seen;

	for (const struct doctor_signal *signal = rule->refute;
	     signal && signal->kind != DOCTOR_FACT_NONE; signal++) {
		const struct doctor_fact *fact = NULL;

		while ((fact = doctor_fact_next(seen->facts, signal->kind, fact))) {
			if (signal->when && !signal->when(seen, fact))
				continue;
			for (size_t i = 0; i < judge->count; i++) {
				struct doctor_finding *finding = &judge->entry[i]->finding;

				if (finding->rule != rule || !is_about(fact, finding))
					continue;
				judge_refute(finding, signal->percent);
				if (signal->says)
					judge_why(judge, finding, "%s", signal->says);
			}
		}
	}
}

/*
 * One trouble, told by lines that name the device and by others that don't, is one finding. What is
 * only information stays apart from what is wrong.
 */
static void join_nameless(struct doctor_judge *judge)
{
	for (size_t i = 0; i < judge->count; i++) {
		struct judge_entry *entry = judge->entry[i];
		struct doctor_finding *from = &entry->finding, *to;

		if (entry->dropped || from->has_device)
			continue;
		to = nearest(judge, from->rule, from->guest, true, entry->log, from->line);
		if (to && (to->severity == DOCTOR_INFO) == (from->severity == DOCTOR_INFO))
			judge_merge(judge, to, from);
	}
}

static bool lists(const struct doctor_rule *cause, const struct doctor_rule *other)
{
	for (const char *const *id = cause->swallows; id && *id; id++)
		if (!strcmp(*id, other->id))
			return true;
	return false;
}

/* Of two that can each be the cause of the other, the earlier is it. */
static bool is_first(const struct doctor_finding *a, const struct doctor_finding *b)
{
	if (a->line != b->line)
		return a->line < b->line;
	return a->confidence >= b->confidence;
}

static bool swallows(const struct doctor_finding *cause, const struct doctor_finding *other)
{
	if (!lists(cause->rule, other->rule))
		return false;
	if (cause->has_device && other->has_device &&
	    (cause->guest != other->guest || !bdf_equal(cause->device, other->device)))
		return false;
	if (cause->severity == DOCTOR_INFO && other->severity != DOCTOR_INFO)
		return false;
	if (cause->confidence < SWALLOW_FROM && cause->confidence < other->confidence)
		return false;
	return !lists(other->rule, cause->rule) || is_first(cause, other);
}

/* The one that is left of a chain of causes. */
static struct judge_entry *root_of(struct judge_entry *entry)
{
	while (entry->swallowed_by)
		entry = entry->swallowed_by;
	return entry;
}

static void swallow(struct doctor_judge *judge)
{
	for (size_t i = 0; i < judge->count; i++) {
		struct judge_entry *other = judge->entry[i];

		for (size_t j = 0; j < judge->count && !other->dropped; j++) {
			struct judge_entry *cause = judge->entry[j];

			/* root_of() keeps two that name each other from both going. */
			if (i == j || cause->dropped || other->swallowed_by ||
			    root_of(cause) == other || !swallows(&cause->finding, &other->finding))
				continue;
			other->swallowed_by = cause;
		}
	}
	for (size_t i = 0; i < judge->count; i++) {
		struct judge_entry *entry = judge->entry[i];
		struct doctor_finding *to;
		const char **id;

		if (!entry->swallowed_by || entry->dropped)
			continue;
		to = &root_of(entry)->finding;
		id = arena_grow(judge->seen->arena, &to->follows, to->follows_count, sizeof(*id));
		to->follows_count++;
		*id = entry->finding.rule->id;
		/* A cause is as grave as what comes of it. */
		if (entry->finding.severity > to->severity)
			to->severity = entry->finding.severity;
		judge_take_evidence(judge, to, &entry->finding);
	}
	for (size_t i = 0; i < judge->count; i++)
		if (judge->entry[i]->swallowed_by)
			judge->entry[i]->dropped = true;
}

static int compare(const void *left, const void *right)
{
	const struct doctor_finding *a = left, *b = right;

	if (a->severity != b->severity)
		return a->severity > b->severity ? -1 : 1;
	if (a->confidence != b->confidence)
		return a->confidence > b->confidence ? -1 : 1;
	if (a->line != b->line)
		return a->line < b->line ? -1 : 1;
	if (a->has_device && b->has_device && !bdf_equal(a->device, b->device))
		return bdf_compare(a->device, b->device);
	if (a->guest != b->guest)
		return a->guest ? 1 : -1;
	return strcmp(a->rule->id, b->rule->id);
}

/* Of a file from elsewhere nothing may be left that is understood here. */
static bool is_seen(const struct machine *machine)
{
	return machine->device_count || machine->kernel || machine->command_line ||
	       machine->iommu != UNKNOWN || machine->arch != ARCH_UNKNOWN;
}

static bool nothing_seen(const struct doctor_case *seen)
{
	if (seen->facts->count)
		return false;
	for (size_t i = 0; i < seen->machine_count; i++)
		if (is_seen(&seen->machine[i]))
			return false;
	for (size_t i = 0; i < seen->facts->log_count; i++)
		if (seen->facts->log[i].lines)
			return false;
	return true;
}

static void make_report(struct doctor_judge *judge, struct doctor_report *report)
{
	const struct doctor_case *seen = judge->seen;
	size_t count = 0;

	report->arena = seen->arena;
	report->looked_at = seen;
	report->finding = NULL;
	report->verdict = nothing_seen(seen) ? DOCTOR_CANNOT_LOOK : DOCTOR_HEALTHY;
	if (judge->count)
		report->finding = arena_alloc(seen->arena, judge->count * sizeof(*report->finding));
	for (size_t i = 0; i < judge->count; i++) {
		struct doctor_finding *finding = &judge->entry[i]->finding;

		if (judge->entry[i]->dropped)
			continue;
		judge_fill_in(judge, finding);
		if (finding->severity != DOCTOR_INFO)
			report->verdict = DOCTOR_FINDINGS;
		report->finding[count++] = *finding;
	}
	report->count = count;
	if (count)
		qsort(report->finding, count, sizeof(*report->finding), compare);
}

void doctor_judge_case(const struct doctor_case *seen, struct doctor_report *ret_report)
{
	struct doctor_judge judge = {.seen = seen};
	const struct doctor_rule *rule = NULL;

	while ((rule = doctor_rule_next(rule))) {
		/* Lines that name a device first, so that others can join them. */
		confirm_all(&judge, rule, true);
		confirm_all(&judge, rule, false);
		refute_all(&judge, rule);
	}
	while ((rule = doctor_rule_next(rule)))
		if (rule->judge)
			rule->judge(&judge, rule);
	join_nameless(&judge);
	for (size_t i = 0; i < judge.count; i++)
		if (judge.entry[i]->finding.confidence < DROP_BELOW)
			judge.entry[i]->dropped = true;
	swallow(&judge);
	make_report(&judge, ret_report);
}
