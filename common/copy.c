// SPDX-License-Identifier: MIT
#include <stdint.h>
#include <string.h>

#include "common/copy.h"

#ifdef __SSE2__
#include <emmintrin.h>

#define LINE 64u
#define PAGE 4096u
/* Four pages at a time keep as many streams of the memory controller busy. */
#define PAGES 4u
#define BLOCK (PAGES * PAGE)
#define AHEAD 256u

/* @dst is aligned to LINE. */
static inline void stream_line(char *dst, const char *src)
{
	__m128i a = _mm_loadu_si128((const __m128i *)src);
	__m128i b = _mm_loadu_si128((const __m128i *)(src + 16));
	__m128i c = _mm_loadu_si128((const __m128i *)(src + 32));
	__m128i d = _mm_loadu_si128((const __m128i *)(src + 48));

	_mm_stream_si128((__m128i *)dst, a);
	_mm_stream_si128((__m128i *)(dst + 16), b);
	_mm_stream_si128((__m128i *)(dst + 32), c);
	_mm_stream_si128((__m128i *)(dst + 48), d);
}

static void stream_block(char *dst, const char *src)
{
	size_t line, page;

	for (line = 0; line < PAGE; line += LINE) {
		for (page = 0; page < BLOCK; page += PAGE) {
			/* A prefetch past the end of @src is harmless. */
			_mm_prefetch(src + page + line + AHEAD, _MM_HINT_T0);
			stream_line(dst + page + line, src + page + line);
		}
	}
}

static void stream(char *dst, const char *src, size_t len)
{
	size_t head = -(uintptr_t)dst % LINE;

	memcpy(dst, src, head);
	for (dst += head, src += head, len -= head; len >= BLOCK; len -= BLOCK) {
		stream_block(dst, src);
		dst += BLOCK;
		src += BLOCK;
	}
	memcpy(dst, src, len);
	/* Streaming stores are not ordered with what follows by themselves. */
	_mm_sfence();
}

void copy_bulk(void *dst, const void *src, size_t len)
{
	if (len >= COPY_BULK_BYTES)
		stream(dst, src, len);
	else
		memcpy(dst, src, len);
}

#else

void copy_bulk(void *dst, const void *src, size_t len)
{
	memcpy(dst, src, len);
}

#endif
