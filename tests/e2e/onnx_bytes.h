/* SPDX-License-Identifier: MIT */
/*
 * Tiny networks, byte by byte: one node from "x" to "y", float32 1x4.
 */
#ifndef TETHYS_TESTS_E2E_ONNX_BYTES_H
#define TETHYS_TESTS_E2E_ONNX_BYTES_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct onnx_bytes {
	uint8_t data[512];
	size_t bytes;
};

/* Fields longer than 127 bytes are not needed here. */
static inline void onnx_field(struct onnx_bytes *to, unsigned int field, const void *data,
			      size_t bytes)
{
	to->data[to->bytes++] = (uint8_t)(field << 3 | 2);
	to->data[to->bytes++] = (uint8_t)bytes;
	memcpy(to->data + to->bytes, data, bytes);
	to->bytes += bytes;
}

static inline void onnx_text(struct onnx_bytes *to, unsigned int field, const char *text)
{
	onnx_field(to, field, text, strlen(text));
}

static inline void onnx_number(struct onnx_bytes *to, unsigned int field, uint8_t value)
{
	to->data[to->bytes++] = (uint8_t)(field << 3);
	to->data[to->bytes++] = value;
}

static inline void onnx_value_info(struct onnx_bytes *to, unsigned int field, const char *name)
{
	/* TypeProto { tensor_type { elem_type 1, shape { dim { 1 } dim { 4 } } } } */
	static const uint8_t type[] = {0x0a, 12,   0x08, 1,    0x12, 8,	   0x0a,
				       2,    0x08, 1,	 0x0a, 2,    0x08, 4};
	struct onnx_bytes info = {.bytes = 0};

	onnx_text(&info, 1, name);
	onnx_field(&info, 2, type, sizeof(type));
	onnx_field(to, field, info.data, info.bytes);
}

/* @op: "Relu" works, "NoSuchOp" does not. */
static inline void onnx_one_node(const char *op, struct onnx_bytes *ret_model)
{
	struct onnx_bytes node = {.bytes = 0}, graph = {.bytes = 0}, opset = {.bytes = 0};

	onnx_text(&node, 1, "x");
	onnx_text(&node, 2, "y");
	onnx_text(&node, 4, op);
	onnx_field(&graph, 1, node.data, node.bytes);
	onnx_text(&graph, 2, "g");
	onnx_value_info(&graph, 11, "x");
	onnx_value_info(&graph, 12, "y");
	onnx_number(&opset, 2, 13);
	ret_model->bytes = 0;
	onnx_number(ret_model, 1, 8); /* ir_version */
	onnx_field(ret_model, 7, graph.data, graph.bytes);
	onnx_field(ret_model, 8, opset.data, opset.bytes);
}

#endif
