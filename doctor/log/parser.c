/* SPDX-License-Identifier: MIT */
/*
 * Bytes become lines only where the prefilter found a key; in between lines are only counted. A
 * line that was seen before, but for its time, is found in a small cache and only counted as well,
 * so that a storm of equal faults costs little more than ordinary lines.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "doctor/log/fact_index.h"
#include "doctor/log/join.h"
#include "doctor/log/line.h"
#include "doctor/log/parser.h"

#define TEXT_BYTES_MAX 512u
#define CACHE_SLOTS 1024u
#define CACHE_BYTES 232u
#define NO_FACT SIZE_MAX
/* Repeats of a fact that are kept for snapshots: these, powers of two, and one in KEEP_EVERY_US. */
#define KEEP_REPEATS 32u
#define KEEP_EVERY_US 10000000
/* Lines that are no facts of their own and are kept. */
#define KEEP_PARTS 4000u

struct cached_line {
	uint32_t size; /* 0: free */
	size_t fact;   /* or NO_FACT */
	int64_t kept_us;
	char body[CACHE_BYTES];
};

struct doctor_parser {
	struct doctor_facts *facts;
	unsigned int log;
	enum doctor_side side;
	void (*keep)(void *context, uint64_t line_number, const char *line);
	void *context;
	const struct prefilter *filter;
	uint64_t lines; /* ended ones */
	uint64_t boot_id;
	unsigned int boot;
	bool has_boot, has_facts;
	unsigned int parts_kept;
	struct joiner joiner;
	struct ahead_block
		ahead;	/* what was found already of the block that is fed; data NULL: none */
	size_t carried; /* bytes of a line whose end hasn't come */
	char carry[LINE_BYTES_MAX + 2];
	char json[LINE_BYTES_MAX + 1];
	char safe[LINE_BYTES_MAX + 1];
	struct cached_line cache[CACHE_SLOTS];
};

/* A line that is looked at. */
struct line {
	const char *raw;
	size_t size;
	uint64_t number;
	struct line_stamp stamp;
	const char *safe; /* whole */
	size_t safe_size;
	size_t body; /* where its message begins in safe */
};

static struct doctor_log *log_of(struct doctor_parser *parser)
{
	return &parser->facts->log[parser->log];
}

static size_t text_size(const char *text)
{
	size_t size = strlen(text);

	if (size <= TEXT_BYTES_MAX)
		return size;
	for (size = TEXT_BYTES_MAX; size && ((unsigned char)text[size] & 0xc0) == 0x80;)
		size--;
	return size;
}

/* A fact that several lines told. */
static void emit(void *context, const struct doctor_fact *fact, const char *text)
{
	struct doctor_parser *parser = context;

	parser->has_facts = true;
	fact_add(parser->facts, fact, text, text_size(text));
}

struct doctor_parser *
doctor_parser_create(struct doctor_facts *facts, const char *name, enum doctor_side side,
		     void (*keep)(void *context, uint64_t line_number, const char *line),
		     void *context)
{
	struct doctor_parser *parser = calloc(1, sizeof(*parser));
	struct doctor_log *log;

	if (!parser) {
		fputs("error: out of memory\n", stderr);
		exit(2);
	}
	log = arena_grow(facts->arena, &facts->log, facts->log_count, sizeof(*log));
	*log = (struct doctor_log){.name = arena_strdup(facts->arena, name), .side = side};
	parser->log = (unsigned int)facts->log_count++;
	parser->facts = facts;
	parser->side = side;
	parser->keep = keep;
	parser->context = context;
	parser->filter = doctor_pattern_filter();
	parser->joiner.emit = emit;
	parser->joiner.context = parser;
	return parser;
}

void doctor_parser_destroy(struct doctor_parser *parser)
{
	free(parser);
}

static void new_boot(struct doctor_parser *parser)
{
	/* The first one begins a log; what stood before it is of another. */
	if (parser->has_boot || parser->has_facts) {
		parser->boot++;
		memset(parser->cache, 0, sizeof(parser->cache));
	}
	parser->has_boot = true;
}

static struct cached_line *cache_find(struct doctor_parser *parser, const char *body, size_t size,
				      bool *ret_hit)
{
	uint64_t hash = size, piece = 0;
	struct cached_line *cached;
	size_t at;

	*ret_hit = false;
	if (!size || size > CACHE_BYTES)
		return NULL;
	for (at = 0; at + 8 <= size; at += 8) {
		memcpy(&piece, body + at, 8);
		hash = (hash ^ piece) * 0x9e3779b97f4a7c15u;
		hash ^= hash >> 32;
	}
	piece = 0;
	memcpy(&piece, body + at, size - at);
	hash = (hash ^ piece) * 0x9e3779b97f4a7c15u;
	cached = &parser->cache[(hash >> 40) % CACHE_SLOTS];
	*ret_hit = cached->size == size && !memcmp(cached->body, body, size);
	return cached;
}

static bool keep_repeat(struct cached_line *cached, uint64_t count, int64_t time_us)
{
	bool keep = count <= KEEP_REPEATS || !(count & (count - 1));

	if (time_us != DOCTOR_TIME_NONE &&
	    (cached->kept_us > time_us || time_us - cached->kept_us >= KEEP_EVERY_US))
		keep = true;
	if (keep)
		cached->kept_us = time_us;
	return keep;
}

static void keep_line(struct doctor_parser *parser, const struct line *line)
{
	char stamped[TEXT_BYTES_MAX * 4];

	if (!parser->keep)
		return;
	/* A record of the journal has its time elsewhere: it goes where dmesg has it. */
	if (line->raw == parser->json && line->stamp.time_us != DOCTOR_TIME_NONE &&
	    !line->stamp.wall_clock) {
		snprintf(stamped, sizeof(stamped), "[%5lld.%06lld] %.*s",
			 (long long)(line->stamp.time_us / 1000000),
			 (long long)(line->stamp.time_us % 1000000), (int)TEXT_BYTES_MAX * 3,
			 line->safe);
		parser->keep(parser->context, line->number, stamped);
		return;
	}
	parser->keep(parser->context, line->number, line->safe);
}

static void make_safe(struct doctor_parser *parser, struct line *line)
{
	struct line_stamp stamp;

	line->safe = parser->safe;
	line->safe_size = line_make_safe(line->raw, line->size, parser->safe, sizeof(parser->safe));
	line->body = line_strip(parser->safe, line->safe_size, &stamp);
	if (stamp.time_us != DOCTOR_TIME_NONE && line->raw != parser->json)
		line->stamp = stamp;
}

static bool try_row(struct doctor_parser *parser, size_t row, const struct message *message,
		    const struct line *line, struct doctor_fact *fact)
{
	*fact = (struct doctor_fact){
		.side = parser->side,
		.log = parser->log,
		.boot = parser->boot,
		.line = line->number,
		.last_line = line->number,
		.time_us = line->stamp.time_us,
		.last_time_us = line->stamp.time_us,
		.wall_clock = line->stamp.wall_clock,
		.count = 1,
	};
	return pattern_match(doctor_pattern(row), message, fact);
}

/* The first row of those listed, before @best, that matches. Return: it, or @best. */
static size_t try_rows(struct doctor_parser *parser, const uint16_t *rows, size_t best,
		       const struct message *message, const struct line *line,
		       struct doctor_fact *fact)
{
	struct doctor_fact found;

	for (; *rows != UINT16_MAX && *rows < best; rows++)
		if (try_row(parser, *rows, message, line, &found)) {
			*fact = found;
			return *rows;
		}
	return best;
}

/* Return: the row, or UINT16_MAX. */
static size_t find_row(struct doctor_parser *parser, const struct message *message,
		       const struct line *line, struct doctor_fact *fact)
{
	uint64_t tried[PREFILTER_KEYS_MAX / 64] = {0};
	size_t best = UINT16_MAX, at = 0, handle = 0, key;

	while ((at = prefilter_next(parser->filter, message->text, message->size, at)) !=
	       PREFILTER_NONE) {
		while ((handle = prefilter_keys_at(parser->filter, message->text, message->size, at,
						   handle))) {
			key = prefilter_key_of(parser->filter, handle);
			if (tried[key / 64] & 1ull << key % 64)
				continue;
			tried[key / 64] |= 1ull << key % 64;
			best = try_rows(parser, doctor_pattern_rows(key), best, message, line,
					fact);
		}
		at++;
	}
	if (parser->joiner.follow)
		best = try_rows(parser, doctor_pattern_following(), best, message, line, fact);
	return best;
}

/* Return: place of the fact, NO_FACT when the line isn't one by itself. */
static size_t add_line(struct doctor_parser *parser, struct line *line, bool *ret_stateless)
{
	bool follows = parser->joiner.follow;
	struct doctor_fact fact;
	struct message message;
	const struct doctor_pattern *row;
	size_t found, place;

	message_init(&message, line->safe + line->body, line->safe_size - line->body);
	found = find_row(parser, &message, line, &fact);
	parser->joiner.follow -= follows;
	*ret_stateless = !follows;
	if (found == UINT16_MAX) {
		if (follows)
			join_nothing_followed(&parser->joiner);
		return NO_FACT;
	}
	row = doctor_pattern(found);
	*ret_stateless = join_is_stateless(row->act);
	if (row->act == ACT_BOOT && !parser->boot_id) {
		new_boot(parser);
		fact.boot = parser->boot;
	}
	if (!join_apply(&parser->joiner, row, &message, &fact, line->safe)) {
		if (!*ret_stateless && parser->parts_kept++ < KEEP_PARTS)
			keep_line(parser, line);
		return NO_FACT;
	}
	parser->has_facts = true;
	place = fact_add(parser->facts, &fact, line->safe, text_size(line->safe));
	if (place != NO_FACT &&
	    (parser->facts->fact[place].count <= KEEP_REPEATS ||
	     !(parser->facts->fact[place].count & (parser->facts->fact[place].count - 1))))
		keep_line(parser, line);
	return place;
}

static void count_again(struct doctor_parser *parser, struct cached_line *cached, struct line *line)
{
	struct doctor_fact *fact = &parser->facts->fact[cached->fact];

	fact->count++;
	fact->last_line = line->number;
	if (line->stamp.time_us != DOCTOR_TIME_NONE)
		fact->last_time_us = line->stamp.time_us;
	if (parser->keep && keep_repeat(cached, fact->count, line->stamp.time_us)) {
		make_safe(parser, line);
		keep_line(parser, line);
	}
}

static void remember(struct cached_line *cached, const struct line *line, size_t body, size_t fact)
{
	cached->size = (uint32_t)(line->size - body);
	memcpy(cached->body, line->raw + body, cached->size);
	cached->fact = fact;
	cached->kept_us = line->stamp.time_us;
}

static void journal_boot(struct doctor_parser *parser, uint64_t boot_id)
{
	if (boot_id && boot_id != parser->boot_id) {
		new_boot(parser);
		parser->boot_id = boot_id;
	}
}

static void look_at(struct doctor_parser *parser, const char *raw, size_t size, uint64_t number)
{
	struct line line = {.raw = raw, .size = size, .number = number};
	struct cached_line *cached;
	size_t body = 0, fact;
	uint64_t boot_id;
	bool hit, stateless;

	if (line.size > LINE_BYTES_MAX)
		line.size = LINE_BYTES_MAX;
	if (line.size && line.raw[0] == '{' && memmem(raw, line.size, "\"MESSAGE\"", 9)) {
		line.size = line_from_json(raw, line.size, parser->json, sizeof(parser->json) - 1,
					   &line.stamp, &boot_id);
		line.raw = parser->json;
		journal_boot(parser, boot_id);
	} else {
		body = line_strip(raw, line.size, &line.stamp);
	}
	log_of(parser)->has_times |= line.stamp.time_us != DOCTOR_TIME_NONE;
	cached = cache_find(parser, line.raw + body, line.size - body, &hit);
	if (hit && !parser->joiner.follow) {
		if (cached->fact != NO_FACT)
			count_again(parser, cached, &line);
		return;
	}
	join_line(&parser->joiner, number);
	make_safe(parser, &line);
	fact = add_line(parser, &line, &stateless);
	/* Facts beyond the limit are counted as dropped each time; they aren't remembered. */
	if (cached && stateless && (fact != NO_FACT || parser->facts->count < DOCTOR_FACTS_MAX))
		remember(cached, &line, body, fact);
}

/* Lines longer than the limit, among @size bytes that begin with a line. */
static void count_cut(struct doctor_parser *parser, const char *data, size_t size)
{
	const char *end = data + size, *newline;

	while ((size_t)(end - data) > LINE_BYTES_MAX + 1) {
		newline = memrchr(data, '\n', LINE_BYTES_MAX + 1);
		if (!newline) {
			log_of(parser)->lines_cut++;
			newline = memchr(data, '\n', (size_t)(end - data));
		}
		if (!newline)
			return;
		data = newline + 1;
	}
}

static void count_binary(struct doctor_parser *parser, const char *data, size_t size)
{
	const char *end = data + size, *newline;

	for (; data < end; data = newline + 1) {
		newline = memchr(data, '\n', (size_t)(end - data));
		if (!newline)
			newline = end - 1;
		if (prefilter_count(data, (size_t)(newline - data) + 1).odd)
			log_of(parser)->lines_binary++;
	}
}

/* Whole lines. */
static void count_lines(struct doctor_parser *parser, const char *data, size_t size)
{
	struct byte_counts counts = prefilter_count(data, size);

	parser->lines += counts.newlines;
	if (counts.odd)
		count_binary(parser, data, size);
	if (size > LINE_BYTES_MAX + 1)
		count_cut(parser, data, size);
}

/* The next place of a key: among those that were found ahead, where @data is of that block. */
static size_t next_hit(struct doctor_parser *parser, const char *data, size_t size, size_t at)
{
	struct ahead_block *ahead = &parser->ahead;
	size_t offset;

	if (!ahead->data || data < ahead->data || data + size > ahead->data + ahead->searched)
		return prefilter_next(parser->filter, data, size, at);
	offset = (size_t)(data - ahead->data);
	for (; ahead->hits && *ahead->hit < offset + at; ahead->hits--)
		ahead->hit++;
	return ahead->hits && *ahead->hit < offset + size ? *ahead->hit - offset : PREFILTER_NONE;
}

/* @data holds whole lines, each with its newline. */
static void scan(struct doctor_parser *parser, const char *data, size_t size)
{
	size_t at = 0, hit;
	const char *begin, *end;

	while (at < size) {
		hit = at;
		if (!parser->joiner.follow)
			hit = next_hit(parser, data, size, at);
		if (hit == PREFILTER_NONE)
			break;
		begin = memrchr(data + at, '\n', hit - at);
		begin = begin ? begin + 1 : data + at;
		end = memchr(data + hit, '\n', size - hit);
		if (!end)
			break;
		count_lines(parser, data + at, (size_t)(begin - (data + at)));
		look_at(parser, begin, (size_t)(end - begin), parser->lines + 1);
		count_lines(parser, begin, (size_t)(end - begin) + 1);
		at = (size_t)(end - data) + 1;
	}
	count_lines(parser, data + at, size - at);
}

/* One byte more than the limit is kept of a line, so that it shows as too long. */
static void carry(struct doctor_parser *parser, const char *data, size_t size)
{
	size_t room = LINE_BYTES_MAX + 1 - parser->carried;

	if (size > room)
		size = room;
	memcpy(parser->carry + parser->carried, data, size);
	parser->carried += size;
}

static void end_carried(struct doctor_parser *parser)
{
	size_t size = parser->carried;

	parser->carry[size] = '\n';
	parser->carried = 0;
	scan(parser, parser->carry, size + 1);
}

static void put_counts(struct doctor_parser *parser)
{
	log_of(parser)->lines = parser->lines;
	log_of(parser)->boots = parser->boot + (parser->lines > 0);
}

void doctor_parser_feed(struct doctor_parser *parser, const char *data, size_t size)
{
	const char *end = data + size, *newline;

	log_of(parser)->bytes += size;
	if (parser->carried) {
		newline = size ? memchr(data, '\n', size) : NULL;
		if (!newline) {
			carry(parser, data, size);
			return;
		}
		carry(parser, data, (size_t)(newline - data));
		end_carried(parser);
		data = newline + 1;
	}
	newline = data < end ? memrchr(data, '\n', (size_t)(end - data)) : NULL;
	if (newline) {
		scan(parser, data, (size_t)(newline - data) + 1);
		data = newline + 1;
	}
	carry(parser, data, (size_t)(end - data));
	put_counts(parser);
}

void doctor_parser_feed_ahead(struct doctor_parser *parser, const struct ahead_block *block)
{
	parser->ahead = *block;
	doctor_parser_feed(parser, block->data, (size_t)block->size);
	parser->ahead.data = NULL;
}

void doctor_parser_settle(struct doctor_parser *parser)
{
	join_finish(&parser->joiner);
	put_counts(parser);
}

void doctor_parser_finish(struct doctor_parser *parser)
{
	if (parser->carried)
		end_carried(parser);
	doctor_parser_settle(parser);
	if (facts_sort(parser->facts))
		memset(parser->cache, 0, sizeof(parser->cache));
}
