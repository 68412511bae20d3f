/* SPDX-License-Identifier: MIT */
/*
 * What "tethys doctor --json" said, and whether it is what a scenario expects.
 */
#ifndef TETHYS_LAB_DIAGNOSIS_H
#define TETHYS_LAB_DIAGNOSIS_H

#include <stdbool.h>
#include <stddef.h>

#include "common/reason.h"
#include "lab/scenario.h"

struct lab_finding {
	char *id, *title;
	bool wrong; /* an error or a warning: what is only information doesn't count */
};

struct lab_diagnosis {
	struct lab_finding *item; /* best first */
	size_t count;
};

/**
 * lab_diagnosis_parse() - read a report
 * @text: need not be trusted
 * @exit_code: what doctor ended with
 * @ret_diagnosis: to be ended with lab_diagnosis_deinit()
 *
 * Return: 0; -EPROTO with @why: no report, doctor could not look, or verdict, findings and exit
 * code contradict each other; -ENOMEM.
 */
int lab_diagnosis_parse(const char *text, size_t len, int exit_code,
			struct lab_diagnosis *ret_diagnosis, struct reason *why);
void lab_diagnosis_deinit(struct lab_diagnosis *diagnosis); /* all zeros are fine */

/* Is the first of what is wrong what @expected begins with, and everything else in it or @also? */
bool lab_diagnosis_fits(const struct lab_diagnosis *diagnosis, const struct lab_verdict *expected,
			const struct lab_strings *also);
/* The same findings in the same order? */
bool lab_diagnosis_equal(const struct lab_diagnosis *a, const struct lab_diagnosis *b);

/* "iommu-off (The IOMMU is off), ..." of what is wrong, "healthy" of nothing, as far as it fits. */
void lab_diagnosis_words(const struct lab_diagnosis *diagnosis, char *ret_words, size_t size);
/* "doctor = iommu-off, no-intremap": as it is written in a scenario, with @key. */
void lab_verdict_words(const char *key, const struct lab_verdict *verdict, char *ret_words,
		       size_t size);

#endif
