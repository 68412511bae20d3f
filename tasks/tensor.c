/* SPDX-License-Identifier: MIT */
#include "tensor.h"

#define TENSOR_BYTES_MAX ((uint64_t)1 << 40)

static unsigned int dtype_bytes(unsigned int dtype)
{
	switch (dtype) {
	case METIS_U8:
	case METIS_I8:
	case METIS_BOOL:
		return 1;
	case METIS_U16:
	case METIS_I16:
	case METIS_F16:
		return 2;
	case METIS_F32:
	case METIS_I32:
	case METIS_U32:
		return 4;
	case METIS_F64:
	case METIS_I64:
	case METIS_U64:
		return 8;
	default:
		return 0;
	}
}

size_t task_tensor_bytes(const struct task_tensor *tensor)
{
	uint64_t bytes = dtype_bytes(tensor->dtype);

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
