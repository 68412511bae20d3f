/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "runtime/onnx_info.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t bytes);

struct memory {
	const unsigned char *data;
	size_t bytes;
};

static int memory_read(void *ctx, uint64_t offset, void *buf, size_t len)
{
	const struct memory *memory = ctx;

	if (offset > memory->bytes || len > memory->bytes - offset)
		abort();
	memcpy(buf, memory->data + offset, len);
	return 0;
}

/* What was accepted must be what a module can hold. */
static void check(const struct onnx_info *info)
{
	unsigned int i, d;
	uint64_t bytes;

	if (!info->inputs || !info->outputs || info->inputs + info->outputs > METIS_FW_TENSORS_MAX)
		abort();
	for (i = 0; i < info->inputs + info->outputs; i++) {
		bytes = metis_dtype_bytes(info->tensors[i].dtype);
		if (info->tensors[i].ndims > METIS_MODULE_DIMS_MAX)
			abort();
		for (d = 0; d < info->tensors[i].ndims; d++)
			bytes *= info->tensors[i].dims[d];
		if (!bytes || bytes != info->tensors[i].bytes || !info->tensors[i].name[0])
			abort();
	}
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t bytes)
{
	static struct onnx_info info; /* 13 KiB: not for every stack */
	struct memory memory = {data, bytes};
	struct onnx_source source = {&memory, bytes, memory_read};
	struct reason why = {0};

	if (!onnx_info_read(&source, &info, &why))
		check(&info);
	return 0;
}
