/* SPDX-License-Identifier: MIT */
#include <stdio.h>

#include "doctor/bdf.h"

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Digits at @text, at most @max of them, with or without 0x. Return: characters, 0 for none. */
static size_t hex_number(const char *text, size_t size, size_t max, uint32_t *ret_value)
{
	size_t at = 0, first;
	uint32_t value = 0;

	if (size > 2 && text[0] == '0' && text[1] == 'x')
		at = 2;
	for (first = at; at < size && at - first < max && hex_digit(text[at]) >= 0; at++)
		value = value << 4 | (uint32_t)hex_digit(text[at]);
	if (at == first)
		return 0;
	*ret_value = value;
	return at;
}

bool bdf_parse(const char *text, size_t size, struct bdf *ret_bdf, size_t *ret_used)
{
	uint32_t part[3], function;
	size_t at = 0, used, parts = 0;

	/* [domain:]bus:slot */
	for (;;) {
		used = hex_number(text + at, size - at, 8, &part[parts]);
		if (!used)
			return false;
		at += used;
		parts++;
		if (at == size || text[at] != ':' || parts == 3)
			break;
		at++;
	}
	if (parts < 2 || at == size || text[at] != '.')
		return false;
	at++;
	used = hex_number(text + at, size - at, 1, &function);
	if (!used || function > 7 || part[parts - 1] > 31 || part[parts - 2] > 255)
		return false;
	at += used;
	/* "10.0.0.1:86:00.25" is none. */
	if (at < size && hex_digit(text[at]) >= 0)
		return false;
	if (!ret_used && at != size)
		return false;
	*ret_bdf = (struct bdf){
		.domain = parts == 3 ? part[0] : 0,
		.bus = (uint8_t)part[parts - 2],
		.slot = (uint8_t)part[parts - 1],
		.function = (uint8_t)function,
	};
	if (ret_used)
		*ret_used = at;
	return true;
}

const char *bdf_text(struct bdf bdf, char ret_text[BDF_TEXT_BYTES])
{
	snprintf(ret_text, BDF_TEXT_BYTES, "%04x:%02x:%02x.%x", bdf.domain, bdf.bus, bdf.slot,
		 bdf.function);
	return ret_text;
}

int bdf_compare(struct bdf a, struct bdf b)
{
	if (a.domain != b.domain)
		return a.domain < b.domain ? -1 : 1;
	return (int)bdf_requester(a) - (int)bdf_requester(b);
}

bool bdf_equal(struct bdf a, struct bdf b)
{
	return !bdf_compare(a, b);
}

uint16_t bdf_requester(struct bdf bdf)
{
	return (uint16_t)(bdf.bus << 8 | bdf.slot << 3 | bdf.function);
}
