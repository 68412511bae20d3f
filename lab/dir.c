/* SPDX-License-Identifier: MIT */
#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/userdir.h"
#include "lab/dir.h"

static int make_path(char *path)
{
	char *slash;

	for (slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		if (mkdir(path, 0777) && errno != EEXIST)
			return -errno;
		*slash = '/';
	}
	return mkdir(path, 0777) && errno != EEXIST ? -errno : 0;
}

int lab_logs_dir(const char *chosen, char ret_dir[PATH_MAX], struct reason *why)
{
	int err = 0;

	if (!chosen)
		err = userdir_path(USERDIR_STATE, "lab", ret_dir, why);
	else if (snprintf(ret_dir, PATH_MAX, "%s", chosen) >= PATH_MAX)
		err = reason_add(why, -ENAMETOOLONG, "the path of the logs is too long");
	if (err)
		return err;
	err = make_path(ret_dir);
	return err ? reason_add(why, err, "no folder %s: %s", ret_dir, strerror(-err)) : 0;
}

int lab_folder_create(const char *logs_dir, const char *scenario, char ret_dir[PATH_MAX],
		      struct reason *why)
{
	time_t now = time(NULL);
	struct tm tm;
	char stamp[32];
	unsigned int n;

	localtime_r(&now, &tm);
	strftime(stamp, sizeof(stamp), "%Y%m%d-%H%M%S", &tm);
	/* Several may start in the same second. */
	for (n = 1; n < 1000; n++) {
		if (snprintf(ret_dir, PATH_MAX, "%s/%s-%s-%u", logs_dir, scenario, stamp, n) >=
		    PATH_MAX)
			return reason_add(why, -ENAMETOOLONG, "the path of the logs is too long");
		if (!mkdir(ret_dir, 0777))
			return 0;
		if (errno != EEXIST)
			break;
	}
	return reason_add(why, -errno, "no folder %s: %s", ret_dir, strerror(errno));
}

/* Is @name SCENARIO-DATE-TIME-N? Sets @ret_stamp to DATE-TIME-N. */
static bool is_run(const char *name, const char *scenario, const char **ret_stamp)
{
	unsigned int date, time, n;
	const char *at = name + strlen(name);
	int dashes = 0, end = 0;

	while (at > name && dashes < 3)
		if (*--at == '-')
			dashes++;
	if (dashes < 3 || sscanf(at, "-%8u-%6u-%3u%n", &date, &time, &n, &end) != 3 || at[end])
		return false;
	if (scenario &&
	    (strlen(scenario) != (size_t)(at - name) || strncmp(name, scenario, strlen(scenario))))
		return false;
	*ret_stamp = at;
	return true;
}

int lab_folder_newest(const char *logs_dir, const char *scenario, char ret_dir[PATH_MAX],
		      struct reason *why)
{
	char newest[NAME_MAX + 1] = "", best[64] = "";
	const char *stamp;
	struct dirent *entry;
	DIR *dir = opendir(logs_dir);

	while (dir && (entry = readdir(dir))) {
		if (!is_run(entry->d_name, scenario, &stamp) || strcmp(stamp, best) <= 0)
			continue;
		snprintf(best, sizeof(best), "%s", stamp);
		snprintf(newest, sizeof(newest), "%s", entry->d_name);
	}
	if (dir)
		closedir(dir);
	if (!*newest)
		return reason_add(why, -ENOENT, "%s%s has not been run yet",
				  scenario ? "scenario " : "", scenario ? scenario : "the lab");
	return snprintf(ret_dir, PATH_MAX, "%s/%s", logs_dir, newest) < PATH_MAX
		       ? 0
		       : reason_add(why, -ENAMETOOLONG, "the path of the logs is too long");
}

void lab_dir_remove(const char *path)
{
	struct dirent *entry;
	DIR *dir = opendir(path);
	int fd = dir ? dirfd(dir) : -1;

	while (fd >= 0 && (entry = readdir(dir)))
		if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, ".."))
			unlinkat(fd, entry->d_name, 0);
	if (dir)
		closedir(dir);
	rmdir(path);
}
