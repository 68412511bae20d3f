// SPDX-License-Identifier: MIT
/* The windows that a program may map. */
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <tethys/hw/fwarea.h>
#include <tethys/hw/fwproto.h>
#include <tethys/hw/memory.h>
#include <tethys/hw/pci.h>

#include "abi.h"

#define RW (PROT_READ | PROT_WRITE)

/* Return: 0 and *ret_at, or a negative errno. */
static long map(int fd, unsigned long page, size_t len, int prot, void **ret_at)
{
	void *at = mmap(NULL, len, prot, MAP_SHARED, fd, (off_t)(page * ABI_PAGE));

	if (at == MAP_FAILED)
		return -errno;
	*ret_at = at;
	return 0;
}

static size_t l2_bytes(int fd)
{
	struct metis_resources res = {.l2_size = 0};

	EXPECT_RET(abi_call(fd, METIS_IOC_GET_RESOURCES, &res), 0);
	return res.l2_size;
}

static void test_l2(void)
{
	int fd = abi_open();
	size_t bytes = l2_bytes(fd);
	void *at = NULL;

	ASSERT_RET(map(fd, METIS_MMAP_L2, ABI_PAGE, PROT_READ, &at), 0);
	munmap(at, ABI_PAGE);
	ASSERT_RET(map(fd, METIS_MMAP_L2, bytes, RW, &at), 0);
	abi_note("first words of L2: 0x%08x 0x%08x", *(volatile uint32_t *)at,
		 *((volatile uint32_t *)at + 1));
	close(fd); /* the mapping stays */
	(void)*(volatile uint32_t *)((uint8_t *)at + bytes - 4);
	munmap(at, bytes);
}

/* What the processor writes, the card's DMA reads. */
static void test_l2_is_the_cards(void)
{
	const size_t off = METIS_FW_L2_FREE_OFFSET + 0x100000;
	uint32_t *copy = abi_memory(ABI_PAGE);
	volatile uint32_t *words;
	int fd = abi_open();
	void *at = NULL;

	ASSERT_RET(map(fd, METIS_MMAP_L2, METIS_L2_BYTES, RW, &at), 0);
	words = (volatile uint32_t *)((uint8_t *)at + off);
	for (uint32_t i = 0; i < ABI_PAGE / 4; i++)
		words[i] = i * 0x01000193u;
	(void)words[0];
	EXPECT_RET(abi_transfer(fd, METIS_XFER_READ, METIS_L2_BASE + off, copy, ABI_PAGE), 0);
	for (uint32_t i = 0; i < ABI_PAGE / 4; i++) {
		if (copy[i] != i * 0x01000193u) {
			EXPECT_EQ(copy[i], i * 0x01000193u);
			break;
		}
	}
	munmap(at, METIS_L2_BYTES);
	close(fd);
}

static void test_beyond(void)
{
	static const unsigned long pages[] = {2, 3, 0x100, 0x1000, 0x7ffffffff};
	int fd = abi_open();
	void *at = NULL;

	for (unsigned int i = 0; i < ARRAY_NR(pages); i++)
		EXPECT_RET(map(fd, pages[i], ABI_PAGE, PROT_READ, &at), -EINVAL);
	close(fd);
}

static void test_too_long(void)
{
	int fd = abi_open();
	size_t bytes = l2_bytes(fd);
	void *at = NULL;

	EXPECT_RET(map(fd, METIS_MMAP_L2, bytes + ABI_PAGE, PROT_READ, &at), -EINVAL);
	EXPECT_RET(map(fd, METIS_MMAP_L2, 2 * bytes, RW, &at), -EINVAL);
	EXPECT_RET(map(fd, METIS_MMAP_L2, 0x1000000000, PROT_READ, &at), -EINVAL);
	if (abi_can_rawio())
		EXPECT_RET(map(fd, METIS_MMAP_EDMA, METIS_BAR_EDMA_BYTES + ABI_PAGE, RW, &at),
			   -EINVAL);
	close(fd);
}

static void test_cannot_grow(void)
{
	int fd = abi_open();
	size_t bytes = l2_bytes(fd);
	void *at = NULL;

	ASSERT_RET(map(fd, METIS_MMAP_L2, bytes, PROT_READ, &at), 0);
	EXPECT(mremap(at, bytes, bytes + ABI_PAGE, MREMAP_MAYMOVE) == MAP_FAILED);
	munmap(at, bytes);
	close(fd);
}

static void test_registers(void)
{
	int fd = abi_open();
	void *at = NULL;

	if (!abi_can_rawio())
		abi_skip("CAP_SYS_RAWIO is needed");
	ASSERT_RET(map(fd, METIS_MMAP_EDMA, METIS_BAR_EDMA_BYTES, RW, &at), 0);
	EXPECT(*((volatile uint32_t *)at + 2) != 0xffffffff);
	munmap(at, METIS_BAR_EDMA_BYTES);
	close(fd);
}

static void test_registers_unprivileged(void)
{
	int fd = abi_open();
	void *at = NULL;

	abi_drop_rawio();
	EXPECT_RET(map(fd, METIS_MMAP_EDMA, ABI_PAGE, RW, &at), -EPERM);
	EXPECT_RET(map(fd, METIS_MMAP_EDMA, ABI_PAGE, PROT_READ, &at), -EPERM);
	EXPECT_RET(map(fd, METIS_MMAP_L2, ABI_PAGE, RW, &at), 0);
	close(fd);
}

/* Whether the mapping at @at is executable, as the kernel lists it. */
static bool is_executable(void *at)
{
	unsigned long start;
	char line[512], perms[8];
	bool ret = false;
	FILE *maps = fopen("/proc/self/maps", "re");

	while (maps && fgets(line, sizeof(line), maps)) {
		if (sscanf(line, "%lx-%*x %7s", &start, perms) == 2 && start == (uintptr_t)at)
			ret = strchr(perms, 'x');
	}
	if (maps)
		fclose(maps);
	return ret;
}

static void test_not_executable(void)
{
	int fd = abi_open();
	void *at = NULL;

	if (!map(fd, METIS_MMAP_L2, ABI_PAGE, PROT_READ | PROT_EXEC, &at))
		EXPECT(!is_executable(at));
	ASSERT_RET(map(fd, METIS_MMAP_L2, ABI_PAGE, PROT_READ, &at), 0);
	EXPECT(mprotect(at, ABI_PAGE, PROT_READ | PROT_EXEC));
	close(fd);
}

/* Lists say where DMA goes: an ordinary program sees something else in their place. */
static void test_l2_hides_lists(void)
{
	volatile uint32_t *word;
	int fd = abi_open(), pid;
	const size_t off = abi_lists_base(fd) - METIS_L2_BASE;
	uint32_t before;
	void *at = NULL;

	if (!abi_can_rawio())
		abi_skip("CAP_SYS_RAWIO is needed to compare");
	ASSERT(off < METIS_L2_BYTES);
	ASSERT_RET(map(fd, METIS_MMAP_L2, METIS_L2_BYTES, PROT_READ, &at), 0);
	word = (volatile uint32_t *)((uint8_t *)at + (off & ~3ul));
	before = *word;
	pid = fork();
	if (!pid) {
		void *own = NULL;

		abi_drop_rawio();
		if (map(abi_open(), METIS_MMAP_L2, METIS_L2_BYTES, RW, &own))
			_exit(1);
		*(volatile uint32_t *)((uint8_t *)own + (off & ~3ul)) = ~before;
		_exit(0);
	}
	EXPECT_EQ(abi_wait(pid, 5000), 0);
	EXPECT_EQ(*word, before);
	close(fd);
}

const struct abi_test abi_mmap_tests[] = {
	{"mmap_l2", test_l2, NULL},
	{"mmap_l2_is_the_cards", test_l2_is_the_cards, NULL},
	{"mmap_l2_hides_lists", test_l2_hides_lists, "anybody may write lists"},
	{"mmap_beyond", test_beyond, NULL},
	{"mmap_too_long", test_too_long, "maps what memory follows the BAR"},
	{"mmap_cannot_grow", test_cannot_grow, "maps what memory follows the BAR"},
	{"mmap_registers", test_registers, NULL},
	{"mmap_registers_unprivileged", test_registers_unprivileged,
	 "gives the DMA registers to everybody"},
	{"mmap_not_executable", test_not_executable, "since 1.6.2 only"},
	{NULL, NULL, NULL},
};
