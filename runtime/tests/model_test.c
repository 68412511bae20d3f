/* SPDX-License-Identifier: MIT */
/*
 * From a path to a module: what is accepted, what is refused, and that the card's own check agrees.
 */
#include <errno.h>
#include <ftw.h>
#include <sys/stat.h>
#include <unistd.h>

#include <axruntime/axruntime.h>
#include <axruntime/tethys.h>

#include "card/module.h"
#include "runtime/tests/onnx_writer.h"
#include "tests/tap.h"

static char dir[] = "/tmp/tethys-model-XXXXXX";
static axrContext *ctx;

static const char *at(const char *name)
{
	static char path[512];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return path;
}

static void write_text(const char *name, const char *text)
{
	FILE *file = fopen(at(name), "we");

	if (!file || fputs(text, file) < 0 || fclose(file))
		abort();
}

static void make_dir(const char *name)
{
	if (mkdir(at(name), 0755))
		abort();
}

static void expect_refused(const char *name, axrResult result, const char *says)
{
	EXPECT(!axr_load_model(ctx, at(name)));
	EXPECT_EQ(axr_last_error(AXR_OBJECT(ctx)), result);
	EXPECT_HAS(axr_last_error_string(AXR_OBJECT(ctx)), says);
	EXPECT_HAS(axr_last_error_string(AXR_OBJECT(ctx)), "[ERROR][axr_load_model]: ");
}

static void expect_loads(const char *name)
{
	axrModel *model = axr_load_model(ctx, at(name));

	if (!model)
		TAP_FAIL("%s: %s", name, axr_last_error_string(NULL));
	EXPECT_EQ(axr_num_model_inputs(model), 1);
	axr_destroy(AXR_OBJECT(model));
}

static void test_model_onnx_has_tensor_infos(void)
{
	axrModel *model = axr_load_model(ctx, at("plain.onnx"));
	axrTensorInfo info;

	ASSERT(model);
	EXPECT_EQ(axr_num_model_inputs(model), 1);
	EXPECT_EQ(axr_num_model_outputs(model), 1);
	info = axr_get_model_input(model, 0);
	EXPECT_STR(info.name, "x");
	EXPECT_EQ(info.ndims, 3);
	EXPECT_EQ(info.dims[2], 7);
	EXPECT_EQ(info.bits, 32);
	EXPECT_EQ(info.type, AXR_FLOAT);
	EXPECT(info.scale == 1.0 && info.zero_point == 0);
	EXPECT_EQ(info.padding[7][1], 0);
	EXPECT_EQ(axr_tensor_size(&info), 1 * 5 * 7 * 4);
	info = axr_get_model_output(model, 0);
	EXPECT_STR(info.name, "y");
	info = axr_get_model_output(model, 1);
	EXPECT_EQ(info.ndims, 0);
	EXPECT_EQ(axr_last_error(AXR_OBJECT(model)), AXR_ERROR_INVALID_ARGUMENT);
	EXPECT_EQ(axr_tensor_size(&info), 0);
	EXPECT_EQ(axr_tensor_size(NULL), 0);
	info = axr_get_model_input(NULL, 0);
	EXPECT_EQ(info.ndims, 0);
	EXPECT_EQ(axr_num_model_inputs(NULL), 0);
	axr_destroy(AXR_OBJECT(model));
}

static void test_model_scalar_is_one_dimension(void)
{
	axrModel *model;
	axrTensorInfo info;

	onnx_save(onnx_unary("Relu", "-"), at("scalar.onnx"));
	model = axr_load_model(ctx, at("scalar.onnx"));
	ASSERT(model);
	info = axr_get_model_input(model, 0);
	EXPECT_EQ(info.ndims, 1);
	EXPECT_EQ(info.dims[0], 1);
	EXPECT_EQ(axr_tensor_size(&info), 4);
	axr_destroy(AXR_OBJECT(model));
}

static void test_model_json_names_an_onnx(void)
{
	axrModel *model;
	axrProperties *p;

	make_dir("named");
	make_dir("named/sub");
	onnx_save(onnx_unary("Relu", "1,3"), at("named/sub/net.onnx"));
	write_text("named/model.json",
		   "{\"version\": \"4.0\", \"tethys\": {\"onnx\": \"sub/net.onnx\","
		   " \"properties\": {\"input_tensor_layout\": \"NHWC\"}}}");
	expect_loads("named/model.json");
	expect_loads("named"); /* its folder */
	expect_loads("named/");
	model = axr_load_model(ctx, at("named"));
	p = axr_get_model_properties(model);
	EXPECT_STR(axr_get_property(p, "input_tensor_layout"), "NHWC");
	EXPECT(!axr_get_property(p, "preamble_graph"));
	axr_destroy(AXR_OBJECT(p));
	p = axr_get_model_properties(model); /* another one */
	EXPECT_STR(axr_get_property(p, "input_tensor_layout"), "NHWC");
	axr_destroy(AXR_OBJECT(model));
	write_text("named/model_4.json", "{\"tethys\": {\"onnx\": \"sub/net.onnx\"}}");
	expect_loads("named/model_4.json");
}

static void test_model_folder_with_one_onnx_is_taken(void)
{
	make_dir("folder");
	expect_refused("folder", AXR_ERROR_VALUE_ERROR, "has no model.json and no .onnx");
	onnx_save(onnx_unary("Relu", "1,3"), at("folder/a.onnx"));
	write_text("folder/readme.txt", "hello");
	expect_loads("folder");
	onnx_save(onnx_unary("Relu", "1,3"), at("folder/b.ONNX"));
	expect_refused("folder", AXR_ERROR_VALUE_ERROR, "more than one .onnx");
}

static void test_model_json_may_not_leave_its_folder(void)
{
	static const char *const bad[] = {
		"../plain.onnx", "/etc/passwd", "a/../../plain.onnx", "..", "", "a/.."};
	char text[128];
	size_t i;

	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		snprintf(text, sizeof(text), "{\"tethys\": {\"onnx\": \"%s\"}}", bad[i]);
		write_text("leave.json", text);
		expect_refused("leave.json", AXR_ERROR_VALUE_ERROR, "same folder or below");
	}
	onnx_save(onnx_unary("Relu", "1,3"), at("..dots.onnx"));
	write_text("leave.json", "{\"tethys\": {\"onnx\": \"..dots.onnx\"}}");
	expect_loads("leave.json");
}

static void test_model_bad_json_is_refused(void)
{
	static const char *const bad[] = {
		"",
		"{",
		"[]",
		"7",
		"{}",
		"{\"tethys\": 3}",
		"{\"tethys\": {}}",
		"{\"tethys\": {\"onnx\": 5}}",
		"{\"tethys\": {\"onnx\": \"a\\u0000b\"}}",
		"{\"tethys\": {\"onnx\": \"plain.onnx\", \"properties\": 1}}",
		"{\"tethys\": {\"onnx\": \"plain.onnx\", \"properties\": {\"a\": 1}}}",
		"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[["};
	size_t i;

	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		write_text("bad.json", bad[i]);
		expect_refused("bad.json", AXR_ERROR_VALUE_ERROR, "bad.json: ");
	}
}

static void test_model_for_the_silicon_is_refused_clearly(void)
{
	write_text("vendor.json", "{\"version\": \"4.0\", \"memory_pools\": [], \"kernels\": []}");
	expect_refused("vendor.json", AXR_ERROR_NOT_IMPLEMENTED, "compiled for the silicon only");
	write_text("m.axm", "PK");
	expect_refused("m.axm", AXR_ERROR_NOT_IMPLEMENTED, "compiled for the silicon only");
}

static void test_model_files_of_other_kinds_are_refused(void)
{
	write_text("a.txt", "hello");
	write_text("empty.onnx", "");
	write_text("text.onnx", "hello, this is no model");
	expect_refused("nothing.onnx", AXR_ERROR_INVALID_ARGUMENT, "No such file");
	expect_refused("a.txt", AXR_ERROR_VALUE_ERROR, "not a model");
	expect_refused("empty.onnx", AXR_ERROR_VALUE_ERROR, "empty file");
	expect_refused("text.onnx", AXR_ERROR_VALUE_ERROR, "not an ONNX model");
	onnx_save(onnx_unary("Relu", "batch,3"), at("dynamic.onnx"));
	expect_refused("dynamic.onnx", AXR_ERROR_NOT_IMPLEMENTED, "\"batch\"");
	EXPECT(!mkfifo(at("fifo.onnx"), 0600));
	expect_refused("fifo.onnx", AXR_ERROR_VALUE_ERROR, "not a regular file");
	EXPECT(!axr_load_model(ctx, NULL));
	EXPECT_EQ(axr_last_error(NULL), AXR_ERROR_INVALID_ARGUMENT);
	EXPECT(!axr_load_model(NULL, "x"));
}

static void test_model_module_passes_the_cards_check(void)
{
	struct engine_module module;
	struct reason why = {0};
	char *data;
	void *bytes = NULL;
	size_t n = 0;

	ASSERT_EQ(tethys_module_build(at("plain.onnx"), &bytes, &n), AXR_SUCCESS);
	EXPECT_EQ(card_module_check(bytes, n, &module, &why), 0);
	EXPECT_STR(why.text, "");
	EXPECT_EQ(module.header->inputs, 1);
	EXPECT_STR(module.header->name, "plain.onnx");
	EXPECT_STR(module.outputs[0].name, "y");
	EXPECT_EQ(module.inputs[0].bytes, 1 * 5 * 7 * 4);
	EXPECT_EQ((uintptr_t)((const char *)module.payload - (char *)bytes) % METIS_MODULE_ALIGN,
		  0);
	data = bytes;
	data[n - 1] ^= 1;
	EXPECT(card_module_check(bytes, n, &module, &why) < 0);
	free(bytes);
	EXPECT(tethys_module_build(at("text.onnx"), &bytes, &n) == AXR_ERROR_VALUE_ERROR);
	EXPECT(tethys_module_build(NULL, &bytes, &n) == AXR_ERROR_INVALID_ARGUMENT);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

int main(void)
{
	if (!mkdtemp(dir))
		abort();
	ctx = axr_create_context();
	onnx_save(onnx_unary("Relu", "1,5,7"), at("plain.onnx"));
	RUN(test_model_onnx_has_tensor_infos);
	RUN(test_model_scalar_is_one_dimension);
	RUN(test_model_json_names_an_onnx);
	RUN(test_model_folder_with_one_onnx_is_taken);
	RUN(test_model_json_may_not_leave_its_folder);
	RUN(test_model_bad_json_is_refused);
	RUN(test_model_for_the_silicon_is_refused_clearly);
	RUN(test_model_files_of_other_kinds_are_refused);
	RUN(test_model_module_passes_the_cards_check);
	axr_destroy(AXR_OBJECT(ctx));
	nftw(dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
	return tap_done();
}
