/* SPDX-License-Identifier: MIT */
/*
 * Buffers the card can reach.
 *
 * With an IOMMU: anonymous memory, mapped at an address of our choice; the kernel pins it.
 *
 * Without one the card sees physical addresses, so a buffer is a list of runs, and its pages must
 * stay where they are while the card may write to them. mlock() does not promise that: it keeps
 * pages in memory, but compaction and huge-page collapse still move them. Buffers registered with
 * io_uring are pinned for good, with the same call in the kernel that VFIO uses. Where io_uring is
 * switched off only hugetlb pages are taken, which nothing moves short of unplugging memory. A
 * process that is killed closes its files lowest first: the device, opened before any ring, stops
 * the card before the pages are let go.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/io_uring.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "runtime/device/vfio.h"

#define PAGEMAP_PRESENT (1ull << 63)
#define PAGEMAP_PFN ((1ull << 55) - 1)
#define PIN_BYTES_MAX (1ull << 30) /* io_uring's limit for one piece */
#define PIN_PIECES_MAX 64u

/*
 * Without an IOMMU a larger buffer is rounded up to huge pages, which are one run each: 1 MiB in
 * single pages could be two lists full of elements.
 */
#define SCATTER_BYTES_MAX (64ull << 10)

struct vfio_memory {
	struct vfio_memory *next;
	uint8_t *ptr;
	uint64_t bytes; /* whole pages */
	bool mapped;	/* in the IOMMU, at span.start */
	struct vfio_span span;
	int ring; /* what pins it, -1: nothing */
	struct axdev_run *runs;
	size_t runs_nr;
};

/* --- plain memory --- */

/* At a multiple of 2 MiB if that large, so that it can have huge pages. */
static void *reserve(uint64_t bytes)
{
	uint64_t slack = bytes < VFIO_HUGE_BYTES ? 0 : VFIO_HUGE_BYTES, before;
	uint8_t *ptr = mmap(NULL, bytes + slack, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (ptr == MAP_FAILED)
		return NULL;
	if (!slack)
		return ptr;
	before = -(uintptr_t)ptr & (VFIO_HUGE_BYTES - 1);
	if (before)
		munmap(ptr, before);
	munmap(ptr + before + bytes, slack - before);
	return ptr + before;
}

/* Not in a child: a copy-on-write there would part the card's pages from ours. */
static int populate(struct vfio_memory *mem)
{
	mem->ptr = reserve(mem->bytes);
	if (!mem->ptr)
		return -ENOMEM;
	madvise(mem->ptr, mem->bytes, MADV_DONTFORK);
	if (mem->bytes >= VFIO_HUGE_BYTES)
		madvise(mem->ptr, mem->bytes, MADV_HUGEPAGE);
	return madvise(mem->ptr, mem->bytes, MADV_POPULATE_WRITE) ? -errno : 0;
}

static int populate_hugetlb(struct vfio_memory *mem)
{
	void *ptr;

	mem->bytes = (mem->bytes + VFIO_HUGE_BYTES - 1) & ~(VFIO_HUGE_BYTES - 1);
	ptr = mmap(NULL, mem->bytes, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | MAP_POPULATE | 21 << MAP_HUGE_SHIFT,
		   -1, 0);
	if (ptr == MAP_FAILED)
		return -errno;
	mem->ptr = ptr;
	madvise(ptr, mem->bytes, MADV_DONTFORK);
	return 0;
}

/* --- memory at physical addresses --- */

static int pin(struct vfio_memory *mem)
{
	struct iovec pieces[PIN_PIECES_MAX];
	struct io_uring_params params = {.flags = 0};
	unsigned int count = 0;
	uint64_t at, n;
	int ring;

	for (at = 0; at < mem->bytes; at += n) {
		n = mem->bytes - at < PIN_BYTES_MAX ? mem->bytes - at : PIN_BYTES_MAX;
		if (count == PIN_PIECES_MAX)
			return -E2BIG;
		pieces[count++] = (struct iovec){mem->ptr + at, n};
	}
	ring = (int)syscall(SYS_io_uring_setup, 1, &params);
	if (ring < 0)
		return -errno;
	if (syscall(SYS_io_uring_register, ring, IORING_REGISTER_BUFFERS, pieces, count) < 0) {
		close(ring);
		return -errno;
	}
	mem->ring = ring;
	return 0;
}

int vfio_runs_of_pages(const uint64_t *entries, size_t pages, struct axdev_run **ret_runs,
		       size_t *ret_runs_nr)
{
	struct axdev_run *runs = calloc(pages, sizeof(*runs));
	size_t i, count = 0;
	uint64_t frame;
	int err = runs ? 0 : -ENOMEM;

	for (i = 0; !err && i < pages; i++) {
		frame = entries[i] & PAGEMAP_PFN;
		if (!(entries[i] & PAGEMAP_PRESENT))
			err = -EFAULT;
		else if (!frame)
			err = -EPERM;
		else if (!i || frame != (entries[i - 1] & PAGEMAP_PFN) + 1)
			runs[count++] = (struct axdev_run){
				.offset = i * VFIO_PAGE_BYTES,
				.iova = frame * VFIO_PAGE_BYTES,
			};
	}
	if (err) {
		free(runs);
		return err;
	}
	*ret_runs = runs;
	*ret_runs_nr = count;
	return 0;
}

static int read_pagemap(const struct vfio_memory *mem, uint64_t *entries, size_t pages)
{
	size_t bytes = pages * sizeof(*entries), done = 0;
	off_t start = (off_t)((uintptr_t)mem->ptr / VFIO_PAGE_BYTES * sizeof(*entries));
	ssize_t got = 0;
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	while (done < bytes) {
		got = pread(fd, (uint8_t *)entries + done, bytes - done, start + (off_t)done);
		if (got <= 0)
			break;
		done += (size_t)got;
	}
	close(fd);
	return done == bytes ? 0 : -EIO;
}

static int find_runs(struct vfio_memory *mem)
{
	size_t pages = mem->bytes / VFIO_PAGE_BYTES;
	uint64_t *entries = calloc(pages, sizeof(*entries));
	int err;

	if (!entries)
		return -ENOMEM;
	err = read_pagemap(mem, entries, pages);
	if (!err)
		err = vfio_runs_of_pages(entries, pages, &mem->runs, &mem->runs_nr);
	free(entries);
	return err;
}

static int make_physical(struct vfio_memory *mem, struct reason *why)
{
	int err;

	if (mem->bytes > SCATTER_BYTES_MAX)
		mem->bytes = (mem->bytes + VFIO_HUGE_BYTES - 1) & ~(VFIO_HUGE_BYTES - 1);
	err = populate(mem);
	if (!err)
		err = pin(mem);
	if (err == -ENOSYS || err == -EPERM) {
		munmap(mem->ptr, mem->bytes);
		mem->ptr = NULL;
		err = populate_hugetlb(mem);
		if (err)
			return reason_add(why, err,
					  "without an IOMMU and with io_uring switched off, memory "
					  "for the card comes from huge pages only; reserve some: "
					  "echo 64 > /proc/sys/vm/nr_hugepages");
	}
	if (!err)
		err = find_runs(mem);
	if (err == -EPERM)
		return reason_add(why, err,
				  "the kernel hides physical addresses: this needs CAP_SYS_ADMIN");
	return err;
}

/* --- memory behind an IOMMU --- */

static int map_failed(int err, uint64_t bytes, struct reason *why)
{
	struct rlimit limit = {.rlim_cur = 0};

	getrlimit(RLIMIT_MEMLOCK, &limit);
	if ((err == -ENOMEM || err == -EAGAIN) && limit.rlim_cur != RLIM_INFINITY)
		return reason_add(why, -ENOMEM,
				  "the limit of locked memory is %llu KiB, and the card's buffers "
				  "are locked; as root: prlimit --memlock=unlimited --pid $$, or "
				  "\"* - memlock unlimited\" in /etc/security/limits.conf and log "
				  "in again",
				  (unsigned long long)limit.rlim_cur >> 10);
	return reason_add(why, err, "VFIO does not map %llu bytes for the card: %s",
			  (unsigned long long)bytes, strerror(-err));
}

static int make_mapped(struct vfio_card *card, struct vfio_memory *mem, struct reason *why)
{
	int err = populate(mem);

	if (err)
		return err;
	pthread_mutex_lock(&card->lock);
	err = vfio_iova_take(&card->iova, &mem->span, mem->bytes);
	pthread_mutex_unlock(&card->lock);
	if (err)
		return reason_add(why, err, "the IOMMU has no addresses left");
	err = card->way->map(card, mem->ptr, mem->span.start, mem->bytes);
	if (!err) {
		mem->mapped = true;
		return 0;
	}
	pthread_mutex_lock(&card->lock);
	vfio_iova_give(&card->iova, &mem->span);
	pthread_mutex_unlock(&card->lock);
	return map_failed(err, mem->bytes, why);
}

/* --- both --- */

static void memory_destroy(struct vfio_memory *mem)
{
	/* Closing alone would let the pages go some time later. */
	if (mem->ring >= 0) {
		syscall(SYS_io_uring_register, mem->ring, IORING_UNREGISTER_BUFFERS, NULL, 0);
		close(mem->ring);
	}
	if (mem->ptr)
		munmap(mem->ptr, mem->bytes);
	free(mem->runs);
	free(mem);
}

int vfio_memory_alloc(struct axdev_pci *pci, size_t bytes, struct axdev_buf *ret_buf,
		      struct reason *why)
{
	struct vfio_memory *mem = calloc(1, sizeof(*mem));
	struct vfio_card *card = vfio_card_of(pci);
	int err;

	if (!mem)
		return reason_add(why, -ENOMEM, "out of memory");
	mem->ring = -1;
	mem->bytes = (bytes + VFIO_PAGE_BYTES - 1) & ~(VFIO_PAGE_BYTES - 1);
	err = card->place.no_iommu ? make_physical(mem, why) : make_mapped(card, mem, why);
	if (err) {
		memory_destroy(mem);
		return reason_add(why, err, "no DMA buffer of %zu bytes: %s", bytes,
				  strerror(-err));
	}
	pthread_mutex_lock(&card->lock);
	mem->next = card->memory;
	card->memory = mem;
	pthread_mutex_unlock(&card->lock);
	*ret_buf = (struct axdev_buf){
		.ptr = mem->ptr,
		.iova = mem->runs ? mem->runs[0].iova : mem->span.start,
		.bytes = bytes,
		.priv = mem,
		.runs = mem->runs_nr > 1 ? mem->runs : NULL,
		.runs_nr = mem->runs_nr > 1 ? mem->runs_nr : 0,
	};
	return 0;
}

/* A channel that would not stop may still write. */
static bool any_stuck(const struct axdev_pci *pci)
{
	unsigned int dir, n;

	for (dir = 0; dir < 2; dir++)
		for (n = 0; n < METIS_EDMA_CHANNELS; n++)
			if (pci->edma.channels[dir][n].stuck)
				return true;
	return false;
}

void vfio_memory_free(struct axdev_pci *pci, struct axdev_buf *buf)
{
	struct vfio_card *card = vfio_card_of(pci);
	struct vfio_memory *mem = buf->priv, **at;

	/* Without an IOMMU nothing else would keep such a write off the memory's next owner. */
	if (card->place.no_iommu && any_stuck(pci))
		return;
	if (mem->mapped)
		card->way->unmap(card, mem->span.start, mem->bytes);
	pthread_mutex_lock(&card->lock);
	if (mem->mapped)
		vfio_iova_give(&card->iova, &mem->span);
	for (at = &card->memory; *at && *at != mem; at = &(*at)->next)
		;
	if (*at)
		*at = mem->next;
	pthread_mutex_unlock(&card->lock);
	memory_destroy(mem);
}

void vfio_memory_free_all(struct vfio_card *card)
{
	struct vfio_memory *mem;

	while ((mem = card->memory)) {
		card->memory = mem->next;
		memory_destroy(mem);
	}
}
