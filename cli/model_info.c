/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <limits.h>
#include <stdio.h>

#include <axruntime/axruntime.h>

#include "cli/cleanup.h"
#include "cli/cli.h"
#include "cli/job.h"
#include "cli/json.h"
#include "cli/model_info.h"
#include "cli/term.h"
#include "cli/text.h"
#include "tasks/models.h"

static void tensors_to_json(axrModel *model, struct json_object *root, const char *key,
			    size_t count, axrTensorInfo (*get)(axrModel *, size_t))
{
	struct json_object *list = json_object_new_array();

	for (size_t i = 0; i < count; i++) {
		axrTensorInfo info = get(model, i);
		struct task_tensor tensor;

		job_describe(&info, &tensor);
		json_object_array_add(list, json_tensor(&tensor));
	}
	json_object_object_add(root, key, list);
}

static void print_tensors(axrModel *model, const char *key, size_t count,
			  axrTensorInfo (*get)(axrModel *, size_t))
{
	char shape[TEXT_SHAPE_BYTES];

	for (size_t i = 0; i < count; i++) {
		axrTensorInfo info = get(model, i);
		struct task_tensor tensor;

		job_describe(&info, &tensor);
		printf("  %-6s  %-16s %-20s %-8s %zu bytes\n", key, tensor.name,
		       text_shape(&tensor, shape), text_dtype(tensor.dtype),
		       axr_tensor_size(&info));
	}
}

static void print_model(axrModel *model, const char *path, bool json)
{
	size_t inputs = axr_num_model_inputs(model), outputs = axr_num_model_outputs(model);
	struct json_object *root;

	if (!json) {
		printf("%s%s%s\n", term_on(stdout, TERM_BOLD), path, term_off(stdout));
		print_tensors(model, "input", inputs, axr_get_model_input);
		print_tensors(model, "output", outputs, axr_get_model_output);
		return;
	}
	root = json_object_new_object();
	json_object_object_add(root, "model", json_object_new_string(path));
	tensors_to_json(model, root, "inputs", inputs, axr_get_model_input);
	tensors_to_json(model, root, "outputs", outputs, axr_get_model_output);
	json_print(root);
}

int model_info(const char *path, bool json)
{
	axrContext *context = axr_create_context();
	axrModel *model = axr_load_model(context, path);

	if (model)
		print_model(model, path, json);
	else
		term_error("%s", axr_last_error_string(AXR_OBJECT(context)));
	axr_destroy(AXR_OBJECT(context));
	return model ? CLI_OK : CLI_FAILED;
}

int model_convert_tiny_face(const char *package, const char *path, unsigned int size,
			    struct reason *why)
{
	static const char name[] = "model/tiny_face_detector_model";
	char manifest[PATH_MAX], weights[PATH_MAX];
	int rc;

	if (snprintf(manifest, PATH_MAX, "%s/%s-weights_manifest.json", package, name) >=
		    PATH_MAX ||
	    snprintf(weights, PATH_MAX, "%s/%s.bin", package, name) >= PATH_MAX)
		return reason_add(why, -ENAMETOOLONG, "'%s' is too long.", package);
	cleanup_hold();
	rc = tiny_face_convert(manifest, weights, path, size, why);
	cleanup_release();
	return rc;
}
