/* SPDX-License-Identifier: MIT */
/*
 * ONNX Runtime, loaded when first needed and shared by everything in this process.
 *
 * All who open sessions (the card's engine, the measurements' direct peer) do it through this
 * file, so that they compare like with like.
 */
#ifndef TETHYS_COMMON_ORT_H
#define TETHYS_COMMON_ORT_H

#include <stddef.h>

#include <onnxruntime_c_api.h>

#include "common/reason.h"

/**
 * ort_get() - ONNX Runtime's functions and its environment
 * @ret_api: valid for the life of the process
 * @ret_env: the process's only one; not the caller's to release
 * @why: set on failure; may be NULL
 *
 * The first call loads the library, about 40 MB resident, and takes some 150 ms. Debian's library
 * prints over a thousand lines on stderr on first use; the caller's stderr never sees them.
 *
 * Context: any thread, may wait.
 * Return: 0; -ENOENT no library; -ENOTSUP it is older than our headers; -EIO it failed to start
 * (tried again by the next call).
 */
int ort_get(const OrtApi **ret_api, OrtEnv **ret_env, struct reason *why);

/**
 * ort_session_options() - the options every session of ours is opened with
 * @threads: threads a run computes with, the calling one included; > 0
 * @ret_options: release with ReleaseSessionOptions()
 *
 * Exactly @threads, also where the machine has fewer CPUs; nodes one after the other; all else is
 * ONNX Runtime's default, graph optimisation and spinning included.
 *
 * Return: 0; what ort_get() says; -EIO.
 */
int ort_session_options(unsigned int threads, OrtSessionOptions **ret_options, struct reason *why);

/**
 * ort_open_session() - open a network with ort_session_options()
 * @model: ONNX ModelProto, only used during the call; trusted (see onnx_scan.h for one that isn't)
 * @ret_session: release with ReleaseSession()
 *
 * Return: 0; what ort_get() says; -EIO; -ENOTSUP ONNX Runtime refuses the network.
 */
int ort_open_session(const void *model, size_t bytes, unsigned int threads,
		     OrtSession **ret_session, struct reason *why);

/**
 * ort_status() - an OrtStatus as a reason
 * @status: taken over; NULL is success
 * @err: negative errno for failure
 * @what: what was tried, for the line "@what: message"
 *
 * Only the first line of the message, without what a terminal would act on.
 *
 * Return: 0 for NULL, else @err.
 */
int ort_status(const OrtApi *api, OrtStatus *status, int err, const char *what, struct reason *why);

#endif
