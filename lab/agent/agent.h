/* SPDX-License-Identifier: MIT */
/*
 * The agent inside: process 1 of host VM and guest, one thread, one poll loop that never blocks.
 *
 * init.c makes the machine's root, port.c finds and serves ports, command.c runs what they ask for,
 * kmsg.c reads the kernel's log, parse.c is what looks at bytes of others, relay.c joins a guest's
 * ports to its QEMU.
 */
#ifndef TETHYS_LAB_AGENT_H
#define TETHYS_LAB_AGENT_H

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "lab/agent/frame.h"
#include "lab/agent/parse.h"

#define AGENT_COMMANDS_MAX 64 /* at a time, per port */
/* A port with more than this waiting gets nothing new: not from pipes, not from its runner. */
#define AGENT_OUT_MAX (256u << 10)
/* A command that doesn't read: from here on its port waits, and all on it. */
#define AGENT_STDIN_MAX (4u << 20)

struct agent_port;

/* Descriptors to wait for, collected anew for each poll(2). */
struct agent_set {
	struct pollfd *fds;
	size_t count, room;
	int64_t until_us; /* of the monotonic clock; INT64_MAX: no timer runs */
};

/* Return: the index, to be asked for with agent_set_seen(); -1: not watched. */
int agent_set_add(struct agent_set *set, int fd, short events);
short agent_set_seen(const struct agent_set *set, int at);
void agent_set_timer(struct agent_set *set, int64_t at_us);
int agent_set_wait(struct agent_set *set); /* 0; negative errno */

/* One end of a command: a pipe, or a duplicate of its terminal. */
struct agent_stream {
	int fd;	     /* -1: closed */
	int at;	     /* in the poll set */
	size_t left; /* to read, once the command has ended */
};

struct agent_command {
	struct agent_command *next;
	uint32_t id;
	char name[64];
	pid_t pid;
	bool pty;
	struct agent_stream in, out, err;
	int failure; /* a pipe that tells why exec failed */
	unsigned char *input;
	size_t input_start, input_end, input_room;
	bool input_ended;
	int64_t started_us;  /* raw monotonic */
	int64_t deadline_us; /* monotonic; INT64_MAX: none */
	int64_t drain_us;    /* terminals, once ended: how long to wait for the rest */
	bool timed_out, ended;
	unsigned int status;
	uint64_t elapsed_us;
};

struct agent_kmsg {
	int fd, at;
	size_t len;
	char data[16384]; /* a record has 8 KiB at most */
};

struct agent_port {
	int fd, at;
	bool virtio; /* its other end may come and go; else a socket, whose end is the end */
	bool up, pinged;
	bool deaf; /* nonsense came: until its other end is closed */
	struct lab_frame_in in;
	struct lab_frame_out out;
	const char *kmsg_path; /* NULL: none on this port */
	struct agent_kmsg kmsg;
	struct agent_command *commands;
	size_t command_count;
};

/* --- agent.c --- */
extern char agent_greeting[256]; /* the text in HELLO */
int64_t agent_now_us(void);
/* Close it and mark it closed. */
void agent_close(int *fd);
/* Serve until a socket ends. Return: 0; negative errno. */
int agent_serve(struct agent_port *ports, size_t count);

/* --- port.c --- */
int agent_port_init(struct agent_port *port, int fd, bool virtio, const char *kmsg_path);
/* Open the virtio port of that name. Return: a descriptor; -ENOENT not there yet. */
int agent_port_open(const char *name);
bool agent_port_full(const struct agent_port *port);
/* Queue a frame; without memory process 1 can do nothing but end. */
void agent_port_send(struct agent_port *port, unsigned int type, uint32_t id, const void *head,
		     size_t head_bytes, const void *tail, size_t tail_bytes);
void agent_port_error(struct agent_port *port, uint32_t id, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
void agent_port_watch(struct agent_port *port, struct agent_set *set);
/* Return: 0; -ESHUTDOWN the socket ended. */
int agent_port_dispatch(struct agent_port *port, const struct agent_set *set);

/* --- command.c --- */
void agent_command_exec(struct agent_port *port, const struct lab_frame_view *view);
/* Return: -EAGAIN its input is full, ask again later; 0. */
int agent_command_stdin(struct agent_port *port, const struct lab_frame_view *view);
void agent_command_signal(struct agent_port *port, uint32_t id, int signum);
void agent_command_winsize(struct agent_port *port, uint32_t id, unsigned int rows,
			   unsigned int columns);
/* Return: true when it was one of this port's. */
bool agent_command_reaped(struct agent_port *port, pid_t pid, int wait_status);
void agent_command_watch(struct agent_port *port, struct agent_set *set);
void agent_command_dispatch(struct agent_port *port, const struct agent_set *set);
/* Kill and forget all of a port. */
void agent_command_drop_all(struct agent_port *port);

/* --- kmsg.c --- */
void agent_kmsg_start(struct agent_port *port);
void agent_kmsg_stop(struct agent_port *port);
void agent_kmsg_read(struct agent_port *port);

/* --- init.c --- */
/* Make the machine's root and go there; on failure say so and power off. */
void agent_init(void);
void agent_power_off(void) __attribute__((noreturn));
void agent_fatal(int err, const char *fmt, ...) __attribute__((format(printf, 2, 3), noreturn));
/* From the kernel's command line. Return: false: not there. */
bool agent_cmdline(const char *key, char *ret_value, size_t size);

/* --- relay.c --- */
/* For the host VM; in a process of its own. Return: 0; negative errno. */
int agent_relay_start(void);

#endif
