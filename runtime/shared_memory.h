/* SPDX-License-Identifier: MIT */
/*
 * Memory that the application has from us, so that tensors in it travel without a copy of ours.
 */
#ifndef TETHYS_RUNTIME_SHARED_MEMORY_H
#define TETHYS_RUNTIME_SHARED_MEMORY_H

#include <pthread.h>
#include <stdbool.h>

#include "runtime/device/device.h"

struct shared_piece;

struct shared_memory {
	pthread_mutex_t lock; /* first */
	struct shared_piece *first;
};

void shared_memory_init(struct shared_memory *memory);
/* Gives back all that is left. @dev may be NULL when nothing was ever allocated. */
void shared_memory_deinit(struct shared_memory *memory, struct axdev *dev);

/**
 * shared_memory_alloc() - zeroed, page-aligned memory the card can reach
 *
 * Return: 0; -ENOMEM; what buf_alloc gave.
 */
int shared_memory_alloc(struct shared_memory *memory, struct axdev *dev, size_t bytes,
			void **ret_ptr, struct reason *why);
/* Return: false when @ptr is none of ours. */
bool shared_memory_free(struct shared_memory *memory, struct axdev *dev, void *ptr);

/**
 * shared_memory_find() - the buffer that [@ptr, @ptr + @bytes) lies in
 *
 * Valid for as long as the application does not free it, which it must not while a run uses it.
 *
 * Return: false when there is none.
 */
bool shared_memory_find(struct shared_memory *memory, const void *ptr, size_t bytes,
			struct axdev_buf *ret_buf, size_t *ret_offset);

#endif
