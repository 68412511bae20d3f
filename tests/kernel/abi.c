// SPDX-License-Identifier: MIT
/* Helpers of the ABI tests. */
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/dma-buf.h>
#include <linux/dma-heap.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <tethys/hw/edma.h>
#include <tethys/hw/fwarea.h>
#include <tethys/hw/memory.h>

#include "abi.h"
#include "abi_runner.h"

static atomic_int failures;

static void print_note(const char *where, const char *fmt, va_list args)
{
	char text[512];

	vsnprintf(text, sizeof(text), fmt, args);
	printf("# %s%s\n", where, text);
	fflush(stdout);
}

void abi_fail(const char *file, int line, const char *fmt, ...)
{
	const char *base = strrchr(file, '/');
	char where[128];
	va_list args;

	/* A loop that fails a thousand times is told of ten times. */
	if (atomic_fetch_add(&failures, 1) >= 10)
		return;
	snprintf(where, sizeof(where), "%s:%d: ", base ? base + 1 : file, line);
	va_start(args, fmt);
	print_note(where, fmt, args);
	va_end(args);
}

void abi_note(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	print_note("", fmt, args);
	va_end(args);
}

bool abi_has_failed(void)
{
	return atomic_load(&failures) > 0;
}

void abi_skip(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(abi_runner->skip, sizeof(abi_runner->skip), fmt, args);
	va_end(args);
	fflush(stdout);
	_exit(abi_has_failed() ? ABI_EXIT_FAILED : ABI_EXIT_SKIPPED);
}

static const char *ret_text(long ret, char *buf, size_t bytes)
{
	if (ret < 0)
		snprintf(buf, bytes, "-%s", strerror((int)-ret));
	else
		snprintf(buf, bytes, "%ld", ret);
	return buf;
}

bool abi_expect_ret(const char *file, int line, const char *what, long got, const long *want,
		    unsigned int nr)
{
	char got_text[80], want_text[80];
	unsigned int i;

	for (i = 0; i < nr; i++) {
		if (got == want[i])
			return true;
	}
	abi_fail(file, line, "%s gives %s, not %s%s", what,
		 ret_text(got, got_text, sizeof(got_text)),
		 ret_text(want[0], want_text, sizeof(want_text)), nr > 1 ? " (or the like)" : "");
	return false;
}

/* --- the node --- */

int abi_open(void)
{
	int fd = open(abi_device, O_RDWR | O_CLOEXEC);

	if (fd < 0) {
		abi_fail(__FILE__, __LINE__, "cannot open %s: %s", abi_device, strerror(errno));
		_exit(ABI_EXIT_FAILED);
	}
	return fd;
}

long abi_call(int fd, unsigned long request, void *arg)
{
	long ret = ioctl(fd, request, arg);

	return ret < 0 ? -errno : ret;
}

void abi_sysfs(int fd, char *ret_path, size_t bytes)
{
	char link[64], path[4096];
	struct stat st;

	if (fstat(fd, &st) || !S_ISCHR(st.st_mode))
		abi_skip("%s is no character device", abi_device);
	snprintf(link, sizeof(link), "/sys/dev/char/%u:%u/device", major(st.st_rdev),
		 minor(st.st_rdev));
	if (!realpath(link, path))
		abi_skip("%s: %s", link, strerror(errno));
	snprintf(ret_path, bytes, "%s", path);
}

uint64_t abi_lists_base(int fd)
{
	const size_t ref = offsetof(struct metis_sysctl, dma_list);
	uint64_t base = METIS_EDMA_LISTS_BASE;
	volatile uint32_t *l2 = mmap(NULL, METIS_L2_BYTES, PROT_READ, MAP_SHARED, fd, 0);
	uint32_t area;

	if (l2 == MAP_FAILED)
		return base;
	area = l2[(ref + offsetof(struct metis_memref, offset)) / 4];
	if ((l2[ref / 4] & 0xffff) == METIS_MAGIC_DMA_LIST && area < METIS_L2_BYTES - 16)
		base = l2[area / 4] ? l2[area / 4] : base;
	munmap((void *)l2, METIS_L2_BYTES);
	return base;
}

/* --- memory --- */

static uint64_t pattern(uint64_t seed, size_t word)
{
	return (seed * 0x2545f4914f6cdd1dull + word + 1) * 0x9e3779b97f4a7c15ull;
}

void abi_fill(void *to, size_t len, uint64_t seed)
{
	uint8_t *at = to;
	size_t i;

	for (i = 0; i < len; i += 8) {
		uint64_t word = pattern(seed, i / 8);

		memcpy(at + i, &word, len - i < 8 ? len - i : 8);
	}
}

long abi_differs(const void *from, size_t len, uint64_t seed)
{
	const uint8_t *at = from;
	size_t i, n;

	for (i = 0; i < len; i += 8) {
		uint64_t word = pattern(seed, i / 8);

		n = len - i < 8 ? len - i : 8;
		if (!memcmp(at + i, &word, n))
			continue;
		while (at[i] == ((uint8_t *)&word)[i % 8])
			i++;
		return (long)i;
	}
	return -1;
}

void *abi_memory(size_t len)
{
	void *at = mmap(NULL, len, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (at == MAP_FAILED)
		abi_skip("no %zu bytes of memory: %s", len, strerror(errno));
	return at;
}

long abi_transfer(int fd, unsigned int flags, uint64_t card, const void *user, uint64_t size)
{
	struct metis_user_xfer x = {
		.card = card,
		.user = (uintptr_t)user,
		.size = size,
		.flags = flags,
	};

	return abi_call(fd, METIS_IOC_USER_XFER, &x);
}

bool abi_round_trip(int fd, uint64_t card, void *from, void *to, size_t len)
{
	static atomic_uint rounds;
	uint64_t seed = card ^ len ^ ((uint64_t)atomic_fetch_add(&rounds, 1) << 40);
	long off;

	abi_fill(from, len, seed);
	if (!EXPECT_RET(abi_transfer(fd, METIS_XFER_WRITE, card, from, len), 0))
		return false;
	memset(to, 0x5a, len);
	if (!EXPECT_RET(abi_transfer(fd, METIS_XFER_READ, card, to, len), 0))
		return false;
	off = abi_differs(to, len, seed);
	if (off >= 0)
		abi_fail(__FILE__, __LINE__, "%zu bytes at card address %#llx: byte %ld differs",
			 len, (unsigned long long)card, off);
	return off < 0;
}

void abi_buf_create(size_t size, struct abi_buf *ret_buf)
{
	struct dma_heap_allocation_data alloc = {.len = size, .fd_flags = O_RDWR | O_CLOEXEC};
	int heap = open("/dev/dma_heap/system", O_RDONLY | O_CLOEXEC);
	void *map;

	if (heap < 0)
		abi_skip("/dev/dma_heap/system: %s", strerror(errno));
	if (ioctl(heap, DMA_HEAP_IOCTL_ALLOC, &alloc))
		abi_skip("%zu bytes of the system heap: %s", size, strerror(errno));
	close(heap);
	map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, (int)alloc.fd, 0);
	if (map == MAP_FAILED)
		abi_skip("mmap of a buffer: %s", strerror(errno));
	*ret_buf = (struct abi_buf){.fd = (int)alloc.fd, .map = map, .size = size};
}

void abi_buf_destroy(struct abi_buf *buf)
{
	munmap(buf->map, buf->size);
	if (buf->fd >= 0)
		close(buf->fd);
}

long abi_attach(int fd, int dmabuf)
{
	__s32 arg = dmabuf;

	return abi_call(fd, METIS_IOC_DMA_ATTACH, &arg);
}

long abi_dma(int fd, unsigned int flags, uint64_t card, uint32_t offset, uint64_t size, int channel)
{
	struct metis_dmabuf_xfer x = {
		.card = card,
		.size = size,
		.offset = offset,
		.flags = flags,
		.channel = channel,
	};

	return abi_call(fd, METIS_IOC_DMA_XFER, &x);
}

/* --- processes, rights, time --- */

static bool caps_get(struct __user_cap_data_struct data[2])
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};

	return !syscall(SYS_capget, &head, data);
}

bool abi_can_rawio(void)
{
	struct __user_cap_data_struct data[2];

	return caps_get(data) && data[0].effective & 1u << CAP_SYS_RAWIO;
}

void abi_drop_rawio(void)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2];
	char yes = 'N';
	int fd = open("/sys/module/tethys_metis/parameters/user_registers", O_RDONLY | O_CLOEXEC);

	if (fd >= 0 && read(fd, &yes, 1) == 1 && yes == 'Y')
		abi_skip("the module's user_registers is on");
	if (fd >= 0)
		close(fd);
	if (!caps_get(data))
		abi_skip("capget: %s", strerror(errno));
	data[0].effective &= ~(1u << CAP_SYS_RAWIO);
	data[0].permitted &= ~(1u << CAP_SYS_RAWIO);
	data[0].inheritable &= ~(1u << CAP_SYS_RAWIO);
	if (syscall(SYS_capset, &head, data))
		abi_skip("capset: %s", strerror(errno));
}

uint64_t abi_now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

void abi_sleep_ms(unsigned int ms)
{
	struct timespec wait = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L};

	nanosleep(&wait, NULL);
}

static void on_alarm(int signum)
{
	(void)signum;
}

void abi_alarm_ms(unsigned int ms)
{
	struct itimerval timer = {.it_value = {ms / 1000, ms % 1000 * 1000L}};
	struct sigaction action = {.sa_handler = on_alarm};

	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &timer, NULL);
}

int abi_wait(int pid, unsigned int timeout_ms)
{
	uint64_t end = abi_now_ms() + timeout_ms;
	int status;

	for (;;) {
		if (waitpid(pid, &status, WNOHANG) == pid)
			return status;
		if (abi_now_ms() >= end)
			return -ETIMEDOUT;
		abi_sleep_ms(2);
	}
}

bool abi_poll_in(int fd, int timeout_ms)
{
	struct pollfd pfd = {.fd = fd, .events = POLLIN};

	return poll(&pfd, 1, timeout_ms) == 1 && pfd.revents & POLLIN;
}
