/* SPDX-License-Identifier: MIT */
/* Messages in pieces, of wrong sizes, of wrong kinds. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "card/transport/tests/raw_client.h"
#include "tests/tap.h"

static struct raw raw;

static const struct vfio_user_server_config impatient = {.listen_fd = -1, .stall_ms = 100};

static const struct vfio_user_device_info info_body = {.argsz = sizeof(info_body)};

/* GET_INFO as bytes. */
static size_t info_message(uint8_t *buf, uint16_t id)
{
	const struct vfio_user_header header = {
		.id = id,
		.command = VFIO_USER_DEVICE_GET_INFO,
		.size = sizeof(header) + sizeof(info_body),
	};

	memcpy(buf, &header, sizeof(header));
	memcpy(buf + sizeof(header), &info_body, sizeof(info_body));
	return header.size;
}

static bool alive(void)
{
	return !raw_call(&raw, VFIO_USER_DEVICE_GET_INFO, &info_body, sizeof(info_body));
}

/* The server closes, having said nothing. */
static bool closed(void)
{
	int ret = raw_recv(&raw, raw.sock);

	return ret == -ENODATA || ret == -ECONNRESET;
}

static void test_framing_message_in_single_bytes_is_understood(void)
{
	uint8_t buf[64];
	size_t len = info_message(buf, 77), i;

	ASSERT(raw_open(&raw, NULL, RAW_NO_TWIN));
	for (i = 0; i < len; i++) {
		EXPECT_EQ(write(raw.sock, buf + i, 1), 1);
		if (i % 7 == 0)
			usleep(1000);
	}
	EXPECT_EQ(raw_recv(&raw, raw.sock), 0);
	EXPECT_EQ(raw.header.id, 77);
	EXPECT_EQ(raw.header.flags, VFIO_USER_TYPE_REPLY);
	raw_stop(&raw);
}

static void test_framing_two_messages_in_one_write_are_two(void)
{
	uint8_t buf[128];
	size_t len = info_message(buf, 1);

	ASSERT(raw_open(&raw, NULL, RAW_NO_TWIN));
	len += info_message(buf + len, 2);
	EXPECT_EQ(write(raw.sock, buf, len), (ssize_t)len);
	EXPECT_EQ(raw_recv(&raw, raw.sock), 0);
	EXPECT_EQ(raw.header.id, 1);
	EXPECT_EQ(raw_recv(&raw, raw.sock), 0);
	EXPECT_EQ(raw.header.id, 2);
	raw_stop(&raw);
}

/*
 * Short messages and one with a descriptor, all there before the server reads: it is busy sending
 * what nobody reads yet.
 */
static void test_framing_descriptor_stays_with_its_message(void)
{
	const struct vfio_user_region_access access = {.region = 2, .count = 1 << 20};
	const struct vfio_user_dma_map map = {.argsz = sizeof(map), .flags = 3, .size = 4096};
	int fd = raw_memfd(4096, true), i;

	ASSERT(raw_open(&raw, NULL, RAW_NO_TWIN));
	raw_send(&raw, VFIO_USER_REGION_READ, 0, &access, sizeof(access), NULL, 0);
	raw_send(&raw, VFIO_USER_DEVICE_RESET, 0, NULL, 0, NULL, 0);
	raw_send(&raw, VFIO_USER_DEVICE_RESET, 0, NULL, 0, NULL, 0);
	raw_send(&raw, VFIO_USER_DEVICE_RESET, 0, NULL, 0, NULL, 0);
	raw_send(&raw, VFIO_USER_DMA_MAP, 0, &map, sizeof(map), &fd, 1);
	usleep(20000);
	for (i = 0; i < 5; i++) {
		EXPECT_EQ(raw_recv(&raw, raw.sock), 0);
		EXPECT_EQ(raw.header.flags, VFIO_USER_TYPE_REPLY);
	}
	EXPECT_EQ(raw_stats(&raw).maps, 1);
	EXPECT(alive());
	raw_stop(&raw);
	close(fd);
}

static void expect_size_closes(uint32_t size)
{
	const struct vfio_user_header header = {.command = VFIO_USER_REGION_READ, .size = size};

	ASSERT(raw_open(&raw, NULL, RAW_NO_TWIN));
	EXPECT_EQ(write(raw.sock, &header, sizeof(header)), sizeof(header));
	EXPECT(closed());
	raw_stop(&raw);
	EXPECT_EQ(raw.served, -EPROTO);
}

static void test_framing_impossible_sizes_close(void)
{
	expect_size_closes(0);
	expect_size_closes(15);
	expect_size_closes(VFIO_USER_MAX_MESSAGE + 1);
	expect_size_closes(UINT32_MAX);
}

static void test_framing_largest_message_is_read(void)
{
	static uint8_t body[VFIO_USER_MAX_MESSAGE - 16];

	ASSERT(raw_open(&raw, NULL, RAW_NO_TWIN));
	EXPECT_EQ(raw_call(&raw, VFIO_USER_REGION_READ, body, sizeof(body)), EINVAL);
	EXPECT(alive());
	raw_stop(&raw);
}

static void test_framing_unknown_types_close(void)
{
	ASSERT(raw_open(&raw, NULL, RAW_NO_TWIN));
	EXPECT(raw_send(&raw, VFIO_USER_DEVICE_GET_INFO, 2, &info_body, sizeof(info_body), NULL,
			0) >= 0);
	EXPECT(closed());
	raw_stop(&raw);
	EXPECT_EQ(raw.served, -EPROTO);
}

static void test_framing_reply_nobody_asked_for_is_dropped(void)
{
	ASSERT(raw_open(&raw, NULL, RAW_NO_TWIN));
	raw_send(&raw, VFIO_USER_DMA_READ, VFIO_USER_TYPE_REPLY, "0123456789abcdef", 16, NULL, 0);
	raw_send(&raw, VFIO_USER_DMA_WRITE, VFIO_USER_TYPE_REPLY | VFIO_USER_ERROR, NULL, 0, NULL,
		 0);
	EXPECT(alive());
	EXPECT_EQ(raw_stats(&raw).replies_dropped, 2);
	raw_stop(&raw);
	EXPECT_EQ(raw.served, 0);
}

static void test_framing_unknown_commands_get_errors(void)
{
	static const unsigned int unknown[] = {0, 6, 11, 12, 14, 16, 17, 18, 19, 999, 65535};
	uint8_t body[64] = {0};
	size_t i;

	ASSERT(raw_open(&raw, NULL, RAW_NO_TWIN));
	for (i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++)
		if (raw_call(&raw, unknown[i], body, sizeof(body)) != EINVAL)
			TAP_FAIL("command %u", unknown[i]);
	EXPECT(alive());
	raw_stop(&raw);
}

static void test_framing_bodies_of_wrong_length_get_errors(void)
{
	static const struct {
		unsigned int command;
		size_t len;
		bool longer; /* is fine */
	} commands[] = {
		{VFIO_USER_DMA_MAP, 32, false},
		{VFIO_USER_DMA_UNMAP, 24, false},
		{VFIO_USER_DEVICE_GET_INFO, 16, false},
		{VFIO_USER_DEVICE_GET_REGION_INFO, 32, true},
		{VFIO_USER_DEVICE_GET_IRQ_INFO, 16, false},
		{VFIO_USER_DEVICE_SET_IRQS, 20, false},
		{VFIO_USER_REGION_READ, 16, false},
		{VFIO_USER_REGION_WRITE, 16, false},
		{VFIO_USER_DEVICE_RESET, 0, false},
		{VFIO_USER_REGION_WRITE_MULTI, 8, false},
	};
	uint8_t body[64];
	size_t i, len;

	ASSERT(raw_open(&raw, NULL, RAW_NO_TWIN));
	/* Every length from nothing on; the body is argsz 64 or such, so that only length counts. */
	memset(body, 0, sizeof(body));
	body[0] = sizeof(body);
	for (i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		for (len = 0; len < commands[i].len; len++)
			if (raw_call(&raw, commands[i].command, body, len) != EINVAL)
				TAP_FAIL("command %u, %zu bytes", commands[i].command, len);
		len = commands[i].len + 1;
		if (!commands[i].longer && raw_call(&raw, commands[i].command, body, len) != EINVAL)
			TAP_FAIL("command %u, %zu bytes", commands[i].command, len);
	}
	EXPECT(alive());
	raw_stop(&raw);
}

static void test_framing_no_reply_means_none(void)
{
	const struct vfio_user_region_access bad = {.region = 99, .count = 4};

	ASSERT(raw_open(&raw, NULL, RAW_NO_TWIN));
	raw_send(&raw, VFIO_USER_DEVICE_GET_INFO, VFIO_USER_NO_REPLY, &info_body, sizeof(info_body),
		 NULL, 0);
	raw_send(&raw, VFIO_USER_REGION_READ, VFIO_USER_NO_REPLY, &bad, sizeof(bad), NULL, 0);
	EXPECT(alive()); /* the next message is its own reply */
	raw_stop(&raw);
}

static void test_framing_descriptors_where_none_belong_get_error_and_no_leak(void)
{
	unsigned int before = raw_fd_count();
	int fds[2], fd = raw_memfd(4096, true);

	fds[0] = fds[1] = fd;
	ASSERT(raw_open(&raw, NULL, RAW_NO_TWIN));
	EXPECT_EQ(raw_call_fds(&raw, VFIO_USER_DEVICE_GET_INFO, &info_body, sizeof(info_body), fds,
			       2),
		  EINVAL);
	EXPECT(alive());
	raw_stop(&raw);
	close(fd);
	EXPECT_EQ(raw_fd_count(), before);
}

static void test_framing_more_descriptors_than_fit_close_without_leak(void)
{
	unsigned int before = raw_fd_count(), i;
	struct vfio_user_header header = {.command = VFIO_USER_DEVICE_RESET, .size = 16};
	struct iovec iov = {.iov_base = &header, .iov_len = sizeof(header)};
	union {
		char bytes[CMSG_SPACE(40 * sizeof(int))];
		struct cmsghdr head;
	} control = {.head = {.cmsg_len = CMSG_LEN(40 * sizeof(int)),
			      .cmsg_level = SOL_SOCKET,
			      .cmsg_type = SCM_RIGHTS}};
	struct msghdr msg = {.msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = control.bytes,
			     .msg_controllen = sizeof(control.bytes)};

	for (i = 0; i < 40; i++)
		((int *)CMSG_DATA(&control.head))[i] = 0;
	ASSERT(raw_open(&raw, NULL, RAW_NO_TWIN));
	EXPECT_EQ(sendmsg(raw.sock, &msg, 0), sizeof(header));
	EXPECT(closed());
	raw_stop(&raw);
	EXPECT_EQ(raw.served, -EPROTO);
	EXPECT_EQ(raw_fd_count(), before);
}

static void test_framing_descriptors_with_the_body_close(void)
{
	struct vfio_user_header header = {.command = VFIO_USER_DMA_MAP, .size = 48};
	struct vfio_user_dma_map map = {.argsz = 32, .flags = 3, .size = 4096};
	struct iovec iov = {.iov_base = &map, .iov_len = sizeof(map)};
	unsigned int before = raw_fd_count();
	int fd = raw_memfd(4096, true);

	ASSERT(raw_open(&raw, NULL, RAW_NO_TWIN));
	EXPECT_EQ(write(raw.sock, &header, sizeof(header)), sizeof(header));
	usleep(20000);
	vfio_user_send(raw.sock, &iov, 1, &fd, 1);
	EXPECT(closed());
	raw_stop(&raw);
	close(fd);
	EXPECT_EQ(raw_fd_count(), before);
}

static void expect_stall_closes(size_t bytes)
{
	uint64_t start = raw_now_ms();
	uint8_t buf[64];

	ASSERT(raw_open(&raw, &impatient, RAW_NO_TWIN));
	info_message(buf, 1);
	EXPECT_EQ(write(raw.sock, buf, bytes), (ssize_t)bytes);
	EXPECT(closed());
	EXPECT(raw_now_ms() - start < 2000);
	raw_stop(&raw);
	EXPECT_EQ(raw.served, -ETIMEDOUT);
}

static void test_framing_half_messages_time_out(void)
{
	expect_stall_closes(1);
	expect_stall_closes(15);
	expect_stall_closes(16);
	expect_stall_closes(31);
}

static void test_framing_dripping_bytes_time_out(void)
{
	uint64_t start = raw_now_ms();
	uint8_t buf[64];
	size_t i;

	ASSERT(raw_open(&raw, &impatient, RAW_NO_TWIN));
	info_message(buf, 1);
	for (i = 0; i < 31 && send(raw.sock, buf + i, 1, MSG_NOSIGNAL) == 1; i++)
		usleep(60000);
	EXPECT(i < 31);
	EXPECT(raw_now_ms() - start < 1500);
	raw_stop(&raw);
	EXPECT_EQ(raw.served, -ETIMEDOUT);
}

static void test_framing_silence_between_messages_is_fine(void)
{
	ASSERT(raw_open(&raw, &impatient, RAW_NO_TWIN));
	usleep(350000);
	EXPECT(alive());
	raw_stop(&raw);
}

static void expect_death_is_noticed(size_t bytes)
{
	uint8_t buf[64];

	ASSERT(raw_open(&raw, NULL, RAW_NO_TWIN));
	info_message(buf, 1);
	EXPECT_EQ(write(raw.sock, buf, bytes), (ssize_t)bytes);
	EXPECT(raw_reconnect(&raw, RAW_NO_TWIN)); /* waits for the server to end */
	EXPECT_EQ(raw.served, 0);
	EXPECT(alive());
	raw_stop(&raw);
}

static void test_framing_peer_that_dies_in_a_message_is_left(void)
{
	expect_death_is_noticed(1);
	expect_death_is_noticed(16);
	expect_death_is_noticed(20);
	expect_death_is_noticed(32);
}

static void test_framing_peer_that_reads_nothing_is_disconnected(void)
{
	const struct vfio_user_region_access access = {.region = 2, .count = 1 << 20};
	uint64_t start = raw_now_ms();
	unsigned int i;

	ASSERT(raw_open(&raw, &impatient, RAW_NO_TWIN));
	for (i = 0; i < 8; i++)
		raw_send(&raw, VFIO_USER_REGION_READ, 0, &access, sizeof(access), NULL, 0);
	pthread_join(raw.thread, NULL); /* the server gives up by itself, without SIGPIPE */
	EXPECT(raw_now_ms() - start < 2000);
	EXPECT_EQ(raw.served, -ETIMEDOUT);
	close(raw.server_sock);
	close(raw.sock);
	vfio_user_server_destroy(raw.server);
	card_destroy(raw.card);
}

int main(void)
{
	RUN(test_framing_message_in_single_bytes_is_understood);
	RUN(test_framing_two_messages_in_one_write_are_two);
	RUN(test_framing_descriptor_stays_with_its_message);
	RUN(test_framing_impossible_sizes_close);
	RUN(test_framing_largest_message_is_read);
	RUN(test_framing_unknown_types_close);
	RUN(test_framing_reply_nobody_asked_for_is_dropped);
	RUN(test_framing_unknown_commands_get_errors);
	RUN(test_framing_bodies_of_wrong_length_get_errors);
	RUN(test_framing_no_reply_means_none);
	RUN(test_framing_descriptors_where_none_belong_get_error_and_no_leak);
	RUN(test_framing_more_descriptors_than_fit_close_without_leak);
	RUN(test_framing_descriptors_with_the_body_close);
	RUN(test_framing_half_messages_time_out);
	RUN(test_framing_dripping_bytes_time_out);
	RUN(test_framing_silence_between_messages_is_fine);
	RUN(test_framing_peer_that_dies_in_a_message_is_left);
	RUN(test_framing_peer_that_reads_nothing_is_disconnected);
	return tap_done();
}
