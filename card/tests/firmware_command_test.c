/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdio.h>

#include "card/tests/firmware_host.h"

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
	load(&host, 1, &tiny_add_relu, 3);	    /* and 3: it's the owner */
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

#define CHANGE(name, statement)                      \
	static void name(struct metis_fw_request *r) \
	{                                            \
		statement;                           \
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
	static const uint64_t addrs[] = {0,
					 4096,
					 METIS_L2_BASE - 8,
					 METIS_L2_BASE,
					 METIS_L2_BASE + 0x800,
					 METIS_L2_BASE + METIS_L2_BYTES - 128,
					 METIS_DDR_BASE + METIS_DDR_BYTES - 8,
					 METIS_L2_BASE + METIS_FW_MAILBOX_OFFSET(0) + 4,
					 UINT64_MAX};
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
		{0, TENSOR_ADDR(0, 0), 31, METIS_FW_BAD_TENSOR,
		 "\"a\" has 31 bytes, the network's 32"},
		{1, TENSOR_ADDR(0, 0), UINT64_MAX, METIS_FW_BAD_TENSOR, "tensor \"b\" has 1844"},
		{2, TENSOR_ADDR(0, 0), 0, METIS_FW_BAD_TENSOR, "tensor \"y\" has 0 bytes"},
		{2, TENSOR_ADDR(0, 0) + 32, 32, METIS_FW_BAD_ADDRESS, "is not aligned to 64"},
		{0, 0, 32, METIS_FW_BAD_ADDRESS, "are not card memory"},
		{0, METIS_L2_BASE, 32, METIS_FW_BAD_ADDRESS, "are not card memory"},
		{2, METIS_L2_BASE + METIS_FW_LOG_OFFSET, 32, METIS_FW_BAD_ADDRESS, "are not card"},
		{1, METIS_L2_BASE + METIS_L2_BYTES, 32, METIS_FW_BAD_ADDRESS,
		 "are not card memory"},
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

/* --- busy and cancel --- */

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

int main(void)
{
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
	return tap_done();
}
