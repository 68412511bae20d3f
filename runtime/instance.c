/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <string.h>

#include "runtime/instance.h"
#include "runtime/upload.h"

#define UNLOAD_TIMEOUT_MS 1000u
#define QUEUE_MAX 1024u

/* --- properties --- */

struct instance_properties {
	unsigned int aipu_cores;
	unsigned int num_sub_devices;
	bool input_dmabuf;
	bool output_dmabuf;
	bool double_buffer;
	bool device_profiling;
	bool host_profiling;
	bool elf_in_ddr;
	bool async_mode;
	unsigned int max_inflight;
	unsigned int max_pending;
};

#define AT(field) offsetof(struct instance_properties, field)
static const struct prop_spec specs[] = {
	{"aipu_cores", PROP_UINT, AT(aipu_cores), 0, UINT32_MAX},
	{"num_sub_devices", PROP_UINT, AT(num_sub_devices), 0, UINT32_MAX},
	{"input_dmabuf", PROP_BOOL, AT(input_dmabuf), 0, 0},
	{"output_dmabuf", PROP_BOOL, AT(output_dmabuf), 0, 0},
	{"double_buffer", PROP_BOOL, AT(double_buffer), 0, 0},
	{"device_profiling", PROP_BOOL, AT(device_profiling), 0, 0},
	{"host_profiling", PROP_BOOL, AT(host_profiling), 0, 0},
	{"elf_in_ddr", PROP_BOOL, AT(elf_in_ddr), 0, 0},
	{"async_mode", PROP_BOOL, AT(async_mode), 0, 0},
	{"max_inflight", PROP_UINT, AT(max_inflight), 1, QUEUE_MAX},
	{"max_pending", PROP_UINT, AT(max_pending), 0, QUEUE_MAX},
};
#define SPECS_NR (sizeof(specs) / sizeof(specs[0]))

/* Properties that are well formed and yet can't be had. */
static axrResult check_properties(struct axrContext *context, const struct propset *set,
				  const struct instance_properties *p)
{
	if (p->input_dmabuf || p->output_dmabuf)
		return axr_error_set(
			context, AXR_ERROR_NOT_IMPLEMENTED, NULL,
			"Invalid properties: %s=1: dmabufs are not supported yet, pass "
			"host memory",
			p->input_dmabuf ? "input_dmabuf" : "output_dmabuf");
	if (p->double_buffer && p->async_mode)
		return axr_error_set(
			context, AXR_ERROR_INVALID_CONFIGURATION, NULL,
			"Invalid properties: double_buffer and async_mode exclude each "
			"other");
	if (!p->async_mode && set &&
	    (propset_get(set, "max_inflight") || propset_get(set, "max_pending")))
		return axr_error_set(context, AXR_ERROR_INVALID_CONFIGURATION, NULL,
				     "Invalid properties: max_inflight and max_pending need "
				     "async_mode=1");
	if (p->device_profiling || p->host_profiling)
		axr_log(context, AXR_LOG_INFO,
			"profiling is always on: see tethys_instance_stats()");
	if (p->double_buffer)
		axr_log(context, AXR_LOG_INFO, "pipeline depth is %u for double buffering",
			DOUBLE_DELAY);
	return AXR_SUCCESS;
}

static axrResult read_properties(struct axrContext *context, const struct axrProperties *given,
				 struct instance_properties *ret_p)
{
	struct instance_properties p = {.elf_in_ddr = true, .max_inflight = 1, .max_pending = 3};
	const struct propset *set = given ? &given->set : NULL;
	const char *unknown = propset_unknown(set, specs, SPECS_NR);
	struct reason why = {0};
	axrResult result;

	if (unknown)
		return axr_error_set(context, AXR_ERROR_INVALID_CONFIGURATION, NULL,
				     "Invalid properties: Unknown property key: %.100s", unknown);
	if (propset_fill(set, specs, SPECS_NR, &p, &why))
		return axr_error_set(context, AXR_ERROR_VALUE_ERROR, &why, NULL);
	result = check_properties(context, set, &p);
	if (!result)
		*ret_p = p;
	return result;
}

/* --- load --- */

/* aipu_cores is a share of L2 to the vendor's runtime; here it is what num_sub_devices is not. */
static unsigned int cores_wanted(const struct axrConnection *connection,
				 const struct instance_properties *p)
{
	unsigned int wanted = p->num_sub_devices ? p->num_sub_devices : p->aipu_cores;

	if (!wanted)
		return connection->cores;
	if (wanted <= connection->cores)
		return wanted;
	axr_log(connection->base.context, AXR_LOG_WARNING,
		"%u cores wanted, the connection has %u: using these", wanted, connection->cores);
	return connection->cores;
}

static void place(struct axrModelInstance *instance, unsigned int wanted)
{
	unsigned int cores = wanted;

	instance->lead = connection_place(instance->connection, &cores);
	instance->cores = cores;
	if (cores < wanted)
		axr_log(instance->base.context, AXR_LOG_WARNING,
			"%u cores wanted, other instances leave %u: using these", wanted, cores);
}

/* Module into card memory, LOAD, and the memory back: the firmware has its own copy then. */
static int load_module(struct axrModelInstance *instance, struct reason *why)
{
	struct axrConnection *connection = instance->connection;
	const struct module *module = &instance->model->module;
	struct tethys_load_times *times = &instance->stats.load;
	struct fw_client *fw = &connection->card->fw;
	uint64_t addr, start = axr_now_ns();
	int r;

	r = ddr_alloc(&connection->ddr, module->bytes, &addr, why);
	if (r)
		return reason_add(why, r, "[ERROR][load]: Failed to allocate device memory.");
	r = upload_module(fw->dev, module, addr, why);
	times->transfer_ns = axr_now_ns() - start;
	if (r) {
		ddr_free(&connection->ddr, addr);
		return reason_add(why, r,
				  "[ERROR][load]: Failed to write module binary to device memory.");
	}
	start = axr_now_ns();
	r = fw_client_load(fw, instance->lead, addr, module->bytes, instance->cores,
			   connection->load_timeout_ms, &instance->module, &times->engine_ns, why);
	times->command_ns = axr_now_ns() - start;
	if (r == -ETIMEDOUT)
		atomic_store(&instance->timed_out, true);
	if (!atomic_load(&instance->timed_out) || !fw_client_stuck(fw, instance->lead))
		ddr_free(&connection->ddr, addr);
	return r ? reason_add(why, r, "[ERROR][load]: Failed to load module.") : 0;
}

static int instance_load(struct axrModelInstance *instance, const struct instance_properties *p,
			 struct reason *why)
{
	struct axrConnection *connection = instance->connection;
	const struct module *module = &instance->model->module;
	struct tethys_load_times *times = &instance->stats.load;
	uint64_t start = axr_now_ns();
	int r;

	times->scan_ns = module->scan_ns;
	times->hash_ns = module->hash_ns;
	times->module_bytes = module->bytes;
	place(instance, cores_wanted(connection, p));
	r = load_module(instance, why);
	if (r)
		return r;
	r = io_init(&instance->io, connection->card->dev, &connection->ddr, &connection->memory,
		    module, p->double_buffer ? DOUBLE_SLOTS : 1, why);
	if (!r && (p->double_buffer || p->async_mode))
		r = worker_start(&instance->worker, p->double_buffer
							    ? DOUBLE_SLOTS
							    : p->max_inflight + p->max_pending);
	if (r)
		return reason_add(why, r, "[ERROR][load]: Failed to allocate memory for tensors.");
	times->total_ns = axr_now_ns() - start;
	return 0;
}

/* --- life --- */

static void instance_stop(struct axrObject *object)
{
	struct axrModelInstance *instance = (struct axrModelInstance *)object;

	atomic_store(&instance->cancel, true);
	worker_stop(&instance->worker);
	/* A run of another thread uses the application's memory until it gives the lock back. */
	pthread_mutex_lock(&instance->lock);
	pthread_mutex_unlock(&instance->lock);
}

static void unload(struct axrModelInstance *instance)
{
	struct fw_client *fw = &instance->connection->card->fw;
	struct reason why = {0};
	int r;

	if (!instance->module || atomic_load(&fw->gone))
		return;
	r = fw_client_unload(fw, instance->lead, instance->module, UNLOAD_TIMEOUT_MS, &why);
	/* A card that turns out to be gone has nothing loaded. */
	if (r && r != -ENODEV)
		axr_log(instance->base.context, AXR_LOG_WARNING, "unload: %s", why.text);
}

static void instance_release(struct axrObject *object)
{
	struct axrModelInstance *instance = (struct axrModelInstance *)object;
	bool stuck;

	if (instance->cores) {
		unload(instance);
		stuck = atomic_load(&instance->timed_out) &&
			fw_client_stuck(&instance->connection->card->fw, instance->lead);
		io_deinit(&instance->io, stuck);
		connection_unplace(instance->connection, instance->lead, instance->cores);
	}
	pthread_cond_destroy(&instance->done);
	pthread_mutex_destroy(&instance->done_lock);
	pthread_mutex_destroy(&instance->lock);
	pthread_mutex_destroy(&instance->stats_lock);
	if (instance->model)
		object_put(&instance->model->base);
}

const struct object_kind object_instance = {
	.name = "instance",
	.bytes = sizeof(struct axrModelInstance),
	.stop = instance_stop,
	.release = instance_release,
};

static struct axrModelInstance *instance_create(struct axrConnection *connection,
						struct axrModel *model,
						const struct instance_properties *p)
{
	struct axrModelInstance *instance = object_create(&object_instance, &connection->base);

	if (!instance)
		return NULL;
	instance->connection = connection;
	instance->model = (struct axrModel *)object_get(&model->base);
	instance->double_buffer = p->double_buffer;
	instance->async_mode = p->async_mode;
	pthread_mutex_init(&instance->lock, NULL);
	pthread_mutex_init(&instance->stats_lock, NULL);
	pthread_mutex_init(&instance->done_lock, NULL);
	pthread_cond_init(&instance->done, NULL);
	instance_runs_init(instance);
	return instance;
}

axrModelInstance *axr_load_model_instance(axrConnection *connection, axrModel *model,
					  axrProperties *properties)
{
	struct axrContext *context;
	struct instance_properties p = {0};
	struct axrModelInstance *instance;
	struct reason why = {0};
	int r;

	axr_error_clear();
	if (!object_as(&object_connection, connection) || !object_as(&object_model, model)) {
		axr_error_set(NULL, AXR_ERROR_INVALID_ARGUMENT, NULL,
			      "axr_load_model_instance: no %s given",
			      connection ? "model" : "connection");
		return NULL;
	}
	context = connection->base.context;
	if (read_properties(context, object_as(&object_properties, properties), &p))
		return NULL;
	instance = instance_create(connection, model, &p);
	if (!instance) {
		axr_error_set(context, AXR_ERROR_INTERNAL_ERROR, NULL, "out of memory");
		return NULL;
	}
	r = instance_load(instance, &p, &why);
	instance_tell_losses(instance, true);
	if (!r)
		return instance;
	axr_destroy(&instance->base);
	axr_error_set(context, instance_result(r), &why, NULL);
	return NULL;
}

axrResult tethys_instance_stats(axrModelInstance *instance, struct tethys_instance_stats *ret_stats,
				size_t bytes)
{
	struct tethys_instance_stats stats;

	axr_error_clear();
	if (!object_as(&object_instance, instance) || !ret_stats)
		return axr_error_set(NULL, AXR_ERROR_INVALID_ARGUMENT, NULL,
				     "tethys_instance_stats: an argument is NULL");
	pthread_mutex_lock(&instance->stats_lock);
	stats = instance->stats;
	pthread_mutex_unlock(&instance->stats_lock);
	stats.lost_irqs = axdev_lost_irqs(instance->connection->card->dev, true);
	stats.core = instance->lead;
	stats.cores = instance->cores;
	memset(ret_stats, 0, bytes);
	memcpy(ret_stats, &stats, bytes < sizeof(stats) ? bytes : sizeof(stats));
	return AXR_SUCCESS;
}
