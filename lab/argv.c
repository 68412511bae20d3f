/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "lab/machine.h"

int lab_argv_add(struct lab_argv *argv, const char *fmt, ...)
{
	char **grown;
	va_list ap;
	int n;

	/* One more than counted: the NULL at the end. */
	grown = realloc(argv->item, (argv->count + 2) * sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	argv->item = grown;
	argv->item[argv->count + 1] = NULL;
	va_start(ap, fmt);
	n = vasprintf(&argv->item[argv->count], fmt, ap);
	va_end(ap);
	if (n < 0) {
		argv->item[argv->count] = NULL;
		return -ENOMEM;
	}
	argv->count++;
	return 0;
}

void lab_argv_deinit(struct lab_argv *argv)
{
	size_t i;

	for (i = 0; i < argv->count; i++)
		free(argv->item[i]);
	free(argv->item);
	argv->item = NULL;
	argv->count = 0;
}
