/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "doctor/report/escape.h"
#include "doctor/report/wrap.h"

unsigned int wrap_columns(const char *text, size_t size)
{
	const char *end = text + size;
	unsigned int columns = 0;

	while (text < end)
		columns += escape_columns(escape_next(&text));
	return columns;
}

void wrap_print(const char *text, unsigned int width, unsigned int first, unsigned int indent,
		FILE *out)
{
	unsigned int column = first, words = 0;

	text += strspn(text, " ");
	while (*text) {
		size_t size = strcspn(text, " "), gap = strspn(text + size, " ");
		unsigned int columns = wrap_columns(text, size);

		if (words && width && column + 1 + columns > width) {
			fprintf(out, "\n%*s", (int)indent, "");
			column = indent;
		} else if (words) {
			fputc(' ', out);
			column++;
		}
		fwrite(text, 1, size, out);
		column += columns;
		words++;
		text += size + gap;
	}
	fputc('\n', out);
}
