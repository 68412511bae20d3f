// SPDX-License-Identifier: MIT
/*
 * metis-abi-test: the ioctl ABI of a /dev/metis-* node, request by request, good input and bad.
 * KTAP on stdout.
 */
#include <fcntl.h>
#include <getopt.h>
#include <glob.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include <tethys/hw/memory.h>

#include "abi.h"
#include "abi_runner.h"

#define EXIT_USAGE 2
#define TEST_TIMEOUT_MS 120000
/* What was killed leaves the driver within this time, or never. */
#define KILL_TIMEOUT_MS 20000

const char *abi_device;
uint64_t abi_card = METIS_DDR_BASE + 0x40000000ull;
bool abi_vendor;
struct abi_runner *abi_runner;

static const struct abi_test *const suites[] = {
	abi_node_tests,	 abi_mmap_tests, abi_memory_tests, abi_dmabuf_tests,
	abi_flags_tests, abi_irq_tests,	 abi_race_tests,   abi_compat_tests,
};

static const char help[] =
	"usage: metis-abi-test [OPTION]... [TEST]...\n"
	"Asks a driver of a Metis card everything its ABI promises. KTAP on stdout.\n"
	"\n"
	"  --device PATH   node to test; default: the first /dev/metis-*\n"
	"  --vendor        the driver is the vendor's: leave out what it is known to do wrong, some of\n"
	"                  which hangs or crashes the machine\n"
	"  --card ADDRESS  card memory that tests overwrite, 1 GiB from here; default 0x%llx\n"
	"  --list          print the tests' names and end\n"
	"  --help\n"
	"\n"
	"Run it as root: what is only for root is skipped otherwise. Nobody else should use the card.\n"
	"Exit code: 0 all passed or skipped, 1 something failed, 2 usage, or no device (\"Bail out!\").\n"
	"\n"
	"examples:\n"
	"  metis-abi-test\n"
	"  metis-abi-test --device /dev/metis-0:86:0 memory_scattered dmabuf_async\n"
	"  metis-abi-test --vendor          # beside metis.ko\n";

static bool wanted(const struct abi_test *test, char **names)
{
	if (!*names)
		return true;
	for (; *names; names++) {
		if (!strcmp(*names, test->name))
			return true;
	}
	return false;
}

/* Return: how many; each is given to @fn. */
static unsigned int each_test(char **names, void (*fn)(unsigned int nr, const struct abi_test *))
{
	const struct abi_test *test;
	unsigned int nr = 0, i;

	for (i = 0; i < ARRAY_NR(suites); i++) {
		for (test = suites[i]; test->name; test++) {
			if (!wanted(test, names))
				continue;
			nr++;
			if (fn)
				fn(nr, test);
		}
	}
	return nr;
}

static void list_one(unsigned int nr, const struct abi_test *test)
{
	(void)nr;
	puts(test->name);
}

static unsigned int failed;

static void verdict(unsigned int nr, const struct abi_test *test, bool ok, const char *skip)
{
	failed += !ok;
	printf("%sok %u %s%s%s\n", ok ? "" : "not ", nr, test->name, skip ? " # SKIP " : "",
	       skip ? skip : "");
	fflush(stdout);
}

/* Also what the test itself started must go, so it has a process group. */
static void end_group(pid_t pid, const struct abi_test *test)
{
	kill(-pid, SIGKILL);
	if (abi_wait(pid, KILL_TIMEOUT_MS) != -ETIMEDOUT)
		return;
	printf("Bail out! %s: killed, but stays in the driver; see /proc/%d/stack\n", test->name,
	       pid);
	exit(1);
}

static void run_one(unsigned int nr, const struct abi_test *test)
{
	pid_t pid;
	int status;

	if (abi_vendor && test->vendor) {
		char why[200];

		snprintf(why, sizeof(why), "vendor: %s", test->vendor);
		verdict(nr, test, true, why);
		return;
	}
	fflush(stdout);
	pid = fork();
	if (!pid) {
		setpgid(0, 0);
		test->run();
		fflush(stdout);
		_exit(abi_has_failed() ? ABI_EXIT_FAILED : ABI_EXIT_PASSED);
	}
	status = abi_wait(pid, TEST_TIMEOUT_MS);
	if (status == -ETIMEDOUT) {
		printf("# no end after %d s\n", TEST_TIMEOUT_MS / 1000);
		end_group(pid, test);
	} else {
		kill(-pid, SIGKILL);
		if (WIFSIGNALED(status))
			printf("# ended by signal %d\n", WTERMSIG(status));
	}
	if (WIFEXITED(status) && WEXITSTATUS(status) == ABI_EXIT_SKIPPED)
		verdict(nr, test, true, abi_runner->skip);
	else
		verdict(nr, test, status == 0, NULL);
}

static void bail_out(const char *why, const char *more)
{
	printf("Bail out! %s%s%s\n", why, more ? ": " : "", more ? more : "");
	exit(EXIT_USAGE);
}

static void find_device(void)
{
	glob_t found;
	int fd;

	if (!abi_device) {
		if (glob("/dev/metis-*", 0, NULL, &found))
			bail_out("no /dev/metis-*", "is a driver loaded and bound to the card?");
		abi_device = found.gl_pathv[0];
	}
	fd = open(abi_device, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		bail_out(abi_device, strerror(errno));
	close(fd);
}

/* What the tests ask of it would hang or crash the machine. */
static void need_vendor_option(void)
{
	char link[80], driver[4096];
	struct stat st;

	if (abi_vendor || stat(abi_device, &st))
		return;
	snprintf(link, sizeof(link), "/sys/dev/char/%u:%u/device/driver", major(st.st_rdev),
		 minor(st.st_rdev));
	if (realpath(link, driver) && strstr(driver, "/axl"))
		bail_out("the vendor's driver is bound", "say --vendor");
}

static void check_names(char **names)
{
	for (; *names; names++) {
		char *one[] = {*names, NULL};

		if (each_test(one, NULL))
			continue;
		fprintf(stderr, "metis-abi-test: no test \"%s\"; see --list\n", *names);
		exit(EXIT_USAGE);
	}
}

static uint64_t number(const char *text)
{
	char *end;
	uint64_t value = strtoull(text, &end, 0);

	if (end != text && !*end)
		return value;
	fprintf(stderr, "metis-abi-test: \"%s\" is no number\n", text);
	exit(EXIT_USAGE);
}

static void options(int argc, char **argv)
{
	static const struct option longs[] = {
		{"device", required_argument, NULL, 'd'}, {"vendor", no_argument, NULL, 'v'},
		{"card", required_argument, NULL, 'c'},	  {"list", no_argument, NULL, 'l'},
		{"help", no_argument, NULL, 'h'},	  {NULL, 0, NULL, 0},
	};
	int opt;

	while ((opt = getopt_long(argc, argv, "", longs, NULL)) >= 0) {
		switch (opt) {
		case 'd':
			abi_device = optarg;
			break;
		case 'v':
			abi_vendor = true;
			break;
		case 'c':
			abi_card = number(optarg);
			break;
		case 'l':
			each_test(argv + argc, list_one);
			exit(0);
		case 'h':
			printf(help, (unsigned long long)abi_card);
			exit(0);
		default:
			fprintf(stderr, "metis-abi-test: see --help\n");
			exit(EXIT_USAGE);
		}
	}
}

int main(int argc, char **argv)
{
	options(argc, argv);
	check_names(argv + optind);
	printf("KTAP version 1\n");
	find_device();
	need_vendor_option();
	printf("# %s\n", abi_device);
	printf("1..%u\n", each_test(argv + optind, NULL));
	abi_runner = mmap(NULL, sizeof(*abi_runner), PROT_READ | PROT_WRITE,
			  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (abi_runner == MAP_FAILED)
		bail_out("no shared memory", strerror(errno));
	each_test(argv + optind, run_one);
	return failed ? 1 : 0;
}
