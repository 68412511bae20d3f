/* SPDX-License-Identifier: MIT */
/*
 * The tiny face detector of @vladmandic/face-api as ONNX. Source: version 1.7.15,
 * src/tinyYolov2/TinyYolov2Base.ts (layers), the weights manifest (order, shapes, 8-bit steps).
 *
 * The package keeps a number as one byte b, meaning b * scale + min; filters lie as
 * [row][column][in][out], in ONNX as [out][in][row][column]. "Same" pooling of an odd side adds a
 * row below and a column on the right.
 */
#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <json-c/json.h>

#include "file.h"
#include "models.h"
#include "onnx_writer.h"

#define MANIFEST_BYTES_MAX (1u << 20)
#define BIN_BYTES_MAX (16u << 20)
#define SIZE_STEP 32
#define SIZE_MAX_PIXELS 1024
#define NAME_BYTES 64
#define LEAK 0.1f
#define STAGES 6	  /* convolution, leaky ReLU, pooling */
#define FIRST_CHANNELS 16 /* doubled by each further stage */
#define GRID_CHANNELS 25

struct package {
	json_object *manifest;
	json_object *entries; /* array; part of @manifest */
	char *bin;
	size_t bin_bytes;
};

/* A filter as ONNX wants it. */
struct shape {
	unsigned int out, in, side;
};

struct converter {
	struct package package;
	struct onnx_writer *writer;
	struct reason *why;
	size_t used_bytes; /* of the weights */
	int err;	   /* the first one; adding is over then */
};

static int convert_fail(struct converter *converter, int err, const char *name, const char *what)
{
	if (!converter->err)
		converter->err = reason_add(converter->why, err, "Weights %s: %s", name, what);
	return err;
}

/* Element @index of the shape of an entry; 0 when there is none such. */
static size_t entry_dim(json_object *entry, size_t index)
{
	json_object *shape;
	int64_t dim;

	if (!json_object_object_get_ex(entry, "shape", &shape) ||
	    !json_object_is_type(shape, json_type_array))
		return 0;
	dim = json_object_get_int64(json_object_array_get_idx(shape, index));
	return dim > 0 && dim <= BIN_BYTES_MAX ? dim : 0;
}

/*
 * Bytes of an entry: one an element, all shapes here have one or four sides. 0 when it isn't one.
 */
static size_t entry_bytes(json_object *entry)
{
	size_t bytes = entry_dim(entry, 0);

	for (size_t i = 1; i < 4 && entry_dim(entry, i); i++)
		if (__builtin_mul_overflow(bytes, entry_dim(entry, i), &bytes))
			return 0;
	return bytes;
}

/*
 * One filter a channel has its channels where others have their inputs. A bias is all @shape->out.
 */
static bool entry_fits(json_object *entry, const struct shape *shape, size_t ndims)
{
	bool depthwise = shape->in == 1;

	if (ndims == 1)
		return entry_dim(entry, 0) == shape->out && !entry_dim(entry, 1);
	return entry_dim(entry, 0) == shape->side && entry_dim(entry, 1) == shape->side &&
	       entry_dim(entry, 2) == (depthwise ? shape->out : shape->in) &&
	       entry_dim(entry, 3) == (depthwise ? 1 : shape->out) && !entry_dim(entry, 4);
}

static bool entry_is(json_object *entry, const char *name)
{
	json_object *text;

	return json_object_object_get_ex(entry, "name", &text) &&
	       json_object_is_type(text, json_type_string) &&
	       !strcmp(json_object_get_string(text), name);
}

static bool entry_step(json_object *entry, double *ret_scale, double *ret_min)
{
	json_object *quant, *dtype, *scale, *min;

	if (!json_object_object_get_ex(entry, "quantization", &quant) ||
	    !json_object_object_get_ex(quant, "dtype", &dtype) ||
	    !json_object_object_get_ex(quant, "scale", &scale) ||
	    !json_object_object_get_ex(quant, "min", &min))
		return false;
	if (!json_object_is_type(dtype, json_type_string) ||
	    strcmp(json_object_get_string(dtype), "uint8"))
		return false;
	*ret_scale = json_object_get_double(scale);
	*ret_min = json_object_get_double(min);
	return isfinite(*ret_scale) && isfinite(*ret_min);
}

/* Entry @name and its bytes, which lie at the sum of all sizes before it. */
static int find_entry(struct converter *converter, const char *name, json_object **ret_entry,
		      const uint8_t **ret_bytes)
{
	const struct package *package = &converter->package;
	size_t offset = 0;

	for (size_t i = 0; i < json_object_array_length(package->entries); i++) {
		json_object *entry = json_object_array_get_idx(package->entries, i);
		size_t bytes = entry_bytes(entry);

		if (!bytes || bytes > package->bin_bytes - offset)
			return convert_fail(converter, -EBADMSG, name, "manifest is damaged");
		if (entry_is(entry, name)) {
			*ret_entry = entry;
			*ret_bytes = (const uint8_t *)package->bin + offset;
			return 0;
		}
		offset += bytes;
	}
	return convert_fail(converter, -EBADMSG, name, "not in the manifest");
}

/* [row][column][in][out] bytes to [out][in][row][column] numbers. */
static void expand(const uint8_t *bytes, const struct shape *shape, double scale, double min,
		   float *ret_values)
{
	size_t cells = (size_t)shape->side * shape->side;

	for (size_t o = 0; o < shape->out; o++)
		for (size_t i = 0; i < shape->in; i++)
			for (size_t c = 0; c < cells; c++)
				*ret_values++ =
					(float)(bytes[(c * shape->in + i) * shape->out + o] *
							scale +
						min);
}

/*
 * @from: name in the package; @to: in the ONNX file. A bias has @shape {n, 1, 1} and one dimension.
 */
static void add_weights(struct converter *converter, const char *from, const char *to,
			const struct shape *shape, size_t ndims)
{
	int64_t dims[] = {shape->out, shape->in, shape->side, shape->side};
	size_t count = (size_t)shape->out * shape->in * shape->side * shape->side;
	const uint8_t *bytes;
	json_object *entry;
	double scale, min;
	float *values;

	if (converter->err || find_entry(converter, from, &entry, &bytes))
		return;
	if (!entry_fits(entry, shape, ndims) || !entry_step(entry, &scale, &min)) {
		convert_fail(converter, -EBADMSG, from, "another shape, or not in 8-bit steps");
		return;
	}
	values = calloc(count, sizeof(*values));
	if (!values) {
		convert_fail(converter, -ENOMEM, from, "out of memory");
		return;
	}
	expand(bytes, shape, scale, min, values);
	converter->used_bytes += count;
	onnx_writer_floats(converter->writer, to, dims, ndims, values);
	free(values);
}

/* @part: what the package calls the filter. @bias: add one, named for @layer. Output: @output. */
static void add_conv(struct converter *converter, const char *layer, const char *part,
		     const struct shape *shape, bool depthwise, bool bias, unsigned int pad,
		     const char *input, const char *output)
{
	const struct shape bias_shape = {shape->out, 1, 1};
	int64_t side = shape->side;
	char weight[NAME_BYTES], bias_name[NAME_BYTES];

	snprintf(weight, sizeof(weight), "%s/%s", layer, part);
	snprintf(bias_name, sizeof(bias_name), "%s/bias", layer);
	add_weights(converter, weight, weight, shape, 4);
	if (bias)
		add_weights(converter, bias_name, bias_name, &bias_shape, 1);
	onnx_writer_node(converter->writer, "Conv", output,
			 (const char *[]){input, weight, bias ? bias_name : NULL, NULL}, output);
	onnx_writer_attr_ints(converter->writer, "kernel_shape", (int64_t[]){side, side}, 2);
	onnx_writer_attr_ints(converter->writer, "pads", (int64_t[]){pad, pad, pad, pad}, 4);
	if (depthwise)
		onnx_writer_attr_int(converter->writer, "group", shape->out);
}

/*
 * Stage 0 is one convolution without padding; the others one per channel, then one across channels.
 */
static void add_stage_convs(struct converter *converter, unsigned int stage, const char *input,
			    const char *output)
{
	unsigned int out = FIRST_CHANNELS << stage, in = out / 2;
	const struct shape plain = {out, 3, 3}, depth = {in, 1, 3}, point = {out, in, 1};
	char layer[NAME_BYTES], between[NAME_BYTES];

	snprintf(layer, sizeof(layer), "conv%u", stage);
	snprintf(between, sizeof(between), "depthwise%u", stage);
	if (!stage) {
		add_conv(converter, layer, "filters", &plain, false, true, 0, input, output);
		return;
	}
	add_conv(converter, layer, "depthwise_filter", &depth, true, false, 1, input, between);
	add_conv(converter, layer, "pointwise_filter", &point, false, true, 0, between, output);
}

/* The last pooling keeps the side. Return: side after it. */
static unsigned int add_pool(struct converter *converter, unsigned int stage, unsigned int side,
			     const char *input, const char *output)
{
	int64_t stride = stage == STAGES - 1 ? 1 : 2;
	int64_t pad = stride == 1 || side % 2;

	onnx_writer_node(converter->writer, "MaxPool", output, (const char *[]){input, NULL},
			 output);
	onnx_writer_attr_ints(converter->writer, "kernel_shape", (int64_t[]){2, 2}, 2);
	onnx_writer_attr_ints(converter->writer, "strides", (int64_t[]){stride, stride}, 2);
	onnx_writer_attr_ints(converter->writer, "pads", (int64_t[]){0, 0, pad, pad}, 4);
	return stride == 1 ? side : (side + 1) / 2;
}

/* Weights nobody asks for mean that this is some other network. */
static void check_all_used(struct converter *converter)
{
	const struct package *package = &converter->package;

	if (!converter->err && converter->used_bytes != package->bin_bytes)
		convert_fail(converter, -EBADMSG, "file", "more than this network has");
}

static void add_network(struct converter *converter, unsigned int size)
{
	const int64_t input[] = {1, 3, size, size};
	const int64_t grid[] = {1, GRID_CHANNELS, size / SIZE_STEP, size / SIZE_STEP};
	const struct shape last = {GRID_CHANNELS, FIRST_CHANNELS << (STAGES - 1), 1};
	char tensor[NAME_BYTES] = "input", conv[NAME_BYTES], leaky[NAME_BYTES];
	unsigned int side = size - 2;

	onnx_writer_input(converter->writer, "input", input, 4);
	onnx_writer_output(converter->writer, "grid", grid, 4);
	for (unsigned int stage = 0; stage < STAGES; stage++) {
		snprintf(conv, sizeof(conv), "conv%u", stage);
		snprintf(leaky, sizeof(leaky), "leaky%u", stage);
		add_stage_convs(converter, stage, tensor, conv);
		onnx_writer_node(converter->writer, "LeakyRelu", leaky,
				 (const char *[]){conv, NULL}, leaky);
		onnx_writer_attr_float(converter->writer, "alpha", LEAK);
		snprintf(tensor, sizeof(tensor), "pool%u", stage);
		side = add_pool(converter, stage, side, leaky, tensor);
	}
	add_conv(converter, "conv8", "filters", &last, false, true, 0, tensor, "grid");
	check_all_used(converter);
}

static int package_load(const char *manifest_path, const char *bin_path,
			struct package *ret_package, struct reason *why)
{
	struct package package = {0};
	json_object *group;
	size_t bytes;
	char *text;
	int err;

	err = task_file_read(manifest_path, MANIFEST_BYTES_MAX, &text, &bytes, why);
	if (err)
		return err;
	package.manifest = json_tokener_parse(text);
	free(text);
	group = json_object_is_type(package.manifest, json_type_array)
			? json_object_array_get_idx(package.manifest, 0)
			: NULL;
	if (!json_object_object_get_ex(group, "weights", &package.entries) ||
	    !json_object_is_type(package.entries, json_type_array)) {
		json_object_put(package.manifest);
		return reason_add(why, -EBADMSG, "%s: no weights manifest", manifest_path);
	}
	err = task_file_read(bin_path, BIN_BYTES_MAX, &package.bin, &package.bin_bytes, why);
	if (err) {
		json_object_put(package.manifest);
		return err;
	}
	*ret_package = package;
	return 0;
}

static void package_deinit(struct package *package)
{
	json_object_put(package->manifest);
	free(package->bin);
}

int tiny_face_convert(const char *manifest_path, const char *bin_path, const char *path,
		      unsigned int size, struct reason *why)
{
	struct converter converter = {.why = why};
	int err;

	if (!size || size % SIZE_STEP || size > SIZE_MAX_PIXELS)
		return reason_add(why, -EINVAL, "Input side %u is no multiple of %u up to %u", size,
				  SIZE_STEP, SIZE_MAX_PIXELS);
	err = package_load(manifest_path, bin_path, &converter.package, why);
	if (err)
		return err;
	err = onnx_writer_create("tiny-face", "Tiny face detector of @vladmandic/face-api (MIT)",
				 &converter.writer);
	if (!err) {
		add_network(&converter, size);
		err = converter.err ? converter.err : onnx_writer_save(converter.writer, path, why);
	}
	onnx_writer_destroy(converter.writer);
	package_deinit(&converter.package);
	return err;
}
