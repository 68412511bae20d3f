/* SPDX-License-Identifier: MIT */
/*
 * A snapshot from a stranger: it is refused with a reason, or read, judged a machine, and redacted.
 */
#include <stdlib.h>
#include <string.h>

#include "doctor/model/machine.h"
#include "doctor/snapshot_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void redact_all(const struct snapshot *snapshot)
{
	struct redact *redact = redact_create(snapshot);
	size_t size;

	if (!redact)
		return;
	for (size_t i = 0; i < snapshot->store.count; i++) {
		const struct store_entry *entry = &snapshot->store.entry[i];

		redact_text(redact, REDACT_PATH, "", entry->path, strlen(entry->path), &size);
		redact_text(redact, REDACT_TEXT, entry->path, entry->data, entry->size, &size);
	}
	for (size_t i = 0; i < snapshot->log_count; i++)
		for (size_t j = 0; j < snapshot->log[i].count; j++)
			redact_text(redact, REDACT_LOG, "", snapshot->log[i].line[j].text,
				    strlen(snapshot->log[i].line[j].text), &size);
	redact_destroy(redact);
}

static void check(struct snapshot *snapshot)
{
	for (size_t i = 0; i < snapshot->store.count; i++) {
		const char *path = snapshot->store.entry[i].path;

		if (path[0] != '/' || strstr(path, "/../") || strstr(path, "//"))
			abort();
	}
	for (size_t i = 0; i < snapshot->note_count; i++)
		for (const char *at = snapshot->note[i].why; *at; at++)
			if ((unsigned char)*at < ' ')
				abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	struct reason why = {0};
	struct snapshot snapshot;
	struct machine machine;

	snapshot_init(&snapshot);
	if (snapshot_parse(&snapshot, (const char *)data, bytes, &why)) {
		if (!why.text[0])
			abort();
	} else {
		machine_build(&machine, &snapshot);
		check(&snapshot);
		redact_all(&snapshot);
	}
	snapshot_deinit(&snapshot);
	return 0;
}
