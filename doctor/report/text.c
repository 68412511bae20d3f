/* SPDX-License-Identifier: MIT */
/*
 * The report on a terminal.
 */
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

#include "doctor/report/escape.h"
#include "doctor/report/notes.h"
#include "doctor/report/report.h"
#include "doctor/report/wrap.h"
#include "doctor/text.h"

/* Of what is printed of a finding in short. */
#define SHORT_WHY 1u
#define SHORT_EVIDENCE 2u
#define SHORT_FIXES 1u
/* Of notes, unless all is asked for. */
#define SHORT_NOTES 8u

struct page {
	const struct doctor_report *report;
	const struct doctor_style *style;
	struct arena *arena;
	FILE *out;
	bool full; /* this finding is printed whole */
};

static const char *safe(const struct page *page, const char *text)
{
	return escape_line(page->arena, text, page->style->utf8);
}

/* "  - text" with the text wrapped behind the mark. */
static void paragraph(const struct page *page, unsigned int indent, const char *mark,
		      const char *text)
{
	unsigned int first = indent + wrap_columns(mark, strlen(mark));

	fprintf(page->out, "%*s%s", (int)indent, "", mark);
	wrap_print(safe(page, text), page->style->width, first, first, page->out);
}

static void paragraph_of(const struct page *page, unsigned int indent, const char *mark,
			 const char *fmt, ...) __attribute__((format(printf, 4, 5)));
static void paragraph_of(const struct page *page, unsigned int indent, const char *mark,
			 const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	paragraph(page, indent, mark, arena_vprintf(page->arena, fmt, args));
	va_end(args);
}

/* As it is: a line to copy, or one of a log where nobody sees a terminal. */
static void whole_line(const struct page *page, unsigned int indent, const char *mark,
		       const char *text)
{
	fprintf(page->out, "%*s%s%s\n", (int)indent, "", mark, safe(page, text));
}

static void heading(const struct page *page, const char *text)
{
	fprintf(page->out, "\n    %s%s%s\n", page->style->bold, text, page->style->off);
}

static const char *dash(const struct page *page)
{
	return page->style->utf8 ? "• " : "- ";
}

static void commands(const struct page *page, unsigned int indent, const char *text)
{
	const char *line;

	while ((line = doctor_next_line(page->arena, &text)))
		whole_line(page, indent, "", line);
}

static size_t at_most(const struct page *page, size_t count, size_t limit)
{
	return page->full || count < limit ? count : limit;
}

static void left_out(const struct page *page, size_t count, size_t shown)
{
	if (count > shown)
		paragraph_of(page, 6, "", "(%zu more)", count - shown);
}

static void print_why(const struct page *page, const struct doctor_finding *finding)
{
	size_t shown = at_most(page, finding->why_count, SHORT_WHY);

	if (!shown)
		return;
	heading(page, "Why");
	for (size_t i = 0; i < shown; i++)
		paragraph(page, 6, dash(page), finding->why[i]);
	left_out(page, finding->why_count, shown);
}

static void print_evidence(const struct page *page, const struct doctor_finding *finding)
{
	const struct doctor_style *style = page->style;
	size_t shown = at_most(page, finding->evidence_count, SHORT_EVIDENCE);

	if (!shown)
		return;
	heading(page, "Evidence");
	for (size_t i = 0; i < shown; i++) {
		const struct doctor_evidence *evidence = &finding->evidence[i];

		if (style->terminal)
			paragraph(page, 6, dash(page), evidence->text);
		else
			whole_line(page, 6, dash(page), evidence->text);
		fprintf(page->out, "        %s%s", style->dim, safe(page, evidence->source));
		if (evidence->count > 1)
			fprintf(page->out, ", %" PRIu64 " times", evidence->count);
		fprintf(page->out, "%s\n", style->off);
	}
	left_out(page, finding->evidence_count, shown);
}

static void print_fixes(const struct page *page, const struct doctor_finding *finding)
{
	size_t shown = at_most(page, finding->fix_count, SHORT_FIXES);
	size_t *order = arena_alloc(page->arena, (finding->fix_count + 1) * sizeof(*order));
	enum doctor_where before = FOR_ANY;

	if (!shown)
		return;
	doctor_fix_order(page->report, finding, order);
	heading(page, "What to do");
	for (size_t i = 0; i < shown; i++) {
		const struct doctor_fix *fix = &finding->fix[order[i]];

		if (fix->where != before && *doctor_fix_place(fix))
			fprintf(page->out, "      %s%s:%s\n", page->style->dim,
				doctor_fix_place(fix), page->style->off);
		before = fix->where;
		paragraph(page, 6, arena_printf(page->arena, "%zu. ", i + 1), fix->text);
		commands(page, 13, fix->commands);
		if (fix->proved && *fix->proved)
			paragraph_of(page, 9, "", "Proved: %s", fix->proved);
	}
	left_out(page, finding->fix_count, shown);
}

static void print_next(const struct page *page, const struct doctor_finding *finding)
{
	if (!page->full || !finding->next_count)
		return;
	heading(page, "What would decide");
	for (size_t i = 0; i < finding->next_count; i++) {
		const struct doctor_next *next = &finding->next[i];

		paragraph(page, 6, dash(page), next->text);
		commands(page, 13, next->commands);
		if (next->decides && *next->decides)
			paragraph(page, 8, "", next->decides);
	}
}

static void print_ruled_out(const struct page *page, const struct doctor_finding *finding)
{
	if (!page->full)
		return;
	if (finding->ruled_out_count)
		heading(page, "Ruled out");
	for (size_t i = 0; i < finding->ruled_out_count; i++)
		paragraph_of(page, 6, dash(page), "%s: %s", finding->ruled_out[i].what,
			     finding->ruled_out[i].why);
	if (finding->follows_count)
		heading(page, "Explains as well");
	for (size_t i = 0; i < finding->follows_count; i++)
		paragraph(page, 6, dash(page), finding->follows[i]);
}

static void print_finding(struct page *page, const struct doctor_finding *finding, size_t number)
{
	const struct doctor_style *style = page->style;
	bool error = finding->severity == DOCTOR_ERROR;
	const char *device = doctor_device_text(page->report, finding);
	const char *mark =
		arena_printf(page->arena, "[%zu] %s: ", number, error ? "ERROR" : "WARNING");

	page->full = style->verbose || number == 1;
	fprintf(page->out, "\n%s%s%s%s", error ? style->bad : style->warn, mark, style->off,
		style->bold);
	wrap_print(safe(page, finding->title), style->width, (unsigned int)strlen(mark), 4,
		   page->out);
	fputs(style->off, page->out);
	paragraph_of(page, 4, "", "%s%s%s%s%s (%u %%), %s", device, *device ? ", " : "",
		     finding->machine ? finding->machine : "", finding->machine ? ", " : "",
		     doctor_confidence_text(finding->confidence), finding->confidence,
		     finding->rule->id);
	print_why(page, finding);
	print_evidence(page, finding);
	print_fixes(page, finding);
	print_next(page, finding);
	print_ruled_out(page, finding);
}

static void print_infos(const struct page *page)
{
	bool first = true;

	for (size_t i = 0; i < page->report->count; i++) {
		const struct doctor_finding *finding = &page->report->finding[i];
		const char *device = doctor_device_text(page->report, finding);

		if (finding->severity != DOCTOR_INFO)
			continue;
		if (first)
			fprintf(page->out, "\n%sLooks alarming, is not:%s\n", page->style->bold,
				page->style->off);
		first = false;
		paragraph_of(page, 2, dash(page), "%s%s%s (%s)", finding->title,
			     *device ? ": " : "", device, finding->rule->id);
		for (size_t w = 0; page->style->verbose && w < finding->why_count; w++)
			paragraph(page, 4, "", finding->why[w]);
	}
}

static void print_notes(const struct page *page)
{
	struct doctor_notes notes;
	size_t shown;

	doctor_notes_collect(page->report, &notes);
	shown = page->style->verbose || notes.count < SHORT_NOTES ? notes.count : SHORT_NOTES;
	if (!shown)
		return;
	fprintf(page->out, "\n%sNot seen, or skipped:%s\n", page->style->bold, page->style->off);
	for (size_t i = 0; i < shown; i++)
		paragraph(page, 2, dash(page), doctor_note_text(page->arena, &notes.note[i]));
	if (notes.count > shown)
		paragraph_of(page, 2, "", "(%zu more with --verbose)", notes.count - shown);
}

static void print_looked_at(const struct page *page)
{
	const struct doctor_case *seen = page->report->looked_at;

	for (size_t i = 0; seen && i < seen->machine_count; i++)
		paragraph_of(page, 2, "", "Looked at %s.",
			     doctor_machine_text(page->arena, &seen->machine[i]));
	for (size_t i = 0; seen && i < seen->facts->log_count; i++)
		paragraph_of(page, 2, "", "Read %s.",
			     doctor_log_text(page->arena, &seen->facts->log[i]));
}

static void print_hints(const struct page *page, size_t problems)
{
	const struct doctor_report *report = page->report;

	if (!problems)
		return;
	fputc('\n', page->out);
	if (problems > 1 && !page->style->verbose)
		paragraph(page, 2, "", "--verbose prints all of each finding.");
	paragraph_of(page, 2, "", "--explain %s says more about it; --html FILE draws it.",
		     report->finding[0].rule->id);
}

void doctor_report_text(const struct doctor_report *report, const struct doctor_style *style,
			FILE *out)
{
	struct page page = {report, style, report->arena, out, false};
	const char *colour = report->verdict == DOCTOR_HEALTHY	  ? style->good
			     : report->verdict == DOCTOR_FINDINGS ? style->bad
								  : style->warn;
	size_t problems = 0;

	fprintf(out, "%s%s%s%s\n", colour, style->bold, doctor_verdict_text(report), style->off);
	print_looked_at(&page);
	for (size_t i = 0; i < report->count; i++)
		if (report->finding[i].severity != DOCTOR_INFO)
			print_finding(&page, &report->finding[i], ++problems);
	print_infos(&page);
	print_notes(&page);
	print_hints(&page, problems);
}
