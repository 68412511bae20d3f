/* SPDX-License-Identifier: MIT */
/*
 * What an application sees when the card misbehaves, and how runs travel.
 */
#include <errno.h>
#include <pthread.h>

#include <tethys/hw/fwproto.h>

#include "runtime/tests/fake_fixture.h"

static void test_faults_none_runs(void)
{
	fake_reset();
	set_up(NULL, NULL);
	ASSERT(inst);
	EXPECT_EQ(run(), AXR_SUCCESS);
	EXPECT(!memcmp(in, out, sizeof(in)));
	EXPECT_STR(error(), "");
	EXPECT_EQ(fake.modules, 1);
	tear_down();
	EXPECT_EQ(fake.modules, 0);
}

static void test_faults_upload_error_names_every_layer(void)
{
	fake_reset();
	fake.xfer_err = -ETIMEDOUT;
	set_up(NULL, NULL);
	EXPECT(!inst);
	EXPECT_EQ(axr_last_error(AXR_OBJECT(conn)), AXR_ERROR_RUNTIME_ERROR);
	EXPECT(error() == strstr(error(), "fake: DMA RD CH0 status -110"));
	EXPECT_STR(outermost(), "[ERROR][load]: Failed to write module binary to device memory.");
	EXPECT_EQ(fake.loads, 0);
	fake.xfer_err = 0; /* the next user is unaffected */
	inst = axr_load_model_instance(conn, model, NULL);
	ASSERT(inst);
	EXPECT_EQ(run(), AXR_SUCCESS);
	tear_down();
}

static void test_faults_refused_module_says_why(void)
{
	fake_reset();
	fake.refuse_status = -ENOEXEC;
	fake.refuse_reason = METIS_FW_BAD_MODULE;
	fake.refuse_text = "checksum\x1b[31m differs";
	set_up(NULL, NULL);
	EXPECT(!inst);
	EXPECT_EQ(axr_last_error(NULL), AXR_ERROR_RUNTIME_ERROR);
	EXPECT_HAS(error(), "firmware: checksum [31m differs\n");
	EXPECT_HAS(error(), "the firmware refused to load: bad module\n");
	EXPECT_STR(outermost(), "[ERROR][load]: Failed to load module.");
	tear_down();
}

static void test_faults_refused_run_leaves_instance_usable(void)
{
	fake_reset();
	set_up(NULL, NULL);
	ASSERT(inst);
	fake.refuse_status = -EIO;
	fake.refuse_reason = METIS_FW_ENGINE_FAILED;
	EXPECT_EQ(run(), AXR_ERROR_RUNTIME_ERROR);
	EXPECT_HAS(error(), "execution failed");
	EXPECT_HAS(error(), "Wait kernel failed with return code -5");
	EXPECT_STR(outermost(), "[ERROR][run]: Failed to execute the model.");
	fake.refuse_status = 0;
	EXPECT_EQ(run(), AXR_SUCCESS);
	EXPECT_STR(error(), "");
	tear_down();
}

static void test_faults_hanging_run_times_out_and_is_cancelled(void)
{
	uint64_t start;

	fake_reset();
	set_up("tethys.timeout_ms=150", NULL);
	ASSERT(inst);
	fake.hang = true;
	start = now_ms();
	EXPECT_EQ(run(), AXR_ERROR_RUNTIME_ERROR);
	EXPECT(now_ms() - start >= 140 && now_ms() - start < 800);
	EXPECT_HAS(error(), "Failed to wait for MSI 0: Connection timed out");
	EXPECT_HAS(error(), "Wait kernel failed with return code -110");
	EXPECT_EQ(fake.cancels, 1);
	fake.hang = false;
	EXPECT_EQ(run(), AXR_SUCCESS);
	tear_down();
	EXPECT_EQ(fake.modules, 0);
}

static void test_faults_deaf_firmware_keeps_its_cores(void)
{
	axrConnection *second;
	uint64_t start;

	fake_reset();
	set_up("tethys.timeout_ms=50", NULL);
	ASSERT(inst);
	second = axr_device_connect(ctx, NULL, 1, NULL); /* keeps the card open */
	ASSERT(second);
	EXPECT_EQ(tethys_connection_core(second), 1);
	fake.hang = fake.deaf = true;
	EXPECT_EQ(run(), AXR_ERROR_RUNTIME_ERROR);
	EXPECT_HAS(error(), "does not end the command");
	start = now_ms();
	EXPECT_EQ(run(), AXR_ERROR_RUNTIME_ERROR);
	EXPECT_HAS(error(), "core 0 is busy with a command that timed out");
	EXPECT(now_ms() - start < 100);
	axr_destroy(AXR_OBJECT(conn));
	EXPECT(!axr_device_connect(ctx, NULL, 3, NULL)); /* core 0 is not handed out again */
	EXPECT_EQ(axr_last_error(NULL), AXR_ERROR_DEVICE_IN_USE);
	EXPECT(axr_device_connect(ctx, NULL, 2, NULL) != NULL);
	tear_down();
}

static void count_losses(void *arg, axrLogLevel level, const char *text)
{
	if (level == AXR_LOG_WARNING && strstr(text, "got lost"))
		++*(int *)arg;
}

static void test_faults_lost_interrupt_is_healed_and_counted(void)
{
	struct tethys_instance_stats stats;
	uint64_t start;
	int i, told = 0;

	fake_reset();
	set_up(NULL, NULL);
	ASSERT(inst);
	axr_set_logger(ctx, AXR_LOG_WARNING, count_losses, &told);
	EXPECT_EQ(run(), AXR_SUCCESS);
	EXPECT_EQ(told, 0);
	fake.lose_irqs = true;
	for (i = 0; i < 3; i++)
		EXPECT_EQ(run(), AXR_SUCCESS);
	EXPECT(!memcmp(in, out, sizeof(in)));
	EXPECT_EQ(tethys_instance_stats(inst, &stats, sizeof(stats)), AXR_SUCCESS);
	EXPECT_EQ(stats.lost_irqs, 3);
	EXPECT_EQ(told, 1);
	start = now_ms(); /* polled from the first loss on */
	EXPECT_EQ(run(), AXR_SUCCESS);
	EXPECT(now_ms() - start < 50);
	fake.lose_irqs = false;
	EXPECT_EQ(run(), AXR_SUCCESS);
	EXPECT_EQ(run(), AXR_SUCCESS);
	EXPECT_EQ(tethys_instance_stats(inst, &stats, sizeof(stats)), AXR_SUCCESS);
	EXPECT(stats.lost_irqs <= 5);
	EXPECT_EQ(told, 1);
	tear_down();
}

static void test_faults_lost_interrupt_without_healing_is_an_error(void)
{
	fake_reset();
	set_up("tethys.healing=0", NULL);
	ASSERT(inst);
	fake.lose_irqs = true;
	EXPECT_EQ(run(), AXR_ERROR_RUNTIME_ERROR);
	EXPECT_HAS(error(), "its interrupt was lost");
	fake.lose_irqs = false;
	EXPECT_EQ(run(), AXR_SUCCESS);
	tear_down();
}

static void *lose_card(void *how)
{
	usleep(100000);
	atomic_store((atomic_bool *)how, true);
	return NULL;
}

/* @how it goes: a switch of the fake; @words: of the error, "" any. */
static void lose_in_run(atomic_bool *how, const char *words)
{
	pthread_t thread;
	uint64_t start;

	fake_reset();
	set_up(NULL, NULL);
	ASSERT(inst);
	fake.hang = true;
	start = now_ms();
	pthread_create(&thread, NULL, lose_card, how);
	EXPECT_EQ(run(), AXR_ERROR_CONNECTION_ERROR);
	EXPECT(now_ms() - start < 1000);
	EXPECT_HAS(error(), words);
	pthread_join(thread, NULL);
	start = now_ms();
	EXPECT_EQ(run(), AXR_ERROR_CONNECTION_ERROR);
	EXPECT(!axr_load_model_instance(conn, model, NULL));
	EXPECT_EQ(axr_last_error(NULL), AXR_ERROR_CONNECTION_ERROR);
	EXPECT(now_ms() - start < 100);
	fake.hang = false;
	atomic_store(how, false); /* plugged in again: a new connection finds it */
	EXPECT(axr_device_connect(ctx, NULL, 4, NULL) != NULL);
	tear_down();
}

static void test_faults_card_gone_in_run_ends_within_a_second(void)
{
	lose_in_run(&fake.gone, "");
	lose_in_run(&fake.ones, "the card is gone: its registers read as all ones");
}

static void test_faults_io_errors_say_which_way(void)
{
	fake_reset();
	set_up(NULL, NULL);
	ASSERT(inst);
	fake.xfer_err = -EIO;
	EXPECT_EQ(run(), AXR_ERROR_RUNTIME_ERROR);
	EXPECT_HAS(error(), "Failed to write inputs to device memory.");
	fake.xfer_good = 1;
	EXPECT_EQ(run(), AXR_ERROR_RUNTIME_ERROR);
	EXPECT_HAS(error(), "Failed to read outputs from device memory.");
	fake.xfer_err = 0;
	EXPECT_EQ(run(), AXR_SUCCESS);
	tear_down();
}

static void test_faults_small_tensors_share_a_transfer(void)
{
	struct tethys_instance_stats stats;

	fake_reset();
	set_up(NULL, NULL);
	ASSERT(inst);
	EXPECT_EQ(run(), AXR_SUCCESS);
	EXPECT_EQ(tethys_instance_stats(inst, &stats, sizeof(stats)), AXR_SUCCESS);
	EXPECT_EQ(stats.transfers, 2);
	EXPECT_EQ(stats.runs, 1);
	EXPECT_EQ(stats.device_ns, 1234);
	EXPECT_EQ(stats.bytes_to_card, 448); /* 400, in units of 64 */
	EXPECT_EQ(fake.user_transfers, 0);
	tear_down();
}

static void check_big(bool no_user_memory, unsigned int transfers, unsigned int user)
{
	static float a[200000], b[200000];
	axrArgument from = {a, -1, 0, 0}, to = {b, -1, 0, 0};
	unsigned int before, i;

	fake_reset();
	fake.no_user_memory = no_user_memory;
	ctx = axr_create_context();
	conn = axr_device_connect(ctx, NULL, 1, NULL);
	model = axr_load_model(ctx, big_path);
	inst = axr_load_model_instance(conn, model, NULL);
	ASSERT(inst);
	for (i = 0; i < 200000; i++)
		a[i] = (float)i;
	memset(b, 0, sizeof(b));
	before = fake.transfers;
	EXPECT_EQ(axr_run_model_instance(inst, &from, 1, &to, 1), AXR_SUCCESS);
	EXPECT(!memcmp(a, b, sizeof(a)));
	EXPECT_EQ(fake.transfers - before, transfers);
	EXPECT_EQ(fake.user_transfers, user);
	tear_down();
}

static void test_faults_large_tensors_go_without_copy(void)
{
	check_big(false, 0, 2);
}

static void test_faults_large_tensors_are_staged_where_need_be(void)
{
	check_big(true, 2, 0);
}

static void test_faults_double_buffer_delays_by_two(void)
{
	int n, i;

	fake_reset();
	fake.run_ms = 5;
	set_up(NULL, "double_buffer=1");
	ASSERT(inst);
	for (n = 0; n < 10; n++) {
		for (i = 0; i < ELEMENTS; i++) {
			in[i] = (float)(1000 * n + i);
			out[i] = -1;
		}
		ASSERT_EQ(axr_run_model_instance(inst, &in_arg, 1, &out_arg, 1), AXR_SUCCESS);
		for (i = 0; i < ELEMENTS; i++)
			ASSERT_EQ(out[i], n < 2 ? 0 : 1000 * (n - 2) + i);
	}
	tear_down(); /* two runs are still queued */
	EXPECT_EQ(fake.modules, 0);
}

static void test_faults_double_buffer_error_comes_two_later(void)
{
	fake_reset();
	set_up(NULL, "double_buffer=1");
	ASSERT(inst);
	EXPECT_EQ(run(), AXR_SUCCESS);
	EXPECT_EQ(run(), AXR_SUCCESS);
	EXPECT_EQ(run(), AXR_SUCCESS);
	usleep(50000); /* all three have run */
	fake.refuse_status = -EIO;
	EXPECT_EQ(run(), AXR_SUCCESS);
	usleep(50000);
	fake.refuse_status = 0;
	EXPECT_EQ(run(), AXR_SUCCESS);
	EXPECT_EQ(run(), AXR_ERROR_RUNTIME_ERROR);
	EXPECT_EQ(run(), AXR_SUCCESS);
	tear_down();
}

struct asyncs {
	atomic_uint done, failed;
	float out[8][ELEMENTS];
};

static void async_done(void *arg, axrResult result)
{
	struct asyncs *asyncs = arg;

	if (result) {
		EXPECT(axr_last_error_string(NULL)[0]);
		atomic_fetch_add(&asyncs->failed, 1);
	}
	atomic_fetch_add(&asyncs->done, 1);
}

static void test_faults_async_queue_fills_and_empties(void)
{
	static struct asyncs asyncs;
	axrArgument to;
	unsigned int queued = 0, i;
	axrResult result = AXR_SUCCESS;

	fake_reset();
	fake.run_ms = 30;
	set_up(NULL, "async_mode=1;max_inflight=1;max_pending=2");
	ASSERT(inst);
	for (i = 0; i < 8 && !result; i++) {
		to = (axrArgument){asyncs.out[i], 0, 0, 0};
		result =
			axr_run_async_model_instance(inst, &in_arg, 1, &to, 1, async_done, &asyncs);
		queued += !result;
	}
	EXPECT_EQ(queued, 3);
	EXPECT_EQ(result, AXR_ERROR_PENDING_ERROR);
	EXPECT_HAS(error(), "queue full");
	for (i = 0; i < 200 && atomic_load(&asyncs.done) < 3; i++)
		usleep(10000);
	EXPECT_EQ(asyncs.done, 3);
	EXPECT_EQ(asyncs.failed, 0);
	EXPECT(!memcmp(asyncs.out[2], in, sizeof(in)));
	tear_down();
}

struct chain {
	axrArgument to;
	atomic_uint runs;
	atomic_uint failed;
};

static void chain_done(void *arg, axrResult result)
{
	struct chain *chain = arg;

	if (result)
		atomic_fetch_add(&chain->failed, 1);
	else if (atomic_fetch_add(&chain->runs, 1) < 9 &&
		 axr_run_async_model_instance(inst, &in_arg, 1, &chain->to, 1, chain_done, chain))
		atomic_fetch_add(&chain->failed, 1);
}

/* The place in the queue is free again when the callback comes. */
static void test_faults_async_callback_may_queue_the_next(void)
{
	static struct chain chain;
	int i;

	chain.to = out_arg;
	fake_reset();
	set_up(NULL, "async_mode=1;max_inflight=1;max_pending=0");
	ASSERT(inst);
	EXPECT_EQ(axr_run_async_model_instance(inst, &in_arg, 1, &chain.to, 1, chain_done, &chain),
		  AXR_SUCCESS);
	for (i = 0; i < 200 && atomic_load(&chain.runs) < 10; i++)
		usleep(10000);
	EXPECT_EQ(chain.runs, 10);
	EXPECT_EQ(chain.failed, 0);
	tear_down();
}

static void test_faults_async_destroy_ends_what_is_queued(void)
{
	static struct asyncs asyncs;
	axrArgument to = {asyncs.out[0], 0, 0, 0};
	uint64_t start;
	int i;

	fake_reset();
	set_up(NULL, "async_mode=1;max_pending=4");
	ASSERT(inst);
	fake.hang = true;
	for (i = 0; i < 4; i++)
		EXPECT_EQ(
			axr_run_async_model_instance(inst, &in_arg, 1, &to, 1, async_done, &asyncs),
			AXR_SUCCESS);
	usleep(20000);
	start = now_ms();
	tear_down();
	EXPECT(now_ms() - start < 1000);
	EXPECT_EQ(asyncs.done, 4);
	EXPECT_EQ(asyncs.failed, 4);
	EXPECT_EQ(fake.modules, 0);
}

static void test_faults_async_needs_its_mode(void)
{
	fake_reset();
	set_up(NULL, NULL);
	ASSERT(inst);
	EXPECT_EQ(axr_run_async_model_instance(inst, &in_arg, 1, &out_arg, 1, async_done, NULL),
		  AXR_ERROR_INVALID_CONFIGURATION);
	tear_down();
}

static void *destroy_soon(void *arg)
{
	usleep(50000);
	axr_destroy(arg);
	return NULL;
}

static void test_faults_destroy_cancels_a_run(void)
{
	pthread_t thread;
	uint64_t start;

	fake_reset();
	set_up(NULL, NULL);
	ASSERT(inst);
	fake.hang = true;
	start = now_ms();
	pthread_create(&thread, NULL, destroy_soon, AXR_OBJECT(conn));
	EXPECT_EQ(run(), AXR_ERROR_RUNTIME_ERROR);
	EXPECT_HAS(error(), "cancelled");
	pthread_join(thread, NULL);
	EXPECT(now_ms() - start < 1000);
	tear_down();
}

struct many {
	axrModelInstance *inst;
	unsigned int failed;
	float tag;
};

static void *many_main(void *arg)
{
	struct many *many = arg;
	float a[ELEMENTS], b[ELEMENTS];
	axrArgument from = {a, 0, 0, 0}, to = {b, 0, 0, 0};
	int n, i;

	for (n = 0; n < 50; n++) {
		for (i = 0; i < ELEMENTS; i++)
			a[i] = many->tag + (float)(n * i);
		if (axr_run_model_instance(many->inst, &from, 1, &to, 1) || memcmp(a, b, sizeof(a)))
			many->failed++;
	}
	return NULL;
}

/* More instances than cores on one connection, each with its own thread. */
static void test_faults_instances_run_side_by_side(void)
{
	struct many many[6];
	pthread_t threads[6];
	unsigned int i;

	fake_reset();
	fake.run_ms = 1;
	ctx = axr_create_context();
	conn = axr_device_connect(ctx, NULL, 4, NULL);
	model = axr_load_model(ctx, model_path);
	for (i = 0; i < 6; i++) {
		axrProperties *p = axr_create_properties(ctx, "num_sub_devices=1");

		many[i] = (struct many){axr_load_model_instance(conn, model, p), 0,
					1000.f * (float)i};
		axr_destroy(AXR_OBJECT(p));
		ASSERT(many[i].inst);
	}
	for (i = 0; i < 6; i++)
		pthread_create(&threads[i], NULL, many_main, &many[i]);
	for (i = 0; i < 6; i++) {
		pthread_join(threads[i], NULL);
		EXPECT_EQ(many[i].failed, 0);
	}
	EXPECT(fake.most_running > 1);
	EXPECT_EQ(fake.runs, 300);
	tear_down();
	EXPECT_EQ(fake.modules, 0);
}

int main(void)
{
	make_models();
	RUN(test_faults_none_runs);
	RUN(test_faults_upload_error_names_every_layer);
	RUN(test_faults_refused_module_says_why);
	RUN(test_faults_refused_run_leaves_instance_usable);
	RUN(test_faults_hanging_run_times_out_and_is_cancelled);
	RUN(test_faults_deaf_firmware_keeps_its_cores);
	RUN(test_faults_lost_interrupt_is_healed_and_counted);
	RUN(test_faults_lost_interrupt_without_healing_is_an_error);
	RUN(test_faults_card_gone_in_run_ends_within_a_second);
	RUN(test_faults_io_errors_say_which_way);
	RUN(test_faults_small_tensors_share_a_transfer);
	RUN(test_faults_large_tensors_go_without_copy);
	RUN(test_faults_large_tensors_are_staged_where_need_be);
	RUN(test_faults_double_buffer_delays_by_two);
	RUN(test_faults_double_buffer_error_comes_two_later);
	RUN(test_faults_async_queue_fills_and_empties);
	RUN(test_faults_async_callback_may_queue_the_next);
	RUN(test_faults_async_destroy_ends_what_is_queued);
	RUN(test_faults_async_needs_its_mode);
	RUN(test_faults_destroy_cancels_a_run);
	RUN(test_faults_instances_run_side_by_side);
	remove_models();
	return tap_done();
}
