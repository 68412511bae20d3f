/* SPDX-License-Identifier: MIT */
/*
 * A card that a kernel driver shares out: cores, what an earlier program left, losses, registers.
 */
#include <stdlib.h>
#include <string.h>

#include "runtime/tests/fake_fixture.h"

static void shared(uint32_t others)
{
	fake_reset();
	fake.shared = true;
	fake.others = others;
}

static void connect_only(void)
{
	ctx = axr_create_context();
	conn = axr_device_connect(ctx, NULL, 1, NULL);
}

static void test_cores_are_those_the_driver_gives(void)
{
	shared(0x3);
	set_up("", "");
	ASSERT(inst);
	EXPECT_EQ(tethys_connection_core(conn), 2);
	EXPECT_EQ(run(), AXR_SUCCESS);
	EXPECT_EQ(fake.last_context, 2);
	tear_down();
	EXPECT_EQ(fake.given, 1);
}

static void test_no_cores_left_is_in_use(void)
{
	shared(0xf);
	connect_only();
	EXPECT(!conn);
	EXPECT_HAS(error(), "Failed to allocate AI cores: Device or resource busy");
	tear_down();
}

static void test_sequence_goes_on_where_another_program_ended(void)
{
	shared(0);
	fake.left_sts = METIS_FW_STS(41, METIS_FW_STS_DONE);
	set_up("", "");
	ASSERT(inst);
	EXPECT_EQ(run(), AXR_SUCCESS);
	EXPECT_EQ(out[3], 4);
	tear_down();
}

static void test_command_left_running_is_in_use(void)
{
	shared(0);
	fake.left_sts = METIS_FW_STS(41, METIS_FW_STS_BUSY);
	connect_only();
	EXPECT(!conn);
	EXPECT_HAS(error(), "core 0 does not end a command of a program before: reset the card");
	tear_down();
	EXPECT_EQ(fake.given, 1);
}

static unsigned int warnings;

static void count_losses(void *arg, axrLogLevel level, const char *text)
{
	(void)arg;
	if (level != AXR_LOG_WARNING || !strstr(text, "got lost"))
		return;
	warnings++;
	EXPECT_HAS(text, "its driver's parameter healing=0");
}

static void test_losses_of_the_driver_are_told_once(void)
{
	struct tethys_instance_stats stats;

	shared(0);
	set_up("", "");
	ASSERT(inst);
	warnings = 0;
	axr_set_logger(ctx, AXR_LOG_WARNING, count_losses, NULL);
	EXPECT_EQ(run(), AXR_SUCCESS);
	EXPECT_EQ(warnings, 0);
	atomic_store(&fake.driver_losses, 2);
	EXPECT_EQ(run(), AXR_SUCCESS);
	EXPECT_EQ(run(), AXR_SUCCESS);
	EXPECT_EQ(warnings, 1);
	EXPECT_EQ(tethys_instance_stats(inst, &stats, sizeof(stats)), AXR_SUCCESS);
	EXPECT_EQ(stats.lost_irqs, 2);
	tear_down();
}

static void test_lost_context_interrupt_is_healed(void)
{
	shared(0);
	fake.lose_irqs = true;
	set_up("", "");
	ASSERT(inst);
	EXPECT_EQ(run(), AXR_SUCCESS);
	EXPECT_EQ(out[9], 10);
	tear_down();
}

/* All ones in L2 are enough where registers are not shown. */
static void test_dead_card_without_registers_is_gone(void)
{
	uint64_t start;

	shared(0);
	set_up("", "");
	ASSERT(inst);
	atomic_store(&fake.ones, true);
	start = now_ms();
	EXPECT_EQ(run(), AXR_ERROR_CONNECTION_ERROR);
	EXPECT_HAS(error(), "the card is gone");
	EXPECT(now_ms() - start < 1000);
	tear_down();
}

int main(void)
{
	make_models();
	RUN(test_cores_are_those_the_driver_gives);
	RUN(test_no_cores_left_is_in_use);
	RUN(test_sequence_goes_on_where_another_program_ended);
	RUN(test_command_left_running_is_in_use);
	RUN(test_losses_of_the_driver_are_told_once);
	RUN(test_lost_context_interrupt_is_healed);
	RUN(test_dead_card_without_registers_is_gone);
	remove_models();
	return tap_done();
}
