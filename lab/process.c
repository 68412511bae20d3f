/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lab/process.h"

/* SIGKILL needs no longer, but for a process that waits for a broken disk. */
#define KILL_MS 10000

struct lab_process {
	struct lab_loop *loop;
	pid_t pid;
	int pidfd;
	bool running;
	int status;
};

/* --- the child --- */

struct child {
	const char *const *argv;
	int null, log, failure; /* log: -1: as ours */
	pid_t parent;
};

/* Return: only on failure; errno. */
static int child_exec(const struct child *child)
{
	sigset_t none;
	int signum;

	if (setpgid(0, 0) || prctl(PR_SET_PDEATHSIG, SIGKILL))
		return errno;
	if (getppid() != child->parent)
		return ESRCH; /* it died before we asked to be told */
	for (signum = 1; signum < NSIG; signum++)
		signal(signum, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	if (dup2(child->null, 0) < 0)
		return errno;
	if (child->log >= 0 && (dup2(child->log, 1) < 0 || dup2(child->log, 2) < 0))
		return errno;
	execvp(child->argv[0], (char *const *)(uintptr_t)child->argv);
	return errno;
}

static void child_run(const struct child *child) __attribute__((noreturn));

static void child_run(const struct child *child)
{
	int err = child_exec(child);
	ssize_t done = write(child->failure, &err, sizeof(err));

	_exit(done == sizeof(err) ? 127 : 126);
}

/* --- start --- */

/* Return: 0 it runs; negative errno it said why not. */
static int wait_for_exec(pid_t pid, int failure)
{
	int err = 0;
	ssize_t got;

	do {
		got = read(failure, &err, sizeof(err));
	} while (got < 0 && errno == EINTR);
	if (!got)
		return 0; /* closed by exec */
	waitpid(pid, NULL, 0);
	return got == sizeof(err) ? -err : -EIO;
}

static int spawn(struct lab_process *process, struct child *child)
{
	int pair[2], err;

	if (pipe2(pair, O_CLOEXEC))
		return -errno;
	child->failure = pair[1];
	child->parent = getpid();
	process->pid = fork();
	if (!process->pid)
		child_run(child);
	err = process->pid < 0 ? -errno : 0;
	close(pair[1]);
	if (!err)
		err = wait_for_exec(process->pid, pair[0]);
	close(pair[0]);
	return err;
}

/* All in its group, while it is at most a zombie: until reaped, the number is nobody else's. */
static void group_kill(const struct lab_process *process)
{
	kill(-process->pid, SIGKILL);
}

static void reap(struct lab_process *process)
{
	int status = 0;

	group_kill(process);
	while (waitpid(process->pid, &status, 0) < 0 && errno == EINTR)
		;
	process->status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
	process->running = false;
	lab_loop_remove(process->loop, process->pidfd);
	close(process->pidfd);
	process->pidfd = -1;
}

static void on_end(void *ctx, short revents)
{
	(void)revents;
	reap(ctx);
}

static int follow(struct lab_process *process)
{
	int err;

	process->pidfd = (int)syscall(SYS_pidfd_open, process->pid, 0);
	err = process->pidfd < 0 ? -errno : 0;
	if (!err)
		err = lab_loop_add(process->loop, process->pidfd, POLLIN, on_end, process);
	if (!err) {
		process->running = true;
		return 0;
	}
	group_kill(process);
	waitpid(process->pid, NULL, 0);
	if (process->pidfd >= 0)
		close(process->pidfd);
	return err;
}

static int start(struct lab_process *process, const char *const *argv, const char *log_path,
		 struct reason *why)
{
	struct child child = {.argv = argv, .log = -1};
	int err = 0;

	if (log_path) {
		child.log = open(log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
		if (child.log < 0)
			return reason_add(why, -errno, "cannot write %s: %s", log_path,
					  strerror(errno));
	}
	child.null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (child.null < 0)
		err = -errno;
	if (!err)
		err = spawn(process, &child);
	if (child.null >= 0)
		close(child.null);
	if (child.log >= 0)
		close(child.log);
	if (!err)
		err = follow(process);
	return err ? reason_add(why, err, "cannot run %s: %s", argv[0], strerror(-err)) : 0;
}

int lab_process_start(struct lab_loop *loop, const char *const *argv, const char *log_path,
		      struct lab_process **ret_process, struct reason *why)
{
	struct lab_process *process = calloc(1, sizeof(*process));
	int err;

	if (!process)
		return reason_add(why, -ENOMEM, "cannot run %s", argv[0]);
	process->loop = loop;
	process->pidfd = -1;
	process->status = -1;
	err = start(process, argv, log_path, why);
	if (err) {
		free(process);
		return err;
	}
	*ret_process = process;
	return 0;
}

/* --- end --- */

/* Return: true when it ended in that time. */
static bool wait_for_end(const struct lab_process *process, int timeout_ms)
{
	struct pollfd one = {.fd = process->pidfd, .events = POLLIN};
	int64_t until_ms = lab_now_ms() + timeout_ms, left_ms = timeout_ms;
	int ret;

	do {
		ret = poll(&one, 1, left_ms > 0 ? (int)left_ms : 0);
		left_ms = until_ms - lab_now_ms();
	} while (ret < 0 && errno == EINTR);
	return ret > 0;
}

int lab_process_stop(struct lab_process *process, int grace_ms)
{
	if (!process->running)
		return process->status;
	kill(-process->pid, SIGTERM);
	if (!wait_for_end(process, grace_ms)) {
		group_kill(process);
		if (!wait_for_end(process, KILL_MS))
			return process->status; /* the loop reaps it, should it ever end */
	}
	reap(process);
	return process->status;
}

void lab_process_destroy(struct lab_process *process)
{
	if (!process)
		return;
	if (process->running)
		lab_process_stop(process, 0);
	if (process->running) {
		lab_loop_remove(process->loop, process->pidfd);
		close(process->pidfd);
	}
	free(process);
}

bool lab_process_running(const struct lab_process *process)
{
	return process->running;
}
