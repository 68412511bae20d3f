/* SPDX-License-Identifier: MIT */
/*
 * Rules: from facts and machines to findings.
 *
 * A rule is a row of a table. What can be said by rows is said by rows: signals that confirm,
 * others that refute, words, fixes. What needs arithmetic has a function, judge(), which sees
 * everything.
 *
 * The engine (1) makes a finding per rule, device and side from the signals: confidences combine as
 * 1 - (1-p)(1-q), refuting ones multiply by (1-p); (2) calls judge() of each rule, in table order;
 * (3) joins a finding without a device to the nearest of the same rule that has one, drops findings
 * below 10 %, (4) lets a finding swallow those that its rule lists as consequences, on the same
 * device of the same side or where one of the two names none (an info never swallows an error, nor
 * a suspicion below 30 % what is surer than itself; of two that name each other, the one whose
 * evidence comes first stays); (5) sorts: errors, warnings, infos, within them by confidence, then
 * by where the evidence comes first.
 */
#ifndef TETHYS_DOCTOR_RULES_RULE_H
#define TETHYS_DOCTOR_RULES_RULE_H

#include "doctor/finding.h"
#include "doctor/log/fact.h"
#include "doctor/model/machine.h"

/* All that is known. */
struct doctor_case {
	struct arena *arena;
	const struct machine *machine; /* array; may be empty: only logs */
	size_t machine_count;
	const struct doctor_facts *facts;
};

struct doctor_judge; /* the engine at work */

struct doctor_signal {
	enum doctor_fact_kind kind; /* DOCTOR_FACT_NONE ends a list */
	unsigned int percent;	    /* how much one such fact confirms (or refutes), 1..99 */
	/* Whether this fact counts; NULL: all of the kind do. */
	bool (*when)(const struct doctor_case *seen, const struct doctor_fact *fact);
	const char *says; /* what it shows, a sentence for the report; NULL: the line is enough */
};

struct doctor_rule {
	const char *id; /* of the catalogue, stable */
	const char *title;
	enum doctor_severity severity;
	enum doctor_hop hop;
	const struct doctor_signal *confirm; /* NULL: only judge() */
	const struct doctor_signal *refute;  /* NULL: none */
	void (*judge)(struct doctor_judge *judge, const struct doctor_rule *rule);
	const char *const *swallows; /* ids, ends with NULL; NULL: none */
	/* Words for --explain and the report; each may be "" but not NULL. */
	const char *cause;		/* what goes on */
	const char *shows;		/* how it looks */
	const char *decides;		/* what tells it from others */
	const char *trap;		/* the tempting wrong conclusion */
	const struct doctor_fix *fixes; /* ends with .text NULL; NULL: none known */
};

/* A group of rules: one file of rules/ each. */
struct doctor_rules {
	const struct doctor_rule *rule;
	size_t count;
};

extern const struct doctor_rules doctor_rules_platform; /* IOMMU off, remapping, RMRR, sandbox */
extern const struct doctor_rules doctor_rules_binding;	/* groups, drivers, nodes, start of VMs */
extern const struct doctor_rules doctor_rules_mapping;	/* memlock, aperture, BARs */
extern const struct doctor_rules doctor_rules_dma;	/* DMA faults */
extern const struct doctor_rules doctor_rules_interrupt;
extern const struct doctor_rules doctor_rules_reset;   /* reset, power, link */
extern const struct doctor_rules doctor_rules_metis;   /* the case */
extern const struct doctor_rules doctor_rules_display; /* display, start, guest; comes last */

/* All of them, in the order of the catalogue. */
const struct doctor_rule *doctor_rule_next(const struct doctor_rule *from);
/* NULL when no rule has this id. */
const struct doctor_rule *doctor_rule_find(const char *id);

/**
 * doctor_judge_case() - judge all that is known
 * @ret_report: texts are in the case's arena
 */
void doctor_judge_case(const struct doctor_case *seen, struct doctor_report *ret_report);

/* For judge() functions. */

const struct doctor_case *judge_case(const struct doctor_judge *judge);

/*
 * A finding belongs to a rule, a device, and a side: host and guest each give out addresses of
 * their own, so 0000:00:02.0 is another device in each. What isn't known to be the guest's counts
 * as the host's.
 */

/* The finding of rule @id on @device (NULL: without one), NULL when there is none yet. */
struct doctor_finding *judge_find_of(struct doctor_judge *judge, const char *id, bool guest,
				     const struct bdf *device);
/* The same, made with @percent when there is none; its rule's words and fixes are filled in. */
struct doctor_finding *judge_add_of(struct doctor_judge *judge, const struct doctor_rule *rule,
				    bool guest, const struct bdf *device, unsigned int percent);
/* Of the device and side that a fact names. */
struct doctor_finding *judge_find_fact(struct doctor_judge *judge, const char *id,
				       const struct doctor_fact *fact);
struct doctor_finding *judge_add_fact(struct doctor_judge *judge, const struct doctor_rule *rule,
				      const struct doctor_fact *fact, unsigned int percent);
/* Of a machine's device. */
struct doctor_finding *judge_find_on(struct doctor_judge *judge, const char *id,
				     const struct machine *machine, const struct bdf *device);
struct doctor_finding *judge_add_on(struct doctor_judge *judge, const struct doctor_rule *rule,
				    const struct machine *machine, const struct bdf *device,
				    unsigned int percent);
/* Where the side isn't known: the host's finding before the guest's. */
struct doctor_finding *judge_find(struct doctor_judge *judge, const char *id,
				  const struct bdf *device);
/* The same; a new one is of the host, unless only a guest is known to have @device. */
struct doctor_finding *judge_add(struct doctor_judge *judge, const struct doctor_rule *rule,
				 const struct bdf *device, unsigned int percent);
/* Raise or lower: see the combination at the top. */
void judge_confirm(struct doctor_finding *finding, unsigned int percent);
void judge_refute(struct doctor_finding *finding, unsigned int percent);
void judge_set(struct doctor_finding *finding, unsigned int percent);
void judge_drop(struct doctor_judge *judge, struct doctor_finding *finding);

void judge_title(struct doctor_judge *judge, struct doctor_finding *finding, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
void judge_why(struct doctor_judge *judge, struct doctor_finding *finding, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* The fact's line and where it stands; the same line only once. */
void judge_evidence(struct doctor_judge *judge, struct doctor_finding *finding,
		    const struct doctor_fact *fact);
/* A state as evidence: a sentence and the file that shows it. */
void judge_state(struct doctor_judge *judge, struct doctor_finding *finding, const char *source,
		 const char *fmt, ...) __attribute__((format(printf, 4, 5)));
void judge_rule_out(struct doctor_judge *judge, struct doctor_finding *finding, const char *what,
		    const char *fmt, ...) __attribute__((format(printf, 4, 5)));
void judge_next(struct doctor_judge *judge, struct doctor_finding *finding, const char *text,
		const char *commands, const char *decides);
/* @fix is copied; placeholders in it are filled in at the end. */
void judge_fix(struct doctor_judge *judge, struct doctor_finding *finding,
	       const struct doctor_fix *fix);
/* Leaves the fixes that the rule brought out, for a judge() that knows which apply. */
void judge_clear_fixes(struct doctor_finding *finding);

/**
 * judge_is_past() - whether a VM was started well after a fact, which then blames nothing any more
 *
 * Only said where the two can be put in order: lines of one log that both have times or both have
 * none, or calendar times of two logs. The engine leaves such facts out of all signals that
 * confirm; judge() functions ask for themselves.
 */
bool judge_is_past(const struct doctor_case *seen, const struct doctor_fact *fact);

/* The machine of a side; NULL when none was given. A single machine of unknown side is the host. */
const struct machine *judge_machine(const struct doctor_case *seen, enum doctor_side side);

#endif
