/* SPDX-License-Identifier: MIT */
/* DMA through mapped memory and by message, and the order of data and interrupt. */
#include <errno.h>
#include <linux/pci_regs.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <tethys/hw/edma.h>
#include <tethys/hw/irq.h>
#include <tethys/hw/memory.h>
#include <tethys/hw/pci.h>

#include "card/transport/tests/raw_client.h"
#include "tests/tap.h"

#define IOVA 0x40000000ull
#define HOST_BYTES (1u << 20)
#define CARD_A METIS_DDR_BASE
#define CARD_B (METIS_DDR_BASE + (64ull << 20))
#define RW 3u

static struct raw raw;

/* Host memory as a client without mapping has it. */
static struct host {
	uint8_t memory[HOST_BYTES];
	unsigned int reads, writes;
	uint64_t longest_read, longest_write;
	int error; /* answer all with this */
} host;

/* Serve the DMA command in raw->body, as QEMU does: nothing but host memory is there. */
static void host_serve_on(struct raw *peer, int sock)
{
	const struct vfio_user_dma_access *access = raw_dma_request(peer);
	bool inside = access->iova >= IOVA && access->iova - IOVA <= HOST_BYTES &&
		      access->count <= HOST_BYTES - (access->iova - IOVA);
	uint8_t *at = host.memory + (access->iova - IOVA);

	if (host.error || !inside) {
		raw_dma_reply(peer, sock, host.error ? host.error : ENODEV, NULL);
		return;
	}
	if (peer->header.command == VFIO_USER_DMA_READ) {
		host.reads++;
		if (access->count > host.longest_read)
			host.longest_read = access->count;
	} else {
		host.writes++;
		if (access->count > host.longest_write)
			host.longest_write = access->count;
		memcpy(at, access->data, access->count);
	}
	raw_dma_reply(peer, sock, 0, at);
}

static void host_serve(struct raw *peer, void *ctx)
{
	(void)ctx;
	host_serve_on(peer, peer->sock);
}

/* The one DMA command a test wants to see for itself. */
static struct {
	bool here;
	struct vfio_user_header header;
	uint8_t body[4096];
} held;

static void hold(struct raw *peer, void *ctx)
{
	(void)ctx;
	held.here = true;
	held.header = peer->header;
	memcpy(held.body, peer->body, peer->header.size - sizeof(peer->header));
}

/*
 * Start a transfer of at most 64 bytes and receive its message, which may well overtake the reply
 * to the doorbell.
 */
static int start_and_receive(bool write, uint32_t len)
{
	held.here = false;
	raw.dma = hold;
	raw_dma_start(&raw, write, 0, IOVA, CARD_A, len);
	raw.dma = host_serve;
	if (!held.here)
		return raw_recv(&raw, raw.sock);
	raw.header = held.header;
	memcpy(raw.body, held.body, held.header.size - sizeof(held.header));
	return 0;
}

static bool dma_open(const struct vfio_user_server_config *config, const char *json)
{
	size_t i;

	memset(&host, 0, sizeof(host));
	for (i = 0; i < HOST_BYTES; i++)
		host.memory[i] = (uint8_t)(i * 31 + i / 251);
	if (!raw_open(&raw, config, json))
		return false;
	raw.dma = host_serve;
	raw_enable(&raw);
	return true;
}

/* @len bytes from the start of the host to the card and back to its second half. */
static void expect_round_trip(uint8_t *memory, uint32_t len)
{
	EXPECT_EQ(raw_dma(&raw, false, IOVA, CARD_A, len), 0);
	memset(memory + HOST_BYTES / 2, 0, len);
	EXPECT_EQ(raw_dma(&raw, true, IOVA + HOST_BYTES / 2, CARD_A, len), 0);
	EXPECT(!memcmp(memory, memory + HOST_BYTES / 2, len));
}

static uint8_t *map_host(int fd)
{
	uint8_t *memory = mmap(NULL, HOST_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	memcpy(memory, host.memory, HOST_BYTES);
	return memory;
}

static void test_dma_moves_through_mapped_memory(void)
{
	int fd = raw_memfd(HOST_BYTES, true);
	uint8_t *memory;

	ASSERT(dma_open(NULL, RAW_NO_TWIN));
	memory = map_host(fd);
	EXPECT_EQ(raw_map(&raw, IOVA, HOST_BYTES, RW, fd, 0), 0);
	expect_round_trip(memory, 4096);
	expect_round_trip(memory, HOST_BYTES / 2);
	expect_round_trip(memory, 1);
	EXPECT_EQ(raw_stats(&raw).dma_messages, 0);
	EXPECT_EQ(raw_stats(&raw).direct_bytes, 2 * (4096 + HOST_BYTES / 2 + 1));
	raw_stop(&raw);
	munmap(memory, HOST_BYTES);
	close(fd);
}

static void test_dma_moves_by_message_in_small_reads(void)
{
	ASSERT(dma_open(NULL, RAW_NO_TWIN));
	expect_round_trip(host.memory, 4096);
	expect_round_trip(host.memory, HOST_BYTES / 2);
	expect_round_trip(host.memory, 33333);
	expect_round_trip(host.memory, 1);
	EXPECT(host.longest_read <= VFIO_USER_MAX_DMA_READ);
	EXPECT(host.longest_write <= 128 * 1024);
	EXPECT_EQ(raw_stats(&raw).direct_bytes, 0);
	raw_stop(&raw);
}

static void test_dma_messages_keep_to_the_peers_limit(void)
{
	ASSERT(dma_open(NULL, "{\"capabilities\":{\"max_data_xfer_size\":4096}}"));
	expect_round_trip(host.memory, 100000);
	EXPECT_EQ(host.longest_read, 4096);
	EXPECT_EQ(host.longest_write, 4096);
	raw_stop(&raw);
}

static void test_dma_crosses_from_mapped_to_unmapped(void)
{
	int fd = raw_memfd(HOST_BYTES, true);
	uint8_t *memory;

	ASSERT(dma_open(NULL, RAW_NO_TWIN));
	memory = map_host(fd);
	memset(memory, 0x5a, HOST_BYTES);
	/* Pages 1 and 3 are mapped; the rest comes by message. */
	EXPECT_EQ(raw_map(&raw, IOVA + 4096, 4096, RW, fd, 0), 0);
	EXPECT_EQ(raw_map(&raw, IOVA + 3 * 4096, 4096, RW, fd, 8192), 0);
	memset(host.memory + 4096, 0x5a, 4096);
	memset(host.memory + 3 * 4096, 0x5a, 4096);
	expect_round_trip(host.memory, 5 * 4096);
	EXPECT_EQ(raw_stats(&raw).direct_bytes, 2 * 4096);
	raw_stop(&raw);
	munmap(memory, HOST_BYTES);
	close(fd);
}

static void test_dma_to_read_only_range_asks_the_client(void)
{
	int fd = raw_memfd(HOST_BYTES, true);
	uint8_t *memory;

	ASSERT(dma_open(NULL, RAW_NO_TWIN));
	memory = map_host(fd);
	EXPECT_EQ(raw_map(&raw, IOVA, HOST_BYTES, VFIO_USER_DMA_READABLE, fd, 0), 0);
	EXPECT_EQ(raw_dma(&raw, false, IOVA, CARD_A, 4096), 0);
	EXPECT_EQ(raw_stats(&raw).dma_messages, 0);
	host.error = ENODEV;
	EXPECT_EQ(raw_dma(&raw, true, IOVA, CARD_B, 4096), -EIO);
	EXPECT_EQ(raw_stats(&raw).dma_refused, 1);
	EXPECT(!memcmp(memory, host.memory, HOST_BYTES));
	raw_stop(&raw);
	munmap(memory, HOST_BYTES);
	close(fd);
}

static void expect_by_message_in_spite_of_file(const struct vfio_user_server_config *config,
					       bool sealed)
{
	int fd = raw_memfd(HOST_BYTES, sealed);

	ASSERT(dma_open(config, RAW_NO_TWIN));
	EXPECT_EQ(raw_map(&raw, IOVA, HOST_BYTES, RW, fd, 0), 0);
	expect_round_trip(host.memory, 4096);
	EXPECT_EQ(raw_stats(&raw).direct_bytes, 0);
	EXPECT_EQ(raw_stats(&raw).maps_indirect, 1);
	raw_stop(&raw);
	close(fd);
}

static void test_dma_goes_by_message_without_seal_or_when_told(void)
{
	const struct vfio_user_server_config config = {.listen_fd = -1, .no_direct = true};

	expect_by_message_in_spite_of_file(NULL, false);
	expect_by_message_in_spite_of_file(&config, true);
}

static void test_dma_refused_aborts_and_card_lives_on(void)
{
	static const int errors[] = {ENODEV, EFAULT, EPERM, E2BIG, 0x7fffffff};
	size_t i;

	ASSERT(dma_open(NULL, RAW_NO_TWIN));
	for (i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
		host.error = errors[i];
		EXPECT_EQ(raw_dma(&raw, false, IOVA, CARD_A, 100000), -EIO);
		EXPECT_EQ(raw_dma(&raw, true, IOVA, CARD_A, 100000), -EIO);
	}
	host.error = 0;
	expect_round_trip(host.memory, 4096);
	raw_stop(&raw);
}

static void test_dma_into_interrupt_window_is_never_sent(void)
{
	ASSERT(dma_open(NULL, RAW_NO_TWIN));
	EXPECT_EQ(raw_dma(&raw, true, 0xfee00000, CARD_A, 4), -EIO);
	EXPECT_EQ(raw_dma(&raw, true, 0xfedff000, CARD_A, 8192), -EIO);
	EXPECT_EQ(raw_stats(&raw).dma_messages, 0);
	raw_stop(&raw);
}

/* --- the twin socket --- */

static void *twin_main(void *arg)
{
	static struct raw twin; /* only for its buffers */
	int sock = *(int *)arg;

	while (!raw_recv(&twin, sock))
		host_serve_on(&twin, sock);
	return NULL;
}

static void never(struct raw *peer, void *ctx)
{
	(void)ctx;
	TAP_FAIL("DMA command %u on the main socket", peer->header.command);
}

static void test_dma_uses_the_twin_socket(void)
{
	pthread_t thread;

	ASSERT(dma_open(NULL, RAW_TWIN));
	ASSERT(raw.twin >= 0);
	raw.dma = never;
	ASSERT(!pthread_create(&thread, NULL, twin_main, &raw.twin));
	expect_round_trip(host.memory, 4096);
	expect_round_trip(host.memory, HOST_BYTES / 2);
	EXPECT(raw_stats(&raw).dma_messages > 0);
	shutdown(raw.twin, SHUT_RDWR); /* the server ends the connection */
	pthread_join(thread, NULL);
	EXPECT_EQ(raw_recv(&raw, raw.sock), -ENODATA);
	raw_stop(&raw);
}

/* --- interrupts after data --- */

static void test_dma_message_is_answered_before_its_interrupt(void)
{
	int event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	struct pollfd pfd = {.fd = event, .events = POLLIN};
	uint64_t count;
	unsigned int i;

	ASSERT(dma_open(NULL, RAW_NO_TWIN));
	EXPECT_EQ(raw_msi(&raw, METIS_IRQ_DMA_WRITE(0), 1, &event), 0);
	for (i = 0; i < 200; i++) {
		ASSERT_EQ(start_and_receive(true, 64), 0);
		ASSERT_EQ(raw.header.command, VFIO_USER_DMA_WRITE);
		if (i % 20 == 0)
			usleep(2000);
		EXPECT_EQ(poll(&pfd, 1, 0), 0); /* the data is still ours to store */
		host_serve_on(&raw, raw.sock);
		EXPECT_EQ(poll(&pfd, 1, 5000), 1);
		EXPECT_EQ(read(event, &count, sizeof(count)), 8);
		EXPECT_EQ(count, 1);
	}
	raw_stop(&raw);
	close(event);
}

static void test_dma_copy_is_visible_before_its_interrupt(void)
{
	int event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), fd = raw_memfd(HOST_BYTES, true);
	struct pollfd pfd = {.fd = event, .events = POLLIN};
	volatile uint64_t *memory;
	uint64_t count, i;

	ASSERT(dma_open(NULL, RAW_NO_TWIN));
	memory = (void *)map_host(fd);
	EXPECT_EQ(raw_map(&raw, IOVA, HOST_BYTES, RW, fd, 0), 0);
	EXPECT_EQ(raw_msi(&raw, METIS_IRQ_DMA_WRITE(0), 1, &event), 0);
	for (i = 0; i < 1000; i++) {
		raw_write(&raw, METIS_BAR_L2, 0x100000, &i, sizeof(i));
		raw_dma_start(&raw, true, 0, IOVA + 8192, METIS_L2_BASE + 0x100000, 8);
		ASSERT_EQ(poll(&pfd, 1, 5000), 1);
		EXPECT_EQ(read(event, &count, sizeof(count)), 8);
		if (memory[1024] != i)
			TAP_FAIL("round %" PRIu64 ": interrupt before data", i);
	}
	raw_stop(&raw);
	munmap((void *)(uintptr_t)memory, HOST_BYTES);
	close(event);
	close(fd);
}

/* --- liveness --- */

#define SMALL "{\"capabilities\":{\"max_data_xfer_size\":4096}}"

static void ignore(struct raw *peer, void *ctx)
{
	unsigned int *count = ctx;

	(void)peer;
	++*count;
}

/* All channels wait for a client that does not answer DMA. Return: messages seen, 64 at most. */
static unsigned int block_all_channels(unsigned int *count)
{
	uint64_t deadline = raw_now_ms() + 5000;
	unsigned int i;

	raw.dma = ignore;
	raw.dma_ctx = count;
	for (i = 0; i < METIS_EDMA_CHANNELS; i++) {
		raw_dma_start(&raw, false, i, IOVA, CARD_A, HOST_BYTES);
		raw_dma_start(&raw, true, i, IOVA, CARD_B, HOST_BYTES);
	}
	while (*count < 64 && raw_now_ms() < deadline)
		raw_get32(&raw, METIS_BAR_EDMA, METIS_EDMA_CTRL);
	return *count;
}

static void expect_all_answered_at_once(void)
{
	const uint16_t flr = PCI_EXP_DEVCTL_BCR_FLR;
	uint64_t start, longest = 0;
	unsigned int step, i;

	for (step = 0; step < 6; step++) {
		start = raw_now_ms();
		switch (step) {
		case 0:
			for (i = 0; i < 50; i++)
				EXPECT_EQ(raw_get32(&raw, METIS_BAR_EDMA, METIS_EDMA_CTRL),
					  0x40004);
			break;
		case 1:
			EXPECT_EQ(raw_unmap(&raw, 0, 0xfee00000), 0);
			break;
		case 2:
			EXPECT_EQ(raw_msi(&raw, 0, 8, NULL), 0);
			break;
		case 3:
			EXPECT_EQ(raw_map(&raw, 0, 4096, RW, -1, 0), 0);
			break;
		case 4:
			EXPECT_EQ(raw_write(&raw, VFIO_USER_REGION_CONFIG,
					    METIS_CAP_EXP + PCI_EXP_DEVCTL, &flr, sizeof(flr)),
				  0);
			break;
		case 5:
			EXPECT_EQ(raw_call(&raw, VFIO_USER_DEVICE_RESET, NULL, 0), 0);
			break;
		}
		if (raw_now_ms() - start > longest)
			longest = raw_now_ms() - start;
	}
	EXPECT(longest < 100);
	printf("# slowest answer with 64 DMA messages outstanding: %" PRIu64 " ms\n", longest);
}

static void test_dma_outstanding_delays_nothing(void)
{
	unsigned int count = 0;

	ASSERT(dma_open(NULL, SMALL));
	EXPECT_EQ(block_all_channels(&count), 64); /* and not one more */
	expect_all_answered_at_once();
	EXPECT_EQ(count, 64);
	/* After the resets the channels are free, with nothing left of the old messages. */
	raw.dma = host_serve;
	raw_enable(&raw);
	expect_round_trip(host.memory, 4096);
	raw_stop(&raw);
}

static void test_dma_late_replies_are_dropped(void)
{
	struct vfio_user_header first;
	struct vfio_user_dma_access access;
	uint32_t value = 0;

	ASSERT(dma_open(NULL, RAW_NO_TWIN));
	ASSERT_EQ(start_and_receive(false, 16), 0);
	first = raw.header;
	memcpy(&access, raw.body, sizeof(access));
	EXPECT_EQ(raw_call(&raw, VFIO_USER_DEVICE_RESET, NULL, 0), 0);
	raw.header = first;
	memcpy(raw.body, &access, sizeof(access));
	raw_dma_reply(&raw, raw.sock, 0, "late late late l");
	EXPECT_EQ(raw_read(&raw, METIS_BAR_L2, 0x100000, &value, 4), 0);
	EXPECT_EQ(raw_stats(&raw).replies_dropped, 1);
	raw_enable(&raw);
	expect_round_trip(host.memory, 4096);
	raw_stop(&raw);
}

static void test_dma_reply_of_wrong_size_closes(void)
{
	struct vfio_user_header reply;

	ASSERT(dma_open(NULL, RAW_NO_TWIN));
	ASSERT_EQ(start_and_receive(false, 64), 0);
	reply = raw.header;
	reply.flags = VFIO_USER_TYPE_REPLY;
	reply.size = sizeof(reply) + 16;
	EXPECT_EQ(write(raw.sock, &reply, sizeof(reply)), sizeof(reply));
	EXPECT_EQ(write(raw.sock, raw.body, 16), 16);
	EXPECT_EQ(raw_recv(&raw, raw.sock), -ENODATA);
	raw_stop(&raw);
	EXPECT_EQ(raw.served, -EPROTO);
}

static void expect_death_in_mid_dma(const char *json)
{
	unsigned int count = 0;
	uint64_t start;

	ASSERT(dma_open(NULL, json));
	if (raw.twin < 0)
		block_all_channels(&count);
	else
		raw_dma_start(&raw, false, 0, IOVA, CARD_A, HOST_BYTES);
	start = raw_now_ms();
	EXPECT(raw_reconnect(&raw, RAW_NO_TWIN)); /* closes without a word, as a kill does */
	EXPECT(raw_now_ms() - start < 100);
	EXPECT_EQ(raw.served, 0);
	EXPECT(raw_card_rests(raw.card));
	raw.dma = host_serve;
	raw_enable(&raw);
	expect_round_trip(host.memory, 4096);
	raw_stop(&raw);
}

static void test_dma_client_that_dies_frees_the_card(void)
{
	expect_death_in_mid_dma(SMALL);
	expect_death_in_mid_dma(RAW_TWIN);
}

static void test_dma_unmapped_memory_is_left_alone(void)
{
	int fd = raw_memfd(HOST_BYTES, true), round;
	uint8_t *memory;
	size_t i;

	ASSERT(dma_open(NULL, RAW_NO_TWIN));
	memory = map_host(fd);
	host.error = ENODEV; /* what comes by message is refused */
	for (round = 0; round < 30; round++) {
		EXPECT_EQ(raw_map(&raw, IOVA, HOST_BYTES, RW, fd, 0), 0);
		raw_dma_start(&raw, true, 0, IOVA, CARD_A, HOST_BYTES);
		usleep((unsigned int)round * 7);
		EXPECT_EQ(raw_unmap(&raw, IOVA, HOST_BYTES), 0);
		memset(memory, 0xa5, HOST_BYTES); /* it is ours again */
		EXPECT(raw_dma_wait(&raw, true, 0) != -ETIMEDOUT);
		for (i = 0; i < HOST_BYTES; i += 61)
			if (memory[i] != 0xa5) {
				TAP_FAIL("round %d: byte %zu written after unmap", round, i);
				break;
			}
	}
	raw_stop(&raw);
	munmap(memory, HOST_BYTES);
	close(fd);
}

/* --- an IMWr that is not ours --- */

static void *imwr_main(void *arg)
{
	*(int *)arg = card_inject_imwr(raw.card, 0xfee00418, 8);
	return NULL;
}

static void test_dma_raw_interrupt_write_is_a_message(void)
{
	const uint32_t eight = 8;
	pthread_t thread;
	int ret = 1;

	raw.raw_imwr = true;
	ASSERT(dma_open(NULL, RAW_NO_TWIN));
	ASSERT(!pthread_create(&thread, NULL, imwr_main, &ret));
	ASSERT_EQ(raw_recv(&raw, raw.sock), 0);
	EXPECT_EQ(raw.header.command, VFIO_USER_DMA_WRITE);
	EXPECT_EQ(raw_dma_request(&raw)->iova, 0xfee00418);
	EXPECT_EQ(raw_dma_request(&raw)->count, 4);
	EXPECT(!memcmp(raw_dma_request(&raw)->data, &eight, 4));
	raw_dma_reply(&raw, raw.sock, EFAULT, NULL);
	pthread_join(thread, NULL);
	EXPECT_EQ(ret, -EFAULT);
	raw_stop(&raw);
	raw.raw_imwr = false;
}

int main(void)
{
	RUN(test_dma_moves_through_mapped_memory);
	RUN(test_dma_moves_by_message_in_small_reads);
	RUN(test_dma_messages_keep_to_the_peers_limit);
	RUN(test_dma_crosses_from_mapped_to_unmapped);
	RUN(test_dma_to_read_only_range_asks_the_client);
	RUN(test_dma_goes_by_message_without_seal_or_when_told);
	RUN(test_dma_refused_aborts_and_card_lives_on);
	RUN(test_dma_into_interrupt_window_is_never_sent);
	RUN(test_dma_uses_the_twin_socket);
	RUN(test_dma_message_is_answered_before_its_interrupt);
	RUN(test_dma_copy_is_visible_before_its_interrupt);
	RUN(test_dma_outstanding_delays_nothing);
	RUN(test_dma_late_replies_are_dropped);
	RUN(test_dma_reply_of_wrong_size_closes);
	RUN(test_dma_client_that_dies_frees_the_card);
	RUN(test_dma_unmapped_memory_is_left_alone);
	RUN(test_dma_raw_interrupt_write_is_a_message);
	return tap_done();
}
