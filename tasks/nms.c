/* SPDX-License-Identifier: MIT */
#include <math.h>

#include "face_decoder.h"

static float overlap(const struct face *a, const struct face *b, float side_extra)
{
	float w = fminf(a->box[2], b->box[2]) - fmaxf(a->box[0], b->box[0]) + side_extra;
	float h = fminf(a->box[3], b->box[3]) - fmaxf(a->box[1], b->box[1]) + side_extra;
	float area_a = (a->box[2] - a->box[0] + side_extra) * (a->box[3] - a->box[1] + side_extra);
	float area_b = (b->box[2] - b->box[0] + side_extra) * (b->box[3] - b->box[1] + side_extra);
	float common = fmaxf(w, 0) * fmaxf(h, 0);

	return common > 0 ? common / (area_a + area_b - common) : 0;
}

size_t face_nms(struct face *faces, size_t count, float iou, float side_extra)
{
	size_t kept = 0;

	for (size_t i = 0; i < count; i++) {
		size_t k = 0;

		while (k < kept && !(overlap(&faces[k], &faces[i], side_extra) > iou))
			k++;
		if (k == kept)
			faces[kept++] = faces[i];
	}
	return kept;
}
