/* SPDX-License-Identifier: MIT */
/*
 * RetinaFace: three grids of square priors, offsets to them in units of their size.
 *
 * Candidate order: stride 8, 16, 32; within one, rows from the top, in a row cells from the left,
 * in a cell the smaller prior first. Variances are 0.1 for places and 0.2 for sizes. Source: Deng
 * et al. 2019 and the description of the network used in the tests; checked against its outputs on
 * photos.
 */
#include <errno.h>
#include <math.h>

#include "face_decoder.h"

#define CENTRE_VARIANCE 0.1f
#define SIZE_VARIANCE 0.2f
#define PRIORS_PER_CELL 2
#define LEVELS 3

enum { LOC, CONF, LANDMS, OUTPUTS_NR };

static const struct {
	unsigned int stride;
	float sizes[PRIORS_PER_CELL]; /* input pixels */
} levels[LEVELS] = {{8, {10, 20}}, {16, {32, 64}}, {32, {128, 256}}};

static const uint64_t output_widths[OUTPUTS_NR] = {[LOC] = 4, [CONF] = 2, [LANDMS] = 10};

struct prior {
	float x, y, side; /* centre and side, input pixels */
};

static size_t level_priors(unsigned int level, unsigned int size)
{
	size_t cells = size / levels[level].stride;

	return cells * cells * PRIORS_PER_CELL;
}

/* @index < decoder->candidates */
static struct prior prior_at(unsigned int size, size_t index)
{
	unsigned int level = 0, stride;
	size_t cells, cell;

	for (; level < LEVELS - 1 && index >= level_priors(level, size); level++)
		index -= level_priors(level, size);
	stride = levels[level].stride;
	cells = size / stride;
	cell = index / PRIORS_PER_CELL;
	return (struct prior){
		.x = ((float)(cell % cells) + 0.5f) * stride,
		.y = ((float)(cell / cells) + 0.5f) * stride,
		.side = levels[level].sizes[index % PRIORS_PER_CELL],
	};
}

static float retinaface_score(const struct face_decoder *decoder, size_t candidate)
{
	return decoder->values[CONF][candidate * 2 + 1];
}

static void retinaface_decode(const struct face_decoder *decoder, size_t candidate,
			      struct face *ret_face)
{
	const float *loc = decoder->values[LOC] + candidate * 4;
	const float *landms = decoder->values[LANDMS] + candidate * 10;
	struct prior prior = prior_at(decoder->size, candidate);
	float step = CENTRE_VARIANCE * prior.side;
	float x = prior.x + loc[0] * step, y = prior.y + loc[1] * step;
	float half_w = prior.side * expf(SIZE_VARIANCE * loc[2]) / 2;
	float half_h = prior.side * expf(SIZE_VARIANCE * loc[3]) / 2;

	ret_face->box[0] = x - half_w;
	ret_face->box[1] = y - half_h;
	ret_face->box[2] = x + half_w;
	ret_face->box[3] = y + half_h;
	for (unsigned int i = 0; i < FACE_POINTS; i++) {
		ret_face->points[2 * i] = prior.x + landms[2 * i] * step;
		ret_face->points[2 * i + 1] = prior.y + landms[2 * i + 1] * step;
	}
	ret_face->has_points = true;
}

static const struct task_tensor *find_output(const struct task_tensor *outputs, size_t count,
					     size_t candidates, uint64_t width)
{
	for (size_t i = 0; i < count; i++) {
		const struct task_tensor *t = &outputs[i];

		if (t->dtype == METIS_F32 && t->ndims == 3 && t->dims[0] == 1 &&
		    t->dims[1] == candidates && t->dims[2] == width)
			return t;
	}
	return NULL;
}

int retinaface_init(const struct task_tensor *input, const struct task_tensor *outputs,
		    size_t count, struct face_decoder *ret_decoder)
{
	struct face_decoder decoder = {
		.size = face_input_size(input),
		.threshold = 0.8f,
		.side_extra = 1,
		.score = retinaface_score,
		.decode = retinaface_decode,
	};

	if (!decoder.size || count != OUTPUTS_NR)
		return -ENOTSUP;
	for (unsigned int i = 0; i < LEVELS; i++)
		decoder.candidates += level_priors(i, decoder.size);
	for (unsigned int i = 0; i < OUTPUTS_NR; i++) {
		const struct task_tensor *output =
			find_output(outputs, count, decoder.candidates, output_widths[i]);

		if (!output)
			return -ENOTSUP;
		decoder.values[i] = output->data;
	}
	*ret_decoder = decoder;
	return 0;
}
