/* SPDX-License-Identifier: MIT */
/*
 * The firmware's life: boot, commands in and results out, resets. One thread a context, made with
 * its first command, does the work, so that a store to a register never waits for an engine.
 */
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <tethys/hw/irq.h>

#include "card/firmware.h"

/* How long a reset waits for engines to notice. Networks look between two of their nodes. */
#define RESET_WAIT_MS 50

/* --- workers --- */

static void complete(struct fw_worker *worker, const struct fw_command *command,
		     const struct fw_result *result, struct metis_fw_reply *reply)
{
	struct metis_fw_reply text = {
		.seq = htole32(command->seq),
		.status = htole32((uint32_t)fw_reason_errno(result->reason)),
		.reason = htole32(result->reason),
		.module = htole32(result->module),
		.device_ns = htole64(result->device_ns),
	};
	struct card_firmware *fw = worker->fw;
	bool raise;

	if (result->reason) {
		fw_reason_line(&result->why, text.text, sizeof(text.text));
		CARD_COUNT(fw->card, commands_failed);
	}
	pthread_mutex_lock(&fw->lock);
	raise = !worker->discard;
	if (raise) {
		if (reply)
			memcpy(reply, &text, sizeof(text));
		if (result->reason)
			fw_log(fw, "context %u: command %u, seq %u: %s", worker->context,
			       command->op, command->seq, text.text);
		worker->busy = false;
		fw_set_sts(fw, worker->context,
			   METIS_FW_STS(command->seq, fw_reason_errno(result->reason)));
	}
	pthread_mutex_unlock(&fw->lock);
	if (raise)
		card_firmware_raise(fw->card, METIS_IRQ_CONTEXT(worker->context));
}

static void *worker_main(void *arg)
{
	struct fw_worker *worker = arg;
	struct card_firmware *fw = worker->fw;
	struct metis_fw_reply *reply;
	struct fw_command command;
	struct fw_result result;

	pthread_mutex_lock(&fw->lock);
	for (;;) {
		while (!worker->pending && !worker->leave)
			pthread_cond_wait(&worker->wake, &fw->lock);
		if (worker->leave)
			break;
		command = worker->command;
		worker->pending = false;
		worker->active = true;
		pthread_mutex_unlock(&fw->lock);

		memset(&result, 0, sizeof(result));
		reply = NULL;
		fw_command_execute(worker, &command, &result, &reply);
		complete(worker, &command, &result, reply);

		pthread_mutex_lock(&fw->lock);
		worker->active = false;
		worker->discard = false;
		pthread_cond_broadcast(&fw->quiet);
	}
	worker->left = true;
	pthread_mutex_unlock(&fw->lock);
	return NULL;
}

/* Needs fw->lock. */
static int worker_start(struct card_firmware *fw, unsigned int context)
{
	struct fw_worker *worker = calloc(1, sizeof(*worker));
	int err;

	if (!worker)
		return -ENOMEM;
	worker->fw = fw;
	worker->context = context;
	pthread_cond_init(&worker->wake, NULL);
	err = pthread_create(&worker->thread, NULL, worker_main, worker);
	if (err) {
		pthread_cond_destroy(&worker->wake);
		free(worker);
		return -err;
	}
	fw->workers[context] = worker;
	return 0;
}

/* Waits until the thread has ended, which it was told to. Without locks. */
static void worker_join(struct fw_worker *worker)
{
	pthread_join(worker->thread, NULL);
	pthread_cond_destroy(&worker->wake);
	free(worker);
}

/* Needs fw->lock. */
static void worker_cancel(struct fw_worker *worker)
{
	if (!worker->pending && !worker->active)
		return;
	worker->canceled = true;
	if (worker->running)
		worker->fw->ops->cancel(worker->running);
}

/* --- commands --- */

/* Needs fw->lock. */
static void accept_command(struct card_firmware *fw, unsigned int context, uint16_t op,
			   uint32_t seq, uint64_t arg)
{
	struct fw_worker *worker;
	int err = 0;

	CARD_COUNT(fw->card, commands);
	if (!fw->workers[context])
		err = worker_start(fw, context);
	if (err) {
		CARD_COUNT(fw->card, commands_failed);
		fw_log(fw, "context %u: no thread: %s", context, strerrorname_np(-err));
		fw_set_sts(fw, context, METIS_FW_STS(seq, -EAGAIN));
		return;
	}
	worker = fw->workers[context];
	worker->command = (struct fw_command){.op = op, .seq = seq, .arg = arg};
	worker->canceled = false;
	worker->busy = true;
	worker->pending = true;
	fw_set_sts(fw, context, METIS_FW_STS(seq, METIS_FW_STS_BUSY));
	pthread_cond_signal(&worker->wake);
}

/* Needs fw->lock. */
static void cmd_written(struct card_firmware *fw, unsigned int context)
{
	struct fw_worker *worker = fw->workers[context];
	uint64_t cmd, arg;

	fw_read_cmd(fw, context, &cmd, &arg);
	if (!METIS_FW_CMD_OP(cmd))
		return; /* the host tidies up */
	if (METIS_FW_CMD_OP(cmd) == METIS_FW_OP_CANCEL) {
		if (worker && worker->busy)
			worker_cancel(worker);
		return;
	}
	if (fw->resetting || (worker && worker->busy)) {
		fw->commands_ignored++;
		fw_set_ignored(fw);
		return;
	}
	accept_command(fw, context, METIS_FW_CMD_OP(cmd), METIS_FW_CMD_SEQ(cmd), arg);
}

void card_firmware_l2_written(struct card *card, uint32_t offset, size_t len)
{
	struct card_firmware *fw = card->firmware;
	unsigned int n;

	for (n = 0; n < METIS_CORES; n++) {
		size_t cmd = FW_CONTEXT_OFFSET(n) + offsetof(struct metis_context, cmd);

		if (offset > cmd || (uint64_t)offset + len < cmd + sizeof(uint32_t))
			continue;
		pthread_mutex_lock(&fw->lock);
		cmd_written(fw, n);
		pthread_mutex_unlock(&fw->lock);
	}
}

static bool worker_quiet(const struct fw_worker *worker)
{
	return !worker || (!worker->pending && !worker->active);
}

/* Needs fw->lock. */
static bool all_quiet(const struct card_firmware *fw)
{
	unsigned int n;

	for (n = 0; n < METIS_CORES; n++) {
		if (!worker_quiet(fw->workers[n]))
			return false;
	}
	return true;
}

bool card_firmware_idle(const struct card_firmware *firmware)
{
	struct card_firmware *fw = (struct card_firmware *)firmware; /* for its lock only */
	bool idle;

	pthread_mutex_lock(&fw->lock);
	idle = all_quiet(fw);
	pthread_mutex_unlock(&fw->lock);
	return idle;
}

/* --- reset --- */

/* Needs fw->lock. */
static void cancel_all(struct card_firmware *fw)
{
	unsigned int n;

	for (n = 0; n < METIS_CORES; n++) {
		struct fw_worker *worker = fw->workers[n];

		if (!worker)
			continue;
		worker_cancel(worker);
		worker->pending = false;
		worker->busy = false;
		worker->discard = worker->active;
	}
}

/* Needs fw->lock, which it drops while waiting. */
static void wait_quiet(struct card_firmware *fw, unsigned int ms)
{
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += (long)ms * 1000000;
	until.tv_sec += until.tv_nsec / 1000000000;
	until.tv_nsec %= 1000000000;
	while (!all_quiet(fw)) {
		if (pthread_cond_timedwait(&fw->quiet, &fw->lock, &until))
			return;
	}
}

/*
 * Go on without the workers that don't listen: each ends by itself, and the memory it uses is
 * there until it has. What it still computes is thrown away, but for tensors it has in its hands.
 * Needs fw->lock.
 */
static void abandon_active(struct card_firmware *fw)
{
	unsigned int n;

	for (n = 0; n < METIS_CORES; n++) {
		struct fw_worker *worker = fw->workers[n];

		if (worker_quiet(worker))
			continue;
		fw_log(fw, "context %u: left behind by a reset", n);
		worker->leave = true;
		worker->next = fw->abandoned;
		fw->abandoned = worker;
		fw->workers[n] = NULL;
	}
}

/* Needs fw->lock, which it drops meanwhile. */
static void join_left(struct card_firmware *fw)
{
	struct fw_worker **link = &fw->abandoned;

	while (*link) {
		struct fw_worker *worker = *link;

		if (!worker->left) {
			link = &worker->next;
			continue;
		}
		*link = worker->next;
		pthread_mutex_unlock(&fw->lock);
		worker_join(worker);
		pthread_mutex_lock(&fw->lock);
		link = &fw->abandoned;
	}
}

/* Needs fw->lock, which it drops meanwhile. */
static void unload_all(struct card_firmware *fw)
{
	unsigned int i;

	for (i = 0; i < METIS_FW_MODULES_MAX; i++) {
		struct fw_module *module = fw->modules[i];

		fw->modules[i] = NULL;
		if (!module)
			continue;
		pthread_mutex_unlock(&fw->lock);
		fw_module_put(fw, module);
		pthread_mutex_lock(&fw->lock);
	}
}

static void boot(struct card_firmware *fw, bool keep_host_driver, bool cold)
{
	fw->boots = cold ? 1 : fw->boots + 1;
	if (cold)
		fw->commands_ignored = 0;
	fw_boot_areas(fw, keep_host_driver);
	fw_log_reset(fw, cold);
	fw_log(fw, "boot %llu: Tethys firmware %s, engine %s, protocol %u.%u",
	       (unsigned long long)fw->boots, fw->card->personality->name, fw->ops->name,
	       METIS_FW_EXT_MAJOR, METIS_FW_EXT_MINOR);
}

void card_firmware_reset(struct card_firmware *fw, bool keep_host_driver, bool cold)
{
	pthread_mutex_lock(&fw->reset_lock);
	pthread_mutex_lock(&fw->lock);
	fw->resetting = true;
	cancel_all(fw);
	wait_quiet(fw, RESET_WAIT_MS);
	abandon_active(fw);
	unload_all(fw);
	join_left(fw);
	/* After the engines: what they still wrote is of the last user. */
	if (cold)
		card_memory_clear(fw->card->memory);
	boot(fw, keep_host_driver && !cold, cold);
	fw->resetting = false;
	pthread_mutex_unlock(&fw->lock);
	pthread_mutex_unlock(&fw->reset_lock);
}

/* --- life --- */

int card_firmware_create(struct card *card, struct card_firmware **ret_firmware, struct reason *why)
{
	const char *name = card->config.engine ? card->config.engine : engine_onnx.name;
	struct card_firmware *fw = calloc(1, sizeof(*fw));
	pthread_condattr_t attr;
	int fd, err;

	if (!fw)
		return reason_add(why, -ENOMEM, "no memory for the firmware");
	fw->card = card;
	pthread_mutex_init(&fw->reset_lock, NULL);
	pthread_mutex_init(&fw->lock, NULL);
	pthread_mutex_init(&fw->log_lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&fw->quiet, &attr);
	pthread_condattr_destroy(&attr);
	fw->l2 = card_memory_l2(card->memory, &fd);
	fw->ops = engine_find(name);
	if (fw->ops)
		err = fw->ops->create(&fw->engine, why);
	else
		err = reason_add(why, -EINVAL, "no engine \"%s\"", name);
	if (err) {
		card_firmware_destroy(fw);
		return err;
	}
	boot(fw, false, true);
	*ret_firmware = fw;
	return 0;
}

static void destroy_workers(struct card_firmware *fw)
{
	struct fw_worker *worker;
	unsigned int n;

	pthread_mutex_lock(&fw->lock);
	fw->resetting = true;
	cancel_all(fw);
	for (n = 0; n < METIS_CORES; n++) {
		worker = fw->workers[n];
		fw->workers[n] = NULL;
		if (!worker)
			continue;
		worker->leave = true;
		pthread_cond_signal(&worker->wake);
		worker->next = fw->abandoned;
		fw->abandoned = worker;
	}
	while (fw->abandoned) {
		worker = fw->abandoned;
		fw->abandoned = worker->next;
		pthread_mutex_unlock(&fw->lock);
		worker_join(worker);
		pthread_mutex_lock(&fw->lock);
	}
	unload_all(fw);
	pthread_mutex_unlock(&fw->lock);
}

void card_firmware_destroy(struct card_firmware *fw)
{
	if (!fw)
		return;
	destroy_workers(fw);
	if (fw->engine)
		fw->ops->destroy(fw->engine);
	pthread_cond_destroy(&fw->quiet);
	pthread_mutex_destroy(&fw->log_lock);
	pthread_mutex_destroy(&fw->lock);
	pthread_mutex_destroy(&fw->reset_lock);
	free(fw);
}
