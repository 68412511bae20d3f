/* SPDX-License-Identifier: MIT */
/*
 * The report as one page that needs nothing else: no script, no font, no request.
 */
#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "doctor/report/escape.h"
#include "doctor/report/html.h"
#include "doctor/report/notes.h"
#include "doctor/report/report.h"
#include "doctor/text.h"

static const char style_sheet[] =
	":root{color-scheme:light dark;--paper:#fbfbfa;--card:#fff;--ink:#1d2127;--soft:#5a626d;"
	"--line:#d9dde2;--code:#f1f3f5;--bad:#b3261e;--bad-soft:#fdecea;--warn:#8a5300;"
	"--warn-soft:#fff4e0;--good:#1b6e3c;--good-soft:#e7f5ec;--link:#2a5fa5;--area:#f4f6f8}\n"
	"@media(prefers-color-scheme:dark){:root{--paper:#14171b;--card:#1c2026;--ink:#e6e9ed;"
	"--soft:#a2abb6;--line:#363d47;--code:#12151a;--bad:#ff8a80;--bad-soft:#3a1d1c;"
	"--warn:#ffc166;--warn-soft:#382a12;--good:#7fd49d;--good-soft:#16311f;--link:#8db8f0;"
	"--area:#20252c}}\n"
	"*{box-sizing:border-box}"
	"body{margin:0;background:var(--paper);color:var(--ink);"
	"font:16px/1.55 system-ui,-apple-system,'Segoe UI','DejaVu Sans',sans-serif}"
	"main{max-width:62rem;margin:0 auto;padding:2rem 1.25rem 4rem}"
	"h1{font-size:1.7rem;line-height:1.25;margin:0 0 .25rem}"
	"h2{font-size:1.25rem;line-height:1.3;margin:0}"
	"h3{font-size:.82rem;letter-spacing:.06em;text-transform:uppercase;color:var(--soft);"
	"margin:1.4rem 0 .4rem}"
	"p{margin:.35rem 0}ul,ol{margin:.3rem 0;padding-left:1.35rem}li{margin:.3rem 0}"
	"a{color:var(--link)}"
	".brand{color:var(--soft);font-size:.9rem;margin:0 0 1.2rem}"
	".verdict{border-left:6px solid var(--soft);background:var(--card);padding:1rem 1.25rem;"
	"border-radius:8px;margin:0 0 1.25rem}"
	".verdict.findings{border-color:var(--bad);background:var(--bad-soft)}"
	".verdict.healthy{border-color:var(--good);background:var(--good-soft)}"
	".verdict.cannot-look{border-color:var(--warn);background:var(--warn-soft)}"
	".verdict ol{margin:.6rem 0 0}"
	"figure{margin:0 0 1.5rem;background:var(--card);border:1px solid var(--line);"
	"border-radius:8px;padding:.75rem;overflow-x:auto}"
	"figcaption{color:var(--soft);font-size:.88rem;padding:.25rem .4rem 0}"
	"article{background:var(--card);border:1px solid var(--line);border-radius:8px;"
	"padding:1.25rem 1.4rem;margin:0 0 1.25rem}"
	"article.error{border-top:4px solid var(--bad)}"
	"article.warning{border-top:4px solid var(--warn)}"
	".facts{color:var(--soft);font-size:.92rem;margin:.4rem 0 0;overflow-wrap:anywhere}"
	".facts b{color:var(--ink);font-weight:600}"
	".tag{display:inline-block;font-size:.75rem;font-weight:700;letter-spacing:.05em;"
	"text-transform:uppercase;border:1.5px solid;border-radius:99px;padding:.05rem .6rem;"
	"margin-right:.5rem;vertical-align:.12em}"
	".error .tag{color:var(--bad)}.warning .tag{color:var(--warn)}.info .tag{color:var(--soft)}"
	"code,pre,.log{font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',"
	"monospace;font-size:.86rem}"
	"pre{background:var(--code);border:1px solid var(--line);border-radius:6px;margin:.5rem 0;"
	"padding:.6rem .8rem;white-space:pre-wrap;overflow-wrap:anywhere}"
	".log{list-style:none;padding:0;margin:.3rem 0}"
	".log li{background:var(--code);border:1px solid var(--line);border-radius:6px;"
	"padding:.45rem .8rem;margin:.4rem 0;white-space:pre-wrap;overflow-wrap:anywhere}"
	".log span{display:block;color:var(--soft);font-size:.8rem}"
	".place{display:inline-block;font-size:.78rem;font-weight:600;color:var(--soft);"
	"border:1px solid var(--line);border-radius:4px;padding:0 .4rem;margin-right:.35rem}"
	".proved{color:var(--soft);font-size:.92rem}"
	"footer{color:var(--soft);font-size:.85rem;margin-top:2rem}"
	"section.plain{margin:1.75rem 0}section.plain h2{margin-bottom:.4rem}\n"
	"svg{display:block;width:100%;min-width:42rem;height:auto}"
	"svg text{fill:var(--ink);text-anchor:middle;font-size:14px}"
	"svg .name{font-weight:600;font-size:14.5px}"
	"svg .small{fill:var(--soft);font-size:12.5px}"
	"svg .address{font-size:12.5px;font-family:ui-monospace,'DejaVu Sans Mono',monospace}"
	"svg .caption{text-anchor:start;fill:var(--soft);font-size:12px;letter-spacing:.04em}"
	"svg .area{fill:var(--area);stroke:var(--line)}"
	"svg .box rect{fill:var(--card);stroke:var(--soft);stroke-width:1.5}"
	"svg .box.broken rect{fill:var(--bad-soft);stroke:var(--bad);stroke-width:3;"
	"stroke-dasharray:9 5}"
	"svg .arrow{fill:none;stroke:var(--soft);stroke-width:2}"
	"svg .arrow.broken{stroke:var(--bad);stroke-width:3;stroke-dasharray:9 5}"
	"svg #tip path{fill:var(--soft)}svg #tip-broken path{fill:var(--bad)}"
	"svg .mark rect{fill:var(--bad);stroke:var(--card);stroke-width:2}"
	"svg .mark path{stroke:var(--card);stroke-width:3;fill:none;stroke-linecap:round}"
	"svg .mark text{fill:var(--card);font-size:14px;font-weight:700;text-anchor:start}\n"
	"@media print{:root{color-scheme:light;--paper:#fff;--card:#fff;--ink:#000;--soft:#444;"
	"--line:#bbb;--code:#f6f6f6;--bad:#a01c15;--bad-soft:#fbeae8;--warn:#7a4a00;"
	"--warn-soft:#fff6e6;--good:#14582f;--good-soft:#ecf7f0;--link:#000;--area:#f7f7f7}"
	"*{print-color-adjust:exact;-webkit-print-color-adjust:exact}"
	"body{font-size:10.5pt}main{max-width:none;padding:0}svg{min-width:0}"
	"figure,li,pre{break-inside:avoid}h2,h3{break-after:avoid}a{text-decoration:none}}\n";

struct page {
	const struct doctor_report *report;
	FILE *out;
};

static void put(const struct page *page, const char *html)
{
	fputs(html, page->out);
}

/* <tag class="...">text</tag>, the text made safe. */
static void element(const struct page *page, const char *tag, const char *class, const char *text)
{
	fprintf(page->out, "<%s%s%s%s>", tag, *class ? " class=\"" : "", class, *class ? "\"" : "");
	escape_html(text, page->out);
	fprintf(page->out, "</%s>\n", tag);
}

static void commands(const struct page *page, const char *text)
{
	size_t size = text ? strlen(text) : 0;

	while (size && text[size - 1] == '\n')
		size--;
	if (size)
		element(page, "pre", "", arena_strndup(page->report->arena, text, size));
}

static void put_why(const struct page *page, const struct doctor_finding *finding)
{
	if (!finding->why_count)
		return;
	put(page, "<h3>Why</h3>\n");
	for (size_t i = 0; i < finding->why_count; i++)
		element(page, "p", "", finding->why[i]);
}

static void put_evidence(const struct page *page, const struct doctor_finding *finding)
{
	if (!finding->evidence_count)
		return;
	put(page, "<h3>Evidence</h3>\n<ul class=\"log\">\n");
	for (size_t i = 0; i < finding->evidence_count; i++) {
		const struct doctor_evidence *evidence = &finding->evidence[i];

		put(page, "<li>");
		escape_html(evidence->text, page->out);
		put(page, "<span>");
		escape_html(evidence->source, page->out);
		if (evidence->count > 1)
			fprintf(page->out, ", %" PRIu64 " times", evidence->count);
		put(page, "</span></li>\n");
	}
	put(page, "</ul>\n");
}

static void put_fixes(const struct page *page, const struct doctor_finding *finding)
{
	struct arena *arena = page->report->arena;
	size_t *order = arena_alloc(arena, (finding->fix_count + 1) * sizeof(*order));

	if (!finding->fix_count)
		return;
	doctor_fix_order(page->report, finding, order);
	put(page, "<h3>What to do</h3>\n<ol>\n");
	for (size_t i = 0; i < finding->fix_count; i++) {
		const struct doctor_fix *fix = &finding->fix[order[i]];

		put(page, "<li>");
		if (*doctor_fix_place(fix))
			element(page, "span", "place", doctor_fix_place(fix));
		escape_html(fix->text, page->out);
		commands(page, fix->commands);
		if (fix->proved && *fix->proved)
			element(page, "p", "proved",
				arena_printf(arena, "Proved: %s", fix->proved));
		put(page, "</li>\n");
	}
	put(page, "</ol>\n");
}

static void put_next(const struct page *page, const struct doctor_finding *finding)
{
	if (!finding->next_count)
		return;
	put(page, "<h3>What would decide</h3>\n<ul>\n");
	for (size_t i = 0; i < finding->next_count; i++) {
		put(page, "<li>");
		escape_html(finding->next[i].text, page->out);
		commands(page, finding->next[i].commands);
		if (finding->next[i].decides && *finding->next[i].decides)
			element(page, "p", "", finding->next[i].decides);
		put(page, "</li>\n");
	}
	put(page, "</ul>\n");
}

static void put_ruled_out(const struct page *page, const struct doctor_finding *finding)
{
	if (finding->ruled_out_count) {
		put(page, "<h3>Ruled out</h3>\n<ul>\n");
		for (size_t i = 0; i < finding->ruled_out_count; i++) {
			put(page, "<li><b>");
			escape_html(finding->ruled_out[i].what, page->out);
			put(page, "</b>: ");
			escape_html(finding->ruled_out[i].why, page->out);
			put(page, "</li>\n");
		}
		put(page, "</ul>\n");
	}
	if (finding->follows_count) {
		put(page, "<h3>Explains as well</h3>\n<p>");
		for (size_t i = 0; i < finding->follows_count; i++) {
			put(page, i ? ", " : "");
			element(page, "code", "", finding->follows[i]);
		}
		put(page, "</p>\n");
	}
}

static void put_facts(const struct page *page, const struct doctor_finding *finding)
{
	const char *device = doctor_device_text(page->report, finding);

	put(page, "<p class=\"facts\">");
	if (*device) {
		put(page, "<b>");
		escape_html(device, page->out);
		put(page, "</b>");
		put(page, finding->machine ? " on " : " &middot; ");
	}
	if (finding->machine) {
		escape_html(finding->machine, page->out);
		put(page, " &middot; ");
	}
	fprintf(page->out, "<b>%s</b>, %u&nbsp;%% &middot; ",
		doctor_confidence_text(finding->confidence), finding->confidence);
	if (finding->hop != HOP_NONE) {
		put(page, "breaks at ");
		escape_html(doctor_hop_text(finding->hop), page->out);
		put(page, " &middot; ");
	}
	element(page, "code", "", finding->rule->id);
	put(page, "</p>\n");
}

static void put_finding(const struct page *page, const struct doctor_finding *finding,
			size_t number)
{
	const char *severity = doctor_severity_name(finding->severity);

	fprintf(page->out, "<article id=\"finding-%zu\" class=\"%s\" data-id=\"", number, severity);
	escape_html(finding->rule->id, page->out);
	fprintf(page->out, "\">\n<h2><span class=\"tag\">%zu &middot; %s</span>", number, severity);
	escape_html(finding->title, page->out);
	put(page, "</h2>\n");
	put_facts(page, finding);
	put_why(page, finding);
	put_evidence(page, finding);
	put_fixes(page, finding);
	put_next(page, finding);
	put_ruled_out(page, finding);
	put(page, "</article>\n");
}

static void put_verdict(const struct page *page)
{
	const struct doctor_report *report = page->report;
	size_t number = 0;

	fprintf(page->out, "<div class=\"verdict %s\">\n", doctor_verdict_name(report->verdict));
	element(page, "h1", "", doctor_verdict_text(report));
	for (size_t i = 0; i < report->count; i++) {
		if (report->finding[i].severity == DOCTOR_INFO)
			continue;
		if (!number++)
			put(page, "<ol>\n");
		fprintf(page->out, "<li><a href=\"#finding-%zu\">", number);
		escape_html(report->finding[i].title, page->out);
		put(page, "</a></li>\n");
	}
	put(page, number ? "</ol>\n</div>\n" : "</div>\n");
}

static void put_drawing(const struct page *page)
{
	bool broken = false;

	for (size_t i = 0; i < page->report->count; i++)
		broken |= page->report->finding[i].severity != DOCTOR_INFO &&
			  page->report->finding[i].hop != HOP_NONE;
	put(page, "<figure>\n");
	html_drawing(page->report, page->out);
	element(page, "figcaption", "",
		broken ? "The path from the device to the guest. Where it breaks there is a cross, "
			 "with the number of the finding."
		       : "The path from the device to the guest. No hop of it is known to be "
			 "broken.");
	put(page, "</figure>\n");
}

static void put_infos(const struct page *page)
{
	bool first = true;

	for (size_t i = 0; i < page->report->count; i++) {
		const struct doctor_finding *finding = &page->report->finding[i];
		const char *device = doctor_device_text(page->report, finding);

		if (finding->severity != DOCTOR_INFO)
			continue;
		if (first)
			put(page,
			    "<section class=\"plain\">\n<h2>Looks alarming, is not</h2>\n<ul>\n");
		first = false;
		put(page, "<li><b>");
		escape_html(finding->title, page->out);
		put(page, "</b>");
		put(page, *device ? ": " : "");
		escape_html(device, page->out);
		put(page, " ");
		element(page, "code", "", finding->rule->id);
		for (size_t w = 0; w < finding->why_count; w++)
			element(page, "p", "", finding->why[w]);
		put(page, "</li>\n");
	}
	put(page, first ? "" : "</ul>\n</section>\n");
}

static void put_looked_at(const struct page *page)
{
	const struct doctor_case *seen = page->report->looked_at;
	struct arena *arena = page->report->arena;
	struct doctor_notes notes;

	if (!seen)
		return;
	put(page, "<section class=\"plain\">\n<h2>Looked at</h2>\n<ul>\n");
	for (size_t i = 0; i < seen->machine_count; i++)
		element(page, "li", "", doctor_machine_text(arena, &seen->machine[i]));
	for (size_t i = 0; i < seen->facts->log_count; i++)
		element(page, "li", "", doctor_log_text(arena, &seen->facts->log[i]));
	put(page, "</ul>\n</section>\n");
	doctor_notes_collect(page->report, &notes);
	if (!notes.count)
		return;
	put(page, "<section class=\"plain\">\n<h2>Not seen, or skipped</h2>\n<ul>\n");
	for (size_t i = 0; i < notes.count; i++)
		element(page, "li", "", doctor_note_text(arena, &notes.note[i]));
	put(page, "</ul>\n</section>\n");
}

static void put_footer(const struct page *page)
{
	time_t now = time(NULL);
	struct tm utc;
	char text[64] = "";

	if (gmtime_r(&now, &utc))
		strftime(text, sizeof(text), "%Y-%m-%d %H:%M UTC", &utc);
	fprintf(page->out,
		"<footer>Written by tethys doctor %s, %s. "
		"<code>tethys doctor --explain ID</code> says more about a class of findings."
		"</footer>\n",
		TETHYS_VERSION, text);
}

void doctor_report_html(const struct doctor_report *report, FILE *out)
{
	const struct page page = {report, out};
	size_t number = 0;

	put(&page, "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
		   "<meta http-equiv=\"Content-Security-Policy\" "
		   "content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
		   "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n"
		   "<meta name=\"color-scheme\" content=\"light dark\">\n"
		   "<title>tethys doctor: ");
	escape_html(doctor_verdict_text(report), out);
	put(&page, "</title>\n<style>\n");
	put(&page, style_sheet);
	put(&page, "</style>\n</head>\n<body>\n<main>\n<p class=\"brand\">tethys doctor</p>\n");
	put_verdict(&page);
	put_drawing(&page);
	for (size_t i = 0; i < report->count; i++)
		if (report->finding[i].severity != DOCTOR_INFO)
			put_finding(&page, &report->finding[i], ++number);
	put_infos(&page);
	put_looked_at(&page);
	put_footer(&page);
	put(&page, "</main>\n</body>\n</html>\n");
}
