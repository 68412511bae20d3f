/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <math.h>

#include "tasks/detect.h"
#include "tasks/face_decoder.h"
#include "tests/tap.h"

#define SIZE 64
#define PRIORS 168 /* 2 * (8 * 8 + 4 * 4 + 2 * 2) */

static float loc[PRIORS * 4], conf[PRIORS * 2], landms[PRIORS * 10], grid[25 * 2 * 2];
static struct task_tensor input, outputs[3];

static struct task_tensor tensor(const uint64_t *dims, unsigned int ndims, void *data)
{
	struct task_tensor t = {.name = "", .dtype = METIS_F32, .ndims = ndims, .data = data};

	memcpy(t.dims, dims, ndims * sizeof(*dims));
	return t;
}

/* No face anywhere; outputs in an order other than the usual one. */
static void retinaface(void)
{
	memset(loc, 0, sizeof(loc));
	memset(conf, 0, sizeof(conf));
	memset(landms, 0, sizeof(landms));
	input = tensor((uint64_t[]){1, 3, SIZE, SIZE}, 4, NULL);
	outputs[0] = tensor((uint64_t[]){1, PRIORS, 10}, 3, landms);
	outputs[1] = tensor((uint64_t[]){1, PRIORS, 4}, 3, loc);
	outputs[2] = tensor((uint64_t[]){1, PRIORS, 2}, 3, conf);
}

static void tiny_face(void)
{
	for (size_t i = 0; i < 100; i++)
		grid[i] = i / 4 % 5 == 4 ? -20 : 0;
	input = tensor((uint64_t[]){1, 3, SIZE, SIZE}, 4, NULL);
	outputs[0] = tensor((uint64_t[]){1, 25, 2, 2}, 4, grid);
}

static struct detect_result retinaface_result(float scale)
{
	struct detect_result result = {0};

	EXPECT_EQ(
		detect_faces(PREPROCESS_RETINAFACE, &input, outputs, 3, scale, NULL, &result, NULL),
		0);
	return result;
}

static void expect_box(const struct face *face, float x1, float y1, float x2, float y2)
{
	const float want[] = {x1, y1, x2, y2};

	for (int i = 0; i < 4; i++)
		if (fabsf(face->box[i] - want[i]) > 1e-3f)
			TAP_FAIL("box[%d] is %f, not %f", i, (double)face->box[i], (double)want[i]);
}

static void test_retinaface_zero_offsets_are_the_prior(void)
{
	struct detect_result result;

	retinaface();
	/* Level 16 begins at 128; row 2, column 3, the larger one: centre (56, 40), side 64. */
	conf[2 * (128 + 2 * (2 * 4 + 3) + 1) + 1] = 0.9f;
	result = retinaface_result(1);
	ASSERT_EQ(result.count, 1);
	expect_box(&result.faces[0], 56 - 32, 40 - 32, 56 + 32, 40 + 32);
	EXPECT(result.faces[0].score == 0.9f && result.best_score == 0.9f);
	EXPECT(result.faces[0].has_points);
	EXPECT(result.faces[0].points[8] == 56 && result.faces[0].points[9] == 40);
	EXPECT(result.threshold == 0.8f && result.nms_iou == 0.4f);
	detect_result_deinit(&result);
}

static void test_retinaface_offsets_move_and_scale(void)
{
	const size_t prior = 2 * (1 * 8 + 2); /* row 1, column 2: centre (20, 12), side 10 */
	struct detect_result result;

	retinaface();
	conf[2 * prior + 1] = 0.9f;
	loc[4 * prior] = 5;		     /* x + 0.1 * 5 * 10 */
	loc[4 * prior + 1] = -2;	     /* y - 0.1 * 2 * 10 */
	loc[4 * prior + 2] = logf(2) / 0.2f; /* twice as wide */
	landms[10 * prior + 5] = 3;	     /* third point, y + 3 */
	result = retinaface_result(0.5f);
	ASSERT_EQ(result.count, 1);
	expect_box(&result.faces[0], 2 * (25 - 10), 2 * (10 - 5), 2 * (25 + 10), 2 * (10 + 5));
	EXPECT(fabsf(result.faces[0].points[4] - 2 * 20) < 1e-4f);
	EXPECT(fabsf(result.faces[0].points[5] - 2 * 15) < 1e-4f);
	detect_result_deinit(&result);
}

static void test_retinaface_last_prior_is_bottom_right(void)
{
	struct detect_result result;

	retinaface();
	conf[2 * (PRIORS - 1) + 1] = 1;
	result = retinaface_result(1);
	ASSERT_EQ(result.count, 1);
	expect_box(&result.faces[0], 48 - 128, 48 - 128, 48 + 128, 48 + 128);
	detect_result_deinit(&result);
}

static void test_retinaface_score_at_threshold_is_no_face(void)
{
	struct detect_options options = {.threshold = 0.25f};
	struct detect_result result;

	retinaface();
	conf[1] = 0.25f;
	ASSERT_EQ(
		detect_faces(PREPROCESS_RETINAFACE, &input, outputs, 3, 1, &options, &result, NULL),
		0);
	EXPECT_EQ(result.count, 0);
	EXPECT(result.best_score == 0.25f);
	detect_result_deinit(&result);
}

static void test_retinaface_garbage_is_dropped(void)
{
	struct detect_result result;

	retinaface();
	for (size_t i = 0; i < PRIORS; i++)
		conf[2 * i + 1] = i % 3 ? NAN : 0.99f;
	for (size_t i = 0; i < PRIORS; i++)
		loc[4 * i + 2] = i % 2 ? 1e30f : NAN;
	result = retinaface_result(1);
	EXPECT_EQ(result.count, 0);
	EXPECT(result.best_score == 0.99f);
	detect_result_deinit(&result);
}

static void test_retinaface_no_scale_gives_no_faces(void)
{
	struct detect_result result;

	retinaface();
	conf[1] = 1;
	result = retinaface_result(0);
	EXPECT_EQ(result.count, 0);
	detect_result_deinit(&result);
}

static void test_retinaface_many_candidates_end_soon(void)
{
	const size_t priors = 2 * (128 * 128 + 64 * 64 + 32 * 32); /* input 1024 */
	float *zero = calloc(priors, 10 * sizeof(*zero)), *ones = calloc(priors, 2 * sizeof(*ones));
	struct detect_result result;

	for (size_t i = 0; i < priors * 2; i++)
		ones[i] = 1;
	input = tensor((uint64_t[]){1, 3, 1024, 1024}, 4, NULL);
	outputs[0] = tensor((uint64_t[]){1, priors, 10}, 3, zero);
	outputs[1] = tensor((uint64_t[]){1, priors, 4}, 3, zero);
	outputs[2] = tensor((uint64_t[]){1, priors, 2}, 3, ones);
	result = retinaface_result(1);
	EXPECT(result.count > 100 && result.count <= DETECT_CANDIDATES_MAX);
	detect_result_deinit(&result);
	free(zero);
	free(ones);
}

static void test_tiny_face_cell_and_anchor_are_decoded(void)
{
	struct detect_result result;

	tiny_face();
	/* Anchor 2, row 1, column 0: channels 10-14, cell 2. */
	grid[14 * 4 + 2] = 2;
	grid[10 * 4 + 2] = logf(3); /* sigmoid: 0.75 of the cell */
	grid[13 * 4 + 2] = logf(2); /* twice the anchor's height */
	ASSERT_EQ(detect_faces(PREPROCESS_TINY_FACE, &input, outputs, 1, 2, NULL, &result, NULL),
		  0);
	ASSERT_EQ(result.count, 1);
	expect_box(&result.faces[0], 16 * (0.75f - 2.882459f / 2), 16 * (1.5f - 3.518061f),
		   16 * (0.75f + 2.882459f / 2), 16 * (1.5f + 3.518061f));
	EXPECT(fabsf(result.faces[0].score - 0.880797f) < 1e-5f);
	EXPECT(!result.faces[0].has_points);
	EXPECT(result.threshold == 0.5f);
	detect_result_deinit(&result);
}

static struct face box(float x1, float y1, float x2, float y2)
{
	return (struct face){.box = {x1, y1, x2, y2}};
}

static void test_nms_overlap_counts_like_pixels(void)
{
	/* Sides 10 and 10, common 5 x 10: 50 / 150 as areas; 11, 6: 66 / 176 = 0.375 as pixels. */
	struct face faces[] = {box(0, 0, 10, 10), box(5, 0, 15, 10)};

	EXPECT_EQ(face_nms(faces, 2, 0.34f, 0), 2);
	EXPECT_EQ(face_nms(faces, 2, 0.38f, 1), 2);
	EXPECT_EQ(face_nms(faces, 2, 0.37f, 1), 1);
	faces[1] = box(5, 0, 15, 10);
	EXPECT_EQ(face_nms(faces, 2, 0.33f, 0), 1);
}

static void test_nms_dropped_box_drops_nobody(void)
{
	/* A chain: the second goes by the first, the third overlaps only the second. */
	struct face faces[] = {box(0, 0, 10, 10), box(3, 0, 13, 10), box(6, 0, 16, 10)};

	ASSERT_EQ(face_nms(faces, 3, 0.4f, 0), 2);
	EXPECT(faces[1].box[0] == 6);
}

static void test_nms_empty_and_inverted_boxes_stay(void)
{
	struct face faces[] = {box(5, 5, 5, 5), box(5, 5, 5, 5), box(9, 9, 1, 1)};

	EXPECT_EQ(face_nms(faces, 0, 0.4f, 0), 0);
	EXPECT_EQ(face_nms(faces, 3, 0.4f, 0), 3);
}

static void test_detect_kind_knows_both(void)
{
	enum preprocess_kind kind = PREPROCESS_NR;

	retinaface();
	EXPECT_EQ(detect_kind(&input, outputs, 3, &kind, NULL), 0);
	EXPECT_EQ(kind, PREPROCESS_RETINAFACE);
	tiny_face();
	EXPECT_EQ(detect_kind(&input, outputs, 1, &kind, NULL), 0);
	EXPECT_EQ(kind, PREPROCESS_TINY_FACE);
}

static void test_detect_kind_refuses_others(void)
{
	enum preprocess_kind kind = PREPROCESS_NR;
	struct reason why = {""};

	retinaface();
	EXPECT_EQ(detect_kind(&input, outputs, 2, &kind, &why), -ENOTSUP);
	EXPECT_HAS(why.text, "RetinaFace");
	outputs[1].dims[1]++;
	EXPECT_EQ(detect_kind(&input, outputs, 3, &kind, NULL), -ENOTSUP);
	retinaface();
	outputs[1].dtype = METIS_U8;
	EXPECT_EQ(detect_kind(&input, outputs, 3, &kind, NULL), -ENOTSUP);
	retinaface();
	input.dims[2] = input.dims[3] = SIZE + 8; /* not in steps of 32 */
	EXPECT_EQ(detect_kind(&input, outputs, 3, &kind, NULL), -ENOTSUP);
	tiny_face();
	input.dims[3] = 32;
	EXPECT_EQ(detect_kind(&input, outputs, 1, &kind, NULL), -ENOTSUP);
	EXPECT_EQ(detect_kind(&input, outputs, 0, &kind, NULL), -ENOTSUP);
	EXPECT_EQ(kind, PREPROCESS_NR);
}

static void test_tensor_bytes_hostile_shapes_are_zero(void)
{
	struct task_tensor t = {.dtype = METIS_F32, .ndims = 2, .dims = {1ull << 40, 1ull << 40}};

	EXPECT_EQ(task_tensor_bytes(&t), 0);
	t.ndims = 9;
	EXPECT_EQ(task_tensor_bytes(&t), 0);
	t = (struct task_tensor){.dtype = 99, .ndims = 1, .dims = {4}};
	EXPECT_EQ(task_tensor_bytes(&t), 0);
	t = (struct task_tensor){.dtype = METIS_I64, .ndims = 3, .dims = {2, 3, 4}};
	EXPECT_EQ(task_tensor_bytes(&t), 192);
	t.ndims = 0;
	EXPECT_EQ(task_tensor_bytes(&t), 8);
}

int main(void)
{
	RUN(test_retinaface_zero_offsets_are_the_prior);
	RUN(test_retinaface_offsets_move_and_scale);
	RUN(test_retinaface_last_prior_is_bottom_right);
	RUN(test_retinaface_score_at_threshold_is_no_face);
	RUN(test_retinaface_garbage_is_dropped);
	RUN(test_retinaface_no_scale_gives_no_faces);
	RUN(test_retinaface_many_candidates_end_soon);
	RUN(test_tiny_face_cell_and_anchor_are_decoded);
	RUN(test_nms_overlap_counts_like_pixels);
	RUN(test_nms_dropped_box_drops_nobody);
	RUN(test_nms_empty_and_inverted_boxes_stay);
	RUN(test_detect_kind_knows_both);
	RUN(test_detect_kind_refuses_others);
	RUN(test_tensor_bytes_hostile_shapes_are_zero);
	return tap_done();
}
