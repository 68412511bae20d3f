/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <linux/dma-buf.h>
#include <linux/dma-heap.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runtime/device/tests/fake_node.h"

struct fake fake;

static int fail(int err)
{
	errno = -err;
	return -1;
}

/* --- files --- */

static int enter(int fd, enum fake_kind kind)
{
	if (fd >= FAKE_FDS_MAX) {
		close(fd);
		return fail(-EMFILE);
	}
	if (fd >= 0)
		fake.fds[fd] =
			(struct fake_fd){.kind = kind, .attached = -1, .number = -1, .pending = 1};
	return fd;
}

static int fake_open(const char *path, int flags)
{
	if (strstr(path, "/dev/metis")) {
		if (fake.open_err || access(path, F_OK))
			return fake.open_err ? fail(fake.open_err) : -1;
		return enter(dup(fake.l2), FAKE_NODE);
	}
	if (strstr(path, "/dev/dma_heap"))
		return fake.no_heap ? fail(-ENOENT) : enter(dup(fake.l2), FAKE_HEAP);
	return open(path, flags);
}

static int fake_close(int fd)
{
	fake.cores &= ~fake.fds[fd].cores;
	fake.fds[fd].kind = FAKE_NONE;
	return close(fd);
}

unsigned int fake_open_nr(void)
{
	unsigned int i, count = 0;

	for (i = 0; i < FAKE_FDS_MAX; i++)
		count += fake.fds[i].kind != FAKE_NONE;
	return count;
}

static void *fake_mmap(void *addr, size_t bytes, int prot, int flags, int fd, off_t offset)
{
	if (fake.fds[fd].kind == FAKE_NODE && offset) {
		if (fake.show_regs)
			return mmap(addr, bytes, prot, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		errno = EPERM;
		return MAP_FAILED;
	}
	return mmap(addr, bytes, prot, flags, fd, offset);
}

static int fake_poll(struct pollfd *fds, nfds_t count, int timeout_ms)
{
	(void)count;
	if (fake.ioctl_err == -ENODEV) {
		fds->revents = POLLHUP | POLLERR;
		return 1;
	}
	if (!fake.fds[fds->fd].events) {
		usleep((useconds_t)timeout_ms * 1000);
		return 0;
	}
	fds->revents = POLLIN;
	return 1;
}

void fake_signal(int number)
{
	unsigned int i;

	for (i = 0; i < FAKE_FDS_MAX; i++)
		if (fake.fds[i].kind == FAKE_NODE && fake.fds[i].number == number)
			fake.fds[i].events++;
}

/* --- transfers --- */

/* The bytes move unless a failure loses them. */
static int move(uint64_t card, uint8_t *host, size_t len, uint32_t flags, int err)
{
	uint64_t at = card - METIS_DDR_BASE;

	if (fake.sizes_nr < FAKE_SIZES_MAX)
		fake.sizes[fake.sizes_nr++] = len;
	if (at > FAKE_DDR_BYTES || len > FAKE_DDR_BYTES - at)
		return -EINVAL;
	if (err && fake.lose_data)
		return err;
	if (flags & METIS_XFER_WRITE)
		memcpy(fake.ddr + at, host, len);
	else
		memcpy(host, fake.ddr + at, len);
	return err;
}

static int user_xfer(const struct metis_user_xfer *xfer)
{
	int err = xfer->flags & METIS_XFER_READ ? fake.read_err : fake.user_err;

	fake.user_nr++;
	return move(xfer->card, (uint8_t *)(uintptr_t)xfer->user, xfer->size, xfer->flags, err);
}

static int dmabuf_xfer(struct fake_fd *file, const struct metis_dmabuf_xfer *xfer)
{
	uint8_t *host;

	if (file->attached < 0 || file->pending <= 0 || !(xfer->flags & METIS_XFER_ASYNC))
		return -EINVAL;
	fake.dmabuf_nr++;
	host = mmap(NULL, xfer->offset + xfer->size, PROT_READ | PROT_WRITE, MAP_SHARED,
		    file->attached, 0);
	if (host == MAP_FAILED)
		return -errno;
	file->pending =
		move(xfer->card, host + xfer->offset, xfer->size, xfer->flags, fake.dmabuf_err);
	munmap(host, xfer->offset + xfer->size);
	return 0;
}

static int status(struct fake_fd *file)
{
	int result = file->pending;

	fake.status_nr++;
	file->pending = 1;
	return result == 1 ? -EINVAL : result;
}

static int cores_alloc(struct fake_fd *file, int count)
{
	uint32_t mask = (1u << count) - 1;
	int first;

	for (first = 0; first + count <= METIS_CORES; first++) {
		if (fake.cores & mask << first)
			continue;
		file->cores = mask << first;
		fake.cores |= file->cores;
		return first;
	}
	return -EINVAL;
}

static int heap_alloc(struct dma_heap_allocation_data *data)
{
	int fd = memfd_create("dma-buf", MFD_CLOEXEC);

	if (fd < 0 || ftruncate(fd, (off_t)data->len))
		return -errno;
	data->fd = (__u32)enter(fd, FAKE_DMABUF);
	return 0;
}

static int take_event(struct fake_fd *file)
{
	return file->events ? (file->events--, 1) : 0;
}

static int answer(struct fake_fd *file, unsigned long request, void *arg)
{
	switch (request) {
	case METIS_IOC_GET_RESOURCES:
		((struct metis_resources *)arg)->l2_size = fake.l2_bytes;
		return 0;
	case METIS_IOC_USER_XFER:
		return user_xfer(arg);
	case METIS_IOC_DMA_ATTACH:
		fake.attach_nr++;
		file->attached = *(__s32 *)arg;
		return 0;
	case METIS_IOC_DMA_XFER:
		return dmabuf_xfer(file, arg);
	case METIS_IOC_DMA_SYNC_STATUS:
		return status(file);
	case METIS_IOC_CTX_ALLOC:
		return cores_alloc(file, *(__s32 *)arg);
	case METIS_IOC_MSI_ATTACH:
		file->number = *(__s32 *)arg;
		return 0;
	case METIS_IOC_CLEAR_POLL_EVENT:
		return take_event(file);
	case DMA_HEAP_IOCTL_ALLOC:
		return heap_alloc(arg);
	case DMA_BUF_IOCTL_SYNC:
		fake.syncs_nr++;
		return 0;
	default:
		return -ENOTTY;
	}
}

static int fake_ioctl(int fd, unsigned long request, void *arg)
{
	int value = fake.ioctl_err ? fake.ioctl_err : answer(&fake.fds[fd], request, arg);

	return value < 0 ? fail(value) : value;
}

/* --- the machine --- */

static void make_dirs(char *path)
{
	char *slash;

	for (slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		mkdir(path, 0755);
		*slash = '/';
	}
}

void fake_put(const char *path, const char *text)
{
	char full[256];
	FILE *file;

	snprintf(full, sizeof(full), "%s%s", fake.root, path);
	make_dirs(full);
	file = fopen(full, "w");
	if (file) {
		fputs(text, file);
		fclose(file);
	}
}

struct chardev_sys fake_sys = {
	.root = fake.root,
	.open = fake_open,
	.close = fake_close,
	.ioctl = fake_ioctl,
	.mmap = fake_mmap,
	.munmap = munmap,
	.poll = fake_poll,
	.pread = pread,
	.pwrite = pwrite,
};

int fake_init(void)
{
	memset(&fake, 0, sizeof(fake));
	strcpy(fake.root, "/tmp/tethys-node-XXXXXX");
	fake.l2 = memfd_create("l2", MFD_CLOEXEC);
	fake.ddr = calloc(1, FAKE_DDR_BYTES);
	fake.l2_bytes = METIS_BAR_L2_BYTES;
	if (!mkdtemp(fake.root) || !fake.ddr || fake.l2 < 0 ||
	    ftruncate(fake.l2, METIS_BAR_L2_BYTES))
		return -ENOMEM;
	fake_put("/dev/metis-0-86-0", "");
	return 0;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

void fake_deinit(void)
{
	nftw(fake.root, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	close(fake.l2);
	free(fake.ddr);
}
