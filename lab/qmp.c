/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/unix_socket.h"
#include "lab/loop.h"
#include "lab/machine.h"
#include "lab/qmp.h"

#define GREETING_MS 2000
#define MESSAGE_BYTES_MAX (1u << 20)
#define EVENTS_MAX 64u
/*
 * The kernel goes on switching the slot off for a second after the last card has left, and a card
 * that comes meanwhile goes the same way.
 */
#define SETTLE_MS 1500

struct lab_qmp {
	int fd;
	char *buffer; /* what was read and is no whole line yet */
	size_t len, size;
	struct json_object *event[EVENTS_MAX]; /* oldest first */
	unsigned int events;
	int64_t last_id;
};

/* --- lines --- */

static int wait_for(struct lab_qmp *qmp, short events, int64_t deadline_ms, struct reason *why)
{
	struct pollfd pfd = {.fd = qmp->fd, .events = events};
	int64_t left_ms;
	int n;

	do {
		left_ms = deadline_ms - lab_now_ms();
		if (left_ms < 0)
			left_ms = 0;
		n = poll(&pfd, 1, left_ms > INT_MAX ? INT_MAX : (int)left_ms);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return reason_add(why, -errno, "can't wait for QEMU: %s", strerror(errno));
	return n ? 0 : reason_add(why, -ETIMEDOUT, "QEMU's monitor does not answer");
}

static int make_room(struct lab_qmp *qmp, struct reason *why)
{
	size_t size = qmp->size ? 2 * qmp->size : 4096;
	char *grown;

	if (qmp->len < qmp->size)
		return 0;
	if (size > MESSAGE_BYTES_MAX)
		return reason_add(why, -EPROTO, "QEMU's monitor sent a line of over %u bytes",
				  MESSAGE_BYTES_MAX);
	grown = realloc(qmp->buffer, size);
	if (!grown)
		return reason_add(why, -ENOMEM, "out of memory");
	qmp->buffer = grown;
	qmp->size = size;
	return 0;
}

static int read_more(struct lab_qmp *qmp, int64_t deadline_ms, struct reason *why)
{
	ssize_t n;
	int err;

	err = make_room(qmp, why);
	if (!err)
		err = wait_for(qmp, POLLIN, deadline_ms, why);
	if (err)
		return err;
	n = read(qmp->fd, qmp->buffer + qmp->len, qmp->size - qmp->len);
	if (n == 0 || (n < 0 && errno == ECONNRESET))
		return reason_add(why, -EPIPE, "QEMU closed its monitor");
	if (n < 0)
		return errno == EAGAIN || errno == EINTR
			       ? 0
			       : reason_add(why, -errno, "QEMU's monitor: %s", strerror(errno));
	qmp->len += (size_t)n;
	return 0;
}

/* A line is a message. */
static int parse_line(struct lab_qmp *qmp, size_t len, struct json_object **ret_message,
		      struct reason *why)
{
	struct json_object *message;

	qmp->buffer[len] = '\0'; /* was '\n' */
	message = json_tokener_parse(qmp->buffer);
	qmp->len -= len + 1;
	memmove(qmp->buffer, qmp->buffer + len + 1, qmp->len);
	if (!json_object_is_type(message, json_type_object)) {
		json_object_put(message);
		return reason_add(why, -EPROTO, "QEMU's monitor sent what is no JSON object");
	}
	*ret_message = message;
	return 0;
}

static int read_message(struct lab_qmp *qmp, int64_t deadline_ms, struct json_object **ret_message,
			struct reason *why)
{
	char *end;
	int err = 0;

	for (;;) {
		end = qmp->len ? memchr(qmp->buffer, '\n', qmp->len) : NULL;
		if (end)
			return parse_line(qmp, (size_t)(end - qmp->buffer), ret_message, why);
		err = read_more(qmp, deadline_ms, why);
		if (err)
			return err;
	}
}

static int send_text(struct lab_qmp *qmp, const char *text, int64_t deadline_ms, struct reason *why)
{
	size_t len = strlen(text);
	ssize_t n;
	int err;

	while (len) {
		err = wait_for(qmp, POLLOUT, deadline_ms, why);
		if (err)
			return err;
		n = send(qmp->fd, text, len, MSG_NOSIGNAL);
		if (n < 0 && errno != EAGAIN && errno != EINTR)
			return reason_add(why, errno == ECONNRESET ? -EPIPE : -errno,
					  "QEMU's monitor: %s", strerror(errno));
		if (n > 0) {
			text += n;
			len -= (size_t)n;
		}
	}
	return 0;
}

/* --- events --- */

static void drop_event(struct lab_qmp *qmp, unsigned int i)
{
	json_object_put(qmp->event[i]);
	qmp->events--;
	memmove(&qmp->event[i], &qmp->event[i + 1], (qmp->events - i) * sizeof(qmp->event[0]));
}

static void keep_event(struct lab_qmp *qmp, struct json_object *message)
{
	if (qmp->events == EVENTS_MAX)
		drop_event(qmp, 0);
	qmp->event[qmp->events++] = message;
}

/* The text at @name, or NULL. */
static const char *text_at(struct json_object *object, const char *name)
{
	struct json_object *value;

	return json_object_object_get_ex(object, name, &value) &&
			       json_object_is_type(value, json_type_string)
		       ? json_object_get_string(value)
		       : NULL;
}

static bool is_event(struct json_object *message, const char *event, const char *device)
{
	const char *name = text_at(message, "event"), *of;
	struct json_object *data;

	if (!name || strcmp(name, event))
		return false;
	if (!device)
		return true;
	if (!json_object_object_get_ex(message, "data", &data) ||
	    !json_object_is_type(data, json_type_object))
		return false;
	of = text_at(data, "device");
	return of && !strcmp(of, device);
}

int lab_qmp_wait(struct lab_qmp *qmp, const char *event, const char *device, int timeout_ms,
		 struct reason *why)
{
	int64_t deadline_ms = lab_now_ms() + timeout_ms;
	struct json_object *message;
	unsigned int i = 0;
	int err;

	for (;;) {
		for (; i < qmp->events; i++)
			if (is_event(qmp->event[i], event, device)) {
				drop_event(qmp, i);
				return 0;
			}
		err = read_message(qmp, deadline_ms, &message, why);
		if (err)
			return reason_add(why, err, "waited for QEMU's event %s", event);
		if (!text_at(message, "event")) {
			json_object_put(message); /* a reply that came too late */
			continue;
		}
		keep_event(qmp, message);
		i = qmp->events - 1;
	}
}

/* --- commands --- */

static int send_command(struct lab_qmp *qmp, const char *command, struct json_object *arguments,
			int64_t deadline_ms, struct reason *why)
{
	struct json_object *message = json_object_new_object();
	int err = 0;

	if (!message ||
	    json_object_object_add(message, "execute", json_object_new_string(command)) ||
	    json_object_object_add(message, "id", json_object_new_int64(++qmp->last_id)) ||
	    (arguments && json_object_object_add(message, "arguments", json_object_get(arguments))))
		err = reason_add(why, -ENOMEM, "out of memory");
	if (!err)
		err = send_text(qmp,
				json_object_to_json_string_ext(message, JSON_C_TO_STRING_PLAIN),
				deadline_ms, why);
	if (!err)
		err = send_text(qmp, "\n", deadline_ms, why);
	json_object_put(message);
	return err;
}

static bool is_reply(struct lab_qmp *qmp, struct json_object *message)
{
	struct json_object *id;

	return json_object_object_get_ex(message, "id", &id) &&
	       json_object_get_int64(id) == qmp->last_id;
}

static int judge_reply(struct json_object *message, const char *command,
		       struct json_object **ret_result, struct reason *why)
{
	struct json_object *value;
	const char *words;
	int err;

	if (json_object_object_get_ex(message, "return", &value)) {
		if (ret_result)
			*ret_result = json_object_get(value);
		return 0;
	}
	if (!json_object_object_get_ex(message, "error", &value) ||
	    !json_object_is_type(value, json_type_object))
		return reason_add(why, -EPROTO, "QEMU's reply to %s is neither good nor bad",
				  command);
	words = text_at(value, "class");
	err = words && !strcmp(words, "DeviceNotFound") ? -ENODEV : -EREMOTEIO;
	words = text_at(value, "desc");
	return reason_add(why, err, "QEMU refused %s: %s", command,
			  words ? words : "(no reason given)");
}

int lab_qmp_execute(struct lab_qmp *qmp, const char *command, struct json_object *arguments,
		    int timeout_ms, struct json_object **ret_result, struct reason *why)
{
	int64_t deadline_ms = lab_now_ms() + timeout_ms;
	struct json_object *message;
	bool replied = false;
	int err;

	err = send_command(qmp, command, arguments, deadline_ms, why);
	json_object_put(arguments);
	while (!err && !replied) {
		err = read_message(qmp, deadline_ms, &message, why);
		if (err)
			break;
		if (text_at(message, "event")) {
			keep_event(qmp, message);
			continue;
		}
		replied = is_reply(qmp, message);
		if (replied)
			err = judge_reply(message, command, ret_result, why);
		json_object_put(message);
	}
	return err;
}

/* --- connection --- */

static int open_socket(const char *path, int *ret_fd, struct reason *why)
{
	int fd = unix_socket_connect(path, SOCK_NONBLOCK, 0);

	if (fd < 0)
		return reason_add(why, fd, "no QEMU listens at %s: %s", path, strerror(-fd));
	*ret_fd = fd;
	return 0;
}

static int greet(struct lab_qmp *qmp, struct reason *why)
{
	struct json_object *message, *greeting;
	int err;

	err = read_message(qmp, lab_now_ms() + GREETING_MS, &message, why);
	if (err)
		return err;
	if (!json_object_object_get_ex(message, "QMP", &greeting))
		err = reason_add(why, -EPROTO, "no monitor of QEMU answers");
	json_object_put(message);
	return err ? err : lab_qmp_execute(qmp, "qmp_capabilities", NULL, GREETING_MS, NULL, why);
}

int lab_qmp_connect(const char *socket_path, struct lab_qmp **ret_qmp, struct reason *why)
{
	struct lab_qmp *qmp = calloc(1, sizeof(*qmp));
	int err;

	if (!qmp)
		return reason_add(why, -ENOMEM, "out of memory");
	qmp->fd = -1;
	err = open_socket(socket_path, &qmp->fd, why);
	if (!err)
		err = greet(qmp, why);
	if (err) {
		lab_qmp_destroy(qmp);
		return err;
	}
	*ret_qmp = qmp;
	return 0;
}

void lab_qmp_destroy(struct lab_qmp *qmp)
{
	if (!qmp)
		return;
	while (qmp->events)
		drop_event(qmp, 0);
	if (qmp->fd >= 0)
		close(qmp->fd);
	free(qmp->buffer);
	free(qmp);
}

/* --- the card --- */

static struct json_object *named(const char *name, const char *value)
{
	struct json_object *object = json_object_new_object();

	if (object && json_object_object_add(object, name, json_object_new_string(value))) {
		json_object_put(object);
		return NULL;
	}
	return object;
}

int lab_qmp_unplug_card(struct lab_qmp *qmp, int timeout_ms, struct reason *why)
{
	int64_t deadline_ms = lab_now_ms() + timeout_ms;
	struct json_object *arguments = named("id", "card");
	struct reason refusal = {0};
	int err;

	if (!arguments)
		return reason_add(why, -ENOMEM, "out of memory");
	err = lab_qmp_execute(qmp, "device_del", arguments, timeout_ms, NULL, &refusal);
	if (err == -ENODEV)
		return 0;
	if (err)
		return reason_add(why, err, "%s", refusal.text);
	err = lab_qmp_wait(qmp, "DEVICE_DELETED", "card", (int)(deadline_ms - lab_now_ms()), why);
	return err ? reason_add(why, err, "the host VM does not let go of the card") : 0;
}

static int add_card(struct lab_qmp *qmp, const char *card_socket, int timeout_ms,
		    struct reason *why)
{
	char *text = lab_card_device(card_socket);
	struct json_object *device = text ? json_tokener_parse(text) : NULL;

	free(text);
	if (!device)
		return reason_add(why, -ENOMEM, "out of memory");
	return lab_qmp_execute(qmp, "device_add", device, timeout_ms, NULL, why);
}

int lab_qmp_plug_card(struct lab_qmp *qmp, const char *card_socket, int timeout_ms,
		      struct reason *why)
{
	int64_t deadline_ms = lab_now_ms() + timeout_ms;
	int err;

	do {
		err = add_card(qmp, card_socket, timeout_ms, why);
		if (err)
			return err;
		err = lab_qmp_wait(qmp, "DEVICE_DELETED", "card", SETTLE_MS, NULL);
		if (err)
			return err == -ETIMEDOUT ? 0 : reason_add(why, err, "QEMU went away");
	} while (lab_now_ms() < deadline_ms);
	return reason_add(why, -ETIMEDOUT, "the host VM throws the card out again and again");
}

int lab_qmp_replace_card(struct lab_qmp *qmp, const char *card_socket, int timeout_ms,
			 struct reason *why)
{
	int64_t deadline_ms = lab_now_ms() + timeout_ms;
	int err = lab_qmp_unplug_card(qmp, timeout_ms, why);

	return err ? err
		   : lab_qmp_plug_card(qmp, card_socket, (int)(deadline_ms - lab_now_ms()), why);
}
