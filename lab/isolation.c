/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <inttypes.h>
#include <search.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "card/record.h"
#include "lab/isolation.h"

#define LINE_BYTES 256
#define WORDS_MAX 7
#define SENT_MAX 256 /* messages in flight; the card has 64 */
#define VECTOR_BYTES 4

struct mapping {
	uint64_t first, last; /* both included: a range may end at 2^64 */
	bool read, write;
};

/* An access of the card, done or under way. */
struct access {
	bool write;
	bool covered; /* sent: it was within mappings at some time since */
	unsigned int number;
	uint64_t addr, bytes;
};

struct checker {
	struct lab_isolation result;
	void *root; /* tsearch(3) tree of struct mapping, disjoint */
	bool owned;
	struct access sent[SENT_MAX];
	unsigned int sent_nr;
	uint64_t line;
	struct reason *why;
	/* The line in words. */
	char *word[WORDS_MAX];
	unsigned int words;
};

/* --- words --- */

static int nonsense(const struct checker *checker, const char *what)
{
	return reason_add(checker->why, -EPROTO, "line %" PRIu64 " of the record: %s",
			  checker->line, what);
}

static bool parse_digits(const char *text, unsigned int base, uint64_t *ret_value)
{
	static const char digits[] = "0123456789abcdef";
	uint64_t value = 0;
	const char *digit;

	if (!*text)
		return false;
	for (; *text; text++) {
		digit = memchr(digits, *text, base);
		if (!digit || __builtin_mul_overflow(value, base, &value) ||
		    __builtin_add_overflow(value, (uint64_t)(digit - digits), &value))
			return false;
	}
	*ret_value = value;
	return true;
}

static bool parse_addr(const char *text, uint64_t *ret_addr)
{
	return strlen(text) == 18 && text[0] == '0' && text[1] == 'x' &&
	       parse_digits(text + 2, 16, ret_addr);
}

/* ADDR BYTES, a range that does not wrap. */
static bool parse_range(char *const *word, uint64_t *ret_first, uint64_t *ret_bytes)
{
	return parse_addr(word[0], ret_first) && parse_digits(word[1], 10, ret_bytes) &&
	       *ret_bytes && *ret_first + (*ret_bytes - 1) >= *ret_first;
}

/* 0, a negative errno, or "?". */
static bool parse_result(const char *text, int *ret_result)
{
	uint64_t value = 0;

	if (!strcmp(text, "?")) {
		*ret_result = CARD_RESULT_UNKNOWN;
		return true;
	}
	if (strcmp(text, "0") &&
	    (text[0] != '-' || !parse_digits(text + 1, 10, &value) || !value || value > 4095))
		return false;
	*ret_result = -(int)value;
	return true;
}

static bool parse_number(const char *text, unsigned int *ret_number)
{
	uint64_t value;

	if (!parse_digits(text, 10, &value) || value > UINT16_MAX)
		return false;
	*ret_number = (unsigned int)value;
	return true;
}

/* One blank between words. */
static bool split(struct checker *checker, char *line)
{
	checker->words = 0;
	while (line) {
		if (checker->words == WORDS_MAX)
			return false;
		checker->word[checker->words++] = line;
		line = strchr(line, ' ');
		if (line)
			*line++ = '\0';
	}
	return true;
}

/* --- mappings --- */

/* Disjoint ranges have an order; ranges that overlap compare equal, so tfind(3) finds overlaps. */
static int mapping_compare(const void *a, const void *b)
{
	const struct mapping *left = a, *right = b;

	if (left->last < right->first)
		return -1;
	return left->first > right->last;
}

static struct mapping *mapping_find(const struct checker *checker, uint64_t first, uint64_t last)
{
	const struct mapping key = {.first = first, .last = last};
	void *node = tfind(&key, &checker->root, mapping_compare);

	return node ? *(struct mapping **)node : NULL;
}

/* Nothing there overlaps. */
static int mapping_insert(struct checker *checker, const struct mapping *model)
{
	struct mapping *mapping = malloc(sizeof(*mapping));

	if (!mapping)
		return -ENOMEM;
	*mapping = *model;
	if (tsearch(mapping, &checker->root, mapping_compare))
		return 0;
	free(mapping);
	return -ENOMEM;
}

/* Cut [@first, @last] out of what is mapped; the rest of a mapping stays. */
static int mappings_cut(struct checker *checker, uint64_t first, uint64_t last)
{
	struct mapping *mapping;
	int ret = 0;

	while (!ret && (mapping = mapping_find(checker, first, last))) {
		struct mapping left = *mapping, right = *mapping;

		tdelete(mapping, &checker->root, mapping_compare);
		free(mapping);
		if (left.first < first) {
			left.last = first - 1;
			ret = mapping_insert(checker, &left);
		}
		if (!ret && right.last > last) {
			right.first = last + 1;
			ret = mapping_insert(checker, &right);
		}
	}
	return ret;
}

static void mappings_drop(struct checker *checker)
{
	tdestroy(checker->root, free);
	checker->root = NULL;
}

/*
 * Is all of @access mapped with its permission? Else *@ret_addr is the first byte that is not, and
 * *@ret_forbidden says that it is mapped at least.
 */
static bool is_covered(const struct checker *checker, const struct access *access,
		       uint64_t *ret_addr, bool *ret_forbidden)
{
	uint64_t addr = access->addr, last = access->addr + (access->bytes - 1);
	const struct mapping *mapping;

	for (;;) {
		mapping = mapping_find(checker, addr, addr);
		*ret_addr = addr;
		*ret_forbidden = mapping;
		if (!mapping || !(access->write ? mapping->write : mapping->read))
			return false;
		if (mapping->last >= last)
			return true;
		addr = mapping->last + 1;
	}
}

static void violation(struct checker *checker, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

static void violation(struct checker *checker, const char *fmt, ...)
{
	char *first = checker->result.first;
	size_t bytes = sizeof(checker->result.first);
	va_list ap;
	int len;

	if (checker->result.violations++)
		return;
	len = snprintf(first, bytes, "line %" PRIu64 ": ", checker->line);
	va_start(ap, fmt);
	vsnprintf(first + len, bytes - (size_t)len, fmt, ap);
	va_end(ap);
}

static void judge(struct checker *checker, const struct access *access)
{
	const char *kind = access->write ? "write" : "read";
	bool forbidden;
	uint64_t addr;

	if (is_covered(checker, access, &addr, &forbidden))
		return;
	if (!checker->owned)
		violation(checker, "a %s of %" PRIu64 " bytes at 0x%" PRIx64 " without an owner",
			  kind, access->bytes, access->addr);
	else
		violation(checker,
			  "a %s of %" PRIu64 " bytes at 0x%" PRIx64 ", where 0x%" PRIx64 " %s",
			  kind, access->bytes, access->addr, addr,
			  forbidden ? "lacks the permission" : "is not mapped");
}

/* --- messages under way --- */

static struct access *sent_find(struct checker *checker, unsigned int number)
{
	unsigned int i;

	for (i = 0; i < checker->sent_nr; i++)
		if (checker->sent[i].number == number)
			return &checker->sent[i];
	return NULL;
}

static void sent_look(const struct checker *checker, struct access *access)
{
	bool forbidden;
	uint64_t addr;

	access->covered = access->covered || is_covered(checker, access, &addr, &forbidden);
}

/* A new mapping may be what a message under way needs. */
static void sent_look_all(struct checker *checker)
{
	unsigned int i;

	for (i = 0; i < checker->sent_nr; i++)
		sent_look(checker, &checker->sent[i]);
}

/* --- lines --- */

static int line_owner(struct checker *checker)
{
	if (checker->owned)
		return nonsense(checker, "a second owner");
	checker->owned = true;
	checker->result.owners++;
	return 0;
}

static int line_left(struct checker *checker)
{
	if (!checker->owned)
		return nonsense(checker, "nobody was there to leave");
	if (checker->sent_nr)
		return nonsense(checker, "messages are still under way");
	checker->owned = false;
	mappings_drop(checker);
	return 0;
}

static int line_reset(struct checker *checker)
{
	const char *kind = checker->word[1];

	return strcmp(kind, "flr") && strcmp(kind, "bus") && strcmp(kind, "cold")
		       ? nonsense(checker, "no such reset")
		       : 0;
}

static int line_map(struct checker *checker)
{
	const char *perm = checker->word[3], *way = checker->word[4];
	struct mapping mapping = {.read = perm[0] == 'r', .write = perm[0] && perm[1] == 'w'};
	uint64_t bytes;
	int ret;

	if (!checker->owned)
		return nonsense(checker, "a mapping without an owner");
	if (!parse_range(checker->word + 1, &mapping.first, &bytes))
		return nonsense(checker, "no range");
	if (strlen(perm) != 2 || (!mapping.read && perm[0] != '-') ||
	    (!mapping.write && perm[1] != '-') || (strcmp(way, "direct") && strcmp(way, "message")))
		return nonsense(checker, "no permission or way");
	mapping.last = mapping.first + (bytes - 1);
	checker->result.maps++;
	/* The newer one says what holds. */
	ret = mappings_cut(checker, mapping.first, mapping.last);
	if (!ret)
		ret = mapping_insert(checker, &mapping);
	sent_look_all(checker);
	return ret;
}

static int line_unmap(struct checker *checker)
{
	uint64_t first, bytes;

	if (!checker->owned)
		return nonsense(checker, "an unmapping without an owner");
	checker->result.unmaps++;
	if (checker->words == 2 && !strcmp(checker->word[1], "all")) {
		mappings_drop(checker);
		return 0;
	}
	if (checker->words != 3 || !parse_range(checker->word + 1, &first, &bytes))
		return nonsense(checker, "no range");
	return mappings_cut(checker, first, first + (bytes - 1));
}

static bool parse_kind(const char *word, bool *ret_write)
{
	*ret_write = !strcmp(word, "write");
	return *ret_write || !strcmp(word, "read");
}

static int line_sent(struct checker *checker)
{
	struct access *access = &checker->sent[checker->sent_nr];
	unsigned int number;

	if (!parse_number(checker->word[1], &number) || sent_find(checker, number))
		return nonsense(checker, "no new number");
	if (checker->sent_nr == SENT_MAX)
		return nonsense(checker, "too many messages");
	*access = (struct access){.number = number};
	if (!parse_kind(checker->word[2], &access->write) ||
	    !parse_range(checker->word + 3, &access->addr, &access->bytes))
		return nonsense(checker, "no access");
	checker->sent_nr++;
	sent_look(checker, access);
	return 0;
}

/* The end of a message. It landed if @result is 0. */
static int end_message(struct checker *checker, const struct access *access, int result)
{
	struct access *sent;
	unsigned int number;

	if (!parse_number(checker->word[5], &number))
		return nonsense(checker, "no number");
	sent = sent_find(checker, number);
	if (!sent || sent->write != access->write || sent->addr != access->addr ||
	    sent->bytes != access->bytes)
		return nonsense(checker, "no such message was sent");
	if (!result && !sent->covered)
		judge(checker, access);
	*sent = checker->sent[--checker->sent_nr];
	return 0;
}

static int line_access(struct checker *checker)
{
	const char *way = checker->word[4];
	struct access access;
	bool message, fits;
	int result;

	if (checker->words < 5)
		return nonsense(checker, "half an access");
	message = !strcmp(way, "message");
	if (!parse_kind(checker->word[0], &access.write) ||
	    !parse_addr(checker->word[1], &access.addr) ||
	    !parse_digits(checker->word[2], 10, &access.bytes) ||
	    !parse_result(checker->word[3], &result) || checker->words != (message ? 6 : 5))
		return nonsense(checker, "no access");
	fits = access.bytes && access.addr + (access.bytes - 1) >= access.addr;
	/* Only one that was refused may wrap, only one that came out may be left open. */
	if ((!fits && result >= 0) || (result == CARD_RESULT_UNKNOWN && !message) ||
	    (!strcmp(way, "none") ? !result : !message && strcmp(way, "direct")))
		return nonsense(checker, "an access that can't be");
	checker->result.accesses++;
	checker->result.refused += result < 0;
	checker->result.unknown += result == CARD_RESULT_UNKNOWN;
	if (message)
		return end_message(checker, &access, result);
	if (!result)
		judge(checker, &access);
	return 0;
}

static int line_interrupt(struct checker *checker)
{
	uint64_t addr, bytes;
	int result;

	if (!parse_range(checker->word + 1, &addr, &bytes) || bytes != VECTOR_BYTES ||
	    !parse_result(checker->word[3], &result) || result > 0)
		return nonsense(checker, "no interrupt");
	if (result)
		return 0;
	checker->result.messages++;
	if (!checker->owned)
		violation(checker, "an interrupt at 0x%" PRIx64 " without an owner", addr);
	return 0;
}

static const struct {
	const char *name;
	unsigned int words; /* 0: it looks itself */
	int (*check)(struct checker *checker);
} lines[] = {
	{"read", 0, line_access}, {"write", 0, line_access}, {"sent", 5, line_sent},
	{"map", 5, line_map},	  {"unmap", 0, line_unmap},  {"msi", 4, line_interrupt},
	{"owner", 1, line_owner}, {"left", 1, line_left},    {"imwr", 4, line_interrupt},
	{"reset", 2, line_reset},
};

static int check_line(struct checker *checker, char *line)
{
	size_t i;

	if (checker->line == 1)
		return strcmp(line, CARD_RECORD_HEADER)
			       ? nonsense(checker, "this is no record of a card")
			       : 0;
	if (!split(checker, line))
		return nonsense(checker, "too many words");
	for (i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		if (strcmp(checker->word[0], lines[i].name))
			continue;
		if (lines[i].words && checker->words != lines[i].words)
			return nonsense(checker, "too few or too many words");
		return lines[i].check(checker);
	}
	return nonsense(checker, "no card writes this");
}

/* Return: 0 *@ret_len bytes with their '\n', which is cut off; 1 the end; -EPROTO, -EIO. */
static int read_line(struct checker *checker, FILE *record, char line[LINE_BYTES])
{
	size_t len = 0;
	int c;

	while ((c = getc_unlocked(record)) != EOF && c != '\n' && c && len < LINE_BYTES - 1)
		line[len++] = (char)c;
	if (c == EOF)
		return ferror(record) ? reason_add(checker->why, -EIO, "the record can't be read")
				      : 1;
	checker->line++;
	line[len] = '\0';
	return c == '\n' ? 0 : nonsense(checker, "no card writes this");
}

static int check_all(struct checker *checker, FILE *record)
{
	char line[LINE_BYTES];
	int ret;

	while (!(ret = read_line(checker, record, line))) {
		ret = check_line(checker, line);
		if (ret)
			return ret == -ENOMEM ? reason_add(checker->why, ret, "no memory") : ret;
	}
	if (ret < 0)
		return ret;
	return checker->line ? 0 : nonsense(checker, "there is no whole line");
}

int lab_isolation_read(FILE *record, struct lab_isolation *ret_result, struct reason *why)
{
	struct checker *checker = calloc(1, sizeof(*checker));
	int ret;

	if (!checker)
		return reason_add(why, -ENOMEM, "no memory");
	checker->why = why;
	ret = check_all(checker, record);
	if (!ret)
		*ret_result = checker->result;
	mappings_drop(checker);
	free(checker);
	return ret;
}

int lab_isolation_check(const char *path, struct lab_isolation *ret_result, struct reason *why)
{
	FILE *record = fopen(path, "re");
	int ret;

	if (!record)
		return reason_add(why, -errno, "'%s' can't be read: %s", path, strerror(errno));
	ret = lab_isolation_read(record, ret_result, why);
	fclose(record);
	return ret ? reason_add(why, ret, "'%s' can't be judged", path) : 0;
}
