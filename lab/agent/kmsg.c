/* SPDX-License-Identifier: MIT */
/*
 * The kernel's log, from its first record, to the port's runner. The kernel keeps it, so each new
 * connection gets all of it.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "lab/agent/agent.h"

static void send_line(struct agent_port *port, uint64_t time_us, unsigned int level,
		      const char *text, size_t len)
{
	struct lab_kmsg head = {.time_us = htole64(time_us), .level = htole32(level)};

	agent_port_send(port, LAB_FRAME_KMSG, 0, &head, sizeof(head), text, len);
}

static void send_record(struct agent_port *port, char *record)
{
	unsigned int level;
	uint64_t time_us;
	char *text;
	size_t len;

	if (lab_kmsg_parse(record, &time_us, &level, &text))
		return; /* continuation lines: the device a message is of, which its text names */
	do {
		len = strcspn(text, "\n");
		send_line(port, time_us, level, text, len);
		text += len;
	} while (*text++);
}

void agent_kmsg_start(struct agent_port *port)
{
	agent_kmsg_stop(port);
	port->kmsg.fd = open(port->kmsg_path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (port->kmsg.fd < 0)
		agent_port_error(port, 0, "cannot read the kernel log: %s", strerror(errno));
}

void agent_kmsg_stop(struct agent_port *port)
{
	agent_close(&port->kmsg.fd);
	port->kmsg.len = 0;
}

static void read_lines(struct agent_port *port)
{
	struct agent_kmsg *kmsg = &port->kmsg;
	char *line = kmsg->data, *end;

	while ((end = memchr(line, '\n', kmsg->len - (size_t)(line - kmsg->data)))) {
		*end = 0;
		send_record(port, line);
		line = end + 1;
	}
	kmsg->len -= (size_t)(line - kmsg->data);
	memmove(kmsg->data, line, kmsg->len);
	if (kmsg->len == sizeof(kmsg->data))
		kmsg->len = 0; /* no record is that long */
}

void agent_kmsg_read(struct agent_port *port)
{
	struct agent_kmsg *kmsg = &port->kmsg;
	static const char lost[] = "(the kernel dropped older lines of its log)";
	ssize_t got;

	while (!agent_port_full(port)) {
		/* The device refuses a buffer that is too short for the next record. */
		got = read(kmsg->fd, kmsg->data + kmsg->len, sizeof(kmsg->data) - kmsg->len);
		if (got < 0 && errno == EPIPE) {
			send_line(port, 0, 4, lost, sizeof(lost) - 1);
			continue;
		}
		if (got < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (got <= 0) {
			agent_kmsg_stop(port); /* a file's end */
			return;
		}
		kmsg->len += (size_t)got;
		read_lines(port);
	}
}
