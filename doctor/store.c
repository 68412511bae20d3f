/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "doctor/store.h"

void store_init(struct store *store, struct arena *arena)
{
	*store = (struct store){.arena = arena, .sorted = true};
}

/* As strcmp(), but '/' comes before all others, so that a folder's "a-b" doesn't part "a" from
 * "a/c". */
static int compare_text(const char *a, const char *b)
{
	int left, right;

	for (; *a && *a == *b; a++, b++)
		;
	/* NUL, '/', the rest: no two bytes are equal. */
	left = *a == '/' ? 1 : *a ? (unsigned char)*a + 1 : 0;
	right = *b == '/' ? 1 : *b ? (unsigned char)*b + 1 : 0;
	return left - right;
}

static int compare_paths(const void *a, const void *b)
{
	const struct store_entry *left = a, *right = b;

	return compare_text(left->path, right->path);
}

/* Of equal paths the last added wins; qsort() isn't stable, so their age is compared as well. */
struct aged {
	struct store_entry entry;
	size_t age;
};

static int compare_aged(const void *a, const void *b)
{
	const struct aged *left = a, *right = b;
	int order = compare_text(left->entry.path, right->entry.path);

	if (order)
		return order;
	return left->age < right->age ? -1 : 1;
}

static void sort(struct store *store)
{
	struct aged *aged;
	size_t kept = 0;

	if (store->sorted)
		return;
	aged = arena_alloc(store->arena, store->count * sizeof(*aged));
	for (size_t i = 0; i < store->count; i++)
		aged[i] = (struct aged){.entry = store->entry[i], .age = i};
	qsort(aged, store->count, sizeof(*aged), compare_aged);
	for (size_t i = 0; i < store->count; i++) {
		if (kept && !strcmp(store->entry[kept - 1].path, aged[i].entry.path))
			kept--;
		store->entry[kept++] = aged[i].entry;
	}
	store->count = kept;
	store->sorted = true;
}

static void add(struct store *store, const struct store_entry *entry)
{
	struct store_entry *last;
	struct arena *arena = store->arena;

	/* arena_grow() counts from powers of two; removing doubles may have shrunk the array, which
	 * then only means that room is given again. */
	last = arena_grow(arena, &store->entry, store->count, sizeof(*last));
	*last = *entry;
	last->path = arena_strdup(arena, entry->path);
	last->data = arena_strndup(arena, entry->data ? entry->data : "", entry->size);
	if (store->count && compare_text(last[-1].path, last->path) >= 0)
		store->sorted = false;
	store->count++;
}

void store_add(struct store *store, enum store_kind kind, const char *path, const void *data,
	       size_t size, bool cut)
{
	add(store, &(struct store_entry){
			   .path = path, .kind = kind, .data = data, .size = size, .cut = cut});
}

void store_add_error(struct store *store, const char *path, int err)
{
	add(store, &(struct store_entry){.path = path, .kind = STORE_ERROR, .err = err});
}

const struct store_entry *store_find(struct store *store, const char *path)
{
	struct store_entry key = {.path = path};

	sort(store);
	if (!store->count)
		return NULL;
	return bsearch(&key, store->entry, store->count, sizeof(key), compare_paths);
}

static const struct store_entry *find_formatted(struct store *store, const char *fmt, va_list args)
{
	return store_find(store, arena_vprintf(store->arena, fmt, args));
}

static const char *text_of(struct store *store, const struct store_entry *entry)
{
	size_t size;

	if (!entry || entry->kind != STORE_FILE || memchr(entry->data, '\0', entry->size))
		return NULL;
	for (size = entry->size; size && strchr(" \t\r\n", entry->data[size - 1]); size--)
		;
	return arena_strndup(store->arena, entry->data, size);
}

const char *store_text(struct store *store, const char *fmt, ...)
{
	const struct store_entry *entry;
	va_list args;

	va_start(args, fmt);
	entry = find_formatted(store, fmt, args);
	va_end(args);
	return text_of(store, entry);
}

bool store_number(struct store *store, uint64_t *ret_number, const char *fmt, ...)
{
	const struct store_entry *entry;
	unsigned long long number;
	const char *text;
	va_list args;
	char *end;

	va_start(args, fmt);
	entry = find_formatted(store, fmt, args);
	va_end(args);
	text = text_of(store, entry);
	if (!text || *text < '0' || *text > '9')
		return false;
	errno = 0;
	number = strtoull(text, &end, text[0] == '0' && text[1] == 'x' ? 16 : 10);
	if (errno || *end)
		return false;
	*ret_number = number;
	return true;
}

const char *store_link_name(struct store *store, const char *fmt, ...)
{
	const struct store_entry *entry;
	const char *text, *slash;
	va_list args;

	va_start(args, fmt);
	entry = find_formatted(store, fmt, args);
	va_end(args);
	if (!entry || entry->kind != STORE_LINK)
		return NULL;
	text = arena_strndup(store->arena, entry->data, strnlen(entry->data, entry->size));
	slash = strrchr(text, '/');
	return slash ? slash + 1 : text;
}

/* First entry whose path is not before @prefix. */
static size_t lower_bound(const struct store *store, const char *prefix)
{
	size_t low = 0, high = store->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (compare_text(store->entry[middle].path, prefix) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

const char *store_children(struct store *store, const char *dir, size_t *index)
{
	const char *prefix = arena_printf(store->arena, "%s/", dir);
	size_t length = strlen(prefix), size;
	const char *name, *last;

	sort(store);
	if (!*index)
		*index = lower_bound(store, prefix);
	for (; *index < store->count; (*index)++) {
		const char *path = store->entry[*index].path;

		if (strncmp(path, prefix, length) != 0)
			return NULL;
		name = path + length;
		size = strcspn(name, "/");
		if (!size)
			continue;
		/* Of "a/b" and "a/c" the folder a is told once. */
		last = *index ? store->entry[*index - 1].path : "";
		if (!strncmp(last, prefix, length) && !strncmp(last + length, name, size) &&
		    (!last[length + size] || last[length + size] == '/'))
			continue;
		(*index)++;
		return arena_strndup(store->arena, name, size);
	}
	return NULL;
}
