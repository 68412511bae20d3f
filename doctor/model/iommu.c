/* SPDX-License-Identifier: MIT */
/*
 * IOMMU groups, and whether an IOMMU and interrupt remapping work at all.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "doctor/model/machine.h"

#define GROUPS_MAX 65536u
#define REGIONS_MAX 4096u
#define GROUPS "/sys/kernel/iommu_groups"

/* "0x00000000fee00000 0x00000000feefffff msi" */
static bool parse_region(struct arena *arena, const char *line, struct machine_range *ret_range)
{
	char type[32];
	unsigned long long start, end;

	if (sscanf(line, "0x%llx 0x%llx %31s", &start, &end, type) != 3 || end < start)
		return false;
	*ret_range = (struct machine_range){
		.start = start, .end = end, .type = arena_strdup(arena, type)};
	return true;
}

static void read_regions(struct machine_group *group, struct snapshot *snapshot)
{
	const char *text =
		store_text(&snapshot->store, GROUPS "/%d/reserved_regions", group->number);
	struct machine_range range, *last;

	while (text && *text && group->reserved_count < REGIONS_MAX) {
		if (parse_region(&snapshot->arena, text, &range)) {
			last = arena_grow(&snapshot->arena, &group->reserved, group->reserved_count,
					  sizeof(*last));
			*last = range;
			group->reserved_count++;
		}
		text = strchr(text, '\n');
		text = text ? text + 1 : NULL;
	}
}

static int compare_groups(const void *a, const void *b)
{
	const struct machine_group *left = a, *right = b;

	return (left->number > right->number) - (left->number < right->number);
}

static void read_groups(struct machine *machine, struct snapshot *snapshot)
{
	struct store *store = &snapshot->store;
	struct machine_group *group;
	const char *name;
	size_t index = 0;

	while ((name = store_children(store, GROUPS, &index)) &&
	       machine->group_count < GROUPS_MAX) {
		char *end;
		long number = strtol(name, &end, 10);

		if (*name < '0' || *name > '9' || *end || number > 1 << 24)
			continue;
		group = arena_grow(&snapshot->arena, &machine->group, machine->group_count,
				   sizeof(*group));
		machine->group_count++;
		group->number = (int)number;
		group->type = store_text(store, GROUPS "/%d/type", group->number);
		read_regions(group, snapshot);
	}
	if (machine->group_count)
		qsort(machine->group, machine->group_count, sizeof(*group), compare_groups);
}

/* Intel's and AMD's command lines both can switch it off. */
static bool remapping_forbidden(const struct machine *machine)
{
	const char *value = machine_parameter(machine, "intremap");

	return machine_parameter(machine, "nointremap") || (value && !strncmp(value, "off", 3));
}

/* Interrupts that go through remapping hardware have chips named "IR-..."; an ITS looks up every
 * device's messages by itself. */
static enum tristate remapping(const struct machine *machine)
{
	bool any = false;

	for (size_t i = 0; i < machine->irq_count; i++) {
		const char *chip = machine->irq[i].chip;

		if (machine->irq[i].remapped || !strncmp(chip, "ITS-", 4))
			return YES;
		any = any || strstr(chip, "PCI-MSI") || strstr(chip, "IO-APIC");
	}
	if (machine->arch != ARCH_INTEL && machine->arch != ARCH_AMD)
		return UNKNOWN;
	if (any || remapping_forbidden(machine))
		return NO;
	if (machine->acpi.dmar == NO && machine->acpi.ivrs == NO)
		return NO;
	if (machine->acpi.dmar == YES && machine->acpi.address_width &&
	    !machine->acpi.interrupt_remapping)
		return NO;
	return UNKNOWN;
}

void machine_read_iommu(struct machine *machine, struct snapshot *snapshot)
{
	struct store *store = &snapshot->store;
	const char *unsafe;
	size_t index = 0;

	read_groups(machine, snapshot);
	if (store_children(store, "/sys/class/iommu", &index))
		machine->iommu = YES;
	else if (store_find(store, "/sys/class/iommu"))
		machine->iommu = NO;
	machine->intremap = remapping(machine);
	unsafe = store_text(store,
			    "/sys/module/vfio_iommu_type1/parameters/allow_unsafe_interrupts");
	if (unsafe)
		machine->unsafe_interrupts = *unsafe == 'Y' || *unsafe == '1' ? YES : NO;
}
