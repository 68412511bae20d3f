/* SPDX-License-Identifier: MIT */
#include <errno.h>

#include "runtime/ddr.h"
#include "tests/tap.h"

static void test_ddr_takes_first_fit_and_aligns(void)
{
	uint64_t a = 0, b = 0, c = 0, d = 0;
	struct ddr ddr;

	ddr_init(&ddr, 0x1001, 0x1000);
	EXPECT_EQ(ddr_alloc(&ddr, 1, &a, NULL), 0);
	EXPECT_EQ(a, 0x1040);
	EXPECT_EQ(ddr_alloc(&ddr, 100, &b, NULL), 0);
	EXPECT_EQ(b, 0x1080);
	EXPECT_EQ(ddr_alloc(&ddr, 64, &c, NULL), 0);
	EXPECT_EQ(c, 0x1100);
	ddr_free(&ddr, b);
	EXPECT_EQ(ddr_alloc(&ddr, 129, &d, NULL), 0);
	EXPECT_EQ(d, 0x1140);
	EXPECT_EQ(ddr_alloc(&ddr, 128, &b, NULL), 0);
	EXPECT_EQ(b, 0x1080);
	ddr_deinit(&ddr);
}

static void test_ddr_full_is_an_error_until_freed(void)
{
	struct reason why = {0};
	uint64_t a = 0, b = 77;
	struct ddr ddr;

	ddr_init(&ddr, 0x80000000, 4096);
	EXPECT_EQ(ddr_alloc(&ddr, 4096, &a, NULL), 0);
	EXPECT_EQ(ddr_alloc(&ddr, 1, &b, &why), -ENOSPC);
	EXPECT_EQ(b, 77);
	EXPECT(why.text[0]);
	ddr_free(&ddr, 0);
	ddr_free(&ddr, a);
	EXPECT_EQ(ddr_alloc(&ddr, 1, &b, NULL), 0);
	EXPECT_EQ(b, a);
	EXPECT_EQ(ddr_alloc(&ddr, UINT64_MAX, &b, NULL), -ENOSPC);
	EXPECT_EQ(ddr_alloc(&ddr, 4097, &b, NULL), -ENOSPC);
	ddr_deinit(&ddr);
}

static void test_ddr_of_no_size_has_nothing(void)
{
	struct ddr ddr;
	uint64_t a = 0;

	ddr_init(&ddr, 0x1001, 10);
	EXPECT_EQ(ddr_alloc(&ddr, 1, &a, NULL), -ENOSPC);
	ddr_deinit(&ddr);
}

/* Random use against a map of bytes: nothing overlaps, nothing leaks. */
static void test_ddr_random_use_never_overlaps(void)
{
	enum { UNITS = 256, LIVE = 40 };
	unsigned char map[UNITS] = {0};
	uint64_t addr[LIVE] = {0}, units[LIVE] = {0}, u;
	unsigned int n, i, seed = 1;
	struct ddr ddr;

	ddr_init(&ddr, 0, UNITS * DDR_ALIGN);
	ddr.base = DDR_ALIGN; /* so that 0 stays "none" */
	for (n = 0; n < 20000; n++) {
		i = (unsigned int)rand_r(&seed) % LIVE;
		if (addr[i]) {
			memset(map + addr[i] / DDR_ALIGN - 1, 0, units[i]);
			ddr_free(&ddr, addr[i]);
			addr[i] = 0;
			continue;
		}
		units[i] = 1 + (unsigned int)rand_r(&seed) % 16;
		if (ddr_alloc(&ddr, units[i] * DDR_ALIGN - 5, &addr[i], NULL))
			continue;
		ASSERT(addr[i] / DDR_ALIGN - 1 + units[i] <= UNITS);
		for (u = 0; u < units[i]; u++)
			ASSERT(!map[addr[i] / DDR_ALIGN - 1 + u]++);
	}
	for (i = 0; i < LIVE; i++)
		ddr_free(&ddr, addr[i]);
	EXPECT(!ddr.ranges);
	ddr_deinit(&ddr);
}

int main(void)
{
	RUN(test_ddr_takes_first_fit_and_aligns);
	RUN(test_ddr_full_is_an_error_until_freed);
	RUN(test_ddr_of_no_size_has_nothing);
	RUN(test_ddr_random_use_never_overlaps);
	return tap_done();
}
