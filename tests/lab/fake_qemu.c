/* SPDX-License-Identifier: MIT */
/*
 * Stands in for QEMU and for the program that runs it: listens where QEMU would offer the agent's
 * port, and serves every connection by an agent on this machine.
 *
 * FAKE_QEMU_EXIT=N: say so and exit with N at once. FAKE_QEMU_SILENT=1: never answer.
 * FAKE_QEMU_NOISE=N: print so many bytes first. FAKE_QEMU_COMPLAINT=TEXT: the agent says hello and
 * that, no more.
 */
#include <endian.h>
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "lab/agent/proto.h"

/* The path of the host agent's socket, out of "-chardev socket,...,path=PATH,...". */
static bool find_path(int argc, char **argv, char *ret_path, size_t size)
{
	const char *at, *end;
	int i;

	for (i = 1; i < argc; i++) {
		at = strstr(argv[i], "path=");
		end = at ? strstr(at, "host.agent") : NULL;
		if (!end)
			continue;
		end += strlen("host.agent");
		at += strlen("path=");
		if ((size_t)(end - at) >= size)
			return false;
		memcpy(ret_path, at, (size_t)(end - at));
		ret_path[end - at] = '\0';
		return true;
	}
	return false;
}

static int listen_on(const char *path)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || strlen(path) >= sizeof(addr.sun_path))
		return -1;
	strcpy(addr.sun_path, path);
	if (bind(fd, (struct sockaddr *)&addr, sizeof(addr)) || listen(fd, 4))
		return -1;
	return fd;
}

static void serve(int fd)
{
	const char *agent = getenv("TETHYS_AGENT");
	char number[16];

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	signal(SIGCHLD, SIG_DFL); /* it waits for its own */
	snprintf(number, sizeof(number), "%d", fd);
	execl(agent, agent, "--serve", number, (char *)NULL);
	_exit(127);
}

static void make_noise(long bytes)
{
	static char line[1000];

	memset(line, 'x', sizeof(line));
	for (; bytes > 0; bytes -= (long)sizeof(line))
		fprintf(stderr, "%.*s\n", (int)sizeof(line) - 1, line);
	fputs("the end of the noise\n", stderr);
}

static void send_frame(int fd, unsigned int type, const void *data, size_t bytes)
{
	struct lab_frame frame = {.bytes = htole32((uint32_t)bytes), .type = htole16(type)};

	if (write(fd, &frame, sizeof(frame)) != sizeof(frame) ||
	    write(fd, data, bytes) != (ssize_t)bytes)
		_exit(5);
}

static void complain(int fd, const char *text)
{
	struct lab_hello hello = {htole64(LAB_HELLO_MAGIC), htole64(1)};

	send_frame(fd, LAB_FRAME_HELLO, &hello, sizeof(hello));
	send_frame(fd, LAB_FRAME_ERROR, text, strlen(text));
}

int main(int argc, char **argv)
{
	const char *complaint = getenv("FAKE_QEMU_COMPLAINT");
	const char *status = getenv("FAKE_QEMU_EXIT"), *noise = getenv("FAKE_QEMU_NOISE");
	char path[128];
	int fd, one;

	fprintf(stderr, "fake QEMU with %d arguments\n", argc - 1);
	if (noise)
		make_noise(atol(noise));
	if (status)
		return atoi(status);
	if (!find_path(argc, argv, path, sizeof(path)))
		return 2;
	fd = listen_on(path);
	if (fd < 0)
		return 3;
	signal(SIGCHLD, SIG_IGN);
	for (;;) {
		one = accept(fd, NULL, NULL);
		if (one < 0)
			return 4;
		if (complaint)
			complain(one, complaint);
		if (complaint || getenv("FAKE_QEMU_SILENT"))
			continue;
		if (fork() == 0)
			serve(one);
		close(one);
	}
}
