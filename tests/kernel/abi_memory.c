// SPDX-License-Identifier: MIT
/* USER_XFER: memory of the program, whatever it looks like. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <tethys/hw/edma.h>
#include <tethys/hw/fwarea.h>
#include <tethys/hw/fwproto.h>
#include <tethys/hw/memory.h>

#include "abi.h"

#define RD METIS_XFER_READ
#define WR METIS_XFER_WRITE

static void test_sizes(void)
{
	static const struct {
		uint32_t size, from, to, card; /* bytes, offsets of both ends and on the card */
	} table[] = {
		{1, 0, 0, 0},
		{1, 4095, 1, 3},
		{2, 4095, 4095, 4095},
		{3, 1, 2, 1},
		{4, 0, 0, 0},
		{63, 65, 1, 7},
		{4095, 1, 0, 0},
		{4096, 0, 0, 0},
		{4096, 1, 4095, 0},
		{4097, 4095, 4095, 5},
		{8192, 0, 2048, 0},
		{65536 + 13, 7, 4091, 11},
		{167 * 4096, 0, 0, 0},		/* one list of the vendor's */
		{167 * 4096 + 1, 4095, 1, 0},	/* one element more */
		{2 * 170 * 4096, 13, 4000, 64}, /* two lists of ours */
		{150528, 0, 0, 0},		/* an image of 224 x 224 */
		{3000003, 4001, 17, 4093},
	};
	uint8_t *from = abi_memory(4 * ABI_MIB), *to = abi_memory(4 * ABI_MIB);
	int fd = abi_open();

	for (unsigned int i = 0; i < ARRAY_NR(table); i++) {
		uint8_t *end = to + table[i].to + table[i].size;

		if (table[i].to)
			to[table[i].to - 1] = 0xc3;
		*end = 0xc3;
		if (!abi_round_trip(fd, ABI_CARD(0) + table[i].card, from + table[i].from,
				    to + table[i].to, table[i].size))
			abi_note("size %u, offsets %u, %u, %u", table[i].size, table[i].from,
				 table[i].to, table[i].card);
		EXPECT_EQ(*end, 0xc3);
		if (table[i].to)
			EXPECT_EQ(to[table[i].to - 1], 0xc3);
	}
	close(fd);
}

/* A write changes what it names, and no byte beside it. */
static void test_neighbours_on_the_card(void)
{
	uint8_t *at = abi_memory(3 * ABI_PAGE);
	int fd = abi_open();

	memset(at, 0x11, 3 * ABI_PAGE);
	ASSERT_RET(abi_transfer(fd, WR, ABI_CARD(0), at, 3 * ABI_PAGE), 0);
	memset(at, 0x22, ABI_PAGE);
	ASSERT_RET(abi_transfer(fd, WR, ABI_CARD(0) + ABI_PAGE + 5, at, 77), 0);
	ASSERT_RET(abi_transfer(fd, RD, ABI_CARD(0), at, 3 * ABI_PAGE), 0);
	for (unsigned int i = 0; i < 3 * ABI_PAGE; i++) {
		bool inside = i >= ABI_PAGE + 5 && i < ABI_PAGE + 5 + 77;

		if (at[i] != (inside ? 0x22 : 0x11)) {
			EXPECT_EQ(i, -1);
			break;
		}
	}
	close(fd);
}

/* Pages in an order that leaves no two adjacent ones together. */
static uint8_t *scattered(size_t len)
{
	uint8_t *pool = abi_memory(2 * len), *at = abi_memory(len);
	size_t i, pages = len / ABI_PAGE;

	madvise(pool, 2 * len, MADV_NOHUGEPAGE);
	memset(pool, 1, 2 * len);
	munmap(at, len);
	for (i = 0; i < pages; i++) {
		void *page = pool + 2 * ABI_PAGE * (i * 7 % pages);

		if (mremap(page, ABI_PAGE, ABI_PAGE, MREMAP_MAYMOVE | MREMAP_FIXED,
			   at + i * ABI_PAGE) == MAP_FAILED)
			abi_skip("mremap: %s", strerror(errno));
	}
	return at;
}

static void test_scattered(void)
{
	const size_t len = 3 * ABI_MIB;
	uint8_t *from = scattered(len), *to = scattered(len);
	int fd = abi_open();

	abi_round_trip(fd, ABI_CARD(0), from, to, len);
	abi_round_trip(fd, ABI_CARD(0) + 1, from + 1, to + 4095, len - ABI_PAGE);
	close(fd);
}

static void test_45_mb(void)
{
	const size_t len = 45000000;
	uint8_t *at = abi_memory(len);
	int fd = abi_open();

	abi_round_trip(fd, ABI_CARD(0), at, at, len);
	close(fd);
}

static void test_huge_pages(void)
{
	const size_t len = 4 * ABI_MIB;
	uint8_t *at = mmap(NULL, len, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);
	int fd = abi_open();

	if (at == MAP_FAILED) {
		abi_note("no huge pages are reserved: transparent ones, perhaps");
		at = abi_memory(4 * len);
		at += -(uintptr_t)at % (2 * ABI_MIB);
		madvise(at, 3 * len, MADV_HUGEPAGE);
	}
	abi_round_trip(fd, ABI_CARD(0), at, at, len);
	abi_round_trip(fd, ABI_CARD(0), at + 3, at + 3, len - 4);
	close(fd);
}

/* Memory that is shared after a fork: the card's bytes are for the one who asked. */
static void test_copy_on_write(void)
{
	uint8_t *at = abi_memory(ABI_PAGE);
	int fd = abi_open(), pid, pipes[2];
	char go = 0;

	ASSERT(!pipe(pipes));
	abi_fill(at, ABI_PAGE, 1);
	ASSERT_RET(abi_transfer(fd, WR, ABI_CARD(0), at, ABI_PAGE), 0);
	abi_fill(at, ABI_PAGE, 2);
	pid = fork();
	if (!pid) {
		if (read(pipes[0], &go, 1) != 1)
			_exit(2);
		_exit(abi_differs(at, ABI_PAGE, 2) >= 0);
	}
	EXPECT_RET(abi_transfer(fd, RD, ABI_CARD(0), at, ABI_PAGE), 0);
	EXPECT_EQ(abi_differs(at, ABI_PAGE, 1), -1);
	EXPECT(write(pipes[1], &go, 1) == 1);
	EXPECT_EQ(abi_wait(pid, 5000), 0);
	close(fd);
}

static void test_read_only_source(void)
{
	const size_t len = 5 * ABI_PAGE;
	uint8_t *at = abi_memory(len), *to = abi_memory(len), *file;
	int fd = abi_open(), exe = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);

	abi_fill(at, len, 3);
	mprotect(at, len, PROT_READ);
	EXPECT_RET(abi_transfer(fd, WR, ABI_CARD(0), at, len), 0);
	EXPECT_RET(abi_transfer(fd, RD, ABI_CARD(0), to, len), 0);
	EXPECT_EQ(abi_differs(to, len, 3), -1);
	for (int flags = MAP_SHARED; flags <= MAP_PRIVATE; flags++) {
		file = mmap(NULL, len, PROT_READ, flags, exe, 0);
		ASSERT(file != MAP_FAILED);
		EXPECT_RET(abi_transfer(fd, WR, ABI_CARD(0), file, len), 0);
		EXPECT_RET(abi_transfer(fd, RD, ABI_CARD(0), to, len), 0);
		EXPECT(!memcmp(to, file, len));
	}
	close(exe);
	close(fd);
}

/* Addresses that are no memory for this. Sizes: two pages, unless said. */
struct bad {
	const char *what;
	uintptr_t at;
	uint64_t size;
	unsigned int flags;
};

static uintptr_t pages_then_hole(unsigned int pages)
{
	uint8_t *at = abi_memory((pages + 2) * ABI_PAGE);

	memset(at, 1, (pages + 1) * ABI_PAGE);
	munmap(at + pages * ABI_PAGE, 2 * ABI_PAGE);
	return (uintptr_t)at;
}

static void test_bad_memory(void)
{
	const uintptr_t read_only =
		(uintptr_t)mmap(NULL, 4 * ABI_PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	const uintptr_t none =
		(uintptr_t)mmap(NULL, 4 * ABI_PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int fd = abi_open();
	const uintptr_t device = (uintptr_t)mmap(NULL, 4 * ABI_PAGE, PROT_READ | PROT_WRITE,
						 MAP_SHARED, fd, METIS_MMAP_L2);
	const struct bad table[] = {
		{"NULL", 0, 8192, RD | WR},
		{"the kernel's", 0xffff888000000000, 8192, RD | WR},
		{"no address at all", 0x8000000000000000, 8192, RD | WR},
		{"the end of all", UINTPTR_MAX - 100, 50, RD | WR},
		{"unmapped", pages_then_hole(0), 8192, RD | WR},
		{"one page mapped", pages_then_hole(1), 8192, RD | WR},
		{"600 pages mapped", pages_then_hole(600), 601 * ABI_PAGE, RD | WR},
		{"no access", none, 8192, RD | WR},
		{"read-only, to be written", read_only, 8192, RD},
		{"the card's own", device, 8192, RD | WR},
	};

	for (unsigned int i = 0; i < ARRAY_NR(table); i++) {
		for (unsigned int flags = RD; flags <= WR; flags <<= 1) {
			if (table[i].flags & flags &&
			    !EXPECT_RET(abi_transfer(fd, flags, ABI_CARD(0), (void *)table[i].at,
						     table[i].size),
					-EFAULT))
				abi_note("%s", table[i].what);
		}
	}
	close(fd);
}

static void test_bad_sizes(void)
{
	uint8_t *at = (uint8_t *)pages_then_hole(4);
	int fd = abi_open();
	const uint64_t wrap = UINT64_MAX - (uintptr_t)at;
	const uint64_t sizes[] = {
		UINT64_MAX, UINT64_MAX - 4095,	wrap,	    wrap + 1,	wrap + 2,
		1ull << 63, 0x7fffffffffffffff, 1ull << 47, 1ull << 32, (1ull << 44) + 1,
	};

	for (unsigned int flags = RD; flags <= WR; flags <<= 1) {
		EXPECT_RET(abi_transfer(fd, flags, ABI_CARD(0), at, 0), -EINVAL);
		EXPECT_RET(abi_transfer(fd, flags, ABI_CARD(0), NULL, 0), -EINVAL);
		for (unsigned int i = 0; i < ARRAY_NR(sizes); i++) {
			if (!EXPECT_RET(abi_transfer(fd, flags, ABI_CARD(0), at, sizes[i]), -EINVAL,
					-EFAULT, -ENOMEM))
				abi_note("size %#llx", (unsigned long long)sizes[i]);
		}
	}
	abi_round_trip(fd, ABI_CARD(0), at, at, 4 * ABI_PAGE);
	close(fd);
}

static void test_card_address_beyond(void)
{
	static const uint64_t end = METIS_DDR_BASE + METIS_DDR_BYTES;
	const uint64_t cards[] = {0, end, end - ABI_PAGE, end - 1, 1ull << 40, METIS_DDR_BASE - 1};
	const uint64_t wraps[] = {UINT64_MAX, UINT64_MAX - 8191, UINT64_MAX - 8192};
	uint8_t *at = abi_memory(4 * ABI_PAGE);
	int fd = abi_open();

	for (unsigned int flags = RD; flags <= WR; flags <<= 1) {
		for (unsigned int i = 0; i < ARRAY_NR(cards); i++) {
			if (!EXPECT_RET(abi_transfer(fd, flags, cards[i], at, 2 * ABI_PAGE), -EIO))
				abi_note("card address %#llx", (unsigned long long)cards[i]);
			abi_round_trip(fd, ABI_CARD(0), at, at, 4 * ABI_PAGE);
		}
		for (unsigned int i = 0; i < ARRAY_NR(wraps); i++)
			EXPECT_RET(abi_transfer(fd, flags, wraps[i], at, 2 * ABI_PAGE), -EINVAL,
				   -EIO);
	}
	abi_round_trip(fd, ABI_CARD(0), at, at, 4 * ABI_PAGE);
	close(fd);
}

static void test_reserved_ranges(void)
{
	uint8_t *at = abi_memory(ABI_MIB);
	int fd = abi_open();
	const uint64_t lists = abi_lists_base(fd);
	const struct {
		uint64_t card, size;
	} table[] = {
		{METIS_L2_BASE, 4},
		{METIS_L2_BASE, METIS_SYSCTL_BYTES},
		{METIS_L2_BASE, ABI_MIB},
		{METIS_L2_BASE + METIS_SYSCTL_BYTES - 1, 1},
		{lists, 1},
		{lists + METIS_EDMA_LISTS_BYTES - 1, 1},
		{lists - 1, 2},
		{lists + METIS_EDMA_LISTS_BYTES - 1, 2},
		{lists - 0x8000, ABI_MIB},
	};

	abi_drop_rawio();
	for (unsigned int i = 0; i < ARRAY_NR(table); i++) {
		if (!EXPECT_RET(abi_transfer(fd, WR, table[i].card, at, table[i].size), -EINVAL))
			abi_note("card address %#llx", (unsigned long long)table[i].card);
		EXPECT_RET(abi_transfer(fd, RD, table[i].card, at, table[i].size), -EINVAL);
	}
	abi_round_trip(fd, METIS_L2_BASE + 0x800000, at, at, 2 * ABI_PAGE);
	close(fd);
}

/* Another one's look at a file of which a mapping got the card's bytes. */
static void check_file(const char *path, size_t len)
{
	uint8_t *copy = abi_memory(len);
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
	EXPECT(read(fd, copy, len) == (ssize_t)len);
	EXPECT_EQ(abi_differs(copy, len, 9), -1);
	close(fd);
}

static void test_shared_file(void)
{
	const size_t len = 300 * ABI_PAGE;
	const char *dir = getenv("TMPDIR");
	uint8_t *from = abi_memory(len), *at;
	char path[256];
	int fd = abi_open(), file;

	snprintf(path, sizeof(path), "%s/metis-abi-XXXXXX", dir ? dir : "/tmp");
	file = mkstemp(path);
	if (file < 0 || ftruncate(file, (off_t)len))
		abi_skip("%s: %s", path, strerror(errno));
	at = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
	ASSERT(at != MAP_FAILED);
	abi_fill(from, len, 9);
	EXPECT_RET(abi_transfer(fd, WR, ABI_CARD(0), from, len), 0);
	for (int touched = 0; touched < 2; touched++) {
		if (touched)
			memset(at, 0x77, len);
		EXPECT(!msync(at, len, MS_SYNC));
		EXPECT_RET(abi_transfer(fd, RD, ABI_CARD(0), at, len), 0);
		EXPECT(!msync(at, len, MS_SYNC) && !fsync(file));
		check_file(path, len);
	}
	munmap(at, len);
	close(file);
	check_file(path, len);
	unlink(path);
	close(fd);
}

static int64_t vmstat(const char *name)
{
	char line[128], key[64];
	long long value, ret = -1;
	FILE *file = fopen("/proc/vmstat", "re");

	while (file && fgets(line, sizeof(line), file)) {
		if (sscanf(line, "%63s %lld", key, &value) == 2 && !strcmp(key, name))
			ret = value;
	}
	if (file)
		fclose(file);
	return ret;
}

/*
 * Each processor keeps a difference of its own. Root can have them added up now; else that happens
 * about once a second.
 */
static void add_up_vmstat(void)
{
	int fd = open("/proc/sys/vm/stat_refresh", O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, "1", 1) != 1)
		abi_sleep_ms(2500);
	if (fd >= 0)
		close(fd);
}

static int64_t pinned_pages(void)
{
	add_up_vmstat();
	return vmstat("nr_foll_pin_acquired") - vmstat("nr_foll_pin_released");
}

/* Nobody else on the machine should pin memory meanwhile. */
static void test_pins_are_given_back(void)
{
	const size_t len = 2 * ABI_MIB;
	uint8_t *at = abi_memory(len);
	int64_t before = pinned_pages(), after;
	int fd = abi_open();

	if (vmstat("nr_foll_pin_acquired") < 0)
		abi_skip("this kernel doesn't count pinned pages");
	for (int i = 0; i < 20; i++) {
		abi_round_trip(fd, ABI_CARD(0) + i, at + i, at + i, len - 64);
		abi_transfer(fd, RD, ABI_CARD(0), (void *)pages_then_hole(30), 31 * ABI_PAGE);
		if (!abi_vendor)
			abi_transfer(fd, RD, 0, at, ABI_PAGE);
	}
	close(fd);
	after = pinned_pages();
	/* What was freed last may still be on its way. */
	for (int i = 0; i < 30 && after != before; i++) {
		abi_sleep_ms(100);
		after = pinned_pages();
	}
	EXPECT_EQ(after, before);
}

static void sum(const struct metis_channel_stats *stats, int *ret_xfers, uint64_t *ret_bytes)
{
	*ret_xfers = 0;
	*ret_bytes = 0;
	for (int i = 0; i < 4; i++) {
		*ret_xfers += stats[i].num_xfer;
		*ret_bytes += stats[i].bytes_xfer;
	}
}

static void test_statistics(void)
{
	static const size_t len = 12345;
	struct metis_dma_stats before, after;
	void *at = abi_memory(2 * ABI_MIB);
	int fd = abi_open(), xfers[2];
	uint64_t bytes[2];

	for (unsigned int flags = RD; flags <= WR; flags <<= 1) {
		ASSERT_RET(abi_call(fd, METIS_IOC_GET_DMA_STATS, &before), 0);
		ASSERT_RET(abi_transfer(fd, flags, ABI_CARD(0), at, len), 0);
		ASSERT_RET(abi_call(fd, METIS_IOC_GET_DMA_STATS, &after), 0);
		sum(flags == RD ? before.read : before.write, &xfers[0], &bytes[0]);
		sum(flags == RD ? after.read : after.write, &xfers[1], &bytes[1]);
		EXPECT_EQ(xfers[1] - xfers[0], 1);
		EXPECT_EQ(bytes[1] - bytes[0], len);
		sum(flags == RD ? before.write : before.read, &xfers[0], &bytes[0]);
		sum(flags == RD ? after.write : after.read, &xfers[1], &bytes[1]);
		EXPECT_EQ(xfers[1], xfers[0]);
		EXPECT_EQ(bytes[1], bytes[0]);
	}
	close(fd);
}

const struct abi_test abi_memory_tests[] = {
	{"memory_sizes", test_sizes, NULL},
	{"memory_neighbours_on_the_card", test_neighbours_on_the_card, NULL},
	{"memory_scattered", test_scattered, NULL},
	{"memory_45_mb", test_45_mb, NULL},
	{"memory_huge_pages", test_huge_pages, NULL},
	{"memory_copy_on_write", test_copy_on_write, NULL},
	{"memory_read_only_source", test_read_only_source, "pins all memory for writing"},
	{"memory_bad", test_bad_memory, "ENOMEM where no page can be pinned"},
	{"memory_bad_sizes", test_bad_sizes, "its arithmetic of pages overflows"},
	{"memory_card_address_beyond", test_card_address_beyond, "checks no card address"},
	{"memory_reserved_ranges", test_reserved_ranges, "writes into lists and firmware areas"},
	{"memory_shared_file", test_shared_file, "pages may stay clean"},
	{"memory_pins_are_given_back", test_pins_are_given_back, NULL},
	{"memory_statistics", test_statistics, NULL},
	{NULL, NULL, NULL},
};
