// SPDX-License-Identifier: MIT
/* What the three kinds of transfer make of flags, and who may name bus addresses. */
#include <limits.h>
#include <unistd.h>

#include "abi.h"

#define R METIS_XFER_READ
#define W METIS_XFER_WRITE
#define S METIS_XFER_SYNC
#define A METIS_XFER_ASYNC
#define P METIS_XFER_P2P

/* The first page that no machine has anything in but memory of firmware; it is only ever read. */
#define HARMLESS_BUS 0x1000

static const unsigned int all_flags[] = {
	0,	   R,	   W,	      R | W,	     S,		A,	   S | A,
	R | S,	   W | S,  R | A,     W | A,	     R | S | A, W | S | A, R | W | S,
	R | W | A, 15,	   P,	      P | R,	     P | W,	P | R | S, P | W | S,
	P | R | A, P | 15, P | R | W, P | R | W | S, P | S,	P | A};

static bool one_of(unsigned int flags, unsigned int a, unsigned int b)
{
	return !(flags & a) != !(flags & b);
}

static void test_user(void)
{
	void *at = abi_memory(ABI_PAGE);
	int fd = abi_open();

	for (unsigned int i = 0; i < ARRAY_NR(all_flags); i++) {
		unsigned int flags = all_flags[i];
		bool good = one_of(flags, R, W) && !(flags & P);
		/* SYNC and ASYNC have no meaning here: always synchronous. */
		long ret = abi_transfer(fd, flags, ABI_CARD(0), at, 64);

		if (good && (flags & (S | A)) == (S | A))
			EXPECT_RET(ret, 0, -EINVAL);
		else if (!EXPECT_RET(ret, good ? 0 : -EINVAL))
			abi_note("flags 0x%x", flags);
	}
	close(fd);
}

static void test_dmabuf(void)
{
	struct abi_buf buf;
	int fd = abi_open();

	abi_buf_create(ABI_PAGE, &buf);
	EXPECT_RET(abi_attach(fd, buf.fd), 0);
	for (unsigned int i = 0; i < ARRAY_NR(all_flags); i++) {
		unsigned int flags = all_flags[i];
		bool good = one_of(flags, R, W) && one_of(flags, S, A) && !(flags & P);

		if (!EXPECT_RET(abi_dma(fd, flags, ABI_CARD(0), 0, 64, -1), good ? 0 : -EINVAL))
			abi_note("flags 0x%x", flags);
		while (abi_call(fd, METIS_IOC_DMA_ASYNC_STATUS, NULL) == METIS_ASYNC_PENDING)
			abi_poll_in(fd, 100);
	}
	abi_buf_destroy(&buf);
	close(fd);
}

static long p2p(int fd, unsigned int flags, uint64_t size, int channel)
{
	struct metis_p2p_xfer x = {
		.card = ABI_CARD(0),
		.bus = HARMLESS_BUS,
		.size = size,
		.channel = channel,
		.flags = flags,
	};

	return abi_call(fd, METIS_IOC_P2P_XFER, &x);
}

static void test_p2p(void)
{
	static const struct {
		uint64_t size;
		int channel;
	} bad[] = {{0, 0}, {64, 4}, {64, INT_MAX}, {UINT64_MAX, 0}};
	int fd = abi_open();

	if (!abi_can_rawio())
		abi_skip("CAP_SYS_RAWIO is needed");
	for (unsigned int i = 0; i < ARRAY_NR(all_flags); i++) {
		unsigned int flags = all_flags[i];

		/* What is right would be done. */
		if (one_of(flags, R, W) && one_of(flags, S, A) && flags & P)
			continue;
		if (!EXPECT_RET(p2p(fd, flags, 64, -1), -EINVAL))
			abi_note("flags 0x%x", flags);
	}
	for (unsigned int i = 0; i < ARRAY_NR(bad); i++)
		EXPECT_RET(p2p(fd, P | W | S, bad[i].size, bad[i].channel), -EINVAL);
	close(fd);
}

static void test_p2p_unprivileged(void)
{
	int fd = abi_open();

	abi_drop_rawio();
	EXPECT_RET(p2p(fd, P | W | S, 4, -1), -EPERM);
	EXPECT_RET(p2p(fd, P | W | A, 4, -1), -EPERM);
	close(fd);
}

const struct abi_test abi_flags_tests[] = {
	{"flags_user", test_user, "no direction means a wild pointer"},
	{"flags_dmabuf", test_dmabuf, "a dma-buf taken for a peer"},
	{"flags_p2p", test_p2p, "checks none"},
	{"p2p_unprivileged", test_p2p_unprivileged, "anybody may aim DMA at any bus address"},
	{NULL, NULL, NULL},
};
