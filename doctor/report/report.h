/* SPDX-License-Identifier: MIT */
/*
 * A report in its forms. Every text that came from outside is made safe for its form here again,
 * although it was when it was read: terminal escapes, JSON, HTML.
 */
#ifndef TETHYS_DOCTOR_REPORT_REPORT_H
#define TETHYS_DOCTOR_REPORT_REPORT_H

#include <stdio.h>

#include "doctor/rules/rule.h"

#define DOCTOR_REPORT_FORMAT "tethys-doctor-report/1"

/* How text looks; strings that switch on and off, "" where no colours are wanted. */
struct doctor_style {
	const char *bold, *dim, *good, *warn, *bad, *off;
	unsigned int width; /* columns to wrap at; 0: don't */
	bool utf8;
	bool verbose;  /* everything of each finding; else the first in full, others in short */
	bool terminal; /* log lines are wrapped, too; else they stay whole, for grep */
};

void doctor_report_text(const struct doctor_report *report, const struct doctor_style *style,
			FILE *out);
/* docs/doctor-report.schema.json describes it. */
void doctor_report_json(const struct doctor_report *report, FILE *out);
/* One self-contained page. */
void doctor_report_html(const struct doctor_report *report, FILE *out);
/* OpenMetrics text: findings and fault counters, ends with "# EOF". */
void doctor_report_metrics(const struct doctor_report *report, FILE *out);

/* --explain. Return: 0, -ENOENT when no rule has this id. */
int doctor_explain(const char *id, const struct doctor_style *style, FILE *out);
/* --list: id, severity, title. */
void doctor_list(const struct doctor_style *style, bool json, FILE *out);

#endif
