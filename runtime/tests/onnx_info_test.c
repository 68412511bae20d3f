/* SPDX-License-Identifier: MIT */
#include <errno.h>

#include "runtime/onnx_info.h"
#include "runtime/tests/onnx_writer.h"
#include "tests/tap.h"

struct memory {
	const unsigned char *data;
	size_t bytes;
	size_t read; /* all reads together */
};

static int memory_read(void *ctx, uint64_t offset, void *buf, size_t len)
{
	struct memory *memory = ctx;

	if (offset > memory->bytes || len > memory->bytes - offset)
		abort(); /* the scanner left the source */
	memcpy(buf, memory->data + offset, len);
	memory->read += len;
	return 0;
}

static struct onnx_info info;
static struct reason why;

static int read_bytes(const void *data, size_t bytes)
{
	struct memory memory = {data, bytes, 0};
	struct onnx_source source = {&memory, bytes, memory_read};

	why.text[0] = 0;
	return onnx_info_read(&source, &info, &why);
}

/* Read and free. */
static int read_model(struct pb *model)
{
	int r = read_bytes(model->data, model->len);

	free(model);
	return r;
}

static void test_info_unary_has_one_in_one_out(void)
{
	ASSERT_EQ(read_model(onnx_unary("Relu", "1,3,5,7")), 0);
	EXPECT_EQ(info.inputs, 1);
	EXPECT_EQ(info.outputs, 1);
	EXPECT_STR(info.tensors[0].name, "x");
	EXPECT_STR(info.tensors[1].name, "y");
	EXPECT_EQ(info.tensors[0].ndims, 4);
	EXPECT_EQ(info.tensors[0].dims[3], 7);
	EXPECT_EQ(info.tensors[0].dims[4], 0);
	EXPECT_EQ(info.tensors[0].bytes, 3 * 5 * 7 * 4);
	EXPECT_EQ(info.tensors[0].dtype, METIS_F32);
}

static void test_info_scalar_has_element_size(void)
{
	ASSERT_EQ(read_model(onnx_unary("Relu", "-")), 0);
	EXPECT_EQ(info.tensors[0].ndims, 0);
	EXPECT_EQ(info.tensors[0].bytes, 4);
}

static void test_info_types_have_their_size(void)
{
	static const struct {
		unsigned int dtype, bytes;
	} types[] = {{METIS_F32, 4}, {METIS_U8, 1},  {METIS_I8, 1},  {METIS_U16, 2},
		     {METIS_I16, 2}, {METIS_I32, 4}, {METIS_I64, 8}, {METIS_BOOL, 1},
		     {METIS_F16, 2}, {METIS_F64, 8}, {METIS_U32, 4}, {METIS_U64, 8}};
	struct pb *graph;
	size_t i;

	for (i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		graph = pb_new();
		pb_message(graph, 11, onnx_value("x", types[i].dtype, "3"));
		pb_message(graph, 12, onnx_value("y", 1, "3"));
		ASSERT_EQ(read_model(onnx_model(graph)), 0);
		EXPECT_EQ(info.tensors[0].bytes, 3 * types[i].bytes);
	}
}

static void test_info_initializers_are_no_inputs(void)
{
	static const float weights[] = {1, 2, 3};
	struct pb *graph = pb_new(), *sparse = pb_new();

	pb_message(graph, 11, onnx_value("w", 1, "3"));
	pb_message(graph, 11, onnx_value("x", 1, "3"));
	pb_message(graph, 11, onnx_value("s", 1, "3"));
	pb_message(graph, 12, onnx_value("y", 1, "3"));
	pb_message(graph, 5, onnx_weights("w", weights, 3));
	pb_message(sparse, 1, onnx_weights("s", weights, 3));
	pb_message(graph, 15, sparse);
	ASSERT_EQ(read_model(onnx_model(graph)), 0);
	EXPECT_EQ(info.inputs, 1);
	EXPECT_STR(info.tensors[0].name, "x");
}

static void test_info_weights_are_not_read(void)
{
	const size_t bytes = 8u << 20;
	struct pb *model = pb_new(), *head = pb_new();
	unsigned char *big = calloc(1, bytes + 4096);
	struct memory memory = {big, 0, 0};
	struct onnx_source source = {&memory, 0, memory_read};
	struct pb *initializer = pb_new(), *graph = pb_new();
	size_t graph_bytes, at = 0;

	/* raw_data of 8 MiB in an initializer, put together by hand for its size */
	pb_text(initializer, 8, "w");
	pb_varint(initializer, 9 << 3 | 2);
	pb_varint(initializer, bytes);
	pb_varint(graph, 5 << 3 | 2);
	pb_varint(graph, initializer->len + bytes);
	pb_message(head, 11, onnx_value("x", 1, "3"));
	pb_message(head, 12, onnx_value("y", 1, "3"));
	graph_bytes = head->len + graph->len + initializer->len + bytes;
	pb_varint(model, 7 << 3 | 2);
	pb_varint(model, graph_bytes);
	memcpy(big + at, model->data, model->len);
	at += model->len;
	memcpy(big + at, head->data, head->len);
	at += head->len;
	memcpy(big + at, graph->data, graph->len);
	at += graph->len;
	memcpy(big + at, initializer->data, initializer->len);
	at += initializer->len + bytes;
	memory.bytes = source.bytes = at;
	why.text[0] = 0;
	EXPECT_EQ(onnx_info_read(&source, &info, &why), 0);
	EXPECT_EQ(info.inputs, 1);
	EXPECT(memory.read < 200000);
	free(model);
	free(head);
	free(graph);
	free(initializer);
	free(big);
}

static void test_info_symbolic_dim_is_refused_by_name(void)
{
	EXPECT_EQ(read_model(onnx_unary("Relu", "batch,3")), -ENOTSUP);
	EXPECT_HAS(why.text, "input \"x\"");
	EXPECT_HAS(why.text, "\"batch\"");
	EXPECT_HAS(why.text, "--dim_param batch --dim_value 1");
}

static void test_info_unknown_dim_is_refused(void)
{
	EXPECT_EQ(read_model(onnx_unary("Relu", "1,,3")), -ENOTSUP);
	EXPECT_HAS(why.text, "dimension 1");
	EXPECT_HAS(why.text, "--input_shape");
	EXPECT_EQ(read_model(onnx_unary("Relu", "1,0,3")), -ENOTSUP);
	EXPECT_EQ(read_model(onnx_unary("Relu", "18446744073709551615")), -ENOTSUP);
}

static void test_info_no_shape_is_refused(void)
{
	EXPECT_EQ(read_model(onnx_unary("Relu", NULL)), -ENOTSUP);
	EXPECT_HAS(why.text, "has no shape");
}

static void test_info_nine_dims_are_refused(void)
{
	EXPECT_EQ(read_model(onnx_unary("Relu", "1,1,1,1,1,1,1,1")), 0);
	EXPECT_EQ(read_model(onnx_unary("Relu", "1,1,1,1,1,1,1,1,1")), -ENOTSUP);
}

static void test_info_sizes_that_overflow_are_refused(void)
{
	EXPECT_EQ(read_model(onnx_unary("Relu", "4294967296,4294967296")), -ENOTSUP);
	EXPECT_EQ(read_model(onnx_unary("Relu", "9223372036854775807")), -ENOTSUP);
	EXPECT_HAS(why.text, "larger than the card's memory");
}

static void test_info_strings_are_refused(void)
{
	struct pb *graph = pb_new();

	pb_message(graph, 11, onnx_value("x", 8, "3"));
	pb_message(graph, 12, onnx_value("y", 1, "3"));
	EXPECT_EQ(read_model(onnx_model(graph)), -ENOTSUP);
	EXPECT_HAS(why.text, "type 8");
}

static void test_info_sequence_is_refused(void)
{
	struct pb *graph = pb_new(), *value = pb_new(), *type = pb_new();

	pb_message(type, 4, pb_new());
	pb_text(value, 1, "x");
	pb_message(value, 2, type);
	pb_message(graph, 11, value);
	pb_message(graph, 12, onnx_value("y", 1, "3"));
	EXPECT_EQ(read_model(onnx_model(graph)), -ENOTSUP);
	EXPECT_HAS(why.text, "not a tensor");
}

static void test_info_external_weights_are_refused(void)
{
	static const float weights[] = {1};
	struct pb *graph = pb_new(), *tensor = onnx_weights("w", weights, 1);

	pb_uint(tensor, 14, 1);
	pb_message(graph, 5, tensor);
	pb_message(graph, 11, onnx_value("x", 1, "3"));
	pb_message(graph, 12, onnx_value("y", 1, "3"));
	EXPECT_EQ(read_model(onnx_model(graph)), -ENOTSUP);
	EXPECT_HAS(why.text, "another file");
}

static void test_info_long_name_is_refused(void)
{
	char name[200];
	struct pb *graph = pb_new();

	memset(name, 'n', sizeof(name) - 1);
	name[sizeof(name) - 1] = 0;
	pb_message(graph, 11, onnx_value(name, 1, "3"));
	pb_message(graph, 12, onnx_value("y", 1, "3"));
	EXPECT_EQ(read_model(onnx_model(graph)), -ENOTSUP);
	EXPECT_HAS(why.text, "longer than 127");
}

static void test_info_name_for_terminals_is_made_harmless(void)
{
	struct pb *graph = pb_new();

	pb_message(graph, 11, onnx_value("\x1b[2J", 1, "batch"));
	pb_message(graph, 12, onnx_value("y", 1, "3"));
	EXPECT_EQ(read_model(onnx_model(graph)), -ENOTSUP);
	EXPECT(!strchr(why.text, '\x1b'));
}

static void test_info_too_many_tensors_are_refused(void)
{
	struct pb *graph = pb_new();
	char name[16];
	unsigned int i;

	for (i = 0; i < METIS_FW_TENSORS_MAX; i++) {
		snprintf(name, sizeof(name), "x%u", i);
		pb_message(graph, 11, onnx_value(name, 1, "3"));
	}
	pb_message(graph, 12, onnx_value("y", 1, "3"));
	EXPECT_EQ(read_model(onnx_model(graph)), -ENOTSUP);
	EXPECT_HAS(why.text, "more than 64");
}

static void test_info_nothing_in_or_out_is_refused(void)
{
	struct pb *graph = pb_new();

	pb_message(graph, 12, onnx_value("y", 1, "3"));
	EXPECT_EQ(read_model(onnx_model(graph)), -EINVAL);
	graph = pb_new();
	pb_message(graph, 11, onnx_value("x", 1, "3"));
	EXPECT_EQ(read_model(onnx_model(graph)), -EINVAL);
	EXPECT_EQ(read_model(onnx_model(pb_new())), -EINVAL);
	EXPECT_EQ(read_model(pb_new()), -EINVAL);
	EXPECT_HAS(why.text, "no graph");
}

static void test_info_garbage_is_refused(void)
{
	static const char text[] = "this is not a model at all, it is a piece of text";
	static const unsigned char ones[64] = {[0 ... 63] = 0xff};
	static const unsigned char group[] = {0x0b, 0x0c};

	EXPECT_EQ(read_bytes(text, sizeof(text)), -EINVAL);
	EXPECT_EQ(read_bytes(ones, sizeof(ones)), -EINVAL);
	EXPECT_EQ(read_bytes(group, sizeof(group)), -EINVAL);
}

/* Every prefix and every flipped bit: an answer, never a read outside (memory_read aborts). */
static void test_info_damage_is_survived(void)
{
	struct pb *model = onnx_unary("Relu", "1,3,5,7");
	unsigned char *copy = malloc(model->len);
	size_t i, bit, truncated_ok = 0;

	for (i = 0; i < model->len; i++) {
		memcpy(copy, model->data, i);
		truncated_ok += !read_bytes(copy, i);
	}
	/* only the opset after the graph may be missing unnoticed */
	EXPECT(truncated_ok <= 1);
	for (i = 0; i < model->len; i++) {
		for (bit = 0; bit < 8; bit++) {
			memcpy(copy, model->data, model->len);
			copy[i] ^= (unsigned char)(1u << bit);
			read_bytes(copy, model->len);
		}
	}
	free(copy);
	free(model);
}

static int failing_read(void *ctx, uint64_t offset, void *buf, size_t len)
{
	(void)ctx;
	(void)offset;
	(void)buf;
	(void)len;
	return -EIO;
}

static void test_info_read_error_is_handed_on(void)
{
	struct onnx_source source = {NULL, 100, failing_read};

	why.text[0] = 0;
	EXPECT_EQ(onnx_info_read(&source, &info, &why), -EIO);
}

int main(void)
{
	RUN(test_info_unary_has_one_in_one_out);
	RUN(test_info_scalar_has_element_size);
	RUN(test_info_types_have_their_size);
	RUN(test_info_initializers_are_no_inputs);
	RUN(test_info_weights_are_not_read);
	RUN(test_info_symbolic_dim_is_refused_by_name);
	RUN(test_info_unknown_dim_is_refused);
	RUN(test_info_no_shape_is_refused);
	RUN(test_info_nine_dims_are_refused);
	RUN(test_info_sizes_that_overflow_are_refused);
	RUN(test_info_strings_are_refused);
	RUN(test_info_sequence_is_refused);
	RUN(test_info_external_weights_are_refused);
	RUN(test_info_long_name_is_refused);
	RUN(test_info_name_for_terminals_is_made_harmless);
	RUN(test_info_too_many_tensors_are_refused);
	RUN(test_info_nothing_in_or_out_is_refused);
	RUN(test_info_garbage_is_refused);
	RUN(test_info_damage_is_survived);
	RUN(test_info_read_error_is_handed_on);
	return tap_done();
}
