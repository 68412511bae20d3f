/* SPDX-License-Identifier: MIT */
/*
 * From the logits of a classifier to its best classes, with names when there are any.
 */
#ifndef TETHYS_TASKS_CLASSIFY_H
#define TETHYS_TASKS_CLASSIFY_H

#include <stddef.h>

#include "common/reason.h"
#include "tasks/tensor.h"

struct class_score {
	size_t index; /* from 0 */
	float logit;
	float probability; /* softmax over all classes, 0-1 */
};

/**
 * classify_top() - the best classes of one output
 * @logits: float32 with data; all elements count as classes, whatever the shape
 * @top: how many are wanted
 * @ret_top: [@top], best first, equal ones by index
 * @ret_count: how many there are: @top, or less when there are fewer classes
 * @why: may be NULL
 *
 * NaN logits rank last and have probability 0.
 *
 * Return: 0; -ENOTSUP not float32, or empty.
 */
int classify_top(const struct task_tensor *logits, size_t top, struct class_score *ret_top,
		 size_t *ret_count, struct reason *why);

struct labels {
	size_t count;
	char **names; /* [count]; borrowed from @text */
	char *text;
};

/**
 * labels_load() - class names from a file, one a line, the first is class 0
 * @ret_labels: for the caller to labels_deinit()
 *
 * Return: 0; -errno of the file; -EFBIG over 4 MiB; -ENOMEM.
 */
int labels_load(const char *path, struct labels *ret_labels, struct reason *why);

/**
 * labels_find() - class names that lie next to a model: imagenet-labels.txt in its folder
 * @model_path: the model file
 * @classes: number of outputs of the model; a file with another number of lines doesn't count
 *
 * Return: 0, also when there are none (@ret_labels is empty then); as labels_load().
 */
int labels_find(const char *model_path, size_t classes, struct labels *ret_labels,
		struct reason *why);

void labels_deinit(struct labels *labels);

/* Name of class @index, or NULL when it has none. */
const char *labels_name(const struct labels *labels, size_t index);

#endif
