/* SPDX-License-Identifier: MIT */
/*
 * Numbers of a tensor of any type.
 */
#ifndef TETHYS_CLI_TENSOR_STATS_H
#define TETHYS_CLI_TENSOR_STATS_H

#include "tasks/tensor.h"

struct tensor_stats {
	size_t count;	       /* elements */
	double mean, min, max; /* NaN when the tensor is empty or holds a NaN */
};

void tensor_stats(const struct task_tensor *tensor, struct tensor_stats *ret_stats);
/* Element @index of the flattened tensor; 64-bit integers are rounded to double. */
double tensor_value(const struct task_tensor *tensor, size_t index);

#endif
