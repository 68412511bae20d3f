/* SPDX-License-Identifier: MIT */
#ifndef TETHYS_CLI_CLOCK_H
#define TETHYS_CLI_CLOCK_H

#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Milliseconds on a clock that never jumps. */
static inline double clock_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static inline int clock_compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* Sorts @values; 0 of none. */
static inline double clock_median(double *values, size_t count)
{
	if (!count)
		return 0;
	qsort(values, count, sizeof(*values), clock_compare);
	return (values[(count - 1) / 2] + values[count / 2]) / 2;
}

#endif
