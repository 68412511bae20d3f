/* SPDX-License-Identifier: MIT */
#include <ctype.h>
#include <errno.h>
#include <json-c/json.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lab/diagnosis.h"
#include "lab/scenario_internal.h"

#define FINDINGS_MAX 1000u
#define REPORT_FORMAT "tethys-doctor-report/"
/* Beyond them it could not look. */
#define EXIT_FINDINGS 1

/* --- reading --- */

/* A copy without control characters, as it comes out of a machine; NULL: out of memory. */
static char *clean_copy(const char *text)
{
	char *copy = strdup(text), *c;

	for (c = copy; c && *c; c++)
		if (iscntrl((unsigned char)*c))
			*c = '?';
	return copy;
}

/* NULL: it isn't there, or no text. */
static const char *string_of(struct json_object *object, const char *key)
{
	struct json_object *value;

	if (!json_object_is_type(object, json_type_object) ||
	    !json_object_object_get_ex(object, key, &value) ||
	    !json_object_is_type(value, json_type_string))
		return NULL;
	return json_object_get_string(value);
}

static int read_finding(struct json_object *object, struct lab_diagnosis *diagnosis,
			struct reason *why)
{
	const char *id = string_of(object, "id"), *title = string_of(object, "title");
	const char *severity = string_of(object, "severity");
	struct lab_finding *finding;

	if (!id || !title || !severity ||
	    (strcmp(severity, "error") && strcmp(severity, "warning") && strcmp(severity, "info")))
		return reason_add(why, -EPROTO,
				  "doctor's report has a finding without id, title or severity");
	if (lab_grow(&diagnosis->item, diagnosis->count, sizeof(*diagnosis->item)))
		return -ENOMEM;
	finding = &diagnosis->item[diagnosis->count++];
	finding->id = clean_copy(id);
	finding->title = clean_copy(title);
	finding->wrong = strcmp(severity, "info") != 0;
	return finding->id && finding->title ? 0 : -ENOMEM;
}

static int read_findings(struct json_object *report, struct lab_diagnosis *diagnosis,
			 struct reason *why)
{
	struct json_object *list;
	size_t count, i;
	int err = 0;

	if (!json_object_object_get_ex(report, "findings", &list) ||
	    !json_object_is_type(list, json_type_array))
		return reason_add(why, -EPROTO, "doctor's report has no list of findings");
	count = json_object_array_length(list);
	if (count > FINDINGS_MAX)
		return reason_add(why, -EPROTO, "doctor's report has over %u findings",
				  FINDINGS_MAX);
	for (i = 0; !err && i < count; i++)
		err = read_finding(json_object_array_get_idx(list, i), diagnosis, why);
	return err;
}

static size_t wrong_in(const struct lab_diagnosis *diagnosis)
{
	size_t count = 0, i;

	for (i = 0; i < diagnosis->count; i++)
		count += diagnosis->item[i].wrong;
	return count;
}

static int read_report(struct json_object *report, int exit_code, struct lab_diagnosis *diagnosis,
		       struct reason *why)
{
	const char *format = string_of(report, "format"), *verdict = string_of(report, "verdict");
	const char *right;
	int err;

	if (!format || strncmp(format, REPORT_FORMAT, strlen(REPORT_FORMAT)) || !verdict)
		return reason_add(why, -EPROTO, "doctor printed something else than a report");
	err = read_findings(report, diagnosis, why);
	if (err)
		return err;
	if (exit_code < 0 || exit_code > EXIT_FINDINGS)
		return reason_add(why, -EPROTO, "doctor could not look (exit code %d)", exit_code);
	right = wrong_in(diagnosis) ? "findings" : "healthy";
	if (strcmp(verdict, right) || exit_code != (wrong_in(diagnosis) ? EXIT_FINDINGS : 0))
		return reason_add(why, -EPROTO,
				  "doctor contradicts itself: verdict %.20s, exit code %d, and %zu "
				  "errors and warnings",
				  verdict, exit_code, wrong_in(diagnosis));
	return 0;
}

int lab_diagnosis_parse(const char *text, size_t len, int exit_code,
			struct lab_diagnosis *ret_diagnosis, struct reason *why)
{
	struct lab_diagnosis diagnosis = {0};
	struct json_tokener *tokener = json_tokener_new();
	struct json_object *report;
	int err;

	if (!tokener)
		return -ENOMEM;
	report = len && len <= INT32_MAX ? json_tokener_parse_ex(tokener, text, (int)len) : NULL;
	json_tokener_free(tokener);
	if (report)
		err = read_report(report, exit_code, &diagnosis, why);
	else if (exit_code)
		err = reason_add(why, -EPROTO, "doctor failed (exit code %d)", exit_code);
	else
		err = reason_add(why, -EPROTO, "doctor printed no JSON");
	json_object_put(report);
	if (err)
		lab_diagnosis_deinit(&diagnosis);
	else
		*ret_diagnosis = diagnosis;
	return err;
}

void lab_diagnosis_deinit(struct lab_diagnosis *diagnosis)
{
	size_t i;

	for (i = 0; i < diagnosis->count; i++) {
		free(diagnosis->item[i].id);
		free(diagnosis->item[i].title);
	}
	free(diagnosis->item);
	memset(diagnosis, 0, sizeof(*diagnosis));
}

/* --- judging --- */

static bool is_among(const char *id, const struct lab_strings *ids)
{
	size_t i;

	for (i = 0; i < ids->count; i++)
		if (!strcmp(ids->item[i], id))
			return true;
	return false;
}

static const struct lab_finding *first_wrong(const struct lab_diagnosis *diagnosis, const char *id)
{
	size_t i;

	for (i = 0; i < diagnosis->count; i++)
		if (diagnosis->item[i].wrong && (!id || !strcmp(diagnosis->item[i].id, id)))
			return &diagnosis->item[i];
	return NULL;
}

bool lab_diagnosis_fits(const struct lab_diagnosis *diagnosis, const struct lab_verdict *expected,
			const struct lab_strings *also)
{
	size_t i;

	for (i = 0; i < diagnosis->count; i++)
		if (diagnosis->item[i].wrong && !is_among(diagnosis->item[i].id, &expected->ids) &&
		    !is_among(diagnosis->item[i].id, also))
			return false;
	for (i = 0; i < expected->ids.count; i++)
		if (!first_wrong(diagnosis, expected->ids.item[i]))
			return false;
	return !expected->ids.count ||
	       !strcmp(first_wrong(diagnosis, NULL)->id, expected->ids.item[0]);
}

bool lab_diagnosis_equal(const struct lab_diagnosis *a, const struct lab_diagnosis *b)
{
	size_t i;

	if (a->count != b->count)
		return false;
	for (i = 0; i < a->count; i++)
		if (strcmp(a->item[i].id, b->item[i].id) || a->item[i].wrong != b->item[i].wrong)
			return false;
	return true;
}

static void __attribute__((format(printf, 3, 4))) append(char *words, size_t size, const char *fmt,
							 ...)
{
	size_t used = strlen(words);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(words + used, size - used, fmt, ap);
	va_end(ap);
}

void lab_diagnosis_words(const struct lab_diagnosis *diagnosis, char *ret_words, size_t size)
{
	size_t i;

	*ret_words = '\0';
	for (i = 0; i < diagnosis->count; i++)
		if (diagnosis->item[i].wrong)
			append(ret_words, size, "%s%s (%s)", *ret_words ? ", " : "",
			       diagnosis->item[i].id, diagnosis->item[i].title);
	if (!*ret_words)
		append(ret_words, size, "healthy");
}

void lab_verdict_words(const char *key, const struct lab_verdict *verdict, char *ret_words,
		       size_t size)
{
	size_t i;

	snprintf(ret_words, size, "%s = %s", key, verdict->ids.count ? "" : "healthy");
	for (i = 0; i < verdict->ids.count; i++)
		append(ret_words, size, "%s%s", i ? ", " : "", verdict->ids.item[i]);
}
