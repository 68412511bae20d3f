/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lab/process.h"
#include "tests/tap.h"

#define WAIT_MS 20000

static struct lab_loop *loop;
static char log_path[64];

static bool has_ended(void *ctx)
{
	return !lab_process_running(ctx);
}

static struct lab_process *start_sh(const char *script)
{
	const char *argv[] = {"sh", "-c", script, NULL};
	struct lab_process *process = NULL;
	struct reason why = {0};

	if (lab_process_start(loop, argv, log_path, &process, &why))
		TAP_FAIL("%s", why.text);
	return process;
}

static void read_log(char *text, size_t size)
{
	FILE *file = fopen(log_path, "r");
	size_t got = file ? fread(text, 1, size - 1, file) : 0;

	text[got] = 0;
	if (file)
		fclose(file);
}

/* What a script wrote about itself; waits for the whole line. */
static pid_t logged_pid(void)
{
	char text[256] = "";
	int tries;

	for (tries = 0; tries < 1000 && !strchr(text, '\n'); tries++) {
		usleep(5000);
		read_log(text, sizeof(text));
	}
	return atoi(text);
}

static bool is_gone(pid_t pid)
{
	char path[64], state[256];
	bool gone = false;
	int tries;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	for (tries = 0; tries < 400 && !gone; tries++) {
		file = fopen(path, "r");
		gone = !file || !fgets(state, sizeof(state), file) || strstr(state, ") Z");
		if (file)
			fclose(file);
		if (!gone)
			usleep(5000);
	}
	return gone;
}

static void setup(void)
{
	int fd;

	strcpy(log_path, "/tmp/tethys-process-XXXXXX");
	fd = mkstemp(log_path);
	if (fd < 0 || lab_loop_create(&loop))
		abort();
	close(fd);
}

static void teardown(void)
{
	unlink(log_path);
	lab_loop_destroy(loop);
}

static void test_process_tells_exit_code_and_keeps_output(void)
{
	struct lab_process *process;
	char text[256];

	setup();
	process = start_sh("echo out; echo err >&2; read x || echo no input; exit 7");
	ASSERT(process);
	EXPECT(lab_process_running(process));
	EXPECT_EQ(lab_loop_run(loop, has_ended, process, WAIT_MS), 0);
	EXPECT(!lab_process_running(process));
	EXPECT_EQ(lab_process_stop(process, 1000), 7);
	EXPECT_EQ(lab_process_stop(process, 1000), 7);
	lab_process_destroy(process);
	/* A second one adds to the log. */
	process = start_sh("echo more; kill -KILL $$");
	ASSERT(process);
	EXPECT_EQ(lab_loop_run(loop, has_ended, process, WAIT_MS), 0);
	EXPECT_EQ(lab_process_stop(process, 1000), 137);
	lab_process_destroy(process);
	read_log(text, sizeof(text));
	EXPECT_STR(text, "out\nerr\nno input\nmore\n");
	teardown();
}

static void test_process_that_does_not_exist_is_told(void)
{
	const char *argv[] = {"/no/such/program", NULL};
	struct lab_process *process = NULL;
	struct reason why = {0};

	setup();
	EXPECT_EQ(lab_process_start(loop, argv, log_path, &process, &why), -ENOENT);
	EXPECT(!process);
	EXPECT_HAS(why.text, "cannot run /no/such/program: No such file");
	argv[0] = "true";
	why.text[0] = 0;
	EXPECT_EQ(lab_process_start(loop, argv, "/no/such/log", &process, &why), -ENOENT);
	EXPECT_HAS(why.text, "cannot write /no/such/log");
	teardown();
}

static void test_process_stop_is_gentle_first(void)
{
	struct lab_process *process;
	int64_t from_ms = lab_now_ms();

	setup();
	process = start_sh("trap 'exit 5' TERM; echo $$; while :; do sleep 0.05; done");
	ASSERT(process);
	logged_pid(); /* the trap is set */
	EXPECT_EQ(lab_process_stop(process, WAIT_MS), 5);
	EXPECT(!lab_process_running(process));
	EXPECT(lab_now_ms() - from_ms < WAIT_MS);
	lab_process_destroy(process);
	teardown();
}

static void test_process_stop_kills_who_will_not(void)
{
	struct lab_process *process;
	int64_t from_ms;

	setup();
	process = start_sh("trap '' TERM; echo $$; while :; do sleep 0.05; done");
	ASSERT(process);
	logged_pid();
	from_ms = lab_now_ms();
	EXPECT_EQ(lab_process_stop(process, 200), 137);
	EXPECT(lab_now_ms() - from_ms >= 200);
	lab_process_destroy(process);
	teardown();
}

static void test_process_end_takes_its_group_along(void)
{
	struct lab_process *process;
	pid_t child;

	setup();
	process = start_sh("trap '' TERM; sleep 100 & echo $!; exit 0");
	ASSERT(process);
	EXPECT_EQ(lab_loop_run(loop, has_ended, process, WAIT_MS), 0);
	child = logged_pid();
	ASSERT(child > 1);
	EXPECT(is_gone(child));
	lab_process_destroy(process);
	teardown();
}

static void test_process_destroy_kills_what_runs(void)
{
	struct lab_process *process;
	pid_t child;

	setup();
	process = start_sh("echo $$; exec sleep 100");
	ASSERT(process);
	child = logged_pid();
	ASSERT(child > 1);
	lab_process_destroy(process);
	EXPECT(kill(child, 0) && errno == ESRCH);
	lab_process_destroy(NULL);
	teardown();
}

static void test_process_does_not_outlive_us(void)
{
	pid_t parent, child;

	setup();
	parent = fork();
	if (!parent) {
		start_sh("trap '' TERM; echo $$; exec sleep 100");
		pause();
		_exit(1);
	}
	child = logged_pid();
	ASSERT(child > 1);
	EXPECT(!kill(child, 0));
	kill(parent, SIGKILL);
	waitpid(parent, NULL, 0);
	EXPECT(is_gone(child));
	teardown();
}

static void test_process_has_plain_signals(void)
{
	struct lab_process *process;
	sigset_t mask, saved;

	setup();
	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&mask);
	sigaddset(&mask, SIGTERM);
	sigprocmask(SIG_BLOCK, &mask, &saved);
	/* Of those ignored only SIGPIPE, 0x1000, was our doing. */
	process = start_sh("grep -c -E 'SigBlk:.0{16}|SigIgn:.[0-9a-f]{12}[02468ace]' "
			   "/proc/self/status");
	sigprocmask(SIG_SETMASK, &saved, NULL);
	ASSERT(process);
	EXPECT_EQ(lab_loop_run(loop, has_ended, process, WAIT_MS), 0);
	EXPECT_EQ(logged_pid(), 2); /* both lines */
	lab_process_destroy(process);
	signal(SIGPIPE, SIG_DFL);
	teardown();
}

int main(void)
{
	RUN(test_process_tells_exit_code_and_keeps_output);
	RUN(test_process_that_does_not_exist_is_told);
	RUN(test_process_stop_is_gentle_first);
	RUN(test_process_stop_kills_who_will_not);
	RUN(test_process_end_takes_its_group_along);
	RUN(test_process_destroy_kills_what_runs);
	RUN(test_process_does_not_outlive_us);
	RUN(test_process_has_plain_signals);
	return tap_done();
}
