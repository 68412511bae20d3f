/* SPDX-License-Identifier: MIT */
/*
 * One client, from its first message to its last.
 *
 * The I/O thread blocks in recvmsg(2), with no poll before it, and gets nearly every message with
 * one call: register accesses are measured against a bare ping-pong of the socket.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "card/transport/vfio_user_internal.h"

#define STALL_MS_DEFAULT 5000u
/* Before negotiation nothing but a VERSION is read. */
#define VERSION_MESSAGE_MAX \
	(sizeof(struct vfio_user_header) + sizeof(struct vfio_user_version) + VFIO_USER_MAX_JSON)
#define TWIN_MESSAGE_MAX \
	(sizeof(struct vfio_user_header) + sizeof(struct vfio_user_dma_access) + VUS_DMA_PIECE)

static unsigned int stall_ms(const struct vus_conn *conn)
{
	unsigned int ms = conn->server->config.stall_ms;

	return ms ? ms : STALL_MS_DEFAULT;
}

/* Block, but not for ever: a socket someone gave us may be set up in any way. */
static int socket_set_patience(int sock, unsigned int ms)
{
	struct timeval tv = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};

	int flags = fcntl(sock, F_GETFL);

	if (flags < 0 || fcntl(sock, F_SETFL, flags & ~O_NONBLOCK))
		return -errno;
	if (setsockopt(sock, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)) ||
	    setsockopt(sock, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv)))
		return -errno;
	return 0;
}

bool vus_conn_shares_l2(const struct vus_conn *conn)
{
	/*
	 * Offering a mapping makes QEMU send every register write synchronously, for the order of
	 * mapped stores and messages is then unknown to it. Our own client, which is the one with a twin
	 * socket, knows what it does and wants modules in L2 at the speed of memory.
	 */
	return !conn->server->config.trap_l2 &&
	       (conn->peer.twin_socket || conn->server->config.share_l2) &&
	       conn->peer.max_msg_fds >= 1;
}

void vus_conn_break(struct vus_conn *conn)
{
	atomic_store(&conn->broken, true);
	shutdown(conn->sock, SHUT_RDWR);
	if (conn->twin >= 0)
		shutdown(conn->twin, SHUT_RDWR);
}

int vus_conn_send_dma(struct vus_conn *conn, const void *head, size_t head_len, const void *data,
		      size_t data_len)
{
	const struct iovec iov[2] = {
		{.iov_base = (void *)(uintptr_t)head, .iov_len = head_len},
		{.iov_base = (void *)(uintptr_t)data, .iov_len = data_len},
	};
	bool twin = conn->twin >= 0;
	pthread_mutex_t *lock = twin ? &conn->twin_lock : &conn->send_lock;
	int ret;

	pthread_mutex_lock(lock);
	ret = vfio_user_send(twin ? conn->twin : conn->sock, iov, data_len ? 2 : 1, NULL, 0);
	pthread_mutex_unlock(lock);
	if (ret)
		vus_conn_break(conn);
	return ret;
}

/* --- the twin socket: replies to our DMA messages --- */

/* One reply. Return: 0; negative errno: the connection is over. */
static int twin_receive(struct vus_conn *conn, uint8_t *body)
{
	struct vfio_user_header header;
	size_t len;
	int ret;

	do {
		ret = vfio_user_recv(conn->twin, &header, sizeof(header), NULL, stall_ms(conn));
	} while (ret == -EAGAIN);
	if (ret)
		return ret;
	if (header.size < sizeof(header) || header.size > TWIN_MESSAGE_MAX ||
	    (header.flags & VFIO_USER_TYPE_MASK) != VFIO_USER_TYPE_REPLY)
		return -EPROTO;
	len = header.size - sizeof(header);
	if (len && vfio_user_recv(conn->twin, body, len, NULL, stall_ms(conn)))
		return -ECONNRESET;
	VUS_COUNT(conn->server, messages);
	return vus_dma_reply(conn, &header, body);
}

static void *twin_main(void *arg)
{
	struct vus_conn *conn = arg;
	uint8_t *body = malloc(TWIN_MESSAGE_MAX);

	if (body)
		while (!twin_receive(conn, body))
			;
	free(body);
	vus_conn_break(conn);
	return NULL;
}

/* Return: the client's end, to be sent and closed; negative errno. */
static int twin_open(struct vus_conn *conn)
{
	int pair[2], ret;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
		return -errno;
	ret = socket_set_patience(pair[0], stall_ms(conn));
	conn->twin = pair[0];
	if (!ret)
		ret = -pthread_create(&conn->twin_thread, NULL, twin_main, conn);
	if (!ret)
		return pair[1];
	conn->twin = -1;
	close(pair[0]);
	close(pair[1]);
	return ret;
}

/* After vus_conn_break(). */
static void twin_close(struct vus_conn *conn)
{
	if (conn->twin < 0)
		return;
	pthread_join(conn->twin_thread, NULL);
	close(conn->twin);
}

/* --- negotiation --- */

/* The client comes or goes. */
static void trace_owner(const struct vus_conn *conn, enum card_event_kind kind)
{
	const struct card_event event = {.kind = kind};

	vus_trace(conn->server, &event);
}

static int version_attach(struct vus_conn *conn)
{
	const struct card_bus bus = {
		.ctx = conn,
		.dma_read = vus_dma_read,
		.dma_write = vus_dma_write,
		.msi = vus_irq_msi,
		.raw_write32 = vus_dma_raw_write32,
	};

	int ret;

	/* First, as the card may have something to say at once. */
	trace_owner(conn, CARD_EVENT_OWNER);
	ret = card_attach(conn->card, &bus);
	if (ret)
		trace_owner(conn, CARD_EVENT_LEFT);
	return ret;
}

/* The answer to a VERSION that is fine: our capabilities. Return: bytes of body; negative errno. */
static int version_answer(struct vus_conn *conn, const struct vfio_user_version *request,
			  struct vus_answer *answer)
{
	struct vfio_user_version *reply = (void *)(conn->reply + sizeof(struct vfio_user_header));
	struct vfio_user_caps caps = {
		.max_msg_fds = VFIO_USER_MAX_FDS,
		.max_dma_maps = VFIO_USER_MAX_DMA_MAPS,
		.max_data_xfer_size = VFIO_USER_MAX_DATA,
		.pgsizes = VFIO_USER_PGSIZES,
		.write_multiple = true,
		.twin_socket = conn->peer.twin_socket,
	};
	int len;

	reply->major = VFIO_USER_MAJOR;
	reply->minor = request->minor < VFIO_USER_MINOR ? request->minor : VFIO_USER_MINOR;
	len = vfio_user_caps_print(&caps, reply->json,
				   VFIO_USER_MAX_VERSION_REPLY - sizeof(struct vfio_user_header) -
					   sizeof(*reply));
	if (len < 0)
		return len;
	answer->len = sizeof(*reply) + (size_t)len;
	if (!conn->peer.twin_socket)
		return 0;
	answer->fd = twin_open(conn);
	return answer->fd < 0 ? answer->fd : 0;
}

int vus_conn_version(struct vus_conn *conn, const struct vfio_user_version *request, size_t len,
		     struct vus_answer *answer)
{
	struct reason why = {.text = ""};
	int ret;

	vfio_user_caps_default(&conn->peer);
	if (request->major != VFIO_USER_MAJOR) {
		vus_event(conn->server, VFIO_USER_EVENT_PROTOCOL, "the client speaks version %u.%u",
			  request->major, request->minor);
		return -EINVAL;
	}
	len -= sizeof(*request);
	if (len && vfio_user_caps_parse(request->json, len, &conn->peer, &why)) {
		vus_event(conn->server, VFIO_USER_EVENT_PROTOCOL, "%s", why.text);
		return -EINVAL;
	}
	if (!conn->peer.max_msg_fds)
		conn->peer.twin_socket = false; /* it could not take it */
	ret = version_answer(conn, request, answer);
	if (!ret)
		ret = version_attach(conn);
	if (ret) {
		if (answer->fd >= 0)
			close(answer->fd);
		answer->fd = -1;
		return ret;
	}
	conn->negotiated = true;
	VUS_COUNT(conn->server, clients);
	vus_event(conn->server, VFIO_USER_EVENT_CONNECTED, "%s",
		  conn->peer.twin_socket ? "a client with twin socket" : "a client");
	return 0;
}

/* --- messages --- */

static int conn_send_reply(struct vus_conn *conn, const struct vfio_user_header *request, int error,
			   const struct vus_answer *answer)
{
	struct vfio_user_header *header = (void *)conn->reply;
	struct iovec iov = {.iov_base = header};
	int ret;

	*header = (struct vfio_user_header){
		.id = request->id,
		.command = request->command,
		.size = (uint32_t)(sizeof(*header) + (error ? 0 : answer->len)),
		.flags = VFIO_USER_TYPE_REPLY | (error ? VFIO_USER_ERROR : 0),
		.error = (uint32_t)-error,
	};
	iov.iov_len = header->size;
	if (error)
		VUS_COUNT(conn->server, error_replies);
	pthread_mutex_lock(&conn->send_lock);
	ret = vfio_user_send(conn->sock, &iov, 1, &answer->fd, !error && answer->fd >= 0);
	pthread_mutex_unlock(&conn->send_lock);
	return ret;
}

/* Return: 0; negative errno: the connection is over. */
static int conn_handle_command(struct vus_conn *conn, const struct vfio_user_header *header,
			       size_t len)
{
	struct vus_answer answer = {.fd = -1};
	/* VERSION comes first, and once. */
	bool misplaced = conn->negotiated == (header->command == VFIO_USER_VERSION);
	int error = -EINVAL, ret = 0;

	if (!misplaced)
		error = vus_msg_handle(conn, header, len, &answer);
	if (!(header->flags & VFIO_USER_NO_REPLY))
		ret = conn_send_reply(conn, header, error, &answer);
	if (header->command == VFIO_USER_VERSION && answer.fd >= 0)
		close(answer.fd); /* the client's end of the twin socket */
	if (ret)
		return ret;
	if (!misplaced && (conn->negotiated || !error))
		return 0;
	/* No negotiation, no connection. */
	return error == -EBUSY ? error : -EPROTO;
}

static int conn_handle(struct vus_conn *conn, const struct vfio_user_header *header, size_t len)
{
	VUS_COUNT(conn->server, messages);
	switch (header->flags & VFIO_USER_TYPE_MASK) {
	case VFIO_USER_TYPE_COMMAND:
		return conn_handle_command(conn, header, len);
	case VFIO_USER_TYPE_REPLY:
		return conn->fds.count
			       ? -EPROTO
			       : vus_dma_reply(conn, header, conn->request + sizeof(*header));
	default:
		return -EPROTO;
	}
}

/*
 * A register access and its header have 32 bytes, and the few shorter messages at least 16, so one
 * read of 32 takes a whole access, and at most a header of what follows a short message.
 */
#define READ_BYTES (sizeof(struct vfio_user_header) + sizeof(struct vfio_user_region_access))

/* The first read of a message, into conn->request. Return: bytes; 0 closed; negative errno. */
static ssize_t conn_receive_first(struct vus_conn *conn)
{
	ssize_t got = (ssize_t)conn->next_len;

	if (got) {
		memcpy(conn->request, conn->next, conn->next_len);
		conn->fds = conn->next_fds;
		conn->next_fds.count = 0;
		conn->next_len = 0;
		return got;
	}
	do {
		got = vfio_user_recv_some(conn->sock, conn->request, READ_BYTES, &conn->fds);
	} while (got == -EAGAIN && conn->negotiated); /* a guest may be silent for ever */
	return got;
}

/* Bytes from @have to @want of the message. Return: 0; negative errno. */
static int conn_receive_rest(struct vus_conn *conn, size_t have, size_t want,
			     struct vfio_user_fds *fds)
{
	int ret;

	if (have >= want)
		return 0;
	ret = vfio_user_recv(conn->sock, conn->request + have, want - have, fds, stall_ms(conn));
	if (ret == -EAGAIN)
		return -ETIMEDOUT;
	return ret == -ENODATA ? -ECONNRESET : ret;
}

/* Keep what was read beyond this message. */
static void conn_keep_next(struct vus_conn *conn, size_t have, size_t size)
{
	conn->next_len = have - size;
	memcpy(conn->next, conn->request + size, conn->next_len);
	conn->next_fds = conn->fds;
	conn->fds.count = 0;
}

/* Receive one message into conn->request and conn->fds. Return: 0; negative errno: it's over. */
static int conn_receive(struct vus_conn *conn)
{
	const struct vfio_user_header *header = (const void *)conn->request;
	size_t most = conn->negotiated ? VFIO_USER_MAX_MESSAGE : VERSION_MESSAGE_MAX;
	ssize_t have = conn_receive_first(conn);
	int ret;

	if (have <= 0)
		return have == 0 ? -ENODATA : have == -EAGAIN ? -ETIMEDOUT : (int)have;
	ret = conn_receive_rest(conn, (size_t)have, sizeof(*header), &conn->fds);
	if (ret)
		return ret;
	if (header->size < sizeof(*header) || header->size > most)
		return -EPROTO;
	if ((size_t)have > header->size)
		conn_keep_next(conn, (size_t)have, header->size);
	else
		ret = conn_receive_rest(
			conn, (size_t)have > sizeof(*header) ? (size_t)have : sizeof(*header),
			header->size, NULL);
	return ret;
}

static int conn_loop(struct vus_conn *conn)
{
	const struct vfio_user_header *header = (const void *)conn->request;
	int ret;

	do {
		ret = conn_receive(conn);
		if (!ret)
			ret = conn_handle(conn, header, header->size - sizeof(*header));
		vfio_user_fds_close(&conn->fds);
	} while (!ret);
	vfio_user_fds_close(&conn->next_fds);
	return ret;
}

/* Say why it is over. Return: what vfio_user_server_serve() returns. */
static int conn_report(struct vus_conn *conn, int ret)
{
	struct vfio_user_server *server = conn->server;

	switch (ret) {
	case -EPROTO:
	case -ETIMEDOUT:
		VUS_COUNT(server, protocol_errors);
		vus_event(server, VFIO_USER_EVENT_PROTOCOL, "%s",
			  ret == -EPROTO ? "the client broke the protocol" : "the client stalled");
		break;
	case -ENODATA:	  /* closed */
	case -ECONNRESET: /* killed */
	case -EPIPE:
		ret = 0;
		break;
	}
	if (conn->negotiated)
		vus_event(server, VFIO_USER_EVENT_DISCONNECTED, "the client has left");
	return ret;
}

/* --- life --- */

static void conn_destroy(struct vus_conn *conn)
{
	free(conn->reply);
	free(conn->request);
	vus_irq_deinit(&conn->irqs);
	vus_dma_deinit(&conn->dma);
	vus_map_deinit(&conn->maps);
	pthread_mutex_destroy(&conn->twin_lock);
	pthread_mutex_destroy(&conn->send_lock);
	free(conn);
}

static struct vus_conn *conn_create(struct vfio_user_server *server, int sock)
{
	struct vus_conn *conn = calloc(1, sizeof(*conn));

	if (!conn)
		return NULL;
	conn->server = server;
	conn->card = server->card;
	conn->sock = sock;
	conn->twin = -1;
	pthread_mutex_init(&conn->send_lock, NULL);
	pthread_mutex_init(&conn->twin_lock, NULL);
	vus_map_init(&conn->maps);
	vus_dma_init(&conn->dma);
	conn->maps.server = server;
	conn->dma.server = server;
	vus_irq_init(&conn->irqs);
	conn->request = malloc(VFIO_USER_MAX_MESSAGE);
	conn->reply = malloc(VFIO_USER_MAX_MESSAGE);
	if (conn->request && conn->reply)
		return conn;
	conn_destroy(conn);
	return NULL;
}

int vfio_user_server_serve(struct vfio_user_server *server, int sock)
{
	struct vus_conn *conn = conn_create(server, sock);
	int ret;

	if (!conn)
		return -ENOMEM;
	ret = socket_set_patience(sock, stall_ms(conn));
	if (!ret)
		ret = conn_loop(conn);
	/* The client first, it must not wait for us; then the card's threads, which wait for it. */
	vus_conn_break(conn);
	vus_dma_close(&conn->dma);
	/* The card gives up after a second; its calls of ours still need @conn then. */
	while (conn->negotiated && card_detach(conn->card))
		;
	if (conn->negotiated)
		trace_owner(conn, CARD_EVENT_LEFT);
	twin_close(conn);
	ret = conn_report(conn, ret);
	conn_destroy(conn);
	return ret;
}
