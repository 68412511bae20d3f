/* SPDX-License-Identifier: MIT */
/*
 * Every case of expected.json through the command, on a card in its process and on a card process;
 * and the raw outputs against ONNX Runtime called directly, byte for byte.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <json-c/json.h>
#include <onnxruntime_c_api.h>

#include "common/ort.h"
#include "tests/e2e/e2e.h"
#include "tests/tap.h"

#define RUN_MS 60000
#define PHOTOS_MAX 16

/* A true singleton: the program. */
static struct {
	const char *models; /* folder */
	struct json_object *expected;
	char dir[PATH_MAX];
	struct e2e_card card;
	const char *device, *label; /* of the tests that run now */
	/* The case at hand. */
	struct json_object *want, *have;
} test;

static struct json_object *get(struct json_object *object, const char *key)
{
	struct json_object *value = NULL;

	json_object_object_get_ex(object, key, &value);
	return value;
}

static double number(struct json_object *object, const char *key)
{
	return json_object_get_double(get(object, key));
}

static const char *string(struct json_object *object, const char *key)
{
	const char *text = json_object_get_string(get(object, key));

	return text ? text : "";
}

static struct json_object *at(struct json_object *array, size_t i)
{
	return json_object_array_get_idx(array, i);
}

static void expect_near(double have, double want, double tolerance, const char *what)
{
	/* Negated, so that a NaN fails. */
	if (!(fabs(have - want) <= tolerance))
		TAP_FAIL("%s is %.6f, not %.6f within %.6f", what, have, want, tolerance);
}

/* --- pattern --- */

static void check_output(struct json_object *want, struct json_object *have)
{
	double tolerance = number(want, "tolerance");
	struct json_object *samples = get(want, "samples");

	EXPECT_STR(string(have, "name"), string(want, "name"));
	expect_near(number(have, "mean"), number(want, "mean"), tolerance, "mean");
	expect_near(number(have, "min"), number(want, "min"), tolerance, "min");
	expect_near(number(have, "max"), number(want, "max"), tolerance, "max");
	for (size_t i = 0; i < json_object_array_length(samples); i++) {
		struct json_object *a = at(samples, i), *b = at(get(have, "samples"), i);

		EXPECT_EQ(number(b, "index"), number(a, "index"));
		expect_near(number(b, "value"), number(a, "value"), tolerance, "sample");
	}
}

static void check_pattern(void)
{
	struct json_object *want = get(test.want, "outputs"), *have = get(test.have, "outputs");

	ASSERT(have);
	ASSERT_EQ(json_object_array_length(have), json_object_array_length(want));
	for (size_t i = 0; i < json_object_array_length(want); i++)
		check_output(at(want, i), at(have, i));
}

/* --- faces --- */

static double box_distance(struct json_object *a, struct json_object *b)
{
	double sum = 0;

	for (size_t i = 0; i < 4; i++)
		sum += fabs(json_object_get_double(at(get(a, "box"), i)) -
			    json_object_get_double(at(get(b, "box"), i)));
	return sum;
}

static struct json_object *nearest(struct json_object *faces, struct json_object *want)
{
	struct json_object *best = NULL;

	for (size_t i = 0; i < json_object_array_length(faces); i++)
		if (!best || box_distance(at(faces, i), want) < box_distance(best, want))
			best = at(faces, i);
	return best;
}

static void check_face(struct json_object *want, struct json_object *have,
		       struct json_object *tolerance)
{
	double pixels = number(tolerance, "pixels");

	expect_near(number(have, "score"), number(want, "score"), number(tolerance, "score"),
		    "score");
	for (size_t i = 0; i < 4; i++)
		expect_near(json_object_get_double(at(get(have, "box"), i)),
			    json_object_get_double(at(get(want, "box"), i)), pixels, "box");
	for (size_t i = 0; i < 10; i++)
		expect_near(json_object_get_double(at(at(get(have, "landmarks"), i / 2), i % 2)),
			    json_object_get_double(at(at(get(want, "landmarks"), i / 2), i % 2)),
			    pixels, "landmark");
}

static void check_faces(void)
{
	struct json_object *want = get(test.want, "faces"), *have = get(test.have, "faces");
	struct json_object *tolerance = get(test.want, "tolerance");

	ASSERT(have);
	EXPECT_EQ(number(test.have, "count"), number(test.want, "count"));
	ASSERT_EQ(json_object_array_length(have), json_object_array_length(want));
	expect_near(number(test.have, "score_threshold"), number(test.want, "score_threshold"),
		    1e-6, "score_threshold");
	expect_near(number(test.have, "nms_iou"), number(test.want, "nms_iou"), 1e-6, "nms_iou");
	expect_near(number(test.have, "best_score"), number(test.want, "best_score"),
		    number(tolerance, "best_score"), "best_score");
	for (size_t i = 0; i < json_object_array_length(want); i++)
		check_face(at(want, i), nearest(have, at(want, i)), tolerance);
}

/* --- classes --- */

static struct json_object *find_class(struct json_object *top, int index)
{
	for (size_t i = 0; i < json_object_array_length(top); i++)
		if ((int)number(at(top, i), "index") == index)
			return at(top, i);
	return NULL;
}

static void check_class(struct json_object *want, struct json_object *top,
			struct json_object *tolerance)
{
	struct json_object *have = find_class(top, (int)number(want, "index"));

	ASSERT(have);
	expect_near(number(have, "logit"), number(want, "logit"), number(tolerance, "logit"),
		    "logit");
	expect_near(number(have, "probability"), number(want, "probability"),
		    number(tolerance, "probability"), "probability");
	if (get(want, "label"))
		EXPECT_STR(string(have, "label"), string(want, "label"));
}

static void check_classes(void)
{
	struct json_object *want = get(test.want, "top5"), *top = get(test.have, "top");

	ASSERT(top);
	ASSERT_EQ(json_object_array_length(top), 1000);
	for (size_t i = 0; i < json_object_array_length(want); i++)
		check_class(at(want, i), top, get(test.want, "tolerance"));
	if (json_object_get_boolean(get(test.want, "top1_must_match")))
		EXPECT_EQ(number(at(top, 0), "index"), number(at(want, 0), "index"));
}

static void check_case(void)
{
	const char *kind = string(test.want, "kind");

	ASSERT(test.have); /* the command's own failure is shown above */
	if (!strcmp(kind, "pattern"))
		check_pattern();
	else if (!strcmp(kind, "faces"))
		check_faces();
	else if (!strcmp(kind, "classes"))
		check_classes();
	else
		TAP_FAIL("kind \"%s\" is not known to this test", kind);
}

/* --- running the command --- */

/* Parsed stdout, NULL after saying why not. */
static struct json_object *run_json(const char *const *argv)
{
	struct json_object *root = NULL;
	struct e2e_result result;

	e2e_run(argv, RUN_MS, &result);
	if (result.code == 0)
		root = json_tokener_parse(result.out);
	if (!root)
		printf("# tethys run: code %d\n# %s\n", result.code, result.err);
	else if (*result.err)
		printf("# on stderr: %s\n", result.err);
	e2e_result_deinit(&result);
	return root;
}

static void check_named(struct json_object *want, struct json_object *have)
{
	char name[256];

	snprintf(name, sizeof(name), "%s %s %s %s", test.label, string(want, "model"),
		 string(want, "kind"), string(want, "image"));
	test.want = want;
	test.have = have;
	tap_run(name, check_case);
}

static bool is_case(struct json_object *c, const char *model, bool pattern)
{
	return !strcmp(string(c, "model"), model) &&
	       !strcmp(string(c, "kind"), "pattern") == pattern;
}

/* All photos of a model in one process: loading it each time would cost more than the runs. */
static void run_photos(const char *model)
{
	struct json_object *cases = get(test.expected, "cases"), *mine[PHOTOS_MAX], *root;
	char path[PATH_MAX], photos[PHOTOS_MAX][PATH_MAX];
	const char *argv[E2E_ARGS_MAX] = {"tethys", "run",   path,   "--device", test.device,
					  "--json", "--top", "1000", "--input"};
	size_t count = 0;

	snprintf(path, sizeof(path), "%s/%s", test.models, model);
	for (size_t i = 0; i < json_object_array_length(cases) && count < PHOTOS_MAX; i++) {
		if (!is_case(at(cases, i), model, false))
			continue;
		snprintf(photos[count], PATH_MAX, "%s/%s", test.models,
			 string(at(cases, i), "image"));
		argv[9 + count] = photos[count];
		mine[count++] = at(cases, i);
	}
	if (!count)
		return;
	root = run_json(argv);
	for (size_t i = 0; i < count; i++)
		check_named(mine[i], root ? at(get(root, "results"), i) : NULL);
	json_object_put(root);
}

/* The tensor that the README of the models describes. */
static float *pattern_tensor(struct json_object *model, size_t *ret_count)
{
	static const float face_mean[3] = {104, 117, 123}; /* B, G, R */
	static const float mean[3] = {0.485f, 0.456f, 0.406f}, std[3] = {0.229f, 0.224f, 0.225f};
	bool faces = !strcmp(string(model, "kind"), "faces");
	struct json_object *shape = get(get(model, "input"), "shape");
	size_t plane = (size_t)json_object_get_int64(at(shape, 2)) *
		       (size_t)json_object_get_int64(at(shape, 3));
	float *values = calloc(3 * plane, sizeof(*values));
	uint32_t s = 12345;

	for (size_t i = 0; values && i < 3 * plane; i++) {
		size_t channel = i / plane;
		float value;

		s = s * 1664525u + 1013904223u;
		value = (float)(s >> 24);
		values[i] = faces ? value - face_mean[channel]
				  : (value / 255.0f - mean[channel]) / std[channel];
	}
	*ret_count = 3 * plane;
	return values;
}

static void run_pattern(const char *model, struct json_object *info)
{
	struct json_object *cases = get(test.expected, "cases"), *root;
	char path[PATH_MAX], input[PATH_MAX], output[PATH_MAX + 16];
	const char *argv[] = {"tethys",	  "run",    path,  "--device", test.device,
			      "--json",	  "--task", "raw", "--input",  input,
			      "--output", output,   NULL};
	size_t count;
	float *values = pattern_tensor(info, &count);

	if (!values || e2e_write(test.dir, "pattern.bin", values, 4 * count, input)) {
		printf("Bail out! no room for the input\n");
		exit(1);
	}
	free(values);
	snprintf(path, sizeof(path), "%s/%s", test.models, model);
	snprintf(output, sizeof(output), "%s/%s-%s", test.dir, test.label, model);
	root = run_json(argv);
	for (size_t i = 0; i < json_object_array_length(cases); i++)
		if (is_case(at(cases, i), model, true))
			check_named(at(cases, i), root ? at(get(root, "results"), 0) : NULL);
	json_object_put(root);
}

/* --- bit identity --- */

static struct {
	const char *model;
	struct json_object *info;
} identity;

static void compare_file(const char *label, const char *output, const void *want, size_t bytes)
{
	char path[PATH_MAX + 64];
	size_t have_bytes = 0;
	char *have;

	snprintf(path, sizeof(path), "%s/%s-%s/%s.bin", test.dir, label, identity.model, output);
	have = e2e_read(path, &have_bytes);
	if (!have)
		TAP_FAIL("%s is not there", path);
	else if (have_bytes != bytes || memcmp(have, want, bytes))
		TAP_FAIL("%s differs from ONNX Runtime alone", path);
	free(have);
}

static void compare_outputs(const OrtApi *api, OrtValue *const *values)
{
	struct json_object *outputs = get(identity.info, "outputs");

	for (size_t i = 0; i < json_object_array_length(outputs); i++) {
		const char *name = string(at(outputs, i), "name");
		struct json_object *shape = get(at(outputs, i), "shape");
		size_t bytes = sizeof(float);
		void *data;

		for (size_t d = 0; d < json_object_array_length(shape); d++)
			bytes *= (size_t)json_object_get_int64(at(shape, d));
		ASSERT(!api->GetTensorMutableData(values[i], &data));
		compare_file("sim", name, data, bytes);
		compare_file("vfio-user", name, data, bytes);
	}
}

static void run_direct(const OrtApi *api, OrtSession *session, float *values, size_t count)
{
	struct json_object *shape = get(get(identity.info, "input"), "shape");
	struct json_object *outputs = get(identity.info, "outputs");
	const char *in = string(get(identity.info, "input"), "name"), *out[8];
	OrtValue *input = NULL, *got[8] = {0};
	size_t n = json_object_array_length(outputs);
	OrtMemoryInfo *memory = NULL;
	int64_t dims[4];

	for (size_t i = 0; i < 4; i++)
		dims[i] = json_object_get_int64(at(shape, i));
	for (size_t i = 0; i < n && i < 8; i++)
		out[i] = string(at(outputs, i), "name");
	ASSERT(!api->CreateCpuMemoryInfo(OrtArenaAllocator, OrtMemTypeDefault, &memory));
	EXPECT(!api->CreateTensorWithDataAsOrtValue(memory, values, 4 * count, dims, 4,
						    ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT, &input));
	api->ReleaseMemoryInfo(memory);
	ASSERT(input);
	EXPECT(!api->Run(session, NULL, &in, (const OrtValue *const *)&input, 1, out, n, got));
	if (got[0])
		compare_outputs(api, got);
	for (size_t i = 0; i < n; i++)
		if (got[i])
			api->ReleaseValue(got[i]);
	api->ReleaseValue(input);
}

static void check_identity(void)
{
	struct reason why = {0};
	OrtSession *session;
	char path[PATH_MAX];
	const OrtApi *api;
	size_t bytes, count;
	OrtEnv *env;
	float *values;
	char *model;

	ASSERT_EQ(ort_get(&api, &env, &why), 0);
	snprintf(path, sizeof(path), "%s/%s", test.models, identity.model);
	model = e2e_read(path, &bytes);
	ASSERT(model);
	EXPECT_EQ(ort_open_session(model, bytes, 1, &session, &why), 0);
	free(model);
	EXPECT_STR(why.text, "");
	if (tap_this_failed)
		return;
	values = pattern_tensor(identity.info, &count);
	run_direct(api, session, values, count);
	free(values);
	api->ReleaseSession(session);
}

static void run_identity(const char *model, struct json_object *info)
{
	char name[256];

	identity.model = model;
	identity.info = info;
	snprintf(name, sizeof(name), "sim and vfio-user %s same bytes as ONNX Runtime alone",
		 model);
	tap_run(name, check_identity);
}

/* --- all of it --- */

static void run_device(const char *device, const char *label)
{
	test.device = device;
	test.label = label;
	json_object_object_foreach (get(test.expected, "models"), model, info) {
		run_pattern(model, info);
		run_photos(model);
	}
}

static bool find_models(void)
{
	char path[PATH_MAX];

	test.models = getenv("TETHYS_MODELS");
	if (!test.models || !*test.models)
		test.models = TETHYS_SOURCE "/../shared/models";
	snprintf(path, sizeof(path), "%s/expected.json", test.models);
	test.expected = json_object_from_file(path);
	if (!test.expected)
		fprintf(stderr, "skipped: no %s (TETHYS_MODELS names the folder)\n", path);
	return test.expected != NULL;
}

static void check_card_ends(void)
{
	EXPECT_EQ(e2e_card_stop(&test.card), 0);
	EXPECT(access(test.card.socket, F_OK) != 0);
}

int main(void)
{
	if (!find_models()) {
		printf("1..0 # SKIP no expected.json; TETHYS_MODELS names the folder\n");
		return 0;
	}
	if (e2e_dir_make(test.dir) || e2e_card_start(&test.card, test.dir, NULL)) {
		printf("Bail out! no card process\n");
		e2e_dir_remove(test.dir);
		return 1;
	}
	run_device("sim", "sim");
	run_device(test.card.device, "vfio-user");
	json_object_object_foreach (get(test.expected, "models"), model, info)
		run_identity(model, info);
	tap_run("the card process ends in order", check_card_ends);
	e2e_dir_remove(test.dir);
	json_object_put(test.expected);
	return tap_done();
}
