/* SPDX-License-Identifier: MIT */
/*
 * A card behind a socket with a fault of its own: the probe names the hop.
 */
#include <errno.h>
#include <pthread.h>
#include <time.h>
#include <unistd.h>

#include "card/control.h"
#include "probe/tests/faulty.h"
#include "runtime/device/tests/fixture.h"

#define LIMIT_MS 200

static volatile sig_atomic_t stop_now;

struct server {
	struct fixture fx;
	char name[128];
};

/* A card that @commands have been given to. */
static int serve(struct server *server, const char *personality, const char *const *commands)
{
	char reply[CARD_CONTROL_REPLY_MAX];
	int err;

	memset(server, 0, sizeof(*server));
	err = fixture_path(&server->fx);
	if (!err)
		err = fixture_serve(&server->fx, personality, false);
	for (; !err && commands && *commands; commands++)
		err = card_control(server->fx.card, *commands, reply);
	snprintf(server->name, sizeof(server->name), "vfio-user:%s", server->fx.path);
	return err;
}

static int probe(const char *personality, const char *const *commands,
		 struct probe_report *ret_report)
{
	const struct probe_options options = {.timeout_ms = LIMIT_MS, .cancel = &stop_now};
	struct server server;
	int err = serve(&server, personality, commands);

	if (!err)
		err = probe_device(server.name, &options, ret_report);
	fixture_close(&server.fx);
	return err;
}

static void test_process_good_card_passes(void)
{
	static const char *const personalities[] = {"1.3.2", "1.6.0", "1.8.0"};
	struct probe_report report;

	for (int i = 0; i < 3; i++) {
		EXPECT_EQ(probe(personalities[i], NULL, &report), 0);
		EXPECT_FIRST(&report, PROBE_HOP_NR);
		EXPECT_STEP(&report, PROBE_MSI, PROBE_OK);
	}
}

static void test_process_card_off_the_bus_is_config(void)
{
	static const char *const commands[] = {"vanish", NULL};
	struct probe_report report;

	EXPECT_EQ(probe("1.6.0", commands, &report), -EIO);
	EXPECT_FIRST(&report, PROBE_CONFIG);
	EXPECT_STR(suggested(&report, 0), "device-gone");
}

static void test_process_lost_interrupts_are_msi(void)
{
	static const char *const personalities[] = {"1.3.2", "1.6.0", "1.8.0"};
	static const char *const commands[] = {"lose-interrupts all", NULL};
	struct probe_report report;

	for (int i = 0; i < 3; i++) {
		EXPECT_EQ(probe(personalities[i], commands, &report), -EIO);
		EXPECT_FIRST(&report, PROBE_MSI);
		EXPECT_STEP(&report, PROBE_DMA_OUT, PROBE_OK);
		EXPECT_STEP(&report, PROBE_IMWR, i < 2 ? PROBE_FAILED : PROBE_NOT_TRIED);
		EXPECT_HAS(report.step[PROBE_MSI].detail, "did not come");
	}
}

static void test_process_stalled_engine_is_dma_in_and_bounded(void)
{
	static const char *const commands[] = {"stall all", NULL};
	struct probe_report report;
	struct timespec start, end;

	clock_gettime(CLOCK_MONOTONIC, &start);
	EXPECT_EQ(probe("1.8.0", commands, &report), -EIO);
	clock_gettime(CLOCK_MONOTONIC, &end);
	EXPECT_FIRST(&report, PROBE_DMA_IN);
	EXPECT_HAS(report.step[PROBE_DMA_IN].detail, "still runs after 200 ms");
	EXPECT_STEP(&report, PROBE_DMA_OUT, PROBE_FAILED);
	/* Asked for by a command instead. */
	EXPECT_STEP(&report, PROBE_MSI, PROBE_OK);
	EXPECT(end.tv_sec - start.tv_sec <= 8);
}

static void test_process_refused_access_is_dma_in(void)
{
	static const char *const commands[] = {"abort all", NULL};
	struct probe_report report;

	EXPECT_EQ(probe("1.6.0", commands, &report), -EIO);
	EXPECT_FIRST(&report, PROBE_DMA_IN);
	EXPECT_HAS(report.step[PROBE_DMA_IN].detail, "aborted");
	EXPECT_STR(suggested(&report, 0), "dma-unmapped-read");
}

static void test_process_stale_imwr_is_imwr(void)
{
	static const char *const commands[] = {"poke 0x60 0xfee00418", "poke 0x70 0x00090008",
					       NULL};
	struct probe_report report;

	EXPECT_EQ(probe("1.6.0", commands, &report), -EIO);
	EXPECT_FIRST(&report, PROBE_IMWR);
	EXPECT_HAS(report.step[PROBE_IMWR].detail, "index 0x28");
}

static void test_process_in_use_is_refused(void)
{
	const struct probe_options options = {.timeout_ms = LIMIT_MS};
	struct probe_report report;
	struct fixture fx;

	ASSERT_EQ(fixture_open(&fx, FIXTURE_VFIO_USER, NULL, NULL, NULL), 0);
	char name[128];

	snprintf(name, sizeof(name), "vfio-user:%s", fx.path);
	EXPECT_EQ(probe_device(name, &options, &report), -EBUSY);
	EXPECT_FIRST(&report, PROBE_OPEN);
	EXPECT_HAS(report.step[PROBE_OPEN].detail, "another program is using this card");
	/* And its user has not noticed. */
	EXPECT_EQ(fx.dev->ops->reset(fx.dev, NULL), 0);
	fixture_close(&fx);
}

static void test_process_nobody_there_is_open(void)
{
	const struct probe_options options = {.timeout_ms = LIMIT_MS};
	struct probe_report report;

	EXPECT_EQ(probe_device("vfio-user:/nonexistent/card.sock", &options, &report), -ENODEV);
	EXPECT_FIRST(&report, PROBE_OPEN);
}

static void *stop_soon(void *arg)
{
	const struct timespec pause = {.tv_nsec = 100000000};

	(void)arg;
	nanosleep(&pause, NULL);
	stop_now = 1;
	return NULL;
}

static void test_process_interrupted_ends_at_once(void)
{
	const struct probe_options options = {.timeout_ms = 60000, .cancel = &stop_now};
	static const char *const commands[] = {"stall all", NULL};
	struct probe_report report;
	struct server server;
	struct timespec start, end;
	pthread_t thread;

	ASSERT_EQ(serve(&server, "1.6.0", commands), 0);
	clock_gettime(CLOCK_MONOTONIC, &start);
	ASSERT_EQ(pthread_create(&thread, NULL, stop_soon, NULL), 0);
	EXPECT_EQ(probe_device(server.name, &options, &report), -ECANCELED);
	pthread_join(thread, NULL);
	stop_now = 0;
	clock_gettime(CLOCK_MONOTONIC, &end);
	EXPECT(end.tv_sec - start.tv_sec <= 5);
	EXPECT(report.interrupted);
	EXPECT_STR(report.step[PROBE_DMA_IN].detail, "interrupted");
	EXPECT_STR(report.step[PROBE_MSI].detail, "interrupted");
	fixture_close(&server.fx);
}

int main(void)
{
	RUN(test_process_good_card_passes);
	RUN(test_process_card_off_the_bus_is_config);
	RUN(test_process_lost_interrupts_are_msi);
	RUN(test_process_stalled_engine_is_dma_in_and_bounded);
	RUN(test_process_refused_access_is_dma_in);
	RUN(test_process_stale_imwr_is_imwr);
	RUN(test_process_in_use_is_refused);
	RUN(test_process_nobody_there_is_open);
	RUN(test_process_interrupted_ends_at_once);
	return tap_done();
}
