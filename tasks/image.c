/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "file.h"
#include "image.h"
#include "image_formats.h"

int image_create(uint32_t width, uint32_t height, struct image *ret_image)
{
	uint64_t pixels = (uint64_t)width * height;
	uint8_t *rgb;

	if (!pixels || pixels > IMAGE_PIXELS_MAX)
		return -EFBIG;
	rgb = calloc(pixels, 3);
	if (!rgb)
		return -ENOMEM;
	*ret_image = (struct image){.width = width, .height = height, .rgb = rgb};
	return 0;
}

void image_deinit(struct image *image)
{
	free(image->rgb);
	*image = (struct image){0};
}

/*
 * Where the pixel (x, y) of the upright photo is in the stored one. Orientations 5-8 swap the
 * sides.
 */
static const uint8_t *stored_pixel(const struct image *stored, unsigned int orientation, uint32_t x,
				   uint32_t y)
{
	uint32_t sx = orientation > 4 ? y : x, sy = orientation > 4 ? x : y;

	if (orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8)
		sx = stored->width - 1 - sx;
	if (orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7)
		sy = stored->height - 1 - sy;
	return stored->rgb + 3 * ((size_t)sy * stored->width + sx);
}

static int make_upright(struct image *image, unsigned int orientation)
{
	struct image upright;
	uint8_t *to;
	int err;

	if (orientation <= 1 || orientation > 8)
		return 0;
	if (orientation > 4)
		err = image_create(image->height, image->width, &upright);
	else
		err = image_create(image->width, image->height, &upright);
	if (err)
		return err;
	to = upright.rgb;
	for (uint32_t y = 0; y < upright.height; y++)
		for (uint32_t x = 0; x < upright.width; x++, to += 3)
			memcpy(to, stored_pixel(image, orientation, x, y), 3);
	image_deinit(image);
	*image = upright;
	return 0;
}

static int decode_jpeg_upright(const void *data, size_t bytes, struct image *ret_image,
			       struct reason *why)
{
	unsigned int orientation = 1;
	struct image image;
	int err;

	err = image_jpeg_decode(data, bytes, &image, &orientation, why);
	if (err)
		return err;
	err = make_upright(&image, orientation);
	if (err) {
		image_deinit(&image);
		return reason_add(why, err, "Photo can't be turned: %s", strerror(-err));
	}
	*ret_image = image;
	return 0;
}

int image_decode(const void *data, size_t bytes, struct image *ret_image, struct reason *why)
{
	static const uint8_t jpeg[] = {0xff, 0xd8}, png[] = {0x89, 'P', 'N', 'G'};

	if (bytes >= sizeof(jpeg) && !memcmp(data, jpeg, sizeof(jpeg)))
		return decode_jpeg_upright(data, bytes, ret_image, why);
	if (bytes >= sizeof(png) && !memcmp(data, png, sizeof(png)))
		return image_png_decode(data, bytes, ret_image, why);
	return reason_add(why, -ENOTSUP, "Photo is neither JPEG nor PNG");
}

int image_load(const char *path, struct image *ret_image, struct reason *why)
{
	size_t bytes;
	char *data;
	int err;

	err = task_file_read(path, IMAGE_FILE_BYTES_MAX, &data, &bytes, why);
	if (err)
		return err;
	err = image_decode(data, bytes, ret_image, why);
	free(data);
	if (err)
		return reason_add(why, err, "%s: no photo that can be read", path);
	return 0;
}

int image_save(const char *path, const struct image *image, struct reason *why)
{
	const char *slash = strrchr(path, '/'), *dot = strrchr(slash ? slash : path, '.');
	struct task_span span;
	void *data;
	int err;

	if (dot && !strcasecmp(dot, ".png"))
		err = image_png_encode(image, &data, &span.bytes, why);
	else if (dot && (!strcasecmp(dot, ".jpg") || !strcasecmp(dot, ".jpeg")))
		err = image_jpeg_encode(image, &data, &span.bytes, why);
	else
		return reason_add(why, -EINVAL, "%s: name must end with .png, .jpg or .jpeg", path);
	if (err)
		return reason_add(why, err, "%s: can't be encoded", path);
	span.data = data;
	err = task_file_write(path, &span, 1, why);
	free(data);
	return err;
}
