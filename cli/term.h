/* SPDX-License-Identifier: MIT */
/*
 * What the user sees: colours, errors, progress. Colours and progress only on a terminal.
 */
#ifndef TETHYS_CLI_TERM_H
#define TETHYS_CLI_TERM_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

enum term_style {
	TERM_PLAIN,
	TERM_BOLD,
	TERM_DIM,
	TERM_GOOD,
	TERM_WARN,
	TERM_BAD,
};

/* Escape sequence that starts @style on @stream, "" where colours are not wanted. */
const char *term_on(FILE *stream, enum term_style style);
const char *term_off(FILE *stream);
/* Whether the user's locale is one of UTF-8. */
bool term_utf8(void);

/**
 * term_error() - one message on stderr, "error: ..."
 *
 * A text of several lines is an error chain, innermost first; it is printed below the mark.
 */
void term_error(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* Something odd that is no failure, on stderr. */
void term_warning(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* What to do next, on stderr. */
void term_hint(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/**
 * struct term_progress - a bar for what may take over two seconds
 *
 * Nothing is shown before two seconds have passed, and nothing ever when stderr is no terminal.
 */
struct term_progress;

/**
 * term_progress_start() - begin to watch a piece of work
 * @label: what is going on; must live until term_progress_stop()
 * @total: steps, 0: unknown
 *
 * Return: the bar; NULL when none is wanted, which the other two accept.
 */
struct term_progress *term_progress_start(const char *label, uint64_t total);
void term_progress_stop(struct term_progress *bar);
void term_progress_set(struct term_progress *bar, uint64_t done);

#endif
