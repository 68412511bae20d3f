/* SPDX-License-Identifier: MIT */
/*
 * The main job on real input: two networks, real photos, a card in this process and one in another.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cli/assets.h"
#include "cli/card_process.h"
#include "cli/cleanup.h"
#include "cli/cli.h"
#include "cli/compare.h"
#include "cli/demo.h"
#include "cli/demo_lab.h"
#include "cli/json.h"
#include "cli/outdir.h"
#include "cli/term.h"
#include "cli/text.h"
#include "tasks/classify.h"
#include "tasks/detect.h"
#include "tasks/draw.h"
#include "tasks/image.h"
#include "tasks/preprocess.h"

#define CASE_LIMIT_MS 4000.0 /* of measuring; keeps the whole demo short on slow machines */

struct demo_row {
	const char *model;
	const char *device; /* "sim", "vfio-user" */
	struct compare_result times;
	char result[96];
};

struct demo {
	const struct demo_options *options;
	struct assets assets;
	struct card_process card;
	struct outdir dir;
	struct demo_row row[4];
	size_t rows;
	struct json_object *files; /* of the marked photos */
	struct json_object *lab;   /* what came out of it; NULL: nothing did */
};

/* One network on one device. */
struct demo_case {
	struct demo *demo;
	const char *name, *model;
	enum preprocess_kind kind;
	struct job job;
	struct direct direct;
	struct image photo;
	float scale;
};

static int load_photo(struct demo_case *c, const char *path, struct reason *why)
{
	int rc;

	image_deinit(&c->photo);
	memset(&c->photo, 0, sizeof(c->photo));
	rc = image_load(path, &c->photo, why);
	return rc ? rc : preprocess(c->kind, &c->photo, c->job.input, &c->scale, why);
}

static int find_faces(struct demo_case *c, struct detect_result *ret_faces, struct reason *why)
{
	return detect_faces(c->kind, c->job.input, c->job.output, c->job.outputs, c->scale, NULL,
			    ret_faces, why);
}

static int say_faces(struct demo_case *c, char *ret_text, size_t size, struct reason *why)
{
	struct detect_result faces;
	int rc = find_faces(c, &faces, why);

	if (rc)
		return rc;
	snprintf(ret_text, size, "%zu face%s, best %.2f", faces.count, faces.count == 1 ? "" : "s",
		 (double)faces.best_score);
	detect_result_deinit(&faces);
	return 0;
}

static int say_class(struct demo_case *c, char *ret_text, size_t size, struct reason *why)
{
	struct class_score best;
	size_t count;
	int rc = classify_top(c->job.output, 1, &best, &count, why);

	if (!rc)
		snprintf(ret_text, size, "class %zu (untrained)", best.index);
	return rc;
}

/* Every photo once, marked and written. */
static int mark_photos(struct demo_case *c, struct reason *why)
{
	struct demo *demo = c->demo;
	struct detect_result faces;
	char stem[256], path[PATH_MAX];
	int rc = CLI_OK;

	for (size_t i = 0; i < demo->assets.photos && rc == CLI_OK; i++) {
		const char *photo = demo->assets.photo[i];

		text_stem(photo, stem, sizeof(stem));
		if (load_photo(c, photo, why))
			return CLI_FAILED;
		rc = job_run(&c->job, NULL, why);
		if (rc != CLI_OK)
			return rc;
		if (find_faces(c, &faces, why))
			return CLI_FAILED;
		draw_faces(&c->photo, faces.faces, faces.count);
		detect_result_deinit(&faces);
		if (outdir_path(&demo->dir, stem, "-faces.jpg", path, why))
			return CLI_FAILED;
		cleanup_hold();
		rc = image_save(path, &c->photo, why) ? CLI_FAILED : CLI_OK;
		cleanup_release();
		json_object_array_add(demo->files, json_object_new_string(path));
	}
	return rc;
}

static void print_head(void)
{
	printf("%s%-12s %-10s %10s %10s  %s%s\n", term_on(stdout, TERM_BOLD), "model", "device",
	       "median ms", "ratio", "result", term_off(stdout));
}

static void print_row(const struct demo_row *row)
{
	printf("%-12s %-10s %10.2f %10.3f  %s, %s\n", row->model, row->device, row->times.card_ms,
	       row->times.ratio, row->result,
	       row->times.identical ? "same bytes as alone" : "DIFFERS from alone");
	fflush(stdout);
}

static int measure(struct demo_case *c, struct demo_row *row, bool last_device, struct reason *why)
{
	bool faces = c->kind == PREPROCESS_TINY_FACE;
	int rc;

	if (load_photo(c, c->demo->assets.photo[0], why))
		return CLI_FAILED;
	rc = compare_run(&c->job, &c->direct, c->demo->options->runs, CASE_LIMIT_MS, &row->times,
			 why);
	if (rc != CLI_OK)
		return rc;
	if ((faces ? say_faces : say_class)(c, row->result, sizeof(row->result), why))
		return CLI_FAILED;
	if (!c->demo->options->json)
		print_row(row);
	return faces && last_device ? mark_photos(c, why) : CLI_OK;
}

static int run_case(struct demo_case *c, const char *device, const char *label, struct reason *why)
{
	struct demo_row *row = &c->demo->row[c->demo->rows++];
	struct job_options options = {.model = c->model, .device = device, .cores = 1};
	bool last_device = strcmp(device, "sim") != 0;
	int rc;

	row->model = c->name;
	row->device = label;
	rc = job_open(&options, &c->job, why);
	if (rc == CLI_OK && direct_open(c->model, options.cores, &c->job, &c->direct, why))
		rc = CLI_FAILED;
	if (rc == CLI_OK)
		rc = measure(c, row, last_device, why);
	image_deinit(&c->photo);
	direct_close(&c->direct);
	job_close(&c->job);
	return rc;
}

static int run_device(struct demo *demo, const char *device, const char *label, struct reason *why)
{
	struct demo_case cases[] = {
		{.demo = demo,
		 .name = "ResNet18",
		 .model = demo->assets.resnet18,
		 .kind = PREPROCESS_CLASSIFY},
		{.demo = demo,
		 .name = "tiny face",
		 .model = demo->assets.tiny_face,
		 .kind = PREPROCESS_TINY_FACE},
	};
	int rc = CLI_OK;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]) && rc == CLI_OK; i++)
		rc = run_case(&cases[i], device, label, why);
	return rc;
}

static void print_json(const struct demo *demo)
{
	struct json_object *root = json_object_new_object();
	struct json_object *rows = json_object_new_array();

	for (size_t i = 0; i < demo->rows; i++) {
		const struct demo_row *row = &demo->row[i];
		struct json_object *object = json_object_new_object();

		json_object_object_add(object, "model", json_object_new_string(row->model));
		json_object_object_add(object, "device", json_object_new_string(row->device));
		json_object_object_add(object, "runs", json_object_new_int64(row->times.runs));
		json_object_object_add(object, "median_ms", json_rounded(row->times.card_ms));
		json_object_object_add(object, "direct_ms", json_rounded(row->times.direct_ms));
		json_object_object_add(object, "ratio", json_rounded(row->times.ratio));
		json_object_object_add(object, "identical",
				       json_object_new_boolean(row->times.identical));
		json_object_object_add(object, "result", json_object_new_string(row->result));
		json_object_array_add(rows, object);
	}
	json_object_object_add(root, "rows", rows);
	json_object_object_add(root, "lab", json_object_get(demo->lab));
	json_object_object_add(root, "files", json_object_get(demo->files));
	json_print(root);
}

static void print_files(const struct demo *demo)
{
	printf("\nThe ratio is to ONNX Runtime alone. Marked photos:\n");
	for (size_t i = 0; i < json_object_array_length(demo->files); i++)
		printf("  %s\n", json_object_get_string(json_object_array_get_idx(demo->files, i)));
}

static int verdict(const struct demo *demo, struct reason *why)
{
	for (size_t i = 0; i < demo->rows; i++) {
		if (demo->row[i].times.identical)
			continue;
		reason_add(why, 0, "%s on %s gave other bytes than ONNX Runtime alone.",
			   demo->row[i].model, demo->row[i].device);
		return CLI_FAILED;
	}
	return CLI_OK;
}

static int run_demo(struct demo *demo, struct reason *why)
{
	const char *output = demo->options->output;
	int rc;

	if (assets_open(demo->options->assets, &demo->assets, why)) {
		reason_add(why, 0, "The demo's networks and photos are not there.");
		return CLI_FAILED;
	}
	if (outdir_open(output, &demo->dir, why))
		return CLI_FAILED;
	if (card_process_start(&demo->card, why))
		return CLI_DEVICE;
	if (!demo->options->json)
		print_head();
	rc = run_device(demo, "sim", "sim", why);
	if (rc == CLI_OK)
		rc = run_device(demo, demo->card.device, "vfio-user", why);
	if (rc == CLI_OK)
		rc = verdict(demo, why);
	if (rc != CLI_OK)
		return rc;
	if (!demo->options->json)
		print_files(demo);
	if (demo->options->lab)
		rc = demo_lab(demo->options->json ? &demo->lab : NULL);
	if (demo->options->json)
		print_json(demo);
	return rc;
}

int demo_main(const struct demo_options *options)
{
	struct demo demo = {
		.options = options,
		.files = json_object_new_array(),
	};
	struct reason why = {0};
	int rc;

	rc = run_demo(&demo, &why);
	/* The lab has said itself what was wrong. */
	if (rc != CLI_OK && *why.text) {
		term_error("%s", why.text);
		term_hint("%s",
			  rc == CLI_DEVICE ? "'tethys dma' tests the way to the card."
			  : demo.rows	   ? "'tethys bench MODEL' looks at one network alone."
				      : "'make demo' in the source tree fetches what is missing.");
	}
	json_object_put(demo.files);
	json_object_put(demo.lab);
	outdir_close(&demo.dir);
	assets_close(&demo.assets);
	return rc;
}
