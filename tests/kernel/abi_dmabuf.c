// SPDX-License-Identifier: MIT
/* Attached dma-bufs: transfers, their states, poll events. */
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "abi.h"

#define PIECES 60u
#define SCATTER 5u
#define FAR_BYTES 0x200000000ull /* beyond what 32 bits of the card's addresses tell apart */
#define RD (METIS_XFER_READ | METIS_XFER_SYNC)
#define WR (METIS_XFER_WRITE | METIS_XFER_SYNC)
#define RD_ASYNC (METIS_XFER_READ | METIS_XFER_ASYNC)
#define WR_ASYNC (METIS_XFER_WRITE | METIS_XFER_ASYNC)

/* An open node with a buffer attached. */
static int open_attached(size_t size, struct abi_buf *ret_buf)
{
	int fd = abi_open();

	abi_buf_create(size, ret_buf);
	EXPECT_RET(abi_attach(fd, ret_buf->fd), 0);
	return fd;
}

static long clear_event(int fd)
{
	return abi_call(fd, METIS_IOC_CLEAR_POLL_EVENT, NULL);
}

static long state(int fd)
{
	return abi_call(fd, METIS_IOC_DMA_ASYNC_STATUS, NULL);
}

static long sync_status(int fd, unsigned int flags)
{
	struct metis_dmabuf_xfer x = {.flags = flags};

	return abi_call(fd, METIS_IOC_DMA_SYNC_STATUS, &x);
}

static void test_sync(void)
{
	struct abi_buf buf;
	int fd = open_attached(2 * ABI_MIB, &buf);

	for (int channel = -1; channel < 4; channel++) {
		abi_fill(buf.map, ABI_MIB, (uint64_t)channel);
		EXPECT_RET(abi_dma(fd, WR, ABI_CARD(0), 0, ABI_MIB, channel), 0);
		memset(buf.map, 0, 2 * ABI_MIB);
		EXPECT_RET(abi_dma(fd, RD, ABI_CARD(0), ABI_MIB, ABI_MIB, channel), 0);
		EXPECT_EQ(abi_differs(buf.map + ABI_MIB, ABI_MIB, (uint64_t)channel), -1);
		EXPECT_EQ(buf.map[0], 0);
	}
	abi_buf_destroy(&buf);
	close(fd);
}

static void test_offsets(void)
{
	static const struct {
		uint32_t from, to, size;
	} table[] = {
		{0, 1, 1},	     {4095, 4097, 2},	     {4096, 8192, 4096},
		{1, 524289, 524287}, {65535, 655361, 65536}, {0, 786432, 262144},
		{1048575, 0, 1},
	};
	struct abi_buf buf;
	int fd = open_attached(ABI_MIB, &buf);

	for (unsigned int i = 0; i < ARRAY_NR(table); i++) {
		memset(buf.map, 0x33, ABI_MIB);
		abi_fill(buf.map + table[i].from, table[i].size, i);
		EXPECT_RET(abi_dma(fd, WR, ABI_CARD(0), table[i].from, table[i].size, -1), 0);
		memset(buf.map, 0x44, ABI_MIB);
		EXPECT_RET(abi_dma(fd, RD, ABI_CARD(0), table[i].to, table[i].size, -1), 0);
		EXPECT_EQ(abi_differs(buf.map + table[i].to, table[i].size, i), -1);
		if (table[i].to)
			EXPECT_EQ(buf.map[table[i].to - 1], 0x44);
		if (table[i].to + table[i].size < ABI_MIB)
			EXPECT_EQ(buf.map[table[i].to + table[i].size], 0x44);
	}
	abi_buf_destroy(&buf);
	close(fd);
}

static void test_async(void)
{
	struct abi_buf buf;
	int fd = open_attached(4 * ABI_MIB, &buf);

	EXPECT_RET(state(fd), METIS_ASYNC_NONE);
	for (int i = 0; i < 10; i++) {
		unsigned int flags = i % 2 ? RD_ASYNC : WR_ASYNC;

		if (i % 2)
			memset(buf.map, 0, buf.size);
		else
			abi_fill(buf.map, buf.size, (uint64_t)i);
		ASSERT_RET(abi_dma(fd, flags, ABI_CARD(0), 0, buf.size, -1), 0);
		EXPECT_RET(state(fd), METIS_ASYNC_PENDING, METIS_ASYNC_DONE);
		ASSERT(abi_poll_in(fd, 5000));
		EXPECT_RET(state(fd), METIS_ASYNC_DONE);
		EXPECT_RET(clear_event(fd), 1);
		EXPECT_RET(clear_event(fd), 0);
		if (i % 2)
			EXPECT_EQ(abi_differs(buf.map, buf.size, (uint64_t)i - 1), -1);
	}
	abi_buf_destroy(&buf);
	close(fd);
}

/* A job so short that it is over before anybody can note that it was pending. */
static void test_async_short(void)
{
	struct abi_buf buf;
	int fd = open_attached(ABI_PAGE, &buf);

	for (int i = 0; i < 500 && !abi_has_failed(); i++) {
		EXPECT_RET(abi_dma(fd, i % 2 ? RD_ASYNC : WR_ASYNC, ABI_CARD(0), 0, 1, i % 4), 0);
		EXPECT(abi_poll_in(fd, 5000));
		EXPECT_RET(clear_event(fd), 1);
	}
	EXPECT_RET(state(fd), METIS_ASYNC_DONE);
	abi_buf_destroy(&buf);
	close(fd);
}

static void test_async_then_wait(void)
{
	struct abi_buf buf;
	int fd = open_attached(4 * ABI_MIB, &buf);

	EXPECT_RET(abi_dma(fd, WR_ASYNC, ABI_CARD(0), 0, buf.size, -1), 0);
	EXPECT_RET(sync_status(fd, METIS_XFER_ASYNC), -EINVAL);
	EXPECT_RET(sync_status(fd, 0), -EINVAL);
	EXPECT_RET(sync_status(fd, METIS_XFER_SYNC), 0);
	EXPECT_RET(state(fd), METIS_ASYNC_DONE, METIS_ASYNC_NONE);
	abi_buf_destroy(&buf);
	close(fd);
}

static void test_wait_without_job(void)
{
	int fd = abi_open();

	EXPECT_RET(sync_status(fd, METIS_XFER_SYNC), -EINVAL);
	EXPECT_RET(state(fd), METIS_ASYNC_NONE);
	close(fd);
}

/* While a job runs the file takes no other, and keeps its buffer. */
static void test_busy(void)
{
	bool seen = false;
	struct abi_buf buf;
	int fd = open_attached(32 * ABI_MIB, &buf);

	for (int i = 0; i < 20 && !seen && !abi_has_failed(); i++) {
		long job, detach;

		EXPECT_RET(abi_dma(fd, WR_ASYNC, ABI_CARD(0), 0, buf.size, -1), 0);
		job = abi_dma(fd, WR_ASYNC, ABI_CARD(0), 0, 1, -1);
		EXPECT_RET(job, -EBUSY, 0);
		detach = abi_call(fd, METIS_IOC_DMA_DETACH, NULL);
		EXPECT_RET(detach, -EBUSY, 0);
		seen = job == -EBUSY && detach == -EBUSY;
		while (state(fd) == METIS_ASYNC_PENDING)
			abi_poll_in(fd, 100);
		if (!detach)
			EXPECT_RET(abi_attach(fd, buf.fd), 0);
	}
	if (!seen && !abi_has_failed())
		abi_skip("the card is done before two requests are made");
	EXPECT_RET(abi_dma(fd, RD, ABI_CARD(0), 0, ABI_PAGE, -1), 0);
	EXPECT_RET(abi_call(fd, METIS_IOC_DMA_DETACH, NULL), 0);
	abi_buf_destroy(&buf);
	close(fd);
}

static void test_bounds(void)
{
	static const struct {
		uint32_t offset;
		uint64_t size;
		int channel;
	} bad[] = {
		{0, 0, 0},
		{0, ABI_MIB + 1, 0},
		{1, ABI_MIB, 0},
		{ABI_MIB, 1, 0},
		{ABI_MIB + 1, 1, 0},
		{ABI_MIB - 1, 2, 0},
		{UINT32_MAX, 1, 0},
		{UINT32_MAX, UINT64_MAX, 0},
		{ABI_PAGE, UINT64_MAX - ABI_PAGE + 1, 0}, /* their sum is 0 */
		{ABI_PAGE, UINT64_MAX - ABI_PAGE + 2, 0},
		{0, UINT64_MAX, 0},
		{0, 1ull << 63, 0},
		{0, 1ull << 32, 0},
		{0, (1ull << 32) + 1, 0},
		{0, 1, 4},
		{0, 1, INT_MAX},
	};
	struct abi_buf buf;
	int fd = open_attached(ABI_MIB, &buf);

	for (unsigned int i = 0; i < ARRAY_NR(bad); i++) {
		if (!EXPECT_RET(abi_dma(fd, RD, ABI_CARD(0), bad[i].offset, bad[i].size,
					bad[i].channel),
				-EINVAL))
			abi_note("offset %u, size %#llx, channel %d", bad[i].offset,
				 (unsigned long long)bad[i].size, bad[i].channel);
	}
	EXPECT_RET(abi_dma(fd, WR, ABI_CARD(0), ABI_MIB - 1, 1, INT_MIN), 0);
	abi_buf_destroy(&buf);
	close(fd);
}

static void test_attach_errors(void)
{
	int fd = abi_open(), null = open("/dev/null", O_RDWR | O_CLOEXEC);

	EXPECT_RET(abi_attach(fd, -1), -EBADF);
	EXPECT_RET(abi_attach(fd, INT_MIN), -EBADF);
	EXPECT_RET(abi_attach(fd, INT_MAX), -EBADF);
	EXPECT_RET(abi_attach(fd, null), -EINVAL);
	EXPECT_RET(abi_attach(fd, fd), -EINVAL);
	close(null);
	EXPECT_RET(abi_attach(fd, null), -EBADF);
	close(fd);
}

static void test_without_attach(void)
{
	int fd = abi_open();
	struct abi_buf buf;

	EXPECT_RET(abi_dma(fd, RD, ABI_CARD(0), 0, 1, -1), -EINVAL);
	EXPECT_RET(abi_dma(fd, RD_ASYNC, ABI_CARD(0), 0, 1, -1), -EINVAL);
	EXPECT_RET(abi_call(fd, METIS_IOC_DMA_DETACH, NULL), 0, -EINVAL);
	abi_buf_create(ABI_PAGE, &buf);
	EXPECT_RET(abi_attach(fd, buf.fd), 0);
	EXPECT_RET(abi_call(fd, METIS_IOC_DMA_DETACH, NULL), 0);
	EXPECT_RET(abi_call(fd, METIS_IOC_DMA_DETACH, NULL), 0, -EINVAL);
	EXPECT_RET(abi_dma(fd, RD, ABI_CARD(0), 0, 1, -1), -EINVAL);
	EXPECT_RET(sync_status(fd, METIS_XFER_SYNC), -EINVAL, 0);
	abi_buf_destroy(&buf);
	close(fd);
}

/* Refused, or it takes the first one's place; a mixture it must not be. */
static void test_second_attach(void)
{
	struct abi_buf first, second;
	int fd = open_attached(ABI_PAGE, &first);
	bool replaced;

	abi_buf_create(2 * ABI_PAGE, &second);
	memset(first.map, 1, first.size);
	memset(second.map, 2, second.size);
	replaced = !abi_attach(fd, second.fd);
	EXPECT_RET(abi_dma(fd, WR, ABI_CARD(0), 0, ABI_PAGE, -1), 0);
	EXPECT_RET(abi_dma(fd, WR, ABI_CARD(0), 0, 2 * ABI_PAGE, -1), replaced ? 0 : -EINVAL);
	memset(first.map, 9, first.size);
	memset(second.map, 9, second.size);
	EXPECT_RET(abi_dma(fd, RD, ABI_CARD(0), 0, ABI_PAGE, -1), 0);
	EXPECT_EQ(first.map[5], replaced ? 9 : 1);
	EXPECT_EQ(second.map[5], replaced ? 2 : 9);
	EXPECT_RET(abi_call(fd, METIS_IOC_DMA_DETACH, NULL), 0);
	EXPECT_RET(abi_attach(fd, second.fd), 0);
	abi_buf_destroy(&first);
	abi_buf_destroy(&second);
	close(fd);
}

static void test_closed_after_attach(void)
{
	struct abi_buf buf;
	int fd = open_attached(ABI_MIB, &buf);

	close(buf.fd);
	buf.fd = -1;
	abi_fill(buf.map, buf.size, 5);
	EXPECT_RET(abi_dma(fd, WR, ABI_CARD(0), 0, buf.size, -1), 0);
	memset(buf.map, 0, buf.size);
	EXPECT_RET(abi_dma(fd, RD, ABI_CARD(0), 0, buf.size, -1), 0);
	EXPECT_EQ(abi_differs(buf.map, buf.size, 5), -1);
	munmap(buf.map, buf.size);
	EXPECT_RET(abi_dma(fd, RD, ABI_CARD(0), 0, buf.size, -1), 0);
	close(fd);
}

/* One buffer, attached to several open files. */
static void test_shared_buffer(void)
{
	struct abi_buf buf;
	int fd = open_attached(ABI_MIB, &buf), other = abi_open();

	EXPECT_RET(abi_attach(other, buf.fd), 0);
	abi_fill(buf.map, buf.size, 6);
	EXPECT_RET(abi_dma(fd, WR, ABI_CARD(0), 0, buf.size, -1), 0);
	close(fd);
	memset(buf.map, 0, buf.size);
	EXPECT_RET(abi_dma(other, RD, ABI_CARD(0), 0, buf.size, -1), 0);
	EXPECT_EQ(abi_differs(buf.map, buf.size, 6), -1);
	abi_buf_destroy(&buf);
	close(other);
}

static void test_card_address_beyond(void)
{
	struct abi_buf buf;
	int fd = open_attached(ABI_PAGE, &buf);

	EXPECT_RET(abi_dma(fd, RD, 0, 0, ABI_PAGE, -1), -EIO);
	EXPECT_RET(clear_event(fd), 1);
	EXPECT_RET(abi_dma(fd, WR_ASYNC, 0, 0, ABI_PAGE, -1), 0);
	EXPECT(abi_poll_in(fd, 5000));
	EXPECT_RET(state(fd), METIS_ASYNC_FAILED);
	EXPECT_RET(sync_status(fd, METIS_XFER_SYNC), -EIO);
	EXPECT_RET(abi_dma(fd, WR, ABI_CARD(0), 0, ABI_PAGE, -1), 0);
	abi_buf_destroy(&buf);
	close(fd);
}

/* One for every finished transfer; CLEAR takes one at a time. Another file's don't count. */
/* Pages that follow each other in memory only by chance. */
static uint8_t *scattered(size_t pages)
{
	uint8_t *memory = abi_memory(pages * ABI_PAGE);

	madvise(memory, pages * ABI_PAGE, MADV_NOHUGEPAGE);
	for (size_t first = 0; first < SCATTER; first++)
		for (size_t page = first; page < pages; page += SCATTER)
			memory[page * ABI_PAGE] = 1;
	return memory;
}

/*
 * A transfer to far up in card memory leaves its address in a channel's registers. A list of many
 * pieces, which the driver may have that very channel move, must not care. Read back page by page,
 * which takes no list of that kind.
 */
static void test_far_then_pieces(void)
{
	uint8_t *from = scattered(PIECES), *to = abi_memory(PIECES * ABI_PAGE);
	struct abi_buf buf;
	int fd = open_attached(ABI_PAGE, &buf);

	for (int channel = 0; channel < 4; channel++) {
		/* Not always the same: the list that was there last must not do. */
		uint64_t card = ABI_CARD(1 + channel);

		EXPECT_RET(abi_dma(fd, WR, ABI_CARD(0) + FAR_BYTES, 0, ABI_PAGE, channel), 0);
		abi_fill(from, PIECES * ABI_PAGE, (uint64_t)channel);
		EXPECT_RET(abi_transfer(fd, METIS_XFER_WRITE, card, from, PIECES * ABI_PAGE), 0);
		for (size_t i = 0; i < PIECES * ABI_PAGE; i += ABI_PAGE)
			EXPECT_RET(abi_transfer(fd, METIS_XFER_READ, card + i, to + i, ABI_PAGE),
				   0);
		EXPECT_EQ(abi_differs(to, PIECES * ABI_PAGE, (uint64_t)channel), -1);
	}
	abi_buf_destroy(&buf);
	close(fd);
}

static void test_poll_events(void)
{
	void *at = abi_memory(ABI_PAGE);
	int fd = abi_open(), other = abi_open();

	EXPECT(!abi_poll_in(fd, 0));
	EXPECT_RET(clear_event(fd), 0);
	for (int i = 0; i < 3; i++)
		EXPECT_RET(abi_transfer(fd, METIS_XFER_WRITE, ABI_CARD(0), at, 64), 0);
	for (int i = 0; i < 3; i++) {
		EXPECT(abi_poll_in(fd, 0));
		EXPECT_RET(clear_event(fd), 1);
	}
	EXPECT(!abi_poll_in(fd, 0));
	EXPECT_RET(clear_event(fd), 0);
	EXPECT(!abi_poll_in(other, 0));
	close(fd);
	close(other);
}

const struct abi_test abi_dmabuf_tests[] = {
	{"dmabuf_sync", test_sync, NULL},
	{"dmabuf_offsets", test_offsets, "an offset at a piece's end makes an empty element"},
	{"dmabuf_async", test_async, "1.4.16 forgets the state when it was read"},
	{"dmabuf_async_short", test_async_short, "a fast job is lost, then EBUSY for ever"},
	{"dmabuf_async_then_wait", test_async_then_wait, NULL},
	{"dmabuf_wait_without_job", test_wait_without_job, "crashes before the first transfer"},
	{"dmabuf_busy", test_busy, "1.4.4 detaches under a running job"},
	{"dmabuf_bounds", test_bounds, "size + offset wraps past the check"},
	{"dmabuf_attach_errors", test_attach_errors, NULL},
	{"dmabuf_without_attach", test_without_attach, "crashes"},
	{"dmabuf_second_attach", test_second_attach, "leaks the first buffer"},
	{"dmabuf_closed_after_attach", test_closed_after_attach, NULL},
	{"dmabuf_shared_buffer", test_shared_buffer, NULL},
	{"dmabuf_far_then_pieces", test_far_then_pieces, NULL},
	{"dmabuf_card_address_beyond", test_card_address_beyond, "checks no card address"},
	{"poll_events", test_poll_events, NULL},
	{NULL, NULL, NULL},
};
