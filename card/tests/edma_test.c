// SPDX-License-Identifier: MIT
#include "card/tests/edma_host.h"

static uint32_t doorbell_of(bool write)
{
	return write ? METIS_EDMA_WR_DOORBELL : METIS_EDMA_RD_DOORBELL;
}

/* --- registers --- */

struct known_reg {
	uint32_t offset, reset;
	bool writable;
};

static const struct known_reg known[] = {
#define RO false
#define RW true
#define WO false
#define W1C false
#define KNOWN(name, off, access, reset, confidence) {off, reset, access},
	METIS_EDMA_REGS(KNOWN)
#undef KNOWN
#undef RO
#undef RW
#undef WO
#undef W1C
};

static bool is_channel_reg(uint32_t offset)
{
	return offset >= 0x200 && offset < METIS_EDMA_END && (offset & 0xff) < METIS_EDMA_CH_BYTES;
}

static bool is_power_reg(uint32_t offset)
{
	return (offset >= METIS_EDMA_WR_CH_PWR(0) && offset < METIS_EDMA_WR_CH_PWR(8)) ||
	       (offset >= METIS_EDMA_RD_CH_PWR(0) && offset < METIS_EDMA_RD_CH_PWR(8));
}

static const struct known_reg *find_known(uint32_t offset)
{
	size_t i;

	for (i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (known[i].offset == offset)
			return &known[i];
	return NULL;
}

static bool is_writable(uint32_t offset)
{
	const struct known_reg *reg = find_known(offset);

	return is_channel_reg(offset) || is_power_reg(offset) || (reg && reg->writable);
}

static void test_edma_reset_values_are_those_of_the_table(void)
{
	uint32_t offset;

	ASSERT(host_up(&host, NULL));
	card_reset(host.card, CARD_RESET_COLD);
	for (offset = 0; offset < METIS_BAR_EDMA_BYTES; offset += 4) {
		const struct known_reg *reg = find_known(offset);

		if (host_reg(&host, offset) != (reg ? reg->reset : 0))
			TAP_FAIL("0x%03x reads 0x%x", offset, host_reg(&host, offset));
	}
	host_down(&host);
}

static void test_edma_every_bit_of_every_offset_follows_the_access_type(void)
{
	uint32_t offset, value, was;
	int bit;

	ASSERT(host_up(&host, NULL));
	card_reset(host.card, CARD_RESET_COLD);
	for (offset = 0; offset < METIS_BAR_EDMA_BYTES; offset += 4) {
		was = host_reg(&host, offset);
		for (bit = -1; bit <= 32; bit++) {
			value = bit < 0 ? 0 : bit == 32 ? 0xffffffff : 1u << bit;
			host_reg_set(&host, offset, value);
			if (host_reg(&host, offset) != (is_writable(offset) ? value : was))
				TAP_FAIL("0x%03x, 0x%x written: 0x%x", offset, value,
					 host_reg(&host, offset));
		}
		host_reg_set(&host, offset, 0);
	}
	EXPECT(host_wait(host_is_idle, &host, 0));
	EXPECT_EQ(host.calls, 0);
	EXPECT_EQ(host_reg(&host, METIS_EDMA_CTRL), 0x00040004);
	host_down(&host);
}

/* With both engines on, doorbells among it all start channels on garbage. */
static void test_edma_survives_random_registers(void)
{
	uint32_t seed = 12345, i;

	ASSERT(host_up(&host, NULL));
	for (i = 0; i < 20000; i++) {
		seed = seed * 1664525 + 1013904223;
		host_reg_set(&host, METIS_EDMA_WR_ENGINE_EN, 1);
		host_reg_set(&host, METIS_EDMA_RD_ENGINE_EN, 1);
		host_reg_set(&host, (seed >> 8) % METIS_BAR_EDMA_BYTES & ~3u, seed ^ seed << 7);
	}
	card_reset(host.card, CARD_RESET_COLD);
	EXPECT(host_wait(host_is_idle, &host, 0));
	host_bus_master(&host, true);
	host_setup_edma(&host);
	host_start_single(&host, true, 0, 0, 64, HOST_BASE, DDR);
	EXPECT_EQ(host_finish(&host, true, 0), METIS_EDMA_CS_STOPPED);
	host_down(&host);
}

/* --- transfers --- */

static void test_edma_single_read_moves_host_to_card(void)
{
	ASSERT(host_up(&host, NULL));
	host_start_single(&host, false, 2, RIE, 100000, HOST_BASE + 3, DDR + 5);
	ASSERT(host_wait(host_msi_is, &host, 1));
	EXPECT_EQ(host_cs(&host, false, 2), METIS_EDMA_CS_STOPPED);
	EXPECT_EQ(host.msi[METIS_IRQ_DMA_READ(2)], 1);
	EXPECT(!memcmp(card_mem(DDR + 5, 100000), host.mem + 3, 100000));
	EXPECT_EQ(*card_mem(DDR + 4, 1), 0);
	EXPECT_EQ(*card_mem(DDR + 5 + 100000, 1), 0);
	EXPECT_EQ(host_stats(&host).dma_read_bytes, 100000);
	host_down(&host);
}

static void test_edma_single_write_moves_card_to_host(void)
{
	ASSERT(host_up(&host, NULL));
	fill(card_mem(METIS_L2_BASE + 0x20001, 77777), 77777, 9);
	host_start_single(&host, true, 1, RIE, 77777, HOST_BASE + 11, METIS_L2_BASE + 0x20001);
	ASSERT(host_wait(host_msi_is, &host, 1));
	EXPECT_EQ(host.msi[METIS_IRQ_DMA_WRITE(1)], 1);
	EXPECT(!memcmp(card_mem(METIS_L2_BASE + 0x20001, 77777), host.mem + 11, 77777));
	EXPECT_EQ(host_stats(&host).dma_write_bytes, 77777);
	host_down(&host);
}

static void test_edma_single_counts_its_registers_along(void)
{
	uint32_t channel = METIS_EDMA_WR_CH(0);

	ASSERT(host_up(&host, NULL));
	host_start_single(&host, true, 0, 0, 4096, HOST_BASE, DDR + 0xfffffff0);
	EXPECT_EQ(host_finish(&host, true, 0), METIS_EDMA_CS_STOPPED);
	EXPECT_EQ(host_reg(&host, channel + METIS_EDMA_CH_SIZE), 0);
	EXPECT_EQ(host_reg(&host, channel + METIS_EDMA_CH_SAR_LO), 0x80000ff0);
	EXPECT_EQ(host_reg(&host, channel + METIS_EDMA_CH_SAR_HI), 1);
	EXPECT_EQ(host_reg(&host, channel + METIS_EDMA_CH_DAR_LO), (uint32_t)HOST_BASE + 4096);
	host_down(&host);
}

static void test_edma_list_moves_each_element_in_order(void)
{
	uint64_t list = host_list(false, 3);
	uint32_t i;

	ASSERT(host_up(&host, NULL));
	for (i = 0; i < METIS_EDMA_LIST_DATA_MAX; i++)
		host_element(&host, list + 24 * i,
			     CB | (i + 1 == METIS_EDMA_LIST_DATA_MAX ? RIE : 0), 1000 + i,
			     HOST_BASE + 2000 * i, DDR + 5000 * i);
	terminate(list + 24 * i);
	host_start_list(&host, false, 3, list);
	ASSERT(host_wait(host_msi_is, &host, 1));
	EXPECT_EQ(host.msi[METIS_IRQ_DMA_READ(3)], 1);
	EXPECT_EQ(host.msi_total, 1);
	for (i = 0; i < METIS_EDMA_LIST_DATA_MAX; i++)
		EXPECT(!memcmp(card_mem(DDR + 5000 * i, 1000 + i), host.mem + 2000 * i, 1000 + i));
	EXPECT_EQ(host_reg(&host, METIS_EDMA_RD_CH(3) + METIS_EDMA_CH_LLP_LO),
		  list + 24 * METIS_EDMA_LIST_DATA_MAX);
	EXPECT_EQ(host_stats(&host).dma_jobs, 1);
	host_down(&host);
}

static void test_edma_list_may_lie_anywhere_in_card_memory(void)
{
	struct metis_edma_element elements[2] = {
		{CB, 64, HOST_BASE, DDR},
		{METIS_EDMA_TCB, 0, 0, 0},
	};

	ASSERT(host_up(&host, NULL));
	memcpy(card_mem(DDR + 0x3ffff0001, 48), elements, 48);
	host_start_list(&host, false, 0, DDR + 0x3ffff0001);
	EXPECT_EQ(host_finish(&host, false, 0), METIS_EDMA_CS_STOPPED);
	EXPECT(!memcmp(card_mem(DDR, 64), host.mem, 64));
	host_down(&host);
}

static void test_edma_elements_are_fetched_at_each_doorbell(void)
{
	uint64_t list = host_list(true, 0);
	uint32_t i;

	ASSERT(host_up(&host, NULL));
	terminate(list + 24);
	for (i = 0; i < 3; i++) {
		fill(card_mem(DDR + 4096 * i, 512), 512, i);
		host_element(&host, list, CB, 512, DDR + 4096 * i, HOST_BASE + 8192 * i);
		host_start_list(&host, true, 0, list);
		EXPECT_EQ(host_finish(&host, true, 0), METIS_EDMA_CS_STOPPED);
		EXPECT(!memcmp(card_mem(DDR + 4096 * i, 512), host.mem + 8192 * i, 512));
	}
	host_down(&host);
}

static void test_edma_tiny_and_misaligned_sizes_are_exact(void)
{
	uint32_t size, at;

	ASSERT(host_up(&host, NULL));
	for (size = 1; size <= 17; size++) {
		for (at = 0; at < 4; at++) {
			memset(card_mem(DDR, 64), 0, 64);
			host_start_single(&host, false, 0, 0, size, HOST_BASE + 7 + at,
					  DDR + 1 + at);
			EXPECT_EQ(host_finish(&host, false, 0), METIS_EDMA_CS_STOPPED);
			EXPECT(!memcmp(card_mem(DDR + 1 + at, size), host.mem + 7 + at, size));
			EXPECT_EQ(*card_mem(DDR + at, 1), 0);
			EXPECT_EQ(*card_mem(DDR + 1 + at + size, 1), 0);
		}
	}
	host_down(&host);
}

static void test_edma_large_transfer_goes_in_chunks(void)
{
	const uint32_t size = (64 << 20) + 12345;
	uint8_t *mem;
	uint32_t i;

	ASSERT(host_up(&host, NULL));
	host.window = 1ull << 32;
	host_start_single(&host, false, 0, RIE, size, HOST_BASE, DDR);
	ASSERT(host_wait(host_msi_is, &host, 1));
	EXPECT(host.calls > 1);
	mem = card_mem(DDR, size);
	for (i = 0; i < size; i += HOST_BYTES) {
		size_t n = size - i < HOST_BYTES ? size - i : HOST_BYTES;

		EXPECT(!memcmp(mem + i, host.mem, n));
	}
	EXPECT_EQ(host_stats(&host).dma_read_bytes, size);
	host_down(&host);
}

static void test_edma_zero_size_moves_nothing_and_ends_well(void)
{
	uint64_t list = host_list(false, 0);

	ASSERT(host_up(&host, NULL));
	/* Addresses of nothing are not looked at. */
	host_start_single(&host, true, 0, RIE, 0, 0xfee00000, 0);
	ASSERT(host_wait(host_msi_is, &host, 1));
	EXPECT_EQ(host_cs(&host, true, 0), METIS_EDMA_CS_STOPPED);
	host_element(&host, list, CB, 0, 0, 0);
	host_element(&host, list + 24, CB | RIE, 16, HOST_BASE, DDR);
	terminate(list + 48);
	host_start_list(&host, false, 0, list);
	ASSERT(host_wait(host_msi_is, &host, 2));
	EXPECT_EQ(host.calls, 1);
	EXPECT(!memcmp(card_mem(DDR, 16), host.mem, 16));
	host_down(&host);
}

/* --- doorbells and status --- */

static void test_edma_cs_runs_before_any_later_read(void)
{
	ASSERT(host_up(&host, NULL));
	host.hold = true;
	host_start_single(&host, true, 0, 0, 64, HOST_BASE, DDR);
	EXPECT_EQ(host_cs(&host, true, 0), METIS_EDMA_CS_RUNNING);
	EXPECT(!card_idle(host.card));
	/* The host can't wish a running channel idle. */
	host_reg_set(&host, METIS_EDMA_WR_CH(0) + METIS_EDMA_CH_CONTROL1, 0);
	EXPECT_EQ(host_cs(&host, true, 0), METIS_EDMA_CS_RUNNING);
	host.hold = false;
	EXPECT_EQ(host_finish(&host, true, 0), METIS_EDMA_CS_STOPPED);
	host_reg_set(&host, METIS_EDMA_WR_CH(0) + METIS_EDMA_CH_CONTROL1, 0x300);
	EXPECT_EQ(host_cs(&host, true, 0), METIS_EDMA_CS_IDLE);
	host_down(&host);
}

static void remember_cs(struct host *h, unsigned int vector)
{
	bool write = vector >= METIS_IRQ_DMA_WRITE(0);

	h->seen = h->seen << 4 | host_cs(h, write, (vector - METIS_IRQ_DMA_READ(0)) % 4);
}

static void test_edma_cs_is_stopped_before_the_imwr(void)
{
	uint64_t list = host_list(true, 2);

	ASSERT(host_up(&host, NULL));
	host.on_msi = remember_cs;
	host_start_single(&host, false, 1, RIE, 64, HOST_BASE, DDR);
	ASSERT(host_wait(host_msi_is, &host, 1));
	host_element(&host, list, CB | RIE, 64, DDR, HOST_BASE);
	terminate(list + 24);
	host_start_list(&host, true, 2, list);
	ASSERT(host_wait(host_msi_is, &host, 2));
	EXPECT_EQ(host.seen, 0x33);
	host_down(&host);
}

static void test_edma_rie_in_mid_list_interrupts_a_running_channel(void)
{
	uint64_t list = host_list(true, 0);

	ASSERT(host_up(&host, NULL));
	host.on_msi = remember_cs;
	host_element(&host, list, CB | RIE, 64, DDR, HOST_BASE);
	host_element(&host, list + 24, CB | RIE, 64, DDR, HOST_BASE);
	terminate(list + 48);
	host_start_list(&host, true, 0, list);
	ASSERT(host_wait(host_msi_is, &host, 2));
	EXPECT_EQ(host.seen, 0x13);
	host_down(&host);
}

static void test_edma_without_rie_nothing_is_raised(void)
{
	uint64_t list = host_list(false, 0);

	ASSERT(host_up(&host, NULL));
	host_element(&host, list, CB, 64, HOST_BASE, DDR);
	terminate(list + 24);
	host_start_list(&host, false, 0, list);
	EXPECT_EQ(host_finish(&host, false, 0), METIS_EDMA_CS_STOPPED);
	host_start_single(&host, false, 1, LIE, 64, HOST_BASE, DDR);
	EXPECT_EQ(host_finish(&host, false, 1), METIS_EDMA_CS_STOPPED);
	EXPECT(host_wait(host_is_idle, &host, 0));
	EXPECT_EQ(host.msi_total, 0);
	/* LIE alone shows in the status. */
	EXPECT_EQ(host_reg(&host, METIS_EDMA_RD_INT_STATUS), 2);
	host_down(&host);
}

static void test_edma_imwr_goes_whatever_status_and_mask_hold(void)
{
	uint32_t i;

	ASSERT(host_up(&host, NULL));
	host_reg_set(&host, METIS_EDMA_WR_INT_MASK, 0xffffffff);
	for (i = 1; i <= 3; i++) {
		host_start_single(&host, true, 3, RIE, 8, HOST_BASE, DDR);
		ASSERT(host_wait(host_msi_is, &host, i));
		EXPECT_EQ(host_reg(&host, METIS_EDMA_WR_INT_STATUS), 8);
	}
	EXPECT_EQ(host.msi[METIS_IRQ_DMA_WRITE(3)], 3);
	host_reg_set(&host, METIS_EDMA_WR_INT_CLEAR, 1);
	EXPECT_EQ(host_reg(&host, METIS_EDMA_WR_INT_STATUS), 8);
	host_reg_set(&host, METIS_EDMA_WR_INT_CLEAR, 8);
	EXPECT_EQ(host_reg(&host, METIS_EDMA_WR_INT_STATUS), 0);
	EXPECT_EQ(host_reg(&host, METIS_EDMA_WR_INT_CLEAR), 0);
	host_down(&host);
}

static void test_edma_doorbell_needs_the_engine(void)
{
	ASSERT(host_up(&host, NULL));
	host_reg_set(&host, METIS_EDMA_WR_ENGINE_EN, 0);
	host_start_single(&host, true, 0, RIE, 64, HOST_BASE, DDR);
	EXPECT_EQ(host_cs(&host, true, 0), METIS_EDMA_CS_IDLE);
	EXPECT_EQ(host_stats(&host).doorbells_ignored, 1);
	/* The other engine is not concerned. */
	host_start_single(&host, false, 0, 0, 64, HOST_BASE, DDR);
	EXPECT_EQ(host_finish(&host, false, 0), METIS_EDMA_CS_STOPPED);
	EXPECT_EQ(host_stats(&host).doorbells_ignored, 1);
	host_down(&host);
}

static void test_edma_doorbell_of_no_channel_is_ignored(void)
{
	uint32_t number;

	ASSERT(host_up(&host, NULL));
	for (number = 4; number < 8; number++) {
		host_ring(&host, true, number);
		host_ring(&host, false, number | METIS_EDMA_DOORBELL_STOP);
	}
	EXPECT_EQ(host_stats(&host).doorbells_ignored, 8);
	EXPECT(card_idle(host.card));
	host_down(&host);
}

static void test_edma_doorbell_while_running_is_ignored(void)
{
	ASSERT(host_up(&host, NULL));
	host.hold = true;
	host_start_single(&host, true, 0, RIE, 64, HOST_BASE, DDR);
	host_ring(&host, true, 0);
	host_ring(&host, true, 0);
	EXPECT_EQ(host_stats(&host).doorbells_ignored, 2);
	host.hold = false;
	ASSERT(host_wait(host_msi_is, &host, 1));
	EXPECT(host_wait(host_is_idle, &host, 0));
	EXPECT_EQ(host.calls, 1);
	EXPECT_EQ(host.msi_total, 1);
	host_down(&host);
}

/* A driver may clear CS and ring once more for a job that is done. */
static void test_edma_second_doorbell_for_one_job_does_nothing(void)
{
	uint64_t list = host_list(false, 0);

	ASSERT(host_up(&host, NULL));
	host_element(&host, list, CB | RIE, 64, HOST_BASE, DDR);
	terminate(list + 24);
	host_start_list(&host, false, 0, list);
	ASSERT(host_wait(host_msi_is, &host, 1));
	host_reg_set(&host, METIS_EDMA_RD_CH(0) + METIS_EDMA_CH_CONTROL1, 0x300);
	host_ring(&host, false, 0);
	EXPECT_EQ(host_finish(&host, false, 0), METIS_EDMA_CS_STOPPED);
	host_start_single(&host, true, 0, RIE, 64, HOST_BASE, DDR);
	ASSERT(host_wait(host_msi_is, &host, 2));
	host_reg_set(&host, METIS_EDMA_WR_CH(0) + METIS_EDMA_CH_CONTROL1, RIE);
	host_ring(&host, true, 0);
	EXPECT_EQ(host_finish(&host, true, 0), METIS_EDMA_CS_STOPPED);
	EXPECT(host_wait(host_is_idle, &host, 0));
	EXPECT_EQ(host.calls, 2);
	EXPECT_EQ(host.msi_total, 2);
	host_down(&host);
}

static void test_edma_stop_ends_at_the_next_chunk(void)
{
	uint32_t channel = METIS_EDMA_RD_CH(1), left;

	ASSERT(host_up(&host, NULL));
	host.window = 1ull << 32;
	host.hold = true;
	host_start_single(&host, false, 1, RIE, 256 << 20, HOST_BASE, DDR);
	ASSERT(host_wait(host_calls_are, &host, 1));
	host_reg_set(&host, doorbell_of(false), 1 | METIS_EDMA_DOORBELL_STOP);
	EXPECT_EQ(host_cs(&host, false, 1), METIS_EDMA_CS_RUNNING);
	host.hold = false;
	EXPECT_EQ(host_finish(&host, false, 1), METIS_EDMA_CS_STOPPED);
	EXPECT(host_wait(host_is_idle, &host, 0));
	EXPECT_EQ(host.calls, 1);
	EXPECT_EQ(host.msi_total, 0);
	left = host_reg(&host, channel + METIS_EDMA_CH_SIZE);
	EXPECT_EQ(left, (256 << 20) - host_stats(&host).dma_read_bytes);
	/* It can go on from there. */
	host_ring(&host, false, 1);
	ASSERT(host_wait(host_msi_is, &host, 1));
	EXPECT_EQ(host_stats(&host).dma_read_bytes, 256 << 20);
	host_down(&host);
}

static void test_edma_stop_of_an_idle_channel_does_nothing(void)
{
	ASSERT(host_up(&host, NULL));
	host_ring(&host, true, 0 | METIS_EDMA_DOORBELL_STOP);
	EXPECT_EQ(host_cs(&host, true, 0), METIS_EDMA_CS_IDLE);
	host_start_single(&host, true, 0, RIE, 64, HOST_BASE, DDR);
	EXPECT(host_wait(host_msi_is, &host, 1));
	host_down(&host);
}

static void test_edma_engine_off_stops_its_channels(void)
{
	ASSERT(host_up(&host, NULL));
	host.hold = true;
	host.window = 1ull << 32;
	host_start_single(&host, true, 0, RIE, 64 << 20, HOST_BASE, DDR);
	ASSERT(host_wait(host_calls_are, &host, 1));
	host_reg_set(&host, METIS_EDMA_WR_ENGINE_EN, 0);
	host.hold = false;
	EXPECT_EQ(host_finish(&host, true, 0), METIS_EDMA_CS_STOPPED);
	EXPECT_EQ(host.calls, 1);
	host_down(&host);
}

/* --- errors --- */

static void test_edma_bad_card_address_aborts(void)
{
	static const uint64_t bad[] = {0,
				       METIS_L2_BASE - 1,
				       METIS_L2_BASE + METIS_L2_BYTES - 4095,
				       DDR + METIS_DDR_BYTES,
				       UINT64_MAX,
				       UINT64_MAX - 100};
	uint32_t i;

	ASSERT(host_up(&host, NULL));
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		host_start_single(&host, true, 1, RIE, 4096, HOST_BASE, bad[i]);
		ASSERT(host_wait(host_msi_is, &host, 2 * i + 1));
		EXPECT_EQ(host_cs(&host, true, 1), METIS_EDMA_CS_HALTED);
		host_start_single(&host, false, 2, RIE, 4096, HOST_BASE, bad[i]);
		ASSERT(host_wait(host_msi_is, &host, 2 * i + 2));
		EXPECT_EQ(host_cs(&host, false, 2), METIS_EDMA_CS_HALTED);
	}
	EXPECT_EQ(host.calls, 0);
	EXPECT_EQ(host_reg(&host, METIS_EDMA_WR_INT_STATUS), 0x20000);
	EXPECT_EQ(host_reg(&host, METIS_EDMA_WR_ERR_STATUS), 0x2);
	EXPECT_EQ(host_reg(&host, METIS_EDMA_RD_INT_STATUS), 0x40000);
	EXPECT_EQ(host_reg(&host, METIS_EDMA_RD_ERR_STATUS_LO), 0x4);
	EXPECT_EQ(host_stats(&host).dma_aborts, 2 * i);
	host_down(&host);
}

static void test_edma_clearing_an_abort_clears_its_error(void)
{
	ASSERT(host_up(&host, NULL));
	host.fail = -EFAULT;
	host_start_single(&host, false, 0, 0, 64, HOST_BASE, DDR);
	EXPECT_EQ(host_finish(&host, false, 0), METIS_EDMA_CS_HALTED);
	host_start_single(&host, false, 3, 0, 64, HOST_BASE, 0);
	EXPECT_EQ(host_finish(&host, false, 3), METIS_EDMA_CS_HALTED);
	EXPECT_EQ(host_reg(&host, METIS_EDMA_RD_INT_STATUS), 0x90000);
	EXPECT_EQ(host_reg(&host, METIS_EDMA_RD_ERR_STATUS_HI), 0x1);
	EXPECT_EQ(host_reg(&host, METIS_EDMA_RD_ERR_STATUS_LO), 0x8);
	host_reg_set(&host, METIS_EDMA_RD_INT_CLEAR, 0x10000);
	EXPECT_EQ(host_reg(&host, METIS_EDMA_RD_INT_STATUS), 0x80000);
	EXPECT_EQ(host_reg(&host, METIS_EDMA_RD_ERR_STATUS_HI), 0);
	EXPECT_EQ(host_reg(&host, METIS_EDMA_RD_ERR_STATUS_LO), 0x8);
	host_reg_set(&host, METIS_EDMA_RD_INT_CLEAR, 0xffffffff);
	EXPECT_EQ(host_reg(&host, METIS_EDMA_RD_ERR_STATUS_LO), 0);
	host_down(&host);
}

static void test_edma_bus_refusal_aborts_as_the_ip_does(void)
{
	ASSERT(host_up(&host, NULL));
	host_start_single(&host, false, 0, RIE, 4096, HOST_BASE + HOST_BYTES - 1, DDR);
	ASSERT(host_wait(host_msi_is, &host, 1));
	EXPECT_EQ(host_cs(&host, false, 0), METIS_EDMA_CS_HALTED);
	EXPECT_EQ(host_reg(&host, METIS_EDMA_RD_ERR_STATUS_HI), 0x1);
	host.fail = -EIO;
	host_start_single(&host, false, 1, 0, 64, HOST_BASE, DDR);
	EXPECT_EQ(host_finish(&host, false, 1), METIS_EDMA_CS_HALTED);
	EXPECT_EQ(host_reg(&host, METIS_EDMA_RD_ERR_STATUS_HI), 0x201);
	host_start_single(&host, true, 0, 0, 64, HOST_BASE, DDR);
	EXPECT_EQ(host_finish(&host, true, 0), METIS_EDMA_CS_HALTED);
	EXPECT_EQ(host_reg(&host, METIS_EDMA_WR_INT_STATUS), 0x10000);
	/* Posted: there is no reason to name. */
	EXPECT_EQ(host_reg(&host, METIS_EDMA_WR_ERR_STATUS), 0);
	host.fail = 0;
	host_start_single(&host, true, 0, 0, 64, HOST_BASE, DDR);
	EXPECT_EQ(host_finish(&host, true, 0), METIS_EDMA_CS_STOPPED);
	host_down(&host);
}

static void test_edma_list_pointer_outside_memory_is_a_fetch_error(void)
{
	static const uint64_t bad[] = {0, METIS_L2_BASE + METIS_L2_BYTES - 23, UINT64_MAX - 7,
				       DDR + METIS_DDR_BYTES};
	uint32_t i;

	ASSERT(host_up(&host, NULL));
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		host_start_list(&host, true, 3, bad[i]);
		EXPECT_EQ(host_finish(&host, true, 3), METIS_EDMA_CS_HALTED);
		EXPECT_EQ(host_reg(&host, METIS_EDMA_WR_ERR_STATUS), 0x80000);
		host_start_list(&host, false, 3, bad[i]);
		EXPECT_EQ(host_finish(&host, false, 3), METIS_EDMA_CS_HALTED);
		EXPECT_EQ(host_reg(&host, METIS_EDMA_RD_ERR_STATUS_LO), 0x80000);
	}
	EXPECT(host_wait(host_is_idle, &host, 0));
	EXPECT_EQ(host.msi_total, 0);
	host_down(&host);
}

static void test_edma_abort_imwr_needs_its_enable_in_a_list(void)
{
	uint64_t list = host_list(true, 2);

	ASSERT(host_up(&host, NULL));
	host.on_msi = remember_cs;
	host_element(&host, list, CB | RIE, 64, DDR, HOST_BASE + HOST_BYTES);
	host_reg_set(&host, METIS_EDMA_WR_LL_ERR_EN, ~METIS_BIT(2));
	host_start_list(&host, true, 2, list);
	EXPECT_EQ(host_finish(&host, true, 2), METIS_EDMA_CS_HALTED);
	EXPECT(host_wait(host_is_idle, &host, 0));
	EXPECT_EQ(host.msi_total, 0);
	host_reg_set(&host, METIS_EDMA_WR_LL_ERR_EN, METIS_BIT(2));
	/* To the abort address, with the channel's data. */
	host_reg_set(&host, METIS_EDMA_WR_DONE_IMWR_LO, 0xfee0f000);
	host_start_list(&host, true, 2, list);
	ASSERT(host_wait(host_msi_is, &host, 1));
	EXPECT_EQ(host.msi[METIS_IRQ_DMA_WRITE(2)], 1);
	EXPECT_EQ(host.seen, METIS_EDMA_CS_HALTED);
	host_down(&host);
}

static void test_edma_failed_element_ends_the_list_there(void)
{
	uint64_t list = host_list(false, 1);

	ASSERT(host_up(&host, NULL));
	host_element(&host, list, CB, 64, HOST_BASE, DDR);
	host_element(&host, list + 24, CB, 64, HOST_BASE, 5);
	host_element(&host, list + 48, CB, 64, HOST_BASE, DDR + 4096);
	terminate(list + 72);
	host_start_list(&host, false, 1, list);
	EXPECT_EQ(host_finish(&host, false, 1), METIS_EDMA_CS_HALTED);
	EXPECT_EQ(host.calls, 1);
	EXPECT_EQ(host_reg(&host, METIS_EDMA_RD_CH(1) + METIS_EDMA_CH_LLP_LO), list + 24);
	host_down(&host);
}

static void test_edma_survives_garbage_lists(void)
{
	uint32_t seed = 99, round, i;

	ASSERT(host_up(&host, NULL));
	for (round = 0; round < 300; round++) {
		bool write = round % 2;

		for (i = 0; i < METIS_EDMA_LIST_ELEMENTS * 24; i++) {
			seed = seed * 1664525 + 1013904223;
			host_l2(&host)[host_list(write, round % 4) - METIS_L2_BASE + i] =
				seed >> 24;
		}
		/* Half of them with addresses that are good. */
		if (round % 4 < 2)
			host_element(&host, host_list(write, round % 4), CB | (seed & 0xfffffff8),
				     seed % 100000, write ? DDR : HOST_BASE,
				     write ? HOST_BASE : DDR);
		host_start_list(&host, write, round % 4, host_list(write, round % 4));
	}
	for (i = 0; i < 4; i++) {
		EXPECT(host_finish(&host, true, i) != METIS_EDMA_CS_RUNNING);
		EXPECT(host_finish(&host, false, i) != METIS_EDMA_CS_RUNNING);
	}
	host_down(&host);
}

/* --- interrupts outside the card's message --- */

static void test_edma_imwr_data_is_the_channels_own(void)
{
	uint32_t i;

	ASSERT(host_up(&host, NULL));
	for (i = 0; i < 4; i++) {
		host_start_single(&host, true, i, RIE, 8, HOST_BASE, DDR);
		ASSERT(host_wait(host_msi_is, &host, 2 * i + 1));
		host_start_single(&host, false, i, RIE, 8, HOST_BASE, DDR);
		ASSERT(host_wait(host_msi_is, &host, 2 * i + 2));
		EXPECT_EQ(host.msi[8 + i], 1);
		EXPECT_EQ(host.msi[4 + i], 1);
	}
	host_down(&host);
}

static void test_edma_foreign_imwr_is_refused_and_the_transfer_stands(void)
{
	ASSERT(host_up(&host, NULL));
	host_reg_set(&host, METIS_EDMA_WR_CH01_IMWR_DATA, 0x1234);
	host_start_single(&host, true, 0, RIE, 64, HOST_BASE, DDR);
	EXPECT_EQ(host_finish(&host, true, 0), METIS_EDMA_CS_STOPPED);
	EXPECT(host_wait(host_is_idle, &host, 0));
	EXPECT_EQ(host_stats(&host).imwr_refused, 1);
	EXPECT_EQ(host.msi_total, 0);
	EXPECT_EQ(host.raw_total, 0);
	host_down(&host);
}

static void test_edma_imwr_to_memory_is_a_write_of_four_bytes(void)
{
	uint32_t word;

	ASSERT(host_up(&host, NULL));
	memset(host.mem, 0xee, 4096);
	host_set64(&host, METIS_EDMA_RD_DONE_IMWR_LO, HOST_BASE + 0x102);
	host_start_single(&host, false, 1, RIE, 8, HOST_BASE + 4096, DDR);
	EXPECT_EQ(host_finish(&host, false, 1), METIS_EDMA_CS_STOPPED);
	EXPECT(host_wait(host_is_idle, &host, 0));
	memcpy(&word, host.mem + 0x100, 4);
	EXPECT_EQ(word, 5);
	EXPECT_EQ(host.mem[0xff], 0xee);
	EXPECT_EQ(host.mem[0x104], 0xee);
	host_down(&host);
}

static void test_edma_dma_vm_firmware_raises_without_imwr(void)
{
	const struct card_config config = {
		.personality = "1.8.0", .engine = "null", .keep_imwr = -1};

	ASSERT(host_up(&host, &config));
	host_set64(&host, METIS_EDMA_WR_DONE_IMWR_LO, 0);
	host_set64(&host, METIS_EDMA_RD_DONE_IMWR_LO, 0xfee0f000);
	host_start_single(&host, true, 2, RIE, 8, HOST_BASE, DDR);
	ASSERT(host_wait(host_msi_is, &host, 1));
	host_start_single(&host, false, 1, RIE, 8, HOST_BASE, DDR);
	ASSERT(host_wait(host_msi_is, &host, 2));
	EXPECT(host_wait(host_is_idle, &host, 0));
	EXPECT_EQ(host.msi[10], 1);
	EXPECT_EQ(host.msi[5], 1);
	EXPECT_EQ(host.calls, 2);
	EXPECT_EQ(host_stats(&host).imwr_refused, 0);
	host_down(&host);
}

/* --- all at once --- */

static void test_edma_eight_channels_run_at_once(void)
{
	const uint32_t size = 256 * 1024;
	uint32_t i;

	ASSERT(host_up(&host, NULL));
	for (i = 0; i < 4; i++)
		fill(card_mem(DDR + (8 + i) * size, size), size, 1000 + i);
	host.hold = true;
	for (i = 0; i < 4; i++) {
		host_start_single(&host, false, i, RIE, size, HOST_BASE + i * size, DDR + i * size);
		host_start_single(&host, true, i, RIE, size, HOST_BASE + (8 + i) * size,
				  DDR + (8 + i) * size);
	}
	/* Each has its own thread in the bus, none waits for another. */
	ASSERT(host_wait(host_calls_are, &host, 8));
	EXPECT_EQ(host.inside, 8);
	host.hold = false;
	ASSERT(host_wait(host_msi_is, &host, 8));
	for (i = 0; i < 4; i++) {
		EXPECT_EQ(host.msi[4 + i], 1);
		EXPECT_EQ(host.msi[8 + i], 1);
		EXPECT(!memcmp(card_mem(DDR + i * size, size), host.mem + i * size, size));
		EXPECT(!memcmp(card_mem(DDR + (8 + i) * size, size), host.mem + (8 + i) * size,
			       size));
	}
	host_down(&host);
}

static void test_edma_many_starts_lose_no_interrupt(void)
{
	uint32_t round, i;

	ASSERT(host_up(&host, NULL));
	for (round = 0; round < 2000; round++) {
		for (i = 0; i < 4; i++)
			host_start_single(&host, i % 2, i, RIE, 64 + round, HOST_BASE,
					  DDR + (i << 20));
		if (!host_wait(host_msi_is, &host, 4 * (round + 1))) {
			TAP_FAIL("interrupt lost in round %u", round);
			break;
		}
	}
	EXPECT(host_wait(host_is_idle, &host, 0));
	EXPECT_EQ(host.msi_total, 8000);
	EXPECT_EQ(host_stats(&host).doorbells_ignored, 0);
	host_down(&host);
}

int main(void)
{
	RUN(test_edma_reset_values_are_those_of_the_table);
	RUN(test_edma_every_bit_of_every_offset_follows_the_access_type);
	RUN(test_edma_survives_random_registers);
	RUN(test_edma_single_read_moves_host_to_card);
	RUN(test_edma_single_write_moves_card_to_host);
	RUN(test_edma_single_counts_its_registers_along);
	RUN(test_edma_list_moves_each_element_in_order);
	RUN(test_edma_list_may_lie_anywhere_in_card_memory);
	RUN(test_edma_elements_are_fetched_at_each_doorbell);
	RUN(test_edma_tiny_and_misaligned_sizes_are_exact);
	RUN(test_edma_large_transfer_goes_in_chunks);
	RUN(test_edma_zero_size_moves_nothing_and_ends_well);
	RUN(test_edma_cs_runs_before_any_later_read);
	RUN(test_edma_cs_is_stopped_before_the_imwr);
	RUN(test_edma_rie_in_mid_list_interrupts_a_running_channel);
	RUN(test_edma_without_rie_nothing_is_raised);
	RUN(test_edma_imwr_goes_whatever_status_and_mask_hold);
	RUN(test_edma_doorbell_needs_the_engine);
	RUN(test_edma_doorbell_of_no_channel_is_ignored);
	RUN(test_edma_doorbell_while_running_is_ignored);
	RUN(test_edma_second_doorbell_for_one_job_does_nothing);
	RUN(test_edma_stop_ends_at_the_next_chunk);
	RUN(test_edma_stop_of_an_idle_channel_does_nothing);
	RUN(test_edma_engine_off_stops_its_channels);
	RUN(test_edma_bad_card_address_aborts);
	RUN(test_edma_clearing_an_abort_clears_its_error);
	RUN(test_edma_bus_refusal_aborts_as_the_ip_does);
	RUN(test_edma_list_pointer_outside_memory_is_a_fetch_error);
	RUN(test_edma_abort_imwr_needs_its_enable_in_a_list);
	RUN(test_edma_failed_element_ends_the_list_there);
	RUN(test_edma_survives_garbage_lists);
	RUN(test_edma_imwr_data_is_the_channels_own);
	RUN(test_edma_foreign_imwr_is_refused_and_the_transfer_stands);
	RUN(test_edma_imwr_to_memory_is_a_write_of_four_bytes);
	RUN(test_edma_dma_vm_firmware_raises_without_imwr);
	RUN(test_edma_eight_channels_run_at_once);
	RUN(test_edma_many_starts_lose_no_interrupt);
	return tap_done();
}
