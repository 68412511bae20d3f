/* SPDX-License-Identifier: MIT */
/*
 * What a probe found, for people and for programs.
 */
#include <json-c/json.h>
#include <string.h>

#include "probe/probe.h"

#define COLUMNS 96
#define DETAIL_COLUMN 34

/* @text from column @at on, wrapped at blanks, further lines below it. */
static void print_wrapped(const char *text, unsigned int at, FILE *out)
{
	unsigned int column = at;
	size_t len;

	while (*text) {
		len = strcspn(text, " ");
		if (column > at && column + 1 + len > COLUMNS) {
			fprintf(out, "\n%*s", (int)at, "");
			column = at;
		} else if (column > at) {
			fputc(' ', out);
			column++;
		}
		fprintf(out, "%.*s", (int)len, text);
		column += (unsigned int)len;
		text += len + (text[len] == ' ');
	}
	fputc('\n', out);
}

static void print_step(const struct probe_report *report, enum probe_hop hop,
		       const struct probe_style *style, FILE *out)
{
	static const char *const words[] = {"not tried", "ok", "FAILED"};
	const struct probe_step *step = &report->step[hop];
	const char *on = step->result == PROBE_OK	? style->good
			 : step->result == PROBE_FAILED ? style->bad
							: style->dim;

	fprintf(out, "  %-10s %s%-9s%s ", probe_hop_name(hop), on, words[step->result], style->off);
	if (step->result == PROBE_NOT_TRIED)
		fprintf(out, "%9s", "");
	else
		fprintf(out, "%6.1f ms", step->ms);
	if (step->detail[0])
		fprintf(out, "  ");
	print_wrapped(step->detail, DETAIL_COLUMN, out);
}

static void print_commands(const struct probe_report *report, FILE *out)
{
	const char *line = report->commands;
	size_t len;

	if (!*line)
		return;
	fprintf(out, "\nAs root, when nothing on this host needs the device:\n");
	for (; *line; line += len + (line[len] == '\n')) {
		len = strcspn(line, "\n");
		fprintf(out, "  %.*s\n", (int)len, line);
	}
}

static void print_suggests(const struct probe_report *report, FILE *out)
{
	unsigned int i;

	if (!report->suggests_nr)
		return;
	fprintf(out, "Read on, likeliest first:\n");
	for (i = 0; i < report->suggests_nr; i++)
		fprintf(out, "  tethys doctor --explain %s\n", report->suggests[i]);
}

void probe_print_text(const struct probe_report *report, const struct probe_style *style, FILE *out)
{
	enum probe_hop first = probe_first_failed(report), hop;

	fprintf(out, "%s%s%s%s%s\n", style->bold, report->device, style->off,
		report->what[0] ? ": " : "", report->what);
	/* All others need the first. */
	for (hop = 0; hop < PROBE_HOP_NR && (!hop || first != PROBE_OPEN); hop++)
		print_step(report, hop, style, out);
	if (first == PROBE_HOP_NR) {
		fprintf(out, "\n%s\n",
			report->interrupted ? "Interrupted; what was changed has been put back."
					    : "Every hop that was tried works.");
		return;
	}
	fprintf(out, "\nFirst hop that fails: %s%s%s\n", style->bad, probe_hop_name(first),
		style->off);
	print_wrapped(probe_hop_meaning(first), 0, out);
	print_commands(report, out);
	print_suggests(report, out);
}

static struct json_object *text(const char *value)
{
	return value ? json_object_new_string(value) : NULL;
}

static struct json_object *step_json(const struct probe_report *report, enum probe_hop hop)
{
	const struct probe_step *step = &report->step[hop];
	struct json_object *object = json_object_new_object();
	char ms[32];

	snprintf(ms, sizeof(ms), "%.3f", step->ms);
	json_object_object_add(object, "hop", text(probe_hop_name(hop)));
	json_object_object_add(object, "result", text(probe_result_name(step->result)));
	json_object_object_add(object, "detail", text(step->detail));
	json_object_object_add(object, "ms", json_object_new_double_s(step->ms, ms));
	return object;
}

static struct json_object *commands_json(const struct probe_report *report)
{
	struct json_object *array = json_object_new_array();
	const char *line = report->commands;
	size_t len;

	for (; *line; line += len + (line[len] == '\n')) {
		len = strcspn(line, "\n");
		json_object_array_add(array, json_object_new_string_len(line, (int)len));
	}
	return array;
}

void probe_print_json(const struct probe_report *report, FILE *out)
{
	enum probe_hop first = probe_first_failed(report), hop;
	struct json_object *root = json_object_new_object();
	struct json_object *steps = json_object_new_array();
	struct json_object *suggests = json_object_new_array();
	bool failed = first != PROBE_HOP_NR;
	unsigned int i;

	for (hop = 0; hop < PROBE_HOP_NR; hop++)
		json_object_array_add(steps, step_json(report, hop));
	for (i = 0; failed && i < report->suggests_nr; i++)
		json_object_array_add(suggests, text(report->suggests[i]));
	json_object_object_add(root, "format", text(PROBE_FORMAT));
	json_object_object_add(root, "device", text(report->device));
	json_object_object_add(root, "what", text(report->what[0] ? report->what : NULL));
	json_object_object_add(root, "hops", steps);
	json_object_object_add(root, "first_failed", text(failed ? probe_hop_name(first) : NULL));
	json_object_object_add(root, "meaning", text(failed ? probe_hop_meaning(first) : NULL));
	json_object_object_add(root, "suggests", suggests);
	json_object_object_add(root, "commands", commands_json(report));
	json_object_object_add(root, "interrupted", json_object_new_boolean(report->interrupted));
	fprintf(out, "%s\n",
		json_object_to_json_string_ext(root, JSON_C_TO_STRING_PRETTY |
							     JSON_C_TO_STRING_SPACED |
							     JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(root);
}
