/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "card/transport/unix_listener.h"

#define BACKLOG 16

/* Does anybody listen at @addr? A full backlog is somebody too. */
static bool path_is_live(const struct sockaddr_un *addr)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	bool dead;

	if (fd < 0)
		return true;
	dead = connect(fd, (const struct sockaddr *)addr, sizeof(*addr)) && errno == ECONNREFUSED;
	close(fd);
	return !dead;
}

/* Remove the socket file a dead server has left. Return: 0; -EADDRINUSE, -EEXIST. */
static int path_clear(const struct sockaddr_un *addr, struct reason *why)
{
	struct stat st;

	if (lstat(addr->sun_path, &st) || !S_ISSOCK(st.st_mode))
		return reason_add(why, -EEXIST, "%s exists and is not a socket", addr->sun_path);
	if (path_is_live(addr))
		return reason_add(why, -EADDRINUSE, "another server listens at %s", addr->sun_path);
	if (unlink(addr->sun_path))
		return reason_add(why, -errno, "can't remove the old socket %s: %s", addr->sun_path,
				  strerror(errno));
	return 0;
}

static int path_bind(int fd, const struct sockaddr_un *addr, struct reason *why)
{
	int ret;

	if (!bind(fd, (const struct sockaddr *)addr, sizeof(*addr)))
		return 0;
	if (errno != EADDRINUSE)
		return reason_add(why, -errno, "can't make the socket %s: %s", addr->sun_path,
				  strerror(errno));
	ret = path_clear(addr, why);
	if (ret)
		return ret;
	if (bind(fd, (const struct sockaddr *)addr, sizeof(*addr)))
		return reason_add(why, -errno, "can't make the socket %s: %s", addr->sun_path,
				  strerror(errno));
	return 0;
}

static int listener_bind(struct unix_listener *listener, const char *path, mode_t mode,
			 struct reason *why)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	struct stat st;
	int ret;

	if (!*path || strlen(path) >= sizeof(addr.sun_path))
		return reason_add(why, -EINVAL, "a socket path has 1 to %zu bytes",
				  sizeof(addr.sun_path) - 1);
	strcpy(addr.sun_path, path);
	/* Linux gives the file these permissions from the start; chmod(2) later would leave a gap. */
	fchmod(listener->fd, mode ? mode : 0600);
	ret = path_bind(listener->fd, &addr, why);
	if (ret)
		return ret;
	listener->path = strdup(path);
	if (!listener->path) {
		unlink(path);
		return reason_add(why, -ENOMEM, "no memory");
	}
	if (!stat(path, &st)) {
		listener->path_dev = st.st_dev;
		listener->path_ino = st.st_ino;
	}
	if (listen(listener->fd, BACKLOG))
		return reason_add(why, -errno, "can't listen at %s: %s", path, strerror(errno));
	return 0;
}

int unix_listener_open(struct unix_listener *ret_listener, const char *path, mode_t mode,
		       struct reason *why)
{
	*ret_listener = (struct unix_listener){.fd = -1};
	ret_listener->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (ret_listener->fd < 0)
		return reason_add(why, -errno, "can't make a socket: %s", strerror(errno));
	return listener_bind(ret_listener, path, mode, why);
}

void unix_listener_close(struct unix_listener *listener)
{
	struct stat st;

	if (listener->path && !lstat(listener->path, &st) && st.st_dev == listener->path_dev &&
	    st.st_ino == listener->path_ino)
		unlink(listener->path);
	free(listener->path);
	listener->path = NULL;
	if (listener->fd >= 0)
		close(listener->fd);
	listener->fd = -1;
}
