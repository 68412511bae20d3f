/* SPDX-License-Identifier: MIT */
/*
 * PCI devices as sysfs shows them.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "doctor/model/machine.h"
#include "doctor/model/names.h"

#define DEVICES "/sys/bus/pci/devices"
#define DEVICES_MAX 16384u
#define RESOURCE_IO 0x100u
#define RESOURCE_UNSET 0x20000000u

/* Numbers of sysfs, "0x1f9d" or "16"; 0 when there is none. */
static uint32_t number_of(struct store *store, const char *name, const char *attribute)
{
	uint64_t number;

	if (!store_number(store, &number, DEVICES "/%s/%s", name, attribute))
		return 0;
	return number > UINT32_MAX ? UINT32_MAX : (uint32_t)number;
}

/* "16.0 GT/s PCIe" as the code of the specification. */
static unsigned int speed_of(const char *text)
{
	static const char *const speeds[] = {"2.5", "5", "8", "16", "32", "64"};
	size_t size = text ? strcspn(text, " ") : 0;

	if (size > 2 && !strncmp(text + size - 2, ".0", 2))
		size -= 2;
	for (unsigned int i = 0; size && i < sizeof(speeds) / sizeof(speeds[0]); i++)
		if (size == strlen(speeds[i]) && !strncmp(text, speeds[i], size))
			return i + 1;
	return 0;
}

/* sysfs knows the link of a device whose configuration space could not be read. */
static void read_link(struct machine_device *device, struct store *store, const char *name)
{
	unsigned int speed, width;

	speed = speed_of(store_text(store, DEVICES "/%s/current_link_speed", name));
	width = number_of(store, name, "current_link_width");
	/* "Unknown", and a width of 0 or 63, is what a link that is down says. */
	if (speed && width && width < 63) {
		device->link_speed = speed;
		device->link_width = width;
	}
	speed = speed_of(store_text(store, DEVICES "/%s/max_link_speed", name));
	width = number_of(store, name, "max_link_width");
	if (speed && width && width < 63) {
		device->link_speed_max = speed;
		device->link_width_max = width;
	}
}

/* The kernel's view replaces that of config space, which may be in the middle of something. */
static void read_resources(struct machine_device *device, struct store *store, const char *name)
{
	const char *line = store_text(store, DEVICES "/%s/resource", name);
	unsigned int bars = device->header_type == 0 ? 6 : device->header_type == 1 ? 2 : 0;

	for (unsigned int i = 0; i < 7 && line && *line; i++) {
		/* Of bridges the third line and on are windows; 6 is the ROM of all. */
		struct machine_bar *bar = i < bars || i == 6 ? &device->bar[i] : NULL;
		unsigned long long start, end, flags;

		if (sscanf(line, "0x%llx 0x%llx 0x%llx", &start, &end, &flags) != 3)
			return;
		line = strchr(line, '\n');
		line = line ? line + 1 : NULL;
		if (!bar)
			continue;
		if (end < start || (!start && !end)) {
			bar->start = 0;
			continue;
		}
		bar->flags = (uint32_t)flags;
		bar->size = end - start + 1;
		bar->start = start;
		/* An assigned one may begin at 0 where it is of the I/O space of odd machines. */
		bar->unassigned = flags & RESOURCE_UNSET || (!start && !(flags & RESOURCE_IO));
		if (bar->unassigned)
			bar->start = 0;
	}
}

static void read_config(struct machine_device *device, struct store *store, const char *name)
{
	const struct store_entry *entry =
		store_find(store, arena_printf(store->arena, DEVICES "/%s/config", name));

	/* One that the collection didn't wake has none, and lacks nothing. */
	if (entry && entry->kind == STORE_FILE)
		machine_parse_config(device, (const uint8_t *)entry->data, entry->size);
	else if (entry)
		device->config_short = true;
}

static void read_binding(struct machine_device *device, struct store *store, const char *name)
{
	const char *group = store_link_name(store, DEVICES "/%s/iommu_group", name);
	const char *override = store_text(store, DEVICES "/%s/driver_override", name);
	char *end;
	long number;

	device->driver = store_link_name(store, DEVICES "/%s/driver", name);
	if (override && *override && strcmp(override, "(null)") != 0)
		device->override = override;
	device->group = -1;
	if (!group)
		return;
	number = strtol(group, &end, 10);
	if (end != group && !*end && number >= 0 && number <= INT32_MAX)
		device->group = (int)number;
}

/* Before Linux 5.15 there is no list of reset methods, but the file "reset" wherever there is one:
 * its absence says something where the device's folder was read at all. */
static void read_reset(struct machine_device *device, struct store *store, const char *name)
{
	device->reset_method = store_text(store, DEVICES "/%s/reset_method", name);
	if (store_find(store, arena_printf(store->arena, DEVICES "/%s/reset", name)))
		device->has_reset = YES;
	else if (store_text(store, DEVICES "/%s/class", name))
		device->has_reset = NO;
}

static void read_device(struct machine_device *device, struct store *store, const char *name)
{
	uint64_t number;

	device->vendor = (uint16_t)number_of(store, name, "vendor");
	device->device = (uint16_t)number_of(store, name, "device");
	read_config(device, store, name);
	if (store_number(store, &number, DEVICES "/%s/class", name))
		device->class_code = number & 0xffffff;
	if (store_number(store, &number, DEVICES "/%s/revision", name))
		device->revision = (uint8_t)number;
	/* Without config space a bridge still is one. */
	if (!device->header_type && device->class_code >> 8 == 0x0604) {
		device->header_type = 1;
		device->is_bridge = true;
	}
	read_link(device, store, name);
	read_resources(device, store, name);
	read_binding(device, store, name);
	read_reset(device, store, name);
	device->power_state = store_text(store, DEVICES "/%s/power_state", name);
	device->boot_vga = number_of(store, name, "boot_vga") == 1;
	if (store_number(store, &number, DEVICES "/%s/sriov_numvfs", name))
		device->sriov_numvfs = (unsigned int)(number > UINT16_MAX ? UINT16_MAX : number);
}

static int compare_devices(const void *a, const void *b)
{
	return bdf_compare(((const struct machine_device *)a)->bdf,
			   ((const struct machine_device *)b)->bdf);
}

static void note_short(const struct machine *machine, struct snapshot *snapshot)
{
	size_t count = 0, bad = 0;

	for (size_t i = 0; i < machine->device_count; i++) {
		count += machine->device[i].config_short;
		bad += machine->device[i].config_malformed;
	}
	if (count)
		snapshot_note(snapshot, DEVICES "/*/config", "run as root",
			      "the capabilities of %zu devices were not seen: interrupts, errors, "
			      "resets and link",
			      count);
	if (bad)
		snapshot_note(snapshot, DEVICES "/*/config", "",
			      "the capability lists of %zu devices loop or lead out of their "
			      "configuration space; what comes before that was read",
			      bad);
}

/* By its folder msi_irqs, where their lines do not name the device. INTx may be of several. */
static void claim_irqs(struct machine *machine, struct store *store,
		       const struct machine_device *device, const char *name)
{
	const char *dir = arena_printf(store->arena, DEVICES "/%s/msi_irqs", name), *number;
	size_t index = 0;

	while ((number = store_children(store, dir, &index)))
		for (size_t i = 0; i < machine->irq_count; i++)
			if (!strcmp(machine->irq[i].number, number)) {
				machine->irq[i].device = device->bdf;
				machine->irq[i].has_device = true;
			}
}

static void count_irqs(struct machine *machine)
{
	for (size_t i = 0; i < machine->irq_count; i++) {
		struct machine_device *device = NULL;

		if (machine->irq[i].has_device)
			device = (struct machine_device *)machine_find_device(
				machine, machine->irq[i].device);
		if (!device)
			continue;
		device->has_interrupts = true;
		device->interrupts += machine->irq[i].count;
	}
}

void machine_read_pci(struct machine *machine, struct snapshot *snapshot)
{
	struct store *store = &snapshot->store;
	struct machine_device *device;
	const char *name;
	size_t index = 0;
	struct bdf bdf;

	while ((name = store_children(store, DEVICES, &index))) {
		if (!bdf_parse(name, strlen(name), &bdf, NULL))
			continue;
		if (machine->device_count == DEVICES_MAX) {
			snapshot_note(snapshot, DEVICES, "", "only %u devices were looked at",
				      DEVICES_MAX);
			break;
		}
		device = arena_grow(store->arena, &machine->device, machine->device_count,
				    sizeof(*device));
		machine->device_count++;
		device->bdf = bdf;
		read_device(device, store, name);
		claim_irqs(machine, store, device, name);
	}
	if (machine->device_count)
		qsort(machine->device, machine->device_count, sizeof(*device), compare_devices);
	count_irqs(machine);
	note_short(machine, snapshot);
	names_label(machine, store->arena);
}

const struct machine_device *machine_find_device(const struct machine *machine, struct bdf bdf)
{
	struct machine_device key = {.bdf = bdf};

	if (!machine->device_count)
		return NULL;
	return bsearch(&key, machine->device, machine->device_count, sizeof(key), compare_devices);
}

const struct machine_device *machine_bar_at(const struct machine *machine, uint64_t address,
					    unsigned int *ret_bar)
{
	for (size_t i = 0; i < machine->device_count; i++) {
		const struct machine_device *device = &machine->device[i];

		for (unsigned int j = 0; j < 7; j++) {
			const struct machine_bar *bar = &device->bar[j];

			if (!bar->size || bar->unassigned || bar->flags & RESOURCE_IO ||
			    address < bar->start || address - bar->start >= bar->size)
				continue;
			if (ret_bar)
				*ret_bar = j;
			return device;
		}
	}
	return NULL;
}
