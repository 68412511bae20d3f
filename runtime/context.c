/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <stdlib.h>

#include "runtime/abi.h"
#include "runtime/internal.h"

static void context_release(struct axrObject *object)
{
	struct axrContext *context = (struct axrContext *)object;

	pthread_mutex_destroy(&context->tree_lock);
	pthread_mutex_destroy(&context->log_lock);
	pthread_mutex_destroy(&context->list_lock);
	free(context->devices);
}

const struct object_kind object_context = {
	.name = "context",
	.bytes = sizeof(struct axrContext),
	.release = context_release,
};

axrContext *axr_create_context(void)
{
	struct axrContext *context = object_create(&object_context, NULL);

	if (!context) { /* callers rely on "never NULL" and would crash without a word */
		fputs("axruntime: out of memory\n", stderr);
		abort();
	}
	pthread_mutex_init(&context->tree_lock, NULL);
	pthread_mutex_init(&context->log_lock, NULL);
	pthread_mutex_init(&context->list_lock, NULL);
	context->log_min = AXR_LOG_WARNING;
	return context;
}

unsigned int axr_api_version(void)
{
	return AXR_API_VERSION;
}

const char *tethys_version_string(void)
{
	return TETHYS_VERSION;
}

const char *axr_board_type_string(axrBoardType type)
{
	static const char *const names[] = {
		[AXR_BOARD_METIS_UNUSED1] = "alpha_pcie", [AXR_BOARD_METIS_UNUSED2] = "alpha_m2",
		[AXR_BOARD_METIS_OMEGA_PCIE] = "pcie",	  [AXR_BOARD_METIS_OMEGA_M2] = "m2",
		[AXR_BOARD_METIS_UNUSED3] = "devboard",	  [AXR_BOARD_METIS_UNUSED4] = "sbc",
	};
	size_t n = (size_t)type;

	return n < sizeof(names) / sizeof(names[0]) ? names[n] : "unknown";
}
