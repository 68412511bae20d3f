/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/term.h"
#include "doctor/doctor.h"
#include "doctor/look.h"
#include "doctor/options.h"
#include "doctor/output.h"
#include "doctor/report/report.h"
#include "doctor/watch.h"

static int explain(const struct doctor_options *options)
{
	struct doctor_style style;

	output_style(true, &style);
	if (options->list) {
		doctor_list(&style, options->json, stdout);
		return CLI_OK;
	}
	if (!doctor_explain(options->explain, &style, stdout))
		return CLI_OK;
	term_error("There is no class of findings called '%s'", options->explain);
	term_hint("--list shows them all.");
	return CLI_USAGE;
}

/* Programs that asked for JSON get a document, whatever happened. */
static int cannot_look(const struct doctor_options *options, struct reason *why)
{
	struct arena arena = {0};
	struct snapshot_note note = {"input", why->text, ""};
	struct doctor_report report = {
		.arena = &arena,
		.verdict = DOCTOR_CANNOT_LOOK,
		.note = &note,
		.note_count = 1,
	};

	term_error("%s", why->text);
	if (options->json)
		doctor_report_json(&report, stdout);
	arena_free(&arena);
	return DOCTOR_CANNOT_LOOK;
}

static bool stdout_is_taken(const struct doctor_options *options)
{
	return (options->html && !strcmp(options->html, "-")) ||
	       (options->snapshot && !strcmp(options->snapshot, "-"));
}

static int write_report(const struct doctor_options *options, const struct doctor_report *report,
			struct reason *why)
{
	struct doctor_style style;
	int err = 0;

	if (options->html)
		err = output_file(options->html, report, doctor_report_html, why);
	if (!err && options->metrics)
		err = output_file(options->metrics, report, doctor_report_metrics, why);
	if (options->json) {
		doctor_report_json(report, stdout);
	} else if (!stdout_is_taken(options)) {
		output_style(options->verbose, &style);
		doctor_report_text(report, &style, stdout);
	}
	return err;
}

static bool save_snapshot(const struct doctor_look *look)
{
	const struct doctor_options *options = look->options;
	struct reason why = {0};
	int err;

	if (!options->snapshot)
		return true;
	err = snapshot_write(look->snapshot[0], options->snapshot, options->redact, &why);
	if (!err)
		return true;
	reason_add(&why, err, "The snapshot %s can't be written", options->snapshot);
	term_error("%s", why.text);
	return false;
}

static int judge_once(struct doctor_look *look)
{
	struct doctor_report report;
	struct doctor_case seen;
	struct arena arena = {0};
	struct reason why = {0};
	bool saved = save_snapshot(look);
	int code;

	look_judge(look, &seen, &arena, &report);
	code = saved ? (int)report.verdict : DOCTOR_CANNOT_LOOK;
	if (write_report(look->options, &report, &why)) {
		term_error("%s", why.text);
		code = DOCTOR_CANNOT_LOOK;
	}
	arena_free(&arena);
	return code;
}

int doctor_main(int argc, char **argv)
{
	struct doctor_options options;
	struct reason why = {0};
	struct doctor_look look;
	int code = doctor_options_parse(argc, argv, &options);

	if (code != DOCTOR_GO_ON)
		return code;
	if (options.list || options.explain)
		return explain(&options);
	if (look_open(&look, &options, options.watch, &why))
		code = cannot_look(&options, &why);
	else if (options.watch)
		code = doctor_watch(&look);
	else
		code = judge_once(&look);
	look_close(&look);
	return code;
}
