/* SPDX-License-Identifier: MIT */
#include <ctype.h>
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/internal.h"
#include "runtime/properties.h"

static struct property *propset_find(const struct propset *set, const char *key)
{
	size_t i;

	for (i = 0; i < set->count; i++)
		if (!strcmp(set->items[i].key, key))
			return &set->items[i];
	return NULL;
}

void propset_deinit(struct propset *set)
{
	while (set->count) {
		set->count--;
		free(set->items[set->count].key);
		free(set->items[set->count].value);
	}
	free(set->items);
	set->items = NULL;
}

static int propset_append(struct propset *set, const char *key, char *value)
{
	struct property *items;
	char *copy = strdup(key);

	items = copy ? reallocarray(set->items, set->count + 1, sizeof(*items)) : NULL;
	if (!items) {
		free(copy);
		return -ENOMEM;
	}
	set->items = items;
	items[set->count++] = (struct property){copy, value};
	return 0;
}

int propset_set(struct propset *set, const char *key, const char *value)
{
	struct property *item = propset_find(set, key);
	char *copy = strdup(value);
	int r;

	if (!copy)
		return -ENOMEM;
	if (!item) {
		r = propset_append(set, key, copy);
		if (r)
			free(copy);
		return r;
	}
	free(item->value);
	item->value = copy;
	return 0;
}

const char *propset_get(const struct propset *set, const char *key)
{
	const struct property *item = propset_find(set, key);

	return item ? item->value : NULL;
}

void propset_del(struct propset *set, const char *key)
{
	struct property *item = propset_find(set, key);

	if (!item)
		return;
	free(item->key);
	free(item->value);
	set->count--;
	memmove(item, item + 1, (size_t)(set->items + set->count - item) * sizeof(*item));
}

int propset_copy(struct propset *set, const struct propset *from)
{
	size_t i;
	int r;

	for (i = 0; i < from->count; i++) {
		r = propset_set(set, from->items[i].key, from->items[i].value);
		if (r)
			return r;
	}
	return 0;
}

/* @text without spaces at its ends, in place. */
static char *trim(char *text)
{
	char *end = text + strlen(text);

	while (end > text && isspace((unsigned char)end[-1]))
		*--end = 0;
	while (isspace((unsigned char)*text))
		text++;
	return text;
}

int propset_parse(struct propset *set, const char *text)
{
	char *copy = strdup(text), *save = NULL, *pair, *equals;
	int r = copy ? 0 : -ENOMEM;

	if (!copy)
		return r;
	for (pair = strtok_r(copy, ";\n", &save); pair && !r; pair = strtok_r(NULL, ";\n", &save)) {
		equals = strchr(pair, '=');
		if (equals)
			*equals = 0;
		pair = trim(pair);
		if (*pair || equals)
			r = propset_set(set, pair, equals ? trim(equals + 1) : "");
	}
	free(copy);
	return r;
}

/* Decimal digits only: no sign, no space, no base. */
static bool parse_uint(const char *text, unsigned int *ret_value)
{
	unsigned long long value = 0;

	if (!*text)
		return false;
	for (; *text; text++) {
		if (*text < '0' || *text > '9')
			return false;
		value = value * 10 + (unsigned int)(*text - '0');
		if (value > UINT32_MAX)
			return false;
	}
	*ret_value = (unsigned int)value;
	return true;
}

static int prop_fill(const struct prop_spec *spec, const char *text, void *field,
		     struct reason *why)
{
	unsigned int value = 0;
	bool number = parse_uint(text, &value);

	switch (spec->type) {
	case PROP_TEXT:
		*(const char **)field = text;
		return 0;
	case PROP_BOOL:
		if (!number || value > 1)
			return reason_add(why, -EINVAL,
					  "Invalid properties: %s=%.64s: must be 0 or 1", spec->key,
					  text);
		*(bool *)field = value;
		return 0;
	case PROP_UINT:
		if (!number || value < spec->min || value > spec->max)
			return reason_add(why, -EINVAL,
					  "Invalid properties: %s=%.64s: must be a number from %u "
					  "to %u",
					  spec->key, text, spec->min, spec->max);
		*(unsigned int *)field = value;
		return 0;
	}
	return -EINVAL;
}

int propset_fill(const struct propset *set, const struct prop_spec *specs, size_t count, void *into,
		 struct reason *why)
{
	const char *text;
	size_t i;
	int r;

	for (i = 0; set && i < count; i++) {
		text = propset_get(set, specs[i].key);
		if (!text)
			continue;
		r = prop_fill(&specs[i], text, (char *)into + specs[i].offset, why);
		if (r)
			return r;
	}
	return 0;
}

const char *propset_unknown(const struct propset *set, const struct prop_spec *specs, size_t count)
{
	size_t i, k;

	for (i = 0; set && i < set->count; i++) {
		for (k = 0; k < count; k++)
			if (!strcmp(set->items[i].key, specs[k].key))
				break;
		if (k == count)
			return set->items[i].key;
	}
	return NULL;
}

static void properties_release(struct axrObject *object)
{
	struct axrProperties *properties = (struct axrProperties *)object;

	propset_deinit(&properties->set);
	free(properties->listed);
}

const struct object_kind object_properties = {
	.name = "properties",
	.bytes = sizeof(struct axrProperties),
	.release = properties_release,
};

struct axrProperties *axr_properties_of(struct axrObject *parent, const struct propset *set)
{
	struct axrProperties *properties = object_create(&object_properties, parent);

	if (!properties)
		return NULL;
	if (propset_copy(&properties->set, set)) {
		axr_destroy(&properties->base);
		return NULL;
	}
	return properties;
}

axrProperties *axr_create_properties(axrContext *context, const char *initial)
{
	struct axrProperties *properties;

	if (!context)
		return NULL;
	properties = object_create(&object_properties, &context->base);
	if (!properties || (initial && propset_parse(&properties->set, initial))) {
		axr_destroy(properties ? &properties->base : NULL);
		axr_error_set(context, AXR_ERROR_INTERNAL_ERROR, NULL, "out of memory");
		return NULL;
	}
	return properties;
}

void axr_set_property(axrProperties *properties, const char *key, const char *value)
{
	if (!properties || !key || !*key)
		return;
	if (propset_set(&properties->set, key, value ? value : ""))
		axr_error_set(properties->base.context, AXR_ERROR_INTERNAL_ERROR, NULL,
			      "out of memory");
}

const char *axr_get_property(axrProperties *properties, const char *key)
{
	return properties && key ? propset_get(&properties->set, key) : NULL;
}

void axr_del_property(axrProperties *properties, const char *key)
{
	if (properties && key)
		propset_del(&properties->set, key);
}

const char *axr_list_properties(axrProperties *properties)
{
	size_t i, bytes = 1;
	char *at;

	if (!properties)
		return "";
	for (i = 0; i < properties->set.count; i++)
		bytes += strlen(properties->set.items[i].key) + 1;
	at = malloc(bytes);
	if (!at)
		return "";
	free(properties->listed);
	properties->listed = at;
	*at = 0;
	for (i = 0; i < properties->set.count; i++) {
		if (i)
			*at++ = ';';
		at = stpcpy(at, properties->set.items[i].key);
	}
	return properties->listed;
}
