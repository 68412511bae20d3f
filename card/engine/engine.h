/* SPDX-License-Identifier: MIT */
/*
 * What executes a network inside the card. One small interface, one file per kind.
 *
 * Engines trust the table of a module no further than they checked it against the network itself.
 */
#ifndef TETHYS_CARD_ENGINE_ENGINE_H
#define TETHYS_CARD_ENGINE_ENGINE_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <tethys/hw/module.h>

#include "common/reason.h"

struct engine;	       /* one per card */
struct engine_session; /* one per loaded module */

/* A module that has passed card_module_check(); a private copy, not card memory. */
struct engine_module {
	const struct metis_module *header;
	const struct metis_module_tensor *inputs;  /* [header->inputs] */
	const struct metis_module_tensor *outputs; /* [header->outputs] */
	const void *payload;
	size_t payload_bytes;
};

struct engine_buffer {
	void *data; /* card memory: the host may change it at any time */
	size_t bytes;
};

struct engine_ops {
	const char *name;
	/* Both may be NULL: the engine keeps nothing of its own for a card. */
	int (*create)(struct engine **ret_engine, struct reason *why);
	void (*destroy)(struct engine *engine);
	/*
	 * @cores: 1-4, threads to use. @module's header and tables live as long as the session, its
	 * payload only during the call.
	 * Return: 0; -ENOTSUP network can't be executed; -EINVAL table and network differ; -ENOMEM.
	 */
	int (*load)(struct engine *engine, const struct engine_module *module, unsigned int cores,
		    struct engine_session **ret_session, struct reason *why);
	void (*unload)(struct engine_session *session);
	/*
	 * Counts and sizes are those of the module. Computes into private memory and puts the
	 * outputs through a struct engine_gate. Return: 0; -ECANCELED; -EIO.
	 */
	int (*run)(struct engine_session *session, const struct engine_buffer *inputs,
		   const struct engine_buffer *outputs, struct reason *why);
	/* Forget any cancel() so far; before each run, of which a session has one at a time. */
	void (*arm)(struct engine_session *session);
	/*
	 * End the run that arm() announced soon, also when it has not started; from any thread.
	 * When this is back the run writes to card memory no more, however late it notices.
	 */
	void (*cancel)(struct engine_session *session);
};

/*
 * The door between a run and its outputs in card memory, which a cancel shuts: after a reset they
 * may be another owner's.
 */
struct engine_gate {
	pthread_mutex_t lock; /* protects @shut; held over one piece of a copy */
	bool shut;
};

void engine_gate_init(struct engine_gate *gate); /* open */
void engine_gate_deinit(struct engine_gate *gate);
/* Returns when the piece under way, if any, has been copied. */
void engine_gate_set(struct engine_gate *gate, bool shut);
bool engine_gate_is_shut(struct engine_gate *gate);
/**
 * engine_gate_put() - copy to card memory while the gate is open
 * @src: may overlap @dst, which then holds anything; NULL: zeros
 *
 * Return: 0; -ECANCELED the gate was shut before the last byte.
 */
int engine_gate_put(struct engine_gate *gate, void *dst, const void *src, size_t bytes);

extern const struct engine_ops engine_onnx;
extern const struct engine_ops engine_null; /* copies inputs to outputs, for measuring */

/* By name; NULL when there is none. */
const struct engine_ops *engine_find(const char *name);

#endif
