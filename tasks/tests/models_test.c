/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <math.h>

#include <xxhash.h>

#include "network.h"
#include "scratch.h"
#include "tasks/file.h"
#include "tasks/models.h"
#include "tests/tap.h"

#define FILE_BYTES_MAX (64u << 20)
#define RESNET18_XXH3 0x4f2354b2b147e5ca

static uint64_t file_hash(const char *path)
{
	size_t bytes;
	char *data;
	uint64_t hash;

	if (task_file_read(path, FILE_BYTES_MAX, &data, &bytes, NULL))
		return 0;
	hash = XXH3_64bits(data, bytes);
	free(data);
	return hash;
}

static void test_resnet18_is_the_same_bytes_everywhere(void)
{
	uint64_t hash;

	ASSERT_EQ(resnet18_make(scratch_path("r.onnx"), RESNET18_SEED, NULL), 0);
	hash = file_hash(scratch_path("r.onnx"));
	EXPECT_EQ(hash, RESNET18_XXH3);
	ASSERT_EQ(resnet18_make(scratch_path("r.onnx"), RESNET18_SEED + 1, NULL), 0);
	EXPECT(file_hash(scratch_path("r.onnx")) != hash);
}

/*
 * Noise in, and what comes out must be finite, different by class, and of a size softmax can tell
 * apart.
 */
static void test_resnet18_answers_are_sensible(void)
{
	double sum = 0, squares = 0, deviation;
	struct reason why = {""};
	struct network network;
	uint32_t random = 12345;
	float *data;

	ASSERT_EQ(resnet18_make(scratch_path("r.onnx"), RESNET18_SEED, NULL), 0);
	if (network_open(scratch_path("r.onnx"), &network, &why)) {
		TAP_FAIL("%s", why.text);
		return;
	}
	EXPECT_STR(network.input.name, "input");
	EXPECT_EQ(task_tensor_bytes(&network.input), 4 * 3 * 224 * 224);
	EXPECT_STR(network.outputs[0].name, "logits");
	EXPECT_EQ(task_tensor_bytes(&network.outputs[0]), 4 * 1000);
	data = network.input.data;
	for (size_t i = 0; i < 3 * 224 * 224; i++) {
		random = random * 1664525 + 1013904223;
		data[i] = (float)(random >> 24) / 64 - 2;
	}
	EXPECT_EQ(network_run(&network, NULL), 0);
	data = network.outputs[0].data;
	for (size_t i = 0; data && i < 1000; i++) {
		sum += data[i];
		squares += (double)data[i] * data[i];
	}
	deviation = sqrt(squares / 1000 - sum * sum / 1e6);
	EXPECT(deviation > 0.5 && deviation < 20);
	network_close(&network);
}

static void test_resnet18_unwritable_path_is_an_error(void)
{
	struct reason why = {""};

	EXPECT_EQ(resnet18_make("/nowhere/r.onnx", 1, &why), -ENOENT);
	EXPECT_HAS(why.text, "/nowhere/r.onnx");
}

/* The package's files, made up: the right shapes, noise for weights. */
static const struct {
	const char *name;
	unsigned int shape[4];
} entries[] = {
	{"conv0/filters", {3, 3, 3, 16}},
	{"conv0/bias", {16}},
	{"conv1/depthwise_filter", {3, 3, 16, 1}},
	{"conv1/pointwise_filter", {1, 1, 16, 32}},
	{"conv1/bias", {32}},
	{"conv2/depthwise_filter", {3, 3, 32, 1}},
	{"conv2/pointwise_filter", {1, 1, 32, 64}},
	{"conv2/bias", {64}},
	{"conv3/depthwise_filter", {3, 3, 64, 1}},
	{"conv3/pointwise_filter", {1, 1, 64, 128}},
	{"conv3/bias", {128}},
	{"conv4/depthwise_filter", {3, 3, 128, 1}},
	{"conv4/pointwise_filter", {1, 1, 128, 256}},
	{"conv4/bias", {256}},
	{"conv5/depthwise_filter", {3, 3, 256, 1}},
	{"conv5/pointwise_filter", {1, 1, 256, 512}},
	{"conv5/bias", {512}},
	{"conv8/filters", {1, 1, 512, 25}},
	{"conv8/bias", {25}},
};

#define ENTRIES (sizeof(entries) / sizeof(entries[0]))
#define SCALE 0.004
#define MIN -0.45
#define BIN_BYTES_MAX 200000

static uint8_t bin[BIN_BYTES_MAX];

static size_t entry_bytes(size_t entry)
{
	size_t bytes = 1;

	for (int i = 0; i < 4 && entries[entry].shape[i]; i++)
		bytes *= entries[entry].shape[i];
	return bytes;
}

static size_t bin_bytes(void)
{
	size_t bytes = 0;

	for (size_t i = 0; i < ENTRIES; i++)
		bytes += entry_bytes(i);
	return bytes;
}

static const char *write_manifest(void)
{
	static char text[8192];
	size_t used = snprintf(text, sizeof(text), "[{\"weights\":[");

	for (size_t i = 0; i < ENTRIES; i++) {
		const unsigned int *shape = entries[i].shape;

		used += snprintf(text + used, sizeof(text) - used, "%s{\"name\":\"%s\",\"shape\":[",
				 i ? "," : "", entries[i].name);
		for (int k = 0; k < 4 && shape[k]; k++)
			used += snprintf(text + used, sizeof(text) - used, "%s%u", k ? "," : "",
					 shape[k]);
		used += snprintf(text + used, sizeof(text) - used,
				 "],\"dtype\":\"float32\",\"quantization\":{\"dtype\":\"uint8\","
				 "\"scale\":%g,\"min\":%g}}",
				 SCALE, MIN);
	}
	used += snprintf(text + used, sizeof(text) - used, "],\"paths\":[\"w.bin\"]}]");
	scratch_file("m.json", text, used);
	return text;
}

static void write_package(void)
{
	uint32_t random = 3;

	for (size_t i = 0; i < bin_bytes(); i++) {
		random = random * 1664525 + 1013904223;
		bin[i] = random >> 24;
	}
	write_manifest();
	scratch_file("w.bin", bin, bin_bytes());
}

static int convert(unsigned int size, struct reason *why)
{
	return tiny_face_convert(scratch_path("m.json"), scratch_path("w.bin"),
				 scratch_path("t.onnx"), size, why);
}

/* The same network said plainly, in the package's own order: [row][column][channel]. */
struct map {
	int side, channels;
	double *values;
};

static const uint8_t *next_weights; /* the layers use them in file order */

static double weight(size_t index)
{
	return next_weights[index] * SCALE + MIN;
}

static double map_at(const struct map *map, int row, int column, int channel)
{
	if (row < 0 || column < 0 || row >= map->side || column >= map->side)
		return 0;
	return map->values[(row * map->side + column) * map->channels + channel];
}

/* @depthwise: one filter for each channel. @pad: both filters of side 3. */
static void plain_conv(struct map *map, int kernel, int pad, int out, bool depthwise)
{
	struct map to = {.side = map->side + 2 * pad - kernel + 1, .channels = out};
	int ins = depthwise ? 1 : map->channels;

	to.values = calloc((size_t)to.side * to.side * out, sizeof(double));
	for (int i = 0; i < to.side * to.side * out; i++) {
		int o = i % out, column = i / out % to.side, row = i / out / to.side;

		for (int k = 0; k < kernel * kernel * ins; k++) {
			int in = k % ins, kx = k / ins % kernel, ky = k / ins / kernel;

			/* [row][column][in][out], or [row][column][channel][1]: the same place */
			to.values[i] +=
				weight((size_t)k * out + o) *
				map_at(map, row + ky - pad, column + kx - pad, depthwise ? o : in);
		}
	}
	next_weights += (size_t)kernel * kernel * ins * out;
	free(map->values);
	*map = to;
}

static void plain_bias(struct map *map)
{
	for (int i = 0; i < map->side * map->side * map->channels; i++)
		map->values[i] += weight(i % map->channels);
	next_weights += map->channels;
}

static void plain_leaky_pool(struct map *map, int stride)
{
	struct map to = {.side = (map->side + stride - 1) / stride, .channels = map->channels};

	for (int i = 0; i < map->side * map->side * map->channels; i++)
		map->values[i] *= map->values[i] < 0 ? 0.1 : 1;
	to.values = calloc((size_t)to.side * to.side * to.channels, sizeof(double));
	for (int i = 0; i < to.side * to.side * to.channels; i++) {
		int c = i % to.channels, column = i / to.channels % to.side * stride;
		int row = i / to.channels / to.side * stride;
		double best = -INFINITY;

		for (int k = 0; k < 4; k++)
			if (row + k / 2 < map->side && column + k % 2 < map->side)
				best = fmax(best, map_at(map, row + k / 2, column + k % 2, c));
		to.values[i] = best;
	}
	free(map->values);
	*map = to;
}

static struct map plain_network(const float *planes, int size)
{
	struct map map = {.side = size, .channels = 3};

	map.values = calloc((size_t)size * size * 3, sizeof(double));
	for (int i = 0; i < size * size * 3; i++)
		map.values[i] = planes[i % 3 * size * size + i / 3];
	next_weights = bin;
	plain_conv(&map, 3, 0, 16, false);
	plain_bias(&map);
	plain_leaky_pool(&map, 2);
	for (int stage = 1; stage < 6; stage++) {
		plain_conv(&map, 3, 1, map.channels, true);
		plain_conv(&map, 1, 0, map.channels * 2, false);
		plain_bias(&map);
		plain_leaky_pool(&map, stage < 5 ? 2 : 1);
	}
	plain_conv(&map, 1, 0, 25, false);
	plain_bias(&map);
	return map;
}

static void compare_networks(struct network *network, int size)
{
	float *planes = network->input.data, *grid;
	struct map want;
	int cells;

	for (int i = 0; i < size * size * 3; i++)
		planes[i] = (float)(i * 7 % 101) / 100 - 0.5f;
	ASSERT_EQ(network_run(network, NULL), 0);
	grid = network->outputs[0].data;
	want = plain_network(planes, size);
	cells = want.side * want.side;
	EXPECT_EQ(task_tensor_bytes(&network->outputs[0]), 4 * 25 * cells);
	for (int i = 0; i < 25 * cells; i++) {
		double expected = want.values[i % cells * 25 + i / cells];

		if (!(fabs(grid[i] - expected) <= 1e-4 * (1 + fabs(expected))))
			TAP_FAIL("[%d] is %g, not %g", i, (double)grid[i], expected);
	}
	free(want.values);
}

static void test_tiny_face_network_is_the_packages(void)
{
	static const int sizes[] = {32, 96};
	struct reason why = {""};
	struct network network;

	write_package();
	for (int i = 0; i < 2; i++) {
		ASSERT_EQ(convert(sizes[i], NULL), 0);
		if (network_open(scratch_path("t.onnx"), &network, &why)) {
			TAP_FAIL("%s", why.text);
			return;
		}
		compare_networks(&network, sizes[i]);
		network_close(&network);
	}
}

static void test_tiny_face_bad_size_is_refused(void)
{
	write_package();
	EXPECT_EQ(convert(0, NULL), -EINVAL);
	EXPECT_EQ(convert(100, NULL), -EINVAL);
	EXPECT_EQ(convert(1056, NULL), -EINVAL);
}

static void test_tiny_face_truncated_weights_are_refused(void)
{
	struct reason why = {""};

	write_package();
	remove(scratch_path("t.onnx"));
	for (size_t cut = 0; cut < bin_bytes(); cut += 9973) {
		scratch_file("w.bin", bin, cut);
		EXPECT_EQ(convert(32, NULL), -EBADMSG);
	}
	scratch_file("w.bin", bin, bin_bytes() - 1);
	EXPECT_EQ(convert(32, &why), -EBADMSG);
	EXPECT_HAS(why.text, "conv8/bias");
	scratch_file("w.bin", bin, bin_bytes() + 1);
	EXPECT_EQ(convert(32, NULL), -EBADMSG);
	EXPECT_EQ(file_hash(scratch_path("t.onnx")), 0); /* nothing was left */
}

/* Each change of the manifest, alone, must be noticed. */
static void test_tiny_face_damaged_manifest_is_refused(void)
{
	static const char *const changes[][2] = {
		{"conv5/bias", "conv6/bias"},
		{"[3,3,64,1]", "[3,3,1,64]"},
		{"[3,3,64,1]", "[3,3,64  ]"},
		{"[1,1,64,128]", "[1,1,128,64]"},
		{"[3,3,64,1]", "[3,3,64,0]"},
		{"[3,3,64,1]", "[3,3,64,-"},
		{"[3,3,64,1]", "{\"a\":3   "},
		{"uint8", "int16"},
		{"\"scale\"", "\"scape\""},
		{"\"shape\"", "\"shame\""},
		{"\"weights\"", "\"weighty\""},
		{"[{", "{["},
		{"[512]", "[9e9]"},
		{"\"name\"", "\"nome\""},
		{"0.004", "NaN  "},
	};

	write_package();
	for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
		char text[8192], *place;

		strcpy(text, write_manifest());
		place = strstr(text, changes[i][0]);
		ASSERT(place);
		memcpy(place, changes[i][1], strlen(changes[i][1]));
		scratch_file("m.json", text, strlen(text));
		if (convert(32, NULL) != -EBADMSG)
			TAP_FAIL("%s for %s was taken", changes[i][1], changes[i][0]);
	}
	scratch_file("m.json", "", 0);
	EXPECT_EQ(convert(32, NULL), -EBADMSG);
	scratch_file("m.json", "[null]", 6);
	EXPECT_EQ(convert(32, NULL), -EBADMSG);
	remove(scratch_path("m.json"));
	EXPECT_EQ(convert(32, NULL), -ENOENT);
}

int main(void)
{
	RUN(test_resnet18_is_the_same_bytes_everywhere);
	RUN(test_resnet18_answers_are_sensible);
	RUN(test_resnet18_unwritable_path_is_an_error);
	RUN(test_tiny_face_network_is_the_packages);
	RUN(test_tiny_face_bad_size_is_refused);
	RUN(test_tiny_face_truncated_weights_are_refused);
	RUN(test_tiny_face_damaged_manifest_is_refused);
	return tap_done();
}
