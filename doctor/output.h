/* SPDX-License-Identifier: MIT */
/*
 * Where reports go.
 */
#ifndef TETHYS_DOCTOR_OUTPUT_H
#define TETHYS_DOCTOR_OUTPUT_H

#include <stdio.h>

#include "common/reason.h"
#include "doctor/report/report.h"

/**
 * output_file() - write a report to a file
 * @path: "-" is stdout; a regular file is replaced at once or not at all
 *
 * Return: 0; negative errno with @why.
 */
int output_file(const char *path, const struct doctor_report *report,
		void (*print)(const struct doctor_report *report, FILE *out), struct reason *why);

/* For standard output: colours and width of a terminal, none elsewhere. */
void output_style(bool verbose, struct doctor_style *ret_style);

#endif
