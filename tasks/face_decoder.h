/* SPDX-License-Identifier: MIT */
/*
 * What the kinds of face detector have in common; used by detect.c and one file per kind.
 */
#ifndef TETHYS_TASKS_FACE_DECODER_H
#define TETHYS_TASKS_FACE_DECODER_H

#include "tasks/detect.h"

/* A network puts out a fixed number of candidates, each with a score and, on request, a place. */
struct face_decoder {
	size_t candidates;
	unsigned int size;	/* side of the square input, pixels */
	float threshold;	/* default */
	float side_extra;	/* added to each side when overlaps are measured, photo pixels */
	const float *values[3]; /* data of the outputs, in the order of the kind */
	float (*score)(const struct face_decoder *decoder, size_t candidate);
	/* @ret_face: in input pixels; its score is left alone */
	void (*decode)(const struct face_decoder *decoder, size_t candidate, struct face *ret_face);
};

/*
 * Fill @ret_decoder from descriptions; data may be NULL when only the kind is asked for.
 * Return: 0; -ENOTSUP some other network.
 */
int retinaface_init(const struct task_tensor *input, const struct task_tensor *outputs,
		    size_t count, struct face_decoder *ret_decoder);
int tiny_face_init(const struct task_tensor *input, const struct task_tensor *outputs, size_t count,
		   struct face_decoder *ret_decoder);

/* Side of a square photo input of a multiple of 32 pixels; 0 when it is none. */
unsigned int face_input_size(const struct task_tensor *input);

/* 1 / (1 + e^-x) */
float face_sigmoid(float x);

/**
 * face_nms() - greedy non-maximum suppression, in place
 * @faces: [@count], best first
 * @iou: a face goes when a better kept one overlaps it by more
 *
 * Return: how many stay, in front.
 */
size_t face_nms(struct face *faces, size_t count, float iou, float side_extra);

#endif
