/* SPDX-License-Identifier: MIT */
/* The small parts that results are made of: names, numbers, statistics. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/clock.h"
#include "cli/json.h"
#include "cli/outdir.h"
#include "cli/pattern.h"
#include "cli/tensor_stats.h"
#include "cli/text.h"
#include "tests/tap.h"

static void test_outdir_names_are_safe_and_unique(void)
{
	char base[] = "/tmp/tethys-report-XXXXXX", path[PATH_MAX], deep[64];
	struct reason why = {0};
	struct outdir dir;

	ASSERT(mkdtemp(base));
	snprintf(deep, sizeof(deep), "%s/a/b/", base);
	ASSERT_EQ(outdir_open(deep, &dir, &why), 0);
	ASSERT_EQ(outdir_path(&dir, "../../etc/x y", ".bin", path, &why), 0);
	EXPECT_HAS(path, "/a/b//_._.._etc_x_y.bin");
	ASSERT_EQ(outdir_path(&dir, "loc", ".bin", path, &why), 0);
	EXPECT_HAS(path, "/loc.bin");
	ASSERT_EQ(outdir_path(&dir, "loc", ".bin", path, &why), 0);
	EXPECT_HAS(path, "/loc-2.bin");
	ASSERT_EQ(outdir_path(&dir, "", ".bin", path, &why), 0);
	EXPECT_HAS(path, "/_.bin");
	outdir_close(&dir);
	rmdir(deep);
	snprintf(deep, sizeof(deep), "%s/a", base);
	rmdir(deep);
	rmdir(base);
}

static void test_outdir_on_a_file_is_refused(void)
{
	struct reason why = {0};
	struct outdir dir;

	EXPECT_EQ(outdir_open("/dev/null", &dir, &why), -ENOTDIR);
	EXPECT_HAS(why.text, "/dev/null");
	outdir_close(&dir);
}

static void test_stats_of_each_type(void)
{
	int8_t small[] = {-3, 1, 5};
	uint16_t halves[] = {0x3c00, 0xc000, 0x0001}; /* 1, -2, 2^-24 */
	struct task_tensor tensor = {.dtype = METIS_I8, .ndims = 1, .dims = {3}, .data = small};
	struct tensor_stats stats;

	tensor_stats(&tensor, &stats);
	EXPECT_EQ(stats.count, 3);
	EXPECT(stats.mean == 1 && stats.min == -3 && stats.max == 5);
	tensor.dtype = METIS_F16;
	tensor.data = halves;
	EXPECT(tensor_value(&tensor, 0) == 1);
	EXPECT(tensor_value(&tensor, 1) == -2);
	EXPECT(tensor_value(&tensor, 2) == ldexp(1, -24));
}

static void test_stats_with_nan_say_so(void)
{
	float values[] = {1, NAN, 3};
	struct task_tensor tensor = {.dtype = METIS_F32, .ndims = 1, .dims = {3}, .data = values};
	struct tensor_stats stats;

	tensor_stats(&tensor, &stats);
	EXPECT(isnan(stats.mean) && isnan(stats.min) && isnan(stats.max));
}

static void test_json_numbers_name_the_binary_number(void)
{
	float value = 0.1f;
	struct json_object *object = json_float(value);

	EXPECT(strtof(json_object_to_json_string(object), NULL) == value);
	json_object_put(object);
	EXPECT(!json_float(INFINITY) && !json_double((double)NAN));
}

static void test_text_shapes_sizes_and_stems(void)
{
	struct task_tensor tensor = {.dtype = METIS_F32, .ndims = 3, .dims = {1, 3, 640}};
	char text[TEXT_SHAPE_BYTES], size[TEXT_BYTES_BYTES], stem[32];

	EXPECT_STR(text_shape(&tensor, text), "1x3x640");
	tensor.ndims = 0;
	EXPECT_STR(text_shape(&tensor, text), "scalar");
	EXPECT_STR(text_bytes(16ull << 30, size), "16 GiB");
	EXPECT_STR(text_bytes(1500, size), "1500 bytes");
	EXPECT_STR(text_dtype(METIS_F32), "float32");
	EXPECT_STR(text_dtype(8), "unknown");
	EXPECT_STR(text_dtype(4000000000u), "unknown");
	text_stem("/a/b.c/photo.tar.jpg", stem, sizeof(stem));
	EXPECT_STR(stem, "photo.tar");
	text_stem(".hidden", stem, sizeof(stem));
	EXPECT_STR(stem, ".hidden");
}

static void test_median_of_odd_and_even(void)
{
	double odd[] = {9, 1, 5}, even[] = {4, 1, 3, 2};

	EXPECT(clock_median(odd, 3) == 5);
	EXPECT(clock_median(even, 4) == 2.5);
	EXPECT(clock_median(even, 0) == 0);
}

static void test_pattern_is_the_documented_one(void)
{
	uint32_t state = PATTERN_START;

	/* Values worked out elsewhere, with unbounded integers. */
	EXPECT_EQ(pattern_next(&state), 5);
	EXPECT_EQ(pattern_next(&state), 4);
	EXPECT_EQ(state, 0x43c7ad3u);
}

int main(void)
{
	RUN(test_outdir_names_are_safe_and_unique);
	RUN(test_outdir_on_a_file_is_refused);
	RUN(test_stats_of_each_type);
	RUN(test_stats_with_nan_say_so);
	RUN(test_json_numbers_name_the_binary_number);
	RUN(test_text_shapes_sizes_and_stems);
	RUN(test_median_of_odd_and_even);
	RUN(test_pattern_is_the_documented_one);
	return tap_done();
}
