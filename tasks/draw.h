/* SPDX-License-Identifier: MIT */
/*
 * Marks on a photo: boxes, landmarks and scores.
 */
#ifndef TETHYS_TASKS_DRAW_H
#define TETHYS_TASKS_DRAW_H

#include <stdint.h>

#include "tasks/detect.h"
#include "tasks/image.h"

struct colour {
	uint8_t r, g, b;
};

/* All coordinates are in pixels; what lies outside the photo is left out. */
void draw_rect(struct image *image, int x1, int y1, int x2, int y2, int thickness,
	       struct colour colour);
void draw_dot(struct image *image, int x, int y, int radius, struct colour colour);

/**
 * draw_text() - text in the built-in font: digits, '%', '.', ' '
 * @x: left edge
 * @y: top edge
 * @zoom: 1-64; a glyph is 5 * zoom wide and 7 * zoom high
 *
 * Other characters are shown as blanks.
 */
void draw_text(struct image *image, int x, int y, int zoom, const char *text, struct colour colour);

/**
 * draw_faces() - box, landmarks and score in percent of each face; sizes follow the photo
 */
void draw_faces(struct image *image, const struct face *faces, size_t count);

#endif
