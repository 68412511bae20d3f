// SPDX-License-Identifier: MIT
/*
 * metis-transfers: keeps a card busy, for tests that pull something away from under it. Ends well
 * when it is told to, or when the card goes: what must not happen is wrong data, or another error.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <glob.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include <tethys/hw/memory.h>
#include <uapi/metis.h>

#define THREADS_MAX 16
#define SLOT_BYTES 0x4000000ull
#define CARD_BASE (METIS_DDR_BASE + 0x200000000ull)
#define EXIT_USAGE 2

static const char help[] =
	"usage: metis-transfers [OPTION]...\n"
	"Transfers to a Metis card and back, checking the data, until SIGTERM or until the card goes.\n"
	"\n"
	"  --device PATH   default: the first /dev/metis-*\n"
	"  --threads N     1-16, default 2; half of them share one open file\n"
	"  --bytes N       of each transfer, up to 64 MiB; default 2000000\n"
	"  --hold          when the card goes, keep the files open until SIGTERM\n"
	"  --help\n"
	"\n"
	"Exit code: 0 well, 1 wrong data or an error that isn't the card's going, 2 usage or no device.\n"
	"\n"
	"example:\n"
	"  metis-transfers --threads 4 --hold & echo 0000:86:00.0 > .../unbind; kill $!; wait $!\n";

static atomic_bool stop, bad;
static atomic_ulong rounds;
static size_t bytes = 2000000;
static int shared_fd;
static const char *device;

static void on_term(int signum)
{
	(void)signum;
	atomic_store(&stop, true);
}

/* Return: false, the card is gone (or something is wrong). */
static bool went_well(const char *what, int ret)
{
	if (!ret)
		return true;
	/* EIO: the bus said so before the driver knew. */
	if (errno != ENODEV && errno != EIO && errno != EINTR) {
		fprintf(stderr, "metis-transfers: %s: %s\n", what, strerror(errno));
		atomic_store(&bad, true);
	}
	return false;
}

static bool one_round(int fd, uint64_t card, uint8_t *from, uint8_t *to, uint64_t seed)
{
	struct metis_user_xfer x = {.card = card, .size = bytes};
	size_t i;

	for (i = 0; i + 8 <= bytes; i += 8)
		*(uint64_t *)(from + i) = (seed + i) * 0x9e3779b97f4a7c15ull;
	x.user = (uintptr_t)from;
	x.flags = METIS_XFER_WRITE;
	if (!went_well("to the card", ioctl(fd, METIS_IOC_USER_XFER, &x)))
		return false;
	memset(to, 0, bytes);
	x.user = (uintptr_t)to;
	x.flags = METIS_XFER_READ;
	if (!went_well("to the host", ioctl(fd, METIS_IOC_USER_XFER, &x)))
		return false;
	if (memcmp(from, to, bytes)) {
		fprintf(stderr, "metis-transfers: wrong data\n");
		atomic_store(&bad, true);
		return false;
	}
	atomic_fetch_add(&rounds, 1);
	return true;
}

static void *transfer_thread(void *arg)
{
	const unsigned int n = (unsigned int)(uintptr_t)arg;
	uint8_t *from = calloc(1, bytes), *to = calloc(1, bytes);
	int fd = n % 2 ? shared_fd : open(device, O_RDWR | O_CLOEXEC);
	uint64_t seed = n;

	if (!from || !to) {
		fprintf(stderr, "metis-transfers: no memory\n");
		atomic_store(&bad, true);
	} else if (went_well("open", fd < 0 ? -1 : 0)) {
		while (!atomic_load(&stop) &&
		       one_round(fd, CARD_BASE + n * SLOT_BYTES, from, to, seed += 1ull << 32))
			;
	}
	free(from);
	free(to);
	return NULL;
}

static unsigned long number(const char *text, unsigned long max)
{
	char *end;
	unsigned long value = strtoul(text, &end, 0);

	if (end != text && !*end && value && value <= max)
		return value;
	fprintf(stderr, "metis-transfers: \"%s\" is no number from 1 to %lu\n", text, max);
	exit(EXIT_USAGE);
}

static void open_device(void)
{
	glob_t found;

	if (!device && !glob("/dev/metis-*", 0, NULL, &found))
		device = found.gl_pathv[0];
	if (!device) {
		fprintf(stderr, "metis-transfers: no /dev/metis-*\n");
		exit(EXIT_USAGE);
	}
	shared_fd = open(device, O_RDWR | O_CLOEXEC);
	if (shared_fd < 0) {
		fprintf(stderr, "metis-transfers: %s: %s\n", device, strerror(errno));
		exit(EXIT_USAGE);
	}
}

static void run(unsigned int threads_nr, bool hold)
{
	struct sigaction action = {.sa_handler = on_term};
	struct timespec tick = {.tv_nsec = 20000000};
	pthread_t threads[THREADS_MAX];
	unsigned int i;

	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGINT, &action, NULL);
	for (i = 0; i < threads_nr; i++) {
		if (pthread_create(&threads[i], NULL, transfer_thread, (void *)(uintptr_t)i)) {
			fprintf(stderr, "metis-transfers: no threads\n");
			exit(1);
		}
	}
	for (i = 0; i < threads_nr; i++)
		pthread_join(threads[i], NULL);
	while (hold && !atomic_load(&stop))
		nanosleep(&tick, NULL);
}

int main(int argc, char **argv)
{
	static const struct option longs[] = {
		{"device", required_argument, NULL, 'd'}, {"threads", required_argument, NULL, 't'},
		{"bytes", required_argument, NULL, 'b'},  {"hold", no_argument, NULL, 'k'},
		{"help", no_argument, NULL, 'h'},	  {NULL, 0, NULL, 0},
	};
	unsigned int threads_nr = 2;
	bool hold = false;
	int opt;

	while ((opt = getopt_long(argc, argv, "", longs, NULL)) >= 0) {
		switch (opt) {
		case 'd':
			device = optarg;
			break;
		case 't':
			threads_nr = (unsigned int)number(optarg, THREADS_MAX);
			break;
		case 'b':
			bytes = number(optarg, SLOT_BYTES) & ~7ul;
			break;
		case 'k':
			hold = true;
			break;
		case 'h':
			fputs(help, stdout);
			return 0;
		default:
			fprintf(stderr, "metis-transfers: see --help\n");
			return EXIT_USAGE;
		}
	}
	open_device();
	run(threads_nr, hold);
	printf("%lu rounds of %zu bytes\n", atomic_load(&rounds), bytes);
	return atomic_load(&bad) ? 1 : 0;
}
