/* SPDX-License-Identifier: MIT */
/*
 * What the forms of a report say in the same words.
 */
#ifndef TETHYS_DOCTOR_TEXT_H
#define TETHYS_DOCTOR_TEXT_H

#include "doctor/rules/rule.h"

/* "error", "warning", "info"; "healthy", "findings", "cannot-look": of the JSON schema. */
const char *doctor_severity_name(enum doctor_severity severity);
const char *doctor_verdict_name(enum doctor_verdict verdict);
/* "platform", ..., "none". */
const char *doctor_hop_name(enum doctor_hop hop);
/* "from the card to guest memory", for people. */
const char *doctor_hop_text(enum doctor_hop hop);
/* "any", "proxmox", ... and "Proxmox VE". */
const char *doctor_where_name(enum doctor_where where);
const char *doctor_where_text(enum doctor_where where);
/* The same for one fix; "" where it is for any or its text says so itself. */
const char *doctor_fix_place(const struct doctor_fix *fix);
/* "host", "guest", "unknown". */
const char *doctor_side_name(enum doctor_side side);
/* "very likely". */
const char *doctor_confidence_text(unsigned int percent);
/* "yes", "no", "unknown". */
const char *doctor_tristate_name(enum tristate state);

/* "no errors", "1 error", "3 errors". */
struct doctor_tally {
	size_t error, warning, info;
};
struct doctor_tally doctor_tally(const struct doctor_report *report);
/* The report in one sentence, in the report's arena. */
const char *doctor_verdict_text(const struct doctor_report *report);

/**
 * doctor_fix_order() - the order in which a finding's fixes are shown
 * @ret_order: indexes into finding->fix, [finding->fix_count]
 *
 * As the rule has them, best first, but those for Proxmox, libvirt and QEMU stand together, and of
 * these three the one that was seen comes first.
 */
void doctor_fix_order(const struct doctor_report *report, const struct doctor_finding *finding,
		      size_t *ret_order);

/* "0000:86:00.0 (Vendor Device [1f9d:1100])" of a finding, in the report's arena; "" without. */
const char *doctor_device_text(const struct doctor_report *report,
			       const struct doctor_finding *finding);

/* A line of a text of several; moves @at on. NULL after the last. In the arena. */
const char *doctor_next_line(struct arena *arena, const char **at);

#endif
