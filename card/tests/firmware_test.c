/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>

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

static bool up(struct host *host, const char *personality, const char *engine)
{
	return host_up(host, &(struct card_config){.personality = personality,
						   .engine = engine,
						   .keep_imwr = -1});
}

static struct metis_sysctl *sysctl(struct host *host)
{
	return (void *)host_l2(host);
}

static void *area(struct host *host, const struct metis_memref *ref)
{
	return host_l2(host) + ref->offset;
}

static struct metis_context *context(struct host *host, unsigned int n)
{
	return (struct metis_context *)area(host, &sysctl(host)->context) + n;
}

static struct metis_fw_ext *ext(struct host *host)
{
	return area(host, &sysctl(host)->tethys);
}

static void *card_mem(struct host *host, uint64_t addr, uint64_t bytes)
{
	return card_memory_at(host->card, addr, bytes);
}

static struct metis_fw_request *request(struct host *host, unsigned int ctx)
{
	return card_mem(host, REQUEST_ADDR(ctx), sizeof(struct metis_fw_request));
}

static void store(struct host *host, unsigned int ctx, size_t member, uint64_t value, size_t bytes)
{
	uint64_t offset = sysctl(host)->context.offset + ctx * sizeof(struct metis_context) + member;

	EXPECT_EQ(card_region_write(host->card, METIS_BAR_L2, offset, &value, bytes), 0);
}

static void start_at(struct host *host, unsigned int ctx, uint16_t op, uint32_t seq, uint64_t addr)
{
	store(host, ctx, offsetof(struct metis_context, arg), addr, 8);
	store(host, ctx, offsetof(struct metis_context, cmd), METIS_FW_CMD(op, seq), 8);
}

static uint64_t sts_of(struct host *host, unsigned int ctx)
{
	uint64_t offset = sysctl(host)->context.offset + ctx * sizeof(struct metis_context) +
			  offsetof(struct metis_context, sts);
	uint64_t sts = 0;

	EXPECT_EQ(card_region_read(host->card, METIS_BAR_L2, offset, &sts, 8), 0);
	return sts;
}

static int32_t state_of(struct host *host, unsigned int ctx)
{
	return METIS_FW_STS_STATE(sts_of(host, ctx));
}

static bool is_over(struct host *host, uint64_t ctx)
{
	return state_of(host, (unsigned int)ctx) <= 0;
}

static int32_t wait_state(struct host *host, unsigned int ctx)
{
	uint64_t until = host_now_ms() + 20000;

	while (!is_over(host, ctx) && host_now_ms() < until)
		host_sleep_us(100);
	return state_of(host, ctx);
}

static struct metis_fw_request *fresh_request(struct host *host, unsigned int ctx, uint16_t op)
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

static void start(struct host *host, unsigned int ctx)
{
	struct metis_fw_request *r = request(host, ctx);

	start_at(host, ctx, r->op, r->seq, REQUEST_ADDR(ctx));
}

/* Run the request in the mailbox to its end. Return: the reason of the reply. */
static uint32_t finish(struct host *host, unsigned int ctx)
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
static void prepare_load(struct host *host, unsigned int ctx, const void *module, size_t bytes,
			 uint32_t cores)
{
	struct metis_fw_request *r = fresh_request(host, ctx, METIS_FW_OP_LOAD);

	memcpy(card_mem(host, MODULE_ADDR(ctx), bytes), module, bytes);
	r->module_addr = MODULE_ADDR(ctx);
	r->module_bytes = bytes;
	r->cores = cores;
}

static struct metis_module *net_module(const struct tiny_network *net, size_t *ret_bytes)
{
	static struct pb model;

	tiny_onnx(net, &model);
	return tiny_module(net, model.data, model.used, ret_bytes);
}

static uint32_t load(struct host *host, unsigned int ctx, const struct tiny_network *net,
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

static uint64_t product_bytes(const struct tiny_tensor *t)
{
	struct metis_module_tensor spec;

	return tiny_tensor_spec(&spec, t);
}

/* A RUN of @net in the mailbox, tensor n at TENSOR_ADDR(ctx, n). */
static void prepare_run(struct host *host, unsigned int ctx, const struct tiny_network *net,
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
		table[i].bytes = product_bytes(i < r->inputs ? &net->inputs[i] :
							       &net->outputs[i - r->inputs]);
	}
}

static uint32_t unload(struct host *host, unsigned int ctx, uint32_t handle)
{
	fresh_request(host, ctx, METIS_FW_OP_UNLOAD)->module = handle;
	return finish(host, ctx);
}

/* Add and relu on context @ctx: does a whole round give the right numbers? */
static void expect_works(struct host *host, unsigned int ctx)
{
	float *a = card_mem(host, TENSOR_ADDR(ctx, 0), 32), *b = card_mem(host, TENSOR_ADDR(ctx, 1), 32);
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

static void log_text(struct host *host, char *ret_text, size_t bytes)
{
	struct metis_fw_log *log = (void *)(host_l2(host) + METIS_FW_LOG_OFFSET);
	size_t n = log->written < log->bytes ? log->written : log->bytes, i;

	if (n > bytes - 1)
		n = bytes - 1;
	for (i = 0; i < n; i++)
		ret_text[i] = ((char *)(log + 1))[(log->written - n + i) % log->bytes];
	ret_text[n] = '\0';
}

static void expect_log(struct host *host, const char *part)
{
	char text[METIS_FW_LOG_BYTES];

	log_text(host, text, sizeof(text));
	EXPECT_HAS(text, part);
}

/* --- boot --- */

static void test_boot_sysctl_follows_the_personality(void)
{
	static const struct {
		const char *name;
		uint16_t header, host_driver, list, datastream;
		uint32_t dma_vm;
		uint8_t minor;
	} want[] = {
		{"1.3.2", 0, 0, 0, 0, 0, 3},
		{"1.6.0", METIS_MAGIC_HEADER, METIS_MAGIC_HOST_DRIVER, METIS_MAGIC_DMA_LIST,
		 METIS_MAGIC_DATASTREAM, 0, 6},
		{"1.8.0", METIS_MAGIC_HEADER, METIS_MAGIC_HOST_DRIVER, METIS_MAGIC_DMA_LIST,
		 METIS_MAGIC_DATASTREAM, METIS_DMA_VM_MAGIC, 8},
	};
	size_t i;

	for (i = 0; i < 3; i++) {
		struct metis_sysctl *s;
		struct host host;

		ASSERT(up(&host, want[i].name, "null"));
		s = sysctl(&host);
		EXPECT_EQ(s->header.magic, want[i].header);
		EXPECT_EQ(s->header.base, want[i].header ? METIS_L2_BASE : 0);
		EXPECT_EQ(s->host_driver.magic, want[i].host_driver);
		EXPECT_EQ(s->dma_list.magic, want[i].list);
		EXPECT_EQ(s->datastream.magic, want[i].datastream);
		EXPECT_EQ(s->dma_vm, want[i].dma_vm);
		EXPECT_EQ(s->vmsi_config.magic, 0);
		EXPECT_EQ(s->version_major, 1);
		EXPECT_EQ(s->version_minor, want[i].minor);
		EXPECT_EQ(s->memory_map[0], METIS_L2_BASE);
		EXPECT_EQ(s->memory_map[1], METIS_DDR_BASE);
		EXPECT_STR(ext(&host)->personality, want[i].name);
		EXPECT_STR(((struct metis_board *)area(&host, &s->board))->firmware_version,
			   want[i].name);
		host_down(&host);
	}
}

static void test_boot_areas_hold_what_drivers_look_for(void)
{
	struct metis_datastream_area *streams;
	struct metis_dma_list_area *lists;
	struct metis_sysctl *s;
	struct host host;
	int i;

	ASSERT(up(&host, "1.6.0", "null"));
	s = sysctl(&host);
	lists = area(&host, &s->dma_list);
	streams = area(&host, &s->datastream);
	EXPECT_EQ(lists->base, METIS_EDMA_LISTS_BASE);
	EXPECT_EQ(lists->bytes, METIS_EDMA_LISTS_BYTES);
	EXPECT_EQ(s->datastream.size, sizeof(*streams));
	EXPECT_EQ(streams->count, 0);
	for (i = 0; i < 256; i++)
		EXPECT_EQ(streams->index[i], 0xff);
	EXPECT_STR(((struct metis_board *)area(&host, &s->board))->controller_version, "7.4");
	EXPECT_EQ(ext(&host)->magic, METIS_FW_EXT_MAGIC);
	EXPECT_EQ(ext(&host)->mailbox_offset, METIS_FW_MAILBOX_OFFSET(0));
	EXPECT_EQ(ext(&host)->boots, 1);
	EXPECT_STR(ext(&host)->engine, "null");
	expect_log(&host, "boot 1: Tethys firmware 1.6.0, engine null");
	host_down(&host);
}

static void test_boot_contexts_share_the_memory_without_overlap(void)
{
	uint64_t l2_end = METIS_L2_BASE + METIS_FW_L2_FREE_OFFSET, ddr_end = METIS_DDR_BASE;
	struct host host;
	unsigned int n;

	ASSERT(up(&host, "1.8.0", "null"));
	for (n = 0; n < METIS_CORES; n++) {
		const struct metis_context *c = context(&host, n);

		EXPECT_EQ(c->core_mask, 1 << n);
		EXPECT_EQ(c->msi, n);
		EXPECT(c->l2_base >= l2_end && c->ddr_base >= ddr_end);
		EXPECT(c->l2_bytes >= 4 << 20 && c->ddr_bytes == METIS_DDR_BYTES / 4);
		l2_end = c->l2_base + c->l2_bytes;
		ddr_end = c->ddr_base + c->ddr_bytes;
	}
	EXPECT(l2_end <= METIS_EDMA_LISTS_BASE);
	EXPECT_EQ(ddr_end, METIS_DDR_BASE + METIS_DDR_BYTES);
	host_down(&host);
}

static void test_boot_unknown_engine_is_refused(void)
{
	struct reason why = {0};
	struct card *card;

	EXPECT_EQ(card_create(&(struct card_config){.engine = "steam"}, &card, &why), -EINVAL);
	EXPECT_HAS(why.text, "no engine \"steam\"");
}

/* --- commands --- */

static void test_command_null_round_copies_input_and_interrupts(void)
{
	static const struct tiny_network net = {
		.inputs = {TINY_F32("x", 1024)},
		.outputs = {TINY_F32("y", 1024)},
		.nodes = {{"Neg", {"x"}, {"y"}}},
	};
	struct host host;
	uint32_t handle;

	ASSERT(up(&host, "1.6.0", "null"));
	handle = load(&host, 2, &net, 2);
	EXPECT(handle > 0);
	memset(card_mem(&host, TENSOR_ADDR(2, 0), 4096), 0x5a, 4096);
	prepare_run(&host, 2, &net, handle);
	EXPECT_EQ(finish(&host, 2), METIS_FW_OK);
	EXPECT(!memcmp(card_mem(&host, TENSOR_ADDR(2, 0), 4096),
		       card_mem(&host, TENSOR_ADDR(2, 1), 4096), 4096));
	EXPECT_EQ(unload(&host, 2, handle), METIS_FW_OK);
	EXPECT(host_wait(host_msi_is, &host, 3));
	EXPECT_EQ(host.msi[METIS_IRQ_CONTEXT(2)], 3);
	EXPECT_EQ(host.msi_total, 3);
	EXPECT(host_wait(host_is_idle, &host, 0));
	EXPECT_EQ(host_stats(&host).commands, 3);
	EXPECT_EQ(host_stats(&host).commands_failed, 0);
	host_down(&host);
}

static void test_command_onnx_round_computes(void)
{
	struct host host;
	unsigned int ctx;

	ASSERT(up(&host, "1.8.0", "onnx"));
	for (ctx = 0; ctx < METIS_CORES; ctx++)
		expect_works(&host, ctx);
	host_down(&host);
}

static void test_command_two_small_stores_start_it_once(void)
{
	struct metis_fw_request *r;
	struct host host;
	uint64_t cmd;

	ASSERT(up(&host, "1.6.0", "null"));
	r = fresh_request(&host, 0, METIS_FW_OP_UNLOAD);
	cmd = METIS_FW_CMD(r->op, r->seq);
	store(&host, 0, offsetof(struct metis_context, arg), REQUEST_ADDR(0), 4);
	store(&host, 0, offsetof(struct metis_context, arg) + 4, REQUEST_ADDR(0) >> 32, 4);
	store(&host, 0, offsetof(struct metis_context, cmd) + 4, cmd >> 32, 4);
	host_sleep_us(20000);
	EXPECT_EQ(host_stats(&host).commands, 0);
	store(&host, 0, offsetof(struct metis_context, cmd), (uint32_t)cmd, 4);
	EXPECT_EQ(wait_state(&host, 0), -ENOENT);
	EXPECT_EQ(METIS_FW_STS_SEQ(sts_of(&host, 0)), r->seq);
	EXPECT_EQ(r->reply.reason, METIS_FW_NO_MODULE);
	EXPECT_EQ(host_stats(&host).commands, 1);
	store(&host, 0, offsetof(struct metis_context, cmd), 0, 8); /* tidying up is no command */
	host_sleep_us(5000);
	EXPECT_EQ(host_stats(&host).commands, 1);
	host_down(&host);
}

static void test_command_one_store_over_the_whole_context_starts_it(void)
{
	struct metis_context c;
	struct metis_fw_request *r;
	struct host host;

	ASSERT(up(&host, "1.6.0", "null"));
	r = fresh_request(&host, 1, METIS_FW_OP_UNLOAD);
	c = *context(&host, 1);
	c.arg = REQUEST_ADDR(1);
	c.cmd = METIS_FW_CMD(r->op, r->seq);
	EXPECT_EQ(card_region_write(host.card, METIS_BAR_L2,
				    sysctl(&host)->context.offset + sizeof(c), &c, sizeof(c)),
		  0);
	EXPECT_EQ(wait_state(&host, 1), -ENOENT);
	host_down(&host);
}

static void test_command_handles_are_never_reused(void)
{
	uint32_t first, second, third;
	struct host host;

	ASSERT(up(&host, "1.6.0", "null"));
	first = load(&host, 0, &tiny_add_relu, 1);
	EXPECT_EQ(unload(&host, 0, first), METIS_FW_OK);
	second = load(&host, 0, &tiny_add_relu, 1);
	EXPECT(second > first);
	EXPECT_EQ(unload(&host, 0, first), METIS_FW_NO_MODULE);
	EXPECT_EQ(unload(&host, 1, second), METIS_FW_NO_MODULE); /* another context's */
	EXPECT_EQ(unload(&host, 0, 0), METIS_FW_NO_MODULE);
	card_reset(host.card, CARD_RESET_COLD);
	host_bus_master(&host, true);
	third = load(&host, 0, &tiny_add_relu, 1);
	EXPECT(third > second);
	EXPECT_EQ(unload(&host, 0, second), METIS_FW_NO_MODULE);
	host_down(&host);
}

static void test_command_table_of_modules_is_bounded(void)
{
	unsigned int i;
	struct host host;
	size_t bytes;
	struct metis_module *module = net_module(&tiny_add_relu, &bytes);

	ASSERT(up(&host, "1.6.0", "null"));
	for (i = 0; i < METIS_FW_MODULES_MAX; i++)
		load(&host, 0, &tiny_add_relu, 1);
	prepare_load(&host, 0, module, bytes, 1);
	EXPECT_EQ(finish(&host, 0), METIS_FW_NO_MEMORY);
	EXPECT_HAS(request(&host, 0)->reply.text, "64 modules are loaded, at most 64");
	free(module);
	host_down(&host);
}

static void test_command_cores_belong_to_one_context(void)
{
	size_t bytes;
	struct metis_module *module = net_module(&tiny_add_relu, &bytes);
	struct host host;
	uint32_t handle;

	ASSERT(up(&host, "1.6.0", "null"));
	handle = load(&host, 1, &tiny_add_relu, 2); /* cores 1 and 2 */
	load(&host, 1, &tiny_add_relu, 3);	     /* and 3: it's the owner */
	prepare_load(&host, 2, module, bytes, 1);
	EXPECT_EQ(finish(&host, 2), METIS_FW_NO_CORES);
	EXPECT_HAS(request(&host, 2)->reply.text, "another context has modules there");
	prepare_load(&host, 0, module, bytes, 2);
	EXPECT_EQ(finish(&host, 0), METIS_FW_NO_CORES);
	prepare_load(&host, 0, module, bytes, 1);
	EXPECT_EQ(finish(&host, 0), METIS_FW_OK);
	EXPECT_EQ(unload(&host, 1, handle), METIS_FW_OK);
	prepare_load(&host, 2, module, bytes, 1); /* the other module still holds 1 to 3 */
	EXPECT_EQ(finish(&host, 2), METIS_FW_NO_CORES);
	EXPECT_EQ(unload(&host, 1, handle + 1), METIS_FW_OK);
	prepare_load(&host, 2, module, bytes, 2);
	EXPECT_EQ(finish(&host, 2), METIS_FW_OK);
	free(module);
	host_down(&host);
}

/* --- bad requests --- */

struct bad_request {
	const char *what;
	void (*change)(struct metis_fw_request *r);
	uint16_t op;
	uint32_t reason;
	int32_t status;
	const char *says;
};

#define CHANGE(name, statement)                                                                    \
	static void name(struct metis_fw_request *r)                                               \
	{                                                                                          \
		statement;                                                                         \
	}

CHANGE(version, r->version = 2)
CHANGE(other_op, r->op = METIS_FW_OP_UNLOAD)
CHANGE(other_seq, r->seq++)
CHANGE(reserved, r->reserved[43] = 1)
CHANGE(op_99, r->op = 99)
CHANGE(cores_0, r->cores = 0)
CHANGE(cores_5, r->cores = 5)
CHANGE(cores_huge, r->cores = UINT32_MAX)
CHANGE(module_nowhere, r->module_addr = 0)
CHANGE(module_wraps, r->module_addr = UINT64_MAX - 15)
CHANGE(module_past_end, r->module_addr = METIS_DDR_BASE + METIS_DDR_BYTES - 64)
CHANGE(module_in_areas, r->module_addr = METIS_L2_BASE)
CHANGE(module_short, r->module_bytes = 127)
CHANGE(module_huge, r->module_bytes = UINT64_MAX)
CHANGE(module_zero, r->module_bytes = 0)
CHANGE(module_other_size, r->module_bytes += 64)
CHANGE(inputs_1, r->inputs = 1)
CHANGE(inputs_huge, r->inputs = UINT32_MAX)
CHANGE(outputs_2, r->outputs = 2)
CHANGE(table_nowhere, r->tensors_addr = 0x1000)
CHANGE(table_at_end, r->tensors_addr = METIS_L2_BASE + METIS_L2_BYTES - 16)
CHANGE(table_odd, r->tensors_addr += 4)
CHANGE(table_in_areas, r->tensors_addr = METIS_L2_BASE + 0x800)
CHANGE(handle_wrong, r->module = 4711)

static const struct bad_request bad_requests[] = {
	{"version", version, 1, METIS_FW_BAD_REQUEST, -EINVAL, "request version 2"},
	{"op", other_op, 1, METIS_FW_BAD_REQUEST, -EINVAL, "request is for command 3"},
	{"seq", other_seq, 1, METIS_FW_BAD_REQUEST, -EINVAL, "request is for command 1 seq"},
	{"reserved", reserved, 1, METIS_FW_BAD_REQUEST, -EINVAL, "reserved bytes of the request"},
	{"op 99", op_99, 99, METIS_FW_BAD_REQUEST, -EINVAL, "no command 99"},
	{"cores 0", cores_0, 1, METIS_FW_NO_CORES, -EBUSY, "0 cores from core 0 on: 1 to 4"},
	{"cores 5", cores_5, 1, METIS_FW_NO_CORES, -EBUSY, "5 cores from core 0"},
	{"cores huge", cores_huge, 1, METIS_FW_NO_CORES, -EBUSY, "4294967295 cores"},
	{"module at 0", module_nowhere, 1, METIS_FW_BAD_ADDRESS, -EFAULT, "not card memory"},
	{"module wraps", module_wraps, 1, METIS_FW_BAD_ADDRESS, -EFAULT, "not card memory"},
	{"module past", module_past_end, 1, METIS_FW_BAD_ADDRESS, -EFAULT, "not card memory"},
	{"module areas", module_in_areas, 1, METIS_FW_BAD_ADDRESS, -EFAULT, "not card memory"},
	{"module short", module_short, 1, METIS_FW_BAD_MODULE, -ENOEXEC, "module of 127 bytes"},
	{"module huge", module_huge, 1, METIS_FW_BAD_MODULE, -ENOEXEC, "1844674407370955161"},
	{"module empty", module_zero, 1, METIS_FW_BAD_MODULE, -ENOEXEC, "module of 0 bytes"},
	{"module size", module_other_size, 1, METIS_FW_BAD_MODULE, -ENOEXEC, "no module of"},
	{"inputs", inputs_1, 2, METIS_FW_BAD_TENSOR, -EINVAL, "1 inputs and 1 outputs"},
	{"inputs huge", inputs_huge, 2, METIS_FW_BAD_TENSOR, -EINVAL, "4294967295 inputs"},
	{"outputs", outputs_2, 2, METIS_FW_BAD_TENSOR, -EINVAL, "2 inputs and 2 outputs"},
	{"table at", table_nowhere, 2, METIS_FW_BAD_ADDRESS, -EFAULT, "no tensor table at 0x1000"},
	{"table past", table_at_end, 2, METIS_FW_BAD_ADDRESS, -EFAULT, "no tensor table"},
	{"table odd", table_odd, 2, METIS_FW_BAD_ADDRESS, -EFAULT, "no tensor table"},
	{"table areas", table_in_areas, 2, METIS_FW_BAD_ADDRESS, -EFAULT, "no tensor table"},
	{"handle", handle_wrong, 2, METIS_FW_NO_MODULE, -ENOENT, "no module 4711"},
};

/* A request that is right until @change has been at it. */
static void prepare_op(struct host *host, uint16_t op, uint32_t handle)
{
	size_t bytes;
	struct metis_module *module = net_module(&tiny_add_relu, &bytes);

	if (op == METIS_FW_OP_RUN)
		prepare_run(host, 0, &tiny_add_relu, handle);
	else
		prepare_load(host, 0, module, bytes, 1);
	free(module);
}

static void test_request_each_bad_one_is_refused_with_the_reason(void)
{
	struct host host;
	uint32_t handle;
	size_t i;

	ASSERT(up(&host, "1.6.0", "null"));
	handle = load(&host, 0, &tiny_add_relu, 1);
	for (i = 0; i < sizeof(bad_requests) / sizeof(bad_requests[0]); i++) {
		const struct bad_request *bad = &bad_requests[i];
		struct metis_fw_request *r = request(&host, 0);
		uint32_t seq;

		prepare_op(&host, bad->op, handle);
		seq = r->seq;
		bad->change(r);
		start_at(&host, 0, bad->op, seq, REQUEST_ADDR(0));
		EXPECT_EQ(wait_state(&host, 0), bad->status);
		EXPECT_EQ(r->reply.reason, bad->reason);
		EXPECT_HAS(r->reply.text, bad->says);
		if (tap_this_failed)
			TAP_FAIL("request with bad %s", bad->what);
	}
	EXPECT_EQ(host_stats(&host).commands_failed, i);
	prepare_run(&host, 0, &tiny_add_relu, handle);
	EXPECT_EQ(finish(&host, 0), METIS_FW_OK);
	host_down(&host);
}

static void test_request_that_is_none_gets_sts_but_no_reply(void)
{
	static const uint64_t addrs[] = {0, 4096, METIS_L2_BASE - 8, METIS_L2_BASE, METIS_L2_BASE + 0x800,
					 METIS_L2_BASE + METIS_L2_BYTES - 128,
					 METIS_DDR_BASE + METIS_DDR_BYTES - 8,
					 METIS_L2_BASE + METIS_FW_MAILBOX_OFFSET(0) + 4, UINT64_MAX};
	uint8_t before[sizeof(struct metis_fw_request)];
	struct metis_fw_request *r;
	struct host host;
	size_t i;

	ASSERT(up(&host, "1.6.0", "null"));
	for (i = 0; i < sizeof(addrs) / sizeof(addrs[0]); i++) {
		start_at(&host, 3, METIS_FW_OP_LOAD, (uint32_t)i, addrs[i]);
		EXPECT_EQ(wait_state(&host, 3), -EFAULT);
		EXPECT_EQ(METIS_FW_STS_SEQ(sts_of(&host, 3)), i);
	}
	r = request(&host, 3);
	memset(r, 0x11, sizeof(*r));
	memcpy(before, r, sizeof(*r));
	start_at(&host, 3, METIS_FW_OP_LOAD, 99, REQUEST_ADDR(3));
	EXPECT_EQ(wait_state(&host, 3), -EINVAL);
	EXPECT(!memcmp(before, r, sizeof(*r)));
	expect_log(&host, "magic is 0x11111111");
	host_down(&host);
}

static void test_request_bad_tensors_are_refused(void)
{
	static const struct {
		int tensor;
		uint64_t addr, bytes;
		uint32_t reason;
		const char *says;
	} bad[] = {
		{0, TENSOR_ADDR(0, 0), 31, METIS_FW_BAD_TENSOR, "\"a\" has 31 bytes, the network's 32"},
		{1, TENSOR_ADDR(0, 0), UINT64_MAX, METIS_FW_BAD_TENSOR, "tensor \"b\" has 1844"},
		{2, TENSOR_ADDR(0, 0), 0, METIS_FW_BAD_TENSOR, "tensor \"y\" has 0 bytes"},
		{2, TENSOR_ADDR(0, 0) + 32, 32, METIS_FW_BAD_ADDRESS, "is not aligned to 64"},
		{0, 0, 32, METIS_FW_BAD_ADDRESS, "are not card memory"},
		{0, METIS_L2_BASE, 32, METIS_FW_BAD_ADDRESS, "are not card memory"},
		{2, METIS_L2_BASE + METIS_FW_LOG_OFFSET, 32, METIS_FW_BAD_ADDRESS, "are not card"},
		{1, METIS_L2_BASE + METIS_L2_BYTES, 32, METIS_FW_BAD_ADDRESS, "are not card memory"},
		{1, UINT64_MAX - 63, 32, METIS_FW_BAD_ADDRESS, "are not card memory"},
	};
	struct host host;
	uint32_t handle;
	size_t i;

	ASSERT(up(&host, "1.6.0", "null"));
	handle = load(&host, 0, &tiny_add_relu, 1);
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct metis_fw_tensor *table = card_mem(&host, TABLE_ADDR(0), 64);

		prepare_run(&host, 0, &tiny_add_relu, handle);
		table[bad[i].tensor].addr = bad[i].addr;
		table[bad[i].tensor].bytes = bad[i].bytes;
		EXPECT_EQ(finish(&host, 0), bad[i].reason);
		EXPECT_HAS(request(&host, 0)->reply.text, bad[i].says);
	}
	host_down(&host);
}

static void test_load_broken_module_is_refused_and_the_next_works(void)
{
	size_t bytes, i;
	struct metis_module *module = net_module(&tiny_add_relu, &bytes);
	struct tiny_network other = tiny_add_relu;
	struct host host;

	ASSERT(up(&host, "1.8.0", "onnx"));
	for (i = 0; i < bytes; i += 37) {
		((uint8_t *)module)[i] ^= 0x80;
		prepare_load(&host, 0, module, bytes, 1);
		EXPECT_EQ(finish(&host, 0), METIS_FW_BAD_MODULE);
		((uint8_t *)module)[i] ^= 0x80;
	}
	((uint8_t *)module)[bytes - 1] ^= 1;
	prepare_load(&host, 0, module, bytes, 1);
	EXPECT_EQ(finish(&host, 0), METIS_FW_BAD_MODULE);
	EXPECT_HAS(request(&host, 0)->reply.text, "module checksum differs: card memory holds ");
	free(module);

	other.nodes[0].op = "Bogus";
	module = net_module(&other, &bytes);
	prepare_load(&host, 0, module, bytes, 1);
	EXPECT_EQ(finish(&host, 0), METIS_FW_UNSUPPORTED);
	EXPECT_HAS(request(&host, 0)->reply.text, "Bogus");
	free(module);
	expect_works(&host, 0);
	host_down(&host);
}

/* --- busy, cancel, reset --- */

static uint32_t start_slow(struct host *host, unsigned int ctx, const struct tiny_network *net)
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

static void test_cancel_ends_a_run_and_the_context_lives_on(void)
{
	uint64_t begin;
	struct host host;
	uint32_t handle, total;

	ASSERT(up(&host, "1.8.0", "onnx"));
	handle = start_slow(&host, 0, &slow_net);
	total = host.msi_total;
	host_sleep_us(50000);
	begin = host_now_ms();
	start_at(&host, 0, METIS_FW_OP_CANCEL, 0, 0);
	EXPECT_EQ(wait_state(&host, 0), -ECANCELED);
	EXPECT(host_now_ms() - begin < 500);
	EXPECT_EQ(request(&host, 0)->reply.reason, METIS_FW_CANCELED);
	EXPECT(host_wait(host_msi_is, &host, total + 1));
	start_at(&host, 0, METIS_FW_OP_CANCEL, 0, 0); /* nothing runs: nothing happens */
	EXPECT_EQ(unload(&host, 0, handle), METIS_FW_OK);
	expect_works(&host, 0);
	host_down(&host);
}

static void test_cancel_right_after_the_start_is_not_lost(void)
{
	struct host host;
	uint32_t handle;
	int i;

	ASSERT(up(&host, "1.8.0", "onnx"));
	handle = load(&host, 0, &slow_net, 1);
	for (i = 0; i < 10; i++) {
		prepare_run(&host, 0, &slow_net, handle);
		start(&host, 0);
		host_sleep_us((uint32_t)i * 20);
		start_at(&host, 0, METIS_FW_OP_CANCEL, 0, 0);
		EXPECT_EQ(wait_state(&host, 0), -ECANCELED);
	}
	host_down(&host);
}

static void test_command_while_busy_is_ignored_and_counted(void)
{
	struct metis_fw_request first;
	struct host host;

	ASSERT(up(&host, "1.8.0", "onnx"));
	start_slow(&host, 0, &slow_net);
	first = *request(&host, 0);
	start_at(&host, 0, METIS_FW_OP_UNLOAD, 12345, REQUEST_ADDR(0));
	start_at(&host, 0, METIS_FW_OP_UNLOAD, 12346, REQUEST_ADDR(0));
	EXPECT_EQ(ext(&host)->commands_ignored, 2);
	EXPECT_EQ(sts_of(&host, 0), METIS_FW_STS(first.seq, METIS_FW_STS_BUSY));
	start_at(&host, 0, METIS_FW_OP_CANCEL, 0, 0);
	EXPECT_EQ(wait_state(&host, 0), -ECANCELED);
	EXPECT_EQ(METIS_FW_STS_SEQ(sts_of(&host, 0)), first.seq);
	host_down(&host);
}

static void test_contexts_run_side_by_side(void)
{
	struct host host;

	ASSERT(up(&host, "1.8.0", "onnx"));
	start_slow(&host, 0, &slow_net);
	start_slow(&host, 3, &slow_net);
	expect_works(&host, 1); /* a short one is not kept waiting */
	EXPECT_EQ(state_of(&host, 0), METIS_FW_STS_BUSY);
	EXPECT_EQ(state_of(&host, 3), METIS_FW_STS_BUSY);
	start_at(&host, 3, METIS_FW_OP_CANCEL, 0, 0);
	EXPECT_EQ(wait_state(&host, 3), -ECANCELED);
	EXPECT_EQ(state_of(&host, 0), METIS_FW_STS_BUSY); /* only the one it was meant for */
	start_at(&host, 0, METIS_FW_OP_CANCEL, 0, 0);
	EXPECT_EQ(wait_state(&host, 0), -ECANCELED);
	host_down(&host);
}

static void reset_while_running(const struct tiny_network *net, enum card_reset kind, bool deaf)
{
	char text[METIS_FW_LOG_BYTES];
	struct host host;
	uint64_t begin, took;
	uint32_t handle, total;

	ASSERT(up(&host, "1.8.0", "onnx"));
	handle = start_slow(&host, 0, net);
	host_sleep_us(30000);
	total = host.msi_total;
	begin = host_now_ms();
	card_reset(host.card, kind);
	took = host_now_ms() - begin;
	EXPECT(took < 300);
	EXPECT_EQ(sts_of(&host, 0), 0);
	EXPECT(card_idle(host.card));
	log_text(&host, text, sizeof(text));
	if (deaf)
		EXPECT_HAS(text, "context 0: left behind by a reset");
	EXPECT_EQ(ext(&host)->boots, kind == CARD_RESET_COLD ? 1 : 2);
	host_bus_master(&host, true);
	host_enable_msi(&host, 5, 0);
	prepare_run(&host, 0, net, handle);
	EXPECT_EQ(finish(&host, 0), METIS_FW_NO_MODULE);
	expect_works(&host, 0);
	EXPECT(host_wait(host_is_idle, &host, 0));
	host_sleep_us(1000);
	EXPECT_EQ(host.msi_total, total + 4); /* and none of the run that was cut off */
	host_down(&host);
}

static void test_reset_of_a_running_card_leaves_it_clean(void)
{
	reset_while_running(&slow_net, CARD_RESET_FLR, false);
	reset_while_running(&slow_net, CARD_RESET_BUS, false);
	reset_while_running(&slow_net, CARD_RESET_COLD, false);
}

static void test_reset_goes_on_without_a_deaf_engine(void)
{
	reset_while_running(&deaf_net, CARD_RESET_FLR, true);
}

static void test_detach_while_running_and_a_new_owner(void)
{
	struct card_bus bus;
	struct host host;

	ASSERT(up(&host, "1.8.0", "onnx"));
	start_slow(&host, 0, &slow_net);
	start_slow(&host, 1, &slow_net);
	card_detach(host.card);
	EXPECT_EQ(sts_of(&host, 0), 0);
	bus = host_bus(&host);
	EXPECT_EQ(card_attach(host.card, &bus), 0);
	host_bus_master(&host, true);
	host_enable_msi(&host, 5, 0);
	expect_works(&host, 0);
	expect_works(&host, 1);
	host_down(&host);
}

static void test_destroy_while_running_waits_for_the_engine(void)
{
	struct host host;

	ASSERT(up(&host, "1.8.0", "onnx"));
	start_slow(&host, 0, &deaf_net);
	host_down(&host); /* a sanitizer sees what would be left over */
}

static void test_reset_keeps_the_host_driver_where_the_personality_does(void)
{
	static const struct {
		const char *name;
		enum card_reset kind;
		bool keeps;
	} cases[] = {
		{"1.6.0", CARD_RESET_FLR, true},  {"1.6.0", CARD_RESET_BUS, true},
		{"1.6.0", CARD_RESET_COLD, false}, {"1.8.0", CARD_RESET_FLR, false},
		{"1.8.0", CARD_RESET_BUS, false},
	};
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct metis_host_driver *hdrv;
		struct host host;

		ASSERT(up(&host, cases[i].name, "null"));
		hdrv = area(&host, &sysctl(&host)->host_driver);
		hdrv->target = 0x149800000;
		hdrv->ctrl = 1;
		card_reset(host.card, cases[i].kind);
		EXPECT_EQ(hdrv->target, cases[i].keeps ? 0x149800000 : 0);
		EXPECT_EQ(sysctl(&host)->host_driver.magic, METIS_MAGIC_HOST_DRIVER);
		host_down(&host);
	}
}

static void test_reset_repairs_areas_a_host_has_scribbled_on(void)
{
	uint8_t *before = malloc(METIS_FW_EXT_OFFSET);
	struct host host;

	ASSERT(up(&host, "1.8.0", "null"));
	memcpy(before, host_l2(&host), METIS_FW_EXT_OFFSET);
	memset(host_l2(&host), 0xa5, METIS_FW_TRAPPED_BYTES);
	card_reset(host.card, CARD_RESET_FLR);
	EXPECT(!memcmp(before, host_l2(&host), METIS_FW_EXT_OFFSET));
	expect_log(&host, "boot 2: ");
	free(before);
	host_down(&host);
}

/* --- interrupts --- */

static void set_host_driver(struct host *host, uint32_t ctrl, uint64_t target, uint32_t size)
{
	struct metis_host_driver hdrv = {.ctrl = ctrl, .target = target, .size = size};

	EXPECT_EQ(card_region_write(host->card, METIS_BAR_L2, sysctl(host)->host_driver.offset,
				    &hdrv, sizeof(hdrv)),
		  0);
}

static uint32_t vmsi_word(struct host *host, unsigned int number)
{
	uint32_t word;

	memcpy(&word, host->mem + 4 * number, 4);
	return word;
}

static void see_flag(struct host *host, unsigned int vector)
{
	host->seen = vmsi_word(host, vector);
}

static void test_irq_flag_is_set_before_the_message(void)
{
	struct host host;

	ASSERT(up(&host, "1.6.0", "null"));
	memset(host.mem, 0, 4096);
	host.on_msi = see_flag;
	set_host_driver(&host, 1, HOST_BASE, 0x200000);
	EXPECT_EQ(unload(&host, 3, 1), METIS_FW_NO_MODULE);
	EXPECT(host_wait(host_msi_is, &host, 1));
	EXPECT_EQ(host.msi[METIS_IRQ_CONTEXT(3)], 1);
	EXPECT_EQ(host.seen, 1);
	EXPECT_EQ(vmsi_word(&host, 2), 0);
	EXPECT_EQ(vmsi_word(&host, 4), 0);
	host_down(&host);
}

static void test_irq_without_a_sound_host_driver_area_is_only_a_message(void)
{
	static const struct {
		uint32_t ctrl;
		uint64_t target;
		uint32_t size;
	} unsound[] = {
		{0, HOST_BASE, 4096}, {2, HOST_BASE, 4096}, {1, 0, 4096},
		{1, HOST_BASE, 0},    {1, HOST_BASE, 15},   {1, UINT64_MAX - 3, 4096},
		{1, HOST_BASE + 2, 4096},
	};
	struct host host;
	size_t i;

	ASSERT(up(&host, "1.6.0", "null"));
	memset(host.mem, 0, 4096);
	for (i = 0; i < sizeof(unsound) / sizeof(unsound[0]); i++) {
		set_host_driver(&host, unsound[i].ctrl, unsound[i].target, unsound[i].size);
		unload(&host, 3, 1);
		EXPECT(host_wait(host_msi_is, &host, i + 1));
		EXPECT_EQ(host.calls, 0);
	}
	host_down(&host);
	ASSERT(up(&host, "1.3.2", "null"));
	set_host_driver(&host, 1, HOST_BASE, 4096); /* no area, no effect */
	unload(&host, 3, 1);
	EXPECT(host_wait(host_msi_is, &host, 1));
	EXPECT_EQ(host.calls, 0);
	host_down(&host);
}

static void test_irq_refused_flag_is_logged_and_the_message_sent(void)
{
	struct host host;

	ASSERT(up(&host, "1.6.0", "null"));
	set_host_driver(&host, 1, 0x7000, 4096);
	unload(&host, 0, 1);
	EXPECT(host_wait(host_msi_is, &host, 1));
	expect_log(&host, "virtual MSI 0: write to 0x7000 failed: EFAULT");
	host_down(&host);
}

static void test_irq_dma_done_is_the_firmwares_with_dma_vm_only(void)
{
	struct host host;

	ASSERT(up(&host, "1.6.0", "null"));
	EXPECT(!card_firmware_dma_done(host.card, METIS_IRQ_DMA_READ(1)));
	EXPECT_EQ(host.msi_total, 0);
	host_down(&host);
	ASSERT(up(&host, "1.8.0", "null"));
	memset(host.mem, 0, 4096);
	set_host_driver(&host, 1, HOST_BASE, 4096);
	EXPECT(card_firmware_dma_done(host.card, METIS_IRQ_DMA_READ(1)));
	EXPECT_EQ(host.msi[METIS_IRQ_DMA_READ(1)], 1);
	EXPECT_EQ(vmsi_word(&host, METIS_IRQ_DMA_READ(1)), 1);
	host_down(&host);
}

/* --- log --- */

static void test_log_wraps_inside_its_ring(void)
{
	struct metis_fw_log *log;
	struct host host;
	char text[METIS_FW_LOG_BYTES];
	uint8_t *beyond;
	int i;

	ASSERT(up(&host, "1.6.0", "null"));
	log = (void *)(host_l2(&host) + METIS_FW_LOG_OFFSET);
	beyond = host_l2(&host) + METIS_FW_LOG_OFFSET + METIS_FW_LOG_BYTES;
	memset(beyond, 0x77, 64);
	for (i = 0; i < 2000; i++)
		card_firmware_log(host.card, "line %d \033[31m\n%s", i, "\xff");
	EXPECT_EQ(log->magic, METIS_FW_LOG_MAGIC);
	EXPECT_EQ(log->bytes, METIS_FW_LOG_BYTES - sizeof(*log));
	for (i = 0; i < 64; i++)
		EXPECT_EQ(beyond[i], 0x77);
	log_text(&host, text, sizeof(text));
	EXPECT_HAS(text, "line 1998 ?[31m??\nline 1999 ?[31m??\n");
	log->written = UINT64_MAX; /* a host that lies to us */
	log->bytes = UINT32_MAX;
	card_firmware_log(host.card, "%01000d", 5);
	for (i = 0; i < 64; i++)
		EXPECT_EQ(beyond[i], 0x77);
	EXPECT(log->written > 2000 && log->written < 1000000);
	host_down(&host);
}

static void test_log_survives_all_but_power(void)
{
	struct host host;
	char text[METIS_FW_LOG_BYTES];

	ASSERT(up(&host, "1.8.0", "null"));
	card_firmware_log(host.card, "remember me");
	card_reset(host.card, CARD_RESET_FLR);
	expect_log(&host, "remember me\nboot 2: ");
	card_reset(host.card, CARD_RESET_COLD);
	log_text(&host, text, sizeof(text));
	EXPECT(!strstr(text, "remember me"));
	EXPECT_HAS(text, "boot 1: ");
	host_down(&host);
}

int main(void)
{
	RUN(test_boot_sysctl_follows_the_personality);
	RUN(test_boot_areas_hold_what_drivers_look_for);
	RUN(test_boot_contexts_share_the_memory_without_overlap);
	RUN(test_boot_unknown_engine_is_refused);
	RUN(test_command_null_round_copies_input_and_interrupts);
	RUN(test_command_onnx_round_computes);
	RUN(test_command_two_small_stores_start_it_once);
	RUN(test_command_one_store_over_the_whole_context_starts_it);
	RUN(test_command_handles_are_never_reused);
	RUN(test_command_table_of_modules_is_bounded);
	RUN(test_command_cores_belong_to_one_context);
	RUN(test_request_each_bad_one_is_refused_with_the_reason);
	RUN(test_request_that_is_none_gets_sts_but_no_reply);
	RUN(test_request_bad_tensors_are_refused);
	RUN(test_load_broken_module_is_refused_and_the_next_works);
	RUN(test_cancel_ends_a_run_and_the_context_lives_on);
	RUN(test_cancel_right_after_the_start_is_not_lost);
	RUN(test_command_while_busy_is_ignored_and_counted);
	RUN(test_contexts_run_side_by_side);
	RUN(test_reset_of_a_running_card_leaves_it_clean);
	RUN(test_reset_goes_on_without_a_deaf_engine);
	RUN(test_detach_while_running_and_a_new_owner);
	RUN(test_destroy_while_running_waits_for_the_engine);
	RUN(test_reset_keeps_the_host_driver_where_the_personality_does);
	RUN(test_reset_repairs_areas_a_host_has_scribbled_on);
	RUN(test_irq_flag_is_set_before_the_message);
	RUN(test_irq_without_a_sound_host_driver_area_is_only_a_message);
	RUN(test_irq_refused_flag_is_logged_and_the_message_sent);
	RUN(test_irq_dma_done_is_the_firmwares_with_dma_vm_only);
	RUN(test_log_wraps_inside_its_ring);
	RUN(test_log_survives_all_but_power);
	return tap_done();
}
