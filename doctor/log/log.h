/* SPDX-License-Identifier: MIT */
/*
 * Reading logs: any size, any source, in constant memory.
 */
#ifndef TETHYS_DOCTOR_LOG_LOG_H
#define TETHYS_DOCTOR_LOG_LOG_H

#include <stddef.h>

#include "common/reason.h"
#include "doctor/log/fact.h"

/**
 * struct doctor_parser - lines in, facts out; one per log
 *
 * Bytes may come in pieces of any size. Timestamps of dmesg, dmesg -T (any language), journalctl
 * (short, short-iso, JSON), syslog and of "kernel:" prefixes are understood and taken off.
 */
struct doctor_parser;

/**
 * doctor_parser_create() - begin a log
 * @facts: receives the log and its facts; must outlive the parser
 * @name: of the log; copied
 * @keep: called with each line that became a fact or is worth keeping in a snapshot, already made
 *	safe; may be NULL
 */
struct doctor_parser *
doctor_parser_create(struct doctor_facts *facts, const char *name, enum doctor_side side,
		     void (*keep)(void *context, uint64_t line_number, const char *line),
		     void *context);
void doctor_parser_feed(struct doctor_parser *parser, const char *data, size_t size);
/* Ends the last line and joins facts that several lines tell (SMMU words, two-line forms). */
void doctor_parser_finish(struct doctor_parser *parser);
/* For a log that goes on: what waits for further lines becomes facts now. Call it when none
 * have come for a while. */
void doctor_parser_settle(struct doctor_parser *parser);
/* NULL is accepted. */
void doctor_parser_destroy(struct doctor_parser *parser);

/**
 * doctor_log_file() - read a whole file or stream through a parser
 * @path: "-" for stdin; gzip, xz and zstd are recognised by their content
 *
 * Return: 0; -ENOENT, -EACCES, ... with @why; -EBADMSG when compressed data is broken, what came
 * before it was parsed and @why says so.
 */
int doctor_log_file(struct doctor_parser *parser, const char *path, struct reason *why);

/**
 * doctor_log_kernel() - this machine's kernel log: /dev/kmsg, else the journal of this boot
 * @parser: its log is named by the caller
 *
 * Return: 0; -EACCES or another errno with @why when neither can be read.
 */
int doctor_log_kernel(struct doctor_parser *parser, struct reason *why);

/**
 * doctor_log_follow_open() - watch this machine's kernel log from now on
 * @ret_fd: /dev/kmsg; poll() says when records have come
 *
 * Return: 0, or a negative errno with @why. Close @ret_fd with close().
 */
int doctor_log_follow_open(int *ret_fd, struct reason *why);
/* Feeds the records that came. Return: how many, 0 = none (now); negative errno. */
int doctor_log_follow(int fd, struct doctor_parser *parser, struct reason *why);

#endif
