/* SPDX-License-Identifier: MIT */
#include <dirent.h>
#include <err.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "scratch.h"

static char folder[PATH_MAX / 2];

static void scratch_remove(void)
{
	DIR *dir = opendir(folder);
	struct dirent *entry;

	if (!dir)
		return;
	while ((entry = readdir(dir)))
		unlinkat(dirfd(dir), entry->d_name, 0);
	closedir(dir);
	rmdir(folder);
}

const char *scratch_path(const char *name)
{
	static char paths[4][PATH_MAX];
	static unsigned int next;
	char *path = paths[next++ % 4];

	if (!folder[0]) {
		const char *base = getenv("TMPDIR");

		snprintf(folder, sizeof(folder), "%s/tethys-test.XXXXXX", base ? base : "/tmp");
		if (!mkdtemp(folder))
			err(1, "%s", folder);
		atexit(scratch_remove);
	}
	snprintf(path, PATH_MAX, "%s/%s", folder, name);
	return path;
}

const char *scratch_file(const char *name, const void *data, size_t bytes)
{
	const char *path = scratch_path(name);
	FILE *file = fopen(path, "we");

	if (!file || fwrite(data, 1, bytes, file) != bytes || fclose(file))
		err(1, "%s", path);
	return path;
}
