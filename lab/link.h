/* SPDX-License-Identifier: MIT */
/*
 * The runner's end of a port of the agent (agent/proto.h).
 */
#ifndef TETHYS_LAB_LINK_H
#define TETHYS_LAB_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/reason.h"
#include "lab/loop.h"

struct lab_link;

/*
 * Told from lab_loop_run(). Each may be NULL, and may destroy the link. Data is valid during the
 * call only; text has no control characters but tabs.
 */
struct lab_link_events {
	/* Once; again only if the agent started anew. */
	void (*hello)(void *ctx, uint64_t uptime_us, const char *text);
	void (*kmsg)(void *ctx, uint64_t time_us, unsigned int level, const char *line);
	void (*error)(void *ctx, const char *text); /* of the agent, for no command */
	/* 0: the other end closed, or the machine has gone; -EPROTO: nonsense came. */
	void (*closed)(void *ctx, int err);
};

struct lab_command_events {
	void (*output)(void *ctx, bool is_stderr, const char *data, size_t len);
	/* @status as struct lab_exit; -1 with @error: it did not start, or the link closed. */
	void (*ended)(void *ctx, int status, bool timed_out, uint64_t elapsed_us,
		      const char *error);
};

struct lab_command {
	const char *const *argv; /* NULL at the end */
	const char *const *env;	 /* added to the agent's; NULL at the end, or NULL */
	unsigned int timeout_ms;
	bool pty;
	unsigned int rows, columns;
};

/**
 * lab_link_create() - speak to an agent on a connected socket
 * @fd: stream socket, owned by the link from now on, also on failure
 *
 * Sends LAB_FRAME_PING, so that an agent that said HELLO to nobody says it again.
 */
int lab_link_create(struct lab_loop *loop, int fd, const struct lab_link_events *events, void *ctx,
		    struct lab_link **ret_link);
/* NULL is fine. Running commands are told that they ended; closed() is not called. */
void lab_link_destroy(struct lab_link *link);

/**
 * lab_link_exec() - run a command in the machine
 * @ret_id: for the other functions
 *
 * Return: 0; -ENOMEM; -E2BIG longer than a frame; -EPIPE the link is closed.
 */
int lab_link_exec(struct lab_link *link, const struct lab_command *command,
		  const struct lab_command_events *events, void *ctx, uint32_t *ret_id);
/* @len 0: end of file. What the agent does not take at once is queued, without a limit. */
int lab_link_stdin(struct lab_link *link, uint32_t id, const void *data, size_t len);
size_t lab_link_queued(const struct lab_link *link); /* bytes */
int lab_link_signal(struct lab_link *link, uint32_t id, int signum);
int lab_link_winsize(struct lab_link *link, uint32_t id, unsigned int rows, unsigned int columns);
int lab_link_poweroff(struct lab_link *link);

/**
 * lab_shell() - an interactive shell on the terminal of this process
 * @socket_path: a LAB_PORT_SHELL
 * @argv: what to run; NULL: the machine's shell
 *
 * Raw terminal meanwhile, restored however it ends. Window changes are passed on. Without a
 * terminal it runs with plain pipes.
 *
 * Return: the exit status 0-255; negative errno.
 */
int lab_shell(const char *socket_path, const char *const *argv, struct reason *why);

#endif
