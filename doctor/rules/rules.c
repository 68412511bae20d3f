/* SPDX-License-Identifier: MIT */
/*
 * All rules, and the values that their fixes leave open.
 */
#include <stdio.h>
#include <string.h>

#include "doctor/rules/judge.h"

/* In the order of the catalogue. Those of display.c come last, see there. */
static const struct doctor_rules *const groups[] = {
	&doctor_rules_platform, &doctor_rules_binding,	 &doctor_rules_mapping,
	&doctor_rules_dma,	&doctor_rules_interrupt, &doctor_rules_metis,
	&doctor_rules_reset,	&doctor_rules_display,	 NULL,
};

const struct doctor_rule *doctor_rule_next(const struct doctor_rule *from)
{
	bool passed = !from;

	for (size_t i = 0; groups[i]; i++) {
		const struct doctor_rules *group = groups[i];
		size_t at = 0;

		if (!passed) {
			if (from < group->rule || from >= group->rule + group->count)
				continue;
			passed = true;
			at = (size_t)(from - group->rule) + 1;
		}
		if (at < group->count)
			return &group->rule[at];
	}
	return NULL;
}

const struct doctor_rule *doctor_rule_find(const char *id)
{
	const struct doctor_rule *rule = NULL;

	while ((rule = doctor_rule_next(rule)))
		if (!strcmp(rule->id, id))
			return rule;
	return NULL;
}

/* What stands in a command that somebody will paste into a root shell: nothing but plain words. */
static const char *plain(const char *value, const char *instead)
{
	if (!value || !*value || strlen(value) > 64 || *value == '-')
		return instead;
	for (const char *at = value; *at; at++)
		if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.:-",
			    *at))
			return instead;
	return value;
}

struct values {
	const char *device, *group, *driver, *ids, *vmid[2]; /* Proxmox, libvirt */
};

static const char *vm_name(const struct machine *host, const struct doctor_finding *finding,
			   enum vm_kind kind, const char *instead)
{
	for (size_t i = 0; host && i < host->vm_count; i++) {
		const struct machine_vm *vm = &host->vm[i];

		if (vm->kind != kind)
			continue;
		for (size_t j = 0; j < vm->device_count; j++)
			if (finding->has_device &&
			    (bdf_equal(vm->device[j], finding->device) ||
			     (vm->all_functions[j] && vm->device[j].bus == finding->device.bus &&
			      vm->device[j].slot == finding->device.slot &&
			      vm->device[j].domain == finding->device.domain)))
				return plain(vm->name, instead);
	}
	return instead;
}

static void look_up(struct doctor_judge *judge, const struct doctor_finding *finding,
		    struct values *values)
{
	const struct machine *host = judge_machine(judge->seen, DOCTOR_SIDE_HOST);
	const struct machine *owner =
		finding->guest ? judge_machine(judge->seen, DOCTOR_SIDE_GUEST) : host;
	const struct machine_device *device = NULL;
	struct arena *arena = judge->seen->arena;
	char text[BDF_TEXT_BYTES];

	*values = (struct values){.device = "0000:BB:DD.F",
				  .group = "GROUP",
				  .driver = "DRIVER",
				  .ids = "VENDOR:DEVICE",
				  .vmid = {"VMID", "DOMAIN"}};
	if (!finding->guest) {
		values->vmid[0] = vm_name(host, finding, VM_PROXMOX, "VMID");
		values->vmid[1] = vm_name(host, finding, VM_LIBVIRT, "DOMAIN");
	}
	if (!finding->has_device)
		return;
	values->device = arena_strdup(arena, bdf_text(finding->device, text));
	if (owner)
		device = machine_find_device(owner, finding->device);
	if (!device)
		return;
	if (device->group >= 0)
		values->group = arena_printf(arena, "%d", device->group);
	if (device->driver && strcmp(device->driver, "vfio-pci"))
		values->driver = plain(device->driver, "DRIVER");
	if (device->vendor != 0xffff)
		values->ids = arena_printf(arena, "%04x:%04x", device->vendor, device->device);
}

static const char *value_of(const struct values *values, enum doctor_where where, const char *name,
			    size_t size)
{
	const struct {
		const char *name, *value;
	} known[] = {
		{"device", values->device},
		{"group", values->group},
		{"driver", values->driver},
		{"ids", values->ids},
		{"vmid", values->vmid[where == FOR_LIBVIRT]},
	};

	for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++)
		if (strlen(known[i].name) == size && !memcmp(known[i].name, name, size))
			return known[i].value;
	return NULL;
}

static const char *fill(struct arena *arena, const struct values *values, enum doctor_where where,
			const char *text)
{
	const char *done = "";
	const char *open = strchr(text, '{');

	if (!open)
		return text;
	while (open) {
		size_t size = strcspn(open + 1, "}{");
		const char *value = NULL;

		if (open[1 + size] == '}')
			value = value_of(values, where, open + 1, size);
		if (value) {
			done = arena_printf(arena, "%s%.*s%s", done, (int)(open - text), text,
					    value);
			text = open + size + 2;
			open = strchr(text, '{');
		} else {
			open = strchr(open + 1, '{');
		}
	}
	return arena_printf(arena, "%s%s", done, text);
}

void judge_fill_in(struct doctor_judge *judge, struct doctor_finding *finding)
{
	struct arena *arena = judge->seen->arena;
	struct values values;

	look_up(judge, finding, &values);
	for (size_t i = 0; i < finding->fix_count; i++) {
		struct doctor_fix *fix = &finding->fix[i];

		fix->text = fill(arena, &values, fix->where, fix->text);
		fix->commands = fill(arena, &values, fix->where, fix->commands);
	}
	for (size_t i = 0; i < finding->next_count; i++) {
		struct doctor_next *next = &finding->next[i];

		next->text = fill(arena, &values, FOR_ANY, next->text);
		next->commands = fill(arena, &values, FOR_ANY, next->commands);
		next->decides = fill(arena, &values, FOR_ANY, next->decides);
	}
}
