/* SPDX-License-Identifier: MIT */
/*
 * This machine's own kernel log. /dev/kmsg has the whole ring and is quick; where it may not be
 * read, members of the groups adm and systemd-journal may still read the journal.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "doctor/log/log.h"

#define KMSG "/dev/kmsg"
#define RECORD_BYTES 8192u
/* More than any ring holds: a log that grows while it is read must end. */
#define RECORDS_MAX 1000000u
#define JOURNAL_MS 20000
#define BLOCK_BYTES 65536u

extern char **environ;

/* One record; what lies behind its first line are properties. Return: 1, 0 = none now, -errno. */
static int one_record(int fd, struct doctor_parser *parser)
{
	char record[RECORD_BYTES + 1];
	ssize_t got = read(fd, record, RECORD_BYTES);
	char *end;

	if (got < 0)
		/* Overwritten before it was read, or a signal: go on with the next. */
		return errno == EPIPE || errno == EINTR ? 1 : errno == EAGAIN ? 0 : -errno;
	if (!got)
		return 0;
	end = memchr(record, '\n', (size_t)got);
	if (!end)
		end = record + got;
	*end++ = '\n';
	doctor_parser_feed(parser, record, (size_t)(end - record));
	return 1;
}

static int read_kmsg(struct doctor_parser *parser)
{
	int fd = open(KMSG, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	int ret = 1;

	if (fd < 0)
		return -errno;
	for (unsigned int i = 0; ret > 0 && i < RECORDS_MAX; i++)
		ret = one_record(fd, parser);
	close(fd);
	return ret < 0 ? ret : 0;
}

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int start_journalctl(pid_t *ret_pid, int *ret_fd)
{
	static const char *const argv[] = {"journalctl", "-k",	       "-b", "-o",
					   "json",	 "--no-pager", "-q", NULL};
	posix_spawn_file_actions_t actions;
	int pipes[2], err;

	if (pipe2(pipes, O_CLOEXEC))
		return -errno;
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_adddup2(&actions, pipes[1], STDOUT_FILENO);
	posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
	err = posix_spawnp(ret_pid, argv[0], &actions, NULL, (char *const *)argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	close(pipes[1]);
	if (err) {
		close(pipes[0]);
		return -err;
	}
	*ret_fd = pipes[0];
	return 0;
}

/* Return: bytes that came; -ETIMEDOUT or another errno. */
static int64_t pump(int fd, struct doctor_parser *parser)
{
	int64_t end = now_ms() + JOURNAL_MS, bytes = 0, left;
	struct pollfd ready = {.fd = fd, .events = POLLIN};
	char *block = malloc(BLOCK_BYTES);
	ssize_t got = block ? 1 : -1;

	while (got > 0) {
		left = end - now_ms();
		if (left <= 0 || poll(&ready, 1, (int)left) <= 0) {
			free(block);
			return -ETIMEDOUT;
		}
		got = read(fd, block, BLOCK_BYTES);
		if (got > 0) {
			doctor_parser_feed(parser, block, (size_t)got);
			bytes += got;
		}
	}
	free(block);
	return bytes;
}

static int read_journal(struct doctor_parser *parser)
{
	int fd = -1, status = 0, ret;
	int64_t bytes;
	pid_t pid = -1;

	ret = start_journalctl(&pid, &fd);
	if (ret)
		return ret;
	bytes = pump(fd, parser);
	close(fd);
	if (bytes < 0)
		kill(pid, SIGKILL);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (bytes < 0)
		return (int)bytes;
	/* Without the right to look it ends well and says nothing. */
	return bytes ? 0 : -EACCES;
}

int doctor_log_kernel(struct doctor_parser *parser, struct reason *why)
{
	int kmsg = read_kmsg(parser), journal;

	if (!kmsg)
		return 0;
	journal = read_journal(parser);
	if (!journal)
		return 0;
	return reason_add(why, kmsg,
			  KMSG ": %s; journalctl: %s. Run as root, or give a log by --log",
			  strerror(-kmsg), strerror(-journal));
}

int doctor_log_follow_open(int *ret_fd, struct reason *why)
{
	int fd = open(KMSG, O_RDONLY | O_NONBLOCK | O_CLOEXEC), err;

	if (fd < 0)
		return reason_add(why, -errno, KMSG ": %s. Run as root", strerror(errno));
	if (lseek(fd, 0, SEEK_END) < 0) {
		err = errno;
		close(fd);
		return reason_add(why, -err, KMSG ": %s", strerror(err));
	}
	*ret_fd = fd;
	return 0;
}

int doctor_log_follow(int fd, struct doctor_parser *parser, struct reason *why)
{
	int records = 0, ret;

	/* What comes faster than it can be read waits for the next call. */
	while (records < 10000) {
		ret = one_record(fd, parser);
		if (ret < 0)
			return reason_add(why, ret, KMSG ": %s", strerror(-ret));
		if (!ret)
			break;
		records++;
	}
	return records;
}
