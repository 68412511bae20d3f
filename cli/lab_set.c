/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/lab.h"

static int add(struct lab_set *set, const char *path, struct reason *why)
{
	struct lab_scenario **item;
	int err;

	item = realloc(set->item, (set->count + 1) * sizeof(*item));
	if (!item)
		return reason_add(why, -ENOMEM, "out of memory");
	set->item = item;
	err = lab_scenario_load(path, &item[set->count], why);
	if (!err)
		set->count++;
	return err;
}

static bool is_path(const char *name)
{
	size_t len = strlen(name), suffix = strlen(LAB_SCENARIO_SUFFIX);

	return strchr(name, '/') ||
	       (len > suffix && !strcmp(name + len - suffix, LAB_SCENARIO_SUFFIX));
}

static int add_named(struct lab_set *set, const char *dir, const char *name, struct reason *why)
{
	char path[PATH_MAX];
	int err;

	if (is_path(name))
		return add(set, name, why);
	if (snprintf(path, sizeof(path), "%s/%s" LAB_SCENARIO_SUFFIX, dir, name) >= PATH_MAX)
		return reason_add(why, -ENAMETOOLONG, "the name '%.40s...' is too long", name);
	err = add(set, path, why);
	if (err == -ENOENT)
		reason_add(why, 0, "There is no scenario '%s'.", name);
	return err;
}

static int add_all(struct lab_set *set, const char *dir, struct reason *why)
{
	char pattern[PATH_MAX];
	glob_t found = {0};
	size_t i;
	int err = 0;

	if (snprintf(pattern, sizeof(pattern), "%s/*" LAB_SCENARIO_SUFFIX, dir) >= PATH_MAX)
		return reason_add(why, -ENAMETOOLONG, "the path of the scenarios is too long");
	if (glob(pattern, 0, NULL, &found))
		err = reason_add(why, -ENOENT, "no scenarios in %s", dir);
	for (i = 0; !err && i < found.gl_pathc; i++)
		err = add(set, found.gl_pathv[i], why);
	globfree(&found);
	return err;
}

int lab_set_load(const char *const *names, size_t count, struct lab_set *ret_set,
		 struct reason *why)
{
	struct lab_set set = {0};
	char dir[PATH_MAX];
	size_t i;
	int err;

	err = lab_scenario_dir(dir, why);
	if (!err && !names)
		err = add_all(&set, dir, why);
	for (i = 0; !err && names && i < count; i++)
		err = add_named(&set, dir, names[i], why);
	if (err)
		lab_set_deinit(&set);
	else
		*ret_set = set;
	return err;
}

void lab_set_deinit(struct lab_set *set)
{
	while (set->count)
		lab_scenario_destroy(set->item[--set->count]);
	free(set->item);
	set->item = NULL;
}
