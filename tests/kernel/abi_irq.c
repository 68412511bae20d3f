// SPDX-License-Identifier: MIT
/*
 * Interrupt numbers: waiting, cleaning, attaching. Real ones come from the firmware: a command that
 * it refuses at once, where it speaks Tethys' protocol.
 */
#include <limits.h>
#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

#include <tethys/hw/fwarea.h>
#include <tethys/hw/fwproto.h>
#include <tethys/hw/irq.h>
#include <tethys/hw/memory.h>

#include "abi.h"

#define SILENT 17 /* a number that nothing raises */

static long msi(int fd, unsigned long request, int number, int timeout)
{
	struct metis_msi_wait wait = {.number = number, .timeout = timeout};

	return abi_call(fd, request, &wait);
}

static long attach(int fd, int number)
{
	__s32 arg = number;

	return abi_call(fd, METIS_IOC_MSI_ATTACH, &arg);
}

static void test_timeout(void)
{
	int fd = abi_open();
	uint64_t start, ms;

	EXPECT_RET(msi(fd, METIS_IOC_MSI_CLEAN, SILENT, 0), 0);
	start = abi_now_ms();
	EXPECT_RET(msi(fd, METIS_IOC_MSI_WAIT, SILENT, 1), -ETIMEDOUT);
	ms = abi_now_ms() - start;
	EXPECT(ms >= 900 && ms < 3000);
	close(fd);
}

static void test_ranges(void)
{
	static const int bad[] = {-1, INT_MIN, METIS_VMSI_WORDS + 1, INT_MAX};
	int fd = abi_open();

	for (unsigned int i = 0; i < ARRAY_NR(bad); i++) {
		EXPECT_RET(msi(fd, METIS_IOC_MSI_WAIT, bad[i], 1), -EFAULT);
		EXPECT_RET(msi(fd, METIS_IOC_MSI_CLEAN, bad[i], 1), -EFAULT);
		EXPECT_RET(attach(fd, bad[i]), -EFAULT);
	}
	EXPECT_RET(msi(fd, METIS_IOC_MSI_CLEAN, 0, 0), 0);
	EXPECT_RET(msi(fd, METIS_IOC_MSI_CLEAN, METIS_IRQ_NR - 1, 0), 0);
	EXPECT_RET(msi(fd, METIS_IOC_MSI_WAIT, SILENT, -1), -EFAULT);
	EXPECT_RET(msi(fd, METIS_IOC_MSI_WAIT, SILENT, INT_MIN), -EFAULT);
	close(fd);
}

/* The count that is as large as the firmware's own, or as without firmware's word. */
static void test_limit(void)
{
	int fd = abi_open(), limit;

	for (limit = METIS_IRQ_NR; limit < (int)METIS_VMSI_WORDS; limit++) {
		if (msi(fd, METIS_IOC_MSI_CLEAN, limit, 0))
			break;
	}
	EXPECT_RET(msi(fd, METIS_IOC_MSI_CLEAN, limit, 0), -EFAULT);
	EXPECT_RET(msi(fd, METIS_IOC_MSI_WAIT, limit, 1), -EFAULT);
	EXPECT_RET(attach(fd, limit), -EFAULT);
	abi_note("numbers: %d", limit);
	close(fd);
}

static void test_signals_end_the_wait(void)
{
	static const int timeouts[] = {0, 10, INT_MAX}; /* seconds */
	int fd = abi_open();

	EXPECT_RET(msi(fd, METIS_IOC_MSI_CLEAN, SILENT, 0), 0);
	for (unsigned int i = 0; i < ARRAY_NR(timeouts); i++) {
		abi_alarm_ms(300);
		EXPECT_RET(msi(fd, METIS_IOC_MSI_WAIT, SILENT, timeouts[i]), -EINTR);
	}
	close(fd);
}

static void test_attach_many(void)
{
	int fds[8];

	for (int i = 0; i < 8; i++) {
		fds[i] = abi_open();
		for (int number = 0; number < (int)METIS_IRQ_NR; number++)
			EXPECT_RET(attach(fds[i], number), 0);
		EXPECT_RET(attach(fds[i], 3), 0); /* again */
	}
	for (int i = 0; i < 8; i++)
		close(fds[i]);
}

/* --- with signals --- */

/* A context of the card, reserved, and where its command words are. */
struct context {
	int fd, n;
	volatile uint32_t *words; /* struct metis_context */
	uint32_t seq;
};

static void open_context(struct context *ret_ctx)
{
	volatile uint8_t *l2;
	uint32_t offset;
	__s32 cores = 1;
	void *at;

	*ret_ctx = (struct context){.fd = abi_open(), .seq = (uint32_t)abi_now_ms()};
	ret_ctx->n = (int)abi_call(ret_ctx->fd, METIS_IOC_CTX_ALLOC, &cores);
	if (ret_ctx->n < 0)
		abi_skip("all contexts are taken");
	at = mmap(NULL, METIS_L2_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, ret_ctx->fd, 0);
	if (at == MAP_FAILED)
		abi_skip("L2 can't be mapped");
	l2 = at;
	if (*(volatile uint16_t *)(l2 + offsetof(struct metis_sysctl, tethys)) !=
	    METIS_MAGIC_TETHYS)
		abi_skip("the firmware doesn't speak Tethys' protocol");
	offset = *(volatile uint32_t *)(l2 + offsetof(struct metis_sysctl, context) +
					offsetof(struct metis_memref, offset));
	if (offset > METIS_L2_BYTES - METIS_CORES * sizeof(struct metis_context))
		abi_skip("the firmware has no contexts");
	ret_ctx->words = (volatile uint32_t *)(l2 + offset +
					       (uint32_t)ret_ctx->n * sizeof(struct metis_context));
}

/* A request at an address where none can be: refused, but with an interrupt. */
static void command(struct context *ctx)
{
	volatile uint32_t *w = ctx->words;
	const size_t arg = offsetof(struct metis_context, arg) / 4;
	const size_t cmd = offsetof(struct metis_context, cmd) / 4;
	const uint64_t value = METIS_FW_CMD(METIS_FW_OP_UNLOAD, ++ctx->seq);

	w[arg] = 0;
	w[arg + 1] = 0;
	w[cmd + 1] = (uint32_t)(value >> 32);
	w[cmd] = (uint32_t)value; /* starts it */
}

static void test_wait(void)
{
	struct context ctx;

	open_context(&ctx);
	EXPECT_RET(msi(ctx.fd, METIS_IOC_MSI_CLEAN, ctx.n, 0), 0);
	for (int i = 0; i < 10; i++) {
		command(&ctx);
		EXPECT_RET(msi(ctx.fd, METIS_IOC_MSI_WAIT, ctx.n, 5), 0);
	}
	/* Each was taken. */
	EXPECT_RET(msi(ctx.fd, METIS_IOC_MSI_WAIT, ctx.n, 1), -ETIMEDOUT);
	close(ctx.fd);
}

static void test_clean(void)
{
	struct context ctx;

	open_context(&ctx);
	EXPECT_RET(msi(ctx.fd, METIS_IOC_MSI_CLEAN, ctx.n, 0), 0);
	EXPECT_RET(attach(ctx.fd, ctx.n), 0);
	command(&ctx);
	EXPECT(abi_poll_in(ctx.fd, 5000));
	EXPECT_RET(msi(ctx.fd, METIS_IOC_MSI_CLEAN, ctx.n, 0), 0);
	EXPECT_RET(msi(ctx.fd, METIS_IOC_MSI_WAIT, ctx.n, 1), -ETIMEDOUT);
	close(ctx.fd);
}

static void test_attach(void)
{
	struct context ctx;
	int other;

	open_context(&ctx);
	other = abi_open();
	EXPECT_RET(attach(ctx.fd, ctx.n), 0);
	for (int i = 0; i < 5; i++) {
		command(&ctx);
		EXPECT(abi_poll_in(ctx.fd, 5000));
		EXPECT_RET(abi_call(ctx.fd, METIS_IOC_CLEAR_POLL_EVENT, NULL), 1);
		EXPECT_RET(msi(ctx.fd, METIS_IOC_MSI_WAIT, ctx.n, 5), 0);
		EXPECT(!abi_poll_in(other, 0));
	}
	EXPECT_RET(abi_call(ctx.fd, METIS_IOC_CLEAR_POLL_EVENT, NULL), 0);
	close(other);
	close(ctx.fd);
}

static void *late_command(void *ctx)
{
	abi_sleep_ms(300);
	command(ctx);
	return NULL;
}

static void test_wakes(void)
{
	struct context ctx;
	pthread_t thread;

	open_context(&ctx);
	EXPECT_RET(msi(ctx.fd, METIS_IOC_MSI_CLEAN, ctx.n, 0), 0);
	ASSERT(!pthread_create(&thread, NULL, late_command, &ctx));
	EXPECT_RET(msi(ctx.fd, METIS_IOC_MSI_WAIT, ctx.n, 0), 0);
	pthread_join(thread, NULL);
	close(ctx.fd);
}

/* The numbers of the DMA channels, when the driver has interrupts of them at all. */
static void test_dma_numbers(void)
{
	void *at = abi_memory(ABI_PAGE);
	int fd = abi_open(), n;

	for (n = 0; n < 4; n++) {
		EXPECT_RET(msi(fd, METIS_IOC_MSI_CLEAN, METIS_IRQ_DMA_READ(n), 0), 0);
		EXPECT_RET(msi(fd, METIS_IOC_MSI_CLEAN, METIS_IRQ_DMA_WRITE(n), 0), 0);
	}
	EXPECT_RET(abi_transfer(fd, METIS_XFER_WRITE, ABI_CARD(0), at, ABI_PAGE), 0);
	for (n = 0; n < 4; n++) {
		if (!msi(fd, METIS_IOC_MSI_WAIT, METIS_IRQ_DMA_READ(n), 1))
			break;
	}
	if (n == 4)
		abi_skip("a transfer raised none of 4 to 7: one vector, or polling");
	EXPECT_RET(msi(fd, METIS_IOC_MSI_WAIT, METIS_IRQ_DMA_WRITE(n), 1), -ETIMEDOUT);
	close(fd);
}

const struct abi_test abi_irq_tests[] = {
	{"msi_timeout", test_timeout, NULL},
	{"msi_ranges", test_ranges, NULL},
	{"msi_limit", test_limit, "the number after the last one is let through"},
	{"msi_signals_end_the_wait", test_signals_end_the_wait,
	 "seconds overflow; raw restart code"},
	{"msi_attach_many", test_attach_many, "a second attach corrupts the lists"},
	{"msi_wait", test_wait, NULL},
	{"msi_clean", test_clean, NULL},
	{"msi_attach", test_attach, NULL},
	{"msi_wakes", test_wakes, NULL},
	{"msi_dma_numbers", test_dma_numbers, NULL},
	{NULL, NULL, NULL},
};
