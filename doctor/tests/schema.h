/* SPDX-License-Identifier: MIT */
/*
 * As much of JSON Schema as docs/doctor-report.schema.json uses, and stricter in one thing: a key
 * that the schema doesn't know is a mistake here, so that it can't drift from what is written.
 */
#ifndef TETHYS_DOCTOR_TESTS_SCHEMA_H
#define TETHYS_DOCTOR_TESTS_SCHEMA_H

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include <json-c/json.h>

struct schema {
	struct json_object *root;
	char mistake[512]; /* the first; "" = none */
};

static bool schema_check(struct schema *schema, struct json_object *rule, struct json_object *value,
			 const char *path);

static bool schema_fail(struct schema *schema, const char *path, const char *what)
{
	if (!*schema->mistake)
		snprintf(schema->mistake, sizeof(schema->mistake), "%s: %s", path, what);
	return false;
}

static bool schema_is_type(const char *name, struct json_object *value)
{
	enum json_type type = json_object_get_type(value);

	return (!strcmp(name, "object") && type == json_type_object) ||
	       (!strcmp(name, "array") && type == json_type_array) ||
	       (!strcmp(name, "string") && type == json_type_string) ||
	       (!strcmp(name, "integer") && type == json_type_int) ||
	       (!strcmp(name, "null") && type == json_type_null);
}

static bool schema_check_type(struct schema *schema, struct json_object *types,
			      struct json_object *value, const char *path)
{
	if (json_object_is_type(types, json_type_string))
		return schema_is_type(json_object_get_string(types), value) ||
		       schema_fail(schema, path, "has another type");
	for (size_t i = 0; i < json_object_array_length(types); i++)
		if (schema_is_type(json_object_get_string(json_object_array_get_idx(types, i)),
				   value))
			return true;
	return schema_fail(schema, path, "has none of the types");
}

static bool schema_check_enum(struct schema *schema, struct json_object *list,
			      struct json_object *value, const char *path)
{
	for (size_t i = 0; i < json_object_array_length(list); i++)
		if (json_object_equal(json_object_array_get_idx(list, i), value))
			return true;
	return schema_fail(schema, path, "is none of the values");
}

static bool schema_check_members(struct schema *schema, struct json_object *rule,
				 struct json_object *value, const char *path)
{
	struct json_object *properties = json_object_object_get(rule, "properties");
	struct json_object *required = json_object_object_get(rule, "required"), *member;
	char below[256];

	for (size_t i = 0; required && i < json_object_array_length(required); i++) {
		const char *key = json_object_get_string(json_object_array_get_idx(required, i));

		if (!json_object_object_get_ex(value, key, NULL))
			return schema_fail(schema, path, key);
		if (!json_object_object_get_ex(properties, key, NULL))
			return schema_fail(schema, path, "requires what it doesn't describe");
	}
	json_object_object_foreach (value, name, child) {
		snprintf(below, sizeof(below), "%s/%s", path, name);
		if (!json_object_object_get_ex(properties, name, &member))
			return schema_fail(schema, below, "is not in the schema");
		if (!schema_check(schema, member, child, below))
			return false;
	}
	return true;
}

static bool schema_check(struct schema *schema, struct json_object *rule, struct json_object *value,
			 const char *path)
{
	struct json_object *part;
	const char *name;
	char below[256];

	if (json_object_object_get_ex(rule, "$ref", &part)) {
		name = strrchr(json_object_get_string(part), '/') + 1;
		rule = json_object_object_get(json_object_object_get(schema->root, "$defs"), name);
		if (!rule)
			return schema_fail(schema, path, "refers to nothing");
	}
	if (json_object_object_get_ex(rule, "const", &part) && !json_object_equal(part, value))
		return schema_fail(schema, path, "is another value");
	if (json_object_object_get_ex(rule, "enum", &part) &&
	    !schema_check_enum(schema, part, value, path))
		return false;
	if (json_object_object_get_ex(rule, "type", &part) &&
	    !schema_check_type(schema, part, value, path))
		return false;
	if (json_object_is_type(value, json_type_object))
		return schema_check_members(schema, rule, value, path);
	if (!json_object_is_type(value, json_type_array) ||
	    !json_object_object_get_ex(rule, "items", &part))
		return true;
	for (size_t i = 0; i < json_object_array_length(value); i++) {
		snprintf(below, sizeof(below), "%s/%zu", path, i);
		if (!schema_check(schema, part, json_object_array_get_idx(value, i), below))
			return false;
	}
	return true;
}

/* Return: "" when @text is as the schema in @path says, else what is wrong, until the next call. */
static const char *schema_judge(const char *path, const char *text)
{
	static struct schema schema;
	struct json_object *value = json_tokener_parse(text);

	memset(&schema, 0, sizeof(schema));
	schema.root = json_object_from_file(path);
	if (!schema.root)
		schema_fail(&schema, path, "can't be read");
	else if (!value)
		schema_fail(&schema, "", "is no JSON");
	else
		schema_check(&schema, schema.root, value, "");
	json_object_put(schema.root);
	json_object_put(value);
	return schema.mistake;
}

#endif
