/* SPDX-License-Identifier: MIT */
/*
 * What was looked at and what was not, in words, for all forms of a report.
 */
#ifndef TETHYS_DOCTOR_REPORT_NOTES_H
#define TETHYS_DOCTOR_REPORT_NOTES_H

#include "doctor/rules/rule.h"

struct doctor_note {
	const char *machine; /* whose, or the log's name; NULL: of none */
	const char *what, *why, *next;
};

struct doctor_notes {
	struct doctor_note *note;
	size_t count;
};

/* Of snapshots and logs; texts stay those of the snapshots or are in the report's arena. */
void doctor_notes_collect(const struct doctor_report *report, struct doctor_notes *ret_notes);
/* "pve1: /proc/iomem: addresses are hidden. Run as root." */
const char *doctor_note_text(struct arena *arena, const struct doctor_note *note);
/* "host pve1: Proxmox VE 9.1, kernel 7.0, 43 PCI devices, 2 VMs". */
const char *doctor_machine_text(struct arena *arena, const struct machine *machine);
/* "host.log: 1234 lines, 2 boots". */
const char *doctor_log_text(struct arena *arena, const struct doctor_log *log);

#endif
