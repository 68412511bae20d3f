/* SPDX-License-Identifier: MIT */
/*
 * The tiny face detector: one grid of cells of 32 input pixels, five anchor shapes a cell, and for
 * each of these five channels: x, y (sigmoid: place in the cell), width, height (power of e times
 * the anchor), score (sigmoid). Source: @vladmandic/face-api 1.7.15, src/tinyYolov2 and
 * src/tinyFaceDetector/const.ts.
 */
#include <errno.h>
#include <math.h>

#include "face_decoder.h"

#define CELL_PIXELS 32
#define ANCHORS 5

enum { CHANNEL_X, CHANNEL_Y, CHANNEL_WIDTH, CHANNEL_HEIGHT, CHANNEL_SCORE, CHANNELS_NR };

/* Width and height in cells. */
static const float anchors[ANCHORS][2] = {
	{1.603231f, 2.094468f}, {6.041143f, 7.080126f}, {2.882459f, 3.518061f},
	{4.266906f, 5.178857f}, {9.041765f, 10.66308f},
};

/* Candidates: cells row by row from the top left, in a cell the anchors in the order above. */
static float channel(const struct face_decoder *decoder, size_t candidate, unsigned int channel)
{
	size_t cells = decoder->candidates / ANCHORS;
	size_t plane = candidate % ANCHORS * CHANNELS_NR + channel;

	return decoder->values[0][plane * cells + candidate / ANCHORS];
}

static float tiny_face_score(const struct face_decoder *decoder, size_t candidate)
{
	return face_sigmoid(channel(decoder, candidate, CHANNEL_SCORE));
}

static void tiny_face_decode(const struct face_decoder *decoder, size_t candidate,
			     struct face *ret_face)
{
	unsigned int row_cells = decoder->size / CELL_PIXELS;
	const float *anchor = anchors[candidate % ANCHORS];
	size_t cell = candidate / ANCHORS;
	float x = cell % row_cells + face_sigmoid(channel(decoder, candidate, CHANNEL_X));
	float y = cell / row_cells + face_sigmoid(channel(decoder, candidate, CHANNEL_Y));
	float half_w = expf(channel(decoder, candidate, CHANNEL_WIDTH)) * anchor[0] / 2;
	float half_h = expf(channel(decoder, candidate, CHANNEL_HEIGHT)) * anchor[1] / 2;

	ret_face->box[0] = (x - half_w) * CELL_PIXELS;
	ret_face->box[1] = (y - half_h) * CELL_PIXELS;
	ret_face->box[2] = (x + half_w) * CELL_PIXELS;
	ret_face->box[3] = (y + half_h) * CELL_PIXELS;
	ret_face->has_points = false;
}

int tiny_face_init(const struct task_tensor *input, const struct task_tensor *outputs, size_t count,
		   struct face_decoder *ret_decoder)
{
	unsigned int size = face_input_size(input);
	uint64_t row_cells = size / CELL_PIXELS;

	if (!size || count != 1 || outputs[0].dtype != METIS_F32 || outputs[0].ndims != 4 ||
	    outputs[0].dims[0] != 1 || outputs[0].dims[1] != ANCHORS * CHANNELS_NR ||
	    outputs[0].dims[2] != row_cells || outputs[0].dims[3] != row_cells)
		return -ENOTSUP;
	*ret_decoder = (struct face_decoder){
		.candidates = row_cells * row_cells * ANCHORS,
		.size = size,
		.threshold = 0.5f,
		.values = {outputs[0].data},
		.score = tiny_face_score,
		.decode = tiny_face_decode,
	};
	return 0;
}
