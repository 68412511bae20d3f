/* SPDX-License-Identifier: MIT */
/* A photo in, the best classes out. */
#include <errno.h>
#include <stdio.h>

#include "cli/run.h"
#include "cli/term.h"

static int classify_init(struct run *run, struct reason *why)
{
	const struct run_options *options = run->options;
	size_t classes;

	run->kind = PREPROCESS_CLASSIFY;
	if (run->job.outputs != 1 || run->job.output->dtype != METIS_F32)
		return reason_add(why, -ENOTSUP,
				  "A classifier has one float32 output; this model has not.");
	classes = task_tensor_bytes(run->job.output) / sizeof(float);
	if (options->labels)
		return labels_load(options->labels, &run->labels, why);
	return labels_find(options->job.model, classes, &run->labels, why);
}

static int classify_prepare(struct run *run, const char *const *files, struct reason *why)
{
	return run_prepare_photo(run, files[0], why);
}

static struct json_object *class_json(const struct run *run, const struct class_score *score)
{
	struct json_object *object = json_object_new_object();
	const char *label = labels_name(&run->labels, score->index);

	json_object_object_add(object, "index", json_object_new_int64((int64_t)score->index));
	json_object_object_add(object, "label", label ? json_object_new_string(label) : NULL);
	json_object_object_add(object, "logit", json_float(score->logit));
	json_object_object_add(object, "probability", json_float(score->probability));
	return object;
}

static void print_class(const struct run *run, const struct class_score *score)
{
	const char *label = labels_name(&run->labels, score->index);

	printf("  %6.2f %%  %4zu  %-24s %8.3f\n", 100.0 * (double)score->probability, score->index,
	       label ? label : "", (double)score->logit);
}

static int classify_report(struct run *run, const char *const *files, struct json_object *result,
			   struct reason *why)
{
	struct json_object *list = NULL, *written = NULL;
	struct class_score top[RUN_TOP_MAX];
	size_t count;
	int rc;

	rc = classify_top(run->job.output, run->options->top, top, &count, why);
	if (rc)
		return rc;
	if (result) {
		list = json_object_new_array();
		written = json_object_new_array();
		json_object_object_add(result, "top", list);
		json_object_object_add(result, "files", written);
	} else {
		printf("  %s%8s  %4s  %-24s %8s%s\n", term_on(stdout, TERM_DIM), "prob.", "no.",
		       "class", "logit", term_off(stdout));
	}
	for (size_t i = 0; i < count; i++) {
		if (result)
			json_object_array_add(list, class_json(run, &top[i]));
		else
			print_class(run, &top[i]);
	}
	return run->options->output ? run_write_outputs(run, files[0], written, why) : 0;
}

const struct run_task run_task_classify = {
	.name = "classify",
	.init = classify_init,
	.prepare = classify_prepare,
	.report = classify_report,
};
