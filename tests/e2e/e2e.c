/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/e2e/e2e.h"

#define OUTPUT_MAX (64u << 20)

const char *e2e_tethys(void)
{
	const char *path = getenv("TETHYS");

	return path && *path ? path : "tethys";
}

double e2e_now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

void e2e_sleep_ms(unsigned int ms)
{
	struct timespec ts = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};

	nanosleep(&ts, NULL);
}

static void child(const char *const *argv, int out, int err)
{
	const char *args[E2E_ARGS_MAX + 1];
	size_t n = 0;

	/* A test that is killed takes its programs along. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	dup2(out, STDOUT_FILENO);
	dup2(err, STDERR_FILENO);
	for (; argv[n] && n < E2E_ARGS_MAX; n++)
		args[n] = argv[n];
	args[n] = NULL;
	if (!strcmp(args[0], "tethys"))
		args[0] = e2e_tethys();
	execvp(args[0], (char *const *)args);
	_exit(127);
}

int e2e_start(const char *const *argv, struct e2e_process *ret_process)
{
	int out[2], err[2];
	pid_t pid;

	if (pipe2(out, O_CLOEXEC))
		return -errno;
	if (pipe2(err, O_CLOEXEC))
		return -errno;
	pid = fork();
	if (pid < 0)
		return -errno;
	if (pid == 0)
		child(argv, out[1], err[1]);
	close(out[1]);
	close(err[1]);
	*ret_process = (struct e2e_process){pid, out[0], err[0]};
	return 0;
}

static int code_of(int status)
{
	return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

int e2e_wait(pid_t pid, unsigned int timeout_ms)
{
	double until = e2e_now_ms() + timeout_ms;
	int status;

	while (e2e_now_ms() < until) {
		if (waitpid(pid, &status, WNOHANG) == pid)
			return code_of(status);
		e2e_sleep_ms(2);
	}
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	return E2E_TIMEOUT;
}

struct text {
	char *data; /* NUL-terminated */
	size_t bytes, room;
};

/* Doubles, because some outputs are models of 50 MB. */
static bool text_grow(struct text *text, size_t more)
{
	size_t room = text->room ? text->room : 4096;
	char *data;

	if (text->bytes + more > OUTPUT_MAX)
		return false;
	while (room < text->bytes + more + 1)
		room *= 2;
	if (room == text->room)
		return true;
	data = realloc(text->data, room);
	if (!data)
		return false;
	text->data = data;
	text->room = room;
	return true;
}

/* False at the end of the stream. */
static bool text_read(struct text *text, int fd)
{
	char part[65536];
	ssize_t n = read(fd, part, sizeof(part));

	if (n <= 0 || !text_grow(text, (size_t)n))
		return false;
	memcpy(text->data + text->bytes, part, (size_t)n);
	text->bytes += (size_t)n;
	text->data[text->bytes] = '\0';
	return true;
}

static void collect(struct e2e_process *process, double until, struct text texts[2])
{
	struct pollfd fds[2] = {{.fd = process->out, .events = POLLIN},
				{.fd = process->err, .events = POLLIN}};

	while (fds[0].fd >= 0 || fds[1].fd >= 0) {
		double left = until - e2e_now_ms();

		if (left <= 0 || poll(fds, 2, (int)left + 1) <= 0)
			return;
		for (int i = 0; i < 2; i++)
			if (fds[i].fd >= 0 && fds[i].revents && !text_read(&texts[i], fds[i].fd))
				fds[i].fd = -1;
	}
}

void e2e_finish(struct e2e_process *process, unsigned int timeout_ms, struct e2e_result *ret_result)
{
	double start = e2e_now_ms(), left;
	struct text texts[2] = {0};

	collect(process, start + timeout_ms, texts);
	left = start + timeout_ms - e2e_now_ms();
	ret_result->code = e2e_wait(process->pid, left > 1 ? (unsigned int)left : 1);
	ret_result->ms = e2e_now_ms() - start;
	ret_result->out = texts[0].data ? texts[0].data : strdup("");
	ret_result->err = texts[1].data ? texts[1].data : strdup("");
	close(process->out);
	close(process->err);
}

void e2e_run(const char *const *argv, unsigned int timeout_ms, struct e2e_result *ret_result)
{
	struct e2e_process process;

	if (!e2e_start(argv, &process)) {
		e2e_finish(&process, timeout_ms, ret_result);
		return;
	}
	*ret_result =
		(struct e2e_result){.code = E2E_TIMEOUT, .out = strdup(""), .err = strdup("")};
}

void e2e_result_deinit(struct e2e_result *result)
{
	free(result->out);
	free(result->err);
	memset(result, 0, sizeof(*result));
}

bool e2e_wait_text(int fd, const char *text, unsigned int timeout_ms)
{
	double until = e2e_now_ms() + timeout_ms;
	struct text seen = {0};
	bool found = false;

	while (!found && e2e_now_ms() < until) {
		struct pollfd poller = {.fd = fd, .events = POLLIN};

		if (poll(&poller, 1, 50) > 0 && !text_read(&seen, fd))
			break;
		found = seen.data && strstr(seen.data, text);
	}
	free(seen.data);
	return found;
}

int e2e_card_start(struct e2e_card *ret_card, const char *dir, const char *const *extra)
{
	const char *argv[E2E_ARGS_MAX] = {"tethys", "card", "--socket", ret_card->socket};
	size_t n = 4;
	int rc;

	snprintf(ret_card->socket, sizeof(ret_card->socket), "%s/card.sock", dir);
	snprintf(ret_card->device, sizeof(ret_card->device), "vfio-user:%s", ret_card->socket);
	while (extra && *extra && n + 1 < E2E_ARGS_MAX)
		argv[n++] = *extra++;
	rc = e2e_start(argv, &ret_card->process);
	if (rc)
		return rc;
	if (e2e_wait_text(ret_card->process.out, "card ready", 20000))
		return 0;
	e2e_wait(ret_card->process.pid, 1);
	return -ETIMEDOUT;
}

int e2e_card_stop(struct e2e_card *card)
{
	int code;

	kill(card->process.pid, SIGTERM);
	code = e2e_wait(card->process.pid, 5000);
	close(card->process.out);
	close(card->process.err);
	return code;
}

int e2e_dir_make(char ret_dir[PATH_MAX])
{
	const char *tmp = getenv("TMPDIR");

	snprintf(ret_dir, PATH_MAX, "%s/tethys-e2e-XXXXXX", tmp && *tmp ? tmp : "/tmp");
	return mkdtemp(ret_dir) ? 0 : -errno;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st, (void)type, (void)ftw;
	return remove(path);
}

void e2e_dir_remove(const char *dir)
{
	nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

int e2e_write(const char *dir, const char *name, const void *data, size_t bytes,
	      char ret_path[PATH_MAX])
{
	FILE *file;
	size_t done;

	snprintf(ret_path, PATH_MAX, "%s/%s", dir, name);
	file = fopen(ret_path, "we");
	if (!file)
		return -errno;
	done = fwrite(data, 1, bytes, file);
	return fclose(file) || done != bytes ? -EIO : 0;
}

char *e2e_read(const char *path, size_t *ret_bytes)
{
	struct text text = {0};
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return NULL;
	while (text_read(&text, fd))
		;
	close(fd);
	if (!text.data)
		text.data = calloc(1, 1);
	if (ret_bytes)
		*ret_bytes = text.bytes;
	return text.data;
}
