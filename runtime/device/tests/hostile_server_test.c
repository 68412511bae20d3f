/* SPDX-License-Identifier: MIT */
/*
 * A server that answers almost rightly: a real one, with somebody in between who changes replies.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <tethys/hw/memory.h>

#include "common/vfio_user.h"
#include "runtime/device/pci.h"
#include "runtime/device/tests/fixture.h"
#include "tests/tap.h"

#define HEADER_BYTES sizeof(struct vfio_user_header)
#define BODY_MAX 65536
#define ANY (-1)

/* One change of one reply. Offsets count from the start of the message. */
struct change {
	const char *name;
	unsigned int command;
	int nth;    /* reply to that command, from 0; ANY: all */
	int region; /* in a reply to REGION_INFO with capabilities; 0: whatever */
	size_t at;
	uint64_t value;
	size_t bytes; /* of @value to store, 0-8 */
	int grow;     /* bytes the message gets longer */
	int expected;
};

struct between {
	struct fixture fx;
	char path[96];
	int listener, client, server;
	pthread_t up, down;
	const struct change *change;
	unsigned int seen; /* replies to the command so far */
	unsigned int replies;
	/* For random changes: the reply, the byte. */
	unsigned int at_reply, at_byte;
	uint8_t flip;
};

static int unix_socket(const char *path, struct sockaddr_un *ret_addr)
{
	*ret_addr = (struct sockaddr_un){.sun_family = AF_UNIX};
	strcpy(ret_addr->sun_path, path);
	return socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
}

/* One message from @from to @to, descriptors and all. */
static int pass(int from, int to, struct between *mid,
		void (*edit)(struct between *, uint8_t *, size_t *))
{
	static _Thread_local _Alignas(8) uint8_t msg[BODY_MAX];
	struct vfio_user_header *header = (struct vfio_user_header *)msg;
	struct vfio_user_fds fds = {.count = 0};
	struct iovec iov = {.iov_base = msg};
	int err;

	err = vfio_user_recv(from, msg, HEADER_BYTES, &fds, 0);
	if (!err && (header->size < HEADER_BYTES || header->size > BODY_MAX - 64))
		err = -EPROTO;
	if (!err)
		err = vfio_user_recv(from, msg + HEADER_BYTES, header->size - HEADER_BYTES, NULL,
				     0);
	if (!err) {
		iov.iov_len = header->size;
		if (edit)
			edit(mid, msg, &iov.iov_len);
		err = vfio_user_send(to, &iov, 1, fds.fd, fds.count);
	}
	vfio_user_fds_close(&fds);
	return err;
}

/* Is it the reply that shall change? */
static bool wanted(struct between *mid, const uint8_t *msg)
{
	const struct vfio_user_header *header = (const void *)msg;
	const struct change *change = mid->change;
	uint32_t region;

	if (!change || header->command != change->command)
		return false;
	if (change->region) {
		memcpy(&region, msg + HEADER_BYTES + 8, 4);
		return region == (uint32_t)change->region && header->size > HEADER_BYTES + 32;
	}
	return change->nth == ANY || (unsigned int)change->nth == mid->seen++;
}

static void edit_reply(struct between *mid, uint8_t *msg, size_t *len)
{
	const struct change *change = mid->change;
	uint32_t size;

	if (mid->flip && mid->replies == mid->at_reply)
		msg[mid->at_byte % *len] ^= mid->flip;
	mid->replies++;
	if (!wanted(mid, msg))
		return;
	memcpy(msg + change->at, &change->value, change->bytes);
	if (!change->grow)
		return;
	*len += change->grow;
	size = *len;
	memcpy(msg + offsetof(struct vfio_user_header, size), &size, sizeof(size));
}

static void *up_thread(void *arg)
{
	struct between *mid = arg;

	while (!pass(mid->client, mid->server, mid, NULL))
		;
	shutdown(mid->server, SHUT_RDWR);
	return NULL;
}

static void *down_thread(void *arg)
{
	struct between *mid = arg;
	struct sockaddr_un addr;

	mid->client = accept(mid->listener, NULL, NULL);
	mid->server = unix_socket(mid->fx.path, &addr);
	if (mid->client < 0 || connect(mid->server, (struct sockaddr *)&addr, sizeof(addr)))
		return NULL;
	pthread_create(&mid->up, NULL, up_thread, mid);
	while (!pass(mid->server, mid->client, mid, edit_reply))
		;
	shutdown(mid->client, SHUT_RDWR);
	shutdown(mid->server, SHUT_RDWR);
	pthread_join(mid->up, NULL);
	return NULL;
}

static int between_start(struct between *mid, const char *personality)
{
	struct sockaddr_un addr;

	memset(mid, 0, sizeof(*mid));
	if (fixture_path(&mid->fx) || fixture_serve(&mid->fx, personality, false))
		return -1;
	snprintf(mid->path, sizeof(mid->path), "%s/between.sock", mid->fx.dir);
	mid->listener = unix_socket(mid->path, &addr);
	return bind(mid->listener, (struct sockaddr *)&addr, sizeof(addr)) ||
	       listen(mid->listener, 1);
}

static void between_stop(struct between *mid)
{
	close(mid->listener);
	unlink(mid->path);
	fixture_close(&mid->fx);
}

/* Open and use the card through @mid. Return: what open said. */
static int try_open(struct between *mid, struct reason *why)
{
	struct axdev_options options = {.request_timeout_ms = 200, .dma_timeout_ms = 100};
	struct axdev_buf buf = {0};
	struct axdev *dev = NULL;
	char name[128];
	int err;

	mid->seen = 0;
	mid->replies = 0;
	snprintf(name, sizeof(name), "vfio-user:%s", mid->path);
	pthread_create(&mid->down, NULL, down_thread, mid);
	err = axdev_open(name, &options, &dev, why);
	if (!err && !dev->ops->buf_alloc(dev, 8192, &buf, NULL)) {
		dev->ops->xfer(dev, AXDEV_TO_CARD, 0, METIS_DDR_BASE, &buf, 0, 8192, NULL);
		dev->ops->xfer(dev, AXDEV_FROM_CARD, 0, METIS_DDR_BASE, &buf, 0, 8192, NULL);
		dev->ops->buf_free(dev, &buf);
	}
	axdev_close(dev);
	pthread_join(mid->down, NULL);
	close(mid->client);
	close(mid->server);
	return err;
}

/* Header 16, then struct vfio_user_region_info 32, then one sparse capability of 32. */
#define INFO(name, at, value, bytes) \
	{name, VFIO_USER_DEVICE_GET_REGION_INFO, ANY, METIS_BAR_L2, at, value, bytes, 0, -EPROTO}
#define REPLY(name, command, nth, at, value, bytes, grow, expected) \
	{name, VFIO_USER_##command, nth, 0, at, value, bytes, grow, expected}

static const struct change changes[] = {
	INFO("argsz small", 16, 16, 4),
	INFO("argsz large", 16, 1 << 20, 4),
	INFO("index", 24, 3, 4),
	INFO("size", 32, 1 << 20, 8),
	INFO("offset beyond the file", 40, 1ull << 40, 8),
	INFO("offset wraps", 40, ~0xfffull, 8),
	INFO("no write", 20, 0xd, 4),
	INFO("capability inside the info", 28, 8, 4),
	INFO("capability at the end", 28, 60, 4),
	INFO("capability far away", 28, 0xfffffff8, 4),
	INFO("capabilities in a circle", 48, 0x0000002000010063, 8),
	INFO("many areas", 56, 0x0fffffff, 4),
	INFO("area not aligned", 64, 0x4001, 8),
	INFO("area wraps", 64, ~0xfffull, 8),
	INFO("area empty", 72, 0, 8),
	INFO("area too long", 72, METIS_BAR_L2_BYTES, 8),
	INFO("area huge", 72, ~0xfffull, 8),
	REPLY("not PCI", DEVICE_GET_INFO, 0, 20, 0, 4, 0, -EPROTO),
	REPLY("3 regions", DEVICE_GET_INFO, 0, 24, 3, 4, 0, -EPROTO),
	REPLY("1000 regions", DEVICE_GET_INFO, 0, 24, 1000, 4, 0, -EPROTO),
	REPLY("no interrupts", DEVICE_GET_INFO, 0, 28, 0, 4, 0, -EPROTO),
	REPLY("short info", DEVICE_GET_INFO, 0, 0, 0, 0, -4, -EPROTO),
	REPLY("long info", DEVICE_GET_INFO, 0, 0, 0, 0, 4, -ENODEV),
	REPLY("16 vectors", DEVICE_GET_IRQ_INFO, 0, 28, 16, 4, 0, -EPROTO),
	REPLY("interrupt index", DEVICE_GET_IRQ_INFO, 0, 24, 3, 4, 0, -EPROTO),
	REPLY("vendor", REGION_READ, 0, 32, 0x8086, 2, 0, -EPROTO),
	REPLY("all ones", REGION_READ, 0, 32, 0xffff, 2, 0, -ENODEV),
	REPLY("short read", REGION_READ, 0, 0, 0, 0, -1, -EIO),
	REPLY("long read", REGION_READ, 0, 0, 0, 0, 1, -ENODEV),
	REPLY("device", REGION_READ, ANY, 32, METIS_PCI_VENDOR, 2, 0, -EPROTO),
	REPLY("read refused", REGION_READ, 1, 8, 0x21 | (uint64_t)EPERM << 32, 8, -18, -EPERM),
	REPLY("read refused with a body", REGION_READ, 1, 8, 0x21, 4, 0, -ENODEV),
	REPLY("no eventfds", DEVICE_SET_IRQS, 0, 8, 0x21 | (uint64_t)EINVAL << 32, 8, 0, -EINVAL),
	REPLY("another id", DEVICE_SET_IRQS, 1, 0, 0x7777, 2, 0, -ENODEV),
	REPLY("another command", DEVICE_SET_IRQS, 1, 2, 9, 2, 0, -ENODEV),
	REPLY("a command", DEVICE_SET_IRQS, 1, 8, 0, 4, 0, -ENODEV),
};

static void test_changed_replies_are_refused(void)
{
	struct reason why;
	struct between mid;
	size_t i;
	int err;

	ASSERT_EQ(between_start(&mid, NULL), 0);
	for (i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
		why.text[0] = '\0';
		mid.change = &changes[i];
		err = try_open(&mid, &why);
		if (err != changes[i].expected || !why.text[0])
			TAP_FAIL("%s: %d %s", changes[i].name, err, why.text);
	}
	/* With nothing changed it works, so the above did not fail by itself. */
	mid.change = NULL;
	EXPECT_EQ(try_open(&mid, &why), 0);
	between_stop(&mid);
}

/* Any byte of any reply: it may work or not, but it ends, and the next client is served. */
static void test_random_bytes_never_hang_or_crash(void)
{
	struct reason why;
	struct between mid;
	uint64_t start;
	int i;

	ASSERT_EQ(between_start(&mid, "1.6.0"), 0);
	srand(1);
	for (i = 0; i < 150; i++) {
		mid.at_reply = rand() % 40;
		mid.at_byte = rand() % 96;
		mid.flip = 1 + rand() % 255;
		why.text[0] = '\0';
		start = axdev_now_us();
		if (try_open(&mid, &why) && !why.text[0])
			TAP_FAIL("reply %u byte %u: no reason", mid.at_reply, mid.at_byte);
		if (axdev_now_us() - start > 3000000)
			TAP_FAIL("reply %u byte %u: took too long", mid.at_reply, mid.at_byte);
	}
	mid.flip = 0;
	EXPECT_EQ(try_open(&mid, &why), 0);
	between_stop(&mid);
}

int main(void)
{
	RUN(test_changed_replies_are_refused);
	RUN(test_random_bytes_never_hang_or_crash);
	return tap_done();
}
