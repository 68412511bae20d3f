/* SPDX-License-Identifier: MIT */
/* The link against an agent played by the test, byte by byte; and lab_shell(). */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "lab/agent/frame.h"
#include "lab/link.h"
#include "tests/tap.h"

#define WAIT_MS 10000

struct peer {
	struct lab_loop *loop;
	struct lab_link *link;
	int fd;
	struct lab_frame_in in;
	unsigned int hellos, lines, errors, closes, ends;
	int closed_err, status;
	bool timed_out, destroy_in_hello, destroy_at_end, exec_at_end;
	uint64_t elapsed_us;
	char text[2048], output[256], error[256];
};

static const struct lab_command_events command_events;

static void on_hello(void *ctx, uint64_t uptime_us, const char *text)
{
	struct peer *peer = ctx;

	(void)uptime_us;
	peer->hellos++;
	snprintf(peer->text, sizeof(peer->text), "%s", text);
	if (peer->destroy_in_hello) {
		lab_link_destroy(peer->link);
		peer->link = NULL;
	}
}

static void on_kmsg(void *ctx, uint64_t time_us, unsigned int level, const char *line)
{
	struct peer *peer = ctx;

	peer->lines++;
	snprintf(peer->text, sizeof(peer->text), "%u %llu %s", level, (unsigned long long)time_us,
		 line);
}

static void on_error(void *ctx, const char *text)
{
	struct peer *peer = ctx;

	peer->errors++;
	snprintf(peer->text, sizeof(peer->text), "%s", text);
}

static void on_closed(void *ctx, int err)
{
	struct peer *peer = ctx;

	peer->closes++;
	peer->closed_err = err;
}

static void on_output(void *ctx, bool is_stderr, const char *data, size_t len)
{
	struct peer *peer = ctx;

	snprintf(peer->output, sizeof(peer->output), "%c%.*s", is_stderr ? 'E' : 'O', (int)len,
		 data);
}

static const char *const argv_true[] = {"true", NULL};

static void on_ended(void *ctx, int status, bool timed_out, uint64_t elapsed_us, const char *error)
{
	const struct lab_command command = {.argv = argv_true};
	struct peer *peer = ctx;
	uint32_t id;

	peer->ends++;
	peer->status = status;
	peer->timed_out = timed_out;
	peer->elapsed_us = elapsed_us;
	snprintf(peer->error, sizeof(peer->error), "%s", error ? error : "");
	if (peer->exec_at_end)
		EXPECT_EQ(lab_link_exec(peer->link, &command, &command_events, peer, &id), -EPIPE);
	if (peer->destroy_at_end) {
		lab_link_destroy(peer->link);
		peer->link = NULL;
	}
}

static const struct lab_command_events command_events = {.output = on_output, .ended = on_ended};

static bool peer_init(struct peer *peer)
{
	static const struct lab_link_events events = {on_hello, on_kmsg, on_error, on_closed};
	int pair[2];

	memset(peer, 0, sizeof(*peer));
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
		return false;
	peer->fd = pair[1];
	return !lab_frame_in_init(&peer->in) && !lab_loop_create(&peer->loop) &&
	       !lab_link_create(peer->loop, pair[0], &events, peer, &peer->link);
}

static void peer_deinit(struct peer *peer)
{
	lab_link_destroy(peer->link);
	lab_loop_destroy(peer->loop);
	lab_frame_in_deinit(&peer->in);
	if (peer->fd >= 0)
		close(peer->fd);
}

static void say(struct peer *peer, unsigned int type, uint32_t id, const void *body, size_t bytes)
{
	struct lab_frame_out out = {0};

	EXPECT_EQ(lab_frame_out_add(&out, type, id, body, bytes, NULL, 0), 0);
	EXPECT_EQ(write(peer->fd, out.data, out.end), out.end);
	lab_frame_out_deinit(&out);
}

static void say_hello(struct peer *peer, uint64_t uptime_us, const char *text)
{
	struct {
		struct lab_hello hello;
		char text[64];
	} body = {.hello = {htole64(LAB_HELLO_MAGIC), htole64(uptime_us)}};

	snprintf(body.text, sizeof(body.text), "%s", text);
	say(peer, LAB_FRAME_HELLO, 0, &body, sizeof(body.hello) + strlen(body.text));
}

static void turn(struct peer *peer)
{
	EXPECT_EQ(lab_loop_run(peer->loop, NULL, NULL, 20), -ETIMEDOUT);
}

static int hear(struct peer *peer, struct lab_frame_view *ret_view)
{
	struct pollfd one = {.fd = peer->fd, .events = POLLIN};

	while (lab_frame_in_next(&peer->in, ret_view) != 1) {
		if (poll(&one, 1, WAIT_MS) <= 0 || lab_frame_in_read(&peer->in, peer->fd) <= 0)
			return -1;
	}
	return (int)ret_view->type;
}

static uint32_t exec_true(struct peer *peer)
{
	const struct lab_command command = {.argv = argv_true, .timeout_ms = 5};
	uint32_t id = 0;

	EXPECT_EQ(lab_link_exec(peer->link, &command, &command_events, peer, &id), 0);
	return id;
}

/* --- tests --- */

static void test_link_pings_and_hears_hello_once_per_start(void)
{
	struct lab_frame_view view;
	struct peer peer;

	ASSERT(peer_init(&peer));
	EXPECT_EQ(hear(&peer, &view), LAB_FRAME_PING);
	say_hello(&peer, 1000, "host\x1b[2J\n");
	say_hello(&peer, 2000, "host");
	turn(&peer);
	EXPECT_EQ(peer.hellos, 1);
	EXPECT_STR(peer.text, "host?[2J?"); /* nothing that a terminal obeys */
	say_hello(&peer, 500, "again");
	turn(&peer);
	EXPECT_EQ(peer.hellos, 2);
	EXPECT_STR(peer.text, "again");
	peer_deinit(&peer);
}

static void test_link_skips_what_was_for_another(void)
{
	static const char rest[] = "the end of a frame, and a whole one: ";
	struct peer peer;

	ASSERT(peer_init(&peer));
	EXPECT_EQ(write(peer.fd, rest, sizeof(rest)), sizeof(rest));
	say(&peer, LAB_FRAME_STDOUT, 77, "old", 3);
	turn(&peer);
	EXPECT_EQ(peer.closes, 0);
	say_hello(&peer, 1000, "new");
	turn(&peer);
	EXPECT_EQ(peer.hellos, 1);
	EXPECT_EQ(peer.closes, 0);
	peer_deinit(&peer);
}

static void test_link_passes_frames_on(void)
{
	struct {
		struct lab_kmsg kmsg;
		char text[5];
	} __attribute__((packed)) line = {{htole64(42), htole32(3), 0}, "li\tn"};
	struct lab_exit body = {htole32(9), htole32(1), htole64(1234)};
	struct lab_frame_view view;
	struct lab_exec head;
	struct peer peer;
	uint32_t id;

	ASSERT(peer_init(&peer));
	say_hello(&peer, 1000, "x");
	EXPECT_EQ(hear(&peer, &view), LAB_FRAME_PING);
	id = exec_true(&peer);
	EXPECT_EQ(hear(&peer, &view), LAB_FRAME_EXEC);
	EXPECT_EQ(view.id, id);
	ASSERT_EQ(view.bytes, sizeof(head) + 5);
	memcpy(&head, view.body, sizeof(head));
	EXPECT_EQ(le32toh(head.timeout_ms), 5);
	EXPECT_EQ(le16toh(head.argc), 1);
	EXPECT(!memcmp(view.body + sizeof(head), "true", 5));
	say(&peer, LAB_FRAME_KMSG, 0, &line, sizeof(line) - 1);
	say(&peer, LAB_FRAME_STDERR, id, "oops", 4);
	turn(&peer);
	EXPECT_STR(peer.text, "3 42 li\tn");
	EXPECT_STR(peer.output, "Eoops");
	say(&peer, LAB_FRAME_STDOUT, id + 1, "stranger", 8);
	say(&peer, LAB_FRAME_EXIT, id, &body, sizeof(body));
	say(&peer, LAB_FRAME_EXIT, id, &body, sizeof(body));
	say(&peer, LAB_FRAME_ERROR, 0, "bad", 3);
	turn(&peer);
	EXPECT_STR(peer.output, "Eoops");
	EXPECT_EQ(peer.ends, 1);
	EXPECT_EQ(peer.status, 9);
	EXPECT(peer.timed_out);
	EXPECT_EQ(peer.elapsed_us, 1234);
	EXPECT_EQ(peer.errors, 1);
	peer_deinit(&peer);
}

static void test_link_command_that_did_not_start_ends(void)
{
	struct peer peer;

	ASSERT(peer_init(&peer));
	say_hello(&peer, 1000, "x");
	say(&peer, LAB_FRAME_ERROR, exec_true(&peer), "no such file", 12);
	turn(&peer);
	EXPECT_EQ(peer.ends, 1);
	EXPECT_EQ(peer.status, -1);
	EXPECT_STR(peer.error, "no such file");
	peer_deinit(&peer);
}

static void test_link_closed_by_the_agent_ends_commands_first(void)
{
	struct lab_frame_view view;
	struct peer peer;

	ASSERT(peer_init(&peer));
	say_hello(&peer, 1000, "x");
	exec_true(&peer);
	exec_true(&peer);
	while (hear(&peer, &view) != LAB_FRAME_EXEC) /* else closing resets the connection */
		;
	hear(&peer, &view);
	peer.exec_at_end = true;
	close(peer.fd);
	peer.fd = -1;
	turn(&peer);
	EXPECT_EQ(peer.ends, 2);
	EXPECT_EQ(peer.status, -1);
	EXPECT_EQ(peer.closes, 1);
	EXPECT_EQ(peer.closed_err, 0);
	EXPECT_EQ(lab_link_poweroff(peer.link), -EPIPE);
	peer_deinit(&peer);
	EXPECT_EQ(peer.closes, 1);
}

static void test_link_closes_when_the_machine_has_gone(void)
{
	struct peer peer;

	ASSERT(peer_init(&peer));
	say_hello(&peer, 1000, "x");
	exec_true(&peer);
	say(&peer, LAB_FRAME_GONE, 0, NULL, 0);
	turn(&peer);
	EXPECT_EQ(peer.ends, 1);
	EXPECT_EQ(peer.closes, 1);
	EXPECT_EQ(peer.closed_err, 0);
	peer_deinit(&peer);
}

static void test_link_closes_on_nonsense(void)
{
	static const struct {
		uint32_t bytes;
		uint16_t type, reserved;
	} cases[] = {
		{LAB_FRAME_BYTES_MAX + 1, LAB_FRAME_STDOUT, 0}, /* too long */
		{0xffffffff, LAB_FRAME_STDOUT, 0},
		{0, LAB_FRAME_STDOUT, 1}, /* reserved */
		{0, LAB_FRAME_EXEC, 0},	  /* a runner's */
		{0, 99, 0},		  /* nobody's */
		{3, LAB_FRAME_EXIT, 0},	  /* too short */
		{sizeof(struct lab_exit) + 1, LAB_FRAME_EXIT, 0},
		{sizeof(struct lab_exit), LAB_FRAME_EXIT, 0}, /* status 0xffffffff */
		{sizeof(struct lab_kmsg) - 1, LAB_FRAME_KMSG, 0},
		{sizeof(struct lab_kmsg), LAB_FRAME_KMSG, 0}, /* level 0xffffffff */
		{2, LAB_FRAME_HELLO, 0},
	};
	unsigned char body[64];
	struct peer peer;
	size_t i;

	memset(body, 0xff, sizeof(body));
	for (i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct lab_frame frame = {htole32(cases[i].bytes), htole16(cases[i].type),
					  htole16(cases[i].reserved), 0};

		ASSERT(peer_init(&peer));
		say_hello(&peer, 1000, "x");
		exec_true(&peer);
		EXPECT_EQ(write(peer.fd, &frame, sizeof(frame)), sizeof(frame));
		EXPECT_EQ(write(peer.fd, body, sizeof(body)), sizeof(body));
		turn(&peer);
		EXPECT_EQ(peer.closes, 1);
		EXPECT_EQ(peer.closed_err, -EPROTO);
		EXPECT_EQ(peer.ends, 1);
		peer_deinit(&peer);
	}
}

static void test_link_callbacks_may_destroy_it(void)
{
	struct lab_exit body = {0};
	struct peer peer;

	ASSERT(peer_init(&peer));
	exec_true(&peer);
	peer.destroy_in_hello = true;
	say_hello(&peer, 1000, "x");
	say_hello(&peer, 500, "never heard");
	turn(&peer);
	EXPECT_EQ(peer.hellos, 1);
	EXPECT_EQ(peer.ends, 1);
	EXPECT_EQ(peer.closes, 0);
	peer_deinit(&peer);

	ASSERT(peer_init(&peer));
	say_hello(&peer, 1000, "x");
	peer.destroy_at_end = true;
	say(&peer, LAB_FRAME_EXIT, exec_true(&peer), &body, sizeof(body));
	say(&peer, LAB_FRAME_ERROR, 0, "never heard", 11);
	turn(&peer);
	EXPECT_EQ(peer.ends, 1);
	EXPECT_EQ(peer.errors, 0);
	peer_deinit(&peer);
}

static void test_link_refuses_a_command_longer_than_a_frame(void)
{
	static char huge[LAB_FRAME_BYTES_MAX];
	const char *const argv[] = {huge, NULL};
	const struct lab_command command = {.argv = argv};
	struct peer peer;
	uint32_t id;

	memset(huge, 'x', sizeof(huge) - 1);
	ASSERT(peer_init(&peer));
	EXPECT_EQ(lab_link_exec(peer.link, &command, &command_events, &peer, &id), -E2BIG);
	peer_deinit(&peer);
	EXPECT_EQ(peer.ends, 0);
}

static void test_link_queues_what_the_agent_does_not_take(void)
{
	static char data[1 << 20];
	struct lab_frame_view view = {0};
	struct peer peer;
	size_t heard = 0;
	uint32_t id;

	ASSERT(peer_init(&peer));
	id = exec_true(&peer);
	EXPECT_EQ(lab_link_stdin(peer.link, id, data, sizeof(data)), 0);
	EXPECT_EQ(lab_link_stdin(peer.link, id, NULL, 0), 0);
	EXPECT(lab_link_queued(peer.link) > sizeof(data) / 2);
	fcntl(peer.fd, F_SETFL, O_NONBLOCK);
	while (lab_link_queued(peer.link) || heard < sizeof(data)) {
		int64_t from_ms = lab_now_ms();

		lab_loop_run(peer.loop, NULL, NULL, 1);
		while (lab_frame_in_next(&peer.in, &view) == 1 ||
		       lab_frame_in_read(&peer.in, peer.fd) > 0)
			if (view.type == LAB_FRAME_STDIN) {
				heard += view.bytes;
				view.type = 0;
			}
		ASSERT(lab_now_ms() - from_ms < WAIT_MS);
	}
	EXPECT_EQ(heard, sizeof(data));
	peer_deinit(&peer);
}

/* --- lab_shell() --- */

static const char *agent_path;
static char socket_path[64];

/* A machine: who connects to the socket gets an agent, or silence and then the end. */
static pid_t machine_start(bool with_agent)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int listener = socket(AF_UNIX, SOCK_STREAM, 0), fd;
	char number[16];
	pid_t pid;

	snprintf(socket_path, sizeof(socket_path), "/tmp/tethys-shell-%d", getpid());
	strcpy(addr.sun_path, socket_path);
	unlink(socket_path);
	if (listener < 0 || bind(listener, (struct sockaddr *)&addr, sizeof(addr)) ||
	    listen(listener, 1))
		abort();
	pid = fork();
	if (pid) {
		close(listener);
		return pid;
	}
	alarm(30);
	fd = accept(listener, NULL, NULL);
	if (!with_agent) {
		usleep(100000);
		_exit(0);
	}
	snprintf(number, sizeof(number), "%d", fd);
	execl(agent_path, agent_path, "--serve", number, NULL);
	_exit(127);
}

static void machine_end(pid_t pid)
{
	EXPECT_EQ(waitpid(pid, NULL, 0), pid);
	unlink(socket_path);
}

/* In a process of its own, with those descriptors. Return: its pid. */
static pid_t shell_start(int in, int out, int err, bool terminal, const char *const *argv)
{
	struct reason why = {0};
	pid_t pid = fork();
	int ret;

	if (pid)
		return pid;
	alarm(30);
	if (terminal && (setsid() < 0 || ioctl(in, TIOCSCTTY, 0)))
		_exit(99);
	if (dup2(in, 0) < 0 || dup2(out, 1) < 0 || dup2(err, 2) < 0)
		_exit(98);
	for (in = 3; in < 64; in++)
		close(in);
	ret = lab_shell(socket_path, argv, &why);
	if (ret < 0)
		dprintf(2, "%s", why.text);
	_exit(ret < 0 ? 100 - ret : ret);
}

static int status_of(pid_t pid)
{
	int status = 0;

	waitpid(pid, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

static void read_all(int fd, char *text, size_t size)
{
	size_t at = 0;
	ssize_t got;

	while (at < size - 1 && (got = read(fd, text + at, size - 1 - at)) > 0)
		at += (size_t)got;
	text[at] = 0;
}

static void test_shell_with_pipes_passes_all_three(void)
{
	static const char *const argv[] = {"sh", "-c",
					   "read x; echo got $x; cat; echo e >&2; exit 6", NULL};
	int in[2], out[2], err[2];
	char text[256];
	pid_t machine = machine_start(true), shell;

	ASSERT(!pipe(in) && !pipe(out) && !pipe(err));
	EXPECT_EQ(write(in[1], "one\ntwo\n", 8), 8);
	shell = shell_start(in[0], out[1], err[1], false, argv);
	close(in[0]);
	close(in[1]);
	close(out[1]);
	close(err[1]);
	read_all(out[0], text, sizeof(text));
	EXPECT_STR(text, "got one\ntwo\n");
	read_all(err[0], text, sizeof(text));
	EXPECT_STR(text, "e\n");
	EXPECT_EQ(status_of(shell), 6);
	machine_end(machine);
	close(out[0]);
	close(err[0]);
}

/* Read what the terminal shows until it has @part. */
static bool shown(int master, char *text, size_t size, const char *part)
{
	struct pollfd one = {.fd = master, .events = POLLIN};
	size_t at = strlen(text);
	ssize_t got;

	while (!strstr(text, part)) {
		if (at == size - 1 || poll(&one, 1, WAIT_MS) <= 0)
			return false;
		got = read(master, text + at, size - 1 - at);
		if (got <= 0)
			return false;
		at += (size_t)got;
		text[at] = 0;
	}
	return true;
}

static int terminal_open(int *ret_slave)
{
	int master = posix_openpt(O_RDWR | O_NOCTTY);

	if (master < 0 || grantpt(master) || unlockpt(master))
		return -1;
	*ret_slave = open(ptsname(master), O_RDWR | O_NOCTTY);
	return master;
}

static void test_shell_on_a_terminal_is_raw_and_follows_its_size(void)
{
	static const char *const argv[] = {"sh", "-c", "stty size; read x; stty size; exit 4",
					   NULL};
	struct winsize size = {.ws_row = 33, .ws_col = 77};
	struct termios before, meanwhile, after;
	char text[4096] = "";
	int slave = -1, master = terminal_open(&slave);
	pid_t machine, shell;

	ASSERT(master >= 0 && slave >= 0);
	ioctl(master, TIOCSWINSZ, &size);
	tcgetattr(slave, &before);
	machine = machine_start(true);
	shell = shell_start(slave, slave, slave, true, argv);
	EXPECT(shown(master, text, sizeof(text), "33 77"));
	tcgetattr(slave, &meanwhile);
	EXPECT(!(meanwhile.c_lflag & (ICANON | ECHO | ISIG)));
	size.ws_row = 44;
	ioctl(master, TIOCSWINSZ, &size); /* SIGWINCH to the shell's process */
	usleep(300000);
	EXPECT_EQ(write(master, "\r", 1), 1);
	EXPECT(shown(master, text, sizeof(text), "44 77"));
	EXPECT_EQ(status_of(shell), 4);
	tcgetattr(slave, &after);
	EXPECT_EQ(after.c_lflag, before.c_lflag);
	EXPECT_EQ(after.c_iflag, before.c_iflag);
	machine_end(machine);
	close(slave);
	close(master);
}

static void test_shell_ended_by_a_signal_restores_the_terminal(void)
{
	static const char *const argv[] = {"sh", "-c", "echo ready; sleep 100", NULL};
	struct termios before, after;
	char text[4096] = "";
	int slave = -1, master = terminal_open(&slave);
	pid_t machine, shell;

	ASSERT(master >= 0 && slave >= 0);
	tcgetattr(slave, &before);
	machine = machine_start(true);
	shell = shell_start(slave, slave, slave, true, argv);
	EXPECT(shown(master, text, sizeof(text), "ready"));
	kill(shell, SIGTERM);
	EXPECT_EQ(status_of(shell), 100 + EINTR);
	tcgetattr(slave, &after);
	EXPECT_EQ(after.c_lflag, before.c_lflag);
	machine_end(machine);
	close(slave);
	close(master);
}

static void test_shell_says_when_the_machine_goes(void)
{
	int in[2], err[2];
	char text[256];
	pid_t machine = machine_start(false), shell;

	ASSERT(!pipe(in) && !pipe(err));
	shell = shell_start(in[0], err[1], err[1], false, NULL);
	close(err[1]);
	read_all(err[0], text, sizeof(text));
	EXPECT_STR(text, "the machine has gone");
	EXPECT_EQ(status_of(shell), 100 + EPIPE);
	machine_end(machine);
	/* And now nobody listens. */
	EXPECT_EQ(lab_shell(socket_path, NULL, NULL), -ENOENT);
	close(in[0]);
	close(in[1]);
	close(err[0]);
}

int main(int argc, char **argv)
{
	if (argc != 2) {
		fprintf(stderr, "link_test AGENT\n");
		return 2;
	}
	agent_path = argv[1];
	signal(SIGPIPE, SIG_IGN);
	RUN(test_link_pings_and_hears_hello_once_per_start);
	RUN(test_link_skips_what_was_for_another);
	RUN(test_link_passes_frames_on);
	RUN(test_link_command_that_did_not_start_ends);
	RUN(test_link_closed_by_the_agent_ends_commands_first);
	RUN(test_link_closes_when_the_machine_has_gone);
	RUN(test_link_closes_on_nonsense);
	RUN(test_link_callbacks_may_destroy_it);
	RUN(test_link_refuses_a_command_longer_than_a_frame);
	RUN(test_link_queues_what_the_agent_does_not_take);
	RUN(test_shell_with_pipes_passes_all_three);
	RUN(test_shell_on_a_terminal_is_raw_and_follows_its_size);
	RUN(test_shell_ended_by_a_signal_restores_the_terminal);
	RUN(test_shell_says_when_the_machine_goes);
	return tap_done();
}
