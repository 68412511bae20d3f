/* SPDX-License-Identifier: MIT */
/* What an observer is told of a client and of DMA, and in which order. */
#include <errno.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include <tethys/hw/memory.h>

#include "card/transport/tests/raw_client.h"
#include "tests/tap.h"

#define IOVA 0x40000000ull
#define BYTES (1u << 20)
#define EVENTS_MAX 64

static struct raw raw;

static struct {
	_Atomic unsigned int count;
	struct card_event event[EVENTS_MAX];
} seen;

static void trace(void *ctx, const struct card_event *event)
{
	unsigned int i = atomic_fetch_add(&seen.count, 1);

	(void)ctx;
	if (i < EVENTS_MAX)
		seen.event[i] = *event;
}

/* One letter an event: Owner, Left, Map, Unmap, Sent, Read, Write. */
static const char *story(void)
{
	static const char letters[CARD_EVENT_NR + 1] = "RWIIXOLMUS";
	static char text[EVENTS_MAX + 1];
	unsigned int i;

	for (i = 0; i < EVENTS_MAX && i < atomic_load(&seen.count); i++)
		text[i] = letters[seen.event[i].kind];
	text[i] = '\0';
	return text;
}

static bool open_traced(const char *json)
{
	const struct vfio_user_server_config config = {.listen_fd = -1, .trace = trace};

	memset(&seen, 0, sizeof(seen));
	if (!raw_open(&raw, &config, json))
		return false;
	raw_enable(&raw);
	return true;
}

static void expect_access(unsigned int i, enum card_event_kind kind, enum card_way way, int result)
{
	const struct card_event *event = &seen.event[i];

	EXPECT_EQ(event->kind, kind);
	EXPECT_EQ(event->way, way);
	EXPECT_EQ(event->addr, IOVA + 64);
	EXPECT_EQ(event->len, 4096);
	EXPECT_EQ(event->result, result);
}

static void serve(struct raw *peer, void *ctx)
{
	static uint8_t data[4096];

	raw_dma_reply(peer, peer->sock, ctx ? ENODEV : 0, data);
}

static void test_trace_direct_access_is_between_map_and_unmap(void)
{
	int fd = raw_memfd(BYTES, true);

	ASSERT(open_traced(RAW_NO_TWIN));
	EXPECT_EQ(raw_map(&raw, IOVA, BYTES, 1, fd, 0), 0);
	EXPECT_EQ(raw_dma(&raw, false, IOVA + 64, METIS_DDR_BASE, 4096), 0);
	EXPECT_EQ(raw_unmap(&raw, IOVA, BYTES), 0);
	raw_stop(&raw);
	EXPECT_STR(story(), "OMRUL");
	EXPECT_EQ(seen.event[1].way, CARD_WAY_DIRECT);
	EXPECT(seen.event[1].read && !seen.event[1].write);
	EXPECT_EQ(seen.event[1].addr, IOVA);
	EXPECT_EQ(seen.event[1].len, BYTES);
	expect_access(2, CARD_EVENT_READ, CARD_WAY_DIRECT, 0);
	EXPECT_EQ(seen.event[3].addr, IOVA);
	EXPECT_EQ(seen.event[3].len, BYTES);
	close(fd);
}

static void test_trace_message_has_two_events_with_one_number(void)
{
	ASSERT(open_traced(RAW_NO_TWIN));
	raw.dma = serve;
	EXPECT_EQ(raw_map(&raw, IOVA, BYTES, 3, -1, 0), 0);
	EXPECT_EQ(raw_dma(&raw, true, IOVA + 64, METIS_DDR_BASE, 4096), 0);
	raw.dma_ctx = &raw; /* refused from now on */
	EXPECT_EQ(raw_dma(&raw, false, IOVA + 64, METIS_DDR_BASE, 4096), -EIO);
	raw_stop(&raw);
	EXPECT_STR(story(), "OMSWSRL");
	EXPECT_EQ(seen.event[1].way, CARD_WAY_MESSAGE);
	EXPECT(seen.event[2].write && !seen.event[4].write);
	EXPECT_EQ(seen.event[2].number, seen.event[3].number);
	EXPECT_EQ(seen.event[2].addr, IOVA + 64);
	EXPECT_EQ(seen.event[2].len, 4096);
	expect_access(3, CARD_EVENT_WRITE, CARD_WAY_MESSAGE, 0);
	expect_access(5, CARD_EVENT_READ, CARD_WAY_MESSAGE, -EFAULT);
}

static void test_trace_message_cut_off_is_unknown_before_the_client_has_left(void)
{
	ASSERT(open_traced(RAW_NO_TWIN));
	raw_dma_start(&raw, true, 0, IOVA + 64, METIS_DDR_BASE, 4096);
	while (raw.header.command != VFIO_USER_DMA_WRITE)
		ASSERT_EQ(raw_recv(&raw, raw.sock), 0);
	raw_stop(&raw); /* without an answer */
	EXPECT_EQ(seen.count, 4);
	EXPECT_STR(story(), "OSWL");
	expect_access(2, CARD_EVENT_WRITE, CARD_WAY_MESSAGE, CARD_RESULT_UNKNOWN);
}

static void test_trace_refused_map_is_no_map(void)
{
	int fd = raw_memfd(BYTES, true);

	ASSERT(open_traced(RAW_NO_TWIN));
	EXPECT_EQ(raw_map(&raw, IOVA, 2 * BYTES, 3, fd, 0), EINVAL);
	EXPECT_EQ(raw_map(&raw, IOVA, 0, 3, -1, 0), EINVAL);
	EXPECT_EQ(raw_unmap(&raw, IOVA, 0), EINVAL);
	raw_stop(&raw);
	EXPECT_STR(story(), "OL");
	close(fd);
}

static void *imwr_main(void *arg)
{
	(void)arg;
	card_inject_imwr(raw.card, 0xfee00418, 8);
	return NULL;
}

/* The card tells of it as an interrupt; it is no DMA that must be mapped. */
static void test_trace_raw_interrupt_is_no_access(void)
{
	pthread_t thread;

	raw.raw_imwr = true;
	ASSERT(open_traced(RAW_NO_TWIN));
	ASSERT(!pthread_create(&thread, NULL, imwr_main, NULL));
	ASSERT_EQ(raw_recv(&raw, raw.sock), 0);
	EXPECT_EQ(raw.header.command, VFIO_USER_DMA_WRITE);
	raw_dma_reply(&raw, raw.sock, 0, NULL);
	pthread_join(thread, NULL);
	raw_stop(&raw);
	raw.raw_imwr = false;
	EXPECT_STR(story(), "OL");
}

int main(void)
{
	RUN(test_trace_direct_access_is_between_map_and_unmap);
	RUN(test_trace_message_has_two_events_with_one_number);
	RUN(test_trace_message_cut_off_is_unknown_before_the_client_has_left);
	RUN(test_trace_refused_map_is_no_map);
	RUN(test_trace_raw_interrupt_is_no_access);
	return tap_done();
}
