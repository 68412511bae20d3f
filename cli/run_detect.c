/* SPDX-License-Identifier: MIT */
/* A photo in, the faces on it out, and the photo with marks. */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "cli/cleanup.h"
#include "cli/run.h"
#include "cli/term.h"
#include "cli/text.h"
#include "tasks/detect.h"
#include "tasks/draw.h"

static int detect_init(struct run *run, struct reason *why)
{
	return detect_kind(run->job.input, run->job.output, run->job.outputs, &run->kind, why);
}

static int detect_prepare(struct run *run, const char *const *files, struct reason *why)
{
	return run_prepare_photo(run, files[0], why);
}

static struct json_object *numbers_json(const float *values, size_t count)
{
	struct json_object *list = json_object_new_array();

	for (size_t i = 0; i < count; i++)
		json_object_array_add(list, json_float(values[i]));
	return list;
}

static struct json_object *face_json(const struct face *face)
{
	struct json_object *object = json_object_new_object();
	struct json_object *points = NULL;

	if (face->has_points) {
		points = json_object_new_array();
		for (size_t i = 0; i < FACE_POINTS; i++)
			json_object_array_add(points, numbers_json(&face->points[2 * i], 2));
	}
	json_object_object_add(object, "score", json_float(face->score));
	json_object_object_add(object, "box", numbers_json(face->box, 4));
	json_object_object_add(object, "landmarks", points);
	return object;
}

static void result_to_json(const struct run *run, const struct detect_result *faces,
			   struct json_object *result)
{
	struct json_object *list = json_object_new_array();
	struct json_object *size = json_object_new_array();

	json_object_array_add(size, json_object_new_int64(run->photo.width));
	json_object_array_add(size, json_object_new_int64(run->photo.height));
	for (size_t i = 0; i < faces->count; i++)
		json_object_array_add(list, face_json(&faces->faces[i]));
	json_object_object_add(result, "image_size", size);
	json_object_object_add(result, "score_threshold", json_rounded((double)faces->threshold));
	json_object_object_add(result, "nms_iou", json_rounded((double)faces->nms_iou));
	json_object_object_add(result, "count", json_object_new_int64((int64_t)faces->count));
	json_object_object_add(result, "best_score", json_float(faces->best_score));
	json_object_object_add(result, "faces", list);
}

static void print_face(const struct face *face)
{
	printf("  %.4f  %7.1f %7.1f %7.1f %7.1f", (double)face->score, (double)face->box[0],
	       (double)face->box[1], (double)face->box[2], (double)face->box[3]);
	for (size_t i = 0; face->has_points && i < FACE_POINTS; i++)
		printf("%s%.1f,%.1f", i ? " " : "  ", (double)face->points[2 * i],
		       (double)face->points[2 * i + 1]);
	printf("\n");
}

static void result_to_text(const struct detect_result *faces)
{
	printf("  %zu face%s above %.2f; the best candidate has %.4f\n", faces->count,
	       faces->count == 1 ? "" : "s", (double)faces->threshold, (double)faces->best_score);
	if (faces->count)
		printf("  %s%-6s  %7s %7s %7s %7s%s%s\n", term_on(stdout, TERM_DIM), "score", "x1",
		       "y1", "x2", "y2", faces->faces[0].has_points ? "  eyes, nose, mouth" : "",
		       term_off(stdout));
	for (size_t i = 0; i < faces->count; i++)
		print_face(&faces->faces[i]);
}

static int write_photo(struct run *run, const char *file, const struct detect_result *faces,
		       struct json_object *written, struct reason *why)
{
	const char *dot = strrchr(file, '.');
	char stem[256], name[300], path[PATH_MAX];
	int rc;

	text_stem(file, stem, sizeof(stem));
	snprintf(name, sizeof(name), "%s-faces", stem); /* never the photo itself */
	rc = outdir_path(&run->dir, name, dot && !strcasecmp(dot, ".png") ? ".png" : ".jpg", path,
			 why);
	if (rc)
		return rc;
	draw_faces(&run->photo, faces->faces, faces->count);
	cleanup_hold();
	rc = image_save(path, &run->photo, why);
	cleanup_release();
	if (!rc)
		run_note_file(written, path);
	return rc;
}

static int detect_report(struct run *run, const char *const *files, struct json_object *result,
			 struct reason *why)
{
	struct detect_options options = {.threshold = (float)run->options->threshold};
	struct json_object *written = NULL;
	struct detect_result faces;
	int rc;

	rc = detect_faces(run->kind, run->job.input, run->job.output, run->job.outputs, run->scale,
			  &options, &faces, why);
	if (rc)
		return rc;
	if (result) {
		result_to_json(run, &faces, result);
		written = json_object_new_array();
		json_object_object_add(result, "files", written);
	} else {
		result_to_text(&faces);
	}
	if (run->options->output)
		rc = write_photo(run, files[0], &faces, written, why);
	detect_result_deinit(&faces);
	return rc;
}

const struct run_task run_task_detect = {
	.name = "detect",
	.init = detect_init,
	.prepare = detect_prepare,
	.report = detect_report,
};
