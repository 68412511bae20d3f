/* SPDX-License-Identifier: MIT */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cli/text.h"

const char *text_dtype(unsigned int dtype)
{
	static const char *const names[] = {
		[METIS_F32] = "float32", [METIS_U8] = "uint8",	 [METIS_I8] = "int8",
		[METIS_U16] = "uint16",	 [METIS_I16] = "int16",	 [METIS_I32] = "int32",
		[METIS_I64] = "int64",	 [METIS_BOOL] = "bool",	 [METIS_F16] = "float16",
		[METIS_F64] = "float64", [METIS_U32] = "uint32", [METIS_U64] = "uint64",
	};

	if (dtype >= sizeof(names) / sizeof(names[0]) || !names[dtype])
		return "unknown";
	return names[dtype];
}

const char *text_shape(const struct task_tensor *tensor, char ret_text[TEXT_SHAPE_BYTES])
{
	size_t used = 0;

	snprintf(ret_text, TEXT_SHAPE_BYTES, "scalar");
	for (unsigned int i = 0; i < tensor->ndims && used < TEXT_SHAPE_BYTES; i++)
		used += (size_t)snprintf(ret_text + used, TEXT_SHAPE_BYTES - used, "%s%" PRIu64,
					 i ? "x" : "", tensor->dims[i]);
	return ret_text;
}

const char *text_bytes(uint64_t bytes, char ret_text[TEXT_BYTES_BYTES])
{
	static const char *const units[] = {"bytes", "KiB", "MiB", "GiB", "TiB"};
	unsigned int unit = 0;

	while (bytes && bytes % 1024 == 0 && unit + 1 < sizeof(units) / sizeof(units[0])) {
		bytes /= 1024;
		unit++;
	}
	snprintf(ret_text, TEXT_BYTES_BYTES, "%" PRIu64 " %s", bytes, units[unit]);
	return ret_text;
}

const char *text_basename(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

void text_stem(const char *path, char *ret_stem, size_t size)
{
	char *dot;

	snprintf(ret_stem, size, "%s", text_basename(path));
	dot = strrchr(ret_stem, '.');
	if (dot && dot != ret_stem)
		*dot = '\0';
}
