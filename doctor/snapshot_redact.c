/* SPDX-License-Identifier: MIT */
/*
 * What identifies people and their machines becomes "host-1", "vm-2", the same for the same thing,
 * so that a redacted snapshot is judged as the original.
 *
 * Two ways: things with a form of their own (UUIDs, MAC and IP addresses) wherever they are; names
 * where their place tells what they are (a VM's configuration, "/home/"), and from then on wherever
 * they stand as words. A host called "pve" or a VM called "metis" would take the words of many a
 * line with them: such names are replaced in their places only.
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "doctor/snapshot_internal.h"

#define NAMES_MAX 65536u

enum kind { HOST, VM, USER, MAC, IP, SERIAL, UUID, ID, GONE, KINDS_NR };

static const char *const kind_names[KINDS_NR] = {
	"host", "vm", "user", "mac", "ip", "serial", "uuid", "id", "removed",
};

struct name {
	enum kind kind;
	const char *text;
	size_t size;
	const char *becomes;
	bool anywhere;
};

struct redact {
	struct arena arena;
	struct name *name;
	size_t count;
	unsigned int used[KINDS_NR];
	bool begins[256]; /* some name that counts anywhere begins with it */
	char *out;
	size_t size, room;
};

/* What is being looked at. */
struct view {
	const char *text, *path;
	size_t size;
	enum redact_what what;
};

/* --- names --- */

/* Words that logs and configurations use for other things. */
static bool is_common(const char *text, size_t size)
{
	static const char *const words[] = {
		"alpine",     "amd64",	     "android",	  "arch",    "audio",	   "axelera",
		"bare",	      "bios",	     "boot",	  "bridge",  "build",	   "bus",
		"card",	      "centos",	     "cluster",	  "console", "controller", "core",
		"cuda",	      "data",	     "debian",	  "default", "desktop",	   "device",
		"disk",	      "docker",	     "driver",	  "error",   "fedora",	   "firewall",
		"firmware",   "gaming",	     "gateway",	  "guest",   "home",	   "host",
		"hypervisor", "inference",   "intel",	  "iommu",   "kernel",	   "laptop",
		"linux",      "local",	     "localhost", "machine", "main",	   "master",
		"media",      "metis",	     "monitor",	  "network", "node",	   "nvidia",
		"nvme",	      "passthrough", "plex",	  "proxmox", "qemu",	   "root",
		"router",     "server",	     "storage",	  "switch",  "system",	   "tesla",
		"test",	      "tethys",	     "ubuntu",	  "user",    "vfio",	   "video",
		"virt",	      "virtual",     "win10",	  "win11",   "windows",	   "work",
		"worker",     "workstation",
	};

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (strlen(words[i]) == size && !strncasecmp(words[i], text, size))
			return true;
	return false;
}

static bool counts_anywhere(enum kind kind, const char *text, size_t size)
{
	if (kind > USER || size < 4 || is_common(text, size))
		return false;
	for (size_t i = 0; i < size; i++)
		if (!isdigit((unsigned char)text[i]))
			return true;
	return false;
}

static const char *rename_it(struct redact *redact, enum kind kind, const char *text, size_t size)
{
	struct name *name;

	if (kind == GONE || redact->count >= NAMES_MAX)
		return "removed";
	for (size_t i = 0; i < redact->count; i++) {
		name = &redact->name[i];
		if (name->kind == kind && name->size == size &&
		    !strncasecmp(name->text, text, size))
			return name->becomes;
	}
	name = arena_grow(&redact->arena, &redact->name, redact->count, sizeof(*name));
	redact->count++;
	*name = (struct name){
		.kind = kind,
		.text = arena_strndup(&redact->arena, text, size),
		.size = size,
		.becomes = arena_printf(&redact->arena, "%s-%u", kind_names[kind],
					++redact->used[kind]),
		.anywhere = counts_anywhere(kind, text, size),
	};
	if (name->anywhere) {
		redact->begins[(unsigned char)tolower((unsigned char)*text)] = true;
		redact->begins[(unsigned char)toupper((unsigned char)*text)] = true;
	}
	return name->becomes;
}

static void put(struct redact *redact, const char *text, size_t size)
{
	if (size > redact->room - redact->size) {
		size_t room = 2 * redact->room + size;
		char *bigger = realloc(redact->out, room);

		if (!bigger) {
			fputs("error: out of memory\n", stderr);
			exit(2);
		}
		redact->out = bigger;
		redact->room = room;
	}
	memcpy(redact->out + redact->size, text, size);
	redact->size += size;
}

static void put_name(struct redact *redact, enum kind kind, const char *text, size_t size)
{
	const char *becomes = rename_it(redact, kind, text, size);

	/* What was redacted before stays as it is. */
	if (size > strlen(kind_names[kind]) &&
	    !strncmp(text, kind_names[kind], strlen(kind_names[kind])) &&
	    text[strlen(kind_names[kind])] == '-')
		put(redact, text, size);
	else
		put(redact, becomes, strlen(becomes));
}

/* --- things with a form of their own --- */

/* Characters at @at that are like "xxxx-xx": x is a hex digit. Return: 0 or their number. */
static size_t match_form(const struct view *view, size_t at, const char *form)
{
	size_t size = strlen(form);

	if (size > view->size - at)
		return 0;
	for (size_t i = 0; i < size; i++) {
		char c = view->text[at + i];

		if (form[i] == 'x' ? !isxdigit((unsigned char)c) : c != form[i])
			return 0;
	}
	if (at + size < view->size &&
	    (isalnum((unsigned char)view->text[at + size]) || view->text[at + size] == ':'))
		return 0;
	return size;
}

static size_t match_ipv4(const struct view *view, size_t at)
{
	const char *text = view->text;
	size_t start = at;

	for (int part = 0; part < 4; part++) {
		unsigned int value = 0, digits = 0;

		for (; at < view->size && isdigit((unsigned char)text[at]) && digits < 4; at++) {
			value = value * 10 + (unsigned int)(text[at] - '0');
			digits++;
		}
		if (!digits || digits > 3 || value > 255)
			return 0;
		if (part == 3)
			break;
		if (at >= view->size || text[at] != '.')
			return 0;
		at++;
	}
	/* "1.2.3.4.5" and "1.2.3.4-rc1" are versions. */
	if (at < view->size &&
	    (isalnum((unsigned char)text[at]) || text[at] == '-' ||
	     (text[at] == '.' && at + 1 < view->size && isdigit((unsigned char)text[at + 1]))))
		return 0;
	if (!strncmp(text + start, "127.", 4) || !strncmp(text + start, "0.0.0.0", 7))
		return 0;
	return at - start;
}

/* Global, local and link addresses; their first group tells them from a PCI address. */
static size_t match_ipv6(const struct view *view, size_t at)
{
	size_t start = at, colons = 0, digits = 0;
	bool gap = false;
	char c = (char)tolower((unsigned char)view->text[at]);

	if (!match_form(
		    &(struct view){.text = view->text, .size = at + 4 < view->size ? at + 4 : at},
		    at, "xxxx") ||
	    (c != '2' && c != '3' && c != 'f') || view->text[at + 4] != ':')
		return 0;
	for (; at < view->size; at++) {
		if (view->text[at] == ':') {
			gap = gap || (at > start && view->text[at - 1] == ':');
			colons++;
			digits = 0;
		} else if (!isxdigit((unsigned char)view->text[at]) || ++digits > 4) {
			break;
		}
	}
	if ((colons != 7 && !gap) || colons > 7 ||
	    (at < view->size && isalnum((unsigned char)view->text[at])))
		return 0;
	return at - start;
}

static size_t match_thing(const struct view *view, size_t at, enum kind *ret_kind)
{
	static const struct {
		const char *form;
		enum kind kind;
	} forms[] = {
		{"xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx", UUID},
		{"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", ID},
		{"xx:xx:xx:xx:xx:xx", MAC},
	};
	size_t size;

	if (!isxdigit((unsigned char)view->text[at]))
		return 0;
	for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
		size = match_form(view, at, forms[i].form);
		*ret_kind = forms[i].kind;
		if (size)
			return size;
	}
	*ret_kind = IP;
	/* There, four numbers are a version. */
	if (!strncmp(view->path, "/sys/", 5))
		return 0;
	size = match_ipv4(view, at);
	return size ? size : match_ipv6(view, at);
}

/* --- names by their place --- */

struct place {
	const char *before;
	size_t before_size;
	const char *ends; /* characters after the name, besides NUL and the line's end */
	enum kind kind;
	const char *suffix; /* must follow */
};

#define PLACE(before, ends, kind, suffix) {before, sizeof(before) - 1, ends, kind, suffix}

static const struct place places[] = {
	PLACE("/home/", "/ ,:;'\"", USER, ""),
	PLACE("/etc/pve/nodes/", "/ ,", HOST, ""),
	PLACE("/etc/libvirt/qemu/", "/. ,", VM, ".xml"),
	PLACE("guest=", ", '\"", VM, ""),
	PLACE("-name\0", ",", VM, ""),
	PLACE("<name>", "<", VM, ""),
	PLACE("<title>", "<", GONE, ""),
	PLACE("<description>", "<", GONE, ""),
	PLACE("<serial>", "<", SERIAL, ""),
	PLACE("name='serial'>", "<", SERIAL, ""),
	PLACE("serial=", ", '\"", SERIAL, ""),
	PLACE("serial='", "'", SERIAL, ""),
	PLACE("runas=", ", ", USER, ""),
	PLACE("-runas\0", "", USER, ""),
	PLACE("user=", ", '\"", USER, ""),
	PLACE("password=", ", ", GONE, ""),
	PLACE("passwd=", ", />", GONE, ""),
	PLACE("secret=", ", ", GONE, ""),
	PLACE("data=", ", ", GONE, ""),
};

/* At the beginning of a line of Proxmox VE's configurations. */
static const struct place pve_places[] = {
	PLACE("#", "", GONE, ""),
	PLACE("name: ", "", VM, ""),
	PLACE("ciuser: ", "", USER, ""),
	PLACE("cipassword: ", "", GONE, ""),
	PLACE("description: ", "", GONE, ""),
	PLACE("sshkeys: ", "", GONE, ""),
	PLACE("tags: ", "", GONE, ""),
	PLACE("searchdomain: ", "", GONE, ""),
	PLACE("nameserver: ", "", GONE, ""),
};

/* Return: characters of @place and its name at @at; 0 for none. */
static size_t match_place(const struct view *view, size_t at, const struct place *place)
{
	size_t end = at + place->before_size;

	if (place->before_size > view->size - at ||
	    memcmp(view->text + at, place->before, place->before_size) != 0)
		return 0;
	while (end < view->size && view->text[end] && view->text[end] != '\n' &&
	       !strchr(place->ends, view->text[end]))
		end++;
	if (end == at + place->before_size || strlen(place->suffix) > view->size - end ||
	    memcmp(view->text + end, place->suffix, strlen(place->suffix)) != 0)
		return 0;
	return end - at;
}

static size_t take_place(struct redact *redact, const struct view *view, size_t at,
			 const struct place *place, size_t count)
{
	for (size_t i = 0; i < count; i++, place++) {
		size_t size = match_place(view, at, place);
		size_t before = place->before_size;

		/* "-name guest=web": that comes next. */
		if (!size || !strncmp(view->text + at + before, "guest=", 6))
			continue;
		put(redact, view->text + at, before);
		put_name(redact, place->kind, view->text + at + before, size - before);
		return size;
	}
	return 0;
}

/* "somebody@pam" */
static size_t take_realm(struct redact *redact, const struct view *view, size_t at)
{
	size_t end = at;

	while (end < view->size && (isalnum((unsigned char)view->text[end]) ||
				    strchr("._-", view->text[end] ? view->text[end] : ' ')))
		end++;
	if (end == at || view->size - end < 4 ||
	    (memcmp(view->text + end, "@pam", 4) != 0 && memcmp(view->text + end, "@pve", 4) != 0))
		return 0;
	put_name(redact, USER, view->text + at, end - at);
	return end - at;
}

/* --- known names --- */

/* Whether what follows a host's name in a log is who speaks: "kernel:", "QEMU[4711]:". */
static bool speaks(const struct view *view, size_t at)
{
	size_t end = at + 1;

	if (at >= view->size || view->text[at] != ' ')
		return false;
	while (end < view->size && (isalnum((unsigned char)view->text[end]) ||
				    strchr("._-/", view->text[end] ? view->text[end] : ' ')))
		end++;
	if (end == at + 1 || end >= view->size)
		return false;
	return view->text[end] == '[' || view->text[end] == ':';
}

static size_t take_known(struct redact *redact, const struct view *view, size_t at)
{
	const struct name *best = NULL;

	for (size_t i = 0; i < redact->count; i++) {
		const struct name *name = &redact->name[i];
		size_t end = at + name->size;
		bool host = name->kind == HOST && view->what == REDACT_LOG &&
			    (!at || view->text[at - 1] == ' ') && speaks(view, end);

		if ((!name->anywhere && !host) || name->size > view->size - at ||
		    strncasecmp(view->text + at, name->text, name->size) != 0 ||
		    (end < view->size && isalnum((unsigned char)view->text[end])) ||
		    (best && best->size >= name->size))
			continue;
		best = name;
	}
	if (!best)
		return 0;
	put(redact, best->becomes, strlen(best->becomes));
	return best->size;
}

/* @at isn't a NUL: those are white space to the caller. */
static size_t take_one(struct redact *redact, const struct view *view, size_t at)
{
	bool line = !at || view->text[at - 1] == '\n';
	enum kind kind = ID;
	size_t size = 0;

	if (line && !strncmp(view->path, "/etc/pve/", 9))
		size = take_place(redact, view, at, pve_places,
				  sizeof(pve_places) / sizeof(pve_places[0]));
	if (!size && strchr("/gn-<srupd", view->text[at]))
		size = take_place(redact, view, at, places, sizeof(places) / sizeof(places[0]));
	if (size || (at && isalnum((unsigned char)view->text[at - 1])))
		return size;
	/* A part of a version or of an address isn't the beginning of one. */
	if (!at || !strchr(".:", view->text[at - 1] ? view->text[at - 1] : ' ') ||
	    (view->text[at - 1] == ':' && (at < 2 || !isxdigit((unsigned char)view->text[at - 2]))))
		size = match_thing(view, at, &kind);
	if (size) {
		put_name(redact, kind, view->text + at, size);
		return size;
	}
	if (!strncmp(view->path, "/etc/pve/", 9))
		size = take_realm(redact, view, at);
	if (!size && (redact->begins[(unsigned char)view->text[at]] || view->what == REDACT_LOG))
		size = take_known(redact, view, at);
	return size;
}

const char *redact_text(struct redact *redact, enum redact_what what, const char *path,
			const char *text, size_t size, size_t *ret_size)
{
	struct view view = {.text = text, .path = path, .size = size, .what = what};
	size_t at = 0;

	redact->size = 0;
	if (what == REDACT_TEXT &&
	    (!strcmp(path, "/proc/sys/kernel/hostname") || !strcmp(path, "/etc/hostname")))
		what = REDACT_HOST;
	if (what == REDACT_HOST) {
		while (size && isspace((unsigned char)text[size - 1]))
			size--;
		if (size)
			put_name(redact, HOST, text, size);
		at = size;
	}
	while (at < view.size) {
		bool blank = !text[at] || isspace((unsigned char)text[at]);
		size_t taken = blank ? 0 : take_one(redact, &view, at);

		if (!taken) {
			put(redact, text + at, 1);
			taken = 1;
		}
		at += taken;
	}
	*ret_size = redact->size;
	return redact->out;
}

void redact_config(uint8_t *config, size_t size)
{
	size_t at = 0x100;

	/* Each step takes one of the places where a capability may be, so that no list goes on. */
	for (size_t step = 0; step < 960 && at >= 0x100 && at + 12 <= size; step++) {
		uint32_t header = (uint32_t)config[at] | (uint32_t)config[at + 1] << 8 |
				  (uint32_t)config[at + 2] << 16 | (uint32_t)config[at + 3] << 24;

		if ((header & 0xffff) == 0x0003)
			memset(config + at + 4, 0, 8);
		at = header >> 20 & 0xffc;
	}
}

struct redact *redact_create(const struct snapshot *snapshot)
{
	struct redact *redact = calloc(1, sizeof(*redact));
	size_t size;

	if (!redact)
		return NULL;
	redact->room = 4096;
	redact->out = malloc(redact->room);
	if (!redact->out) {
		redact_destroy(redact);
		return NULL;
	}
	/* Once over everything that tells names: what is written first may hold them, too. */
	redact_text(redact, REDACT_HOST, "", snapshot->name, strlen(snapshot->name), &size);
	for (size_t i = 0; i < snapshot->store.count; i++) {
		const struct store_entry *entry = &snapshot->store.entry[i];

		redact_text(redact, REDACT_PATH, "", entry->path, strlen(entry->path), &size);
		if (entry->kind == STORE_FILE &&
		    (!strncmp(entry->path, "/etc/", 5) || !strncmp(entry->path, "/proc/", 6)))
			redact_text(redact, REDACT_TEXT, entry->path, entry->data, entry->size,
				    &size);
	}
	return redact;
}

void redact_destroy(struct redact *redact)
{
	if (!redact)
		return;
	arena_free(&redact->arena);
	free(redact->out);
	free(redact);
}
