/* SPDX-License-Identifier: MIT */
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/internal.h"
#include "runtime/model_path.h"
#include "runtime/onnx_info.h"

static void model_release(struct axrObject *object)
{
	struct axrModel *model = (struct axrModel *)object;

	module_close(&model->module);
	propset_deinit(&model->properties);
}

const struct object_kind object_model = {
	.name = "model",
	.bytes = sizeof(struct axrModel),
	.release = model_release,
};

/* The file's content is a value; everything else about the file is what the caller passed. */
static axrResult result_of_load(int err)
{
	if (err == -EINVAL || err == -ENODATA || err == -EFBIG)
		return AXR_ERROR_VALUE_ERROR;
	if (err == -ENOTSUP)
		return AXR_ERROR_NOT_IMPLEMENTED;
	return err == -ENOMEM ? AXR_ERROR_INTERNAL_ERROR : AXR_ERROR_INVALID_ARGUMENT;
}

static int model_fill(struct module *module, struct propset *properties, const char *path,
		      struct reason *why)
{
	char *onnx;
	int r = model_path_resolve(path, &onnx, properties, why);

	if (r)
		return r;
	r = module_open(module, onnx, why);
	free(onnx);
	return r;
}

axrModel *axr_load_model(axrContext *context, const char *path)
{
	struct reason why = {0};
	struct axrModel *model;
	int r;

	axr_error_clear();
	if (!object_as(&object_context, context) || !path) {
		axr_error_set(context, AXR_ERROR_INVALID_ARGUMENT, NULL,
			      "axr_load_model: no %s given", context ? "path" : "context");
		return NULL;
	}
	model = object_create(&object_model, &context->base);
	if (!model) {
		axr_error_set(context, AXR_ERROR_INTERNAL_ERROR, NULL, "out of memory");
		return NULL;
	}
	model->module.fd = -1;
	r = model_fill(&model->module, &model->properties, path, &why);
	if (!r) {
		axr_log(context, AXR_LOG_INFO, "%s: %u inputs, %u outputs, %llu bytes", path,
			model->module.inputs, model->module.outputs,
			(unsigned long long)model->module.bytes);
		return model;
	}
	axr_destroy(&model->base);
	axr_error_set(context, result_of_load(r), &why,
		      "[ERROR][axr_load_model]: Failed to load model.");
	return NULL;
}

size_t axr_num_model_inputs(axrModel *model)
{
	return model ? model->module.inputs : 0;
}

size_t axr_num_model_outputs(axrModel *model)
{
	return model ? model->module.outputs : 0;
}

static size_t type_of(uint32_t dtype)
{
	switch (dtype) {
	case METIS_F16:
	case METIS_F32:
	case METIS_F64:
		return AXR_FLOAT;
	case METIS_I8:
	case METIS_I16:
	case METIS_I32:
	case METIS_I64:
		return AXR_SIGNED;
	default:
		return AXR_UNSIGNED;
	}
}

/* A scalar becomes one dimension of 1: ndims 0 means that there is no such tensor. */
static axrTensorInfo tensor_info(const struct metis_module_tensor *tensor)
{
	axrTensorInfo info = {.ndims = 1, .dims = {1}, .scale = 1.0};
	uint32_t ndims = le32toh(tensor->ndims), i;

	if (ndims)
		info.ndims = ndims;
	for (i = 0; i < ndims; i++)
		info.dims[i] = le64toh(tensor->dims[i]);
	info.bits = 8u * metis_dtype_bytes(le32toh(tensor->dtype));
	info.type = type_of(le32toh(tensor->dtype));
	memcpy(info.name, tensor->name, sizeof(tensor->name));
	return info;
}

static axrTensorInfo model_tensor(struct axrModel *model, size_t n, bool input)
{
	const axrTensorInfo none = {.scale = 1.0};
	size_t count;

	axr_error_clear();
	if (!object_as(&object_model, model)) {
		axr_error_set(NULL, AXR_ERROR_INVALID_ARGUMENT, NULL, "no model given");
		return none;
	}
	count = input ? model->module.inputs : model->module.outputs;
	if (n >= count) {
		axr_error_set(model->base.context, AXR_ERROR_INVALID_ARGUMENT, NULL,
			      "there is no %s %zu: the model has %zu", input ? "input" : "output",
			      n, count);
		return none;
	}
	return tensor_info(&model->module.tensors[input ? n : model->module.inputs + n]);
}

axrTensorInfo axr_get_model_input(axrModel *model, size_t n)
{
	return model_tensor(model, n, true);
}

axrTensorInfo axr_get_model_output(axrModel *model, size_t n)
{
	return model_tensor(model, n, false);
}

axrProperties *axr_get_model_properties(axrModel *model)
{
	struct axrProperties *properties;

	axr_error_clear();
	if (!object_as(&object_model, model)) {
		axr_error_set(NULL, AXR_ERROR_INVALID_ARGUMENT, NULL, "no model given");
		return NULL;
	}
	properties = axr_properties_of(&model->base, &model->properties);
	if (!properties)
		axr_error_set(model->base.context, AXR_ERROR_INTERNAL_ERROR, NULL, "out of memory");
	return properties;
}

size_t axr_tensor_size(const axrTensorInfo *info)
{
	size_t bytes, i;

	if (!info || !info->ndims || info->ndims > AXR_MAX_TENSOR_DIMS)
		return 0;
	bytes = (info->bits + 7) / 8;
	for (i = 0; i < info->ndims; i++)
		if (__builtin_mul_overflow(bytes, info->dims[i], &bytes))
			return 0;
	return bytes;
}

static int module_whole(const struct module *module, void **ret_data, size_t *ret_bytes,
			struct reason *why)
{
	void *data = malloc(module->bytes);
	int r;

	if (!data)
		return reason_add(why, -ENOMEM, "out of memory");
	r = module_read(module, 0, data, module->bytes, why);
	if (r) {
		free(data);
		return r;
	}
	*ret_data = data;
	*ret_bytes = module->bytes;
	return 0;
}

axrResult tethys_module_build(const char *path, void **ret_data, size_t *ret_bytes)
{
	struct propset properties = {0};
	struct reason why = {0};
	struct module *module;
	int r = -ENOMEM;

	axr_error_clear();
	if (!path || !ret_data || !ret_bytes)
		return axr_error_set(NULL, AXR_ERROR_INVALID_ARGUMENT, NULL,
				     "tethys_module_build: an argument is NULL");
	module = malloc(sizeof(*module));
	if (module) {
		module->fd = -1;
		r = model_fill(module, &properties, path, &why);
		if (!r)
			r = module_whole(module, ret_data, ret_bytes, &why);
		module_close(module);
	}
	free(module);
	propset_deinit(&properties);
	if (r)
		axr_error_set(NULL, result_of_load(r), &why, "Failed to build the module.");
	return r ? result_of_load(r) : AXR_SUCCESS;
}
