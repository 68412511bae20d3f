/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "cli/pattern.h"

void pattern_fill(const struct task_tensor *tensor)
{
	size_t bytes = task_tensor_bytes(tensor);
	uint32_t state = PATTERN_START;

	if (tensor->dtype == METIS_F32) {
		float *values = tensor->data;

		for (size_t i = 0; i < bytes / sizeof(*values); i++)
			values[i] = (float)pattern_next(&state) / 255.0f;
	} else if (tensor->dtype == METIS_F64) {
		double *values = tensor->data;

		for (size_t i = 0; i < bytes / sizeof(*values); i++)
			values[i] = (double)pattern_next(&state) / 255.0;
	} else if (tensor->dtype == METIS_F16) {
		uint16_t *values = tensor->data;

		/* 1.0 is 0x3c00 and what lies below is smaller: any such half is in 0-1. */
		for (size_t i = 0; i < bytes / sizeof(*values); i++)
			values[i] = (uint16_t)(pattern_next(&state) * 0x3c00u / 255u);
	} else if (tensor->dtype == METIS_U8 || tensor->dtype == METIS_I8 ||
		   tensor->dtype == METIS_BOOL) {
		uint8_t *values = tensor->data;
		uint8_t mask = tensor->dtype == METIS_BOOL ? 1 : 0xff;

		for (size_t i = 0; i < bytes; i++)
			values[i] = pattern_next(&state) & mask;
	} else {
		memset(tensor->data, 0, bytes);
	}
}
