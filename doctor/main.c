/* SPDX-License-Identifier: MIT */
/*
 * tethys-doctor: "tethys doctor" as one static file, to be copied to any host.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/term.h"
#include "doctor/doctor.h"
#include "doctor/finding.h"

/* Without this a file could become "stdout" and receive our text. */
static void open_standard_fds(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDWR);
	while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd >= 0)
		close(fd);
}

/* A reader that left early (head, a closed pager) is no failure; a full disk is. */
static int finish_stdout(int code)
{
	struct pollfd poller = {.fd = STDOUT_FILENO};
	int err = ferror(stdout) ? EIO : 0;

	if (fflush(stdout))
		err = errno;
	if (!err || (poll(&poller, 1, 0) == 1 && poller.revents & (POLLERR | POLLHUP)))
		return code;
	term_error("The output could not be written: %s", strerror(err));
	return DOCTOR_CANNOT_LOOK;
}

int main(int argc, char **argv)
{
	open_standard_fds();
	signal(SIGPIPE, SIG_IGN); /* a closed pipe is an error of write(), not our end */
	if (argc > 1 && !strcmp(argv[1], "--version")) {
		puts("tethys-doctor " TETHYS_VERSION);
		return finish_stdout(0);
	}
	argv[0] = (char *)"tethys-doctor";
	return finish_stdout(doctor_main(argc, argv));
}
