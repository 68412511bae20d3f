/* SPDX-License-Identifier: MIT */
/*
 * Commands of the runner: started, fed, listened to, ended.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "lab/agent/agent.h"

#define READ_BYTES 16384
/* A terminal's rest: the kernel passes it on in a work item, and then hangs up. */
#define DRAIN_US 300000
#define DRAIN_BYTES (1u << 20)

static int64_t raw_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC_RAW, &now);
	return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static struct agent_command *find(const struct agent_port *port, uint32_t id)
{
	struct agent_command *command = port->commands;

	while (command && command->id != id)
		command = command->next;
	return command;
}

/* To its process group, which it makes itself: until then it is alone. */
static void command_kill(const struct agent_command *command, int signum)
{
	if (kill(-command->pid, signum) && errno == ESRCH)
		kill(command->pid, signum);
}

static void command_free(struct agent_command *command)
{
	agent_close(&command->in.fd);
	agent_close(&command->out.fd);
	agent_close(&command->err.fd);
	agent_close(&command->failure);
	free(command->input);
	free(command);
}

/* --- start --- */

/* What the child gets, and what it must not keep. */
struct child_ends {
	int in, out, err, failure;
};

static void child_ends_close(struct child_ends *ends)
{
	agent_close(&ends->in);
	agent_close(&ends->out);
	agent_close(&ends->err);
	agent_close(&ends->failure);
}

static int pipe_make(int *ret_read, int *ret_write)
{
	int pair[2];

	if (pipe2(pair, O_CLOEXEC))
		return -errno;
	*ret_read = pair[0];
	*ret_write = pair[1];
	return 0;
}

static int set_nonblock(int fd)
{
	return fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) ? -errno : 0;
}

static int make_pipes(struct agent_command *command, struct child_ends *ends)
{
	int err = pipe_make(&ends->in, &command->in.fd);

	if (!err)
		err = pipe_make(&command->out.fd, &ends->out);
	if (!err)
		err = pipe_make(&command->err.fd, &ends->err);
	if (!err)
		err = set_nonblock(command->in.fd);
	if (!err)
		err = set_nonblock(command->out.fd);
	return err ? err : set_nonblock(command->err.fd);
}

static int set_winsize(int fd, unsigned int rows, unsigned int columns)
{
	struct winsize size = {.ws_row = (unsigned short)rows, .ws_col = (unsigned short)columns};

	return ioctl(fd, TIOCSWINSZ, &size) ? -errno : 0;
}

static int make_pty(struct agent_command *command, const struct lab_exec_parsed *exec,
		    struct child_ends *ends)
{
	int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);

	if (master < 0)
		return -errno;
	command->out.fd = master;
	if (grantpt(master) || unlockpt(master))
		return -errno;
	ends->in = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
	command->in.fd = fcntl(master, F_DUPFD_CLOEXEC, 0);
	if (ends->in < 0 || command->in.fd < 0)
		return -errno;
	if (exec->rows && exec->columns && set_winsize(master, exec->rows, exec->columns))
		return -errno;
	return set_nonblock(master); /* of both descriptors: they are one open file */
}

/* Ours are set to what suits process 1. */
static void child_signals(void)
{
	sigset_t none;
	int signum;

	for (signum = 1; signum < NSIG; signum++)
		signal(signum, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

static int child_streams(const struct child_ends *ends, bool pty)
{
	/* Duplicates above 2 first: an end may itself have a number below 3. */
	int in = fcntl(ends->in, F_DUPFD_CLOEXEC, 3);
	int out = pty ? in : fcntl(ends->out, F_DUPFD_CLOEXEC, 3);
	int err = pty ? in : fcntl(ends->err, F_DUPFD_CLOEXEC, 3);

	if (in < 0 || out < 0 || err < 0 || dup2(in, 0) < 0 || dup2(out, 1) < 0 || dup2(err, 2) < 0)
		return -errno;
	return 0;
}

static void child_run(const struct lab_exec_parsed *exec, const struct child_ends *ends)
	__attribute__((noreturn));

static void child_run(const struct lab_exec_parsed *exec, const struct child_ends *ends)
{
	bool pty = exec->flags & LAB_EXEC_PTY;
	char *const *env;
	int err = 0, failure = fcntl(ends->failure, F_DUPFD_CLOEXEC, 3);

	child_signals();
	if (setsid() < 0)
		err = errno;
	if (!err)
		err = -child_streams(ends, pty);
	if (!err && pty && ioctl(0, TIOCSCTTY, 0))
		err = errno;
	for (env = exec->env; !err && *env; env++)
		if (putenv(*env))
			err = errno;
	if (!err) {
		execvp(exec->argv[0], exec->argv);
		err = errno;
	}
	while (write(failure, &err, sizeof(err)) < 0 && errno == EINTR)
		;
	_exit(127);
}

static int command_start(struct agent_command *command, const struct lab_exec_parsed *exec)
{
	struct child_ends ends = {-1, -1, -1, -1};
	int err;

	command->pty = exec->flags & LAB_EXEC_PTY;
	err = command->pty ? make_pty(command, exec, &ends) : make_pipes(command, &ends);
	if (!err)
		err = pipe_make(&command->failure, &ends.failure);
	if (!err)
		err = set_nonblock(command->failure);
	if (!err) {
		command->started_us = raw_us();
		if (exec->timeout_ms)
			command->deadline_us = agent_now_us() + (int64_t)exec->timeout_ms * 1000;
		command->pid = fork();
		if (!command->pid)
			child_run(exec, &ends);
		if (command->pid < 0)
			err = -errno;
	}
	child_ends_close(&ends);
	return err;
}

static struct agent_command *command_new(uint32_t id, const char *name)
{
	struct agent_command *command = calloc(1, sizeof(*command));

	if (!command)
		return NULL;
	command->id = id;
	snprintf(command->name, sizeof(command->name), "%s", name);
	command->in.fd = command->out.fd = command->err.fd = command->failure = -1;
	command->in.at = command->out.at = command->err.at = -1;
	command->deadline_us = INT64_MAX;
	return command;
}

static void command_add(struct agent_port *port, uint32_t id, const struct lab_exec_parsed *exec)
{
	struct agent_command *command = command_new(id, exec->argv[0]);
	int err = command ? command_start(command, exec) : -ENOMEM;

	if (err) {
		agent_port_error(port, id, "cannot start %.128s: %s", exec->argv[0],
				 strerror(-err));
		if (command)
			command_free(command);
		return;
	}
	command->next = port->commands;
	port->commands = command;
	port->command_count++;
}

void agent_command_exec(struct agent_port *port, const struct lab_frame_view *view)
{
	struct lab_exec_parsed exec;
	int err;

	/* An error with that id would be taken for the end of the command that has it. */
	if (!view->id || find(port, view->id)) {
		agent_port_error(port, 0, "an EXEC with id %u, which is %s", view->id,
				 view->id ? "in use" : "no id");
		return;
	}
	if (port->command_count >= AGENT_COMMANDS_MAX) {
		agent_port_error(port, view->id, "%d commands run already", AGENT_COMMANDS_MAX);
		return;
	}
	err = lab_exec_parse(view->body, view->bytes, &exec);
	if (err) {
		agent_port_error(port, view->id, "an EXEC that cannot be read: %s", strerror(-err));
		return;
	}
	command_add(port, view->id, &exec);
	lab_exec_parsed_deinit(&exec);
}

/* --- input --- */

static void input_close(struct agent_command *command)
{
	free(command->input);
	command->input = NULL;
	command->input_start = command->input_end = command->input_room = 0;
	command->input_ended = true;
	agent_close(&command->in.fd);
}

static void input_write(struct agent_command *command)
{
	size_t left = command->input_end - command->input_start;
	ssize_t done;

	while (left) {
		done = write(command->in.fd, command->input + command->input_start, left);
		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0 && errno == EAGAIN)
			return;
		if (done < 0) {
			input_close(command); /* nobody reads it any more */
			return;
		}
		command->input_start += (size_t)done;
		left -= (size_t)done;
	}
	command->input_start = command->input_end = 0;
	if (command->input_ended)
		input_close(command);
}

static int input_add(struct agent_command *command, const void *data, size_t bytes)
{
	size_t used = command->input_end - command->input_start;
	unsigned char *bigger;

	if (used + bytes > AGENT_STDIN_MAX)
		return -EAGAIN;
	if (command->input_start)
		memmove(command->input, command->input + command->input_start, used);
	command->input_start = 0;
	command->input_end = used;
	if (used + bytes > command->input_room) {
		bigger = realloc(command->input, (used + bytes) * 2);
		if (!bigger)
			return -EAGAIN;
		command->input = bigger;
		command->input_room = (used + bytes) * 2;
	}
	memcpy(command->input + used, data, bytes);
	command->input_end += bytes;
	return 0;
}

int agent_command_stdin(struct agent_port *port, const struct lab_frame_view *view)
{
	static const unsigned char end_of_transmission = 4;
	struct agent_command *command = find(port, view->id);
	int err = 0;

	if (!command || command->in.fd < 0 || command->input_ended)
		return 0; /* it has ended meanwhile, or reads no more */
	if (view->bytes)
		err = input_add(command, view->body, view->bytes);
	else if (command->pty)
		err = input_add(command, &end_of_transmission, 1);
	else
		command->input_ended = true;
	if (!err)
		input_write(command);
	return err;
}

void agent_command_signal(struct agent_port *port, uint32_t id, int signum)
{
	const struct agent_command *command = find(port, id);

	if (signum < 1 || signum >= NSIG)
		agent_port_error(port, 0, "no signal %d", signum);
	else if (command && !command->ended)
		command_kill(command, signum);
}

void agent_command_winsize(struct agent_port *port, uint32_t id, unsigned int rows,
			   unsigned int columns)
{
	const struct agent_command *command = find(port, id);

	if (command && command->pty && command->out.fd >= 0)
		set_winsize(command->out.fd, rows, columns);
}

/* --- output and end --- */

/* Whoever else has the pipe open may write to it for ever: what is in it now is the command's. */
static void stream_ended(struct agent_command *command, struct agent_stream *stream)
{
	int waiting = 0;

	if (stream->fd < 0)
		return;
	if (command->pty)
		stream->left = DRAIN_BYTES;
	else if (!ioctl(stream->fd, FIONREAD, &waiting) && waiting > 0)
		stream->left = (size_t)waiting;
	else
		agent_close(&stream->fd);
}

bool agent_command_reaped(struct agent_port *port, pid_t pid, int wait_status)
{
	struct agent_command *command = port->commands;

	while (command && (command->pid != pid || command->ended))
		command = command->next;
	if (!command)
		return false;
	command->ended = true;
	command->elapsed_us = (uint64_t)(raw_us() - command->started_us);
	command->status = WIFEXITED(wait_status) ? (unsigned int)WEXITSTATUS(wait_status)
						 : 128u + (unsigned int)WTERMSIG(wait_status);
	command->drain_us = agent_now_us() + DRAIN_US;
	input_close(command);
	stream_ended(command, &command->out);
	stream_ended(command, &command->err);
	return true;
}

static void stream_read(struct agent_port *port, struct agent_command *command,
			struct agent_stream *stream, unsigned int type)
{
	static unsigned char data[READ_BYTES];
	size_t want = sizeof(data);
	ssize_t got;

	if (command->ended && stream->left < want)
		want = stream->left;
	got = read(stream->fd, data, want);
	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (got <= 0) { /* a terminal that nobody has open any more gives EIO */
		agent_close(&stream->fd);
		return;
	}
	agent_port_send(port, type, command->id, data, (size_t)got, NULL, 0);
	if (!command->ended)
		return;
	stream->left -= (size_t)got;
	if (!stream->left)
		agent_close(&stream->fd);
}

static void send_exit(struct agent_port *port, struct agent_command *command)
{
	struct lab_exit body = {
		.status = htole32(command->status),
		.timed_out = htole32(command->timed_out),
		.elapsed_us = htole64(command->elapsed_us),
	};
	int err;

	if (read(command->failure, &err, sizeof(err)) == sizeof(err))
		agent_port_error(port, command->id, "cannot run %s: %s", command->name,
				 strerror(err));
	else
		agent_port_send(port, LAB_FRAME_EXIT, command->id, &body, sizeof(body), NULL, 0);
}

static void watch(struct agent_port *port, struct agent_command *command, struct agent_set *set)
{
	bool room = !agent_port_full(port);

	command->in.at = command->out.at = command->err.at = -1;
	if (command->in.fd >= 0 && command->input_end > command->input_start)
		command->in.at = agent_set_add(set, command->in.fd, POLLOUT);
	if (command->out.fd >= 0 && room)
		command->out.at = agent_set_add(set, command->out.fd, POLLIN);
	if (command->err.fd >= 0 && room)
		command->err.at = agent_set_add(set, command->err.fd, POLLIN);
	if (!command->ended)
		agent_set_timer(set, command->timed_out ? INT64_MAX : command->deadline_us);
	else if (room)
		agent_set_timer(set, command->drain_us);
}

void agent_command_watch(struct agent_port *port, struct agent_set *set)
{
	struct agent_command *command;

	for (command = port->commands; command; command = command->next)
		watch(port, command, set);
}

static void command_dispatch(struct agent_port *port, struct agent_command *command,
			     const struct agent_set *set)
{
	int64_t now_us = agent_now_us();
	bool quiet;

	if (agent_set_seen(set, command->in.at) && command->in.fd >= 0)
		input_write(command);
	quiet = !agent_set_seen(set, command->out.at) && command->out.at >= 0;
	if (agent_set_seen(set, command->out.at) && command->out.fd >= 0)
		stream_read(port, command, &command->out, LAB_FRAME_STDOUT);
	if (agent_set_seen(set, command->err.at) && command->err.fd >= 0)
		stream_read(port, command, &command->err, LAB_FRAME_STDERR);
	if (!command->ended && !command->timed_out && now_us >= command->deadline_us) {
		command->timed_out = true;
		command_kill(command, SIGKILL);
	}
	if (command->ended && command->pty && quiet && now_us >= command->drain_us)
		agent_close(&command->out.fd);
}

void agent_command_dispatch(struct agent_port *port, const struct agent_set *set)
{
	struct agent_command **at = &port->commands, *command;

	while ((command = *at)) {
		command_dispatch(port, command, set);
		if (!command->ended || command->out.fd >= 0 || command->err.fd >= 0) {
			at = &command->next;
			continue;
		}
		send_exit(port, command);
		*at = command->next;
		port->command_count--;
		command_free(command);
	}
}

void agent_command_drop_all(struct agent_port *port)
{
	struct agent_command *command;

	while ((command = port->commands)) {
		port->commands = command->next;
		if (!command->ended)
			command_kill(command, SIGKILL);
		command_free(command);
	}
	port->command_count = 0;
}
