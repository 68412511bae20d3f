/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/term.h"
#include "doctor/output.h"

#define WIDTH_MIN 40u
#define WIDTH_MAX 110u
#define WIDTH_ELSEWHERE 80u

/* Closes @file. */
static int finish(FILE *file)
{
	int err = ferror(file) ? -EIO : 0;

	if (fflush(file) && !err)
		err = -errno;
	if (fclose(file) && !err)
		err = -errno;
	return err;
}

static int write_new(char *temporary, const struct doctor_report *report,
		     void (*print)(const struct doctor_report *report, FILE *out))
{
	int fd = mkstemp(temporary), err = 0;
	mode_t mask = umask(0);
	FILE *file;

	umask(mask);
	if (fd < 0)
		return -errno;
	/* The node exporter is another user. */
	if (fchmod(fd, 0666 & ~mask))
		err = -errno;
	file = fdopen(fd, "w");
	if (!file) {
		err = -errno;
		close(fd);
		return err;
	}
	print(report, file);
	return err ? (fclose(file), err) : finish(file);
}

static int replace(const char *path, const struct doctor_report *report,
		   void (*print)(const struct doctor_report *report, FILE *out))
{
	char temporary[PATH_MAX];
	int err;

	if (snprintf(temporary, sizeof(temporary), "%s.XXXXXX", path) >= (int)sizeof(temporary))
		return -ENAMETOOLONG;
	err = write_new(temporary, report, print);
	if (!err && rename(temporary, path))
		err = -errno;
	if (err)
		unlink(temporary); /* is not there when mkstemp() failed */
	return err;
}

int output_file(const char *path, const struct doctor_report *report,
		void (*print)(const struct doctor_report *report, FILE *out), struct reason *why)
{
	struct stat info;
	FILE *file;
	int err;

	if (!strcmp(path, "-")) {
		print(report, stdout);
		return 0;
	}
	if (stat(path, &info) || S_ISREG(info.st_mode)) {
		err = replace(path, report, print);
	} else { /* /dev/null, a pipe */
		file = fopen(path, "we");
		if (!file)
			return reason_add(why, -errno, "%s can't be written: %s", path,
					  strerror(errno));
		print(report, file);
		err = finish(file);
	}
	return err ? reason_add(why, err, "%s can't be written: %s", path, strerror(-err)) : 0;
}

void output_style(bool verbose, struct doctor_style *ret_style)
{
	bool terminal = isatty(STDOUT_FILENO);
	struct winsize size = {0};
	unsigned int width = WIDTH_ELSEWHERE;

	if (terminal && !ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) && size.ws_col)
		width = size.ws_col;
	if (width < WIDTH_MIN)
		width = WIDTH_MIN;
	if (width > WIDTH_MAX)
		width = WIDTH_MAX;
	*ret_style = (struct doctor_style){
		.bold = term_on(stdout, TERM_BOLD),
		.dim = term_on(stdout, TERM_DIM),
		.good = term_on(stdout, TERM_GOOD),
		.warn = term_on(stdout, TERM_WARN),
		.bad = term_on(stdout, TERM_BAD),
		.off = term_off(stdout),
		.width = width,
		.utf8 = term_utf8(),
		.verbose = verbose,
		.terminal = terminal,
	};
}
