/* SPDX-License-Identifier: MIT */
/*
 * Reads pci.ids. libpci could, but Debian ships no static one, and tethys-doctor is a single file.
 * The list has some 38,000 lines and a host a dozen kinds of devices: so lines are read once, and
 * only names of what is there are kept.
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <tethys/hw/pci.h>

#include "doctor/model/names.h"

#define LINE_BYTES 512

struct kind {
	uint16_t vendor, device;
	const char *vendor_name, *device_name;
};

struct kinds {
	struct kind *kind;
	size_t count;
};

static int compare_kinds(const void *a, const void *b)
{
	const struct kind *left = a, *right = b;

	if (left->vendor != right->vendor)
		return left->vendor < right->vendor ? -1 : 1;
	return (left->device > right->device) - (left->device < right->device);
}

static struct kinds kinds_of(const struct machine *machine, struct arena *arena)
{
	struct kinds kinds = {0};
	size_t kept = 0;

	kinds.kind = arena_alloc(arena, (machine->device_count + 1) * sizeof(*kinds.kind));
	for (size_t i = 0; i < machine->device_count; i++)
		kinds.kind[i] = (struct kind){.vendor = machine->device[i].vendor,
					      .device = machine->device[i].device};
	qsort(kinds.kind, machine->device_count, sizeof(*kinds.kind), compare_kinds);
	for (size_t i = 0; i < machine->device_count; i++)
		if (!kept || compare_kinds(&kinds.kind[kept - 1], &kinds.kind[i]))
			kinds.kind[kept++] = kinds.kind[i];
	kinds.count = kept;
	return kinds;
}

/* "86a1  Name" at @line. Return: the name, its line end taken off; NULL when it is no such line. */
static char *parse_entry(char *line, uint16_t *ret_id)
{
	char *end, *name;

	for (int i = 0; i < 4; i++)
		if (!isxdigit((unsigned char)line[i]))
			return NULL;
	*ret_id = (uint16_t)strtoul(line, &end, 16);
	if (end != line + 4 || strncmp(end, "  ", 2) != 0)
		return NULL;
	name = end + 2;
	name[strcspn(name, "\r\n")] = '\0';
	/* It goes to terminals. */
	for (char *at = name; *at; at++)
		if (iscntrl((unsigned char)*at))
			*at = '?';
	return *name ? name : NULL;
}

static void name_vendor(struct kinds *kinds, struct arena *arena, uint16_t vendor, const char *name,
			size_t *ret_first, size_t *ret_end)
{
	const char *copy = NULL;

	*ret_first = *ret_end = 0;
	for (size_t i = 0; i < kinds->count; i++) {
		if (kinds->kind[i].vendor != vendor)
			continue;
		copy = copy ? copy : arena_strdup(arena, name);
		kinds->kind[i].vendor_name = copy;
		if (!*ret_end)
			*ret_first = i;
		*ret_end = i + 1;
	}
}

static void read_list(struct kinds *kinds, struct arena *arena, FILE *list)
{
	char line[LINE_BYTES], *name;
	size_t first = 0, end = 0;
	uint16_t id;

	while (fgets(line, sizeof(line), list)) {
		/* Classes come last; they are told by their numbers elsewhere. */
		if (line[0] == 'C' && line[1] == ' ')
			break;
		if (line[0] == '\t') {
			if (first == end || line[1] == '\t')
				continue;
			name = parse_entry(line + 1, &id);
			for (size_t i = first; name && i < end; i++)
				if (kinds->kind[i].device == id)
					kinds->kind[i].device_name = arena_strdup(arena, name);
			continue;
		}
		name = parse_entry(line, &id);
		if (name)
			name_vendor(kinds, arena, id, name, &first, &end);
	}
}

/* Lists of today's distributions don't have it. */
static void name_metis(struct kinds *kinds)
{
	for (size_t i = 0; i < kinds->count; i++) {
		struct kind *kind = &kinds->kind[i];

		if (kind->vendor != METIS_PCI_VENDOR)
			continue;
		if (!kind->vendor_name)
			kind->vendor_name = "Axelera AI";
		if (!kind->device_name && kind->device == METIS_PCI_DEVICE_OMEGA)
			kind->device_name = "Metis AIPU";
	}
}

static const char *label_of(const struct kind *kind, struct arena *arena)
{
	if (kind->vendor_name && kind->device_name)
		return arena_printf(arena, "%s %s [%04x:%04x]", kind->vendor_name,
				    kind->device_name, kind->vendor, kind->device);
	if (kind->vendor_name)
		return arena_printf(arena, "%s device [%04x:%04x]", kind->vendor_name, kind->vendor,
				    kind->device);
	return arena_printf(arena, "PCI device [%04x:%04x]", kind->vendor, kind->device);
}

void names_label_from(struct machine *machine, struct arena *arena, FILE *list)
{
	struct kinds kinds = kinds_of(machine, arena);

	if (list)
		read_list(&kinds, arena, list);
	name_metis(&kinds);
	for (size_t i = 0; i < machine->device_count; i++) {
		struct machine_device *device = &machine->device[i];
		struct kind key = {.vendor = device->vendor, .device = device->device};

		device->label = label_of(
			bsearch(&key, kinds.kind, kinds.count, sizeof(key), compare_kinds), arena);
	}
}

void names_label(struct machine *machine, struct arena *arena)
{
	FILE *list;

	if (!machine->device_count)
		return;
	list = fopen("/usr/share/misc/pci.ids", "re");
	if (!list)
		list = fopen("/usr/share/hwdata/pci.ids", "re");
	names_label_from(machine, arena, list);
	if (list)
		fclose(list);
}
