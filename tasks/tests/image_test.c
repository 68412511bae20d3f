/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdio.h>

#include <jpeglib.h>
#include <png.h>

#include "scratch.h"
#include "tasks/image.h"
#include "tasks/image_formats.h"
#include "tests/tap.h"

#define WIDTH 48
#define HEIGHT 32

/* Smooth, so that JPEG keeps it nearly as it is; no two corners look alike. */
static struct image sample(void)
{
	struct image image;

	if (image_create(WIDTH, HEIGHT, &image))
		abort();
	for (uint32_t y = 0; y < HEIGHT; y++)
		for (uint32_t x = 0; x < WIDTH; x++) {
			uint8_t *pixel = image.rgb + 3 * (y * WIDTH + x);

			pixel[0] = x * 5;
			pixel[1] = y * 7;
			pixel[2] = 128;
		}
	return image;
}

static int worst_difference(const struct image *a, const struct image *b)
{
	int worst = 0;

	for (size_t i = 0; i < (size_t)a->width * a->height * 3; i++) {
		int difference = abs(a->rgb[i] - b->rgb[i]);

		worst = difference > worst ? difference : worst;
	}
	return worst;
}

static void round_trip(const char *name, int tolerance)
{
	struct image image = sample(), back;

	EXPECT_EQ(image_save(scratch_path(name), &image, NULL), 0);
	ASSERT_EQ(image_load(scratch_path(name), &back, NULL), 0);
	EXPECT_EQ(back.width, WIDTH);
	EXPECT_EQ(back.height, HEIGHT);
	EXPECT(worst_difference(&image, &back) <= tolerance);
	image_deinit(&image);
	image_deinit(&back);
}

static void test_png_round_trip_is_exact(void)
{
	round_trip("a.png", 0);
	round_trip("a.PNG", 0);
}

static void test_jpeg_round_trip_is_close(void)
{
	round_trip("a.jpg", 12);
	round_trip("a.JPeG", 12);
}

static void test_png_with_alpha_lies_on_black(void)
{
	static const uint8_t rgba[] = {200, 100, 50, 255, 200, 100, 50, 0};
	png_image png = {
		.version = PNG_IMAGE_VERSION, .width = 2, .height = 1, .format = PNG_FORMAT_RGBA};
	uint8_t file[1024];
	png_alloc_size_t bytes = sizeof(file);
	struct image image;

	ASSERT(png_image_write_to_memory(&png, file, &bytes, 0, rgba, 0, NULL));
	ASSERT_EQ(image_decode(file, bytes, &image, NULL), 0);
	EXPECT(!memcmp(image.rgb, "\xc8\x64\x32\0\0\0", 6));
	image_deinit(&image);
}

static void test_png_grey_becomes_three_channels(void)
{
	static const uint8_t grey[] = {10, 250};
	png_image png = {
		.version = PNG_IMAGE_VERSION, .width = 2, .height = 1, .format = PNG_FORMAT_GRAY};
	uint8_t file[1024];
	png_alloc_size_t bytes = sizeof(file);
	struct image image;

	ASSERT(png_image_write_to_memory(&png, file, &bytes, 0, grey, 0, NULL));
	ASSERT_EQ(image_decode(file, bytes, &image, NULL), 0);
	EXPECT(!memcmp(image.rgb, "\x0a\x0a\x0a\xfa\xfa\xfa", 6));
	image_deinit(&image);
}

/* One value everywhere, in @components channels of @space; freed by the caller. */
static uint8_t *flat_jpeg(J_COLOR_SPACE space, int components, uint8_t value,
			  unsigned long *ret_bytes)
{
	struct jpeg_compress_struct codec;
	struct jpeg_error_mgr errors;
	uint8_t line[16 * 4], *file = NULL;
	JSAMPROW row = line;

	*ret_bytes = 0;
	memset(line, value, sizeof(line));
	codec.err = jpeg_std_error(&errors);
	jpeg_create_compress(&codec);
	jpeg_mem_dest(&codec, &file, ret_bytes);
	codec.image_width = codec.image_height = 16;
	codec.input_components = components;
	codec.in_color_space = space;
	jpeg_set_defaults(&codec);
	jpeg_start_compress(&codec, TRUE);
	for (int y = 0; y < 16; y++)
		jpeg_write_scanlines(&codec, &row, 1);
	jpeg_finish_compress(&codec);
	jpeg_destroy_compress(&codec);
	return file;
}

static void test_jpeg_grey_becomes_three_channels(void)
{
	unsigned long bytes;
	uint8_t *file = flat_jpeg(JCS_GRAYSCALE, 1, 77, &bytes);
	struct image image;

	ASSERT_EQ(image_decode(file, bytes, &image, NULL), 0);
	EXPECT_EQ(image.width, 16);
	EXPECT(!memcmp(image.rgb, "MMM", 3));
	image_deinit(&image);
	free(file);
}

static void test_jpeg_cmyk_is_refused(void)
{
	unsigned long bytes;
	uint8_t *file = flat_jpeg(JCS_CMYK, 4, 77, &bytes);
	struct reason why = {""};
	struct image image;

	EXPECT_EQ(image_decode(file, bytes, &image, &why), -ENOTSUP);
	EXPECT_HAS(why.text, "CMYK");
	free(file);
}

/* A JPEG of the sample with an Exif marker in it. */
static uint8_t *oriented_jpeg(uint8_t orientation, bool big_endian, size_t *ret_bytes)
{
	static const uint8_t little[] =
		"\xff\xe1\0\x22"
		"Exif\0\0II*\0\x08\0\0\0\1\0\x12\1\3\0\1\0\0\0O\0\0\0\0\0\0\0";
	static const uint8_t big[] = "\xff\xe1\0\x22"
				     "Exif\0\0MM\0*\0\0\0\x08\0\1\1\x12\0\3\0\0\0\1\0O\0\0\0\0\0\0";
	const size_t marker = 0x22 + 2;
	struct image image = sample();
	size_t bytes;
	void *plain;
	uint8_t *file;

	if (image_jpeg_encode(&image, &plain, &bytes, NULL))
		abort();
	image_deinit(&image);
	file = malloc(bytes + marker);
	memcpy(file, plain, 2);
	memcpy(file + 2, big_endian ? big : little, marker);
	*(uint8_t *)memchr(file + 2 + 26, 'O', 10) = orientation;
	memcpy(file + 2 + marker, (uint8_t *)plain + 2, bytes - 2);
	free(plain);
	*ret_bytes = bytes + marker;
	return file;
}

/* Red grows to the right and green downwards in the sample: which way do they grow now? */
static void expect_orientation(uint8_t orientation, bool big_endian, int red_x, int red_y)
{
	size_t bytes;
	uint8_t *file = oriented_jpeg(orientation, big_endian, &bytes), *last;
	struct image image;
	int dx, dy;

	ASSERT_EQ(image_decode(file, bytes, &image, NULL), 0);
	free(file);
	EXPECT_EQ(image.width, red_x ? WIDTH : HEIGHT);
	last = image.rgb + 3 * ((size_t)image.width * image.height - 1);
	dx = image.rgb[3 * (image.width - 1)] - image.rgb[0];
	dy = last[0] - image.rgb[3 * (image.width - 1)];
	EXPECT(red_x ? dx * red_x > 150 && abs(dy) < 20 : dy * red_y > 150 && abs(dx) < 20);
	image_deinit(&image);
}

static void test_jpeg_orientation_is_obeyed(void)
{
	static const int red[9][2] = {{1, 0}, {1, 0}, {-1, 0}, {-1, 0}, {1, 0},
				      {0, 1}, {0, 1}, {0, -1}, {0, -1}};

	for (int orientation = 0; orientation < 9; orientation++) {
		expect_orientation(orientation, false, red[orientation][0], red[orientation][1]);
		expect_orientation(orientation, true, red[orientation][0], red[orientation][1]);
	}
}

static void test_exif_damaged_is_upright(void)
{
	uint8_t data[64] = "Exif\0\0II*\0\xff\xff\xff\xff";

	for (size_t bytes = 0; bytes <= 30; bytes++)
		EXPECT_EQ(image_exif_orientation(data, bytes), 1);
	/* A directory of 65535 entries that isn't there. */
	memcpy(data + 10, "\x08\0\0\0\xff\xff", 6);
	EXPECT_EQ(image_exif_orientation(data, sizeof(data)), 1);
}

static uint8_t *encoded(bool png, size_t *ret_bytes)
{
	struct image image = sample();
	void *data;

	if (png ? image_png_encode(&image, &data, ret_bytes, NULL)
		: image_jpeg_encode(&image, &data, ret_bytes, NULL))
		abort();
	image_deinit(&image);
	return data;
}

static void decode_every_length(bool png, size_t harmless_tail)
{
	size_t bytes;
	uint8_t *file = encoded(png, &bytes);

	for (size_t cut = 0; cut + harmless_tail < bytes; cut++) {
		/* On its own, so that a sanitizer sees a read beyond the end. */
		uint8_t *part = malloc(cut + 1);
		struct reason why = {""};
		struct image image;

		memcpy(part, file, cut);
		EXPECT(image_decode(part, cut, &image, &why) < 0);
		EXPECT(why.text[0]);
		free(part);
	}
	free(file);
}

static void test_png_truncated_is_refused(void)
{
	/* The end marker and the checksum of the last data hold nothing of the picture. */
	decode_every_length(true, 20);
}

static void test_jpeg_truncated_is_refused(void)
{
	decode_every_length(false, 2);
}

static void flip_bits(bool png)
{
	size_t bytes;
	uint8_t *file = encoded(png, &bytes);
	uint32_t random = 1;

	for (int round = 0; round < 3000; round++) {
		struct image image;
		uint8_t *byte;
		int err;

		random = random * 1664525 + 1013904223;
		byte = file + (random >> 8) % bytes;
		*byte ^= 1 << (random >> 29);
		err = image_decode(file, bytes, &image, NULL);
		EXPECT(!err || err == -EBADMSG || err == -ENOTSUP || err == -EFBIG ||
		       err == -ENOMEM);
		if (!err)
			image_deinit(&image);
		*byte ^= 1 << (random >> 29);
	}
	free(file);
}

static void test_image_bit_flips_are_survived(void)
{
	flip_bits(true);
	flip_bits(false);
}

static void test_jpeg_too_large_is_refused(void)
{
	static const uint8_t sof[] = {0xff, 0xc0};
	size_t bytes;
	uint8_t *file = encoded(false, &bytes), *frame = memmem(file, bytes, sof, sizeof(sof));
	struct image image;

	ASSERT(frame);
	memset(frame + 5, 0xfd, 4); /* height and width */
	EXPECT_EQ(image_decode(file, bytes, &image, NULL), -EFBIG);
	free(file);
}

static void test_png_too_large_is_refused(void)
{
	static const uint8_t header[] =
		"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\xc3\x50\0\0\xc3\x50\x08\2\0\0\0"
		"\0\0\0\0\0\0\0\0IDAT";
	uint8_t file[sizeof(header)];
	struct image image;
	uint32_t crc = ~0u;

	memcpy(file, header, sizeof(file));
	for (size_t i = 12; i < 29; i++) {
		crc ^= file[i];
		for (int bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? 0xedb88320 : 0);
	}
	for (int i = 0; i < 4; i++)
		file[29 + i] = ~crc >> (24 - 8 * i);
	EXPECT_EQ(image_decode(file, sizeof(file) - 1, &image, NULL), -EFBIG);
}

static void test_image_other_files_are_refused(void)
{
	struct reason why = {""};
	struct image image;

	EXPECT_EQ(image_decode("GIF89a", 6, &image, &why), -ENOTSUP);
	EXPECT_EQ(image_decode("", 0, &image, NULL), -ENOTSUP);
	EXPECT_EQ(image_load(scratch_path("none.png"), &image, NULL), -ENOENT);
	EXPECT_EQ(image_load("/", &image, NULL), -EINVAL);
	EXPECT_EQ(image_load("/dev/zero", &image, NULL), -EINVAL);
	EXPECT_EQ(image_create(1u << 16, 1u << 16, &image), -EFBIG);
	EXPECT_EQ(image_create(0, 5, &image), -EFBIG);
}

static void test_image_save_refuses_what_it_cannot(void)
{
	struct image image = sample();

	EXPECT_EQ(image_save(scratch_path("a.gif"), &image, NULL), -EINVAL);
	EXPECT_EQ(image_save(scratch_path("png"), &image, NULL), -EINVAL);
	EXPECT_EQ(image_save("/nowhere.png/a.png", &image, NULL), -ENOENT);
	EXPECT_EQ(image_save("/proc.png/x/a", &image, NULL), -EINVAL);
	image_deinit(&image);
}

int main(void)
{
	RUN(test_png_round_trip_is_exact);
	RUN(test_jpeg_round_trip_is_close);
	RUN(test_png_with_alpha_lies_on_black);
	RUN(test_png_grey_becomes_three_channels);
	RUN(test_jpeg_grey_becomes_three_channels);
	RUN(test_jpeg_cmyk_is_refused);
	RUN(test_jpeg_orientation_is_obeyed);
	RUN(test_exif_damaged_is_upright);
	RUN(test_png_truncated_is_refused);
	RUN(test_jpeg_truncated_is_refused);
	RUN(test_image_bit_flips_are_survived);
	RUN(test_jpeg_too_large_is_refused);
	RUN(test_png_too_large_is_refused);
	RUN(test_image_other_files_are_refused);
	RUN(test_image_save_refuses_what_it_cannot);
	return tap_done();
}
