/* SPDX-License-Identifier: MIT */
#include <limits.h>
#include <string.h>

#include "doctor/log/prefilter.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#define FACTOR 2654435761u

static uint32_t window_of(const char *at)
{
	uint32_t window;

	memcpy(&window, at, sizeof(window));
	return window;
}

/* PREFILTER_KEY_BYTES bytes, in a number's own order of bytes; eight may be read. */
static uint64_t piece_at(const char *at)
{
	static const unsigned char mask[8] = {255, 255, 255, 255, 255, 255, 255, 0};
	uint64_t piece, bits;

	memcpy(&piece, at, sizeof(piece));
	memcpy(&bits, mask, sizeof(bits));
	return piece & bits;
}

/* 18 bits. */
static uint32_t hash_of(uint32_t window)
{
	return window * FACTOR >> 14;
}

/* How rare a byte is in logs, roughly: capitals and signs are. */
static unsigned int rareness(unsigned char c)
{
	if (c >= 'A' && c <= 'Z')
		return 8;
	if (c >= 'a' && c <= 'z')
		return strchr("jqxzvk", c) ? 7 : strchr("etaoinsrdc", c) ? 3 : 5;
	if (c >= '0' && c <= '9')
		return 2;
	return strchr(" :.-", c) ? 1 : 7;
}

/* Words of ordinary lines: windows in them are no help. */
static const char common[] =
	" 0xffffffff 0000: 0000:00: number interrupt performance blocked device devices "
	"PCI: PCI Interrupt ACPI: for bridge [bus kvm [kvm: guest request type IRQ memory driver "
	"kernel address controller started enabled registered USB port link state version mounted "
	"filesystem system audit profile loaded configured initialized using new high speed is not "
	"found ing ting ning ring ding king ling ping sing ated ation with from port the domain "
	"error failed detected support supported data mode ready to of in on hub eth0: (rev able "
	"start started block lock pci ide idge bridge ature features CPU CPU3 Connected Config ACPI "
	"Control: Flow reset host hardware event events above count total time times vice "
	"uest guest request to PCI device device to complete mple default flow queue use fault "
	"(null) is: user session service ";

static int rareness_of(const char *window)
{
	char text[PREFILTER_WINDOW + 1] = "";
	int sum = 0;

	memcpy(text, window, PREFILTER_WINDOW);
	if (strstr(common, text))
		return -40;
	for (size_t i = 0; i < PREFILTER_WINDOW; i++)
		sum += (int)rareness((unsigned char)window[i]);
	return sum;
}

/* Where its windows are rarest. */
static uint8_t rarest_window(const char *text, size_t size)
{
	int best = INT_MIN;
	uint8_t window = 0;

	for (size_t at = 0; at + PREFILTER_KEY_BYTES <= size; at++) {
		int sum = 0;

		for (size_t w = 0; w < PREFILTER_STRIDE; w++)
			sum += rareness_of(text + at + w);
		if (sum > best) {
			best = sum;
			window = (uint8_t)at;
		}
	}
	return window;
}

size_t prefilter_keys_at(const struct prefilter *filter, const char *data, size_t size, size_t at,
			 size_t previous)
{
	uint32_t bytes;
	size_t handle;

	if (size < PREFILTER_WINDOW || at > size - PREFILTER_WINDOW)
		return 0;
	bytes = window_of(data + at);
	handle = previous ? filter->window[previous - 1].next : filter->head[hash_of(bytes) >> 6];
	while (handle) {
		const struct prefilter_window *window = &filter->window[handle - 1];
		const struct prefilter_key *key = &filter->key[window->key];

		/* The second line only spares calls of memcmp(). */
		if (window->bytes == bytes && at >= window->at &&
		    (at + 8 > size || piece_at(data + at - window->first) == window->piece) &&
		    at - window->at + key->size <= size &&
		    !memcmp(data + at - window->at, key->text, key->size))
			break;
		handle = window->next;
	}
	return handle;
}

size_t prefilter_key_of(const struct prefilter *filter, size_t handle)
{
	return filter->window[handle - 1].key;
}

static void add_window(struct prefilter *filter, size_t key, size_t at)
{
	struct prefilter_window *window = &filter->window[filter->windows];
	uint32_t bytes = window_of(filter->key[key].text + at), hash = hash_of(bytes);
	uint16_t *head = &filter->head[hash >> 6];

	*window = (struct prefilter_window){
		.bytes = bytes,
		.key = (uint16_t)key,
		.at = (uint8_t)at,
		.first = (uint8_t)(at - filter->key[key].window),
		.next = *head,
	};
	memcpy(&window->piece, filter->key[key].text + filter->key[key].window,
	       PREFILTER_KEY_BYTES);
	*head = (uint16_t)++filter->windows;
	filter->map[hash >> 3] |= (uint8_t)(1u << (hash & 7));
}

void prefilter_init(struct prefilter *filter, const char *const *keys, size_t count)
{
	memset(filter, 0, sizeof(*filter));
	for (size_t i = 0; i < count && i < PREFILTER_KEYS_MAX; i++) {
		struct prefilter_key *key = &filter->key[filter->count];
		size_t size = strlen(keys[i]);

		if (size < PREFILTER_KEY_BYTES || size > UINT8_MAX)
			continue;
		key->text = keys[i];
		key->size = (uint8_t)size;
		key->window = rarest_window(keys[i], size);
		for (size_t w = 0; w < PREFILTER_STRIDE; w++)
			add_window(filter, filter->count, key->window + w);
		filter->count++;
	}
}

/* In the lowest bit; the others mean nothing. */
static inline __attribute__((always_inline)) unsigned int may_be(const struct prefilter *filter,
								 const char *at)
{
	uint32_t hash = hash_of(window_of(at));

	return (unsigned int)filter->map[hash >> 3] >> (hash & 7);
}

static inline __attribute__((always_inline)) unsigned int
four_may_be(const struct prefilter *filter, const char *at)
{
	return may_be(filter, at) | may_be(filter, at + PREFILTER_STRIDE) |
	       may_be(filter, at + 2 * PREFILTER_STRIDE) |
	       may_be(filter, at + 3 * PREFILTER_STRIDE);
}

/* Each place from @at to @end, which need not be there. */
static size_t next_among(const struct prefilter *filter, const char *data, size_t size, size_t at,
			 size_t end)
{
	for (; at < end && at + PREFILTER_WINDOW <= size; at += PREFILTER_STRIDE)
		if (may_be(filter, data + at) & 1 && prefilter_keys_at(filter, data, size, at, 0))
			return at;
	return PREFILTER_NONE;
}

static inline __attribute__((always_inline)) size_t next_of(const struct prefilter *filter,
							    const char *data, size_t size,
							    size_t from)
{
	const size_t step = 8 * PREFILTER_STRIDE;
	size_t at = from, place;

	for (; at + step <= size; at += step) {
		/* One branch for all eight: it is seldom taken. */
		if (!((four_may_be(filter, data + at) | four_may_be(filter, data + at + step / 2)) &
		      1))
			continue;
		place = next_among(filter, data, size, at, at + step);
		if (place != PREFILTER_NONE)
			return place;
	}
	return next_among(filter, data, size, at, size);
}

#if defined(__x86_64__)
/* The same, in fewer instructions: shifts by any register. */
__attribute__((target("bmi,bmi2"))) static size_t
next_bmi2(const struct prefilter *filter, const char *data, size_t size, size_t from)
{
	return next_of(filter, data, size, from);
}
#endif

size_t prefilter_next(const struct prefilter *filter, const char *data, size_t size, size_t from)
{
#if defined(__x86_64__)
	if (__builtin_cpu_supports("bmi2"))
		return next_bmi2(filter, data, size, from);
#endif
	return next_of(filter, data, size, from);
}

static bool is_odd(unsigned char c)
{
	return c < 0x20 && c != '\t' && c != '\n' && c != '\r' && c != 0x1b;
}

struct byte_counts prefilter_count_portable(const char *data, size_t size)
{
	struct byte_counts counts = {0};
	bool odd = false;

	for (size_t i = 0; i < size; i++) {
		counts.newlines += data[i] == '\n';
		odd |= is_odd((unsigned char)data[i]);
	}
	counts.odd = odd;
	return counts;
}

#if defined(__x86_64__)
__attribute__((target("avx2,popcnt"))) static struct byte_counts count_avx2(const char *data,
									    size_t size)
{
	const __m256i newline = _mm256_set1_epi8('\n'), last = _mm256_set1_epi8(0x1f);
	struct byte_counts counts = {0}, rest;
	size_t at = 0;

	for (; at + 32 <= size; at += 32) {
		__m256i bytes = _mm256_loadu_si256((const __m256i_u *)(data + at));
		uint32_t lines = (uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(bytes, newline));
		uint32_t low = (uint32_t)_mm256_movemask_epi8(
			_mm256_cmpeq_epi8(_mm256_min_epu8(bytes, last), bytes));

		counts.newlines += (size_t)__builtin_popcount(lines);
		for (low &= ~lines; low && !counts.odd; low &= low - 1)
			counts.odd = is_odd((unsigned char)data[at + (size_t)__builtin_ctz(low)]);
	}
	rest = prefilter_count_portable(data + at, size - at);
	counts.newlines += rest.newlines;
	counts.odd |= rest.odd;
	return counts;
}
#endif

struct byte_counts prefilter_count(const char *data, size_t size)
{
#if defined(__x86_64__)
	if (__builtin_cpu_supports("avx2"))
		return count_avx2(data, size);
#endif
	return prefilter_count_portable(data, size);
}
