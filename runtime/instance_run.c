/* SPDX-License-Identifier: MIT */
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/instance.h"

axrResult instance_result(int err)
{
	switch (-err) {
	case 0:
		return AXR_SUCCESS;
	case ENODEV:
	case ECONNRESET:
	case EPIPE:
		return AXR_ERROR_CONNECTION_ERROR;
	default:
		return AXR_ERROR_RUNTIME_ERROR;
	}
}

/* --- one run in three steps --- */

struct run_times {
	uint64_t start;
	uint64_t written;
	uint64_t executed;
	uint64_t device_ns;
	struct io_counts in;
	struct io_counts out;
};

static void count_run(struct axrModelInstance *instance, const struct run_times *times)
{
	struct tethys_instance_stats *stats = &instance->stats;
	uint64_t now = axr_now_ns();

	pthread_mutex_lock(&instance->stats_lock);
	stats->runs++;
	stats->device_ns = times->device_ns;
	if (times->in.transfers) /* else counted when they were queued */
		stats->input_ns = times->written - times->start;
	stats->command_ns = times->executed - times->written;
	stats->output_ns = now - times->executed;
	stats->bytes_to_card += times->in.bytes;
	stats->bytes_from_card += times->out.bytes;
	stats->transfers += times->in.transfers + times->out.transfers;
	pthread_mutex_unlock(&instance->stats_lock);
}

static int write_inputs(struct axrModelInstance *instance, unsigned int slot,
			const axrArgument *inputs, struct run_times *times, struct reason *why)
{
	int r;

	times->start = axr_now_ns();
	r = io_write(&instance->io, slot, inputs, &times->in, why);
	times->written = axr_now_ns();
	return r ? reason_add(why, r, "[ERROR][run]: Failed to write inputs to device memory.") : 0;
}

static int execute(struct axrModelInstance *instance, unsigned int slot, struct run_times *times,
		   struct reason *why)
{
	struct axrConnection *connection = instance->connection;
	const struct module *module = &instance->model->module;
	int r;

	r = fw_client_run(&connection->card->fw, instance->lead, instance->module,
			  instance->io.table[slot], module->inputs, module->outputs,
			  connection->timeout_ms, &instance->cancel, &times->device_ns, why);
	times->executed = axr_now_ns();
	if (!r)
		return 0;
	if (r == -ETIMEDOUT || r == -ECANCELED)
		atomic_store(&instance->timed_out, true);
	reason_add(why, r, "Wait kernel failed with return code %d", r);
	return reason_add(why, r, "[ERROR][run]: Failed to execute the model.");
}

static int run_once(struct axrModelInstance *instance, const axrArgument *inputs,
		    const axrArgument *outputs, struct reason *why)
{
	struct run_times times = {0};
	int r;

	if (atomic_load(&instance->cancel))
		return reason_add(why, -ECANCELED, "the instance is being destroyed");
	r = write_inputs(instance, 0, inputs, &times, why);
	if (!r)
		r = execute(instance, 0, &times, why);
	if (r)
		return r;
	r = io_read(&instance->io, 0, outputs, &times.out, why);
	if (r)
		return reason_add(why, r,
				  "[ERROR][run]: Failed to read outputs from device memory.");
	count_run(instance, &times);
	return 0;
}

/* --- what the application passes --- */

static int check_argument(const axrArgument *argument, const struct metis_module_tensor *tensor,
			  const char *role, unsigned int n, struct reason *why)
{
	uint64_t bytes = le64toh(tensor->bytes);

	if (argument->fd > 0)
		return reason_add(why, -ENOTSUP,
				  "%s %u: dmabufs are not supported yet, pass host memory", role,
				  n);
	if (!argument->ptr)
		return reason_add(why, -EINVAL, "%s %u: no memory given", role, n);
	if (argument->offset)
		return reason_add(why, -EINVAL, "%s %u: offset must be 0, not %zu", role, n,
				  argument->offset);
	if (argument->size && argument->size != bytes)
		return reason_add(why, -EINVAL, "%s %u (%s) has %llu bytes, not %zu", role, n,
				  tensor->name, (unsigned long long)bytes, argument->size);
	return 0;
}

static int check_side(const axrArgument *arguments, size_t given,
		      const struct metis_module_tensor *tensors, unsigned int count,
		      const char *role, struct reason *why)
{
	unsigned int i;
	int r = 0;

	if (given != count || !arguments)
		return reason_add(why, -EINVAL, "the model has %u %ss, not %zu", count, role,
				  arguments ? given : 0);
	for (i = 0; i < count && !r; i++)
		r = check_argument(&arguments[i], &tensors[i], role, i, why);
	return r;
}

static axrResult check_run(struct axrModelInstance *instance, const axrArgument *inputs,
			   size_t n_inputs, const axrArgument *outputs, size_t n_outputs)
{
	const struct module *module;
	struct reason why = {0};
	int r;

	if (!object_as(&object_instance, instance))
		return axr_error_set(NULL, AXR_ERROR_INVALID_ARGUMENT, NULL, "no instance given");
	module = &instance->model->module;
	r = check_side(inputs, n_inputs, module->tensors, module->inputs, "input", &why);
	if (!r)
		r = check_side(outputs, n_outputs, module->tensors + module->inputs,
			       module->outputs, "output", &why);
	return r ? axr_error_set(instance->base.context, axr_result_of(r), &why, NULL)
		 : AXR_SUCCESS;
}

/* --- double buffering --- */

static int execute_and_fetch(struct axrModelInstance *instance, unsigned int slot,
			     struct run_times *times, struct reason *why)
{
	int r = execute(instance, slot, times, why);

	if (r)
		return r;
	r = io_fetch(&instance->io, slot, &times->out, why);
	if (r)
		return reason_add(why, r,
				  "[ERROR][run]: Failed to read outputs from device memory.");
	return 0;
}

static void double_work(struct worker_job *job, bool stopping)
{
	struct double_run *run = (struct double_run *)job;
	struct axrModelInstance *instance = run->instance;
	struct run_times times = {0};

	times.start = times.written = axr_now_ns();
	if (stopping)
		run->err = reason_add(&run->why, -ECANCELED, "the instance is being destroyed");
	else
		run->err = execute_and_fetch(instance, run->slot, &times, &run->why);
	if (!run->err)
		count_run(instance, &times);
}

static void double_finished(struct worker_job *job)
{
	struct double_run *run = (struct double_run *)job;
	struct axrModelInstance *instance = run->instance;

	pthread_mutex_lock(&instance->done_lock);
	run->done = true;
	pthread_cond_broadcast(&instance->done);
	pthread_mutex_unlock(&instance->done_lock);
}

void instance_runs_init(struct axrModelInstance *instance)
{
	unsigned int i;

	for (i = 0; i < DOUBLE_SLOTS; i++) {
		instance->runs[i].job.work = double_work;
		instance->runs[i].job.finished = double_finished;
		instance->runs[i].instance = instance;
		instance->runs[i].slot = i;
		instance->runs[i].done = true;
	}
}

/* Bounded, as every step of the job is. */
static int wait_run(struct axrModelInstance *instance, struct double_run *run, struct reason *why)
{
	pthread_mutex_lock(&instance->done_lock);
	while (!run->done)
		pthread_cond_wait(&instance->done, &instance->done_lock);
	pthread_mutex_unlock(&instance->done_lock);
	return run->err ? reason_add(why, run->err, "%s", run->why.text) : 0;
}

static void zero_outputs(const struct axrModelInstance *instance, const axrArgument *outputs)
{
	const struct module *module = &instance->model->module;
	unsigned int i;

	for (i = 0; i < module->outputs; i++)
		memset(outputs[i].ptr, 0, le64toh(module->tensors[module->inputs + i].bytes));
}

static void count_input(struct axrModelInstance *instance, const struct run_times *times)
{
	pthread_mutex_lock(&instance->stats_lock);
	instance->stats.input_ns = times->written - times->start;
	instance->stats.bytes_to_card += times->in.bytes;
	instance->stats.transfers += times->in.transfers;
	pthread_mutex_unlock(&instance->stats_lock);
}

/* On failure the call did not happen: the delay stays as it is. */
static int double_queue(struct axrModelInstance *instance, const axrArgument *inputs,
			struct reason *why)
{
	struct double_run *run = &instance->runs[instance->calls % DOUBLE_SLOTS];
	struct run_times times = {0};
	int r;

	if (atomic_load(&instance->cancel))
		return reason_add(why, -ECANCELED, "the instance is being destroyed");
	r = write_inputs(instance, run->slot, inputs, &times, why);
	if (r)
		return r;
	count_input(instance, &times);
	run->done = false;
	run->why.text[0] = 0;
	r = worker_push(&instance->worker, &run->job);
	if (r) {
		run->done = true;
		return reason_add(why, r, "the instance is being destroyed");
	}
	instance->calls++;
	return 0;
}

static int run_double(struct axrModelInstance *instance, const axrArgument *inputs,
		      const axrArgument *outputs, struct reason *why)
{
	struct double_run *run;
	int r = double_queue(instance, inputs, why);

	if (r)
		return r;
	if (instance->calls <= DOUBLE_DELAY) {
		zero_outputs(instance, outputs);
		return 0;
	}
	run = &instance->runs[(instance->calls - 1 - DOUBLE_DELAY) % DOUBLE_SLOTS];
	r = wait_run(instance, run, why);
	if (!r)
		io_copy_out(&instance->io, run->slot, outputs);
	return r;
}

/* Once for each card, by whoever notices: the transfers are right, only slower. */
void instance_tell_losses(const struct axrModelInstance *instance, bool now)
{
	struct card_handle *card = instance->connection->card;

	if (!axdev_lost_irqs(card->dev, now) || atomic_exchange(&card->loss_told, true))
		return;
	axr_log(instance->base.context, AXR_LOG_WARNING,
		"%s: an interrupt of the card got lost; it was done all the same, and is asked from "
		"now on (%s makes it an error)",
		card->name,
		card->dev->ops->losses ? "its driver's parameter healing=0" : "tethys.healing=0");
}

static axrResult locked_run(struct axrModelInstance *instance, const axrArgument *inputs,
			    const axrArgument *outputs)
{
	struct reason why = {0};
	int r;

	pthread_mutex_lock(&instance->lock);
	if (instance->double_buffer)
		r = run_double(instance, inputs, outputs, &why);
	else
		r = run_once(instance, inputs, outputs, &why);
	pthread_mutex_unlock(&instance->lock);
	instance_tell_losses(instance, false);
	return r ? axr_error_set(instance->base.context, instance_result(r), &why, NULL)
		 : AXR_SUCCESS;
}

axrResult axr_run_model_instance(axrModelInstance *instance, axrArgument *inputs, size_t n_inputs,
				 axrArgument *outputs, size_t n_outputs)
{
	axrResult result;

	axr_error_clear();
	result = check_run(instance, inputs, n_inputs, outputs, n_outputs);
	if (result)
		return result;
	object_get(
		&instance->base); /* another thread may destroy it meanwhile, which ends the run */
	result = locked_run(instance, inputs, outputs);
	object_put(&instance->base);
	return result;
}

/* --- queued runs --- */

struct async_run {
	struct worker_job job; /* first */
	struct axrModelInstance *instance;
	axr_async_fn done;
	void *arg;
	axrResult result;
	axrArgument *outputs; /* in @arguments */
	axrArgument arguments[];
};

static void async_work(struct worker_job *job, bool stopping)
{
	struct async_run *run = (struct async_run *)job;

	axr_error_clear();
	if (stopping)
		run->result = axr_error_set(run->instance->base.context, AXR_ERROR_RUNTIME_ERROR,
					    NULL, "cancelled: the instance is being destroyed");
	else
		run->result = locked_run(run->instance, run->arguments, run->outputs);
}

static void async_finished(struct worker_job *job)
{
	struct async_run *run = (struct async_run *)job;

	run->done(run->arg, run->result);
	free(run);
}

static struct async_run *async_create(struct axrModelInstance *instance, const axrArgument *inputs,
				      size_t n_inputs, const axrArgument *outputs, size_t n_outputs)
{
	struct async_run *run;

	run = malloc(sizeof(*run) + (n_inputs + n_outputs) * sizeof(*inputs));
	if (!run)
		return NULL;
	run->job = (struct worker_job){.work = async_work, .finished = async_finished};
	run->instance = instance;
	run->outputs = run->arguments + n_inputs;
	memcpy(run->arguments, inputs, n_inputs * sizeof(*inputs));
	memcpy(run->outputs, outputs, n_outputs * sizeof(*outputs));
	return run;
}

axrResult axr_run_async_model_instance(axrModelInstance *instance, axrArgument *inputs,
				       size_t n_inputs, axrArgument *outputs, size_t n_outputs,
				       axr_async_fn done, void *arg)
{
	struct axrContext *context;
	struct async_run *run;
	axrResult result;
	int r;

	axr_error_clear();
	result = check_run(instance, inputs, n_inputs, outputs, n_outputs);
	if (result)
		return result;
	context = instance->base.context;
	if (!done)
		return axr_error_set(context, AXR_ERROR_INVALID_ARGUMENT, NULL,
				     "no callback given");
	if (!instance->async_mode)
		return axr_error_set(context, AXR_ERROR_INVALID_CONFIGURATION, NULL,
				     "load the instance with async_mode=1 for this");
	run = async_create(instance, inputs, n_inputs, outputs, n_outputs);
	if (!run)
		return axr_error_set(context, AXR_ERROR_INTERNAL_ERROR, NULL, "out of memory");
	run->done = done;
	run->arg = arg;
	r = worker_push(&instance->worker, &run->job);
	if (!r)
		return AXR_SUCCESS;
	free(run);
	return axr_error_set(context, AXR_ERROR_PENDING_ERROR, NULL, "queue full");
}
