// SPDX-License-Identifier: MIT
/*
 * metis-fuzz: random requests to a /dev/metis-* node from threads that share files, in processes
 * that are killed now and then. What each does follows from the seed alone; how they meet doesn't.
 *
 * What could hurt the machine rather than the driver stays out: the processes have no CAP_SYS_RAWIO
 * (so peer-to-peer DMA, the DMA registers and the firmware's areas must be refused), and no address
 * that DMA may write lies in memory that anybody uses.
 */
#include <fcntl.h>
#include <getopt.h>
#include <glob.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fuzz.h"

#define EXIT_USAGE 2
#define DIE_TIMEOUT_MS 30000

static const char help[] =
	"usage: metis-fuzz [OPTION]...\n"
	"Random ioctl, mmap, poll, read and close on a Metis card's node. KTAP on stdout.\n"
	"\n"
	"  --device PATH   default: the first /dev/metis-*\n"
	"  --seconds N     default 30\n"
	"  --seed S        default: of the clock; printed first. The same seed, the same operations\n"
	"  --threads T     of each process, 1-16, default 4\n"
	"  --round R       this round only, over and over: the kernel's log names rounds\n"
	"  --resets        reset the card now and then (sysfs; root)\n"
	"  --rebind        unbind and bind the driver now and then (sysfs; root)\n"
	"  --p2p           keep CAP_SYS_RAWIO: peer-to-peer with the card's own L2 for a peer\n"
	"  --dry-run N     print the first N operations of each thread of a round instead\n"
	"  --help\n"
	"\n"
	"Run it as root in a machine you can lose; a kernel with KASAN, lockdep, kmemleak and\n"
	"DMA-API debugging finds more. Exit code: 0 well, 1 the kernel complained, hung, or the card no\n"
	"longer works, 2 usage, or no device (\"Bail out!\").\n"
	"\n"
	"examples:\n"
	"  metis-fuzz --seconds 300 --resets --rebind\n"
	"  metis-fuzz --seed 0x5eed --round 17 --seconds 20\n"
	"  metis-fuzz --seed 1 --dry-run 10\n";

struct options {
	unsigned int seconds;
	uint64_t seed;
	long round; /* -1: all */
	bool resets, rebind;
	unsigned int dry;
	struct fuzz_worker worker;
};

static char sysfs[4096]; /* the card */
static unsigned int count, failed, crashes;

static void result(bool ok, const char *name, const char *skip)
{
	failed += !ok;
	printf("%sok %u %s%s%s\n", ok ? "" : "not ", ++count, name, skip ? " # SKIP " : "",
	       skip ? skip : "");
	fflush(stdout);
}

static bool find_device(struct fuzz_worker *worker, bool given)
{
	glob_t found;

	if (given)
		return !access(worker->device, R_OK | W_OK);
	if (glob("/dev/metis-*", 0, NULL, &found))
		return false;
	snprintf(worker->device, sizeof(worker->device), "%s", found.gl_pathv[0]);
	globfree(&found);
	return true;
}

/* The name may be another one after a bind. */
static bool wait_for_device(struct fuzz_worker *worker)
{
	for (int i = 0; i < 100; i++) {
		if (find_device(worker, i == 0))
			return true;
		fuzz_sleep_ms(100);
	}
	return false;
}

static void find_sysfs(const char *device)
{
	char link[64];
	struct stat st;

	if (stat(device, &st))
		return;
	snprintf(link, sizeof(link), "/sys/dev/char/%u:%u/device", major(st.st_rdev),
		 minor(st.st_rdev));
	if (!realpath(link, sysfs))
		sysfs[0] = 0;
}

/* Any other driver, and ours so told, lets everybody aim DMA anywhere. */
static void need_safe_driver(bool p2p)
{
	char link[4200], driver[4096], yes = 'N';
	int fd = open("/sys/module/tethys_metis/parameters/user_registers", O_RDONLY | O_CLOEXEC);

	snprintf(link, sizeof(link), "%s/driver", sysfs);
	if (!sysfs[0] || !realpath(link, driver) || !strstr(driver, "/tethys_metis")) {
		printf("Bail out! the card isn't driven by tethys_metis\n");
		exit(EXIT_USAGE);
	}
	if (!p2p && fd >= 0 && read(fd, &yes, 1) == 1 && yes == 'Y') {
		printf("Bail out! with user_registers=Y random requests could hurt the machine\n");
		exit(EXIT_USAGE);
	}
	if (fd >= 0)
		close(fd);
}

static bool store(const char *dir, const char *name, const char *text)
{
	char path[4200];
	int fd;
	bool ok;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	ok = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);
	if (!ok)
		printf("# %s: %s\n", path, strerror(errno));
	if (fd >= 0)
		close(fd);
	return ok;
}

static void rebind(struct rng *rng)
{
	char driver[4096], link[4200];

	snprintf(link, sizeof(link), "%s/driver", sysfs);
	if (!realpath(link, driver)) {
		printf("# %s: %s\n", link, strerror(errno));
		return;
	}
	store(driver, "unbind", strrchr(sysfs, '/') + 1);
	fuzz_sleep_ms(rng_below(rng, 50));
	store(driver, "bind", strrchr(sysfs, '/') + 1);
}

/* --- rounds --- */

/* In the middle of a round, from outside. */
static void disturb(const struct options *opt, struct rng *rng)
{
	if (opt->resets && !rng_below(rng, 4))
		store(sysfs, "reset", "1");
	if (opt->rebind && !rng_below(rng, 6))
		rebind(rng);
}

static bool wait_end(pid_t pid, unsigned int timeout_ms)
{
	uint64_t end = fuzz_now_ms() + timeout_ms;
	int status;

	for (;;) {
		if (waitpid(pid, &status, WNOHANG) == pid)
			break;
		if (fuzz_now_ms() >= end)
			return false;
		fuzz_kernel_log();
		fuzz_sleep_ms(5);
	}
	if (WIFSIGNALED(status) && WTERMSIG(status) != SIGKILL) {
		crashes++;
		printf("# a process ended by signal %d\n", WTERMSIG(status));
	}
	return true;
}

/* Return: whether its process went. */
static bool one_round(struct options *opt, uint64_t round)
{
	struct rng rng = rng_of(opt->seed, round);
	unsigned int ms = 50 + rng_below(&rng, 1500);
	bool killed = rng_below(&rng, 2);
	pid_t pid;

	if (!wait_for_device(&opt->worker)) {
		printf("# no node any more\n");
		return false;
	}
	fflush(stdout);
	pid = fork();
	if (!pid) {
		opt->worker.end_ms = fuzz_now_ms() + (killed ? 60000 : ms);
		fuzz_work(&opt->worker, rng_of(opt->seed, round << 8 | 1).state);
		_exit(0);
	}
	fuzz_sleep_ms(rng_below(&rng, ms));
	disturb(opt, &rng);
	if (killed) {
		fuzz_sleep_ms(rng_below(&rng, ms));
		kill(pid, SIGKILL);
	}
	if (wait_end(pid, DIE_TIMEOUT_MS))
		return true;
	kill(pid, SIGKILL);
	printf("# process %d doesn't end; see /proc/%d/stack\n", pid, pid);
	return false;
}

static void progress(uint64_t round, uint64_t left_ms)
{
	if (isatty(1))
		printf("\r# round %llu, %llu s left ", (unsigned long long)round,
		       (unsigned long long)left_ms / 1000);
	fflush(stdout);
}

static void all_rounds(struct options *opt)
{
	uint64_t end = fuzz_now_ms() + opt->seconds * 1000ull, round = 0;
	bool ok = true;

	while (ok && fuzz_now_ms() < end) {
		uint64_t which = opt->round >= 0 ? (uint64_t)opt->round : round;

		fuzz_kernel_mark(opt->seed, which);
		ok = one_round(opt, which);
		round++;
		progress(round, end > fuzz_now_ms() ? end - fuzz_now_ms() : 0);
	}
	if (isatty(1))
		printf("\r\033[K");
	printf("# %llu rounds\n", (unsigned long long)round);
	result(ok, "every process ended", NULL);
	/* Something reached memory that it must not. */
	result(!crashes, "none ended by itself", NULL);
}

static void verdicts(struct options *opt, long long pins_before)
{
	const char *leaks;
	bool ok;

	result(wait_for_device(&opt->worker) && fuzz_card_works(opt->worker.device),
	       "the card still works", NULL);
	for (int i = 0; i < 50 && fuzz_pinned() != pins_before; i++)
		fuzz_sleep_ms(100);
	result(fuzz_pinned() == pins_before, "no page stays pinned", NULL);
	leaks = fuzz_leaks(&ok);
	result(ok, "no leak", leaks);
	if (!fuzz_kernel_log_open())
		result(true, "no complaint of the kernel", "/dev/kmsg can't be read");
	else
		result(!fuzz_kernel_log(), "no complaint of the kernel", NULL);
}

/* --- the command line --- */

static uint64_t number(const char *text, uint64_t max)
{
	char *end;
	uint64_t value = strtoull(text, &end, 0);

	if (end != text && !*end && value <= max)
		return value;
	fprintf(stderr, "metis-fuzz: \"%s\" is no number up to %llu\n", text,
		(unsigned long long)max);
	exit(EXIT_USAGE);
}

static const struct option longs[] = {
	{"device", required_argument, NULL, 'd'},
	{"seconds", required_argument, NULL, 's'},
	{"seed", required_argument, NULL, 'S'},
	{"threads", required_argument, NULL, 't'},
	{"round", required_argument, NULL, 'r'},
	{"resets", no_argument, NULL, 'R'},
	{"rebind", no_argument, NULL, 'B'},
	{"p2p", no_argument, NULL, 'p'},
	{"dry-run", required_argument, NULL, 'n'},
	{"help", no_argument, NULL, 'h'},
	{NULL, 0, NULL, 0},
};

static void set_option(struct options *opt, int which)
{
	switch (which) {
	case 'd':
		snprintf(opt->worker.device, sizeof(opt->worker.device), "%s", optarg);
		break;
	case 's':
		opt->seconds = (unsigned int)number(optarg, 1000000);
		break;
	case 'S':
		opt->seed = number(optarg, UINT64_MAX);
		break;
	case 't':
		opt->worker.threads = (unsigned int)number(optarg, FUZZ_THREADS_MAX);
		break;
	case 'r':
		opt->round = (long)number(optarg, 1000000000);
		break;
	case 'R':
		opt->resets = true;
		break;
	case 'B':
		opt->rebind = true;
		break;
	case 'p':
		opt->worker.p2p = true;
		break;
	case 'n':
		opt->dry = (unsigned int)number(optarg, 1000000);
		break;
	case 'h':
		fputs(help, stdout);
		exit(0);
	default:
		fprintf(stderr, "metis-fuzz: see --help\n");
		exit(EXIT_USAGE);
	}
}

int main(int argc, char **argv)
{
	struct options opt = {
		.seconds = 30,
		.seed = fuzz_now_ms() * 0x9e3779b97f4a7c15ull,
		.round = -1,
		.worker = {.threads = 4},
	};
	long long pins;
	int c;

	while ((c = getopt_long(argc, argv, "", longs, NULL)) >= 0)
		set_option(&opt, c);
	opt.worker.threads += !opt.worker.threads;
	printf("KTAP version 1\n# seed 0x%llx\n", (unsigned long long)opt.seed);
	if (opt.dry) {
		uint64_t round = opt.round > 0 ? (uint64_t)opt.round : 0;

		fuzz_dry_run(&opt.worker, rng_of(opt.seed, round << 8 | 1).state, opt.dry);
		return 0;
	}
	if (!find_device(&opt.worker, opt.worker.device[0])) {
		printf("Bail out! %s\n",
		       opt.worker.device[0] ? strerror(errno) : "no /dev/metis-*");
		return EXIT_USAGE;
	}
	find_sysfs(opt.worker.device);
	need_safe_driver(opt.worker.p2p);
	if ((opt.resets || opt.rebind) && geteuid()) {
		printf("Bail out! resets and rebind need root\n");
		return EXIT_USAGE;
	}
	printf("1..6\n");
	fuzz_kernel_log_start();
	pins = fuzz_pinned();
	all_rounds(&opt);
	verdicts(&opt, pins);
	return failed ? 1 : 0;
}
