/* SPDX-License-Identifier: MIT */
/*
 * In the host VM: joins the ports of guests to the sockets of their QEMUs, and tells each side when
 * the other is not there. A process of its own, since what a guest writes is nothing for process 1.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "lab/agent/agent.h"
#include "lab/machine.h"

#define RELAYS (2 * LAB_GUESTS_MAX)
#define LOOK_US 100000
#define GONE_PATIENCE_US 1000000
#define TO_GUEST_BYTES 65536

struct relay {
	int64_t leaving_until_us;
	size_t to_guest_start, to_guest_end;
	struct lab_frame_in from_guest; /* whole frames only are passed on */
	struct lab_frame_out to_port;
	int port;   /* -1: no QEMU listens */
	int socket; /* -1: nobody is connected to the port, or no QEMU listens */
	int port_at, socket_at;
	struct sockaddr_un addr;
	bool leaving; /* the QEMU has gone, the runner is to get the rest */
	char port_name[32];
	unsigned char to_guest[TO_GUEST_BYTES];
};

static int relay_connect(const struct relay *relay)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd >= 0 && connect(fd, (const struct sockaddr *)&relay->addr, sizeof(relay->addr)))
		agent_close(&fd);
	return fd;
}

static bool port_hung_up(const struct relay *relay)
{
	struct pollfd one = {.fd = relay->port, .events = POLLOUT};

	return poll(&one, 1, 0) < 0 || one.revents & (POLLHUP | POLLERR);
}

static void forget(struct relay *relay)
{
	agent_close(&relay->socket);
	relay->leaving = false;
	relay->to_guest_start = relay->to_guest_end = 0;
	lab_frame_in_reset(&relay->from_guest);
	lab_frame_out_deinit(&relay->to_port);
}

/*
 * With no QEMU the port is closed too, with no runner only the socket. A QEMU that is there without
 * a runner is tried once, not again and again: its guest sees each time.
 */
static void try_join(struct relay *relay)
{
	int fd;

	if (relay->port >= 0 && port_hung_up(relay))
		return;
	fd = relay_connect(relay);
	if (fd < 0) {
		agent_close(&relay->port);
		return;
	}
	if (relay->port < 0)
		relay->port = agent_port_open(relay->port_name);
	if (relay->port < 0 || port_hung_up(relay)) {
		agent_close(&fd);
		return;
	}
	relay->socket = fd;
}

/* --- bytes --- */

static int to_guest(struct relay *relay, bool readable)
{
	size_t left = relay->to_guest_end - relay->to_guest_start;
	ssize_t got;

	if (!left && readable) {
		got = read(relay->port, relay->to_guest, sizeof(relay->to_guest));
		if (got < 0)
			return errno == EAGAIN || errno == EINTR ? 0 : -errno;
		if (!got)
			return -ENOTCONN;
		relay->to_guest_start = 0;
		relay->to_guest_end = left = (size_t)got;
	}
	if (!left)
		return 0;
	got = write(relay->socket, relay->to_guest + relay->to_guest_start, left);
	if (got < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -EPIPE;
	relay->to_guest_start += (size_t)got;
	return 0;
}

static int pass_frames(struct relay *relay)
{
	struct lab_frame_view view;
	int ret;

	while (lab_frame_out_queued(&relay->to_port) < AGENT_OUT_MAX) {
		ret = lab_frame_in_next(&relay->from_guest, &view);
		if (ret <= 0)
			return ret;
		ret = lab_frame_out_add(&relay->to_port, view.type, view.id, view.body, view.bytes,
					NULL, 0);
		if (ret)
			return ret;
	}
	return 0;
}

static int from_guest(struct relay *relay, bool readable)
{
	ssize_t got = readable ? lab_frame_in_read(&relay->from_guest, relay->socket) : 1;
	int err = pass_frames(relay);

	if (err)
		return err;
	if (!got)
		return -EPIPE;
	return got < 0 && got != -EAGAIN && got != -ENOBUFS ? -EPIPE : 0;
}

/* --- states --- */

static void leave(struct relay *relay)
{
	agent_close(&relay->socket);
	if (lab_frame_out_add(&relay->to_port, LAB_FRAME_GONE, 0, NULL, 0, NULL, 0)) {
		forget(relay);
		return;
	}
	relay->leaving = true;
	relay->leaving_until_us = agent_now_us() + GONE_PATIENCE_US;
}

static void relay_watch(struct relay *relay, struct agent_set *set)
{
	short port_events = 0, socket_events = 0;

	relay->port_at = relay->socket_at = -1;
	if (relay->socket < 0 && !relay->leaving) {
		agent_set_timer(set, agent_now_us() + LOOK_US);
		return;
	}
	if (relay->leaving)
		agent_set_timer(set, relay->leaving_until_us);
	else if (relay->to_guest_start < relay->to_guest_end)
		socket_events |= POLLOUT;
	else
		port_events |= POLLIN;
	if (lab_frame_out_queued(&relay->to_port))
		port_events |= POLLOUT;
	if (lab_frame_out_queued(&relay->to_port) < AGENT_OUT_MAX)
		socket_events |= POLLIN;
	relay->port_at = agent_set_add(set, relay->port, port_events);
	if (relay->socket >= 0)
		relay->socket_at = agent_set_add(set, relay->socket, socket_events);
}

static void relay_dispatch(struct relay *relay, const struct agent_set *set)
{
	short port_seen = agent_set_seen(set, relay->port_at);
	short socket_seen = agent_set_seen(set, relay->socket_at);
	int err = 0;

	if (relay->socket < 0 && !relay->leaving) {
		try_join(relay);
		return;
	}
	if (port_seen & (POLLHUP | POLLERR)) {
		forget(relay); /* the guest's agent sees its port hang up */
		return;
	}
	if (!relay->leaving) {
		err = to_guest(relay, port_seen & POLLIN);
		if (!err)
			err = from_guest(relay, socket_seen & (POLLIN | POLLHUP | POLLERR));
		if (err)
			leave(relay);
	}
	if (lab_frame_out_write(&relay->to_port, relay->port))
		forget(relay);
	else if (relay->leaving && (!lab_frame_out_queued(&relay->to_port) ||
				    agent_now_us() > relay->leaving_until_us))
		forget(relay);
}

static int relay_init(struct relay *relay, unsigned int guest, const char *port, const char *path)
{
	char name[sizeof(relay->addr.sun_path)];

	relay->port = relay->socket = -1;
	relay->addr.sun_family = AF_UNIX;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	snprintf(relay->port_name, sizeof(relay->port_name), port, guest);
	snprintf(name, sizeof(name), path, guest);
#pragma GCC diagnostic pop
	strcpy(relay->addr.sun_path, name);
	return lab_frame_in_init(&relay->from_guest);
}

static int relay_main(struct relay relays[RELAYS])
{
	struct agent_set set = {0};
	size_t i;
	int err = 0;

	while (!err) {
		set.count = 0;
		set.until_us = INT64_MAX;
		for (i = 0; i < RELAYS; i++)
			relay_watch(&relays[i], &set);
		err = agent_set_wait(&set);
		for (i = 0; i < RELAYS && !err; i++)
			relay_dispatch(&relays[i], &set);
	}
	return err;
}

int agent_relay_start(void)
{
	static struct relay relays[RELAYS];
	unsigned int guest;
	int err = 0;
	pid_t pid;

	for (guest = 1; guest <= LAB_GUESTS_MAX && !err; guest++) {
		err = relay_init(&relays[2 * guest - 2], guest, LAB_PORT_GUEST_AGENT,
				 LAB_RELAY_AGENT);
		if (!err)
			err = relay_init(&relays[2 * guest - 1], guest, LAB_PORT_GUEST_SHELL,
					 LAB_RELAY_SHELL);
	}
	if (err)
		return err;
	pid = fork();
	if (pid)
		return pid < 0 ? -errno : 0;
	prctl(PR_SET_NAME, "relay");
	signal(SIGPIPE, SIG_IGN);
	_exit(relay_main(relays) ? 1 : 0);
}
