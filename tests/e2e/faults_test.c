/* SPDX-License-Identifier: MIT */
/*
 * Sudden deaths: of the card, of its client, of the demo.
 */
#include <dirent.h>
#include <errno.h>
#include <glob.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <tethys/hw/memory.h>

#include "runtime/device/device.h"
#include "tasks/image.h"
#include "tests/e2e/e2e.h"
#include "tests/tap.h"

#define MIB ((size_t)1 << 20)

/* The promise is one of release builds; sanitizers take their time. */
#ifdef __SANITIZE_ADDRESS__
#define NEXT_CLIENT_MS 500
#else
#define NEXT_CLIENT_MS 100
#endif

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
	printf("# the error came after %.0f ms\n", result.ms);
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
	/* The death is what is tested, not the speed of a busy machine. */
	const struct axdev_options patient = {.dma_timeout_ms = 20000};
	struct axdev_buf buf;
	struct reason why = {0};
	struct axdev *dev;

	if (axdev_open(device, &patient, &dev, &why) ||
	    dev->ops->buf_alloc(dev, 128 * MIB, &buf, &why)) {
		fprintf(stderr, "%s\n", why.text);
		_exit(1);
	}
	for (bool told = false;; told = true) {
		if (dev->ops->xfer(dev, AXDEV_TO_CARD, 0, METIS_DDR_BASE, &buf, 0, 128 * MIB,
				   &why)) {
			fprintf(stderr, "%s\n", why.text);
			_exit(1);
		}
		if (!told && write(fd, "!", 1) != 1)
			_exit(1);
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

/* Return: what next_client_ms() says after a client was killed in mid-DMA. */
static double kill_client(const char *device)
{
	double ms;
	int fds[2];
	pid_t pid;
	char c;

	if (pipe(fds))
		return -1;
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
	return ms;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* Every one must be served; the median counts, as a busy machine's scheduler has outliers. */
static void test_client_killed_in_mid_dma_next_one_is_served_within_100_ms(void)
{
	struct e2e_card card;
	double ms[5];

	ASSERT_EQ(e2e_card_start(&card, dir, NULL), 0);
	for (int i = 0; i < 5; i++) {
		ms[i] = kill_client(card.device);
		EXPECT(ms[i] >= 0);
	}
	qsort(ms, 5, sizeof(ms[0]), compare);
	EXPECT(ms[2] < NEXT_CLIENT_MS);
	EXPECT_EQ(e2e_card_stop(&card), 0);
}

/* --- the demo is interrupted --- */

/* Enough for the demo to get to work: its first network, which it makes, and a photo. */
static int make_assets(char ret_assets[PATH_MAX])
{
	char path[PATH_MAX + 64];
	struct image photo;
	int rc;

	snprintf(ret_assets, PATH_MAX, "%.4000s/assets", dir);
	snprintf(path, sizeof(path), "%s/package/demo", ret_assets);
	for (char *slash = path + strlen(dir); (slash = strchr(slash + 1, '/'));) {
		*slash = '\0';
		mkdir(path, 0700);
		*slash = '/';
	}
	mkdir(path, 0700);
	rc = e2e_write(ret_assets, "tiny-face.onnx", "not looked at", 13, path);
	if (rc || image_create(300, 300, &photo))
		return -1;
	snprintf(path, sizeof(path), "%s/package/demo/black.jpg", ret_assets);
	rc = image_save(path, &photo, NULL);
	image_deinit(&photo);
	return rc;
}

static size_t files_in(const char *path)
{
	DIR *stream = opendir(path);
	size_t count = 0;

	while (stream && readdir(stream))
		count++;
	if (stream)
		closedir(stream);
	return count >= 2 ? count - 2 : 0; /* . and .. */
}

/* The socket of the demo's card, "" when there is none. */
static void find_socket(const char *tmp, char ret_path[PATH_MAX])
{
	char pattern[PATH_MAX];
	glob_t found;

	*ret_path = '\0';
	snprintf(pattern, sizeof(pattern), "%.4000s/tethys-*/card.sock", tmp);
	if (!glob(pattern, 0, NULL, &found))
		snprintf(ret_path, PATH_MAX, "%s", found.gl_pathv[0]);
	globfree(&found);
}

/* Start the demo with its temporary files in @tmp and wait until its card is up. */
static void start_demo(const char *tmp, struct e2e_process *ret_process, char ret_socket[PATH_MAX])
{
	static char assets[PATH_MAX], out[PATH_MAX];
	const char *argv[] = {"tethys", "demo",	    "--no-lab", "--assets",
			      assets,	"--output", out,	NULL};
	int rc;

	snprintf(out, sizeof(out), "%.4000s/out", dir);
	ASSERT_EQ(make_assets(assets), 0);
	mkdir(tmp, 0700);
	setenv("TMPDIR", tmp, 1);
	rc = e2e_start(argv, ret_process);
	unsetenv("TMPDIR");
	ASSERT_EQ(rc, 0);
	*ret_socket = '\0';
	for (int i = 0; i < 1000 && !*ret_socket; i++, e2e_sleep_ms(10))
		find_socket(tmp, ret_socket);
	EXPECT(*ret_socket);
	e2e_sleep_ms(500); /* into the first measurement */
}

static void interrupt_demo(int sig)
{
	char tmp[PATH_MAX], socket[PATH_MAX];
	struct e2e_process process;
	struct e2e_result result;

	snprintf(tmp, sizeof(tmp), "%.4000s/tmp", dir);
	start_demo(tmp, &process, socket);
	if (tap_this_failed)
		return;
	kill(process.pid, sig);
	e2e_finish(&process, 5000, &result);
	EXPECT_EQ(result.code, -sig); /* by the signal itself, for the shell's sake */
	EXPECT_STR(result.err, "");
	EXPECT(result.ms < 2000);
	EXPECT_EQ(files_in(tmp), 0);
	e2e_result_deinit(&result);
}

static void test_demo_interrupted_leaves_nothing_behind(void)
{
	interrupt_demo(SIGINT);
	interrupt_demo(SIGTERM);
}

/* Nobody can remove its folder then, but its card ends and takes its socket along. */
static void test_demo_killed_takes_its_card_along(void)
{
	char tmp[PATH_MAX], socket[PATH_MAX];
	struct e2e_process process;
	struct e2e_result result;
	double start;

	snprintf(tmp, sizeof(tmp), "%.4000s/tmp", dir);
	start_demo(tmp, &process, socket);
	if (tap_this_failed)
		return;
	kill(process.pid, SIGKILL);
	start = e2e_now_ms();
	while (!access(socket, F_OK) && e2e_now_ms() - start < 3000)
		e2e_sleep_ms(5);
	EXPECT(access(socket, F_OK) && errno == ENOENT);
	e2e_finish(&process, 5000, &result);
	EXPECT_EQ(result.code, -SIGKILL);
	e2e_result_deinit(&result);
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
	RUN(test_demo_interrupted_leaves_nothing_behind);
	RUN(test_demo_killed_takes_its_card_along);
	e2e_dir_remove(dir);
	return tap_done();
}
