/* SPDX-License-Identifier: MIT */
/*
 * The firmware's life: boot, commands in and results out, resets. One thread a context, made with
 * its first command, does the work, so that a store to a register never waits for an engine. One
 * more mirrors interrupts of channels, where that is asked for (firmware_irq.c).
 */
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <tethys/hw/irq.h>

#include "card/firmware.h"

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
	raise = !worker->retired;
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
		card_firmware_raise(fw->card, METIS_IRQ_CONTEXT(worker->context), &worker->ticket);
}

/* Needs fw->lock, which it drops meanwhile. */
static void drop_modules(struct fw_worker *worker)
{
	struct card_firmware *fw = worker->fw;
	struct fw_module *module;

	while ((module = worker->modules)) {
		worker->modules = module->next;
		pthread_mutex_unlock(&fw->lock);
		fw_module_put(fw, module);
		pthread_mutex_lock(&fw->lock);
	}
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
		while (!worker->pending && !worker->retired)
			pthread_cond_wait(&worker->wake, &fw->lock);
		if (worker->retired)
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
	}
	drop_modules(worker);
	worker->left = true;
	pthread_mutex_unlock(&fw->lock);
	return NULL;
}

/* Waits until the thread has ended, which it was told to. */
static void worker_join(struct fw_worker *worker)
{
	pthread_join(worker->thread, NULL);
	pthread_cond_destroy(&worker->wake);
	free(worker);
}

/* Join retired workers that have ended: no wait to speak of. Needs fw->lock. Return: the others. */
static unsigned int join_left(struct card_firmware *fw)
{
	struct fw_worker **link = &fw->retired;
	unsigned int others = 0;

	while (*link) {
		struct fw_worker *worker = *link;

		if (!worker->left) {
			link = &worker->next;
			others++;
			continue;
		}
		*link = worker->next;
		worker_join(worker);
	}
	return others;
}

/* Needs fw->lock. */
static int worker_start(struct card_firmware *fw, unsigned int context)
{
	struct fw_worker *worker;
	int err;

	if (join_left(fw) >= FW_RETIRED_MAX)
		return -EAGAIN;
	worker = calloc(1, sizeof(*worker));
	if (!worker)
		return -ENOMEM;
	worker->fw = fw;
	worker->context = context;
	worker->ticket = (struct card_ticket){&fw->resets, atomic_load(&fw->resets)};
	pthread_cond_init(&worker->wake, NULL);
	err = card_thread_create(&worker->thread, 0, worker_main, worker);
	if (err) {
		pthread_cond_destroy(&worker->wake);
		free(worker);
		return err;
	}
	fw->workers[context] = worker;
	return 0;
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
	if (worker && worker->busy) {
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

bool card_firmware_idle(const struct card_firmware *firmware)
{
	struct card_firmware *fw = (struct card_firmware *)firmware; /* for its lock only */
	unsigned int n;
	bool idle;

	pthread_mutex_lock(&fw->lock);
	idle = fw_mirror_idle(fw);
	for (n = 0; n < METIS_CORES; n++) {
		const struct fw_worker *worker = fw->workers[n];

		idle = idle && (!worker || (!worker->pending && !worker->active));
	}
	pthread_mutex_unlock(&fw->lock);
	return idle;
}

/* --- reset --- */

/* Needs fw->lock. */
static void take_modules(struct card_firmware *fw, struct fw_worker *worker)
{
	unsigned int i;

	for (i = 0; i < METIS_FW_MODULES_MAX; i++) {
		struct fw_module *module = fw->modules[i];

		if (!module || module->context != worker->context)
			continue;
		fw->modules[i] = NULL;
		module->next = worker->modules;
		worker->modules = module;
	}
}

/* Needs fw->lock. */
static void retire_workers(struct card_firmware *fw)
{
	unsigned int n;

	for (n = 0; n < METIS_CORES; n++) {
		struct fw_worker *worker = fw->workers[n];

		if (!worker)
			continue;
		if (worker->busy)
			fw_log(fw, "context %u: command cut off by a reset", n);
		worker_cancel(worker);
		take_modules(fw, worker);
		worker->retired = true;
		pthread_cond_signal(&worker->wake);
		worker->next = fw->retired;
		fw->retired = worker;
		fw->workers[n] = NULL;
	}
}

/* Needs fw->lock. */
static void boot(struct card_firmware *fw, bool keep_host_driver, bool cold)
{
	fw->boots = cold ? 1 : fw->boots + 1;
	if (cold) {
		fw->commands_ignored = 0;
		memset(&fw->latched, 0, sizeof(fw->latched));
	}
	fw_boot_areas(fw, keep_host_driver);
	fw_log_reset(fw, cold);
	fw_log(fw, "boot %llu: Tethys firmware %s, engine %s, protocol %u.%u",
	       (unsigned long long)fw->boots, fw->card->personality->name, fw->ops->name,
	       METIS_FW_EXT_MAJOR, METIS_FW_EXT_MINOR);
}

void card_firmware_reset(struct card_firmware *fw, bool keep_host_driver, bool cold)
{
	pthread_mutex_lock(&fw->lock);
	atomic_fetch_add(&fw->resets, 1);
	retire_workers(fw);
	join_left(fw);
	fw_mirror_forget(fw);
	/* Nobody retired writes to card memory any more, though they may still read it. */
	if (cold)
		card_memory_clear(fw->card->memory);
	boot(fw, keep_host_driver, cold);
	pthread_mutex_unlock(&fw->lock);
}

/* --- life --- */

int card_firmware_create(struct card *card, struct card_firmware **ret_firmware, struct reason *why)
{
	const char *name = card->config.engine ? card->config.engine : engine_onnx.name;
	struct card_firmware *fw = calloc(1, sizeof(*fw));
	int fd, err = 0;

	if (!fw)
		return reason_add(why, -ENOMEM, "no memory for the firmware");
	fw->card = card;
	pthread_mutex_init(&fw->lock, NULL);
	pthread_mutex_init(&fw->log_lock, NULL);
	fw->l2 = card_memory_l2(card->memory, &fd);
	fw->ops = engine_find(name);
	if (!fw->ops)
		err = reason_add(why, -EINVAL, "no engine \"%s\"", name);
	else if (fw->ops->create)
		err = fw->ops->create(&fw->engine, why);
	if (err) {
		card_firmware_destroy(fw);
		return err;
	}
	boot(fw, false, true);
	err = fw_mirror_start(fw);
	if (err) {
		card_firmware_destroy(fw);
		return reason_add(why, err, "no thread for the firmware");
	}
	*ret_firmware = fw;
	return 0;
}

static void destroy_workers(struct card_firmware *fw)
{
	struct fw_worker *worker, *next;

	pthread_mutex_lock(&fw->lock);
	retire_workers(fw);
	worker = fw->retired;
	fw->retired = NULL;
	pthread_mutex_unlock(&fw->lock);
	for (; worker; worker = next) {
		next = worker->next;
		worker_join(worker);
	}
}

void card_firmware_destroy(struct card_firmware *fw)
{
	if (!fw)
		return;
	fw_mirror_stop(fw);
	destroy_workers(fw);
	if (fw->engine)
		fw->ops->destroy(fw->engine);
	pthread_mutex_destroy(&fw->log_lock);
	pthread_mutex_destroy(&fw->lock);
	free(fw);
}
