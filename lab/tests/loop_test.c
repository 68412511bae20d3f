/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/time.h>
#include <unistd.h>

#include "lab/loop.h"
#include "tests/tap.h"

struct seen {
	struct lab_loop *loop;
	int fd, other;
	unsigned int calls;
	short revents;
	char byte;
};

static void on_readable(void *ctx, short revents)
{
	struct seen *seen = ctx;

	seen->calls++;
	seen->revents = revents;
	if (read(seen->fd, &seen->byte, 1) <= 0)
		lab_loop_remove(seen->loop, seen->fd);
}

static bool called(void *ctx)
{
	const struct seen *seen = ctx;

	return seen->calls > 0;
}

static void test_loop_calls_when_readable(void)
{
	struct seen seen = {0};
	int pair[2];

	ASSERT_EQ(pipe(pair), 0);
	ASSERT_EQ(lab_loop_create(&seen.loop), 0);
	seen.fd = pair[0];
	EXPECT_EQ(lab_loop_add(seen.loop, pair[0], POLLIN, on_readable, &seen), 0);
	EXPECT_EQ(lab_loop_run(seen.loop, called, &seen, 50), -ETIMEDOUT);
	EXPECT_EQ(seen.calls, 0);
	EXPECT_EQ(write(pair[1], "x", 1), 1);
	EXPECT_EQ(lab_loop_run(seen.loop, called, &seen, 10000), 0);
	EXPECT_EQ(seen.byte, 'x');
	EXPECT(seen.revents & POLLIN);
	/* Not asked for: not told. */
	lab_loop_events(seen.loop, pair[0], 0);
	EXPECT_EQ(write(pair[1], "y", 1), 1);
	seen.calls = 0;
	EXPECT_EQ(lab_loop_run(seen.loop, called, &seen, 50), -ETIMEDOUT);
	/* But for the end. */
	close(pair[1]);
	EXPECT_EQ(lab_loop_run(seen.loop, called, &seen, 10000), 0);
	EXPECT(seen.revents & POLLHUP);
	lab_loop_destroy(seen.loop);
	close(pair[0]);
}

/* The first to be called takes both away, and puts another in a place of the same number. */
static void on_swap(void *ctx, short revents)
{
	struct seen *seen = ctx;

	(void)revents;
	seen->calls++;
	lab_loop_remove(seen->loop, seen->fd);
	lab_loop_remove(seen->loop, seen->other);
	if (lab_loop_add(seen->loop, seen->other, POLLOUT, on_readable, seen))
		abort();
}

static void test_loop_callback_may_remove_another(void)
{
	struct seen seen[2] = {{0}};
	struct lab_loop *loop;
	int pairs[2][2], i;

	ASSERT_EQ(lab_loop_create(&loop), 0);
	for (i = 0; i < 2; i++) {
		ASSERT_EQ(pipe(pairs[i]), 0);
		EXPECT_EQ(write(pairs[i][1], "x", 1), 1);
	}
	for (i = 0; i < 2; i++) {
		seen[i] = (struct seen){loop, pairs[i][0], pairs[!i][0], 0, 0, 0};
		EXPECT_EQ(lab_loop_add(loop, pairs[i][0], POLLIN, on_swap, &seen[i]), 0);
	}
	EXPECT_EQ(lab_loop_run(loop, called, &seen[0], 10000), 0);
	EXPECT_EQ(lab_loop_run(loop, NULL, NULL, 50), -ETIMEDOUT);
	EXPECT_EQ(seen[0].calls, 1);
	EXPECT_EQ(seen[1].calls, 0);
	lab_loop_destroy(loop);
	for (i = 0; i < 4; i++)
		close(pairs[i / 2][i % 2]);
}

static bool never(void *ctx)
{
	++*(unsigned int *)ctx;
	return false;
}

static void test_loop_asks_done_while_nothing_happens(void)
{
	struct lab_loop *loop;
	unsigned int asked = 0;
	int64_t from_ms = lab_now_ms();

	ASSERT_EQ(lab_loop_create(&loop), 0);
	EXPECT_EQ(lab_loop_run(loop, never, &asked, 450), -ETIMEDOUT);
	EXPECT(asked >= 4);
	EXPECT(lab_now_ms() - from_ms >= 450);
	lab_loop_destroy(loop);
}

static void *stop_main(void *loop)
{
	usleep(50000);
	lab_loop_stop(loop);
	return NULL;
}

static void test_loop_stop_ends_this_run_and_all_later(void)
{
	struct lab_loop *loop;
	pthread_t thread;
	int64_t from_ms = lab_now_ms();

	ASSERT_EQ(lab_loop_create(&loop), 0);
	ASSERT_EQ(pthread_create(&thread, NULL, stop_main, loop), 0);
	EXPECT_EQ(lab_loop_run(loop, NULL, NULL, 20000), -EINTR);
	EXPECT(lab_now_ms() - from_ms < 10000);
	EXPECT_EQ(lab_loop_run(loop, NULL, NULL, 20000), -EINTR);
	pthread_join(thread, NULL);
	lab_loop_destroy(loop);
}

static struct lab_loop *signalled;

static void on_alarm(int signum)
{
	(void)signum;
	lab_loop_stop(signalled);
}

static void test_loop_stop_works_in_a_signal_handler(void)
{
	struct itimerval soon = {.it_value = {.tv_usec = 50000}};

	ASSERT_EQ(lab_loop_create(&signalled), 0);
	signal(SIGALRM, on_alarm);
	setitimer(ITIMER_REAL, &soon, NULL);
	EXPECT_EQ(lab_loop_run(signalled, NULL, NULL, 20000), -EINTR);
	signal(SIGALRM, SIG_DFL);
	lab_loop_destroy(signalled);
}

/* A callback that runs the loop itself, and removes what it was called for meanwhile. */
static void on_nested(void *ctx, short revents)
{
	struct seen *seen = ctx;

	(void)revents;
	seen->calls++;
	lab_loop_remove(seen->loop, seen->fd);
	EXPECT_EQ(lab_loop_run(seen->loop, NULL, NULL, 20), -ETIMEDOUT);
}

static void test_loop_runs_within_a_callback(void)
{
	struct seen seen[3] = {{0}};
	struct lab_loop *loop;
	int pairs[3][2], i;

	ASSERT_EQ(lab_loop_create(&loop), 0);
	for (i = 0; i < 3; i++) {
		ASSERT_EQ(pipe(pairs[i]), 0);
		EXPECT_EQ(write(pairs[i][1], "x", 1), 1);
		seen[i] = (struct seen){loop, pairs[i][0], -1, 0, 0, 0};
		EXPECT_EQ(lab_loop_add(loop, pairs[i][0], POLLIN, on_nested, &seen[i]), 0);
	}
	EXPECT_EQ(lab_loop_run(loop, NULL, NULL, 200), -ETIMEDOUT);
	for (i = 0; i < 3; i++) {
		EXPECT_EQ(seen[i].calls, 1);
		close(pairs[i][0]);
		close(pairs[i][1]);
	}
	lab_loop_destroy(loop);
}

int main(void)
{
	RUN(test_loop_calls_when_readable);
	RUN(test_loop_callback_may_remove_another);
	RUN(test_loop_asks_done_while_nothing_happens);
	RUN(test_loop_stop_ends_this_run_and_all_later);
	RUN(test_loop_stop_works_in_a_signal_handler);
	RUN(test_loop_runs_within_a_callback);
	return tap_done();
}
