/* SPDX-License-Identifier: MIT */
/*
 * One machine as it was seen: what was read of it, the lines of its log that matter, and what could
 * not be seen. docs/doctor.md documents the file.
 */
#ifndef TETHYS_DOCTOR_SNAPSHOT_H
#define TETHYS_DOCTOR_SNAPSHOT_H

#include <stdbool.h>
#include <stdint.h>

#include "common/reason.h"
#include "doctor/arena.h"
#include "doctor/log/fact.h"
#include "doctor/store.h"

#define SNAPSHOT_FORMAT "tethys-doctor-snapshot"
#define SNAPSHOT_VERSION 1

/* A line kept of a log. */
struct snapshot_line {
	uint64_t number;
	const char *text;
};

struct snapshot_log {
	const char *name;
	struct snapshot_line *line;
	size_t count;
	uint64_t dropped; /* lines that mattered, beyond SNAPSHOT_LINES_MAX */
};

#define SNAPSHOT_LINES_MAX 20000u

/* Something that could not be seen or was skipped, for people. */
struct snapshot_note {
	const char *what; /* "/proc/iomem" */
	const char *why;  /* "addresses are hidden from ordinary users" */
	const char *next; /* "run as root"; "" = nothing to be done */
};

struct snapshot {
	struct arena arena;
	const char *name; /* for the report: host name or file */
	enum doctor_side side;
	int64_t time_s; /* when it was taken, since 1970; 0 = not known */
	struct store store;
	struct snapshot_log *log;
	size_t log_count;
	struct snapshot_note *note;
	size_t note_count;
};

void snapshot_init(struct snapshot *snapshot);
void snapshot_deinit(struct snapshot *snapshot);
void snapshot_note(struct snapshot *snapshot, const char *what, const char *next, const char *fmt,
		   ...) __attribute__((format(printf, 4, 5)));

/**
 * snapshot_collect() - look at a machine
 * @root: "" for this machine, else a folder that holds its /proc, /sys, /etc (a fixture, a
 *	container's view, a mounted disk)
 *
 * Reads only; never opens a device node. What can't be read becomes a note. Logs are not read here.
 *
 * Return: 0; -ENOENT with @why when there is neither /proc nor /sys below @root.
 */
int snapshot_collect(struct snapshot *snapshot, const char *root, struct reason *why);

/* For doctor_parser_create(): keeps the line in the snapshot's last log, whose name was added by
 * snapshot_log_begin(). */
void snapshot_log_begin(struct snapshot *snapshot, const char *name);
void snapshot_log_keep(void *snapshot, uint64_t number, const char *line);

/**
 * snapshot_write() - save as one JSON document
 * @path: "-" for stdout; a file is replaced at once or not at all
 * @redact: host, VM and user names, MAC and IP addresses, serial numbers, UUIDs and host ids become
 *	names like "host-1", the same for the same thing; PCI addresses, ids and memory addresses stay
 */
int snapshot_write(const struct snapshot *snapshot, const char *path, bool redact,
		   struct reason *why);

/**
 * snapshot_read() - load a file that snapshot_write() made, here or elsewhere
 *
 * A newer version is read as far as it is understood, with a note.
 *
 * Return: 0; -EPROTO with @why when it is no snapshot, -EFBIG beyond 256 MiB, errno of reading.
 */
int snapshot_read(struct snapshot *snapshot, const char *path, struct reason *why);
int snapshot_parse(struct snapshot *snapshot, const char *text, size_t size, struct reason *why);

#endif
