/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <math.h>

#include "tasks/preprocess.h"
#include "tests/tap.h"

#define SIDE 64

static float floats[3 * SIDE * SIDE];

static struct task_tensor tensor(unsigned int dtype, uint64_t a, uint64_t b, uint64_t c, void *data)
{
	return (struct task_tensor){
		.name = "input", .dtype = dtype, .ndims = 4, .dims = {1, a, b, c}, .data = data};
}

static struct task_tensor planes(void)
{
	for (size_t i = 0; i < 3 * SIDE * SIDE; i++)
		floats[i] = NAN; /* all of it must be written */
	return tensor(METIS_F32, 3, SIDE, SIDE, floats);
}

static float plane_at(size_t channel, size_t x, size_t y)
{
	return floats[(channel * SIDE + y) * SIDE + x];
}

/* Every value differs from its neighbours, by a generator any two programs share. */
static struct image noise(uint32_t width, uint32_t height)
{
	struct image image;
	uint32_t random = 7;

	if (image_create(width, height, &image))
		abort();
	for (size_t i = 0; i < (size_t)width * height * 3; i++) {
		random = random * 1664525 + 1013904223;
		image.rgb[i] = random >> 24;
	}
	return image;
}

static int rgb_at(const struct image *image, size_t channel, size_t x, size_t y)
{
	return image->rgb[3 * (y * image->width + x) + channel];
}

static void test_retinaface_same_size_is_pixel_less_mean_bgr(void)
{
	static const float mean[] = {104, 117, 123};
	struct task_tensor input = planes();
	struct image photo = noise(SIDE, SIDE);
	float scale = 0;

	ASSERT_EQ(preprocess(PREPROCESS_RETINAFACE, &photo, &input, &scale, NULL), 0);
	EXPECT(scale == 1);
	for (size_t i = 0; i < 3 * SIDE * SIDE; i++) {
		size_t c = i / SIDE / SIDE, x = i % SIDE, y = i / SIDE % SIDE;

		ASSERT(plane_at(c, x, y) == rgb_at(&photo, 2 - c, x, y) - mean[c]);
	}
	image_deinit(&photo);
}

static void test_retinaface_half_size_is_mean_of_four_not_rounded(void)
{
	struct task_tensor input = planes();
	struct image photo = noise(2 * SIDE, 2 * SIDE - 20);
	float scale;

	ASSERT_EQ(preprocess(PREPROCESS_RETINAFACE, &photo, &input, &scale, NULL), 0);
	EXPECT(scale == 0.5f);
	for (size_t y = 0; y < SIDE - 10; y++)
		for (size_t x = 0; x < SIDE; x++) {
			int sum = rgb_at(&photo, 2, 2 * x, 2 * y) +
				  rgb_at(&photo, 2, 2 * x + 1, 2 * y) +
				  rgb_at(&photo, 2, 2 * x, 2 * y + 1) +
				  rgb_at(&photo, 2, 2 * x + 1, 2 * y + 1);

			ASSERT(plane_at(0, x, y) == sum / 4.0f - 104);
		}
	for (size_t x = 0; x < SIDE; x++)
		ASSERT(plane_at(2, x, SIDE - 10) == 0 && plane_at(0, x, SIDE - 1) == 0);
	image_deinit(&photo);
}

static void test_retinaface_enlarged_clamps_at_edges(void)
{
	struct task_tensor input = planes();
	struct image photo = noise(2, 1);
	float left, right;

	ASSERT_EQ(preprocess(PREPROCESS_RETINAFACE, &photo, &input, NULL, NULL), 0);
	left = rgb_at(&photo, 2, 0, 0) - 104;
	right = rgb_at(&photo, 2, 1, 0) - 104;
	/* Each photo pixel covers 32; its middle is at 15.5. */
	EXPECT(plane_at(0, 0, 0) == left && plane_at(0, 15, 31) == left);
	EXPECT(plane_at(0, 63, 0) == right);
	EXPECT(fabsf(plane_at(0, 16, 5) - (left + (right - left) / 64)) < 1e-3f);
	EXPECT(plane_at(0, 0, 32) == 0);
	image_deinit(&photo);
}

static void test_tiny_face_is_rgb_and_blank_is_black(void)
{
	struct task_tensor input = planes();
	struct image photo = noise(SIDE / 2, SIDE);

	ASSERT_EQ(preprocess(PREPROCESS_TINY_FACE, &photo, &input, NULL, NULL), 0);
	EXPECT(fabsf(plane_at(0, 3, 4) - (rgb_at(&photo, 0, 3, 4) - 117.001f) / 255) < 1e-6f);
	EXPECT(fabsf(plane_at(2, 3, 4) - (rgb_at(&photo, 2, 3, 4) - 97.404f) / 255) < 1e-6f);
	EXPECT(fabsf(plane_at(1, SIDE - 1, 0) + 114.697f / 255) < 1e-6f);
	image_deinit(&photo);
}

static void test_classify_takes_the_middle(void)
{
	static const float mean[] = {0.485f, 0.456f, 0.406f},
			   deviation[] = {0.229f, 0.224f, 0.225f};
	static float values[3 * 56 * 56];
	struct task_tensor input = tensor(METIS_F32, 3, 56, 56, values);
	struct image photo = noise(71, 64); /* shortest side is 56 * 8 / 7: nothing to resize */

	ASSERT_EQ(preprocess(PREPROCESS_CLASSIFY, &photo, &input, NULL, NULL), 0);
	for (size_t i = 0; i < 3 * 56 * 56; i++) {
		size_t c = i / 56 / 56, x = i % 56, y = i / 56 % 56;
		float want = (rgb_at(&photo, c, x + 7, y + 4) / 255.0f - mean[c]) / deviation[c];

		ASSERT(fabsf(values[i] - want) < 1e-5f);
	}
	image_deinit(&photo);
}

static void test_preprocess_last_channel_layout_holds_the_same(void)
{
	static float other[3 * SIDE * SIDE];
	struct task_tensor input = planes(), last = tensor(METIS_F32, SIDE, SIDE, 3, other);
	struct image photo = noise(50, 37);

	ASSERT_EQ(preprocess(PREPROCESS_CLASSIFY, &photo, &input, NULL, NULL), 0);
	ASSERT_EQ(preprocess(PREPROCESS_CLASSIFY, &photo, &last, NULL, NULL), 0);
	for (size_t i = 0; i < 3 * SIDE * SIDE; i++)
		ASSERT(other[i] == floats[i % 3 * SIDE * SIDE + i / 3]);
	image_deinit(&photo);
}

static void test_preprocess_bytes_are_raw(void)
{
	static uint8_t bytes[3 * SIDE * SIDE];
	struct task_tensor input = tensor(METIS_U8, SIDE, SIDE, 3, bytes);
	struct image photo = noise(SIDE, SIDE - 1);

	ASSERT_EQ(preprocess(PREPROCESS_RETINAFACE, &photo, &input, NULL, NULL), 0);
	EXPECT_EQ(bytes[0], photo.rgb[2]);
	EXPECT_EQ(bytes[3 * SIDE + 2], photo.rgb[3 * SIDE]);
	EXPECT(!memcmp(bytes + 3 * SIDE * (SIDE - 1), "\x68\x75\x7b", 3)); /* 104, 117, 123 */
	image_deinit(&photo);
}

static void test_preprocess_extreme_photos_fit(void)
{
	static const uint32_t sizes[][2] = {{1, 1}, {5000, 1}, {1, 5000}, {4096, 3}, {3, 2}};

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		for (int kind = 0; kind < PREPROCESS_NR; kind++) {
			struct task_tensor input = planes();
			struct image photo = noise(sizes[i][0], sizes[i][1]);
			float scale;

			EXPECT_EQ(preprocess(kind, &photo, &input, &scale, NULL), 0);
			EXPECT(scale > 0);
			for (size_t k = 0; k < 3 * SIDE * SIDE; k++)
				ASSERT(isfinite(floats[k]));
			image_deinit(&photo);
		}
	}
}

static void test_preprocess_other_inputs_are_refused(void)
{
	struct image photo = noise(4, 4);
	struct task_tensor wrong[] = {
		tensor(METIS_F32, 1, SIDE, SIDE, floats),
		tensor(METIS_F32, SIDE, SIDE, 4, floats),
		tensor(METIS_I64, 3, SIDE, SIDE, floats),
		tensor(METIS_F32, 3, 0, SIDE, floats),
		tensor(METIS_F32, 3, 1 << 20, 1 << 20, floats),
	};
	struct reason why = {""};

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		EXPECT_EQ(preprocess(PREPROCESS_CLASSIFY, &photo, &wrong[i], NULL, &why), -ENOTSUP);
	wrong[0] = tensor(METIS_F32, 3, SIDE, SIDE, floats);
	wrong[0].ndims = 3;
	EXPECT_EQ(preprocess(PREPROCESS_CLASSIFY, &photo, &wrong[0], NULL, &why), -ENOTSUP);
	wrong[0].ndims = 4;
	wrong[0].dims[0] = 2;
	EXPECT_EQ(preprocess(PREPROCESS_CLASSIFY, &photo, &wrong[0], NULL, &why), -ENOTSUP);
	image_deinit(&photo);
}

int main(void)
{
	RUN(test_retinaface_same_size_is_pixel_less_mean_bgr);
	RUN(test_retinaface_half_size_is_mean_of_four_not_rounded);
	RUN(test_retinaface_enlarged_clamps_at_edges);
	RUN(test_tiny_face_is_rgb_and_blank_is_black);
	RUN(test_classify_takes_the_middle);
	RUN(test_preprocess_last_channel_layout_holds_the_same);
	RUN(test_preprocess_bytes_are_raw);
	RUN(test_preprocess_extreme_photos_fit);
	RUN(test_preprocess_other_inputs_are_refused);
	return tap_done();
}
