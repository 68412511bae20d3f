/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <string.h>

#include "draw.h"

#define GLYPH_WIDTH 5
#define GLYPH_HEIGHT 7
#define GLYPH_STEP (GLYPH_WIDTH + 1)

static const char glyph_names[] = "0123456789%.";

/* Rows from the top; bit 4 is the left column. */
static const uint8_t glyphs[][GLYPH_HEIGHT] = {
	{0x0e, 0x11, 0x13, 0x15, 0x19, 0x11, 0x0e}, /* 0 */
	{0x04, 0x0c, 0x04, 0x04, 0x04, 0x04, 0x0e}, /* 1 */
	{0x0e, 0x11, 0x01, 0x06, 0x08, 0x10, 0x1f}, /* 2 */
	{0x0e, 0x11, 0x01, 0x06, 0x01, 0x11, 0x0e}, /* 3 */
	{0x02, 0x06, 0x0a, 0x12, 0x1f, 0x02, 0x02}, /* 4 */
	{0x1f, 0x10, 0x1e, 0x01, 0x01, 0x11, 0x0e}, /* 5 */
	{0x06, 0x08, 0x10, 0x1e, 0x11, 0x11, 0x0e}, /* 6 */
	{0x1f, 0x01, 0x02, 0x04, 0x08, 0x08, 0x08}, /* 7 */
	{0x0e, 0x11, 0x11, 0x0e, 0x11, 0x11, 0x0e}, /* 8 */
	{0x0e, 0x11, 0x11, 0x0f, 0x01, 0x02, 0x0c}, /* 9 */
	{0x18, 0x19, 0x02, 0x04, 0x08, 0x13, 0x03}, /* % */
	{0x00, 0x00, 0x00, 0x00, 0x00, 0x0c, 0x0c}, /* . */
};

static const struct colour box_colour = {40, 220, 60};
static const struct colour point_colour = {255, 70, 70};
static const struct colour text_colour = {0, 0, 0};

/* From inclusive to exclusive. 64 bits: corners of a hostile network are anywhere. */
static void fill(struct image *image, int64_t x1, int64_t y1, int64_t x2, int64_t y2,
		 struct colour colour)
{
	x1 = x1 < 0 ? 0 : x1;
	y1 = y1 < 0 ? 0 : y1;
	x2 = x2 > image->width ? image->width : x2;
	y2 = y2 > image->height ? image->height : y2;
	for (int64_t y = y1; y < y2; y++) {
		for (int64_t x = x1; x < x2; x++) {
			uint8_t *pixel = image->rgb + 3 * ((size_t)y * image->width + x);

			pixel[0] = colour.r;
			pixel[1] = colour.g;
			pixel[2] = colour.b;
		}
	}
}

void draw_rect(struct image *image, int x1, int y1, int x2, int y2, int thickness,
	       struct colour colour)
{
	int64_t right = (int64_t)x2 + 1, bottom = (int64_t)y2 + 1;

	fill(image, x1, y1, right, (int64_t)y1 + thickness, colour);
	fill(image, x1, bottom - thickness, right, bottom, colour);
	fill(image, x1, y1, (int64_t)x1 + thickness, bottom, colour);
	fill(image, right - thickness, y1, right, bottom, colour);
}

void draw_dot(struct image *image, int x, int y, int radius, struct colour colour)
{
	for (int64_t dy = -radius; dy <= radius; dy++) {
		int64_t half = 0;

		while ((half + 1) * (half + 1) + dy * dy <= (int64_t)radius * radius)
			half++;
		fill(image, x - half, y + dy, x + half + 1, y + dy + 1, colour);
	}
}

static void draw_glyph(struct image *image, int64_t x, int64_t y, int zoom, const uint8_t *rows,
		       struct colour colour)
{
	for (int r = 0; r < GLYPH_HEIGHT; r++)
		for (int c = 0; c < GLYPH_WIDTH; c++)
			if (rows[r] >> (GLYPH_WIDTH - 1 - c) & 1)
				fill(image, x + c * zoom, y + r * zoom, x + (c + 1) * zoom,
				     y + (r + 1) * zoom, colour);
}

void draw_text(struct image *image, int x, int y, int zoom, const char *text, struct colour colour)
{
	int64_t at = x;

	for (; *text; text++, at += GLYPH_STEP * zoom) {
		const char *found = strchr(glyph_names, *text);

		if (found)
			draw_glyph(image, at, y, zoom, glyphs[found - glyph_names], colour);
	}
}

/* Coordinates as pixels; a conversion from beyond the range of int would be undefined. */
static int pixel(float coordinate)
{
	if (!(coordinate > -1e6f))
		return -1000000;
	return coordinate < 1e6f ? (int)coordinate : 1000000;
}

/* On a plate of the box's colour above the box, or inside when there is no room. */
static void draw_score(struct image *image, const struct face *face, int zoom)
{
	int x = pixel(face->box[0]), y = pixel(face->box[1]), height = (GLYPH_HEIGHT + 2) * zoom;
	char text[16];

	snprintf(text, sizeof(text), "%.1f%%", (double)face->score * 100);
	x = x < 0 ? 0 : x;
	y = y < height ? (y < 0 ? 0 : y) : y - height;
	fill(image, x, y, x + ((int)strlen(text) * GLYPH_STEP + 1) * zoom, y + height, box_colour);
	draw_text(image, x + zoom, y + zoom, zoom, text, text_colour);
}

void draw_faces(struct image *image, const struct face *faces, size_t count)
{
	int unit = (image->width < image->height ? image->width : image->height) / 320;

	unit = unit < 1 ? 1 : unit > 16 ? 16 : unit;
	for (size_t i = 0; i < count; i++) {
		const struct face *face = &faces[i];

		draw_rect(image, pixel(face->box[0]), pixel(face->box[1]), pixel(face->box[2]),
			  pixel(face->box[3]), 2 * unit, box_colour);
		for (unsigned int p = 0; face->has_points && p < FACE_POINTS; p++)
			draw_dot(image, pixel(face->points[2 * p]), pixel(face->points[2 * p + 1]),
				 2 * unit, point_colour);
		draw_score(image, face, 2 * unit);
	}
}
