/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "face_decoder.h"

#define NMS_IOU 0.4f
#define SIZE_MAX_PIXELS 8192

struct candidate {
	float score;
	size_t index;
};

unsigned int face_input_size(const struct task_tensor *input)
{
	const uint64_t *dims = input->dims;
	uint64_t size;

	if (input->ndims != 4 || dims[0] != 1)
		return 0;
	size = dims[2]; /* the one that is a side in both layouts */
	if (!(dims[1] == 3 && dims[3] == size) && !(dims[3] == 3 && dims[1] == size))
		return 0;
	return size % 32 || size > SIZE_MAX_PIXELS ? 0 : size;
}

float face_sigmoid(float x)
{
	return 1 / (1 + expf(-x));
}

int detect_kind(const struct task_tensor *input, const struct task_tensor *outputs, size_t count,
		enum preprocess_kind *ret_kind, struct reason *why)
{
	struct face_decoder decoder;

	if (!retinaface_init(input, outputs, count, &decoder))
		*ret_kind = PREPROCESS_RETINAFACE;
	else if (!tiny_face_init(input, outputs, count, &decoder))
		*ret_kind = PREPROCESS_TINY_FACE;
	else
		return reason_add(why, -ENOTSUP,
				  "Outputs are those of no known face detector (RetinaFace: 1xNx4, "
				  "1xNx2, 1xNx10; tiny-face: 1x25xGxG)");
	return 0;
}

/* Best first; equal scores in the order of the network, so that results don't depend on qsort(). */
static int compare_candidates(const void *left, const void *right)
{
	const struct candidate *a = left, *b = right;

	if (a->score != b->score)
		return a->score > b->score ? -1 : 1;
	return a->index < b->index ? -1 : a->index > b->index;
}

static int find_candidates(const struct face_decoder *decoder, struct detect_result *result,
			   struct candidate **ret_found, size_t *ret_count)
{
	struct candidate *found = calloc(decoder->candidates, sizeof(*found));
	size_t count = 0;

	if (!found)
		return -ENOMEM;
	for (size_t i = 0; i < decoder->candidates; i++) {
		float score = decoder->score(decoder, i);

		if (!isfinite(score))
			continue;
		if (score > result->best_score)
			result->best_score = score;
		if (score > result->threshold)
			found[count++] = (struct candidate){.score = score, .index = i};
	}
	qsort(found, count, sizeof(*found), compare_candidates);
	*ret_found = found;
	*ret_count = count < DETECT_CANDIDATES_MAX ? count : DETECT_CANDIDATES_MAX;
	return 0;
}

/* Input pixels to photo pixels. Return: false when that gives no finite place. */
static bool scale_face(struct face *face, float scale)
{
	bool finite = true;

	for (unsigned int i = 0; i < 4; i++) {
		face->box[i] /= scale;
		finite &= isfinite(face->box[i]);
	}
	for (unsigned int i = 0; i < FACE_POINTS * 2; i++) {
		face->points[i] /= scale;
		finite &= isfinite(face->points[i]);
	}
	return finite;
}

static int decode_candidates(const struct face_decoder *decoder, const struct candidate *found,
			     size_t count, float scale, struct detect_result *result)
{
	struct face *faces = calloc(count ? count : 1, sizeof(*faces));
	size_t placed = 0;

	if (!faces)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++) {
		struct face *face = &faces[placed];

		*face = (struct face){.score = found[i].score};
		decoder->decode(decoder, found[i].index, face);
		placed += scale_face(face, scale);
	}
	result->faces = faces;
	result->count = face_nms(faces, placed, result->nms_iou, decoder->side_extra);
	return 0;
}

int detect_faces(enum preprocess_kind kind, const struct task_tensor *input,
		 const struct task_tensor *outputs, size_t count, float scale,
		 const struct detect_options *options, struct detect_result *ret_result,
		 struct reason *why)
{
	struct detect_result result = {0};
	struct face_decoder decoder;
	struct candidate *found;
	size_t candidates;
	int err = -ENOTSUP;

	if (kind == PREPROCESS_RETINAFACE)
		err = retinaface_init(input, outputs, count, &decoder);
	else if (kind == PREPROCESS_TINY_FACE)
		err = tiny_face_init(input, outputs, count, &decoder);
	if (err)
		return reason_add(why, err, "Outputs are not those of this face detector");
	result.threshold = options && options->threshold ? options->threshold : decoder.threshold;
	result.nms_iou = options && options->nms_iou ? options->nms_iou : NMS_IOU;
	err = find_candidates(&decoder, &result, &found, &candidates);
	if (!err) {
		err = decode_candidates(&decoder, found, candidates, scale, &result);
		free(found);
	}
	if (err)
		return reason_add(why, err, "Faces can't be decoded: out of memory");
	*ret_result = result;
	return 0;
}

void detect_result_deinit(struct detect_result *result)
{
	free(result->faces);
	*result = (struct detect_result){0};
}
