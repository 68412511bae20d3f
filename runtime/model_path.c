/* SPDX-License-Identifier: MIT */
#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include <json-c/json.h>

#include "runtime/model_path.h"

#define JSON_BYTES_MAX (1u << 20)
#define JSON_DEPTH_MAX 16

static bool ends_with(const char *text, const char *end)
{
	size_t n = strlen(text), m = strlen(end);

	return n > m && !strcasecmp(text + n - m, end);
}

/* A whole small file; *ret_text is NUL-terminated and to be freed. */
static int read_small(const char *path, char **ret_text, size_t *ret_bytes, struct reason *why)
{
	FILE *file = fopen(path, "re");
	char *text;
	size_t n;

	if (!file)
		return reason_add(why, -errno, "%s: %s", path, strerror(errno));
	text = malloc(JSON_BYTES_MAX + 1);
	n = text ? fread(text, 1, JSON_BYTES_MAX, file) : 0;
	if (!text || ferror(file) || n == JSON_BYTES_MAX) {
		free(text);
		fclose(file);
		if (!text)
			return reason_add(why, -ENOMEM, "out of memory");
		return reason_add(why, -EINVAL, "%s: can't be read, or larger than 1 MiB", path);
	}
	fclose(file);
	text[n] = 0;
	*ret_text = text;
	*ret_bytes = n;
	return 0;
}

static int json_read(const char *path, struct json_object **ret_json, struct reason *why)
{
	struct json_tokener *tokener;
	struct json_object *json = NULL;
	char *text = NULL;
	size_t bytes = 0;
	int r;

	r = read_small(path, &text, &bytes, why);
	if (r)
		return r;
	tokener = json_tokener_new_ex(JSON_DEPTH_MAX);
	if (tokener) /* with the NUL, which ends a number */
		json = json_tokener_parse_ex(tokener, text, (int)bytes + 1);
	if (!tokener)
		r = reason_add(why, -ENOMEM, "out of memory");
	else if (!json)
		r = reason_add(why, -EINVAL, "%s: not JSON: %s at byte %zu", path,
			       json_tokener_error_desc(json_tokener_get_error(tokener)),
			       json_tokener_get_parse_end(tokener));
	else if (!json_object_is_type(json, json_type_object))
		r = reason_add(why, -EINVAL, "%s: not a JSON object", path);
	if (tokener)
		json_tokener_free(tokener);
	free(text);
	if (r)
		json_object_put(json);
	else
		*ret_json = json;
	return r;
}

/* A member that is a string without NULs; NULL when it is absent or something else. */
static const char *json_text(struct json_object *json, const char *key)
{
	struct json_object *value;
	const char *text;

	if (!json_object_object_get_ex(json, key, &value) ||
	    !json_object_is_type(value, json_type_string))
		return NULL;
	text = json_object_get_string(value);
	return strlen(text) == (size_t)json_object_get_string_len(value) ? text : NULL;
}

/* Relative, and not out of its folder. */
static bool stays_inside(const char *path)
{
	const char *at = path;

	if (!*path || *path == '/')
		return false;
	while ((at = strstr(at, ".."))) {
		if ((at == path || at[-1] == '/') && (!at[2] || at[2] == '/'))
			return false;
		at += 2;
	}
	return true;
}

static int properties_read(struct json_object *tethys, const char *path, struct propset *properties,
			   struct reason *why)
{
	struct json_object *json;
	const char *text;
	int r;

	if (!json_object_object_get_ex(tethys, "properties", &json))
		return 0;
	if (!json_object_is_type(json, json_type_object))
		return reason_add(why, -EINVAL, "%s: tethys.properties is not an object", path);
	json_object_object_foreach (json, key, value) {
		(void)value;
		text = json_text(json, key);
		if (!text)
			return reason_add(why, -EINVAL, "%s: tethys.properties.%.64s is not text",
					  path, key);
		r = propset_set(properties, key, text);
		if (r)
			return reason_add(why, r, "out of memory");
	}
	return 0;
}

static int onnx_of_json(struct json_object *json, const char *path, char **ret_onnx,
			struct propset *properties, struct reason *why)
{
	struct json_object *tethys;
	const char *onnx, *slash = strrchr(path, '/');
	int folder = slash ? (int)(slash + 1 - path) : 0, r;

	if (!json_object_object_get_ex(json, "tethys", &tethys) ||
	    !json_object_is_type(tethys, json_type_object)) {
		if (json_object_object_get_ex(json, "memory_pools", NULL) ||
		    json_object_object_get_ex(json, "kernels", NULL))
			return reason_add(why, -ENOTSUP,
					  "%s: compiled for the silicon only; Tethys executes "
					  "the .onnx it was made from",
					  path);
		return reason_add(why, -EINVAL, "%s: has no \"tethys\" object that names an .onnx",
				  path);
	}
	onnx = json_text(tethys, "onnx");
	if (!onnx || !stays_inside(onnx))
		return reason_add(why, -EINVAL,
				  "%s: tethys.onnx must name a file in the same folder or below it",
				  path);
	r = properties_read(tethys, path, properties, why);
	if (!r && asprintf(ret_onnx, "%.*s%s", folder, path, onnx) < 0)
		r = reason_add(why, -ENOMEM, "out of memory");
	return r;
}

static int resolve_json(const char *path, char **ret_onnx, struct propset *properties,
			struct reason *why)
{
	struct json_object *json;
	int r = json_read(path, &json, why);

	if (r)
		return r;
	r = onnx_of_json(json, path, ret_onnx, properties, why);
	json_object_put(json);
	return r;
}

/* The only .onnx of a directory. */
static int onnx_of_directory(const char *path, char **ret_onnx, struct reason *why)
{
	struct dirent *entry;
	char *found = NULL;
	unsigned int count = 0;
	DIR *dir = opendir(path);

	if (!dir)
		return reason_add(why, -errno, "%s: %s", path, strerror(errno));
	while ((entry = readdir(dir))) {
		if (!ends_with(entry->d_name, ".onnx") || count++)
			continue;
		if (asprintf(&found, "%s/%s", path, entry->d_name) < 0)
			found = NULL;
	}
	closedir(dir);
	if (count == 1 && found) {
		*ret_onnx = found;
		return 0;
	}
	free(found);
	if (count == 1)
		return reason_add(why, -ENOMEM, "out of memory");
	return reason_add(why, -EINVAL, "%s: has no model.json and %s .onnx", path,
			  count ? "more than one" : "no");
}

static int resolve_directory(const char *path, char **ret_onnx, struct propset *properties,
			     struct reason *why)
{
	struct stat st;
	char *json;
	int r;

	if (asprintf(&json, "%s/model.json", path) < 0)
		return reason_add(why, -ENOMEM, "out of memory");
	if (stat(json, &st))
		r = onnx_of_directory(path, ret_onnx, why);
	else
		r = resolve_json(json, ret_onnx, properties, why);
	free(json);
	return r;
}

int model_path_resolve(const char *path, char **ret_onnx, struct propset *properties,
		       struct reason *why)
{
	struct stat st;

	if (stat(path, &st))
		return reason_add(why, -errno, "%s: %s", path, strerror(errno));
	if (S_ISDIR(st.st_mode))
		return resolve_directory(path, ret_onnx, properties, why);
	if (!S_ISREG(st.st_mode)) /* opening a fifo would wait */
		return reason_add(why, -EINVAL, "%s: not a regular file", path);
	if (ends_with(path, ".json"))
		return resolve_json(path, ret_onnx, properties, why);
	if (ends_with(path, ".axm") || ends_with(path, ".axe"))
		return reason_add(why, -ENOTSUP,
				  "%s: compiled for the silicon only; Tethys executes the .onnx it "
				  "was made from",
				  path);
	if (!ends_with(path, ".onnx"))
		return reason_add(why, -EINVAL,
				  "%s: not a model: use an .onnx, a model.json or its folder",
				  path);
	*ret_onnx = strdup(path);
	return *ret_onnx ? 0 : reason_add(why, -ENOMEM, "out of memory");
}
