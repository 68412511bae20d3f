/* SPDX-License-Identifier: MIT */
/*
 * From a photo to the input tensor of a network.
 */
#ifndef TETHYS_TASKS_PREPROCESS_H
#define TETHYS_TASKS_PREPROCESS_H

#include "common/reason.h"
#include "tasks/image.h"
#include "tasks/tensor.h"

enum preprocess_kind {
	PREPROCESS_CLASSIFY, /* R, G, B; ImageNet mean and deviation; shortest side x 8/7, middle */
	PREPROCESS_RETINAFACE, /* B, G, R; 0-255 less the mean; top left corner, rest mean colour */
	PREPROCESS_TINY_FACE,  /* R, G, B; less the mean, / 255; top left corner, rest black */
	PREPROCESS_NR,
};

/**
 * preprocess() - fit a photo into an input tensor
 * @kind: which network family
 * @photo: any size
 * @input: float32, or uint8 for networks that normalise inside (raw values, same channel order and
 *	fit); [1][3][H][W] or [1][H][W][3]; @input->data is filled, all of it
 * @ret_scale: input pixels a photo pixel, for detect_faces(); may be NULL
 * @why: may be NULL
 *
 * Resizing is bilinear with half-pixel centres, clamped at the edges, without smoothing, and in
 * float (not rounded back to integers).
 *
 * Return: 0; -ENOTSUP an input that's none of these; -ENOMEM.
 */
int preprocess(enum preprocess_kind kind, const struct image *photo,
	       const struct task_tensor *input, float *ret_scale, struct reason *why);

#endif
