/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <axruntime/tethys.h>
#include <tethys/hw/module.h>

#include "cli/clock.h"
#include "cli/direct.h"
#include "common/ort.h"

/* The network comes out of the very module the card gets, whatever kind of file it was. */
static int open_session(const char *model, unsigned int threads, struct direct *direct,
			struct reason *why)
{
	const struct metis_module *module;
	size_t bytes;
	void *data;
	int rc;

	if (tethys_module_build(model, &data, &bytes) != AXR_SUCCESS)
		return reason_add(why, -EINVAL, "'%s' can't be read as a model.", model);
	module = data;
	rc = ort_open_session((const char *)data + le64toh(module->payload_offset),
			      le64toh(module->payload_bytes), threads, &direct->session, why);
	free(data);
	return rc;
}

static int add_value(struct direct *direct, size_t i, OrtMemoryInfo *memory, void *data,
		     struct reason *why)
{
	const struct task_tensor *tensor = &direct->job->input[i];
	int64_t shape[METIS_MODULE_DIMS_MAX];
	OrtStatus *status;

	for (unsigned int d = 0; d < tensor->ndims; d++)
		shape[d] = (int64_t)tensor->dims[d];
	direct->names[i] = tensor->name;
	/* enum metis_dtype has ONNX's numbers, and those are ONNX Runtime's. */
	status = direct->api->CreateTensorWithDataAsOrtValue(
		memory, data, task_tensor_bytes(tensor), shape, tensor->ndims,
		(ONNXTensorElementDataType)tensor->dtype, &direct->values[i]);
	return ort_status(direct->api, status, -EIO, "ONNX Runtime's tensor", why);
}

static int add_values(struct direct *direct, OrtMemoryInfo *memory, struct reason *why)
{
	const struct job *job = direct->job;
	int rc = 0;

	for (size_t i = 0; i < job->inputs + job->outputs && !rc; i++) {
		void *data = job->input[i].data;

		if (i >= job->inputs) {
			data = aligned_alloc(4096, (task_tensor_bytes(&job->input[i]) + 4095) &
							   ~(size_t)4095);
			direct->output[i - job->inputs] = data;
		}
		rc = data ? add_value(direct, i, memory, data, why) : -ENOMEM;
	}
	return rc;
}

int direct_open(const char *model, unsigned int threads, const struct job *job,
		struct direct *ret_direct, struct reason *why)
{
	size_t count = job->inputs + job->outputs;
	OrtMemoryInfo *memory;
	OrtStatus *status;
	OrtEnv *env;
	int rc;

	*ret_direct = (struct direct){.job = job};
	rc = ort_get(&ret_direct->api, &env, why);
	if (!rc)
		rc = open_session(model, threads, ret_direct, why);
	if (rc)
		return rc;
	ret_direct->names = calloc(count, sizeof(*ret_direct->names));
	ret_direct->values = calloc(count, sizeof(*ret_direct->values));
	ret_direct->output = calloc(job->outputs, sizeof(*ret_direct->output));
	if (!ret_direct->names || !ret_direct->values || !ret_direct->output)
		return reason_add(why, -ENOMEM, "No memory for tensors.");
	status =
		ret_direct->api->CreateCpuMemoryInfo(OrtArenaAllocator, OrtMemTypeDefault, &memory);
	rc = ort_status(ret_direct->api, status, -EIO, "ONNX Runtime's memory", why);
	if (rc)
		return rc;
	rc = add_values(ret_direct, memory, why);
	ret_direct->api->ReleaseMemoryInfo(memory);
	return rc;
}

void direct_close(struct direct *direct)
{
	if (!direct->job)
		return;
	for (size_t i = 0; direct->values && i < direct->job->inputs + direct->job->outputs; i++)
		if (direct->values[i])
			direct->api->ReleaseValue(direct->values[i]);
	for (size_t i = 0; direct->output && i < direct->job->outputs; i++)
		free(direct->output[i]);
	if (direct->session)
		direct->api->ReleaseSession(direct->session);
	free(direct->names);
	free(direct->values);
	free(direct->output);
	memset(direct, 0, sizeof(*direct));
}

int direct_run(struct direct *direct, double *ret_ms, struct reason *why)
{
	size_t inputs = direct->job->inputs;
	double start = clock_ms();
	OrtStatus *status;

	status = direct->api->Run(
		direct->session, NULL, direct->names, (const OrtValue *const *)direct->values,
		inputs, direct->names + inputs, direct->job->outputs, direct->values + inputs);
	if (ret_ms)
		*ret_ms = clock_ms() - start;
	return ort_status(direct->api, status, -EIO, "ONNX Runtime alone", why);
}

bool direct_equal(const struct direct *direct)
{
	for (size_t i = 0; i < direct->job->outputs; i++) {
		const struct task_tensor *output = &direct->job->output[i];

		if (memcmp(output->data, direct->output[i], task_tensor_bytes(output)))
			return false;
	}
	return true;
}
