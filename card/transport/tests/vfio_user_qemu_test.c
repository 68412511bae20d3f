/* SPDX-License-Identifier: MIT */
/*
 * A real QEMU as the client: no guest runs, this program is the processor, through QEMU's qtest
 * socket. So enumeration, DMA and interrupts are those of QEMU's own vfio-user client, in seconds.
 */
#include <errno.h>
#include <linux/pci_regs.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <tethys/hw/edma.h>
#include <tethys/hw/irq.h>
#include <tethys/hw/memory.h>
#include <tethys/hw/pci.h>

#include "card/transport/vfio_user_server.h"
#include "tests/tap.h"

#define QEMU "qemu-system-x86_64"
#define PATIENCE_S 20
#define SLOT 5u

/* Where things are in the guest's memory; the BARs' places are this program's choice. */
#define BAR0_AT 0xfe000000u
#define BAR2_AT 0xf8000000u
#define SOURCE_AT 0x1000000u
#define TARGET_AT 0x2000000u
#define MESSAGE_AT 0x3000000u /* MSIs go to RAM, where they can be seen */
#define NOWHERE_AT 0x7000000000ull
#define DMA_BYTES 65536u
#define MSI_DATA 0x40u

static char dir[] = "/tmp/vfio-user-qemu-test-XXXXXX";
static char card_path[108], qtest_path[108];

static struct machine {
	struct card *card;
	struct vfio_user_server *server;
	pthread_t thread;
	int listen_fd; /* for QEMU's qtest connection */
	pid_t qemu;
	FILE *qtest;
	char answer[2 * DMA_BYTES + 64];
} machine;

/* --- QEMU and the card --- */

/* Does this machine's QEMU know vfio-user? */
static bool qemu_is_there(void)
{
	return !system(QEMU " -device vfio-user-pci,help >/dev/null 2>&1");
}

static void *run_main(void *arg)
{
	vfio_user_server_run(arg);
	return NULL;
}

static bool card_start(const struct vfio_user_server_config *template)
{
	const struct card_config config = {.engine = "null", .keep_imwr = -1};
	struct vfio_user_server_config server = *template;
	struct reason why = {.text = ""};

	memset(&machine, 0, sizeof(machine));
	server.path = card_path;
	if (card_create(&config, &machine.card, &why) ||
	    vfio_user_server_create(machine.card, &server, &machine.server, &why)) {
		printf("# %s\n", why.text);
		return false;
	}
	return !pthread_create(&machine.thread, NULL, run_main, machine.server);
}

static void card_stop(void)
{
	vfio_user_server_stop(machine.server);
	pthread_join(machine.thread, NULL);
	vfio_user_server_destroy(machine.server);
	card_destroy(machine.card);
}

static void qemu_exec(bool shared)
{
	char device[256], qtest[128];

	snprintf(device, sizeof(device),
		 "{\"driver\":\"vfio-user-pci\",\"addr\":\"%u\",\"socket\":"
		 "{\"type\":\"unix\",\"path\":\"%s\"}}",
		 SLOT, card_path);
	snprintf(qtest, sizeof(qtest), "unix:%s", qtest_path);
	alarm(2 * PATIENCE_S); /* kept over exec: no QEMU outlives this test */
	execlp(QEMU, QEMU, "-accel", "qtest", "-m", "64", "-nodefaults", "-display", "none",
	       "-qtest", qtest, "-qtest-log", "none", "-object",
	       shared ? "memory-backend-memfd,id=ram,size=64M,share=on"
		      : "memory-backend-ram,id=ram,size=64M",
	       "-machine", "q35,memory-backend=ram", "-device", device, (char *)NULL);
	_exit(127);
}

/* Wait for QEMU's connection. Return: a socket, -1. */
static int qtest_accept(void)
{
	const struct timeval patience = {.tv_sec = PATIENCE_S};
	struct pollfd pfd = {.fd = machine.listen_fd, .events = POLLIN};
	int fd;

	if (poll(&pfd, 1, PATIENCE_S * 1000) != 1)
		return -1;
	fd = accept(machine.listen_fd, NULL, NULL);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	return fd;
}

/* @shared: guest memory is one the card can map. */
static bool qemu_start(bool shared)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int fd;

	strcpy(addr.sun_path, qtest_path);
	machine.listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (bind(machine.listen_fd, (struct sockaddr *)&addr, sizeof(addr)) ||
	    listen(machine.listen_fd, 1))
		return false;
	machine.qemu = fork();
	if (!machine.qemu)
		qemu_exec(shared);
	fd = qtest_accept();
	machine.qtest = fd < 0 ? NULL : fdopen(fd, "r+");
	return machine.qtest;
}

static void qemu_stop(void)
{
	kill(machine.qemu, SIGKILL);
	waitpid(machine.qemu, NULL, 0);
	if (machine.qtest)
		fclose(machine.qtest);
	close(machine.listen_fd);
	unlink(qtest_path);
}

/* --- what a processor does --- */

/* One command of QEMU's qtest protocol. Return: what follows "OK". */
static const char *qtest(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static const char *qtest(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vfprintf(machine.qtest, fmt, ap);
	va_end(ap);
	fputc('\n', machine.qtest);
	fflush(machine.qtest);
	do {
		if (!fgets(machine.answer, sizeof(machine.answer), machine.qtest)) {
			TAP_FAIL("QEMU does not answer: %s", fmt);
			return "";
		}
	} while (!strncmp(machine.answer, "IRQ", 3));
	if (strncmp(machine.answer, "OK", 2))
		TAP_FAIL("QEMU says %s", machine.answer);
	return machine.answer + 2;
}

static uint32_t get32(uint64_t addr)
{
	return (uint32_t)strtoull(qtest("readl 0x%" PRIx64, addr), NULL, 0);
}

static void put32(uint64_t addr, uint32_t value)
{
	qtest("writel 0x%" PRIx64 " 0x%x", addr, value);
}

static uint32_t config_get(unsigned int offset)
{
	qtest("outl 0xcf8 0x%x", 0x80000000u | SLOT << 11 | offset);
	return (uint32_t)strtoull(qtest("inl 0xcfc"), NULL, 0);
}

static void config_put(unsigned int offset, uint32_t value)
{
	qtest("outl 0xcf8 0x%x", 0x80000000u | SLOT << 11 | offset);
	qtest("outl 0xcfc 0x%x", value);
}

static void config_put16(unsigned int offset, uint16_t value)
{
	qtest("outl 0xcf8 0x%x", 0x80000000u | SLOT << 11 | (offset & ~3u));
	qtest("outw 0x%x 0x%x", 0xcfc + (offset & 2), value);
}

/* What firmware and a driver do: BARs, decoding, bus master, MSI. */
static void guest_set_up(void)
{
	config_put(PCI_BASE_ADDRESS_0, BAR0_AT);
	config_put(PCI_BASE_ADDRESS_1, 0);
	config_put(PCI_BASE_ADDRESS_2, BAR2_AT);
	config_put16(PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	config_put(METIS_CAP_MSI + METIS_MSI_ADDR_LO, MESSAGE_AT);
	config_put(METIS_CAP_MSI + METIS_MSI_ADDR_HI, 0);
	config_put(METIS_CAP_MSI + METIS_MSI_DATA, MSI_DATA);
	config_put16(METIS_CAP_MSI + METIS_MSI_CONTROL, PCI_MSI_FLAGS_ENABLE | 5 << 4);
}

static void guest_dma_start(bool write, uint64_t iova, uint32_t len)
{
	uint32_t ch = BAR0_AT + (write ? METIS_EDMA_WR_CH(0) : METIS_EDMA_RD_CH(0));
	uint64_t sar = write ? METIS_DDR_BASE : iova, dar = write ? iova : METIS_DDR_BASE;

	put32(BAR0_AT + (write ? METIS_EDMA_WR_ENGINE_EN : METIS_EDMA_RD_ENGINE_EN), 1);
	put32(ch + METIS_EDMA_CH_CONTROL1, METIS_EDMA_LIE | METIS_EDMA_RIE);
	put32(ch + METIS_EDMA_CH_SIZE, len);
	put32(ch + METIS_EDMA_CH_SAR_LO, (uint32_t)sar);
	put32(ch + METIS_EDMA_CH_SAR_HI, (uint32_t)(sar >> 32));
	put32(ch + METIS_EDMA_CH_DAR_LO, (uint32_t)dar);
	put32(ch + METIS_EDMA_CH_DAR_HI, (uint32_t)(dar >> 32));
	put32(BAR0_AT + (write ? METIS_EDMA_WR_DOORBELL : METIS_EDMA_RD_DOORBELL), 0);
}

/* Return: the channel's bits of the interrupt status, 1 done, 0x10000 aborted, 0 neither. */
static uint32_t guest_dma(bool write, uint64_t iova, uint32_t len)
{
	uint32_t status = BAR0_AT + (write ? METIS_EDMA_WR_INT_STATUS : METIS_EDMA_RD_INT_STATUS);
	uint32_t clear = BAR0_AT + (write ? METIS_EDMA_WR_INT_CLEAR : METIS_EDMA_RD_INT_CLEAR);
	uint32_t value = 0;
	unsigned int tries;

	guest_dma_start(write, iova, len);
	for (tries = 0; !value && tries < 5000 && !tap_this_failed; tries++) {
		value = get32(status) & 0x10001;
		if (!value)
			usleep(1000);
	}
	put32(clear, value);
	return value;
}

/* Wait for MSI @number and forget it. */
static bool guest_sees_msi(unsigned int number)
{
	unsigned int tries;

	for (tries = 0; tries < 2000 && !tap_this_failed; tries++) {
		if (get32(MESSAGE_AT) == MSI_DATA + number)
			break;
		usleep(1000);
	}
	put32(MESSAGE_AT, 0);
	return tries < 2000;
}

/* --- tests --- */

static void test_qemu_is_the_client(void)
{
	SKIP("no " QEMU " with vfio-user-pci (10.1 or newer) here");
}

static void test_qemu_enumerates_the_card(void)
{
	const struct vfio_user_server_config config = {.path = NULL};

	ASSERT(card_start(&config));
	ASSERT(qemu_start(true));
	EXPECT_EQ(config_get(PCI_VENDOR_ID), METIS_PCI_DEVICE_OMEGA << 16 | METIS_PCI_VENDOR);
	EXPECT_EQ(config_get(PCI_CLASS_REVISION), METIS_PCI_CLASS << 8 | METIS_PCI_REVISION);
	config_put(PCI_BASE_ADDRESS_0, UINT32_MAX);
	config_put(PCI_BASE_ADDRESS_2, UINT32_MAX);
	EXPECT_EQ(config_get(PCI_BASE_ADDRESS_0),
		  ~(METIS_BAR_EDMA_BYTES - 1) | PCI_BASE_ADDRESS_MEM_TYPE_64);
	EXPECT_EQ(config_get(PCI_BASE_ADDRESS_2), ~(METIS_BAR_L2_BYTES - 1));
	/* 32 vectors, 64-bit, maskable */
	EXPECT_EQ(config_get(METIS_CAP_MSI) & 0x01fe00ff, 0x018a0005);
	guest_set_up();
	EXPECT_EQ(get32(BAR0_AT + METIS_EDMA_CTRL), 0x00040004);
	put32(BAR2_AT + 0x100000, 0x12345678);
	EXPECT_EQ(get32(BAR2_AT + 0x100000), 0x12345678);
	qemu_stop();
	card_stop();
}

/* Data into the card and out again, an interrupt each. */
static void expect_round_trip(void)
{
	qtest("memset 0x%x 0x%x 0x5a", SOURCE_AT, DMA_BYTES);
	put32(SOURCE_AT + 0x8004, 0xcafe0000 + getpid() % 0x10000);
	qtest("memset 0x%x 0x%x 0x0", TARGET_AT, DMA_BYTES);
	put32(MESSAGE_AT, 0);
	EXPECT_EQ(guest_dma(false, SOURCE_AT, DMA_BYTES), 1);
	EXPECT(guest_sees_msi(METIS_IRQ_DMA_READ(0)));
	EXPECT_EQ(guest_dma(true, TARGET_AT, DMA_BYTES), 1);
	EXPECT(guest_sees_msi(METIS_IRQ_DMA_WRITE(0)));
	EXPECT_EQ(get32(TARGET_AT), 0x5a5a5a5a);
	EXPECT_EQ(get32(TARGET_AT + 0x8004), get32(SOURCE_AT + 0x8004));
	EXPECT_EQ(get32(TARGET_AT + DMA_BYTES - 4), 0x5a5a5a5a);
	EXPECT_EQ(get32(TARGET_AT + DMA_BYTES), 0);
}

static void expect_dma_works(const struct vfio_user_server_config *config, bool shared, bool direct)
{
	struct vfio_user_server_stats stats;

	ASSERT(card_start(config));
	ASSERT(qemu_start(shared));
	guest_set_up();
	expect_round_trip();
	vfio_user_server_stats(machine.server, &stats);
	EXPECT_EQ(stats.direct_bytes, direct ? 2 * DMA_BYTES : 0);
	EXPECT_EQ(stats.message_bytes, direct ? 0 : 2 * DMA_BYTES);
	/* Nobody is there; QEMU refuses. Then without leave to be master. */
	EXPECT_EQ(guest_dma(false, NOWHERE_AT, 4096), 0x10000);
	EXPECT_EQ(guest_dma(true, NOWHERE_AT, 4096), 0x10000);
	config_put16(PCI_COMMAND, PCI_COMMAND_MEMORY);
	EXPECT_EQ(guest_dma(false, SOURCE_AT, 64), 0x10000);
	config_put16(PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	expect_round_trip();
	vfio_user_server_stats(machine.server, &stats);
	EXPECT_EQ(stats.dma_refused, 2);
	EXPECT_EQ(stats.error_replies, 0);
	EXPECT_EQ(stats.protocol_errors, 0);
	qemu_stop();
	card_stop();
}

static void test_qemu_with_shared_memory_dma_is_direct(void)
{
	const struct vfio_user_server_config config = {.path = NULL};

	expect_dma_works(&config, true, true);
}

static void test_qemu_without_shared_memory_dma_is_by_message(void)
{
	const struct vfio_user_server_config config = {.path = NULL};

	expect_dma_works(&config, false, false);
}

static void test_qemu_no_direct_dma_is_by_message(void)
{
	const struct vfio_user_server_config config = {.no_direct = true};

	expect_dma_works(&config, true, false);
}

static void test_qemu_takes_a_mapping_of_l2(void)
{
	const struct vfio_user_server_config config = {.share_l2 = true};
	const uint32_t at = METIS_BAR_L2_BYTES - 4;
	struct vfio_user_server_stats before, after;
	uint32_t value = 0;

	ASSERT(card_start(&config));
	ASSERT(qemu_start(true));
	guest_set_up();
	vfio_user_server_stats(machine.server, &before);
	put32(BAR2_AT + at, 0x87654321);
	vfio_user_server_stats(machine.server, &after);
	EXPECT_EQ(after.messages, before.messages); /* a plain store */
	EXPECT_EQ(card_region_read(machine.card, METIS_BAR_L2, at, &value, sizeof(value)), 0);
	EXPECT_EQ(value, 0x87654321);
	expect_round_trip();
	qemu_stop();
	card_stop();
}

static void test_qemu_function_level_reset_clears_the_card(void)
{
	const struct vfio_user_server_config config = {.path = NULL};

	ASSERT(card_start(&config));
	ASSERT(qemu_start(true));
	guest_set_up();
	put32(BAR0_AT + METIS_EDMA_WR_CH(1) + METIS_EDMA_CH_SIZE, 4711);
	EXPECT_EQ(get32(BAR0_AT + METIS_EDMA_WR_CH(1) + METIS_EDMA_CH_SIZE), 4711);
	config_put16(METIS_CAP_EXP + PCI_EXP_DEVCTL, PCI_EXP_DEVCTL_BCR_FLR);
	guest_set_up();
	EXPECT_EQ(get32(BAR0_AT + METIS_EDMA_WR_CH(1) + METIS_EDMA_CH_SIZE), 0);
	expect_round_trip();
	qemu_stop();
	card_stop();
}

static void test_qemu_killed_in_mid_dma_leaves_card_for_the_next(void)
{
	const struct vfio_user_server_config config = {.no_direct = true};
	unsigned int i;

	ASSERT(card_start(&config));
	for (i = 0; i < 3; i++) {
		ASSERT(qemu_start(true));
		guest_set_up();
		guest_dma_start(true, TARGET_AT, 16 << 20);
		qemu_stop();
	}
	ASSERT(qemu_start(true));
	guest_set_up();
	expect_round_trip();
	qemu_stop();
	card_stop();
}

int main(void)
{
	if (!qemu_is_there()) {
		RUN(test_qemu_is_the_client);
		return tap_done();
	}
	if (!mkdtemp(dir))
		return 1;
	signal(SIGPIPE, SIG_IGN);
	snprintf(card_path, sizeof(card_path), "%s/card", dir);
	snprintf(qtest_path, sizeof(qtest_path), "%s/qtest", dir);
	RUN(test_qemu_enumerates_the_card);
	RUN(test_qemu_with_shared_memory_dma_is_direct);
	RUN(test_qemu_without_shared_memory_dma_is_by_message);
	RUN(test_qemu_no_direct_dma_is_by_message);
	RUN(test_qemu_takes_a_mapping_of_l2);
	RUN(test_qemu_function_level_reset_clears_the_card);
	RUN(test_qemu_killed_in_mid_dma_leaves_card_for_the_next);
	rmdir(dir);
	return tap_done();
}
