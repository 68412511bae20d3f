/* SPDX-License-Identifier: MIT */
/*
 * The client's threads: what the server asks us for.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>

#include "runtime/device/pci.h"
#include "runtime/device/vfio_user_client.h"

#define HEADER_BYTES sizeof(struct vfio_user_header)
/* No honest server has more in flight: it waits for our answers. */
#define QUEUE_BYTES_MAX (64u << 20)

struct vfio_user_queued {
	struct vfio_user_queued *next;
	struct vfio_user_header header;
	uint8_t body[];
};

/* --- answers --- */

static int send_reply(struct vfio_user_client *client, const struct vfio_user_header *command,
		      int err, const void *body, size_t bytes)
{
	struct vfio_user_header header = {
		.id = command->id,
		.command = command->command,
		.size = HEADER_BYTES + (err ? 0 : bytes),
		.flags = VFIO_USER_TYPE_REPLY | (err ? VFIO_USER_ERROR : 0),
		.error = -err,
	};
	struct iovec iov[] = {{&header, sizeof(header)}, {(void *)body, bytes}};
	int ret;

	if (command->flags & VFIO_USER_NO_REPLY)
		return 0;
	if (client->twin >= 0)
		return vfio_user_send(client->twin, iov, err ? 1 : 2, NULL, 0);
	pthread_mutex_lock(&client->send_lock);
	ret = vfio_user_send(client->sock, iov, err ? 1 : 2, NULL, 0);
	pthread_mutex_unlock(&client->send_lock);
	return ret;
}

static int answer_dma(struct vfio_user_client *client, const struct vfio_user_header *command,
		      size_t bytes)
{
	struct vfio_user_dma_access *access = (struct vfio_user_dma_access *)client->command;
	bool write = command->command == VFIO_USER_DMA_WRITE;
	int err;

	if (bytes < sizeof(*access))
		return send_reply(client, command, -EINVAL, NULL, 0);
	if (access->count > VFIO_USER_MAX_DATA ||
	    (write && access->count > bytes - sizeof(*access)))
		return send_reply(client, command, -E2BIG, NULL, 0);
	err = client->dma(client->dma_ctx, write, access->iova, access->data, access->count);
	return send_reply(client, command, err, access,
			  sizeof(*access) + (write ? 0 : access->count));
}

/* The body is in client->command. Return: 0 or an error that ends the stream. */
static int answer(struct vfio_user_client *client, const struct vfio_user_header *command)
{
	if (command->command == VFIO_USER_DMA_READ || command->command == VFIO_USER_DMA_WRITE)
		return answer_dma(client, command, command->size - HEADER_BYTES);
	return send_reply(client, command, -ENOSYS, NULL, 0);
}

static bool is_command(const struct vfio_user_header *header)
{
	return (header->flags & VFIO_USER_TYPE_MASK) == VFIO_USER_TYPE_COMMAND &&
	       header->size >= HEADER_BYTES && header->size <= VFIO_USER_MAX_MESSAGE;
}

static int serve_twin(struct vfio_user_client *client)
{
	struct vfio_user_header header;
	int err = vfio_user_recv(client->twin, &header, sizeof(header), NULL, client->timeout_ms);

	if (!err && !is_command(&header))
		err = -EPROTO;
	if (!err)
		err = vfio_user_recv(client->twin, client->command, header.size - HEADER_BYTES,
				     NULL, client->timeout_ms);
	return err ? err : answer(client, &header);
}

/* --- one socket: the queue of commands --- */

static int queue_command(struct vfio_user_client *client, const struct vfio_user_header *header)
{
	struct vfio_user_queued *item;
	int err = 0;

	if (!is_command(header))
		return -EPROTO;
	item = malloc(sizeof(*item) + header->size - HEADER_BYTES);
	if (!item)
		return -ENOMEM;
	item->next = NULL;
	item->header = *header;
	err = vfio_user_recv(client->sock, item->body, header->size - HEADER_BYTES, NULL,
			     client->timeout_ms);
	pthread_mutex_lock(&client->queue_lock);
	if (!err && header->size > QUEUE_BYTES_MAX - client->queue_bytes)
		err = -EPROTO;
	if (!err) {
		client->queue_bytes += header->size;
		*client->queue_end = item;
		client->queue_end = &item->next;
		pthread_cond_broadcast(&client->queue_changed);
	}
	pthread_mutex_unlock(&client->queue_lock);
	if (err)
		free(item);
	return err;
}

/* NULL: there won't be any more. */
static struct vfio_user_queued *queue_take(struct vfio_user_client *client)
{
	struct vfio_user_queued *item;

	pthread_mutex_lock(&client->queue_lock);
	while (!client->queue && !client->reader_gone)
		pthread_cond_wait(&client->queue_changed, &client->queue_lock);
	item = client->queue;
	if (item) {
		client->queue = item->next;
		if (!client->queue)
			client->queue_end = &client->queue;
		client->queue_bytes -= item->header.size;
	}
	pthread_mutex_unlock(&client->queue_lock);
	return item;
}

static void *answer_thread(void *arg)
{
	struct vfio_user_client *client = arg;
	struct vfio_user_queued *item;
	bool broken = false;

	while ((item = queue_take(client))) {
		if (!broken) {
			memcpy(client->command, item->body, item->header.size - HEADER_BYTES);
			broken = answer(client, &item->header);
		}
		if (broken)
			vfio_user_client_cut_off(client);
		free(item);
	}
	return NULL;
}

/* --- one socket: replies --- */

bool vfio_user_serve_expect(struct vfio_user_client *client, struct vfio_user_request *request,
			    const struct vfio_user_header *sent)
{
	bool there;

	pthread_mutex_lock(&client->queue_lock);
	there = !client->reader_gone;
	if (there) {
		client->pending = request;
		client->pending_sent = *sent;
	}
	pthread_mutex_unlock(&client->queue_lock);
	return there;
}

int vfio_user_serve_await(struct vfio_user_client *client)
{
	uint64_t end = axdev_now_us() + client->timeout_ms * 1000ull;
	struct timespec ts = {.tv_sec = end / 1000000, .tv_nsec = end % 1000000 * 1000};
	bool late = false;
	int ret;

	pthread_mutex_lock(&client->queue_lock);
	while (client->pending && !late)
		late = pthread_cond_timedwait(&client->queue_changed, &client->queue_lock, &ts);
	if (client->pending)
		vfio_user_client_cut_off(client);
	/* The reader may be writing to it; cut off, it soon ends. */
	while (client->pending)
		pthread_cond_wait(&client->queue_changed, &client->queue_lock);
	ret = client->pending_ret;
	pthread_mutex_unlock(&client->queue_lock);
	return late && ret < 0 ? -ETIMEDOUT : ret;
}

static void pending_done(struct vfio_user_client *client, int ret)
{
	pthread_mutex_lock(&client->queue_lock);
	client->pending = NULL;
	client->pending_ret = ret;
	pthread_cond_broadcast(&client->queue_changed);
	pthread_mutex_unlock(&client->queue_lock);
}

static int read_reply(struct vfio_user_client *client, const struct vfio_user_header *header,
		      struct vfio_user_fds *fds)
{
	struct vfio_user_request *request;
	struct vfio_user_header sent;
	int ret = -EPROTO;

	pthread_mutex_lock(&client->queue_lock);
	request = client->pending;
	sent = client->pending_sent;
	pthread_mutex_unlock(&client->queue_lock);
	if (!request)
		return -EPROTO;
	if (!fds->count || request->reply_fds)
		ret = vfio_user_client_take(client, request, &sent, header, 0);
	if (request->reply_fds) {
		*request->reply_fds = *fds;
		fds->count = 0;
	}
	pending_done(client, ret);
	return ret < 0 ? ret : 0;
}

static int serve_shared(struct vfio_user_client *client)
{
	struct vfio_user_fds fds = {.count = 0};
	struct vfio_user_header header;
	int err;

	err = vfio_user_recv(client->sock, &header, sizeof(header), &fds, client->timeout_ms);
	if (!err && (header.flags & VFIO_USER_TYPE_MASK) == VFIO_USER_TYPE_REPLY)
		err = read_reply(client, &header, &fds);
	else if (!err)
		err = fds.count ? -EPROTO : queue_command(client, &header);
	vfio_user_fds_close(&fds);
	return err;
}

/* --- the reading thread --- */

/* Also notices the server's death when nobody else is looking. */
static void *reader_thread(void *arg)
{
	struct vfio_user_client *client = arg;
	bool twin = client->twin >= 0;
	struct pollfd fds[] = {
		{.fd = client->stop, .events = POLLIN},
		{.fd = client->sock, .events = twin ? POLLRDHUP : POLLIN},
		{.fd = client->twin, .events = POLLIN},
	};
	int err = 0;

	while (!err) {
		if (poll(fds, twin ? 3 : 2, -1) < 0)
			continue;
		if (fds[0].revents)
			break;
		if (twin && fds[2].revents)
			err = serve_twin(client);
		else if (twin)
			break;
		else
			err = serve_shared(client);
	}
	vfio_user_client_cut_off(client);
	pthread_mutex_lock(&client->queue_lock);
	client->reader_gone = true;
	pthread_mutex_unlock(&client->queue_lock);
	pending_done(client, err ? err : -ENODATA);
	return NULL;
}

int vfio_user_serve_start(struct vfio_user_client *client, struct reason *why)
{
	int err;

	client->queue_end = &client->queue;
	if (client->twin < 0) {
		err = pthread_create(&client->answerer, NULL, answer_thread, client);
		client->has_answerer = !err;
	} else {
		err = 0;
	}
	if (!err) {
		err = pthread_create(&client->reader, NULL, reader_thread, client);
		client->has_reader = !err;
	}
	return err ? reason_add(why, -ENOMEM, "no thread to be had: %s", strerror(err)) : 0;
}

void vfio_user_serve_stop(struct vfio_user_client *client)
{
	if (client->has_reader) {
		eventfd_write(client->stop, 1);
		vfio_user_client_cut_off(client);
		pthread_join(client->reader, NULL);
	}
	pthread_mutex_lock(&client->queue_lock);
	client->reader_gone = true;
	pthread_cond_broadcast(&client->queue_changed);
	pthread_mutex_unlock(&client->queue_lock);
	if (client->has_answerer)
		pthread_join(client->answerer, NULL);
}
