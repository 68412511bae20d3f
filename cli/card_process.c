/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "cli/card_process.h"
#include "cli/cleanup.h"

#define READY_MS 10000

/* In the child. Only async-signal-safe calls: the parent may have threads. */
static void become_card(pid_t parent, int out, const char *socket)
{
	char *const argv[] = {(char *)"tethys", (char *)"card", (char *)"--socket", (char *)socket,
			      NULL};

	prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (getppid() != parent)
		_exit(1); /* it died before the line above */
	setpgid(0, 0);	  /* Ctrl-C is for the parent; it ends us in order */
	dup2(out, STDOUT_FILENO);
	cleanup_in_child();
	execv("/proc/self/exe", argv);
	_exit(127);
}

/* The card says one line when it listens; the end of the file means it has died. */
static int wait_ready(int fd)
{
	struct pollfd poller = {.fd = fd, .events = POLLIN};
	char c;
	int rc;

	for (;;) {
		rc = poll(&poller, 1, READY_MS);
		if (rc == 0)
			return -ETIMEDOUT;
		if (rc < 0 && errno == EINTR)
			continue;
		if (rc < 0)
			return -errno;
		if (read(fd, &c, 1) != 1)
			return -ECHILD;
		if (c == '\n')
			return 0;
	}
}

static int make_socket_dir(char *ret_dir, size_t dir_size, char *ret_socket, size_t socket_size)
{
	const char *tmp = getenv("TMPDIR");

	snprintf(ret_dir, dir_size, "%s/tethys-XXXXXX", tmp && *tmp ? tmp : "/tmp");
	if (strlen(ret_dir) > 90) /* a socket's path has 108 bytes */
		snprintf(ret_dir, dir_size, "/tmp/tethys-XXXXXX");
	if (!mkdtemp(ret_dir))
		return -errno;
	snprintf(ret_socket, socket_size, "%s/card.sock", ret_dir);
	/* Undone in reverse: the card, its socket should it have been killed, the folder. */
	cleanup_add_dir(ret_dir);
	cleanup_add_file(ret_socket);
	return 0;
}

int card_process_start(struct card_process *ret_process, struct reason *why)
{
	char dir[128], socket[144];
	pid_t parent = getpid(), pid;
	int out[2], rc;

	rc = make_socket_dir(dir, sizeof(dir), socket, sizeof(socket));
	if (rc)
		return reason_add(why, rc, "No folder for the card's socket: %s", strerror(-rc));
	if (pipe2(out, O_CLOEXEC))
		return reason_add(why, -errno, "No pipe: %s", strerror(errno));
	pid = fork();
	if (pid == 0)
		become_card(parent, out[1], socket);
	rc = pid < 0 ? -errno : 0;
	close(out[1]);
	if (!rc) {
		cleanup_add_process(pid);
		rc = wait_ready(out[0]);
	}
	close(out[0]);
	if (rc)
		return reason_add(why, rc, "The card process did not start: %s", strerror(-rc));
	snprintf(ret_process->device, sizeof(ret_process->device), "vfio-user:%s", socket);
	return 0;
}
