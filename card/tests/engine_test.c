/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "card/card.h"
#include "card/engine/engine.h"
#include "card/engine/onnx_scan.h"
#include "card/module.h"
#include "card/tests/tiny_onnx.h"
#include "common/ort.h"
#include "tests/tap.h"

/* --- helpers --- */

/* A session of a module, with buffers for its tensors. */
struct bench {
	const struct engine_ops *ops;
	struct metis_module *module;
	struct engine_module view;
	struct engine_session *session;
	struct engine_buffer inputs[3], outputs[2];
	struct reason why;
};

static void alloc_buffers(struct engine_buffer *buffers, const struct metis_module_tensor *specs,
			  uint32_t n)
{
	uint32_t i;

	for (i = 0; i < n; i++) {
		buffers[i].bytes = specs[i].bytes;
		buffers[i].data = aligned_alloc(64, (specs[i].bytes + 63) / 64 * 64);
		memset(buffers[i].data, 0xee, specs[i].bytes);
	}
}

/* Return: what the engine's load said. */
static int bench_up(struct bench *b, const struct engine_ops *ops, const struct tiny_network *net,
		    const void *payload, size_t payload_bytes, unsigned int cores)
{
	size_t bytes;
	int err;

	memset(b, 0, sizeof(*b));
	b->ops = ops;
	b->module = tiny_module(net, payload, payload_bytes, &bytes);
	EXPECT_EQ(card_module_check(b->module, bytes, &b->view, &b->why), 0);
	err = ops->load(NULL, &b->view, cores, &b->session, &b->why);
	if (err)
		return err;
	alloc_buffers(b->inputs, b->view.inputs, b->module->inputs);
	alloc_buffers(b->outputs, b->view.outputs, b->module->outputs);
	return 0;
}

static int bench_tiny(struct bench *b, const struct tiny_network *net)
{
	static struct pb model;

	tiny_onnx(net, &model);
	return bench_up(b, &engine_onnx, net, model.data, model.used, 1);
}

static int bench_run(struct bench *b)
{
	b->ops->arm(b->session);
	return b->ops->run(b->session, b->inputs, b->outputs, &b->why);
}

static void bench_down(struct bench *b)
{
	int i;

	if (b->session)
		b->ops->unload(b->session);
	for (i = 0; i < 3; i++)
		free(b->inputs[i].data);
	for (i = 0; i < 2; i++)
		free(b->outputs[i].data);
	free(b->module);
}

static void fill(struct engine_buffer *buffer, float first, float step)
{
	float *f = buffer->data;
	size_t i;

	for (i = 0; i < buffer->bytes / sizeof(float); i++)
		f[i] = first + step * (float)i;
}

static bool library_is_mapped(void)
{
	static char line[4096];
	bool found = false;
	FILE *maps = fopen("/proc/self/maps", "r");

	while (maps && !found && fgets(line, sizeof(line), maps))
		found = strstr(line, "libonnxruntime") != NULL;
	if (maps)
		fclose(maps);
	return found;
}

/* --- ONNX Runtime at arm's length --- */

static atomic_bool ort_is_up;

/* Writes numbered lines to stderr until ONNX Runtime is up. Return: how many. */
static void *chatter(void *arg)
{
	intptr_t n = 0;

	(void)arg;
	while (!atomic_load(&ort_is_up)) {
		fprintf(stderr, "line %jd\n", (intmax_t)n++);
		usleep(200);
	}
	return (void *)n;
}

/* Must be the first to need ONNX Runtime in this process. */
static void test_ort_first_session_leaves_stderr_to_its_owners(void)
{
	int real = dup(STDERR_FILENO), file = fileno(tmpfile());
	char text[64], want[64];
	const OrtApi *api;
	struct reason why = {0};
	intmax_t lines = 0;
	struct card *card;
	pthread_t thread;
	OrtEnv *env;
	void *said;
	FILE *in;

	ASSERT_EQ(card_create(&(struct card_config){.engine = "onnx"}, &card, &why), 0);
	card_destroy(card);
	EXPECT(!library_is_mapped()); /* a card without a network has not loaded it */

	dup2(file, STDERR_FILENO);
	pthread_create(&thread, NULL, chatter, NULL);
	EXPECT_EQ(ort_get(&api, &env, &why), 0);
	atomic_store(&ort_is_up, true);
	pthread_join(thread, &said);
	dup2(real, STDERR_FILENO);
	close(real);
	EXPECT_STR(why.text, "");
	EXPECT(library_is_mapped());

	in = fdopen(file, "r");
	rewind(in);
	while (fgets(text, sizeof(text), in)) {
		snprintf(want, sizeof(want), "line %jd\n", lines++);
		EXPECT_STR(text, want);
		if (tap_this_failed)
			break;
	}
	EXPECT_EQ(lines, (intptr_t)said);
	EXPECT((intptr_t)said > 10);
	fclose(in);
}

static void test_ort_second_get_gives_the_same(void)
{
	const OrtApi *api1, *api2;
	OrtEnv *env1, *env2;

	ASSERT_EQ(ort_get(&api1, &env1, NULL), 0);
	ASSERT_EQ(ort_get(&api2, &env2, NULL), 0);
	EXPECT(api1 == api2 && env1 == env2);
}

static void test_ort_refusal_is_one_printable_line(void)
{
	struct reason why = {0};
	OrtSession *session;

	EXPECT_EQ(ort_open_session("\x12\x34garbage", 9, 1, &session, &why), -ENOTSUP);
	EXPECT_HAS(why.text, "ONNX Runtime refuses the network: ");
	EXPECT(!strchr(why.text, '\n'));
}

/* --- null --- */

static void test_null_copies_cuts_and_fills(void)
{
	static const struct tiny_network net = {
		.inputs = {TINY_F32("a", 8), TINY_F32("b", 4), TINY_F32("c", 1)},
		.outputs = {TINY_F32("x", 4), TINY_F32("y", 8)},
	};
	struct bench b;
	float *x, *y;
	int i;

	ASSERT_EQ(bench_up(&b, &engine_null, &net, "-", 1, 1), 0);
	fill(&b.inputs[0], 1, 1);
	fill(&b.inputs[1], 100, 1);
	EXPECT_EQ(bench_run(&b), 0);
	x = b.outputs[0].data;
	y = b.outputs[1].data;
	for (i = 0; i < 4; i++) {
		EXPECT(x[i] == 1.0f + (float)i);
		EXPECT(y[i] == 100.0f + (float)i);
		EXPECT(y[4 + i] == 0.0f);
	}
	bench_down(&b);
}

static void test_null_more_outputs_than_inputs_are_zeros(void)
{
	static const struct tiny_network net = {
		.inputs = {TINY_F32("a", 2)},
		.outputs = {TINY_F32("x", 2), TINY_F32("y", 2)},
	};
	struct bench b;

	ASSERT_EQ(bench_up(&b, &engine_null, &net, "-", 1, 1), 0);
	EXPECT_EQ(bench_run(&b), 0);
	EXPECT_EQ(*(uint64_t *)b.outputs[0].data, 0xeeeeeeeeeeeeeeeell);
	EXPECT_EQ(*(uint64_t *)b.outputs[1].data, 0);
	bench_down(&b);
}

/* --- onnx: results --- */

static void test_onnx_add_relu_computes(void)
{
	struct bench b;
	int i;

	ASSERT_EQ(bench_tiny(&b, &tiny_add_relu), 0);
	fill(&b.inputs[0], -4, 1);
	fill(&b.inputs[1], 0.5, 0);
	EXPECT_EQ(bench_run(&b), 0);
	for (i = 0; i < 8; i++)
		EXPECT(((float *)b.outputs[0].data)[i] == (i < 4 ? 0.0f : (float)i - 3.5f));
	bench_down(&b);
}

static void test_onnx_other_buffers_next_run_are_followed(void)
{
	struct bench b;
	struct engine_buffer first;

	ASSERT_EQ(bench_tiny(&b, &tiny_add_relu), 0);
	fill(&b.inputs[0], 1, 0);
	fill(&b.inputs[1], 1, 0);
	EXPECT_EQ(bench_run(&b), 0);
	first = b.outputs[0];
	b.outputs[0].data = aligned_alloc(64, 64);
	fill(&b.inputs[1], 2, 0);
	EXPECT_EQ(bench_run(&b), 0);
	EXPECT(((float *)first.data)[7] == 2.0f);
	EXPECT(((float *)b.outputs[0].data)[7] == 3.0f);
	free(first.data);
	bench_down(&b);
}

/* Large enough to be read in place. */
static void test_onnx_large_floats_of_the_next_run_are_read(void)
{
	static const struct tiny_network net = {
		.inputs = {TINY_F32("x", 256, 256)},
		.outputs = {TINY_F32("y", 256, 256)},
		.nodes = {{"Neg", {"x"}, {"y"}}},
	};
	struct bench b;
	int run, i;

	ASSERT_EQ(bench_tiny(&b, &net), 0);
	for (run = 0; run < 2; run++) {
		fill(&b.inputs[0], (float)run, 1);
		EXPECT_EQ(bench_run(&b), 0);
		for (i = 0; i < 256 * 256; i++) {
			if (((float *)b.outputs[0].data)[i] != -((float)run + (float)i))
				TAP_FAIL("element %d of run %d is wrong", i, run);
		}
	}
	bench_down(&b);
}

static void test_onnx_output_that_is_an_input_is_delivered(void)
{
	static const struct tiny_network nets[] = {
		{
			.inputs = {TINY_F32("x", 256, 256)},
			.outputs = {TINY_F32("y", 256, 256)},
			.nodes = {{"Identity", {"x"}, {"y"}}},
		},
		{
			.inputs = {TINY_F32("x", 256, 256)},
			.outputs = {TINY_F32("x", 256, 256), TINY_F32("y", 256, 256)},
			.nodes = {{"Neg", {"x"}, {"y"}}},
		},
	};
	unsigned int n;

	for (n = 0; n < 2; n++) {
		struct bench b;
		int run;

		ASSERT_EQ(bench_tiny(&b, &nets[n]), 0);
		for (run = 0; run < 2; run++) {
			fill(&b.inputs[0], (float)run, 1);
			EXPECT_EQ(bench_run(&b), 0);
			EXPECT(!memcmp(b.inputs[0].data, b.outputs[0].data, b.inputs[0].bytes));
		}
		bench_down(&b);
	}
}

static void test_onnx_dynamic_dimension_takes_the_tables(void)
{
	static const struct tiny_network net = {
		.inputs = {TINY_F32("x", -3, 4)},
		.outputs = {TINY_F32("y", -3, 4)},
		.nodes = {{"Neg", {"x"}, {"y"}}},
	};
	struct bench b;

	ASSERT_EQ(bench_tiny(&b, &net), 0);
	fill(&b.inputs[0], 0, 1);
	EXPECT_EQ(bench_run(&b), 0);
	EXPECT(((float *)b.outputs[0].data)[11] == -11.0f);
	bench_down(&b);
}

static void test_onnx_wrong_dynamic_output_fails_and_lives_on(void)
{
	static const struct tiny_network net = {
		.inputs = {TINY_F32("x", -3, 4)},
		.outputs = {TINY_F32("y", -5, 4)},
		.nodes = {{"Neg", {"x"}, {"y"}}},
	};
	struct bench b;

	ASSERT_EQ(bench_tiny(&b, &net), 0);
	EXPECT_EQ(bench_run(&b), -EIO);
	EXPECT_HAS(b.why.text, "ONNX Runtime failed: ");
	EXPECT_EQ(bench_run(&b), -EIO);
	bench_down(&b);
}

static void test_onnx_bad_index_fails_and_lives_on(void)
{
	static const struct tiny_network net = {
		.inputs = {TINY_F32("x", 4), {"i", METIS_I64, 1, {2}}},
		.outputs = {TINY_F32("y", 2)},
		.nodes = {{"Gather", {"x", "i"}, {"y"}}},
	};
	struct bench b;

	ASSERT_EQ(bench_tiny(&b, &net), 0);
	fill(&b.inputs[0], 10, 1);
	((int64_t *)b.inputs[1].data)[0] = 3;
	((int64_t *)b.inputs[1].data)[1] = 1ll << 40;
	EXPECT_EQ(bench_run(&b), -EIO);
	((int64_t *)b.inputs[1].data)[1] = 0;
	EXPECT_EQ(bench_run(&b), 0);
	EXPECT(((float *)b.outputs[0].data)[0] == 13.0f);
	EXPECT(((float *)b.outputs[0].data)[1] == 10.0f);
	bench_down(&b);
}

/* --- onnx: refusals --- */

static void expect_load_refused(const struct tiny_network *net, const struct tiny_network *table,
				int err, const char *says)
{
	static struct pb model;
	struct bench b;

	tiny_onnx(net, &model);
	EXPECT_EQ(bench_up(&b, &engine_onnx, table, model.data, model.used, 1), err);
	EXPECT_HAS(b.why.text, says);
	bench_down(&b);
}

static void test_onnx_table_that_differs_is_refused(void)
{
	struct tiny_network table = tiny_add_relu;

	table.inputs[0].name = "c";
	expect_load_refused(&tiny_add_relu, &table, -EINVAL,
			    "the network calls it \"a\"\ninput 0 (\"c\") of the module's table");
	table = tiny_add_relu;
	table.outputs[0].dtype = METIS_I32;
	expect_load_refused(&tiny_add_relu, &table, -EINVAL, "element type is 6, the network's 1");
	table = tiny_add_relu;
	table.inputs[1].dims[1] = 9;
	expect_load_refused(&tiny_add_relu, &table, -EINVAL, "dimension 1 is 9, the network's 8");
	table = tiny_add_relu;
	table.inputs[1].ndims = 3;
	table.inputs[1].dims[2] = 1;
	expect_load_refused(&tiny_add_relu, &table, -EINVAL, "3 dimensions, the network's has 2");
	table = tiny_add_relu;
	table.inputs[1].name = NULL;
	expect_load_refused(&tiny_add_relu, &table, -EINVAL,
			    "table has 1 inputs and 1 outputs, the network 2 and 1");
}

static void test_onnx_unknown_operator_is_not_supported(void)
{
	struct tiny_network net = tiny_add_relu;

	net.nodes[1].op = "NoSuchOperator";
	expect_load_refused(&net, &net, -ENOTSUP, "NoSuchOperator");
}

static void test_onnx_broken_payload_is_refused(void)
{
	static struct pb model;
	struct reason why;
	size_t cut;

	tiny_onnx(&tiny_add_relu, &model);
	EXPECT_EQ(onnx_scan(model.data, model.used, NULL), 0);
	for (cut = 1; cut < model.used; cut++) {
		struct bench b;

		if (onnx_scan(model.data, cut, NULL))
			continue;
		/* A whole message less the last fields: for ONNX Runtime to judge. */
		EXPECT(bench_up(&b, &engine_onnx, &tiny_add_relu, model.data, cut, 1) < 0);
		bench_down(&b);
	}
	why.text[0] = '\0';
	EXPECT_EQ(onnx_scan("\x08\x08\x00\x00ORTM", 8, &why), -ENOTSUP);
	why.text[0] = '\0';
	EXPECT_EQ(onnx_scan(model.data, model.used - 1, &why), -EINVAL);
	EXPECT_HAS(why.text, "not a well-formed ONNX file");
}

/* A tensor whose weights are in another file: as an initializer, or deep in an attribute. */
static void external_tensor(struct pb *ret_tensor)
{
	static struct pb entry;

	entry.used = ret_tensor->used = 0;
	pb_text(&entry, 1, "location");
	pb_text(&entry, 2, "etc/hostname");
	pb_number(ret_tensor, 1, 4);
	pb_number(ret_tensor, 2, METIS_U8);
	pb_text(ret_tensor, 8, "w");
	pb_message(ret_tensor, 13, &entry);
	pb_number(ret_tensor, 14, 1);
}

static void test_onnx_weights_outside_the_file_are_refused(void)
{
	static struct pb tensor, graph, attribute, node, inner, model;
	struct reason why = {0};

	external_tensor(&tensor);
	graph.used = 0;
	pb_message(&graph, 5, &tensor);
	tiny_model(&model, &graph);
	EXPECT_EQ(onnx_scan(model.data, model.used, &why), -ENOTSUP);
	EXPECT_HAS(why.text, "network keeps weights outside its own file");

	inner = graph;
	attribute.used = node.used = graph.used = 0;
	pb_message(&attribute, 6, &inner); /* a subgraph that has such an initializer */
	pb_message(&node, 5, &attribute);
	pb_message(&graph, 1, &node);
	tiny_model(&model, &graph);
	EXPECT_EQ(onnx_scan(model.data, model.used, NULL), -ENOTSUP);
}

static void test_onnx_endless_nesting_is_refused(void)
{
	static struct pb graph, attribute, node, model;
	int depth;

	graph.used = 0;
	for (depth = 0; depth < 60; depth++) {
		attribute.used = node.used = 0;
		pb_message(&attribute, 6, &graph);
		pb_message(&node, 5, &attribute);
		graph.used = 0;
		pb_message(&graph, 1, &node);
	}
	tiny_model(&model, &graph);
	EXPECT_EQ(onnx_scan(model.data, model.used, NULL), -EINVAL);
}

/* --- onnx: cancel --- */

static const struct tiny_network slow_net = {
	.inputs = {TINY_F32("x", 512, 512)},
	.outputs = {TINY_F32("y", 512, 512)},
	.chain = 400,
};

static void *cancel_soon(void *arg)
{
	struct bench *b = arg;

	usleep(100000);
	b->ops->cancel(b->session);
	return NULL;
}

static void test_onnx_cancel_ends_the_run_only(void)
{
	static const struct tiny_network small = {
		.inputs = {TINY_F32("x", 2, 2)},
		.outputs = {TINY_F32("y", 2, 2)},
		.chain = 3,
	};
	pthread_t thread;
	struct bench b;

	ASSERT_EQ(bench_tiny(&b, &slow_net), 0);
	fill(&b.inputs[0], 0, 0);
	b.ops->arm(b.session);
	pthread_create(&thread, NULL, cancel_soon, &b);
	EXPECT_EQ(b.ops->run(b.session, b.inputs, b.outputs, &b.why), -ECANCELED);
	pthread_join(thread, NULL);
	bench_down(&b);

	ASSERT_EQ(bench_tiny(&b, &small), 0);
	b.ops->arm(b.session);
	b.ops->cancel(b.session); /* before the run: still the one that was announced */
	EXPECT_EQ(b.ops->run(b.session, b.inputs, b.outputs, &b.why), -ECANCELED);
	b.ops->cancel(b.session); /* between runs: forgotten */
	EXPECT_EQ(bench_run(&b), 0);
	bench_down(&b);
}

/* Once cancel() is back the output belongs to somebody else, however late the run notices. */
static void test_engine_canceled_run_leaves_the_output_alone(void)
{
	static const struct tiny_network net = {
		.inputs = {TINY_F32("x", 256, 256)},
		.outputs = {TINY_F32("y", 256, 256)},
		.nodes = {{"Neg", {"x"}, {"y"}}},
	};
	static const struct engine_ops *const engines[] = {&engine_onnx, &engine_null};
	static struct pb model;
	size_t i;

	tiny_onnx(&net, &model);
	for (i = 0; i < 2; i++) {
		struct bench b;

		ASSERT_EQ(bench_up(&b, engines[i], &net, model.data, model.used, 1), 0);
		fill(&b.inputs[0], 1, 1);
		b.ops->arm(b.session);
		b.ops->cancel(b.session);
		EXPECT_EQ(b.ops->run(b.session, b.inputs, b.outputs, &b.why), -ECANCELED);
		EXPECT_EQ(*(uint64_t *)b.outputs[0].data, 0xeeeeeeeeeeeeeeeell);
		EXPECT_EQ(bench_run(&b), 0);
		EXPECT(*(uint64_t *)b.outputs[0].data != 0xeeeeeeeeeeeeeeeell);
		bench_down(&b);
	}
}

/* A few hundred bytes of module that would have the host keep gigabytes. */
static void test_onnx_tensors_beyond_all_reason_are_refused(void)
{
	static const struct tiny_network net = {
		.inputs = {{"x", METIS_I8, 2, {-0x40000000, 8}}},
		.outputs = {{"y", METIS_I8, 2, {-0x40000000, 8}}},
		.nodes = {{"Identity", {"x"}, {"y"}}},
	};
	struct bench b;

	EXPECT_EQ(bench_tiny(&b, &net), -ENOMEM);
	EXPECT_HAS(b.why.text, "tensors");
	bench_down(&b);
}

/* --- real networks, where there are some --- */

static void *read_file(const char *dir, const char *name, size_t *ret_bytes)
{
	char path[4096];
	struct stat st;
	void *data = NULL;
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	file = fopen(path, "r");
	if (file && !fstat(fileno(file), &st)) {
		data = malloc((size_t)st.st_size);
		*ret_bytes = fread(data, 1, (size_t)st.st_size, file);
	}
	if (file)
		fclose(file);
	return data;
}

/* The same network by ONNX Runtime's own defaults, nothing shared but its environment. */
static void run_directly(const void *model, size_t bytes, struct bench *b, void *ret_output)
{
	const OrtApi *api;
	OrtEnv *env;
	OrtSessionOptions *options = NULL;
	OrtSession *session = NULL;
	OrtMemoryInfo *info = NULL;
	OrtValue *in = NULL, *out = NULL;
	const char *in_name = b->view.inputs[0].name, *out_name = b->view.outputs[0].name;
	const int64_t dims[] = {1, 3, 224, 224};
	void *data = NULL;

	ASSERT_EQ(ort_get(&api, &env, NULL), 0);
	ASSERT(!api->CreateSessionOptions(&options));
	ASSERT(!api->CreateSessionFromArray(env, model, bytes, options, &session));
	ASSERT(!api->CreateCpuMemoryInfo(OrtArenaAllocator, OrtMemTypeDefault, &info));
	ASSERT(!api->CreateTensorWithDataAsOrtValue(info, b->inputs[0].data, b->inputs[0].bytes,
						    dims, 4, ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT,
						    &in));
	ASSERT(!api->Run(session, NULL, &in_name, (const OrtValue *const *)&in, 1, &out_name, 1,
			 &out));
	ASSERT(!api->GetTensorMutableData(out, &data));
	memcpy(ret_output, data, b->outputs[0].bytes);
	api->ReleaseValue(out);
	api->ReleaseValue(in);
	api->ReleaseMemoryInfo(info);
	api->ReleaseSession(session);
	api->ReleaseSessionOptions(options);
}

static void expect_bit_identical(const char *dir, const char *name)
{
	static const struct tiny_network net = {
		.inputs = {TINY_F32("input", 1, 3, 224, 224)},
		.outputs = {TINY_F32("logits", 1, 1000)},
	};
	uint32_t s = 12345;
	unsigned int cores;
	float direct[1000];
	size_t bytes, i;
	void *model = read_file(dir, name, &bytes);
	struct bench b;

	ASSERT(model);
	for (cores = 1; cores <= 2; cores++) {
		ASSERT_EQ(bench_up(&b, &engine_onnx, &net, model, bytes, cores), 0);
		for (i = 0; i < b.inputs[0].bytes / 4; i++) {
			s = s * 1664525 + 1013904223;
			((float *)b.inputs[0].data)[i] = (float)(s >> 24) / 128 - 1;
		}
		EXPECT_EQ(bench_run(&b), 0);
		run_directly(model, bytes, &b, direct);
		EXPECT(!memcmp(direct, b.outputs[0].data, sizeof(direct)));
		bench_down(&b);
	}
	free(model);
}

static void test_onnx_real_networks_match_a_direct_session_bit_by_bit(void)
{
	const char *dir = getenv("TETHYS_MODELS");

	if (!dir)
		SKIP("TETHYS_MODELS does not name a folder of networks");
	expect_bit_identical(dir, "mobilenetv2-imagenet.onnx");
	expect_bit_identical(dir, "mobilenetv2-imagenet-int8.onnx");
	expect_bit_identical(dir, "resnet18-random.onnx");
}

static void test_engine_unknown_name_is_none(void)
{
	EXPECT(engine_find("onnx") == &engine_onnx);
	EXPECT(engine_find("null") == &engine_null);
	EXPECT(!engine_find("") && !engine_find("onn"));
}

int main(void)
{
	RUN(test_ort_first_session_leaves_stderr_to_its_owners);
	RUN(test_ort_second_get_gives_the_same);
	RUN(test_ort_refusal_is_one_printable_line);
	RUN(test_engine_unknown_name_is_none);
	RUN(test_null_copies_cuts_and_fills);
	RUN(test_null_more_outputs_than_inputs_are_zeros);
	RUN(test_onnx_add_relu_computes);
	RUN(test_onnx_other_buffers_next_run_are_followed);
	RUN(test_onnx_large_floats_of_the_next_run_are_read);
	RUN(test_onnx_output_that_is_an_input_is_delivered);
	RUN(test_onnx_dynamic_dimension_takes_the_tables);
	RUN(test_onnx_wrong_dynamic_output_fails_and_lives_on);
	RUN(test_onnx_bad_index_fails_and_lives_on);
	RUN(test_onnx_table_that_differs_is_refused);
	RUN(test_onnx_unknown_operator_is_not_supported);
	RUN(test_onnx_broken_payload_is_refused);
	RUN(test_onnx_weights_outside_the_file_are_refused);
	RUN(test_onnx_endless_nesting_is_refused);
	RUN(test_onnx_cancel_ends_the_run_only);
	RUN(test_engine_canceled_run_leaves_the_output_alone);
	RUN(test_onnx_tensors_beyond_all_reason_are_refused);
	RUN(test_onnx_real_networks_match_a_direct_session_bit_by_bit);
	return tap_done();
}
