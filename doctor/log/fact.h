/* SPDX-License-Identifier: MIT */
/*
 * Typed facts from logs.
 *
 * Equal facts (same kind, device, reason, direction, name, page of the address, and number where a
 * kind's number tells instances apart) are one fact with a count, so that a gigabyte of faults is a
 * few hundred facts. What is beyond the limit of distinct facts is counted, and noted.
 */
#ifndef TETHYS_DOCTOR_LOG_FACT_H
#define TETHYS_DOCTOR_LOG_FACT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "doctor/arena.h"
#include "doctor/bdf.h"
#include "doctor/log/fact_kinds.h"

/* Whose view a log or snapshot is. */
enum doctor_side {
	DOCTOR_SIDE_UNKNOWN,
	DOCTOR_SIDE_HOST,
	DOCTOR_SIDE_GUEST,
};

#define DOCTOR_NAME_BYTES 40
#define DOCTOR_TIME_NONE INT64_MIN

struct doctor_fact {
	enum doctor_fact_kind kind;
	enum doctor_side side; /* of the log, where known */
	bool has_device, has_address, has_size, has_number, has_reason, has_write;
	bool write;	   /* the device wrote (true) or read memory */
	struct bdf device; /* requester or device of the line */
	uint64_t address;  /* IOVA or bus address in bytes */
	uint64_t size;	   /* bytes */
	uint64_t number;   /* see fact_kinds.h */
	uint32_t reason;   /* fault reason, flags or positive errno */
	char name[DOCTOR_NAME_BYTES];
	char driver
		[DOCTOR_NAME_BYTES]; /* driver before a device's address in the line, "" = none */
	int64_t time_us;      /* of the first, since boot where the log has such times; or NONE */
	int64_t last_time_us; /* of the last */
	bool wall_clock;      /* times are of the calendar (microseconds since 1970) */
	unsigned int boot;    /* which boot within its log, from 0 */
	unsigned int log;     /* index of its log in struct doctor_facts */
	uint64_t line, last_line; /* first and last, from 1 */
	uint64_t count;		  /* lines that said it, "callbacks suppressed" not included */
	const char *text;	  /* first line, made safe for a terminal, at most 512 bytes */
};

#define DOCTOR_FACTS_MAX 4096u

struct doctor_log {
	const char *name; /* as given by the user: path, "-", "kernel log", "journal" */
	enum doctor_side side;
	uint64_t bytes, lines;
	uint64_t lines_cut;    /* longer than is looked at */
	uint64_t lines_binary; /* held bytes that no log has */
	bool has_times;
	unsigned int boots;
};

struct doctor_facts {
	struct arena *arena; /* not owned */
	struct doctor_fact *fact;
	size_t count;
	struct doctor_log *log;
	size_t log_count;
	uint64_t dropped; /* distinct facts beyond DOCTOR_FACTS_MAX */
	void *index;	  /* of the parser */
};

void doctor_facts_init(struct doctor_facts *facts, struct arena *arena);
void doctor_facts_deinit(struct doctor_facts *facts);

/* Next fact of @kind after @from (NULL: from the first); NULL when there is none. In log order. */
const struct doctor_fact *doctor_fact_next(const struct doctor_facts *facts,
					   enum doctor_fact_kind kind,
					   const struct doctor_fact *from);
bool doctor_facts_have(const struct doctor_facts *facts, enum doctor_fact_kind kind);
/* Whether a fact of @kind is about @device. */
bool doctor_facts_have_device(const struct doctor_facts *facts, enum doctor_fact_kind kind,
			      struct bdf device);

#endif
