/* SPDX-License-Identifier: MIT */
/*
 * Forms of messages: rows of tables that turn a message into a fact.
 *
 * A form is looked for anywhere in the message, behind '^' only at its beginning. In it
 *
 *	a space		matches one or more spaces
 *	$		the end of the message, which spaces may precede
 *	<...>		may be left out (not nested)
 *	{|a|b}		one of these literals; {=a|b} takes it as the name too
 *	{*}		anything, as little as will do
 *	{_} {0} {x}	a word; digits; hexadecimal digits with or without 0x: not taken
 *	{d} {D}		device; also without its function: 0
 *	{a} {s} {z}	address, size, last address (makes the size), hexadecimal
 *	{S}		size, decimal
 *	{n} {N}		number, decimal or 0x; hexadecimal
 *	{r}		VT-d reason: hexadecimal with 0x, else decimal
 *	{R}		reason, hexadecimal
 *	{e} {E}		errno: "-110"; "Connection timed out"
 *	{t} {T}		name: a word; the rest of the message
 *	{w}		"Read", "Write", "read", "write"
 *
 * and everything else matches itself.
 */
#ifndef TETHYS_DOCTOR_LOG_PATTERN_H
#define TETHYS_DOCTOR_LOG_PATTERN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "doctor/log/fact.h"
#include "doctor/log/prefilter.h"

/* What a row does beyond being a fact; most do nothing. */
enum pattern_act {
	ACT_FACT,
	ACT_NEEDS_DEVICE, /* a fact only where the line names a device, and its driver isn't vfio's */
	ACT_NEEDS_ADDRESS,  /* a fact only where the line names a device, whosever it is */
	ACT_NOTHING,	    /* looks like what a later row takes, and isn't; what follows counts */
	ACT_OF_DRIVER,	    /* the name is the driver's */
	ACT_PROBE,	    /* the name is the word before: "driver: probe of" */
	ACT_NODE,	    /* the errno decides what it is */
	ACT_OF_LSPCI,	    /* of the device that lspci tells of */
	ACT_BOOT,	    /* of a kernel */
	ACT_COMMAND_LINE,   /* also for facts that its words are */
	ACT_REASON_FOLLOWS, /* in another line */
	ACT_REASON,	    /* this is that line */
	ACT_SMMU_EVENT,	    /* four lines of words follow */
	ACT_SMMU_WORD,
	ACT_SMMU_TEXT, /* tells the same event in words */
	ACT_SMMU_HOW,  /* its last line: read or write */
	ACT_SMMU2,     /* codes of SMMUv2 become those of SMMUv3 */
	ACT_GROUP,     /* of lists: members follow */
	ACT_MEMBER,
	ACT_LSPCI_DEVICE, /* lines on its capabilities follow */
	ACT_MSI_CAPABILITY,
	ACT_AER_BEGIN, /* names of the errors follow */
	ACT_AER_NAME,
	ACT_UNBOUND,	    /* devices that keep a group follow */
	ACT_BIND_TRIED,	    /* a shell's command; whether it failed follows */
	ACT_BIND_REFUSED,   /* this does */
	ACT_WRONG_DRIVERS,  /* these, as Python prints a list of pairs */
	ACT_METIS_READY,    /* the name is the firmware's version, a fact of its own */
	ACT_METIS_MODULE,   /* the module's version follows */
	ACT_METIS_VERSION,  /* a line of modinfo */
	ACT_METIS_ONE_WORD, /* the whole output of a question for the version */
};

struct doctor_pattern {
	enum doctor_fact_kind kind;
	enum pattern_act act;
	const char
		*key; /* rare literal that each such line holds; NULL: see parser.c on following */
	const char *form;
	const char *name; /* of the fact, where the form takes none; NULL: "" */
	uint32_t reason;  /* of the fact; 0: none, or the form takes it */
};

#define ROW(kind_, key_, form_, ...) \
	{.kind = DOCTOR_##kind_, .key = key_, .form = form_, ##__VA_ARGS__}

struct doctor_patterns {
	const struct doctor_pattern *row;
	size_t count;
};

extern const struct doctor_patterns doctor_patterns_iommu, doctor_patterns_vm, doctor_patterns_host;

/* All rows in order: the first that matches wins. NULL past the last. */
const struct doctor_pattern *doctor_pattern(size_t index);
/* The prefilter for all keys, and which rows a key serves: ends with UINT16_MAX. */
const struct prefilter *doctor_pattern_filter(void);
const uint16_t *doctor_pattern_rows(size_t key);
/* Rows without a key; ends with UINT16_MAX. */
const uint16_t *doctor_pattern_following(void);

/* A message: a line without what stands before it. Safe text, ends with NUL. */
struct message {
	const char *text;
	size_t size;
	size_t rest; /* behind "driver device: " */
	bool has_device;
	struct bdf device;
	char driver[DOCTOR_NAME_BYTES]; /* "" = none */
};

/* Finds "driver 0000:bb:dd.f: " at the beginning. */
void message_init(struct message *message, const char *text, size_t size);
/* The device of "host=01:00.0" and of paths below /sys/bus/pci; for messages without another. */
bool message_find_device(const struct message *message, struct bdf *ret_device);

/**
 * pattern_match() - whether @message has the form of @row
 * @fact: what the form takes is set, with kind, name and reason of the row; not changed otherwise
 */
bool pattern_match(const struct doctor_pattern *row, const struct message *message,
		   struct doctor_fact *fact);

#endif
