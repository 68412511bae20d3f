/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "classify.h"
#include "file.h"

#define LABELS_BYTES_MAX (4u << 20)
#define LABELS_FILE "imagenet-labels.txt"

static bool ranks_before(float a, float b)
{
	return a > b || (isnan(b) && !isnan(a));
}

/* Insertion into a short sorted list: @top is small, the classes come in index order. */
static void keep_best(struct class_score *best, size_t *count, size_t top, size_t index,
		      float logit)
{
	size_t at = *count;

	while (at && ranks_before(logit, best[at - 1].logit))
		at--;
	if (at == top)
		return;
	if (*count < top)
		++*count;
	memmove(best + at + 1, best + at, (*count - at - 1) * sizeof(*best));
	best[at] = (struct class_score){.index = index, .logit = logit};
}

/* Less the largest one, so that no power overflows. */
static double softmax_sum(const float *logits, size_t classes, float max)
{
	double sum = 0;

	for (size_t i = 0; i < classes; i++)
		if (!isnan(logits[i]))
			sum += exp((double)logits[i] - max);
	return sum;
}

int classify_top(const struct task_tensor *logits, size_t top, struct class_score *ret_top,
		 size_t *ret_count, struct reason *why)
{
	size_t classes = task_tensor_bytes(logits) / sizeof(float), count = 0;
	const float *values = logits->data;
	double sum;

	if (logits->dtype != METIS_F32 || !classes)
		return reason_add(why, -ENOTSUP, "Output %s: no float32 class scores",
				  logits->name);
	for (size_t i = 0; i < classes && top; i++)
		keep_best(ret_top, &count, top, i, values[i]);
	*ret_count = count;
	if (!count)
		return 0;
	sum = softmax_sum(values, classes, ret_top[0].logit);
	for (size_t i = 0; i < count; i++) {
		double p = exp((double)ret_top[i].logit - ret_top[0].logit) / sum;

		ret_top[i].probability = isfinite(p) ? p : 0;
	}
	return 0;
}

static int split_lines(struct labels *labels)
{
	size_t lines = 0;
	char *line, *rest;

	for (const char *c = labels->text; *c; c++)
		lines += *c == '\n';
	labels->names = calloc(lines + 1, sizeof(*labels->names));
	if (!labels->names)
		return -ENOMEM;
	rest = labels->text;
	while (*rest) {
		line = strsep(&rest, "\n");
		line[strcspn(line, "\r")] = '\0';
		labels->names[labels->count++] = line;
		if (!rest)
			break;
	}
	return 0;
}

int labels_load(const char *path, struct labels *ret_labels, struct reason *why)
{
	struct labels labels = {0};
	size_t bytes;
	int err;

	err = task_file_read(path, LABELS_BYTES_MAX, &labels.text, &bytes, why);
	if (err)
		return err;
	err = split_lines(&labels);
	if (err) {
		labels_deinit(&labels);
		return reason_add(why, err, "%s: out of memory", path);
	}
	*ret_labels = labels;
	return 0;
}

void labels_deinit(struct labels *labels)
{
	free(labels->names);
	free(labels->text);
	*labels = (struct labels){0};
}

int labels_find(const char *model_path, size_t classes, struct labels *ret_labels,
		struct reason *why)
{
	const char *slash = strrchr(model_path, '/');
	int folder = slash ? slash + 1 - model_path : 0;
	struct labels labels = {0};
	struct reason ignored = {""};
	char path[PATH_MAX];
	int err;

	if (snprintf(path, sizeof(path), "%.*s" LABELS_FILE, folder, model_path) >=
	    (int)sizeof(path))
		return reason_add(why, -ENAMETOOLONG, "%s: name too long", model_path);
	err = labels_load(path, &labels, &ignored);
	if (err && err != -ENOENT)
		return reason_add(why, err, "%s", ignored.text);
	if (labels.count != classes)
		labels_deinit(&labels);
	*ret_labels = labels;
	return 0;
}

const char *labels_name(const struct labels *labels, size_t index)
{
	if (index >= labels->count || !labels->names[index][0])
		return NULL;
	return labels->names[index];
}
