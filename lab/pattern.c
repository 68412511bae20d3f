/* SPDX-License-Identifier: MIT */
/*
 * Patterns for lines, with the number of lines that must match.
 */
#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lab/scenario.h"

#define COUNT_MAX 1000000ul
#define EXPANDED_MAX 4096ul

static const char *skip_blanks(const char *at)
{
	return at + strspn(at, " \t");
}

/* @word and a blank or the slash behind it. */
static bool take_word(const char **at, const char *word)
{
	size_t len = strlen(word);

	if (strncmp(*at, word, len) || !strchr(" \t/", (*at)[len]) || !(*at)[len])
		return false;
	*at = skip_blanks(*at + len);
	return true;
}

/* "3 x" */
static int take_count(const char **at, unsigned int *ret_count, struct reason *why)
{
	unsigned long count;
	const char *from = *at;
	char *end;

	if (!isdigit((unsigned char)*from))
		return reason_add(why, -EINVAL,
				  "a pattern is /REGEX/, no /REGEX/, 2 x /REGEX/, at least 2 x "
				  "/REGEX/ or at most 2 x /REGEX/");
	errno = 0;
	count = strtoul(from, &end, 10);
	if (errno || count > COUNT_MAX)
		return reason_add(why, -EINVAL, "a count is at most %lu", COUNT_MAX);
	from = skip_blanks(end);
	if (!take_word(&from, "x"))
		return reason_add(why, -EINVAL, "after the count comes x, then /REGEX/: %lu x /../",
				  count);
	*ret_count = (unsigned int)count;
	*at = from;
	return 0;
}

/* What is before the first slash. */
static int take_bounds(const char **at, struct lab_pattern *pattern, struct reason *why)
{
	bool least, most;
	int err;

	pattern->min = 1;
	pattern->max = UINT_MAX;
	if (**at == '/')
		return 0;
	if (take_word(at, "no")) {
		pattern->min = pattern->max = 0;
		return 0;
	}
	least = take_word(at, "at least");
	most = !least && take_word(at, "at most");
	err = take_count(at, &pattern->min, why);
	if (err)
		return err;
	if (least && !pattern->min)
		return reason_add(why, -EINVAL, "\"at least 0\" is always true");
	if (!least)
		pattern->max = pattern->min;
	if (most)
		pattern->min = 0;
	return 0;
}

/* From behind the first slash; "\/" becomes "/". */
static int take_source(const char **at, struct lab_pattern *pattern, struct reason *why)
{
	const char *from = *at;
	size_t len = 0;

	pattern->source = malloc(strlen(from) + 1);
	if (!pattern->source)
		return -ENOMEM;
	for (; *from && *from != '/'; from++) {
		if (*from == '\\' && from[1] && from[1] != '/')
			pattern->source[len++] = *from++;
		else if (*from == '\\' && from[1] == '/')
			from++;
		pattern->source[len++] = *from;
	}
	pattern->source[len] = '\0';
	if (*from != '/')
		return reason_add(why, -EINVAL, "a pattern ends with a slash: /REGEX/");
	if (!len)
		return reason_add(why, -EINVAL, "there is nothing between the slashes");
	if (len > LAB_PATTERN_BYTES_MAX)
		return reason_add(why, -EINVAL, "a pattern has at most %u bytes, this one %zu",
				  LAB_PATTERN_BYTES_MAX, len);
	*at = from + 1;
	return 0;
}

/* Behind a bracket expression whose '[' is at @at; its end may be missing, which regcomp() says. */
static const char *skip_bracket(const char *at)
{
	const char *end;

	at++;
	at += *at == '^';
	at += *at == ']';
	for (; *at && *at != ']'; at++) {
		if (*at != '[' || !at[1] || !strchr(".:=", at[1]))
			continue;
		/* A class like [:digit:] has a bracket of its own. */
		end = strchr(at + 2, ']');
		if (end && end[-1] == at[1])
			at = end;
	}
	return at + (*at == ']');
}

/* How often "{3,5}" at @at writes out what is before it; 0: that is no repetition but text. */
static unsigned long repeats(const char *at, const char **ret_behind)
{
	size_t len = strspn(at + 1, "0123456789,");
	unsigned long most = 1, value;
	const char *number;

	if (!len || at[len + 1] != '}')
		return 0;
	for (number = at + 1; *number != '}'; number += strcspn(number, ",}")) {
		number += *number == ',';
		value = strtoul(number, NULL, 10);
		most = value > most ? value : most;
	}
	*ret_behind = at + len + 2;
	return most < EXPANDED_MAX ? most : EXPANDED_MAX + 1;
}

/*
 * How much regcomp() makes of a pattern: x{N} is written out N times and x+ twice, those inside of
 * it as well. Counted for each group that is open, apart from the last atom, which is what a
 * repetition is about.
 */
struct cost {
	unsigned long before[LAB_PATTERN_BYTES_MAX + 1], last[LAB_PATTERN_BYTES_MAX + 1];
	size_t depth;
};

static void add_atom(struct cost *cost, unsigned long bytes)
{
	cost->before[cost->depth] += cost->last[cost->depth];
	cost->last[cost->depth] = bytes;
}

static void open_group(struct cost *cost)
{
	cost->depth++;
	cost->before[cost->depth] = cost->last[cost->depth] = 0;
}

static void close_group(struct cost *cost)
{
	unsigned long inside = cost->before[cost->depth] + cost->last[cost->depth];

	cost->depth--;
	add_atom(cost, inside + 1);
}

/* One element of the pattern. Return: what is behind it. */
static const char *add_element(struct cost *cost, const char *at)
{
	unsigned long times;

	switch (*at) {
	case '[':
		add_atom(cost, 1);
		return skip_bracket(at);
	case '(':
		open_group(cost);
		break;
	case ')':
		if (cost->depth)
			close_group(cost);
		break;
	case '{':
		times = repeats(at, &at);
		if (!times)
			break;
		cost->last[cost->depth] *= times;
		return at;
	case '+':
		cost->last[cost->depth] *= 2;
		break;
	case '\\':
		add_atom(cost, 1);
		return at + (at[1] ? 2 : 1);
	default:
		add_atom(cost, 1);
	}
	return at + 1;
}

/* Refuse what makes regcomp() or regexec() take unbounded time or memory. */
static int check_cost(const char *source, struct reason *why)
{
	struct cost cost = {.depth = 0};
	const char *at = source;

	while (*at) {
		if (*at == '\\' && isdigit((unsigned char)at[1]))
			return reason_add(why, -EINVAL,
					  "a pattern can't refer back to a group (\\%c)", at[1]);
		at = add_element(&cost, at);
		if (cost.before[cost.depth] + cost.last[cost.depth] > EXPANDED_MAX)
			return reason_add(why, -EINVAL,
					  "its repetitions, written out, are over %lu characters",
					  EXPANDED_MAX);
	}
	return 0;
}

static int compile(struct lab_pattern *pattern, struct reason *why)
{
	char words[160];
	int err = check_cost(pattern->source, why), code;

	if (err)
		return err;
	code = regcomp(&pattern->regex, pattern->source, REG_EXTENDED | REG_NOSUB);
	if (!code)
		return 0;
	regerror(code, &pattern->regex, words, sizeof(words));
	free(pattern->source);
	pattern->source = NULL; /* says that there is no regex */
	if (code == REG_ESPACE)
		return -ENOMEM;
	return reason_add(why, -EINVAL, "no regular expression (POSIX, extended): %s", words);
}

static int parse(const char *text, struct lab_pattern *pattern, struct reason *why)
{
	const char *at = skip_blanks(text);
	int err = take_bounds(&at, pattern, why);

	if (err)
		return err;
	if (*at != '/')
		return reason_add(why, -EINVAL, "a pattern stands between slashes: /REGEX/");
	at++;
	err = take_source(&at, pattern, why);
	if (err)
		return err;
	if (*skip_blanks(at))
		return reason_add(why, -EINVAL,
				  "\"%.40s\" follows the pattern; a slash inside is written \\/",
				  skip_blanks(at));
	pattern->text = strdup(text);
	return pattern->text ? compile(pattern, why) : -ENOMEM;
}

int lab_pattern_parse(const char *text, struct lab_pattern *ret_pattern, struct reason *why)
{
	struct lab_pattern pattern = {0};
	int err = parse(text, &pattern, why);

	if (err) {
		/* Compiled is only the last step, so never here. */
		free(pattern.source);
		free(pattern.text);
		return err;
	}
	*ret_pattern = pattern;
	return 0;
}

void lab_pattern_deinit(struct lab_pattern *pattern)
{
	if (pattern->source)
		regfree(&pattern->regex);
	free(pattern->source);
	free(pattern->text);
	memset(pattern, 0, sizeof(*pattern));
}

static bool line_matches(const struct lab_pattern *pattern, const char *line, size_t len)
{
	char copy[LAB_PATTERN_LINE_MAX + 1];
	char *nul;

	if (len && line[len - 1] == '\r')
		len--;
	if (len > LAB_PATTERN_LINE_MAX)
		len = LAB_PATTERN_LINE_MAX;
	memcpy(copy, line, len);
	copy[len] = '\0';
	while ((nul = memchr(copy, '\0', len)))
		*nul = '?';
	return !regexec(&pattern->regex, copy, 0, NULL, 0);
}

bool lab_pattern_matches(const struct lab_pattern *pattern, const char *line)
{
	return line_matches(pattern, line, strlen(line));
}

unsigned int lab_pattern_count(const struct lab_pattern *pattern, const char *text, size_t len)
{
	unsigned int count = 0;
	const char *end;
	size_t line;

	while (len) {
		end = memchr(text, '\n', len);
		line = end ? (size_t)(end - text) : len;
		count += line_matches(pattern, text, line);
		line += end != NULL;
		text += line;
		len -= line;
	}
	return count;
}
