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

struct doctor_finding *judge_find(struct doctor_judge *judge, const char *id,
				  const struct bdf *device)
{
	for (size_t i = 0; i < judge->count; i++) {
		struct judge_entry *entry = judge->entry[i];

		if (!entry->dropped && !strcmp(entry->finding.rule->id, id) &&
		    same_device(&entry->finding, device))
			return &entry->finding;
	}
	return NULL;
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

/* A device's name, from the host where it is there: that is where it is plugged in. */
static void name_device(struct doctor_judge *judge, struct doctor_finding *finding)
{
	const struct doctor_case *seen = judge->seen;
	const struct machine *host = judge_machine(seen, DOCTOR_SIDE_HOST);
	const struct machine_device *device;

	if (host) {
		device = machine_find_device(host, finding->device);
		if (device) {
			finding->label = device->label;
			finding->machine = host->name;
			return;
		}
	}
	for (size_t i = 0; i < seen->machine_count; i++) {
		device = machine_find_device(&seen->machine[i], finding->device);
		if (device) {
			finding->label = device->label;
			finding->machine = seen->machine[i].name;
			return;
		}
	}
}

struct doctor_finding *judge_add(struct doctor_judge *judge, const struct doctor_rule *rule,
				 const struct bdf *device, unsigned int percent)
{
	struct doctor_finding *finding = judge_find(judge, rule->id, device);
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
	if (device) {
		finding->has_device = true;
		finding->device = *device;
		name_device(judge, finding);
	} else if (judge->seen->machine_count == 1) {
		finding->machine = judge->seen->machine[0].name;
	}
	for (const struct doctor_fix *fix = rule->fixes; fix && fix->text; fix++)
		judge_fix(judge, finding, fix);
	return finding;
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
	if (fact->line < finding->line)
		finding->line = fact->line;
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
	if (from->line < to->line)
		to->line = from->line;
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
