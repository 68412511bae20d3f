/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "doctor/report/escape.h"

#define REPLACEMENT 0xfffdu

/* Controls, marks of direction, what is not seen, and what is no character at all. */
static bool steers(uint32_t c)
{
	return (c < 0x20 && c != '\t' && c != '\n') || (c >= 0x7f && c <= 0x9f) || c == 0xad ||
	       c == 0x61c || (c >= 0x200b && c <= 0x200f) || (c >= 0x2028 && c <= 0x202e) ||
	       (c >= 0x2060 && c <= 0x206f) || c == 0xfeff || (c >= 0xfff9 && c <= 0xfffb) ||
	       (c & 0xfffe) == 0xfffe || (c >= 0xe0000 && c <= 0xe0fff);
}

uint32_t escape_next(const char **at)
{
	static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
	const unsigned char *text = (const unsigned char *)*at;
	uint32_t c = text[0];
	size_t bytes = 1;

	if (!c)
		return 0;
	if (c >= 0xf0 && c < 0xf8)
		bytes = 4;
	else if (c >= 0xe0 && c < 0xf0)
		bytes = 3;
	else if (c >= 0xc0 && c < 0xe0)
		bytes = 2;
	else if (c >= 0x80)
		bytes = 0;
	if (bytes > 1)
		c &= 0x7fu >> bytes;
	for (size_t i = 1; i < bytes; i++) {
		if ((text[i] & 0xc0) != 0x80) { /* NUL is none of these either */
			bytes = 0;
			break;
		}
		c = c << 6 | (text[i] & 0x3fu);
	}
	*at += bytes ? bytes : 1;
	if (!bytes || c < least[bytes] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff) || steers(c))
		return REPLACEMENT;
	return c;
}

size_t escape_utf8(uint32_t c, char ret_text[5])
{
	size_t bytes = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
	static const unsigned char lead[] = {0, 0, 0xc0, 0xe0, 0xf0};

	ret_text[bytes] = '\0';
	for (size_t i = bytes; i-- > 1; c >>= 6)
		ret_text[i] = (char)(0x80 | (c & 0x3f));
	ret_text[0] = (char)(lead[bytes] | c);
	return bytes;
}

unsigned int escape_columns(uint32_t c)
{
	if ((c >= 0x300 && c <= 0x36f) || (c >= 0x1ab0 && c <= 0x1aff) ||
	    (c >= 0x20d0 && c <= 0x20ff) || (c >= 0xfe00 && c <= 0xfe0f))
		return 0;
	if ((c >= 0x1100 && c <= 0x115f) || (c >= 0x2e80 && c <= 0xa4cf) ||
	    (c >= 0xac00 && c <= 0xd7a3) || (c >= 0xf900 && c <= 0xfaff) ||
	    (c >= 0xfe30 && c <= 0xfe6f) || (c >= 0xff00 && c <= 0xff60) ||
	    (c >= 0x1f300 && c <= 0x1faff) || (c >= 0x20000 && c <= 0x3fffd))
		return 2;
	return 1;
}

/* No character grows to more than three bytes of what it was: that of U+FFFD. */
static char *room_for(struct arena *arena, const char *text)
{
	return arena_alloc(arena, 3 * strlen(text) + 1);
}

const char *escape_line(struct arena *arena, const char *text, bool utf8)
{
	char *copy, *to, bytes[5];
	uint32_t c;
	size_t size;

	if (!text)
		return "";
	copy = to = room_for(arena, text);
	while ((c = escape_next(&text))) {
		if (c == '\t' || c == '\n')
			c = ' ';
		if (c >= 0x80 && !utf8)
			c = '?';
		size = escape_utf8(c, bytes);
		memcpy(to, bytes, size);
		to += size;
	}
	return copy;
}

const char *escape_text(struct arena *arena, const char *text)
{
	char *copy, *to, bytes[5];
	uint32_t c;
	size_t size;

	if (!text)
		return "";
	copy = to = room_for(arena, text);
	while ((c = escape_next(&text))) {
		size = escape_utf8(c, bytes);
		memcpy(to, bytes, size);
		to += size;
	}
	return copy;
}

static void put_character(uint32_t c, FILE *out)
{
	char bytes[5] = "";
	size_t size = escape_utf8(c, bytes);

	fwrite(bytes, 1, size, out);
}

void escape_html(const char *text, FILE *out)
{
	uint32_t c;

	while (text && (c = escape_next(&text))) {
		if (c == '&')
			fputs("&amp;", out);
		else if (c == '<')
			fputs("&lt;", out);
		else if (c == '>')
			fputs("&gt;", out);
		else if (c == '"')
			fputs("&quot;", out);
		else if (c == '\'')
			fputs("&#39;", out);
		else
			put_character(c, out);
	}
}

void escape_label(const char *text, FILE *out)
{
	uint32_t c;

	while (text && (c = escape_next(&text))) {
		if (c == '\n')
			fputs("\\n", out);
		else if (c == '\\' || c == '"')
			fprintf(out, "\\%c", (int)c);
		else if (c == '\t')
			fputc(' ', out);
		else
			put_character(c, out);
	}
}
