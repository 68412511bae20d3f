/* SPDX-License-Identifier: MIT */
/*
 * The file formats behind image.h; used by image.c only.
 */
#ifndef TETHYS_TASKS_IMAGE_FORMATS_H
#define TETHYS_TASKS_IMAGE_FORMATS_H

#include <stddef.h>
#include <stdint.h>

#include "tasks/image.h"

/* Both as image_decode(); @ret_orientation: 1-8 as in Exif, 1 is upright. */
int image_jpeg_decode(const void *data, size_t bytes, struct image *ret_image,
		      unsigned int *ret_orientation, struct reason *why);
int image_png_decode(const void *data, size_t bytes, struct image *ret_image, struct reason *why);

/* @ret_data: for the caller to free(). Return: 0; -ENOMEM; -EINVAL the library refuses. */
int image_jpeg_encode(const struct image *image, void **ret_data, size_t *ret_bytes,
		      struct reason *why);
int image_png_encode(const struct image *image, void **ret_data, size_t *ret_bytes,
		     struct reason *why);

/* Orientation in the content of an APP1 marker: 1-8; 1 also when it has none or is damaged. */
unsigned int image_exif_orientation(const uint8_t *data, size_t bytes);

#endif
