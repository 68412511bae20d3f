/* SPDX-License-Identifier: MIT */
#include <errno.h>

#include "network.h"
#include "scratch.h"
#include "tasks/file.h"
#include "tasks/onnx_writer.h"
#include "tests/tap.h"

static void test_onnx_writer_bytes_are_as_by_hand(void)
{
	static const uint8_t want[] =
		"\x08\x08"	   /* IR version 8 */
		"\x12\x06tethys"   /* producer */
		"\x32\x00"	   /* no description */
		"\x42\x02\x10\x0d" /* opset 13 */
		"\x3a\x60"	   /* graph */
		"\x12\x01g"	   /* its name */
		"\x5a\x0f\x0a\x01x\x12\x0a\x0a\x08\x08\x01\x12\x04\x0a\x02\x08\x02" /* input x */
		"\x2a\x11\x08\x02\x10\x01\x42\x01w\x4a\x08\0\0\x80\x3f\0\0\0\x40"   /* w = {1, 2} */
		"\x62\x0f\x0a\x01y\x12\x0a\x0a\x08\x08\x01\x12\x04\x0a\x02\x08\x02" /* output y */
		"\x0a\x26\x0a\x01x\x0a\x01w\x12\x01y\x1a\x01n\x22\x03"
		"Foo" /* node */
		"\x2a\x13\x0a\x01"
		"a\x40\x01\x40\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"; /* a = [1, -1] */
	static const char type[] = "\xa0\x01\x07"; /* the attribute's type: ints */
	static const int64_t dims[] = {2}, attr[] = {1, -1};
	static const float values[] = {1, 2};
	struct onnx_writer *writer;
	char *data;
	size_t bytes;

	ASSERT_EQ(onnx_writer_create("g", "", &writer), 0);
	onnx_writer_input(writer, "x", dims, 1);
	onnx_writer_floats(writer, "w", dims, 1, values);
	onnx_writer_output(writer, "y", dims, 1);
	onnx_writer_node(writer, "Foo", "n", (const char *[]){"x", "w", NULL}, "y");
	onnx_writer_attr_ints(writer, "a", attr, 2);
	ASSERT_EQ(onnx_writer_save(writer, scratch_path("a.onnx"), NULL), 0);
	onnx_writer_destroy(writer);
	ASSERT_EQ(task_file_read(scratch_path("a.onnx"), 4096, &data, &bytes, NULL), 0);
	EXPECT_EQ(bytes, sizeof(want) - 1 + 3);
	for (size_t i = 0; i < sizeof(want) - 1 && i < bytes; i++)
		if ((uint8_t)data[i] != want[i])
			TAP_FAIL("byte %zu is %02x, not %02x", i, (uint8_t)data[i], want[i]);
	EXPECT(bytes > 3 && !memcmp(data + bytes - 3, type, 3));
	free(data);
}

/* y = LeakyRelu(x * w), alpha 0.5; then the middle two of three, by a MaxPool. */
static void write_small(const char *path)
{
	static const int64_t in[] = {1, 1, 3}, weight[] = {3}, out[] = {1, 2};
	static const int64_t two[] = {2}, one[] = {1};
	static const float values[] = {2, -4, 8};
	struct onnx_writer *writer;

	ASSERT_EQ(onnx_writer_create("small", "for a test", &writer), 0);
	onnx_writer_input(writer, "input", in, 3);
	onnx_writer_output(writer, "output", out, 2);
	onnx_writer_floats(writer, "w", weight, 1, values);
	onnx_writer_node(writer, "Mul", "mul", (const char *[]){"input", "w", NULL}, "a");
	onnx_writer_node(writer, "LeakyRelu", "leaky", (const char *[]){"a", NULL}, "b");
	onnx_writer_attr_float(writer, "alpha", 0.5f);
	onnx_writer_node(writer, "MaxPool", "pool", (const char *[]){"b", NULL}, "c");
	onnx_writer_attr_ints(writer, "kernel_shape", two, 1);
	onnx_writer_attr_ints(writer, "strides", one, 1);
	onnx_writer_node(writer, "Flatten", "flatten", (const char *[]){"c", NULL}, "output");
	onnx_writer_attr_int(writer, "axis", -1);
	EXPECT_EQ(onnx_writer_save(writer, path, NULL), 0);
	onnx_writer_destroy(writer);
}

static void test_onnx_writer_network_runs(void)
{
	struct reason why = {""};
	struct network network;
	float *input, *output;

	write_small(scratch_path("small.onnx"));
	if (network_open(scratch_path("small.onnx"), &network, &why)) {
		TAP_FAIL("%s", why.text);
		return;
	}
	input = network.input.data;
	input[0] = -3; /* -6, leaky: -3 */
	input[1] = 2;  /* -8, leaky: -4 */
	input[2] = 1;  /* 8 */
	EXPECT_EQ(network_run(&network, NULL), 0);
	output = network.outputs[0].data;
	EXPECT(output && output[0] == -3 && output[1] == 8);
	network_close(&network);
}

static void test_onnx_writer_unwritable_path_is_an_error(void)
{
	struct reason why = {""};
	struct onnx_writer *writer;

	ASSERT_EQ(onnx_writer_create("g", "", &writer), 0);
	EXPECT_EQ(onnx_writer_save(writer, "/nowhere/a.onnx", &why), -ENOENT);
	EXPECT_HAS(why.text, "/nowhere/a.onnx");
	onnx_writer_destroy(writer);
	ASSERT_EQ(onnx_writer_create("g", "", &writer), 0);
	EXPECT_EQ(onnx_writer_save(writer, "/dev/null", &why), -EINVAL);
	onnx_writer_destroy(writer);
	onnx_writer_destroy(NULL);
}

int main(void)
{
	RUN(test_onnx_writer_bytes_are_as_by_hand);
	RUN(test_onnx_writer_network_runs);
	RUN(test_onnx_writer_unwritable_path_is_an_error);
	return tap_done();
}
