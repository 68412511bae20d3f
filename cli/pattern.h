/* SPDX-License-Identifier: MIT */
/*
 * The numbers test inputs are made of: the same everywhere.
 */
#ifndef TETHYS_CLI_PATTERN_H
#define TETHYS_CLI_PATTERN_H

#include <stdint.h>

#include "tasks/tensor.h"

#define PATTERN_START 12345u

/* The next value 0-255 of a 32-bit linear congruential generator. */
static inline uint8_t pattern_next(uint32_t *state)
{
	*state = *state * 1664525u + 1013904223u;
	return (uint8_t)(*state >> 24);
}

/*
 * Fill a tensor of any type: floating point with 0-1, bytes with the pattern. Wider integers are
 * indices and lengths as a rule, for which zero is the value that is most likely valid.
 */
void pattern_fill(const struct task_tensor *tensor);

#endif
