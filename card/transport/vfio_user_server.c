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
#include <time.h>
#include <unistd.h>

#include "card/transport/vfio_user_internal.h"

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

void vus_trace(const struct vfio_user_server *server, const struct card_event *event)
{
	if (vus_traced(server))
		server->config.trace(server->config.trace_ctx, event);
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
	server->listener.fd = fd;
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
	server->listener.fd = -1;
	pthread_mutex_init(&server->event_lock, NULL);
	server->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	server->done_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (server->stop_fd < 0 || server->done_fd < 0)
		ret = reason_add(why, -errno, "can't make an eventfd: %s", strerror(errno));
	else
		ret = config->path ? unix_listener_open(&server->listener, config->path,
							config->mode, why)
				   : server_adopt(server, why);
	server->config.path = NULL; /* the caller's */
	if (ret) {
		vfio_user_server_destroy(server);
		return ret;
	}
	*ret_server = server;
	return 0;
}

void vfio_user_server_destroy(struct vfio_user_server *server)
{
	if (!server)
		return;
	unix_listener_close(&server->listener);
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
	fd = accept4(listener->server->listener.fd, NULL, NULL, SOCK_CLOEXEC);
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
		.fd = server->connected || leaving ? -1 : server->listener.fd,
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
		ret = client_start(&listener, server->listener.fd);
	while (!ret)
		ret = listener_step(&listener);
	client_end(&listener);
	while (listener.waiting_nr)
		close(listener.waiting[--listener.waiting_nr].fd);
	if (ret > 0 && read(server->stop_fd, &count, sizeof(count)) < 0)
		ret = 0; /* ended by itself */
	return ret > 0 ? 0 : ret;
}
