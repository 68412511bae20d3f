/* SPDX-License-Identifier: MIT */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "doctor/model/machine.h"

/* Whether this machine gives devices away, be it a real one or a VM itself. */
static bool passes_on(const struct machine *machine)
{
	if (machine->is_proxmox)
		return true;
	for (size_t i = 0; i < machine->device_count; i++) {
		const char *driver = machine->device[i].driver;

		if (driver && strstr(driver, "vfio"))
			return true;
	}
	for (size_t i = 0; i < machine->vm_count; i++)
		if (machine->vm[i].kind != VM_QEMU || machine->vm[i].device_count)
			return true;
	return false;
}

static enum doctor_side side_of(const struct machine *machine)
{
	if (machine->snapshot->side != DOCTOR_SIDE_UNKNOWN)
		return machine->snapshot->side;
	if (passes_on(machine))
		return DOCTOR_SIDE_HOST;
	switch (machine->is_vm) {
	case YES:
		return DOCTOR_SIDE_GUEST;
	case NO:
		return DOCTOR_SIDE_HOST;
	default:
		return DOCTOR_SIDE_UNKNOWN;
	}
}

void machine_build(struct machine *machine, struct snapshot *snapshot)
{
	*machine = (struct machine){.snapshot = snapshot, .name = snapshot->name, .uptime_s = -1};
	machine_read_basics(machine, snapshot);
	machine_read_acpi(machine, snapshot);
	machine_read_memory(machine, snapshot);
	/* Devices count their interrupts, the IOMMU's state shows in the chips of all. */
	machine_read_pci(machine, snapshot);
	machine_read_iommu(machine, snapshot);
	machine_read_vms(machine, snapshot);
	machine_read_metis(machine, snapshot);
	machine->side = side_of(machine);
}

const struct machine_group *machine_find_group(const struct machine *machine, int number)
{
	for (size_t i = 0; i < machine->group_count; i++)
		if (machine->group[i].number == number)
			return &machine->group[i];
	return NULL;
}

/* '-' and '_' are the same to the kernel. */
static bool same_name(const char *word, size_t size, const char *name)
{
	if (strlen(name) != size)
		return false;
	for (size_t i = 0; i < size; i++) {
		char a = word[i] == '-' ? '_' : word[i], b = name[i] == '-' ? '_' : name[i];

		if (a != b)
			return false;
	}
	return true;
}

/* Where a word ends: blanks within quotes belong to it. */
static const char *word_end(const char *at)
{
	bool quoted = false;

	for (; *at && (quoted || (*at != ' ' && *at != '\t' && *at != '\n')); at++)
		if (*at == '"')
			quoted = !quoted;
	return at;
}

const char *machine_parameter(const struct machine *machine, const char *name)
{
	const char *at = machine->command_line, *value = NULL;
	size_t size = 0;

	while (at && *(at += strspn(at, " \t\n"))) {
		const char *end = word_end(at), *equals = memchr(at, '=', (size_t)(end - at));
		size_t word = (size_t)((equals ? equals : end) - at);

		/* What follows is for the first process. */
		if (end - at == 2 && !strncmp(at, "--", 2))
			break;
		/* The last one counts. */
		if (same_name(at, word, name)) {
			value = equals ? equals + 1 : end;
			size = (size_t)(end - value);
		}
		at = end;
	}
	if (!value)
		return NULL;
	if (size >= 2 && *value == '"' && value[size - 1] == '"') {
		value++;
		size -= 2;
	}
	/* The snapshot outlives the machine and is only the arena's owner here. */
	return arena_strndup((struct arena *)(uintptr_t)&machine->snapshot->arena, value, size);
}
