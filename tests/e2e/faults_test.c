/* SPDX-License-Identifier: MIT */
/*
 * Sudden deaths: of the card, of its client, of the demo.
 */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <tethys/hw/memory.h>

#include "runtime/device/device.h"
#include "tests/e2e/e2e.h"
#include "tests/tap.h"

#define MIB ((size_t)1 << 20)

static char dir[PATH_MAX]; /* of this program's run; made in main() */

/* --- the card dies --- */

static void test_card_killed_during_run_exits_3_within_a_second(void)
{
	char model[PATH_MAX + 16], input[PATH_MAX];
	struct e2e_process process;
	struct e2e_result result;
	struct e2e_card card;
	const char *make[] = {"tethys", "model", "make", "resnet18", "-o", model, NULL};
	const char *run[] = {"tethys",	 "run",	      model,	  "--input", input,
			     "--device", card.device, "--repeat", "100000",  NULL};
	static const char zeros[4 * 3 * 224 * 224];
	const char *const verbose[] = {"--verbose", NULL};

	snprintf(model, sizeof(model), "%s/net.onnx", dir);
	e2e_run(make, 30000, &result);
	ASSERT_EQ(result.code, 0);
	e2e_result_deinit(&result);
	ASSERT_EQ(e2e_write(dir, "zeros.bin", zeros, sizeof(zeros), input), 0);
	ASSERT_EQ(e2e_card_start(&card, dir, verbose), 0);
	ASSERT_EQ(e2e_start(run, &process), 0);
	/* Loading is over well before; then it runs for hours. */
	e2e_sleep_ms(3000);
	EXPECT_EQ(waitpid(process.pid, NULL, WNOHANG), 0);
	kill(card.process.pid, SIGKILL);
	e2e_finish(&process, 10000, &result);
	EXPECT_EQ(result.code, 3);
	EXPECT(result.ms < 1000);
	printf("# the error came after %.0f ms\n# %s", result.ms, strchr(result.err, '\n') + 1);
	EXPECT_HAS(result.err, "error:");
	e2e_result_deinit(&result);
	EXPECT_EQ(e2e_wait(card.process.pid, 1000), -SIGKILL);
	close(card.process.out);
	close(card.process.err);
}

/* A socket file that a killed card left behind does not stop the next one. */
static void test_card_after_a_killed_one_takes_its_socket(void)
{
	struct e2e_card card;

	ASSERT_EQ(e2e_card_start(&card, dir, NULL), 0);
	kill(card.process.pid, SIGKILL);
	EXPECT_EQ(e2e_wait(card.process.pid, 1000), -SIGKILL);
	EXPECT_EQ(access(card.socket, F_OK), 0);
	close(card.process.out);
	close(card.process.err);
	ASSERT_EQ(e2e_card_start(&card, dir, NULL), 0);
	EXPECT_EQ(e2e_card_stop(&card), 0);
}

/* --- the client dies --- */

/* Copies on all it has until it is killed; says on @fd when it has begun. */
static void copy_forever(const char *device, int fd)
{
	struct axdev_buf buf;
	struct reason why = {0};
	struct axdev *dev;

	if (axdev_open(device, NULL, &dev, &why) ||
	    dev->ops->buf_alloc(dev, 128 * MIB, &buf, &why)) {
		fprintf(stderr, "%s\n", why.text);
		_exit(1);
	}
	for (bool told = false;;) {
		if (dev->ops->xfer(dev, AXDEV_TO_CARD, 0, METIS_DDR_BASE, &buf, 0, 128 * MIB, &why))
			_exit(1);
		if (!told && write(fd, "!", 1) != 1)
			_exit(1);
		told = true;
	}
}

/* Time until a new client has moved a page and has it back unharmed; negative: it failed. */
static double next_client_ms(const char *device)
{
	double start = e2e_now_ms(), ms = -1;
	struct reason why = {0};
	struct axdev_buf buf;
	struct axdev *dev;
	int rc;

	/* While the card is still busy with the dead one it may say so; that is part of the time. */
	do
		rc = axdev_open(device, NULL, &dev, &why);
	while (rc == -EBUSY && e2e_now_ms() - start < 1000);
	if (rc) {
		printf("# %s\n", why.text);
		return -1;
	}
	if (!dev->ops->buf_alloc(dev, 8192, &buf, &why)) {
		memset(buf.ptr, 0x5a, 4096);
		rc = dev->ops->xfer(dev, AXDEV_TO_CARD, 0, METIS_DDR_BASE, &buf, 0, 4096, &why);
		if (!rc)
			rc = dev->ops->xfer(dev, AXDEV_FROM_CARD, 0, METIS_DDR_BASE, &buf, 4096,
					    4096, &why);
		if (!rc && !memcmp(buf.ptr, (char *)buf.ptr + 4096, 4096))
			ms = e2e_now_ms() - start;
		dev->ops->buf_free(dev, &buf);
	}
	axdev_close(dev);
	if (ms < 0)
		printf("# %s\n", why.text);
	return ms;
}

static void kill_client(const char *device)
{
	double ms;
	int fds[2];
	pid_t pid;
	char c;

	ASSERT(!pipe(fds));
	pid = fork();
	if (pid == 0)
		copy_forever(device, fds[1]);
	close(fds[1]);
	EXPECT_EQ(read(fds[0], &c, 1), 1);
	e2e_sleep_ms(20); /* somewhere within a later copy */
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	close(fds[0]);
	ms = next_client_ms(device);
	printf("# the next client was served after %.1f ms\n", ms);
	EXPECT(ms >= 0 && ms < 100);
}

static void test_client_killed_in_mid_dma_next_one_is_served_within_100_ms(void)
{
	struct e2e_card card;

	ASSERT_EQ(e2e_card_start(&card, dir, NULL), 0);
	for (int i = 0; i < 5 && !tap_this_failed; i++)
		kill_client(card.device);
	EXPECT_EQ(e2e_card_stop(&card), 0);
}

int main(void)
{
	if (e2e_dir_make(dir)) {
		printf("Bail out! no temporary folder\n");
		return 1;
	}
	RUN(test_card_killed_during_run_exits_3_within_a_second);
	RUN(test_card_after_a_killed_one_takes_its_socket);
	RUN(test_client_killed_in_mid_dma_next_one_is_served_within_100_ms);
	e2e_dir_remove(dir);
	return tap_done();
}
