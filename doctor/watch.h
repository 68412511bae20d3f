/* SPDX-License-Identifier: MIT */
/*
 * Following a machine: what is new is said once, what goes on at most once a minute.
 */
#ifndef TETHYS_DOCTOR_WATCH_H
#define TETHYS_DOCTOR_WATCH_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "doctor/look.h"
#include "doctor/report/report.h"

/* The same finding is spoken of no more often than that. */
#define WATCH_QUIET_MS 60000
/* Findings that are kept apart; what is beyond is left out. */
#define WATCH_FINDINGS_MAX 256u

struct watch_entry {
	const struct doctor_rule *rule;
	bool has_device;
	struct bdf device;
	uint64_t lines; /* of evidence, that were spoken of */
	uint64_t seen;	/* that there are */
	int64_t spoken_ms;
	bool there; /* in the last report */
	char title[160];
};

struct watch_tracker {
	struct watch_entry entry[WATCH_FINDINGS_MAX];
	size_t count;
	uint64_t left_out;
};

/**
 * watch_remember() - take a report that was printed as a whole for known
 * @now_ms: of a clock that never jumps
 */
void watch_remember(struct watch_tracker *tracker, const struct doctor_report *report,
		    int64_t now_ms);
/**
 * watch_changes() - say what a report has that the ones before had not
 * @clock: text before each line, "12:34:56"
 *
 * Return: whether something waits for its minute to pass.
 */
bool watch_changes(struct watch_tracker *tracker, const struct doctor_report *report,
		   const struct doctor_style *style, int64_t now_ms, const char *clock, FILE *out);

/* --watch: until SIGINT, SIGTERM or SIGHUP. Return: the exit code, of the last verdict. */
int doctor_watch(struct doctor_look *look);

#endif
