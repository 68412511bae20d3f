/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/unix_socket.h"
#include "tests/tap.h"

static char dir[] = "/tmp/tethys-socket-test-XXXXXX";
static struct sockaddr_un addr = {.sun_family = AF_UNIX};

static int listen_there(int backlog)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&addr, sizeof(addr)) || listen(fd, backlog))
		return -1;
	return fd;
}

static void test_connect_reaches_the_listener(void)
{
	int listener = listen_there(4), fd;

	ASSERT(listener >= 0);
	fd = unix_socket_connect(addr.sun_path, 0, 0);
	ASSERT(fd >= 0);
	EXPECT_EQ(fcntl(fd, F_GETFL) & O_NONBLOCK, 0);
	EXPECT_EQ(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	close(fd);
	fd = unix_socket_connect(addr.sun_path, SOCK_NONBLOCK, 0);
	ASSERT(fd >= 0);
	EXPECT_EQ(fcntl(fd, F_GETFL) & O_NONBLOCK, O_NONBLOCK);
	close(fd);
	close(listener);
	EXPECT_EQ(unix_socket_connect(addr.sun_path, 0, 0), -ECONNREFUSED);
	unlink(addr.sun_path);
	EXPECT_EQ(unix_socket_connect(addr.sun_path, 0, 0), -ENOENT);
}

static void test_connect_to_a_busy_listener_ends_in_time(void)
{
	int listener = listen_there(0), first;

	ASSERT(listener >= 0);
	first = unix_socket_connect(addr.sun_path, 0, 100);
	EXPECT(first >= 0);
	EXPECT_EQ(unix_socket_connect(addr.sun_path, 0, 100), -EAGAIN);
	EXPECT_EQ(unix_socket_connect(addr.sun_path, SOCK_NONBLOCK, 0), -EAGAIN);
	close(first);
	close(listener);
	unlink(addr.sun_path);
}

static void test_connect_path_that_is_none_is_refused(void)
{
	char path[sizeof(addr.sun_path) + 1];

	EXPECT_EQ(unix_socket_connect("", 0, 0), -EINVAL);
	memset(path, 'x', sizeof(path));
	path[sizeof(addr.sun_path)] = '\0';
	EXPECT_EQ(unix_socket_connect(path, 0, 0), -ENAMETOOLONG);
	path[sizeof(addr.sun_path) - 1] = '\0';
	EXPECT_EQ(unix_socket_connect(path, 0, 0), -ENOENT);
}

int main(void)
{
	if (!mkdtemp(dir))
		return 1;
	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/socket", dir);
	RUN(test_connect_reaches_the_listener);
	RUN(test_connect_to_a_busy_listener_ends_in_time);
	RUN(test_connect_path_that_is_none_is_refused);
	rmdir(dir);
	return tap_done();
}
