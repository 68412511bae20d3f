/* SPDX-License-Identifier: MIT */
#include "doctor/log/prefilter.h"
#include "tests/tap.h"

static const char *const keys[] = {"fault addr", "Fault Addr", "REMAP: reason", "  Data: "};
static struct prefilter filter;

static void test_prefilter_finds_each_key_at_each_place(void)
{
	char block[200];

	for (size_t key = 0; key < 4; key++)
		for (size_t at = 0; at + strlen(keys[key]) <= sizeof(block); at++) {
			size_t place, handle;

			memset(block, '.', sizeof(block));
			memcpy(block + at, keys[key], strlen(keys[key]));
			place = prefilter_next(&filter, block, sizeof(block), 0);
			ASSERT(place != PREFILTER_NONE);
			EXPECT(place >= at && place < at + strlen(keys[key]));
			handle = prefilter_keys_at(&filter, block, sizeof(block), place, 0);
			ASSERT(handle);
			EXPECT_EQ(prefilter_key_of(&filter, handle), key);
		}
}

static void test_prefilter_key_that_is_cut_is_none(void)
{
	static const char block[] = "....fault addr";

	for (size_t size = 0; size < sizeof(block) - 1; size++)
		EXPECT_EQ(prefilter_next(&filter, block, size, 0), PREFILTER_NONE);
}

/* Going on from each hit sees every key, whatever their distance. */
static void test_prefilter_goes_on_behind_a_hit(void)
{
	char block[100];

	for (size_t gap = 0; gap < 40; gap++) {
		size_t at = 0, seen = 0;

		memset(block, '.', sizeof(block));
		memcpy(block + 3, keys[0], 10);
		memcpy(block + 13 + gap, keys[1], 10);
		while ((at = prefilter_next(&filter, block, sizeof(block), at)) != PREFILTER_NONE) {
			size_t handle = prefilter_keys_at(&filter, block, sizeof(block), at, 0);

			seen |= (size_t)1 << prefilter_key_of(&filter, handle);
			at++;
		}
		EXPECT_EQ(seen, 3);
	}
}

static void test_prefilter_counts_newlines_like_the_portable_way(void)
{
	char block[300];

	for (size_t size = 0; size < sizeof(block); size++) {
		struct byte_counts fast, portable;

		for (size_t i = 0; i < size; i++)
			block[i] = i % 7 == size % 7 ? '\n' : i % 11 ? 'x' : '\t';
		fast = prefilter_count(block, size);
		portable = prefilter_count_portable(block, size);
		EXPECT_EQ(fast.newlines, portable.newlines);
		EXPECT(!fast.odd && !portable.odd);
		if (!size)
			continue;
		block[size / 2] = '\1';
		EXPECT(prefilter_count(block, size).odd);
		EXPECT(prefilter_count_portable(block, size).odd);
	}
}

int main(void)
{
	prefilter_init(&filter, keys, 4);
	RUN(test_prefilter_finds_each_key_at_each_place);
	RUN(test_prefilter_key_that_is_cut_is_none);
	RUN(test_prefilter_goes_on_behind_a_hit);
	RUN(test_prefilter_counts_newlines_like_the_portable_way);
	return tap_done();
}
