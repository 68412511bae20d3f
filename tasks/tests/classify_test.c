/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <math.h>

#include "scratch.h"
#include "tasks/classify.h"
#include "tests/tap.h"

static struct task_tensor logits(float *values, uint64_t count)
{
	return (struct task_tensor){.name = "logits",
				    .dtype = METIS_F32,
				    .ndims = 2,
				    .dims = {1, count},
				    .data = values};
}

static void test_classify_best_first_with_softmax(void)
{
	float values[] = {1, 3, 2, 0};
	struct task_tensor t = logits(values, 4);
	struct class_score top[3];
	size_t count = 0;
	double sum = exp(-2) + 1 + exp(-1) + exp(-3);

	ASSERT_EQ(classify_top(&t, 3, top, &count, NULL), 0);
	ASSERT_EQ(count, 3);
	EXPECT(top[0].index == 1 && top[1].index == 2 && top[2].index == 0);
	EXPECT(top[0].logit == 3);
	EXPECT(fabs(top[0].probability - 1 / sum) < 1e-6);
	EXPECT(fabs(top[2].probability - exp(-2) / sum) < 1e-6);
}

static void test_classify_equal_ones_by_index(void)
{
	float values[] = {5, 7, 5, 7, 5};
	struct task_tensor t = logits(values, 5);
	struct class_score top[4];
	size_t count;

	ASSERT_EQ(classify_top(&t, 4, top, &count, NULL), 0);
	EXPECT(top[0].index == 1 && top[1].index == 3 && top[2].index == 0 && top[3].index == 2);
}

static void test_classify_fewer_classes_than_wanted(void)
{
	float values[] = {1, 2};
	struct task_tensor t = logits(values, 2);
	struct class_score top[5];
	size_t count;

	ASSERT_EQ(classify_top(&t, 5, top, &count, NULL), 0);
	EXPECT_EQ(count, 2);
	ASSERT_EQ(classify_top(&t, 0, top, &count, NULL), 0);
	EXPECT_EQ(count, 0);
}

static void test_classify_huge_and_nan_logits(void)
{
	float values[] = {NAN, 1e38f, NAN, -1e38f};
	struct task_tensor t = logits(values, 4);
	struct class_score top[4];
	size_t count;

	ASSERT_EQ(classify_top(&t, 4, top, &count, NULL), 0);
	EXPECT(top[0].index == 1 && top[0].probability == 1);
	EXPECT(top[1].index == 3 && top[1].probability == 0);
	EXPECT(top[2].index == 0 && top[2].probability == 0);
	values[1] = INFINITY;
	ASSERT_EQ(classify_top(&t, 4, top, &count, NULL), 0);
	for (size_t i = 0; i < count; i++)
		EXPECT(isfinite(top[i].probability));
}

static void test_classify_other_types_are_refused(void)
{
	float values[1] = {0};
	struct task_tensor t = logits(values, 1);
	struct class_score top[1];
	size_t count;

	t.dtype = METIS_I32;
	EXPECT_EQ(classify_top(&t, 1, top, &count, NULL), -ENOTSUP);
	t = logits(values, 0);
	EXPECT_EQ(classify_top(&t, 1, top, &count, NULL), -ENOTSUP);
}

static void test_labels_lines_are_names(void)
{
	static const char text[] = "cat\r\n\nfox squirrel";
	struct labels labels;

	ASSERT_EQ(labels_load(scratch_file("l.txt", text, strlen(text)), &labels, NULL), 0);
	ASSERT_EQ(labels.count, 3);
	EXPECT_STR(labels_name(&labels, 0), "cat");
	EXPECT(!labels_name(&labels, 1));
	EXPECT_STR(labels_name(&labels, 2), "fox squirrel");
	EXPECT(!labels_name(&labels, 3));
	labels_deinit(&labels);
	ASSERT_EQ(labels_load(scratch_file("l.txt", "", 0), &labels, NULL), 0);
	EXPECT_EQ(labels.count, 0);
	labels_deinit(&labels);
}

static void test_labels_find_only_beside_the_model_and_of_right_count(void)
{
	struct labels labels = {0};

	EXPECT_EQ(labels_find(scratch_path("model.onnx"), 2, &labels, NULL), 0);
	EXPECT_EQ(labels.count, 0);
	scratch_file("imagenet-labels.txt", "a\nb\n", 4);
	EXPECT_EQ(labels_find(scratch_path("model.onnx"), 2, &labels, NULL), 0);
	ASSERT_EQ(labels.count, 2);
	EXPECT_STR(labels_name(&labels, 1), "b");
	labels_deinit(&labels);
	EXPECT_EQ(labels_find(scratch_path("model.onnx"), 3, &labels, NULL), 0);
	EXPECT_EQ(labels.count, 0);
}

int main(void)
{
	RUN(test_classify_best_first_with_softmax);
	RUN(test_classify_equal_ones_by_index);
	RUN(test_classify_fewer_classes_than_wanted);
	RUN(test_classify_huge_and_nan_logits);
	RUN(test_classify_other_types_are_refused);
	RUN(test_labels_lines_are_names);
	RUN(test_labels_find_only_beside_the_model_and_of_right_count);
	return tap_done();
}
