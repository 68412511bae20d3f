/* SPDX-License-Identifier: MIT */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "doctor/arena.h"

#define BLOCK_BYTES 65536u
#define ALIGN _Alignof(max_align_t)

struct arena_block {
	struct arena_block *next;
	size_t used, size;
	max_align_t data[];
};

static struct arena_block *add_block(struct arena *arena, size_t bytes)
{
	size_t size = bytes > BLOCK_BYTES ? bytes : BLOCK_BYTES;
	struct arena_block *block = NULL;

	if (size <= SIZE_MAX - sizeof(*block))
		block = calloc(1, sizeof(*block) + size);
	if (!block) {
		fputs("error: out of memory\n", stderr);
		exit(2);
	}
	block->size = size;
	/* A big one goes behind the first, which may have room left. */
	if (arena->blocks && bytes > BLOCK_BYTES) {
		block->next = arena->blocks->next;
		arena->blocks->next = block;
	} else {
		block->next = arena->blocks;
		arena->blocks = block;
	}
	return block;
}

void *arena_alloc(struct arena *arena, size_t bytes)
{
	struct arena_block *block = arena->blocks;
	size_t rounded;
	void *at;

	rounded = bytes > SIZE_MAX - ALIGN ? SIZE_MAX : (bytes + ALIGN - 1) / ALIGN * ALIGN;
	if (!block || rounded > block->size - block->used)
		block = add_block(arena, rounded);
	at = (char *)block->data + block->used;
	block->used += rounded;
	arena->bytes += rounded;
	return at;
}

char *arena_strndup(struct arena *arena, const char *text, size_t size)
{
	char *copy = arena_alloc(arena, size == SIZE_MAX ? size : size + 1);

	if (size)
		memcpy(copy, text, size);
	return copy;
}

char *arena_strdup(struct arena *arena, const char *text)
{
	return arena_strndup(arena, text, strlen(text));
}

char *arena_vprintf(struct arena *arena, const char *fmt, va_list args)
{
	va_list again;
	char *text;
	int size;

	va_copy(again, args);
	size = vsnprintf(NULL, 0, fmt, again);
	va_end(again);
	text = arena_alloc(arena, size < 0 ? 1 : (size_t)size + 1);
	if (size > 0)
		vsnprintf(text, (size_t)size + 1, fmt, args);
	return text;
}

char *arena_printf(struct arena *arena, const char *fmt, ...)
{
	va_list args;
	char *text;

	va_start(args, fmt);
	text = arena_vprintf(arena, fmt, args);
	va_end(args);
	return text;
}

void arena_free(struct arena *arena)
{
	while (arena->blocks) {
		struct arena_block *next = arena->blocks->next;

		free(arena->blocks);
		arena->blocks = next;
	}
	arena->bytes = 0;
}

void *arena_grow(struct arena *arena, void *array, size_t count, size_t element_bytes)
{
	char *base;

	/* The caller's is a pointer to its own type, so it is copied, not looked at as a char *. */
	memcpy(&base, array, sizeof(base));
	if (!(count & (count - 1))) {
		size_t room = count ? 2 * count : 1;
		char *bigger = arena_alloc(
			arena, room > SIZE_MAX / element_bytes ? SIZE_MAX : room * element_bytes);

		if (count)
			memcpy(bigger, base, count * element_bytes);
		base = bigger;
		memcpy(array, &base, sizeof(base));
	}
	return base + count * element_bytes;
}
