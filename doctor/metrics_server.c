/* SPDX-License-Identifier: MIT */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "doctor/metrics_server.h"

#define REQUEST_BYTES 4096u
#define CLIENT_MS 5000
#define BACKLOG 16
#define CONTENT_TYPE "application/openmetrics-text; version=1.0.0; charset=utf-8"

struct client {
	int fd; /* -1: free */
	int64_t deadline_ms;
	char request[REQUEST_BYTES];
	size_t got;
	char *answer; /* NULL: still reading */
	size_t size, sent;
};

struct metrics_server {
	int fd;
	unsigned int port;
	char *text;
	size_t size;
	struct client client[METRICS_CLIENTS_MAX];
};

union address {
	struct sockaddr any;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
};

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static bool parse_port(const char *text, unsigned int *ret_port)
{
	unsigned int port = 0;

	if (!*text || strlen(text) > 5)
		return false;
	for (; *text; text++) {
		if (*text < '0' || *text > '9')
			return false;
		port = port * 10 + (unsigned int)(*text - '0');
	}
	*ret_port = port;
	return port <= 65535;
}

static bool parse_address(const char *text, union address *ret_address, socklen_t *ret_size)
{
	const char *colon = strrchr(text, ':');
	char host[INET6_ADDRSTRLEN + 1] = "127.0.0.1";
	unsigned int port;
	size_t size;

	if (!colon || !parse_port(colon + 1, &port))
		return false;
	size = (size_t)(colon - text);
	if (size && text[0] == '[' && text[size - 1] == ']') {
		text++;
		size -= 2;
		if (!size)
			return false;
	}
	if (size >= sizeof(host))
		return false;
	if (size) {
		memcpy(host, text, size);
		host[size] = '\0';
	}
	memset(ret_address, 0, sizeof(*ret_address));
	if (inet_pton(AF_INET, host, &ret_address->v4.sin_addr) == 1) {
		ret_address->v4.sin_family = AF_INET;
		ret_address->v4.sin_port = htons((uint16_t)port);
		*ret_size = sizeof(ret_address->v4);
		return true;
	}
	if (inet_pton(AF_INET6, host, &ret_address->v6.sin6_addr) == 1) {
		ret_address->v6.sin6_family = AF_INET6;
		ret_address->v6.sin6_port = htons((uint16_t)port);
		*ret_size = sizeof(ret_address->v6);
		return true;
	}
	return false;
}

bool metrics_server_is_address(const char *text)
{
	union address address;
	socklen_t size;

	return text[0] == ':' || text[0] == '[' || parse_address(text, &address, &size);
}

static int listen_on(struct metrics_server *server, const union address *address, socklen_t size)
{
	union address bound = {0};
	socklen_t bound_size = sizeof(bound);
	int one = 1;

	server->fd = socket(address->any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (server->fd < 0)
		return -errno;
	if (setsockopt(server->fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) ||
	    bind(server->fd, &address->any, size) || listen(server->fd, BACKLOG) ||
	    getsockname(server->fd, &bound.any, &bound_size))
		return -errno;
	server->port =
		ntohs(address->any.sa_family == AF_INET ? bound.v4.sin_port : bound.v6.sin6_port);
	return 0;
}

int metrics_server_create(const char *text, struct metrics_server **ret_server, struct reason *why)
{
	struct metrics_server *server;
	union address address;
	socklen_t size;
	int err;

	if (!parse_address(text, &address, &size))
		return reason_add(why, -EINVAL, "'%s' is no address like :9101 or [::1]:9101",
				  text);
	server = calloc(1, sizeof(*server));
	if (!server)
		return reason_add(why, -ENOMEM, "out of memory");
	server->fd = -1;
	for (size_t i = 0; i < METRICS_CLIENTS_MAX; i++)
		server->client[i].fd = -1;
	err = listen_on(server, &address, size);
	if (err) {
		metrics_server_destroy(server);
		return reason_add(why, err, "can't listen on %s: %s", text, strerror(-err));
	}
	*ret_server = server;
	return 0;
}

static void client_close(struct client *client)
{
	if (client->fd >= 0)
		close(client->fd);
	free(client->answer);
	memset(client, 0, sizeof(*client));
	client->fd = -1;
}

void metrics_server_destroy(struct metrics_server *server)
{
	if (!server)
		return;
	for (size_t i = 0; i < METRICS_CLIENTS_MAX; i++)
		client_close(&server->client[i]);
	if (server->fd >= 0)
		close(server->fd);
	free(server->text);
	free(server);
}

int metrics_server_publish(struct metrics_server *server, const char *text, size_t size)
{
	char *copy = malloc(size + 1);

	if (!copy)
		return -ENOMEM;
	memcpy(copy, text, size);
	copy[size] = '\0';
	free(server->text);
	server->text = copy;
	server->size = size;
	return 0;
}

unsigned int metrics_server_port(const struct metrics_server *server)
{
	return server->port;
}

static struct client *free_client(struct metrics_server *server)
{
	for (size_t i = 0; i < METRICS_CLIENTS_MAX; i++)
		if (server->client[i].fd < 0)
			return &server->client[i];
	return NULL;
}

static bool has_free_client(const struct metrics_server *server)
{
	for (size_t i = 0; i < METRICS_CLIENTS_MAX; i++)
		if (server->client[i].fd < 0)
			return true;
	return false;
}

size_t metrics_server_poll(const struct metrics_server *server,
			   struct pollfd ret_fds[METRICS_POLL_MAX])
{
	size_t count = 0;

	/* Who finds no place waits in the backlog of the kernel. */
	if (has_free_client(server))
		ret_fds[count++] = (struct pollfd){.fd = server->fd, .events = POLLIN};
	for (size_t i = 0; i < METRICS_CLIENTS_MAX; i++) {
		const struct client *client = &server->client[i];

		if (client->fd >= 0)
			ret_fds[count++] = (struct pollfd){
				.fd = client->fd,
				.events = client->answer ? POLLOUT : POLLIN,
			};
	}
	return count;
}

static void answer(struct client *client, const char *status, const char *type, const char *body,
		   size_t size, bool with_body)
{
	char head[256];
	int used;

	used = snprintf(head, sizeof(head),
			"HTTP/1.1 %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\n"
			"Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n"
			"Connection: close\r\n%s\r\n",
			status, type, size, status[0] == '4' ? "Allow: GET, HEAD\r\n" : "");
	client->answer = malloc((size_t)used + size);
	if (!client->answer) {
		client_close(client);
		return;
	}
	memcpy(client->answer, head, (size_t)used);
	if (with_body && size)
		memcpy(client->answer + used, body, size);
	client->size = (size_t)used + (with_body ? size : 0);
	client->sent = 0;
}

static void answer_text(struct client *client, const char *status, const char *text, bool with_body)
{
	answer(client, status, "text/plain; charset=utf-8", text, strlen(text), with_body);
}

/* The request line: "GET /metrics HTTP/1.1". What follows it doesn't matter here. */
static void answer_request(struct metrics_server *server, struct client *client)
{
	char *save = NULL, *method, *path, *query;
	bool head;

	client->request[strcspn(client->request, "\r\n")] = '\0';
	method = strtok_r(client->request, " ", &save);
	path = strtok_r(NULL, " ", &save);
	if (!method || !path || !save || strncmp(save, "HTTP/1.", 7) != 0) {
		answer_text(client, "400 Bad Request", "This is no request of HTTP/1.\n", true);
		return;
	}
	query = strchr(path, '?');
	if (query)
		*query = '\0';
	head = !strcmp(method, "HEAD");
	if (!head && strcmp(method, "GET") != 0)
		answer_text(client, "405 Method Not Allowed", "Only GET is understood.\n", true);
	else if (!strcmp(path, "/metrics"))
		answer(client, "200 OK", CONTENT_TYPE, server->text ? server->text : "# EOF\n",
		       server->text ? server->size : 6, !head);
	else if (!strcmp(path, "/"))
		answer_text(client, "200 OK", "tethys doctor: see /metrics\n", !head);
	else
		answer_text(client, "404 Not Found", "There is only /metrics.\n", !head);
}

static void client_read(struct metrics_server *server, struct client *client)
{
	ssize_t n;

	n = recv(client->fd, client->request + client->got,
		 sizeof(client->request) - 1 - client->got, 0);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		client_close(client);
		return;
	}
	/* A NUL would hide the rest from what follows. */
	if (memchr(client->request + client->got, '\0', (size_t)n)) {
		answer_text(client, "400 Bad Request", "This is no request of HTTP/1.\n", true);
		return;
	}
	client->got += (size_t)n;
	client->request[client->got] = '\0';
	if (strstr(client->request, "\r\n\r\n") || strstr(client->request, "\n\n"))
		answer_request(server, client);
	else if (client->got == sizeof(client->request) - 1)
		answer_text(client, "431 Request Header Fields Too Large", "Too long.\n", true);
}

static void client_write(struct client *client)
{
	ssize_t n;

	n = send(client->fd, client->answer + client->sent, client->size - client->sent,
		 MSG_NOSIGNAL);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n > 0)
		client->sent += (size_t)n;
	if (n > 0 && client->sent < client->size)
		return;
	shutdown(client->fd, SHUT_WR);
	client_close(client);
}

static void accept_clients(struct metrics_server *server)
{
	struct client *client;

	while ((client = free_client(server))) {
		int fd = accept4(server->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (fd < 0)
			return;
		client->fd = fd;
		client->deadline_ms = now_ms() + CLIENT_MS;
	}
}

void metrics_server_serve(struct metrics_server *server)
{
	int64_t now = now_ms();

	accept_clients(server);
	for (size_t i = 0; i < METRICS_CLIENTS_MAX; i++) {
		struct client *client = &server->client[i];

		if (client->fd >= 0 && !client->answer)
			client_read(server, client);
		if (client->fd >= 0 && client->answer)
			client_write(client);
		if (client->fd >= 0 && now > client->deadline_ms)
			client_close(client);
	}
}
