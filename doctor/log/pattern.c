/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <string.h>

#include "doctor/log/pattern.h"

/* Steps of one match: a hostile line could else have every {*} try every place. */
#define STEPS_MAX 200000u

struct match {
	const char *form_end, *end;
	struct doctor_fact *fact;
	unsigned int steps;
};

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static int hex_digit(char c)
{
	if (is_digit(c))
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool is_space(char c)
{
	return c == ' ' || c == '\t';
}

/* Return: bytes used, 0: no number, or one of more than 64 bits. */
static size_t hex_number(const char *at, const char *end, uint64_t *ret_value)
{
	size_t skip = end - at > 2 && at[0] == '0' && (at[1] | 0x20) == 'x' ? 2 : 0, digits = 0;
	uint64_t value = 0;

	while (at + skip + digits < end && hex_digit(at[skip + digits]) >= 0) {
		if (value >> 60)
			return 0;
		value = value << 4 | (uint64_t)hex_digit(at[skip + digits]);
		digits++;
	}
	if (!digits)
		return 0;
	*ret_value = value;
	return skip + digits;
}

static size_t decimal(const char *at, const char *end, uint64_t *ret_value)
{
	uint64_t value = 0;
	size_t digits = 0;

	for (; at + digits < end && is_digit(at[digits]); digits++) {
		if (value > (UINT64_MAX - 9) / 10)
			return 0;
		value = value * 10 + (uint64_t)(at[digits] - '0');
	}
	if (digits)
		*ret_value = value;
	return digits;
}

static bool has_0x(const char *at, const char *end)
{
	return end - at > 2 && at[0] == '0' && (at[1] | 0x20) == 'x';
}

static void set_name(struct doctor_fact *fact, const char *at, size_t size)
{
	if (size >= sizeof(fact->name))
		size = sizeof(fact->name) - 1;
	/* Not half a character of UTF-8. */
	while (size && ((unsigned char)at[size] & 0xc0) == 0x80)
		size--;
	memcpy(fact->name, at, size);
	memset(fact->name + size, 0, sizeof(fact->name) - size);
}

static size_t word_size(const char *at, const char *end)
{
	size_t size = 0;

	while (at + size < end && !is_space(at[size]) && !strchr(",;()[]'\"`!", at[size]))
		size++;
	while (size && (at[size - 1] == ':' || at[size - 1] == '.'))
		size--;
	return size;
}

static const struct {
	const char *text;
	uint32_t number;
} errors[] = {
	{"Operation not permitted", EPERM},
	{"No such file or directory", ENOENT},
	{"Input/output error", EIO},
	{"No such device or address", ENXIO},
	{"Resource temporarily unavailable", EAGAIN},
	{"Cannot allocate memory", ENOMEM},
	{"Permission denied", EACCES},
	{"Bad address", EFAULT},
	{"Device or resource busy", EBUSY},
	{"File exists", EEXIST},
	{"No such device", ENODEV},
	{"Invalid argument", EINVAL},
	{"Inappropriate ioctl for device", ENOTTY},
	{"No space left on device", ENOSPC},
	{"Connection timed out", ETIMEDOUT},
	{"Argument list too long", E2BIG},
	{"Operation not supported", EOPNOTSUPP},
	{"Exec format error", ENOEXEC},
	{"Key was rejected by service", EKEYREJECTED},
	{"Required key not available", ENOKEY},
};

static size_t error_words(const char *at, const char *end, uint64_t *ret_value)
{
	for (size_t i = 0; i < sizeof(errors) / sizeof(*errors); i++) {
		size_t size = strlen(errors[i].text);

		if ((size_t)(end - at) >= size && !strncasecmp(at, errors[i].text, size)) {
			*ret_value = errors[i].number;
			return size;
		}
	}
	return 0;
}

static size_t errno_number(const char *at, const char *end, uint64_t *ret_value)
{
	size_t sign = at < end && *at == '-', used;

	used = decimal(at + sign, end, ret_value);
	if (!used || *ret_value > 4095)
		return 0;
	return sign + used;
}

static size_t take_number(struct doctor_fact *fact, char what, const char *at, const char *end)
{
	uint64_t value = 0;
	size_t used;

	if (what == 'S' || ((what == 'n' || what == 'r') && !has_0x(at, end)))
		used = decimal(at, end, &value);
	else if (what == 'e')
		used = errno_number(at, end, &value);
	else if (what == 'E')
		used = error_words(at, end, &value);
	else
		used = hex_number(at, end, &value);
	if (!used)
		return 0;
	if (what == 'a') {
		fact->has_address = true;
		fact->address = value;
	} else if (what == 's' || what == 'S') {
		fact->has_size = true;
		fact->size = value;
	} else if (what == 'z') {
		fact->has_size = value >= fact->address && value - fact->address < UINT64_MAX;
		fact->size = fact->has_size ? value - fact->address + 1 : 0;
	} else if (what == 'n' || what == 'N') {
		fact->has_number = true;
		fact->number = value;
	} else {
		if (value > UINT32_MAX)
			return 0;
		fact->has_reason = true;
		fact->reason = (uint32_t)value;
	}
	return used;
}

static size_t take_direction(struct doctor_fact *fact, const char *at, const char *end)
{
	bool write = end - at >= 5 && !strncasecmp(at, "write", 5);

	if (!write && (end - at < 4 || strncasecmp(at, "read", 4)))
		return 0;
	fact->has_write = true;
	fact->write = write;
	return write ? 5 : 4;
}

static size_t take_literal(struct doctor_fact *fact, const char *form, const char *form_end,
			   const char *at, const char *end)
{
	bool name = *form == '=';

	for (form++; form <= form_end;) {
		const char *stop = memchr(form, '|', (size_t)(form_end - form));
		size_t size = (size_t)((stop ? stop : form_end) - form);

		if ((size_t)(end - at) >= size && !memcmp(at, form, size)) {
			if (name)
				set_name(fact, at, size);
			return size;
		}
		form += size + 1;
	}
	return 0;
}

static size_t take_device(struct doctor_fact *fact, bool any, const char *at, const char *end)
{
	uint64_t part[3];
	size_t used, all = 0;

	if (bdf_parse(at, (size_t)(end - at), &fact->device, &used)) {
		fact->has_device = true;
		return used;
	}
	for (int i = 0; any && i < 3; i++) {
		used = hex_number(at + all, end, &part[i]);
		if (!used || (i < 2 && (at + all + used == end || at[all + used] != ':')))
			return 0;
		all += used + (i < 2);
	}
	if (!any || part[0] > 0xffff || part[1] > 0xff || part[2] > 31)
		return 0;
	fact->has_device = true;
	fact->device = (struct bdf){(uint32_t)part[0], (uint8_t)part[1], (uint8_t)part[2], 0};
	return all;
}

/* One capture, "{...}" without {*}. Return: bytes used of the text, 0: does not match. */
static size_t take(struct doctor_fact *fact, const char *form, const char *form_end, const char *at,
		   const char *end)
{
	uint64_t ignored;
	size_t used = 0;

	switch (*form) {
	case '|':
	case '=':
		return take_literal(fact, form, form_end, at, end);
	case '_':
		return word_size(at, end);
	case '0':
		return decimal(at, end, &ignored);
	case 'x':
		return hex_number(at, end, &ignored);
	case 'd':
	case 'D':
		return take_device(fact, *form == 'D', at, end);
	case 't':
		used = word_size(at, end);
		set_name(fact, at, used);
		return used;
	case 'T':
		used = (size_t)(end - at);
		set_name(fact, at, used);
		return used;
	case 'w':
		return take_direction(fact, at, end);
	default:
		return take_number(fact, *form, at, end);
	}
}

static bool match_here(struct match *m, const char *form, const char *at);

/* {*} with @form behind it. */
static bool match_anything(struct match *m, const char *form, const char *at)
{
	char first = form < m->form_end ? *form : '\0';

	if (form == m->form_end)
		return true;
	for (; at <= m->end; at++) {
		if (first && !strchr("{<>$ ", first)) {
			at = memchr(at, first, (size_t)(m->end - at));
			if (!at)
				return false;
		}
		if (match_here(m, form, at))
			return true;
		if (m->steps >= STEPS_MAX)
			return false;
	}
	return false;
}

static bool match_group(struct match *m, const char *form, const char *at)
{
	const char *close = memchr(form, '>', (size_t)(m->form_end - form));
	struct doctor_fact before = *m->fact;

	if (match_here(m, form + 1, at))
		return true;
	*m->fact = before;
	return close && match_here(m, close + 1, at);
}

static bool match_here(struct match *m, const char *form, const char *at)
{
	while (form < m->form_end) {
		if (++m->steps > STEPS_MAX)
			return false;
		if (*form == '{') {
			const char *close = memchr(form, '}', (size_t)(m->form_end - form));
			size_t used;

			if (!close)
				return false;
			if (form[1] == '*')
				return match_anything(m, close + 1, at);
			used = take(m->fact, form + 1, close, at, m->end);
			if (!used)
				return false;
			at += used;
			form = close + 1;
		} else if (*form == '<') {
			return match_group(m, form, at);
		} else if (*form == '>') {
			form++;
		} else if (*form == ' ') {
			if (at == m->end || !is_space(*at))
				return false;
			while (at < m->end && is_space(*at))
				at++;
			form++;
		} else if (*form == '$') {
			while (at < m->end && is_space(*at))
				at++;
			return at == m->end;
		} else {
			if (at == m->end || *at != *form)
				return false;
			at++;
			form++;
		}
	}
	return true;
}

static bool match_anywhere(struct match *m, const char *form, const char *at)
{
	struct doctor_fact before = *m->fact;
	size_t literal = strcspn(form, "{<>$ ");

	if (!literal)
		return match_anything(m, form, at);
	while ((at = memmem(at, (size_t)(m->end - at), form, literal))) {
		if (match_here(m, form + literal, at + literal))
			return true;
		if (m->steps >= STEPS_MAX)
			return false;
		*m->fact = before;
		at++;
	}
	return false;
}

bool pattern_match(const struct doctor_pattern *row, const struct message *message,
		   struct doctor_fact *fact)
{
	struct doctor_fact found = *fact;
	struct match m = {
		.form_end = row->form + strlen(row->form),
		.end = message->text + message->size,
		.fact = &found,
	};
	bool matches;

	if (row->form[0] == '^')
		matches = match_here(&m, row->form + 1, message->text + message->rest);
	else
		matches = match_anywhere(&m, row->form, message->text);
	if (!matches)
		return false;
	*fact = found;
	fact->kind = row->kind;
	if (row->name && !fact->name[0])
		set_name(fact, row->name, strlen(row->name));
	if (row->reason && !fact->has_reason) {
		fact->has_reason = true;
		fact->reason = row->reason;
	}
	return true;
}

void message_init(struct message *message, const char *text, size_t size)
{
	size_t word = 0, used;

	*message = (struct message){.text = text, .size = size};
	while (word < size && !is_space(text[word]) && text[word] != ':')
		word++;
	if (!word || word + 1 >= size || text[word] != ' ')
		return;
	if (!bdf_parse(text + word + 1, size - word - 1, &message->device, &used) ||
	    word + 1 + used >= size || text[word + 1 + used] != ':')
		return;
	message->has_device = true;
	memcpy(message->driver, text,
	       word < sizeof(message->driver) ? word : sizeof(message->driver) - 1);
	message->rest = word + 1 + used + 1;
	while (message->rest < size && is_space(text[message->rest]))
		message->rest++;
}

bool message_find_device(const struct message *message, struct bdf *ret_device)
{
	static const char *const before[] = {"host=", "/sys/bus/pci/devices/", "sysfsdev=", "PCI:"};
	const char *end = message->text + message->size, *at;
	size_t used;

	for (size_t i = 0; i < sizeof(before) / sizeof(*before); i++) {
		at = memmem(message->text, message->size, before[i], strlen(before[i]));
		if (!at)
			continue;
		at += strlen(before[i]);
		/* "sysfsdev=/sys/bus/pci/devices/..." is found by the other. */
		if (bdf_parse(at, (size_t)(end - at), ret_device, &used))
			return true;
	}
	return false;
}
