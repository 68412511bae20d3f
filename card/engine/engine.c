/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "card/engine/engine.h"

/* Whoever shuts the gate waits for at most this: a fraction of a millisecond. */
#define GATE_PIECE_BYTES ((size_t)1 << 20)

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

void engine_gate_init(struct engine_gate *gate)
{
	pthread_mutex_init(&gate->lock, NULL);
	gate->shut = false;
}

void engine_gate_deinit(struct engine_gate *gate)
{
	pthread_mutex_destroy(&gate->lock);
}

void engine_gate_set(struct engine_gate *gate, bool shut)
{
	pthread_mutex_lock(&gate->lock);
	gate->shut = shut;
	pthread_mutex_unlock(&gate->lock);
}

bool engine_gate_is_shut(struct engine_gate *gate)
{
	bool shut;

	pthread_mutex_lock(&gate->lock);
	shut = gate->shut;
	pthread_mutex_unlock(&gate->lock);
	return shut;
}

static int put_piece(struct engine_gate *gate, char *dst, const char *src, size_t bytes)
{
	int ret = 0;

	pthread_mutex_lock(&gate->lock);
	if (gate->shut)
		ret = -ECANCELED;
	else if (src)
		memmove(dst, src, bytes);
	else
		memset(dst, 0, bytes);
	pthread_mutex_unlock(&gate->lock);
	return ret;
}

int engine_gate_put(struct engine_gate *gate, void *dst, const void *src, size_t bytes)
{
	size_t done, n;
	int ret = 0;

	for (done = 0; !ret && done < bytes; done += n) {
		n = bytes - done < GATE_PIECE_BYTES ? bytes - done : GATE_PIECE_BYTES;
		ret = put_piece(gate, (char *)dst + done, src ? (const char *)src + done : NULL, n);
	}
	return ret;
}
