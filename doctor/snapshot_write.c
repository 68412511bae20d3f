/* SPDX-License-Identifier: MIT */
/*
 * The snapshot's file: one JSON document, documented in docs/doctor-snapshot.md.
 *
 *	{"format": "tethys-doctor-snapshot", "version": 1, "tool", "time", "name", "side",
 *	 "notes": [{"what", "why", "next"}],
 *	 "logs": [{"name", "lines": [[number, "text"], ...], "dropped"}],
 *	 "entries": [{"path", then one of "text", "base64", "link", "dir", "error"; "cut"}]}
 *
 * It is written piece by piece, an entry a line: it may be long, and a person can look through it.
 */
#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "doctor/snapshot_internal.h"

struct writer {
	FILE *out;
	struct redact *redact; /* NULL: as it is */
};

bool snapshot_is_text(const char *data, size_t size)
{
	const unsigned char *at = (const unsigned char *)data, *end = at + size;

	while (at < end) {
		size_t more = *at < 0x80 ? 0 : *at < 0xc2 ? 4 : *at < 0xe0 ? 1 : *at < 0xf0 ? 2 : 3;

		if (*at > 0xf4 || more > 3 || more >= (size_t)(end - at))
			return false;
		for (size_t i = 1; i <= more; i++)
			if ((at[i] & 0xc0) != 0x80)
				return false;
		if ((at[0] == 0xe0 && at[1] < 0xa0) || (at[0] == 0xed && at[1] > 0x9f) ||
		    (at[0] == 0xf0 && at[1] < 0x90) || (at[0] == 0xf4 && at[1] > 0x8f))
			return false;
		at += more + 1;
	}
	return true;
}

static char *base64(const char *data, size_t size)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const unsigned char *from = (const unsigned char *)data;
	char *text = malloc((size + 2) / 3 * 4 + 1), *to = text;

	if (!text)
		return NULL;
	for (size_t i = 0; i < size; i += 3) {
		size_t left = size - i;
		uint32_t word = (uint32_t)from[i] << 16;

		if (left > 1)
			word |= (uint32_t)from[i + 1] << 8;
		if (left > 2)
			word |= from[i + 2];
		*to++ = digits[word >> 18];
		*to++ = digits[word >> 12 & 63];
		*to++ = left > 1 ? digits[word >> 6 & 63] : '=';
		*to++ = left > 2 ? digits[word & 63] : '=';
	}
	*to = '\0';
	return text;
}

/* A string that may be anything: bytes that aren't UTF-8 become '?'. */
static struct json_object *string(struct writer *writer, enum redact_what what, const char *path,
				  const char *text, size_t size)
{
	struct json_object *object;
	char *copy;

	if (writer->redact)
		text = redact_text(writer->redact, what, path, text, size, &size);
	if (size > INT_MAX)
		size = INT_MAX;
	if (snapshot_is_text(text, size))
		return json_object_new_string_len(text, (int)size);
	copy = malloc(size + 1);
	if (!copy)
		return NULL;
	for (size_t i = 0; i < size; i++)
		copy[i] = (char)(text[i] & 0x80 ? '?' : text[i]);
	object = json_object_new_string_len(copy, (int)size);
	free(copy);
	return object;
}

static struct json_object *text_of(struct writer *writer, const char *text)
{
	return string(writer, REDACT_LOG, "", text ? text : "", text ? strlen(text) : 0);
}

/* Takes @object over. */
static void print(struct writer *writer, struct json_object *object)
{
	fputs(json_object_to_json_string_ext(object, JSON_C_TO_STRING_PLAIN |
							     JSON_C_TO_STRING_NOSLASHESCAPE),
	      writer->out);
	json_object_put(object);
}

static void print_member(struct writer *writer, const char *key, struct json_object *value)
{
	fprintf(writer->out, "\"%s\": ", key);
	print(writer, value);
	fputs(",\n", writer->out);
}

static void print_head(struct writer *writer, const struct snapshot *snapshot)
{
	static const char *const sides[] = {
		[DOCTOR_SIDE_UNKNOWN] = "unknown",
		[DOCTOR_SIDE_HOST] = "host",
		[DOCTOR_SIDE_GUEST] = "guest",
	};

	fputs("{\n", writer->out);
	print_member(writer, "format", json_object_new_string(SNAPSHOT_FORMAT));
	print_member(writer, "version", json_object_new_int(SNAPSHOT_VERSION));
	print_member(writer, "tool", json_object_new_string("tethys " TETHYS_VERSION));
	print_member(writer, "time", json_object_new_int64(snapshot->time_s));
	print_member(writer, "name",
		     string(writer, REDACT_HOST, "", snapshot->name, strlen(snapshot->name)));
	print_member(writer, "side", json_object_new_string(sides[snapshot->side]));
	print_member(writer, "redacted", json_object_new_boolean(writer->redact != NULL));
}

static void print_notes(struct writer *writer, const struct snapshot *snapshot)
{
	fputs("\"notes\": [", writer->out);
	for (size_t i = 0; i < snapshot->note_count; i++) {
		const struct snapshot_note *note = &snapshot->note[i];
		struct json_object *object = json_object_new_object();

		json_object_object_add(
			object, "what",
			string(writer, REDACT_PATH, "", note->what, strlen(note->what)));
		json_object_object_add(object, "why", text_of(writer, note->why));
		json_object_object_add(object, "next", text_of(writer, note->next));
		fputs(i ? ",\n" : "\n", writer->out);
		print(writer, object);
	}
	fputs("],\n", writer->out);
}

static void print_log(struct writer *writer, const struct snapshot_log *log)
{
	fputs("{\"name\": ", writer->out);
	print(writer, text_of(writer, log->name));
	fprintf(writer->out, ", \"dropped\": %llu, \"lines\": [", (unsigned long long)log->dropped);
	for (size_t i = 0; i < log->count; i++) {
		fprintf(writer->out, "%s[%llu, ", i ? ",\n" : "\n",
			(unsigned long long)log->line[i].number);
		print(writer, text_of(writer, log->line[i].text));
		fputc(']', writer->out);
	}
	fputs("]}", writer->out);
}

static bool is_config(const char *path)
{
	size_t size = strlen(path);

	return !strncmp(path, "/sys/", 5) && size > 7 && !strcmp(path + size - 7, "/config");
}

/* What is binary by its nature, however its bytes look. */
static bool is_binary(const char *path)
{
	return !strncmp(path, "/sys/firmware/acpi/", 19) || is_config(path);
}

static char *base64_redacted(const char *data, size_t size)
{
	uint8_t *copy = malloc(size + 1);
	char *text = NULL;

	if (!copy)
		return NULL;
	memcpy(copy, data, size);
	redact_config(copy, size);
	text = base64((const char *)copy, size);
	free(copy);
	return text;
}

static void add_content(struct writer *writer, struct json_object *object,
			const struct store_entry *entry)
{
	bool binary = is_binary(entry->path);
	char *text;

	/* Names must not hide behind a byte that isn't UTF-8. */
	if (!binary && (writer->redact || snapshot_is_text(entry->data, entry->size))) {
		json_object_object_add(
			object, "text",
			string(writer, REDACT_TEXT, entry->path, entry->data, entry->size));
		return;
	}
	if (writer->redact && is_config(entry->path))
		text = base64_redacted(entry->data, entry->size);
	else
		text = base64(entry->data, entry->size);
	json_object_object_add(object, "base64", json_object_new_string(text ? text : ""));
	free(text);
}

static void print_entry(struct writer *writer, const struct store_entry *entry)
{
	struct json_object *object = json_object_new_object();

	json_object_object_add(object, "path",
			       string(writer, REDACT_PATH, "", entry->path, strlen(entry->path)));
	switch (entry->kind) {
	case STORE_FILE:
		add_content(writer, object, entry);
		break;
	case STORE_LINK:
		json_object_object_add(object, "link",
				       string(writer, REDACT_PATH, "", entry->data, entry->size));
		break;
	case STORE_DIR:
		json_object_object_add(object, "dir", json_object_new_boolean(1));
		break;
	case STORE_ERROR:
		json_object_object_add(object, "error", json_object_new_int(entry->err));
		break;
	}
	if (entry->cut)
		json_object_object_add(object, "cut", json_object_new_boolean(1));
	print(writer, object);
}

static void print_all(struct writer *writer, const struct snapshot *snapshot)
{
	print_head(writer, snapshot);
	print_notes(writer, snapshot);
	fputs("\"logs\": [", writer->out);
	for (size_t i = 0; i < snapshot->log_count; i++) {
		fputs(i ? ",\n" : "\n", writer->out);
		print_log(writer, &snapshot->log[i]);
	}
	fputs("],\n\"entries\": [", writer->out);
	for (size_t i = 0; i < snapshot->store.count; i++) {
		fputs(i ? ",\n" : "\n", writer->out);
		print_entry(writer, &snapshot->store.entry[i]);
	}
	fputs("]\n}\n", writer->out);
}

/* A file beside @path that nobody else may read: what it holds is a machine's inside. */
static FILE *open_beside(const char *path, char temporary[PATH_MAX], struct reason *why)
{
	FILE *out;
	int fd;

	if (snprintf(temporary, PATH_MAX, "%s.XXXXXX", path) >= PATH_MAX) {
		reason_add(why, -ENAMETOOLONG, "%s: %s", path, strerror(ENAMETOOLONG));
		errno = ENAMETOOLONG;
		return NULL;
	}
	/* Its mode is 0600. */
	fd = mkostemp(temporary, O_CLOEXEC);
	out = fd < 0 ? NULL : fdopen(fd, "w");
	if (out)
		return out;
	reason_add(why, -errno, "%s: %s", path, strerror(errno));
	if (fd >= 0) {
		close(fd);
		unlink(temporary);
	}
	return NULL;
}

static int write_file(struct writer *writer, const struct snapshot *snapshot, const char *path,
		      struct reason *why)
{
	char temporary[PATH_MAX];
	int err = 0;

	writer->out = open_beside(path, temporary, why);
	if (!writer->out)
		return -errno;
	print_all(writer, snapshot);
	if (fflush(writer->out) || ferror(writer->out) || fsync(fileno(writer->out)))
		err = errno ? -errno : -EIO;
	if (fclose(writer->out) && !err)
		err = -errno;
	if (!err && rename(temporary, path))
		err = -errno;
	if (!err)
		return 0;
	unlink(temporary);
	return reason_add(why, err, "%s: %s", path, strerror(-err));
}

int snapshot_write(const struct snapshot *snapshot, const char *path, bool redact,
		   struct reason *why)
{
	struct writer writer = {.out = stdout};
	int err = 0;

	if (redact) {
		writer.redact = redact_create(snapshot);
		if (!writer.redact)
			return reason_add(why, -ENOMEM, "out of memory");
	}
	if (strcmp(path, "-") != 0) {
		err = write_file(&writer, snapshot, path, why);
	} else {
		print_all(&writer, snapshot);
		if (fflush(stdout) || ferror(stdout))
			err = reason_add(why, -EIO, "stdout: could not be written");
	}
	redact_destroy(writer.redact);
	return err;
}
