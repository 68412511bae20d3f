// SPDX-License-Identifier: MIT
#include <pthread.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include <tethys/hw/fwproto.h>

#include "card/internal.h"
#include "card/tests/fake_host.h"

#define DDR METIS_DDR_BASE
#define L2_REGION METIS_BAR_L2

static struct host host;

/* --- regions --- */

static void test_card_regions_have_their_sizes(void)
{
	unsigned int region;

	for (region = 0; region < 20; region++) {
		uint64_t want = region == 0   ? 4096
				: region == 2 ? 32 << 20
				: region == 7 ? 4096
					      : 0;

		EXPECT_EQ(card_region_size(region), want);
	}
}

static void test_card_access_outside_a_region_is_refused(void)
{
	static const struct {
		unsigned int region;
		uint64_t offset;
		size_t len;
	} bad[] = {
		{0, 4096, 4},
		{0, 4093, 4},
		{0, 0, 4097},
		{0, UINT64_MAX, 4},
		{0, 0, 0},
		{1, 0, 4},
		{2, 32 << 20, 1},
		{2, (32 << 20) - 4, 8},
		{2, UINT64_MAX - 3, 4},
		{2, 8, SIZE_MAX},
		{2, 8, SIZE_MAX - 7},
		{3, 0, 1},
		{6, 0, 4},
		{7, 4095, 2},
		{7, 4096, 1},
		{8, 0, 1},
		{UINT32_MAX, 0, 1},
	};
	uint8_t buf[8] = {0};
	size_t i;

	ASSERT(host_up(&host, NULL));
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		EXPECT_EQ(
			card_region_read(host.card, bad[i].region, bad[i].offset, buf, bad[i].len),
			-EINVAL);
		EXPECT_EQ(
			card_region_write(host.card, bad[i].region, bad[i].offset, buf, bad[i].len),
			-EINVAL);
	}
	host_down(&host);
}

static void test_card_bar0_takes_aligned_words_only(void)
{
	const uint32_t at = METIS_EDMA_WR_DONE_IMWR_LO;
	uint8_t ones[8], buf[8];
	size_t len, shift;

	ASSERT(host_up(&host, NULL));
	memset(ones, 0xff, sizeof(ones));
	host_reg_set(&host, at, 0x11111111);
	for (len = 1; len <= 8; len++) {
		for (shift = 0; shift < 4; shift++) {
			if (len == 4 && !shift)
				continue;
			EXPECT_EQ(card_region_write(host.card, 0, at + shift, ones, len), 0);
			memset(buf, 0xcc, sizeof(buf));
			EXPECT_EQ(card_region_read(host.card, 0, at + shift, buf, len), 0);
			EXPECT_EQ(buf[0], 0);
			EXPECT_EQ(buf[len - 1], 0);
		}
	}
	EXPECT_EQ(host_reg(&host, at), 0x11111111);
	host_down(&host);
}

static void test_card_l2_takes_every_width(void)
{
	const uint64_t at = METIS_FW_L2_FREE_OFFSET;
	uint8_t pattern[64], buf[64];
	size_t len, shift, i;

	ASSERT(host_up(&host, NULL));
	for (len = 1; len <= 24; len++) {
		for (shift = 0; shift < 9; shift++) {
			memset(host_l2(&host) + at, 0, 64);
			for (i = 0; i < len; i++)
				pattern[i] = 1 + len * 16 + shift + i;
			EXPECT_EQ(card_region_write(host.card, L2_REGION, at + shift, pattern, len),
				  0);
			EXPECT(!memcmp(host_l2(&host) + at + shift, pattern, len));
			EXPECT_EQ(host_l2(&host)[at + shift + len], 0);
			EXPECT_EQ(card_region_read(host.card, L2_REGION, at + shift, buf, len), 0);
			EXPECT(!memcmp(buf, pattern, len));
		}
	}
	host_down(&host);
}

static void test_card_l2_store_reaches_the_firmware(void)
{
	struct metis_sysctl sysctl;
	uint64_t context, value = METIS_FW_CMD(METIS_FW_OP_RUN, 1);

	ASSERT(host_up(&host, NULL));
	memcpy(&sysctl, host_l2(&host), sizeof(sysctl));
	context = sysctl.context.offset;
	EXPECT_EQ(card_region_write(host.card, L2_REGION,
				    context + offsetof(struct metis_context, cmd), &value, 8),
		  0);
	EXPECT_EQ(host_stats(&host).commands, 1);
	/* The same bytes where nothing traps them. */
	EXPECT_EQ(card_region_write(host.card, L2_REGION, METIS_FW_TRAPPED_BYTES, &value, 8), 0);
	EXPECT_EQ(host_stats(&host).commands, 1);
	EXPECT(host_wait(host_is_idle, &host, 0));
	host_down(&host);
}

static void test_card_counts_each_access_of_the_host_once(void)
{
	struct card_stats was, is;
	uint8_t buf[4096] = {0};

	ASSERT(host_up(&host, NULL));
	was = host_stats(&host);
	host_reg(&host, METIS_EDMA_CTRL);
	EXPECT_EQ(card_region_read(host.card, 0, 0, buf, 8), 0); /* reads nothing, but was made */
	host_reg_set(&host, METIS_EDMA_WR_INT_CLEAR, 0);
	EXPECT_EQ(card_region_read(host.card, L2_REGION, 0, buf, 4096), 0);
	EXPECT_EQ(card_region_read(host.card, L2_REGION, 1, buf, 1), 0);
	EXPECT_EQ(card_region_read(host.card, L2_REGION, 4, buf, 4), 0);
	EXPECT_EQ(card_region_write(host.card, L2_REGION, METIS_FW_L2_FREE_OFFSET, buf, 8), 0);
	/* Neither outside, nor elsewhere, nor what is no host's. */
	EXPECT_EQ(card_region_read(host.card, 0, METIS_BAR_EDMA_BYTES, buf, 4), -EINVAL);
	EXPECT_EQ(card_region_write(host.card, 1, 0, buf, 4), -EINVAL);
	host_cfg(&host, 0, 4);
	is = host_stats(&host);
	EXPECT_EQ(is.bar0_reads - was.bar0_reads, 2);
	EXPECT_EQ(is.bar0_writes - was.bar0_writes, 1);
	EXPECT_EQ(is.l2_reads - was.l2_reads, 3);
	EXPECT_EQ(is.l2_writes - was.l2_writes, 1);
	host_down(&host);
}

/* --- creation --- */

static void test_card_unknown_names_are_refused_with_a_reason(void)
{
	struct card_config config = {.personality = "9.9.9", .engine = "null"};
	struct card *card = NULL;
	struct reason why = {0};

	EXPECT_EQ(card_create(&config, &card, &why), -EINVAL);
	EXPECT_HAS(why.text, "9.9.9");
	config = (struct card_config){.engine = "steam"};
	why.text[0] = '\0';
	EXPECT_EQ(card_create(&config, &card, &why), -EINVAL);
	EXPECT_HAS(why.text, "steam");
	EXPECT(!card);
	card_destroy(NULL);
}

/* --- interrupts --- */

static void test_card_msi_number_is_reduced_to_the_vectors_given(void)
{
	static const struct {
		unsigned int code, number, vector;
	} cases[] = {
		{5, 0, 0}, {5, 31, 31}, {5, 8, 8}, {0, 8, 0},  {0, 31, 0},
		{1, 9, 1}, {2, 11, 3},	{3, 8, 0}, {3, 12, 4}, {4, 24, 8},
	};
	size_t i;

	ASSERT(host_up(&host, NULL));
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint32_t before = host.msi[cases[i].vector];

		host_enable_msi(&host, cases[i].code, 0);
		card_msi(host.card, cases[i].number);
		EXPECT_EQ(host.msi[cases[i].vector], before + 1);
	}
	EXPECT_EQ(host_stats(&host).msi_raised, i);
	host_down(&host);
}

static void test_card_msi_without_bus_master_or_enable_is_counted(void)
{
	ASSERT(host_up(&host, NULL));
	host_bus_master(&host, false);
	card_msi(host.card, 3);
	EXPECT_EQ(card_imwr(host.card, HOST_MSI_ADDR, 3), -ENODEV);
	EXPECT_EQ(host_stats(&host).msi_unsent, 2);
	host_bus_master(&host, true);
	host_cfg_set(&host, METIS_CAP_MSI + METIS_MSI_CONTROL, 0, 2);
	card_msi(host.card, 3);
	EXPECT_EQ(host_stats(&host).msi_unsent, 3);
	/* With MSI off the card has no message, so every IMWr is a foreign one. */
	EXPECT_EQ(card_imwr(host.card, HOST_MSI_ADDR, 3), -EPERM);
	EXPECT_EQ(host_stats(&host).imwr_refused, 1);
	EXPECT_EQ(host.msi_total, 0);
	host_down(&host);
}

static void test_card_foreign_imwr_is_refused_and_counted(void)
{
	ASSERT(host_up(&host, NULL));
	EXPECT_EQ(card_inject_imwr(host.card, HOST_MSI_ADDR, 32), -EPERM);
	EXPECT_EQ(card_inject_imwr(host.card, HOST_MSI_ADDR + 0x1000, 0), -EPERM);
	EXPECT_EQ(card_inject_imwr(host.card, METIS_MSI_WINDOW_LAST - 1, 0), -EPERM);
	EXPECT_EQ(card_inject_imwr(host.card, UINT64_MAX - 1, 0), -EFAULT);
	EXPECT_EQ(host_stats(&host).imwr_refused, 3);
	EXPECT_EQ(host.raw_total, 0);
	EXPECT_EQ(host.calls, 0);
	host_down(&host);
}

static void test_card_foreign_imwr_goes_raw_when_asked(void)
{
	const struct card_config config = {.engine = "null", .raw_imwr = true, .keep_imwr = -1};

	ASSERT(host_up(&host, &config));
	EXPECT_EQ(card_inject_imwr(host.card, 0xfee00438, 0x28), 0);
	EXPECT_EQ(host.raw_addr, 0xfee00438);
	EXPECT_EQ(host.raw_data, 0x28);
	EXPECT_EQ(host_stats(&host).imwr_raw, 1);
	/* Its own message stays an MSI. */
	EXPECT_EQ(card_inject_imwr(host.card, HOST_MSI_ADDR, 5), 0);
	EXPECT_EQ(host.msi[5], 1);
	EXPECT_EQ(host.raw_total, 1);
	host_down(&host);
}

static void test_card_raw_imwr_without_a_way_is_refused(void)
{
	const struct card_config config = {.engine = "null", .raw_imwr = true, .keep_imwr = -1};
	struct card_bus bus;

	ASSERT(host_up(&host, &config));
	card_detach(host.card);
	bus = host_bus(&host);
	bus.raw_write32 = NULL;
	EXPECT_EQ(card_attach(host.card, &bus), 0);
	host_bus_master(&host, true);
	EXPECT_EQ(card_inject_imwr(host.card, 0xfee00438, 0x28), -EPERM);
	EXPECT_EQ(host_stats(&host).imwr_refused, 1);
	host_down(&host);
}

/* --- DMA --- */

static void test_card_dma_into_the_interrupt_window_is_refused(void)
{
	static const struct {
		uint64_t iova;
		size_t len;
		int ret;
	} cases[] = {
		{0xfee00000, 4, -EPERM},	{0xfeefffff, 1, -EPERM},
		{0xfedfffff, 2, -EPERM},	{0xfee00000 - 4096, 8192, -EPERM},
		{0xfd000000, 64 << 20, -EPERM}, {0xfedfffff, 1, -EFAULT},
		{0xfef00000, 4, -EFAULT}, /* no memory there, but let through */
	};
	size_t i;

	ASSERT(host_up(&host, NULL));
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		EXPECT_EQ(host_inject_dma(&host, true, cases[i].iova, DDR, cases[i].len),
			  cases[i].ret);
		EXPECT_EQ(host_inject_dma(&host, false, cases[i].iova, DDR, cases[i].len),
			  cases[i].ret);
	}
	EXPECT_EQ(host.calls, 4);
	host_down(&host);
}

static void test_card_dma_that_wraps_is_refused(void)
{
	ASSERT(host_up(&host, NULL));
	EXPECT_EQ(host_inject_dma(&host, true, UINT64_MAX, DDR, 2), -EFAULT);
	EXPECT_EQ(host_inject_dma(&host, true, UINT64_MAX - 4094, DDR, 4096), -EFAULT);
	EXPECT_EQ(host.calls, 0);
	/* Up to the last byte is an address like any other. */
	EXPECT_EQ(host_inject_dma(&host, true, UINT64_MAX - 4095, DDR, 4096), -EFAULT);
	EXPECT_EQ(host.calls, 1);
	EXPECT_EQ(host_inject_dma(&host, true, HOST_BASE, DDR - 1, 4096), -EINVAL);
	EXPECT_EQ(host_inject_dma(&host, true, HOST_BASE, DDR, 0), -EINVAL);
	host_down(&host);
}

static void test_card_dma_needs_bus_master(void)
{
	ASSERT(host_up(&host, NULL));
	host_bus_master(&host, false);
	EXPECT_EQ(host_inject_dma(&host, true, HOST_BASE, DDR, 64), -ENODEV);
	host_start_single(&host, true, 0, METIS_EDMA_RIE, 64, HOST_BASE, DDR);
	EXPECT_EQ(host_finish(&host, true, 0), METIS_EDMA_CS_HALTED);
	EXPECT(host_wait(host_is_idle, &host, 0));
	EXPECT_EQ(host.calls, 0);
	EXPECT_EQ(host.msi_total, 0);
	host_down(&host);
}

static struct {
	char kinds[64];
	uint64_t addr[64];
	enum card_way way[64];
	int result[64];
	_Atomic int count;
} traced;

static void trace(void *ctx, const struct card_event *event)
{
	static const char kinds[CARD_EVENT_NR + 1] = "RWMIX?????";
	int i = atomic_fetch_add(&traced.count, 1);

	(void)ctx;
	if (i >= 63)
		return;
	traced.kinds[i] = kinds[event->kind];
	traced.addr[i] = event->addr;
	traced.way[i] = event->way;
	traced.result[i] = event->result;
}

static void test_card_trace_sees_every_access(void)
{
	const struct card_config config = {
		.personality = "1.6.0", .engine = "null", .keep_imwr = -1, .trace = trace};

	memset(&traced, 0, sizeof(traced));
	ASSERT(host_up(&host, &config));
	host_inject_dma(&host, true, HOST_BASE, DDR, 64);
	host_inject_dma(&host, false, HOST_BASE + 8, DDR, 64);
	host_inject_dma(&host, false, 0x1000, DDR, 64);
	host_inject_dma(&host, true, 0xfee00000, DDR, 64);
	card_inject_imwr(host.card, HOST_MSI_ADDR, 1);
	card_inject_imwr(host.card, HOST_MSI_ADDR, 99);
	card_reset(host.card, CARD_RESET_BUS);
	host_inject_dma(&host, true, HOST_BASE, DDR, 64);
	EXPECT_STR(traced.kinds, "WRRWMIXW");
	EXPECT_EQ(traced.way[2], CARD_WAY_BUS);
	EXPECT_EQ(traced.way[3], CARD_WAY_NONE);
	EXPECT_EQ(traced.way[7], CARD_WAY_NONE);
	EXPECT_EQ(traced.result[7], -ENODEV);
	EXPECT_EQ(traced.addr[1], HOST_BASE + 8);
	EXPECT_EQ(traced.result[1], 0);
	EXPECT_EQ(traced.result[2], -EFAULT);
	EXPECT_EQ(traced.result[3], -EPERM);
	EXPECT_EQ(traced.addr[4], HOST_MSI_ADDR);
	EXPECT_EQ(traced.result[5], -EPERM);
	host_down(&host);
}

/* --- attach and detach --- */

static void test_card_has_one_bus_at_a_time(void)
{
	struct card_bus bus = host_bus(&host);

	ASSERT(host_up(&host, NULL));
	EXPECT_EQ(card_attach(host.card, &bus), -EBUSY);
	card_detach(host.card);
	card_detach(host.card);
	EXPECT_EQ(card_attach(host.card, &bus), 0);
	host_down(&host);
}

static void test_card_without_bus_calls_nobody(void)
{
	ASSERT(host_up(&host, NULL));
	card_detach(host.card);
	host_bus_master(&host, true);
	host_enable_msi(&host, 5, 0);
	host_setup_edma(&host);
	EXPECT_EQ(host_inject_dma(&host, true, HOST_BASE, DDR, 64), -ENODEV);
	EXPECT_EQ(card_inject_imwr(host.card, HOST_MSI_ADDR, 1), -ENODEV);
	card_msi(host.card, 1);
	EXPECT_EQ(host_stats(&host).msi_unsent, 2);
	host_start_single(&host, true, 0, METIS_EDMA_RIE, 64, HOST_BASE, DDR);
	EXPECT_EQ(host_finish(&host, true, 0), METIS_EDMA_CS_HALTED);
	EXPECT_EQ(host.calls, 0);
	EXPECT_EQ(host.msi_total, 0);
	host_down(&host);
}

static void test_card_detach_leaves_nothing_of_the_last_user(void)
{
	struct card_bus bus = host_bus(&host);

	ASSERT(host_up(&host, NULL));
	memset(card_memory_at(host.card, DDR, 4096), 0xa5, 4096);
	memset(host_l2(&host) + 0x100000, 0xa5, 4096);
	card_detach(host.card);
	EXPECT_EQ(card_attach(host.card, &bus), 0);
	EXPECT_EQ(*(uint8_t *)card_memory_at(host.card, DDR, 1), 0);
	EXPECT_EQ(host_l2(&host)[0x100000], 0);
	EXPECT_EQ(host_cfg(&host, PCI_COMMAND, 2), 0);
	EXPECT_EQ(host_reg(&host, METIS_EDMA_WR_DONE_IMWR_LO), 0);
	EXPECT_EQ(host_reg(&host, METIS_EDMA_WR_ENGINE_EN), 0);
	EXPECT(card_idle(host.card));
	host_down(&host);
}

/* Its descriptor may have gone to another process, which keeps the pages however it ends. */
static void test_card_detach_gives_the_next_owner_an_l2_of_its_own(void)
{
	struct card_bus bus = host_bus(&host);
	uint8_t *kept;
	int fd;

	ASSERT(host_up(&host, NULL));
	card_l2(host.card, &fd, NULL);
	kept = mmap(NULL, METIS_L2_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	ASSERT(kept != MAP_FAILED);
	card_detach(host.card);
	EXPECT_EQ(card_attach(host.card, &bus), 0);
	host_l2(&host)[0x100000] = 0x5a;
	kept[0x200000] = 0xa5;
	EXPECT_EQ(kept[0x100000], 0);
	EXPECT_EQ(host_l2(&host)[0x200000], 0);
	EXPECT_EQ(((struct metis_sysctl *)host_l2(&host))->tethys.magic, METIS_MAGIC_TETHYS);
	/* And the new one is what is given to the new owner. */
	munmap(kept, METIS_L2_BYTES);
	card_l2(host.card, &fd, NULL);
	kept = mmap(NULL, METIS_L2_BYTES, PROT_READ, MAP_SHARED, fd, 0);
	ASSERT(kept != MAP_FAILED);
	EXPECT_EQ(kept[0x100000], 0x5a);
	munmap(kept, METIS_L2_BYTES);
	host_down(&host);
}

static void test_card_without_a_fresh_l2_takes_no_owner(void)
{
	struct card_bus bus = host_bus(&host);
	struct rlimit before, none;

	ASSERT(host_up(&host, NULL));
	host_l2(&host)[0x100000] = 0x5a;
	ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
	none = (struct rlimit){0, before.rlim_max};
	ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
	EXPECT_EQ(card_detach(host.card), 0);
	EXPECT_EQ(card_attach(host.card, &bus), -EMFILE);
	ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
	EXPECT_EQ(card_attach(host.card, &bus), 0);
	EXPECT_EQ(host_l2(&host)[0x100000], 0);
	EXPECT_EQ(((struct metis_sysctl *)host_l2(&host))->tethys.magic, METIS_MAGIC_TETHYS);
	host_down(&host);
}

/* On @channels each way. */
static void start_256_mib(unsigned int channels)
{
	unsigned int i;

	host.window = 1ull << 32;
	host.delay_us = 2000;
	for (i = 0; i < channels; i++) {
		host_start_single(&host, false, i, METIS_EDMA_RIE, 256 << 20, HOST_BASE,
				  DDR + ((uint64_t)i << 28));
		host_start_single(&host, true, i, METIS_EDMA_RIE, 256 << 20, HOST_BASE,
				  DDR + ((uint64_t)(4 + i) << 28));
	}
}

static void test_card_detach_in_mid_dma_is_quick(void)
{
	uint64_t began, took;

	ASSERT(host_up(&host, NULL));
	start_256_mib(1);
	ASSERT(host_wait(host_calls_are, &host, 12));
	began = host_now_ms();
	card_detach(host.card);
	took = host_now_ms() - began;
	printf("# detached within %u ms\n", (unsigned int)took);
	EXPECT(took < 100);
	EXPECT(host_stats(&host).dma_read_bytes < 256 << 20);
	host_down(&host);
}

static void test_card_detach_leaves_nobody_in_the_bus(void)
{
	uint32_t calls;

	ASSERT(host_up(&host, NULL));
	start_256_mib(4);
	ASSERT(host_wait(host_calls_are, &host, 12));
	card_detach(host.card);
	EXPECT_EQ(host.inside, 0);
	calls = host.calls;
	host_sleep_us(20000);
	EXPECT_EQ(host.calls, calls);
	EXPECT_EQ(host.msi_total, 0);
	EXPECT(card_idle(host.card));
	host_down(&host);
}

static void *detach_thread(void *arg)
{
	card_detach(arg);
	return NULL;
}

static void test_card_detach_waits_for_the_bus_function_in_progress(void)
{
	pthread_t thread;

	ASSERT(host_up(&host, NULL));
	host.hold = true;
	host_start_single(&host, true, 0, 0, 64, HOST_BASE, DDR);
	ASSERT(host_wait(host_calls_are, &host, 1));
	ASSERT_EQ(pthread_create(&thread, NULL, detach_thread, host.card), 0);
	host_sleep_us(30000);
	EXPECT_EQ(host.inside, 1);
	EXPECT_EQ(card_attach(host.card, &(struct card_bus){0}), -EBUSY);
	/* Registers answer all the while. */
	(void)host_reg(&host, METIS_EDMA_CTRL);
	host.hold = false;
	pthread_join(thread, NULL);
	EXPECT_EQ(host.inside, 0);
	host_down(&host);
}

static void test_card_detach_gives_up_on_a_bus_function_that_hangs(void)
{
	struct card_bus bus = host_bus(&host);
	uint64_t began;

	ASSERT(host_up(&host, NULL));
	host.hold = true;
	host_start_single(&host, true, 0, METIS_EDMA_RIE, 64, HOST_BASE, DDR);
	ASSERT(host_wait(host_calls_are, &host, 1));
	began = host_now_ms();
	EXPECT_EQ(card_detach(host.card), -ETIMEDOUT);
	EXPECT(host_now_ms() - began < 3000);
	/* Nothing new gets to the bus, and nobody else gets the card. */
	EXPECT_EQ(host_inject_dma(&host, true, HOST_BASE, DDR, 64), -ENODEV);
	EXPECT_EQ(card_attach(host.card, &bus), -EBUSY);
	host.hold = false;
	EXPECT_EQ(card_detach(host.card), 0);
	EXPECT_EQ(host.inside, 0);
	EXPECT_EQ(host.msi_total, 0);
	EXPECT_EQ(card_attach(host.card, &bus), 0);
	EXPECT_EQ(host_cfg(&host, PCI_COMMAND, 2), 0);
	host_down(&host);
}

static void test_card_attach_and_detach_race_with_users(void)
{
	struct card_bus bus = host_bus(&host);
	int i;

	ASSERT(host_up(&host, NULL));
	for (i = 0; i < 200; i++) {
		host_start_single(&host, true, i % 4, METIS_EDMA_RIE, 65536, HOST_BASE, DDR);
		host_start_single(&host, false, i % 4, METIS_EDMA_RIE, 65536, HOST_BASE, DDR);
		if (i % 3)
			host_sleep_us(i * 7 % 200);
		card_detach(host.card);
		if (host.inside)
			TAP_FAIL("round %d: somebody is still in the bus", i);
		EXPECT_EQ(card_attach(host.card, &bus), 0);
		host_bus_master(&host, true);
		host_enable_msi(&host, 5, 0);
		host_setup_edma(&host);
	}
	host_start_single(&host, true, 0, 0, 64, HOST_BASE, DDR);
	EXPECT_EQ(host_finish(&host, true, 0), METIS_EDMA_CS_STOPPED);
	host_down(&host);
}

/* --- resets --- */

struct survival {
	const char *personality;
	int keep_imwr;
	enum card_reset kind;
	bool keeps;
};

static void reset_by_kind(enum card_reset kind)
{
	if (kind == CARD_RESET_FLR)
		host_cfg_set(&host, METIS_CAP_EXP + PCI_EXP_DEVCTL, PCI_EXP_DEVCTL_BCR_FLR, 2);
	else
		card_reset(host.card, kind);
}

static void test_card_reset_keeps_what_the_personality_says(void)
{
	static const struct survival cases[] = {
		{"1.3.2", -1, CARD_RESET_FLR, false},  {"1.3.2", -1, CARD_RESET_BUS, false},
		{"1.6.0", -1, CARD_RESET_FLR, true},   {"1.6.0", -1, CARD_RESET_BUS, true},
		{"1.8.0", -1, CARD_RESET_FLR, false},  {"1.8.0", -1, CARD_RESET_BUS, false},
		{"1.6.0", -1, CARD_RESET_COLD, false}, {"1.6.0", 0, CARD_RESET_FLR, false},
		{"1.3.2", 1, CARD_RESET_BUS, true},    {"1.8.0", 1, CARD_RESET_COLD, false},
	};
	static const uint32_t kept[] = {
		METIS_EDMA_WR_DONE_IMWR_LO,
		METIS_EDMA_WR_CH23_IMWR_DATA,
		METIS_EDMA_RD_ABORT_IMWR_HI,
		METIS_EDMA_RD_CH67_IMWR_DATA,
		METIS_EDMA_RD_CH(3) + METIS_EDMA_CH_LLP_HI,
		METIS_EDMA_WR_CH(0) + METIS_EDMA_CH_LLP_LO,
	};
	size_t i, k;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct card_config config = {.personality = cases[i].personality,
						   .engine = "null",
						   .keep_imwr = cases[i].keep_imwr};

		ASSERT(host_up(&host, &config));
		for (k = 0; k < sizeof(kept) / sizeof(kept[0]); k++)
			host_reg_set(&host, kept[k], 0x1001);
		host_reg_set(&host, METIS_EDMA_WR_CH(0) + METIS_EDMA_CH_SAR_LO, 0x1001);
		host_reg_set(&host, METIS_EDMA_WR_INT_MASK, 0x1001);
		reset_by_kind(cases[i].kind);
		EXPECT_EQ(host_reg(&host, METIS_EDMA_WR_ENGINE_EN),
			  cases[i].kind != CARD_RESET_COLD);
		EXPECT_EQ(host_reg(&host, METIS_EDMA_RD_ENGINE_EN),
			  cases[i].kind != CARD_RESET_COLD);
		for (k = 0; k < sizeof(kept) / sizeof(kept[0]); k++)
			if (host_reg(&host, kept[k]) != (cases[i].keeps ? 0x1001 : 0))
				TAP_FAIL("case %zu: 0x%03x reads 0x%x", i, kept[k],
					 host_reg(&host, kept[k]));
		EXPECT_EQ(host_reg(&host, METIS_EDMA_WR_CH(0) + METIS_EDMA_CH_SAR_LO), 0);
		EXPECT_EQ(host_reg(&host, METIS_EDMA_WR_INT_MASK), 0);
		EXPECT_EQ(host_cfg(&host, PCI_COMMAND, 2), 0);
		host_down(&host);
	}
}

static void test_card_reset_keeps_ddr_unless_cold(void)
{
	uint8_t *ddr;

	ASSERT(host_up(&host, NULL));
	ddr = card_memory_at(host.card, DDR, 1);
	*ddr = 0x5a;
	card_reset(host.card, CARD_RESET_FLR);
	card_reset(host.card, CARD_RESET_BUS);
	EXPECT_EQ(*ddr, 0x5a);
	card_reset(host.card, CARD_RESET_COLD);
	EXPECT_EQ(*ddr, 0);
	EXPECT_EQ(host_stats(&host).resets, 3);
	host_down(&host);
}

/* The worker is in the bus while the host resets, sets up again and starts the same channel. */
static void test_card_reset_makes_the_old_job_powerless(void)
{
	uint64_t began, old_calls;

	ASSERT(host_up(&host, NULL));
	host.window = 1ull << 32;
	host.hold = true;
	host_start_single(&host, true, 0, METIS_EDMA_RIE, 256 << 20, HOST_BASE, DDR);
	ASSERT(host_wait(host_calls_are, &host, 1));
	began = host_now_ms();
	reset_by_kind(CARD_RESET_FLR);
	EXPECT(host_now_ms() - began < 50);
	EXPECT_EQ(host_cs(&host, true, 0), METIS_EDMA_CS_IDLE);
	EXPECT(!card_idle(host.card));

	host_bus_master(&host, true);
	host_enable_msi(&host, 5, 0);
	host_setup_edma(&host);
	old_calls = host.calls;
	host_start_single(&host, true, 0, METIS_EDMA_RIE, 64, HOST_BASE, DDR);
	EXPECT_EQ(host_cs(&host, true, 0), METIS_EDMA_CS_RUNNING);
	host.hold = false;
	ASSERT(host_wait(host_msi_is, &host, 1));
	EXPECT_EQ(host_cs(&host, true, 0), METIS_EDMA_CS_STOPPED);
	EXPECT(host_wait(host_is_idle, &host, 0));
	EXPECT_EQ(host.calls, old_calls + 1);
	EXPECT_EQ(host.msi_total, 1);
	EXPECT_EQ(host_stats(&host).dma_aborts, 0);
	EXPECT_EQ(host_reg(&host, METIS_EDMA_WR_INT_STATUS), 1);
	host_down(&host);
}

static void test_card_old_job_without_a_new_one_changes_nothing(void)
{
	ASSERT(host_up(&host, NULL));
	host.hold = true;
	host.fail = -EIO;
	host_start_single(&host, false, 2, METIS_EDMA_RIE, 64, HOST_BASE, DDR);
	ASSERT(host_wait(host_calls_are, &host, 1));
	card_reset(host.card, CARD_RESET_BUS);
	host_bus_master(&host, true);
	host_enable_msi(&host, 5, 0);
	host.hold = false;
	EXPECT(host_wait(host_is_idle, &host, 0));
	EXPECT_EQ(host_cs(&host, false, 2), METIS_EDMA_CS_IDLE);
	EXPECT_EQ(host_reg(&host, METIS_EDMA_RD_INT_STATUS), 0);
	EXPECT_EQ(host_reg(&host, METIS_EDMA_RD_ERR_STATUS_HI), 0);
	EXPECT_EQ(host_stats(&host).dma_aborts, 0);
	EXPECT_EQ(host.msi_total, 0);
	host_down(&host);
}

/* A transport that answers DMA from the thread that is resetting. */
static int reset_inside(void *ctx, uint64_t iova, void *dst, size_t len)
{
	struct host *h = ctx;

	card_reset(h->card, CARD_RESET_BUS);
	return host_dma_read(ctx, iova, dst, len);
}

static void test_card_reset_from_inside_the_bus_does_not_deadlock(void)
{
	struct card_bus bus = host_bus(&host);
	uint64_t began;

	ASSERT(host_up(&host, NULL));
	card_detach(host.card);
	bus.dma_read = reset_inside;
	EXPECT_EQ(card_attach(host.card, &bus), 0);
	host_bus_master(&host, true);
	host_setup_edma(&host);
	began = host_now_ms();
	host_start_single(&host, false, 0, 0, 64, HOST_BASE, DDR);
	EXPECT(host_wait(host_is_idle, &host, 0));
	EXPECT(host_now_ms() - began < 200);
	EXPECT_EQ(host_cs(&host, false, 0), METIS_EDMA_CS_IDLE);
	host_down(&host);
}

int main(void)
{
	RUN(test_card_regions_have_their_sizes);
	RUN(test_card_access_outside_a_region_is_refused);
	RUN(test_card_bar0_takes_aligned_words_only);
	RUN(test_card_l2_takes_every_width);
	RUN(test_card_l2_store_reaches_the_firmware);
	RUN(test_card_counts_each_access_of_the_host_once);
	RUN(test_card_unknown_names_are_refused_with_a_reason);
	RUN(test_card_msi_number_is_reduced_to_the_vectors_given);
	RUN(test_card_msi_without_bus_master_or_enable_is_counted);
	RUN(test_card_foreign_imwr_is_refused_and_counted);
	RUN(test_card_foreign_imwr_goes_raw_when_asked);
	RUN(test_card_raw_imwr_without_a_way_is_refused);
	RUN(test_card_dma_into_the_interrupt_window_is_refused);
	RUN(test_card_dma_that_wraps_is_refused);
	RUN(test_card_dma_needs_bus_master);
	RUN(test_card_trace_sees_every_access);
	RUN(test_card_has_one_bus_at_a_time);
	RUN(test_card_without_bus_calls_nobody);
	RUN(test_card_detach_leaves_nothing_of_the_last_user);
	RUN(test_card_detach_gives_the_next_owner_an_l2_of_its_own);
	RUN(test_card_without_a_fresh_l2_takes_no_owner);
	RUN(test_card_detach_in_mid_dma_is_quick);
	RUN(test_card_detach_leaves_nobody_in_the_bus);
	RUN(test_card_detach_waits_for_the_bus_function_in_progress);
	RUN(test_card_detach_gives_up_on_a_bus_function_that_hangs);
	RUN(test_card_attach_and_detach_race_with_users);
	RUN(test_card_reset_keeps_what_the_personality_says);
	RUN(test_card_reset_keeps_ddr_unless_cold);
	RUN(test_card_reset_makes_the_old_job_powerless);
	RUN(test_card_old_job_without_a_new_one_changes_nothing);
	RUN(test_card_reset_from_inside_the_bus_does_not_deadlock);
	return tap_done();
}
