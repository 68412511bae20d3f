/* SPDX-License-Identifier: MIT */
#include <math.h>
#include <string.h>

#include "cli/tensor_stats.h"

static size_t element_bytes(unsigned int dtype)
{
	struct task_tensor scalar = {.dtype = dtype};

	return task_tensor_bytes(&scalar);
}

/* IEEE 754 binary16, without leaning on a compiler type that not every target has. */
static double half_value(uint16_t bits)
{
	int exponent = bits >> 10 & 0x1f;
	double fraction = bits & 0x3ff, value;

	if (exponent == 0)
		value = ldexp(fraction, -24);
	else if (exponent == 31)
		value = fraction != 0 ? (double)NAN : (double)INFINITY;
	else
		value = ldexp(fraction + 1024, exponent - 25);
	return bits & 0x8000 ? -value : value;
}

#define LOAD(type)                                   \
	({                                           \
		type loaded;                         \
		memcpy(&loaded, at, sizeof(loaded)); \
		loaded;                              \
	})

double tensor_value(const struct task_tensor *tensor, size_t index)
{
	const char *at = (const char *)tensor->data + index * element_bytes(tensor->dtype);

	switch (tensor->dtype) {
	case METIS_F32:
		return (double)LOAD(float);
	case METIS_F64:
		return LOAD(double);
	case METIS_F16:
		return half_value(LOAD(uint16_t));
	case METIS_U8:
	case METIS_BOOL:
		return LOAD(uint8_t);
	case METIS_I8:
		return LOAD(int8_t);
	case METIS_U16:
		return LOAD(uint16_t);
	case METIS_I16:
		return LOAD(int16_t);
	case METIS_U32:
		return LOAD(uint32_t);
	case METIS_I32:
		return LOAD(int32_t);
	case METIS_U64:
		return (double)LOAD(uint64_t);
	case METIS_I64:
		return (double)LOAD(int64_t);
	}
	return (double)NAN;
}

void tensor_stats(const struct task_tensor *tensor, struct tensor_stats *ret_stats)
{
	size_t one = element_bytes(tensor->dtype);
	double sum = 0, min = INFINITY, max = -INFINITY;
	size_t count = one ? task_tensor_bytes(tensor) / one : 0;

	for (size_t i = 0; i < count; i++) {
		double value = tensor_value(tensor, i);

		sum += value;
		min = value < min ? value : min;
		max = value > max ? value : max;
	}
	ret_stats->count = count;
	ret_stats->mean = count ? sum / (double)count : (double)NAN;
	ret_stats->min = count && !isnan(sum) ? min : (double)NAN;
	ret_stats->max = count && !isnan(sum) ? max : (double)NAN;
}
