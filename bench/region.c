/* SPDX-License-Identifier: MIT */
/*
 * A register read over vfio-user against the least that a socket can do: a 64-byte ping-pong
 * between two processes on a unix stream socket. In turns, in blocks.
 *
 * A reply costs 5 us when both ends share a processor and ten times that when one sleeps on
 * another, and the scheduler places each pair as it likes. So both servers are pinned to the same
 * processor: this one's, then another.
 */
#include <sched.h>
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
	int ret = dev->ops->bar_read(dev, METIS_BAR_EDMA, METIS_EDMA_CTRL, &value, sizeof(value),
				     why);

	if (!ret && value != 0x00040004)
		return reason_add(why, -1, "CTRL reads 0x%08x", value);
	return ret;
}

static int measure(const char *label, struct axdev *dev, int fd, struct reason *why)
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
	printf("%-40s %10.2f %10.2f %7.2f\n", label, a, b, a / b);
	return 0;
}

/* Everything forked from now on runs on @cpu. Return: 0, or -1 when there is no such processor. */
static int pin(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	return sched_setaffinity(0, sizeof(set), &set);
}

static pid_t start_echo(int *ret_fd)
{
	int pair[2];
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
		return -1;
	pid = fork();
	if (pid == 0) {
		close(pair[0]);
		echo(pair[1]);
	}
	close(pair[1]);
	*ret_fd = pair[0];
	return pid;
}

static int measure_pinned(const char *label, int client, int server, struct reason *why)
{
	struct bench_card card;
	struct axdev *dev = NULL;
	int fd = -1, ret = -1;
	pid_t peer;

	if (pin(server))
		return reason_add(why, 0, "no processor %d", server);
	peer = start_echo(&fd);
	ret = peer < 0 ? -1 : bench_card_start(&card, "null", why);
	if (!ret) {
		ret = pin(client) ? -1 : axdev_open(card.device, NULL, &dev, why);
		if (!ret)
			ret = measure(label, dev, fd, why);
		axdev_close(dev);
		bench_card_stop(&card);
	}
	close(fd);
	if (peer > 0)
		waitpid(peer, NULL, 0);
	return ret;
}

int main(void)
{
	struct reason why = {0};
	int ret;

	printf("%-40s %10s %10s %7s\n", "region read vs ping-pong", "median us", "peer us",
	       "ratio");
	ret = measure_pinned("both ends on one processor", 0, 0, &why);
	if (!ret && sysconf(_SC_NPROCESSORS_ONLN) > 1)
		ret = measure_pinned("ends on two processors", 0, 1, &why);
	if (ret)
		fprintf(stderr, "region: %s\n", why.text);
	return ret ? 1 : 0;
}
