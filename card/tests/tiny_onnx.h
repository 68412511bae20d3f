/* SPDX-License-Identifier: MIT */
/*
 * ONNX files of a few nodes, written byte by byte: tests need no other program and no weights.
 */
#ifndef TETHYS_CARD_TESTS_TINY_ONNX_H
#define TETHYS_CARD_TESTS_TINY_ONNX_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <tethys/hw/module.h>

/* A protobuf message under construction; small enough for the tests' networks. */
struct pb {
	uint8_t data[16384];
	size_t used;
};

static inline void pb_varint(struct pb *pb, uint64_t value)
{
	for (; value > 0x7f; value >>= 7)
		pb->data[pb->used++] = (uint8_t)(value | 0x80);
	pb->data[pb->used++] = (uint8_t)value;
}

static inline void pb_number(struct pb *pb, unsigned int field, uint64_t value)
{
	pb_varint(pb, field << 3);
	pb_varint(pb, value);
}

static inline void pb_bytes(struct pb *pb, unsigned int field, const void *data, size_t bytes)
{
	pb_varint(pb, field << 3 | 2);
	pb_varint(pb, bytes);
	memcpy(pb->data + pb->used, data, bytes);
	pb->used += bytes;
}

static inline void pb_text(struct pb *pb, unsigned int field, const char *text)
{
	pb_bytes(pb, field, text, strlen(text));
}

static inline void pb_message(struct pb *pb, unsigned int field, const struct pb *message)
{
	pb_bytes(pb, field, message->data, message->used);
}

struct tiny_tensor {
	const char *name;
	uint32_t dtype;
	uint32_t ndims;
	int64_t dims[4]; /* negative: the network takes any */
};

struct tiny_node {
	const char *op;
	const char *inputs[3], *outputs[2]; /* ended by NULL when fewer */
};

static inline void tiny_value_info(struct pb *graph, unsigned int field,
				   const struct tiny_tensor *tensor)
{
	static struct pb dim, shape, tensor_type, type, info;
	uint32_t i;

	shape.used = tensor_type.used = type.used = info.used = 0;
	for (i = 0; i < tensor->ndims; i++) {
		dim.used = 0;
		if (tensor->dims[i] >= 0)
			pb_number(&dim, 1, (uint64_t)tensor->dims[i]);
		else
			pb_text(&dim, 2, "n");
		pb_message(&shape, 1, &dim);
	}
	pb_number(&tensor_type, 1, tensor->dtype);
	pb_message(&tensor_type, 2, &shape);
	pb_message(&type, 1, &tensor_type);
	pb_text(&info, 1, tensor->name);
	pb_message(&info, 2, &type);
	pb_message(graph, field, &info);
}

static inline void tiny_node(struct pb *graph, const struct tiny_node *node)
{
	static struct pb message;
	unsigned int i;

	message.used = 0;
	for (i = 0; i < 3 && node->inputs[i]; i++)
		pb_text(&message, 1, node->inputs[i]);
	for (i = 0; i < 2 && node->outputs[i]; i++)
		pb_text(&message, 2, node->outputs[i]);
	pb_text(&message, 4, node->op);
	pb_message(graph, 1, &message);
}

/* IR 8, opset 13. */
static inline void tiny_model(struct pb *ret_model, const struct pb *graph)
{
	static struct pb opset;

	opset.used = ret_model->used = 0;
	pb_number(&opset, 2, 13);
	pb_number(ret_model, 1, 8);
	pb_message(ret_model, 8, &opset);
	pb_message(ret_model, 7, graph);
}

/* --- modules --- */

struct tiny_network {
	struct tiny_tensor inputs[3], outputs[2]; /* ended by a NULL name when fewer */
	struct tiny_node nodes[4];		  /* the same by op */
	unsigned int
		chain; /* up to 512; then this many MatMul(previous, x), the last one makes "y" */
};

static inline unsigned int tiny_count(const struct tiny_tensor *tensors, unsigned int max)
{
	unsigned int n = 0;

	while (n < max && tensors[n].name)
		n++;
	return n;
}

static inline void tiny_onnx(const struct tiny_network *net, struct pb *ret_model)
{
	static char names[512][8];
	static struct pb graph;
	unsigned int i;

	graph.used = 0;
	for (i = 0; i < 4 && net->nodes[i].op; i++)
		tiny_node(&graph, &net->nodes[i]);
	for (i = 0; i < net->chain; i++) {
		struct tiny_node node = {"MatMul", {i ? names[i - 1] : "x", "x"}, {names[i]}};

		names[i][0] = i + 1 < net->chain ? 't' : 'y';
		names[i][1] = i + 1 < net->chain ? (char)('A' + i / 26) : '\0';
		names[i][2] = (char)('A' + i % 26);
		names[i][3] = '\0';
		tiny_node(&graph, &node);
	}
	pb_text(&graph, 2, "tiny");
	for (i = 0; i < tiny_count(net->inputs, 3); i++)
		tiny_value_info(&graph, 11, &net->inputs[i]);
	for (i = 0; i < tiny_count(net->outputs, 2); i++)
		tiny_value_info(&graph, 12, &net->outputs[i]);
	tiny_model(ret_model, &graph);
}

/* The header's checksum made true again after a change. */
void tiny_module_seal(void *module, size_t bytes);

static inline uint64_t tiny_tensor_spec(struct metis_module_tensor *spec,
					const struct tiny_tensor *tensor)
{
	static const uint8_t element[] = {0, 4, 1, 1, 2, 2, 4, 8, 0, 1, 2, 8, 4, 8};
	uint64_t bytes = element[tensor->dtype];
	uint32_t i;

	memset(spec, 0, sizeof(*spec));
	strncpy(spec->name, tensor->name, sizeof(spec->name) - 1);
	spec->dtype = tensor->dtype;
	spec->ndims = tensor->ndims;
	for (i = 0; i < tensor->ndims; i++) {
		spec->dims[i] = (uint64_t)llabs(tensor->dims[i]);
		bytes *= spec->dims[i];
	}
	return spec->bytes = bytes;
}

/* A module around any payload, to be freed. Dimension -n of the network is n in the table. */
static inline struct metis_module *tiny_module(const struct tiny_network *net, const void *payload,
					       size_t payload_bytes, size_t *ret_bytes)
{
	unsigned int inputs = tiny_count(net->inputs, 3), outputs = tiny_count(net->outputs, 2), i;
	size_t table_end = sizeof(struct metis_module) +
			   (inputs + outputs) * sizeof(struct metis_module_tensor);
	size_t offset =
		(table_end + METIS_MODULE_ALIGN - 1) / METIS_MODULE_ALIGN * METIS_MODULE_ALIGN;
	struct metis_module *module = calloc(1, offset + payload_bytes);
	struct metis_module_tensor *table = (void *)(module + 1);

	module->magic = METIS_MODULE_MAGIC;
	module->version = METIS_MODULE_VERSION;
	module->kind = METIS_MODULE_ONNX;
	module->bytes = *ret_bytes = offset + payload_bytes;
	module->inputs = inputs;
	module->outputs = outputs;
	module->payload_offset = offset;
	module->payload_bytes = payload_bytes;
	strcpy(module->name, "tiny");
	for (i = 0; i < inputs; i++)
		tiny_tensor_spec(&table[i], &net->inputs[i]);
	for (i = 0; i < outputs; i++)
		tiny_tensor_spec(&table[inputs + i], &net->outputs[i]);
	memcpy((char *)module + offset, payload, payload_bytes);
	tiny_module_seal(module, *ret_bytes);
	return module;
}

/* Networks several tests use. */
#define TINY_F32(n, ...)        \
	{.name = (n),           \
	 .dtype = METIS_F32,    \
	 .dims = {__VA_ARGS__}, \
	 .ndims = sizeof((int64_t[]){__VA_ARGS__}) / 8}

/* y = max(a + b, 0) */
static const struct tiny_network tiny_add_relu = {
	.inputs = {TINY_F32("a", 1, 8), TINY_F32("b", 1, 8)},
	.outputs = {TINY_F32("y", 1, 8)},
	.nodes = {{"Add", {"a", "b"}, {"s"}}, {"Relu", {"s"}, {"y"}}},
};

#endif
