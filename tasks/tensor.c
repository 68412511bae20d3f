/* SPDX-License-Identifier: MIT */
#include "tensor.h"

#define TENSOR_BYTES_MAX ((uint64_t)1 << 40)

size_t task_tensor_bytes(const struct task_tensor *tensor)
{
	uint64_t bytes = metis_dtype_bytes(tensor->dtype);

	if (tensor->ndims > METIS_MODULE_DIMS_MAX)
		return 0;
	for (unsigned int i = 0; i < tensor->ndims; i++) {
		if (__builtin_mul_overflow(bytes, tensor->dims[i], &bytes))
			return 0;
		if (bytes > TENSOR_BYTES_MAX)
			return 0;
	}
	return bytes;
}
