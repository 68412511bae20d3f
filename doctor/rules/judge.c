/* SPDX-License-Identifier: MIT */
/*
 * What judge() functions do to findings.
 */
#include <inttypes.h>
#include <string.h>
#include <strings.h>

#include "doctor/rules/judge.h"
#include "doctor/rules/state.h"

const struct doctor_case *judge_case(const struct doctor_judge *judge)
{
	return judge->seen;
}

const struct machine *judge_machine(const struct doctor_case *seen, enum doctor_side side)
{
	for (size_t i = 0; i < seen->machine_count; i++)
		if (seen->machine[i].side == side)
			return &seen->machine[i];
	if (side == DOCTOR_SIDE_HOST && seen->machine_count == 1 &&
	    seen->machine[0].side == DOCTOR_SIDE_UNKNOWN)
		return &seen->machine[0];
	return NULL;
}

static bool same_device(const struct doctor_finding *finding, const struct bdf *device)
{
	if (!device || !finding->has_device)
		return !device && !finding->has_device;
	return bdf_equal(finding->device, *device);
}

struct doctor_finding *judge_find_of(struct doctor_judge *judge, const char *id, bool guest,
				     const struct bdf *device)
{
	for (size_t i = 0; i < judge->count; i++) {
		struct judge_entry *entry = judge->entry[i];

		if (!entry->dropped && entry->finding.guest == guest &&
		    !strcmp(entry->finding.rule->id, id) && same_device(&entry->finding, device))
			return &entry->finding;
	}
	return NULL;
}

struct doctor_finding *judge_find(struct doctor_judge *judge, const char *id,
				  const struct bdf *device)
{
	struct doctor_finding *finding = judge_find_of(judge, id, false, device);

	return finding ? finding : judge_find_of(judge, id, true, device);
}

struct doctor_finding *judge_find_fact(struct doctor_judge *judge, const char *id,
				       const struct doctor_fact *fact)
{
	return judge_find_of(judge, id, judge_is_guests(fact),
			     fact->has_device ? &fact->device : NULL);
}

struct doctor_finding *judge_find_on(struct doctor_judge *judge, const char *id,
				     const struct machine *machine, const struct bdf *device)
{
	return judge_find_of(judge, id, machine->side == DOCTOR_SIDE_GUEST, device);
}

struct doctor_finding *judge_find_any(struct doctor_judge *judge, const char *id)
{
	struct doctor_finding *best = NULL;

	for (size_t i = 0; i < judge->count; i++) {
		struct judge_entry *entry = judge->entry[i];

		if (!entry->dropped && !strcmp(entry->finding.rule->id, id) &&
		    (!best || entry->finding.confidence > best->confidence))
			best = &entry->finding;
	}
	return best;
}

static unsigned int clamp_percent(unsigned int percent)
{
	return percent < 1 ? 1 : percent > 100 ? 100 : percent;
}

/* Whether a machine may be meant where the host, or the guest, is. */
static bool is_side(const struct machine *machine, bool guest)
{
	return (machine->side == DOCTOR_SIDE_GUEST) == guest;
}

/* The machine of a finding and the device's name there. NULL: only logs, or of another side. */
static void name_machine(struct doctor_judge *judge, struct doctor_finding *finding)
{
	const struct doctor_case *seen = judge->seen;
	const struct machine *only = NULL;
	size_t count = 0;

	for (size_t i = 0; i < seen->machine_count; i++) {
		const struct machine *machine = &seen->machine[i];
		const struct machine_device *device = NULL;

		if (!is_side(machine, finding->guest))
			continue;
		only = machine;
		count++;
		if (finding->has_device)
			device = machine_find_device(machine, finding->device);
		if (device) {
			finding->label = device->label;
			finding->machine = machine->name;
			return;
		}
	}
	if (count == 1)
		finding->machine = only->name;
}

/* Whose finding it is where nobody says so: a guest's only if just a guest can be meant. */
static bool only_a_guest(const struct doctor_judge *judge, const struct bdf *device)
{
	const struct doctor_case *seen = judge->seen;
	bool host = false, guest = false;

	for (size_t i = 0; i < seen->machine_count; i++) {
		const struct machine *machine = &seen->machine[i];

		if (is_side(machine, false))
			host = host || !device || machine_find_device(machine, *device);
		else
			guest = guest || !device || machine_find_device(machine, *device);
	}
	return guest && !host;
}

struct doctor_finding *judge_add_of(struct doctor_judge *judge, const struct doctor_rule *rule,
				    bool guest, const struct bdf *device, unsigned int percent)
{
	struct doctor_finding *finding = judge_find_of(judge, rule->id, guest, device);
	struct judge_entry **slot, *entry;

	if (finding)
		return finding;
	entry = arena_alloc(judge->seen->arena, sizeof(*entry));
	slot = arena_grow(judge->seen->arena, &judge->entry, judge->count, sizeof(*slot));
	*slot = entry;
	judge->count++;
	finding = &entry->finding;
	finding->rule = rule;
	finding->severity = rule->severity;
	finding->hop = rule->hop;
	finding->title = rule->title;
	finding->confidence = clamp_percent(percent);
	finding->line = UINT64_MAX;
	finding->guest = guest;
	if (device) {
		finding->has_device = true;
		finding->device = *device;
	}
	name_machine(judge, finding);
	for (const struct doctor_fix *fix = rule->fixes; fix && fix->text; fix++)
		judge_fix(judge, finding, fix);
	return finding;
}

struct doctor_finding *judge_add(struct doctor_judge *judge, const struct doctor_rule *rule,
				 const struct bdf *device, unsigned int percent)
{
	struct doctor_finding *finding = judge_find(judge, rule->id, device);

	if (finding)
		return finding;
	return judge_add_of(judge, rule, only_a_guest(judge, device), device, percent);
}

struct doctor_finding *judge_add_fact(struct doctor_judge *judge, const struct doctor_rule *rule,
				      const struct doctor_fact *fact, unsigned int percent)
{
	return judge_add_of(judge, rule, judge_is_guests(fact),
			    fact->has_device ? &fact->device : NULL, percent);
}

struct doctor_finding *judge_add_on(struct doctor_judge *judge, const struct doctor_rule *rule,
				    const struct machine *machine, const struct bdf *device,
				    unsigned int percent)
{
	return judge_add_of(judge, rule, machine->side == DOCTOR_SIDE_GUEST, device, percent);
}

void judge_confirm(struct doctor_finding *finding, unsigned int percent)
{
	unsigned int doubt = 100 - finding->confidence;

	if (percent > 99)
		percent = 99;
	/* Rounded up, so that no sum of hints becomes a certainty. */
	doubt = (doubt * (100 - percent) + 99) / 100;
	finding->confidence = 100 - doubt;
}

void judge_refute(struct doctor_finding *finding, unsigned int percent)
{
	if (percent > 100)
		percent = 100;
	finding->confidence = finding->confidence * (100 - percent) / 100;
}

void judge_set(struct doctor_finding *finding, unsigned int percent)
{
	finding->confidence = clamp_percent(percent);
}

void judge_drop(struct doctor_judge *judge, struct doctor_finding *finding)
{
	(void)judge;
	judge_entry(finding)->dropped = true;
}

void judge_title(struct doctor_judge *judge, struct doctor_finding *finding, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	finding->title = arena_vprintf(judge->seen->arena, fmt, args);
	va_end(args);
}

void judge_why(struct doctor_judge *judge, struct doctor_finding *finding, const char *fmt, ...)
{
	struct arena *arena = judge->seen->arena;
	const char **why, *text;
	va_list args;

	va_start(args, fmt);
	text = arena_vprintf(arena, fmt, args);
	va_end(args);
	for (size_t i = 0; i < finding->why_count; i++)
		if (!strcmp(finding->why[i], text))
			return;
	why = arena_grow(arena, &finding->why, finding->why_count, sizeof(*why));
	finding->why_count++;
	*why = text;
}

static void add_evidence(struct doctor_judge *judge, struct doctor_finding *finding,
			 const struct doctor_evidence *evidence)
{
	struct doctor_evidence *slot;

	for (size_t i = 0; i < finding->evidence_count; i++)
		if (!strcmp(finding->evidence[i].source, evidence->source) &&
		    !strcmp(finding->evidence[i].text, evidence->text))
			return;
	slot = arena_grow(judge->seen->arena, &finding->evidence, finding->evidence_count,
			  sizeof(*slot));
	finding->evidence_count++;
	*slot = *evidence;
}

static void note_line(struct doctor_finding *finding, uint64_t line, unsigned int log)
{
	if (line >= finding->line)
		return;
	finding->line = line;
	judge_entry(finding)->log = log;
}

void judge_evidence(struct doctor_judge *judge, struct doctor_finding *finding,
		    const struct doctor_fact *fact)
{
	const struct doctor_facts *facts = judge->seen->facts;
	struct doctor_evidence evidence = {.text = fact->text ? fact->text : "",
					   .count = fact->count ? fact->count : 1};
	const char *log = "log";

	if (fact->log < facts->log_count && facts->log[fact->log].name)
		log = facts->log[fact->log].name;
	evidence.source = arena_printf(judge->seen->arena, "%s:%" PRIu64, log, fact->line);
	add_evidence(judge, finding, &evidence);
	note_line(finding, fact->line, fact->log);
}

void judge_state(struct doctor_judge *judge, struct doctor_finding *finding, const char *source,
		 const char *fmt, ...)
{
	struct doctor_evidence evidence = {.source = arena_strdup(judge->seen->arena, source),
					   .count = 1};
	va_list args;

	va_start(args, fmt);
	evidence.text = arena_vprintf(judge->seen->arena, fmt, args);
	va_end(args);
	add_evidence(judge, finding, &evidence);
}

void judge_take_evidence(struct doctor_judge *judge, struct doctor_finding *to,
			 const struct doctor_finding *from)
{
	for (size_t i = 0; i < from->evidence_count; i++)
		add_evidence(judge, to, &from->evidence[i]);
	note_line(to, from->line, ((const struct judge_entry *)from)->log);
}

void judge_rule_out(struct doctor_judge *judge, struct doctor_finding *finding, const char *what,
		    const char *fmt, ...)
{
	struct doctor_ruled_out *slot;
	va_list args;

	for (size_t i = 0; i < finding->ruled_out_count; i++)
		if (!strcmp(finding->ruled_out[i].what, what))
			return;
	slot = arena_grow(judge->seen->arena, &finding->ruled_out, finding->ruled_out_count,
			  sizeof(*slot));
	finding->ruled_out_count++;
	slot->what = arena_strdup(judge->seen->arena, what);
	va_start(args, fmt);
	slot->why = arena_vprintf(judge->seen->arena, fmt, args);
	va_end(args);
}

void judge_next(struct doctor_judge *judge, struct doctor_finding *finding, const char *text,
		const char *commands, const char *decides)
{
	struct arena *arena = judge->seen->arena;
	struct doctor_next *slot;

	for (size_t i = 0; i < finding->next_count; i++)
		if (!strcmp(finding->next[i].text, text))
			return;
	slot = arena_grow(arena, &finding->next, finding->next_count, sizeof(*slot));
	finding->next_count++;
	slot->text = arena_strdup(arena, text);
	slot->commands = arena_strdup(arena, commands);
	slot->decides = arena_strdup(arena, decides);
}

void judge_fix(struct doctor_judge *judge, struct doctor_finding *finding,
	       const struct doctor_fix *fix)
{
	struct doctor_fix *slot;

	slot = arena_grow(judge->seen->arena, &finding->fix, finding->fix_count, sizeof(*slot));
	finding->fix_count++;
	*slot = *fix;
	if (!slot->commands)
		slot->commands = "";
	if (!slot->proved)
		slot->proved = "";
}

void judge_clear_fixes(struct doctor_finding *finding)
{
	finding->fix = NULL;
	finding->fix_count = 0;
}

void judge_merge(struct doctor_judge *judge, struct doctor_finding *to, struct doctor_finding *from)
{
	judge_confirm(to, from->confidence);
	if (from->severity > to->severity)
		to->severity = from->severity;
	judge_take_evidence(judge, to, from);
	for (size_t i = 0; i < from->why_count; i++)
		judge_why(judge, to, "%s", from->why[i]);
	for (size_t i = 0; i < from->ruled_out_count; i++)
		judge_rule_out(judge, to, from->ruled_out[i].what, "%s", from->ruled_out[i].why);
	for (size_t i = 0; i < from->next_count; i++)
		judge_next(judge, to, from->next[i].text, from->next[i].commands,
			   from->next[i].decides);
	judge_drop(judge, from);
}

const struct machine *state_host(const struct doctor_case *seen)
{
	const struct machine *host = judge_machine(seen, DOCTOR_SIDE_HOST);

	for (size_t i = 0; !host && i < seen->machine_count; i++)
		if (seen->machine[i].vm_count)
			host = &seen->machine[i];
	return host;
}

bool state_is_vfio_driver(const char *driver)
{
	/* "vfio-pci", "mlx5_vfio_pci", "nvgrace_gpu_vfio_pci" */
	return driver && (strstr(driver, "vfio") || !strcmp(driver, "pci-stub") ||
			  !strcmp(driver, "pciback"));
}

bool state_same_slot(struct bdf a, struct bdf b)
{
	return a.domain == b.domain && a.bus == b.bus && a.slot == b.slot;
}

bool state_next_wanted(const struct machine *host, size_t *index, struct state_want *ret_want)
{
	while (*index < host->device_count) {
		const struct machine_device *device = &host->device[(*index)++];
		const struct machine_vm *vm;

		if (device->is_bridge)
			continue;
		vm = machine_find_vm(host, device->bdf);
		if (!vm && !state_is_vfio_driver(device->driver) &&
		    !state_is_vfio_driver(device->override))
			continue;
		*ret_want = (struct state_want){
			.device = device, .vm = vm, .running = vm && vm->running};
		return true;
	}
	return false;
}

bool state_anything_wanted(const struct machine *host)
{
	struct state_want want;
	size_t index = 0;

	/* A configuration may name a device that isn't there. */
	for (size_t i = 0; i < host->vm_count; i++)
		if (host->vm[i].device_count)
			return true;
	return state_next_wanted(host, &index, &want);
}

bool state_has_vfio(const struct doctor_case *seen)
{
	const struct machine *host = state_host(seen);

	if (host && state_anything_wanted(host))
		return true;
	for (size_t i = 0; i < seen->facts->count; i++) {
		const struct doctor_fact *fact = &seen->facts->fact[i];

		if (strstr(fact->driver, "vfio") || fact->kind == DOCTOR_VFIO_OPENED ||
		    fact->kind == DOCTOR_VFIO_RESETTING)
			return true;
	}
	return false;
}

bool state_was_unplugged(const struct doctor_case *seen)
{
	const struct doctor_fact *fact = NULL;

	while ((fact = doctor_fact_next(seen->facts, DOCTOR_DEVICE_GONE, fact)))
		if (state_line_has(fact, "Card not present"))
			return !state_has_vfio(seen);
	return false;
}

bool state_line_has(const struct doctor_fact *fact, const char *part)
{
	size_t size = strlen(part);

	for (const char *at = fact->text; at && *at; at++)
		if (!strncasecmp(at, part, size))
			return true;
	return false;
}
