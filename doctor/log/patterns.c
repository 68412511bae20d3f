/* SPDX-License-Identifier: MIT */
/*
 * All tables together, and the prefilter that their keys make.
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "doctor/log/pattern.h"

#define ROWS_MAX 512u

static struct {
	struct prefilter filter;
	const char *key[PREFILTER_KEYS_MAX];
	size_t keys;
	/* Rows of each key, one list after the other, each ends with UINT16_MAX. */
	uint16_t rows[ROWS_MAX + PREFILTER_KEYS_MAX + 1];
	uint16_t first[PREFILTER_KEYS_MAX];
	uint16_t following[ROWS_MAX];
} all;

static pthread_once_t once = PTHREAD_ONCE_INIT;

static const struct doctor_patterns *const tables[] = {
	&doctor_patterns_iommu,
	&doctor_patterns_vm,
	&doctor_patterns_host,
};

const struct doctor_pattern *doctor_pattern(size_t index)
{
	for (size_t i = 0; i < sizeof(tables) / sizeof(*tables); i++) {
		if (index < tables[i]->count)
			return &tables[i]->row[index];
		index -= tables[i]->count;
	}
	return NULL;
}

static void add_key(const char *key)
{
	for (size_t i = 0; i < all.keys; i++)
		if (!strcmp(all.key[i], key))
			return;
	if (all.keys == PREFILTER_KEYS_MAX)
		abort();
	all.key[all.keys++] = key;
}

/* NULL: rows without a key. */
static uint16_t *list_rows(const char *key, uint16_t *to)
{
	const struct doctor_pattern *row;

	for (size_t i = 0; (row = doctor_pattern(i)); i++)
		if (key ? row->key && !strcmp(row->key, key) : !row->key)
			*to++ = (uint16_t)i;
	*to++ = UINT16_MAX;
	return to;
}

static void prepare(void)
{
	const struct doctor_pattern *row;
	uint16_t *to = all.rows;
	size_t i;

	for (i = 0; (row = doctor_pattern(i)); i++)
		if (row->key)
			add_key(row->key);
	/* The tables are ours: this is for who makes them longer. */
	if (i >= ROWS_MAX)
		abort();
	prefilter_init(&all.filter, all.key, all.keys);
	if (all.filter.count != all.keys)
		abort();
	for (i = 0; i < all.keys; i++) {
		all.first[i] = (uint16_t)(to - all.rows);
		to = list_rows(all.key[i], to);
	}
	list_rows(NULL, all.following);
}

const struct prefilter *doctor_pattern_filter(void)
{
	pthread_once(&once, prepare);
	return &all.filter;
}

const uint16_t *doctor_pattern_rows(size_t key)
{
	return &all.rows[all.first[key]];
}

const uint16_t *doctor_pattern_following(void)
{
	pthread_once(&once, prepare);
	return all.following;
}
