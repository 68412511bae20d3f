/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "file.h"

/* Up to @max bytes; short only at the end of the file. */
static int read_full(int fd, char *data, size_t max, size_t *ret_bytes)
{
	size_t got = 0;

	while (got < max) {
		ssize_t n = read(fd, data + got, max - got);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (!n)
			break;
		got += n;
	}
	*ret_bytes = got;
	return 0;
}

static int read_fd(int fd, const char *path, size_t max, char **ret_data, size_t *ret_bytes,
		   struct reason *why)
{
	struct stat st;
	char *data;
	int err;

	if (fstat(fd, &st))
		return reason_add(why, -errno, "%s: %s", path, strerror(errno));
	if (!S_ISREG(st.st_mode))
		return reason_add(why, -EINVAL, "%s: not a regular file", path);
	if ((uint64_t)st.st_size > max)
		return reason_add(why, -EFBIG, "%s: %lld bytes, at most %zu are allowed", path,
				  (long long)st.st_size, max);
	data = malloc((size_t)st.st_size + 1);
	if (!data)
		return reason_add(why, -ENOMEM, "%s: out of memory", path);
	/* Shorter when somebody cuts the file meanwhile: then that is what there is. */
	err = read_full(fd, data, st.st_size, ret_bytes);
	if (err) {
		free(data);
		return reason_add(why, err, "%s: %s", path, strerror(-err));
	}
	data[*ret_bytes] = '\0';
	*ret_data = data;
	return 0;
}

int task_file_read(const char *path, size_t max, char **ret_data, size_t *ret_bytes,
		   struct reason *why)
{
	/* O_NONBLOCK: a FIFO must not hang us before fstat() can refuse it. */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	int err;

	if (fd < 0)
		return reason_add(why, -errno, "%s: %s", path, strerror(errno));
	err = read_fd(fd, path, max, ret_data, ret_bytes, why);
	close(fd);
	return err;
}

static int write_full(int fd, const char *data, size_t bytes)
{
	while (bytes) {
		ssize_t n = write(fd, data, bytes);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		data += n;
		bytes -= n;
	}
	return 0;
}

/* A new file beside the target: rename() can't cross file systems. */
static int open_temp(const char *path, char temp[PATH_MAX])
{
	struct stat st;

	/* rename() over a device or pipe would remove it. */
	if (!stat(path, &st) && !S_ISREG(st.st_mode))
		return -EINVAL;
	for (int i = 0; i < 100; i++) {
		int fd;

		if (snprintf(temp, PATH_MAX, "%s.%ld-%d.tmp", path, (long)getpid(), i) >= PATH_MAX)
			return -ENAMETOOLONG;
		fd = open(temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
		if (fd >= 0 || errno != EEXIST)
			return fd >= 0 ? fd : -errno;
	}
	return -EEXIST;
}

int task_file_write(const char *path, const struct task_span *spans, size_t count,
		    struct reason *why)
{
	char temp[PATH_MAX];
	int fd, err = 0;

	fd = open_temp(path, temp);
	if (fd < 0)
		return reason_add(why, fd, "%s: can't be written: %s", path, strerror(-fd));
	for (size_t i = 0; i < count && !err; i++)
		err = write_full(fd, spans[i].data, spans[i].bytes);
	if (close(fd) && !err)
		err = -errno;
	if (!err && rename(temp, path))
		err = -errno;
	if (err) {
		unlink(temp);
		return reason_add(why, err, "%s: can't be written: %s", path, strerror(-err));
	}
	return 0;
}
