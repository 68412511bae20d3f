/* SPDX-License-Identifier: MIT */
/* Tensors in, tensors out, and a few numbers to compare them by. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "cli/run.h"
#include "cli/tensor_stats.h"
#include "cli/text.h"
#include "tasks/file.h"

#define FIRST_NR 8
#define SAMPLES_NR 9

static int wrong_size(const struct task_tensor *input, const char *file, uint64_t bytes,
		      struct reason *why)
{
	char shape[TEXT_SHAPE_BYTES];

	return reason_add(why, -EINVAL, "Input '%s' is %s %s, %zu bytes; '%s' has %llu bytes.",
			  input->name, text_shape(input, shape), text_dtype(input->dtype),
			  task_tensor_bytes(input), file, (unsigned long long)bytes);
}

static int read_tensor(const char *file, const struct task_tensor *input, struct reason *why)
{
	size_t want = task_tensor_bytes(input), bytes;
	struct stat st;
	char *data;
	int rc;

	if (stat(file, &st))
		return reason_add(why, -errno, "'%s' can't be opened: %s", file, strerror(errno));
	if (S_ISREG(st.st_mode) && (uint64_t)st.st_size != want)
		return wrong_size(input, file, (uint64_t)st.st_size, why);
	rc = task_file_read(file, want, &data, &bytes, why);
	if (rc)
		return rc;
	if (bytes == want)
		memcpy(input->data, data, bytes);
	else
		rc = wrong_size(input, file, bytes, why); /* it shrank meanwhile */
	free(data);
	return rc;
}

static int raw_prepare(struct run *run, const char *const *files, struct reason *why)
{
	int rc = 0;

	for (size_t i = 0; i < run->job.inputs && !rc; i++)
		rc = read_tensor(files[i], &run->job.input[i], why);
	return rc;
}

/* Spread evenly from the first element to the last. */
static struct json_object *samples_json(const struct task_tensor *tensor, size_t count)
{
	struct json_object *samples = json_object_new_array();

	for (size_t i = 0; i < SAMPLES_NR && count; i++) {
		struct json_object *sample = json_object_new_object();
		size_t index = (count - 1) * i / (SAMPLES_NR - 1);

		json_object_object_add(sample, "index", json_object_new_int64((int64_t)index));
		json_object_object_add(sample, "value", json_double(tensor_value(tensor, index)));
		json_object_array_add(samples, sample);
	}
	return samples;
}

static struct json_object *output_json(const struct task_tensor *tensor)
{
	struct json_object *object = json_tensor(tensor);
	struct json_object *first = json_object_new_array();
	struct tensor_stats stats;

	tensor_stats(tensor, &stats);
	for (size_t i = 0; i < stats.count && i < FIRST_NR; i++)
		json_object_array_add(first, json_double(tensor_value(tensor, i)));
	json_object_object_add(object, "mean", json_double(stats.mean));
	json_object_object_add(object, "min", json_double(stats.min));
	json_object_object_add(object, "max", json_double(stats.max));
	json_object_object_add(object, "first", first);
	json_object_object_add(object, "samples", samples_json(tensor, stats.count));
	return object;
}

static void print_output(const struct task_tensor *tensor)
{
	char shape[TEXT_SHAPE_BYTES];
	struct tensor_stats stats;

	tensor_stats(tensor, &stats);
	printf("  %s: %s %s, mean %.6g, min %.6g, max %.6g\n    first", tensor->name,
	       text_shape(tensor, shape), text_dtype(tensor->dtype), stats.mean, stats.min,
	       stats.max);
	for (size_t i = 0; i < stats.count && i < FIRST_NR; i++)
		printf(" %.6g", tensor_value(tensor, i));
	printf("\n");
}

static int raw_report(struct run *run, const char *const *files, struct json_object *result,
		      struct reason *why)
{
	struct json_object *outputs = NULL, *written = NULL;

	if (result) {
		outputs = json_object_new_array();
		written = json_object_new_array();
		json_object_object_add(result, "outputs", outputs);
		json_object_object_add(result, "files", written);
	}
	for (size_t i = 0; i < run->job.outputs; i++) {
		if (result)
			json_object_array_add(outputs, output_json(&run->job.output[i]));
		else
			print_output(&run->job.output[i]);
	}
	return run->options->output ? run_write_outputs(run, files[0], written, why) : 0;
}

const struct run_task run_task_raw = {
	.name = "raw",
	.prepare = raw_prepare,
	.report = raw_report,
};
