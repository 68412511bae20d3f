/* SPDX-License-Identifier: MIT */
#include <inttypes.h>
#include <string.h>

#include "doctor/report/notes.h"
#include "doctor/text.h"

static void add(struct arena *arena, struct doctor_notes *notes, struct doctor_note note)
{
	struct doctor_note *row;

	row = arena_grow(arena, &notes->note, notes->count, sizeof(*row));
	notes->count++;
	*row = note;
}

static const char *lines(struct arena *arena, uint64_t count)
{
	return count == 1 ? "1 line" : arena_printf(arena, "%" PRIu64 " lines", count);
}

static void collect_snapshot(struct arena *arena, const struct machine *machine,
			     struct doctor_notes *notes)
{
	const struct snapshot *snapshot = machine->snapshot;

	if (!snapshot)
		return;
	for (size_t i = 0; i < snapshot->note_count; i++)
		add(arena, notes,
		    (struct doctor_note){machine->name, snapshot->note[i].what,
					 snapshot->note[i].why, snapshot->note[i].next});
	for (size_t i = 0; i < snapshot->log_count; i++)
		if (snapshot->log[i].dropped)
			add(arena, notes,
			    (struct doctor_note){
				    machine->name, snapshot->log[i].name,
				    arena_printf(arena, "%s of it found no room in the snapshot",
						 lines(arena, snapshot->log[i].dropped)),
				    ""});
}

static void collect_log(struct arena *arena, const struct doctor_log *log,
			struct doctor_notes *notes)
{
	if (log->lines_cut)
		add(arena, notes,
		    (struct doctor_note){NULL, log->name,
					 arena_printf(arena,
						      "%s too long: only the beginning was read",
						      lines(arena, log->lines_cut)),
					 ""});
	if (log->lines_binary)
		add(arena, notes,
		    (struct doctor_note){NULL, log->name,
					 arena_printf(arena, "%s with bytes that no log has",
						      lines(arena, log->lines_binary)),
					 ""});
	if (!log->lines)
		add(arena, notes, (struct doctor_note){NULL, log->name, "holds no line", ""});
}

void doctor_notes_collect(const struct doctor_report *report, struct doctor_notes *ret_notes)
{
	const struct doctor_case *seen = report->looked_at;
	struct arena *arena = report->arena;

	*ret_notes = (struct doctor_notes){0};
	for (size_t i = 0; i < report->note_count; i++)
		add(arena, ret_notes,
		    (struct doctor_note){NULL, report->note[i].what, report->note[i].why,
					 report->note[i].next});
	if (!seen)
		return;
	for (size_t i = 0; i < seen->machine_count; i++)
		collect_snapshot(arena, &seen->machine[i], ret_notes);
	for (size_t i = 0; i < seen->facts->log_count; i++)
		collect_log(arena, &seen->facts->log[i], ret_notes);
	if (seen->facts->dropped)
		add(arena, ret_notes,
		    (struct doctor_note){NULL, "logs",
					 arena_printf(arena,
						      "%" PRIu64 " different faults beyond the "
						      "first %u were counted, but not judged",
						      seen->facts->dropped, DOCTOR_FACTS_MAX),
					 "give only the part of the log that matters"});
}

const char *doctor_note_text(struct arena *arena, const struct doctor_note *note)
{
	return arena_printf(arena, "%s%s%s: %s%s%s%s", note->machine ? note->machine : "",
			    note->machine ? ": " : "", note->what, note->why,
			    *note->next ? " (" : "", note->next, *note->next ? ")" : "");
}

static const char *counted(struct arena *arena, size_t count, const char *one, const char *many)
{
	return arena_printf(arena, ", %zu %s", count, count == 1 ? one : many);
}

const char *doctor_machine_text(struct arena *arena, const struct machine *machine)
{
	const char *side =
		machine->side == DOCTOR_SIDE_UNKNOWN ? "machine" : doctor_side_name(machine->side);
	const char *name = machine->name ? machine->name : "without name";
	const char *proxmox = !machine->is_proxmox	 ? ""
			      : machine->proxmox_version ? arena_printf(arena, ", Proxmox VE %s",
									machine->proxmox_version)
							 : ", Proxmox VE";
	const char *kernel =
		machine->kernel ? arena_printf(arena, ", kernel %s", machine->kernel) : "";

	return arena_printf(
		arena, "%s %s%s%s%s%s%s", side, name, proxmox, kernel,
		counted(arena, machine->device_count, "PCI device", "PCI devices"),
		machine->group_count
			? counted(arena, machine->group_count, "IOMMU group", "IOMMU groups")
			: "",
		machine->vm_count ? counted(arena, machine->vm_count, "VM", "VMs") : "");
}

const char *doctor_log_text(struct arena *arena, const struct doctor_log *log)
{
	const char *name = !strcmp(log->name, "-") ? "standard input" : log->name;
	const char *boots = log->boots > 1 ? arena_printf(arena, ", %u boots", log->boots) : "";

	return arena_printf(arena, "%s: %s%s%s", name, lines(arena, log->lines), boots,
			    log->side == DOCTOR_SIDE_GUEST ? ", of a guest" : "");
}
