/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "common/unix_socket.h"
#include "runtime/device/vfio_user_client.h"

#define HEADER_BYTES sizeof(struct vfio_user_header)
#define ERRNO_END 4096 /* as in the kernel */

/* --- the end --- */

void vfio_user_client_cut_off(struct vfio_user_client *client)
{
	atomic_store(&client->dead, true);
	shutdown(client->sock, SHUT_RDWR);
	if (client->twin >= 0)
		shutdown(client->twin, SHUT_RDWR);
}

static int gone(struct reason *why)
{
	return reason_add(why, -ENODEV, "the card process is gone");
}

/* The stream can't be used any more because of @err of a transport function. */
static int broken(struct vfio_user_client *client, int err, struct reason *why)
{
	bool was_dead = atomic_load(&client->dead);

	vfio_user_client_cut_off(client);
	if (was_dead || err == -ENODATA || err == -ECONNRESET || err == -EPIPE)
		return gone(why);
	if (err == -EAGAIN || err == -ETIMEDOUT)
		return reason_add(why, -ENODEV, "the card process does not answer within %u ms",
				  client->timeout_ms);
	if (err == -EPROTO)
		return reason_add(why, -ENODEV, "the card process breaks the vfio-user protocol");
	return reason_add(why, -ENODEV, "the socket to the card process failed: %s",
			  strerror(-err));
}

/* --- requests --- */

int vfio_user_client_take(struct vfio_user_client *client, struct vfio_user_request *request,
			  const struct vfio_user_header *sent,
			  const struct vfio_user_header *header, size_t done)
{
	size_t body;
	int err = 0;

	if ((header->flags & VFIO_USER_TYPE_MASK) != VFIO_USER_TYPE_REPLY ||
	    header->id != sent->id || header->command != sent->command ||
	    header->size < HEADER_BYTES)
		return -EPROTO;
	body = header->size - HEADER_BYTES;
	if (body > request->reply_bytes || done > body)
		return -EPROTO;
	if (header->flags & VFIO_USER_ERROR) {
		if (body)
			return -EPROTO;
		return header->error && header->error < ERRNO_END ? (int)header->error : EIO;
	}
	if (body > done)
		err = vfio_user_recv(client->sock, (uint8_t *)request->reply + done, body - done,
				     NULL, client->timeout_ms);
	request->reply_bytes = body;
	return err;
}

/*
 * Header, and body as far as it is there: nothing else can come, so one system call usually takes
 * all. Descriptors belong to the first bytes.
 */
static int recv_start(struct vfio_user_client *client, struct vfio_user_request *request,
		      struct vfio_user_header *header, size_t *ret_body)
{
	struct iovec iov[] = {{header, sizeof(*header)}, {request->reply, request->reply_bytes}};
	struct msghdr msg = {.msg_iov = iov, .msg_iovlen = 2};
	ssize_t got;
	int err;

	*ret_body = 0;
	if (request->reply_fds)
		return vfio_user_recv(client->sock, header, sizeof(*header), request->reply_fds,
				      client->timeout_ms);
	do {
		got = recvmsg(client->sock, &msg, MSG_CMSG_CLOEXEC);
	} while (got < 0 && errno == EINTR);
	if (got <= 0)
		return got ? -errno : -ENODATA;
	if (msg.msg_flags & MSG_CTRUNC)
		return -EPROTO;
	if ((size_t)got >= sizeof(*header)) {
		*ret_body = got - sizeof(*header);
		return 0;
	}
	err = vfio_user_recv(client->sock, (uint8_t *)header + got, sizeof(*header) - got, NULL,
			     client->timeout_ms);
	return err == -ENODATA ? -ECONNRESET : err;
}

static int send_command(struct vfio_user_client *client, struct vfio_user_header *header,
			const struct iovec *body, const int *fds, unsigned int fds_nr)
{
	struct iovec iov[] = {{header, sizeof(*header)}, body[0], body[1]};
	int err;

	pthread_mutex_lock(&client->send_lock);
	err = vfio_user_send(client->sock, iov, 3, fds, fds_nr);
	pthread_mutex_unlock(&client->send_lock);
	return err;
}

static void fill_header(struct vfio_user_client *client, struct vfio_user_header *header,
			const struct iovec *body)
{
	header->id = client->next_id++;
	header->size = sizeof(*header) + body[0].iov_len + body[1].iov_len;
}

/* Who sends reads the reply. */
static int call_direct(struct vfio_user_client *client, struct vfio_user_request *request,
		       struct vfio_user_header *sent)
{
	struct vfio_user_header header;
	size_t done;
	int err;

	err = send_command(client, sent, request->body, request->fds, request->fds_nr);
	if (!err)
		err = recv_start(client, request, &header, &done);
	return err ? err : vfio_user_client_take(client, request, sent, &header, done);
}

static int call_reader(struct vfio_user_client *client, struct vfio_user_request *request,
		       struct vfio_user_header *sent)
{
	if (!vfio_user_serve_expect(client, request, sent))
		return -ENODATA;
	if (send_command(client, sent, request->body, request->fds, request->fds_nr))
		vfio_user_client_cut_off(client);
	return vfio_user_serve_await(client);
}

int vfio_user_client_call(struct vfio_user_client *client, struct vfio_user_request *request,
			  struct reason *why)
{
	struct vfio_user_header header = {.command = request->command};
	int err;

	if (atomic_load(&client->dead))
		return gone(why);
	pthread_mutex_lock(&client->lock);
	fill_header(client, &header, request->body);
	if (client->has_reader && client->twin < 0)
		err = call_reader(client, request, &header);
	else
		err = call_direct(client, request, &header);
	if (err < 0)
		err = broken(client, err, why);
	else if (err > 0)
		err = reason_add(why, -err, "the card process refuses command %u: %s",
				 request->command, strerror(err));
	pthread_mutex_unlock(&client->lock);
	return err;
}

int vfio_user_client_post(struct vfio_user_client *client, enum vfio_user_command command,
			  const struct iovec *body, struct reason *why)
{
	struct vfio_user_header header = {.command = command, .flags = VFIO_USER_NO_REPLY};
	int err;

	if (atomic_load(&client->dead))
		return gone(why);
	pthread_mutex_lock(&client->lock);
	fill_header(client, &header, body);
	err = send_command(client, &header, body, NULL, 0);
	if (err)
		err = broken(client, err, why);
	pthread_mutex_unlock(&client->lock);
	return err;
}

/* --- connect --- */

static void set_timeouts(int sock, unsigned int timeout_ms)
{
	struct timeval tv = {.tv_sec = timeout_ms / 1000, .tv_usec = timeout_ms % 1000 * 1000};

	setsockopt(sock, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
	setsockopt(sock, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv));
}

static int connect_socket(struct vfio_user_client *client, const char *path, struct reason *why)
{
	int fd = unix_socket_connect(path, 0, client->timeout_ms);

	if (fd >= 0) {
		client->sock = fd;
		set_timeouts(fd, client->timeout_ms);
		return 0;
	}
	if (fd == -EINVAL || fd == -ENAMETOOLONG)
		return reason_add(why, -EINVAL, "socket path \"%.120s\" must have 1 to %zu bytes",
				  path, sizeof(((struct sockaddr_un *)0)->sun_path) - 1);
	if (fd == -ENOENT || fd == -ECONNREFUSED)
		return reason_add(why, -ENODEV,
				  "no card listens at %s: start one with `tethys card --socket %s`",
				  path, path);
	return reason_add(why, -ENODEV, "can't connect to %s: %s", path,
			  fd == -EAGAIN ? "the card process does not answer" : strerror(-fd));
}

/* The socket for the server's commands, when it grants one. */
static int take_twin(struct vfio_user_client *client, struct vfio_user_fds *fds, struct reason *why)
{
	struct stat st;

	if (!client->peer.twin_socket || client->peer.twin_fd_index < 0)
		return fds->count ? reason_add(why, -EPROTO, "the card process sends a stray file")
				  : 0;
	client->twin = vfio_user_fds_take(fds, client->peer.twin_fd_index);
	if (client->twin < 0 || fstat(client->twin, &st) || !S_ISSOCK(st.st_mode))
		return reason_add(why, -EPROTO,
				  "the card process names a twin socket it has not sent");
	set_timeouts(client->twin, client->timeout_ms);
	return 0;
}

static int check_version(struct vfio_user_client *client, const struct vfio_user_version *version,
			 size_t bytes, struct vfio_user_fds *fds, struct reason *why)
{
	int err;

	if (bytes < sizeof(*version))
		return reason_add(why, -EPROTO, "the card process sends a short version");
	if (version->major != VFIO_USER_MAJOR || version->minor > VFIO_USER_MINOR)
		return reason_add(why, -EPROTO, "the card process speaks vfio-user %u.%u, we %u.%u",
				  version->major, version->minor, VFIO_USER_MAJOR, VFIO_USER_MINOR);
	vfio_user_caps_default(&client->peer);
	if (bytes > sizeof(*version)) {
		err = vfio_user_caps_parse(version->json, bytes - sizeof(*version), &client->peer,
					   why);
		if (err)
			return reason_add(why, -EPROTO, "the card process breaks the protocol");
	}
	if (!client->peer.max_msg_fds)
		return reason_add(why, -EPROTO, "the card process takes no file descriptors");
	return take_twin(client, fds, why);
}

static int negotiate(struct vfio_user_client *client, struct reason *why)
{
	struct vfio_user_caps caps = {
		.max_msg_fds = VFIO_USER_MAX_FDS,
		.max_dma_maps = VFIO_USER_MAX_DMA_MAPS,
		.max_data_xfer_size = VFIO_USER_MAX_DATA,
		.pgsizes = VFIO_USER_PGSIZES,
		.write_multiple = true,
		.twin_socket = client->offer_twin,
		.twin_fd_index = -1,
	};
	struct vfio_user_version ours = {.major = VFIO_USER_MAJOR, .minor = VFIO_USER_MINOR};
	_Alignas(8) uint8_t reply[sizeof(ours) + VFIO_USER_MAX_JSON];
	struct vfio_user_fds fds = {.count = 0};
	struct vfio_user_request request = {
		.command = VFIO_USER_VERSION,
		.reply = reply,
		.reply_bytes = sizeof(reply),
		.reply_fds = &fds,
	};
	char json[512];
	int err, len;

	len = vfio_user_caps_print(&caps, json, sizeof(json));
	if (len < 0)
		return len;
	request.body[0] = (struct iovec){&ours, sizeof(ours)};
	request.body[1] = (struct iovec){json, len};
	err = vfio_user_client_call(client, &request, NULL);
	if (err == -EBUSY)
		reason_add(why, err, "another program is using this card");
	else if (err == -ENODEV)
		reason_add(why, err, "the card process gave no answer to our greeting");
	else if (err)
		err = reason_add(why, -EPROTO, "the card process refuses us: %s", strerror(-err));
	else
		err = check_version(client, (struct vfio_user_version *)reply, request.reply_bytes,
				    &fds, why);
	vfio_user_fds_close(&fds);
	return err;
}

int vfio_user_client_connect(struct vfio_user_client *client, const char *path, struct reason *why)
{
	int err;

	err = connect_socket(client, path, why);
	if (err)
		return err;
	client->command = malloc(VFIO_USER_MAX_MESSAGE);
	client->stop = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (!client->command || client->stop < 0)
		return reason_add(why, -ENOMEM, "out of memory or file descriptors");
	err = negotiate(client, why);
	return err ? err : vfio_user_serve_start(client, why);
}

void vfio_user_client_init(struct vfio_user_client *client, unsigned int timeout_ms,
			   bool offer_twin, vfio_user_dma_fn dma, void *dma_ctx)
{
	pthread_condattr_t attr;

	*client = (struct vfio_user_client){
		.sock = -1,
		.twin = -1,
		.stop = -1,
		.timeout_ms = timeout_ms,
		.offer_twin = offer_twin,
		.dma = dma,
		.dma_ctx = dma_ctx,
	};
	pthread_mutex_init(&client->lock, NULL);
	pthread_mutex_init(&client->send_lock, NULL);
	pthread_mutex_init(&client->queue_lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&client->queue_changed, &attr);
	pthread_condattr_destroy(&attr);
}

static void close_fd(int fd)
{
	if (fd >= 0)
		close(fd);
}

void vfio_user_client_deinit(struct vfio_user_client *client)
{
	vfio_user_serve_stop(client);
	close_fd(client->sock);
	close_fd(client->twin);
	close_fd(client->stop);
	free(client->command);
	pthread_cond_destroy(&client->queue_changed);
	pthread_mutex_destroy(&client->queue_lock);
	pthread_mutex_destroy(&client->send_lock);
	pthread_mutex_destroy(&client->lock);
}
