/* SPDX-License-Identifier: MIT */
#include <stdarg.h>
#include <string.h>

#include "doctor/snapshot.h"

#define NOTES_MAX 200u

void snapshot_init(struct snapshot *snapshot)
{
	*snapshot = (struct snapshot){.name = ""};
	store_init(&snapshot->store, &snapshot->arena);
}

void snapshot_deinit(struct snapshot *snapshot)
{
	arena_free(&snapshot->arena);
	snapshot_init(snapshot);
}

void snapshot_note(struct snapshot *snapshot, const char *what, const char *next, const char *fmt,
		   ...)
{
	struct arena *arena = &snapshot->arena;
	struct snapshot_note *note;
	const char *why;
	va_list args;

	if (snapshot->note_count >= NOTES_MAX)
		return;
	va_start(args, fmt);
	why = arena_vprintf(arena, fmt, args);
	va_end(args);
	/* A snapshot that was judged before it was written holds the judgement's notes already. */
	for (size_t i = 0; i < snapshot->note_count; i++)
		if (!strcmp(snapshot->note[i].what, what) && !strcmp(snapshot->note[i].why, why))
			return;
	note = arena_grow(arena, &snapshot->note, snapshot->note_count, sizeof(*note));
	note->what = arena_strdup(arena, what);
	note->why = why;
	note->next = arena_strdup(arena, next);
	snapshot->note_count++;
}

void snapshot_log_begin(struct snapshot *snapshot, const char *name)
{
	struct snapshot_log *log =
		arena_grow(&snapshot->arena, &snapshot->log, snapshot->log_count, sizeof(*log));

	log->name = arena_strdup(&snapshot->arena, name);
	snapshot->log_count++;
}

void snapshot_log_keep(void *context, uint64_t number, const char *text)
{
	struct snapshot *snapshot = context;
	struct snapshot_line *line;
	struct snapshot_log *log;

	if (!snapshot->log_count)
		snapshot_log_begin(snapshot, "log");
	log = &snapshot->log[snapshot->log_count - 1];
	if (log->count >= SNAPSHOT_LINES_MAX) {
		log->dropped++;
		return;
	}
	line = arena_grow(&snapshot->arena, &log->line, log->count, sizeof(*line));
	line->number = number;
	line->text = arena_strdup(&snapshot->arena, text);
	log->count++;
}
