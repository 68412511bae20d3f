/* SPDX-License-Identifier: MIT */
#include "doctor/arena.h"
#include "tests/tap.h"

static void test_arena_alloc_is_zeroed_and_aligned(void)
{
	struct arena arena = {0};

	for (size_t size = 0; size < 300; size++) {
		unsigned char *at = arena_alloc(&arena, size);

		EXPECT_EQ((uintptr_t)at % _Alignof(max_align_t), 0);
		for (size_t i = 0; i < size; i++)
			EXPECT_EQ(at[i], 0);
		memset(at, 0xa5, size);
	}
	arena_free(&arena);
	EXPECT_EQ(arena.bytes, 0);
}

static void test_arena_large_between_small_keeps_both(void)
{
	struct arena arena = {0};
	char *small = arena_strdup(&arena, "small");
	char *large = arena_alloc(&arena, 1 << 20);
	char *after = arena_strdup(&arena, "after");

	memset(large, 'x', 1 << 20);
	EXPECT_STR(small, "small");
	EXPECT_STR(after, "after");
	/* The large one took a block of its own; the first goes on. */
	EXPECT(after > small && after < small + 65536);
	arena_free(&arena);
}

static void test_arena_texts_end_with_nul(void)
{
	struct arena arena = {0};

	EXPECT_STR(arena_strndup(&arena, "abcdef", 3), "abc");
	EXPECT_STR(arena_strndup(&arena, "", 0), "");
	EXPECT_STR(arena_printf(&arena, "%s-%04x", "a", 0x1f), "a-001f");
	EXPECT_STR(arena_printf(&arena, "%s", ""), "");
	arena_free(&arena);
}

static void test_arena_grow_keeps_elements(void)
{
	struct arena arena = {0};
	uint32_t *numbers = NULL;

	for (uint32_t i = 0; i < 5000; i++) {
		uint32_t *last = arena_grow(&arena, &numbers, i, sizeof(*last));

		EXPECT(last == &numbers[i]);
		EXPECT_EQ(*last, 0);
		*last = i * 7;
	}
	for (uint32_t i = 0; i < 5000; i++)
		EXPECT_EQ(numbers[i], i * 7);
	arena_free(&arena);
}

int main(void)
{
	RUN(test_arena_alloc_is_zeroed_and_aligned);
	RUN(test_arena_large_between_small_keeps_both);
	RUN(test_arena_texts_end_with_nul);
	RUN(test_arena_grow_keeps_elements);
	return tap_done();
}
