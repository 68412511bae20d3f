/* SPDX-License-Identifier: MIT */
#include <stddef.h>
#include <string.h>

#include "card/engine/engine.h"

static const struct engine_ops *const engines[] = {&engine_onnx, &engine_null};

const struct engine_ops *engine_find(const char *name)
{
	size_t i;

	for (i = 0; i < sizeof(engines) / sizeof(engines[0]); i++) {
		if (!strcmp(engines[i]->name, name))
			return engines[i];
	}
	return NULL;
}
