/* SPDX-License-Identifier: MIT */
/* A log in a string, parsed; for tests. */
#ifndef TETHYS_DOCTOR_TESTS_LOG_PARSE_H
#define TETHYS_DOCTOR_TESTS_LOG_PARSE_H

#include <string.h>

#include "doctor/log/log.h"

struct parsed {
	struct arena arena;
	struct doctor_facts facts;
};

/* @piece bytes at a time, 0: all at once. */
static inline void parse_pieces(struct parsed *parsed, const char *text, size_t size, size_t piece)
{
	struct doctor_parser *parser;

	*parsed = (struct parsed){0};
	doctor_facts_init(&parsed->facts, &parsed->arena);
	parser = doctor_parser_create(&parsed->facts, "log", DOCTOR_SIDE_HOST, NULL, NULL);
	for (size_t at = 0; at < size;) {
		size_t some = piece && piece < size - at ? piece : size - at;

		doctor_parser_feed(parser, text + at, some);
		at += some;
	}
	doctor_parser_finish(parser);
	doctor_parser_destroy(parser);
}

static inline void parse(struct parsed *parsed, const char *text)
{
	parse_pieces(parsed, text, strlen(text), 0);
}

static inline void parsed_free(struct parsed *parsed)
{
	doctor_facts_deinit(&parsed->facts);
	arena_free(&parsed->arena);
}

#endif
