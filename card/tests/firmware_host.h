/* SPDX-License-Identifier: MIT */
/*
 * The fake host with the firmware protocol on top.
 */
#ifndef TETHYS_CARD_TESTS_FIRMWARE_HOST_H
#define TETHYS_CARD_TESTS_FIRMWARE_HOST_H

#include <tethys/hw/fwproto.h>
#include <tethys/hw/memory.h>

#include "card/internal.h"
#include "card/tests/fake_host.h"
#include "card/tests/tiny_onnx.h"
#include "tests/tap.h"

/* Where the tests put things in DDR, by context. */
#define MODULE_ADDR(ctx) (METIS_DDR_BASE + (uint64_t)(ctx) * 0x40000000)
#define TENSOR_ADDR(ctx, n) (MODULE_ADDR(ctx) + 0x10000000 + (uint64_t)(n) * 0x1000000)
#define REQUEST_ADDR(ctx) (METIS_L2_BASE + METIS_FW_MAILBOX_OFFSET(ctx))
#define TABLE_ADDR(ctx) (REQUEST_ADDR(ctx) + sizeof(struct metis_fw_request))

/* A network slow enough to be caught running: a second and more, in steps of some milliseconds. */
static const struct tiny_network slow_net = {
	.inputs = {TINY_F32("x", 512, 512)},
	.outputs = {TINY_F32("y", 512, 512)},
	.chain = 500,
};

/* One step only, which takes half a second: deaf to cancel. */
static const struct tiny_network deaf_net = {
	.inputs = {TINY_F32("x", 3072, 3072)},
	.outputs = {TINY_F32("y", 3072, 3072)},
	.chain = 1,
};

/* --- a host that speaks the protocol --- */

static inline bool up(struct host *host, const char *personality, const char *engine)
{
	return host_up(host, &(struct card_config){.personality = personality,
						   .engine = engine,
						   .keep_imwr = -1});
}

static inline struct metis_sysctl *sysctl(struct host *host)
{
	return (void *)host_l2(host);
}

static inline void *area(struct host *host, const struct metis_memref *ref)
{
	return host_l2(host) + ref->offset;
}

static inline struct metis_context *context(struct host *host, unsigned int n)
{
	return (struct metis_context *)area(host, &sysctl(host)->context) + n;
}

static inline struct metis_fw_ext *ext(struct host *host)
{
	return area(host, &sysctl(host)->tethys);
}

static inline void *card_mem(struct host *host, uint64_t addr, uint64_t bytes)
{
	return card_memory_at(host->card, addr, bytes);
}

static inline struct metis_fw_request *request(struct host *host, unsigned int ctx)
{
	return card_mem(host, REQUEST_ADDR(ctx), sizeof(struct metis_fw_request));
}

static inline void store(struct host *host, unsigned int ctx, size_t member, uint64_t value,
			 size_t bytes)
{
	uint64_t offset =
		sysctl(host)->context.offset + ctx * sizeof(struct metis_context) + member;

	EXPECT_EQ(card_region_write(host->card, METIS_BAR_L2, offset, &value, bytes), 0);
}

static inline void start_at(struct host *host, unsigned int ctx, uint16_t op, uint32_t seq,
			    uint64_t addr)
{
	store(host, ctx, offsetof(struct metis_context, arg), addr, 8);
	store(host, ctx, offsetof(struct metis_context, cmd), METIS_FW_CMD(op, seq), 8);
}

static inline uint64_t sts_of(struct host *host, unsigned int ctx)
{
	uint64_t offset = sysctl(host)->context.offset + ctx * sizeof(struct metis_context) +
			  offsetof(struct metis_context, sts);
	uint64_t sts = 0;

	EXPECT_EQ(card_region_read(host->card, METIS_BAR_L2, offset, &sts, 8), 0);
	return sts;
}

static inline int32_t state_of(struct host *host, unsigned int ctx)
{
	return METIS_FW_STS_STATE(sts_of(host, ctx));
}

static inline bool is_over(struct host *host, uint64_t ctx)
{
	return state_of(host, (unsigned int)ctx) <= 0;
}

static inline int32_t wait_state(struct host *host, unsigned int ctx)
{
	uint64_t until = host_now_ms() + 20000;

	while (!is_over(host, ctx) && host_now_ms() < until)
		host_sleep_us(100);
	return state_of(host, ctx);
}

static inline struct metis_fw_request *fresh_request(struct host *host, unsigned int ctx,
						     uint16_t op)
{
	static uint32_t seq = 7;
	struct metis_fw_request *r = request(host, ctx);

	memset(r, 0, sizeof(*r));
	r->magic = METIS_FW_REQUEST_MAGIC;
	r->version = METIS_FW_EXT_MAJOR;
	r->op = op;
	r->seq = ++seq;
	return r;
}

static inline void start(struct host *host, unsigned int ctx)
{
	struct metis_fw_request *r = request(host, ctx);

	start_at(host, ctx, r->op, r->seq, REQUEST_ADDR(ctx));
}

/* Run the request in the mailbox to its end. Return: the reason of the reply. */
static inline uint32_t finish(struct host *host, unsigned int ctx)
{
	struct metis_fw_request *r = request(host, ctx);
	int32_t state;

	start(host, ctx);
	state = wait_state(host, ctx);
	EXPECT_EQ(METIS_FW_STS_SEQ(sts_of(host, ctx)), r->seq);
	EXPECT_EQ(r->reply.seq, r->seq);
	EXPECT_EQ((int32_t)r->reply.status, state);
	EXPECT_EQ(!r->reply.reason, !state);
	EXPECT_EQ(!r->reply.reason, !r->reply.text[0]);
	return r->reply.reason;
}

/* Have @module in card memory and a LOAD of it in the mailbox. */
static inline void prepare_load(struct host *host, unsigned int ctx, const void *module,
				size_t bytes, uint32_t cores)
{
	struct metis_fw_request *r = fresh_request(host, ctx, METIS_FW_OP_LOAD);

	memcpy(card_mem(host, MODULE_ADDR(ctx), bytes), module, bytes);
	r->module_addr = MODULE_ADDR(ctx);
	r->module_bytes = bytes;
	r->cores = cores;
}

static inline struct metis_module *net_module(const struct tiny_network *net, size_t *ret_bytes)
{
	static struct pb model;

	tiny_onnx(net, &model);
	return tiny_module(net, model.data, model.used, ret_bytes);
}

static inline uint32_t load(struct host *host, unsigned int ctx, const struct tiny_network *net,
			    uint32_t cores)
{
	size_t bytes;
	struct metis_module *module = net_module(net, &bytes);
	uint32_t handle = 0;

	prepare_load(host, ctx, module, bytes, cores);
	free(module);
	if (finish(host, ctx))
		TAP_FAIL("load: %s", request(host, ctx)->reply.text);
	else
		handle = request(host, ctx)->reply.module;
	return handle;
}

static inline uint64_t product_bytes(const struct tiny_tensor *t)
{
	struct metis_module_tensor spec;

	return tiny_tensor_spec(&spec, t);
}

/* A RUN of @net in the mailbox, tensor n at TENSOR_ADDR(ctx, n). */
static inline void prepare_run(struct host *host, unsigned int ctx, const struct tiny_network *net,
			       uint32_t handle)
{
	struct metis_fw_request *r = fresh_request(host, ctx, METIS_FW_OP_RUN);
	struct metis_fw_tensor *table = card_mem(host, TABLE_ADDR(ctx), sizeof(*table));
	unsigned int i;

	r->module = handle;
	r->inputs = tiny_count(net->inputs, 3);
	r->outputs = tiny_count(net->outputs, 2);
	r->tensors_addr = TABLE_ADDR(ctx);
	for (i = 0; i < r->inputs + r->outputs; i++) {
		table[i].addr = TENSOR_ADDR(ctx, i);
		table[i].bytes = product_bytes(i < r->inputs ? &net->inputs[i]
							     : &net->outputs[i - r->inputs]);
	}
}

static inline uint32_t unload(struct host *host, unsigned int ctx, uint32_t handle)
{
	fresh_request(host, ctx, METIS_FW_OP_UNLOAD)->module = handle;
	return finish(host, ctx);
}

/* Add and relu on context @ctx: does a whole round give the right numbers? */
static inline void expect_works(struct host *host, unsigned int ctx)
{
	float *a = card_mem(host, TENSOR_ADDR(ctx, 0), 32),
	      *b = card_mem(host, TENSOR_ADDR(ctx, 1), 32);
	float *y = card_mem(host, TENSOR_ADDR(ctx, 2), 32);
	uint32_t handle = load(host, ctx, &tiny_add_relu, 1);
	int i;

	for (i = 0; i < 8; i++) {
		a[i] = (float)i - 4;
		b[i] = 0.5f;
	}
	prepare_run(host, ctx, &tiny_add_relu, handle);
	EXPECT_EQ(finish(host, ctx), METIS_FW_OK);
	for (i = 0; i < 8; i++)
		EXPECT(y[i] == (i < 4 ? 0.0f : (float)i - 3.5f));
	EXPECT_EQ(unload(host, ctx, handle), METIS_FW_OK);
}

static inline void log_text(struct host *host, char *ret_text, size_t bytes)
{
	struct metis_fw_log *log = (void *)(host_l2(host) + METIS_FW_LOG_OFFSET);
	size_t n = log->written < log->bytes ? log->written : log->bytes, i;

	if (n > bytes - 1)
		n = bytes - 1;
	for (i = 0; i < n; i++)
		ret_text[i] = ((char *)(log + 1))[(log->written - n + i) % log->bytes];
	ret_text[n] = '\0';
}

static inline void expect_log(struct host *host, const char *part)
{
	char text[METIS_FW_LOG_BYTES];

	log_text(host, text, sizeof(text));
	EXPECT_HAS(text, part);
}

static inline uint32_t start_slow(struct host *host, unsigned int ctx,
				  const struct tiny_network *net)
{
	uint32_t handle = load(host, ctx, net, 1);

	memset(card_mem(host, TENSOR_ADDR(ctx, 0), product_bytes(&net->inputs[0])), 0,
	       product_bytes(&net->inputs[0]));
	prepare_run(host, ctx, net, handle);
	start(host, ctx);
	EXPECT_EQ(state_of(host, ctx), METIS_FW_STS_BUSY);
	EXPECT(!card_idle(host->card));
	return handle;
}

#endif
