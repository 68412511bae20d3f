/* SPDX-License-Identifier: MIT */
/*
 * Inputs and outputs of an ONNX model, read without parsing the whole of it.
 */
#ifndef TETHYS_RUNTIME_ONNX_INFO_H
#define TETHYS_RUNTIME_ONNX_INFO_H

#include <stddef.h>
#include <stdint.h>

#include <tethys/hw/fwproto.h>
#include <tethys/hw/module.h>

#include "common/reason.h"

/* Bytes of a model, wherever they are. */
struct onnx_source {
	void *ctx;
	uint64_t bytes;
	/* Exactly @len bytes from @offset on; the range is within @bytes. Return: 0; negative errno. */
	int (*read)(void *ctx, uint64_t offset, void *buf, size_t len);
};

struct onnx_info {
	unsigned int inputs;
	unsigned int outputs;
	/* Inputs, then outputs, in the model's order, as a module has them. */
	struct metis_module_tensor tensors[METIS_FW_TENSORS_MAX];
};

/**
 * onnx_info_read() - what goes in and out of a model
 * @ret_info: initializers are not counted as inputs
 *
 * Every length is checked against the message it lies in; what is allocated has fixed limits.
 *
 * Return: 0; -EINVAL no ONNX model, or damaged; -ENOTSUP names a tensor whose shape is not fixed
 * or whose type a module can't hold, or weights outside the file; -ENOMEM; what @source->read
 * gave.
 */
int onnx_info_read(const struct onnx_source *source, struct onnx_info *ret_info,
		   struct reason *why);

#endif
