/* SPDX-License-Identifier: MIT */
#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cli/outdir.h"

#define STEM_MAX 200 /* leaves room for -N and an ending within NAME_MAX */

static int make_dir(const char *path)
{
	struct stat st;

	if (!mkdir(path, 0777))
		return 0;
	if (errno == EEXIST)
		return stat(path, &st) ? -errno : S_ISDIR(st.st_mode) ? 0 : -ENOTDIR;
	return -errno;
}

int outdir_open(const char *path, struct outdir *ret_dir, struct reason *why)
{
	char part[PATH_MAX];
	size_t len = strlen(path);
	int rc = 0;

	memset(ret_dir, 0, sizeof(*ret_dir));
	if (len >= sizeof(part))
		return reason_add(why, -ENAMETOOLONG, "The name of the output folder is too long.");
	for (size_t i = 1; i <= len && !rc; i++) {
		if (i < len && path[i] != '/')
			continue;
		memcpy(part, path, i);
		part[i] = '\0';
		rc = make_dir(part);
	}
	if (rc)
		return reason_add(why, rc, "Folder '%s' can't be made: %s", path, strerror(-rc));
	memcpy(ret_dir->path, path, len + 1);
	return 0;
}

void outdir_close(struct outdir *dir)
{
	for (size_t i = 0; i < dir->count; i++)
		free(dir->used[i]);
	free(dir->used);
	memset(dir, 0, sizeof(*dir));
}

static void clean_stem(const char *stem, char ret_stem[STEM_MAX + 1])
{
	size_t i;

	for (i = 0; i < STEM_MAX && stem[i]; i++)
		ret_stem[i] =
			isalnum((unsigned char)stem[i]) || strchr("._-", stem[i]) ? stem[i] : '_';
	ret_stem[i] = '\0';
	if (!i)
		strcpy(ret_stem, "_");
	if (ret_stem[0] == '.')
		ret_stem[0] = '_';
}

static bool is_used(const struct outdir *dir, const char *name)
{
	for (size_t i = 0; i < dir->count; i++)
		if (!strcmp(dir->used[i], name))
			return true;
	return false;
}

static int remember(struct outdir *dir, const char *name)
{
	char **used;

	if (dir->count == OUTDIR_NAMES_MAX)
		return -ENOSPC;
	used = realloc(dir->used, (dir->count + 1) * sizeof(*used));
	if (!used)
		return -ENOMEM;
	dir->used = used;
	used[dir->count] = strdup(name);
	if (!used[dir->count])
		return -ENOMEM;
	dir->count++;
	return 0;
}

int outdir_path(struct outdir *dir, const char *stem, const char *ending, char ret_path[PATH_MAX],
		struct reason *why)
{
	char clean[STEM_MAX + 1], name[NAME_MAX + 1];
	int rc, len;

	clean_stem(stem, clean);
	snprintf(name, sizeof(name), "%s%s", clean, ending);
	for (unsigned int n = 2; is_used(dir, name); n++)
		snprintf(name, sizeof(name), "%s-%u%s", clean, n, ending);
	rc = remember(dir, name);
	if (rc)
		return reason_add(why, rc, "Too many output files: %s", strerror(-rc));
	len = snprintf(ret_path, PATH_MAX, "%s/%s", dir->path, name);
	if (len >= PATH_MAX)
		return reason_add(why, -ENAMETOOLONG, "The path of output '%s' is too long.", name);
	return 0;
}
