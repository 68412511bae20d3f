// SPDX-License-Identifier: MIT
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <tethys/hw/fwproto.h>
#include <tethys/hw/memory.h>

#include "card/internal.h"
#include "card/tests/fake_host.h"

static struct host host;

static uint64_t resident_bytes(void)
{
	unsigned long long size, resident = 0;
	FILE *file = fopen("/proc/self/statm", "r");

	if (!file || fscanf(file, "%llu %llu", &size, &resident) != 2)
		TAP_FAIL("%s", "can't read /proc/self/statm");
	if (file)
		fclose(file);
	return resident * sysconf(_SC_PAGESIZE);
}

static void test_memory_at_refuses_what_is_not_wholly_inside(void)
{
	static const struct {
		uint64_t addr, len;
		bool good;
	} cases[] = {
		{METIS_L2_BASE, 1, true},
		{METIS_L2_BASE, METIS_L2_BYTES, true},
		{METIS_L2_BASE, METIS_L2_BYTES + 1, false},
		{METIS_L2_BASE - 1, 1, false},
		{METIS_L2_BASE - 1, 2, false},
		{METIS_L2_BASE + METIS_L2_BYTES - 1, 1, true},
		{METIS_L2_BASE + METIS_L2_BYTES - 1, 2, false},
		{METIS_L2_BASE + METIS_L2_BYTES, 1, false},
		{METIS_L2_BASE, UINT64_MAX, false},
		{METIS_L2_BASE, UINT64_MAX - METIS_L2_BASE + 2, false},
		{METIS_DDR_BASE, METIS_DDR_BYTES, true},
		{METIS_DDR_BASE + 1, METIS_DDR_BYTES, false},
		{METIS_DDR_BASE - 1, 1, false},
		{METIS_DDR_BASE + METIS_DDR_BYTES - 1, 1, true},
		{METIS_DDR_BASE + METIS_DDR_BYTES, 1, false},
		{METIS_DDR_BASE, UINT64_MAX, false},
		{METIS_DDR_BASE, 0, false},
		{0, 1, false},
		{UINT64_MAX, 1, false},
		{UINT64_MAX, UINT64_MAX, false},
		{UINT64_MAX, METIS_DDR_BASE + 2, false},
	};
	size_t i;

	ASSERT(host_up(&host, NULL));
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		if (!card_memory_at(host.card, cases[i].addr, cases[i].len) == cases[i].good)
			TAP_FAIL("case %zu", i);
	host_down(&host);
}

static void test_memory_l2_is_one_memory_behind_its_descriptor(void)
{
	size_t trapped = 0;
	uint8_t *l2, *shared;
	int fd = -1;

	ASSERT(host_up(&host, NULL));
	l2 = card_l2(host.card, &fd, &trapped);
	EXPECT_EQ(trapped, METIS_FW_TRAPPED_BYTES);
	EXPECT_EQ(trapped % sysconf(_SC_PAGESIZE), 0);
	EXPECT_EQ(lseek(fd, 0, SEEK_END), METIS_L2_BYTES);
	EXPECT(l2 == card_memory_at(host.card, METIS_L2_BASE, METIS_L2_BYTES));
	shared = mmap(NULL, METIS_L2_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	ASSERT(shared != MAP_FAILED);
	shared[0x123456] = 0x5a;
	EXPECT_EQ(l2[0x123456], 0x5a);
	munmap(shared, METIS_L2_BYTES);
	host_down(&host);
}

static void test_memory_l2_can_not_be_shrunk(void)
{
	int fd;
	size_t trapped;

	ASSERT(host_up(&host, NULL));
	card_l2(host.card, &fd, &trapped);
	EXPECT_EQ(fcntl(fd, F_GET_SEALS), F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
	EXPECT_EQ(ftruncate(fd, 4096), -1);
	EXPECT_EQ(ftruncate(fd, 2 * METIS_L2_BYTES), -1);
	host_down(&host);
}

static void test_memory_clear_gives_all_of_it_back(void)
{
	const size_t bytes = 64 << 20;
	uint64_t before, full;
	uint8_t *ddr, *l2;

	ASSERT(host_up(&host, NULL));
	before = resident_bytes();
	ddr = card_memory_at(host.card, METIS_DDR_BASE + (1ull << 32), bytes);
	l2 = host_l2(&host);
	memset(ddr, 0xa5, bytes);
	memset(l2 + 0x10000, 0xa5, METIS_L2_BYTES - 0x10000);
	full = resident_bytes();
	EXPECT(full > before + bytes);
	card_reset(host.card, CARD_RESET_COLD);
	EXPECT(resident_bytes() < before + (8 << 20));
	EXPECT_EQ(ddr[0], 0);
	EXPECT_EQ(ddr[bytes - 1], 0);
	EXPECT_EQ(l2[0x10000], 0);
	EXPECT_EQ(l2[METIS_L2_BYTES - 1], 0);
	host_down(&host);
}

static void test_memory_idle_card_stays_under_40_mib(void)
{
	const struct card_config config = {.engine = "null", .keep_imwr = -1};
	uint64_t before = resident_bytes();
	struct card *card = NULL;

	ASSERT_EQ(card_create(&config, &card, NULL), 0);
	printf("# idle card: %u KiB resident, %u KiB of it the card's\n",
	       (unsigned int)(resident_bytes() >> 10),
	       (unsigned int)((resident_bytes() - before) >> 10));
	EXPECT(resident_bytes() - before < 4 << 20);
#ifndef __SANITIZE_ADDRESS__
	EXPECT(resident_bytes() < 40 << 20);
#endif
	card_destroy(card);
}

int main(void)
{
	RUN(test_memory_idle_card_stays_under_40_mib);
	RUN(test_memory_at_refuses_what_is_not_wholly_inside);
	RUN(test_memory_l2_is_one_memory_behind_its_descriptor);
	RUN(test_memory_l2_can_not_be_shrunk);
	RUN(test_memory_clear_gives_all_of_it_back);
	return tap_done();
}
