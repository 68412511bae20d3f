/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "cli/cleanup.h"
#include "cli/clock.h"
#include "cli/run.h"
#include "cli/term.h"
#include "cli/text.h"
#include "tasks/detect.h"
#include "tasks/file.h"

static const struct run_task *const tasks[] = {
	&run_task_raw,
	&run_task_classify,
	&run_task_detect,
};

static bool looks_raw(const char *file)
{
	const char *dot = strrchr(file, '.');

	return dot && (!strcasecmp(dot, ".bin") || !strcasecmp(dot, ".raw"));
}

/* One photo in, one row of scores out. */
static bool looks_like_classifier(const struct job *job)
{
	const struct task_tensor *in = job->input, *out = job->output;

	return job->inputs == 1 && job->outputs == 1 && in->ndims == 4 &&
	       (in->dims[1] == 3 || in->dims[3] == 3) && out->ndims >= 2 && out->dims[0] == 1 &&
	       out->dims[1] > 1 && out->dtype == METIS_F32 &&
	       task_tensor_bytes(out) == out->dims[1] * sizeof(float);
}

static const struct run_task *guess_task(const struct run *run)
{
	const struct job *job = &run->job;
	enum preprocess_kind kind;

	if (looks_raw(run->options->files[0]))
		return &run_task_raw;
	if (job->inputs == 1 && !detect_kind(job->input, job->output, job->outputs, &kind, NULL))
		return &run_task_detect;
	return looks_like_classifier(job) ? &run_task_classify : &run_task_raw;
}

static const struct run_task *find_task(const char *name)
{
	for (size_t i = 0; i < sizeof(tasks) / sizeof(tasks[0]); i++)
		if (!strcmp(tasks[i]->name, name))
			return tasks[i];
	return NULL;
}

int run_prepare_photo(struct run *run, const char *file, struct reason *why)
{
	int rc;

	image_deinit(&run->photo);
	memset(&run->photo, 0, sizeof(run->photo));
	if (run->job.inputs != 1)
		return reason_add(why, -ENOTSUP, "The model has %zu inputs; a photo fits only one.",
				  run->job.inputs);
	rc = image_load(file, &run->photo, why);
	return rc ? rc : preprocess(run->kind, &run->photo, run->job.input, &run->scale, why);
}

void run_note_file(struct json_object *files, const char *path)
{
	if (files)
		json_object_array_add(files, json_object_new_string(path));
	else
		printf("  wrote %s\n", path);
}

int run_write_outputs(struct run *run, const char *file, struct json_object *files,
		      struct reason *why)
{
	char stem[256], name[512], path[PATH_MAX];
	int rc = 0;

	text_stem(file, stem, sizeof(stem));
	for (size_t i = 0; i < run->job.outputs && !rc; i++) {
		const struct task_tensor *output = &run->job.output[i];
		struct task_span span = {output->data, task_tensor_bytes(output)};
		bool many = run->options->file_count > run->job.inputs;

		snprintf(name, sizeof(name), "%s%s%s", many ? stem : "", many ? "-" : "",
			 output->name);
		rc = outdir_path(&run->dir, name, ".bin", path, why);
		if (rc)
			break;
		cleanup_hold();
		rc = task_file_write(path, &span, 1, why);
		cleanup_release();
		if (!rc)
			run_note_file(files, path);
	}
	return rc;
}

/* @repeat runs; the outputs of the last one stay. */
static int run_repeatedly(struct run *run, struct term_progress *bar, uint64_t done, double *times,
			  struct reason *why)
{
	int rc = CLI_OK;

	for (unsigned int i = 0; i < run->options->repeat && rc == CLI_OK; i++) {
		rc = job_run(&run->job, &times[i], why);
		term_progress_set(bar, done + i + 1);
	}
	return rc;
}

static struct json_object *result_json(const struct run *run, const char *const *files,
				       size_t count, double ms)
{
	struct json_object *result = json_object_new_object();
	struct json_object *inputs = json_object_new_array();

	for (size_t i = 0; i < count; i++)
		json_object_array_add(inputs, json_object_new_string(files[i]));
	json_object_object_add(result, "inputs", inputs);
	json_object_object_add(result, "ms", json_rounded(ms));
	json_object_object_add(result, "runs", json_object_new_int64(run->options->repeat));
	return result;
}

static size_t files_per_run(const struct run *run)
{
	return run->task == &run_task_raw ? run->job.inputs : 1;
}

/* One photo, or one file for each input. @results: NULL for text. */
static int run_one(struct run *run, size_t first, struct term_progress *bar, double *times,
		   struct json_object *results, struct reason *why)
{
	const char *const *files = run->options->files + first;
	size_t count = files_per_run(run);
	struct json_object *result = NULL;
	double ms;
	int rc;

	if (run->task->prepare(run, files, why))
		return CLI_FAILED;
	rc = run_repeatedly(run, bar, first / count * run->options->repeat, times, why);
	if (rc != CLI_OK)
		return rc;
	ms = clock_median(times, run->options->repeat);
	if (results) {
		result = result_json(run, files, count, ms);
		json_object_array_add(results, result);
	} else {
		printf("%s%s%s%s: %.2f ms\n", term_on(stdout, TERM_BOLD), files[0],
		       count > 1 ? ", ..." : "", term_off(stdout), ms);
	}
	return run->task->report(run, files, result, why) ? CLI_FAILED : CLI_OK;
}

static int run_all(struct run *run, struct json_object *results, struct reason *why)
{
	const struct run_options *options = run->options;
	size_t each = files_per_run(run);
	struct term_progress *bar;
	double *times;
	int rc = CLI_OK;

	times = calloc(options->repeat, sizeof(*times));
	if (!times) {
		reason_add(why, 0, "No memory.");
		return CLI_FAILED;
	}
	bar = term_progress_start("running", options->file_count / each * options->repeat);
	for (size_t i = 0; i < options->file_count && rc == CLI_OK; i += each)
		rc = run_one(run, i, bar, times, results, why);
	term_progress_stop(bar);
	free(times);
	return rc;
}

static int choose_task(struct run *run, struct reason *why)
{
	const struct run_options *options = run->options;
	size_t each;
	int rc;

	run->task = options->task ? find_task(options->task) : guess_task(run);
	each = files_per_run(run);
	if (!each || options->file_count % each) {
		reason_add(why, 0, "The model has %zu inputs; %zu files don't go round.", each,
			   options->file_count);
		return CLI_FAILED;
	}
	if (options->output && outdir_open(options->output, &run->dir, why))
		return CLI_FAILED;
	rc = run->task->init ? run->task->init(run, why) : 0;
	return rc ? CLI_FAILED : CLI_OK;
}

static struct json_object *head_json(const struct run *run, struct json_object *results)
{
	const struct job *job = &run->job;
	struct json_object *root = json_object_new_object();

	json_object_object_add(root, "model", json_object_new_string(run->options->job.model));
	json_object_object_add(root, "device", json_object_new_string(job->device));
	json_object_object_add(root, "cores", json_object_new_int64(run->options->job.cores));
	json_object_object_add(root, "task", json_object_new_string(run->task->name));
	json_object_object_add(root, "load_ms", json_rounded(job->load_ms));
	json_object_object_add(root, "results", results);
	return root;
}

static void print_hint(int code, const struct run *run)
{
	if (code == CLI_DEVICE)
		term_hint("'tethys devices' lists the cards, 'tethys card' makes one, 'tethys dma' "
			  "tests the way to it.");
	else if (!run->job.model)
		term_hint("a model is an .onnx file with fixed shapes and its weights inside, a "
			  "model.json that names one, or a folder with one of them.");
	else if (!run->job.instance)
		term_hint(
			"'tethys dma' tests the way to the card; if that is fine, its engine refused "
			"the model: does ONNX Runtime alone load it?");
	else
		term_hint("'tethys model info %s' shows what the model wants.",
			  run->options->job.model);
}

int run_main(const struct run_options *options)
{
	struct run run = {.options = options};
	struct json_object *results = NULL;
	struct reason why = {0};
	int rc;

	rc = job_open(&options->job, &run.job, &why);
	if (rc == CLI_OK)
		rc = choose_task(&run, &why);
	if (rc == CLI_OK) {
		results = options->json ? json_object_new_array() : NULL;
		rc = run_all(&run, results, &why);
	}
	if (rc == CLI_OK && options->json) {
		json_print(head_json(&run, results));
		results = NULL;
	}
	json_object_put(results);
	if (rc != CLI_OK) {
		term_error("%s", why.text);
		print_hint(rc, &run);
	}
	labels_deinit(&run.labels);
	image_deinit(&run.photo);
	outdir_close(&run.dir);
	job_close(&run.job);
	return rc;
}
