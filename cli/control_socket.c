/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "card/control.h"
#include "card/transport/unix_listener.h"
#include "cli/control_socket.h"

#define CLIENTS_MAX 8
#define RETRY_MS 100 /* after a failed accept(2) */

struct client {
	int fd;
	size_t len;			  /* bytes of a line that is not whole yet */
	char line[CARD_CONTROL_LINE_MAX]; /* with its '\n' */
};

struct control_socket {
	struct card *card;
	struct unix_listener listener;
	int stop_fd; /* eventfd */
	pthread_t thread;
	/* The thread's. */
	struct client clients[CLIENTS_MAX];
	unsigned int count;
};

/* Return: 0; negative errno: the client is to go. */
static int answer(int fd, char *reply)
{
	size_t len = strlen(reply);

	reply[len] = '\n';
	/* The socket takes some hundred of these: who does not read them has had enough. */
	if (send(fd, reply, len + 1, MSG_DONTWAIT | MSG_NOSIGNAL) != (ssize_t)len + 1)
		return -EPIPE;
	return 0;
}

static int answer_error(int fd, const char *text)
{
	char reply[128];

	strcpy(reply, "{\"ok\":false,\"error\":\"");
	strcat(reply, text);
	strcat(reply, "\"}");
	return answer(fd, reply);
}

/* @line has @len bytes, and its '\n' already replaced by '\0'. */
static int carry_out(struct control_socket *control, int fd, const char *line, size_t len)
{
	char reply[CARD_CONTROL_REPLY_MAX + 1];

	if (memchr(line, '\0', len))
		return answer_error(fd, "a command is text");
	card_control(control->card, line, reply);
	return answer(fd, reply);
}

/* Carry out all whole lines. Return: 0; negative errno: the client is to go. */
static int client_lines(struct control_socket *control, struct client *client)
{
	char *line = client->line, *end;
	size_t left = client->len;
	int ret = 0;

	while (!ret && (end = memchr(line, '\n', left))) {
		*end = '\0';
		ret = carry_out(control, client->fd, line, (size_t)(end - line));
		left -= (size_t)(end + 1 - line);
		line = end + 1;
	}
	memmove(client->line, line, left);
	client->len = left;
	if (!ret && left == sizeof(client->line)) {
		answer_error(client->fd, "the command is too long");
		ret = -E2BIG;
	}
	return ret;
}

/* Something can be read. Return: 0; negative errno: the client is to go. */
static int client_read(struct control_socket *control, struct client *client)
{
	ssize_t got = recv(client->fd, client->line + client->len,
			   sizeof(client->line) - client->len, MSG_DONTWAIT);

	if (got < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	if (!got)
		return -ENODATA;
	client->len += (size_t)got;
	return client_lines(control, client);
}

static void client_drop(struct control_socket *control, unsigned int index)
{
	close(control->clients[index].fd);
	control->clients[index] = control->clients[--control->count];
}

static void accept_client(struct control_socket *control)
{
	int fd = accept4(control->listener.fd, NULL, NULL, SOCK_CLOEXEC);

	if (fd < 0) {
		if (errno != EAGAIN && errno != ECONNABORTED && errno != EINTR)
			poll(NULL, 0, RETRY_MS); /* out of descriptors, say: it may pass */
		return;
	}
	if (control->count == CLIENTS_MAX) {
		answer_error(fd, "too many clients");
		close(fd);
		return;
	}
	control->clients[control->count].fd = fd;
	control->clients[control->count].len = 0;
	control->count++;
}

enum { POLL_STOP, POLL_LISTEN, POLL_CLIENTS };

static void *control_main(void *arg)
{
	struct control_socket *control = arg;
	struct pollfd pfd[POLL_CLIENTS + CLIENTS_MAX];
	unsigned int i;

	for (;;) {
		pfd[POLL_STOP] = (struct pollfd){.fd = control->stop_fd, .events = POLLIN};
		pfd[POLL_LISTEN] = (struct pollfd){.fd = control->listener.fd, .events = POLLIN};
		for (i = 0; i < control->count; i++)
			pfd[POLL_CLIENTS + i] =
				(struct pollfd){.fd = control->clients[i].fd, .events = POLLIN};
		if (poll(pfd, POLL_CLIENTS + control->count, -1) < 0)
			continue;
		if (pfd[POLL_STOP].revents)
			break;
		/* From the last: dropping one moves the last into its place. */
		for (i = control->count; i--;)
			if (pfd[POLL_CLIENTS + i].revents &&
			    client_read(control, &control->clients[i]))
				client_drop(control, i);
		if (pfd[POLL_LISTEN].revents)
			accept_client(control);
	}
	while (control->count)
		client_drop(control, control->count - 1);
	return NULL;
}

/* Return: 0, with the thread running; negative errno. */
static int control_start(struct control_socket *control, const char *path, struct reason *why)
{
	int ret;

	control->stop_fd = eventfd(0, EFD_CLOEXEC);
	if (control->stop_fd < 0)
		return reason_add(why, -errno, "can't make an eventfd: %s", strerror(errno));
	ret = unix_listener_open(&control->listener, path, 0600, why);
	if (ret)
		return reason_add(why, ret, "No control socket");
	ret = -pthread_create(&control->thread, NULL, control_main, control);
	return ret ? reason_add(why, ret, "No thread for control: %s", strerror(-ret)) : 0;
}

static void control_free(struct control_socket *control)
{
	unix_listener_close(&control->listener);
	if (control->stop_fd >= 0)
		close(control->stop_fd);
	free(control);
}

int control_socket_create(struct card *card, const char *path, struct control_socket **ret_control,
			  struct reason *why)
{
	struct control_socket *control = calloc(1, sizeof(*control));
	int ret;

	if (!control)
		return reason_add(why, -ENOMEM, "no memory");
	control->card = card;
	control->listener.fd = -1;
	ret = control_start(control, path, why);
	if (ret) {
		control_free(control);
		return ret;
	}
	*ret_control = control;
	return 0;
}

void control_socket_destroy(struct control_socket *control)
{
	const uint64_t one = 1;
	ssize_t ret;

	if (!control)
		return;
	do {
		ret = write(control->stop_fd, &one, sizeof(one));
	} while (ret < 0 && errno == EINTR);
	pthread_join(control->thread, NULL);
	control_free(control);
}
