/* SPDX-License-Identifier: MIT */
/*
 * Photos through real networks (ONNX Runtime, no card): what comes out must be what expected.json
 * says. Needs the folder of models and photos: TETHYS_MODELS. The demo's detector is tried when it
 * was fetched.
 */
#include <limits.h>
#include <math.h>
#include <unistd.h>

#include <json-c/json.h>

#include "network.h"
#include "tasks/classify.h"
#include "tasks/detect.h"
#include "tests/tap.h"

static const char *folder;
static json_object *expected;

static json_object *get(json_object *object, const char *key)
{
	json_object *value = NULL;

	json_object_object_get_ex(object, key, &value);
	return value;
}

static double number(json_object *object, const char *key)
{
	return json_object_get_double(get(object, key));
}

static double at(json_object *array, size_t index)
{
	return json_object_get_double(json_object_array_get_idx(array, index));
}

static const char *string(json_object *object, const char *key)
{
	return json_object_get_string(get(object, key));
}

static double box_distance(const struct face *face, json_object *box)
{
	double worst = 0;

	for (size_t i = 0; i < 4; i++)
		worst = fmax(worst, fabs(face->box[i] - at(box, i)));
	return worst;
}

static double points_distance(const struct face *face, json_object *points)
{
	double worst = 0;

	for (size_t i = 0; i < 2 * FACE_POINTS; i++) {
		json_object *point = json_object_array_get_idx(points, i / 2);

		worst = fmax(worst, fabs(face->points[i] - at(point, i % 2)));
	}
	return worst;
}

static void expect_face(const struct detect_result *result, json_object *want, json_object *case_)
{
	json_object *tolerance = get(case_, "tolerance");
	const struct face *nearest = NULL;

	for (size_t i = 0; i < result->count; i++)
		if (!nearest || box_distance(&result->faces[i], get(want, "box")) <
					box_distance(nearest, get(want, "box")))
			nearest = &result->faces[i];
	ASSERT(nearest);
	EXPECT(box_distance(nearest, get(want, "box")) <= number(tolerance, "pixels"));
	EXPECT(points_distance(nearest, get(want, "landmarks")) <= number(tolerance, "pixels"));
	EXPECT(fabs(nearest->score - number(want, "score")) <= number(tolerance, "score"));
}

static void check_faces(struct network *network, const struct image *photo, json_object *case_)
{
	struct detect_options options = {.threshold = number(case_, "score_threshold"),
					 .nms_iou = number(case_, "nms_iou")};
	json_object *faces = get(case_, "faces");
	struct detect_result result;
	enum preprocess_kind kind;
	float scale;

	ASSERT_EQ(
		detect_kind(&network->input, network->outputs, network->output_count, &kind, NULL),
		0);
	EXPECT_EQ(kind, PREPROCESS_RETINAFACE);
	ASSERT_EQ(preprocess(kind, photo, &network->input, &scale, NULL), 0);
	ASSERT_EQ(network_run(network, NULL), 0);
	ASSERT_EQ(detect_faces(kind, &network->input, network->outputs, network->output_count,
			       scale, &options, &result, NULL),
		  0);
	EXPECT_EQ(result.count, number(case_, "count"));
	EXPECT(fabs(result.best_score - number(case_, "best_score")) <=
	       number(get(case_, "tolerance"), "best_score"));
	for (size_t i = 0; i < json_object_array_length(faces); i++)
		expect_face(&result, json_object_array_get_idx(faces, i), case_);
	detect_result_deinit(&result);
}

static void expect_class(const struct class_score *top, size_t count, json_object *want,
			 json_object *tolerance)
{
	for (size_t i = 0; i < count; i++) {
		if (top[i].index != (size_t)number(want, "index"))
			continue;
		EXPECT(fabs(top[i].logit - number(want, "logit")) <= number(tolerance, "logit"));
		EXPECT(fabs(top[i].probability - number(want, "probability")) <=
		       number(tolerance, "probability"));
		return;
	}
	TAP_FAIL("class %d is missing", (int)number(want, "index"));
}

static void check_classes(struct network *network, const struct image *photo, json_object *case_)
{
	json_object *wanted = get(case_, "top5");
	struct class_score top[1000];
	size_t count;

	ASSERT_EQ(preprocess(PREPROCESS_CLASSIFY, photo, &network->input, NULL, NULL), 0);
	ASSERT_EQ(network_run(network, NULL), 0);
	ASSERT_EQ(classify_top(&network->outputs[0], 1000, top, &count, NULL), 0);
	ASSERT(json_object_array_length(wanted) == 5);
	for (size_t i = 0; i < 5; i++)
		expect_class(top, count, json_object_array_get_idx(wanted, i),
			     get(case_, "tolerance"));
	if (json_object_get_boolean(get(case_, "top1_must_match")))
		EXPECT_EQ(top[0].index, number(json_object_array_get_idx(wanted, 0), "index"));
}

static void check_case(json_object *case_, const char *kind)
{
	char model[4096], photo_path[4096];
	struct network network;
	struct reason why = {""};
	struct image photo;
	bool failed_before = tap_this_failed;

	tap_this_failed = false;
	snprintf(model, sizeof(model), "%s/%s", folder, string(case_, "model"));
	snprintf(photo_path, sizeof(photo_path), "%s/%s", folder, string(case_, "image"));
	ASSERT_EQ(image_load(photo_path, &photo, NULL), 0);
	EXPECT_EQ(network_open(model, &network, &why), 0);
	if (tap_this_failed) {
		printf("# %s\n", why.text);
	} else {
		if (!strcmp(kind, "faces"))
			check_faces(&network, &photo, case_);
		else
			check_classes(&network, &photo, case_);
		network_close(&network);
	}
	image_deinit(&photo);
	if (tap_this_failed)
		printf("# in %s on %s\n", string(case_, "model"), string(case_, "image"));
	tap_this_failed |= failed_before;
}

static void check_kind(const char *kind, size_t at_least)
{
	json_object *cases;
	size_t seen = 0;

	if (!expected)
		SKIP("TETHYS_MODELS names no folder with expected.json");
	cases = get(expected, "cases");
	for (size_t i = 0; i < json_object_array_length(cases); i++) {
		json_object *case_ = json_object_array_get_idx(cases, i);

		if (strcmp(string(case_, "kind"), kind))
			continue;
		check_case(case_, kind);
		seen++;
	}
	EXPECT(seen >= at_least);
}

static void test_expected_faces_match(void)
{
	check_kind("faces", 12);
}

static void test_expected_classes_match(void)
{
	check_kind("classes", 12);
}

/* Where scripts/fetch-face-model leaves the detector of the demo. */
static void asset_path(const char *name, char ret_path[PATH_MAX])
{
	const char *assets = getenv("TETHYS_ASSETS"), *cache = getenv("XDG_CACHE_HOME");
	const char *home = getenv("HOME");

	if (assets)
		snprintf(ret_path, PATH_MAX, "%s/%s", assets, name);
	else
		snprintf(ret_path, PATH_MAX, "%s%s/tethys/assets/face-api-1.7.15/%s",
			 cache	? cache
			 : home ? home
				: "",
			 cache ? "" : "/.cache", name);
}

/* Noses as RetinaFace sees them in the same photo: each must be in a box, and each box have one. */
static void check_five(const struct detect_result *result)
{
	static const float noses[5][2] = {
		{867, 221}, {684, 544}, {1505, 530}, {1198, 313}, {471, 1021}};

	EXPECT_EQ(result->count, 5);
	for (int i = 0; i < 5; i++) {
		int around = 0;

		for (size_t k = 0; k < result->count; k++) {
			const float *box = result->faces[k].box;

			around += noses[i][0] > box[0] && noses[i][0] < box[2] &&
				  noses[i][1] > box[1] && noses[i][1] < box[3];
		}
		EXPECT_EQ(around, 1);
	}
}

static void test_tiny_face_finds_the_five_of_its_sample(void)
{
	char model[PATH_MAX], photo_path[PATH_MAX];
	struct detect_result result;
	enum preprocess_kind kind;
	struct network network;
	struct image photo;
	float scale;

	asset_path("tiny-face.onnx", model);
	asset_path("package/demo/sample5.jpg", photo_path);
	if (access(model, R_OK) || access(photo_path, R_OK))
		SKIP("scripts/fetch-face-model was not run");
	ASSERT_EQ(image_load(photo_path, &photo, NULL), 0);
	ASSERT_EQ(network_open(model, &network, NULL), 0);
	ASSERT_EQ(detect_kind(&network.input, network.outputs, network.output_count, &kind, NULL),
		  0);
	EXPECT_EQ(kind, PREPROCESS_TINY_FACE);
	ASSERT_EQ(preprocess(kind, &photo, &network.input, &scale, NULL), 0);
	ASSERT_EQ(network_run(&network, NULL), 0);
	ASSERT_EQ(detect_faces(kind, &network.input, network.outputs, network.output_count, scale,
			       NULL, &result, NULL),
		  0);
	check_five(&result);
	detect_result_deinit(&result);
	network_close(&network);
	image_deinit(&photo);
}

int main(void)
{
	char path[4096];

	folder = getenv("TETHYS_MODELS");
	if (folder) {
		snprintf(path, sizeof(path), "%s/expected.json", folder);
		expected = json_object_from_file(path);
	}
	RUN(test_expected_faces_match);
	RUN(test_expected_classes_match);
	RUN(test_tiny_face_finds_the_five_of_its_sample);
	json_object_put(expected);
	return tap_done();
}
