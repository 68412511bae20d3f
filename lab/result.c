/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <string.h>

#include "lab/result.h"
#include "lab/run_internal.h"

static struct json_object *seconds_json(double seconds)
{
	char text[32];

	snprintf(text, sizeof(text), "%.3f", seconds);
	return json_object_new_double_s(seconds, text);
}

static void add_string(struct json_object *object, const char *key, const char *value)
{
	if (value)
		json_object_object_add(object, key, json_object_new_string(value));
}

static struct json_object *check_json(const struct lab_check *check)
{
	struct json_object *object = json_object_new_object();

	add_string(object, "text", check->text);
	json_object_object_add(object, "passed", json_object_new_boolean(check->passed));
	add_string(object, "seen", check->seen);
	return object;
}

static struct json_object *stage_json(const struct lab_stage *stage)
{
	struct json_object *object = json_object_new_object();
	struct json_object *checks = json_object_new_array();
	size_t i;

	add_string(object, "name", stage->name);
	add_string(object, "kind", stage->kind == LAB_STAGE_STEP ? "step" : "lab");
	json_object_object_add(object, "passed", json_object_new_boolean(stage->passed));
	json_object_object_add(object, "seconds", seconds_json(stage->seconds));
	add_string(object, "detail", stage->detail);
	if (stage->status >= 0) {
		json_object_object_add(object, "exit", json_object_new_int(stage->status));
		json_object_object_add(object, "guest_seconds",
				       seconds_json((double)stage->elapsed_us / 1e6));
	}
	add_string(object, "output", stage->output);
	for (i = 0; i < stage->checks; i++)
		json_object_array_add(checks, check_json(&stage->check[i]));
	json_object_object_add(object, "checks", checks);
	return object;
}

static struct json_object *isolation_json(const struct lab_isolation *isolation)
{
	const struct {
		const char *key;
		uint64_t value;
	} counts[] = {
		{"owners", isolation->owners},	   {"maps", isolation->maps},
		{"unmaps", isolation->unmaps},	   {"accesses", isolation->accesses},
		{"refused", isolation->refused},   {"unknown", isolation->unknown},
		{"messages", isolation->messages}, {"violations", isolation->violations},
	};
	struct json_object *object = json_object_new_object();
	size_t i;

	for (i = 0; i < sizeof(counts) / sizeof(counts[0]); i++)
		json_object_object_add(object, counts[i].key,
				       json_object_new_int64((int64_t)counts[i].value));
	if (isolation->violations)
		add_string(object, "first", isolation->first);
	return object;
}

struct json_object *lab_result_json(const struct lab_result *result)
{
	struct json_object *object = json_object_new_object();
	struct json_object *stages = json_object_new_array();
	size_t i;

	add_string(object, "scenario", result->scenario->name);
	add_string(object, "title", result->scenario->title);
	json_object_object_add(object, "passed", json_object_new_boolean(result->passed));
	json_object_object_add(object, "seconds", seconds_json(result->seconds));
	json_object_object_add(object, "emulator_fault",
			       json_object_new_boolean(result->emulator_fault));
	add_string(object, "accelerator", result->accel);
	add_string(object, "logs", result->dir);
	for (i = 0; i < result->stages; i++)
		json_object_array_add(stages, stage_json(&result->stage[i]));
	json_object_object_add(object, "stages", stages);
	json_object_object_add(object, "isolation", isolation_json(&result->isolation));
	return object;
}

int lab_result_write(const struct lab_result *result)
{
	struct json_object *object = lab_result_json(result);
	char path[PATH_MAX];
	int err;

	err = lab_path(path, result->dir, "result.json");
	if (!err && json_object_to_file_ext(path, object, JSON_C_TO_STRING_PRETTY))
		err = -EIO;
	json_object_put(object);
	return err;
}

/* '#' would begin a directive. */
static void tap_line(FILE *stream, bool passed, unsigned int number, const char *scenario,
		     const char *stage, const char *text)
{
	const char *c;

	fprintf(stream, "%s %u - %s: %s", passed ? "ok" : "not ok", number, scenario, stage);
	if (text)
		fputs(": ", stream);
	for (c = text ? text : ""; *c; c++)
		fputc(*c == '#' || *c == '\n' ? ' ' : *c, stream);
	fputc('\n', stream);
}

static void tap_detail(FILE *stream, const char *text)
{
	const char *end;

	for (; text && *text; text = end) {
		end = strchr(text, '\n');
		end = end ? end + 1 : text + strlen(text);
		fprintf(stream, "#   %.*s\n", (int)strcspn(text, "\n"), text);
	}
}

unsigned int lab_result_tap(const struct lab_result *result, unsigned int number, FILE *stream)
{
	const char *name = result->scenario->name;
	size_t i, j;

	for (i = 0; i < result->stages; i++) {
		const struct lab_stage *stage = &result->stage[i];

		for (j = 0; j < stage->checks; j++) {
			tap_line(stream, stage->check[j].passed, number++, name, stage->name,
				 stage->check[j].text);
			tap_detail(stream, stage->check[j].seen);
		}
		tap_line(stream, stage->passed, number++, name, stage->name, NULL);
		tap_detail(stream, stage->detail);
	}
	fflush(stream);
	return number;
}
