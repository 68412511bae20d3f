/* SPDX-License-Identifier: MIT */
/*
 * tethys run: files in, answers out. One struct run_task a kind of answer.
 */
#ifndef TETHYS_CLI_RUN_H
#define TETHYS_CLI_RUN_H

#include <stdbool.h>
#include <stddef.h>

#include "cli/job.h"
#include "cli/json.h"
#include "cli/outdir.h"
#include "common/reason.h"
#include "tasks/classify.h"
#include "tasks/image.h"
#include "tasks/preprocess.h"

#define RUN_TOP_MAX 1000u

struct run_options {
	struct job_options job;
	const char *const *files;
	size_t file_count;
	const char *task; /* NULL: from the outputs */
	const char *output;
	const char *labels;
	double threshold;    /* 0: the detector's default */
	unsigned int repeat; /* runs a file */
	unsigned int top;
	bool json;
};

struct run_task;

struct run {
	const struct run_options *options;
	const struct run_task *task;
	struct job job;
	struct outdir dir; /* when options->output */
	/* Of the current photo. */
	struct image photo;
	float scale;
	/* Of the model. */
	enum preprocess_kind kind;
	struct labels labels;
};

struct run_task {
	const char *name;
	/* Once, before the first file. */
	int (*init)(struct run *run, struct reason *why);
	/* Files to inputs; @files has one each input for raw, else one. */
	int (*prepare)(struct run *run, const char *const *files, struct reason *why);
	/* Outputs to answer: into @result as JSON, or as text when that is NULL. Writes files, too. */
	int (*report)(struct run *run, const char *const *files, struct json_object *result,
		      struct reason *why);
};

extern const struct run_task run_task_raw;
extern const struct run_task run_task_classify;
extern const struct run_task run_task_detect;

/**
 * run_main() - everything tethys run does
 *
 * Prints results on stdout and errors on stderr.
 *
 * Return: enum cli_exit.
 */
int run_main(const struct run_options *options);

/* Load the photo and fill the model's only input; 0 or negative errno. */
int run_prepare_photo(struct run *run, const char *file, struct reason *why);
/* Every output as DIR/<name>.bin, the paths into @files when not NULL; 0 or negative errno. */
int run_write_outputs(struct run *run, const char *file, struct json_object *files,
		      struct reason *why);
/* Note a written file, in JSON or as a line of text. */
void run_note_file(struct json_object *files, const char *path);

#endif
