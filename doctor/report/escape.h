/* SPDX-License-Identifier: MIT */
/*
 * Text of any bytes, made safe for where it goes. All of these take what is no UTF-8 for U+FFFD,
 * and leave out what can steer a reader: control characters, and those that turn the direction of
 * text or are not seen.
 */
#ifndef TETHYS_DOCTOR_REPORT_ESCAPE_H
#define TETHYS_DOCTOR_REPORT_ESCAPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "doctor/arena.h"

/**
 * escape_next() - take one character off a text
 * @at: moves on
 *
 * Return: the code point; U+FFFD for bytes that are no UTF-8 and for characters that must not be
 * printed; tab and line feed as they are; 0 at the end.
 */
uint32_t escape_next(const char **at);
/* Its UTF-8, ended by NUL. Return: bytes. */
size_t escape_utf8(uint32_t character, char ret_text[5]);
/* Columns that it takes in a terminal: 0 for combining ones, 2 for wide ones. */
unsigned int escape_columns(uint32_t character);

/* One line for a terminal: tabs and line feeds become blanks; '?' for what is not ASCII unless
 * @utf8. In the arena. NULL is "". */
const char *escape_line(struct arena *arena, const char *text, bool utf8);
/* UTF-8 that may have line feeds and tabs, for JSON. In the arena. */
const char *escape_text(struct arena *arena, const char *text);
/* Into HTML, as text or within a quoted attribute. */
void escape_html(const char *text, FILE *out);
/* Into a label of OpenMetrics, without its quotes. */
void escape_label(const char *text, FILE *out);

#endif
