/* SPDX-License-Identifier: MIT */
/*
 * The drawing of the page, in a file of its own.
 */
#ifndef TETHYS_DOCTOR_REPORT_HTML_H
#define TETHYS_DOCTOR_REPORT_HTML_H

#include <stdio.h>

#include "doctor/rules/rule.h"

/**
 * html_drawing() - the path from device to guest as SVG
 *
 * Hops that errors and warnings name are marked with the findings' numbers, which count from 1 in
 * the order of the report.
 */
void html_drawing(const struct doctor_report *report, FILE *out);

#endif
