/* SPDX-License-Identifier: MIT */
/*
 * tethys lab list, logs, build: what there is.
 */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cli/cli.h"
#include "cli/json.h"
#include "cli/lab.h"
#include "cli/term.h"
#include "lab/dir.h"

int lab_cmd_list(bool json)
{
	struct json_object *root = json ? json_object_new_array() : NULL, *object;
	struct reason why = {0};
	struct lab_set set;
	size_t i;

	if (lab_set_load(NULL, 0, &set, &why)) {
		term_error("%s", why.text);
		return CLI_FAILED;
	}
	for (i = 0; i < set.count; i++) {
		if (!json) {
			printf("%-20s %s\n", set.item[i]->name, set.item[i]->title);
			continue;
		}
		object = json_object_new_object();
		json_object_object_add(object, "name", json_object_new_string(set.item[i]->name));
		json_object_object_add(object, "title", json_object_new_string(set.item[i]->title));
		json_object_object_add(object, "about", json_object_new_string(set.item[i]->about));
		json_object_object_add(object, "file", json_object_new_string(set.item[i]->path));
		json_object_array_add(root, object);
	}
	if (json)
		json_print(root);
	lab_set_deinit(&set);
	return CLI_OK;
}

/* --- logs --- */

static int by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static int is_file(const struct dirent *entry)
{
	return entry->d_name[0] != '.' && strcmp(entry->d_name, "sockets");
}

static int print_folder(const char *dir, bool json)
{
	struct json_object *root = json ? json_object_new_object() : NULL;
	struct json_object *files = json ? json_object_new_array() : NULL;
	struct dirent **entries;
	char path[PATH_MAX];
	struct stat st;
	int i, count = scandir(dir, &entries, is_file, by_name);

	if (count < 0) {
		term_error("'%s' can't be read: %s", dir, strerror(errno));
		return CLI_FAILED;
	}
	if (!json)
		printf("%s\n", dir);
	for (i = 0; i < count; i++) {
		if (json)
			json_object_array_add(files, json_object_new_string(entries[i]->d_name));
		else if (snprintf(path, sizeof(path), "%s/%s", dir, entries[i]->d_name) <
				 PATH_MAX &&
			 !stat(path, &st))
			printf("  %-48s %8lld bytes\n", entries[i]->d_name, (long long)st.st_size);
		free(entries[i]);
	}
	free(entries);
	if (json) {
		json_object_object_add(root, "folder", json_object_new_string(dir));
		json_object_object_add(root, "files", files);
		json_print(root);
	}
	return CLI_OK;
}

static int print_file(const char *dir, const char *name)
{
	char path[PATH_MAX], block[65536];
	FILE *file;
	size_t n;

	if (strchr(name, '/') || snprintf(path, sizeof(path), "%s/%s", dir, name) >= PATH_MAX) {
		term_error("'%s' is no name of a file in %s", name, dir);
		return CLI_USAGE;
	}
	file = fopen(path, "re");
	if (!file) {
		term_error("'%s' can't be read: %s", path, strerror(errno));
		term_hint("'tethys lab logs' shows what there is.");
		return CLI_FAILED;
	}
	do {
		n = fread(block, 1, sizeof(block), file);
		fwrite(block, 1, n, stdout);
	} while (n == sizeof(block));
	fclose(file);
	return CLI_OK;
}

int lab_cmd_logs(const char *logs, const char *scenario, const char *which, bool json)
{
	char dir[PATH_MAX], newest[PATH_MAX];
	struct reason why = {0};

	if (lab_logs_dir(logs, dir, &why) || lab_folder_newest(dir, scenario, newest, &why)) {
		term_error("%s", why.text);
		term_hint("'tethys lab run SCENARIO' makes some.");
		return CLI_FAILED;
	}
	return which ? print_file(newest, which) : print_folder(newest, json);
}

/* --- build --- */

int lab_cmd_build(bool quiet, bool without_vfio, bool json)
{
	struct lab_images images;
	struct reason why = {0};
	struct json_object *root;

	if (without_vfio)
		setenv("TETHYS_LAB_VFIO", "no", 1);
	if (lab_images_make(quiet, &images, &why)) {
		term_error("%s", why.text);
		return CLI_FAILED;
	}
	if (!json)
		return CLI_OK;
	root = json_object_new_object();
	json_object_object_add(root, "kernel", json_object_new_string(images.kernel));
	json_object_object_add(root, "initrd", json_object_new_string(images.initrd));
	json_object_object_add(root, "base", json_object_new_string(images.base));
	json_object_object_add(root, "payload", json_object_new_string(images.payload));
	json_object_object_add(root, "release", json_object_new_string(images.release));
	json_object_object_add(root, "qemu", json_object_new_string(images.qemu));
	json_print(root);
	return CLI_OK;
}
