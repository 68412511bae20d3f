// SPDX-License-Identifier: MIT
/*
 * Requests as a 32-bit program makes them, from this 64-bit one: through the 32-bit entry, with
 * structures laid out by hand and everything below 4 GiB. There 64-bit fields are aligned to 4.
 */
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "abi.h"

#ifdef __x86_64__

#define I386_GETPID 20
#define I386_IOCTL 54
#define REQUEST(nr) METIS_IOC_(nr, 4) /* those that encode the size of a pointer */

struct user_xfer32 {
	uint32_t card[2], user[2], size, offset, flags;
};
_Static_assert(sizeof(struct user_xfer32) == 28, "i386");

struct dmabuf_xfer32 {
	uint32_t card[2], size, offset;
	int32_t handle;
	uint32_t flags;
	int32_t channel;
};
_Static_assert(sizeof(struct dmabuf_xfer32) == 28, "i386");

struct p2p_xfer32 {
	uint32_t card[2], bus[2], size;
	int32_t channel;
	uint32_t flags;
};
_Static_assert(sizeof(struct p2p_xfer32) == 28, "i386");
#define P2P_XFER32 _IOWR(METIS_IOC_TYPE, 18, struct p2p_xfer32)

struct channel_stats32 {
	int32_t count, num_xfer, num_err;
	uint32_t bytes_xfer[2];
	int32_t max_sgt;
	uint32_t max_duration_us[2], duration_us[2], size, speed_mbps;
};
_Static_assert(sizeof(struct channel_stats32) == 48, "i386");

struct dma_stats32 {
	struct channel_stats32 read[4], write[4];
};
#define GET_DMA_STATS32 _IOR(METIS_IOC_TYPE, 32, struct dma_stats32)

static long entry32(long nr, long a, long b, long c)
{
	long ret;

	__asm__ volatile("int $0x80"
			 : "=a"(ret)
			 : "a"(nr), "b"(a), "c"(b), "d"(c)
			 : "memory", "cc", "r8", "r9", "r10", "r11");
	return (int)ret;
}

static long call32(int fd, unsigned long request, const void *arg)
{
	return entry32(I386_IOCTL, fd, (long)request, (long)(uintptr_t)arg);
}

/* A kernel without the 32-bit entry kills who tries. */
static void need_entry32(void)
{
	int pid = fork();

	if (!pid) {
		signal(SIGSEGV, SIG_DFL);
		_exit(entry32(I386_GETPID, 0, 0, 0) != getpid());
	}
	if (abi_wait(pid, 5000) != 0)
		abi_skip("this kernel runs no 32-bit programs");
}

static void *low_memory(size_t len)
{
	void *at = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT,
			-1, 0);

	if (at == MAP_FAILED)
		abi_skip("no memory below 4 GiB: %s", strerror(errno));
	return at;
}

static void split(uint32_t to[2], uint64_t value)
{
	to[0] = (uint32_t)value;
	to[1] = (uint32_t)(value >> 32);
}

static void test_user(void)
{
	struct user_xfer32 *x = low_memory(ABI_PAGE);
	uint8_t *at = low_memory(ABI_MIB);
	const size_t len = ABI_MIB - 5;
	int fd = abi_open();

	need_entry32();
	split(x->card, ABI_CARD(0));
	split(x->user, (uintptr_t)at);
	x->size = (uint32_t)len;
	x->flags = METIS_XFER_WRITE;
	abi_fill(at, len, 32);
	EXPECT_RET(call32(fd, REQUEST(10), x), 0);
	memset(at, 0, len);
	x->flags = METIS_XFER_READ;
	EXPECT_RET(call32(fd, REQUEST(10), x), 0);
	EXPECT_EQ(abi_differs(at, len, 32), -1);
	x->size = 0;
	EXPECT_RET(call32(fd, REQUEST(10), x), -EINVAL);
	x->size = UINT32_MAX;
	EXPECT_RET(call32(fd, REQUEST(10), x), -EFAULT, -EINVAL, -ENOMEM);
	EXPECT_RET(call32(fd, REQUEST(10), NULL), -EFAULT);
	EXPECT_RET(call32(fd, METIS_IOC_USER_XFER, x), -ENOTTY); /* the 64-bit one's number */
	close(fd);
}

static void test_dmabuf(void)
{
	struct dmabuf_xfer32 *x = low_memory(ABI_PAGE);
	int fd = abi_open();
	struct abi_buf buf;
	__s32 *arg = (void *)(x + 1);

	need_entry32();
	abi_buf_create(ABI_MIB, &buf);
	*arg = buf.fd;
	EXPECT_RET(call32(fd, METIS_IOC_DMA_ATTACH, arg), 0);
	split(x->card, ABI_CARD(0));
	x->offset = 100;
	x->size = 200000;
	x->channel = -1;
	x->flags = METIS_XFER_WRITE | METIS_XFER_SYNC;
	abi_fill(buf.map + 100, x->size, 33);
	EXPECT_RET(call32(fd, REQUEST(7), x), 0);
	memset(buf.map, 0, buf.size);
	x->flags = METIS_XFER_READ | METIS_XFER_ASYNC;
	EXPECT_RET(call32(fd, REQUEST(7), x), 0);
	x->flags = METIS_XFER_SYNC;
	EXPECT_RET(call32(fd, REQUEST(9), x), 0);
	EXPECT_RET(call32(fd, REQUEST(8), NULL), METIS_ASYNC_DONE, METIS_ASYNC_NONE);
	EXPECT_EQ(abi_differs(buf.map + 100, x->size, 33), -1);
	x->channel = 4;
	x->flags = METIS_XFER_READ | METIS_XFER_SYNC;
	EXPECT_RET(call32(fd, REQUEST(7), x), -EINVAL);
	EXPECT_RET(call32(fd, METIS_IOC_DMA_DETACH, NULL), 0);
	abi_buf_destroy(&buf);
	close(fd);
}

static void test_statistics(void)
{
	struct dma_stats32 *low = low_memory(ABI_PAGE);
	struct metis_dma_stats stats;
	void *at = abi_memory(ABI_PAGE);
	int fd = abi_open();

	need_entry32();
	memset(low, 0xee, ABI_PAGE);
	EXPECT_RET(abi_transfer(fd, METIS_XFER_READ, ABI_CARD(0), at, 777), 0);
	EXPECT_RET(abi_call(fd, METIS_IOC_GET_DMA_STATS, &stats), 0);
	EXPECT_RET(call32(fd, GET_DMA_STATS32, low), 0);
	for (int i = 0; i < 4; i++) {
		EXPECT_EQ(low->read[i].count, stats.read[i].count);
		EXPECT_EQ(low->read[i].num_xfer, stats.read[i].num_xfer);
		EXPECT_EQ(low->read[i].bytes_xfer[0], (uint32_t)stats.read[i].bytes_xfer);
		EXPECT_EQ(low->read[i].size, stats.read[i].size);
		EXPECT_EQ(low->write[i].num_xfer, stats.write[i].num_xfer);
		EXPECT_EQ(low->write[i].speed_mbps, stats.write[i].speed_mbps);
	}
	EXPECT_EQ(*((uint8_t *)low + sizeof(*low)), 0xee);
	EXPECT_RET(call32(fd, GET_DMA_STATS32, NULL), -EFAULT);
	close(fd);
}

static void test_p2p(void)
{
	struct p2p_xfer32 *x = low_memory(ABI_PAGE);
	int fd = abi_open();

	need_entry32();
	split(x->card, ABI_CARD(0));
	split(x->bus, 0x1000); /* would only be read */
	x->size = 4;
	x->channel = -1;
	x->flags = METIS_XFER_WRITE | METIS_XFER_SYNC; /* no P2P */
	EXPECT_RET(call32(fd, P2P_XFER32, x), abi_can_rawio() ? -EINVAL : -EPERM);
	abi_drop_rawio();
	x->flags |= METIS_XFER_P2P;
	EXPECT_RET(call32(fd, P2P_XFER32, x), -EPERM);
	close(fd);
}

/* Those whose layout is the same, whose number may not be. */
static void test_others(void)
{
	uint64_t *low = low_memory(ABI_PAGE);
	struct metis_msi_wait *wait = (void *)low;
	struct metis_windows win;
	int fd = abi_open();

	need_entry32();
	*low = METIS_PROPERTY_AI_CORES;
	EXPECT_RET(call32(fd, METIS_IOC_GET_PROPERTY, low), 0);
	EXPECT_EQ(*low, 4);
	EXPECT_RET(abi_call(fd, METIS_IOC_GET_WINDOWS, &win), 0);
	EXPECT_RET(call32(fd, METIS_IOC_GET_WINDOWS, low), 0);
	EXPECT(!memcmp(low, &win, sizeof(win)));
	EXPECT_RET(call32(fd, METIS_IOC_CTX_CORES, low), 0);
	EXPECT_EQ(*low, 0);
	*wait = (struct metis_msi_wait){.number = 17, .timeout = 1};
	EXPECT_RET(call32(fd, REQUEST(12), wait), 0);
	EXPECT_RET(call32(fd, REQUEST(11), wait), -ETIMEDOUT);
	EXPECT_RET(call32(fd, METIS_IOC_CLEAR_POLL_EVENT, NULL), 0);
	EXPECT_RET(call32(fd, METIS_IOC_(99, 4), low), -ENOTTY);
	close(fd);
}

static const char compat[] = "converts nothing for 32-bit programs";

const struct abi_test abi_compat_tests[] = {
	{"compat_user", test_user, compat},
	{"compat_dmabuf", test_dmabuf, compat},
	{"compat_statistics", test_statistics, compat},
	{"compat_p2p", test_p2p, compat},
	{"compat_others", test_others, compat},
	{NULL, NULL, NULL},
};

#else

const struct abi_test abi_compat_tests[] = {{NULL, NULL, NULL}};

#endif
