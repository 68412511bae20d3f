/* SPDX-License-Identifier: MIT */
/*
 * A small ordered set of names and values, and typed access to it.
 */
#ifndef TETHYS_RUNTIME_PROPERTIES_H
#define TETHYS_RUNTIME_PROPERTIES_H

#include <stdbool.h>
#include <stddef.h>

#include "common/reason.h"

struct property {
	char *key;
	char *value;
};

/* Zeroed is empty. */
struct propset {
	struct property *items; /* [count] */
	size_t count;
};

void propset_deinit(struct propset *set);
/* Return: 0; -ENOMEM. */
int propset_set(struct propset *set, const char *key, const char *value);
const char *propset_get(const struct propset *set, const char *key);
void propset_del(struct propset *set, const char *key);
int propset_copy(struct propset *set, const struct propset *from);

/**
 * propset_parse() - add "key=value" pairs separated by ';' or newlines
 *
 * Spaces around names and values go; a name without '=' gets the value "".
 *
 * Return: 0; -ENOMEM.
 */
int propset_parse(struct propset *set, const char *text);

enum prop_type {
	PROP_TEXT, /* const char **, lives in the set */
	PROP_UINT, /* unsigned int * */
	PROP_BOOL, /* bool *; 0 or 1 */
};

struct prop_spec {
	const char *key;
	enum prop_type type;
	size_t offset;	  /* of the field in the struct to fill */
	unsigned int min; /* PROP_UINT */
	unsigned int max;
};

/**
 * propset_fill() - the set's values into a struct's fields
 * @set: NULL: nothing happens
 * @into: fields of absent names stay as they are
 *
 * Return: 0; -EINVAL a value is not what its name takes.
 */
int propset_fill(const struct propset *set, const struct prop_spec *specs, size_t count, void *into,
		 struct reason *why);
/* First name in the set that @specs does not have; NULL: none. */
const char *propset_unknown(const struct propset *set, const struct prop_spec *specs, size_t count);

#endif
