/* SPDX-License-Identifier: MIT */
/*
 * What the commands do. Everything in card memory may change at any time, so each thing is copied
 * once and only the copy is believed.
 */
#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "card/firmware.h"
#include "card/module.h"

#define REQUEST_ALIGN 8u
#define TENSOR_ALIGN 64u
/* Between two of these a cancel is noticed: a few milliseconds. */
#define COPY_CHUNK_BYTES (16u << 20)

struct job {
	struct fw_worker *worker;
	struct card_firmware *fw;
	struct metis_fw_request request;
	struct fw_result *result;
};

#define FAIL(job, code, ...) \
	((job)->result->reason = (code), (void)reason_add(&(job)->result->why, 0, __VA_ARGS__))

int fw_reason_errno(enum metis_fw_reason reason)
{
	switch (reason) {
	case METIS_FW_OK:
		return 0;
	case METIS_FW_BAD_REQUEST:
	case METIS_FW_BAD_TENSOR:
		return -EINVAL;
	case METIS_FW_BAD_ADDRESS:
		return -EFAULT;
	case METIS_FW_BAD_MODULE:
		return -ENOEXEC;
	case METIS_FW_UNSUPPORTED:
		return -ENOTSUP;
	case METIS_FW_NO_MODULE:
		return -ENOENT;
	case METIS_FW_NO_MEMORY:
		return -ENOMEM;
	case METIS_FW_ENGINE_FAILED:
		return -EIO;
	case METIS_FW_CANCELED:
		return -ECANCELED;
	case METIS_FW_NO_CORES:
		return -EBUSY;
	}
	return -EIO;
}

/* Card memory a host may name in a command: not the pages that are the firmware's own. */
static void *memory_at(struct card_firmware *fw, uint64_t addr, uint64_t bytes)
{
	if (addr >= METIS_L2_BASE && addr < METIS_L2_BASE + METIS_FW_TRAPPED_BYTES)
		return NULL;
	return card_memory_at(fw->card, addr, bytes);
}

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static bool canceled(struct job *job)
{
	bool yes;

	pthread_mutex_lock(&job->fw->lock);
	yes = job->worker->canceled;
	pthread_mutex_unlock(&job->fw->lock);
	if (yes)
		FAIL(job, METIS_FW_CANCELED, "canceled");
	return yes;
}

/* --- modules --- */

static void module_free(struct card_firmware *fw, struct fw_module *module)
{
	if (module->session)
		fw->ops->unload(module->session);
	free(module->head);
	free(module);
}

void fw_module_put(struct card_firmware *fw, struct fw_module *module)
{
	bool last;

	pthread_mutex_lock(&fw->lock);
	last = --module->refs == 0;
	pthread_mutex_unlock(&fw->lock);
	if (last)
		module_free(fw, module);
}

/* The slot of @handle if it belongs to @context, else NULL. Needs fw->lock. */
static struct fw_module **module_slot(struct card_firmware *fw, unsigned int context,
				      uint32_t handle)
{
	unsigned int i;

	for (i = 0; i < METIS_FW_MODULES_MAX; i++) {
		struct fw_module *module = fw->modules[i];

		if (module && handle && module->handle == handle && module->context == context)
			return &fw->modules[i];
	}
	return NULL;
}

/*
 * The module that the request names, with a reference: one more, or the table's, which it leaves.
 * NULL: there is none, and the command has failed.
 */
static struct fw_module *named_module(struct job *job, bool leaves)
{
	uint32_t handle = le32toh(job->request.module);
	struct fw_module *module = NULL;
	struct fw_module **slot;

	pthread_mutex_lock(&job->fw->lock);
	slot = module_slot(job->fw, job->worker->context, handle);
	if (slot) {
		module = *slot;
		if (leaves)
			*slot = NULL;
		else
			module->refs++;
	}
	pthread_mutex_unlock(&job->fw->lock);
	if (!module)
		FAIL(job, METIS_FW_NO_MODULE, "no module %" PRIu32 " in this context", handle);
	return module;
}

/* Does another context own one of @context .. @context + @cores - 1? Needs fw->lock. */
static bool cores_taken(const struct card_firmware *fw, unsigned int context, unsigned int cores)
{
	unsigned int i;

	for (i = 0; i < METIS_FW_MODULES_MAX; i++) {
		const struct fw_module *m = fw->modules[i];

		if (m && m->context != context && m->context < context + cores &&
		    context < m->context + m->cores)
			return true;
	}
	return false;
}

/*
 * Enter @module into the table, still without a handle: its cores are taken from now on. Not
 * after a reset has retired the worker, which has emptied the table.
 */
static void module_reserve(struct job *job, struct fw_module *module)
{
	struct card_firmware *fw = job->fw;
	unsigned int i;

	pthread_mutex_lock(&fw->lock);
	for (i = 0; i < METIS_FW_MODULES_MAX && fw->modules[i]; i++)
		;
	if (job->worker->retired)
		FAIL(job, METIS_FW_CANCELED, "reset");
	else if (i == METIS_FW_MODULES_MAX)
		FAIL(job, METIS_FW_NO_MEMORY, "%u modules are loaded, at most %u", i,
		     METIS_FW_MODULES_MAX);
	else if (cores_taken(fw, module->context, module->cores))
		FAIL(job, METIS_FW_NO_CORES, "cores %u to %u: another context has modules there",
		     module->context, module->context + module->cores - 1);
	else {
		fw->modules[i] = module;
		module->refs++; /* the table's */
	}
	pthread_mutex_unlock(&fw->lock);
}

/* Give @module its handle, or take it out of the table again when the load has failed. */
static void module_settle(struct job *job, struct fw_module *module)
{
	struct card_firmware *fw = job->fw;
	bool drop = false;
	unsigned int i;

	pthread_mutex_lock(&fw->lock);
	for (i = 0; i < METIS_FW_MODULES_MAX; i++) {
		if (fw->modules[i] != module)
			continue;
		if (job->result->reason) {
			fw->modules[i] = NULL;
			drop = true;
		} else {
			module->handle = ++fw->last_handle;
			job->result->module = module->handle;
		}
	}
	pthread_mutex_unlock(&fw->lock);
	if (drop)
		fw_module_put(fw, module);
}

/* --- LOAD --- */

static void *copy_from_card(struct job *job, const char *src, size_t bytes)
{
	char *copy = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	size_t done, n;

	if (copy == MAP_FAILED) {
		FAIL(job, METIS_FW_NO_MEMORY, "no memory for a module of %zu bytes", bytes);
		return NULL;
	}
	for (done = 0; done < bytes; done += n) {
		n = bytes - done < COPY_CHUNK_BYTES ? bytes - done : COPY_CHUNK_BYTES;
		if (canceled(job)) {
			munmap(copy, bytes);
			return NULL;
		}
		/*
		 * Page by page faults take half as long again as the copy. Huge pages would be fewer
		 * still, but the kernel may take 100 ms to find them (measured). Only a hint.
		 */
		madvise(copy + done, n, MADV_POPULATE_WRITE);
		memcpy(copy + done, src + done, n);
	}
	return copy;
}

/* Header and tables outlive the payload: put a copy of them under @module. */
static int keep_tables(struct fw_module *module, const struct engine_module *whole)
{
	uint32_t inputs = le32toh(whole->header->inputs);
	uint32_t outputs = le32toh(whole->header->outputs);
	size_t bytes = sizeof(*whole->header) + (inputs + outputs) * sizeof(*whole->inputs);

	module->head = malloc(bytes);
	if (!module->head)
		return -ENOMEM;
	memcpy(module->head, whole->header, bytes);
	module->table = *whole;
	module->table.header = module->head;
	module->table.inputs = (const void *)(module->table.header + 1);
	module->table.outputs = module->table.inputs + inputs;
	return 0;
}

static enum metis_fw_reason load_reason(int err)
{
	switch (err) {
	case -ENOTSUP:
		return METIS_FW_UNSUPPORTED;
	case -EINVAL:
		return METIS_FW_BAD_MODULE;
	case -ENOMEM:
		return METIS_FW_NO_MEMORY;
	default:
		return METIS_FW_ENGINE_FAILED;
	}
}

/* Check the private copy of a module and hand it to the engine. */
static void load_copy(struct job *job, struct fw_module *module, const void *copy, size_t bytes)
{
	struct fw_result *result = job->result;
	struct engine_module whole;
	uint64_t start;
	int err;

	if (card_module_check(copy, bytes, &whole, &result->why)) {
		result->reason = METIS_FW_BAD_MODULE;
		return;
	}
	if (keep_tables(module, &whole)) {
		FAIL(job, METIS_FW_NO_MEMORY, "no memory for the module's tables");
		return;
	}
	if (canceled(job))
		return;
	start = now_ns();
	err = job->fw->ops->load(job->fw->engine, &module->table, module->cores, &module->session,
				 &result->why);
	result->device_ns = now_ns() - start;
	module->table.payload = NULL;
	module->table.payload_bytes = 0;
	if (err)
		result->reason = load_reason(err);
	else
		canceled(job);
}

static void load_module(struct job *job, struct fw_module *module)
{
	uint64_t addr = le64toh(job->request.module_addr);
	uint64_t bytes = le64toh(job->request.module_bytes);
	const char *src = memory_at(job->fw, addr, bytes);
	struct metis_module header;
	void *copy;

	if (!src) {
		FAIL(job, METIS_FW_BAD_ADDRESS,
		     "module: %" PRIu64 " bytes at 0x%" PRIx64 " are not card memory", bytes, addr);
		return;
	}
	/* A look before much memory is asked for; the real check is that of the copy. */
	memcpy(&header, src, sizeof(header));
	if (le32toh(header.magic) != METIS_MODULE_MAGIC || le64toh(header.bytes) != bytes) {
		FAIL(job, METIS_FW_BAD_MODULE, "no module of %" PRIu64 " bytes at 0x%" PRIx64,
		     bytes, addr);
		return;
	}
	module_reserve(job, module);
	if (job->result->reason)
		return;
	copy = copy_from_card(job, src, bytes);
	if (copy) {
		load_copy(job, module, copy, bytes);
		munmap(copy, bytes);
	}
	module_settle(job, module);
}

static void command_load(struct job *job)
{
	uint64_t bytes = le64toh(job->request.module_bytes);
	uint32_t cores = le32toh(job->request.cores);
	unsigned int context = job->worker->context;
	struct fw_module *module;

	if (!cores || cores > METIS_CORES - context) {
		FAIL(job, METIS_FW_NO_CORES, "%" PRIu32 " cores from core %u on: 1 to %u there are",
		     cores, context, METIS_CORES - context);
		return;
	}
	if (bytes < sizeof(struct metis_module) || bytes > METIS_FW_MODULE_BYTES_MAX) {
		FAIL(job, METIS_FW_BAD_MODULE, "module of %" PRIu64 " bytes: %zu to %llu can be",
		     bytes, sizeof(struct metis_module), METIS_FW_MODULE_BYTES_MAX);
		return;
	}
	module = calloc(1, sizeof(*module));
	if (!module) {
		FAIL(job, METIS_FW_NO_MEMORY, "no memory for a module");
		return;
	}
	module->refs = 1; /* ours */
	module->context = context;
	module->cores = cores;
	load_module(job, module);
	fw_module_put(job->fw, module);
}

/* --- RUN --- */

struct run_buffers {
	struct metis_fw_tensor tensors[METIS_FW_TENSORS_MAX];
	struct engine_buffer buffers[METIS_FW_TENSORS_MAX];
};

static void check_tensor(struct job *job, const struct metis_fw_tensor *tensor,
			 const struct metis_module_tensor *spec, struct engine_buffer *ret_buffer)
{
	uint64_t addr = le64toh(tensor->addr), bytes = le64toh(tensor->bytes);

	if (bytes != le64toh(spec->bytes)) {
		FAIL(job, METIS_FW_BAD_TENSOR,
		     "tensor \"%s\" has %" PRIu64 " bytes, the network's %" PRIu64, spec->name,
		     bytes, (uint64_t)le64toh(spec->bytes));
		return;
	}
	if (addr % TENSOR_ALIGN) {
		FAIL(job, METIS_FW_BAD_ADDRESS,
		     "tensor \"%s\" at 0x%" PRIx64 " is not aligned to %u", spec->name, addr,
		     TENSOR_ALIGN);
		return;
	}
	ret_buffer->data = memory_at(job->fw, addr, bytes);
	ret_buffer->bytes = bytes;
	if (!ret_buffer->data)
		FAIL(job, METIS_FW_BAD_ADDRESS,
		     "tensor \"%s\": %" PRIu64 " bytes at 0x%" PRIx64 " are not card memory",
		     spec->name, bytes, addr);
}

static void read_tensors(struct job *job, const struct engine_module *table,
			 struct run_buffers *run)
{
	uint32_t inputs = le32toh(table->header->inputs);
	uint32_t outputs = le32toh(table->header->outputs);
	uint64_t addr = le64toh(job->request.tensors_addr);
	const void *src;
	uint32_t i;

	if (le32toh(job->request.inputs) != inputs || le32toh(job->request.outputs) != outputs) {
		FAIL(job, METIS_FW_BAD_TENSOR,
		     "%" PRIu32 " inputs and %" PRIu32 " outputs, the network has %" PRIu32
		     " and %" PRIu32,
		     le32toh(job->request.inputs), le32toh(job->request.outputs), inputs, outputs);
		return;
	}
	src = memory_at(job->fw, addr, (inputs + outputs) * sizeof(run->tensors[0]));
	if (!src || addr % REQUEST_ALIGN) {
		FAIL(job, METIS_FW_BAD_ADDRESS, "no tensor table at 0x%" PRIx64, addr);
		return;
	}
	memcpy(run->tensors, src, (inputs + outputs) * sizeof(run->tensors[0]));
	for (i = 0; i < inputs + outputs && !job->result->reason; i++)
		check_tensor(job, &run->tensors[i], &table->inputs[i], &run->buffers[i]);
}

/* The session cancel() may reach from now on; false: it came before. */
static bool publish(struct job *job, struct engine_session *session)
{
	bool go;

	pthread_mutex_lock(&job->fw->lock);
	go = !job->worker->canceled;
	if (go)
		job->worker->running = session;
	pthread_mutex_unlock(&job->fw->lock);
	if (!go)
		FAIL(job, METIS_FW_CANCELED, "canceled");
	return go;
}

static void unpublish(struct job *job)
{
	pthread_mutex_lock(&job->fw->lock);
	job->worker->running = NULL;
	pthread_mutex_unlock(&job->fw->lock);
}

static enum metis_fw_reason run_reason(int err)
{
	switch (err) {
	case 0:
		return METIS_FW_OK;
	case -ECANCELED:
		return METIS_FW_CANCELED;
	case -ENOMEM:
		return METIS_FW_NO_MEMORY;
	default:
		return METIS_FW_ENGINE_FAILED;
	}
}

static void run_module(struct job *job, struct fw_module *module)
{
	const struct engine_ops *ops = job->fw->ops;
	struct run_buffers run;
	uint64_t start;
	int err;

	read_tensors(job, &module->table, &run);
	if (job->result->reason)
		return;
	ops->arm(module->session);
	if (!publish(job, module->session))
		return;
	start = now_ns();
	err = ops->run(module->session, run.buffers,
		       run.buffers + le32toh(module->table.header->inputs), &job->result->why);
	job->result->device_ns = now_ns() - start;
	unpublish(job);
	job->result->reason = run_reason(err);
}

static void command_run(struct job *job)
{
	struct fw_module *module = named_module(job, false);

	if (!module)
		return;
	run_module(job, module);
	fw_module_put(job->fw, module);
}

/* --- UNLOAD --- */

static void command_unload(struct job *job)
{
	struct fw_module *module = named_module(job, true);

	if (module)
		fw_module_put(job->fw, module);
}

/* --- all of them --- */

static void (*const commands[])(struct job *job) = {
	[METIS_FW_OP_LOAD] = command_load,
	[METIS_FW_OP_RUN] = command_run,
	[METIS_FW_OP_UNLOAD] = command_unload,
};

static bool request_sound(struct job *job, const struct fw_command *command)
{
	const struct metis_fw_request *r = &job->request;
	static const uint8_t zero[sizeof(r->reserved)];

	if (le16toh(r->version) != METIS_FW_EXT_MAJOR)
		FAIL(job, METIS_FW_BAD_REQUEST, "request version %u, this firmware speaks %u",
		     le16toh(r->version), METIS_FW_EXT_MAJOR);
	else if (le16toh(r->op) != command->op || le32toh(r->seq) != command->seq)
		FAIL(job, METIS_FW_BAD_REQUEST,
		     "request is for command %u seq %" PRIu32 ", cmd says %u seq %" PRIu32,
		     le16toh(r->op), le32toh(r->seq), command->op, command->seq);
	else if (memcmp(r->reserved, zero, sizeof(zero)))
		FAIL(job, METIS_FW_BAD_REQUEST, "reserved bytes of the request are not zero");
	else if (command->op >= sizeof(commands) / sizeof(commands[0]) || !commands[command->op])
		FAIL(job, METIS_FW_BAD_REQUEST, "no command %u", command->op);
	return !job->result->reason;
}

void fw_command_execute(struct fw_worker *worker, const struct fw_command *command,
			struct fw_result *ret_result, struct metis_fw_reply **ret_reply)
{
	struct job job = {.worker = worker, .fw = worker->fw, .result = ret_result};
	struct metis_fw_request *request;

	request = memory_at(worker->fw, command->arg, sizeof(*request));
	if (!request || command->arg % REQUEST_ALIGN) {
		FAIL(&job, METIS_FW_BAD_ADDRESS, "no request at 0x%" PRIx64, command->arg);
		return;
	}
	memcpy(&job.request, request, sizeof(job.request));
	if (le32toh(job.request.magic) != METIS_FW_REQUEST_MAGIC) {
		FAIL(&job, METIS_FW_BAD_REQUEST,
		     "no request at 0x%" PRIx64 ": magic is 0x%08" PRIx32, command->arg,
		     le32toh(job.request.magic));
		return;
	}
	*ret_reply = &request->reply; /* only what calls itself a request is written to */
	if (request_sound(&job, command))
		commands[command->op](&job);
}
