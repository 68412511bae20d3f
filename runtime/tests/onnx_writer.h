/* SPDX-License-Identifier: MIT */
/*
 * Just enough of the protobuf wire format to write small ONNX models by hand.
 */
#ifndef TETHYS_RUNTIME_TESTS_ONNX_WRITER_H
#define TETHYS_RUNTIME_TESTS_ONNX_WRITER_H

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct pb {
	size_t len;
	unsigned char data[65536];
};

static inline struct pb *pb_new(void)
{
	struct pb *pb = calloc(1, sizeof(*pb));

	if (!pb)
		abort();
	return pb;
}

static inline void pb_raw(struct pb *pb, const void *data, size_t len)
{
	if (len > sizeof(pb->data) - pb->len)
		abort();
	memcpy(pb->data + pb->len, data, len);
	pb->len += len;
}

static inline void pb_varint(struct pb *pb, uint64_t value)
{
	unsigned char byte;

	do {
		byte = (value & 0x7f) | (value > 0x7f ? 0x80 : 0);
		pb_raw(pb, &byte, 1);
		value >>= 7;
	} while (value);
}

static inline void pb_uint(struct pb *pb, unsigned int field, uint64_t value)
{
	pb_varint(pb, field << 3);
	pb_varint(pb, value);
}

static inline void pb_bytes(struct pb *pb, unsigned int field, const void *data, size_t len)
{
	pb_varint(pb, field << 3 | 2);
	pb_varint(pb, len);
	pb_raw(pb, data, len);
}

static inline void pb_text(struct pb *pb, unsigned int field, const char *text)
{
	pb_bytes(pb, field, text, strlen(text));
}

/* Append @child as a message and free it. */
static inline void pb_message(struct pb *pb, unsigned int field, struct pb *child)
{
	pb_bytes(pb, field, child->data, child->len);
	free(child);
}

/* One dimension: a number, "" for unknown, or the name of a symbol. */
static inline struct pb *onnx_dim(const char *dim)
{
	struct pb *pb = pb_new();

	if (*dim >= '0' && *dim <= '9')
		pb_uint(pb, 1, strtoull(dim, NULL, 10));
	else if (*dim)
		pb_text(pb, 2, dim);
	return pb;
}

/* ValueInfoProto; @dims as in "1,3,batch,,8"; NULL: no shape; "-": no dimensions. */
static inline struct pb *onnx_value(const char *name, unsigned int dtype, const char *dims)
{
	struct pb *value = pb_new(), *type = pb_new(), *tensor = pb_new(), *shape;
	char copy[256], *at = copy, *dim;

	pb_uint(tensor, 1, dtype);
	if (dims) {
		shape = pb_new();
		snprintf(copy, sizeof(copy), "%s", dims);
		if (!strcmp(dims, "-"))
			at = NULL;
		while ((dim = strsep(&at, ",")))
			pb_message(shape, 1, onnx_dim(dim));
		pb_message(tensor, 2, shape);
	}
	pb_message(type, 1, tensor);
	pb_text(value, 1, name);
	pb_message(value, 2, type);
	return value;
}

/* NodeProto with one input and one output. */
static inline struct pb *onnx_node(const char *op, const char *input, const char *output)
{
	struct pb *node = pb_new();

	pb_text(node, 1, input);
	pb_text(node, 2, output);
	pb_text(node, 3, output);
	pb_text(node, 4, op);
	return node;
}

/* TensorProto of floats. */
static inline struct pb *onnx_weights(const char *name, const float *values, size_t count)
{
	struct pb *tensor = pb_new();

	pb_uint(tensor, 1, count);
	pb_uint(tensor, 2, 1);
	pb_text(tensor, 8, name);
	pb_bytes(tensor, 9, values, count * sizeof(*values));
	return tensor;
}

/* ModelProto around @graph, which is freed. */
static inline struct pb *onnx_model(struct pb *graph)
{
	struct pb *model = pb_new(), *opset = pb_new();

	pb_uint(model, 1, 8);
	pb_text(graph, 2, "g");
	pb_message(model, 7, graph);
	pb_text(opset, 1, "");
	pb_uint(opset, 2, 13);
	pb_message(model, 8, opset);
	return model;
}

/* y = op(x), one tensor of float32 in and out. */
static inline struct pb *onnx_unary(const char *op, const char *dims)
{
	struct pb *graph = pb_new();

	pb_message(graph, 1, onnx_node(op, "x", "y"));
	pb_message(graph, 11, onnx_value("x", 1, dims));
	pb_message(graph, 12, onnx_value("y", 1, dims));
	return onnx_model(graph);
}

/* Write @model to @path and free it. */
static inline void onnx_save(struct pb *model, const char *path)
{
	FILE *file = fopen(path, "we");

	if (!file || fwrite(model->data, 1, model->len, file) != model->len || fclose(file))
		abort();
	free(model);
}

#endif
