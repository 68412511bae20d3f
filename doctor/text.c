/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "doctor/text.h"

const char *doctor_severity_name(enum doctor_severity severity)
{
	return severity == DOCTOR_ERROR ? "error" : severity == DOCTOR_WARNING ? "warning" : "info";
}

const char *doctor_verdict_name(enum doctor_verdict verdict)
{
	return verdict == DOCTOR_HEALTHY    ? "healthy"
	       : verdict == DOCTOR_FINDINGS ? "findings"
					    : "cannot-look";
}

static const struct {
	const char *name, *text;
} hops[HOP_NR] = {
	[HOP_NONE] = {"none", ""},
	[HOP_PLATFORM] = {"platform", "the platform: firmware and the kernel's command line"},
	[HOP_BINDING] = {"binding", "binding: driver, IOMMU group, /dev/vfio"},
	[HOP_DEVICE] = {"device", "the device itself"},
	[HOP_LINK] = {"link", "the PCIe link"},
	[HOP_DMA] = {"dma", "DMA: device to IOMMU to memory"},
	[HOP_INTERRUPT] = {"interrupt", "interrupts: device to remapping to guest"},
	[HOP_MEMORY] = {"memory", "guest memory, as it is mapped for the device"},
	[HOP_BAR] = {"bar", "registers: the guest's access to BARs"},
	[HOP_GUEST] = {"guest", "driver or application in the guest"},
};

const char *doctor_hop_name(enum doctor_hop hop)
{
	return hop < HOP_NR ? hops[hop].name : "none";
}

const char *doctor_hop_text(enum doctor_hop hop)
{
	return hop < HOP_NR ? hops[hop].text : "";
}

const char *doctor_where_name(enum doctor_where where)
{
	static const char *const names[] = {"any", "proxmox", "libvirt", "qemu", "guest"};

	return where <= FOR_GUEST ? names[where] : "any";
}

const char *doctor_where_text(enum doctor_where where)
{
	static const char *const texts[] = {"On the host", "Proxmox VE", "libvirt", "Plain QEMU",
					    "In the guest"};

	return where <= FOR_GUEST ? texts[where] : "";
}

const char *doctor_fix_place(const struct doctor_fix *fix)
{
	const char *place = doctor_where_text(fix->where);

	if (fix->where == FOR_ANY || !strncasecmp(fix->text, place, strlen(place)))
		return "";
	return place;
}

const char *doctor_side_name(enum doctor_side side)
{
	return side == DOCTOR_SIDE_HOST ? "host" : side == DOCTOR_SIDE_GUEST ? "guest" : "unknown";
}

const char *doctor_confidence_text(unsigned int percent)
{
	return percent >= 100  ? "certain"
	       : percent >= 95 ? "almost certain"
	       : percent >= 80 ? "very likely"
	       : percent >= 60 ? "likely"
	       : percent >= 40 ? "possible"
	       : percent >= 20 ? "less likely"
			       : "a guess";
}

const char *doctor_tristate_name(enum tristate state)
{
	return state == YES ? "yes" : state == NO ? "no" : "unknown";
}

struct doctor_tally doctor_tally(const struct doctor_report *report)
{
	struct doctor_tally tally = {0};

	for (size_t i = 0; i < report->count; i++) {
		enum doctor_severity severity = report->finding[i].severity;

		tally.error += severity == DOCTOR_ERROR;
		tally.warning += severity == DOCTOR_WARNING;
		tally.info += severity == DOCTOR_INFO;
	}
	return tally;
}

const char *doctor_verdict_text(const struct doctor_report *report)
{
	struct doctor_tally tally = doctor_tally(report);
	struct arena *arena = report->arena;
	const char *errors, *warnings;

	if (report->verdict == DOCTOR_CANNOT_LOOK)
		return "Could not look: there is nothing here to judge.";
	if (report->verdict == DOCTOR_HEALTHY)
		return tally.info ? "Nothing found that keeps a device from working."
				  : "Nothing found.";
	errors = tally.error == 1 ? "1 problem" : arena_printf(arena, "%zu problems", tally.error);
	warnings = tally.warning == 1 ? "1 warning"
				      : arena_printf(arena, "%zu warnings", tally.warning);
	if (!tally.warning)
		return arena_printf(arena, "%s found.", errors);
	if (!tally.error)
		return arena_printf(arena, "%s.", warnings);
	return arena_printf(arena, "%s found, and %s.", errors, warnings);
}

/* What manages the VMs that were seen; FOR_ANY when that isn't known. */
static enum doctor_where seen_manager(const struct doctor_case *seen)
{
	enum doctor_where best = FOR_ANY;

	for (size_t i = 0; seen && i < seen->machine_count; i++) {
		const struct machine *machine = &seen->machine[i];

		if (machine->is_proxmox)
			return FOR_PROXMOX;
		for (size_t v = 0; v < machine->vm_count; v++) {
			enum vm_kind kind = machine->vm[v].kind;

			if (kind == VM_LIBVIRT)
				best = FOR_LIBVIRT;
			else if (kind == VM_QEMU && best == FOR_ANY)
				best = FOR_QEMU;
		}
	}
	return best;
}

static bool is_manager(enum doctor_where where)
{
	return where == FOR_PROXMOX || where == FOR_LIBVIRT || where == FOR_QEMU;
}

/* Appends the fixes of @where that come next to each other in the end. */
static size_t take_fixes(const struct doctor_finding *finding, enum doctor_where where, bool *taken,
			 size_t *order, size_t used)
{
	for (size_t i = 0; i < finding->fix_count; i++) {
		if (taken[i] || finding->fix[i].where != where)
			continue;
		taken[i] = true;
		order[used++] = i;
	}
	return used;
}

void doctor_fix_order(const struct doctor_report *report, const struct doctor_finding *finding,
		      size_t *ret_order)
{
	enum doctor_where manager = seen_manager(report->looked_at);
	bool *taken = arena_alloc(report->arena, finding->fix_count * sizeof(*taken) + 1);
	size_t used = 0;

	for (size_t i = 0; i < finding->fix_count; i++) {
		if (taken[i])
			continue;
		if (!is_manager(finding->fix[i].where)) {
			taken[i] = true;
			ret_order[used++] = i;
			continue;
		}
		if (is_manager(manager))
			used = take_fixes(finding, manager, taken, ret_order, used);
		used = take_fixes(finding, finding->fix[i].where, taken, ret_order, used);
	}
}

const char *doctor_device_text(const struct doctor_report *report,
			       const struct doctor_finding *finding)
{
	char text[BDF_TEXT_BYTES];

	if (!finding->has_device)
		return "";
	bdf_text(finding->device, text);
	if (!finding->label)
		return arena_strdup(report->arena, text);
	return arena_printf(report->arena, "%s (%s)", text, finding->label);
}

const char *doctor_next_line(struct arena *arena, const char **at)
{
	const char *line = *at;
	size_t size;

	if (!line || !*line)
		return NULL;
	size = strcspn(line, "\n");
	*at = line + size + (line[size] == '\n');
	return arena_strndup(arena, line, size);
}
