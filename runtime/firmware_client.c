/* SPDX-License-Identifier: MIT */
#include <endian.h>
#include <errno.h>
#include <string.h>
#include <time.h>

#include <tethys/hw/edma.h>
#include <tethys/hw/irq.h>
#include <tethys/hw/pci.h>

#include "runtime/firmware_client.h"
#include "runtime/internal.h"

#define SLICE_MS 100u	    /* how soon a lost interrupt, a cancel or a dead card is noticed */
#define POLL_SLICE_MS 1u    /* while interrupts are known to get lost */
#define IRQ_GRACE_MS 20u    /* the interrupt may be a moment behind the word in memory */
#define CANCEL_WAIT_MS 500u /* for a cancelled command to end */

/* What is written to the mailbox in one go. */
struct fw_message {
	struct metis_fw_request request;
	struct metis_fw_tensor tensors[METIS_FW_TENSORS_MAX];
};

struct fw_call {
	enum metis_fw_op op;
	uint32_t module;
	uint64_t addr;
	uint64_t bytes;
	uint32_t cores;
	const struct metis_fw_tensor *tensors;
	uint32_t inputs;
	uint32_t outputs;
	unsigned int timeout_ms;
	const atomic_bool *cancel;
	struct metis_fw_reply reply; /* out */
};

/* --- finding the firmware --- */

static int l2_read(struct fw_client *client, uint64_t offset, void *buf, size_t len,
		   struct reason *why)
{
	int r = client->dev->ops->bar_read(client->dev, METIS_BAR_L2, offset, buf, len, why);

	if (r == -ENODEV)
		atomic_store(&client->gone, true);
	return r;
}

static int l2_write(struct fw_client *client, uint64_t offset, const void *buf, size_t len,
		    struct reason *why)
{
	int r = client->dev->ops->bar_write(client->dev, METIS_BAR_L2, offset, buf, len, why);

	if (r == -ENODEV)
		atomic_store(&client->gone, true);
	return r;
}

static bool inside_l2(uint64_t offset, uint64_t bytes)
{
	return offset % 8 == 0 && offset <= METIS_BAR_L2_BYTES &&
	       bytes <= METIS_BAR_L2_BYTES - offset;
}

/* Where @ref leads, if it refers to at least @bytes bytes of BAR2. */
static bool follow(const struct metis_memref *ref, uint64_t bytes, uint64_t *ret_offset)
{
	if (le32toh(ref->size) < bytes || !inside_l2(le64toh(ref->offset), bytes))
		return false;
	*ret_offset = le64toh(ref->offset);
	return true;
}

static int find_ext(struct fw_client *client, const struct metis_sysctl *sysctl,
		    struct metis_fw_ext *ret_ext, struct reason *why)
{
	uint64_t offset;
	int r;

	if (le16toh(sysctl->tethys.magic) != METIS_MAGIC_TETHYS ||
	    !follow(&sysctl->tethys, sizeof(*ret_ext), &offset))
		return reason_add(why, -EPROTO,
				  "the card's firmware does not speak the open command protocol");
	r = l2_read(client, offset, ret_ext, sizeof(*ret_ext), why);
	if (r)
		return r;
	if (le32toh(ret_ext->magic) != METIS_FW_EXT_MAGIC)
		return reason_add(why, -EPROTO, "the card's firmware is not ready");
	if (le16toh(ret_ext->major) != METIS_FW_EXT_MAJOR)
		return reason_add(why, -EPROTO, "the card's firmware speaks protocol %u, not %u",
				  le16toh(ret_ext->major), METIS_FW_EXT_MAJOR);
	return 0;
}

static int read_ext(struct fw_client *client, const struct metis_sysctl *sysctl, struct reason *why)
{
	struct metis_fw_ext ext;
	int r = find_ext(client, sysctl, &ext, why);

	if (r)
		return r;
	client->mailbox_offset = le32toh(ext.mailbox_offset);
	client->mailbox_stride = le32toh(ext.mailbox_stride);
	client->ddr_bytes = le64toh(ext.ddr_bytes);
	memcpy(client->engine, ext.engine, sizeof(ext.engine));
	memcpy(client->personality, ext.personality, sizeof(ext.personality));
	if (client->mailbox_stride < sizeof(struct fw_message) || client->mailbox_stride % 8 ||
	    !inside_l2(client->mailbox_offset, (uint64_t)client->mailbox_stride * METIS_CORES))
		return reason_add(why, -EPROTO, "the card's firmware has its mailboxes nowhere");
	return 0;
}

static int read_contexts(struct fw_client *client, const struct metis_sysctl *sysctl,
			 struct reason *why)
{
	struct metis_context table[METIS_CORES];
	uint64_t offset, end;
	unsigned int n;
	int r;

	if (!follow(&sysctl->context, sizeof(table), &offset))
		return reason_add(why, -EPROTO, "the card's firmware has no contexts");
	client->contexts_offset = (uint32_t)offset;
	r = l2_read(client, offset, table, sizeof(table), why);
	for (n = 0; n < METIS_CORES && !r; n++) {
		client->contexts[n].ddr_base = le64toh(table[n].ddr_base);
		client->contexts[n].ddr_bytes = le64toh(table[n].ddr_bytes);
		client->contexts[n].seq = METIS_FW_STS_SEQ(le64toh(table[n].sts));
		if (__builtin_add_overflow(client->contexts[n].ddr_base,
					   client->contexts[n].ddr_bytes, &end))
			r = reason_add(why, -EPROTO, "context %u has memory nowhere", n);
	}
	return r;
}

static void end_texts(struct metis_board *board)
{
	board->firmware_version[sizeof(board->firmware_version) - 1] = 0;
	board->flashed_firmware_version[sizeof(board->flashed_firmware_version) - 1] = 0;
	board->controller_version[sizeof(board->controller_version) - 1] = 0;
	board->controller_board_type[sizeof(board->controller_board_type) - 1] = 0;
	board->serial[sizeof(board->serial) - 1] = 0;
}

/* Nice to have: a card without one works. */
static int read_board(struct fw_client *client, const struct metis_sysctl *sysctl,
		      struct reason *why)
{
	uint64_t offset;
	int r;

	if (le16toh(sysctl->board.magic) != METIS_MAGIC_BOARD ||
	    !follow(&sysctl->board, sizeof(client->board), &offset))
		return 0;
	r = l2_read(client, offset, &client->board, sizeof(client->board), why);
	if (r)
		return r;
	end_texts(&client->board);
	client->has_board = true;
	return 0;
}

int fw_client_init(struct fw_client *client, struct axdev *dev, struct reason *why)
{
	struct metis_sysctl sysctl;
	unsigned int n;
	int r;

	memset(client, 0, sizeof(*client));
	client->dev = dev;
	r = l2_read(client, METIS_SYSCTL_OFFSET, &sysctl, sizeof(sysctl), why);
	if (!r)
		r = read_ext(client, &sysctl, why);
	if (!r)
		r = read_contexts(client, &sysctl, why);
	if (!r)
		r = read_board(client, &sysctl, why);
	if (r)
		return r;
	for (n = 0; n < METIS_CORES; n++)
		pthread_mutex_init(&client->contexts[n].lock, NULL);
	return 0;
}

void fw_client_deinit(struct fw_client *client)
{
	unsigned int n;

	for (n = 0; n < METIS_CORES; n++)
		pthread_mutex_destroy(&client->contexts[n].lock);
}

/* --- one command --- */

static uint64_t context_at(const struct fw_client *client, unsigned int n, size_t member)
{
	return client->contexts_offset + n * sizeof(struct metis_context) + member;
}

/*
 * A status of all ones is what a card gives that has lost power or link. No register of the eDMA
 * reads so on one that is there; nor, where a driver keeps the registers, the begin of its areas.
 */
static int check_ones(struct fw_client *client, struct reason *why)
{
	uint32_t value;
	int r = client->dev->ops->bar_read(client->dev, METIS_BAR_EDMA, METIS_EDMA_WR_ENGINE_EN,
					   &value, sizeof(value), NULL);

	if (r == -EPERM)
		r = l2_read(client, METIS_SYSCTL_OFFSET, &value, sizeof(value), why);
	else if (r)
		reason_add(why, r, "the card's registers can't be read: %s", strerror(-r));
	if (r || value != UINT32_MAX)
		return r;
	atomic_store(&client->gone, true);
	return reason_add(why, -ENODEV, "the card is gone: its registers read as all ones");
}

static int read_sts(struct fw_client *client, unsigned int n, uint64_t *ret_sts, struct reason *why)
{
	__le64 sts;
	int r = l2_read(client, context_at(client, n, offsetof(struct metis_context, sts)), &sts,
			sizeof(sts), why);

	if (!r && sts == UINT64_MAX)
		r = check_ones(client, why);
	if (!r)
		*ret_sts = le64toh(sts);
	return r;
}

static int write_word(struct fw_client *client, unsigned int n, size_t member, uint64_t value,
		      struct reason *why)
{
	__le64 word = htole64(value);

	return l2_write(client, context_at(client, n, member), &word, sizeof(word), why);
}

static uint64_t mailbox_of(const struct fw_client *client, unsigned int n)
{
	return client->mailbox_offset + (uint64_t)client->mailbox_stride * n;
}

/* Request and tensors into the mailbox; context.arg, which nobody else writes, only once. */
static int post(struct fw_client *client, unsigned int n, const struct fw_call *call,
		struct reason *why)
{
	struct fw_context *context = &client->contexts[n];
	const uint32_t count = call->inputs + call->outputs;
	const uint64_t mailbox = METIS_L2_BASE + mailbox_of(client, n);
	struct fw_message message = {
		.request =
			{
				.magic = htole32(METIS_FW_REQUEST_MAGIC),
				.version = htole16(METIS_FW_EXT_MAJOR),
				.op = htole16(call->op),
				.seq = htole32(context->seq),
				.module = htole32(call->module),
				.module_addr = htole64(call->addr),
				.module_bytes = htole64(call->bytes),
				.tensors_addr =
					htole64(mailbox + offsetof(struct fw_message, tensors)),
				.inputs = htole32(call->inputs),
				.outputs = htole32(call->outputs),
				.cores = htole32(call->cores),
			},
	};
	int r;

	if (count)
		memcpy(message.tensors, call->tensors, count * sizeof(*call->tensors));
	r = l2_write(client, mailbox_of(client, n), &message,
		     sizeof(message.request) + count * sizeof(*call->tensors), why);
	if (!r && !context->arg_written) {
		r = write_word(client, n, offsetof(struct metis_context, arg), mailbox, why);
		context->arg_written = !r;
	}
	if (r)
		return r;
	client->dev->ops->irq_clear(client->dev, METIS_IRQ_CONTEXT(n));
	return write_word(client, n, offsetof(struct metis_context, cmd),
			  METIS_FW_CMD(call->op, context->seq), why);
}

/* Return: 1 the command is done; 0 not yet; negative errno. */
static int is_done(struct fw_client *client, unsigned int n, struct reason *why)
{
	uint64_t sts;
	int r = read_sts(client, n, &sts, why);

	if (r)
		return r;
	return METIS_FW_STS_SEQ(sts) == client->contexts[n].seq &&
	       METIS_FW_STS_STATE(sts) <= METIS_FW_STS_DONE;
}

/* Return: 0 it came; -ETIMEDOUT; -ENODEV, in words. */
static int wait_irq(struct fw_client *client, unsigned int n, unsigned int timeout_ms,
		    struct reason *why)
{
	struct reason inner = {0};
	int r = client->dev->ops->irq_wait(client->dev, METIS_IRQ_CONTEXT(n), timeout_ms, &inner);

	if (!r || r == -ETIMEDOUT)
		return r;
	if (r == -ENODEV)
		atomic_store(&client->gone, true);
	return reason_add(why, r, "%s", inner.text[0] ? inner.text : strerror(-r));
}

/*
 * The word in memory says done and no interrupt came: give it a moment, then count it as lost.
 * Return: 0; -ETIMEDOUT when a lost interrupt is to be an error; -ENODEV.
 */
static int heal(struct fw_client *client, unsigned int n, struct reason *why)
{
	int r = atomic_load(&client->polling) ? -ETIMEDOUT : wait_irq(client, n, IRQ_GRACE_MS, why);

	if (r != -ETIMEDOUT)
		return r;
	__atomic_fetch_add(&client->dev->lost_irqs, 1, __ATOMIC_RELAXED);
	if (client->dev->options.no_healing)
		return reason_add(why, r,
				  "Failed to wait for MSI %u: Connection timed out (the command "
				  "is done, its interrupt was lost)",
				  METIS_IRQ_CONTEXT(n));
	atomic_store(&client->polling, true);
	return 0;
}

/*
 * Tell the firmware to end the command. Return: @err, with the context marked as stuck when the
 * firmware did not listen.
 */
static int cancel(struct fw_client *client, unsigned int n, int err, struct reason *why)
{
	struct fw_context *context = &client->contexts[n];
	uint64_t deadline = axr_now_ns() + CANCEL_WAIT_MS * 1000000ull;
	int done, r;

	r = write_word(client, n, offsetof(struct metis_context, cmd),
		       METIS_FW_CMD(METIS_FW_OP_CANCEL, context->seq), why);
	context->stuck = true;
	while (!r && axr_now_ns() < deadline) {
		r = wait_irq(client, n, POLL_SLICE_MS, why);
		if (r && r != -ETIMEDOUT)
			break;
		done = is_done(client, n, why);
		r = done < 0 ? done : 0;
		if (done > 0) {
			context->stuck = false;
			return err;
		}
	}
	return r ? r : reason_add(why, err, "the firmware does not end the command either");
}

static unsigned int slice_ms(const struct fw_client *client, uint64_t deadline)
{
	uint64_t now = axr_now_ns(), left = deadline > now ? (deadline - now) / 1000000 + 1 : 1;
	unsigned int slice = atomic_load(&client->polling) ? POLL_SLICE_MS : SLICE_MS;

	return left < slice ? (unsigned int)left : slice;
}

/* Return: 0 done; -ETIMEDOUT, -ECANCELED; -ENODEV. */
static int wait_done(struct fw_client *client, unsigned int n, const struct fw_call *call,
		     struct reason *why)
{
	uint64_t deadline = axr_now_ns() + call->timeout_ms * 1000000ull;
	int irq, done;

	for (;;) {
		irq = wait_irq(client, n, slice_ms(client, deadline), why);
		if (irq && irq != -ETIMEDOUT)
			return irq;
		done = is_done(client, n, why);
		if (done < 0)
			return done;
		if (done && irq)
			return heal(client, n, why);
		if (done) {
			atomic_store(&client->polling, false);
			return 0;
		}
		if (call->cancel && atomic_load(call->cancel))
			return cancel(client, n, reason_add(why, -ECANCELED, "cancelled"), why);
		if (axr_now_ns() >= deadline)
			return cancel(client, n,
				      reason_add(why, -ETIMEDOUT,
						 "Failed to wait for MSI %u: Connection timed out "
						 "(after %u ms)",
						 METIS_IRQ_CONTEXT(n), call->timeout_ms),
				      why);
	}
}

static const char *reason_name(uint32_t reason)
{
	static const char *const names[] = {
		[METIS_FW_OK] = "no reason given",
		[METIS_FW_BAD_REQUEST] = "bad request",
		[METIS_FW_BAD_ADDRESS] = "bad address",
		[METIS_FW_BAD_MODULE] = "bad module",
		[METIS_FW_UNSUPPORTED] = "network not supported",
		[METIS_FW_NO_MODULE] = "no such module",
		[METIS_FW_BAD_TENSOR] = "bad tensor",
		[METIS_FW_NO_MEMORY] = "out of memory",
		[METIS_FW_ENGINE_FAILED] = "execution failed",
		[METIS_FW_CANCELED] = "cancelled",
		[METIS_FW_NO_CORES] = "cores not available",
	};

	return reason < sizeof(names) / sizeof(names[0]) ? names[reason] : "unknown reason";
}

/* The firmware's text, unless it is empty; whatever a terminal would act on is made harmless. */
static void add_reply_text(const struct metis_fw_reply *reply, struct reason *why)
{
	char text[sizeof(reply->text) + 1] = {0};
	char *at;

	memcpy(text, reply->text, sizeof(reply->text));
	for (at = text; *at; at++)
		if ((unsigned char)*at < 0x20 || *at == 0x7f)
			*at = ' ';
	if (text[0])
		reason_add(why, 0, "firmware: %s", text);
}

static int read_reply(struct fw_client *client, unsigned int n, struct fw_call *call,
		      struct reason *why)
{
	static const char *const ops[] = {"", "load", "run", "unload"};
	int32_t status;
	int r;

	r = l2_read(client, mailbox_of(client, n) + offsetof(struct metis_fw_request, reply),
		    &call->reply, sizeof(call->reply), why);
	if (r)
		return r;
	if (le32toh(call->reply.seq) != client->contexts[n].seq)
		return reason_add(why, -EIO, "the firmware replied to another command");
	status = (int32_t)le32toh(call->reply.status);
	if (!status)
		return 0;
	add_reply_text(&call->reply, why);
	if (status > 0 || status < -4095)
		status = -EIO;
	return reason_add(why, status, "the firmware refused to %s: %s", ops[call->op],
			  reason_name(le32toh(call->reply.reason)));
}

/* A command that would not end may have ended since. */
static int check_stuck(struct fw_client *client, unsigned int n, struct reason *why)
{
	int done;

	if (!client->contexts[n].stuck)
		return 0;
	done = is_done(client, n, why);
	if (done > 0)
		client->contexts[n].stuck = false;
	else if (!done)
		done = reason_add(why, -EBUSY, "core %u is busy with a command that timed out", n);
	return done < 0 ? done : 0;
}

static int lock_context(struct fw_client *client, unsigned int n, unsigned int timeout_ms,
			struct reason *why)
{
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += timeout_ms / 1000;
	until.tv_nsec += (timeout_ms % 1000) * 1000000l;
	if (until.tv_nsec >= 1000000000l) {
		until.tv_nsec -= 1000000000l;
		until.tv_sec++;
	}
	if (!pthread_mutex_clocklock(&client->contexts[n].lock, CLOCK_MONOTONIC, &until))
		return 0;
	return reason_add(why, -ETIMEDOUT, "core %u was busy with other instances for %u ms", n,
			  timeout_ms);
}

static int do_call(struct fw_client *client, unsigned int n, struct fw_call *call,
		   struct reason *why)
{
	int r = atomic_load(&client->gone) ? reason_add(why, -ENODEV, "the card is gone") : 0;

	if (!r)
		r = check_stuck(client, n, why);
	if (r)
		return r;
	client->contexts[n].seq++;
	r = post(client, n, call, why);
	if (!r)
		r = wait_done(client, n, call, why);
	return r ? r : read_reply(client, n, call, why);
}

static int call_firmware(struct fw_client *client, unsigned int n, struct fw_call *call,
			 struct reason *why)
{
	int r = lock_context(client, n, call->timeout_ms, why);

	if (r)
		return r;
	r = do_call(client, n, call, why);
	pthread_mutex_unlock(&client->contexts[n].lock);
	return r;
}

int fw_client_adopt(struct fw_client *client, unsigned int n, struct reason *why)
{
	struct fw_context *context = &client->contexts[n];
	struct reason inner = {0};
	uint64_t sts;
	int r;

	pthread_mutex_lock(&context->lock);
	r = read_sts(client, n, &sts, why);
	if (!r) {
		context->seq = METIS_FW_STS_SEQ(sts);
		context->arg_written = false;
		context->stuck = METIS_FW_STS_STATE(sts) > METIS_FW_STS_DONE;
		if (context->stuck)
			cancel(client, n, -EBUSY, &inner);
		if (context->stuck)
			r = reason_add(why, -EBUSY,
				       "core %u does not end a command of a program before: reset "
				       "the card",
				       n);
	}
	pthread_mutex_unlock(&context->lock);
	return r;
}

int fw_client_load(struct fw_client *client, unsigned int context, uint64_t addr, uint64_t bytes,
		   unsigned int cores, unsigned int timeout_ms, uint32_t *ret_module,
		   uint64_t *ret_engine_ns, struct reason *why)
{
	struct fw_call call = {
		.op = METIS_FW_OP_LOAD,
		.addr = addr,
		.bytes = bytes,
		.cores = cores,
		.timeout_ms = timeout_ms,
	};
	int r = call_firmware(client, context, &call, why);

	if (r)
		return r;
	*ret_module = le32toh(call.reply.module);
	*ret_engine_ns = le64toh(call.reply.device_ns);
	return 0;
}

int fw_client_unload(struct fw_client *client, unsigned int context, uint32_t module,
		     unsigned int timeout_ms, struct reason *why)
{
	struct fw_call call = {
		.op = METIS_FW_OP_UNLOAD,
		.module = module,
		.timeout_ms = timeout_ms,
	};

	return call_firmware(client, context, &call, why);
}

int fw_client_run(struct fw_client *client, unsigned int context, uint32_t module,
		  const struct metis_fw_tensor *tensors, unsigned int inputs, unsigned int outputs,
		  unsigned int timeout_ms, const atomic_bool *cancel, uint64_t *ret_engine_ns,
		  struct reason *why)
{
	struct fw_call call = {
		.op = METIS_FW_OP_RUN,
		.module = module,
		.tensors = tensors,
		.inputs = inputs,
		.outputs = outputs,
		.timeout_ms = timeout_ms,
		.cancel = cancel,
	};
	int r = call_firmware(client, context, &call, why);

	if (!r)
		*ret_engine_ns = le64toh(call.reply.device_ns);
	return r;
}

bool fw_client_stuck(struct fw_client *client, unsigned int context)
{
	bool stuck;

	pthread_mutex_lock(&client->contexts[context].lock);
	stuck = client->contexts[context].stuck && is_done(client, context, NULL) != 1;
	pthread_mutex_unlock(&client->contexts[context].lock);
	return stuck;
}
