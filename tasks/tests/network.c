/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "network.h"
#include "tasks/file.h"

#define MODEL_BYTES_MAX (256u << 20)

static int describe(const struct network *network, OrtTypeInfo *info, char *name,
		    struct task_tensor *ret_tensor, struct reason *why)
{
	const OrtTensorTypeAndShapeInfo *shape;
	ONNXTensorElementDataType type;
	int64_t dims[METIS_MODULE_DIMS_MAX] = {0};
	size_t ndims;
	int err;

	err = ort_status(network->api, network->api->CastTypeInfoToTensorInfo(info, &shape), -EIO,
			 "Type", why);
	err = err
		      ?: ort_status(network->api, network->api->GetTensorElementType(shape, &type),
				    -EIO, "Type", why);
	err = err
		      ?: ort_status(network->api, network->api->GetDimensionsCount(shape, &ndims),
				    -EIO, "Shape", why);
	if (err || ndims > METIS_MODULE_DIMS_MAX)
		return -EIO;
	err = ort_status(network->api, network->api->GetDimensions(shape, dims, ndims), -EIO,
			 "Shape", why);
	*ret_tensor = (struct task_tensor){.name = name, .dtype = type, .ndims = ndims};
	for (size_t i = 0; i < ndims; i++)
		ret_tensor->dims[i] = dims[i];
	return err;
}

static int describe_all(struct network *network, struct reason *why)
{
	const OrtApi *api = network->api;
	OrtAllocator *allocator;
	OrtTypeInfo *info;
	char *name;
	int err;

	err = ort_status(api, api->GetAllocatorWithDefaultOptions(&allocator), -EIO, "Memory", why);
	err = err
		      ?: ort_status(api,
				    api->SessionGetOutputCount(network->session,
							       &network->output_count),
				    -EIO, "Outputs", why);
	if (err || network->output_count > NETWORK_OUTPUTS_MAX)
		return -EIO;
	/* The input is the first of the rest: one loop for both. */
	for (size_t i = 0; i <= network->output_count && !err; i++) {
		struct task_tensor *tensor = i ? &network->outputs[i - 1] : &network->input;

		err = ort_status(
			api,
			i ? api->SessionGetOutputName(network->session, i - 1, allocator, &name)
			  : api->SessionGetInputName(network->session, 0, allocator, &name),
			-EIO, "Name", why);
		err = err
			      ?: ort_status(api,
					    i ? api->SessionGetOutputTypeInfo(network->session,
									      i - 1, &info)
					      : api->SessionGetInputTypeInfo(network->session, 0,
									     &info),
					    -EIO, "Type", why);
		if (!err) {
			err = describe(network, info, name, tensor, why);
			api->ReleaseTypeInfo(info);
		}
	}
	return err;
}

int network_open(const char *path, struct network *ret_network, struct reason *why)
{
	struct network network = {0};
	OrtEnv *env;
	size_t bytes;
	char *model;
	int err;

	err = ort_get(&network.api, &env, why);
	err = err ?: task_file_read(path, MODEL_BYTES_MAX, &model, &bytes, why);
	if (err)
		return err;
	err = ort_open_session(model, bytes, 1, &network.session, why);
	free(model);
	err = err ?: describe_all(&network, why);
	if (!err) {
		network.input.data = calloc(1, task_tensor_bytes(&network.input));
		err = network.input.data ? 0 : -ENOMEM;
	}
	if (err)
		network_close(&network);
	else
		*ret_network = network;
	return err;
}

static void drop_outputs(struct network *network)
{
	for (size_t i = 0; i < NETWORK_OUTPUTS_MAX; i++) {
		if (network->values[i])
			network->api->ReleaseValue(network->values[i]);
		network->values[i] = NULL;
	}
}

static void free_name(const struct network *network, const char *name)
{
	OrtAllocator *allocator;

	if (name && !network->api->GetAllocatorWithDefaultOptions(&allocator) &&
	    network->api->AllocatorFree(allocator, (void *)name))
		abort();
}

void network_close(struct network *network)
{
	if (!network->session)
		return;
	drop_outputs(network);
	free_name(network, network->input.name);
	for (size_t i = 0; i < NETWORK_OUTPUTS_MAX; i++)
		free_name(network, network->outputs[i].name);
	free(network->input.data);
	network->api->ReleaseSession(network->session);
	*network = (struct network){0};
}

int network_run(struct network *network, struct reason *why)
{
	const OrtApi *api = network->api;
	const char *names[NETWORK_OUTPUTS_MAX];
	int64_t dims[METIS_MODULE_DIMS_MAX];
	OrtMemoryInfo *memory;
	OrtValue *input = NULL;
	int err;

	drop_outputs(network);
	for (size_t i = 0; i < network->input.ndims; i++)
		dims[i] = network->input.dims[i];
	for (size_t i = 0; i < network->output_count; i++)
		names[i] = network->outputs[i].name;
	err = ort_status(api,
			 api->CreateCpuMemoryInfo(OrtDeviceAllocator, OrtMemTypeDefault, &memory),
			 -EIO, "Memory", why);
	if (err)
		return err;
	err = ort_status(api,
			 api->CreateTensorWithDataAsOrtValue(
				 memory, network->input.data, task_tensor_bytes(&network->input),
				 dims, network->input.ndims, network->input.dtype, &input),
			 -EIO, "Input", why);
	api->ReleaseMemoryInfo(memory);
	err = err
		      ?: ort_status(api,
				    api->Run(network->session, NULL, &network->input.name,
					     (const OrtValue *const *)&input, 1, names,
					     network->output_count, network->values),
				    -EIO, "Run", why);
	for (size_t i = 0; i < network->output_count && !err; i++)
		err = ort_status(
			api,
			api->GetTensorMutableData(network->values[i], &network->outputs[i].data),
			-EIO, "Output", why);
	if (input)
		api->ReleaseValue(input);
	return err;
}
