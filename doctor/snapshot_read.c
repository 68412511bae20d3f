/* SPDX-License-Identifier: MIT */
/*
 * Reading a snapshot. It may come from a stranger or from a newer tethys: what can't be understood
 * is left out and noted, and limits keep a small file from becoming a large object in memory.
 */
#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "doctor/snapshot_internal.h"

#define DEPTH_MAX 32
#define VALUES_MAX ((size_t)2 << 20) /* about 100 bytes each with json-c */
#define ENTRIES_MAX 400000u
#define LOGS_MAX 64u
#define NOTES_MAX 200u
#define PATH_BYTES_MAX 4096
#define NAME_BYTES_MAX 256

struct reader {
	struct snapshot *snapshot;
	size_t skipped; /* entries, lines and notes that make no sense */
	bool newer;
};

static struct json_object *member(struct json_object *object, const char *key, enum json_type type)
{
	struct json_object *value;

	if (!json_object_object_get_ex(object, key, &value) || !json_object_is_type(value, type))
		return NULL;
	return value;
}

static const char *string_of(struct json_object *object, const char *key, size_t *ret_size)
{
	struct json_object *value = member(object, key, json_type_string);

	if (!value)
		return NULL;
	*ret_size = (size_t)json_object_get_string_len(value);
	return json_object_get_string(value);
}

/* For people: in the arena, without what a terminal would act on. NULL when it isn't there. */
static const char *words_of(struct reader *reader, struct json_object *value, size_t max)
{
	size_t size = (size_t)json_object_get_string_len(value);
	char *copy = arena_strndup(&reader->snapshot->arena, json_object_get_string(value),
				   size > max ? max : size);

	for (char *at = copy; *at; at++)
		if ((unsigned char)*at < ' ' || *at == 0x7f)
			*at = *at == '\t' ? ' ' : '?';
	return copy;
}

static const char *member_words(struct reader *reader, struct json_object *object, const char *key,
				size_t max)
{
	struct json_object *value = member(object, key, json_type_string);

	return value ? words_of(reader, value, max) : NULL;
}

/* --- entries --- */

/* Absolute, no "..", no empty parts, no control characters. */
static bool good_path(const char *path, size_t size)
{
	if (size < 2 || size > PATH_BYTES_MAX || path[0] != '/' || strlen(path) != size)
		return false;
	for (size_t i = 0; i < size; i++) {
		size_t part = strcspn(path + i + 1, "/");

		if ((unsigned char)path[i] < ' ' || path[i] == 0x7f)
			return false;
		if (path[i] != '/')
			continue;
		if (!part || (part == 1 && path[i + 1] == '.') ||
		    (part == 2 && !memcmp(path + i + 1, "..", 2)))
			return false;
	}
	return true;
}

static int digit_of(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* Return: to be freed; NULL for what isn't base64. */
static char *unbase64(const char *text, size_t size, size_t *ret_size)
{
	char *data = malloc(size / 4 * 3 + 1);
	size_t out = 0;

	if (size % 4 || !data) {
		free(data);
		return NULL;
	}
	for (size_t i = 0; i < size; i += 4) {
		unsigned int padding = 0;
		uint32_t word = 0;

		if (i + 4 == size && text[i + 3] == '=')
			padding = text[i + 2] == '=' ? 2 : 1;
		for (unsigned int j = 0; j < 4; j++) {
			int digit = j + padding < 4 ? digit_of(text[i + j]) : 0;

			if (digit < 0) {
				free(data);
				return NULL;
			}
			word = word << 6 | (uint32_t)digit;
		}
		data[out++] = (char)(word >> 16);
		if (padding < 2)
			data[out++] = (char)(word >> 8);
		if (padding < 1)
			data[out++] = (char)word;
	}
	*ret_size = out;
	return data;
}

static bool add_base64(struct store *store, const char *path, const char *text, size_t size,
		       bool cut)
{
	size_t bytes = 0;
	char *data = unbase64(text, size, &bytes);

	if (!data)
		return false;
	store_add(store, STORE_FILE, path, data, bytes, cut);
	free(data);
	return true;
}

static bool read_entry(struct reader *reader, struct json_object *entry)
{
	struct store *store = &reader->snapshot->store;
	struct json_object *error;
	const char *path, *text;
	size_t size = 0;
	bool cut;

	if (!json_object_is_type(entry, json_type_object))
		return false;
	path = string_of(entry, "path", &size);
	if (!path || !good_path(path, size))
		return false;
	cut = json_object_get_boolean(member(entry, "cut", json_type_boolean));
	text = string_of(entry, "text", &size);
	if (text) {
		store_add(store, STORE_FILE, path, text, size, cut);
		return true;
	}
	text = string_of(entry, "base64", &size);
	if (text)
		return add_base64(store, path, text, size, cut);
	text = string_of(entry, "link", &size);
	if (text) {
		store_add(store, STORE_LINK, path, text, size, cut);
		return true;
	}
	error = member(entry, "error", json_type_int);
	if (error) {
		int64_t err = json_object_get_int64(error);

		store_add_error(store, path, err > 0 && err < 4096 ? (int)err : EIO);
		return true;
	}
	if (!json_object_get_boolean(member(entry, "dir", json_type_boolean)))
		return false;
	store_add(store, STORE_DIR, path, "", 0, false);
	return true;
}

static void read_entries(struct reader *reader, struct json_object *entries)
{
	size_t count = entries ? json_object_array_length(entries) : 0;

	for (size_t i = 0; i < count; i++)
		if (i >= ENTRIES_MAX || !read_entry(reader, json_object_array_get_idx(entries, i)))
			reader->skipped++;
}

/* --- logs and notes --- */

static void read_line(struct reader *reader, struct json_object *pair)
{
	struct json_object *number, *text;

	if (!json_object_is_type(pair, json_type_array) || json_object_array_length(pair) < 2) {
		reader->skipped++;
		return;
	}
	number = json_object_array_get_idx(pair, 0);
	text = json_object_array_get_idx(pair, 1);
	if (!json_object_is_type(number, json_type_int) ||
	    !json_object_is_type(text, json_type_string)) {
		reader->skipped++;
		return;
	}
	/* Not made safe here: it goes through the same parser as a log. */
	snapshot_log_keep(reader->snapshot, json_object_get_uint64(number),
			  json_object_get_string(text));
}

static void read_log(struct reader *reader, struct json_object *object)
{
	struct json_object *lines = member(object, "lines", json_type_array);
	struct json_object *dropped = member(object, "dropped", json_type_int);
	const char *name = member_words(reader, object, "name", NAME_BYTES_MAX);
	size_t count = lines ? json_object_array_length(lines) : 0;

	snapshot_log_begin(reader->snapshot, name ? name : "log");
	for (size_t i = 0; i < count; i++)
		read_line(reader, json_object_array_get_idx(lines, i));
	if (dropped)
		reader->snapshot->log[reader->snapshot->log_count - 1].dropped +=
			json_object_get_uint64(dropped);
}

static void read_logs(struct reader *reader, struct json_object *logs)
{
	size_t count = logs ? json_object_array_length(logs) : 0;

	for (size_t i = 0; i < count; i++) {
		struct json_object *log = json_object_array_get_idx(logs, i);

		if (i < LOGS_MAX && json_object_is_type(log, json_type_object))
			read_log(reader, log);
		else
			reader->skipped++;
	}
}

static void read_notes(struct reader *reader, struct json_object *notes)
{
	size_t count = notes ? json_object_array_length(notes) : 0;

	for (size_t i = 0; i < count && i < NOTES_MAX; i++) {
		struct json_object *note = json_object_array_get_idx(notes, i);
		const char *what, *why, *next;

		if (!json_object_is_type(note, json_type_object)) {
			reader->skipped++;
			continue;
		}
		what = member_words(reader, note, "what", PATH_BYTES_MAX);
		why = member_words(reader, note, "why", PATH_BYTES_MAX);
		next = member_words(reader, note, "next", PATH_BYTES_MAX);
		snapshot_note(reader->snapshot, what ? what : "", next ? next : "", "%s",
			      why ? why : "");
	}
}

/* --- the document --- */

/* Keys that this version doesn't know are fine in a newer one, and told. */
static void note_unknown(struct reader *reader, struct json_object *root)
{
	static const char *const known[] = {"format", "version",  "tool",  "time", "name",
					    "side",   "redacted", "notes", "logs", "entries"};
	size_t unknown = 0;

	json_object_object_foreach (root, key, value) {
		bool is_known = false;

		(void)value;
		for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
			is_known = is_known || !strcmp(key, known[i]);
		unknown += !is_known;
	}
	if (reader->newer)
		snapshot_note(reader->snapshot, "snapshot", "use the version that made it",
			      "it was made by a newer tethys; %zu of its parts are unknown here "
			      "and were left out",
			      unknown);
	if (reader->skipped)
		snapshot_note(reader->snapshot, "snapshot", "",
			      "%zu of its entries make no sense and were left out",
			      reader->skipped);
}

static enum doctor_side side_of(struct json_object *root)
{
	size_t size = 0;
	const char *side = string_of(root, "side", &size);

	if (side && !strcmp(side, "host"))
		return DOCTOR_SIDE_HOST;
	if (side && !strcmp(side, "guest"))
		return DOCTOR_SIDE_GUEST;
	return DOCTOR_SIDE_UNKNOWN;
}

static int read_root(struct snapshot *snapshot, struct json_object *root, struct reason *why)
{
	struct reader reader = {.snapshot = snapshot};
	struct json_object *version, *time;
	const char *format, *name;
	size_t size = 0;

	format = json_object_is_type(root, json_type_object) ? string_of(root, "format", &size)
							     : NULL;
	if (!format || strcmp(format, SNAPSHOT_FORMAT) != 0)
		return reason_add(why, -EPROTO, "no snapshot: \"format\" is not \"%s\"",
				  SNAPSHOT_FORMAT);
	version = member(root, "version", json_type_int);
	if (!version || json_object_get_int64(version) < 1)
		return reason_add(why, -EPROTO, "no snapshot: it has no version");
	reader.newer = json_object_get_int64(version) > SNAPSHOT_VERSION;
	time = member(root, "time", json_type_int);
	snapshot->time_s = time ? json_object_get_int64(time) : 0;
	snapshot->side = side_of(root);
	name = member_words(&reader, root, "name", NAME_BYTES_MAX);
	if (name && *name)
		snapshot->name = name;
	read_notes(&reader, member(root, "notes", json_type_array));
	read_logs(&reader, member(root, "logs", json_type_array));
	read_entries(&reader, member(root, "entries", json_type_array));
	note_unknown(&reader, root);
	return 0;
}

/* "[[],[],..." would take fifty times its size in memory: values are counted before. */
static size_t count_values(const char *text, size_t size)
{
	size_t count = 0;
	bool quoted = false;

	for (size_t i = 0; i < size; i++) {
		char c = text[i];

		if (c == '"')
			quoted = !quoted;
		else if (quoted && c == '\\')
			i++;
		else if (!quoted)
			count += c == ',' || c == '[' || c == '{' || c == ':';
	}
	return count;
}

static bool only_blanks(const char *text, size_t size, size_t from)
{
	while (from < size && strchr(" \t\r\n", text[from]) && text[from])
		from++;
	return from >= size;
}

int snapshot_parse(struct snapshot *snapshot, const char *text, size_t size, struct reason *why)
{
	struct json_tokener *tokener;
	struct json_object *root;
	enum json_tokener_error failure;
	int err;

	if (size > SNAPSHOT_FILE_MAX)
		return reason_add(why, -EFBIG, "larger than %zu MiB", SNAPSHOT_FILE_MAX >> 20);
	if (count_values(text, size) > VALUES_MAX)
		return reason_add(why, -EPROTO, "no snapshot: more than %zu values", VALUES_MAX);
	/* json-c's own check, and its strict mode, refuse good strings (measured with 0.18). */
	if (!snapshot_is_text(text, size))
		return reason_add(why, -EPROTO, "no snapshot: it isn't UTF-8");
	tokener = json_tokener_new_ex(DEPTH_MAX);
	if (!tokener)
		return reason_add(why, -ENOMEM, "out of memory");
	root = json_tokener_parse_ex(tokener, text, (int)size);
	failure = json_tokener_get_error(tokener);
	if (failure == json_tokener_continue)
		err = reason_add(why, -EPROTO, "no snapshot, or cut short: its JSON has no end");
	else if (failure != json_tokener_success)
		err = reason_add(why, -EPROTO, "no snapshot: at byte %zu: %s",
				 json_tokener_get_parse_end(tokener),
				 json_tokener_error_desc(failure));
	else if (!only_blanks(text, size, json_tokener_get_parse_end(tokener)))
		err = reason_add(why, -EPROTO, "no snapshot: something follows its JSON");
	else
		err = read_root(snapshot, root, why);
	json_object_put(root);
	json_tokener_free(tokener);
	return err;
}

/* All of @fd. Return: to be freed; NULL with @ret_err. */
static char *read_whole(int fd, size_t *ret_size, int *ret_err)
{
	size_t size = 0, room = (size_t)1 << 20;
	char *text = malloc(room);

	*ret_err = -ENOMEM;
	while (text) {
		ssize_t got;

		if (size == room) {
			char *bigger = realloc(text, room * 2);

			if (!bigger)
				break;
			text = bigger;
			room *= 2;
		}
		got = read(fd, text + size, room - size);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0) {
			*ret_err = -errno;
			break;
		}
		size += (size_t)got;
		if (size > SNAPSHOT_FILE_MAX) {
			*ret_err = -EFBIG;
			break;
		}
		if (!got) {
			*ret_size = size;
			*ret_err = 0;
			return text;
		}
	}
	free(text);
	return NULL;
}

int snapshot_read(struct snapshot *snapshot, const char *path, struct reason *why)
{
	int fd = strcmp(path, "-") != 0 ? open(path, O_RDONLY | O_CLOEXEC) : dup(STDIN_FILENO);
	size_t size = 0;
	char *text;
	int err;

	if (fd < 0)
		return reason_add(why, -errno, "%s: %s", path, strerror(errno));
	text = read_whole(fd, &size, &err);
	close(fd);
	if (!text)
		return reason_add(why, err, "%s: %s", path, strerror(-err));
	err = snapshot_parse(snapshot, text, size, why);
	free(text);
	if (err)
		return reason_add(why, err, "%s: could not be read", path);
	if (!*snapshot->name)
		snapshot->name = arena_strdup(&snapshot->arena, path);
	return 0;
}
