/* SPDX-License-Identifier: MIT */
/*
 * Host to card to host through one eDMA channel each way, by size, against memcpy of the same
 * bytes there and back. In turns.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <tethys/hw/memory.h>

#include "bench/bench.h"
#include "runtime/device/device.h"

enum { TURN = 4, ROUNDS_MAX = 200 };

/*
 * Both sides have memory of their own: with shared buffers each would pull the other's bytes out of
 * another processor's cache, which is not what is measured.
 */
struct run {
	struct axdev *dev;
	struct axdev_buf buf;	  /* [0, size) out, [size, 2 size) back */
	char *from, *away, *back; /* memcpy's; away is what the card's DDR is to DMA */
};

static int through_card(struct run *run, size_t size, struct reason *why)
{
	const struct axdev_ops *ops = run->dev->ops;
	int ret = ops->xfer(run->dev, AXDEV_TO_CARD, 0, METIS_DDR_BASE, &run->buf, 0, size, why);

	return ret ? ret
		   : ops->xfer(run->dev, AXDEV_FROM_CARD, 0, METIS_DDR_BASE, &run->buf, size, size,
			       why);
}

static int through_memcpy(struct run *run, size_t size, struct reason *why)
{
	(void)why;
	memcpy(run->away, run->from, size);
	memcpy(run->back, run->away, size);
	return 0;
}

/*
 * TURN rounds of one side, after one that isn't counted: the other side's have put its processor
 * to sleep and its bytes out of the caches, which back-to-back transfers don't meet.
 */
static int turn(struct run *run, size_t size, int (*round)(struct run *, size_t, struct reason *),
		double *ret_us, struct reason *why)
{
	double start;

	if (round(run, size, why))
		return -1;
	for (int i = 0; i < TURN; i++) {
		start = bench_now_us();
		if (round(run, size, why))
			return -1;
		ret_us[i] = bench_now_us() - start;
	}
	return 0;
}

/* As many rounds as move about 1 GiB, whole turns, within bounds that keep the median honest. */
static int rounds_for(size_t size)
{
	size_t turns = ((size_t)1 << 30) / size / TURN;

	return turns < 2 ? 2 * TURN : turns > ROUNDS_MAX / TURN ? ROUNDS_MAX : (int)turns * TURN;
}

static int measure(struct run *run, const char *device, size_t size, struct reason *why)
{
	double card[ROUNDS_MAX], peer[ROUNDS_MAX], a, b;
	int rounds = rounds_for(size);

	memset(run->buf.ptr, 0x5a, 2 * size);
	memset(run->from, 0x5a, size);
	memset(run->away, 0, size);
	memset(run->back, 0, size);
	if (through_card(run, size, why)) /* first touch is not what we measure */
		return -1;
	for (int done = 0; done < rounds; done += TURN) {
		if (turn(run, size, through_card, card + done, why) ||
		    turn(run, size, through_memcpy, peer + done, why))
			return -1;
	}
	a = bench_median(card, (size_t)rounds);
	b = bench_median(peer, (size_t)rounds);
	printf("%-10s %9zu KiB %11.1f %11.1f %9.2f %9.2f\n", device, size >> 10, a, b,
	       2.0 * (double)size / a / 1e3, b / a);
	return 0;
}

static int measure_device(const char *name, const char *label, struct reason *why)
{
	const size_t largest = (size_t)256 << 20;
	struct run run = {0};
	int ret = axdev_open(name, NULL, &run.dev, why);

	if (ret)
		return ret;
	run.from = malloc(largest);
	run.away = malloc(largest);
	run.back = malloc(largest);
	if (run.from && run.away && run.back)
		ret = run.dev->ops->buf_alloc(run.dev, 2 * largest, &run.buf, why);
	else
		ret = reason_add(why, -ENOMEM, "no memory for memcpy's buffers");
	for (size_t size = 4096; !ret && size <= largest; size *= 4)
		ret = measure(&run, label, size, why);
	if (run.buf.ptr)
		run.dev->ops->buf_free(run.dev, &run.buf);
	free(run.from);
	free(run.away);
	free(run.back);
	axdev_close(run.dev);
	return ret;
}

int main(void)
{
	struct bench_card card;
	struct reason why = {0};
	int ret;

	printf("%-10s %13s %11s %11s %9s %9s\n", "device", "size", "card us", "memcpy us", "GB/s",
	       "ratio");
	ret = measure_device("sim", "sim", &why);
	if (!ret)
		ret = bench_card_start(&card, "null", &why);
	if (!ret) {
		ret = measure_device(card.device, "vfio-user", &why);
		bench_card_stop(&card);
	}
	if (ret)
		fprintf(stderr, "dma: %s\n", why.text);
	return ret ? 1 : 0;
}
