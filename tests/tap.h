/* SPDX-License-Identifier: MIT */
/*
 * The test harness: one function a test, TAP on stdout, exit 1 when one failed.
 *
 *	static void test_edma_size_zero_moves_nothing(void) { EXPECT_EQ(x, 0); }
 *	int main(void) { RUN(test_edma_size_zero_moves_nothing); return tap_done(); }
 */
#ifndef TETHYS_TESTS_TAP_H
#define TETHYS_TESTS_TAP_H

#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int tap_count, tap_failed;
static bool tap_this_failed;
static const char *tap_skip_why;

#define TAP_FAIL(fmt, ...)                                                     \
	do {                                                                   \
		tap_this_failed = true;                                        \
		printf("# %s:%d: " fmt "\n", __FILE__, __LINE__, __VA_ARGS__); \
	} while (0)

/* EXPECT goes on after a failure, ASSERT leaves the test function. */
#define EXPECT(cond)                           \
	do {                                   \
		if (!(cond))                   \
			TAP_FAIL("%s", #cond); \
	} while (0)
#define ASSERT(cond)                           \
	do {                                   \
		if (!(cond)) {                 \
			TAP_FAIL("%s", #cond); \
			return;                \
		}                              \
	} while (0)
#define EXPECT_EQ(a, b)                                                                   \
	do {                                                                              \
		int64_t tap_a = (int64_t)(a), tap_b = (int64_t)(b);                       \
		if (tap_a != tap_b)                                                       \
			TAP_FAIL("%s is %" PRId64 " (0x%" PRIx64 "), not %s = %" PRId64   \
				 " (0x%" PRIx64 ")",                                      \
				 #a, tap_a, (uint64_t)tap_a, #b, tap_b, (uint64_t)tap_b); \
	} while (0)
#define ASSERT_EQ(a, b)              \
	do {                         \
		EXPECT_EQ(a, b);     \
		if (tap_this_failed) \
			return;      \
	} while (0)
#define EXPECT_STR(a, b)                                                        \
	do {                                                                    \
		const char *tap_a = (a), *tap_b = (b);                          \
		if (strcmp(tap_a, tap_b))                                       \
			TAP_FAIL("%s is \"%s\", not \"%s\"", #a, tap_a, tap_b); \
	} while (0)
#define EXPECT_HAS(text, part)                                          \
	do {                                                            \
		const char *tap_a = (text), *tap_b = (part);            \
		if (!strstr(tap_a, tap_b))                              \
			TAP_FAIL("\"%s\" has no \"%s\"", tap_a, tap_b); \
	} while (0)
/* Only for what this machine truly can't do; the reason is shown and counted apart. */
#define SKIP(why)                     \
	do {                          \
		tap_skip_why = (why); \
		return;               \
	} while (0)

static inline void tap_run(const char *name, void (*fn)(void))
{
	tap_this_failed = false;
	tap_skip_why = NULL;
	fn();
	tap_count++;
	tap_failed += tap_this_failed;
	printf("%sok %d - %s%s%s\n", tap_this_failed ? "not " : "", tap_count, name,
	       tap_skip_why ? " # SKIP " : "", tap_skip_why ? tap_skip_why : "");
	fflush(stdout);
}

#define RUN(fn) tap_run(#fn, fn)

static inline int tap_done(void)
{
	printf("1..%d\n", tap_count);
	return tap_failed ? 1 : 0;
}

#endif
