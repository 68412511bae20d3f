/* SPDX-License-Identifier: MIT */
/*
 * A walk over the messages of an ONNX file that can hold tensors, after onnx.proto (onnx 1.17).
 */
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "card/engine/onnx_scan.h"

/* Half of what protobuf itself follows; a network nests its sub-graphs three or four deep. */
#define DEPTH_MAX 50

enum message { MODEL, GRAPH, NODE, ATTRIBUTE, TENSOR, SPARSE_TENSOR, FUNCTION, TRAINING };

/* Fields that lead to tensors. */
static const struct {
	enum message in;
	uint32_t field;
	enum message message;
} children[] = {
	{MODEL, 7, GRAPH},		/* graph */
	{MODEL, 20, TRAINING},		/* training_info */
	{MODEL, 25, FUNCTION},		/* functions */
	{GRAPH, 1, NODE},		/* node */
	{GRAPH, 5, TENSOR},		/* initializer */
	{GRAPH, 15, SPARSE_TENSOR},	/* sparse_initializer */
	{NODE, 5, ATTRIBUTE},		/* attribute */
	{ATTRIBUTE, 5, TENSOR},		/* t */
	{ATTRIBUTE, 6, GRAPH},		/* g */
	{ATTRIBUTE, 10, TENSOR},	/* tensors */
	{ATTRIBUTE, 11, GRAPH},		/* graphs */
	{ATTRIBUTE, 22, SPARSE_TENSOR}, /* sparse_tensor */
	{ATTRIBUTE, 23, SPARSE_TENSOR}, /* sparse_tensors */
	{SPARSE_TENSOR, 1, TENSOR},	/* values */
	{SPARSE_TENSOR, 2, TENSOR},	/* indices */
	{FUNCTION, 7, NODE},		/* node */
	{FUNCTION, 11, ATTRIBUTE},	/* attribute_proto */
	{TRAINING, 1, GRAPH},		/* initialization */
	{TRAINING, 2, GRAPH},		/* algorithm */
};

#define TENSOR_EXTERNAL_DATA 13
#define TENSOR_DATA_LOCATION 14

enum wire { WIRE_VARINT = 0, WIRE_FIXED64 = 1, WIRE_BYTES = 2, WIRE_FIXED32 = 5 };

struct span {
	const uint8_t *at, *end;
};

struct field {
	uint32_t number;
	enum wire wire;
	uint64_t value;	   /* WIRE_VARINT */
	struct span bytes; /* WIRE_BYTES */
};

static bool read_varint(struct span *in, uint64_t *ret_value)
{
	uint64_t value = 0;
	unsigned int shift;

	for (shift = 0; shift < 64 && in->at < in->end; shift += 7) {
		uint8_t byte = *in->at++;

		value |= (uint64_t)(byte & 0x7f) << shift;
		if (!(byte & 0x80)) {
			*ret_value = value;
			return true;
		}
	}
	return false;
}

static bool skip(struct span *in, uint64_t bytes)
{
	if (bytes > (uint64_t)(in->end - in->at))
		return false;
	in->at += bytes;
	return true;
}

static bool read_field(struct span *in, struct field *ret_field)
{
	uint64_t key, length;

	*ret_field = (struct field){0};
	if (!read_varint(in, &key) || key >> 32 || !(key >> 3))
		return false;
	ret_field->number = (uint32_t)(key >> 3);
	ret_field->wire = (enum wire)(key & 7);
	switch (ret_field->wire) {
	case WIRE_VARINT:
		return read_varint(in, &ret_field->value);
	case WIRE_FIXED64:
		return skip(in, 8);
	case WIRE_FIXED32:
		return skip(in, 4);
	case WIRE_BYTES:
		if (!read_varint(in, &length))
			return false;
		ret_field->bytes.at = in->at;
		if (!skip(in, length))
			return false;
		ret_field->bytes.end = in->at;
		return true;
	}
	return false; /* groups: ONNX has none */
}

static bool names_outside(const struct field *field)
{
	return field->number == TENSOR_EXTERNAL_DATA ||
	       (field->number == TENSOR_DATA_LOCATION &&
		(field->wire != WIRE_VARINT || field->value != 0));
}

static bool child_message(enum message message, const struct field *field, enum message *ret_child)
{
	size_t i;

	if (field->wire != WIRE_BYTES)
		return false;
	for (i = 0; i < sizeof(children) / sizeof(children[0]); i++) {
		if (children[i].in == message && children[i].field == field->number) {
			*ret_child = children[i].message;
			return true;
		}
	}
	return false;
}

static int scan_message(enum message message, struct span in, unsigned int depth,
			struct reason *why)
{
	struct field field;
	enum message child;
	int err;

	if (depth > DEPTH_MAX)
		return reason_add(why, -EINVAL, "network is nested deeper than %d", DEPTH_MAX);
	while (in.at < in.end) {
		if (!read_field(&in, &field))
			return reason_add(why, -EINVAL, "payload is not a well-formed ONNX file");
		if (message == TENSOR && names_outside(&field))
			return reason_add(why, -ENOTSUP,
					  "network keeps weights outside its own file");
		if (!child_message(message, &field, &child))
			continue;
		err = scan_message(child, field.bytes, depth + 1, why);
		if (err)
			return err;
	}
	return 0;
}

int onnx_scan(const void *data, size_t bytes, struct reason *why)
{
	struct span all = {data, (const uint8_t *)data + bytes};

	/* How ONNX Runtime tells its own format apart, whatever else the bytes may be. */
	if (bytes >= 8 && !memcmp(all.at + 4, "ORTM", 4))
		return reason_add(why, -ENOTSUP,
				  "payload is in ONNX Runtime's own format, not ONNX");
	return scan_message(MODEL, all, 0, why);
}
