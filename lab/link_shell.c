/* SPDX-License-Identifier: MIT */
/*
 * A shell in a machine, on the terminal of this process.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <termios.h>
#include <unistd.h>

#include "common/unix_socket.h"
#include "lab/link.h"

#define HELLO_MS 10000
#define STDIN_QUEUE_MAX (256u << 10)
#define FOR_EVER_MS (INT64_MAX / 4)

struct shell {
	struct lab_loop *loop;
	struct lab_link *link;
	struct termios saved;
	sigset_t saved_mask;
	int signals;
	bool terminal, raw, masked;
	bool greeted, closed, ended, stdin_watched, stdin_paused;
	int link_err, signum;
	uint32_t id;
	int status;
	char error[256];
};

/* --- the terminal --- */

static int terminal_raw(struct shell *shell)
{
	struct termios raw;

	if (tcgetattr(STDIN_FILENO, &shell->saved))
		return -errno;
	raw = shell->saved;
	cfmakeraw(&raw);
	if (tcsetattr(STDIN_FILENO, TCSAFLUSH, &raw))
		return -errno;
	shell->raw = true;
	return 0;
}

static void terminal_restore(struct shell *shell)
{
	if (shell->raw)
		tcsetattr(STDIN_FILENO, TCSAFLUSH, &shell->saved);
	shell->raw = false;
}

static void terminal_size(unsigned int *ret_rows, unsigned int *ret_columns)
{
	struct winsize size;

	*ret_rows = 24;
	*ret_columns = 80;
	if (!ioctl(STDIN_FILENO, TIOCGWINSZ, &size) && size.ws_row && size.ws_col) {
		*ret_rows = size.ws_row;
		*ret_columns = size.ws_col;
	}
}

/* --- events --- */

static void on_hello(void *ctx, uint64_t uptime_us, const char *text)
{
	struct shell *shell = ctx;

	(void)uptime_us;
	(void)text;
	shell->greeted = true;
}

static void on_closed(void *ctx, int err)
{
	struct shell *shell = ctx;

	shell->closed = true;
	shell->link_err = err;
}

/* Blocks: that is how a slow terminal slows the machine's output down. */
static void on_output(void *ctx, bool is_stderr, const char *data, size_t len)
{
	struct pollfd one = {.fd = is_stderr ? STDERR_FILENO : STDOUT_FILENO, .events = POLLOUT};
	struct shell *shell = ctx;
	ssize_t done;

	while (len && !shell->signum) {
		done = write(one.fd, data, len);
		if (done < 0 && errno == EAGAIN)
			poll(&one, 1, 1000);
		else if (done < 0 && errno != EINTR)
			return; /* nobody reads it: the command is none the wiser */
		if (done > 0) {
			data += done;
			len -= (size_t)done;
		}
	}
}

static void on_ended(void *ctx, int status, bool timed_out, uint64_t elapsed_us, const char *error)
{
	struct shell *shell = ctx;

	(void)timed_out;
	(void)elapsed_us;
	shell->ended = true;
	shell->status = status;
	if (error)
		snprintf(shell->error, sizeof(shell->error), "%s", error);
}

static void stdin_stop(struct shell *shell)
{
	if (shell->stdin_watched)
		lab_loop_remove(shell->loop, STDIN_FILENO);
	shell->stdin_watched = false;
}

static void on_stdin(void *ctx, short revents)
{
	struct shell *shell = ctx;
	char data[16384];
	ssize_t got;

	(void)revents;
	if (shell->ended || shell->closed) {
		stdin_stop(shell);
		return;
	}
	got = read(STDIN_FILENO, data, sizeof(data));
	if (got < 0 && (errno == EINTR || errno == EAGAIN))
		return;
	if (got <= 0)
		stdin_stop(shell);
	lab_link_stdin(shell->link, shell->id, data, got > 0 ? (size_t)got : 0);
	if (shell->stdin_watched && lab_link_queued(shell->link) > STDIN_QUEUE_MAX) {
		stdin_stop(shell);
		shell->stdin_paused = true;
	}
}

static void on_signal(void *ctx, short revents)
{
	struct shell *shell = ctx;
	struct signalfd_siginfo info;
	unsigned int rows, columns;

	(void)revents;
	if (read(shell->signals, &info, sizeof(info)) != sizeof(info))
		return;
	if (info.ssi_signo != SIGWINCH) {
		shell->signum = (int)info.ssi_signo;
		return;
	}
	terminal_size(&rows, &columns);
	if (shell->terminal && shell->id)
		lab_link_winsize(shell->link, shell->id, rows, columns);
}

static int stdin_watch(struct shell *shell)
{
	int err = lab_loop_add(shell->loop, STDIN_FILENO, POLLIN, on_stdin, shell);

	shell->stdin_watched = !err;
	return err;
}

static bool greeted(void *ctx)
{
	const struct shell *shell = ctx;

	return shell->greeted || shell->closed || shell->signum;
}

static bool finished(void *ctx)
{
	struct shell *shell = ctx;

	if (shell->stdin_paused && lab_link_queued(shell->link) < STDIN_QUEUE_MAX / 2)
		shell->stdin_paused = stdin_watch(shell) != 0;
	return shell->ended || shell->closed || shell->signum;
}

/* --- one shell --- */

static int catch_signals(struct shell *shell)
{
	static const int caught[] = {SIGWINCH, SIGINT, SIGTERM, SIGHUP, SIGQUIT};
	sigset_t mask;
	size_t i;

	sigemptyset(&mask);
	for (i = 0; i < sizeof(caught) / sizeof(*caught); i++)
		sigaddset(&mask, caught[i]);
	if (pthread_sigmask(SIG_BLOCK, &mask, &shell->saved_mask))
		return -EINVAL;
	shell->masked = true;
	shell->signals = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
	if (shell->signals < 0)
		return -errno;
	return lab_loop_add(shell->loop, shell->signals, POLLIN, on_signal, shell);
}

static int shell_connect(struct shell *shell, const char *socket_path, struct reason *why)
{
	static const struct lab_link_events events = {.hello = on_hello, .closed = on_closed};
	int fd = unix_socket_connect(socket_path, 0, 0), err;

	if (fd < 0)
		return reason_add(why, fd, "cannot reach the machine: %s: %s", socket_path,
				  strerror(-fd));
	err = lab_link_create(shell->loop, fd, &events, shell, &shell->link);
	if (!err)
		err = lab_loop_run(shell->loop, greeted, shell, HELLO_MS);
	if (err == -ETIMEDOUT)
		return reason_add(why, err,
				  "no answer in %d s: it is starting, or another shell "
				  "is open on it",
				  HELLO_MS / 1000);
	if (!err && shell->closed)
		err = reason_add(why, -EPIPE, "the machine has gone");
	return err;
}

static int shell_start(struct shell *shell, const char *const *argv, struct reason *why)
{
	static const char *const usual[] = {
		"/bin/sh", "-c", "command -v bash >/dev/null && exec bash || exec sh", NULL};
	static const struct lab_command_events events = {.output = on_output, .ended = on_ended};
	const char *term = getenv("TERM");
	char term_text[128];
	const char *const env[] = {term_text, NULL};
	struct lab_command command = {.argv = argv ? argv : usual, .pty = shell->terminal};
	int err;

	snprintf(term_text, sizeof(term_text), "TERM=%.100s", term ? term : "dumb");
	if (shell->terminal)
		command.env = env;
	terminal_size(&command.rows, &command.columns);
	err = lab_link_exec(shell->link, &command, &events, shell, &shell->id);
	return err ? reason_add(why, err, "cannot send the command: %s", strerror(-err)) : 0;
}

static int shell_result(const struct shell *shell, struct reason *why)
{
	if (shell->signum)
		return reason_add(why, -EINTR, "ended by signal %d", shell->signum);
	if (shell->closed && shell->link_err)
		return reason_add(why, shell->link_err, "the agent sent nonsense");
	if (shell->closed)
		return reason_add(why, -EPIPE, "the machine has gone");
	if (shell->status < 0)
		return reason_add(why, -EREMOTEIO, "%s", shell->error);
	return shell->status;
}

static int shell_run(struct shell *shell, const char *const *argv, struct reason *why)
{
	int err = 0;

	if (shell->signum)
		return shell_result(shell, why);
	if (shell->terminal)
		err = terminal_raw(shell);
	if (!err)
		err = stdin_watch(shell);
	if (err)
		return reason_add(why, err, "the terminal: %s", strerror(-err));
	err = shell_start(shell, argv, why);
	if (err)
		return err;
	err = lab_loop_run(shell->loop, finished, shell, FOR_EVER_MS);
	terminal_restore(shell);
	return err ? reason_add(why, err, "%s", strerror(-err)) : shell_result(shell, why);
}

static void shell_deinit(struct shell *shell)
{
	terminal_restore(shell);
	stdin_stop(shell);
	lab_link_destroy(shell->link);
	lab_loop_destroy(shell->loop);
	if (shell->signals >= 0)
		close(shell->signals);
	/* The signal that ended us stays pending no longer: signalfd has taken it. */
	if (shell->masked)
		pthread_sigmask(SIG_SETMASK, &shell->saved_mask, NULL);
}

int lab_shell(const char *socket_path, const char *const *argv, struct reason *why)
{
	struct shell shell = {.signals = -1, .terminal = isatty(STDIN_FILENO)};
	int ret = lab_loop_create(&shell.loop);

	if (!ret)
		ret = catch_signals(&shell);
	if (ret)
		reason_add(why, ret, "no event loop: %s", strerror(-ret));
	else
		ret = shell_connect(&shell, socket_path, why);
	if (!ret)
		ret = shell_run(&shell, argv, why);
	shell_deinit(&shell);
	return ret;
}
