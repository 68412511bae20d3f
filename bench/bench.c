/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <libgen.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "bench/bench.h"

double bench_now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

double bench_median(double *values, size_t count)
{
	if (!count)
		return 0;
	qsort(values, count, sizeof(*values), compare);
	return count % 2 ? values[count / 2] : (values[count / 2 - 1] + values[count / 2]) / 2;
}

void bench_find_command(char *path, size_t bytes)
{
	const char *given = getenv("TETHYS");
	char self[PATH_MAX];
	ssize_t len = readlink("/proc/self/exe", self, sizeof(self) - 1);

	snprintf(path, bytes, "%s", given ? given : "tethys");
	if (given || len < 0)
		return;
	self[len] = '\0';
	snprintf(path, bytes, "%s/../cli/tethys", dirname(self));
	if (access(path, X_OK))
		snprintf(path, bytes, "tethys");
}

static int wait_for_socket(const struct bench_card *card, struct reason *why)
{
	const char *path = strchr(card->device, ':') + 1;
	struct stat st;

	for (int i = 0; i < 500; i++) {
		if (!stat(path, &st))
			return 0;
		if (waitpid(card->pid, NULL, WNOHANG) == card->pid)
			return reason_add(why, -ECHILD, "the card process ended at once");
		usleep(10000);
	}
	return reason_add(why, -ETIMEDOUT, "no socket at %s after 5 s", path);
}

int bench_card_start(struct bench_card *card, const char *engine, struct reason *why)
{
	char command[PATH_MAX + 32], path[128];
	int ret;

	snprintf(card->dir, sizeof(card->dir), "/tmp/tethys-bench-XXXXXX");
	if (!mkdtemp(card->dir))
		return reason_add(why, -errno, "%s: %s", card->dir, strerror(errno));
	snprintf(path, sizeof(path), "%s/card", card->dir);
	snprintf(card->device, sizeof(card->device), "vfio-user:%s", path);
	bench_find_command(command, sizeof(command));
	fflush(NULL); /* the child's copy of unwritten lines would come out twice */
	card->pid = fork();
	if (card->pid == 0) {
		/* A killed bench leaves no card behind. */
		prctl(PR_SET_PDEATHSIG, SIGTERM);
		if (!freopen("/dev/null", "w", stdout))
			_exit(126);
		execlp(command, command, "card", "--socket", path, "--engine", engine, NULL);
		fprintf(stderr, "%s: %s\n", command, strerror(errno));
		_exit(127);
	}
	if (card->pid < 0)
		return reason_add(why, -errno, "fork: %s", strerror(errno));
	ret = wait_for_socket(card, why);
	if (ret)
		bench_card_stop(card);
	return ret;
}

void bench_card_stop(struct bench_card *card)
{
	kill(card->pid, SIGTERM);
	waitpid(card->pid, NULL, 0);
	rmdir(card->dir);
}
