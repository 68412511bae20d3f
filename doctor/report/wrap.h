/* SPDX-License-Identifier: MIT */
/*
 * Paragraphs of a terminal.
 */
#ifndef TETHYS_DOCTOR_REPORT_WRAP_H
#define TETHYS_DOCTOR_REPORT_WRAP_H

#include <stdio.h>

/**
 * wrap_print() - a paragraph, broken between words
 * @text: safe already, see escape_line(); without line feeds
 * @width: columns, indents included; 0: one line
 * @first: columns that the first line has used already
 * @indent: blanks before each further line
 *
 * A word longer than a line stands alone and whole, so that what is to be copied stays copyable.
 * Ends with a line feed.
 */
void wrap_print(const char *text, unsigned int width, unsigned int first, unsigned int indent,
		FILE *out);
/* Columns of a safe text. */
unsigned int wrap_columns(const char *text, size_t size);

#endif
