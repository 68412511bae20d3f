/* SPDX-License-Identifier: MIT */
/*
 * PNG through libpng's simplified interface: it returns errors, and does palettes, grey, depth and
 * alpha.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <png.h>

#include "image_formats.h"

/* One header, all palettes and grey levels expanded: the text of libpng says what was wrong. */
static int png_fail(png_image *png, int err, struct reason *why)
{
	reason_add(why, err, "PNG: %s", png->message);
	png_image_free(png);
	return err;
}

int image_png_decode(const void *data, size_t bytes, struct image *ret_image, struct reason *why)
{
	static const png_color black;
	png_image png = {.version = PNG_IMAGE_VERSION};
	struct image image;
	int err;

	if (!png_image_begin_read_from_memory(&png, data, bytes))
		return png_fail(&png, -EBADMSG, why);
	err = image_create(png.width, png.height, &image);
	if (err) {
		reason_add(why, err, "PNG: %ux%u pixels: %s", png.width, png.height,
			   strerror(-err));
		png_image_free(&png);
		return err;
	}
	png.format = PNG_FORMAT_RGB;
	if (!png_image_finish_read(&png, &black, image.rgb, 0, NULL)) {
		image_deinit(&image);
		return png_fail(&png, -EBADMSG, why);
	}
	*ret_image = image;
	return 0;
}

int image_png_encode(const struct image *image, void **ret_data, size_t *ret_bytes,
		     struct reason *why)
{
	png_image png = {.version = PNG_IMAGE_VERSION,
			 .width = image->width,
			 .height = image->height,
			 .format = PNG_FORMAT_RGB};
	png_alloc_size_t bytes = PNG_IMAGE_PNG_SIZE_MAX(png);
	void *data = malloc(bytes);

	if (!data)
		return reason_add(why, -ENOMEM, "PNG: out of memory");
	if (!png_image_write_to_memory(&png, data, &bytes, 0, image->rgb, 0, NULL)) {
		free(data);
		return png_fail(&png, -EINVAL, why);
	}
	*ret_data = data;
	*ret_bytes = bytes;
	return 0;
}
