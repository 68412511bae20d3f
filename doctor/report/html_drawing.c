/* SPDX-License-Identifier: MIT */
/*
 * Device -> link -> IOMMU -> guest memory or guest interrupt -> driver, as SVG within the page,
 * whose style sheet gives the colours. What is broken differs by frame, cross and number, too:
 * colour is lost in print and to some eyes.
 */
#include <string.h>

#include "doctor/report/escape.h"
#include "doctor/report/html.h"
#include "doctor/text.h"

#define NUMBERS_MAX 4u /* of findings at one hop, the rest is "..." */

struct place {
	enum doctor_hop hop;
	int x, y, width, height;
	int mark_x, mark_y; /* middle of the cross */
	const char *title, *line[2];
};

/* Boxes, from the device on the left to the guest on the right. */
static const struct place boxes[] = {
	{HOP_DEVICE, 24, 122, 168, 116, 176, 122, "Device", {NULL, NULL}},
	{HOP_DMA, 352, 112, 196, 62, 536, 112, "DMA remapping", {"page tables", NULL}},
	{HOP_INTERRUPT,
	 352,
	 188,
	 196,
	 62,
	 548,
	 188,
	 "Interrupt remapping",
	 {"table of IRTEs", NULL}},
	{HOP_MEMORY, 636, 112, 144, 62, 756, 112, "Guest memory", {"mapped by VFIO", NULL}},
	{HOP_NONE, 636, 188, 144, 62, 756, 188, "Guest interrupt", {"virtual MSI", NULL}},
	{HOP_GUEST, 820, 112, 120, 138, 916, 112, "Guest driver", {"and", "application"}},
	{HOP_BINDING, 24, 306, 168, 56, 176, 306, "Binding", {"vfio-pci, IOMMU group", NULL}},
	{HOP_PLATFORM, 340, 306, 220, 56, 544, 306, "Platform", {"firmware, kernel options", NULL}},
};

struct arrow {
	const char *path, *text;
	enum doctor_hop hop; /* that it belongs to */
	int text_x, text_y;
	int mark_x, mark_y;
	bool cross; /* it is a hop itself, with a cross of its own */
};

static const char bar_text[] = "registers (BARs), read and written by the guest";

static const struct arrow arrows[] = {
	{"M192 180H326", "PCIe link", HOP_LINK, 256, 168, 256, 180, true},
	{"M548 143H628", "", HOP_DMA, 0, 0, 0, 0, false},
	{"M548 219H628", "", HOP_INTERRUPT, 0, 0, 0, 0, false},
	{"M780 143H812", "", HOP_MEMORY, 0, 0, 0, 0, false},
	{"M780 219H812", "", HOP_NONE, 0, 0, 0, 0, false},
	{"M880 112V56H108V114", bar_text, HOP_BAR, 494, 38, 494, 56, true},
	{"M108 306V246", "", HOP_BINDING, 0, 0, 0, 0, false},
	{"M450 306V272", "", HOP_PLATFORM, 0, 0, 0, 0, false},
};

/* Numbers of the findings at a hop, "1" or "1, 3". Return: false when it isn't broken. */
static bool numbers_at(const struct doctor_report *report, enum doctor_hop hop, char *text,
		       size_t size)
{
	unsigned int found = 0;
	size_t used = 0, number = 0;

	text[0] = '\0';
	if (hop == HOP_NONE)
		return false;
	for (size_t i = 0; i < report->count; i++) {
		if (report->finding[i].severity == DOCTOR_INFO)
			continue;
		number++;
		if (report->finding[i].hop != hop || found > NUMBERS_MAX)
			continue;
		if (found++ == NUMBERS_MAX)
			used += (size_t)snprintf(text + used, size - used, ", ...");
		else
			used += (size_t)snprintf(text + used, size - used, "%s%zu",
						 found > 1 ? ", " : "", number);
		if (used >= size)
			used = size - 1;
	}
	return found > 0;
}

/* A pill with a cross and the numbers of the findings, its middle at @x, @y. */
static void mark(int x, int y, const char *numbers, FILE *out)
{
	int width = 34 + 8 * (int)strlen(numbers), left = x - width / 2;

	fprintf(out,
		"<g class=\"mark\"><rect x=\"%d\" y=\"%d\" width=\"%d\" height=\"24\" rx=\"12\"/>",
		left, y - 12, width);
	fprintf(out, "<path d=\"M%d %dl9 9m0-9l-9 9\"/>", left + 9, y - 4);
	fprintf(out, "<text x=\"%d\" y=\"%d\">%s</text></g>\n", left + 24, y + 5, numbers);
}

static void draw_box(const struct doctor_report *report, const struct place *box, FILE *out)
{
	char numbers[48];
	bool broken = numbers_at(report, box->hop, numbers, sizeof(numbers));
	int middle = box->x + box->width / 2, y = box->y + box->height / 2;

	fprintf(out, "<g class=\"box%s\" data-hop=\"%s\">", broken ? " broken" : "",
		doctor_hop_name(box->hop));
	fprintf(out, "<rect x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\" rx=\"8\"/>", box->x,
		box->y, box->width, box->height);
	y += box->line[1] ? -14 : box->line[0] ? -4 : 5;
	fprintf(out, "<text class=\"name\" x=\"%d\" y=\"%d\">%s</text>", middle, y, box->title);
	for (size_t i = 0; i < 2 && box->line[i]; i++)
		fprintf(out, "<text class=\"small\" x=\"%d\" y=\"%d\">%s</text>", middle,
			y + 19 + 16 * (int)i, box->line[i]);
	fputs("</g>\n", out);
}

static void draw_arrow(const struct doctor_report *report, const struct arrow *arrow, FILE *out)
{
	char numbers[48];
	bool broken = numbers_at(report, arrow->hop, numbers, sizeof(numbers));

	fprintf(out, "<path class=\"arrow%s\" d=\"%s\" marker-end=\"url(#%s)\"",
		broken ? " broken" : "", arrow->path, broken ? "tip-broken" : "tip");
	if (arrow->cross)
		fprintf(out, " data-hop=\"%s\"", doctor_hop_name(arrow->hop));
	fputs("/>\n", out);
	/* Where its cross would hide the label, that goes below. */
	if (*arrow->text)
		fprintf(out, "<text class=\"small\" x=\"%d\" y=\"%d\">%s</text>\n", arrow->text_x,
			broken && arrow->hop == HOP_LINK ? arrow->mark_y + 28 : arrow->text_y,
			arrow->text);
}

static void draw_marks(const struct doctor_report *report, FILE *out)
{
	char numbers[48];

	for (size_t i = 0; i < sizeof(arrows) / sizeof(arrows[0]); i++)
		if (arrows[i].cross && numbers_at(report, arrows[i].hop, numbers, sizeof(numbers)))
			mark(arrows[i].mark_x, arrows[i].mark_y, numbers, out);
	for (size_t i = 0; i < sizeof(boxes) / sizeof(boxes[0]); i++)
		if (numbers_at(report, boxes[i].hop, numbers, sizeof(numbers)))
			mark(boxes[i].mark_x, boxes[i].mark_y, numbers, out);
}

/* Which device, below the device's name: that of the first finding with one. */
static void draw_device(const struct doctor_report *report, FILE *out)
{
	char text[BDF_TEXT_BYTES];

	for (size_t i = 0; i < report->count; i++) {
		if (!report->finding[i].has_device || report->finding[i].severity == DOCTOR_INFO)
			continue;
		fprintf(out, "<text class=\"address\" x=\"108\" y=\"208\">%s</text>\n",
			bdf_text(report->finding[i].device, text));
		return;
	}
}

static void describe(const struct doctor_report *report, FILE *out)
{
	char numbers[48];
	bool any = false;

	fputs("<title id=\"path-title\">The path from the device to the guest</title>"
	      "<desc id=\"path-text\">",
	      out);
	for (int hop = HOP_NONE + 1; hop < HOP_NR; hop++) {
		if (!numbers_at(report, (enum doctor_hop)hop, numbers, sizeof(numbers)))
			continue;
		fprintf(out, "Broken at %s (finding %s). ", doctor_hop_text((enum doctor_hop)hop),
			numbers);
		any = true;
	}
	fprintf(out, "%s</desc>\n", any ? "" : "No hop is known to be broken.");
}

static void tip(const char *id, FILE *out)
{
	fprintf(out,
		"<marker id=\"%s\" viewBox=\"0 0 10 10\" refX=\"8\" refY=\"5\" markerWidth=\"13\" "
		"markerHeight=\"13\" markerUnits=\"userSpaceOnUse\" "
		"orient=\"auto\"><path d=\"M0 0l10 5l-10 5z\"/></marker>",
		id);
}

void html_drawing(const struct doctor_report *report, FILE *out)
{
	fputs("<svg viewBox=\"0 0 960 384\" role=\"img\" "
	      "aria-labelledby=\"path-title path-text\">\n",
	      out);
	describe(report, out);
	fputs("<defs>", out);
	tip("tip", out);
	tip("tip-broken", out);
	fputs("</defs>\n"
	      "<rect class=\"area\" x=\"334\" y=\"80\" width=\"232\" height=\"186\" rx=\"10\"/>"
	      "<text class=\"caption\" x=\"346\" y=\"100\">IOMMU of the host</text>\n"
	      "<rect class=\"area\" x=\"616\" y=\"80\" width=\"334\" height=\"186\" rx=\"10\"/>"
	      "<text class=\"caption\" x=\"628\" y=\"100\">Guest</text>\n",
	      out);
	for (size_t i = 0; i < sizeof(arrows) / sizeof(arrows[0]); i++)
		draw_arrow(report, &arrows[i], out);
	for (size_t i = 0; i < sizeof(boxes) / sizeof(boxes[0]); i++)
		draw_box(report, &boxes[i], out);
	draw_device(report, out);
	draw_marks(report, out);
	fputs("</svg>\n", out);
}
