/* SPDX-License-Identifier: MIT */
/*
 * The table of client memory that DMA can touch directly.
 *
 * It is a cache of what the client said: only ranges with usable memory are in it, everything else
 * goes by message, which is always right. So forgetting a range is safe and keeping a dead one is
 * not.
 */
#include <errno.h>
#include <fcntl.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "card/transport/vfio_user_internal.h"

/*
 * A file, mapped whole and once: QEMU sends a new descriptor of the same file with each range, and
 * with an emulated IOMMU a range is a page. The mapping keeps the inode, so no descriptor stays
 * open.
 */
struct vus_backing {
	struct vus_backing *next;
	dev_t dev;
	ino_t ino;
	uint8_t *base;
	uint64_t bytes;
	bool writable;
	unsigned int refs; /* mappings */
};

struct vus_mapping {
	uint64_t first, last; /* IOVA, both included: a range may end at 2^64 */
	struct vus_backing *backing;
	uint64_t offset;	  /* of first in the backing */
	uint32_t flags;		  /* VFIO_USER_DMA_* */
	struct vus_mapping *next; /* once out of the table */
};

int vus_map_init(struct vus_map_table *table)
{
	pthread_rwlockattr_t attr;
	int ret;

	memset(table, 0, sizeof(*table));
	pthread_rwlockattr_init(&attr);
	/* Eight channels that copy in turns would keep an unmap out for ever. */
	pthread_rwlockattr_setkind_np(&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
	ret = pthread_rwlock_init(&table->lock, &attr);
	pthread_rwlockattr_destroy(&attr);
	return -ret;
}

void vus_map_deinit(struct vus_map_table *table)
{
	vus_map_remove(table, 0, UINT64_MAX);
	pthread_rwlock_destroy(&table->lock);
}

/* Disjoint ranges have an order; ranges that overlap compare equal, so tfind(3) finds overlaps. */
static int mapping_compare(const void *a, const void *b)
{
	const struct vus_mapping *left = a, *right = b;

	if (left->last < right->first)
		return -1;
	return left->first > right->last;
}

/* Any mapping that overlaps [@first, @last]. */
static struct vus_mapping *mapping_find(const struct vus_map_table *table, uint64_t first,
					uint64_t last)
{
	const struct vus_mapping key = {.first = first, .last = last};
	void *node = tfind(&key, &table->root, mapping_compare);

	return node ? *(struct vus_mapping **)node : NULL;
}

/* --- backings --- */

static struct vus_backing *backing_find(struct vus_map_table *table, const struct stat *st,
					uint64_t bytes)
{
	struct vus_backing *backing;

	for (backing = table->backings; backing; backing = backing->next)
		if (backing->dev == st->st_dev && backing->ino == st->st_ino &&
		    backing->bytes >= bytes)
			return backing;
	return NULL;
}

/* A reference of @backing is gone. */
static void backing_put(struct vus_map_table *table, struct vus_backing *backing)
{
	struct vus_backing **link = &table->backings;

	if (--backing->refs)
		return;
	while (*link != backing)
		link = &(*link)->next;
	*link = backing->next;
	table->backings_nr--;
	munmap(backing->base, backing->bytes);
	free(backing);
}

/* Map all of @fd. NULL and *ret_why when it can't be. */
static struct vus_backing *backing_create(int fd, const struct stat *st, const char **ret_why)
{
	struct vus_backing *backing = calloc(1, sizeof(*backing));
	int seals = fcntl(fd, F_GET_SEALS);
	void *base = MAP_FAILED;

	if (!backing) {
		*ret_why = "no memory";
		return NULL;
	}
	backing->writable = true;
	if (seals < 0 || !(seals & F_SEAL_SHRINK)) {
		/* A file cut short under a copy would kill us with SIGBUS. */
		*ret_why = "the file is not sealed against shrinking";
	} else {
		/*
		 * Without MAP_NORESERVE: huge pages are reserved now, and an exhausted pool fails here
		 * instead of with SIGBUS in a copy. Ordinary shared memory reserves nothing.
		 */
		base = mmap(NULL, (size_t)st->st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		if (base == MAP_FAILED) {
			backing->writable = false;
			base = mmap(NULL, (size_t)st->st_size, PROT_READ, MAP_SHARED, fd, 0);
		}
		if (base == MAP_FAILED)
			*ret_why = "the file can't be mapped";
	}
	if (base == MAP_FAILED) {
		free(backing);
		return NULL;
	}
	backing->base = base;
	backing->bytes = (uint64_t)st->st_size;
	backing->dev = st->st_dev;
	backing->ino = st->st_ino;
	return backing;
}

/* The backing of @fd, new or not, without a new reference. */
static struct vus_backing *backing_get(struct vus_map_table *table, int fd, const struct stat *st,
				       uint64_t bytes, const char **ret_why)
{
	struct vus_backing *backing = backing_find(table, st, bytes);

	if (backing)
		return backing;
	if (table->backings_nr >= VUS_MAX_BACKINGS) {
		*ret_why = "too many files are mapped";
		return NULL;
	}
	backing = backing_create(fd, st, ret_why);
	if (!backing)
		return NULL;
	backing->next = table->backings;
	table->backings = backing;
	table->backings_nr++;
	return backing;
}

/* --- the table --- */

/* Take all that overlaps out of the table; the lock is held for writing. Return: a list. */
static struct vus_mapping *table_take(struct vus_map_table *table, uint64_t first, uint64_t last)
{
	struct vus_mapping *mapping, *list = NULL;

	while ((mapping = mapping_find(table, first, last))) {
		tdelete(mapping, &table->root, mapping_compare);
		table->count--;
		mapping->next = list;
		list = mapping;
	}
	return list;
}

static void mappings_free(struct vus_map_table *table, struct vus_mapping *list)
{
	struct vus_mapping *next;

	for (; list; list = next) {
		next = list->next;
		backing_put(table, list->backing);
		free(list);
	}
}

void vus_map_remove(struct vus_map_table *table, uint64_t first, uint64_t last)
{
	struct vus_mapping *list;

	pthread_rwlock_wrlock(&table->lock);
	list = table_take(table, first, last);
	pthread_rwlock_unlock(&table->lock);
	mappings_free(table, list);
}

/* The client has mapped a range. */
static void trace_map(const struct vus_map_table *table, enum card_way way, uint64_t iova,
		      uint64_t len, uint32_t flags)
{
	const struct card_event event = {
		.kind = CARD_EVENT_MAP,
		.way = way,
		.addr = iova,
		.len = len,
		.read = flags & VFIO_USER_DMA_READABLE,
		.write = flags & VFIO_USER_DMA_WRITABLE,
	};

	vus_trace(table->server, &event);
}

/* Put @mapping in, replacing what overlaps. Return: 0; -ENOSPC, -ENOMEM. */
static int table_replace(struct vus_map_table *table, struct vus_mapping *mapping)
{
	struct vus_mapping *list;
	int ret = 0;

	pthread_rwlock_wrlock(&table->lock);
	list = table_take(table, mapping->first, mapping->last);
	if (table->count >= VFIO_USER_MAX_DMA_MAPS)
		ret = -ENOSPC;
	else if (!tsearch(mapping, &table->root, mapping_compare))
		ret = -ENOMEM;
	else
		table->count++;
	/* No copy may come before this. */
	if (!ret)
		trace_map(table, CARD_WAY_DIRECT, mapping->first,
			  mapping->last - mapping->first + 1, mapping->flags);
	pthread_rwlock_unlock(&table->lock);
	mappings_free(table, list);
	return ret;
}

/* Enter @map over @fd. Return: 0; 1 not directly; -EINVAL. */
static int map_file(struct vus_map_table *table, const struct vfio_user_dma_map *map, int fd,
		    const char **ret_why)
{
	struct vus_mapping *mapping;
	struct vus_backing *backing;
	struct stat st;
	uint64_t end;

	if (fstat(fd, &st) || !S_ISREG(st.st_mode) ||
	    __builtin_add_overflow(map->offset, map->size, &end) || end > (uint64_t)st.st_size)
		return -EINVAL;
	backing = backing_get(table, fd, &st, end, ret_why);
	if (!backing)
		return 1;
	backing->refs++;
	mapping = calloc(1, sizeof(*mapping));
	if (mapping) {
		mapping->first = map->iova;
		mapping->last = map->iova + map->size - 1;
		mapping->offset = map->offset;
		mapping->backing = backing;
		mapping->flags = map->flags;
		if (!table_replace(table, mapping))
			return 0;
	}
	*ret_why = "too many ranges are mapped";
	free(mapping);
	backing_put(table, backing);
	return 1;
}

int vus_map_add(struct vus_map_table *table, const struct vfio_user_dma_map *map, int fd,
		bool no_direct, const char **ret_why)
{
	int ret = 1;

	*ret_why = NULL;
	if (!map->size || map->iova + (map->size - 1) < map->iova)
		ret = -EINVAL;
	else if (fd >= 0 && no_direct)
		*ret_why = "direct access is switched off";
	else if (fd >= 0)
		ret = map_file(table, map, fd, ret_why);
	if (fd >= 0)
		close(fd);
	if (ret == 1) { /* what was there before is not the truth any more */
		vus_map_remove(table, map->iova, map->iova + (map->size - 1));
		trace_map(table, CARD_WAY_MESSAGE, map->iova, map->size, map->flags);
	}
	return ret;
}

/* --- copies --- */

static bool mapping_permits(const struct vus_mapping *mapping, bool write)
{
	if (!write)
		return mapping->flags & VFIO_USER_DMA_READABLE;
	return (mapping->flags & VFIO_USER_DMA_WRITABLE) && mapping->backing->writable;
}

/* Bytes from @iova on, at most @len, that aren't mapped with the permission. */
static size_t table_gap(const struct vus_map_table *table, bool write, uint64_t iova, size_t len)
{
	const struct vus_mapping *mapping = mapping_find(table, iova, iova);
	uint64_t last = iova + (len - 1);

	if (mapping && !mapping_permits(mapping, write))
		return mapping->last < last ? mapping->last - iova + 1 : len;
	while ((mapping = mapping_find(table, iova, last)))
		last = mapping->first - 1; /* the first one is at or left of this */
	return last - iova + 1;
}

/* Bytes from @iova on, at most @len, that are mapped with the permission. */
static size_t table_span(const struct vus_map_table *table, bool write, uint64_t iova, size_t len)
{
	const struct vus_mapping *mapping;
	size_t span = 0;

	while (span < len) {
		mapping = mapping_find(table, iova + span, iova + span);
		if (!mapping || !mapping_permits(mapping, write))
			break;
		if (mapping->last - (iova + span) >= len - span)
			return len;
		span += mapping->last - (iova + span) + 1;
	}
	return span;
}

/* The lock is held. Told before the first byte moves, so that a card killed then has told it. */
static void trace_copy(const struct vus_map_table *table, bool write, uint64_t iova, size_t len)
{
	const struct card_event event = {
		.kind = write ? CARD_EVENT_WRITE : CARD_EVENT_READ,
		.way = CARD_WAY_DIRECT,
		.addr = iova,
		.len = table_span(table, write, iova, len),
	};

	if (event.len)
		vus_trace(table->server, &event);
}

size_t vus_map_copy(struct vus_map_table *table, bool write, uint64_t iova, void *buf, size_t len,
		    size_t *ret_gap)
{
	const struct vus_mapping *mapping;
	size_t done = 0, piece;
	uint8_t *memory;

	if (len > VUS_COPY_BYTES)
		len = VUS_COPY_BYTES;
	pthread_rwlock_rdlock(&table->lock);
	if (vus_traced(table->server))
		trace_copy(table, write, iova, len);
	while (done < len) {
		mapping = mapping_find(table, iova + done, iova + done);
		if (!mapping || !mapping_permits(mapping, write))
			break;
		piece = len - done;
		if (mapping->last - (iova + done) < piece)
			piece = mapping->last - (iova + done) + 1;
		memory = mapping->backing->base + mapping->offset + (iova + done - mapping->first);
		if (write)
			copy_bulk(memory, (uint8_t *)buf + done, piece);
		else
			copy_bulk((uint8_t *)buf + done, memory, piece);
		done += piece;
	}
	if (!done)
		*ret_gap = table_gap(table, write, iova, len);
	pthread_rwlock_unlock(&table->lock);
	return done;
}
