/* SPDX-License-Identifier: MIT */
/*
 * The null engine: output i is input i, cut or filled with zeros. For measuring all but a network.
 */
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "card/engine/engine.h"

struct engine {
	char unused;
};

struct engine_session {
	uint32_t inputs, outputs;
};

static int null_create(struct engine **ret_engine, struct reason *why)
{
	struct engine *engine = calloc(1, sizeof(*engine));

	if (!engine)
		return reason_add(why, -ENOMEM, "no memory for the engine");
	*ret_engine = engine;
	return 0;
}

static void null_destroy(struct engine *engine)
{
	free(engine);
}

static int null_load(struct engine *engine, const struct engine_module *module, unsigned int cores,
		     struct engine_session **ret_session, struct reason *why)
{
	struct engine_session *session = calloc(1, sizeof(*session));

	(void)engine, (void)cores;
	if (!session)
		return reason_add(why, -ENOMEM, "no memory for the session");
	session->inputs = le32toh(module->header->inputs);
	session->outputs = le32toh(module->header->outputs);
	*ret_session = session;
	return 0;
}

static void null_unload(struct engine_session *session)
{
	free(session);
}

static int null_run(struct engine_session *session, const struct engine_buffer *inputs,
		    const struct engine_buffer *outputs, struct reason *why)
{
	uint32_t i;

	(void)why;
	for (i = 0; i < session->outputs; i++) {
		size_t bytes = i < session->inputs ? inputs[i].bytes : 0;

		if (bytes > outputs[i].bytes)
			bytes = outputs[i].bytes;
		if (bytes) /* the host may name overlapping tensors */
			memmove(outputs[i].data, inputs[i].data, bytes);
		memset((char *)outputs[i].data + bytes, 0, outputs[i].bytes - bytes);
	}
	return 0;
}

static void null_nothing(struct engine_session *session)
{
	(void)session; /* a copy ends soon enough by itself */
}

const struct engine_ops engine_null = {
	.name = "null",
	.create = null_create,
	.destroy = null_destroy,
	.load = null_load,
	.unload = null_unload,
	.arm = null_nothing,
	.run = null_run,
	.cancel = null_nothing,
};
