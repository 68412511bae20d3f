/* SPDX-License-Identifier: MIT */
/* DMA_MAP and DMA_UNMAP: the table itself, and over the socket. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "card/transport/tests/raw_client.h"
#include "card/transport/vfio_user_internal.h"
#include "tests/tap.h"

#define PAGE 4096ull
#define RW 3u

static struct raw raw;

/* --- the table --- */

static struct vus_map_table table;
static uint8_t *memory; /* of the file below, as the client sees it */
static int file;

static bool table_open(uint64_t pages)
{
	uint64_t i;

	file = raw_memfd(pages * PAGE, true);
	memory = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
	if (memory == MAP_FAILED || vus_map_init(&table))
		return false;
	for (i = 0; i < pages; i++)
		memcpy(memory + i * PAGE, &i, sizeof(i));
	return true;
}

static void table_close(uint64_t pages)
{
	vus_map_deinit(&table);
	EXPECT_EQ(table.count, 0);
	EXPECT_EQ(table.backings_nr, 0);
	munmap(memory, pages * PAGE);
	close(file);
}

static int add(uint64_t iova, uint64_t size, uint32_t flags, uint64_t offset)
{
	const struct vfio_user_dma_map map = {
		.argsz = 32, .flags = flags, .offset = offset, .iova = iova, .size = size};
	const char *why;

	return vus_map_add(&table, &map, dup(file), false, &why);
}

/* The number of the file's page that is mapped at @iova, -1: none. */
static int64_t page_at(uint64_t iova)
{
	uint64_t value;
	size_t gap;

	return vus_map_copy(&table, false, iova, &value, sizeof(value), &gap) == sizeof(value)
		       ? (int64_t)value
		       : -1;
}

static void test_map_pages_are_found(void)
{
	uint64_t i;

	ASSERT(table_open(64));
	for (i = 0; i < 32; i++)
		EXPECT_EQ(add(0x100000 + i * 2 * PAGE, PAGE, RW, i * PAGE), 0);
	EXPECT_EQ(table.count, 32);
	EXPECT_EQ(table.backings_nr, 1); /* one file, mapped once */
	for (i = 0; i < 32; i++) {
		EXPECT_EQ(page_at(0x100000 + i * 2 * PAGE), i);
		EXPECT_EQ(page_at(0x100000 + i * 2 * PAGE + PAGE), -1);
	}
	table_close(64);
}

static void test_map_copy_crosses_ranges_and_stops_at_holes(void)
{
	uint8_t buf[4 * PAGE];
	size_t gap = 0;

	ASSERT(table_open(8));
	EXPECT_EQ(add(0x10000, PAGE, RW, 5 * PAGE), 0);
	EXPECT_EQ(add(0x11000, PAGE, RW, 3 * PAGE), 0);
	EXPECT_EQ(add(0x13000, PAGE, RW, 0), 0);
	EXPECT_EQ(vus_map_copy(&table, false, 0x10800, buf, sizeof(buf), &gap), 0x1800);
	EXPECT_EQ(*(uint64_t *)(buf + 0x800), 3);
	EXPECT_EQ(vus_map_copy(&table, false, 0x12000, buf, sizeof(buf), &gap), 0);
	EXPECT_EQ(gap, PAGE);
	EXPECT_EQ(vus_map_copy(&table, false, 0x14000, buf, sizeof(buf), &gap), 0);
	EXPECT_EQ(gap, sizeof(buf));
	EXPECT_EQ(vus_map_copy(&table, false, 0, buf, sizeof(buf), &gap), 0);
	EXPECT_EQ(gap, sizeof(buf));
	table_close(8);
}

static void test_map_permissions_hold(void)
{
	uint64_t value = 99;
	size_t gap = 0;

	ASSERT(table_open(4));
	EXPECT_EQ(add(0, PAGE, VFIO_USER_DMA_READABLE, 0), 0);
	EXPECT_EQ(add(PAGE, PAGE, VFIO_USER_DMA_WRITABLE, PAGE), 0);
	EXPECT_EQ(vus_map_copy(&table, true, 8, &value, 8, &gap), 0);
	EXPECT_EQ(gap, 8);
	EXPECT_EQ(vus_map_copy(&table, false, PAGE, &value, 8, &gap), 0);
	EXPECT_EQ(vus_map_copy(&table, true, PAGE, &value, 8, &gap), 8);
	EXPECT_EQ(memory[PAGE], 99);
	EXPECT_EQ(memory[8], 0);
	table_close(4);
}

static void test_map_unmap_removes_what_it_touches(void)
{
	unsigned int i;

	ASSERT(table_open(16));
	for (i = 0; i < 8; i++)
		EXPECT_EQ(add(i * PAGE, PAGE, RW, i * PAGE), 0);
	vus_map_remove(&table, 2 * PAGE, 3 * PAGE - 1); /* exact */
	EXPECT_EQ(page_at(PAGE), 1);
	EXPECT_EQ(page_at(2 * PAGE), -1);
	EXPECT_EQ(page_at(3 * PAGE), 3);
	vus_map_remove(&table, 2 * PAGE, 3 * PAGE - 1); /* nothing there */
	vus_map_remove(&table, 0x100000000, UINT64_MAX);
	EXPECT_EQ(table.count, 7);
	vus_map_remove(&table, 4 * PAGE + 1, 4 * PAGE + 1); /* part of one: all of it */
	EXPECT_EQ(page_at(4 * PAGE), -1);
	vus_map_remove(&table, PAGE, 6 * PAGE); /* superset, and a byte of the next */
	EXPECT_EQ(table.count, 2);
	EXPECT_EQ(page_at(0), 0);
	EXPECT_EQ(page_at(7 * PAGE), 7);
	table_close(16);
}

static void test_map_range_ends_at_the_last_address(void)
{
	ASSERT(table_open(4));
	EXPECT_EQ(add(UINT64_MAX - PAGE + 1, PAGE, RW, 2 * PAGE), 0);
	EXPECT_EQ(page_at(UINT64_MAX - PAGE + 1), 2);
	EXPECT_EQ(add(UINT64_MAX - PAGE + 1, PAGE + 1, RW, 0), -EINVAL);
	EXPECT_EQ(add(UINT64_MAX, 2, RW, 0), -EINVAL);
	EXPECT_EQ(add(0, 0, RW, 0), -EINVAL);
	vus_map_remove(&table, 0xfef00000, UINT64_MAX);
	EXPECT_EQ(table.count, 0);
	table_close(4);
}

static void test_map_new_replaces_old(void)
{
	ASSERT(table_open(16));
	EXPECT_EQ(add(0, 4 * PAGE, RW, 0), 0);
	EXPECT_EQ(add(0, 4 * PAGE, RW, 0), 0); /* identical */
	EXPECT_EQ(table.count, 1);
	EXPECT_EQ(add(2 * PAGE, 4 * PAGE, RW, 8 * PAGE), 0);
	EXPECT_EQ(table.count, 1);
	EXPECT_EQ(page_at(0), -1); /* forgotten, so it goes by message */
	EXPECT_EQ(page_at(2 * PAGE), 8);
	table_close(16);
}

static void test_map_without_file_replaces_old(void)
{
	const struct vfio_user_dma_map map = {.argsz = 32, .flags = RW, .size = 4 * PAGE};
	const char *why = "";

	ASSERT(table_open(16));
	EXPECT_EQ(add(0, 4 * PAGE, RW, 0), 0);
	EXPECT_EQ(vus_map_add(&table, &map, -1, false, &why), 1);
	EXPECT(!why); /* that is what the client wanted, nothing to say */
	EXPECT_EQ(table.count, 0);
	table_close(16);
}

static void test_map_holds_as_many_as_promised(void)
{
	uint64_t i, start = raw_now_ms();

	ASSERT(table_open(16));
	for (i = VFIO_USER_MAX_DMA_MAPS; i--;) /* downwards, as Linux hands IOVAs out */
		if (add(i * PAGE, PAGE, RW, i % 16 * PAGE))
			TAP_FAIL("map %" PRIu64, i);
	EXPECT_EQ(table.count, VFIO_USER_MAX_DMA_MAPS);
	EXPECT_EQ(add(1ull << 40, PAGE, RW, 0), 1); /* one more goes by message */
	for (i = 0; i < VFIO_USER_MAX_DMA_MAPS; i += 97)
		if (page_at(i * PAGE) != (int64_t)(i % 16))
			TAP_FAIL("page %" PRIu64, i);
	printf("# %u maps in %" PRIu64 " ms\n", VFIO_USER_MAX_DMA_MAPS, raw_now_ms() - start);
	table_close(16);
}

static void test_map_file_that_grew_is_mapped_anew(void)
{
	ASSERT(table_open(2));
	EXPECT_EQ(add(0, PAGE, RW, 0), 0);
	EXPECT_EQ(add(PAGE, PAGE, RW, 2 * PAGE), -EINVAL);
	ASSERT(!ftruncate(file, 4 * PAGE));
	EXPECT_EQ(add(PAGE, PAGE, RW, 2 * PAGE), 0);
	EXPECT_EQ(page_at(0), 0);
	EXPECT_EQ(page_at(PAGE), 0);
	EXPECT_EQ(table.backings_nr, 2);
	table_close(2);
}

static atomic_bool copying;
static atomic_uint copies;

static void *copy_main(void *arg)
{
	static uint8_t buf[VUS_COPY_BYTES];
	size_t gap;

	(void)arg;
	while (atomic_load(&copying))
		if (vus_map_copy(&table, false, 0, buf, sizeof(buf), &gap))
			atomic_fetch_add(&copies, 1);
	return NULL;
}

static void test_map_unmap_waits_for_copies_but_not_long(void)
{
	const uint64_t pages = VUS_COPY_BYTES / PAGE;
	uint64_t start, longest = 0;
	pthread_t thread;
	unsigned int i;

	ASSERT(table_open(pages));
	atomic_store(&copying, true);
	ASSERT(!pthread_create(&thread, NULL, copy_main, NULL));
	for (i = 0; i < 200; i++) {
		EXPECT_EQ(add(0, pages * PAGE, RW, 0), 0);
		usleep(200);
		start = raw_now_ms();
		vus_map_remove(&table, 0, UINT64_MAX);
		if (raw_now_ms() - start > longest)
			longest = raw_now_ms() - start;
	}
	atomic_store(&copying, false);
	pthread_join(thread, NULL);
	EXPECT(atomic_load(&copies) > 0);
	EXPECT(longest < 100);
	table_close(pages);
}

/* --- over the socket --- */

static void test_map_bad_requests_are_refused(void)
{
	struct vfio_user_dma_map map = {.argsz = 32, .flags = RW, .size = PAGE};
	struct vfio_user_dma_unmap unmap = {.argsz = 24, .size = PAGE};
	int fd = raw_memfd(2 * PAGE, true), two[2] = {fd, fd}, pipes[2];

	ASSERT(!pipe(pipes));
	ASSERT(raw_open(&raw, NULL, RAW_NO_TWIN));
	EXPECT_EQ(raw_map(&raw, 0, 0, RW, fd, 0), EINVAL);
	EXPECT_EQ(raw_map(&raw, UINT64_MAX, 2, RW, fd, 0), EINVAL);
	EXPECT_EQ(raw_map(&raw, 0, 2 * PAGE, RW, fd, PAGE), EINVAL);	   /* beyond the file */
	EXPECT_EQ(raw_map(&raw, 0, PAGE, RW, fd, UINT64_MAX - 1), EINVAL); /* wraps */
	EXPECT_EQ(raw_map(&raw, 0, PAGE, RW, pipes[0], 0), EINVAL);
	EXPECT_EQ(raw_map(&raw, 0, PAGE, 0x10 | RW, fd, 0), EINVAL);
	EXPECT_EQ(raw_call_fds(&raw, VFIO_USER_DMA_MAP, &map, sizeof(map), two, 2), EINVAL);
	map.argsz = 31;
	EXPECT_EQ(raw_call(&raw, VFIO_USER_DMA_MAP, &map, sizeof(map)), EINVAL);
	EXPECT_EQ(raw_unmap(&raw, 0, 0), EINVAL);
	EXPECT_EQ(raw_unmap(&raw, UINT64_MAX, 2), EINVAL);
	unmap.argsz = 23;
	EXPECT_EQ(raw_call(&raw, VFIO_USER_DMA_UNMAP, &unmap, sizeof(unmap)), EINVAL);
	unmap.argsz = 24;
	unmap.flags = 1; /* dirty bitmap: retired */
	EXPECT_EQ(raw_call(&raw, VFIO_USER_DMA_UNMAP, &unmap, sizeof(unmap)), EINVAL);
	unmap.flags = VFIO_USER_UNMAP_ALL; /* with a range */
	EXPECT_EQ(raw_call(&raw, VFIO_USER_DMA_UNMAP, &unmap, sizeof(unmap)), EINVAL);
	raw_stop(&raw);
	close(pipes[0]);
	close(pipes[1]);
	close(fd);
}

static void test_map_unmap_echoes_and_tiles_all_of_memory(void)
{
	const struct vfio_user_dma_unmap all = {.argsz = 24, .flags = VFIO_USER_UNMAP_ALL};
	uint64_t bit;

	ASSERT(raw_open(&raw, NULL, RAW_NO_TWIN));
	EXPECT_EQ(raw_unmap(&raw, 0, 0xfee00000), 0);
	EXPECT_EQ(raw.header.size, 40);
	EXPECT_EQ(raw_unmap(&raw, 0xfef00000, 0xffffffff01100000), 0); /* ends at 2^64 */
	for (bit = 1ull << 32; bit; bit <<= 1)			       /* as QEMU tiles it */
		EXPECT_EQ(raw_unmap(&raw, bit, bit), 0);
	EXPECT_EQ(raw_call(&raw, VFIO_USER_DMA_UNMAP, &all, sizeof(all)), 0);
	EXPECT_EQ(raw.header.size, 40);
	raw_stop(&raw);
}

static void test_map_many_leave_no_descriptor(void)
{
	int fd = raw_memfd(16 * PAGE, true);
	unsigned int before, i;

	ASSERT(raw_open(&raw, NULL, RAW_NO_TWIN));
	before = raw_fd_count();
	for (i = 0; i < 10000; i++)
		if (raw_map(&raw, i * PAGE, PAGE, RW, fd, i % 16 * PAGE))
			TAP_FAIL("map %u", i);
	EXPECT_EQ(raw_fd_count(), before);
	EXPECT_EQ(raw_stats(&raw).maps, 10000);
	EXPECT_EQ(raw_stats(&raw).maps_indirect, 0);
	raw_stop(&raw);
	close(fd);
}

static void test_map_unsealed_file_is_accepted_but_not_touched(void)
{
	int fd = raw_memfd(PAGE, false);

	ASSERT(raw_open(&raw, NULL, RAW_NO_TWIN));
	EXPECT_EQ(raw_map(&raw, 0, PAGE, RW, fd, 0), 0);
	EXPECT_EQ(raw_stats(&raw).maps_indirect, 1);
	EXPECT_HAS(raw.events, "not sealed against shrinking");
	raw_stop(&raw);
	close(fd);
}

static void test_map_read_only_file_is_written_by_message(void)
{
	const struct vfio_user_dma_map map = {.argsz = 32, .flags = RW, .size = PAGE};
	uint64_t value = 1;
	const char *why;
	char path[64];
	size_t gap;
	int fd;

	ASSERT(table_open(1));
	snprintf(path, sizeof(path), "/proc/self/fd/%d", file);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	ASSERT(fd >= 0);
	EXPECT_EQ(vus_map_add(&table, &map, fd, false, &why), 0);
	EXPECT_EQ(page_at(0), 0);
	EXPECT_EQ(vus_map_copy(&table, true, 0, &value, 8, &gap), 0);
	EXPECT_EQ(gap, 8);
	table_close(1);
}

int main(void)
{
	RUN(test_map_pages_are_found);
	RUN(test_map_copy_crosses_ranges_and_stops_at_holes);
	RUN(test_map_permissions_hold);
	RUN(test_map_unmap_removes_what_it_touches);
	RUN(test_map_range_ends_at_the_last_address);
	RUN(test_map_new_replaces_old);
	RUN(test_map_without_file_replaces_old);
	RUN(test_map_holds_as_many_as_promised);
	RUN(test_map_file_that_grew_is_mapped_anew);
	RUN(test_map_unmap_waits_for_copies_but_not_long);
	RUN(test_map_bad_requests_are_refused);
	RUN(test_map_unmap_echoes_and_tiles_all_of_memory);
	RUN(test_map_many_leave_no_descriptor);
	RUN(test_map_unsealed_file_is_accepted_but_not_touched);
	RUN(test_map_read_only_file_is_written_by_message);
	return tap_done();
}
