/* SPDX-License-Identifier: MIT */
/*
 * What doctor says: findings, best first.
 */
#ifndef TETHYS_DOCTOR_FINDING_H
#define TETHYS_DOCTOR_FINDING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "doctor/arena.h"
#include "doctor/bdf.h"
#include "doctor/log/fact.h"

struct doctor_rule;
struct snapshot_note;

enum doctor_severity {
	DOCTOR_INFO,	/* looks alarming, is not; doesn't change the verdict */
	DOCTOR_WARNING, /* will bite, or costs something */
	DOCTOR_ERROR,	/* passthrough fails because of it */
};

/* The hop of the path that breaks, for the drawing. */
enum doctor_hop {
	HOP_NONE,
	HOP_PLATFORM,  /* firmware, kernel command line: no IOMMU, no remapping */
	HOP_BINDING,   /* driver, group, /dev/vfio */
	HOP_DEVICE,    /* the card itself: reset, power, firmware */
	HOP_LINK,      /* PCIe link, config space */
	HOP_DMA,       /* device -> IOMMU -> memory */
	HOP_INTERRUPT, /* device -> interrupt remapping -> guest */
	HOP_MEMORY,    /* guest memory isn't mapped */
	HOP_BAR,       /* guest's access to registers */
	HOP_GUEST,     /* driver or application in the guest */
	HOP_NR
};

/* For whom a fix is written. */
enum doctor_where {
	FOR_ANY,
	FOR_PROXMOX,
	FOR_LIBVIRT,
	FOR_QEMU,
	FOR_GUEST,
};

struct doctor_fix {
	enum doctor_where where;
	const char *text; /* what it does, one or two sentences */
	const char *
		commands; /* lines, "" = none; {device}, {group}, {driver}, {ids}, {vmid} are filled in */
	const char *
		proved; /* on what it was proved: "in the lab: scenario forum-1346-healed", "" = not by us */
};

struct doctor_evidence {
	const char *text;   /* a log line, or a sentence about a state */
	const char *source; /* "host.log:1234", "/sys/...", "host: kernel log" */
	uint64_t count;	    /* how often; 1 = once */
};

struct doctor_ruled_out {
	const char *what; /* id of a class, or a belief in words */
	const char *why;
};

struct doctor_next {
	const char *text;     /* the observation to make */
	const char *commands; /* "" = none */
	const char *decides;  /* what each outcome would mean */
};

struct doctor_finding {
	const struct doctor_rule *rule;
	bool has_device;
	struct bdf device;
	bool guest;	     /* as the guest sees it: its addresses are others than the host's */
	const char *label;   /* of the device, NULL = not known */
	const char *machine; /* whose; NULL where only logs were given */
	enum doctor_severity severity;
	unsigned int confidence; /* percent, 1..99; 100 only for what can't be otherwise */
	enum doctor_hop hop;
	const char *title;
	const char **why;
	size_t why_count;
	struct doctor_evidence *evidence;
	size_t evidence_count;
	struct doctor_ruled_out *ruled_out;
	size_t ruled_out_count;
	struct doctor_next *next;
	size_t next_count;
	struct doctor_fix *fix;
	size_t fix_count;
	const char **follows; /* ids of findings that this one explains and replaces */
	size_t follows_count;
	uint64_t line; /* of the first evidence in its log, for sorting */
};

enum doctor_verdict {
	DOCTOR_HEALTHY = 0,
	DOCTOR_FINDINGS = 1,
	DOCTOR_CANNOT_LOOK = 2, /* these are also the exit codes */
};

struct doctor_report {
	struct arena *arena; /* owns the texts; not owned */
	enum doctor_verdict verdict;
	struct doctor_finding *finding; /* best first; infos last */
	size_t count;
	const struct doctor_case *looked_at;
	/* Of this run, besides those of snapshots and logs; may be none. */
	const struct snapshot_note *note;
	size_t note_count;
};

#endif
