// SPDX-License-Identifier: MIT
/*
 * metis-accesses: one transfer to a card, from memory whose pages lie as they are told to. Whoever
 * looks at the card's counters before and after knows what it cost (bench/accesses.c does).
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <glob.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <tethys/hw/memory.h>
#include <uapi/metis.h>

#define PAGE 4096ull
#define HUGE_PAGE 0x200000ull
#define BYTES_MAX 0x10000000ull
#define TRIES 8
#define CARD_ADDRESS (METIS_DDR_BASE + 0x10000000ull)
#define EXIT_USAGE 2

static const char help[] =
	"usage: metis-accesses --pages KIND --bytes N [--device PATH]\n"
	"One transfer to a Metis card; what it was is told in JSON: its bytes, the segments that\n"
	"follow each other nowhere in physical memory, and the microseconds it took.\n"
	"\n"
	"  --pages KIND    4k: pages of 4 KiB, all of them apart; 2m: huge pages, all of them apart\n"
	"  --bytes N       up to 256 MiB\n"
	"  --device PATH   default: the first /dev/metis-*\n"
	"  --help\n"
	"\n"
	"Exit code: 0 well, 1 it went wrong, 2 usage or no device. Wants root, who alone may know where\n"
	"pages lie, and for 2m enough of them in /proc/sys/vm/nr_hugepages.\n"
	"\n"
	"example:\n"
	"  metis-accesses --pages 4k --bytes 45000000\n";

struct layout {
	const char *name;
	uint64_t page; /* bytes */
	int flags;     /* of mmap() */
};

static const struct layout layouts[] = {
	{"4k", PAGE, 0},
	{"2m", HUGE_PAGE, MAP_HUGETLB},
};

static _Noreturn void give_up(int code, const char *what, const char *why)
{
	fprintf(stderr, "metis-accesses: %s: %s\n", what, why);
	exit(code);
}

static uint8_t *map_pages(const struct layout *layout, uint64_t pages)
{
	uint8_t *at = mmap(NULL, pages * layout->page, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | layout->flags, -1, 0);

	if (at == MAP_FAILED)
		give_up(1, "memory", strerror(errno));
	if (!layout->flags && madvise(at, pages * layout->page, MADV_NOHUGEPAGE))
		give_up(1, "madvise", strerror(errno));
	return at;
}

/*
 * A kernel gives pages that it is asked for one after another from one place. So each second one
 * goes to memory that nobody uses.
 */
static uint8_t *allocate(const struct layout *layout, uint64_t pages)
{
	uint8_t *at = map_pages(layout, pages), *between = map_pages(layout, pages);

	for (uint64_t i = 0; i < pages; i++) {
		at[i * layout->page] = 1;
		between[i * layout->page] = 1;
	}
	return at;
}

static uint64_t frame_of(int pagemap, const uint8_t *at)
{
	uint64_t entry;

	if (pread(pagemap, &entry, sizeof(entry), (off_t)((uintptr_t)at / PAGE * sizeof(entry))) !=
	    sizeof(entry))
		give_up(1, "/proc/self/pagemap", strerror(errno));
	entry &= (1ull << 55) - 1;
	if (!entry)
		give_up(1, "/proc/self/pagemap", "only root is told where pages lie");
	return entry;
}

/* Runs of pages that follow each other in physical memory. */
static uint64_t count_segments(const uint8_t *at, uint64_t bytes)
{
	int pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	uint64_t segments = 0, last = 0, done, frame;

	if (pagemap < 0)
		give_up(1, "/proc/self/pagemap", strerror(errno));
	for (done = 0; done < bytes; done += PAGE, last = frame) {
		frame = frame_of(pagemap, at + done);
		segments += frame != last + 1;
	}
	close(pagemap);
	return segments;
}

static double now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

static int open_device(const char *device)
{
	glob_t found;
	int fd;

	if (!device && !glob("/dev/metis-*", 0, NULL, &found))
		device = found.gl_pathv[0];
	if (!device)
		give_up(EXIT_USAGE, "no device", "no /dev/metis-*");
	fd = open(device, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		give_up(EXIT_USAGE, device, strerror(errno));
	return fd;
}

/* Memory with all its pages apart. What isn't stays where it is, or it would come back. */
static uint8_t *allocate_apart(const struct layout *layout, uint64_t bytes)
{
	uint64_t pages = (bytes + layout->page - 1) / layout->page;

	for (unsigned int i = 0; i < TRIES; i++) {
		uint8_t *at = allocate(layout, pages);

		if (count_segments(at, bytes) == pages)
			return at;
	}
	give_up(1, "memory", "some pages always lie together");
}

static void transfer(int fd, const struct layout *layout, uint64_t bytes)
{
	uint8_t *at = allocate_apart(layout, bytes);
	struct metis_user_xfer x = {
		.card = CARD_ADDRESS,
		.user = (uintptr_t)at,
		.size = bytes,
		.flags = METIS_XFER_WRITE,
	};
	uint64_t segments = count_segments(at, bytes);
	double start = now_us(), end;

	if (ioctl(fd, METIS_IOC_USER_XFER, &x))
		give_up(1, "transfer", strerror(errno));
	end = now_us();
	if (segments != count_segments(at, bytes))
		give_up(1, "transfer", "the kernel has moved pages meanwhile");
	printf("{\"pages\":\"%s\",\"bytes\":%llu,\"segments\":%llu,\"us\":%.0f}\n", layout->name,
	       (unsigned long long)bytes, (unsigned long long)segments, end - start);
}

static const struct layout *layout_named(const char *name)
{
	for (size_t i = 0; i < sizeof(layouts) / sizeof(layouts[0]); i++)
		if (!strcmp(layouts[i].name, name))
			return &layouts[i];
	give_up(EXIT_USAGE, "--pages", "4k or 2m");
}

static uint64_t number(const char *text)
{
	char *end;
	unsigned long long value = strtoull(text, &end, 0);

	if (end == text || *end || !value || value > BYTES_MAX)
		give_up(EXIT_USAGE, "--bytes", "from 1 to 256 MiB");
	return value;
}

int main(int argc, char **argv)
{
	static const struct option longs[] = {
		{"device", required_argument, NULL, 'd'},
		{"pages", required_argument, NULL, 'p'},
		{"bytes", required_argument, NULL, 'b'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	const struct layout *layout = NULL;
	const char *device = NULL;
	uint64_t bytes = 0;
	int opt;

	while ((opt = getopt_long(argc, argv, "", longs, NULL)) >= 0) {
		switch (opt) {
		case 'd':
			device = optarg;
			break;
		case 'p':
			layout = layout_named(optarg);
			break;
		case 'b':
			bytes = number(optarg);
			break;
		case 'h':
			fputs(help, stdout);
			return 0;
		default:
			fprintf(stderr, "metis-accesses: see --help\n");
			return EXIT_USAGE;
		}
	}
	if (!layout || !bytes)
		give_up(EXIT_USAGE, "usage", "--pages and --bytes are needed; see --help");
	transfer(open_device(device), layout, bytes);
	return 0;
}
