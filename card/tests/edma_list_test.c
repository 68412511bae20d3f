// SPDX-License-Identifier: MIT
/* Lists of the DMA engine: where they lead, where they are, what may be appended. */
#include "card/tests/edma_host.h"

/* --- links and cycle bits --- */

static void link_to(uint64_t at, uint32_t control, uint64_t target)
{
	host_element(&host, at, METIS_EDMA_LLP | control, 0, target, 0);
}

static void test_edma_link_leads_on(void)
{
	uint64_t list = host_list(true, 0), second = METIS_L2_BASE + 0x100001;

	ASSERT(host_up(&host, NULL));
	fill(card_mem(DDR, 128), 128, 1);
	host_element(&host, list, CB, 64, DDR, HOST_BASE);
	link_to(list + 24, CB, second);
	host_element(&host, second, CB | RIE, 64, DDR + 64, HOST_BASE + 64);
	terminate(second + 24);
	host_start_list(&host, true, 0, list);
	ASSERT(host_wait(host_msi_is, &host, 1));
	EXPECT(!memcmp(card_mem(DDR, 128), host.mem, 128));
	EXPECT_EQ(host_reg(&host, METIS_EDMA_WR_CH(0) + METIS_EDMA_CH_LLP_LO), second + 24);
	host_down(&host);
}

/* How mainline's driver runs a ring: the link is the terminator until the next lap is written. */
static void test_edma_ring_goes_on_with_toggled_cycle(void)
{
	uint64_t list = host_list(false, 0);
	uint32_t lap, control;

	ASSERT(host_up(&host, NULL));
	for (lap = 0; lap < 4; lap++) {
		control = lap % 2 ? 0 : CB;
		host_element(&host, list, control, 16, HOST_BASE + 64 * lap, DDR + 64 * lap);
		host_element(&host, list + 24, control | RIE, 16, HOST_BASE + 64 * lap + 16,
			     DDR + 64 * lap + 16);
		link_to(list + 48, METIS_EDMA_TCB | (control ^ CB), list);
		if (!lap)
			host_start_list(&host, false, 0, list);
		else
			host_ring(&host, false, 0);
		ASSERT(host_wait(host_msi_is, &host, lap + 1));
		EXPECT(!memcmp(card_mem(DDR + 64 * lap, 32), host.mem + 64 * lap, 32));
		EXPECT_EQ(host_reg(&host, METIS_EDMA_RD_CH(0) + METIS_EDMA_CH_LLP_LO), list + 48);
		EXPECT_EQ(!!(host_reg(&host, METIS_EDMA_RD_CH(0)) & METIS_EDMA_CCS), !(lap % 2));
	}
	EXPECT_EQ(host.calls, 8);
	host_down(&host);
}

static uint64_t llp_of(struct host *h, bool write, unsigned int index)
{
	uint32_t low = host_channel(write, index) + METIS_EDMA_CH_LLP_LO;

	return host_reg(h, low) | (uint64_t)host_reg(h, low + 4) << 32;
}

/* --- where a running list is --- */

/* Element n moves the host's page n. */
static void check_llp(struct host *h, uint64_t iova)
{
	h->seen += llp_of(h, false, 2) == host_list(false, 2) + 24 * ((iova - HOST_BASE) / 4096);
}

static void test_edma_llp_names_the_element_in_work(void)
{
	uint64_t list = host_list(false, 2);
	uint32_t i;

	ASSERT(host_up(&host, NULL));
	host.on_dma = check_llp;
	for (i = 0; i < 100; i++)
		host_element(&host, list + 24 * i, CB, 64, HOST_BASE + 4096 * i, DDR + 64 * i);
	terminate(list + 24 * i);
	host_start_list(&host, false, 2, list);
	EXPECT_EQ(host_finish(&host, false, 2), METIS_EDMA_CS_STOPPED);
	EXPECT_EQ(host.seen, 100);
	EXPECT_EQ(llp_of(&host, false, 2), list + 24 * i);
	/* Then it is the host's again. */
	host_set64(&host, METIS_EDMA_RD_CH(2) + METIS_EDMA_CH_LLP_LO, 0x123456789abc);
	EXPECT_EQ(llp_of(&host, false, 2), 0x123456789abc);
	host_down(&host);
}

static void remember_llp(struct host *h, unsigned int vector)
{
	(void)vector;
	h->seen = h->seen << 8 | (llp_of(h, true, 1) - host_list(true, 1)) / 24;
}

static void test_edma_watermark_interrupt_finds_llp_behind_its_element(void)
{
	uint64_t list = host_list(true, 1);
	uint32_t i;

	ASSERT(host_up(&host, NULL));
	host.on_msi = remember_llp;
	for (i = 0; i < 6; i++)
		host_element(&host, list + 24 * i, CB | (i % 2 ? RIE : 0), 64, DDR, HOST_BASE);
	terminate(list + 24 * i);
	host_start_list(&host, true, 1, list);
	ASSERT(host_wait(host_msi_is, &host, 3));
	EXPECT_EQ(host.seen, 0x020406);
	host_down(&host);
}

static void test_edma_llp_beyond_all_memory_reads_back_when_it_has_failed(void)
{
	ASSERT(host_up(&host, NULL));
	host_start_list(&host, false, 0, 0xfedcba9876543210);
	EXPECT_EQ(host_finish(&host, false, 0), METIS_EDMA_CS_HALTED);
	EXPECT_EQ(llp_of(&host, false, 0), 0xfedcba9876543210);
	host_down(&host);
}

/* A worker that a reset has left behind in the bus says nothing of the list that runs since. */
static void test_edma_llp_of_a_forgotten_job_is_not_shown(void)
{
	uint64_t old = host_list(false, 0), list = METIS_L2_BASE + 0x100000;
	uint32_t i;

	ASSERT(host_up(&host, NULL));
	for (i = 0; i < 50; i++) {
		host_element(&host, old + 24 * i, CB, 64, HOST_BASE, DDR);
		host_element(&host, list + 24 * i, CB, 64, HOST_BASE, DDR);
	}
	terminate(old + 24 * i);
	terminate(list + 24 * i);
	host.hold = true;
	host_start_list(&host, false, 0, old);
	ASSERT(host_wait(host_calls_are, &host, 1));
	EXPECT_EQ(llp_of(&host, false, 0), old);
	card_reset(host.card, CARD_RESET_COLD);
	EXPECT_EQ(llp_of(&host, false, 0), 0);
	/* The reset has taken the lists as well. */
	for (i = 0; i < 50; i++)
		host_element(&host, list + 24 * i, CB, 64, HOST_BASE, DDR);
	terminate(list + 24 * i);
	host_bus_master(&host, true);
	host_setup_edma(&host);
	host_start_list(&host, false, 0, list);
	ASSERT(host_wait(host_calls_are, &host, 2));
	EXPECT_EQ(llp_of(&host, false, 0), list);
	host.hold = false;
	EXPECT_EQ(host_finish(&host, false, 0), METIS_EDMA_CS_STOPPED);
	EXPECT_EQ(llp_of(&host, false, 0), list + 24 * i);
	host_down(&host);
}

/* --- a ring that a driver appends to --- */

#define RING_SLOTS 8u /* of data; a link stands behind them */
#define RING_BYTES 512u

struct ring {
	uint64_t list;
	bool write;
	uint32_t appended, done; /* elements, since the start */
	uint32_t rung;		 /* doorbells */
};

/* The control word last: the engine may be looking. */
static void ring_store(uint64_t at, uint32_t control, uint32_t size, uint64_t sar, uint64_t dar)
{
	uint64_t offset = at - METIS_L2_BASE;

	EXPECT_EQ(card_region_write(host.card, METIS_BAR_L2, offset + 4, &size, 4), 0);
	EXPECT_EQ(card_region_write(host.card, METIS_BAR_L2, offset + 8, &sar, 8), 0);
	EXPECT_EQ(card_region_write(host.card, METIS_BAR_L2, offset + 16, &dar, 8), 0);
	EXPECT_EQ(card_region_write(host.card, METIS_BAR_L2, offset, &control, 4), 0);
}

static void ring_append(struct ring *ring)
{
	uint32_t n = ring->appended, slot = n % RING_SLOTS;
	uint32_t cycle = n / RING_SLOTS % 2 ? 0 : CB;
	uint64_t iova = HOST_BASE + n * RING_BYTES, card = DDR + n * 4096;

	ring_store(ring->list + 24 * slot, cycle | (n % 3 ? 0 : RIE), RING_BYTES,
		   ring->write ? card : iova, ring->write ? iova : card);
	/* After the last slot of a lap the way to the next one opens. */
	if (slot == RING_SLOTS - 1)
		ring_store(ring->list + 24 * RING_SLOTS, METIS_EDMA_LLP | METIS_EDMA_TCB | cycle, 0,
			   ring->list, 0);
	ring->appended++;
}

/* At most RING_SLOTS - 1 are on their way, so LLP says which are done. */
static void ring_look(struct ring *ring)
{
	uint32_t slot = (llp_of(&host, ring->write, 3) - ring->list) / 24 % RING_SLOTS;

	ring->done += (slot + RING_SLOTS - ring->done % RING_SLOTS) % RING_SLOTS;
}

static void ring_ring(struct ring *ring)
{
	if (host_cs(&host, ring->write, 3) == METIS_EDMA_CS_RUNNING)
		return;
	ring_look(ring);
	if (ring->done == ring->appended)
		return;
	host_ring(&host, ring->write, 3);
	ring->rung++;
}

static uint32_t ring_pause(uint32_t *seed)
{
	*seed = *seed * 1664525 + 1013904223;
	return *seed >> 20;
}

/* CCS and LLP are written once: all other starts go on where the engine has left them. */
static void ring_stream(struct ring *ring, uint32_t total, uint32_t seed)
{
	uint64_t until = host_now_ms() + 10000;
	uint32_t pause;

	host_reg_set(&host, host_channel(ring->write, 3), METIS_EDMA_LLE | METIS_EDMA_CCS);
	host_set64(&host, host_channel(ring->write, 3) + METIS_EDMA_CH_LLP_LO, ring->list);
	while (ring->done < total && host_now_ms() < until) {
		pause = ring_pause(&seed);
		if (pause % 4 == 0)
			host_sleep_us(pause % 64);
		ring_look(ring);
		EXPECT(ring->done <= ring->appended);
		if (ring->appended < total && ring->appended - ring->done < RING_SLOTS - 1)
			ring_append(ring);
		ring_ring(ring);
	}
	EXPECT_EQ(ring->done, total);
	EXPECT_EQ(host_finish(&host, ring->write, 3), METIS_EDMA_CS_STOPPED);
}

static void ring_check(struct ring *ring, uint32_t total)
{
	uint32_t n, wrong = 0;

	for (n = 0; n < total; n++)
		wrong += memcmp(host.mem + n * RING_BYTES, card_mem(DDR + n * 4096, RING_BYTES),
				RING_BYTES) != 0;
	EXPECT_EQ(wrong, 0);
	EXPECT_EQ(host.calls, total);
	EXPECT(host_stats(&host).dma_jobs <= ring->rung);
}

static void test_edma_ring_takes_what_is_appended_while_it_runs(void)
{
	uint32_t seed, n, starts = 0;

	for (seed = 0; seed < 40; seed++) {
		struct ring ring = {.write = seed % 2};

		ASSERT(host_up(&host, NULL));
		ring.list = host_list(ring.write, 3);
		for (n = 0; ring.write && n < 100; n++)
			fill(card_mem(DDR + n * 4096, RING_BYTES), RING_BYTES, seed + n);
		host.delay_us = seed % 4 ? 0 : 20;
		ring_stream(&ring, 100, seed);
		ring_check(&ring, 100);
		starts += host_stats(&host).dma_jobs;
		host_down(&host);
	}
	printf("# 40 times 100 elements: %u starts\n", starts);
	EXPECT(starts > 40);
}

/* --- lists and single transfers in turn --- */

static void test_edma_single_and_list_may_take_turns(void)
{
	uint64_t list = host_list(false, 1);
	uint32_t round;

	ASSERT(host_up(&host, NULL));
	for (round = 0; round < 4; round++) {
		host_element(&host, list, CB, 64, HOST_BASE + 512 * round, DDR + 512 * round);
		host_element(&host, list + 24, CB | RIE, 64, HOST_BASE + 512 * round + 64,
			     DDR + 512 * round + 64);
		terminate(list + 48);
		host_start_list(&host, false, 1, list);
		ASSERT(host_wait(host_msi_is, &host, 2 * round + 1));
		EXPECT(!memcmp(card_mem(DDR + 512 * round, 128), host.mem + 512 * round, 128));
		host_start_single(&host, false, 1, RIE, 100, HOST_BASE + 512 * round + 256,
				  DDR + 512 * round + 256);
		ASSERT(host_wait(host_msi_is, &host, 2 * round + 2));
		EXPECT(!memcmp(card_mem(DDR + 512 * round + 256, 100), host.mem + 512 * round + 256,
			       100));
		/* Its size is used up: another doorbell moves nothing. */
		host_ring(&host, false, 1);
		EXPECT_EQ(host_finish(&host, false, 1), METIS_EDMA_CS_STOPPED);
	}
	EXPECT(host_wait(host_is_idle, &host, 0));
	EXPECT_EQ(host.calls, 12);
	EXPECT_EQ(host.msi_total, 8);
	host_down(&host);
}

static void test_edma_loop_of_links_is_an_error(void)
{
	uint64_t list = host_list(false, 0);

	ASSERT(host_up(&host, NULL));
	host_reg_set(&host, METIS_EDMA_RD_LL_ERR_EN, 1);
	link_to(list, CB, list + 24);
	link_to(list + 24, CB, list);
	host_start_list(&host, false, 0, list);
	ASSERT(host_wait(host_msi_is, &host, 1));
	EXPECT_EQ(host_cs(&host, false, 0), METIS_EDMA_CS_HALTED);
	EXPECT_EQ(host_reg(&host, METIS_EDMA_RD_ERR_STATUS_LO), 0x10000);
	/* Elements of nothing lead nowhere either. */
	host_element(&host, list, CB, 0, 0, 0);
	host_start_list(&host, false, 0, list);
	ASSERT(host_wait(host_msi_is, &host, 2));
	EXPECT_EQ(host_cs(&host, false, 0), METIS_EDMA_CS_HALTED);
	host_down(&host);
}

static void test_edma_endless_list_can_be_stopped_and_reset(void)
{
	uint64_t list = host_list(true, 0), began;

	ASSERT(host_up(&host, NULL));
	host_element(&host, list, CB, 1, DDR, HOST_BASE);
	link_to(list + 24, CB, list);
	host_start_list(&host, true, 0, list);
	ASSERT(host_wait(host_calls_are, &host, 100000));
	EXPECT_EQ(host_cs(&host, true, 0), METIS_EDMA_CS_RUNNING);
	host_ring(&host, true, METIS_EDMA_DOORBELL_STOP);
	EXPECT_EQ(host_finish(&host, true, 0), METIS_EDMA_CS_STOPPED);
	host_start_list(&host, true, 0, list);
	began = host_now_ms();
	card_reset(host.card, CARD_RESET_FLR);
	EXPECT(host_now_ms() - began < 50);
	EXPECT(host_wait(host_is_idle, &host, 0));
	host_down(&host);
}

int main(void)
{
	RUN(test_edma_link_leads_on);
	RUN(test_edma_ring_goes_on_with_toggled_cycle);
	RUN(test_edma_llp_names_the_element_in_work);
	RUN(test_edma_watermark_interrupt_finds_llp_behind_its_element);
	RUN(test_edma_llp_beyond_all_memory_reads_back_when_it_has_failed);
	RUN(test_edma_llp_of_a_forgotten_job_is_not_shown);
	RUN(test_edma_ring_takes_what_is_appended_while_it_runs);
	RUN(test_edma_single_and_list_may_take_turns);
	RUN(test_edma_loop_of_links_is_an_error);
	RUN(test_edma_endless_list_can_be_stopped_and_reset);
	return tap_done();
}
