/* SPDX-License-Identifier: MIT */
/* The agent as a program on one socket, by lab_link: argv[1] is the agent. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lab/agent/frame.h"
#include "lab/link.h"
#include "tests/tap.h"

#define WAIT_MS 20000
#define BIG_BYTES (10u << 20)

static const char *agent_path;

struct command {
	uint32_t id;
	char *out, *err;
	size_t out_bytes, err_bytes, out_room, err_room;
	bool ended, timed_out;
	int status;
	uint64_t elapsed_us;
	char error[256];
	unsigned int slow_us; /* for each piece of output */
};

struct agent {
	pid_t pid;
	struct lab_loop *loop;
	struct lab_link *link;
	unsigned int hellos, lines, errors;
	char text[256], line[256], error[256];
	uint64_t line_us;
	unsigned int line_level;
	bool closed;
	int closed_err;
};

/* --- events --- */

static void on_hello(void *ctx, uint64_t uptime_us, const char *text)
{
	struct agent *agent = ctx;

	agent->hellos += uptime_us > 0;
	snprintf(agent->text, sizeof(agent->text), "%s", text);
}

static void on_kmsg(void *ctx, uint64_t time_us, unsigned int level, const char *line)
{
	struct agent *agent = ctx;

	agent->lines++;
	agent->line_us = time_us;
	agent->line_level = level;
	snprintf(agent->line, sizeof(agent->line), "%s", line);
}

static void on_error(void *ctx, const char *text)
{
	struct agent *agent = ctx;

	agent->errors++;
	snprintf(agent->error, sizeof(agent->error), "%s", text);
}

static void on_closed(void *ctx, int err)
{
	struct agent *agent = ctx;

	agent->closed = true;
	agent->closed_err = err;
}

static void on_output(void *ctx, bool is_stderr, const char *data, size_t len)
{
	struct command *command = ctx;
	char **text = is_stderr ? &command->err : &command->out;
	size_t *bytes = is_stderr ? &command->err_bytes : &command->out_bytes;
	size_t *room = is_stderr ? &command->err_room : &command->out_room;

	if (*bytes + len + 1 > *room) {
		*room = (*bytes + len + 1) * 2;
		*text = realloc(*text, *room);
		if (!*text)
			abort();
	}
	memcpy(*text + *bytes, data, len);
	(*text)[*bytes + len] = 0;
	*bytes += len;
	if (command->slow_us)
		usleep(command->slow_us);
}

static void on_ended(void *ctx, int status, bool timed_out, uint64_t elapsed_us, const char *error)
{
	struct command *command = ctx;

	command->ended = true;
	command->status = status;
	command->timed_out = timed_out;
	command->elapsed_us = elapsed_us;
	snprintf(command->error, sizeof(command->error), "%s", error ? error : "");
}

static const struct lab_command_events command_events = {.output = on_output, .ended = on_ended};

/* --- an agent, and commands in it --- */

/* Return: our end of its socket; -1. */
static int agent_spawn(struct agent *agent, const char *kmsg)
{
	char number[16];
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair))
		return -1;
	agent->pid = fork();
	if (!agent->pid) {
		close(pair[0]);
		snprintf(number, sizeof(number), "%d", pair[1]);
		if (kmsg)
			execl(agent_path, agent_path, "--serve", number, "--kmsg", kmsg, NULL);
		else
			execl(agent_path, agent_path, "--serve", number, NULL);
		_exit(127);
	}
	close(pair[1]);
	fcntl(pair[0], F_SETFD, FD_CLOEXEC);
	return pair[0];
}

static bool agent_start(struct agent *agent, const char *kmsg)
{
	static const struct lab_link_events events = {on_hello, on_kmsg, on_error, on_closed};
	int fd;

	memset(agent, 0, sizeof(*agent));
	fd = agent_spawn(agent, kmsg);
	return fd >= 0 && !lab_loop_create(&agent->loop) &&
	       !lab_link_create(agent->loop, fd, &events, agent, &agent->link);
}

/* Return: how the agent itself ended. */
static int agent_end(struct agent *agent)
{
	int status = -1, waited_ms;

	lab_link_destroy(agent->link);
	lab_loop_destroy(agent->loop);
	for (waited_ms = 0; waited_ms < WAIT_MS; waited_ms += 5) {
		if (waitpid(agent->pid, &status, WNOHANG) == agent->pid)
			return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
		usleep(5000);
	}
	kill(agent->pid, SIGKILL);
	waitpid(agent->pid, &status, 0);
	return -1;
}

static int start(struct agent *agent, struct command *command, const struct lab_command *what)
{
	memset(command, 0, sizeof(*command));
	return lab_link_exec(agent->link, what, &command_events, command, &command->id);
}

static int start_sh(struct agent *agent, struct command *command, const char *script,
		    unsigned int timeout_ms)
{
	const char *argv[] = {"/bin/sh", "-c", script, NULL};
	const struct lab_command what = {.argv = argv, .timeout_ms = timeout_ms};

	return start(agent, command, &what);
}

static bool is_set(void *ctx)
{
	return *(bool *)ctx;
}

static int wait_for(struct agent *agent, struct command *command)
{
	return lab_loop_run(agent->loop, is_set, &command->ended, WAIT_MS);
}

static void command_deinit(struct command *command)
{
	free(command->out);
	free(command->err);
	memset(command, 0, sizeof(*command));
}

/* Run one script in an agent of its own. */
static void run_sh(struct command *command, const char *script, unsigned int timeout_ms)
{
	struct agent agent;

	ASSERT(agent_start(&agent, NULL));
	EXPECT_EQ(start_sh(&agent, command, script, timeout_ms), 0);
	EXPECT_EQ(wait_for(&agent, command), 0);
	EXPECT_EQ(agent_end(&agent), 0);
}

/* Or a zombie, which nobody here has to reap. Waits a little. */
static bool is_gone(int pid)
{
	char path[64], state[256];
	bool gone = false;
	int tries;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	for (tries = 0; tries < 200 && !gone; tries++) {
		file = fopen(path, "r");
		gone = !file || !fgets(state, sizeof(state), file) || strstr(state, ") Z");
		if (file)
			fclose(file);
		if (!gone)
			usleep(10000);
	}
	return gone;
}

/* --- tests --- */

static void test_agent_says_hello_once(void)
{
	struct command command;
	struct agent agent;

	ASSERT(agent_start(&agent, NULL));
	EXPECT_EQ(start_sh(&agent, &command, "exit 0", 0), 0);
	EXPECT_EQ(wait_for(&agent, &command), 0);
	EXPECT_EQ(agent.hellos, 1); /* it came twice: at the start, and pinged */
	EXPECT_STR(agent.text, "tethys-lab-agent");
	EXPECT_EQ(agent_end(&agent), 0);
}

static void test_exec_tells_exit_codes_and_signals(void)
{
	static const struct {
		const char *script;
		int status;
	} cases[] = {{"true", 0}, {"false", 1}, {"exit 7", 7}, {"kill -TERM $$", 143}};
	struct command command;
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		run_sh(&command, cases[i].script, 0);
		EXPECT_EQ(command.status, cases[i].status);
		EXPECT(!command.timed_out);
		EXPECT_STR(command.error, "");
	}
}

static void test_exec_of_nothing_says_so(void)
{
	const char *argv[] = {"/no/such/program", NULL};
	const struct lab_command what = {.argv = argv};
	struct command command;
	struct agent agent;

	ASSERT(agent_start(&agent, NULL));
	EXPECT_EQ(start(&agent, &command, &what), 0);
	EXPECT_EQ(wait_for(&agent, &command), 0);
	EXPECT_EQ(command.status, -1);
	EXPECT_STR(command.error, "cannot run /no/such/program: No such file or directory");
	EXPECT_EQ(agent_end(&agent), 0);
}

static void test_exec_keeps_outputs_apart(void)
{
	struct command command;

	run_sh(&command, "echo one; echo two >&2; echo three", 0);
	ASSERT(command.out && command.err);
	EXPECT_STR(command.out, "one\nthree\n");
	EXPECT_STR(command.err, "two\n");
	command_deinit(&command);
}

static void test_exec_adds_to_the_environment(void)
{
	const char *argv[] = {"/bin/sh", "-c", "echo $COLOUR $TWO", NULL};
	const char *env[] = {"COLOUR=deep blue", "TWO=2", NULL};
	const struct lab_command what = {.argv = argv, .env = env};
	struct command command;
	struct agent agent;

	ASSERT(agent_start(&agent, NULL));
	EXPECT_EQ(start(&agent, &command, &what), 0);
	EXPECT_EQ(wait_for(&agent, &command), 0);
	ASSERT(command.out);
	EXPECT_STR(command.out, "deep blue 2\n");
	command_deinit(&command);
	EXPECT_EQ(agent_end(&agent), 0);
}

static void test_exec_with_a_slow_reader_loses_no_byte(void)
{
	struct command command;
	struct agent agent;
	size_t i, wrong = 0;

	ASSERT(agent_start(&agent, NULL));
	EXPECT_EQ(start_sh(&agent, &command, "yes 0123456 | head -c 10485760; exit 3", 0), 0);
	command.slow_us = 200;
	EXPECT_EQ(wait_for(&agent, &command), 0);
	EXPECT_EQ(command.status, 3);
	ASSERT_EQ(command.out_bytes, BIG_BYTES);
	for (i = 0; i < command.out_bytes; i++)
		wrong += command.out[i] != "0123456\n"[i % 8];
	EXPECT_EQ(wrong, 0);
	command_deinit(&command);
	EXPECT_EQ(agent_end(&agent), 0);
}

static void test_stdin_comes_back_until_its_end(void)
{
	char *data = malloc(1 << 20);
	struct command command;
	struct agent agent;
	size_t i;

	ASSERT(data && agent_start(&agent, NULL));
	for (i = 0; i < 1 << 20; i++)
		data[i] = (char)(i * 7 + i / 256);
	EXPECT_EQ(start_sh(&agent, &command, "cat; echo end >&2", 0), 0);
	EXPECT_EQ(lab_link_stdin(agent.link, command.id, data, 1 << 20), 0);
	EXPECT_EQ(lab_link_stdin(agent.link, command.id, NULL, 0), 0);
	EXPECT_EQ(wait_for(&agent, &command), 0);
	EXPECT_EQ(command.out_bytes, 1 << 20);
	EXPECT(command.out && !memcmp(command.out, data, 1 << 20));
	ASSERT(command.err);
	EXPECT_STR(command.err, "end\n");
	command_deinit(&command);
	free(data);
	EXPECT_EQ(agent_end(&agent), 0);
}

static void test_stdin_beyond_the_limit_waits_and_goes_on(void)
{
	static char data[6 << 20];
	struct command sleeper, other;
	struct agent agent;

	ASSERT(agent_start(&agent, NULL));
	EXPECT_EQ(start_sh(&agent, &sleeper, "sleep 0.3; wc -c", 0), 0);
	EXPECT_EQ(lab_link_stdin(agent.link, sleeper.id, data, sizeof(data)), 0);
	EXPECT_EQ(lab_link_stdin(agent.link, sleeper.id, NULL, 0), 0);
	EXPECT_EQ(start_sh(&agent, &other, "echo after", 0), 0);
	EXPECT_EQ(wait_for(&agent, &sleeper), 0);
	EXPECT_EQ(wait_for(&agent, &other), 0);
	ASSERT(sleeper.out && other.out);
	EXPECT_EQ(atoi(sleeper.out), 6 << 20);
	EXPECT_STR(other.out, "after\n");
	command_deinit(&sleeper);
	command_deinit(&other);
	EXPECT_EQ(agent_end(&agent), 0);
}

static void test_timeout_kills_the_whole_group(void)
{
	struct command command;
	int child;

	run_sh(&command, "trap '' TERM; sleep 100 & echo $!; while :; do sleep 100; done", 300);
	EXPECT_EQ(command.status, 137);
	EXPECT(command.timed_out);
	EXPECT(command.elapsed_us >= 290000 && command.elapsed_us < 10000000);
	ASSERT(command.out);
	child = atoi(command.out);
	ASSERT(child > 1);
	EXPECT(is_gone(child));
	command_deinit(&command);
}

static void test_signal_reaches_the_group(void)
{
	struct command command;
	struct agent agent;

	ASSERT(agent_start(&agent, NULL));
	EXPECT_EQ(start_sh(&agent, &command, "sleep 100 | cat", 0), 0);
	EXPECT_EQ(lab_link_signal(agent.link, command.id, SIGINT), 0);
	EXPECT_EQ(wait_for(&agent, &command), 0);
	EXPECT_EQ(command.status, 128 + SIGINT);
	EXPECT_EQ(lab_link_signal(agent.link, command.id, 1000), 0);
	EXPECT_EQ(start_sh(&agent, &command, "true", 0), 0);
	EXPECT_EQ(wait_for(&agent, &command), 0);
	EXPECT_EQ(agent.errors, 1);
	EXPECT_STR(agent.error, "no signal 1000");
	EXPECT_EQ(agent_end(&agent), 0);
}

static bool has_newline(void *ctx)
{
	const struct command *command = ctx;

	return command->ended || (command->out && strchr(command->out, '\n'));
}

static void test_pty_has_the_size_it_is_told(void)
{
	const char *argv[] = {"/bin/sh", "-c", "stty size; tty >&2; read x; stty size; exit 5",
			      NULL};
	const struct lab_command what = {.argv = argv, .pty = true, .rows = 31, .columns = 99};
	struct command command;
	struct agent agent;

	ASSERT(agent_start(&agent, NULL));
	EXPECT_EQ(start(&agent, &command, &what), 0);
	EXPECT_EQ(lab_loop_run(agent.loop, has_newline, &command, WAIT_MS), 0);
	EXPECT_EQ(lab_link_winsize(agent.link, command.id, 50, 132), 0);
	EXPECT_EQ(lab_link_stdin(agent.link, command.id, "\r", 1), 0);
	EXPECT_EQ(wait_for(&agent, &command), 0);
	EXPECT_EQ(command.status, 5);
	ASSERT(command.out);
	EXPECT_HAS(command.out, "31 99\r\n");
	EXPECT_HAS(command.out, "/dev/pts/");
	EXPECT_HAS(command.out, "50 132\r\n");
	EXPECT(!command.err);
	command_deinit(&command);
	EXPECT_EQ(agent_end(&agent), 0);
}

static void test_pty_output_is_complete_at_the_end(void)
{
	const char *argv[] = {"/bin/sh", "-c", "stty -opost; yes 0123456 | head -c 300000", NULL};
	const struct lab_command what = {.argv = argv, .pty = true};
	struct command command;
	struct agent agent;

	ASSERT(agent_start(&agent, NULL));
	EXPECT_EQ(start(&agent, &command, &what), 0);
	EXPECT_EQ(wait_for(&agent, &command), 0);
	EXPECT_EQ(command.out_bytes, 300000);
	command_deinit(&command);
	EXPECT_EQ(agent_end(&agent), 0);
}

static void test_pty_end_of_input_ends_the_reader(void)
{
	const char *argv[] = {"/bin/cat", NULL};
	const struct lab_command what = {.argv = argv, .pty = true};
	struct command command;
	struct agent agent;

	ASSERT(agent_start(&agent, NULL));
	EXPECT_EQ(start(&agent, &command, &what), 0);
	EXPECT_EQ(lab_link_stdin(agent.link, command.id, NULL, 0), 0);
	EXPECT_EQ(wait_for(&agent, &command), 0);
	EXPECT_EQ(command.status, 0);
	command_deinit(&command);
	EXPECT_EQ(agent_end(&agent), 0);
}

static void test_three_commands_run_at_once(void)
{
	struct command command[3];
	struct agent agent;
	int64_t from_ms;
	size_t i;

	ASSERT(agent_start(&agent, NULL));
	/* Each waits for a word that comes only after all three have started. */
	for (i = 0; i < 3; i++)
		EXPECT_EQ(
			start_sh(&agent, &command[i], "echo up; read word; echo $word; exit 9", 0),
			0);
	from_ms = lab_now_ms();
	for (i = 0; i < 3; i++)
		EXPECT_EQ(lab_loop_run(agent.loop, has_newline, &command[i], WAIT_MS), 0);
	for (i = 0; i < 3; i++)
		EXPECT_EQ(lab_link_stdin(agent.link, command[2 - i].id, "go\n", 3), 0);
	for (i = 0; i < 3; i++) {
		EXPECT_EQ(wait_for(&agent, &command[i]), 0);
		EXPECT_EQ(command[i].status, 9);
		ASSERT(command[i].out);
		EXPECT_STR(command[i].out, "up\ngo\n");
		command_deinit(&command[i]);
	}
	EXPECT(lab_now_ms() - from_ms < WAIT_MS);
	EXPECT_EQ(agent_end(&agent), 0);
}

static void test_background_process_does_not_delay_the_end(void)
{
	struct command command;
	int64_t from_ms = lab_now_ms();

	run_sh(&command, "echo before; sleep 5 & exit 4", 0);
	EXPECT_EQ(command.status, 4);
	EXPECT(lab_now_ms() - from_ms < 4000);
	ASSERT(command.out);
	EXPECT_STR(command.out, "before\n");
	command_deinit(&command);
	/* Nor one that never stops talking. */
	from_ms = lab_now_ms();
	run_sh(&command, "echo before; yes & exit 6", 0);
	EXPECT_EQ(command.status, 6);
	EXPECT(lab_now_ms() - from_ms < 4000);
	ASSERT(command.out);
	EXPECT(!strncmp(command.out, "before\n", 7));
	command_deinit(&command);
}

static void test_link_closed_kills_what_runs(void)
{
	struct command command;
	struct agent agent;
	int child;

	ASSERT(agent_start(&agent, NULL));
	EXPECT_EQ(start_sh(&agent, &command, "echo $$; exec sleep 100", 0), 0);
	EXPECT_EQ(lab_loop_run(agent.loop, has_newline, &command, WAIT_MS), 0);
	ASSERT(command.out);
	child = atoi(command.out);
	EXPECT_EQ(agent_end(&agent), 0);
	EXPECT(command.ended);
	EXPECT_EQ(command.status, -1);
	EXPECT_STR(command.error, "the link to its machine closed");
	EXPECT(is_gone(child));
	command_deinit(&command);
}

static void test_agent_death_ends_its_commands(void)
{
	struct command command;
	struct agent agent;

	ASSERT(agent_start(&agent, NULL));
	EXPECT_EQ(start_sh(&agent, &command, "exec sleep 2", 0), 0);
	lab_loop_run(agent.loop, NULL, NULL, 100);
	kill(agent.pid, SIGKILL);
	EXPECT_EQ(wait_for(&agent, &command), 0);
	EXPECT_EQ(command.status, -1);
	EXPECT(agent.closed);
	EXPECT_EQ(agent.closed_err, 0);
	EXPECT_EQ(agent_end(&agent), 137);
}

static void test_kmsg_comes_from_the_first_record(void)
{
	char path[] = "/tmp/tethys-kmsg-XXXXXX";
	static const char records[] = "6,1,100,-;first\n"
				      " SUBSYSTEM=pci\n"
				      "3,2,2500000,-;two\\x0alines\n"
				      "nonsense\n"
				      "12,3,3000001,-;last \\x5c of them\n";
	struct command command;
	struct agent agent;
	int fd = mkstemp(path);

	ASSERT(fd >= 0);
	EXPECT_EQ(write(fd, records, sizeof(records) - 1), sizeof(records) - 1);
	close(fd);
	ASSERT(agent_start(&agent, path));
	EXPECT_EQ(start_sh(&agent, &command, "sleep 0.1", 0), 0);
	EXPECT_EQ(wait_for(&agent, &command), 0);
	EXPECT_EQ(agent.lines, 4);
	EXPECT_STR(agent.line, "last \\ of them");
	EXPECT_EQ(agent.line_us, 3000001);
	EXPECT_EQ(agent.line_level, 4);
	EXPECT_EQ(agent_end(&agent), 0);
	unlink(path);
}

/* --- a runner that does wrong --- */

static void put(int fd, unsigned int bytes, unsigned int type, unsigned int id, const void *body,
		size_t body_bytes)
{
	struct lab_frame frame = {htole32(bytes), htole16((uint16_t)type), 0, htole32(id)};

	EXPECT_EQ(write(fd, &frame, sizeof(frame)), sizeof(frame));
	if (body_bytes)
		EXPECT_EQ(write(fd, body, body_bytes), body_bytes);
}

/* Return: 1 a frame, 0 the end, -1 nothing in time. */
static int get(int fd, struct lab_frame_in *in, struct lab_frame_view *ret_view)
{
	struct pollfd one = {.fd = fd, .events = POLLIN};
	ssize_t got;

	while (lab_frame_in_next(in, ret_view) != 1) {
		if (poll(&one, 1, WAIT_MS) <= 0)
			return -1;
		got = lab_frame_in_read(in, fd);
		if (got <= 0)
			return 0;
	}
	return 1;
}

static void expect_error(int fd, struct lab_frame_in *in, unsigned int id, const char *part)
{
	struct lab_frame_view view;
	char text[512];

	ASSERT_EQ(get(fd, in, &view), 1);
	EXPECT_EQ(view.type, LAB_FRAME_ERROR);
	EXPECT_EQ(view.id, id);
	snprintf(text, sizeof(text), "%.*s", (int)view.bytes, (const char *)view.body);
	EXPECT_HAS(text, part);
}

static void test_wrong_frames_are_answered_and_survived(void)
{
	static const struct lab_exec none = {0};
	struct lab_exec one = {.argc = htole16(1)};
	char body[sizeof(one) + 5];
	struct lab_frame_in in;
	struct lab_frame_view view;
	struct agent agent;
	int fd = agent_spawn(&agent, NULL), status;

	ASSERT(fd >= 0 && !lab_frame_in_init(&in));
	ASSERT_EQ(get(fd, &in, &view), 1);
	EXPECT_EQ(view.type, LAB_FRAME_HELLO);
	put(fd, 0, 99, 0, NULL, 0);
	expect_error(fd, &in, 0, "type 99");
	put(fd, 3, LAB_FRAME_EXEC, 5, "abc", 3);
	expect_error(fd, &in, 5, "cannot be read");
	put(fd, sizeof(none), LAB_FRAME_EXEC, 5, &none, sizeof(none));
	expect_error(fd, &in, 5, "cannot be read");
	memcpy(body, &one, sizeof(one));
	memcpy(body + sizeof(one), "true!", 5); /* no end of string */
	put(fd, sizeof(body), LAB_FRAME_EXEC, 6, body, sizeof(body));
	expect_error(fd, &in, 6, "cannot be read");
	put(fd, sizeof(body), LAB_FRAME_EXEC, 0, body, sizeof(body));
	expect_error(fd, &in, 0, "no id");
	put(fd, 1, LAB_FRAME_SIGNAL, 6, "x", 1);
	expect_error(fd, &in, 0, "SIGNAL of 1 bytes");
	put(fd, 1, LAB_FRAME_WINSIZE, 6, "x", 1);
	expect_error(fd, &in, 0, "WINSIZE of 1 bytes");
	put(fd, 0, LAB_FRAME_POWEROFF, 0, NULL, 0);
	expect_error(fd, &in, 0, "no machine");
	/* Still there. */
	put(fd, 0, LAB_FRAME_PING, 0, NULL, 0);
	ASSERT_EQ(get(fd, &in, &view), 1);
	EXPECT_EQ(view.type, LAB_FRAME_HELLO);
	/* A length beyond all frames: out of step, so it ends. */
	put(fd, LAB_FRAME_BYTES_MAX + 1, LAB_FRAME_PING, 0, NULL, 0);
	expect_error(fd, &in, 0, "make no sense");
	EXPECT_EQ(get(fd, &in, &view), 0);
	EXPECT_EQ(waitpid(agent.pid, &status, 0), agent.pid);
	EXPECT_EQ(status, 0);
	lab_frame_in_deinit(&in);
	close(fd);
}

static void test_an_id_in_use_does_not_end_its_command(void)
{
	struct lab_exec head = {.argc = htole16(2)};
	char body[sizeof(head) + 10];
	struct lab_frame_in in;
	struct lab_frame_view view;
	struct agent agent;
	int fd = agent_spawn(&agent, NULL);

	ASSERT(fd >= 0 && !lab_frame_in_init(&in));
	ASSERT_EQ(get(fd, &in, &view), 1);
	memcpy(body, &head, sizeof(head));
	memcpy(body + sizeof(head),
	       "sleep\0"
	       "0.2",
	       10);
	put(fd, sizeof(body), LAB_FRAME_EXEC, 7, body, sizeof(body));
	put(fd, sizeof(body), LAB_FRAME_EXEC, 7, body, sizeof(body));
	expect_error(fd, &in, 0, "in use");
	ASSERT_EQ(get(fd, &in, &view), 1);
	EXPECT_EQ(view.type, LAB_FRAME_EXIT);
	EXPECT_EQ(view.id, 7);
	lab_frame_in_deinit(&in);
	close(fd);
	EXPECT_EQ(waitpid(agent.pid, NULL, 0), agent.pid);
}

/* Types that start nothing and end nothing, with bodies of noise. */
static void test_noise_is_survived(void)
{
	static const unsigned char types[] = {0,
					      LAB_FRAME_HELLO,
					      LAB_FRAME_PING,
					      LAB_FRAME_STDIN,
					      LAB_FRAME_SIGNAL,
					      LAB_FRAME_WINSIZE,
					      LAB_FRAME_EXIT,
					      200};
	struct lab_frame_view view = {0};
	struct lab_frame_in in;
	struct agent agent;
	unsigned char body[64];
	unsigned int i, j, last = 0;
	uint32_t state = 12345;
	int fd = agent_spawn(&agent, NULL);

	ASSERT(fd >= 0 && !lab_frame_in_init(&in));
	for (i = 0; i < 500; i++) {
		for (j = 0; j < sizeof(body); j++)
			body[j] = (unsigned char)((state = state * 1103515245 + 12345) >> 16);
		j = body[0] % sizeof(body);
		put(fd, j, types[body[1] % sizeof(types)], body[2], body, j);
	}
	shutdown(fd, SHUT_WR);
	while (get(fd, &in, &view) == 1)
		last = view.type;
	EXPECT(last == LAB_FRAME_ERROR || last == LAB_FRAME_HELLO);
	lab_frame_in_deinit(&in);
	close(fd);
	EXPECT_EQ(waitpid(agent.pid, NULL, 0), agent.pid);
}

int main(int argc, char **argv)
{
	if (argc != 2) {
		fprintf(stderr, "agent_test AGENT\n");
		return 2;
	}
	agent_path = argv[1];
	signal(SIGPIPE, SIG_IGN);
	RUN(test_agent_says_hello_once);
	RUN(test_exec_tells_exit_codes_and_signals);
	RUN(test_exec_of_nothing_says_so);
	RUN(test_exec_keeps_outputs_apart);
	RUN(test_exec_adds_to_the_environment);
	RUN(test_exec_with_a_slow_reader_loses_no_byte);
	RUN(test_stdin_comes_back_until_its_end);
	RUN(test_stdin_beyond_the_limit_waits_and_goes_on);
	RUN(test_timeout_kills_the_whole_group);
	RUN(test_signal_reaches_the_group);
	RUN(test_pty_has_the_size_it_is_told);
	RUN(test_pty_output_is_complete_at_the_end);
	RUN(test_pty_end_of_input_ends_the_reader);
	RUN(test_three_commands_run_at_once);
	RUN(test_background_process_does_not_delay_the_end);
	RUN(test_link_closed_kills_what_runs);
	RUN(test_agent_death_ends_its_commands);
	RUN(test_kmsg_comes_from_the_first_record);
	RUN(test_wrong_frames_are_answered_and_survived);
	RUN(test_an_id_in_use_does_not_end_its_command);
	RUN(test_noise_is_survived);
	return tap_done();
}
