/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>

#include "runtime/shared_memory.h"

struct shared_piece {
	struct shared_piece *next;
	struct axdev_buf buf;
};

void shared_memory_init(struct shared_memory *memory)
{
	pthread_mutex_init(&memory->lock, NULL);
	memory->first = NULL;
}

void shared_memory_deinit(struct shared_memory *memory, struct axdev *dev)
{
	struct shared_piece *piece;

	while ((piece = memory->first)) {
		memory->first = piece->next;
		dev->ops->buf_free(dev, &piece->buf);
		free(piece);
	}
	pthread_mutex_destroy(&memory->lock);
}

int shared_memory_alloc(struct shared_memory *memory, struct axdev *dev, size_t bytes,
			void **ret_ptr, struct reason *why)
{
	struct shared_piece *piece = calloc(1, sizeof(*piece));
	int r;

	if (!piece)
		return reason_add(why, -ENOMEM, "out of memory");
	r = dev->ops->buf_alloc(dev, bytes, &piece->buf, why);
	if (r) {
		free(piece);
		return r;
	}
	*ret_ptr = piece->buf.ptr;
	pthread_mutex_lock(&memory->lock);
	piece->next = memory->first;
	memory->first = piece;
	pthread_mutex_unlock(&memory->lock);
	return 0;
}

bool shared_memory_free(struct shared_memory *memory, struct axdev *dev, void *ptr)
{
	struct shared_piece **link, *piece;

	pthread_mutex_lock(&memory->lock);
	for (link = &memory->first; (piece = *link); link = &piece->next)
		if (piece->buf.ptr == ptr)
			break;
	if (piece)
		*link = piece->next;
	pthread_mutex_unlock(&memory->lock);
	if (!piece)
		return false;
	dev->ops->buf_free(dev, &piece->buf);
	free(piece);
	return true;
}

bool shared_memory_find(struct shared_memory *memory, const void *ptr, size_t bytes,
			struct axdev_buf *ret_buf, size_t *ret_offset)
{
	const struct shared_piece *piece;
	uintptr_t offset;
	bool found = false;

	pthread_mutex_lock(&memory->lock);
	for (piece = memory->first; piece && !found; piece = piece->next) {
		/* Wraps to something large for an address below the piece. */
		offset = (uintptr_t)ptr - (uintptr_t)piece->buf.ptr;
		found = offset <= piece->buf.bytes && bytes <= piece->buf.bytes - offset;
		if (found) {
			*ret_buf = piece->buf;
			*ret_offset = offset;
		}
	}
	pthread_mutex_unlock(&memory->lock);
	return found;
}
