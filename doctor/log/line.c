/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "doctor/log/fact.h"
#include "doctor/log/line.h"

struct cursor {
	const char *text;
	size_t at, size;
};

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static char peek(const struct cursor *c, size_t ahead)
{
	return ahead < c->size - c->at ? c->text[c->at + ahead] : '\0';
}

static void skip_spaces(struct cursor *c)
{
	while (peek(c, 0) == ' ' || peek(c, 0) == '\t')
		c->at++;
}

/* 1..18 digits. */
static bool number(struct cursor *c, int64_t *ret_value)
{
	int64_t value = 0;
	size_t digits = 0;

	for (; is_digit(peek(c, digits)); digits++) {
		if (digits == 18)
			return false;
		value = value * 10 + (peek(c, digits) - '0');
	}
	if (!digits)
		return false;
	c->at += digits;
	*ret_value = value;
	return true;
}

static bool accept(struct cursor *c, char wanted)
{
	if (peek(c, 0) != wanted)
		return false;
	c->at++;
	return true;
}

/* Behind a '.' or ',': as microseconds. */
static int64_t fraction_us(struct cursor *c)
{
	int64_t us = 0, digit_us = 100000;

	for (; is_digit(peek(c, 0)); c->at++) {
		us += (peek(c, 0) - '0') * digit_us;
		digit_us /= 10;
	}
	return us;
}

/* Days since 1970 of a date in the Gregorian calendar. */
static int64_t days_of(int64_t year, int64_t month, int64_t day)
{
	int64_t era, of_era;

	year -= month <= 2;
	era = year / 400;
	of_era = (year - era * 400) * 365 + (year - era * 400) / 4 - (year - era * 400) / 100 +
		 (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
	return era * 146097 + of_era - 719468;
}

static void set_date(struct line_stamp *stamp, int64_t year, int64_t month, int64_t day,
		     int64_t of_day_us)
{
	if (year < 1970 || year > 9999 || month < 1 || month > 12 || day < 1 || day > 31)
		return;
	stamp->time_us = days_of(year, month, day) * 86400000000 + of_day_us;
	stamp->wall_clock = true;
}

/* "12:34:56", "12:34:56.789". */
static bool clock_time(struct cursor *c, int64_t *ret_us)
{
	struct cursor at = *c;
	int64_t h, m, s, us = 0;

	if (!number(&at, &h) || !accept(&at, ':') || !number(&at, &m) || !accept(&at, ':') ||
	    !number(&at, &s) || h > 24 || m > 59 || s > 60)
		return false;
	if ((peek(&at, 0) == '.' || peek(&at, 0) == ',') && is_digit(peek(&at, 1))) {
		at.at++;
		us = fraction_us(&at);
	}
	*ret_us = ((h * 60 + m) * 60 + s) * 1000000 + us;
	*c = at;
	return true;
}

/* "2024-05-06T12:34:56.789+02:00", also with a space in the middle and without a zone. */
static bool iso_time(struct cursor *c, struct line_stamp *stamp)
{
	struct cursor at = *c;
	int64_t year, month, day, us, zone = 0, minutes = 0;
	bool west;

	if (!number(&at, &year) || !accept(&at, '-') || !number(&at, &month) || !accept(&at, '-') ||
	    !number(&at, &day))
		return false;
	if (!accept(&at, 'T') && !accept(&at, ' '))
		return false;
	if (!clock_time(&at, &us))
		return false;
	if (!accept(&at, 'Z') && (peek(&at, 0) == '+' || peek(&at, 0) == '-') &&
	    is_digit(peek(&at, 1))) {
		west = peek(&at, 0) == '-';
		at.at++;
		if (!number(&at, &zone))
			return false;
		if (zone > 99) {
			minutes = zone % 100;
			zone /= 100;
		} else if (accept(&at, ':') && !number(&at, &minutes)) {
			return false;
		}
		if (zone > 24 || minutes > 59)
			return false;
		us -= (west ? -1 : 1) * (zone * 60 + minutes) * 60000000;
	}
	set_date(stamp, year, month, day, us);
	*c = at;
	return true;
}

/* Beginnings of months' names, lower case, in languages that dmesg -T and syslog are seen in. */
static const char *const months[12][12] = {
	{"jan", "ene", "gen", "sty", "янв", "led", "oca"},
	{"feb", "fév", "fev", "lut", "фев", "úno", "şub"},
	{"mar", "mär", "mrt", "мар", "maa", "bře", "mrz"},
	{"apr", "avr", "abr", "kwi", "апр", "dub", "nis"},
	{"may", "mai", "mag", "mei", "maj", "мая", "kvě", "май"},
	{"jun", "juin", "giu", "cze", "июн", "kes", "červen", "haz"},
	{"jul", "juil", "lug", "lip", "июл", "hei", "tem"},
	{"aug", "aoû", "ago", "sie", "авг", "elo", "srp", "ağu"},
	{"sep", "set", "wrz", "сен", "syy", "zář", "eyl"},
	{"oct", "okt", "ott", "out", "paź", "окт", "lok", "říj"},
	{"nov", "lis", "ноя", "kas"},
	{"dec", "dez", "déc", "dic", "gru", "дек", "jou", "pro", "ara"},
};

static int64_t month_of(const char *word, size_t size)
{
	char lower[16] = "";

	for (size_t i = 0; i < size && i < sizeof(lower) - 1; i++)
		lower[i] = word[i] >= 'A' && word[i] <= 'Z' ? (char)(word[i] | 0x20) : word[i];
	for (int64_t month = 0; month < 12; month++)
		for (size_t i = 0; i < 12 && months[month][i]; i++)
			if (!strncmp(lower, months[month][i], strlen(months[month][i])))
				return month + 1;
	return 0;
}

struct date_words {
	int64_t year, month, day, us;
	bool has_time;
};

/* One word of a date whose language and order are not known. */
static void date_word(struct date_words *date, const char *word, size_t size)
{
	struct cursor c = {.text = word, .size = size};
	int64_t value;

	if (clock_time(&c, &date->us)) {
		date->has_time = true;
	} else if (number(&c, &value)) {
		/* "5月" and "06日" are written in East Asia. */
		if (value >= 1970 && value <= 9999)
			date->year = value;
		else if (size - c.at >= 3 && !memcmp(word + c.at, "月", 3))
			date->month = value;
		else if (value >= 1 && value <= 31)
			date->day = value;
	} else if (!date->month) {
		date->month = month_of(word, size);
	}
}

/* "[Mo 6. Mai 12:34:56 2024] ": anything in brackets that has a time of day. */
static bool bracket_date(struct cursor *c, struct line_stamp *stamp)
{
	const char *open = c->text + c->at, *end;
	struct date_words date = {0};
	size_t most = c->size - c->at;

	if (most < 10 || *open != '[')
		return false;
	end = memchr(open, ']', most < 80 ? most : 80);
	if (!end)
		return false;
	for (const char *word = open + 1; word < end;) {
		const char *stop = word;

		while (stop < end && *stop != ' ')
			stop++;
		if (stop > word)
			date_word(&date, word, (size_t)(stop - word));
		word = stop + 1;
	}
	if (!date.has_time)
		return false;
	if (date.year)
		set_date(stamp, date.year, date.month, date.day, date.us);
	c->at += (size_t)(end - open) + 1;
	return true;
}

/* "[   12.345678] ", and the thread or processor that newer kernels can put behind it. */
static bool bracket_seconds(struct cursor *c, struct line_stamp *stamp)
{
	struct cursor at = *c;
	int64_t s;

	if (!accept(&at, '['))
		return false;
	skip_spaces(&at);
	if (!number(&at, &s) || s > 1000000000 || !accept(&at, '.') || !is_digit(peek(&at, 0)))
		return false;
	stamp->time_us = s * 1000000 + fraction_us(&at);
	stamp->wall_clock = false;
	if (!accept(&at, ']'))
		return false;
	*c = at;
	if (peek(&at, 0) == '[') {
		at.at++;
		skip_spaces(&at);
		if ((accept(&at, 'T') || accept(&at, 'C')) && number(&at, &s) && accept(&at, ']'))
			*c = at;
	}
	return true;
}

/* "6,339,5140900,-;" of /dev/kmsg. */
static bool kmsg_head(struct cursor *c, struct line_stamp *stamp)
{
	struct cursor at = *c;
	int64_t priority, sequence, us;

	if (!number(&at, &priority) || !accept(&at, ',') || !number(&at, &sequence) ||
	    !accept(&at, ',') || !number(&at, &us) || !accept(&at, ','))
		return false;
	while (peek(&at, 0) && peek(&at, 0) != ';')
		at.at++;
	if (!accept(&at, ';'))
		return false;
	stamp->time_us = us;
	stamp->wall_clock = false;
	*c = at;
	return true;
}

/* "May  6 12:34:56": syslog; its month may be in another language. */
static bool syslog_time(struct cursor *c, struct line_stamp *stamp)
{
	struct cursor at = *c;
	size_t begin = at.at, word;
	int64_t month, day, us;

	while (peek(&at, 0) && peek(&at, 0) != ' ' && at.at - begin < 12)
		at.at++;
	if (at.at - begin < 3 || peek(&at, 0) != ' ')
		return false;
	word = at.at - begin;
	skip_spaces(&at);
	if (!number(&at, &day))
		return false;
	skip_spaces(&at);
	if (!clock_time(&at, &us))
		return false;
	/* Last, because it takes longest and most words are no month. */
	month = month_of(at.text + begin, word);
	if (!month)
		return false;
	set_date(stamp, 1970, month, day, us);
	*c = at;
	return true;
}

/* "kernel: " and "program[12]: ", behind a date after the host's name too. */
static void skip_names(struct cursor *c, bool with_host)
{
	struct cursor at = *c;

	skip_spaces(&at);
	for (int word = 0; word < (with_host ? 2 : 1); word++) {
		size_t begin = at.at, size;

		while (peek(&at, 0) && !strchr(" \t:", peek(&at, 0)))
			at.at++;
		size = at.at - begin;
		if (peek(&at, 0) == ':' && (peek(&at, 1) == ' ' || at.at + 1 == at.size) && size &&
		    (word || at.text[at.at - 1] == ']' ||
		     (size == 6 && !memcmp(at.text + begin, "kernel", 6)))) {
			at.at++;
			*c = at;
			return;
		}
		skip_spaces(&at);
	}
}

static bool level(struct cursor *c)
{
	struct cursor at = *c;
	int64_t value;

	if (!accept(&at, '<') || !number(&at, &value) || value > 255 || !accept(&at, '>'))
		return false;
	*c = at;
	return true;
}

static bool one_stamp(struct cursor *c, struct line_stamp *stamp)
{
	static const char xen[] = "(XEN)";
	size_t before = c->at;

	skip_spaces(c);
	if (level(c) || kmsg_head(c, stamp) || bracket_seconds(c, stamp) || bracket_date(c, stamp))
		return true;
	if (iso_time(c, stamp) || syslog_time(c, stamp)) {
		skip_names(c, true);
		return true;
	}
	if (c->size - c->at >= sizeof(xen) - 1 && !memcmp(c->text + c->at, xen, sizeof(xen) - 1)) {
		c->at += sizeof(xen) - 1;
		return true;
	}
	if (peek(c, 0) == 'k' || peek(c, 0) == 'p') {
		size_t at = c->at;

		skip_names(c, false);
		if (c->at != at)
			return true;
	}
	c->at = before;
	return false;
}

size_t line_strip(const char *text, size_t size, struct line_stamp *ret_stamp)
{
	struct line_stamp best = {.time_us = DOCTOR_TIME_NONE}, stamp;
	struct cursor c = {.text = text, .size = size};

	for (int i = 0; i < 5; i++) {
		stamp = (struct line_stamp){.time_us = DOCTOR_TIME_NONE};
		if (!one_stamp(&c, &stamp))
			break;
		if (stamp.time_us != DOCTOR_TIME_NONE &&
		    (best.time_us == DOCTOR_TIME_NONE || !stamp.wall_clock))
			best = stamp;
	}
	skip_spaces(&c);
	*ret_stamp = best;
	return c.at;
}

bool line_is_plain(const char *text, size_t size)
{
	bool plain = true;

	for (size_t i = 0; i < size; i++)
		plain &= (text[i] >= 0x20 && text[i] < 0x7f) || text[i] == '\t';
	return plain;
}

/* Bytes of a terminal sequence that begins with ESC at @text. */
static size_t escape_size(const char *text, size_t size)
{
	size_t at = 1;

	if (at == size)
		return 1;
	if (text[at] == ']') { /* ends with BEL or ESC \ */
		for (at++; at < size && text[at] != '\a' && text[at] != '\x1b'; at++)
			;
		return at < size && text[at] == '\a' ? at + 1 : at;
	}
	if (text[at] != '[')
		return 2;
	for (at++; at < size && (unsigned char)text[at] >= 0x20 && (unsigned char)text[at] < 0x40;
	     at++)
		;
	return at < size && (unsigned char)text[at] >= 0x40 && (unsigned char)text[at] < 0x7f
		       ? at + 1
		       : at;
}

/* Length of the character at @text when it is whole, shortest-form UTF-8 and harmless; else 0. */
static size_t safe_character(const char *text, size_t size)
{
	const unsigned char *c = (const unsigned char *)text;
	size_t bytes = c[0] < 0xe0 ? 2 : c[0] < 0xf0 ? 3 : 4;
	uint32_t code;

	if (c[0] < 0x80)
		return c[0] >= 0x20 && c[0] != 0x7f;
	if (c[0] < 0xc2 || c[0] > 0xf4 || bytes > size)
		return 0;
	code = c[0] & (0x7fu >> bytes);
	for (size_t i = 1; i < bytes; i++) {
		if ((c[i] & 0xc0) != 0x80)
			return 0;
		code = code << 6 | (c[i] & 0x3f);
	}
	if ((bytes == 3 && code < 0x800) || (bytes == 4 && (code < 0x10000 || code > 0x10ffff)) ||
	    (code >= 0xd800 && code < 0xe000))
		return 0;
	/* C1 controls; marks that turn the direction of text around; line separators. */
	if (code < 0xa0 || (code >= 0x200b && code <= 0x200f) ||
	    (code >= 0x2028 && code <= 0x202e) || (code >= 0x2060 && code <= 0x206f) ||
	    code == 0xfeff || code == 0x61c)
		return 0;
	return bytes;
}

size_t line_make_safe(const char *text, size_t size, char *to, size_t room)
{
	size_t used = 0, at = 0, bytes;

	while (at < size) {
		if (text[at] == '\x1b') {
			at += escape_size(text + at, size - at);
			continue;
		}
		if (text[at] == '\r') { /* CRLF, or a bar that was drawn over itself */
			at++;
			continue;
		}
		bytes = safe_character(text + at, size - at);
		if (used + (bytes ? bytes : 1) >= room)
			break;
		if (bytes) {
			memcpy(to + used, text + at, bytes);
			used += bytes;
			at += bytes;
		} else {
			to[used++] = text[at++] == '\t' ? ' ' : '?';
		}
	}
	to[used] = '\0';
	return used;
}

/*
 * Records of `journalctl -o json`: one object a line. Only few of their fields are of use, so they
 * are picked out where they stand instead of building the whole object.
 */

/* Where the value of "name" begins. NULL when the record has no such field. */
static const char *field(const char *text, size_t size, const char *name)
{
	const char *end = text + size, *at = text;
	size_t name_size = strlen(name);

	while ((at = memmem(at, (size_t)(end - at), name, name_size))) {
		at += name_size;
		while (at < end && (*at == ' ' || *at == '\t'))
			at++;
		if (at == end || *at != ':')
			continue;
		do {
			at++;
		} while (at < end && (*at == ' ' || *at == '\t'));
		return at;
	}
	return NULL;
}

static int hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static size_t put_code(uint32_t code, char *to, size_t room)
{
	if (code >= 0xd800 && code < 0xe000)
		code = '?'; /* half of a pair: no message that matters has such letters */
	if (code < 0x80 && room >= 1) {
		to[0] = (char)code;
		return 1;
	}
	if (code < 0x800 && room >= 2) {
		to[0] = (char)(0xc0 | code >> 6);
		to[1] = (char)(0x80 | (code & 0x3f));
		return 2;
	}
	if (code >= 0x800 && room >= 3) {
		to[0] = (char)(0xe0 | code >> 12);
		to[1] = (char)(0x80 | (code >> 6 & 0x3f));
		to[2] = (char)(0x80 | (code & 0x3f));
		return 3;
	}
	return 0;
}

/* The escape behind a backslash. Return: bytes of it. */
static size_t unescape(const char *at, const char *end, uint32_t *ret_code)
{
	static const char from[] = "nrtbf", to[] = "\n\r\t\b\f";
	const char *known = strchr(from, *at);
	uint32_t code = 0;

	if (*at == 'u' && end - at >= 5) {
		for (int i = 1; i <= 4; i++) {
			if (hex(at[i]) < 0)
				return 0;
			code = code << 4 | (uint32_t)hex(at[i]);
		}
		*ret_code = code;
		return 5;
	}
	*ret_code = *at && known ? (unsigned char)to[known - from] : (unsigned char)*at;
	return 1;
}

static size_t string_value(const char *at, const char *end, char *to, size_t room)
{
	size_t used = 0;

	while (at < end && *at != '"' && used < room) {
		uint32_t code;
		size_t bytes;

		if (*at != '\\' || at + 1 == end) {
			to[used++] = *at++;
			continue;
		}
		bytes = unescape(at + 1, end, &code);
		if (!bytes)
			break;
		at += 1 + bytes;
		bytes = put_code(code, to + used, room - used);
		if (!bytes)
			break;
		used += bytes;
	}
	return used;
}

/* A message that isn't UTF-8, or has terminal sequences, is a list of its bytes. */
static size_t bytes_value(const char *at, const char *end, char *to, size_t room)
{
	size_t used = 0;

	while (at < end && *at != ']' && used < room) {
		unsigned int value = 0;

		if (*at < '0' || *at > '9') {
			at++;
			continue;
		}
		for (; at < end && *at >= '0' && *at <= '9' && value < 256; at++)
			value = value * 10 + (unsigned int)(*at - '0');
		to[used++] = value < 256 ? (char)value : '?';
	}
	return used;
}

static int64_t number_field(const char *text, size_t size, const char *name)
{
	const char *at = field(text, size, name), *end = text + size;
	int64_t value = 0;

	if (!at)
		return DOCTOR_TIME_NONE;
	if (at < end && *at == '"')
		at++;
	if (at == end || *at < '0' || *at > '9')
		return DOCTOR_TIME_NONE;
	for (; at < end && *at >= '0' && *at <= '9' && value < INT64_MAX / 100; at++)
		value = value * 10 + (*at - '0');
	return value;
}

size_t line_from_json(const char *text, size_t size, char *to, size_t room,
		      struct line_stamp *ret_stamp, uint64_t *ret_boot)
{
	const char *message = field(text, size, "\"MESSAGE\""), *end = text + size;
	const char *boot = field(text, size, "\"_BOOT_ID\"");
	int64_t us = number_field(text, size, "\"_SOURCE_MONOTONIC_TIMESTAMP\"");

	*ret_boot = 0;
	if (us == DOCTOR_TIME_NONE)
		us = number_field(text, size, "\"__MONOTONIC_TIMESTAMP\"");
	*ret_stamp = (struct line_stamp){.time_us = us};
	if (us == DOCTOR_TIME_NONE) {
		ret_stamp->time_us = number_field(text, size, "\"__REALTIME_TIMESTAMP\"");
		ret_stamp->wall_clock = ret_stamp->time_us != DOCTOR_TIME_NONE;
	}
	if (boot && end - boot > 17 && *boot == '"')
		for (int i = 1; i <= 16 && hex(boot[i]) >= 0; i++)
			*ret_boot = *ret_boot << 4 | (uint64_t)hex(boot[i]);
	if (!message || message == end)
		return 0;
	if (*message == '"')
		return string_value(message + 1, end, to, room);
	return *message == '[' ? bytes_value(message + 1, end, to, room) : 0;
}
