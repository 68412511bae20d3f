/* SPDX-License-Identifier: MIT */
/*
 * Faces from the outputs of a face detector. One entry; the kind of network is known by its
 * outputs.
 */
#ifndef TETHYS_TASKS_DETECT_H
#define TETHYS_TASKS_DETECT_H

#include <stdbool.h>
#include <stddef.h>

#include "common/reason.h"
#include "tasks/preprocess.h"
#include "tasks/tensor.h"

#define FACE_POINTS 5
#define DETECT_CANDIDATES_MAX 5000

struct face {
	float score;  /* 0-1 */
	float box[4]; /* x1, y1, x2, y2 in photo pixels; may lie outside */
	float points[FACE_POINTS *
		     2]; /* x, y: eyes, nose, corners of the mouth (left as seen first) */
	bool has_points;
};

struct detect_options {
	float threshold; /* scores above it count; 0: 0.8 for RetinaFace, 0.5 for tiny-face */
	float nms_iou;	 /* overlap above which the weaker one is dropped; 0: 0.4 */
};

struct detect_result {
	struct face *faces; /* [count], best first */
	size_t count;
	float best_score; /* of all candidates, also below the threshold; 0 when there are none */
	float threshold;  /* the ones used */
	float nms_iou;
};

/**
 * detect_kind() - which face detector has these inputs and outputs
 * @input: its only input; data isn't looked at
 * @outputs: [@count]; data isn't looked at
 * @ret_kind: PREPROCESS_RETINAFACE or PREPROCESS_TINY_FACE: also what to prepare a photo with
 *
 * RetinaFace: square input, three outputs 1xNx4 (loc), 1xNx2 (conf), 1xNx10 (landms) in any order;
 * their shapes tell them apart. tiny-face: one output 1x25xGxG for an input of side 32 * G.
 *
 * Return: 0; -ENOTSUP no face detector known here.
 */
int detect_kind(const struct task_tensor *input, const struct task_tensor *outputs, size_t count,
		enum preprocess_kind *ret_kind, struct reason *why);

/**
 * detect_faces() - decode, suppress, and scale to the photo
 * @kind: of detect_kind()
 * @input: as for detect_kind()
 * @outputs: [@count], float32 with data
 * @scale: of preprocess()
 * @options: NULL: defaults
 * @ret_result: for the caller to detect_result_deinit()
 * @why: may be NULL
 *
 * Candidates that aren't finite numbers are dropped, they can't be shown. At most
 * DETECT_CANDIDATES_MAX, the best ones, go into suppression: its time grows with their square, and
 * outputs may be garbage.
 *
 * Return: 0; -ENOTSUP as detect_kind(); -ENOMEM.
 */
int detect_faces(enum preprocess_kind kind, const struct task_tensor *input,
		 const struct task_tensor *outputs, size_t count, float scale,
		 const struct detect_options *options, struct detect_result *ret_result,
		 struct reason *why);

void detect_result_deinit(struct detect_result *result);

#endif
