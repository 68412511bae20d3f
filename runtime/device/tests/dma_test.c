/* SPDX-License-Identifier: MIT */
/*
 * Transfers, the same for every way to reach a card: dma_test MODE PERSONALITY.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <tethys/hw/memory.h>
#include <tethys/hw/pci.h>

#include "runtime/device/pci.h"
#include "runtime/device/tests/fixture.h"
#include "tests/tap.h"

static enum fixture_mode mode;
static const char *personality;

/* Anything that differs from place to place and from seed to seed. */
static uint8_t pattern(size_t i, unsigned int seed)
{
	return (uint8_t)(i * 7 + i / 251 + i / 65521 + seed * 31);
}

static void fill(uint8_t *at, size_t len, unsigned int seed)
{
	size_t i;

	for (i = 0; i < len; i++)
		at[i] = pattern(i, seed);
}

static bool matches(const uint8_t *at, size_t len, unsigned int seed)
{
	size_t i;

	for (i = 0; i < len; i++)
		if (at[i] != pattern(i, seed))
			return false;
	return true;
}

static int open_card(struct fixture *fx, const struct axdev_options *options)
{
	struct reason why = {""};
	int err = fixture_open(fx, mode, personality, options, &why);

	if (err)
		printf("# open: %d %s\n", err, why.text);
	return err;
}

/* Store MSI mask bits: bit n keeps vector n from being sent. */
static void mask_irqs(struct fixture *fx, uint32_t mask)
{
	struct axdev_pci *pci = (struct axdev_pci *)fx->dev;

	EXPECT_EQ(pci->bus->config_write(pci, METIS_CAP_MSI + METIS_MSI_MASK, &mask, 4, NULL), 0);
}

/* There and back on @channel, seeing that nothing beside it changes. */
static int round_trip(struct axdev *dev, int channel, uint64_t card_addr, size_t offset, size_t len,
		      unsigned int seed, struct reason *why)
{
	struct axdev_buf out = {0}, in = {0};
	uint8_t *at;
	int err;

	err = dev->ops->buf_alloc(dev, offset + len, &out, why);
	if (!err)
		err = dev->ops->buf_alloc(dev, offset + len + 64, &in, why);
	if (!err) {
		fill((uint8_t *)out.ptr + offset, len, seed);
		memset(in.ptr, 0xa5, in.bytes);
		err = dev->ops->xfer(dev, AXDEV_TO_CARD, channel, card_addr, &out, offset, len,
				     why);
	}
	if (!err)
		err = dev->ops->xfer(dev, AXDEV_FROM_CARD, channel, card_addr, &in, offset, len,
				     why);
	at = in.ptr;
	if (!err && (!matches(at + offset, len, seed) || at[offset + len] != 0xa5 ||
		     (offset && at[offset - 1] != 0xa5)))
		err = reason_add(why, -EILSEQ, "%zu bytes came back wrong", len);
	dev->ops->buf_free(dev, &out);
	dev->ops->buf_free(dev, &in);
	return err;
}

#define EXPECT_TRIP(fx, channel, addr, offset, len)                                             \
	do {                                                                                    \
		struct reason trip_why = {""};                                                  \
		int trip_err = round_trip((fx)->dev, channel, addr, offset, len, 1, &trip_why); \
		if (trip_err)                                                                   \
			TAP_FAIL("%d: %s", trip_err, trip_why.text);                            \
	} while (0)

static void test_dma_every_size_returns_unchanged(void)
{
	static const size_t sizes[] = {1, 3, 4, 63, 4095, 4096, 4097, 70001, 1u << 20, 64u << 20};
	struct fixture fx;
	size_t i;

	if (open_card(&fx, NULL)) {
		EXPECT(!"open");
	} else {
		for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
			EXPECT_TRIP(&fx, 0, METIS_DDR_BASE, 0, sizes[i]);
			EXPECT_TRIP(&fx, -1, METIS_DDR_BASE + 0x123457, 61, sizes[i]);
		}
		EXPECT_TRIP(&fx, 3, METIS_L2_BASE + 0x100001, 4093, 300001);
		EXPECT_TRIP(&fx, 1, METIS_DDR_BASE + METIS_DDR_BYTES - 5, 1, 5);
		EXPECT_EQ(fx.dev->lost_irqs, 0);
	}
	fixture_close(&fx);
}

struct worker {
	pthread_t thread;
	struct axdev *dev;
	int channel;
	unsigned int seed;
	int err;
	struct reason why;
};

static void *work(void *arg)
{
	struct worker *worker = arg;
	unsigned int i;

	for (i = 0; !worker->err && i < 20; i++)
		worker->err = round_trip(worker->dev, worker->channel,
					 METIS_DDR_BASE + worker->seed * 0x1000003ull, i * 13,
					 100001 + i * 4099, worker->seed, &worker->why);
	return NULL;
}

static void run_workers(struct fixture *fx, unsigned int count, bool any)
{
	struct worker workers[12] = {0};
	unsigned int i;

	for (i = 0; i < count; i++) {
		workers[i].dev = fx->dev;
		workers[i].channel = any ? -1 : (int)(i % METIS_EDMA_CHANNELS);
		workers[i].seed = i;
		pthread_create(&workers[i].thread, NULL, work, &workers[i]);
	}
	for (i = 0; i < count; i++) {
		pthread_join(workers[i].thread, NULL);
		if (workers[i].err)
			TAP_FAIL("worker %u: %d: %s", i, workers[i].err, workers[i].why.text);
	}
}

static void test_dma_all_channels_at_once_keep_apart(void)
{
	struct fixture fx;

	if (open_card(&fx, NULL)) {
		EXPECT(!"open");
	} else {
		run_workers(&fx, METIS_EDMA_CHANNELS, false);
		/* More threads than channels: they queue. */
		run_workers(&fx, 12, true);
		run_workers(&fx, 8, false);
		EXPECT_EQ(fx.dev->lost_irqs, 0);
	}
	fixture_close(&fx);
}

static void expect_refused(struct fixture *fx, enum axdev_dir dir, int channel, uint64_t card_addr,
			   const struct axdev_buf *buf, const char *part)
{
	struct reason why = {""};
	uint64_t start = axdev_now_us();

	EXPECT_EQ(fx->dev->ops->xfer(fx->dev, dir, channel, card_addr, buf, 0, buf->bytes, &why),
		  -EIO);
	EXPECT_HAS(why.text, part);
	EXPECT(axdev_now_us() - start < 500000);
}

static void test_dma_bad_card_address_is_eio_and_channel_lives_on(void)
{
	struct axdev_buf buf = {0};
	struct fixture fx;
	int ch;

	if (open_card(&fx, NULL) || fx.dev->ops->buf_alloc(fx.dev, 8192, &buf, NULL)) {
		EXPECT(!"open");
	} else {
		for (ch = 0; ch < METIS_EDMA_CHANNELS; ch++) {
			expect_refused(&fx, AXDEV_TO_CARD, ch, 0x1000, &buf,
				       "the card refuses the write");
			expect_refused(&fx, AXDEV_FROM_CARD, ch, METIS_L2_BASE - 1, &buf,
				       "the card refuses to read");
			/* Begins well. */
			expect_refused(&fx, AXDEV_TO_CARD, ch,
				       METIS_L2_BASE + METIS_L2_BYTES - 4096, &buf,
				       "the card refuses");
			EXPECT_TRIP(&fx, ch, METIS_DDR_BASE + 77, 3, 5000);
		}
	}
	fx.dev->ops->buf_free(fx.dev, &buf);
	fixture_close(&fx);
}

static void test_dma_unknown_host_address_is_eio_and_untouched(void)
{
	uint8_t *mine =
		mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	/* In this process an address of ours is the most tempting one. */
	struct axdev_buf wrong = {.ptr = mine, .iova = (uintptr_t)mine, .bytes = 8192};
	struct axdev_buf buf = {0};
	struct fixture fx;

	if (mine == MAP_FAILED || open_card(&fx, NULL)) {
		EXPECT(!"open");
		return;
	}
	memset(mine, 0x5a, 8192);
	expect_refused(&fx, AXDEV_FROM_CARD, 0, METIS_DDR_BASE, &wrong, "the host refuses");
	expect_refused(&fx, AXDEV_TO_CARD, 0, METIS_DDR_BASE, &wrong, "the host refuses");
	wrong.iova = METIS_MSI_WINDOW_BASE;
	expect_refused(&fx, AXDEV_FROM_CARD, 2, METIS_DDR_BASE, &wrong, "the host refuses");
	EXPECT_EQ(mine[0], 0x5a);
	EXPECT_EQ(mine[8191], 0x5a);
	/* Off the end of a real buffer. */
	if (!fx.dev->ops->buf_alloc(fx.dev, 4096, &buf, NULL)) {
		wrong = buf;
		wrong.bytes = 64 << 20;
		expect_refused(&fx, AXDEV_TO_CARD, 1, METIS_DDR_BASE, &wrong, "the host refuses");
		EXPECT_TRIP(&fx, 1, METIS_DDR_BASE, 0, 4096);
		wrong = buf;
		fx.dev->ops->buf_free(fx.dev, &buf);
		/* Freed. */
		expect_refused(&fx, AXDEV_FROM_CARD, 1, METIS_DDR_BASE, &wrong, "the host refuses");
	}
	EXPECT_TRIP(&fx, 0, METIS_DDR_BASE, 0, 4096);
	fixture_close(&fx);
	munmap(mine, 8192);
}

static void test_dma_wrong_arguments_are_einval(void)
{
	struct axdev_buf buf = {0};
	const struct axdev_ops *ops;
	struct fixture fx;
	uint32_t word;

	if (open_card(&fx, NULL) || fx.dev->ops->buf_alloc(fx.dev, 4096, &buf, NULL)) {
		EXPECT(!"open");
		fixture_close(&fx);
		return;
	}
	ops = fx.dev->ops;
	EXPECT_EQ(ops->xfer(fx.dev, AXDEV_TO_CARD, 0, METIS_DDR_BASE, &buf, 0, 0, NULL), -EINVAL);
	EXPECT_EQ(ops->xfer(fx.dev, AXDEV_TO_CARD, 0, METIS_DDR_BASE, &buf, 4096, 1, NULL),
		  -EINVAL);
	EXPECT_EQ(ops->xfer(fx.dev, AXDEV_TO_CARD, 0, METIS_DDR_BASE, &buf, SIZE_MAX, 2, NULL),
		  -EINVAL);
	EXPECT_EQ(ops->xfer(fx.dev, AXDEV_TO_CARD, 4, METIS_DDR_BASE, &buf, 0, 4, NULL), -EINVAL);
	EXPECT_EQ(ops->xfer(fx.dev, AXDEV_TO_CARD, -2, METIS_DDR_BASE, &buf, 0, 4, NULL), -EINVAL);
	EXPECT_EQ(ops->xfer(fx.dev, AXDEV_TO_CARD, 0, UINT64_MAX, &buf, 0, 4, NULL), -EINVAL);
	EXPECT_EQ(ops->bar_read(fx.dev, 0, METIS_BAR_EDMA_BYTES, &word, 4, NULL), -EINVAL);
	EXPECT_EQ(ops->bar_read(fx.dev, 0, 2, &word, 4, NULL), -EINVAL);
	EXPECT_EQ(ops->bar_read(fx.dev, 0, 0, &word, 2, NULL), -EINVAL);
	EXPECT_EQ(ops->bar_read(fx.dev, 1, 0, &word, 4, NULL), -EINVAL);
	EXPECT_EQ(ops->bar_write(fx.dev, 2, METIS_BAR_L2_BYTES - 3, &word, 4, NULL), -EINVAL);
	EXPECT_EQ(ops->bar_write(fx.dev, 2, UINT64_MAX, &word, 4, NULL), -EINVAL);
	EXPECT_EQ(ops->irq_wait(fx.dev, 32, 1, NULL), -EINVAL);
	EXPECT_EQ(ops->irq_wait(fx.dev, 31, 10, NULL), -ETIMEDOUT);
	ops->buf_free(fx.dev, &buf);
	fixture_close(&fx);
}

static void test_dma_lost_interrupt_is_healed_and_counted_once(void)
{
	uint64_t start;
	struct fixture fx;

	if (open_card(&fx, NULL)) {
		EXPECT(!"open");
	} else {
		EXPECT_TRIP(&fx, 0, METIS_DDR_BASE, 0, 4096);
		mask_irqs(&fx, UINT32_MAX);
		start = axdev_now_us();
		EXPECT_TRIP(&fx, 0, METIS_DDR_BASE, 0, 4096);
		EXPECT(axdev_now_us() - start < 1000000);
		EXPECT_EQ(fx.dev->lost_irqs, 1);
		/* From now on nothing waits for one. */
		start = axdev_now_us();
		EXPECT_TRIP(&fx, 2, METIS_DDR_BASE, 0, 4096);
		EXPECT_TRIP(&fx, 0, METIS_DDR_BASE, 0, 4096);
		EXPECT(axdev_now_us() - start < 200000);
		EXPECT_EQ(fx.dev->lost_irqs, 1);
		/* A reset gives interrupts another chance; it unmasks them. */
		EXPECT_EQ(fx.dev->ops->reset(fx.dev, NULL), 0);
		EXPECT_TRIP(&fx, 0, METIS_DDR_BASE, 0, 4096);
		EXPECT_EQ(fx.dev->lost_irqs, 1);
		EXPECT(!atomic_load(&((struct axdev_pci *)fx.dev)->edma.polling));
	}
	fixture_close(&fx);
}

static void test_dma_lost_interrupt_without_healing_times_out(void)
{
	struct axdev_options options = {.no_healing = true, .dma_timeout_ms = 300};
	struct axdev_buf buf = {0};
	struct reason why = {""};
	struct fixture fx;
	uint64_t start;

	if (open_card(&fx, &options) || fx.dev->ops->buf_alloc(fx.dev, 4096, &buf, NULL)) {
		EXPECT(!"open");
		fixture_close(&fx);
		return;
	}
	mask_irqs(&fx, UINT32_MAX);
	start = axdev_now_us();
	EXPECT_EQ(fx.dev->ops->xfer(fx.dev, AXDEV_TO_CARD, 0, METIS_DDR_BASE, &buf, 0, 4096, &why),
		  -ETIMEDOUT);
	EXPECT(axdev_now_us() - start >= 300000 && axdev_now_us() - start < 1000000);
	EXPECT_HAS(why.text, "DMA RD CH0 timeout (irq 4)");
	EXPECT_HAS(why.text, "DMA_XFER failed: Connection timed out");
	EXPECT_EQ(fx.dev->lost_irqs, 0);
	/* The pending interrupts come now; they must not be taken for the next transfer's. */
	mask_irqs(&fx, 0);
	EXPECT_TRIP(&fx, 0, METIS_DDR_BASE, 3, 1 << 20);
	EXPECT_TRIP(&fx, 0, METIS_DDR_BASE, 0, 4096);
	fx.dev->ops->buf_free(fx.dev, &buf);
	fixture_close(&fx);
}

static void test_dma_poll_needs_no_interrupt(void)
{
	struct axdev_options options = {.dma_poll = true};
	struct fixture fx;

	if (open_card(&fx, &options)) {
		EXPECT(!"open");
	} else {
		mask_irqs(&fx, UINT32_MAX);
		EXPECT_TRIP(&fx, 0, METIS_DDR_BASE, 0, 4096);
		EXPECT_TRIP(&fx, -1, METIS_DDR_BASE, 7, 5 << 20);
		EXPECT_EQ(fx.dev->lost_irqs, 0);
		EXPECT_EQ(fx.dev->ops->irq_wait(fx.dev, METIS_IRQ_DMA_READ(0), 20, NULL),
			  -ETIMEDOUT);
	}
	fixture_close(&fx);
}

/* As with a transfer of more than 167 GiB. */
static void test_dma_many_elements_go_in_batches(void)
{
	struct fixture fx;

	if (open_card(&fx, NULL)) {
		EXPECT(!"open");
	} else {
		((struct axdev_pci *)fx.dev)->edma.element_max_bytes = 4096;
		EXPECT_TRIP(&fx, 0, METIS_DDR_BASE, 0, METIS_EDMA_LIST_DATA_MAX * 4096);
		EXPECT_TRIP(&fx, 1, METIS_DDR_BASE, 5, METIS_EDMA_LIST_DATA_MAX * 4096 + 1);
		EXPECT_TRIP(&fx, 3, METIS_DDR_BASE, 5, (4 << 20) + 11);
	}
	fixture_close(&fx);
}

static void test_dma_channel_works_after_engine_was_off(void)
{
	struct axdev_options options = {.dma_timeout_ms = 100};
	struct axdev_buf buf = {0};
	struct reason why = {""};
	uint32_t off = 0, on = 1;
	struct fixture fx;

	if (open_card(&fx, &options) || fx.dev->ops->buf_alloc(fx.dev, 4096, &buf, NULL)) {
		EXPECT(!"open");
		fixture_close(&fx);
		return;
	}
	/* The doorbell is ignored, so nothing ever ends. */
	EXPECT_EQ(fx.dev->ops->bar_write(fx.dev, 0, METIS_EDMA_RD_ENGINE_EN, &off, 4, NULL), 0);
	EXPECT_EQ(fx.dev->ops->xfer(fx.dev, AXDEV_TO_CARD, 1, METIS_DDR_BASE, &buf, 0, 4096, &why),
		  -ETIMEDOUT);
	EXPECT_HAS(why.text, "never started");
	EXPECT_EQ(fx.dev->ops->bar_write(fx.dev, 0, METIS_EDMA_RD_ENGINE_EN, &on, 4, NULL), 0);
	EXPECT_TRIP(&fx, 1, METIS_DDR_BASE, 0, 4096);
	EXPECT_TRIP(&fx, -1, METIS_DDR_BASE, 0, 4096);
	fx.dev->ops->buf_free(fx.dev, &buf);
	fixture_close(&fx);
}

static void test_dma_too_slow_is_stopped_and_channel_lives_on(void)
{
	struct axdev_options options = {.dma_timeout_ms = 1};
	struct axdev_buf buf = {0};
	struct reason why = {""};
	struct fixture fx;

	/* A millisecond is too short for this much, anywhere. */
	if (open_card(&fx, &options) || fx.dev->ops->buf_alloc(fx.dev, 128 << 20, &buf, NULL)) {
		EXPECT(!"open");
		fixture_close(&fx);
		return;
	}
	EXPECT_EQ(fx.dev->ops->xfer(fx.dev, AXDEV_TO_CARD, 2, METIS_DDR_BASE, &buf, 0, buf.bytes,
				    &why),
		  -ETIMEDOUT);
	EXPECT_HAS(why.text, "still runs");
	fx.dev->options.dma_timeout_ms = 0;
	EXPECT_TRIP(&fx, 2, METIS_DDR_BASE, 1, 100000);
	EXPECT_TRIP(&fx, 2, METIS_DDR_BASE, 1, 100000);
	EXPECT_EQ(fx.dev->lost_irqs, 0);
	fx.dev->ops->buf_free(fx.dev, &buf);
	fixture_close(&fx);
}

static void test_bar_l2_and_registers_read_back(void)
{
	uint64_t words[] = {0x1122334455667788ull, 0x99aabbccddeeff00ull}, got[2] = {0};
	struct fixture fx;
	uint32_t reg = 0x12345678, reg_got = 0;
	unsigned int i;
	/* Trapped, across the edge of what is mapped, unaligned, and the end. */
	static const uint64_t offsets[] = {0x3ff8, 0x4000, 0x10003, METIS_BAR_L2_BYTES - 16};

	if (open_card(&fx, NULL)) {
		EXPECT(!"open");
		fixture_close(&fx);
		return;
	}
	for (i = 0; i < sizeof(offsets) / sizeof(offsets[0]); i++) {
		EXPECT_EQ(fx.dev->ops->bar_write(fx.dev, 2, offsets[i], words, 16, NULL), 0);
		EXPECT_EQ(fx.dev->ops->bar_read(fx.dev, 2, offsets[i], got, 16, NULL), 0);
		EXPECT(!memcmp(words, got, 16));
		memset(got, 0, sizeof(got));
	}
	EXPECT_EQ(fx.dev->ops->bar_write(fx.dev, 0, METIS_EDMA_WR_CH(2) + METIS_EDMA_CH_SAR_LO,
					 &reg, 4, NULL),
		  0);
	EXPECT_EQ(fx.dev->ops->bar_read(fx.dev, 0, METIS_EDMA_WR_CH(2) + METIS_EDMA_CH_SAR_LO,
					&reg_got, 4, NULL),
		  0);
	EXPECT_EQ(reg_got, reg);
	/* The same bytes by DMA. */
	EXPECT_TRIP(&fx, 0, METIS_L2_BASE + 0x10000, 0, 4096);
	fixture_close(&fx);
}

static void test_user_memory_is_reached_only_during_the_transfer(void)
{
	uint8_t *user = malloc(300007), *back = calloc(1, 300007);
	struct axdev_buf stale = {.ptr = user, .iova = (uintptr_t)user, .bytes = 300007};
	struct fixture fx;
	int err;

	if (open_card(&fx, NULL)) {
		EXPECT(!"open");
	} else {
		fill(user, 300007, 5);
		err = fx.dev->ops->xfer_user(fx.dev, AXDEV_TO_CARD, -1, METIS_DDR_BASE, user,
					     300007, NULL);
		EXPECT_EQ(err, mode == FIXTURE_SIM ? 0 : -ENOTSUP);
		if (!err) {
			EXPECT_EQ(fx.dev->ops->xfer_user(fx.dev, AXDEV_FROM_CARD, 1, METIS_DDR_BASE,
							 back, 300007, NULL),
				  0);
			EXPECT(matches(back, 300007, 5));
		}
		expect_refused(&fx, AXDEV_FROM_CARD, 0, METIS_DDR_BASE + (1 << 20), &stale,
			       "the host refuses");
		EXPECT(matches(user, 300007, 5));
	}
	fixture_close(&fx);
	free(user);
	free(back);
}

static void test_close_leaves_the_card_to_the_next(void)
{
	struct axdev_options options = {.one_socket = mode != FIXTURE_VFIO_USER};
	struct reason why = {""};
	char name[128];
	struct fixture fx;
	int i;

	if (open_card(&fx, NULL)) {
		EXPECT(!"open");
		fixture_close(&fx);
		return;
	}
	snprintf(name, sizeof(name), "vfio-user:%s", fx.path);
	for (i = 0; i < 5; i++) {
		EXPECT_TRIP(&fx, 0, METIS_DDR_BASE, 0, 100000);
		axdev_close(fx.dev);
		fx.dev = NULL;
		ASSERT_EQ(axdev_open(name, &options, &fx.dev, &why), 0);
	}
	fixture_close(&fx);
}

int main(int argc, char **argv)
{
	if (argc != 3) {
		fprintf(stderr, "usage: dma_test sim|vfio-user|one-socket|messages PERSONALITY\n");
		return 2;
	}
	while (mode < FIXTURE_MODES_NR && strcmp(argv[1], fixture_modes[mode]))
		mode++;
	if (mode == FIXTURE_MODES_NR)
		return 2;
	personality = argv[2];
	RUN(test_dma_every_size_returns_unchanged);
	RUN(test_dma_all_channels_at_once_keep_apart);
	RUN(test_dma_bad_card_address_is_eio_and_channel_lives_on);
	RUN(test_dma_unknown_host_address_is_eio_and_untouched);
	RUN(test_dma_wrong_arguments_are_einval);
	RUN(test_dma_lost_interrupt_is_healed_and_counted_once);
	RUN(test_dma_lost_interrupt_without_healing_times_out);
	RUN(test_dma_poll_needs_no_interrupt);
	RUN(test_dma_many_elements_go_in_batches);
	RUN(test_dma_channel_works_after_engine_was_off);
	RUN(test_dma_too_slow_is_stopped_and_channel_lives_on);
	RUN(test_bar_l2_and_registers_read_back);
	RUN(test_user_memory_is_reached_only_during_the_transfer);
	if (mode != FIXTURE_SIM) /* where each open makes a card of its own */
		RUN(test_close_leaves_the_card_to_the_next);
	return tap_done();
}
