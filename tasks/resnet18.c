/* SPDX-License-Identifier: MIT */
/*
 * An untrained ResNet-18, the same bytes on every machine.
 *
 * Weights are He-normal (mean 0, deviation sqrt(2 / inputs of a unit)), so that a signal keeps its
 * size from layer to layer. Each number is one step of SplitMix64 (Steele et al. 2014), its four
 * 16-bit parts added up: near enough to a normal distribution (it ends at 3.5 deviations), and made
 * of integer operations, one exact conversion and one multiplication by a correctly rounded
 * constant; log() or cos() would differ between C libraries. The last convolution of each residual
 * branch is halved: otherwise each of the eight sums would double the variance.
 */
#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include "models.h"
#include "onnx_writer.h"

#define CLASSES 1000
#define STAGES 4
#define BLOCKS 2
#define WIDTH_MAX 512
#define WEIGHTS_MAX (WIDTH_MAX * WIDTH_MAX * 3 * 3)
#define NAME_BYTES 64
#define BIAS_DEVIATION 0.05f
#define BRANCH_GAIN 0.5f

struct resnet {
	struct onnx_writer *writer;
	uint64_t random;
	float *values; /* [WEIGHTS_MAX], scratch */
};

struct conv {
	unsigned int in, out, kernel, stride, pad;
	float gain;
};

static uint64_t next_random(struct resnet *net)
{
	uint64_t z = net->random += 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

/* Sum of four uniform 16-bit numbers less its mean; deviation sqrt(4 * (2^32 - 1) / 12). */
static int32_t next_normal(struct resnet *net)
{
	uint64_t bits = next_random(net);
	int32_t sum = -2 * 0xffff;

	for (; bits; bits >>= 16)
		sum += bits & 0xffff;
	return sum;
}

static void add_weights(struct resnet *net, const char *name, const int64_t *dims, size_t ndims,
			float deviation)
{
	float scale = (float)((double)deviation / sqrt(4 * 4294967295.0 / 12));
	size_t count = 1;

	for (size_t i = 0; i < ndims; i++)
		count *= dims[i];
	for (size_t i = 0; i < count; i++)
		net->values[i] = (float)next_normal(net) * scale;
	onnx_writer_floats(net->writer, name, dims, ndims, net->values);
}

/* Convolution @name from tensor @from to tensor @name. */
static void add_conv(struct resnet *net, const char *name, const char *from,
		     const struct conv *conv)
{
	int64_t dims[] = {conv->out, conv->in, conv->kernel, conv->kernel};
	int64_t stride[] = {conv->stride, conv->stride};
	int64_t pads[] = {conv->pad, conv->pad, conv->pad, conv->pad};
	char weight[NAME_BYTES + 8], bias[NAME_BYTES + 8];
	double inputs = (double)conv->in * conv->kernel * conv->kernel;

	snprintf(weight, sizeof(weight), "%s.weight", name);
	snprintf(bias, sizeof(bias), "%s.bias", name);
	add_weights(net, weight, dims, 4, (float)(conv->gain * sqrt(2 / inputs)));
	add_weights(net, bias, dims, 1, BIAS_DEVIATION);
	onnx_writer_node(net->writer, "Conv", name, (const char *[]){from, weight, bias, NULL},
			 name);
	onnx_writer_attr_ints(net->writer, "kernel_shape", dims + 2, 2);
	onnx_writer_attr_ints(net->writer, "strides", stride, 2);
	onnx_writer_attr_ints(net->writer, "pads", pads, 4);
}

static void add_relu(struct resnet *net, const char *from, const char *to)
{
	onnx_writer_node(net->writer, "Relu", to, (const char *[]){from, NULL}, to);
}

/* Two convolutions beside a shortcut, which needs one of its own where the shape changes. */
static void add_block(struct resnet *net, unsigned int stage, unsigned int block, char *tensor)
{
	unsigned int out = 64u << stage, in = stage && !block ? out / 2 : out;
	unsigned int stride = in == out ? 1 : 2;
	struct conv first = {in, out, 3, stride, 1, 1}, second = {out, out, 3, 1, 1, BRANCH_GAIN};
	struct conv shortcut = {in, out, 1, stride, 0, 1};
	char name[5][NAME_BYTES];
	static const char *const parts[] = {"conv1", "relu1", "conv2", "downsample", "sum"};
	const char *beside = tensor;

	for (unsigned int i = 0; i < 5; i++)
		snprintf(name[i], NAME_BYTES, "layer%u.%u.%s", stage + 1, block, parts[i]);
	add_conv(net, name[0], tensor, &first);
	add_relu(net, name[0], name[1]);
	add_conv(net, name[2], name[1], &second);
	if (in != out) {
		add_conv(net, name[3], tensor, &shortcut);
		beside = name[3];
	}
	onnx_writer_node(net->writer, "Add", name[4], (const char *[]){name[2], beside, NULL},
			 name[4]);
	snprintf(tensor, NAME_BYTES, "layer%u.%u", stage + 1, block);
	add_relu(net, name[4], tensor);
}

static void add_stem(struct resnet *net)
{
	static const struct conv conv = {3, 64, 7, 2, 3, 1};

	add_conv(net, "conv1", "input", &conv);
	add_relu(net, "conv1", "relu1");
	onnx_writer_node(net->writer, "MaxPool", "maxpool", (const char *[]){"relu1", NULL},
			 "maxpool");
	onnx_writer_attr_ints(net->writer, "kernel_shape", (int64_t[]){3, 3}, 2);
	onnx_writer_attr_ints(net->writer, "strides", (int64_t[]){2, 2}, 2);
	onnx_writer_attr_ints(net->writer, "pads", (int64_t[]){1, 1, 1, 1}, 4);
}

static void add_head(struct resnet *net, const char *from)
{
	static const int64_t weight[] = {CLASSES, WIDTH_MAX}, bias[] = {CLASSES};

	onnx_writer_node(net->writer, "GlobalAveragePool", "avgpool", (const char *[]){from, NULL},
			 "avgpool");
	onnx_writer_node(net->writer, "Flatten", "flatten", (const char *[]){"avgpool", NULL},
			 "flatten");
	onnx_writer_attr_int(net->writer, "axis", 1);
	add_weights(net, "fc.weight", weight, 2, (float)sqrt(1.0 / WIDTH_MAX));
	add_weights(net, "fc.bias", bias, 1, BIAS_DEVIATION);
	onnx_writer_node(net->writer, "Gemm", "fc",
			 (const char *[]){"flatten", "fc.weight", "fc.bias", NULL}, "logits");
	onnx_writer_attr_int(net->writer, "transB", 1);
}

static void add_network(struct resnet *net)
{
	static const int64_t input[] = {1, 3, 224, 224}, output[] = {1, CLASSES};
	char tensor[NAME_BYTES] = "maxpool";

	onnx_writer_input(net->writer, "input", input, 4);
	onnx_writer_output(net->writer, "logits", output, 2);
	add_stem(net);
	for (unsigned int stage = 0; stage < STAGES; stage++)
		for (unsigned int block = 0; block < BLOCKS; block++)
			add_block(net, stage, block, tensor);
	add_head(net, tensor);
}

int resnet18_make(const char *path, uint64_t seed, struct reason *why)
{
	struct resnet net = {.random = seed};
	int err;

	net.values = calloc(WEIGHTS_MAX, sizeof(*net.values));
	err = net.values ? onnx_writer_create("resnet18", "Untrained: random weights", &net.writer)
			 : -ENOMEM;
	if (err) {
		reason_add(why, err, "%s: out of memory", path);
	} else {
		add_network(&net);
		err = onnx_writer_save(net.writer, path, why);
	}
	onnx_writer_destroy(net.writer);
	free(net.values);
	return err;
}
