/* SPDX-License-Identifier: MIT */
/*
 * Logs of any bytes, fed in pieces: the parser ends, its texts are safe to print, its counts fit
 * each other, and pieces make no difference.
 *
 * Byte 0 of the input is the size of the pieces, 0: all at once.
 */
#include <stdlib.h>
#include <string.h>

#include "doctor/log/log.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void expect_safe(const char *text)
{
	for (const unsigned char *c = (const unsigned char *)text; *c; c++)
		if (*c < 0x20 || *c == 0x7f || *c >= 0xf5 || (*c == 0xc2 && c[1] < 0xa0))
			abort();
}

static void keep(void *context, uint64_t number, const char *line)
{
	uint64_t *last = context;

	expect_safe(line);
	if (!number)
		abort();
	*last = number;
}

static void expect_sound(const struct doctor_facts *facts)
{
	const struct doctor_log *log = &facts->log[0];

	if (facts->log_count != 1 || facts->count > DOCTOR_FACTS_MAX || log->lines > log->bytes ||
	    log->lines_cut > log->lines || log->lines_binary > log->lines)
		abort();
	for (size_t i = 0; i < facts->count; i++) {
		const struct doctor_fact *fact = &facts->fact[i];

		if (!fact->kind || fact->kind >= DOCTOR_FACT_NR || !fact->line ||
		    fact->line > fact->last_line || fact->last_line > log->lines || !fact->count ||
		    fact->count > log->lines || strlen(fact->text) > 512 ||
		    fact->device.slot > 31 || fact->device.function > 7 ||
		    !memchr(fact->name, 0, sizeof(fact->name)) ||
		    !memchr(fact->driver, 0, sizeof(fact->driver)))
			abort();
		if (i && fact->line < facts->fact[i - 1].line)
			abort();
		expect_safe(fact->text);
		expect_safe(fact->name);
		expect_safe(fact->driver);
	}
}

static void parse(const char *text, size_t bytes, size_t piece, struct doctor_facts *facts)
{
	uint64_t last = 0;
	struct doctor_parser *parser =
		doctor_parser_create(facts, "fuzz", DOCTOR_SIDE_UNKNOWN, keep, &last);

	for (size_t at = 0; at < bytes;) {
		size_t size = piece && piece < bytes - at ? piece : bytes - at;

		doctor_parser_feed(parser, text + at, size);
		at += size;
	}
	doctor_parser_finish(parser);
	doctor_parser_destroy(parser);
	expect_sound(facts);
	if (last > facts->log[0].lines)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	struct arena arena = {0};
	struct doctor_facts whole, pieces;

	if (bytes < 2)
		return 0;
	doctor_facts_init(&whole, &arena);
	doctor_facts_init(&pieces, &arena);
	parse((const char *)data + 1, bytes - 1, 0, &whole);
	parse((const char *)data + 1, bytes - 1, data[0], &pieces);
	if (whole.count != pieces.count || whole.dropped != pieces.dropped ||
	    whole.log[0].lines != pieces.log[0].lines ||
	    whole.log[0].lines_binary != pieces.log[0].lines_binary)
		abort();
	for (size_t i = 0; i < whole.count; i++)
		if (whole.fact[i].kind != pieces.fact[i].kind ||
		    whole.fact[i].count != pieces.fact[i].count ||
		    whole.fact[i].line != pieces.fact[i].line ||
		    strcmp(whole.fact[i].text, pieces.fact[i].text))
			abort();
	doctor_facts_deinit(&whole);
	doctor_facts_deinit(&pieces);
	arena_free(&arena);
	return 0;
}
