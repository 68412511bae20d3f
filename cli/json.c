/* SPDX-License-Identifier: MIT */
#include <math.h>
#include <stdio.h>

#include "cli/json.h"
#include "cli/text.h"

static struct json_object *number(double value, const char *format)
{
	char text[64];

	if (!isfinite(value))
		return NULL; /* json-c's null */
	snprintf(text, sizeof(text), format, value);
	return json_object_new_double_s(value, text);
}

struct json_object *json_float(float value)
{
	return number((double)value, "%.9g");
}

struct json_object *json_double(double value)
{
	return number(value, "%.17g");
}

struct json_object *json_rounded(double value)
{
	return number(value, "%.3f");
}

struct json_object *json_tensor(const struct task_tensor *tensor)
{
	struct json_object *object = json_object_new_object();
	struct json_object *shape = json_object_new_array();

	for (unsigned int i = 0; i < tensor->ndims; i++)
		json_object_array_add(shape, json_object_new_int64((int64_t)tensor->dims[i]));
	json_object_object_add(object, "name", json_object_new_string(tensor->name));
	json_object_object_add(object, "type", json_object_new_string(text_dtype(tensor->dtype)));
	json_object_object_add(object, "shape", shape);
	return object;
}

void json_print(struct json_object *root)
{
	puts(json_object_to_json_string_ext(root, JSON_C_TO_STRING_PRETTY |
							  JSON_C_TO_STRING_SPACED |
							  JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(root);
}
