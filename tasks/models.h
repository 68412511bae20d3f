/* SPDX-License-Identifier: MIT */
/*
 * Networks Tethys can write itself as ONNX files.
 */
#ifndef TETHYS_TASKS_MODELS_H
#define TETHYS_TASKS_MODELS_H

#include <stdint.h>

#include "common/reason.h"

#define RESNET18_SEED 18
#define TINY_FACE_SIZE 416

/**
 * resnet18_make() - write an untrained ResNet-18
 * @path: ONNX file to write; replaced at once or not at all
 * @seed: any; the same seed gives the same bytes on every machine
 * @why: may be NULL
 *
 * Architecture of He et al. 2015 (20 convolutions, 1 fully connected, 11.7 M parameters) with batch
 * normalisation folded into the convolutions; input "input" 1x3x224x224, output "logits" 1x1000,
 * float32. The answers mean nothing: it is for speed, memory and exactness.
 *
 * Return: 0; -ENOMEM; -errno of the file.
 */
int resnet18_make(const char *path, uint64_t seed, struct reason *why);

/**
 * tiny_face_convert() - write the tiny face detector of the npm package @vladmandic/face-api as
 * ONNX
 * @manifest_path: tiny_face_detector_model-weights_manifest.json
 * @bin_path: tiny_face_detector_model.bin
 * @path: ONNX file to write; replaced at once or not at all
 * @size: side of the square input, a multiple of 32 in 32-1024; TINY_FACE_SIZE is the usual one
 * @why: may be NULL
 *
 * Input "input" 1x3xSxS; output "grid" 1x25x(S/32)x(S/32), float32.
 *
 * Return: 0; -EINVAL bad size; -EBADMSG manifest or weights aren't those of this network; -ENOMEM;
 * -errno of a file.
 */
int tiny_face_convert(const char *manifest_path, const char *bin_path, const char *path,
		      unsigned int size, struct reason *why);

#endif
