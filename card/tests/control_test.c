/* SPDX-License-Identifier: MIT */
/* Commands one by one, and what they do to a card with a host. */
#include <pthread.h>

#include <tethys/hw/memory.h>

#include "card/control.h"
#include "card/tests/fake_host.h"

#define DDR METIS_DDR_BASE

static struct host host;
static char reply[CARD_CONTROL_REPLY_MAX];

static int control(const char *line)
{
	memset(reply, 'x', sizeof(reply));
	return card_control(host.card, line, reply);
}

/* A single transfer of 4 KiB on channel 0, with interrupt. Return: CS at its end. */
static uint32_t transfer(bool write)
{
	host_start_single(&host, write, 0, METIS_EDMA_LIE | METIS_EDMA_RIE, 4096, HOST_BASE, DDR);
	return host_finish(&host, write, 0);
}

static bool msi_total_is(struct host *h, uint64_t total)
{
	return host_msi_is(h, total);
}

/* --- words --- */

static void test_control_nonsense_is_refused_with_a_reason(void)
{
	static const char *const bad[] = {
		"",
		" ",
		"frob",
		"Stats",
		"stats 1",
		"stats x y z a",
		"dma-read",
		"dma-read 1",
		"dma-read 1 2 3",
		"dma-read x 4",
		"dma-read 0x 4",
		"dma-read 0x1g 4",
		"dma-read -1 4",
		"dma-read +1 4",
		"dma-read 1 0",
		"dma-read 1 16777217",
		"dma-read 0x10000000000000000 4",
		"dma-write 18446744073709551616 4",
		"dma-write 1 4x",
		"dma-write 1 4 ;",
		"imwr 0xfee00001 1",
		"imwr 0xfee00000 0x100000000",
		"imwr 0xfee00000",
		"poke 2 1",
		"poke 0 0x100000000",
		"poke 0xfffffffc 1",
		"poke -4 1",
		"peek 1",
		"peek",
		"peek 0x7fffffffffffffff",
		"lose-interrupts",
		"lose-interrupts many",
		"lose-interrupts -1",
		"stall 4294967296",
		"stall all all",
		"abort 1.5",
		"vanish now",
		"return 1",
		"reset",
		"reset warm",
		"reset flr bus",
		"stats\n",
		"\"stats\"",
		"stats\"}",
	};
	size_t i;

	ASSERT(host_up(&host, NULL));
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		if (control(bad[i]) != -EINVAL)
			TAP_FAIL("'%s' was taken", bad[i]);
		EXPECT(!strncmp(reply, "{\"ok\":false,\"error\":\"", 21));
		EXPECT(strlen(reply) > 24 && !strcmp(reply + strlen(reply) - 2, "\"}"));
		EXPECT(!strchr(reply, '\n'));
	}
	EXPECT_EQ(host.calls, 0);
	EXPECT_EQ(host_stats(&host).resets, 0);
	host_down(&host);
}

static void test_control_line_of_any_length_is_bounded(void)
{
	char line[2 * CARD_CONTROL_LINE_MAX];

	ASSERT(host_up(&host, NULL));
	memset(line, ' ', sizeof(line));
	memcpy(line, "stats", 5);
	line[CARD_CONTROL_LINE_MAX - 1] = '\0';
	EXPECT_EQ(control(line), 0);
	line[CARD_CONTROL_LINE_MAX - 1] = ' ';
	line[CARD_CONTROL_LINE_MAX] = '\0';
	EXPECT_EQ(control(line), -EINVAL);
	EXPECT_HAS(reply, "too long");
	memset(line, '7', sizeof(line) - 1);
	line[sizeof(line) - 1] = '\0';
	EXPECT_EQ(control(line), -EINVAL);
	host_down(&host);
}

/* --- out of nowhere --- */

static void test_control_dma_reaches_the_host_and_reports_its_answer(void)
{
	ASSERT(host_up(&host, NULL));
	host.mem[99] = host.mem[104] = 1;
	EXPECT_EQ(control("dma-write 0x100000064 4"), 0);
	EXPECT_STR(reply, "{\"ok\":true,\"result\":0}");
	EXPECT_EQ(host.mem[99], 1);
	EXPECT_EQ(host.mem[100], 0xa5);
	EXPECT_EQ(host.mem[103], 0xa5);
	EXPECT_EQ(host.mem[104], 1);
	EXPECT_EQ(control("  dma-read\t4294967296  4096 "), 0);
	EXPECT_EQ(host.calls, 2);
	EXPECT_EQ(control("dma-write 0x149800000 4"), -EFAULT);
	EXPECT_STR(reply, "{\"ok\":true,\"result\":14,\"name\":\"EFAULT\"}");
	EXPECT_EQ(control("dma-write 0xfee00000 4"), -EPERM);
	EXPECT_EQ(control("dma-read 0xffffffffffffffff 2"), -EFAULT);
	host_bus_master(&host, false);
	EXPECT_EQ(control("dma-read 0x100000000 4"), -ENODEV);
	EXPECT_EQ(host_stats(&host).dma_write_bytes, 4);
	EXPECT_EQ(host_stats(&host).dma_read_bytes, 4096);
	host_down(&host);
}

static void test_control_imwr_goes_through_the_door_of_imwrs(void)
{
	const struct card_config raw = {
		.personality = "1.6.0", .engine = "null", .keep_imwr = -1, .raw_imwr = true};

	ASSERT(host_up(&host, NULL));
	EXPECT_EQ(control("imwr 0xfee01000 5"), 0); /* its own: vector 5 */
	EXPECT_EQ(host.msi[5], 1);
	EXPECT_EQ(control("imwr 0xfee00418 8"), -EPERM);
	EXPECT_EQ(host_stats(&host).imwr_refused, 1);
	host_down(&host);
	ASSERT(host_up(&host, &raw));
	EXPECT_EQ(control("imwr 0xfee00418 8"), 0);
	EXPECT_EQ(host.raw_addr, 0xfee00418);
	EXPECT_EQ(host.raw_data, 8);
	host_down(&host);
}

static void test_control_poke_is_a_store_as_of_a_host(void)
{
	struct card_stats was;
	char line[64];

	ASSERT(host_up(&host, NULL));
	was = host_stats(&host);
	snprintf(line, sizeof(line), "poke 0x%x 0x12345678", METIS_EDMA_RD_CH01_IMWR_DATA);
	EXPECT_EQ(control(line), 0);
	EXPECT_STR(reply, "{\"ok\":true}");
	EXPECT_EQ(host_reg(&host, METIS_EDMA_RD_CH01_IMWR_DATA), 0x12345678);
	snprintf(line, sizeof(line), "peek %u", METIS_EDMA_RD_CH01_IMWR_DATA);
	EXPECT_EQ(control(line), 0);
	EXPECT_STR(reply, "{\"ok\":true,\"value\":\"0x12345678\"}");
	/* The last register there is; nothing is stored to one that does not exist. */
	snprintf(line, sizeof(line), "poke 0x%x 1", METIS_BAR_EDMA_BYTES - 4);
	EXPECT_EQ(control(line), 0);
	/* But no access that a host has made: one of these was. */
	EXPECT_EQ(host_stats(&host).bar0_writes, was.bar0_writes);
	EXPECT_EQ(host_stats(&host).bar0_reads, was.bar0_reads + 1);
	EXPECT_EQ(control("vanish"), 0);
	EXPECT_EQ(control("peek 8"), 0);
	EXPECT_STR(reply, "{\"ok\":true,\"value\":\"0xffffffff\"}");
	host_down(&host);
}

/* --- seeds --- */

/* A card that is told things before it has a host, then gets one, which resets it as QEMU does. */
static void expect_seeds(const char *personality, bool kept)
{
	const struct card_config config = {
		.personality = personality, .engine = "null", .keep_imwr = -1};
	const uint32_t seeds[] = {METIS_EDMA_WR_DONE_IMWR_LO, METIS_EDMA_WR_CH01_IMWR_DATA,
				  METIS_EDMA_RD_CH(2) + METIS_EDMA_CH_LLP_LO};
	struct card_bus bus = host_bus(&host);
	char line[64];
	size_t i;

	memset(&host, 0, sizeof(host));
	ASSERT_EQ(card_create(&config, &host.card, NULL), 0);
	for (i = 0; i < 3; i++) {
		snprintf(line, sizeof(line), "poke 0x%x 0x%zx", seeds[i], 0xfee00400 + 8 * i);
		EXPECT_EQ(control(line), 0);
	}
	EXPECT_EQ(card_attach(host.card, &bus), 0);
	for (i = 0; i < 3; i++)
		EXPECT_EQ(host_reg(&host, seeds[i]), 0xfee00400 + 8 * i);
	card_reset(host.card, CARD_RESET_BUS);
	for (i = 0; i < 3; i++)
		EXPECT_EQ(host_reg(&host, seeds[i]), kept ? 0xfee00400 + 8 * i : 0);
	/* And the guest's kernel once more, by the function. */
	EXPECT_EQ(control("reset flr"), 0);
	EXPECT_EQ(host_reg(&host, seeds[0]), kept ? 0xfee00400 : 0);
	/* The next owner finds none of it. */
	EXPECT_EQ(card_detach(host.card), 0);
	EXPECT_EQ(host_reg(&host, seeds[0]), 0);
	host_down(&host);
}

static void test_control_seeds_survive_the_first_reset_where_the_firmware_keeps_them(void)
{
	expect_seeds("1.6.0", true);
}

static void test_control_seeds_go_with_the_first_reset_where_it_does_not(void)
{
	expect_seeds("1.8.0", false);
	expect_seeds("1.3.2", false);
}

/* --- lost interrupts --- */

static void test_control_lost_interrupt_is_counted_and_never_arrives(void)
{
	ASSERT(host_up(&host, NULL));
	EXPECT_EQ(control("lose-interrupts 1"), 0);
	EXPECT_EQ(transfer(false), METIS_EDMA_CS_STOPPED);
	EXPECT(host_wait(host_is_idle, &host, 0));
	EXPECT_EQ(host.msi_total, 0);
	EXPECT_EQ(host_stats(&host).interrupts_lost, 1);
	EXPECT_EQ(host_stats(&host).msi_raised, 0);
	/* The transfer itself is done, and the status says so. */
	EXPECT_EQ(host_reg(&host, METIS_EDMA_RD_INT_STATUS), METIS_PREP(METIS_EDMA_INT_DONE, 1));
	EXPECT_EQ(transfer(false), METIS_EDMA_CS_STOPPED);
	EXPECT(host_wait(msi_total_is, &host, 1));
	EXPECT_EQ(host_stats(&host).interrupts_lost, 1);
	host_down(&host);
}

static void test_control_all_ways_of_an_interrupt_can_be_lost(void)
{
	const struct card_config raw = {
		.personality = "1.8.0", .engine = "null", .keep_imwr = -1, .raw_imwr = true};

	ASSERT(host_up(&host, &raw));
	EXPECT_EQ(control("lose-interrupts all"), 0);
	EXPECT_EQ(control("imwr 0xfee01000 5"), 0);
	EXPECT_EQ(control("imwr 0xfee00418 8"), 0);
	/* Held back by its mask, and lost when that is lifted. */
	host_cfg_set(&host, METIS_CAP_MSI + METIS_MSI_MASK, 1u << 7, 4);
	EXPECT_EQ(control("imwr 0xfee01000 7"), 0);
	EXPECT_EQ(host_stats(&host).interrupts_lost, 2);
	host_cfg_set(&host, METIS_CAP_MSI + METIS_MSI_MASK, 0, 4);
	EXPECT_EQ(host_stats(&host).interrupts_lost, 3);
	EXPECT_EQ(transfer(true), METIS_EDMA_CS_STOPPED); /* by the firmware */
	EXPECT(host_wait(host_is_idle, &host, 0));
	EXPECT_EQ(host_stats(&host).interrupts_lost, 4);
	EXPECT_EQ(host.msi_total + host.raw_total, 0);
	EXPECT_EQ(control("lose-interrupts none"), 0);
	EXPECT_EQ(control("imwr 0xfee01000 5"), 0);
	EXPECT_EQ(control("imwr 0xfee00418 8"), 0);
	EXPECT_EQ(host.msi_total, 1);
	EXPECT_EQ(host.raw_total, 1);
	host_down(&host);
}

/* --- stalls --- */

static bool stalled_are(struct host *h, uint64_t count)
{
	return host_stats(h).transfers_stalled == count;
}

static void start_stalled(bool write)
{
	EXPECT_EQ(control("stall 1"), 0);
	host_start_single(&host, write, 0, METIS_EDMA_LIE | METIS_EDMA_RIE, 4096, HOST_BASE, DDR);
	EXPECT(host_wait(stalled_are, &host, 1));
	host_sleep_us(20000);
	EXPECT_EQ(host_cs(&host, write, 0), METIS_EDMA_CS_RUNNING);
	EXPECT(!card_idle(host.card));
	EXPECT_EQ(host_stats(&host).transfers_stalled, 1);
	EXPECT_EQ(host.calls, 0);
}

static void expect_works_again(bool write)
{
	host_setup_edma(&host);
	EXPECT_EQ(transfer(write), METIS_EDMA_CS_STOPPED);
	EXPECT(host_wait(msi_total_is, &host, 1));
	EXPECT_EQ(host.calls, 1);
	EXPECT(host_wait(host_is_idle, &host, 0));
}

static void test_control_stalled_transfer_ends_when_the_host_stops_it(void)
{
	for (int write = 0; write <= 1; write++) {
		uint32_t bell = write ? METIS_EDMA_WR_DOORBELL : METIS_EDMA_RD_DOORBELL;

		ASSERT(host_up(&host, NULL));
		start_stalled(write);
		/* Another doorbell is one too many, and another channel is none of its business. */
		host_ring(&host, write, 0);
		EXPECT_EQ(host_stats(&host).doorbells_ignored, 1);
		host_start_single(&host, write, 1, 0, 64, HOST_BASE, DDR);
		EXPECT_EQ(host_finish(&host, write, 1), METIS_EDMA_CS_STOPPED);
		atomic_store(&host.calls, 0);
		/* What is to come is not what is there. */
		EXPECT_EQ(control("stall none"), 0);
		EXPECT_EQ(host_cs(&host, write, 0), METIS_EDMA_CS_RUNNING);
		host_reg_set(&host, bell, METIS_EDMA_DOORBELL_STOP);
		EXPECT_EQ(host_finish(&host, write, 0), METIS_EDMA_CS_STOPPED);
		EXPECT(host_wait(host_is_idle, &host, 0));
		/* All of it is still to do. */
		EXPECT_EQ(host_reg(&host, host_channel(write, 0) + METIS_EDMA_CH_SIZE), 4096);
		EXPECT_EQ(host.msi_total, 0);
		expect_works_again(write);
		host_down(&host);
	}
}

static void test_control_stalled_transfer_ends_with_its_engine(void)
{
	ASSERT(host_up(&host, NULL));
	start_stalled(false);
	host_reg_set(&host, METIS_EDMA_RD_ENGINE_EN, 0);
	EXPECT_EQ(host_finish(&host, false, 0), METIS_EDMA_CS_STOPPED);
	expect_works_again(false);
	host_down(&host);
}

static void test_control_stalled_transfer_ends_with_every_reset(void)
{
	static const char *const resets[] = {"reset flr", "reset bus", "reset cold"};

	for (size_t i = 0; i < 3; i++) {
		ASSERT(host_up(&host, NULL));
		start_stalled(true);
		EXPECT_EQ(control(resets[i]), 0);
		EXPECT_EQ(host_cs(&host, true, 0), 0);
		EXPECT_EQ(host_stats(&host).resets, 1);
		host_bus_master(&host, true);
		host_enable_msi(&host, 5, 0);
		expect_works_again(true);
		/* And one that is stopped in the bus now ends with its worker, not before. */
		atomic_store(&host.hold, true);
		host_start_single(&host, true, 0, 0, 64, HOST_BASE, DDR);
		EXPECT(host_wait(host_calls_are, &host, 2));
		host_reg_set(&host, METIS_EDMA_WR_DOORBELL, METIS_EDMA_DOORBELL_STOP);
		EXPECT_EQ(host_cs(&host, true, 0), METIS_EDMA_CS_RUNNING);
		atomic_store(&host.hold, false);
		EXPECT_EQ(host_finish(&host, true, 0), METIS_EDMA_CS_STOPPED);
		host_down(&host);
	}
}

static void test_control_stall_in_the_middle_of_a_list(void)
{
	const uint64_t at = host_list(false, 0);

	ASSERT(host_up(&host, NULL));
	host_element(&host, at, METIS_EDMA_CB, 64, HOST_BASE, DDR);
	host_element(&host, at + sizeof(struct metis_edma_element), 0, 0, 0, 0);
	EXPECT_EQ(control("stall 2"), 0);
	host_start_list(&host, false, 0, at);
	EXPECT(host_wait(stalled_are, &host, 1));
	EXPECT_EQ(host_cs(&host, false, 0), METIS_EDMA_CS_RUNNING);
	host_reg_set(&host, METIS_EDMA_RD_DOORBELL, METIS_EDMA_DOORBELL_STOP);
	EXPECT_EQ(host_finish(&host, false, 0), METIS_EDMA_CS_STOPPED);
	/* A doorbell for a list that is empty moves nothing, so there is nothing to stall. */
	host_start_list(&host, false, 0, at + sizeof(struct metis_edma_element));
	EXPECT_EQ(host_finish(&host, false, 0), METIS_EDMA_CS_STOPPED);
	EXPECT_EQ(host_stats(&host).transfers_stalled, 1);
	EXPECT_EQ(control("stats"), 0);
	EXPECT_HAS(reply, "\"stall\":1,");
	host_down(&host);
}

/* --- aborts --- */

static uint32_t aborted_regs[2][METIS_EDMA_END / 4];

static void abort_into(uint32_t *regs, bool write, bool by_host)
{
	uint32_t offset;

	ASSERT(host_up(&host, NULL));
	atomic_store(&host.fail, by_host ? -EFAULT : 0);
	if (!by_host)
		EXPECT_EQ(control("abort 1"), 0);
	EXPECT_EQ(transfer(write), METIS_EDMA_CS_HALTED);
	EXPECT(host_wait(msi_total_is, &host, 1));
	EXPECT(host_wait(host_is_idle, &host, 0));
	for (offset = 0; offset < METIS_EDMA_END; offset += 4)
		regs[offset / 4] = host_reg(&host, offset);
	EXPECT_EQ(host_stats(&host).dma_aborts, 1);
	EXPECT_EQ(host_stats(&host).transfers_aborted, !by_host);
	EXPECT_EQ(host.calls, by_host);
	atomic_store(&host.fail, 0);
	EXPECT_EQ(transfer(write), METIS_EDMA_CS_STOPPED);
	host_down(&host);
}

static void test_control_abort_looks_like_a_refused_access(void)
{
	for (int write = 0; write <= 1; write++) {
		abort_into(aborted_regs[0], write, true);
		abort_into(aborted_regs[1], write, false);
		EXPECT(!memcmp(aborted_regs[0], aborted_regs[1], sizeof(aborted_regs[0])));
	}
}

/* --- vanishing --- */

static void test_control_vanished_card_reads_ones_and_hears_nothing(void)
{
	uint32_t vendor, value = 0;

	ASSERT(host_up(&host, NULL));
	vendor = host_cfg(&host, PCI_VENDOR_ID, 4);
	memcpy(host_l2(&host) + 0x100000, "data", 4);
	EXPECT_EQ(control("vanish"), 0);
	EXPECT_EQ(control("vanish"), 0);
	EXPECT_EQ(host_cfg(&host, PCI_VENDOR_ID, 4), 0xffffffff);
	EXPECT_EQ(host_reg(&host, METIS_EDMA_WR_ENGINE_EN), 0xffffffff);
	EXPECT_EQ(card_region_read(host.card, METIS_BAR_L2, 0x100000, &value, 4), 0);
	EXPECT_EQ(value, 0xffffffff);
	memcpy(&value, host_l2(&host) + 0x200000, 4); /* as a client that has it mapped */
	EXPECT_EQ(value, 0xffffffff);
	EXPECT_EQ(card_region_read(host.card, METIS_BAR_L2, METIS_BAR_L2_BYTES, &value, 4),
		  -EINVAL);
	host_setup_edma(&host);
	host_start_single(&host, true, 0, METIS_EDMA_RIE, 64, HOST_BASE, DDR);
	EXPECT_EQ(control("dma-write 0x100000000 4"), -ENODEV);
	EXPECT_EQ(control("imwr 0xfee01000 5"), -ENODEV);
	EXPECT_EQ(control("reset cold"), 0);
	EXPECT_EQ(host_cfg(&host, PCI_COMMAND, 2), 0xffff);
	host_sleep_us(5000);
	EXPECT_EQ(host.calls + host.msi_total, 0);
	EXPECT_EQ(host_stats(&host).dma_jobs, 0);
	EXPECT_EQ(host_stats(&host).vanished, 1);

	EXPECT_EQ(control("return"), 0);
	EXPECT_EQ(control("return"), 0);
	EXPECT_EQ(host_cfg(&host, PCI_VENDOR_ID, 4), vendor);
	EXPECT_EQ(host_cfg(&host, PCI_COMMAND, 2) & PCI_COMMAND_MASTER, 0);
	EXPECT_EQ(host_reg(&host, METIS_EDMA_WR_DONE_IMWR_LO), 0);
	memcpy(&value, host_l2(&host) + 0x200000, 4);
	EXPECT_EQ(value, 0);
	host_bus_master(&host, true);
	host_enable_msi(&host, 5, 0);
	expect_works_again(true);
	host_down(&host);
}

static void test_control_vanishing_ends_what_runs(void)
{
	ASSERT(host_up(&host, NULL));
	atomic_store(&host.hold, true);
	host_start_single(&host, true, 0, METIS_EDMA_RIE, 8 << 20, HOST_BASE, DDR);
	host_start_single(&host, false, 1, METIS_EDMA_RIE, 8 << 20, HOST_BASE, DDR);
	EXPECT(host_wait(host_calls_are, &host, 2));
	EXPECT_EQ(control("stall all"), 0);
	host_start_single(&host, false, 2, METIS_EDMA_RIE, 64, HOST_BASE, DDR);
	EXPECT_EQ(control("vanish"), 0);
	atomic_store(&host.hold, false);
	EXPECT(host_wait(host_is_idle, &host, 0));
	/* The chunks that were out have landed; nothing after them. */
	EXPECT_EQ(host.calls, 2);
	EXPECT_EQ(host.msi_total, 0);
	host_down(&host);
}

static void test_control_vanished_card_stays_away_from_the_next_owner(void)
{
	struct card_bus bus;
	uint32_t value = 0;

	ASSERT(host_up(&host, NULL));
	bus = host_bus(&host);
	EXPECT_EQ(control("vanish"), 0);
	EXPECT_EQ(card_detach(host.card), 0);
	EXPECT_EQ(card_attach(host.card, &bus), 0);
	EXPECT_EQ(host_cfg(&host, PCI_VENDOR_ID, 4), 0xffffffff);
	memcpy(&value, host_l2(&host), 4);
	EXPECT_EQ(value, 0xffffffff);
	EXPECT_EQ(control("dma-write 0x100000000 4"), -ENODEV);
	EXPECT_EQ(control("return"), 0);
	host_bus_master(&host, true);
	EXPECT_EQ(control("dma-write 0x100000000 4"), 0);
	host_down(&host);
}

/* --- state --- */

static void test_control_faults_outlive_resets_and_owners(void)
{
	struct card_bus bus;

	ASSERT(host_up(&host, NULL));
	bus = host_bus(&host);
	EXPECT_EQ(control("lose-interrupts 3"), 0);
	EXPECT_EQ(control("stall all"), 0);
	EXPECT_EQ(control("abort 0x10"), 0);
	EXPECT_EQ(control("reset cold"), 0);
	EXPECT_EQ(card_detach(host.card), 0);
	EXPECT_EQ(card_attach(host.card, &bus), 0);
	EXPECT_EQ(control("stats"), 0);
	EXPECT_HAS(reply, "\"armed\":{\"lose-interrupts\":3,\"stall\":-1,\"abort\":16}");
	EXPECT_HAS(reply, "\"gone\":false,\"idle\":true}");
	host_down(&host);
}

static void test_control_stats_tell_every_counter(void)
{
	static const char *const names[] = {
		"dma_read_bytes\":4096,", "dma_write_bytes\":4096,", "dma_jobs\":2,",
		"dma_aborts\":0,",	  "msi_raised\":2,",	     "msi_unsent\":0,",
		"imwr_refused\":0,",	  "imwr_raw\":0,",	     "doorbells_ignored\":0,",
		"commands\":0,",	  "commands_failed\":0,",    "resets\":0,",
		"interrupts_lost\":0,",	  "transfers_stalled\":0,",  "transfers_aborted\":0,",
		"vanished\":0,",	  "bar0_reads\":",	     "bar0_writes\":",
		"l2_reads\":0,",	  "l2_writes\":1,",
	};
	const uint32_t zero = 0;
	size_t i;

	ASSERT(host_up(&host, NULL));
	transfer(false);
	transfer(true);
	EXPECT(host_wait(msi_total_is, &host, 2));
	EXPECT(host_wait(host_is_idle, &host, 0));
	EXPECT_EQ(card_region_write(host.card, METIS_BAR_L2, METIS_L2_BYTES - 4, &zero, 4), 0);
	EXPECT_EQ(control("stats"), 0);
	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		EXPECT_HAS(reply, names[i]);
	host_down(&host);
}

/* --- at the same time --- */

static _Atomic bool enough;

static void *toggle(void *arg)
{
	static const char *const lines[] = {
		"vanish",
		"return",
		"stall 1",
		"abort 2",
		"lose-interrupts 1",
		"stats",
		"reset bus",
		"reset flr",
		"dma-write 0x100000000 64",
		"return",
		"stall none",
	};
	char answer[CARD_CONTROL_REPLY_MAX];
	unsigned int i = 0;

	(void)arg;
	while (!atomic_load(&enough))
		card_control(host.card, lines[i++ % (sizeof(lines) / sizeof(lines[0]))], answer);
	return NULL;
}

static void test_control_from_two_threads_under_load(void)
{
	uint64_t until = host_now_ms() + 300;
	pthread_t threads[2];
	int i;

	ASSERT(host_up(&host, NULL));
	for (i = 0; i < 2; i++)
		ASSERT_EQ(pthread_create(&threads[i], NULL, toggle, NULL), 0);
	for (i = 0; host_now_ms() < until; i++) {
		host_bus_master(&host, true);
		host_setup_edma(&host);
		host_start_single(&host, i & 1, i % METIS_EDMA_CHANNELS, METIS_EDMA_RIE, 65536,
				  HOST_BASE, DDR);
	}
	atomic_store(&enough, true);
	for (i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	EXPECT_EQ(control("return"), 0);
	EXPECT_EQ(control("stall none"), 0);
	EXPECT_EQ(control("abort none"), 0);
	EXPECT_EQ(control("lose-interrupts none"), 0);
	EXPECT_EQ(control("reset cold"), 0);
	EXPECT(host_wait(host_is_idle, &host, 0));
	host_bus_master(&host, true);
	host_enable_msi(&host, 5, 0);
	host_setup_edma(&host);
	atomic_store(&host.msi_total, 0);
	EXPECT_EQ(transfer(true), METIS_EDMA_CS_STOPPED);
	EXPECT(host_wait(msi_total_is, &host, 1));
	host_down(&host);
}

int main(void)
{
	RUN(test_control_nonsense_is_refused_with_a_reason);
	RUN(test_control_line_of_any_length_is_bounded);
	RUN(test_control_dma_reaches_the_host_and_reports_its_answer);
	RUN(test_control_imwr_goes_through_the_door_of_imwrs);
	RUN(test_control_poke_is_a_store_as_of_a_host);
	RUN(test_control_seeds_survive_the_first_reset_where_the_firmware_keeps_them);
	RUN(test_control_seeds_go_with_the_first_reset_where_it_does_not);
	RUN(test_control_lost_interrupt_is_counted_and_never_arrives);
	RUN(test_control_all_ways_of_an_interrupt_can_be_lost);
	RUN(test_control_stalled_transfer_ends_when_the_host_stops_it);
	RUN(test_control_stalled_transfer_ends_with_its_engine);
	RUN(test_control_stalled_transfer_ends_with_every_reset);
	RUN(test_control_stall_in_the_middle_of_a_list);
	RUN(test_control_abort_looks_like_a_refused_access);
	RUN(test_control_vanished_card_reads_ones_and_hears_nothing);
	RUN(test_control_vanishing_ends_what_runs);
	RUN(test_control_vanished_card_stays_away_from_the_next_owner);
	RUN(test_control_faults_outlive_resets_and_owners);
	RUN(test_control_stats_tell_every_counter);
	RUN(test_control_from_two_threads_under_load);
	return tap_done();
}
