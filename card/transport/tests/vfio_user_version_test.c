/* SPDX-License-Identifier: MIT */
/* VERSION: negotiation. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "card/transport/tests/raw_client.h"
#include "tests/tap.h"

/* What QEMU 11.1.3 sends, to the byte. */
#define QEMU_JSON                                                                               \
	"{\"capabilities\": {\"pgsizes\": 4096, \"max_msg_fds\": 16, \"max_dma_maps\": 65535, " \
	"\"max_data_xfer_size\": 1048576, \"migration\": {\"max_bitmap_size\": 268435456, "     \
	"\"pgsize\": 4096}, \"write_multiple\": true}}"

static struct raw raw;

/* VERSION with @major, @minor and @len bytes of @json. */
static int version(uint16_t major, uint16_t minor, const char *json, size_t len)
{
	uint8_t body[VFIO_USER_MAX_JSON];
	struct vfio_user_version head = {.major = major, .minor = minor};

	memcpy(body, &head, sizeof(head));
	memcpy(body + sizeof(head), json, len);
	return raw_call(&raw, VFIO_USER_VERSION, body, sizeof(head) + len);
}

/* The answer of a fresh server to @json of @len bytes. */
static int answer(const char *json, size_t len)
{
	int ret;

	if (!raw_start(&raw, NULL))
		return -1;
	ret = version(0, 0, json, len);
	raw_stop(&raw);
	return ret;
}

static void test_version_of_qemu_gets_short_reply(void)
{
	const struct vfio_user_version *reply = (const void *)raw.body;

	ASSERT(raw_start(&raw, NULL));
	EXPECT_EQ(version(0, 0, QEMU_JSON, sizeof(QEMU_JSON)), 0);
	EXPECT(raw.header.size <= VFIO_USER_MAX_VERSION_REPLY);
	EXPECT_EQ(reply->major, 0);
	EXPECT_EQ(reply->minor, 0);
	EXPECT_EQ(raw.body[raw.header.size - sizeof(raw.header) - 1], 0);
	EXPECT_HAS(reply->json, "\"max_msg_fds\":16");
	EXPECT_HAS(reply->json, "\"max_data_xfer_size\":1048576");
	EXPECT_HAS(reply->json, "\"write_multiple\":true");
	EXPECT(!strstr(reply->json, "twin")); /* QEMU warns of what it does not know */
	EXPECT_EQ(raw.fds.count, 0);
	raw_stop(&raw);
	EXPECT_EQ(raw.served, 0);
}

static void test_version_minor_is_the_smaller(void)
{
	const struct vfio_user_version *reply = (const void *)raw.body;

	ASSERT(raw_start(&raw, NULL));
	EXPECT_EQ(version(0, 1, "{}", 3), 0);
	EXPECT_EQ(reply->minor, 1);
	raw_stop(&raw);
	ASSERT(raw_start(&raw, NULL));
	EXPECT_EQ(version(0, 7, "{}", 3), 0);
	EXPECT_EQ(reply->minor, 1);
	raw_stop(&raw);
}

static void test_version_without_json_is_fine(void)
{
	EXPECT_EQ(answer("", 0), 0);
}

static void test_version_twin_comes_with_socket(void)
{
	const struct vfio_user_version *reply = (const void *)raw.body;

	ASSERT(raw_start(&raw, NULL));
	EXPECT_EQ(version(0, 1, RAW_TWIN, sizeof(RAW_TWIN)), 0);
	EXPECT_HAS(reply->json, "\"twin_socket\":{\"supported\":true,\"fd_index\":0}");
	EXPECT_EQ(raw.fds.count, 1);
	EXPECT(raw.header.size <= VFIO_USER_MAX_VERSION_REPLY);
	raw_stop(&raw);
}

static void test_version_twin_is_not_for_who_takes_no_descriptors(void)
{
	const char json[] =
		"{\"capabilities\":{\"max_msg_fds\":0,\"twin_socket\":{\"supported\":true}}}";
	const struct vfio_user_version *reply = (const void *)raw.body;

	ASSERT(raw_start(&raw, NULL));
	EXPECT_EQ(version(0, 1, json, sizeof(json)), 0);
	EXPECT(!strstr(reply->json, "twin"));
	EXPECT_EQ(raw.fds.count, 0);
	raw_stop(&raw);
}

static void test_version_bad_json_is_refused(void)
{
	static const char *const bad[] = {
		"[]",
		"1",
		"null",
		"{",
		"{\"capabilities\":}",
		"{\"capabilities\":[]}",
		"{} {}",
		"{\"capabilities\":{\"max_msg_fds\":\"1\"}}",
		"{\"capabilities\":{\"max_msg_fds\":-1}}",
		"{\"capabilities\":{\"max_msg_fds\":1.5}}",
		"{\"capabilities\":{\"max_data_xfer_size\":0}}",
		"{\"capabilities\":{\"max_data_xfer_size\":67108865}}",
		"{\"capabilities\":{\"max_data_xfer_size\":99999999999999999999999}}",
		"{\"capabilities\":{\"pgsizes\":0}}",
		"{\"capabilities\":{\"pgsizes\":4097}}",
		"{\"capabilities\":{\"migration\":7}}",
		"{\"capabilities\":{\"write_multiple\":1}}",
		"{\"capabilities\":{\"twin_socket\":true}}",
		"{\"capabilities\":{\"twin_socket\":{\"supported\":\"yes\"}}}",
		"[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]",
	};
	size_t i;

	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (answer(bad[i], strlen(bad[i]) + 1) != EINVAL)
			TAP_FAIL("accepted: %s", bad[i]);
	EXPECT_EQ(answer("", 1), EINVAL);		       /* a lone NUL */
	EXPECT_EQ(answer("{}", 2), EINVAL);		       /* no NUL */
	EXPECT_EQ(answer("{}\0{}", sizeof("{}\0{}")), EINVAL); /* one in the middle */
}

static void test_version_unknown_keys_are_ignored(void)
{
	const char json[] = "{\"capabilities\":{\"x\":[1,2],\"max_msg_fds\":2},\"y\":null}";

	EXPECT_EQ(answer(json, sizeof(json)), 0);
}

static void test_version_other_major_is_refused_and_closed(void)
{
	ASSERT(raw_start(&raw, NULL));
	EXPECT_EQ(version(1, 0, "{}", 3), EINVAL);
	EXPECT_EQ(raw_recv(&raw, raw.sock), -ENODATA);
	raw_stop(&raw);
	EXPECT_EQ(raw.served, -EPROTO);
	EXPECT_HAS(raw.events, "version 1.0");
}

static void test_version_twice_is_refused_and_closed(void)
{
	ASSERT(raw_open(&raw, NULL, RAW_NO_TWIN));
	EXPECT_EQ(version(0, 0, "{}", 3), EINVAL);
	EXPECT_EQ(raw_recv(&raw, raw.sock), -ENODATA);
	raw_stop(&raw);
	EXPECT_EQ(raw.served, -EPROTO);
}

static void test_version_not_first_is_refused_and_closed(void)
{
	const struct vfio_user_device_info info = {.argsz = sizeof(info)};

	ASSERT(raw_start(&raw, NULL));
	EXPECT_EQ(raw_call(&raw, VFIO_USER_DEVICE_GET_INFO, &info, sizeof(info)), EINVAL);
	EXPECT_EQ(raw_recv(&raw, raw.sock), -ENODATA);
	raw_stop(&raw);
}

static void test_version_with_descriptor_is_refused_without_leak(void)
{
	const struct vfio_user_version head = {.major = 0};
	unsigned int before = raw_fd_count();
	int fd;

	ASSERT(raw_start(&raw, NULL));
	fd = raw_memfd(4096, true);
	EXPECT_EQ(raw_call_fds(&raw, VFIO_USER_VERSION, &head, sizeof(head), &fd, 1), EINVAL);
	close(fd);
	raw_stop(&raw);
	EXPECT_EQ(raw_fd_count(), before);
}

static void test_version_that_does_not_come_times_out(void)
{
	const struct vfio_user_server_config config = {.listen_fd = -1, .stall_ms = 50};

	ASSERT(raw_start(&raw, &config));
	EXPECT_EQ(raw_recv(&raw, raw.sock), -ENODATA);
	raw_stop(&raw);
	EXPECT_EQ(raw.served, -ETIMEDOUT);
}

static void test_version_longer_than_any_closes(void)
{
	struct vfio_user_header header = {.command = VFIO_USER_VERSION,
					  .size = 16 + 4 + VFIO_USER_MAX_JSON + 1};

	ASSERT(raw_start(&raw, NULL));
	EXPECT_EQ(write(raw.sock, &header, sizeof(header)), sizeof(header));
	EXPECT_EQ(raw_recv(&raw, raw.sock), -ENODATA);
	raw_stop(&raw);
	EXPECT_EQ(raw.served, -EPROTO);
}

int main(void)
{
	RUN(test_version_of_qemu_gets_short_reply);
	RUN(test_version_minor_is_the_smaller);
	RUN(test_version_without_json_is_fine);
	RUN(test_version_twin_comes_with_socket);
	RUN(test_version_twin_is_not_for_who_takes_no_descriptors);
	RUN(test_version_bad_json_is_refused);
	RUN(test_version_unknown_keys_are_ignored);
	RUN(test_version_other_major_is_refused_and_closed);
	RUN(test_version_twice_is_refused_and_closed);
	RUN(test_version_not_first_is_refused_and_closed);
	RUN(test_version_with_descriptor_is_refused_without_leak);
	RUN(test_version_that_does_not_come_times_out);
	RUN(test_version_longer_than_any_closes);
	return tap_done();
}
