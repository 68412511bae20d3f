/* SPDX-License-Identifier: MIT */
/*
 * What is known about a class of findings, and which classes there are.
 */
#include <errno.h>
#include <string.h>

#include <json-c/json.h>

#include "doctor/report/escape.h"
#include "doctor/report/report.h"
#include "doctor/report/wrap.h"
#include "doctor/text.h"

#define ID_COLUMNS 28
#define SEVERITY_COLUMNS 9

static void section(const struct doctor_style *style, struct arena *arena, const char *heading,
		    const char *text, FILE *out)
{
	const char *line;

	if (!text || !*text)
		return;
	fprintf(out, "\n%s%s%s\n", style->bold, heading, style->off);
	while ((line = doctor_next_line(arena, &text))) {
		fputs("  ", out);
		wrap_print(escape_line(arena, line, style->utf8), style->width, 2, 2, out);
	}
}

static void explain_fixes(const struct doctor_rule *rule, const struct doctor_style *style,
			  struct arena *arena, FILE *out)
{
	const char *line, *text;

	if (!rule->fixes || !rule->fixes->text)
		return;
	fprintf(out, "\n%sWhat to do%s\n", style->bold, style->off);
	for (const struct doctor_fix *fix = rule->fixes; fix->text; fix++) {
		const char *mark =
			fix->where == FOR_ANY
				? style->utf8 ? "• " : "- "
				: arena_printf(arena, "%s%s: ", style->utf8 ? "• " : "- ",
					       doctor_where_text(fix->where));

		fprintf(out, "  %s", mark);
		wrap_print(escape_line(arena, fix->text, style->utf8), style->width,
			   2 + wrap_columns(mark, strlen(mark)), 4, out);
		text = fix->commands;
		while ((line = doctor_next_line(arena, &text)))
			fprintf(out, "        %s\n", escape_line(arena, line, style->utf8));
		if (fix->proved && *fix->proved) {
			fputs("    Proved: ", out);
			wrap_print(escape_line(arena, fix->proved, style->utf8), style->width, 12,
				   4, out);
		}
	}
}

int doctor_explain(const char *id, const struct doctor_style *style, FILE *out)
{
	const struct doctor_rule *rule = doctor_rule_find(id);
	struct arena arena = {0};

	if (!rule)
		return -ENOENT;
	fprintf(out, "%s%s%s (%s): ", style->bold, rule->id, style->off,
		doctor_severity_name(rule->severity));
	wrap_print(
		rule->title, style->width,
		(unsigned int)(strlen(rule->id) + strlen(doctor_severity_name(rule->severity)) + 5),
		2, out);
	section(style, &arena, "What goes on", rule->cause, out);
	section(style, &arena, "How it looks", rule->shows, out);
	section(style, &arena, "What tells it from others", rule->decides, out);
	section(style, &arena, "The wrong conclusion", rule->trap, out);
	section(style, &arena, "Where the path breaks", doctor_hop_text(rule->hop), out);
	explain_fixes(rule, style, &arena, out);
	arena_free(&arena);
	return 0;
}

static void list_json(FILE *out)
{
	struct json_object *list = json_object_new_array(), *row;
	const struct doctor_rule *rule = NULL;

	while ((rule = doctor_rule_next(rule))) {
		row = json_object_new_object();
		json_object_object_add(row, "id", json_object_new_string(rule->id));
		json_object_object_add(
			row, "severity",
			json_object_new_string(doctor_severity_name(rule->severity)));
		json_object_object_add(row, "title", json_object_new_string(rule->title));
		json_object_object_add(row, "hop",
				       json_object_new_string(doctor_hop_name(rule->hop)));
		json_object_array_add(list, row);
	}
	fprintf(out, "%s\n",
		json_object_to_json_string_ext(list, JSON_C_TO_STRING_PRETTY |
							     JSON_C_TO_STRING_SPACED |
							     JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(list);
}

void doctor_list(const struct doctor_style *style, bool json, FILE *out)
{
	const struct doctor_rule *rule = NULL;

	if (json) {
		list_json(out);
		return;
	}
	while ((rule = doctor_rule_next(rule))) {
		fprintf(out, "%s%-*s%s %-*s", style->bold, ID_COLUMNS - 1, rule->id, style->off,
			SEVERITY_COLUMNS, doctor_severity_name(rule->severity));
		wrap_print(rule->title, style->width, ID_COLUMNS + SEVERITY_COLUMNS,
			   ID_COLUMNS + SEVERITY_COLUMNS, out);
	}
}
