// SPDX-License-Identifier: MIT
/* Several at once: threads on one file, many files, closing and killing in the middle. */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "abi.h"

#define RACE_MS 2000
#define THREADS_MAX 8

/* What each thread gets. */
struct racer {
	pthread_t thread;
	int fd;
	unsigned int n;
	atomic_bool *stop;
	struct abi_buf *buf;
	void (*turn)(struct racer *racer, unsigned int i); /* until the time is over */
};

static void *race_thread(void *arg)
{
	struct racer *racer = arg;

	for (unsigned int i = 0; !atomic_load(racer->stop) && !abi_has_failed(); i++)
		racer->turn(racer, i);
	return NULL;
}

/* Starts a thread for each, all with the same file. */
static void race(struct racer *racers, unsigned int nr, int fd, struct abi_buf *buf)
{
	static atomic_bool stop;

	atomic_store(&stop, false);
	for (unsigned int i = 0; i < nr; i++) {
		racers[i].fd = fd;
		racers[i].n = i;
		racers[i].stop = &stop;
		racers[i].buf = buf;
		if (pthread_create(&racers[i].thread, NULL, race_thread, &racers[i]))
			abi_skip("no threads");
	}
	abi_sleep_ms(RACE_MS);
	atomic_store(&stop, true);
	for (unsigned int i = 0; i < nr; i++)
		pthread_join(racers[i].thread, NULL);
}

/* Whatever happened: a new file works. */
static void check_card(void)
{
	void *at = abi_memory(ABI_MIB);
	int fd = abi_open();
	__s32 cores = 4;

	abi_round_trip(fd, ABI_CARD(0), at, at, ABI_MIB);
	EXPECT_RET(abi_call(fd, METIS_IOC_CTX_ALLOC, &cores), 0);
	munmap(at, ABI_MIB);
	close(fd);
}

static void turn_user(struct racer *r, unsigned int i)
{
	static _Thread_local uint8_t at[8 * ABI_PAGE];

	abi_round_trip(r->fd, ABI_CARD(r->n) + i % 64, at, at, sizeof(at) - i % 100);
}

static void turn_attach(struct racer *r, unsigned int i)
{
	(void)i;
	EXPECT_RET(abi_attach(r->fd, r->buf->fd), 0, -EBUSY, -EINVAL);
	EXPECT_RET(abi_call(r->fd, METIS_IOC_DMA_DETACH, NULL), 0, -EBUSY, -EINVAL);
}

static void turn_sync(struct racer *r, unsigned int i)
{
	unsigned int flags = i % 2 ? METIS_XFER_READ : METIS_XFER_WRITE;

	EXPECT_RET(abi_dma(r->fd, flags | METIS_XFER_SYNC, ABI_CARD(r->n), 0, ABI_PAGE * 16, -1), 0,
		   -EBUSY, -EINVAL);
}

static void turn_async(struct racer *r, unsigned int i)
{
	unsigned int flags = i % 2 ? METIS_XFER_READ : METIS_XFER_WRITE;
	struct metis_dmabuf_xfer wait = {.flags = METIS_XFER_SYNC};

	EXPECT_RET(abi_dma(r->fd, flags | METIS_XFER_ASYNC, ABI_CARD(r->n), 0, ABI_PAGE * 16, -1),
		   0, -EBUSY, -EINVAL);
	EXPECT_RET(abi_call(r->fd, METIS_IOC_DMA_ASYNC_STATUS, NULL), METIS_ASYNC_NONE,
		   METIS_ASYNC_DONE, METIS_ASYNC_PENDING);
	EXPECT_RET(abi_call(r->fd, METIS_IOC_DMA_SYNC_STATUS, &wait), 0, -EINVAL);
}

static void turn_context(struct racer *r, unsigned int i)
{
	__s32 cores = 1 + (__s32)(i % 4);
	uint64_t mask;

	EXPECT_RET(abi_call(r->fd, METIS_IOC_CTX_ALLOC, &cores), 0, -EINVAL);
	EXPECT_RET(abi_call(r->fd, METIS_IOC_CTX_CORES, &mask), 0);
	EXPECT_RET(abi_call(r->fd, METIS_IOC_CTX_FREE, NULL), 0);
}

static void turn_events(struct racer *r, unsigned int i)
{
	__s32 number = (__s32)(i % 32);

	abi_poll_in(r->fd, 1);
	EXPECT_RET(abi_call(r->fd, METIS_IOC_CLEAR_POLL_EVENT, NULL), 0, 1);
	EXPECT_RET(abi_call(r->fd, METIS_IOC_MSI_ATTACH, &number), 0);
}

static void turn_lock(struct racer *r, unsigned int i)
{
	int fd = abi_open();

	(void)i;
	(void)r;
	EXPECT_RET(abi_call(fd, METIS_IOC_MSG_LOCK, (void *)1), 0);
	EXPECT_RET(abi_call(fd, METIS_IOC_MSG_LOCK, NULL), 0);
	close(fd);
}

static void test_user_on_one_file(void)
{
	struct racer racers[] = {
		{.turn = turn_user}, {.turn = turn_user}, {.turn = turn_user}, {.turn = turn_user}};
	int fd = abi_open();

	race(racers, ARRAY_NR(racers), fd, NULL);
	close(fd);
	check_card();
}

static void test_buffers_on_one_file(void)
{
	struct racer racers[] = {
		{.turn = turn_attach}, {.turn = turn_sync}, {.turn = turn_async},
		{.turn = turn_attach}, {.turn = turn_sync}, {.turn = turn_async},
	};
	int fd = abi_open();
	struct abi_buf buf;

	abi_buf_create(ABI_MIB, &buf);
	race(racers, ARRAY_NR(racers), fd, &buf);
	close(fd);
	abi_buf_destroy(&buf);
	check_card();
}

static void test_all_on_one_file(void)
{
	struct racer racers[] = {
		{.turn = turn_attach},	{.turn = turn_async},	{.turn = turn_user},
		{.turn = turn_context}, {.turn = turn_context}, {.turn = turn_events},
		{.turn = turn_lock},	{.turn = turn_lock},
	};
	int fd = abi_open();
	struct abi_buf buf;

	abi_buf_create(ABI_MIB, &buf);
	race(racers, ARRAY_NR(racers), fd, &buf);
	close(fd);
	abi_buf_destroy(&buf);
	check_card();
}

/* --- all channels --- */

static void turn_channel(struct racer *r, unsigned int i)
{
	static _Thread_local struct abi_buf buf;
	static _Thread_local int fd = -1;
	const uint32_t half = ABI_MIB;
	const int channel = (int)(r->n % 4);

	if (fd < 0) {
		fd = abi_open();
		abi_buf_create(2 * half, &buf);
		EXPECT_RET(abi_attach(fd, buf.fd), 0);
	}
	abi_fill(buf.map, half, r->n * 1000 + i);
	EXPECT_RET(
		abi_dma(fd, METIS_XFER_WRITE | METIS_XFER_SYNC, ABI_CARD(r->n), 0, half, channel),
		0);
	memset(buf.map + half, 0, half);
	EXPECT_RET(
		abi_dma(fd, METIS_XFER_READ | METIS_XFER_SYNC, ABI_CARD(r->n), half, half, channel),
		0);
	EXPECT_EQ(abi_differs(buf.map + half, half, r->n * 1000 + i), -1);
}

static void test_all_channels(void)
{
	struct racer racers[8];

	for (unsigned int i = 0; i < ARRAY_NR(racers); i++)
		racers[i].turn = turn_channel;
	race(racers, ARRAY_NR(racers), -1, NULL);
	check_card();
}

static void turn_own_file(struct racer *r, unsigned int i)
{
	static _Thread_local uint8_t *at;
	const size_t len = 3 * ABI_MIB / 2;
	int fd = abi_open();

	if (!at)
		at = abi_memory(2 * ABI_MIB);
	abi_round_trip(fd, ABI_CARD(r->n), at + i % ABI_PAGE, at + i % ABI_PAGE, len);
	close(fd);
}

static void test_eight_files(void)
{
	struct racer racers[8];

	for (unsigned int i = 0; i < ARRAY_NR(racers); i++)
		racers[i].turn = turn_own_file;
	race(racers, ARRAY_NR(racers), -1, NULL);
	check_card();
}

/* --- ends --- */

static void test_close_during_async(void)
{
	struct abi_buf buf;
	uint64_t start;

	abi_buf_create(16 * ABI_MIB, &buf);
	for (int i = 0; i < 50 && !abi_has_failed(); i++) {
		unsigned int flags = i % 2 ? METIS_XFER_READ : METIS_XFER_WRITE;
		int fd = abi_open();

		EXPECT_RET(abi_attach(fd, buf.fd), 0);
		EXPECT_RET(abi_dma(fd, flags | METIS_XFER_ASYNC, ABI_CARD(1), 0, buf.size, i % 4),
			   0);
		start = abi_now_ms();
		close(fd);
		EXPECT(abi_now_ms() - start < 5000);
	}
	abi_buf_destroy(&buf);
	check_card();
}

struct closed {
	int fd;
	uint8_t *at;
};

static void *long_transfer(void *arg)
{
	struct closed *c = arg;

	/* EBADF: it was closed before this began. */
	EXPECT_RET(abi_transfer(c->fd, METIS_XFER_WRITE, ABI_CARD(1), c->at, 16 * ABI_MIB), 0,
		   -EBADF);
	return NULL;
}

/* The number goes at once; the transfer keeps the file until it is over. */
static void test_close_during_user(void)
{
	struct closed c = {.at = abi_memory(16 * ABI_MIB)};
	pthread_t thread;

	for (int i = 0; i < 20 && !abi_has_failed(); i++) {
		c.fd = abi_open();
		ASSERT(!pthread_create(&thread, NULL, long_transfer, &c));
		abi_sleep_ms((unsigned int)i % 5 + 5);
		close(c.fd);
		pthread_join(thread, NULL);
	}
	check_card();
}

static void test_protect_during_user(void)
{
	pthread_t thread;

	for (int i = 0; i < 20 && !abi_has_failed(); i++) {
		struct closed c = {.fd = abi_open(), .at = abi_memory(16 * ABI_MIB)};

		memset(c.at, i, 16 * ABI_MIB);
		ASSERT(!pthread_create(&thread, NULL, long_transfer, &c));
		abi_sleep_ms(40);
		/* What is pinned already stays until the card is done. */
		mprotect(c.at, 16 * ABI_MIB, PROT_READ);
		pthread_join(thread, NULL);
		munmap(c.at, 16 * ABI_MIB);
		close(c.fd);
	}
	check_card();
}

static void transfer_for_ever(unsigned int flags)
{
	const size_t len = 45000000;
	void *at = abi_memory(len);
	int fd = abi_open();

	memset(at, 1, len);
	for (;;)
		abi_transfer(fd, flags, ABI_CARD(2), at, len);
}

static void test_kill(void)
{
	for (unsigned int i = 0; i < 20 && !abi_has_failed(); i++) {
		int pid = fork(), status;

		if (!pid)
			transfer_for_ever(i % 2 ? METIS_XFER_READ : METIS_XFER_WRITE);
		abi_sleep_ms(50 + i * 13);
		kill(pid, SIGKILL);
		status = abi_wait(pid, 10000);
		EXPECT(status >= 0 && WIFSIGNALED(status));
	}
	check_card();
}

static void async_then_sleep(void)
{
	struct abi_buf buf;
	int fd = abi_open();

	abi_buf_create(16 * ABI_MIB, &buf);
	abi_attach(fd, buf.fd);
	for (;;) {
		abi_dma(fd, METIS_XFER_READ | METIS_XFER_ASYNC, ABI_CARD(2), 0, buf.size, -1);
		abi_poll_in(fd, 100);
	}
}

static void test_kill_async(void)
{
	for (unsigned int i = 0; i < 20 && !abi_has_failed(); i++) {
		int pid = fork();

		if (!pid)
			async_then_sleep();
		abi_sleep_ms(20 + i * 7);
		kill(pid, SIGKILL);
		EXPECT(abi_wait(pid, 10000) >= 0);
	}
	check_card();
}

/* Both ends of a fork have the file; the card serves whoever asks. */
static void test_fork(void)
{
	uint8_t *at = abi_memory(ABI_MIB);
	int fd = abi_open(), pid;

	EXPECT_RET(abi_transfer(fd, METIS_XFER_WRITE, ABI_CARD(0), at, ABI_MIB), 0);
	pid = fork();
	if (!pid) {
		abi_round_trip(fd, ABI_CARD(1), at, at, ABI_MIB);
		_exit(abi_has_failed());
	}
	close(fd);
	EXPECT_EQ(abi_wait(pid, 20000), 0);
	check_card();
}

static const char lifetime[] = "threads on one file corrupt its job";

const struct abi_test abi_race_tests[] = {
	{"race_user_on_one_file", test_user_on_one_file, lifetime},
	{"race_buffers_on_one_file", test_buffers_on_one_file, lifetime},
	{"race_all_on_one_file", test_all_on_one_file, lifetime},
	{"race_all_channels", test_all_channels, "one job of the two on a channel may be lost"},
	{"race_eight_files", test_eight_files, "one job of the two on a channel may be lost"},
	{"close_during_async", test_close_during_async, NULL},
	{"close_during_user", test_close_during_user, "the worker uses what a close has freed"},
	{"protect_during_user", test_protect_during_user, "pins all memory for writing"},
	{"kill_during_user", test_kill, NULL},
	{"kill_during_async", test_kill_async, NULL},
	{"fork_with_open_file", test_fork, NULL},
	{NULL, NULL, NULL},
};
