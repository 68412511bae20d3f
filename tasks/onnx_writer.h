/* SPDX-License-Identifier: MIT */
/*
 * Writes ONNX files (opset 13, IR version 8): just enough protobuf for our own networks.
 *
 * A node comes after those whose outputs it uses; all else may come in any order. Running out of
 * memory is remembered and reported by onnx_writer_save().
 */
#ifndef TETHYS_TASKS_ONNX_WRITER_H
#define TETHYS_TASKS_ONNX_WRITER_H

#include <stddef.h>
#include <stdint.h>

#include "common/reason.h"

struct onnx_writer;

/**
 * onnx_writer_create() - an empty network
 * @graph_name: name of the graph
 * @doc: description for people, in the file; "" for none
 *
 * Return: 0; -ENOMEM.
 */
int onnx_writer_create(const char *graph_name, const char *doc, struct onnx_writer **ret_writer);
void onnx_writer_destroy(struct onnx_writer *writer);

/* float32 tensors of fixed shape: @dims is [@ndims], row-major. */
void onnx_writer_input(struct onnx_writer *writer, const char *name, const int64_t *dims,
		       size_t ndims);
void onnx_writer_output(struct onnx_writer *writer, const char *name, const int64_t *dims,
			size_t ndims);

/* Weights. @values: as many as the product of @dims, copied. */
void onnx_writer_floats(struct onnx_writer *writer, const char *name, const int64_t *dims,
			size_t ndims, const float *values);

/*
 * A node is open from _node() to the next call that is none of _attr_*(). @inputs: NULL-terminated.
 */
void onnx_writer_node(struct onnx_writer *writer, const char *op, const char *name,
		      const char *const *inputs, const char *output);
void onnx_writer_attr_int(struct onnx_writer *writer, const char *name, int64_t value);
void onnx_writer_attr_float(struct onnx_writer *writer, const char *name, float value);
void onnx_writer_attr_ints(struct onnx_writer *writer, const char *name, const int64_t *values,
			   size_t count);

/**
 * onnx_writer_save() - write the file; replaced at once or not at all; the last call but _destroy()
 *
 * Return: 0; -ENOMEM, then or in a call before; -errno of the file.
 */
int onnx_writer_save(struct onnx_writer *writer, const char *path, struct reason *why);

#endif
