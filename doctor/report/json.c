/* SPDX-License-Identifier: MIT */
/*
 * The report for programs: docs/doctor-report.schema.json.
 */
#include <string.h>

#include <json-c/json.h>

#include "doctor/report/escape.h"
#include "doctor/report/notes.h"
#include "doctor/report/report.h"
#include "doctor/text.h"

struct writer {
	const struct doctor_report *report;
	struct arena *arena;
};

/* NULL becomes null. */
static struct json_object *text(const struct writer *writer, const char *value)
{
	return value ? json_object_new_string(escape_text(writer->arena, value)) : NULL;
}

static void put(struct json_object *object, const char *key, struct json_object *value)
{
	json_object_object_add(object, key, value);
}

static void put_text(const struct writer *writer, struct json_object *object, const char *key,
		     const char *value)
{
	put(object, key, text(writer, value ? value : ""));
}

static struct json_object *lines(const struct writer *writer, const char *value)
{
	struct json_object *list = json_object_new_array();
	const char *line;

	while ((line = doctor_next_line(writer->arena, &value)))
		json_object_array_add(list, text(writer, line));
	return list;
}

static struct json_object *texts(const struct writer *writer, const char *const *list, size_t count)
{
	struct json_object *array = json_object_new_array();

	for (size_t i = 0; i < count; i++)
		json_object_array_add(array, text(writer, list[i]));
	return array;
}

static struct json_object *evidence(const struct writer *writer,
				    const struct doctor_finding *finding)
{
	struct json_object *list = json_object_new_array(), *row;

	for (size_t i = 0; i < finding->evidence_count; i++) {
		row = json_object_new_object();
		put_text(writer, row, "text", finding->evidence[i].text);
		put_text(writer, row, "source", finding->evidence[i].source);
		put(row, "count", json_object_new_uint64(finding->evidence[i].count));
		json_object_array_add(list, row);
	}
	return list;
}

static struct json_object *ruled_out(const struct writer *writer,
				     const struct doctor_finding *finding)
{
	struct json_object *list = json_object_new_array(), *row;

	for (size_t i = 0; i < finding->ruled_out_count; i++) {
		row = json_object_new_object();
		put_text(writer, row, "what", finding->ruled_out[i].what);
		put_text(writer, row, "why", finding->ruled_out[i].why);
		json_object_array_add(list, row);
	}
	return list;
}

static struct json_object *next(const struct writer *writer, const struct doctor_finding *finding)
{
	struct json_object *list = json_object_new_array(), *row;

	for (size_t i = 0; i < finding->next_count; i++) {
		row = json_object_new_object();
		put_text(writer, row, "text", finding->next[i].text);
		put(row, "commands", lines(writer, finding->next[i].commands));
		put_text(writer, row, "decides", finding->next[i].decides);
		json_object_array_add(list, row);
	}
	return list;
}

static struct json_object *fixes(const struct writer *writer, const struct doctor_finding *finding)
{
	size_t *order = arena_alloc(writer->arena, (finding->fix_count + 1) * sizeof(*order));
	struct json_object *list = json_object_new_array(), *row;

	doctor_fix_order(writer->report, finding, order);
	for (size_t i = 0; i < finding->fix_count; i++) {
		const struct doctor_fix *fix = &finding->fix[order[i]];

		row = json_object_new_object();
		put_text(writer, row, "where", doctor_where_name(fix->where));
		put_text(writer, row, "text", fix->text);
		put(row, "commands", lines(writer, fix->commands));
		put_text(writer, row, "proved", fix->proved);
		json_object_array_add(list, row);
	}
	return list;
}

static struct json_object *finding_json(const struct writer *writer,
					const struct doctor_finding *finding)
{
	struct json_object *object = json_object_new_object();
	char device[BDF_TEXT_BYTES];

	put_text(writer, object, "id", finding->rule->id);
	put(object, "device",
	    text(writer, finding->has_device ? bdf_text(finding->device, device) : NULL));
	put(object, "label", text(writer, finding->label));
	put(object, "machine", text(writer, finding->machine));
	put_text(writer, object, "severity", doctor_severity_name(finding->severity));
	put(object, "confidence", json_object_new_int((int)finding->confidence));
	put_text(writer, object, "title", finding->title);
	put_text(writer, object, "hop", doctor_hop_name(finding->hop));
	put(object, "why", texts(writer, finding->why, finding->why_count));
	put(object, "evidence", evidence(writer, finding));
	put(object, "ruled_out", ruled_out(writer, finding));
	put(object, "next", next(writer, finding));
	put(object, "fix", fixes(writer, finding));
	put(object, "explains", texts(writer, finding->follows, finding->follows_count));
	return object;
}

static struct json_object *machine_json(const struct writer *writer, const struct machine *machine)
{
	struct json_object *object = json_object_new_object();

	put_text(writer, object, "name", machine->name);
	put_text(writer, object, "side", doctor_side_name(machine->side));
	put(object, "kernel", text(writer, machine->kernel));
	put(object, "cpu", text(writer, machine->cpu));
	put(object, "proxmox",
	    text(writer, !machine->is_proxmox	    ? NULL
			 : machine->proxmox_version ? machine->proxmox_version
						    : "unknown"));
	put_text(writer, object, "iommu", doctor_tristate_name(machine->iommu));
	put_text(writer, object, "interrupt_remapping", doctor_tristate_name(machine->intremap));
	put(object, "devices", json_object_new_uint64(machine->device_count));
	put(object, "groups", json_object_new_uint64(machine->group_count));
	put(object, "vms", json_object_new_uint64(machine->vm_count));
	return object;
}

static struct json_object *log_json(const struct writer *writer, const struct doctor_log *log)
{
	struct json_object *object = json_object_new_object();

	put_text(writer, object, "name", log->name);
	put_text(writer, object, "side", doctor_side_name(log->side));
	put(object, "lines", json_object_new_uint64(log->lines));
	put(object, "bytes", json_object_new_uint64(log->bytes));
	put(object, "lines_cut", json_object_new_uint64(log->lines_cut));
	put(object, "lines_binary", json_object_new_uint64(log->lines_binary));
	return object;
}

static struct json_object *looked_at(const struct writer *writer)
{
	const struct doctor_case *seen = writer->report->looked_at;
	struct json_object *object = json_object_new_object();
	struct json_object *machines = json_object_new_array(), *logs = json_object_new_array();

	for (size_t i = 0; seen && i < seen->machine_count; i++)
		json_object_array_add(machines, machine_json(writer, &seen->machine[i]));
	for (size_t i = 0; seen && i < seen->facts->log_count; i++)
		json_object_array_add(logs, log_json(writer, &seen->facts->log[i]));
	put(object, "machines", machines);
	put(object, "logs", logs);
	return object;
}

static struct json_object *notes_json(const struct writer *writer)
{
	struct json_object *list = json_object_new_array(), *row;
	struct doctor_notes notes;

	doctor_notes_collect(writer->report, &notes);
	for (size_t i = 0; i < notes.count; i++) {
		row = json_object_new_object();
		put(row, "machine", text(writer, notes.note[i].machine));
		put_text(writer, row, "what", notes.note[i].what);
		put_text(writer, row, "why", notes.note[i].why);
		put_text(writer, row, "next", notes.note[i].next);
		json_object_array_add(list, row);
	}
	return list;
}

void doctor_report_json(const struct doctor_report *report, FILE *out)
{
	const struct writer writer = {report, report->arena};
	struct json_object *root = json_object_new_object(), *list = json_object_new_array();

	put_text(&writer, root, "format", DOCTOR_REPORT_FORMAT);
	put_text(&writer, root, "version", TETHYS_VERSION);
	put_text(&writer, root, "verdict", doctor_verdict_name(report->verdict));
	for (size_t i = 0; i < report->count; i++)
		json_object_array_add(list, finding_json(&writer, &report->finding[i]));
	put(root, "findings", list);
	put(root, "looked_at", looked_at(&writer));
	put(root, "notes", notes_json(&writer));
	fprintf(out, "%s\n",
		json_object_to_json_string_ext(root, JSON_C_TO_STRING_PRETTY |
							     JSON_C_TO_STRING_SPACED |
							     JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(root);
}
