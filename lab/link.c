/* SPDX-License-Identifier: MIT */
/*
 * The agent is not trusted more than what runs in its machine: every length is checked, and text
 * for people has no control characters.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "lab/agent/frame.h"
#include "lab/link.h"

#define TEXT_MAX 1024

struct pending {
	struct pending *next;
	uint32_t id;
	struct lab_command_events events;
	void *ctx;
};

struct lab_link {
	struct lab_loop *loop;
	int fd; /* -1: closed */
	struct lab_link_events events;
	void *ctx;
	struct lab_frame_in in;
	struct lab_frame_out out;
	struct pending *pending;
	uint32_t last_id;
	bool greeted; /* until the first hello all is skipped */
	uint64_t uptime_us;
	/* Callbacks may destroy the link: then it goes when the last of them has returned. */
	unsigned int busy;
	bool destroyed;
};

static void link_free(struct lab_link *link)
{
	lab_frame_in_deinit(&link->in);
	lab_frame_out_deinit(&link->out);
	free(link);
}

static void leave(struct lab_link *link)
{
	if (!--link->busy && link->destroyed)
		link_free(link);
}

/* --- commands --- */

static struct pending **find(struct lab_link *link, uint32_t id)
{
	struct pending **at = &link->pending;

	while (*at && (*at)->id != id)
		at = &(*at)->next;
	return at;
}

static void end_command(struct pending **at, int status, bool timed_out, uint64_t elapsed_us,
			const char *error)
{
	struct pending *pending = *at;

	*at = pending->next;
	if (pending->events.ended)
		pending->events.ended(pending->ctx, status, timed_out, elapsed_us, error);
	free(pending);
}

static void end_all(struct lab_link *link, const char *error)
{
	while (link->pending)
		end_command(&link->pending, -1, false, 0, error);
}

/* The caller is busy with the link. @err as for closed(). */
static void link_close(struct lab_link *link, int err)
{
	if (link->fd < 0)
		return;
	lab_loop_remove(link->loop, link->fd);
	close(link->fd);
	link->fd = -1;
	end_all(link, "the link to its machine closed");
	if (!link->destroyed && link->events.closed)
		link->events.closed(link->ctx, err);
}

/* --- frames of the agent --- */

static void text_of(const unsigned char *data, size_t bytes, char ret_text[TEXT_MAX])
{
	size_t i;

	if (bytes > TEXT_MAX - 1)
		bytes = TEXT_MAX - 1;
	for (i = 0; i < bytes; i++)
		ret_text[i] =
			(data[i] < ' ' && data[i] != '\t') || data[i] == 127 ? '?' : (char)data[i];
	ret_text[bytes] = 0;
}

static int on_hello(struct lab_link *link, const struct lab_frame_view *view)
{
	struct lab_hello hello;
	char text[TEXT_MAX];
	uint64_t uptime_us;
	bool again;

	if (view->bytes < sizeof(hello))
		return -EPROTO;
	memcpy(&hello, view->body, sizeof(hello));
	uptime_us = le64toh(hello.uptime_us);
	/* It says it on its own and when pinged: once is news, or that it started anew. */
	again = link->uptime_us && uptime_us >= link->uptime_us;
	link->uptime_us = uptime_us;
	text_of(view->body + sizeof(hello), view->bytes - sizeof(hello), text);
	if (!again && link->events.hello)
		link->events.hello(link->ctx, uptime_us, text);
	return 0;
}

static int on_kmsg(struct lab_link *link, const struct lab_frame_view *view)
{
	struct lab_kmsg kmsg;
	char text[TEXT_MAX];

	if (view->bytes < sizeof(kmsg))
		return -EPROTO;
	memcpy(&kmsg, view->body, sizeof(kmsg));
	if (le32toh(kmsg.level) > 7)
		return -EPROTO;
	text_of(view->body + sizeof(kmsg), view->bytes - sizeof(kmsg), text);
	if (link->events.kmsg)
		link->events.kmsg(link->ctx, le64toh(kmsg.time_us), le32toh(kmsg.level), text);
	return 0;
}

static int on_error(struct lab_link *link, const struct lab_frame_view *view)
{
	struct pending **at = find(link, view->id);
	char text[TEXT_MAX];

	text_of(view->body, view->bytes, text);
	if (view->id && *at)
		end_command(at, -1, false, 0, text);
	else if (!view->id && link->events.error)
		link->events.error(link->ctx, text);
	return 0;
}

static int on_output(struct lab_link *link, const struct lab_frame_view *view)
{
	const struct pending *pending = *find(link, view->id);

	if (pending && view->bytes && pending->events.output)
		pending->events.output(pending->ctx, view->type == LAB_FRAME_STDERR,
				       (const char *)view->body, view->bytes);
	return 0;
}

static int on_exit_frame(struct lab_link *link, const struct lab_frame_view *view)
{
	struct pending **at = find(link, view->id);
	struct lab_exit body;

	if (view->bytes != sizeof(body))
		return -EPROTO;
	memcpy(&body, view->body, sizeof(body));
	if (le32toh(body.status) > 255 || le32toh(body.timed_out) > 1)
		return -EPROTO;
	if (*at)
		end_command(at, (int)le32toh(body.status), le32toh(body.timed_out),
			    le64toh(body.elapsed_us), NULL);
	return 0;
}

/* Return: 0; -EPROTO; -ESHUTDOWN the machine has gone. */
static int on_frame(struct lab_link *link, const struct lab_frame_view *view)
{
	switch (view->type) {
	case LAB_FRAME_HELLO:
		return on_hello(link, view);
	case LAB_FRAME_KMSG:
		return on_kmsg(link, view);
	case LAB_FRAME_ERROR:
		return on_error(link, view);
	case LAB_FRAME_STDOUT:
	case LAB_FRAME_STDERR:
		return on_output(link, view);
	case LAB_FRAME_EXIT:
		return on_exit_frame(link, view);
	case LAB_FRAME_GONE:
		return -ESHUTDOWN;
	default:
		return -EPROTO;
	}
}

/* --- the descriptor --- */

static int take_frames(struct lab_link *link)
{
	struct lab_frame_view view;
	int ret;

	if (!link->greeted && !lab_frame_in_find_hello(&link->in))
		return 0;
	link->greeted = true;
	while (link->fd >= 0) {
		ret = lab_frame_in_next(&link->in, &view);
		if (ret <= 0)
			return ret;
		ret = on_frame(link, &view);
		if (ret)
			return ret;
	}
	return 0;
}

static int receive(struct lab_link *link)
{
	ssize_t got = lab_frame_in_read(&link->in, link->fd);

	if (got == -EAGAIN)
		return 0;
	if (got == -ECONNRESET || !got)
		return -ESHUTDOWN;
	return got < 0 ? (int)got : take_frames(link);
}

static void watch_for_room(struct lab_link *link)
{
	bool waiting = lab_frame_out_queued(&link->out);

	lab_loop_events(link->loop, link->fd, waiting ? POLLIN | POLLOUT : POLLIN);
}

/* Who doesn't listen any more may have said something first: reading finds the end. */
static int write_queued(struct lab_link *link)
{
	int err = lab_frame_out_write(&link->out, link->fd);

	if (err)
		lab_frame_out_deinit(&link->out);
	return err;
}

static void on_ready(void *ctx, short revents)
{
	struct lab_link *link = ctx;
	int err = 0;

	link->busy++;
	if (revents & (POLLIN | POLLHUP | POLLERR))
		err = receive(link);
	if (!err && link->fd >= 0 && revents & POLLOUT)
		write_queued(link);
	if (err)
		link_close(link, err == -ESHUTDOWN ? 0 : err);
	else if (link->fd >= 0)
		watch_for_room(link);
	leave(link);
}

/* Callers may be in the middle of things: that the link has closed is told by the loop. */
static int send_frame(struct lab_link *link, unsigned int type, uint32_t id, const void *data,
		      size_t bytes)
{
	int err;

	if (link->fd < 0)
		return -EPIPE;
	err = lab_frame_out_add(&link->out, type, id, data, bytes, NULL, 0);
	if (err)
		return err;
	if (write_queued(link))
		return -EPIPE;
	watch_for_room(link);
	return 0;
}

/* --- interface --- */

static int link_init(struct lab_link *link)
{
	int err = lab_frame_in_init(&link->in);

	if (!err && fcntl(link->fd, F_SETFL, fcntl(link->fd, F_GETFL) | O_NONBLOCK))
		err = -errno;
	if (!err)
		err = lab_loop_add(link->loop, link->fd, POLLIN, on_ready, link);
	return err;
}

int lab_link_create(struct lab_loop *loop, int fd, const struct lab_link_events *events, void *ctx,
		    struct lab_link **ret_link)
{
	struct lab_link *link = calloc(1, sizeof(*link));
	int err;

	if (!link) {
		close(fd);
		return -ENOMEM;
	}
	link->loop = loop;
	link->fd = fd;
	link->events = *events;
	link->ctx = ctx;
	err = link_init(link);
	if (err) {
		close(fd);
		link_free(link);
		return err;
	}
	send_frame(link, LAB_FRAME_PING, 0, NULL, 0);
	*ret_link = link;
	return 0;
}

void lab_link_destroy(struct lab_link *link)
{
	if (!link || link->destroyed)
		return;
	link->destroyed = true;
	link->busy++;
	if (link->fd >= 0)
		lab_frame_out_write(&link->out, link->fd); /* what is queued, as far as it goes */
	link_close(link, 0);
	leave(link);
}

size_t lab_link_queued(const struct lab_link *link)
{
	return lab_frame_out_queued(&link->out);
}

static int pack_strings(char *body, size_t *at, const char *const *strings, size_t *ret_count)
{
	size_t count = 0, len;

	for (; strings && strings[count]; count++) {
		len = strlen(strings[count]) + 1;
		if (len > LAB_FRAME_BYTES_MAX - *at || count == UINT16_MAX)
			return -E2BIG;
		memcpy(body + *at, strings[count], len);
		*at += len;
	}
	*ret_count = count;
	return 0;
}

static int send_exec(struct lab_link *link, const struct lab_command *command, uint32_t id)
{
	struct lab_exec head = {
		.flags = htole32(command->pty ? LAB_EXEC_PTY : 0),
		.timeout_ms = htole32(command->timeout_ms),
		.rows = htole16((uint16_t)command->rows),
		.columns = htole16((uint16_t)command->columns),
	};
	char *body = malloc(LAB_FRAME_BYTES_MAX);
	size_t argc, envc, bytes = sizeof(head);
	int err = body ? pack_strings(body, &bytes, command->argv, &argc) : -ENOMEM;

	if (!err)
		err = pack_strings(body, &bytes, command->env, &envc);
	if (!err) {
		head.argc = htole16((uint16_t)argc);
		head.envc = htole16((uint16_t)envc);
		memcpy(body, &head, sizeof(head));
		err = send_frame(link, LAB_FRAME_EXEC, id, body, bytes);
	}
	free(body);
	return err;
}

int lab_link_exec(struct lab_link *link, const struct lab_command *command,
		  const struct lab_command_events *events, void *ctx, uint32_t *ret_id)
{
	struct pending *pending = calloc(1, sizeof(*pending));
	int err;

	if (!pending)
		return -ENOMEM;
	pending->id = ++link->last_id;
	if (!pending->id)
		pending->id = link->last_id = 1;
	pending->events = *events;
	pending->ctx = ctx;
	err = send_exec(link, command, pending->id);
	if (err) {
		free(pending);
		return err;
	}
	pending->next = link->pending;
	link->pending = pending;
	*ret_id = pending->id;
	return 0;
}

int lab_link_stdin(struct lab_link *link, uint32_t id, const void *data, size_t len)
{
	const char *at = data;
	size_t piece;
	int err;

	do {
		piece = len < LAB_FRAME_BYTES_MAX ? len : LAB_FRAME_BYTES_MAX;
		err = send_frame(link, LAB_FRAME_STDIN, id, at, piece);
		at += piece;
		len -= piece;
	} while (!err && len);
	return err;
}

int lab_link_signal(struct lab_link *link, uint32_t id, int signum)
{
	__le32 body = htole32((uint32_t)signum);

	return send_frame(link, LAB_FRAME_SIGNAL, id, &body, sizeof(body));
}

int lab_link_winsize(struct lab_link *link, uint32_t id, unsigned int rows, unsigned int columns)
{
	__le16 body[2] = {htole16((uint16_t)rows), htole16((uint16_t)columns)};

	return send_frame(link, LAB_FRAME_WINSIZE, id, body, sizeof(body));
}

int lab_link_poweroff(struct lab_link *link)
{
	return send_frame(link, LAB_FRAME_POWEROFF, 0, NULL, 0);
}
