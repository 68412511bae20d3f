/* SPDX-License-Identifier: MIT */
#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "file.h"
#include "onnx_writer.h"

#define ONNX_IR_VERSION 8
#define ONNX_OPSET 13
#define PRODUCER "tethys"

/* Wire types of protobuf. */
enum { WIRE_VARINT = 0, WIRE_BYTES = 2, WIRE_FIXED32 = 5 };

/* Field numbers. Source: onnx.proto3 of ONNX 1.17. */
enum { MODEL_IR_VERSION = 1, MODEL_PRODUCER = 2, MODEL_DOC = 6, MODEL_GRAPH = 7, MODEL_OPSETS = 8 };
enum { OPSET_VERSION = 2 };
enum { GRAPH_NODES = 1, GRAPH_NAME = 2, GRAPH_WEIGHTS = 5, GRAPH_INPUTS = 11, GRAPH_OUTPUTS = 12 };
enum { NODE_INPUTS = 1, NODE_OUTPUTS = 2, NODE_NAME = 3, NODE_OP = 4, NODE_ATTRS = 5 };
enum { ATTR_NAME = 1, ATTR_FLOAT = 2, ATTR_INT = 3, ATTR_INTS = 8, ATTR_TYPE = 20 };
enum { ATTR_TYPE_FLOAT = 1, ATTR_TYPE_INT = 2, ATTR_TYPE_INTS = 7 };
enum { TENSOR_DIMS = 1, TENSOR_TYPE = 2, TENSOR_NAME = 8, TENSOR_RAW = 9 };
enum { TYPE_FLOAT = 1 };
enum { VALUE_NAME = 1, VALUE_TYPE = 2, TYPE_TENSOR = 1, TENSOR_ELEM = 1, TENSOR_SHAPE = 2 };
enum { SHAPE_DIM = 1, DIM_VALUE = 1 };

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "raw_data is little-endian");

struct buffer {
	uint8_t *data;
	size_t used, room;
	bool failed; /* out of memory: what it holds is of no use */
};

struct onnx_writer {
	struct buffer graph;
	struct buffer node; /* the open one, without its tag and length */
	bool node_open;
	struct buffer model; /* all but the graph */
};

static void buffer_deinit(struct buffer *buffer)
{
	free(buffer->data);
	*buffer = (struct buffer){0};
}

static bool buffer_reserve(struct buffer *buffer, size_t more)
{
	size_t need, room;
	uint8_t *data;

	if (buffer->failed || __builtin_add_overflow(buffer->used, more, &need))
		return false;
	if (need <= buffer->room)
		return true;
	room = need < SIZE_MAX / 2 ? need * 2 : need;
	data = realloc(buffer->data, room);
	if (!data)
		return false;
	buffer->data = data;
	buffer->room = room;
	return true;
}

static void put_raw(struct buffer *buffer, const void *data, size_t bytes)
{
	if (!buffer_reserve(buffer, bytes)) {
		buffer->failed = true;
		return;
	}
	if (bytes)
		memcpy(buffer->data + buffer->used, data, bytes);
	buffer->used += bytes;
}

/* Seven bits a byte, low ones first, the top bit says that more follow. */
static void put_varint(struct buffer *buffer, uint64_t value)
{
	uint8_t bytes[10];
	size_t count = 0;

	for (; value > 0x7f; value >>= 7)
		bytes[count++] = 0x80 | (value & 0x7f);
	bytes[count++] = value;
	put_raw(buffer, bytes, count);
}

static void put_tag(struct buffer *buffer, unsigned int field, unsigned int wire)
{
	put_varint(buffer, field << 3 | wire);
}

static void put_int(struct buffer *buffer, unsigned int field, int64_t value)
{
	put_tag(buffer, field, WIRE_VARINT);
	put_varint(buffer, (uint64_t)value);
}

static void put_float(struct buffer *buffer, unsigned int field, float value)
{
	put_tag(buffer, field, WIRE_FIXED32);
	put_raw(buffer, &value, sizeof(value));
}

static void put_bytes(struct buffer *buffer, unsigned int field, const void *data, size_t bytes)
{
	put_tag(buffer, field, WIRE_BYTES);
	put_varint(buffer, bytes);
	put_raw(buffer, data, bytes);
}

static void put_string(struct buffer *buffer, unsigned int field, const char *text)
{
	put_bytes(buffer, field, text, strlen(text));
}

/* @message is of no use afterwards. */
static void put_message(struct buffer *buffer, unsigned int field, struct buffer *message)
{
	put_bytes(buffer, field, message->data, message->used);
	buffer->failed |= message->failed;
	buffer_deinit(message);
}

int onnx_writer_create(const char *graph_name, const char *doc, struct onnx_writer **ret_writer)
{
	struct onnx_writer *writer = calloc(1, sizeof(*writer));
	struct buffer opset = {0};

	if (!writer)
		return -ENOMEM;
	put_int(&writer->model, MODEL_IR_VERSION, ONNX_IR_VERSION);
	put_string(&writer->model, MODEL_PRODUCER, PRODUCER);
	put_string(&writer->model, MODEL_DOC, doc);
	put_int(&opset, OPSET_VERSION, ONNX_OPSET);
	put_message(&writer->model, MODEL_OPSETS, &opset);
	put_string(&writer->graph, GRAPH_NAME, graph_name);
	*ret_writer = writer;
	return 0;
}

void onnx_writer_destroy(struct onnx_writer *writer)
{
	if (!writer)
		return;
	buffer_deinit(&writer->graph);
	buffer_deinit(&writer->node);
	buffer_deinit(&writer->model);
	free(writer);
}

static void close_node(struct onnx_writer *writer)
{
	if (writer->node_open)
		put_message(&writer->graph, GRAPH_NODES, &writer->node);
	writer->node_open = false;
}

static void put_value_info(struct onnx_writer *writer, unsigned int field, const char *name,
			   const int64_t *dims, size_t ndims)
{
	struct buffer shape = {0}, tensor = {0}, type = {0}, value = {0};

	close_node(writer);
	for (size_t i = 0; i < ndims; i++) {
		struct buffer dim = {0};

		put_int(&dim, DIM_VALUE, dims[i]);
		put_message(&shape, SHAPE_DIM, &dim);
	}
	put_int(&tensor, TENSOR_ELEM, TYPE_FLOAT);
	put_message(&tensor, TENSOR_SHAPE, &shape);
	put_message(&type, TYPE_TENSOR, &tensor);
	put_string(&value, VALUE_NAME, name);
	put_message(&value, VALUE_TYPE, &type);
	put_message(&writer->graph, field, &value);
}

void onnx_writer_input(struct onnx_writer *writer, const char *name, const int64_t *dims,
		       size_t ndims)
{
	put_value_info(writer, GRAPH_INPUTS, name, dims, ndims);
}

void onnx_writer_output(struct onnx_writer *writer, const char *name, const int64_t *dims,
			size_t ndims)
{
	put_value_info(writer, GRAPH_OUTPUTS, name, dims, ndims);
}

/* The values go straight into the graph: weights are too large to copy once more. */
static void put_weights(struct onnx_writer *writer, const char *name, int type, const int64_t *dims,
			size_t ndims, const void *values, size_t bytes)
{
	struct buffer head = {0};

	close_node(writer);
	for (size_t i = 0; i < ndims; i++)
		put_int(&head, TENSOR_DIMS, dims[i]);
	put_int(&head, TENSOR_TYPE, type);
	put_string(&head, TENSOR_NAME, name);
	put_tag(&head, TENSOR_RAW, WIRE_BYTES);
	put_varint(&head, bytes);
	put_tag(&writer->graph, GRAPH_WEIGHTS, WIRE_BYTES);
	put_varint(&writer->graph, head.used + bytes);
	put_raw(&writer->graph, head.data, head.used);
	put_raw(&writer->graph, values, bytes);
	writer->graph.failed |= head.failed;
	buffer_deinit(&head);
}

void onnx_writer_floats(struct onnx_writer *writer, const char *name, const int64_t *dims,
			size_t ndims, const float *values)
{
	size_t bytes = sizeof(*values);

	for (size_t i = 0; i < ndims; i++)
		bytes *= dims[i];
	put_weights(writer, name, TYPE_FLOAT, dims, ndims, values, bytes);
}

void onnx_writer_node(struct onnx_writer *writer, const char *op, const char *name,
		      const char *const *inputs, const char *output)
{
	close_node(writer);
	writer->node_open = true;
	for (; *inputs; inputs++)
		put_string(&writer->node, NODE_INPUTS, *inputs);
	put_string(&writer->node, NODE_OUTPUTS, output);
	put_string(&writer->node, NODE_NAME, name);
	put_string(&writer->node, NODE_OP, op);
}

void onnx_writer_attr_int(struct onnx_writer *writer, const char *name, int64_t value)
{
	struct buffer attr = {0};

	put_string(&attr, ATTR_NAME, name);
	put_int(&attr, ATTR_INT, value);
	put_int(&attr, ATTR_TYPE, ATTR_TYPE_INT);
	put_message(&writer->node, NODE_ATTRS, &attr);
}

void onnx_writer_attr_float(struct onnx_writer *writer, const char *name, float value)
{
	struct buffer attr = {0};

	put_string(&attr, ATTR_NAME, name);
	put_float(&attr, ATTR_FLOAT, value);
	put_int(&attr, ATTR_TYPE, ATTR_TYPE_FLOAT);
	put_message(&writer->node, NODE_ATTRS, &attr);
}

void onnx_writer_attr_ints(struct onnx_writer *writer, const char *name, const int64_t *values,
			   size_t count)
{
	struct buffer attr = {0};

	put_string(&attr, ATTR_NAME, name);
	for (size_t i = 0; i < count; i++)
		put_int(&attr, ATTR_INTS, values[i]);
	put_int(&attr, ATTR_TYPE, ATTR_TYPE_INTS);
	put_message(&writer->node, NODE_ATTRS, &attr);
}

int onnx_writer_save(struct onnx_writer *writer, const char *path, struct reason *why)
{
	struct task_span spans[2];

	close_node(writer);
	put_tag(&writer->model, MODEL_GRAPH, WIRE_BYTES);
	put_varint(&writer->model, writer->graph.used);
	if (writer->model.failed || writer->graph.failed)
		return reason_add(why, -ENOMEM, "%s: out of memory", path);
	spans[0] = (struct task_span){writer->model.data, writer->model.used};
	spans[1] = (struct task_span){writer->graph.data, writer->graph.used};
	return task_file_write(path, spans, 2, why);
}
