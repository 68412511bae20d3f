/* SPDX-License-Identifier: MIT */
/*
 * This machine's own kernel log. /dev/kmsg has the whole ring and is quick; where it may not be
 * read, members of the groups adm and systemd-journal may still read the journal.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "doctor/log/kernel.h"

#define KMSG "/dev/kmsg"
/* More than any ring holds: a log that grows while it is read must end. */
#define RECORDS_MAX 1000000u
#define JOURNAL_MS 20000
#define BLOCK_BYTES 65536u

extern char **environ;

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* Digits before a comma. Return: what is behind them, NULL where there are none. */
static const char *head_number(const char *at, const char *end, uint64_t *ret_value)
{
	const char *begin = at;

	*ret_value = 0;
	for (; at < end && is_digit(*at) && at - begin < 19; at++)
		*ret_value = *ret_value * 10 + (uint64_t)(*at - '0');
	return at > begin && at < end && *at == ',' ? at + 1 : NULL;
}

/* "4,9,1234567,-;", also with more fields. Return: where the text begins, NULL: no such head. */
static const char *record_text(const char *record, const char *end, uint64_t *ret_us)
{
	const char *at = record;

	for (int i = 0; at && i < 3; i++)
		at = head_number(at, end, ret_us);
	if (!at)
		return NULL;
	at = memchr(at, ';', (size_t)(end - at));
	return at ? at + 1 : NULL;
}

static int hex(char c)
{
	if (is_digit(c))
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* One character; the kernel writes those that aren't plain as "\x0a". Return: bytes used. */
static size_t one_character(const char *at, const char *end, char *ret_c)
{
	if (end - at >= 4 && at[0] == '\\' && at[1] == 'x' && hex(at[2]) >= 0 && hex(at[3]) >= 0) {
		*ret_c = (char)(hex(at[2]) << 4 | hex(at[3]));
		return 4;
	}
	*ret_c = *at;
	return 1;
}

size_t kernel_record_lines(const char *record, size_t size, char to[KERNEL_LINES_BYTES])
{
	const char *end = record + size, *at, *line_end;
	size_t used = 0, stamp_size;
	char stamp[48] = "", c;
	uint64_t us;

	line_end = memchr(record, '\n', size);
	if (line_end)
		end = line_end;
	at = record_text(record, end, &us);
	if (at)
		snprintf(stamp, sizeof(stamp), "[%5" PRIu64 ".%06" PRIu64 "] ", us / 1000000,
			 us % 1000000);
	else
		at = record;
	stamp_size = strlen(stamp);
	memcpy(to, stamp, stamp_size);
	used = stamp_size;
	/* The newline that ends it always has room. */
	while (at < end && used + 1 + stamp_size + 1 < KERNEL_LINES_BYTES) {
		at += one_character(at, end, &c);
		to[used++] = c;
		if (c != '\n')
			continue;
		memcpy(to + used, stamp, stamp_size);
		used += stamp_size;
	}
	to[used++] = '\n';
	return used;
}

/* Return: 1, 0 = none now, -errno. */
static int one_record(int fd, struct doctor_parser *parser)
{
	char record[KERNEL_RECORD_BYTES], lines[KERNEL_LINES_BYTES] = "";
	ssize_t got = read(fd, record, sizeof(record));
	size_t size;

	if (got < 0)
		/* Overwritten before it was read, or a signal: go on with the next. */
		return errno == EPIPE || errno == EINTR ? 1 : errno == EAGAIN ? 0 : -errno;
	if (!got)
		return 0;
	size = kernel_record_lines(record, (size_t)got, lines);
	doctor_parser_feed(parser, lines, size);
	return 1;
}

int kernel_read_records(const char *path, struct doctor_parser *parser)
{
	int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
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
	int kmsg = kernel_read_records(KMSG, parser), journal;
	char second[128];

	if (!kmsg)
		return 0;
	journal = read_journal(parser);
	if (!journal)
		return 0;
	/* strerror() may use the same place again. */
	snprintf(second, sizeof(second), "%s", strerror(-journal));
	return reason_add(why, kmsg,
			  KMSG ": %s; journalctl: %s. Run as root, or give a log by --log",
			  strerror(-kmsg), second);
}

int kernel_follow_open(const char *path, int *ret_fd, struct reason *why)
{
	int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC), err;

	if (fd < 0)
		return reason_add(why, -errno, "%s: %s. Run as root", path, strerror(errno));
	if (lseek(fd, 0, SEEK_END) < 0) {
		err = errno;
		close(fd);
		return reason_add(why, -err, "%s: %s", path, strerror(err));
	}
	*ret_fd = fd;
	return 0;
}

int doctor_log_follow_open(int *ret_fd, struct reason *why)
{
	return kernel_follow_open(KMSG, ret_fd, why);
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
