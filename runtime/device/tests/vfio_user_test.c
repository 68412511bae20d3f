/* SPDX-License-Identifier: MIT */
/*
 * The vfio-user client: servers that are absent, busy, dying or wrong.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <tethys/hw/memory.h>

#include "runtime/device/pci.h"
#include "runtime/device/tests/fixture.h"
#include "runtime/device/vfio_user_client.h"
#include "tests/tap.h"

#define HEADER_BYTES sizeof(struct vfio_user_header)

static void sleep_ms(unsigned int ms)
{
	struct timespec ts = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};

	nanosleep(&ts, NULL);
}

static int open_at(const char *path, const struct axdev_options *options, struct axdev **ret_dev,
		   struct reason *why)
{
	char name[160];

	snprintf(name, sizeof(name), "vfio-user:%s", path);
	return axdev_open(name, options, ret_dev, why);
}

/* --- names --- */

static void test_open_unknown_names_say_what_to_write(void)
{
	struct reason why = {""};
	struct axdev *dev = NULL;

	EXPECT_EQ(axdev_open("pci:1", NULL, &dev, &why), -EINVAL);
	EXPECT_HAS(why.text, "sim or vfio-user:PATH");
	EXPECT_EQ(axdev_open("simulator", NULL, &dev, NULL), -EINVAL);
	EXPECT_EQ(axdev_open("sim:", NULL, &dev, NULL), -EINVAL);
	EXPECT_EQ(axdev_open("sim:1x", NULL, &dev, NULL), -EINVAL);
	EXPECT_EQ(axdev_open("", NULL, &dev, NULL), -EINVAL);
	EXPECT_EQ(axdev_open(NULL, NULL, &dev, NULL), -EINVAL);
	EXPECT_EQ(axdev_open("vfio-user:", NULL, &dev, NULL), -EINVAL);
	EXPECT(!dev);
	axdev_close(NULL);
}

static void test_open_where_nobody_listens_says_how_to_start_one(void)
{
	struct reason why = {""};
	struct axdev *dev = NULL;
	char path[300];

	EXPECT_EQ(open_at("/nonexistent/card.sock", NULL, &dev, &why), -ENODEV);
	EXPECT_HAS(why.text,
		   "no card listens at /nonexistent/card.sock: start one with `tethys card "
		   "--socket /nonexistent/card.sock`");
	memset(path, 'x', sizeof(path) - 1);
	path[140] = '\0';
	EXPECT_EQ(open_at(path, NULL, &dev, NULL), -EINVAL);
}

static void test_open_of_unknown_personality_is_einval(void)
{
	struct axdev_options options = {.personality = "9.9", .engine = "null"};
	struct axdev *dev = NULL;
	struct reason why = {""};

	EXPECT_EQ(axdev_open("sim", &options, &dev, &why), -EINVAL);
	EXPECT(why.text[0]);
}

static void remember(void *ctx, const char *name)
{
	strcat(strcat(ctx, name), ";");
}

static void test_list_names_each_card_once(void)
{
	char names[256] = "";

	setenv("TETHYS_DEVICES", "vfio-user:/a,sim,vfio-user:/b,,vfio-user:/a", 1);
	axdev_list(remember, names);
	unsetenv("TETHYS_DEVICES");
	EXPECT_STR(names, "sim;vfio-user:/a;vfio-user:/b;");
}

static void test_second_client_is_told_busy(void)
{
	struct axdev *second = NULL;
	struct reason why = {""};
	struct fixture fx;

	EXPECT_EQ(fixture_open(&fx, FIXTURE_VFIO_USER, NULL, NULL, &why), 0);
	EXPECT_EQ(open_at(fx.path, NULL, &second, &why), -EBUSY);
	EXPECT_HAS(why.text, "another program is using this card");
	/* And the first has not noticed. */
	EXPECT_EQ(fx.dev->ops->reset(fx.dev, NULL), 0);
	fixture_close(&fx);
}

/* --- death --- */

/* A card in a process of its own, to be killed. */
static pid_t spawn_card(struct fixture *fx)
{
	pid_t pid;

	memset(fx, 0, sizeof(*fx));
	if (fixture_path(fx))
		return -1;
	pid = fork();
	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (!fixture_serve(fx, NULL, false))
		pthread_join(fx->thread, NULL);
	_exit(0);
}

static int open_spawned(struct fixture *fx)
{
	int i, err = -ENODEV;

	for (i = 0; err == -ENODEV && i < 200; i++) {
		err = open_at(fx->path, NULL, &fx->dev, NULL);
		if (err)
			sleep_ms(10);
	}
	return err;
}

/* Return once every thread of it has stopped. */
static void freeze(pid_t pid)
{
	kill(pid, SIGSTOP);
	waitpid(pid, NULL, WUNTRACED);
}

struct waiter {
	pthread_t thread;
	struct axdev *dev;
	struct axdev_buf buf;
	bool transfer;
	int err;
	uint64_t end_us;
	struct reason why;
};

static void *wait_for_card(void *arg)
{
	struct waiter *waiter = arg;
	struct axdev *dev = waiter->dev;

	if (waiter->transfer)
		waiter->err = dev->ops->xfer(dev, AXDEV_TO_CARD, -1, METIS_DDR_BASE, &waiter->buf,
					     0, waiter->buf.bytes, &waiter->why);
	else
		waiter->err = dev->ops->irq_wait(dev, 0, 20000, &waiter->why);
	waiter->end_us = axdev_now_us();
	return NULL;
}

/* The card is frozen first, so that the kill is surely in the middle of what is waited for. */
static void kill_while_waiting(bool transfer)
{
	struct waiter waiter = {.transfer = transfer};
	struct fixture fx;
	pid_t pid = spawn_card(&fx);
	uint64_t killed;
	uint32_t word;

	ASSERT(pid > 0);
	EXPECT_EQ(open_spawned(&fx), 0);
	if (fx.dev) {
		waiter.dev = fx.dev;
		EXPECT_EQ(fx.dev->ops->buf_alloc(fx.dev, 1 << 20, &waiter.buf, NULL), 0);
		freeze(pid);
		pthread_create(&waiter.thread, NULL, wait_for_card, &waiter);
		sleep_ms(100);
		killed = axdev_now_us();
		kill(pid, SIGKILL);
		pthread_join(waiter.thread, NULL);
		EXPECT_EQ(waiter.err, -ENODEV);
		EXPECT_HAS(waiter.why.text, "gone");
		EXPECT(waiter.end_us - killed < 1000000);
		EXPECT_EQ(fx.dev->ops->bar_read(fx.dev, 0, 0, &word, 4, NULL), -ENODEV);
		EXPECT_EQ(fx.dev->ops->irq_wait(fx.dev, 1, 5000, NULL), -ENODEV);
		EXPECT_EQ(fx.dev->ops->reset(fx.dev, NULL), -ENODEV);
		fx.dev->ops->buf_free(fx.dev, &waiter.buf);
	} else {
		kill(pid, SIGKILL);
	}
	waitpid(pid, NULL, 0);
	unlink(fx.path);
	fixture_close(&fx);
}

static void test_killed_card_ends_a_wait_within_a_second(void)
{
	kill_while_waiting(false);
}

static void test_killed_card_ends_a_transfer_within_a_second(void)
{
	kill_while_waiting(true);
}

static void test_frozen_card_misses_its_deadline(void)
{
	struct axdev_options options = {.request_timeout_ms = 200};
	struct reason why = {""};
	struct fixture fx;
	pid_t pid = spawn_card(&fx);
	uint64_t start;
	uint32_t word;

	ASSERT(pid > 0);
	EXPECT_EQ(open_spawned(&fx), 0);
	axdev_close(fx.dev);
	fx.dev = NULL;
	sleep_ms(100);
	EXPECT_EQ(open_at(fx.path, &options, &fx.dev, &why), 0);
	freeze(pid);
	if (fx.dev) {
		start = axdev_now_us();
		EXPECT_EQ(fx.dev->ops->bar_read(fx.dev, 0, 0, &word, 4, &why), -ENODEV);
		EXPECT_HAS(why.text, "does not answer within 200 ms");
		EXPECT(axdev_now_us() - start < 900000);
	}
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	unlink(fx.path);
	fixture_close(&fx);
}

/* --- a server made of canned answers --- */

struct fake {
	struct fixture fx;
	int listener;
	int sock;
	pthread_t thread;
	const struct canned *canned;
};

struct canned {
	const char *name;
	bool silent;
	int16_t id_off, command_off; /* added to the right ones */
	int32_t size_off;
	uint32_t flags, error;
	uint16_t major;
	const char *json; /* NULL: none */
	int expected;
};

static int fake_listen(struct fake *fake)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};

	fake->sock = -1;
	if (fixture_path(&fake->fx))
		return -1;
	strcpy(addr.sun_path, fake->fx.path);
	fake->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	return bind(fake->listener, (struct sockaddr *)&addr, sizeof(addr)) ||
	       listen(fake->listener, 1);
}

static void fake_close(struct fake *fake)
{
	if (fake->sock >= 0)
		close(fake->sock);
	close(fake->listener);
	unlink(fake->fx.path);
	rmdir(fake->fx.dir);
}

/* The next request; its descriptors are closed. */
static int fake_recv(struct fake *fake, struct vfio_user_header *header, void *body, size_t room)
{
	struct vfio_user_fds fds = {.count = 0};
	int err = vfio_user_recv(fake->sock, header, sizeof(*header), &fds, 0);

	vfio_user_fds_close(&fds);
	if (err || header->size - HEADER_BYTES > room)
		return -1;
	return vfio_user_recv(fake->sock, body, header->size - HEADER_BYTES, NULL, 0);
}

static void *fake_thread(void *arg)
{
	struct fake *fake = arg;
	const struct canned *canned = fake->canned;
	struct vfio_user_version version = {.major = canned->major};
	struct vfio_user_header header;
	uint8_t body[1024];
	struct iovec iov[] = {
		{&header, sizeof(header)},
		{&version, sizeof(version)},
		{(void *)canned->json, canned->json ? strlen(canned->json) + 1 : 0},
	};

	fake->sock = accept(fake->listener, NULL, NULL);
	if (fake_recv(fake, &header, body, sizeof(body)) || canned->silent)
		return NULL;
	header.id += canned->id_off;
	header.command += canned->command_off;
	header.size = iov[0].iov_len + iov[1].iov_len + iov[2].iov_len + canned->size_off;
	header.flags = canned->flags;
	header.error = canned->error;
	vfio_user_send(fake->sock, iov, header.flags & VFIO_USER_ERROR ? 1 : 3, NULL, 0);
	/* Nothing more: the client must not wait for it long. */
	return NULL;
}

static void expect_canned(const struct canned *canned)
{
	struct axdev_options options = {.request_timeout_ms = 150};
	struct fake fake = {.canned = canned};
	struct axdev *dev = NULL;
	struct reason why = {""};
	uint64_t start = axdev_now_us();
	int err;

	ASSERT_EQ(fake_listen(&fake), 0);
	pthread_create(&fake.thread, NULL, fake_thread, &fake);
	err = open_at(fake.fx.path, &options, &dev, &why);
	if (err != canned->expected || !why.text[0] || axdev_now_us() - start > 900000)
		TAP_FAIL("%s: %d %s", canned->name, err, why.text);
	pthread_join(fake.thread, NULL);
	fake_close(&fake);
}

static void test_wrong_greetings_are_refused(void)
{
	static const struct canned all[] = {
		{.name = "silent", .silent = true, .expected = -ENODEV},
		{.name = "id", .id_off = 1, .flags = 1, .expected = -ENODEV},
		{.name = "command", .command_off = 1, .flags = 1, .expected = -ENODEV},
		{.name = "no reply", .flags = 0, .expected = -ENODEV},
		{.name = "size 15", .flags = 1, .size_off = -5, .expected = -ENODEV},
		{.name = "short", .flags = 1, .size_off = -1, .expected = -EPROTO},
		{.name = "long", .flags = 1, .size_off = 1, .expected = -ENODEV},
		{.name = "huge", .flags = 1, .size_off = 1 << 30, .expected = -ENODEV},
		{.name = "busy", .flags = 0x21, .error = EBUSY, .size_off = -4, .expected = -EBUSY},
		{.name = "error",
		 .flags = 0x21,
		 .error = EINVAL,
		 .size_off = -4,
		 .expected = -EPROTO},
		{.name = "error 0", .flags = 0x21, .size_off = -4, .expected = -EPROTO},
		{.name = "error -1",
		 .flags = 0x21,
		 .error = -1,
		 .size_off = -4,
		 .expected = -EPROTO},
		{.name = "major", .flags = 1, .major = 1, .expected = -EPROTO},
		{.name = "JSON", .flags = 1, .json = "{\"capabilities\":", .expected = -EPROTO},
		{.name = "no fds",
		 .flags = 1,
		 .json = "{\"capabilities\":{\"max_msg_fds\":0}}",
		 .expected = -EPROTO},
		{.name = "twin without fd",
		 .flags = 1,
		 .json = "{\"capabilities\":{\"twin_socket\":{\"supported\":true,\"fd_index\":0}}}",
		 .expected = -EPROTO},
		{.name = "then silent", .flags = 1, .expected = -ENODEV},
	};
	size_t i;

	for (i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		expect_canned(&all[i]);
}

/* --- commands of the server, on one socket --- */

static int echo_dma(void *ctx, bool write, uint64_t iova, void *data, uint64_t len)
{
	(void)ctx;
	if (iova != 0x1000 || len > 64)
		return -ENODEV;
	if (!write)
		memset(data, 0x77, len);
	return write && *(uint8_t *)data != 0x55 ? -ENODEV : 0;
}

static const struct canned plain = {.name = "plain", .flags = 1};

/* A client connected to a fake server without a twin socket. */
static int fake_client(struct fake *fake, struct vfio_user_client *client)
{
	struct reason why = {""};
	int err;

	vfio_user_client_init(client, 500, false, echo_dma, NULL);
	fake->canned = &plain;
	if (fake_listen(fake))
		return -1;
	pthread_create(&fake->thread, NULL, fake_thread, fake);
	err = vfio_user_client_connect(client, fake->fx.path, &why);
	pthread_join(fake->thread, NULL);
	return err;
}

/* Send a command as the server. @bytes: of @access with its data that go on the wire. */
static int fake_command(struct fake *fake, unsigned int command, uint32_t flags, const void *access,
			size_t bytes)
{
	struct vfio_user_header header = {
		.id = 7,
		.command = command,
		.size = HEADER_BYTES + bytes,
		.flags = flags,
	};
	struct iovec iov[] = {{&header, sizeof(header)}, {(void *)access, bytes}};

	return vfio_user_send(fake->sock, iov, 2, NULL, 0);
}

static void expect_answer(struct fake *fake, unsigned int command, const void *access, size_t bytes,
			  uint32_t flags, uint32_t error, size_t size)
{
	struct vfio_user_header header = {0};
	uint8_t body[256] = {0};

	EXPECT_EQ(fake_command(fake, command, 0, access, bytes), 0);
	ASSERT_EQ(fake_recv(fake, &header, body, sizeof(body)), 0);
	EXPECT_EQ(header.id, 7);
	EXPECT_EQ(header.command, command);
	EXPECT_EQ(header.flags, flags);
	EXPECT_EQ(header.error, error);
	EXPECT_EQ(header.size, size);
	if (command == VFIO_USER_DMA_READ && !error)
		EXPECT_EQ(body[16 + 63], 0x77);
}

static void test_server_commands_are_answered_and_checked(void)
{
	struct {
		uint64_t iova, count;
		uint8_t data[64];
	} access = {0x1000, 64, {0x55}};
	struct vfio_user_client client;
	struct fake fake = {0};

	EXPECT_EQ(fake_client(&fake, &client), 0);
	expect_answer(&fake, VFIO_USER_DMA_READ, &access, 16, 1, 0, 96);
	expect_answer(&fake, VFIO_USER_DMA_WRITE, &access, 80, 1, 0, 32);
	expect_answer(&fake, VFIO_USER_DMA_WRITE, &access, 79, 0x21, E2BIG, 16);
	expect_answer(&fake, VFIO_USER_DMA_READ, &access, 15, 0x21, EINVAL, 16);
	expect_answer(&fake, VFIO_USER_DMA_READ, &access, 0, 0x21, EINVAL, 16);
	expect_answer(&fake, VFIO_USER_REGION_READ, &access, 16, 0x21, ENOSYS, 16);
	expect_answer(&fake, 999, &access, 0, 0x21, ENOSYS, 16);
	access.iova = 0x2000;
	expect_answer(&fake, VFIO_USER_DMA_READ, &access, 16, 0x21, ENODEV, 16);
	access.count = UINT64_MAX;
	expect_answer(&fake, VFIO_USER_DMA_READ, &access, 16, 0x21, E2BIG, 16);
	expect_answer(&fake, VFIO_USER_DMA_WRITE, &access, 80, 0x21, E2BIG, 16);
	/* One without an answer, then one with: the first answer is the second's. */
	EXPECT_EQ(fake_command(&fake, VFIO_USER_DMA_WRITE, VFIO_USER_NO_REPLY, &access, 80), 0);
	expect_answer(&fake, 999, &access, 0, 0x21, ENOSYS, 16);
	vfio_user_client_deinit(&client);
	fake_close(&fake);
}

struct asker {
	pthread_t thread;
	struct vfio_user_client *client;
	uint64_t value;
	int err;
};

static void *ask(void *arg)
{
	struct asker *asker = arg;
	uint64_t reply[3] = {0}; /* struct vfio_user_region_access, then the value */
	struct vfio_user_region_access access = {.count = 8};
	struct vfio_user_request request = {
		.command = VFIO_USER_REGION_READ,
		.body = {{&access, sizeof(access)}},
		.reply = reply,
		.reply_bytes = sizeof(reply),
	};

	asker->err = vfio_user_client_call(asker->client, &request, NULL);
	asker->value = reply[2];
	return NULL;
}

/* The server needs our memory before it can answer. */
static void test_server_command_before_a_reply_is_served(void)
{
	struct {
		struct vfio_user_header header;
		uint64_t words[3];
	} VFIO_USER_PACKED reply = {.words = {0, 0, 0x1234}};
	struct vfio_user_dma_access access = {.iova = 0x1000, .count = 64};
	struct vfio_user_client client;
	struct asker asker = {.client = &client};
	struct iovec iov = {&reply, sizeof(reply)};
	struct fake fake = {0};
	uint8_t body[64];

	EXPECT_EQ(fake_client(&fake, &client), 0);
	pthread_create(&asker.thread, NULL, ask, &asker);
	EXPECT_EQ(fake_recv(&fake, &reply.header, body, sizeof(body)), 0);
	expect_answer(&fake, VFIO_USER_DMA_READ, &access, 16, 1, 0, 96);
	reply.header.size = sizeof(reply);
	reply.header.flags = VFIO_USER_TYPE_REPLY;
	EXPECT_EQ(vfio_user_send(fake.sock, &iov, 1, NULL, 0), 0);
	pthread_join(asker.thread, NULL);
	EXPECT_EQ(asker.err, 0);
	EXPECT_EQ(asker.value, 0x1234);
	/* No answer at all. */
	pthread_create(&asker.thread, NULL, ask, &asker);
	pthread_join(asker.thread, NULL);
	EXPECT_EQ(asker.err, -ENODEV);
	vfio_user_client_deinit(&client);
	fake_close(&fake);
}

static void test_server_breaking_the_stream_is_cut_off(void)
{
	static const struct vfio_user_header bad[] = {
		{.command = VFIO_USER_DMA_READ, .size = 15},
		{.command = VFIO_USER_DMA_READ, .size = 0},
		{.command = VFIO_USER_DMA_WRITE, .size = VFIO_USER_MAX_MESSAGE + 1},
		{.command = VFIO_USER_DMA_WRITE, .size = 16, .flags = VFIO_USER_TYPE_REPLY},
		{.command = VFIO_USER_DMA_WRITE, .size = 16, .flags = 2},
	};
	struct vfio_user_client client;
	struct asker asker = {.client = &client};
	struct iovec iov;
	struct fake fake;
	uint8_t byte;
	size_t i;

	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		memset(&fake, 0, sizeof(fake));
		EXPECT_EQ(fake_client(&fake, &client), 0);
		iov = (struct iovec){(void *)&bad[i], sizeof(bad[i])};
		EXPECT_EQ(vfio_user_send(fake.sock, &iov, 1, NULL, 0), 0);
		/* It hangs up, and whoever calls then is told. */
		EXPECT_EQ(recv(fake.sock, &byte, 1, 0), 0);
		ask(&asker);
		EXPECT_EQ(asker.err, -ENODEV);
		vfio_user_client_deinit(&client);
		fake_close(&fake);
	}
}

int main(void)
{
	RUN(test_killed_card_ends_a_wait_within_a_second);
	RUN(test_killed_card_ends_a_transfer_within_a_second);
	RUN(test_frozen_card_misses_its_deadline);
	RUN(test_open_unknown_names_say_what_to_write);
	RUN(test_open_where_nobody_listens_says_how_to_start_one);
	RUN(test_open_of_unknown_personality_is_einval);
	RUN(test_list_names_each_card_once);
	RUN(test_second_client_is_told_busy);
	RUN(test_wrong_greetings_are_refused);
	RUN(test_server_commands_are_answered_and_checked);
	RUN(test_server_command_before_a_reply_is_served);
	RUN(test_server_breaking_the_stream_is_cut_off);
	return tap_done();
}
