/* SPDX-License-Identifier: MIT */
/*
 * Everything that one run of doctor looks at: machines, their logs, logs alone.
 */
#ifndef TETHYS_DOCTOR_LOOK_H
#define TETHYS_DOCTOR_LOOK_H

#include "doctor/log/log.h"
#include "doctor/options.h"
#include "doctor/rules/rule.h"
#include "doctor/snapshot.h"

#define LOOK_MACHINES_MAX 16u

/* A log that came with a machine, whose side it takes. */
struct look_log {
	unsigned int log; /* in facts */
	unsigned int snapshot;
};

struct doctor_look {
	const struct doctor_options *options;
	struct arena arena; /* of the facts and of the texts here */
	struct doctor_facts facts;
	struct snapshot *snapshot[LOOK_MACHINES_MAX]; /* the live one is the first */
	struct machine machine[LOOK_MACHINES_MAX];
	size_t count;
	struct look_log *machine_log;
	size_t machine_log_count;
	struct snapshot_note *note; /* of this run, for the report */
	size_t note_count;
	bool live;
	struct doctor_parser
		*kernel; /* of the live kernel log; kept open for watching, else NULL */
	bool keep_kernel_open;
	int follow_fd; /* what the kernel logs from then on; -1: can't be followed */
};

/**
 * look_open() - read all that the options name
 * @keep_kernel_open: the live kernel log is to be followed afterwards
 *
 * Return: 0; negative errno with @why when something that was asked for can't be read. What else
 * could not be seen is a note. look_close() is due in both cases.
 */
int look_open(struct doctor_look *look, const struct doctor_options *options, bool keep_kernel_open,
	      struct reason *why);
void look_close(struct doctor_look *look);

/* Look at the live machine anew; its log stays. Return: 0; negative errno, and nothing changed. */
int look_again(struct doctor_look *look, struct reason *why);

/**
 * look_judge() - what all of it means
 * @seen: filled in here; must live as long as the report
 * @arena: for the report; the look must not be closed or renewed before the report is done with
 */
void look_judge(struct doctor_look *look, struct doctor_case *seen, struct arena *arena,
		struct doctor_report *ret_report);

#endif
