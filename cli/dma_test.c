/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <tethys/hw/edma.h>
#include <tethys/hw/memory.h>

#include "cli/cli.h"
#include "cli/clock.h"
#include "cli/dma_test.h"
#include "cli/json.h"
#include "cli/term.h"
#include "cli/text.h"
#include "runtime/device/device.h"

#define CHANNELS_NR 4
#define TABLE_START 4096u
#define TABLE_ROWS_MAX 16
#define TABLE_TIME_MS 60.0 /* for each cell */
#define TABLE_RUNS_MAX 400
#define EDGE 64u /* bytes around an odd transfer that must stay as they are */

/* The upper half of DDR: a runtime that shares the card fills it from below. */
#define CARD_BASE (METIS_DDR_BASE + METIS_DDR_BYTES / 2)

/* One pattern on one channel. */
struct dma_check {
	int channel;
	const char *pattern;
	bool good;
	size_t bad_offset; /* first byte that differs */
};

struct dma_row {
	size_t bytes;
	double to_card, from_card; /* GB/s */
	double memcpy_there_back;  /* of the same bytes, GB/s */
	double ratio;		   /* there and back, to memcpy */
};

struct dma_test {
	const struct dma_options *options;
	struct axdev *dev;
	struct dma_check check[64];
	size_t checks;
	struct dma_row row[TABLE_ROWS_MAX];
	size_t rows;
	bool together; /* all channels at once was tried, and good */
	bool tried_together;
};

typedef uint8_t (*pattern_fn)(size_t i, uint64_t *state);

static uint8_t pattern_counter(size_t i, uint64_t *state)
{
	(void)state;
	return (uint8_t)(i ^ i >> 8 ^ i >> 16); /* a byte moved by 256 or 64 Ki shows */
}

static uint8_t pattern_random(size_t i, uint64_t *state)
{
	(void)i;
	*state = *state * 6364136223846793005u + 1442695040888963407u;
	return (uint8_t)(*state >> 56);
}

static uint8_t pattern_ones(size_t i, uint64_t *state)
{
	(void)i, (void)state;
	return 0xff;
}

static uint8_t pattern_zeros(size_t i, uint64_t *state)
{
	(void)i, (void)state;
	return 0;
}

static uint8_t pattern_checker(size_t i, uint64_t *state)
{
	(void)state;
	return i & 1 ? 0xaa : 0x55;
}

static const struct {
	const char *name;
	pattern_fn fn;
} patterns[] = {
	{"counter", pattern_counter}, {"random", pattern_random},   {"ones", pattern_ones},
	{"zeros", pattern_zeros},     {"checker", pattern_checker},
};
#define PATTERNS_NR (sizeof(patterns) / sizeof(patterns[0]))

static void fill(uint8_t *data, size_t bytes, pattern_fn fn, unsigned int seed)
{
	uint64_t state = seed;

	for (size_t i = 0; i < bytes; i++)
		data[i] = fn(i + seed, &state);
}

/* First difference, or @bytes. */
static size_t differs_at(const uint8_t *a, const uint8_t *b, size_t bytes)
{
	size_t i = 0;

	if (!memcmp(a, b, bytes))
		return bytes;
	while (a[i] == b[i])
		i++;
	return i;
}

static uint64_t card_address(int channel, size_t size)
{
	return CARD_BASE + (uint64_t)channel * ((size + 0xffffful) & ~0xffffful);
}

/* Host to card to host; @offset and @bytes of both halves of the buffer. */
static int there_and_back(struct axdev *dev, int channel, const struct axdev_buf *buf, size_t size,
			  size_t offset, size_t bytes, struct reason *why)
{
	uint64_t address = card_address(channel, size) + offset;
	int rc;

	rc = dev->ops->xfer(dev, AXDEV_TO_CARD, channel, address, buf, offset, bytes, why);
	return rc ? rc
		  : dev->ops->xfer(dev, AXDEV_FROM_CARD, channel, address, buf, size + offset,
				   bytes, why);
}

/* The first half goes out, the second half comes back and was the opposite before. */
static int check_pattern(struct axdev *dev, const struct axdev_buf *buf, size_t size, pattern_fn fn,
			 struct dma_check *check, struct reason *why)
{
	uint8_t *out = buf->ptr, *back = out + size;
	int rc;

	fill(out, size, fn, (unsigned int)check->channel);
	for (size_t i = 0; i < size; i++)
		back[i] = (uint8_t)~out[i];
	rc = there_and_back(dev, check->channel, buf, size, 0, size, why);
	check->bad_offset = rc ? 0 : differs_at(out, back, size);
	check->good = !rc && check->bad_offset == size;
	return rc;
}

/* Odd start, odd length: exactly these bytes move, and none beside them. */
static int check_edges(struct axdev *dev, const struct axdev_buf *buf, size_t size,
		       struct dma_check *check, struct reason *why)
{
	uint8_t *out = buf->ptr, *back = out + size;
	size_t start = EDGE + 3, bytes = size - 2 * start - 2;
	int rc;

	fill(out, size, pattern_random, 77);
	memset(back, 0xc3, size);
	rc = there_and_back(dev, check->channel, buf, size, start, bytes, why);
	memset(out, 0xc3, start);
	memset(out + start + bytes, 0xc3, size - start - bytes);
	check->bad_offset = rc ? 0 : differs_at(out, back, size);
	check->good = !rc && check->bad_offset == size;
	return rc;
}

static struct dma_check *next_check(struct dma_test *test, int channel, const char *pattern)
{
	struct dma_check *check = &test->check[test->checks++];

	check->channel = channel;
	check->pattern = pattern;
	return check;
}

static int test_channel(struct dma_test *test, int channel, const struct axdev_buf *buf,
			struct reason *why)
{
	const char *only = test->options->pattern;
	size_t size = test->options->size;
	int rc = 0;

	for (size_t i = 0; i < PATTERNS_NR && !rc; i++)
		if (!only || !strcmp(only, patterns[i].name))
			rc = check_pattern(test->dev, buf, size, patterns[i].fn,
					   next_check(test, channel, patterns[i].name), why);
	if (!rc)
		rc = check_edges(test->dev, buf, size, next_check(test, channel, "odd edges"), why);
	return rc;
}

/* One channel among all at once. */
struct worker {
	struct axdev *dev;
	struct dma_check check;
	struct axdev_buf buf;
	size_t size;
	struct reason why;
	pthread_t thread;
	bool started;
	int rc;
};

static void *worker_main(void *arg)
{
	struct worker *worker = arg;

	worker->rc = check_pattern(worker->dev, &worker->buf, worker->size, pattern_random,
				   &worker->check, &worker->why);
	return NULL;
}

static int worker_start(struct worker *worker, struct dma_test *test, int channel,
			struct reason *why)
{
	int rc;

	worker->dev = test->dev;
	worker->size = test->options->size;
	worker->check.channel = channel;
	rc = test->dev->ops->buf_alloc(test->dev, 2 * worker->size, &worker->buf, why);
	if (rc)
		return rc;
	rc = -pthread_create(&worker->thread, NULL, worker_main, worker);
	worker->started = !rc;
	return rc ? reason_add(why, rc, "No thread: %s", strerror(-rc)) : 0;
}

static int test_together(struct dma_test *test, struct reason *why)
{
	struct worker workers[CHANNELS_NR] = {0};
	int rc = 0;

	test->tried_together = true;
	test->together = true;
	for (int i = 0; i < CHANNELS_NR && !rc; i++)
		rc = worker_start(&workers[i], test, i, why);
	for (int i = 0; i < CHANNELS_NR; i++) {
		struct worker *worker = &workers[i];

		if (worker->started) {
			pthread_join(worker->thread, NULL);
			test->together = test->together && worker->check.good;
			if (worker->rc && !rc)
				rc = reason_add(why, worker->rc, "%s", worker->why.text);
		}
		if (worker->buf.ptr)
			test->dev->ops->buf_free(test->dev, &worker->buf);
	}
	return rc;
}

static int test_patterns(struct dma_test *test, struct reason *why)
{
	int first = test->options->channel, last = first, rc;
	struct axdev_buf buf;

	if (first == DMA_CHANNEL_ALL) {
		first = 0;
		last = CHANNELS_NR - 1;
	}
	rc = test->dev->ops->buf_alloc(test->dev, 2 * test->options->size, &buf, why);
	if (rc)
		return rc;
	for (int channel = first; channel <= last && !rc; channel++)
		rc = test_channel(test, channel, &buf, why);
	test->dev->ops->buf_free(test->dev, &buf);
	if (!rc && first != last)
		rc = test_together(test, why);
	return rc;
}

/* What the table times; each moves @bytes once. */
struct mover {
	struct axdev *dev;
	const struct axdev_buf *buf;
	uint8_t *away; /* memcpy's other side */
	int channel;
};

static int move_to_card(struct mover *mover, size_t bytes, struct reason *why)
{
	return mover->dev->ops->xfer(mover->dev, AXDEV_TO_CARD, mover->channel, CARD_BASE,
				     mover->buf, 0, bytes, why);
}

static int move_from_card(struct mover *mover, size_t bytes, struct reason *why)
{
	return mover->dev->ops->xfer(mover->dev, AXDEV_FROM_CARD, mover->channel, CARD_BASE,
				     mover->buf, 0, bytes, why);
}

static int move_memcpy(struct mover *mover, size_t bytes, struct reason *why)
{
	(void)why;
	memcpy(mover->away, mover->buf->ptr, bytes);
	memcpy(mover->buf->ptr, mover->away, bytes);
	/* Keep the compiler from seeing that the second copy changes nothing. */
	__asm__ volatile("" : : "r"(mover->buf->ptr) : "memory");
	return 0;
}

/* Median time of one move, in ms. */
static int time_move(struct mover *mover, size_t bytes,
		     int (*move)(struct mover *, size_t, struct reason *), double *ret_ms,
		     struct reason *why)
{
	double times[TABLE_RUNS_MAX], start = clock_ms();
	size_t runs = 0;
	int rc;

	rc = move(mover, bytes, why); /* touches the pages */
	while (!rc && runs < TABLE_RUNS_MAX && (runs < 3 || clock_ms() - start < TABLE_TIME_MS)) {
		double before = clock_ms();

		rc = move(mover, bytes, why);
		times[runs++] = clock_ms() - before;
	}
	if (!rc)
		*ret_ms = clock_median(times, runs);
	return rc;
}

static int measure_row(struct mover *mover, size_t bytes, struct dma_row *ret_row,
		       struct reason *why)
{
	double to_card, from_card, copy;
	int rc;

	rc = time_move(mover, bytes, move_to_card, &to_card, why);
	if (!rc)
		rc = time_move(mover, bytes, move_from_card, &from_card, why);
	if (!rc)
		rc = time_move(mover, bytes, move_memcpy, &copy, why);
	if (rc)
		return rc;
	*ret_row = (struct dma_row){
		.bytes = bytes,
		.to_card = (double)bytes / to_card / 1e6,
		.from_card = (double)bytes / from_card / 1e6,
		.memcpy_there_back = 2 * (double)bytes / copy / 1e6,
		.ratio = copy / (to_card + from_card),
	};
	return 0;
}

static int measure_table(struct dma_test *test, struct reason *why)
{
	size_t max = test->options->max;
	struct term_progress *bar;
	struct axdev_buf buf;
	struct mover mover;
	int rc;

	rc = test->dev->ops->buf_alloc(test->dev, max, &buf, why);
	if (rc)
		return rc;
	mover = (struct mover){test->dev, &buf, malloc(max),
			       test->options->channel < 0 ? 0 : test->options->channel};
	rc = mover.away ? 0 : reason_add(why, -ENOMEM, "No memory for %zu bytes.", max);
	bar = term_progress_start("measuring", 0);
	for (size_t bytes = TABLE_START; !rc && bytes <= max && test->rows < TABLE_ROWS_MAX;
	     bytes *= 4)
		rc = measure_row(&mover, bytes, &test->row[test->rows++], why);
	term_progress_stop(bar);
	free(mover.away);
	test->dev->ops->buf_free(test->dev, &buf);
	return rc;
}

static bool all_good(const struct dma_test *test)
{
	for (size_t i = 0; i < test->checks; i++)
		if (!test->check[i].good)
			return false;
	return !test->tried_together || test->together;
}

static struct json_object *check_json(const struct dma_check *check)
{
	struct json_object *object = json_object_new_object();

	json_object_object_add(object, "channel", json_object_new_int(check->channel));
	json_object_object_add(object, "pattern", json_object_new_string(check->pattern));
	json_object_object_add(object, "good", json_object_new_boolean(check->good));
	json_object_object_add(object, "bad_offset",
			       check->good ? NULL
					   : json_object_new_int64((int64_t)check->bad_offset));
	return object;
}

static struct json_object *row_json(const struct dma_row *row)
{
	struct json_object *object = json_object_new_object();

	json_object_object_add(object, "bytes", json_object_new_int64((int64_t)row->bytes));
	json_object_object_add(object, "to_card_gb_s", json_rounded(row->to_card));
	json_object_object_add(object, "from_card_gb_s", json_rounded(row->from_card));
	json_object_object_add(object, "memcpy_gb_s", json_rounded(row->memcpy_there_back));
	json_object_object_add(object, "ratio", json_rounded(row->ratio));
	return object;
}

static void print_json(const struct dma_test *test)
{
	struct json_object *root = json_object_new_object();
	struct json_object *checks = json_object_new_array();
	struct json_object *rows = json_object_new_array();

	for (size_t i = 0; i < test->checks; i++)
		json_object_array_add(checks, check_json(&test->check[i]));
	for (size_t i = 0; i < test->rows; i++)
		json_object_array_add(rows, row_json(&test->row[i]));
	json_object_object_add(root, "device", json_object_new_string(test->dev->name));
	json_object_object_add(root, "test_bytes",
			       json_object_new_int64((int64_t)test->options->size));
	json_object_object_add(root, "good", json_object_new_boolean(all_good(test)));
	json_object_object_add(root, "checks", checks);
	json_object_object_add(root, "all_channels_at_once",
			       test->tried_together ? json_object_new_boolean(test->together)
						    : NULL);
	json_object_object_add(root, "throughput", rows);
	json_object_object_add(root, "lost_interrupts",
			       json_object_new_int64((int64_t)axdev_lost_irqs(test->dev, true)));
	json_print(root);
}

static void print_verdict(const char *what, bool good)
{
	printf("  %s %s%s%s", what, term_on(stdout, good ? TERM_GOOD : TERM_BAD),
	       good ? "ok" : "BAD", term_off(stdout));
}

/* A line a channel. */
static void print_checks(const struct dma_test *test)
{
	char size[TEXT_BYTES_BYTES];
	int channel = -1;

	printf("%s%s%s: pattern test, %s there and back", term_on(stdout, TERM_BOLD),
	       test->dev->name, term_off(stdout), text_bytes(test->options->size, size));
	for (size_t i = 0; i < test->checks; i++) {
		const struct dma_check *check = &test->check[i];

		if (check->channel != channel)
			printf("\n  channel %d:", check->channel);
		channel = check->channel;
		print_verdict(check->pattern, check->good);
		if (!check->good)
			printf(" from byte %zu on", check->bad_offset);
	}
	printf("\n");
	if (test->tried_together) {
		print_verdict("all channels at once", test->together);
		printf("\n");
	}
}

static void print_table(const struct dma_test *test)
{
	char size[TEXT_BYTES_BYTES];
	uint64_t lost;

	if (!test->rows)
		return;
	printf("\n%s%10s %14s %14s %14s %8s%s\n", term_on(stdout, TERM_BOLD), "size",
	       "to card GB/s", "from card GB/s", "memcpy GB/s", "ratio", term_off(stdout));
	for (size_t i = 0; i < test->rows; i++) {
		const struct dma_row *row = &test->row[i];

		printf("%10s %14.2f %14.2f %14.2f %8.2f\n", text_bytes(row->bytes, size),
		       row->to_card, row->from_card, row->memcpy_there_back, row->ratio);
	}
	lost = axdev_lost_irqs(test->dev, true);
	if (lost)
		printf("\n%llu interrupts were lost; the transfers were found done by asking.\n",
		       (unsigned long long)lost);
}

static int test_device(struct dma_test *test, struct reason *why)
{
	struct term_progress *bar = term_progress_start("testing", 0);
	int rc = test_patterns(test, why);

	term_progress_stop(bar);
	if (!rc && test->options->max && all_good(test))
		rc = measure_table(test, why);
	if (rc) {
		reason_add(why, 0, "The DMA test did not get through on '%s'.", test->dev->name);
		return CLI_DEVICE;
	}
	if (test->options->json) {
		print_json(test);
	} else {
		print_checks(test);
		print_table(test);
	}
	if (all_good(test))
		return CLI_OK;
	reason_add(why, 0, "Bytes came back changed.");
	return CLI_DEVICE;
}

static void keep_first(void *ctx, const char *name)
{
	char *first = ctx;

	if (!*first)
		snprintf(first, sizeof(((struct axdev *)NULL)->name), "%s", name);
}

/*
 * @name: NULL: a card of the kernel driver, if there is one. It may be shared; then all of its
 * cores are taken, so that the memory that is written to is nobody's.
 */
static int open_device(const char *name, struct axdev **ret_dev, struct reason *why)
{
	char first[sizeof((*ret_dev)->name)] = "";
	struct axdev *dev;
	unsigned int core;
	int rc;

	if (!name && axdev_chardev.list)
		axdev_chardev.list(keep_first, first);
	if (!name)
		name = *first ? first : "sim";
	rc = axdev_open(name, NULL, &dev, why);
	if (rc)
		return rc;
	if (dev->ops->cores_take)
		rc = dev->ops->cores_take(dev, METIS_CORES, &core, why);
	if (rc)
		axdev_close(dev);
	else
		*ret_dev = dev;
	return rc;
}

int dma_test_main(const struct dma_options *options)
{
	struct dma_test test = {.options = options};
	struct reason why = {0};
	int rc = CLI_DEVICE;

	if (!open_device(options->device, &test.dev, &why)) {
		rc = test_device(&test, &why);
		axdev_close(test.dev);
	}
	if (rc != CLI_OK) {
		term_error("%s", why.text);
		term_hint("'tethys devices' lists the cards; a card serves one program at a time.");
	}
	return rc;
}
