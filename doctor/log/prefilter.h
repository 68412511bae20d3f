/* SPDX-License-Identifier: MIT */
/*
 * Finds, in blocks of bytes, where one of many literals stands. Nearly all bytes of a log belong to
 * lines that no rule cares for; this is all that they cost.
 *
 * Of each literal four overlapping windows of four bytes are known, the rarest ones, so that only
 * every fourth place of a block needs to be looked at. A window's hash says in a map whether it can
 * be one of theirs. (Measured with some 250 literals: looking up nibbles by vector shuffles makes a
 * third of all bytes candidates, and gathering from the map is no faster than plain loads.)
 */
#ifndef TETHYS_DOCTOR_LOG_PREFILTER_H
#define TETHYS_DOCTOR_LOG_PREFILTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PREFILTER_STRIDE 4u
#define PREFILTER_WINDOW 4u
#define PREFILTER_KEY_BYTES (PREFILTER_WINDOW + PREFILTER_STRIDE - 1) /* at least */
#define PREFILTER_KEYS_MAX 512u
#define PREFILTER_NONE SIZE_MAX

struct prefilter_key {
	const char *text; /* not owned */
	uint8_t size;
	uint8_t window; /* where in text its first window lies */
};

struct prefilter_window {
	uint32_t bytes; /* of the window */
	uint16_t key;
	uint8_t at;	/* in the key's text */
	uint8_t first;	/* bytes from the key's first window to this one */
	uint16_t next;	/* next one with the same head, + 1; 0: none */
	uint64_t piece; /* the bytes of all windows of the key, PREFILTER_KEY_BYTES of them */
};

struct prefilter {
	struct prefilter_key key[PREFILTER_KEYS_MAX];
	size_t count;
	struct prefilter_window window[PREFILTER_KEYS_MAX * PREFILTER_STRIDE];
	size_t windows;
	uint16_t head[4096]; /* by upper bits of the hash: window + 1 */
	uint8_t map[32768];  /* a bit by the hash: a window may be one of these */
};

struct byte_counts {
	size_t newlines;
	bool odd; /* bytes below 0x20 other than those of ordinary logs: TAB LF CR ESC */
};

/* Keys must be different. Those with less than PREFILTER_KEY_BYTES bytes are left out. */
void prefilter_init(struct prefilter *filter, const char *const *keys, size_t count);

/**
 * prefilter_next() - the next place where a key stands, whole
 * @from: where to begin, at most @size; a key that begins before it may be told or not. One
 *	more than what was returned to go on
 *
 * Return: place of a window of it, for prefilter_keys_at(); PREFILTER_NONE when there is none.
 */
size_t prefilter_next(const struct prefilter *filter, const char *data, size_t size, size_t from);

/**
 * prefilter_keys_at() - the keys that have a window at a place
 * @at: from prefilter_next()
 * @previous: 0 at first, then what was returned
 *
 * Return: 0 = no more, else a handle for prefilter_key_of().
 */
size_t prefilter_keys_at(const struct prefilter *filter, const char *data, size_t size, size_t at,
			 size_t previous);
/* Number of the key, as counted by prefilter_init(). */
size_t prefilter_key_of(const struct prefilter *filter, size_t handle);

struct byte_counts prefilter_count(const char *data, size_t size);
/* For tests. */
struct byte_counts prefilter_count_portable(const char *data, size_t size);

#endif
