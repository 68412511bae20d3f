/* SPDX-License-Identifier: MIT */
#include <xxhash.h>

#include "card/tests/tiny_onnx.h"

/* In one stroke and through the library, unlike the card's own. */
void tiny_module_seal(void *data, size_t bytes)
{
	struct metis_module *module = data;

	module->checksum = 0;
	module->checksum = XXH3_64bits(data, bytes);
}
