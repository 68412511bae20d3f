/* SPDX-License-Identifier: MIT */
/*
 * One tag out of Exif data: how the camera was held. Source: Exif 2.32, tag 0x112.
 *
 * "Exif\0\0" | TIFF header: "II" or "MM", 42, offset of the first directory | directory: count,
 * entries of 12 bytes (tag, type, count, value). Offsets count from the TIFF header.
 */
#include <stdbool.h>
#include <string.h>

#include "image_formats.h"

#define TAG_ORIENTATION 0x112
#define TYPE_SHORT 3
#define ENTRY_BYTES 12

struct tiff {
	const uint8_t *data;
	size_t bytes;
	bool big_endian;
};

/* 0 beyond the end: no tag, no directory, no orientation is 0. */
static uint32_t tiff_get(const struct tiff *tiff, size_t offset, unsigned int width)
{
	uint32_t value = 0;

	if (offset > tiff->bytes || tiff->bytes - offset < width)
		return 0;
	for (unsigned int i = 0; i < width; i++)
		value = value << 8 | tiff->data[offset + (tiff->big_endian ? i : width - 1 - i)];
	return value;
}

static unsigned int first_directory_orientation(const struct tiff *tiff)
{
	size_t directory = tiff_get(tiff, 4, 4);
	uint32_t entries = tiff_get(tiff, directory, 2);

	for (uint32_t i = 0; i < entries; i++) {
		size_t entry = directory + 2 + (size_t)i * ENTRY_BYTES;
		uint32_t value = tiff_get(tiff, entry + 8, 2);

		if (tiff_get(tiff, entry, 2) == TAG_ORIENTATION &&
		    tiff_get(tiff, entry + 2, 2) == TYPE_SHORT)
			return value >= 1 && value <= 8 ? value : 1;
	}
	return 1;
}

unsigned int image_exif_orientation(const uint8_t *data, size_t bytes)
{
	struct tiff tiff;

	if (bytes < 14 || memcmp(data, "Exif\0", 6))
		return 1;
	tiff.data = data + 6;
	tiff.bytes = bytes - 6;
	tiff.big_endian = tiff.data[0] == 'M';
	if (tiff_get(&tiff, 0, 2) != (tiff.big_endian ? 0x4d4d : 0x4949) ||
	    tiff_get(&tiff, 2, 2) != 42)
		return 1;
	return first_directory_orientation(&tiff);
}
