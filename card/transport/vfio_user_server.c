/* SPDX-License-Identifier: MIT */
/*
 * The listener: makes the socket, gives the card to one client at a time.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "card/transport/vfio_user_internal.h"

#define BACKLOG 16
#define WAITING_MAX 8	/* clients that came while another one has the card */
#define WAITING_MS 1000 /* for their VERSION */
/*
 * Before they are refused: the owner of a card that was killed just now may take a moment to be
 * gone.
 */
#define GRACE_MS 50
#define RETRY_MS 100 /* after a failed accept(2) */

void vus_event(struct vfio_user_server *server, enum vfio_user_event event, const char *fmt, ...)
{
	char text[256];
	va_list ap;

	if (!server->config.event)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	pthread_mutex_lock(&server->event_lock);
	server->config.event(server->config.event_ctx, event, text);
	pthread_mutex_unlock(&server->event_lock);
}

void vfio_user_server_stats(const struct vfio_user_server *server,
			    struct vfio_user_server_stats *ret_stats)
{
	uint64_t values[sizeof(*ret_stats) / sizeof(uint64_t)];
	size_t i;

	for (i = 0; i < sizeof(values) / sizeof(values[0]); i++)
		values[i] = atomic_load_explicit(&server->stats[i], memory_order_relaxed);
	memcpy(ret_stats, values, sizeof(values));
}

/* --- making the socket --- */

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

/* Listen at config.path. Return: 0, with listen_fd and path set; negative errno. */
static int server_listen(struct vfio_user_server *server, struct reason *why)
{
	const char *path = server->config.path;
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	mode_t mode = server->config.mode ? server->config.mode : 0600;
	struct stat st;
	int ret;

	if (!*path || strlen(path) >= sizeof(addr.sun_path))
		return reason_add(why, -EINVAL, "a socket path has 1 to %zu bytes",
				  sizeof(addr.sun_path) - 1);
	strcpy(addr.sun_path, path);
	server->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (server->listen_fd < 0)
		return reason_add(why, -errno, "can't make a socket: %s", strerror(errno));
	/* Linux gives the file these permissions from the start; chmod(2) later would leave a gap. */
	fchmod(server->listen_fd, mode);
	ret = path_bind(server->listen_fd, &addr, why);
	if (ret)
		return ret;
	server->path = strdup(path);
	if (!server->path) {
		unlink(path);
		return reason_add(why, -ENOMEM, "no memory");
	}
	if (!stat(path, &st)) {
		server->path_dev = st.st_dev;
		server->path_ino = st.st_ino;
	}
	if (listen(server->listen_fd, BACKLOG))
		return reason_add(why, -errno, "can't listen at %s: %s", path, strerror(errno));
	return 0;
}

/* Take over config.listen_fd. */
static int server_adopt(struct vfio_user_server *server, struct reason *why)
{
	int fd = server->config.listen_fd, listening = 0, type = 0;
	socklen_t len = sizeof(int);

	if (fd < 0)
		return 0;
	if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) || type != SOCK_STREAM ||
	    getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &len))
		return reason_add(why, -EINVAL, "descriptor %d is not a stream socket", fd);
	server->connected = !listening;
	if (listening)
		fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
	server->listen_fd = fd;
	return 0;
}

int vfio_user_server_create(struct card *card, const struct vfio_user_server_config *config,
			    struct vfio_user_server **ret_server, struct reason *why)
{
	struct vfio_user_server *server = calloc(1, sizeof(*server));
	int ret;

	if (!server)
		return reason_add(why, -ENOMEM, "no memory");
	server->card = card;
	server->config = *config;
	server->listen_fd = -1;
	pthread_mutex_init(&server->event_lock, NULL);
	server->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	server->done_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (server->stop_fd < 0 || server->done_fd < 0)
		ret = reason_add(why, -errno, "can't make an eventfd: %s", strerror(errno));
	else
		ret = config->path ? server_listen(server, why) : server_adopt(server, why);
	server->config.path = NULL; /* the caller's; ours is server->path */
	if (ret) {
		vfio_user_server_destroy(server);
		return ret;
	}
	*ret_server = server;
	return 0;
}

void vfio_user_server_destroy(struct vfio_user_server *server)
{
	struct stat st;

	if (!server)
		return;
	if (server->path && !lstat(server->path, &st) && st.st_dev == server->path_dev &&
	    st.st_ino == server->path_ino)
		unlink(server->path);
	free(server->path);
	if (server->listen_fd >= 0)
		close(server->listen_fd);
	if (server->stop_fd >= 0)
		close(server->stop_fd);
	if (server->done_fd >= 0)
		close(server->done_fd);
	pthread_mutex_destroy(&server->event_lock);
	free(server);
}

void vfio_user_server_stop(struct vfio_user_server *server)
{
	const uint64_t one = 1;
	int saved = errno;
	ssize_t ret = write(server->stop_fd, &one, sizeof(one));

	(void)ret; /* full: it has been told often enough */
	errno = saved;
}

/* --- running --- */

struct waiting {
	int fd;
	uint64_t since_ms;
};

/* State of one vfio_user_server_run(). */
struct listener {
	struct vfio_user_server *server;
	int sock; /* of the client that has the card; -1: none */
	pthread_t thread;
	struct waiting waiting[WAITING_MAX];
	unsigned int waiting_nr;
};

static uint64_t clock_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static void *io_main(void *arg)
{
	struct listener *listener = arg;
	const uint64_t one = 1;
	ssize_t ret;

	vfio_user_server_serve(listener->server, listener->sock);
	ret = write(listener->server->done_fd, &one, sizeof(one));
	(void)ret;
	return NULL;
}

/* Give the card to @sock, which is taken. Signals stay with the caller's threads. */
static int client_start(struct listener *listener, int sock)
{
	sigset_t all, old;
	int ret;

	listener->sock = sock;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	ret = -pthread_create(&listener->thread, NULL, io_main, listener);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (ret) {
		if (!listener->server->connected)
			close(sock);
		listener->sock = -1;
	}
	return ret;
}

/* The I/O thread has ended, or is told to. */
static void client_end(struct listener *listener)
{
	uint64_t count;
	ssize_t ret;

	if (listener->sock < 0)
		return;
	shutdown(listener->sock, SHUT_RDWR);
	pthread_join(listener->thread, NULL);
	ret = read(listener->server->done_fd, &count, sizeof(count));
	(void)ret;
	if (!listener->server->connected)
		close(listener->sock);
	listener->sock = -1;
}

/* Its owner is gone, and the I/O thread is about to notice: the next one need only wait. */
static bool client_is_leaving(const struct listener *listener)
{
	struct pollfd pfd = {.fd = listener->sock, .events = POLLRDHUP};

	return poll(&pfd, 1, 0) > 0 && pfd.revents & (POLLRDHUP | POLLHUP | POLLERR);
}

/* Answer a client that came too late; what it sent says which id to answer. */
static void waiting_refuse(struct listener *listener, unsigned int index)
{
	int fd = listener->waiting[index].fd;
	struct vfio_user_header header;
	char rest[256];

	if (recv(fd, &header, sizeof(header), MSG_DONTWAIT) == sizeof(header)) {
		header.size = sizeof(header);
		header.flags = VFIO_USER_TYPE_REPLY | VFIO_USER_ERROR;
		header.error = EBUSY;
		while (recv(fd, rest, sizeof(rest), MSG_DONTWAIT) > 0)
			; /* bytes left unread would turn the close into a reset */
		if (send(fd, &header, sizeof(header), MSG_DONTWAIT | MSG_NOSIGNAL) > 0) {
			VUS_COUNT(listener->server, refused);
			vus_event(listener->server, VFIO_USER_EVENT_REFUSED,
				  "another client has the card");
		}
	}
	close(fd);
	listener->waiting[index] = listener->waiting[--listener->waiting_nr];
}

/* Someone is at the door. */
static int listener_accept(struct listener *listener)
{
	int fd;

	if (listener->sock >= 0 && client_is_leaving(listener))
		return 0; /* asked again when the I/O thread has ended */
	fd = accept4(listener->server->listen_fd, NULL, NULL, SOCK_CLOEXEC);
	if (fd < 0 && (errno == EINVAL || errno == EBADF))
		return -errno;
	if (fd < 0) {
		if (errno != EAGAIN)
			poll(NULL, 0, RETRY_MS); /* out of descriptors, say: it may pass */
		return 0;
	}
	if (listener->sock < 0)
		return client_start(listener, fd);
	if (listener->waiting_nr == WAITING_MAX)
		waiting_refuse(listener, 0);
	listener->waiting[listener->waiting_nr++] =
		(struct waiting){.fd = fd, .since_ms = clock_ms()};
	return 0;
}

enum { POLL_STOP, POLL_DONE, POLL_LISTEN, POLL_WAITING };

/* Fill @pfd. Return: milliseconds to wait, -1: for ever. */
static int listener_poll_set(const struct listener *listener, struct pollfd *pfd)
{
	const struct vfio_user_server *server = listener->server;
	bool leaving = listener->sock >= 0 && client_is_leaving(listener);
	unsigned int i;
	int timeout = -1;

	pfd[POLL_STOP] = (struct pollfd){.fd = server->stop_fd, .events = POLLIN};
	pfd[POLL_DONE] = (struct pollfd){.fd = server->done_fd, .events = POLLIN};
	pfd[POLL_LISTEN] = (struct pollfd){
		.fd = server->connected || leaving ? -1 : server->listen_fd,
		.events = POLLIN,
	};
	for (i = 0; i < listener->waiting_nr; i++) {
		bool grace = clock_ms() - listener->waiting[i].since_ms < GRACE_MS;

		pfd[POLL_WAITING + i] = (struct pollfd){
			.fd = grace ? -1 : listener->waiting[i].fd,
			.events = POLLIN,
		};
		timeout = grace || timeout == GRACE_MS ? GRACE_MS : WAITING_MS;
	}
	return timeout;
}

/* Refuse those who have sent something or taken too long. */
static void listener_refuse(struct listener *listener, const struct pollfd *pfd)
{
	unsigned int i = listener->waiting_nr;

	while (i--)
		if (pfd[POLL_WAITING + i].revents ||
		    clock_ms() - listener->waiting[i].since_ms > WAITING_MS)
			waiting_refuse(listener, i);
}

/* Return: 1 when it is over; 0; negative errno. */
static int listener_step(struct listener *listener)
{
	struct pollfd pfd[POLL_WAITING + WAITING_MAX];
	int timeout = listener_poll_set(listener, pfd);

	if (poll(pfd, POLL_WAITING + listener->waiting_nr, timeout) < 0)
		return errno == EINTR ? 0 : -errno;
	if (pfd[POLL_STOP].revents)
		return 1;
	listener_refuse(listener, pfd);
	if (pfd[POLL_DONE].revents) {
		client_end(listener);
		if (listener->server->connected)
			return 1;
		if (listener->waiting_nr)
			return client_start(listener, listener->waiting[--listener->waiting_nr].fd);
	}
	if (pfd[POLL_LISTEN].revents)
		return listener_accept(listener);
	return 0;
}

int vfio_user_server_run(struct vfio_user_server *server)
{
	struct listener listener = {.server = server, .sock = -1};
	uint64_t count;
	int ret = 0;

	if (server->connected)
		ret = client_start(&listener, server->listen_fd);
	while (!ret)
		ret = listener_step(&listener);
	client_end(&listener);
	while (listener.waiting_nr)
		close(listener.waiting[--listener.waiting_nr].fd);
	if (ret > 0 && read(server->stop_fd, &count, sizeof(count)) < 0)
		ret = 0; /* ended by itself */
	return ret > 0 ? 0 : ret;
}
