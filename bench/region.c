/* SPDX-License-Identifier: MIT */
/*
 * A register read over vfio-user against the least that a socket can do: a 64-byte ping-pong
 * between two processes on a unix stream socket. In turns, in blocks.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <tethys/hw/edma.h>
#include <tethys/hw/pci.h>

#include "bench/bench.h"
#include "runtime/device/device.h"

enum { BLOCKS = 20, BLOCK = 500, BYTES = 64 };

static void echo(int fd)
{
	char buf[BYTES];

	while (recv(fd, buf, sizeof(buf), MSG_WAITALL) == sizeof(buf))
		if (send(fd, buf, sizeof(buf), MSG_NOSIGNAL) != sizeof(buf))
			break;
	_exit(0);
}

static int ping(int fd)
{
	char buf[BYTES] = {0};

	if (send(fd, buf, sizeof(buf), MSG_NOSIGNAL) != sizeof(buf))
		return -1;
	return recv(fd, buf, sizeof(buf), MSG_WAITALL) == sizeof(buf) ? 0 : -1;
}

static int read_register(struct axdev *dev, struct reason *why)
{
	uint32_t value;
	int ret = dev->ops->bar_read(dev, METIS_BAR_EDMA, METIS_EDMA_CTRL, &value, sizeof(value), why);

	if (!ret && value != 0x00040004)
		return reason_add(why, -1, "CTRL reads 0x%08x", value);
	return ret;
}

static int measure(struct axdev *dev, int fd, struct reason *why)
{
	static double region[BLOCKS * BLOCK], bare[BLOCKS * BLOCK];
	double a, b;

	for (int block = 0; block < BLOCKS; block++) {
		for (int i = block * BLOCK; i < (block + 1) * BLOCK; i++) {
			double start = bench_now_us();

			if (read_register(dev, why))
				return -1;
			region[i] = bench_now_us() - start;
		}
		for (int i = block * BLOCK; i < (block + 1) * BLOCK; i++) {
			double start = bench_now_us();

			if (ping(fd))
				return reason_add(why, -1, "ping-pong broke");
			bare[i] = bench_now_us() - start;
		}
	}
	a = bench_median(region, BLOCKS * BLOCK);
	b = bench_median(bare, BLOCKS * BLOCK);
	printf("%-28s %10s %10s %7s\n", "", "median us", "peer us", "ratio");
	printf("%-28s %10.2f %10.2f %7.2f\n", "region read vs ping-pong", a, b, a / b);
	return 0;
}

int main(void)
{
	struct bench_card card;
	struct axdev *dev = NULL;
	struct reason why = {0};
	int pair[2], ret = -1;
	pid_t peer;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
		return 1;
	peer = fork();
	if (peer == 0) {
		close(pair[0]);
		echo(pair[1]);
	}
	close(pair[1]);
	if (!bench_card_start(&card, "null", &why)) {
		ret = axdev_open(card.device, NULL, &dev, &why);
		if (!ret)
			ret = measure(dev, pair[0], &why);
		axdev_close(dev);
		bench_card_stop(&card);
	}
	close(pair[0]);
	waitpid(peer, NULL, 0);
	if (ret)
		fprintf(stderr, "region: %s\n", why.text);
	return ret ? 1 : 0;
}
