// SPDX-License-Identifier: MIT
#include "common/copy.h"
#include "tests/tap.h"

#define ROOM (COPY_BULK_BYTES + 65536)

static uint8_t *from, *to;

/* Exactly @len bytes arrive, nothing around them changes. */
static void copy_one(size_t dst, size_t src, size_t len)
{
	memset(to, 0xee, ROOM);
	copy_bulk(to + dst, from + src, len);
	EXPECT(!memcmp(to + dst, from + src, len));
	EXPECT(dst == 0 || to[dst - 1] == 0xee);
	EXPECT_EQ(to[dst + len], 0xee);
}

static void test_copy_bulk_is_exact_at_every_alignment(void)
{
	size_t i;

	for (i = 0; i < 24; i++) {
		copy_one(i * 7 % 67, i * 5 % 71, COPY_BULK_BYTES);
		copy_one(i * 7 % 67, i * 5 % 71, COPY_BULK_BYTES + i * 1021);
	}
}

static void test_copy_bulk_of_little_is_exact(void)
{
	size_t len;

	for (len = 0; len < 20; len++)
		copy_one(3, 1, len);
	copy_one(1, 0, COPY_BULK_BYTES - 1);
}

int main(void)
{
	size_t i;

	from = malloc(ROOM);
	to = malloc(ROOM);
	if (!from || !to)
		return 1;
	for (i = 0; i < ROOM; i++)
		from[i] = i * 2654435761u >> 13;
	RUN(test_copy_bulk_is_exact_at_every_alignment);
	RUN(test_copy_bulk_of_little_is_exact);
	free(from);
	free(to);
	return tap_done();
}
