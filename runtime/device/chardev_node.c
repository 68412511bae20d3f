/* SPDX-License-Identifier: MIT */
/*
 * The driver's node and its surroundings: names, cores, interrupts, sysfs.
 */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runtime/device/chardev.h"
#include "runtime/device/pci.h"

#define LIST_MAX 64
#define LOSSES_EVERY_US 100000
/* More events than this are not cleared one by one: something signals for ever. */
#define CLEAR_MAX 65536

/* --- names --- */

/* Up to @digits hexadecimal ones, in lower case. Return: how many, 0: none or too many. */
static size_t take_hex(const char *text, size_t digits, char *ret_hex)
{
	size_t n;

	for (n = 0; isxdigit((unsigned char)text[n]); n++) {
		if (n == digits)
			return 0;
		ret_hex[n] = (char)tolower((unsigned char)text[n]);
	}
	ret_hex[n] = '\0';
	return n;
}

bool chardev_parse(const char *text, char *ret_name)
{
	static const size_t digits[] = {8, 2, 2}; /* domain, bus, slot */
	char part[3][9];
	char between = 0;
	size_t i, n;

	if (strncmp(text, "metis-", 6) != 0)
		return false;
	text += 6;
	for (i = 0; i < 3; i++) {
		n = take_hex(text, digits[i], part[i]);
		text += n;
		if (!n || (i == 2 ? *text != '\0' : *text != ':' && *text != '-'))
			return false;
		if (i < 2 && between && *text != between)
			return false;
		between = *text++;
	}
	snprintf(ret_name, CHARDEV_NAME_BYTES, "metis-%s:%s:%s", part[0], part[1], part[2]);
	return true;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(a, b);
}

void chardev_list(const struct chardev_sys *sys, void (*found)(void *ctx, const char *name),
		  void *ctx)
{
	char names[LIST_MAX][CHARDEV_NAME_BYTES], path[256];
	struct dirent *entry;
	size_t count = 0, i;
	DIR *dir;

	snprintf(path, sizeof(path), "%s/dev", sys->root);
	dir = opendir(path);
	if (!dir)
		return;
	while (count < LIST_MAX && (entry = readdir(dir)))
		count += chardev_parse(entry->d_name, names[count]);
	closedir(dir);
	qsort(names, count, sizeof(names[0]), by_name);
	for (i = 0; i < count; i++)
		if (!i || strcmp(names[i], names[i - 1]) != 0)
			found(ctx, names[i]);
}

static void keep_first(void *ctx, const char *name)
{
	char *first = ctx;

	if (!*first)
		strcpy(first, name);
}

static int first_card(const struct chardev_sys *sys, char *ret_name, struct reason *why)
{
	char name[CHARDEV_NAME_BYTES] = "";

	chardev_list(sys, keep_first, name);
	if (!*name)
		return reason_add(why, -ENODEV,
				  "there is no /dev/metis-*: no card, or its driver is not loaded: "
				  "modprobe tethys_metis, then see dmesg");
	strcpy(ret_name, name);
	return 0;
}

int chardev_resolve(const struct chardev_sys *sys, const char *text, char *ret_name,
		    struct reason *why)
{
	char path[256], *real;
	bool good = false;

	if (!strcmp(text, "chardev"))
		return first_card(sys, ret_name, why);
	if (!strncmp(text, "/dev/", 5)) {
		/* /dev/metis0 is a link of the vendor's packages. */
		snprintf(path, sizeof(path), "%s%s", sys->root, text);
		real = realpath(path, NULL);
		if (!real)
			return reason_add(why, -ENODEV, "%.100s: %s", text, strerror(errno));
		good = chardev_parse(strrchr(real, '/') + 1, ret_name);
		free(real);
	} else {
		good = chardev_parse(text, ret_name);
	}
	if (good)
		return 0;
	return reason_add(
		why, -EINVAL,
		"device \"%.100s\": write metis-DOMAIN:BUS:SLOT as in /dev, or chardev for "
		"the first one there is",
		text);
}

/* --- files --- */

static int open_failed(const char *path, int err, struct reason *why)
{
	switch (-err) {
	case ENOENT:
		return reason_add(why, -ENODEV, "%s is not there any more: see dmesg", path);
	case EACCES:
	case EPERM:
		return reason_add(
			why, -EACCES,
			"%s is not yours to open: be root, or in the group that 'ls -l %s' "
			"shows",
			path, path);
	case ENODEV:
	case ENXIO:
		return reason_add(why, -ENODEV,
				  "%s: its driver has lost the card, or is resetting it: see dmesg",
				  path);
	case EMFILE:
		return reason_add(why, err, "%s: too many open files: raise ulimit -n", path);
	default:
		return reason_add(why, err, "%s: %s", path, strerror(-err));
	}
}

int chardev_node_find(const struct chardev_sys *sys, const char *name, char *ret_path, size_t bytes,
		      int *ret_fd, struct reason *why)
{
	char path[256], *at;
	int fd;

	snprintf(path, sizeof(path), "%s/dev/%s", sys->root, name);
	fd = sys->open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT) {
		for (at = path + strlen(path) - strlen(name); *at; at++)
			*at = *at == ':' ? '-' : *at;
		fd = sys->open(path, O_RDWR | O_CLOEXEC);
	}
	if (fd < 0 && errno == ENOENT)
		return reason_add(why, -ENODEV,
				  "/dev/%s is not there: 'tethys devices' lists the cards that are",
				  name);
	if (fd < 0)
		return open_failed(path, -errno, why);
	snprintf(ret_path, bytes, "%s", path);
	*ret_fd = fd;
	return 0;
}

int chardev_open_again(struct chardev *card, struct reason *why)
{
	int fd = card->sys->open(card->node, O_RDWR | O_CLOEXEC);

	return fd >= 0 ? fd : open_failed(card->node, -errno, why);
}

void chardev_close_fd(struct chardev *card, int *fd)
{
	if (*fd >= 0)
		card->sys->close(*fd);
	*fd = -1;
}

int chardev_request(struct chardev *card, int fd, unsigned long request, void *arg)
{
	int value;

	do
		value = card->sys->ioctl(fd, request, arg);
	while (value < 0 && errno == EINTR);
	return value < 0 ? -errno : value;
}

int chardev_gone(const struct chardev *card, struct reason *why)
{
	return reason_add(why, -ENODEV,
			  "%s is gone: unplugged, reset, or taken from its driver; see dmesg, then "
			  "start again",
			  card->dev.name);
}

/* --- cores --- */

int chardev_cores_take(struct axdev *dev, unsigned int count, unsigned int *ret_first,
		       struct reason *why)
{
	struct chardev *card = chardev_of(dev);
	__s32 wanted = (__s32)count;
	int fd = chardev_open_again(card, why), first;

	if (fd < 0)
		return fd;
	first = chardev_request(card, fd, METIS_IOC_CTX_ALLOC, &wanted);
	if (first >= 0 && first + (int)count <= METIS_CORES) {
		pthread_mutex_lock(&card->lock);
		card->cores[first] = fd;
		pthread_mutex_unlock(&card->lock);
		*ret_first = (unsigned int)first;
		return 0;
	}
	chardev_close_fd(card, &fd);
	if (first == -ENODEV)
		return chardev_gone(card, why);
	/* Too many would be -EINVAL as well, but whoever asks knows how many there are. */
	if (first == -EINVAL)
		return reason_add(why, -EBUSY,
				  "%s: no %u adjacent cores are free: this program's or others' "
				  "connections have the rest; 'fuser -v %s' shows whose",
				  dev->name, count, card->node);
	return reason_add(why, first < 0 ? first : -EPROTO, "%s: CTX_ALLOC failed: %s", dev->name,
			  first < 0 ? strerror(-first)
				    : "the driver gives cores there are none of");
}

void chardev_cores_give(struct axdev *dev, unsigned int first)
{
	struct chardev *card = chardev_of(dev);

	pthread_mutex_lock(&card->lock);
	chardev_close_fd(card, &card->cores[first]);
	pthread_mutex_unlock(&card->lock);
}

/* --- interrupts --- */

/*
 * A number's signals are counted by the driver for its MSI request, whose time is in seconds, and
 * as poll events of files that attached it. These have a file of their own here, so that an event
 * is one signal of this number and nothing else.
 */
static int waiter_of(struct chardev *card, unsigned int number, struct reason *why)
{
	__s32 n = (__s32)number;
	int fd, err;

	pthread_mutex_lock(&card->lock);
	fd = card->waiters[number];
	if (fd < 0) {
		fd = chardev_open_again(card, why);
		err = fd < 0 ? 0 : chardev_request(card, fd, METIS_IOC_MSI_ATTACH, &n);
		if (err < 0) {
			chardev_close_fd(card, &fd);
			fd = reason_add(why, err, "MSI_ATTACH of %u failed: %s", number,
					strerror(-err));
		}
		card->waiters[number] = fd < 0 ? -1 : fd;
	}
	pthread_mutex_unlock(&card->lock);
	return fd;
}

/* Return: 1 one event was taken; 0 there was none; negative errno. */
static int take_event(struct chardev *card, int fd)
{
	return chardev_request(card, fd, METIS_IOC_CLEAR_POLL_EVENT, NULL);
}

static int wait_event(struct chardev *card, int fd, unsigned int timeout_ms)
{
	uint64_t now = axdev_now_us(), end = now + timeout_ms * 1000ull;
	struct pollfd poll = {.fd = fd, .events = POLLIN};
	int got;

	for (;;) {
		/* Rounded up: better late than in a loop of zeros. */
		poll.revents = 0;
		got = card->sys->poll(&poll, 1, (int)((end - now + 999) / 1000));
		if (got < 0 && errno != EINTR)
			return -errno;
		if (got > 0 && poll.revents & POLLIN) {
			got = take_event(card, fd);
			if (got)
				return got < 0 ? got : 0;
		} else if (got > 0) {
			return -ENODEV;
		}
		now = axdev_now_us();
		if (now >= end)
			return -ETIMEDOUT;
	}
}

int chardev_irq_wait(struct axdev *dev, unsigned int number, unsigned int timeout_ms,
		     struct reason *why)
{
	struct chardev *card = chardev_of(dev);
	int fd, err;

	if (number >= METIS_IRQ_NR)
		return reason_add(why, -EINVAL, "there is no interrupt %u", number);
	fd = waiter_of(card, number, why);
	if (fd < 0)
		return fd;
	err = wait_event(card, fd, timeout_ms);
	if (err == -ENODEV)
		return chardev_gone(card, why);
	return err ? reason_add(why, err, "Failed to wait for MSI %u: %s", number, strerror(-err))
		   : 0;
}

void chardev_irq_clear(struct axdev *dev, unsigned int number)
{
	struct chardev *card = chardev_of(dev);
	unsigned int i;
	int fd;

	if (number >= METIS_IRQ_NR)
		return;
	fd = waiter_of(card, number, NULL);
	for (i = 0; fd >= 0 && i < CLEAR_MAX; i++)
		if (take_event(card, fd) <= 0)
			break;
}

/* --- sysfs --- */

static void sysfs_path(const struct chardev *card, const char *file, char *ret_path, size_t bytes)
{
	snprintf(ret_path, bytes, "%.100s/sys/class/metis/%.40s/device/%s", card->sys->root,
		 card->dev.name, file);
}

void chardev_losses_open(struct chardev *card)
{
	char path[256];

	sysfs_path(card, "lost_interrupts", path, sizeof(path));
	card->losses = card->sys->open(path, O_RDONLY | O_CLOEXEC);
	chardev_losses(&card->dev, true);
	/* What others lost before is not ours. */
	card->dev.lost_irqs = 0;
}

static void losses_read(struct chardev *card)
{
	char text[32] = "";
	uint64_t value;

	if (card->sys->pread(card->losses, text, sizeof(text) - 1, 0) <= 0)
		return;
	value = strtoull(text, NULL, 10);
	if (value > card->losses_seen)
		__atomic_fetch_add(&card->dev.lost_irqs, value - card->losses_seen,
				   __ATOMIC_RELAXED);
	card->losses_seen = value;
}

/*
 * The driver heals without a word to us. A read of sysfs costs about as much as a small transfer,
 * so it is done now and then: a loss is told within that time, or when somebody asks.
 */
void chardev_losses(struct axdev *dev, bool now)
{
	struct chardev *card = chardev_of(dev);
	uint64_t at;

	if (card->losses < 0)
		return;
	if (now)
		pthread_mutex_lock(&card->lock);
	else if (pthread_mutex_trylock(&card->lock))
		return;
	at = axdev_now_us();
	if (now || at - card->losses_at_us >= LOSSES_EVERY_US) {
		card->losses_at_us = at;
		losses_read(card);
	}
	pthread_mutex_unlock(&card->lock);
}

int chardev_reset(struct chardev *card, struct reason *why)
{
	char path[256];
	int fd, err = 0;

	sysfs_path(card, "reset", path, sizeof(path));
	fd = card->sys->open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || card->sys->pwrite(fd, "1", 1, 0) != 1)
		err = -errno;
	chardev_close_fd(card, &fd);
	if (err == -EACCES || err == -EPERM)
		return reason_add(why, -EPERM, "resetting %s is for root: echo 1 > %s",
				  card->dev.name, path);
	if (err == -ENOENT)
		return reason_add(why, -EOPNOTSUPP,
				  "the kernel knows no way to reset %s alone (%s is not there)",
				  card->dev.name, path);
	return err ? reason_add(why, err, "%s could not be reset: %s", card->dev.name,
				strerror(-err))
		   : 0;
}
