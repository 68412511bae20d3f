/* SPDX-License-Identifier: MIT */
/*
 * DMAR and IVRS, as far as they matter to a device that is passed through: whether interrupts can
 * be remapped, and which memory the firmware wants devices to reach whoever owns them.
 *
 * Checksums aren't looked at: the kernel goes by the content when they are wrong, so do we.
 * Source: Intel VT-d specification 4.1, chapter 8; AMD I/O Virtualization specification 3.08,
 * section 5.2.
 */
#include <stdio.h>
#include <string.h>

#include "doctor/model/machine.h"

#define HEADER_BYTES 36u
#define BLOCKS_AT 48u
#define UNITS_MAX 1024u
#define RANGES_MAX 1024u
#define DEVICES_MAX (sizeof(((struct machine_firmware_range *)0)->device) / sizeof(struct bdf))

enum { DMAR_DRHD = 0, DMAR_RMRR = 1 };
enum { SCOPE_ENDPOINT = 1, SCOPE_BRIDGE = 2 };
enum { IVHD_10 = 0x10, IVHD_11 = 0x11, IVHD_40 = 0x40 };
enum { IVMD_ALL = 0x20, IVMD_ONE = 0x21, IVMD_RANGE = 0x22 };
#define IVMD_EXCLUSION 0x8u

static uint16_t get16(const uint8_t *at)
{
	return (uint16_t)(at[0] | at[1] << 8);
}

static uint32_t get32(const uint8_t *at)
{
	return get16(at) | (uint32_t)get16(at + 2) << 16;
}

static uint64_t get64(const uint8_t *at)
{
	return get32(at) | (uint64_t)get32(at + 4) << 32;
}

/* Return: bytes of the table that are there; 0 when it isn't one called @signature. */
static size_t table_size(struct machine_acpi *acpi, const char *signature, const uint8_t *table,
			 size_t size)
{
	uint32_t length;

	if (size < BLOCKS_AT || memcmp(table, signature, 4) != 0) {
		acpi->damaged = true;
		return 0;
	}
	length = get32(table + 4);
	if (length > size || length < BLOCKS_AT) {
		acpi->damaged = true;
		return size;
	}
	return length;
}

/* NULL when there are too many, or it is none: its end comes before its start. */
static struct machine_firmware_range *add_range(struct machine_acpi *acpi, struct arena *arena,
						uint64_t start, uint64_t end)
{
	struct machine_firmware_range *range;

	if (acpi->range_count >= RANGES_MAX || end < start) {
		acpi->damaged = true;
		return NULL;
	}
	range = arena_grow(arena, &acpi->range, acpi->range_count, sizeof(*range));
	acpi->range_count++;
	range->range = (struct machine_range){.start = start, .end = end, .type = "reserved"};
	return range;
}

static void add_device(struct machine_firmware_range *range, struct bdf bdf)
{
	if (range->device_count < DEVICES_MAX)
		range->device[range->device_count++] = bdf;
}

/* Devices of an RMRR. A path of several steps leads through bridges whose buses only the running
 * machine knows: left out. */
static void parse_scopes(struct machine_acpi *acpi, struct machine_firmware_range *range,
			 uint16_t segment, const uint8_t *scope, size_t size)
{
	while (size) {
		size_t length = size < 6 ? 0 : scope[1];

		if (length < 6 || length > size) {
			acpi->damaged = true;
			return;
		}
		if (length == 8 && (scope[0] == SCOPE_ENDPOINT || scope[0] == SCOPE_BRIDGE))
			add_device(range, (struct bdf){
						  .domain = segment,
						  .bus = scope[5],
						  .slot = scope[6] & 0x1f,
						  .function = scope[7] & 7,
					  });
		scope += length;
		size -= length;
	}
}

static void parse_rmrr(struct machine_acpi *acpi, struct arena *arena, const uint8_t *block,
		       size_t length)
{
	struct machine_firmware_range *range;

	if (length < 24) {
		acpi->damaged = true;
		return;
	}
	range = add_range(acpi, arena, get64(block + 8), get64(block + 16));
	if (range)
		parse_scopes(acpi, range, get16(block + 6), block + 24, length - 24);
}

void machine_parse_dmar(struct machine_acpi *acpi, struct arena *arena, const uint8_t *table,
			size_t size)
{
	size_t at = BLOCKS_AT;

	size = table_size(acpi, "DMAR", table, size);
	if (!size)
		return;
	acpi->address_width = table[36] + 1u;
	acpi->interrupt_remapping = table[37] & 1;
	acpi->x2apic_opt_out = table[37] & 2;
	acpi->preboot_protection = table[37] & 4;
	while (at < size) {
		size_t length = size - at < 4 ? 0 : get16(table + at + 2);

		if (length < 4 || length > size - at) {
			acpi->damaged = true;
			return;
		}
		if (get16(table + at) == DMAR_RMRR)
			parse_rmrr(acpi, arena, table + at, length);
		else if (get16(table + at) == DMAR_DRHD && acpi->units < UNITS_MAX)
			acpi->units++;
		at += length;
	}
}

static struct bdf bdf_of(uint16_t segment, uint16_t id)
{
	return (struct bdf){
		.domain = segment,
		.bus = (uint8_t)(id >> 8),
		.slot = id >> 3 & 0x1f,
		.function = id & 7,
	};
}

static void parse_ivmd(struct machine_acpi *acpi, struct arena *arena, const uint8_t *block,
		       size_t length)
{
	struct machine_firmware_range *range;
	uint64_t start, bytes;
	uint16_t first, last, segment;

	if (length < 32) {
		acpi->damaged = true;
		return;
	}
	start = get64(block + 16);
	bytes = get64(block + 24);
	range = add_range(acpi, arena, start, bytes ? start + (bytes - 1) : start - 1);
	if (!range)
		return;
	if (block[1] & IVMD_EXCLUSION)
		range->range.type = "exclusion";
	first = get16(block + 4);
	last = block[0] == IVMD_RANGE ? get16(block + 6) : first;
	segment = get16(block + 8);
	range->all_devices = block[0] == IVMD_ALL;
	for (uint32_t id = first; block[0] != IVMD_ALL && id <= last; id++)
		add_device(range, bdf_of(segment, (uint16_t)id));
}

/* Firmware tells of each unit up to three times, in ever newer types. */
static void count_ivhd(struct machine_acpi *acpi, const uint8_t *table, size_t at)
{
	const uint8_t *block = table + at;

	for (size_t i = BLOCKS_AT; i < at; i += get16(table + i + 2)) {
		const uint8_t *other = table + i;
		bool ivhd = other[0] == IVHD_10 || other[0] == IVHD_11 || other[0] == IVHD_40;

		if (ivhd && get16(other + 2) >= 18 && !memcmp(other + 4, block + 4, 2) &&
		    !memcmp(other + 16, block + 16, 2))
			return;
	}
	if (acpi->units < UNITS_MAX)
		acpi->units++;
}

void machine_parse_ivrs(struct machine_acpi *acpi, struct arena *arena, const uint8_t *table,
			size_t size)
{
	size_t at = BLOCKS_AT, blocks = 0;
	uint32_t info;

	size = table_size(acpi, "IVRS", table, size);
	if (!size)
		return;
	info = get32(table + 36);
	acpi->preboot_protection = info & 2;
	acpi->address_width = info >> 8 & 0x7f;
	while (at < size) {
		size_t length = size - at < 4 ? 0 : get16(table + at + 2);
		uint8_t type = table[at];

		/* count_ivhd() looks at each block for each: bounded, so that it stays quick. */
		if (length < 4 || length > size - at || ++blocks > UNITS_MAX) {
			acpi->damaged = true;
			return;
		}
		if (type == IVHD_10 || type == IVHD_11 || type == IVHD_40) {
			if (length >= 18)
				count_ivhd(acpi, table, at);
			else
				acpi->damaged = true;
		} else if (type == IVMD_ALL || type == IVMD_ONE || type == IVMD_RANGE) {
			parse_ivmd(acpi, arena, table + at, length);
		}
		at += length;
	}
}

/* "DMAR", "DMAR1"...; NULL after the last. */
static const struct store_entry *next_table(struct store *store, const char *signature,
					    size_t *index)
{
	const char *dir = "/sys/firmware/acpi/tables", *name;
	char path[128];

	while ((name = store_children(store, dir, index))) {
		if (strncmp(name, signature, 4) != 0 || strlen(name) > 8)
			continue;
		snprintf(path, sizeof(path), "%s/%s", dir, name);
		return store_find(store, path);
	}
	return NULL;
}

static enum tristate read_tables(struct machine *machine, struct snapshot *snapshot,
				 const char *signature,
				 void (*parse)(struct machine_acpi *acpi, struct arena *arena,
					       const uint8_t *table, size_t size))
{
	const struct store_entry *entry;
	size_t index = 0, any = 0;
	enum tristate there = UNKNOWN;

	if (store_find(&snapshot->store, "/sys/firmware/acpi/tables") ||
	    store_children(&snapshot->store, "/sys/firmware/acpi/tables", &any))
		there = NO;
	while ((entry = next_table(&snapshot->store, signature, &index))) {
		there = YES;
		if (entry->kind == STORE_FILE)
			parse(&machine->acpi, &snapshot->arena, (const uint8_t *)entry->data,
			      entry->size);
	}
	return there;
}

void machine_read_acpi(struct machine *machine, struct snapshot *snapshot)
{
	machine->acpi.dmar = read_tables(machine, snapshot, "DMAR", machine_parse_dmar);
	machine->acpi.ivrs = read_tables(machine, snapshot, "IVRS", machine_parse_ivrs);
	if (machine->acpi.damaged)
		snapshot_note(snapshot, "/sys/firmware/acpi/tables", "",
			      "an IOMMU table is cut short or contradicts itself; what could be "
			      "read of it was used");
}
