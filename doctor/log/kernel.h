/* SPDX-License-Identifier: MIT */
/*
 * Inside of kernel.c, for its tests: the log's path is theirs to choose.
 */
#ifndef TETHYS_DOCTOR_LOG_KERNEL_H
#define TETHYS_DOCTOR_LOG_KERNEL_H

#include <stddef.h>

#include "common/reason.h"
#include "doctor/log/log.h"

/* The longest record that the kernel hands out, and the longest that is made of one. */
#define KERNEL_RECORD_BYTES 8192u
#define KERNEL_LINES_BYTES (4u * KERNEL_RECORD_BYTES)

/**
 * kernel_record_lines() - a record of /dev/kmsg as dmesg prints it
 * @record: "4,9,1234567,-;text" and lines of properties behind it
 * @to: receives "[    1.234567] text", a line for each of the text's, each with its newline; what
 *	the kernel wrote as \x09 is a TAB again
 *
 * Return: bytes in @to. A record that has no such head is taken as it is.
 */
size_t kernel_record_lines(const char *record, size_t size, char to[KERNEL_LINES_BYTES]);

/* All records that are there. Return: 0, or a negative errno. */
int kernel_read_records(const char *path, struct doctor_parser *parser);
/* doctor_log_follow_open() for another log. */
int kernel_follow_open(const char *path, int *ret_fd, struct reason *why);

#endif
