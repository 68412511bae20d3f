/* SPDX-License-Identifier: MIT */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "reason.h"

#undef reason_add
int reason_add(struct reason *why, int err, const char *fmt, ...)
{
	size_t used;
	va_list ap;

	if (!why)
		return err;
	used = strnlen(why->text, sizeof(why->text) - 1);
	if (used && used + 2 < sizeof(why->text))
		why->text[used++] = '\n';
	va_start(ap, fmt);
	vsnprintf(why->text + used, sizeof(why->text) - used, fmt, ap);
	va_end(ap);
	return err;
}
