/* SPDX-License-Identifier: MIT */
/*
 * The engine at work, as engine.c and judge.c share it.
 */
#ifndef TETHYS_DOCTOR_RULES_JUDGE_H
#define TETHYS_DOCTOR_RULES_JUDGE_H

#include "doctor/rules/rule.h"

/* The finding comes first, so that what judge() functions hold can be turned back. */
struct judge_entry {
	struct doctor_finding finding;
	bool dropped;
	unsigned int log; /* of the first evidence, where finding.line is */
	struct judge_entry *swallowed_by;
};

struct doctor_judge {
	const struct doctor_case *seen;
	/* Addresses, because judge() functions keep findings while the array grows. */
	struct judge_entry **entry;
	size_t count;
};

static inline struct judge_entry *judge_entry(struct doctor_finding *finding)
{
	return (struct judge_entry *)finding;
}

/* The finding of a rule that is surest, on whatever device; NULL when there is none. */
struct doctor_finding *judge_find_any(struct doctor_judge *judge, const char *id);

static inline bool judge_is_guests(const struct doctor_fact *fact)
{
	return fact->side == DOCTOR_SIDE_GUEST;
}

/* Appends to @to what @from has as evidence, each line once. */
void judge_take_evidence(struct doctor_judge *judge, struct doctor_finding *to,
			 const struct doctor_finding *from);
/* All that @from says, each once, and its doubt; @from is dropped. */
void judge_merge(struct doctor_judge *judge, struct doctor_finding *to,
		 struct doctor_finding *from);

/* Fill in {device}, {group}, {driver}, {ids} and {vmid} of all fixes and next steps. */
void judge_fill_in(struct doctor_judge *judge, struct doctor_finding *finding);

#endif
