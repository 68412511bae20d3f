// SPDX-License-Identifier: MIT
/* metis-fuzz: the kernel's log, its counts, its search for leaks, and the card afterwards. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include <tethys/hw/memory.h>
#include <uapi/metis.h>

#include "fuzz.h"

#define KMEMLEAK "/sys/kernel/debug/kmemleak"
#define TOLD_MAX 20

/* In any line since the start; rather one too many. */
static const char *const complaints[] = {
	"WARNING",
	"BUG:",
	"kernel BUG",
	"KASAN",
	"UBSAN",
	"possible ",
	"lockdep",
	"DMA-API",
	"leak",
	"Oops",
	"Call Trace",
	"refcount_t",
	"general protection",
	"blocked for more than",
	"list_del corruption",
};

static int kmsg = -1;

uint64_t fuzz_now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

void fuzz_sleep_ms(unsigned int ms)
{
	struct timespec wait = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L};

	nanosleep(&wait, NULL);
}

void fuzz_kernel_log_start(void)
{
	int fd = open(KMEMLEAK, O_WRONLY | O_CLOEXEC);

	/* What others leaked before isn't ours. */
	if (fd >= 0) {
		if (write(fd, "clear", 5) != 5)
			printf("# %s: %s\n", KMEMLEAK, strerror(errno));
		close(fd);
	}
	kmsg = open("/dev/kmsg", O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (kmsg >= 0)
		lseek(kmsg, 0, SEEK_END);
}

bool fuzz_kernel_log_open(void)
{
	return kmsg >= 0;
}

void fuzz_kernel_mark(uint64_t seed, uint64_t round)
{
	if (kmsg >= 0)
		dprintf(kmsg, "metis-fuzz: --seed 0x%llx --round %llu\n", (unsigned long long)seed,
			(unsigned long long)round);
}

static bool complains(const char *line)
{
	for (unsigned int i = 0; i < sizeof(complaints) / sizeof(complaints[0]); i++) {
		if (strstr(line, complaints[i]))
			return true;
	}
	return false;
}

unsigned int fuzz_kernel_log(void)
{
	static unsigned int found;
	char record[8192], *text;
	ssize_t n;

	for (;;) {
		n = kmsg < 0 ? -1 : read(kmsg, record, sizeof(record) - 1);
		if (n < 0 && kmsg >= 0 && errno == EPIPE) {
			printf("# some lines of the kernel were lost\n");
			continue;
		}
		if (n <= 0)
			return found;
		record[n] = 0;
		text = strchr(record, ';'); /* after priority, number, time */
		text = text ? text + 1 : record;
		text[strcspn(text, "\n")] = 0;
		if (complains(text) && found++ < TOLD_MAX)
			printf("# kernel: %s\n", text);
	}
}

/* Each processor keeps a difference of its own, until they are added up. */
static void add_up_vmstat(void)
{
	int fd = open("/proc/sys/vm/stat_refresh", O_WRONLY | O_CLOEXEC);

	/* Without the right to, it happens about once a second. */
	if (fd < 0 || write(fd, "1", 1) != 1)
		sleep(2);
	if (fd >= 0)
		close(fd);
}

long long fuzz_pinned(void)
{
	long long acquired = -1, released = 0, value;
	char line[128], key[64];
	FILE *file;

	add_up_vmstat();
	file = fopen("/proc/vmstat", "re");

	while (file && fgets(line, sizeof(line), file)) {
		if (sscanf(line, "%63s %lld", key, &value) != 2)
			continue;
		if (!strcmp(key, "nr_foll_pin_acquired"))
			acquired = value;
		if (!strcmp(key, "nr_foll_pin_released"))
			released = value;
	}
	if (file)
		fclose(file);
	return acquired < 0 ? -1 : acquired - released;
}

static bool scan(void)
{
	int fd = open(KMEMLEAK, O_WRONLY | O_CLOEXEC);
	bool ok = fd >= 0 && write(fd, "scan", 4) == 4;

	if (fd >= 0)
		close(fd);
	return ok;
}

const char *fuzz_leaks(bool *ret_ok)
{
	char line[512];
	FILE *file;

	*ret_ok = true;
	if (access(KMEMLEAK, R_OK))
		return "the kernel has no kmemleak (or no debugfs)";
	/* It tells of objects older than 5 s that two scans found no pointer to. */
	fuzz_sleep_ms(6000);
	if (!scan() || !scan())
		return "kmemleak can't be asked";
	file = fopen(KMEMLEAK, "re");
	if (!file)
		return "kmemleak can't be read";
	while (fgets(line, sizeof(line), file)) {
		if (!strstr(line, "tethys_metis") && !strstr(line, "metis_"))
			continue;
		*ret_ok = false;
		line[strcspn(line, "\n")] = 0;
		printf("# leak: %s\n", line);
	}
	fclose(file);
	return NULL;
}

bool fuzz_card_works(const char *device)
{
	const size_t len = 300000;
	struct metis_user_xfer x = {.card = METIS_DDR_BASE + 0x40000000, .size = len};
	int fd = open(device, O_RDWR | O_CLOEXEC);
	uint8_t *from = malloc(len), *to = calloc(1, len);
	bool ok = false;

	for (size_t i = 0; from && i < len; i++)
		from[i] = (uint8_t)(i * 7 + (i >> 8));
	x.user = (uintptr_t)from;
	x.flags = METIS_XFER_WRITE;
	if (fd < 0 || !from || !to || ioctl(fd, METIS_IOC_USER_XFER, &x))
		goto out;
	x.user = (uintptr_t)to;
	x.flags = METIS_XFER_READ;
	ok = !ioctl(fd, METIS_IOC_USER_XFER, &x) && !memcmp(from, to, len);
out:
	if (!ok)
		printf("# %s: %s\n", device, errno ? strerror(errno) : "wrong data");
	free(from);
	free(to);
	if (fd >= 0)
		close(fd);
	return ok;
}
