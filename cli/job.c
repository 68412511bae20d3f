/* SPDX-License-Identifier: MIT */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <axruntime/tethys.h>

#include "cli/clock.h"
#include "cli/job.h"
#include "cli/term.h"

/* Errors come by another way, with more to them. */
static void print_warning(void *arg, axrLogLevel level, const char *text)
{
	(void)arg;
	if (level == AXR_LOG_WARNING)
		term_warning("%s", text);
}

/* What the runtime said: its text has the lines of all layers. @doing: when it said nothing. */
static int fail(const struct job *job, int code, struct reason *why, const char *doing)
{
	const char *text = axr_last_error_string(AXR_OBJECT(job->context));

	reason_add(why, 0, "%s", text && *text ? text : doing);
	return code;
}

static bool is_device_error(axrResult result)
{
	return result == AXR_ERROR_CONNECTION_ERROR || result == AXR_ERROR_DEVICE_IN_USE ||
	       result == AXR_ERROR_INCOMPATIBLE_DEVICE;
}

static int device_or_failed(const struct job *job)
{
	return is_device_error(axr_last_error(AXR_OBJECT(job->context))) ? CLI_DEVICE : CLI_FAILED;
}

static unsigned int dtype_of(const axrTensorInfo *info)
{
	static const struct {
		size_t type, bits;
		unsigned int dtype;
	} rows[] = {
		{AXR_FLOAT, 32, METIS_F32},    {AXR_FLOAT, 16, METIS_F16},
		{AXR_FLOAT, 64, METIS_F64},    {AXR_UNSIGNED, 8, METIS_U8},
		{AXR_UNSIGNED, 16, METIS_U16}, {AXR_UNSIGNED, 32, METIS_U32},
		{AXR_UNSIGNED, 64, METIS_U64}, {AXR_SIGNED, 8, METIS_I8},
		{AXR_SIGNED, 16, METIS_I16},   {AXR_SIGNED, 32, METIS_I32},
		{AXR_SIGNED, 64, METIS_I64},   {AXR_UNSIGNED, 1, METIS_BOOL},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (rows[i].type == info->type && rows[i].bits == info->bits)
			return rows[i].dtype;
	return 0;
}

void job_describe(const axrTensorInfo *info, struct task_tensor *ret_tensor)
{
	*ret_tensor = (struct task_tensor){
		.name = info->name,
		.dtype = dtype_of(info),
		.ndims = info->ndims <= METIS_MODULE_DIMS_MAX ? (unsigned int)info->ndims : 0,
	};
	for (unsigned int i = 0; i < ret_tensor->ndims; i++)
		ret_tensor->dims[i] = info->dims[i];
}

static int alloc_tensor(const struct job *job, const axrTensorInfo *info,
			struct task_tensor *ret_tensor, axrArgument *ret_arg, struct reason *why)
{
	size_t bytes = axr_tensor_size(info);

	job_describe(info, ret_tensor);
	if (!ret_tensor->dtype || task_tensor_bytes(ret_tensor) != bytes) {
		reason_add(why, 0, "Tensor '%s' has a type this command can't handle.", info->name);
		return CLI_FAILED;
	}
	ret_tensor->data = tethys_alloc(job->connection, bytes);
	if (!ret_tensor->data)
		return fail(job, device_or_failed(job), why, "No memory for a tensor.");
	*ret_arg = (axrArgument){.ptr = ret_tensor->data, .fd = -1, .size = bytes};
	return CLI_OK;
}

static int alloc_tensors(struct job *job, struct reason *why)
{
	size_t count, inputs = axr_num_model_inputs(job->model);
	int rc = CLI_OK;

	count = inputs + axr_num_model_outputs(job->model);
	job->info = calloc(count, sizeof(*job->info));
	job->arg = calloc(count, sizeof(*job->arg));
	job->input = calloc(count, sizeof(*job->input));
	if (!job->info || !job->arg || !job->input) {
		reason_add(why, 0, "No memory for %zu tensors.", count);
		return CLI_FAILED;
	}
	job->inputs = inputs;
	job->outputs = count - inputs;
	job->output = job->input + inputs;
	for (size_t i = 0; i < count && rc == CLI_OK; i++) {
		job->info[i] = i < inputs ? axr_get_model_input(job->model, i)
					  : axr_get_model_output(job->model, i - inputs);
		rc = alloc_tensor(job, &job->info[i], &job->input[i], &job->arg[i], why);
	}
	return rc;
}

static int connect_card(struct job *job, const struct job_options *options, struct reason *why)
{
	axrProperties *properties = NULL;
	axrDeviceInfo device = {0};
	double start = clock_ms();
	char text[64];

	snprintf(device.name, sizeof(device.name), "%s", options->device ? options->device : "");
	if (options->timeout_ms) {
		snprintf(text, sizeof(text), "tethys.timeout_ms=%u", options->timeout_ms);
		properties = axr_create_properties(job->context, text);
	}
	job->connection = axr_device_connect(job->context, options->device ? &device : NULL,
					     options->cores, properties);
	if (!job->connection)
		return fail(job, CLI_DEVICE, why, "Could not connect to the card.");
	axr_destroy(AXR_OBJECT(properties));
	job->connect_ms = clock_ms() - start;
	snprintf(job->device, sizeof(job->device), "%s", tethys_connection_device(job->connection));
	return CLI_OK;
}

static int load_instance(struct job *job, const struct job_options *options, struct reason *why)
{
	double start = clock_ms();
	struct term_progress *bar;
	axrProperties *properties;
	char text[64];

	snprintf(text, sizeof(text), "num_sub_devices=%u;aipu_cores=%u", options->cores,
		 options->cores);
	properties = axr_create_properties(job->context, text);
	bar = term_progress_start("loading the model", 0);
	job->instance = axr_load_model_instance(job->connection, job->model, properties);
	term_progress_stop(bar);
	if (!job->instance)
		return fail(job, device_or_failed(job), why,
			    "Could not load the model on the card.");
	axr_destroy(AXR_OBJECT(properties));
	job->load_ms = clock_ms() - start;
	return CLI_OK;
}

int job_open(const struct job_options *options, struct job *ret_job, struct reason *why)
{
	int rc;

	memset(ret_job, 0, sizeof(*ret_job));
	ret_job->context = axr_create_context();
	if (!ret_job->context) {
		reason_add(why, 0, "No memory for the runtime.");
		return CLI_FAILED;
	}
	axr_set_logger(ret_job->context, AXR_LOG_WARNING, print_warning, NULL);
	/* The model first: a wrong path should not cost a connection. */
	ret_job->model = axr_load_model(ret_job->context, options->model);
	if (!ret_job->model)
		return fail(ret_job, CLI_FAILED, why, "Could not read the model.");
	rc = connect_card(ret_job, options, why);
	if (rc == CLI_OK)
		rc = load_instance(ret_job, options, why);
	if (rc == CLI_OK)
		rc = alloc_tensors(ret_job, why);
	return rc;
}

void job_close(struct job *job)
{
	free(job->input);
	free(job->info);
	free(job->arg);
	axr_destroy(AXR_OBJECT(job->context)); /* takes its children and the tensors along */
	memset(job, 0, sizeof(*job));
}

int job_run(struct job *job, double *ret_ms, struct reason *why)
{
	double start = clock_ms();
	axrResult result;

	result = axr_run_model_instance(job->instance, job->arg, job->inputs,
					job->arg + job->inputs, job->outputs);
	if (ret_ms)
		*ret_ms = clock_ms() - start;
	if (result == AXR_SUCCESS)
		return CLI_OK;
	/* It was loaded and its tensors fit, so what failed now is the card's part. */
	return fail(job, result == AXR_ERROR_INVALID_ARGUMENT ? CLI_FAILED : CLI_DEVICE, why,
		    "The model did not run.");
}
