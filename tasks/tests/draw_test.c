/* SPDX-License-Identifier: MIT */
#include <float.h>
#include <limits.h>
#include <math.h>

#include "tasks/draw.h"
#include "tests/tap.h"

static const struct colour white = {255, 255, 255};

static struct image canvas(uint32_t width, uint32_t height)
{
	struct image image;

	if (image_create(width, height, &image))
		abort();
	return image;
}

static bool lit(const struct image *image, uint32_t x, uint32_t y)
{
	return image->rgb[3 * ((size_t)y * image->width + x) + 1];
}

static size_t lit_count(const struct image *image)
{
	size_t count = 0;

	for (uint32_t y = 0; y < image->height; y++)
		for (uint32_t x = 0; x < image->width; x++)
			count += lit(image, x, y);
	return count;
}

static void test_draw_rect_is_a_frame(void)
{
	struct image image = canvas(20, 20);

	draw_rect(&image, 5, 6, 14, 13, 2, white);
	EXPECT(lit(&image, 5, 6) && lit(&image, 14, 13) && lit(&image, 6, 7));
	EXPECT(!lit(&image, 7, 8) && !lit(&image, 4, 6) && !lit(&image, 15, 13));
	EXPECT_EQ(lit_count(&image), 10 * 8 - 6 * 4);
	image_deinit(&image);
}

static void test_draw_outside_is_left_out(void)
{
	struct image image = canvas(8, 8);

	draw_rect(&image, INT_MIN, INT_MIN, INT_MAX, INT_MAX, 1, white);
	draw_dot(&image, -100, 400, 5, white);
	draw_text(&image, INT_MAX - 2, 0, 64, "88", white);
	EXPECT_EQ(lit_count(&image), 0);
	draw_dot(&image, 0, 0, 1, white);
	EXPECT_EQ(lit_count(&image), 3);
	image_deinit(&image);
}

static void test_draw_text_known_glyphs(void)
{
	struct image image = canvas(40, 20);

	draw_text(&image, 0, 0, 1, ".x7", white);
	EXPECT_EQ(lit_count(&image), 4 + 11);
	EXPECT(lit(&image, 12, 0) && lit(&image, 16, 0) && !lit(&image, 12, 1));
	memset(image.rgb, 0, 40 * 20 * 3);
	draw_text(&image, 0, 0, 2, "7", white);
	EXPECT_EQ(lit_count(&image), 4 * 11);
	image_deinit(&image);
}

static void test_draw_faces_marks_box_and_points(void)
{
	const struct face face = {.score = 0.987f,
				  .box = {40, 60, 120, 150},
				  .has_points = true,
				  .points = {60, 90, 100, 90, 80, 110, 65, 130, 95, 130}};
	struct image image = canvas(200, 200);
	const uint8_t *eye = image.rgb + 3 * (90 * 200 + 60);

	draw_faces(&image, &face, 1);
	EXPECT(lit(&image, 40, 100) && lit(&image, 120, 150));
	EXPECT(eye[0] > 200 && eye[1] < 100);
	EXPECT(lit(&image, 41, 58)); /* the score's plate above */
	EXPECT(!lit(&image, 80, 80));
	image_deinit(&image);
}

static void test_draw_faces_hostile_numbers_are_survived(void)
{
	const struct face faces[] = {
		{.score = NAN, .box = {-FLT_MAX, -FLT_MAX, FLT_MAX, FLT_MAX}},
		{.score = FLT_MAX,
		 .box = {NAN, NAN, NAN, NAN},
		 .has_points = true,
		 .points = {NAN, INFINITY, -INFINITY}},
		{.score = 1, .box = {50, 50, -50, -50}},
	};
	struct image image = canvas(1, 1);

	draw_faces(&image, faces, 3);
	image_deinit(&image);
}

int main(void)
{
	RUN(test_draw_rect_is_a_frame);
	RUN(test_draw_outside_is_left_out);
	RUN(test_draw_text_known_glyphs);
	RUN(test_draw_faces_marks_box_and_points);
	RUN(test_draw_faces_hostile_numbers_are_survived);
	return tap_done();
}
