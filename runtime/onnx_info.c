/* SPDX-License-Identifier: MIT */
/*
 * A scanner of the protobuf wire format that steps over what it needs no part of: the weights of
 * a model are never read. Field numbers are those of onnx.proto (ONNX 1.x, IR version 3-10).
 */
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <xxhash.h>

#include "runtime/onnx_info.h"

#define WINDOW_BYTES 16384u
#define NAME_HASHED_BYTES 1024u /* longer names are told apart by these and their length */
#define INPUTS_MAX 65536u	/* as listed in the graph, initializers included */
#define INITIALIZERS_MAX (1u << 20)

enum wire_type {
	WIRE_VARINT = 0,
	WIRE_FIXED64 = 1,
	WIRE_BYTES = 2,
	WIRE_FIXED32 = 5,
};

enum onnx_field {
	MODEL_GRAPH = 7,
	GRAPH_INITIALIZER = 5,
	GRAPH_INPUT = 11,
	GRAPH_OUTPUT = 12,
	GRAPH_SPARSE_INITIALIZER = 15,
	SPARSE_VALUES = 1,
	TENSOR_NAME = 8,
	TENSOR_DATA_LOCATION = 14,
	VALUE_NAME = 1,
	VALUE_TYPE = 2,
	TYPE_TENSOR = 1,
	TENSOR_TYPE_ELEM = 1,
	TENSOR_TYPE_SHAPE = 2,
	SHAPE_DIM = 1,
	DIM_VALUE = 1,
	DIM_PARAM = 2,
};
#define DATA_LOCATION_EXTERNAL 1

/* Part of the source: a message, or what is left of it. */
struct span {
	uint64_t at;
	uint64_t end;
};

struct field {
	uint32_t number;
	enum wire_type type;
	uint64_t value;	  /* WIRE_VARINT */
	struct span span; /* WIRE_BYTES */
};

struct spans {
	struct span *items;
	size_t count;
	size_t room;
};

struct scan {
	const struct onnx_source *source;
	struct reason *why;
	uint64_t window_at;
	size_t window_bytes;
	unsigned char window[WINDOW_BYTES];
	struct spans inputs;
	struct spans outputs;
	uint64_t *initializers; /* hashes of names */
	size_t initializers_count;
	size_t initializers_room;
	bool graph_seen;
};

static int damaged(struct scan *scan, uint64_t at)
{
	return reason_add(scan->why, -EINVAL,
			  "not an ONNX model, or a damaged one (at byte %llu of %llu)",
			  (unsigned long long)at, (unsigned long long)scan->source->bytes);
}

/* The byte at @at, which is within the source. */
static int scan_byte(struct scan *scan, uint64_t at, unsigned char *ret_byte)
{
	uint64_t left;
	int r;

	if (at - scan->window_at >= scan->window_bytes) {
		left = scan->source->bytes - at;
		scan->window_bytes = 0;
		r = scan->source->read(scan->source->ctx, at, scan->window,
				       left < WINDOW_BYTES ? (size_t)left : WINDOW_BYTES);
		if (r)
			return reason_add(scan->why, r, "reading the model: %s", strerror(-r));
		scan->window_at = at;
		scan->window_bytes = left < WINDOW_BYTES ? (size_t)left : WINDOW_BYTES;
	}
	*ret_byte = scan->window[at - scan->window_at];
	return 0;
}

static int scan_varint(struct scan *scan, struct span *in, uint64_t *ret_value)
{
	uint64_t value = 0;
	unsigned char byte = 0;
	unsigned int shift;
	int r;

	for (shift = 0; shift < 64; shift += 7) {
		if (in->at >= in->end)
			return damaged(scan, in->at);
		r = scan_byte(scan, in->at, &byte);
		if (r)
			return r;
		in->at++;
		value |= (uint64_t)(byte & 0x7f) << shift;
		if (!(byte & 0x80)) {
			*ret_value = value;
			return 0;
		}
	}
	return damaged(scan, in->at);
}

static int scan_skip(struct scan *scan, struct span *in, uint64_t bytes)
{
	if (bytes > in->end - in->at)
		return damaged(scan, in->at);
	in->at += bytes;
	return 0;
}

/* The next field of a message. Return: 1; 0 at its end; negative errno. */
static int scan_field(struct scan *scan, struct span *in, struct field *ret_field)
{
	uint64_t tag, bytes;
	int r;

	*ret_field = (struct field){0};
	if (in->at >= in->end)
		return 0;
	r = scan_varint(scan, in, &tag);
	if (r)
		return r;
	if (tag >> 3 == 0 || tag >> 32)
		return damaged(scan, in->at);
	ret_field->number = (uint32_t)(tag >> 3);
	ret_field->type = (enum wire_type)(tag & 7);
	switch (ret_field->type) {
	case WIRE_VARINT:
		r = scan_varint(scan, in, &ret_field->value);
		break;
	case WIRE_FIXED64:
		r = scan_skip(scan, in, 8);
		break;
	case WIRE_FIXED32:
		r = scan_skip(scan, in, 4);
		break;
	case WIRE_BYTES:
		r = scan_varint(scan, in, &bytes);
		ret_field->span.at = in->at;
		if (!r)
			r = scan_skip(scan, in, bytes);
		ret_field->span.end = in->at;
		break;
	default: /* groups: not in ONNX */
		r = damaged(scan, in->at);
	}
	return r ? r : 1;
}

static bool is_bytes(const struct field *field, uint32_t number)
{
	return field->number == number && field->type == WIRE_BYTES;
}

static bool is_varint(const struct field *field, uint32_t number)
{
	return field->number == number && field->type == WIRE_VARINT;
}

/* At most @len bytes of @in. */
static int scan_bytes(struct scan *scan, struct span in, void *buf, size_t len)
{
	unsigned char *at = buf;
	int r = 0;

	while (len-- && in.at < in.end && !r)
		r = scan_byte(scan, in.at++, at++);
	return r;
}

/* For messages: cut to fit, with what a terminal would act on made harmless. */
static int scan_text(struct scan *scan, struct span in, char *ret_text, size_t bytes)
{
	char *at;
	int r;

	memset(ret_text, 0, bytes);
	r = scan_bytes(scan, in, ret_text, bytes - 1);
	for (at = ret_text; *at; at++)
		if ((unsigned char)*at < 0x20 || *at == 0x7f)
			*at = '?';
	return r;
}

static int scan_hash(struct scan *scan, struct span in, uint64_t *ret_hash)
{
	unsigned char name[NAME_HASHED_BYTES];
	uint64_t len = in.end - in.at;
	int r = scan_bytes(scan, in, name, sizeof(name));

	if (!r)
		*ret_hash = XXH3_64bits_withSeed(
			name, len < sizeof(name) ? (size_t)len : sizeof(name), len);
	return r;
}

/* Grow @items, of @size each, so that one more fits. Return: 0; -ENOMEM; -ENOTSUP at @max. */
static int room_for_one(struct scan *scan, void **items, size_t count, size_t *room, size_t size,
			size_t max, const char *what)
{
	size_t more = *room ? *room * 2 : 64;
	void *grown;

	if (count < *room)
		return 0;
	if (count >= max)
		return reason_add(scan->why, -ENOTSUP, "the model has more than %zu %s", max, what);
	grown = reallocarray(*items, more, size);
	if (!grown)
		return reason_add(scan->why, -ENOMEM, "out of memory");
	*items = grown;
	*room = more;
	return 0;
}

static int spans_add(struct scan *scan, struct spans *spans, struct span span, const char *what)
{
	int r = room_for_one(scan, (void **)&spans->items, spans->count, &spans->room, sizeof(span),
			     INPUTS_MAX, what);

	if (!r)
		spans->items[spans->count++] = span;
	return r;
}

static int scan_initializer(struct scan *scan, struct span in)
{
	struct span name = {0, 0};
	struct field field;
	uint64_t hash = 0;
	char text[64];
	bool external = false;
	int r;

	while ((r = scan_field(scan, &in, &field)) > 0) {
		if (is_bytes(&field, TENSOR_NAME))
			name = field.span;
		else if (is_varint(&field, TENSOR_DATA_LOCATION))
			external = field.value == DATA_LOCATION_EXTERNAL;
	}
	if (!r && external) {
		r = scan_text(scan, name, text, sizeof(text));
		return r ? r
			 : reason_add(scan->why, -ENOTSUP,
				      "the weights \"%s\" are in another file: save the model with "
				      "all weights inside",
				      text);
	}
	if (!r)
		r = room_for_one(scan, (void **)&scan->initializers, scan->initializers_count,
				 &scan->initializers_room, sizeof(hash), INITIALIZERS_MAX,
				 "initializers");
	if (!r)
		r = scan_hash(scan, name, &hash);
	if (!r)
		scan->initializers[scan->initializers_count++] = hash;
	return r;
}

static int scan_sparse_initializer(struct scan *scan, struct span in)
{
	struct field field;
	int r;

	while ((r = scan_field(scan, &in, &field)) > 0) {
		if (!is_bytes(&field, SPARSE_VALUES))
			continue;
		r = scan_initializer(scan, field.span);
		if (r)
			return r;
	}
	return r;
}

static int scan_graph(struct scan *scan, struct span in)
{
	struct field field;
	int r;

	scan->graph_seen = true;
	while ((r = scan_field(scan, &in, &field)) > 0) {
		if (is_bytes(&field, GRAPH_INITIALIZER))
			r = scan_initializer(scan, field.span);
		else if (is_bytes(&field, GRAPH_SPARSE_INITIALIZER))
			r = scan_sparse_initializer(scan, field.span);
		else if (is_bytes(&field, GRAPH_INPUT))
			r = spans_add(scan, &scan->inputs, field.span, "inputs");
		else if (is_bytes(&field, GRAPH_OUTPUT))
			r = spans_add(scan, &scan->outputs, field.span, "outputs");
		if (r < 0)
			return r;
	}
	return r;
}

static int scan_model(struct scan *scan)
{
	struct span in = {0, scan->source->bytes};
	struct field field;
	int r;

	while ((r = scan_field(scan, &in, &field)) > 0) {
		if (!is_bytes(&field, MODEL_GRAPH))
			continue;
		r = scan_graph(scan, field.span);
		if (r)
			return r;
	}
	if (!r && !scan->graph_seen)
		return reason_add(scan->why, -EINVAL, "not an ONNX model: it has no graph");
	return r;
}

/* An input or output while it is being read; texts are for messages. */
struct value {
	const char *role; /* "input" */
	char text[64];
	struct metis_module_tensor *tensor;
};

static int dim_unknown(struct scan *scan, const struct value *value, unsigned int n,
		       struct span param)
{
	static const char tool[] = "python3 -m onnxruntime.tools.make_dynamic_shape_fixed";
	char text[64];
	int r = scan_text(scan, param, text, sizeof(text));

	if (r)
		return r;
	if (text[0])
		return reason_add(scan->why, -ENOTSUP,
				  "%s \"%s\": dimension %u is \"%s\" and the card needs a number: "
				  "fix it, e.g. with %s --dim_param %s --dim_value 1 IN.onnx "
				  "OUT.onnx",
				  value->role, value->text, n, text, tool, text);
	return reason_add(scan->why, -ENOTSUP,
			  "%s \"%s\": dimension %u is not a number above 0, which the card needs: "
			  "fix the inputs' shapes, e.g. with %s --input_name NAME --input_shape "
			  "1,3,224,224 IN.onnx OUT.onnx",
			  value->role, value->text, n, tool);
}

static int scan_dim(struct scan *scan, struct span in, const struct value *value)
{
	struct metis_module_tensor *tensor = value->tensor;
	struct span param = {0, 0};
	struct field field;
	int64_t dim = 0;
	uint64_t bytes;
	int r;

	while ((r = scan_field(scan, &in, &field)) > 0) {
		if (is_varint(&field, DIM_VALUE))
			dim = (int64_t)field.value;
		else if (is_bytes(&field, DIM_PARAM))
			param = field.span;
	}
	if (r)
		return r;
	if (tensor->ndims == METIS_MODULE_DIMS_MAX)
		return reason_add(scan->why, -ENOTSUP, "%s \"%s\" has more than %u dimensions",
				  value->role, value->text, METIS_MODULE_DIMS_MAX);
	if (dim <= 0)
		return dim_unknown(scan, value, tensor->ndims, param);
	if (__builtin_mul_overflow(tensor->bytes, (uint64_t)dim, &bytes) || bytes > METIS_DDR_BYTES)
		return reason_add(scan->why, -ENOTSUP, "%s \"%s\" is larger than the card's memory",
				  value->role, value->text);
	tensor->bytes = bytes;
	tensor->dims[tensor->ndims++] = (uint64_t)dim;
	return 0;
}

static int scan_shape(struct scan *scan, struct span in, const struct value *value)
{
	struct field field;
	int r;

	while ((r = scan_field(scan, &in, &field)) > 0) {
		if (!is_bytes(&field, SHAPE_DIM))
			continue;
		r = scan_dim(scan, field.span, value);
		if (r)
			return r;
	}
	return r;
}

static int scan_tensor_type(struct scan *scan, struct span in, const struct value *value)
{
	struct span shape = {0, 0};
	bool shaped = false;
	struct field field;
	uint64_t dtype = 0;
	int r;

	while ((r = scan_field(scan, &in, &field)) > 0) {
		if (is_varint(&field, TENSOR_TYPE_ELEM))
			dtype = field.value;
		if (!is_bytes(&field, TENSOR_TYPE_SHAPE))
			continue;
		shape = field.span;
		shaped = true;
	}
	if (r)
		return r;
	value->tensor->dtype = (uint32_t)dtype;
	value->tensor->bytes = dtype >> 32 ? 0 : metis_dtype_bytes((uint32_t)dtype);
	if (!value->tensor->bytes)
		return reason_add(
			scan->why, -ENOTSUP,
			"%s \"%s\" has elements of type %llu, which the card does not know",
			value->role, value->text, (unsigned long long)dtype);
	if (!shaped)
		return reason_add(
			scan->why, -ENOTSUP,
			"%s \"%s\" has no shape: run the model through onnx.shape_inference",
			value->role, value->text);
	return scan_shape(scan, shape, value);
}

static int scan_type(struct scan *scan, struct span in, const struct value *value)
{
	struct span tensor = {0, 0};
	bool seen = false;
	struct field field;
	int r;

	while ((r = scan_field(scan, &in, &field)) > 0) {
		if (!is_bytes(&field, TYPE_TENSOR))
			continue;
		tensor = field.span;
		seen = true;
	}
	if (r)
		return r;
	if (!seen)
		return reason_add(scan->why, -ENOTSUP, "%s \"%s\" is not a tensor", value->role,
				  value->text);
	return scan_tensor_type(scan, tensor, value);
}

static int scan_value_name(struct scan *scan, struct span name, struct value *value)
{
	uint64_t len = name.end - name.at;
	int r = scan_text(scan, name, value->text, sizeof(value->text));

	if (r)
		return r;
	if (!len)
		return reason_add(scan->why, -EINVAL, "an %s has no name", value->role);
	if (len >= METIS_MODULE_NAME_BYTES)
		return reason_add(scan->why, -ENOTSUP,
				  "the name of %s \"%s...\" is longer than %u bytes", value->role,
				  value->text, METIS_MODULE_NAME_BYTES - 1);
	r = scan_bytes(scan, name, value->tensor->name, (size_t)len);
	if (!r && strnlen(value->tensor->name, (size_t)len) != len)
		return reason_add(scan->why, -EINVAL, "the name of %s \"%s\" has a NUL in it",
				  value->role, value->text);
	return r;
}

/* A ValueInfoProto: name and type in either order. */
static int scan_value(struct scan *scan, struct span in, const char *role,
		      struct metis_module_tensor *tensor)
{
	struct value value = {.role = role, .tensor = tensor};
	struct span name = {0, 0}, type = {0, 0};
	struct field field;
	int r;

	memset(tensor, 0, sizeof(*tensor));
	while ((r = scan_field(scan, &in, &field)) > 0) {
		if (is_bytes(&field, VALUE_NAME))
			name = field.span;
		else if (is_bytes(&field, VALUE_TYPE))
			type = field.span;
	}
	if (!r)
		r = scan_value_name(scan, name, &value);
	if (!r)
		r = scan_type(scan, type, &value);
	return r;
}

static int compare_hashes(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

/* Old exporters list the initializers among the inputs. Return: 1 it is one; 0; negative errno. */
static int scan_is_initializer(struct scan *scan, struct span in)
{
	struct span name = {0, 0};
	struct field field;
	uint64_t hash;
	int r;

	while ((r = scan_field(scan, &in, &field)) > 0)
		if (is_bytes(&field, VALUE_NAME))
			name = field.span;
	if (!r)
		r = scan_hash(scan, name, &hash);
	if (r || !scan->initializers_count)
		return r;
	return bsearch(&hash, scan->initializers, scan->initializers_count, sizeof(hash),
		       compare_hashes) != NULL;
}

static int scan_values(struct scan *scan, const struct spans *spans, bool inputs,
		       struct onnx_info *info)
{
	unsigned int *count = inputs ? &info->inputs : &info->outputs;
	const char *role = inputs ? "input" : "output";
	size_t i;
	int r;

	for (i = 0; i < spans->count; i++) {
		r = inputs ? scan_is_initializer(scan, spans->items[i]) : 0;
		if (r < 0)
			return r;
		if (r)
			continue;
		if (info->inputs + info->outputs == METIS_FW_TENSORS_MAX)
			return reason_add(scan->why, -ENOTSUP,
					  "the model has more than %u inputs and outputs",
					  METIS_FW_TENSORS_MAX);
		r = scan_value(scan, spans->items[i], role,
			       &info->tensors[info->inputs + info->outputs]);
		if (r)
			return r;
		(*count)++;
	}
	if (!*count)
		return reason_add(scan->why, -EINVAL, "the model has no %ss", role);
	return 0;
}

int onnx_info_read(const struct onnx_source *source, struct onnx_info *ret_info, struct reason *why)
{
	struct scan *scan = calloc(1, sizeof(*scan));
	int r;

	if (!scan)
		return reason_add(why, -ENOMEM, "out of memory");
	scan->source = source;
	scan->why = why;
	r = scan_model(scan);
	if (!r) {
		ret_info->inputs = 0;
		ret_info->outputs = 0;
		if (scan->initializers_count)
			qsort(scan->initializers, scan->initializers_count,
			      sizeof(*scan->initializers), compare_hashes);
		r = scan_values(scan, &scan->inputs, true, ret_info);
	}
	if (!r)
		r = scan_values(scan, &scan->outputs, false, ret_info);
	free(scan->inputs.items);
	free(scan->outputs.items);
	free(scan->initializers);
	free(scan);
	return r;
}
