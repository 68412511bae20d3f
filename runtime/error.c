/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "runtime/internal.h"

static _Thread_local struct {
	axrResult result;
	char text[2 * REASON_BYTES];
} last;

void axr_error_clear(void)
{
	last.result = AXR_SUCCESS;
	last.text[0] = 0;
}

axrResult axr_error_set(struct axrContext *context, axrResult result, const struct reason *why,
			const char *fmt, ...)
{
	size_t used;
	va_list ap;

	last.result = result;
	snprintf(last.text, sizeof(last.text), "%s", why ? why->text : "");
	used = strlen(last.text);
	if (fmt) {
		if (used)
			last.text[used++] = '\n';
		va_start(ap, fmt);
		vsnprintf(last.text + used, sizeof(last.text) - used, fmt, ap);
		va_end(ap);
	}
	if (!last.text[0])
		snprintf(last.text, sizeof(last.text), "%s", axr_error_string(result));
	axr_log(context, AXR_LOG_ERROR, "%s", last.text);
	return result;
}

axrResult axr_result_of(int err)
{
	switch (-err) {
	case 0:
		return AXR_SUCCESS;
	case EINVAL:
		return AXR_ERROR_INVALID_ARGUMENT;
	case EBUSY:
		return AXR_ERROR_DEVICE_IN_USE;
	case EPROTO:
		return AXR_ERROR_INCOMPATIBLE_DEVICE;
	case ENODEV:
	case ENOENT:
	case ENXIO:
	case EACCES:
	case EPERM:
	case ECONNREFUSED:
	case ECONNRESET:
	case EPIPE:
		return AXR_ERROR_CONNECTION_ERROR;
	case ENOTSUP:
		return AXR_ERROR_NOT_IMPLEMENTED;
	case ENOMEM:
		return AXR_ERROR_INTERNAL_ERROR;
	case ENOTUNIQ:
		return AXR_ERROR_INVALID_CONFIGURATION;
	default:
		return AXR_ERROR_RUNTIME_ERROR;
	}
}

axrResult axr_last_error(const axrObject *object)
{
	(void)object;
	return last.result;
}

const char *axr_last_error_string(const axrObject *object)
{
	(void)object;
	return last.text;
}

const char *axr_error_string(axrResult result)
{
	static const char *const names[] = {
		[AXR_SUCCESS] = "success",
		[AXR_ERROR_RUNTIME_ERROR] = "runtime error",
		[AXR_ERROR_VALUE_ERROR] = "value error",
		[AXR_ERROR_INVALID_ARGUMENT] = "invalid argument",
		[AXR_ERROR_CONNECTION_ERROR] = "connection error",
		[AXR_ERROR_DEVICE_IN_USE] = "device in use",
		[AXR_ERROR_INCOMPATIBLE_DEVICE] = "incompatible device",
		[AXR_ERROR_INVALID_CONFIGURATION] = "invalid configuration",
		[AXR_ERROR_NOT_IMPLEMENTED] = "not implemented",
		[AXR_ERROR_INTERNAL_ERROR] = "internal error",
		[AXR_ERROR_PENDING_ERROR] = "pending",
		[AXR_ERROR_UNKNOWN_ERROR] = "unknown error",
	};
	size_t n = (size_t)result;

	return n < sizeof(names) / sizeof(names[0]) ? names[n] : "unknown error";
}
