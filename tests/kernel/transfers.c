// SPDX-License-Identifier: MIT
/*
 * metis-transfers: keeps a card busy, for tests that pull something away from under it. Ends well
 * when it is told to, or when the card goes: what must not happen is wrong data, or another error.
 *
 * A reset between the two transfers of a round may lose what is in the card without either of them
 * failing. So with --resets, and only then, a round may be spoilt.
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
#define SLOTS 64
#define CARD_BASE (METIS_DDR_BASE + 0x200000000ull)
#define EXIT_USAGE 2
#define BACK_WITHIN_TICKS 250 /* a card after a reset; an emulator may stand still for long */
#define END_WITHIN_S 10

static const char help[] =
	"usage: metis-transfers [OPTION]...\n"
	"Transfers to a Metis card and back, checking the data, until SIGTERM or until the card goes.\n"
	"Says so on stdout as soon as it transfers. What doesn't end within 10 s of SIGTERM is killed.\n"
	"\n"
	"  --device PATH   default: the first /dev/metis-*\n"
	"  --threads N     1-16, default 2; half of them share one open file\n"
	"  --bytes N       of each transfer, up to 64 MiB; default 2000000\n"
	"  --slot N        1-48: card memory from 64 MiB times N on, a slot a thread; default 0\n"
	"  --hold          when the card goes, keep the files open until SIGTERM\n"
	"  --resets N      so many resets may come: the card must return from each, which may cost\n"
	"                  each thread the data of one round\n"
	"  --help\n"
	"\n"
	"Two at once need slots of their own, or each sees the other's data.\n"
	"\n"
	"Exit code: 0 well, 1 wrong data or an error that isn't the card's going, 2 usage or no device.\n"
	"\n"
	"example:\n"
	"  metis-transfers --threads 4 --hold & echo 0000:86:00.0 > .../unbind; kill $!; wait $!\n";

enum round {
	ROUND_WELL,
	ROUND_GONE,  /* the card, perhaps for a reset only */
	ROUND_WRONG, /* data */
	ROUND_ERROR, /* was told of */
};

static atomic_bool stop, bad, begun;
static atomic_ulong rounds;
static size_t bytes = 2000000;
static unsigned int threads_nr = 2, first_slot, resets;
static bool hold;
static int shared_fd;
static const char *device;
static const struct timespec tick = {.tv_nsec = 20000000};

static void on_term(int signum)
{
	(void)signum;
	atomic_store(&stop, true);
	/* Whoever waits for us learns that a request hangs. */
	alarm(END_WITHIN_S);
}

static enum round failed(const char *what)
{
	if (errno == ENODEV || (errno == EINTR && atomic_load(&stop)))
		return ROUND_GONE;
	fprintf(stderr, "metis-transfers: %s: %s\n", what, strerror(errno));
	atomic_store(&bad, true);
	return ROUND_ERROR;
}

static void say_begun(void)
{
	if (atomic_exchange(&begun, true))
		return;
	printf("transferring\n");
	fflush(stdout);
}

static void tell_difference(const uint8_t *from, const uint8_t *to)
{
	size_t first = bytes, last = 0, count = 0, i;
	uint64_t want, seen;

	for (i = 0; i < bytes; i += 8) {
		if (!memcmp(from + i, to + i, 8))
			continue;
		if (!count++)
			first = i;
		last = i;
	}
	if (!count)
		return;
	memcpy(&want, from + first, 8);
	memcpy(&seen, to + first, 8);
	fprintf(stderr,
		"metis-transfers: wrong data: %zu words from 0x%zx to 0x%zx; 0x%llx, not 0x%llx\n",
		count, first, last, (unsigned long long)seen, (unsigned long long)want);
}

static enum round one_round(int fd, uint64_t card, uint8_t *from, uint8_t *to, uint64_t seed)
{
	struct metis_user_xfer x = {.card = card, .size = bytes};
	size_t i;

	for (i = 0; i < bytes; i += 8)
		*(uint64_t *)(from + i) = (seed + i) * 0x9e3779b97f4a7c15ull;
	x.user = (uintptr_t)from;
	x.flags = METIS_XFER_WRITE;
	if (ioctl(fd, METIS_IOC_USER_XFER, &x))
		return failed("to the card");
	say_begun();
	memset(to, 0, bytes);
	x.user = (uintptr_t)to;
	x.flags = METIS_XFER_READ;
	if (ioctl(fd, METIS_IOC_USER_XFER, &x))
		return failed("to the host");
	return memcmp(from, to, bytes) ? ROUND_WRONG : ROUND_WELL;
}

static void transfer(int fd, unsigned int n, uint8_t *from, uint8_t *to)
{
	uint64_t card = CARD_BASE + (first_slot + n) * SLOT_BYTES, seed = n;
	unsigned int gone = 0, wrong = 0;

	/* Told to stop while the card is away, we still want to see it come back. */
	while (gone || !atomic_load(&stop)) {
		switch (one_round(fd, card, from, to, seed += 1ull << 32)) {
		case ROUND_WELL:
			atomic_fetch_add(&rounds, 1);
			gone = 0;
			break;
		case ROUND_GONE:
			if (!resets)
				return;
			if (++gone > BACK_WITHIN_TICKS) {
				fprintf(stderr, "metis-transfers: the card doesn't come back\n");
				atomic_store(&bad, true);
				return;
			}
			nanosleep(&tick, NULL);
			break;
		case ROUND_WRONG:
			if (++wrong <= resets)
				break;
			tell_difference(from, to);
			atomic_store(&bad, true);
			return;
		case ROUND_ERROR:
			return;
		}
	}
}

static void *transfer_thread(void *arg)
{
	const unsigned int n = (unsigned int)(uintptr_t)arg;
	uint8_t *from = calloc(1, bytes), *to = calloc(1, bytes);
	int fd = n % 2 ? shared_fd : open(device, O_RDWR | O_CLOEXEC);

	if (!from || !to) {
		fprintf(stderr, "metis-transfers: no memory\n");
		atomic_store(&bad, true);
	} else if (fd < 0) {
		failed(device);
	} else {
		transfer(fd, n, from, to);
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

static void run(void)
{
	pthread_t threads[THREADS_MAX];
	unsigned int i;

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

static void catch_signals(void)
{
	struct sigaction action = {.sa_handler = on_term};

	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGINT, &action, NULL);
}

static void parse(int argc, char **argv)
{
	static const struct option longs[] = {
		{"device", required_argument, NULL, 'd'}, {"threads", required_argument, NULL, 't'},
		{"bytes", required_argument, NULL, 'b'},  {"hold", no_argument, NULL, 'k'},
		{"slot", required_argument, NULL, 's'},	  {"resets", required_argument, NULL, 'r'},
		{"help", no_argument, NULL, 'h'},	  {NULL, 0, NULL, 0},
	};
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
			bytes = (number(optarg, SLOT_BYTES) + 7) & ~7ul;
			break;
		case 's':
			first_slot = (unsigned int)number(optarg, SLOTS - THREADS_MAX);
			break;
		case 'k':
			hold = true;
			break;
		case 'r':
			resets = (unsigned int)number(optarg, 1000000);
			break;
		case 'h':
			fputs(help, stdout);
			exit(0);
		default:
			fprintf(stderr, "metis-transfers: see --help\n");
			exit(EXIT_USAGE);
		}
	}
}

int main(int argc, char **argv)
{
	catch_signals();
	parse(argc, argv);
	open_device();
	run();
	printf("%lu rounds of %zu bytes\n", atomic_load(&rounds), bytes);
	return atomic_load(&bad) ? 1 : 0;
}
