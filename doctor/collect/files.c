/* SPDX-License-Identifier: MIT */
/*
 * Files by patterns, none outside of the root.
 *
 * A folder that somebody made may hold links to anywhere, and doctor often runs as root. So links
 * are never left to open(): openat2() resolves them as if the root were "/", and gives up at the
 * kernel's own ones (/proc/PID/fd/N), which lead out of any root.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "doctor/collect/collect.h"

#define BUFFER_BYTES ((size_t)64 << 10)

static int open_within(const struct collect *collect, const char *path, int flags)
{
	struct open_how how = {
		.flags = (uint64_t)(flags | O_CLOEXEC),
		.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS,
	};
	long fd;

	while (*path == '/')
		path++;
	if (!*path)
		path = ".";
	if (!collect->confined)
		fd = openat(collect->root, path, flags | O_CLOEXEC);
	else
		fd = syscall(SYS_openat2, collect->root, path, &how, sizeof(how));
	return fd < 0 ? -errno : (int)fd;
}

int collect_init(struct collect *collect, struct snapshot *snapshot, const char *root,
		 struct reason *why)
{
	int fd;

	*collect = (struct collect){.snapshot = snapshot, .root = -1, .confined = true};
	collect->live = !*root || !strcmp(root, "/");
	collect->root = open(*root ? root : "/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (collect->root < 0)
		return reason_add(why, -errno, "%s: %s", root, strerror(errno));
	fd = open_within(collect, "/", O_PATH | O_DIRECTORY);
	if (fd >= 0) {
		close(fd);
	} else if (collect->live) {
		/* Linux before 5.6, or a sandbox. All of this machine may be followed anyway. */
		collect->confined = false;
	} else {
		collect_deinit(collect);
		return reason_add(why, -ENOSYS,
				  "%s: this kernel can't keep links within a folder "
				  "(Linux 5.6 or newer can)",
				  root);
	}
	collect->buffer_bytes = BUFFER_BYTES;
	collect->buffer = malloc(BUFFER_BYTES);
	if (collect->buffer)
		return 0;
	collect_deinit(collect);
	return reason_add(why, -ENOMEM, "out of memory");
}

void collect_deinit(struct collect *collect)
{
	if (collect->root >= 0)
		close(collect->root);
	free(collect->buffer);
	collect->root = -1;
	collect->buffer = NULL;
}

int collect_open_dir(struct collect *collect, const char *path)
{
	return open_within(collect, path, O_RDONLY | O_DIRECTORY | O_NONBLOCK);
}

void collect_store(struct collect *collect, enum store_kind kind, const char *path,
		   const void *data, size_t size, bool cut)
{
	if (collect->full)
		return;
	if (size > COLLECT_TOTAL_BYTES - collect->bytes ||
	    collect->snapshot->store.count >= COLLECT_ENTRIES_MAX) {
		collect->full = true;
		snapshot_note(collect->snapshot, path, "",
			      "not read, nor is what follows: more "
			      "than %zu MiB or %u files in all",
			      COLLECT_TOTAL_BYTES >> 20, COLLECT_ENTRIES_MAX);
		return;
	}
	collect->bytes += size;
	store_add(&collect->snapshot->store, kind, path, data, size, cut);
}

void collect_error(struct collect *collect, const char *path, int err)
{
	/* What isn't there is told by its absence. Attributes that don't apply to a device answer
	 * with these. */
	if (err == ENOENT || err == ENOTDIR || err == ENXIO || err == ENODEV || err == EINVAL ||
	    err == EOPNOTSUPP || err == ESRCH || collect->full ||
	    collect->snapshot->store.count >= COLLECT_ENTRIES_MAX)
		return;
	store_add_error(&collect->snapshot->store, path, err);
	if (err != EACCES && err != EPERM)
		return;
	if (!collect->denied)
		collect->denied = arena_strdup(&collect->snapshot->arena, path);
	collect->denied_count++;
}

void collect_denied(struct collect *collect, const char *tells)
{
	const char *next = collect->live && geteuid() ? "run as root" : "";

	if (collect->denied_count == 1)
		snapshot_note(collect->snapshot, collect->denied, next,
			      "may not be read; it tells %s", tells);
	else if (collect->denied_count)
		snapshot_note(collect->snapshot, collect->denied, next,
			      "may not be read, nor %zu more like it; they tell %s",
			      collect->denied_count - 1, tells);
	collect->denied = NULL;
	collect->denied_count = 0;
}

/* Room for @bytes in the buffer. Return: false when there is no memory. */
static bool grow_buffer(struct collect *collect, size_t bytes)
{
	size_t room = collect->buffer_bytes;
	char *bigger;

	while (room < bytes)
		room *= 2;
	if (room == collect->buffer_bytes)
		return true;
	bigger = realloc(collect->buffer, room);
	if (!bigger)
		return false;
	collect->buffer = bigger;
	collect->buffer_bytes = room;
	return true;
}

static ssize_t read_all(struct collect *collect, int fd, size_t max_bytes, bool *ret_cut)
{
	size_t size = 0;

	/* One byte more than wanted tells whether there is more. */
	while (size <= max_bytes) {
		size_t want = max_bytes + 1 - size;
		ssize_t got;

		if (size == collect->buffer_bytes && !grow_buffer(collect, size + 1))
			return -ENOMEM;
		if (want > collect->buffer_bytes - size)
			want = collect->buffer_bytes - size;
		got = read(fd, collect->buffer + size, want);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -errno;
		if (!got)
			break;
		size += (size_t)got;
	}
	*ret_cut = size > max_bytes;
	return (ssize_t)(*ret_cut ? max_bytes : size);
}

ssize_t collect_read(struct collect *collect, int dir, const char *name, const char *path,
		     size_t max_bytes, bool *ret_cut)
{
	struct stat stat;
	ssize_t size;
	int fd;

	if (fstatat(dir, name, &stat, AT_SYMLINK_NOFOLLOW))
		return -errno;
	/* A node is never opened: that alone may do something. */
	if (S_ISLNK(stat.st_mode)) {
		fd = open_within(collect, path, O_PATH);
		if (fd < 0)
			return fd;
		if (fstat(fd, &stat))
			stat.st_mode = 0;
		close(fd);
		if (!S_ISREG(stat.st_mode))
			return S_ISDIR(stat.st_mode) ? -EISDIR : -ENODEV;
		fd = open_within(collect, path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
	} else {
		if (!S_ISREG(stat.st_mode))
			return S_ISDIR(stat.st_mode) ? -EISDIR : -ENODEV;
		fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
		fd = fd < 0 ? -errno : fd;
	}
	if (fd < 0)
		return fd;
	size = read_all(collect, fd, max_bytes, ret_cut);
	close(fd);
	return size;
}

/* "c 0660 0:36 242:0": kind, mode, owner and group, major and minor number. */
static void take_node(struct collect *collect, const char *path, const struct stat *stat)
{
	char text[80];
	int size =
		snprintf(text, sizeof(text), "%c %04o %u:%u %u:%u\n",
			 S_ISCHR(stat->st_mode) ? 'c' : 'b', (unsigned int)(stat->st_mode & 07777),
			 stat->st_uid, stat->st_gid, major(stat->st_rdev), minor(stat->st_rdev));

	collect_store(collect, STORE_FILE, path, text, (size_t)size, false);
}

/* A link to a file is read as one; of others it matters where they point to. */
static bool take_link(struct collect *collect, int dir, const char *name, const char *path)
{
	char target[COLLECT_PATH_BYTES];
	ssize_t size;
	struct stat stat = {0};
	int fd = open_within(collect, path, O_PATH);

	if (fd >= 0) {
		if (fstat(fd, &stat))
			stat.st_mode = 0;
		close(fd);
		if (S_ISREG(stat.st_mode))
			return false;
	}
	size = readlinkat(dir, name, target, sizeof(target));
	if (size < 0)
		collect_error(collect, path, errno);
	else
		collect_store(collect, STORE_LINK, path, target, (size_t)size,
			      size == sizeof(target));
	return true;
}

void collect_take(struct collect *collect, int dir, const char *name, const char *path,
		  size_t max_bytes)
{
	struct stat stat;
	bool cut = false;
	ssize_t size;

	if (fstatat(dir, name, &stat, AT_SYMLINK_NOFOLLOW)) {
		collect_error(collect, path, errno);
		return;
	}
	if (S_ISLNK(stat.st_mode) && take_link(collect, dir, name, path))
		return;
	if (S_ISCHR(stat.st_mode) || S_ISBLK(stat.st_mode)) {
		take_node(collect, path, &stat);
		return;
	}
	if (S_ISDIR(stat.st_mode)) {
		collect_store(collect, STORE_DIR, path, "", 0, false);
		return;
	}
	/* Such as a device's "reset": that it is there is all that can be known. */
	if (S_ISREG(stat.st_mode) && !(stat.st_mode & 0444)) {
		collect_store(collect, STORE_FILE, path, "", 0, false);
		return;
	}
	size = collect_read(collect, dir, name, path, max_bytes, &cut);
	if (size < 0)
		collect_error(collect, path, (int)-size);
	else
		collect_store(collect, STORE_FILE, path, collect->buffer, (size_t)size, cut);
}

void collect_names(struct collect *collect, int dir, const char *path, const char *pattern,
		   void (*each)(struct collect *collect, int dir, const char *name, void *context),
		   void *context)
{
	int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *stream = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;
	size_t count = 0;

	if (!stream) {
		collect_error(collect, path, errno);
		if (fd >= 0)
			close(fd);
		return;
	}
	while (!collect->full && (entry = readdir(stream))) {
		if (fnmatch(pattern, entry->d_name, FNM_PERIOD) || !strcmp(entry->d_name, ".") ||
		    !strcmp(entry->d_name, ".."))
			continue;
		if (count++ == COLLECT_DIR_MAX) {
			snapshot_note(collect->snapshot, path, "",
				      "only %u of its names were "
				      "looked at",
				      COLLECT_DIR_MAX);
			break;
		}
		each(collect, dir, entry->d_name, context);
	}
	closedir(stream);
}

/* --- patterns --- */

struct walk {
	const char *path;	  /* of the folder, "" for the root */
	const char *rest;	  /* pattern below it; "" = the folder itself was wanted */
	const char *const *names; /* what is wanted of the folders that the pattern names */
	size_t max_bytes;
};

static void walk(struct collect *collect, int dir, const struct walk *walk);

/* The pattern is used up: this folder is one of those that it names. */
static void walk_names(struct collect *collect, int dir, const struct walk *at)
{
	for (size_t i = 0; at->names[i]; i++) {
		struct walk below = {
			.path = at->path, .rest = at->names[i], .max_bytes = at->max_bytes};

		walk(collect, dir, &below);
	}
}

static void walk_name(struct collect *collect, int dir, const char *name, void *context)
{
	const struct walk *at = context;
	char path[COLLECT_PATH_BYTES];
	struct walk below = *at;
	int fd;

	if (snprintf(path, sizeof(path), "%s/%s", at->path, name) >= (int)sizeof(path))
		return;
	below.path = path;
	if (!*at->rest && !at->names) {
		collect_take(collect, dir, name, path, at->max_bytes);
		return;
	}
	fd = openat(dir, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 && (errno == ENOTDIR || errno == ELOOP))
		fd = open_within(collect, path, O_PATH | O_DIRECTORY);
	else if (fd < 0)
		fd = -errno;
	if (fd < 0) {
		collect_error(collect, path, -fd);
		return;
	}
	if (*at->rest)
		walk(collect, fd, &below);
	else
		walk_names(collect, fd, &below);
	close(fd);
}

/* The next part of the pattern, below @dir. As deep as the table's patterns are long. */
static void walk(struct collect *collect, int dir, const struct walk *at)
{
	char part[256];
	const char *rest = at->rest;
	struct walk below = *at;
	size_t size;

	while (*rest == '/')
		rest++;
	size = strcspn(rest, "/");
	if (collect->full || size >= sizeof(part))
		return;
	memcpy(part, rest, size);
	part[size] = '\0';
	for (rest += size; *rest == '/'; rest++)
		;
	below.rest = rest;
	if (strpbrk(part, "*?["))
		collect_names(collect, dir, *at->path ? at->path : "/", part, walk_name, &below);
	else
		walk_name(collect, dir, part, &below);
}

void collect_rule(struct collect *collect, const struct collect_rule *rule)
{
	struct walk at = {
		.path = "", .rest = rule->dir, .names = rule->names, .max_bytes = rule->max_bytes};

	walk(collect, collect->root, &at);
	collect_denied(collect, rule->tells);
}

void collect_pattern(struct collect *collect, const char *pattern, size_t max_bytes,
		     const char *tells)
{
	struct walk at = {.path = "", .rest = pattern, .max_bytes = max_bytes};

	walk(collect, collect->root, &at);
	collect_denied(collect, tells);
}
