/* SPDX-License-Identifier: MIT */
/*
 * The null engine: output i is input i, cut or filled with zeros. For measuring all but a network.
 */
#include <endian.h>
#include <errno.h>
#include <stdlib.h>

#include "card/engine/engine.h"

struct engine_session {
	struct engine_gate gate;
	uint32_t inputs, outputs;
};

static int null_load(struct engine *engine, const struct engine_module *module, unsigned int cores,
		     struct engine_session **ret_session, struct reason *why)
{
	struct engine_session *session = calloc(1, sizeof(*session));

	(void)engine, (void)cores;
	if (!session)
		return reason_add(why, -ENOMEM, "no memory for the session");
	engine_gate_init(&session->gate);
	session->inputs = le32toh(module->header->inputs);
	session->outputs = le32toh(module->header->outputs);
	*ret_session = session;
	return 0;
}

static void null_unload(struct engine_session *session)
{
	engine_gate_deinit(&session->gate);
	free(session);
}

static int null_run(struct engine_session *session, const struct engine_buffer *inputs,
		    const struct engine_buffer *outputs, struct reason *why)
{
	int err = 0;
	uint32_t i;

	for (i = 0; !err && i < session->outputs; i++) {
		size_t bytes = i < session->inputs ? inputs[i].bytes : 0;

		if (bytes > outputs[i].bytes)
			bytes = outputs[i].bytes;
		if (bytes)
			err = engine_gate_put(&session->gate, outputs[i].data, inputs[i].data,
					      bytes);
		if (!err)
			err = engine_gate_put(&session->gate, (char *)outputs[i].data + bytes, NULL,
					      outputs[i].bytes - bytes);
	}
	return err ? reason_add(why, err, "canceled") : 0;
}

static void null_arm(struct engine_session *session)
{
	engine_gate_set(&session->gate, false);
}

static void null_cancel(struct engine_session *session)
{
	engine_gate_set(&session->gate, true);
}

const struct engine_ops engine_null = {
	.name = "null",
	.load = null_load,
	.unload = null_unload,
	.arm = null_arm,
	.run = null_run,
	.cancel = null_cancel,
};
