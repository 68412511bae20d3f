/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/term.h"
#include "doctor/look.h"

/* Where the name of the format is in a snapshot's file, at the latest. */
#define SNIFF_BYTES 512

static void add_note(struct doctor_look *look, const char *what, const char *why, const char *next)
{
	struct snapshot_note *note;

	note = arena_grow(&look->arena, &look->note, look->note_count, sizeof(*note));
	look->note_count++;
	*note = (struct snapshot_note){
		.what = arena_strdup(&look->arena, what),
		.why = arena_strdup(&look->arena, why),
		.next = arena_strdup(&look->arena, next),
	};
}

/* First line of a chain of reasons: the innermost, which says most. */
static const char *first_line(struct doctor_look *look, const struct reason *why)
{
	return arena_strndup(&look->arena, why->text, strcspn(why->text, "\n"));
}

/* Room for one more, still empty. Return: NULL when there are too many. */
static struct snapshot *add_snapshot(struct doctor_look *look, struct reason *why)
{
	struct snapshot *snapshot;

	if (look->count == LOOK_MACHINES_MAX) {
		reason_add(why, -E2BIG, "more than %u machines", LOOK_MACHINES_MAX);
		return NULL;
	}
	snapshot = calloc(1, sizeof(*snapshot));
	if (!snapshot) {
		reason_add(why, -ENOMEM, "out of memory");
		return NULL;
	}
	snapshot_init(snapshot);
	look->snapshot[look->count++] = snapshot;
	return snapshot;
}

static void log_belongs_to(struct doctor_look *look, size_t log, size_t snapshot)
{
	struct look_log *row;

	row = arena_grow(&look->arena, &look->machine_log, look->machine_log_count, sizeof(*row));
	look->machine_log_count++;
	row->log = (unsigned int)log;
	row->snapshot = (unsigned int)snapshot;
}

/* --- logs of snapshots --- */

/* The parser counted the lines it got; the snapshot knows which ones of the log they were. */
static void restore_numbers(struct doctor_facts *facts, size_t log, const struct snapshot_log *kept)
{
	for (size_t i = 0; i < facts->count; i++) {
		struct doctor_fact *fact = &facts->fact[i];

		if (fact->log != log)
			continue;
		if (fact->line && fact->line <= kept->count)
			fact->line = kept->line[fact->line - 1].number;
		if (fact->last_line && fact->last_line <= kept->count)
			fact->last_line = kept->line[fact->last_line - 1].number;
	}
}

static void parse_kept(struct doctor_look *look, size_t index)
{
	const struct snapshot *snapshot = look->snapshot[index];

	for (size_t i = 0; i < snapshot->log_count; i++) {
		const struct snapshot_log *kept = &snapshot->log[i];
		size_t log = look->facts.log_count;
		struct doctor_parser *parser;
		const char *name;

		name = snapshot->name
			       ? arena_printf(&look->arena, "%s: %s", snapshot->name, kept->name)
			       : kept->name;
		parser = doctor_parser_create(&look->facts, name, snapshot->side, NULL, NULL);
		for (size_t l = 0; l < kept->count; l++) {
			const char *text = kept->line[l].text;

			doctor_parser_feed(parser, text, strcspn(text, "\r\n"));
			doctor_parser_feed(parser, "\n", 1);
		}
		doctor_parser_finish(parser);
		doctor_parser_destroy(parser);
		restore_numbers(&look->facts, log, kept);
		log_belongs_to(look, log, index);
	}
}

static int read_snapshot(struct doctor_look *look, const char *path, struct reason *why)
{
	struct snapshot *snapshot = add_snapshot(look, why);
	int err;

	if (!snapshot)
		return -E2BIG;
	err = snapshot_read(snapshot, !strcmp(path, "-") ? "/dev/stdin" : path, why);
	if (err == -EPROTO)
		return reason_add(why, err, "%s is no snapshot of doctor. For a log: --log %s",
				  path, path);
	if (err)
		return reason_add(why, err, "The snapshot %s can't be read", path);
	parse_kept(look, look->count - 1);
	return 0;
}

/* "--log host.json kern.log": a snapshot among logs is told by its beginning. */
static bool is_snapshot(const char *path)
{
	char head[SNIFF_BYTES + 1];
	struct stat info;
	size_t size;
	FILE *file;

	if (!strcmp(path, "-") || stat(path, &info) || !S_ISREG(info.st_mode))
		return false;
	file = fopen(path, "re");
	if (!file)
		return false;
	size = fread(head, 1, SNIFF_BYTES, file);
	head[size] = '\0';
	fclose(file);
	return head[strspn(head, " \t\r\n")] == '{' && strstr(head, "\"" SNAPSHOT_FORMAT "\"");
}

/* --- logs --- */

/* Through the look, because the live snapshot is renewed while its log goes on. */
static void keep_line(void *context, uint64_t number, const char *line)
{
	struct doctor_look *look = context;

	snapshot_log_keep(look->snapshot[0], number, line);
}

static struct doctor_parser *begin_log(struct doctor_look *look, const char *name,
				       enum doctor_side side, bool of_machine)
{
	if (!look->live)
		return doctor_parser_create(&look->facts, name, side, NULL, NULL);
	snapshot_log_begin(look->snapshot[0], name);
	if (of_machine)
		log_belongs_to(look, look->facts.log_count, 0);
	return doctor_parser_create(&look->facts, name, side, keep_line, look);
}

static int read_log(struct doctor_look *look, const char *path, enum doctor_side side,
		    bool of_machine, struct reason *why)
{
	const char *name = !strcmp(path, "-") ? "stdin" : path;
	struct term_progress *bar;
	struct doctor_parser *parser;
	int err;

	bar = term_progress_start(arena_printf(&look->arena, "Reading %s", name), 0);
	parser = begin_log(look, name, side, of_machine);
	err = doctor_log_file(parser, path, why);
	doctor_parser_finish(parser);
	doctor_parser_destroy(parser);
	term_progress_stop(bar);
	if (err == -EBADMSG) {
		add_note(look, name, first_line(look, why), "");
		why->text[0] = '\0';
		return 0;
	}
	return err ? reason_add(why, err, "The log %s can't be read", path) : 0;
}

static int read_logs(struct doctor_look *look, const struct option_list *list,
		     enum doctor_side side, struct reason *why)
{
	int err = 0;

	for (size_t i = 0; !err && i < list->count; i++)
		err = is_snapshot(list->item[i]) ? read_snapshot(look, list->item[i], why)
						 : read_log(look, list->item[i], side, false, why);
	return err;
}

/* A log that nobody could open is none. */
static void forget_log(struct doctor_look *look, size_t log)
{
	if (look->facts.log_count == log + 1 && !look->facts.log[log].lines)
		look->facts.log_count = log;
	if (look->machine_log_count && look->machine_log[look->machine_log_count - 1].log == log)
		look->machine_log_count--;
	if (look->snapshot[0]->log_count && !look->snapshot[0]->log[0].count)
		look->snapshot[0]->log_count--;
}

static void read_kernel_log(struct doctor_look *look)
{
	size_t log = look->facts.log_count;
	struct reason why = {0};
	int err;

	look->kernel = begin_log(look, "kernel log", DOCTOR_SIDE_UNKNOWN, true);
	err = doctor_log_kernel(look->kernel, &why);
	if (err)
		add_note(look, "kernel log", *why.text ? first_line(look, &why) : strerror(-err),
			 "");
	if (!err && look->keep_kernel_open) {
		/* At once, so that nothing is missed while the machine is judged. */
		if (doctor_log_follow_open(&look->follow_fd, &why))
			add_note(look, "kernel log, as it goes on", first_line(look, &why), "");
		return;
	}
	doctor_parser_finish(look->kernel);
	doctor_parser_destroy(look->kernel);
	look->kernel = NULL;
	if (err)
		forget_log(look, log);
}

/* The log of a mounted system or a fixture. */
static int read_root_log(struct doctor_look *look, struct reason *why)
{
	static const char *const names[] = {"/var/log/kern.log", "/var/log/dmesg"};
	char path[PATH_MAX];

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		snprintf(path, sizeof(path), "%s%s", look->options->root, names[i]);
		if (!access(path, R_OK))
			return read_log(look, path, DOCTOR_SIDE_UNKNOWN, true, why);
	}
	add_note(look, "kernel log", "there is none in that folder", "give it with --log FILE");
	return 0;
}

/* --- machines --- */

static void note_device(struct doctor_look *look)
{
	char text[BDF_TEXT_BYTES];

	if (!look->options->has_device || !look->count)
		return;
	for (size_t i = 0; i < look->count; i++)
		if (machine_find_device(&look->machine[i], look->options->device))
			return;
	add_note(look, bdf_text(look->options->device, text), "is in no machine that was looked at",
		 "'lspci -D' lists the devices");
}

static void take_side(struct doctor_facts *facts, size_t log, enum doctor_side side)
{
	if (log >= facts->log_count || facts->log[log].side != DOCTOR_SIDE_UNKNOWN)
		return;
	facts->log[log].side = side;
	for (size_t i = 0; i < facts->count; i++)
		if (facts->fact[i].log == log)
			facts->fact[i].side = side;
}

static void take_sides(struct doctor_look *look)
{
	for (size_t i = 0; i < look->machine_log_count; i++)
		take_side(&look->facts, look->machine_log[i].log,
			  look->machine[look->machine_log[i].snapshot].side);
}

/* Neither /proc nor /sys here: only an error when nothing else was given. */
static int collect_live(struct doctor_look *look, struct reason *why)
{
	const char *root = look->options->root ? look->options->root : "";
	struct snapshot *snapshot = add_snapshot(look, why);

	if (!snapshot)
		return -ENOMEM;
	look->live = true;
	return snapshot_collect(snapshot, root, why);
}

static int read_all(struct doctor_look *look, struct reason *why)
{
	const struct doctor_options *options = look->options;
	bool logs_given = options->log.count || options->guest_log.count;
	int err = 0;

	if (options->live)
		err = collect_live(look, why);
	for (size_t i = 0; !err && i < options->file_count; i++)
		err = read_snapshot(look, options->file[i], why);
	if (!err)
		err = read_logs(look, &options->log, DOCTOR_SIDE_UNKNOWN, why);
	if (!err)
		err = read_logs(look, &options->guest_log, DOCTOR_SIDE_GUEST, why);
	if (err || !look->live || (logs_given && !look->keep_kernel_open))
		return err;
	if (options->root)
		return read_root_log(look, why);
	read_kernel_log(look);
	return 0;
}

int look_open(struct doctor_look *look, const struct doctor_options *options, bool keep_kernel_open,
	      struct reason *why)
{
	int err;

	*look = (struct doctor_look){
		.options = options, .keep_kernel_open = keep_kernel_open, .follow_fd = -1};
	doctor_facts_init(&look->facts, &look->arena);
	err = read_all(look, why);
	if (err)
		return err;
	for (size_t i = 0; i < look->count; i++)
		machine_build(&look->machine[i], look->snapshot[i]);
	take_sides(look);
	note_device(look);
	return 0;
}

void look_close(struct doctor_look *look)
{
	doctor_parser_destroy(look->kernel);
	look->kernel = NULL;
	if (look->follow_fd >= 0)
		close(look->follow_fd);
	look->follow_fd = -1;
	doctor_facts_deinit(&look->facts);
	for (size_t i = 0; i < look->count; i++) {
		snapshot_deinit(look->snapshot[i]);
		free(look->snapshot[i]);
	}
	look->count = 0;
	arena_free(&look->arena);
}

static void copy_logs(struct snapshot *to, const struct snapshot *from)
{
	for (size_t i = 0; i < from->log_count; i++) {
		const struct snapshot_log *log = &from->log[i];

		snapshot_log_begin(to, log->name);
		for (size_t l = 0; l < log->count; l++)
			snapshot_log_keep(to, log->line[l].number, log->line[l].text);
		to->log[to->log_count - 1].dropped = log->dropped;
	}
}

int look_again(struct doctor_look *look, struct reason *why)
{
	const char *root = look->options->root ? look->options->root : "";
	struct snapshot *fresh = calloc(1, sizeof(*fresh));
	int err;

	if (!fresh)
		return reason_add(why, -ENOMEM, "out of memory");
	snapshot_init(fresh);
	err = snapshot_collect(fresh, root, why);
	if (err) {
		snapshot_deinit(fresh);
		free(fresh);
		return err;
	}
	copy_logs(fresh, look->snapshot[0]);
	snapshot_deinit(look->snapshot[0]);
	free(look->snapshot[0]);
	look->snapshot[0] = fresh;
	look->machine[0] = (struct machine){0};
	machine_build(&look->machine[0], fresh);
	return 0;
}

static void keep_device(const struct doctor_options *options, struct doctor_report *report)
{
	bool healthy = true;
	size_t kept = 0;

	for (size_t i = 0; i < report->count; i++) {
		const struct doctor_finding *finding = &report->finding[i];

		/* One without a device concerns all of them. */
		if (finding->has_device && !bdf_equal(finding->device, options->device))
			continue;
		healthy &= finding->severity == DOCTOR_INFO;
		report->finding[kept++] = *finding;
	}
	report->count = kept;
	if (report->verdict == DOCTOR_FINDINGS && healthy)
		report->verdict = DOCTOR_HEALTHY;
}

void look_judge(struct doctor_look *look, struct doctor_case *seen, struct arena *arena,
		struct doctor_report *ret_report)
{
	*seen = (struct doctor_case){
		.arena = arena,
		.machine = look->machine,
		.machine_count = look->count,
		.facts = &look->facts,
	};
	*ret_report = (struct doctor_report){0};
	doctor_judge_case(seen, ret_report);
	ret_report->note = look->note;
	ret_report->note_count = look->note_count;
	if (look->options->has_device)
		keep_device(look->options, ret_report);
}
