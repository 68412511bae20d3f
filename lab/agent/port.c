/* SPDX-License-Identifier: MIT */
/*
 * A port of the agent: frames of the runner in, frames out.
 *
 * A virtio port whose other end is closed polls as hung up and readable for ever, and refuses
 * writes with EAGAIN; so a closed one is left out of the poll set and looked at on a timer.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <dirent.h>
#include <time.h>
#include <unistd.h>

#include "lab/agent/agent.h"

#define LOOK_AGAIN_US 20000

int agent_port_init(struct agent_port *port, int fd, bool virtio, const char *kmsg_path)
{
	memset(port, 0, sizeof(*port));
	port->fd = fd;
	port->at = -1;
	port->virtio = virtio;
	port->kmsg_path = kmsg_path;
	port->kmsg.fd = -1;
	if (fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) || fcntl(fd, F_SETFD, FD_CLOEXEC))
		return -errno;
	return lab_frame_in_init(&port->in);
}

static bool port_has_name(const char *entry, const char *name)
{
	char path[320], text[64];
	ssize_t len;
	int fd;

	snprintf(path, sizeof(path), "/sys/class/virtio-ports/%s/name", entry);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	len = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (len <= 0)
		return false;
	text[len] = 0;
	text[strcspn(text, "\n")] = 0;
	return !strcmp(text, name);
}

int agent_port_open(const char *name)
{
	DIR *dir = opendir("/sys/class/virtio-ports");
	struct dirent *entry;
	char path[272];
	int fd = -ENOENT;

	if (!dir)
		return -ENOENT;
	while (fd == -ENOENT && (entry = readdir(dir))) {
		if (!port_has_name(entry->d_name, name))
			continue;
		snprintf(path, sizeof(path), "/dev/%s", entry->d_name);
		fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
		if (fd < 0)
			fd = -errno;
	}
	closedir(dir);
	return fd;
}

bool agent_port_full(const struct agent_port *port)
{
	return lab_frame_out_queued(&port->out) >= AGENT_OUT_MAX;
}

void agent_port_send(struct agent_port *port, unsigned int type, uint32_t id, const void *head,
		     size_t head_bytes, const void *tail, size_t tail_bytes)
{
	int err = lab_frame_out_add(&port->out, type, id, head, head_bytes, tail, tail_bytes);

	if (err)
		agent_fatal(err, "cannot queue a frame");
}

void agent_port_error(struct agent_port *port, uint32_t id, const char *fmt, ...)
{
	char text[256];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	agent_port_send(port, LAB_FRAME_ERROR, id, text, strlen(text), NULL, 0);
}

static void send_hello(struct agent_port *port)
{
	struct lab_hello hello = {.magic = htole64(LAB_HELLO_MAGIC)};
	struct timespec now;

	clock_gettime(CLOCK_BOOTTIME, &now);
	hello.uptime_us = htole64((__u64)now.tv_sec * 1000000 + (__u64)now.tv_nsec / 1000);
	agent_port_send(port, LAB_FRAME_HELLO, 0, &hello, sizeof(hello), agent_greeting,
			strlen(agent_greeting));
}

/* --- the other end comes and goes --- */

static void connected(struct agent_port *port)
{
	port->up = true;
	port->pinged = false;
	lab_frame_in_reset(&port->in);
	lab_frame_out_deinit(&port->out);
	send_hello(port);
}

static void disconnected(struct agent_port *port)
{
	port->up = false;
	agent_command_drop_all(port);
	agent_kmsg_stop(port);
	lab_frame_in_reset(&port->in);
	lab_frame_out_deinit(&port->out);
}

static bool look(const struct agent_port *port)
{
	struct pollfd one = {.fd = port->fd, .events = POLLOUT};

	return !port->virtio || (poll(&one, 1, 0) >= 0 && !(one.revents & (POLLHUP | POLLERR)));
}

/* --- frames --- */

static void ping(struct agent_port *port)
{
	send_hello(port);
	if (!port->pinged && port->kmsg_path)
		agent_kmsg_start(port);
	port->pinged = true;
}

static void power_off(struct agent_port *port)
{
	if (port->virtio)
		agent_power_off();
	agent_port_error(port, 0, "this agent has no machine to power off");
}

static void signal_frame(struct agent_port *port, const struct lab_frame_view *view)
{
	__le32 signum;

	if (view->bytes != sizeof(signum)) {
		agent_port_error(port, 0, "a SIGNAL of %zu bytes", view->bytes);
		return;
	}
	memcpy(&signum, view->body, sizeof(signum));
	agent_command_signal(port, view->id, (int)le32toh(signum));
}

static void winsize_frame(struct agent_port *port, const struct lab_frame_view *view)
{
	__le16 size[2];

	if (view->bytes != sizeof(size)) {
		agent_port_error(port, 0, "a WINSIZE of %zu bytes", view->bytes);
		return;
	}
	memcpy(size, view->body, sizeof(size));
	agent_command_winsize(port, view->id, le16toh(size[0]), le16toh(size[1]));
}

/* Return: -EAGAIN not now. */
static int frame(struct agent_port *port, const struct lab_frame_view *view)
{
	switch (view->type) {
	case LAB_FRAME_PING:
		ping(port);
		break;
	case LAB_FRAME_EXEC:
		agent_command_exec(port, view);
		break;
	case LAB_FRAME_STDIN:
		return agent_command_stdin(port, view);
	case LAB_FRAME_SIGNAL:
		signal_frame(port, view);
		break;
	case LAB_FRAME_WINSIZE:
		winsize_frame(port, view);
		break;
	case LAB_FRAME_POWEROFF:
		power_off(port);
		break;
	default:
		agent_port_error(port, 0, "no frame of a runner: type %u, %zu bytes", view->type,
				 view->bytes);
	}
	return 0;
}

/* Return: 0; -EPROTO. Stops when there is too much to answer. */
static int frames(struct agent_port *port)
{
	struct lab_frame_view view;
	size_t start;
	int ret;

	while (!agent_port_full(port)) {
		start = port->in.start;
		ret = lab_frame_in_next(&port->in, &view);
		if (ret <= 0)
			return ret;
		if (frame(port, &view) == -EAGAIN) {
			port->in.start = start; /* the same again, when there is room */
			return 0;
		}
	}
	return 0;
}

/* --- the loop's side --- */

void agent_port_watch(struct agent_port *port, struct agent_set *set)
{
	short events = 0;

	port->at = port->kmsg.at = -1;
	if (!port->up) {
		agent_set_timer(set, agent_now_us() + LOOK_AGAIN_US);
		return;
	}
	if (!agent_port_full(port) && lab_frame_in_free(&port->in))
		events |= POLLIN;
	if (lab_frame_out_queued(&port->out))
		events |= POLLOUT;
	port->at = agent_set_add(set, port->fd, events);
	if (port->kmsg.fd >= 0 && !agent_port_full(port))
		port->kmsg.at = agent_set_add(set, port->kmsg.fd, POLLIN);
	agent_command_watch(port, set);
}

/* What a runner sent before it left still counts. Return: 0; -ESHUTDOWN; -EPROTO. */
static int read_frames(struct agent_port *port, bool hung_up)
{
	ssize_t got;
	int ret;

	do {
		got = lab_frame_in_read(&port->in, port->fd);
		ret = frames(port);
		if (ret)
			return ret;
	} while (hung_up && got > 0);
	if (got == -EAGAIN || (got == -ENOBUFS && !hung_up))
		return 0;
	return got > 0 ? 0 : -ESHUTDOWN;
}

/* A socket's end is the agent's; a port waits for the next runner. */
static int hang_up(struct agent_port *port)
{
	disconnected(port);
	return port->virtio ? 0 : -ESHUTDOWN;
}

/* Out of step: what follows has no meaning until the runner opens the port anew. */
static int nonsense(struct agent_port *port)
{
	agent_port_error(port, 0, "frame lengths make no sense: port closed");
	lab_frame_out_write(&port->out, port->fd);
	disconnected(port);
	if (!port->virtio)
		return -ESHUTDOWN;
	port->deaf = true;
	return 0;
}

static void dispatch_down(struct agent_port *port)
{
	if (!look(port))
		port->deaf = false;
	else if (!port->deaf)
		connected(port);
}

int agent_port_dispatch(struct agent_port *port, const struct agent_set *set)
{
	short seen = agent_set_seen(set, port->at);
	bool hung_up = seen & (POLLHUP | POLLERR);
	int err = 0;

	if (!port->up) {
		dispatch_down(port);
		return 0;
	}
	if (hung_up || seen & POLLIN)
		err = read_frames(port, hung_up);
	if (!err && !hung_up) {
		if (agent_set_seen(set, port->kmsg.at) && port->kmsg.fd >= 0)
			agent_kmsg_read(port);
		agent_command_dispatch(port, set);
		err = lab_frame_out_write(&port->out, port->fd);
	}
	/* Frames that had to wait for room, here or in a command's input: nothing else wakes us. */
	if (!err && !hung_up)
		err = frames(port);
	if (err == -EPROTO)
		return nonsense(port);
	return err || hung_up ? hang_up(port) : 0;
}
