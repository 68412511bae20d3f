/* SPDX-License-Identifier: MIT */
/*
 * Memory that is freed all at once: a judgement makes thousands of small texts that live as long as
 * it does.
 */
#ifndef TETHYS_DOCTOR_ARENA_H
#define TETHYS_DOCTOR_ARENA_H

#include <stdarg.h>
#include <stddef.h>

struct arena_block;

struct arena {
	struct arena_block *blocks;
	size_t bytes; /* handed out so far */
};

/* All of these end the process with a message when memory is out: nothing could be said then. */

/* Zeroed, aligned for any type. */
void *arena_alloc(struct arena *arena, size_t bytes);
/* Copy that ends with NUL. */
char *arena_strndup(struct arena *arena, const char *text, size_t size);
char *arena_strdup(struct arena *arena, const char *text);
char *arena_printf(struct arena *arena, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
char *arena_vprintf(struct arena *arena, const char *fmt, va_list args);
void arena_free(struct arena *arena);

/**
 * arena_grow() - room for one more element at the end of an array in the arena
 * @array: address of the array's pointer, which is NULL for an empty one and may move
 * @count: elements in it; not changed
 * @element_bytes: size of one
 *
 * Return: the new element, zeroed. Doubles when @count is a power of two (or 0), so arrays that are
 * only grown by this need no capacity.
 */
void *arena_grow(struct arena *arena, void *array, size_t count, size_t element_bytes);

#endif
