/* SPDX-License-Identifier: MIT */
/*
 * The loop, and both ways to start: as process 1 of a machine, or for tests on one socket.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "lab/agent/agent.h"

#define PORT_WAIT_US 10000000

char agent_greeting[256] = "tethys-lab-agent";

int64_t agent_now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

void agent_close(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

/* --- the poll set --- */

int agent_set_add(struct agent_set *set, int fd, short events)
{
	struct pollfd *more;

	if (set->count == set->room) {
		more = realloc(set->fds, (set->room + 64) * sizeof(*more));
		if (!more)
			agent_fatal(-ENOMEM, "cannot watch a descriptor");
		set->fds = more;
		set->room += 64;
	}
	set->fds[set->count] = (struct pollfd){.fd = fd, .events = events};
	return (int)set->count++;
}

short agent_set_seen(const struct agent_set *set, int at)
{
	return at < 0 ? 0 : set->fds[at].revents;
}

void agent_set_timer(struct agent_set *set, int64_t at_us)
{
	if (at_us < set->until_us)
		set->until_us = at_us;
}

int agent_set_wait(struct agent_set *set)
{
	int64_t left_us = set->until_us - agent_now_us();
	int timeout_ms = -1;

	if (set->until_us != INT64_MAX)
		timeout_ms = left_us <= 0	    ? 0
			     : left_us > 3600000000 ? 3600000
						    : (int)(left_us / 1000) + 1;
	return poll(set->fds, set->count, timeout_ms) < 0 && errno != EINTR ? -errno : 0;
}

/* --- serving --- */

static void reap(struct agent_port *ports, size_t count)
{
	int wait_status;
	pid_t pid;
	size_t i;

	/* Process 1 gets everybody's orphans. */
	while ((pid = waitpid(-1, &wait_status, WNOHANG)) > 0)
		for (i = 0; i < count; i++)
			if (agent_command_reaped(&ports[i], pid, wait_status))
				break;
}

static int serve_once(struct agent_port *ports, size_t count, int signals, struct agent_set *set)
{
	struct signalfd_siginfo info[16];
	int at, err;
	size_t i;

	set->count = 0;
	set->until_us = INT64_MAX;
	at = agent_set_add(set, signals, POLLIN);
	for (i = 0; i < count; i++)
		agent_port_watch(&ports[i], set);
	err = agent_set_wait(set);
	if (err)
		return err;
	if (agent_set_seen(set, at) && read(signals, info, sizeof(info)) > 0)
		reap(ports, count);
	for (i = 0; i < count && !err; i++)
		err = agent_port_dispatch(&ports[i], set);
	return err;
}

int agent_serve(struct agent_port *ports, size_t count)
{
	struct agent_set set = {0};
	sigset_t mask;
	int err, signals;

	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&mask);
	sigaddset(&mask, SIGCHLD);
	sigprocmask(SIG_BLOCK, &mask, NULL);
	signals = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
	if (signals < 0)
		return -errno;
	do {
		err = serve_once(ports, count, signals, &set);
	} while (!err);
	close(signals);
	free(set.fds);
	return err == -ESHUTDOWN ? 0 : err;
}

/* --- process 1 --- */

static void port_wait(struct agent_port *port, const char *name, const char *kmsg_path)
{
	int64_t until_us = agent_now_us() + PORT_WAIT_US;
	int fd, err;

	while ((fd = agent_port_open(name)) < 0) {
		if (agent_now_us() > until_us)
			agent_fatal(fd, "no port %s of virtio-serial in 10 s", name);
		usleep(5000);
	}
	err = agent_port_init(port, fd, true, kmsg_path);
	if (err)
		agent_fatal(err, "port %s", name);
}

static int machine_main(void)
{
	static struct agent_port ports[2];
	char role[16];
	int err = 0;

	agent_init();
	port_wait(&ports[0], LAB_PORT_AGENT, "/dev/kmsg");
	port_wait(&ports[1], LAB_PORT_SHELL, NULL);
	if (agent_cmdline(LAB_ARG_ROLE, role, sizeof(role)) && !strcmp(role, "host"))
		err = agent_relay_start();
	if (!err)
		err = agent_serve(ports, 2);
	agent_fatal(err, "cannot serve");
}

/* --- a test's --- */

static int socket_main(const char *number, const char *kmsg_path)
{
	static struct agent_port port;
	char *end;
	long fd = strtol(number, &end, 10);
	int err;

	if (!*number || *end || fd < 0 || fd > 65535) {
		fprintf(stderr, "tethys-lab-agent: --serve wants the number of a descriptor\n");
		return 2;
	}
	err = agent_port_init(&port, (int)fd, false, kmsg_path);
	if (!err)
		err = agent_serve(&port, 1);
	if (err)
		fprintf(stderr, "tethys-lab-agent: %s\n", strerror(-err));
	lab_frame_in_deinit(&port.in);
	return err ? 1 : 0;
}

int main(int argc, char **argv)
{
	if (getpid() == 1)
		return machine_main();
	if (argc == 3 && !strcmp(argv[1], "--serve"))
		return socket_main(argv[2], NULL);
	if (argc == 5 && !strcmp(argv[1], "--serve") && !strcmp(argv[3], "--kmsg"))
		return socket_main(argv[2], argv[4]);
	fprintf(stderr, "Process 1 of the lab's machines; here only: tethys-lab-agent --serve FD "
			"[--kmsg FILE]\n");
	return 2;
}
