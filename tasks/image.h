/* SPDX-License-Identifier: MIT */
/*
 * Photos: JPEG and PNG files to and from plain RGB.
 */
#ifndef TETHYS_TASKS_IMAGE_H
#define TETHYS_TASKS_IMAGE_H

#include <stddef.h>
#include <stdint.h>

#include "common/reason.h"

#define IMAGE_PIXELS_MAX (64u << 20)
#define IMAGE_FILE_BYTES_MAX (256u << 20)

struct image {
	uint32_t width, height; /* pixels; product at most IMAGE_PIXELS_MAX */
	uint8_t *rgb;		/* [height][width][3] R, G, B; row-major, stride 3 * width bytes */
};

/**
 * image_create() - a black photo
 *
 * Return: 0; -EFBIG over IMAGE_PIXELS_MAX or empty; -ENOMEM.
 */
int image_create(uint32_t width, uint32_t height, struct image *ret_image);

/**
 * image_deinit() - free the pixels
 * @image: zeroed, or filled by a function of this header
 */
void image_deinit(struct image *image);

/**
 * image_decode() - decode a JPEG or PNG that is in memory
 * @data: the whole file; which of the two it is comes from its first bytes
 * @bytes: its size
 * @ret_image: the photo; for the caller to image_deinit()
 * @why: may be NULL
 *
 * Grey becomes three equal channels, palettes are expanded, 16 bits a channel become 8,
 * transparency is put on black. The orientation tag of cameras (Exif) is obeyed.
 *
 * Return: 0; -ENOTSUP neither JPEG nor PNG, or CMYK; -EBADMSG damaged or cut off; -EFBIG; -ENOMEM.
 */
int image_decode(const void *data, size_t bytes, struct image *ret_image, struct reason *why);

/**
 * image_load() - image_decode() of a file
 *
 * Return: as image_decode(); also -errno of open and read; -EFBIG over IMAGE_FILE_BYTES_MAX.
 */
int image_load(const char *path, struct image *ret_image, struct reason *why);

/**
 * image_save() - write a photo
 * @path: ends with .png, .jpg or .jpeg (any case), which chooses the format; replaced at once or
 *	not at all
 *
 * JPEG is written at quality 92.
 *
 * Return: 0; -EINVAL other ending; -errno of the file; -ENOMEM.
 */
int image_save(const char *path, const struct image *image, struct reason *why);

#endif
