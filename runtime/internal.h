/* SPDX-License-Identifier: MIT */
/*
 * The runtime's objects, as its own files see them.
 *
 * Locks, in this order: a card registry's, a connection's, an instance's, a firmware context's;
 * tree_lock and log_lock are innermost. The application's logger is called with none held.
 */
#ifndef TETHYS_RUNTIME_INTERNAL_H
#define TETHYS_RUNTIME_INTERNAL_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include <axruntime/axruntime.h>
#include <axruntime/tethys.h>

#include "common/reason.h"
#include "runtime/module_build.h"
#include "runtime/object.h"
#include "runtime/properties.h"

struct axrContext {
	struct axrObject base;
	pthread_mutex_t tree_lock; /* children lists and next pointers of all objects below */
	pthread_mutex_t log_lock;  /* the three below */
	axrLogLevel log_min;
	axr_logger_fn log_fn;
	void *log_arg;
	pthread_mutex_t list_lock; /* devices */
	axrDeviceInfo *devices;	   /* what axr_list_devices() gave out last */
};

struct axrProperties {
	struct axrObject base;
	struct propset set;
	char *listed; /* what axr_list_properties() gave out last */
};

struct axrModel {
	struct axrObject base;
	struct module module; /* immutable */
	struct propset properties;
};

extern const struct object_kind object_context, object_properties, object_connection, object_model,
	object_instance;

/* --- error.c: the last error of this thread --- */
void axr_error_clear(void);
/*
 * Record a failure: the lines of @why, then @fmt as the outermost line (NULL: none), logged to
 * @context (may be NULL) at error level. Return: @result.
 */
axrResult axr_error_set(struct axrContext *context, axrResult result, const struct reason *why,
			const char *fmt, ...) __attribute__((format(printf, 4, 5)));
/* What kind of failure @err (negative errno) of a load, a run or a connect is. */
axrResult axr_result_of(int err);

/* --- log.c --- */
void axr_log(struct axrContext *context, axrLogLevel level, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* --- properties.c --- */
struct axrProperties *axr_properties_of(struct axrObject *parent, const struct propset *set);

/* --- thread.c --- */
/* A thread that leaves all signals to the application's. Return: 0 or negative errno. */
int axr_thread_start(pthread_t *ret_thread, void *(*fn)(void *), void *arg);
uint64_t axr_now_ns(void);

#endif
