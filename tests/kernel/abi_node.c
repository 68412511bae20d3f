// SPDX-License-Identifier: MIT
/* Open and close, what the card is, contexts, the lock, and requests that are none. */
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <tethys/hw/memory.h>

#include "abi.h"

#define BAD_ADDRESS ((void *)0xffff888000001000ull) /* the kernel's */

static void test_open_close_many(void)
{
	int fds[256], i;

	for (i = 0; i < 2000; i++)
		close(abi_open());
	for (i = 0; i < (int)ARRAY_NR(fds); i++)
		fds[i] = abi_open();
	for (i = 0; i < (int)ARRAY_NR(fds); i++)
		close(fds[i]);
}

static void test_read_is_refused(void)
{
	char buf[64];
	int fd = abi_open();
	ssize_t n = read(fd, buf, sizeof(buf));

	EXPECT_RET(n < 0 ? -errno : n, -EINVAL);
	close(fd);
}

static void test_property(void)
{
	static const uint64_t bad[] = {4, 5, 0x100000000, 0x100000001, UINT64_MAX};
	int fd = abi_open();
	uint64_t value = METIS_PROPERTY_GENERATION;
	long ret = abi_call(fd, METIS_IOC_GET_PROPERTY, &value);

	if (abi_vendor && ret == -ENOTTY)
		abi_skip("vendor: 1.4.4 has no such request");
	EXPECT_RET(ret, 0);
	EXPECT_EQ(value, 0);
	value = METIS_PROPERTY_AI_CORES;
	EXPECT_RET(abi_call(fd, METIS_IOC_GET_PROPERTY, &value), 0);
	EXPECT_EQ(value, METIS_CORES);
	for (uint64_t key = METIS_PROPERTY_PVE_CORES; key <= METIS_PROPERTY_SWITCH_GROUP; key++) {
		value = key;
		EXPECT_RET(abi_call(fd, METIS_IOC_GET_PROPERTY, &value), 0);
	}
	for (unsigned int i = 0; i < ARRAY_NR(bad); i++) {
		value = bad[i];
		EXPECT_RET(abi_call(fd, METIS_IOC_GET_PROPERTY, &value), -EINVAL);
		EXPECT_EQ(value, bad[i]);
	}
	close(fd);
}

struct bar {
	unsigned long long start, end, flags;
};

static void read_bars(int fd, struct bar bars[6])
{
	char path[4200];
	FILE *file;
	int i;

	abi_sysfs(fd, path, sizeof(path) - 16);
	strcat(path, "/resource");
	file = fopen(path, "re");
	if (!file)
		abi_skip("%s: %s", path, strerror(errno));
	for (i = 0; i < 6; i++) {
		if (fscanf(file, "%llx %llx %llx", &bars[i].start, &bars[i].end, &bars[i].flags) !=
		    3)
			abi_skip("%s: line %d is not three numbers", path, i + 1);
	}
	fclose(file);
}

static uint64_t bar_size(const struct bar *bar)
{
	return bar->end ? bar->end - bar->start + 1 : 0;
}

static void test_resources(void)
{
	struct metis_resources res;
	struct bar bars[6];
	int fd = abi_open();

	memset(&res, 0xff, sizeof(res));
	ASSERT_RET(abi_call(fd, METIS_IOC_GET_RESOURCES, &res), 0);
	read_bars(fd, bars);
	EXPECT_EQ(res.l2_base, bars[2].start);
	EXPECT_EQ(res.l2_size, bar_size(&bars[2]));
	EXPECT_EQ(res.sysmem_base, 0);
	EXPECT_EQ(res.sysmem_size, 0);
	for (int i = 0; i < 2; i++) {
		EXPECT_EQ(res.ddr_base[i], 0);
		EXPECT_EQ(res.ddr_size[i], 0);
	}
	close(fd);
}

static bool inside(const struct bar *bar, uint64_t base, uint64_t size)
{
	return size && bar->start >= base && bar->end - base < size;
}

static void test_windows(void)
{
	struct metis_windows win;
	struct bar bars[6];
	int fd = abi_open();

	memset(&win, 0xff, sizeof(win));
	ASSERT_RET(abi_call(fd, METIS_IOC_GET_WINDOWS, &win), 0);
	read_bars(fd, bars);
	for (int i = 0; i < 6; i++) {
		EXPECT_EQ(win.base[i], bars[i].start);
		EXPECT_EQ(win.size[i], bar_size(&bars[i]));
		/* Without a bridge there are no windows; with one, every BAR is in one of them. */
		if (bar_size(&bars[i]) && (win.np_size || win.p_size) && !abi_vendor)
			EXPECT(inside(&bars[i], win.np_base, win.np_size) ||
			       inside(&bars[i], win.p_base, win.p_size));
	}
	close(fd);
}

/* --- contexts --- */

static long ctx_alloc(int fd, int cores)
{
	__s32 arg = cores;

	return abi_call(fd, METIS_IOC_CTX_ALLOC, &arg);
}

static uint64_t ctx_cores(int fd)
{
	uint64_t mask = ~0ull;

	EXPECT_RET(abi_call(fd, METIS_IOC_CTX_CORES, &mask), 0);
	return mask;
}

static void test_context_counts(void)
{
	static const int bad[] = {0, -1, 5, 64, 65, INT_MAX, INT_MIN};
	int fd = abi_open();

	EXPECT_EQ(ctx_cores(fd), 0);
	for (unsigned int i = 0; i < ARRAY_NR(bad); i++)
		EXPECT_RET(ctx_alloc(fd, bad[i]), -EINVAL);
	for (int cores = 1; cores <= METIS_CORES; cores++) {
		EXPECT_RET(ctx_alloc(fd, cores), 0);
		EXPECT_EQ(ctx_cores(fd), (1u << cores) - 1);
		EXPECT_RET(ctx_alloc(fd, 1), -EINVAL);
		EXPECT_RET(abi_call(fd, METIS_IOC_CTX_FREE, NULL), 0);
		EXPECT_EQ(ctx_cores(fd), 0);
	}
	close(fd);
}

static void test_context_exhaustion(void)
{
	int fds[5];

	for (int i = 0; i < 5; i++)
		fds[i] = abi_open();
	for (int i = 0; i < 4; i++)
		EXPECT_RET(ctx_alloc(fds[i], 1), i);
	EXPECT_RET(ctx_alloc(fds[4], 1), -EINVAL);
	/* Two free cores that are not adjacent are no context of two. */
	EXPECT_RET(abi_call(fds[0], METIS_IOC_CTX_FREE, NULL), 0);
	EXPECT_RET(abi_call(fds[2], METIS_IOC_CTX_FREE, NULL), 0);
	EXPECT_RET(ctx_alloc(fds[4], 2), -EINVAL);
	close(fds[1]);
	EXPECT_RET(ctx_alloc(fds[4], 3), 0);
	EXPECT_EQ(ctx_cores(fds[4]), 7);
	EXPECT_EQ(ctx_cores(fds[3]), 8);
	close(fds[4]);
	EXPECT_RET(ctx_alloc(fds[0], 2), 0);
	EXPECT_RET(ctx_alloc(fds[2], 1), 2);
	close(fds[0]);
	close(fds[2]);
	close(fds[3]);
}

static void test_context_free_without_one(void)
{
	int fd = abi_open();

	EXPECT_RET(abi_call(fd, METIS_IOC_CTX_FREE, NULL), 0);
	EXPECT_RET(ctx_alloc(fd, 4), 0);
	EXPECT_RET(abi_call(fd, METIS_IOC_CTX_FREE, NULL), 0);
	EXPECT_RET(abi_call(fd, METIS_IOC_CTX_FREE, NULL), 0);
	close(fd);
}

static void test_context_freed_by_kill(void)
{
	int fd, pid, pipes[2];
	char c;

	ASSERT(!pipe(pipes));
	pid = fork();
	if (!pid) {
		c = ctx_alloc(abi_open(), 4) == 0;
		if (write(pipes[1], &c, 1) == 1)
			pause();
		_exit(1);
	}
	ASSERT(read(pipes[0], &c, 1) == 1 && c);
	fd = abi_open();
	EXPECT_RET(ctx_alloc(fd, 1), -EINVAL);
	kill(pid, SIGKILL);
	EXPECT(abi_wait(pid, 5000) >= 0);
	EXPECT_RET(ctx_alloc(fd, 4), 0);
	close(fd);
}

/* --- the lock --- */

static long lock(int fd, bool on)
{
	return abi_call(fd, METIS_IOC_MSG_LOCK, (void *)(uintptr_t)on);
}

/* Whether a file of its own gets the lock within that time. */
static bool can_lock(unsigned int ms)
{
	int fd = abi_open();
	long ret;

	abi_alarm_ms(ms);
	ret = lock(fd, true);
	abi_alarm_ms(0);
	EXPECT_RET(ret, 0, -EINTR);
	close(fd);
	return !ret;
}

static void test_lock(void)
{
	int fd = abi_open();

	EXPECT_RET(lock(fd, true), 0);
	EXPECT(!can_lock(200));
	EXPECT_RET(lock(fd, false), 0);
	EXPECT(can_lock(2000));
	EXPECT_RET(lock(fd, true), 0);
	EXPECT(!can_lock(200));
	close(fd);
	EXPECT(can_lock(2000));
}

static void test_lock_between_processes(void)
{
	int fd = abi_open(), pid, pipes[2];
	uint64_t start;
	char c = 0;

	ASSERT(!pipe(pipes));
	EXPECT_RET(lock(fd, true), 0);
	pid = fork();
	if (!pid) {
		close(fd);
		c = lock(abi_open(), true) == 0;
		_exit(write(pipes[1], &c, 1) != 1);
	}
	EXPECT(!abi_poll_in(pipes[0], 300));
	start = abi_now_ms();
	EXPECT_RET(lock(fd, false), 0);
	EXPECT(abi_poll_in(pipes[0], 5000) && read(pipes[0], &c, 1) == 1 && c);
	EXPECT(abi_now_ms() - start < 2000);
	EXPECT_EQ(abi_wait(pid, 5000), 0);
	EXPECT(can_lock(2000));
	close(fd);
}

static void test_lock_waiter_killed(void)
{
	int fd = abi_open(), pid;

	EXPECT_RET(lock(fd, true), 0);
	pid = fork();
	if (!pid) {
		close(fd);
		lock(abi_open(), true);
		_exit(0);
	}
	abi_sleep_ms(100);
	kill(pid, SIGKILL);
	EXPECT(abi_wait(pid, 5000) >= 0);
	EXPECT_RET(lock(fd, false), 0);
	EXPECT(can_lock(2000));
	close(fd);
}

/* What it answers is its own affair; the holder keeps the lock. */
static void test_lock_is_the_holders(void)
{
	int fd = abi_open(), other = abi_open();

	EXPECT_RET(lock(fd, true), 0);
	lock(other, false);
	EXPECT(!can_lock(200));
	close(other);
	EXPECT(!can_lock(200));
	close(fd);
	EXPECT(can_lock(2000));
}

static void test_lock_twice(void)
{
	int fd = abi_open();

	EXPECT_RET(lock(fd, true), 0);
	abi_alarm_ms(500);
	lock(fd, true); /* may wait for a signal, must not wait for ever */
	abi_alarm_ms(0);
	close(fd);
	EXPECT(can_lock(2000));
}

/* --- requests that are none, arguments that lead nowhere --- */

static void test_unknown_requests(void)
{
	static const unsigned int bad[] = {4, 26, 27, 31, 33, 49, 51, 63, 127, 255};
	uint64_t arg[64] = {0};
	int fd = abi_open();

	for (unsigned int i = 0; i < ARRAY_NR(bad); i++) {
		EXPECT_RET(abi_call(fd, METIS_IOC_(bad[i], 4), arg), -ENOTTY);
		EXPECT_RET(abi_call(fd, METIS_IOC_(bad[i], 8), arg), -ENOTTY);
		EXPECT_RET(abi_call(fd, _IO(METIS_IOC_TYPE, bad[i]), arg), -ENOTTY);
	}
	EXPECT_RET(abi_call(fd, _IOC(_IOC_READ | _IOC_WRITE, 'V', 1, 4), arg), -ENOTTY);
	EXPECT_RET(abi_call(fd, METIS_IOC_(10, sizeof(struct metis_user_xfer)), arg), -ENOTTY);
	EXPECT_RET(abi_call(fd, METIS_IOC_(7, 4), arg), -ENOTTY); /* a 32-bit program's */
	EXPECT_RET(abi_call(fd, 0, arg), -ENOTTY);
	close(fd);
}

static const unsigned long pointer_requests[] = {
	METIS_IOC_CTX_ALLOC,	 METIS_IOC_DMA_ATTACH,	    METIS_IOC_DMA_XFER,
	METIS_IOC_USER_XFER,	 METIS_IOC_DMA_SYNC_STATUS, METIS_IOC_MSI_WAIT,
	METIS_IOC_MSI_CLEAN,	 METIS_IOC_MSI_ATTACH,	    METIS_IOC_CTX_CORES,
	METIS_IOC_GET_RESOURCES, METIS_IOC_GET_WINDOWS,	    METIS_IOC_GET_DMA_STATS,
};

static const unsigned long newer_pointer_requests[] = {
	METIS_IOC_GET_PROPERTY,	   METIS_IOC_FWTRACE_OPEN,  METIS_IOC_FWTRACE_ENABLE,
	METIS_IOC_FWTRACE_DISABLE, METIS_IOC_FWTRACE_CLEAR,
};

static void test_bad_pointers(void)
{
	void *bad[] = {NULL, (void *)1, BAD_ADDRESS, (void *)(UINTPTR_MAX - 7), NULL};
	int fd = abi_open();

	bad[4] = mmap(NULL, ABI_PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	for (unsigned int i = 0; i < ARRAY_NR(bad); i++) {
		for (unsigned int n = 0; n < ARRAY_NR(pointer_requests); n++)
			EXPECT_RET(abi_call(fd, pointer_requests[n], bad[i]), -EFAULT);
		for (unsigned int n = 0; n < ARRAY_NR(newer_pointer_requests) && !abi_vendor; n++)
			EXPECT_RET(abi_call(fd, newer_pointer_requests[n], bad[i]), -EFAULT,
				   -ENODEV);
		EXPECT_RET(abi_call(fd, METIS_IOC_P2P_XFER, bad[i]), -EFAULT, -EPERM);
	}
	close(fd);
}

/* An argument whose second half lies in a page that isn't there. */
static void test_arguments_across_the_end(void)
{
	uint8_t *pages = abi_memory(2 * ABI_PAGE);
	int fd = abi_open();

	munmap(pages + ABI_PAGE, ABI_PAGE);
	for (unsigned int n = 0; n < ARRAY_NR(pointer_requests); n++)
		EXPECT_RET(abi_call(fd, pointer_requests[n], pages + ABI_PAGE - 2), -EFAULT);
	close(fd);
}

static void test_answers_into_read_only_memory(void)
{
	static const unsigned long requests[] = {
		METIS_IOC_CTX_CORES,
		METIS_IOC_GET_RESOURCES,
		METIS_IOC_GET_WINDOWS,
		METIS_IOC_GET_DMA_STATS,
	};
	void *page = mmap(NULL, ABI_PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int fd = abi_open();

	for (unsigned int i = 0; i < ARRAY_NR(requests); i++)
		EXPECT_RET(abi_call(fd, requests[i], page), -EFAULT);
	if (!abi_vendor)
		EXPECT_RET(abi_call(fd, METIS_IOC_GET_PROPERTY, page), -EFAULT);
	close(fd);
}

/* --- log streams, newer requests --- */

static void test_log_requests(void)
{
	struct metis_fwtrace_stats stats;
	int fd = abi_open();
	uint32_t source = 255;
	long ret = abi_call(fd, METIS_IOC_FWTRACE_OPEN, &source);

	if (abi_vendor && ret == -ENOTTY)
		abi_skip("vendor: older than 1.5.6");
	EXPECT_RET(ret, -EINVAL);
	source = UINT32_MAX;
	EXPECT_RET(abi_call(fd, METIS_IOC_FWTRACE_OPEN, &source), -EINVAL);
	EXPECT_RET(abi_call(fd, METIS_IOC_FWTRACE_ENABLE, &source), -EINVAL, -ENODEV);
	EXPECT_RET(abi_call(fd, METIS_IOC_FWTRACE_DISABLE, &source), -EINVAL, -ENODEV);
	EXPECT_RET(abi_call(fd, METIS_IOC_FWTRACE_CLEAR, &source), -EINVAL, -ENODEV);
	EXPECT_RET(abi_call(fd, METIS_IOC_FWTRACE_CLOSE, NULL), -EINVAL);
	EXPECT_RET(abi_call(fd, METIS_IOC_FWTRACE_STATS, &stats), -EINVAL);
	close(fd);
}

static void test_firmware_loaded(void)
{
	int fd = abi_open();
	void *memory = abi_memory(ABI_PAGE);
	long ret = abi_call(fd, METIS_IOC_FIRMWARE_LOADED, NULL);

	if (abi_vendor && ret == -ENOTTY)
		abi_skip("vendor: 1.4.4 has no such request");
	EXPECT_RET(ret, 0);
	abi_round_trip(fd, ABI_CARD(0), memory, memory, ABI_PAGE);
	close(fd);
}

static void test_user_pa(void)
{
	uint8_t *memory = abi_memory(ABI_PAGE);
	struct metis_user_pa pa = {.virt = (uintptr_t)memory + 123};
	int fd = abi_open();

	memory[123] = 1;
	if (!abi_can_rawio())
		abi_skip("CAP_SYS_RAWIO is needed");
	EXPECT_RET(abi_call(fd, METIS_IOC_GET_USER_PA, &pa), 0);
	EXPECT(pa.pa > 123 && pa.pa % ABI_PAGE == 123);
	EXPECT_RET(abi_call(fd, METIS_IOC_GET_USER_PA, NULL), -EFAULT);
	pa.virt = (uintptr_t)BAD_ADDRESS;
	EXPECT_RET(abi_call(fd, METIS_IOC_GET_USER_PA, &pa), -EFAULT);
	abi_drop_rawio();
	pa.virt = (uintptr_t)memory;
	pa.pa = 0;
	EXPECT_RET(abi_call(fd, METIS_IOC_GET_USER_PA, &pa), -EPERM);
	EXPECT_EQ(pa.pa, 0);
	close(fd);
}

const struct abi_test abi_node_tests[] = {
	{"open_close_many", test_open_close_many, NULL},
	{"read_is_refused", test_read_is_refused, NULL},
	{"property", test_property, NULL},
	{"resources", test_resources, NULL},
	{"windows", test_windows, NULL},
	{"context_counts", test_context_counts, NULL},
	{"context_exhaustion", test_context_exhaustion, NULL},
	{"context_free_without_one", test_context_free_without_one, "never returns"},
	{"context_freed_by_kill", test_context_freed_by_kill, NULL},
	{"lock", test_lock, NULL},
	{"lock_between_processes", test_lock_between_processes, NULL},
	{"lock_waiter_killed", test_lock_waiter_killed, NULL},
	{"lock_is_the_holders", test_lock_is_the_holders, "anybody may unlock"},
	{"lock_twice", test_lock_twice, "a second lock of one file waits for ever"},
	{"unknown_requests", test_unknown_requests, NULL},
	{"bad_pointers", test_bad_pointers, NULL},
	{"arguments_across_the_end", test_arguments_across_the_end, NULL},
	{"answers_into_read_only_memory", test_answers_into_read_only_memory, NULL},
	{"log_requests", test_log_requests, NULL},
	{"firmware_loaded", test_firmware_loaded, NULL},
	{"user_pa", test_user_pa, "gives physical addresses to everybody"},
	{NULL, NULL, NULL},
};
