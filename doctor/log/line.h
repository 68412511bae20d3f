/* SPDX-License-Identifier: MIT */
/*
 * One line of a log: what stands before its message, and making it safe.
 */
#ifndef TETHYS_DOCTOR_LOG_LINE_H
#define TETHYS_DOCTOR_LOG_LINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Longer lines are cut. */
#define LINE_BYTES_MAX 65536u

struct line_stamp {
	int64_t time_us; /* DOCTOR_TIME_NONE: none */
	bool wall_clock; /* since 1970, not since boot; a year that is left out is 1970 */
};

/**
 * line_strip() - take off time stamps, levels, host and program names
 * @ret_stamp: a time since boot is preferred where a line has both
 *
 * Return: where the message begins; size when nothing is left.
 */
size_t line_strip(const char *text, size_t size, struct line_stamp *ret_stamp);

/* Nothing but printable ASCII and TAB. */
bool line_is_plain(const char *text, size_t size);

/**
 * line_make_safe() - copy so that it can be printed: valid UTF-8 without control characters
 * @to: room for @room bytes, at least 1; ends with NUL
 *
 * Terminal sequences (colours) vanish, TAB becomes a space, what no text has becomes '?'.
 *
 * Return: bytes in @to without the NUL; what doesn't fit is left out.
 */
size_t line_make_safe(const char *text, size_t size, char *to, size_t room);

/**
 * line_from_json() - a record of `journalctl -o json`
 * @text: a whole line that begins with '{'
 * @to: receives its MESSAGE, unescaped, not yet made safe
 * @ret_boot: first 64 bits of _BOOT_ID, 0 = has none
 *
 * Return: bytes of the message; 0 when it has none.
 */
size_t line_from_json(const char *text, size_t size, char *to, size_t room,
		      struct line_stamp *ret_stamp, uint64_t *ret_boot);

#endif
