/* SPDX-License-Identifier: MIT */
#include <stdarg.h>
#include <stdio.h>

#include "runtime/internal.h"

void axr_set_logger(axrContext *context, axrLogLevel min_level, axr_logger_fn fn, void *arg)
{
	if (!context)
		return;
	pthread_mutex_lock(&context->log_lock);
	context->log_min = min_level;
	context->log_fn = fn;
	context->log_arg = arg;
	pthread_mutex_unlock(&context->log_lock);
}

/*
 * The logger runs outside the lock: it may call the API, and it may need a lock of its own (an
 * interpreter's) that a thread waiting here holds.
 */
void axr_log(struct axrContext *context, axrLogLevel level, const char *fmt, ...)
{
	char text[2 * REASON_BYTES];
	axr_logger_fn fn = NULL;
	void *arg = NULL;
	va_list ap;

	if (!context)
		return;
	pthread_mutex_lock(&context->log_lock);
	if (level >= context->log_min) {
		fn = context->log_fn;
		arg = context->log_arg;
	}
	pthread_mutex_unlock(&context->log_lock);
	if (!fn)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	fn(arg, level, text);
}
