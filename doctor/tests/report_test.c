/* SPDX-License-Identifier: MIT */
#include <errno.h>

#include "doctor/report/escape.h"
#include "doctor/report/wrap.h"
#include "doctor/tests/report_fixture.h"
#include "doctor/tests/schema.h"
#include "doctor/text.h"
#include "tests/tap.h"

#define SCHEMA DOCTOR_TESTS "/../../docs/doctor-report.schema.json"

static const struct doctor_style plain = {"", "", "", "", "", "", 80, false, false, false};

static char *print_text(const struct fixture *f, const struct doctor_style *style)
{
	char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);

	doctor_report_text(&f->report, style, out);
	fclose(out);
	return text;
}

static void test_text_first_is_whole_others_are_short(void)
{
	struct fixture f;
	const char *second;
	char *text;

	fixture_init(&f);
	text = print_text(&f, &plain);
	EXPECT(!strncmp(text, "2 problems found, and 1 warning.\n", 33));
	EXPECT_HAS(text, "[1] ERROR: The guest's MSI message was written raw into the device\n");
	EXPECT_HAS(text, "very likely (87 %),\n    raw-msi-in-bar\n");
	EXPECT_HAS(text, "\n        host.log:12, 14 times\n");
	EXPECT_HAS(text, "What would decide");
	EXPECT_HAS(text, "Proved: in the lab: scenario forum-1346-healed");
	EXPECT_HAS(text, "Explains as well");
	EXPECT_HAS(text, "- pve1: /proc/iomem: addresses are hidden");
	EXPECT_HAS(text, "host.log: 1 line too long");
	second = strstr(text, "[2] ERROR");
	EXPECT(second && !strstr(second, "What would decide"));
	EXPECT(second && strstr(second, "(1 more)"));
	EXPECT_HAS(text, "[3] WARNING: ");
	EXPECT_HAS(text, "A fault of the display engine while the host booted: 0000:00:02.0");
	free(text);
	fixture_deinit(&f);
}

static void test_text_verbose_shortens_nothing(void)
{
	struct doctor_style style = plain;
	struct fixture f;
	char *text;

	style.verbose = true;
	fixture_init(&f);
	text = print_text(&f, &style);
	EXPECT(!strstr(text, " more)"));
	free(text);
	fixture_deinit(&f);
}

/* Prose is wrapped; lines of logs stay whole for grep unless somebody looks at a terminal. */
static void test_text_width_is_kept_by_prose(void)
{
	struct doctor_style style = plain;
	char *text, *line, *save = NULL;
	struct fixture f;
	size_t longest = 0;

	style.width = 60;
	fixture_init(&f);
	text = print_text(&f, &style);
	EXPECT_HAS(text, "[fault reason 0x22] Present field in the IRTE entry is clear\n");
	for (line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
		if (!strstr(line, "DMAR:") && !strstr(line, "the guest has") &&
		    strlen(line) > longest)
			longest = strlen(line);
	EXPECT(longest > 50 && longest <= 60);
	free(text);
	style.terminal = true;
	text = print_text(&f, &style);
	EXPECT(!strstr(text, "Present field in the IRTE entry is clear\n"));
	free(text);
	fixture_deinit(&f);
}

static void test_text_healthy_is_a_few_lines(void)
{
	struct fixture f;
	size_t lines = 0;
	char *text;

	fixture_init(&f);
	f.report.count = 0;
	f.report.verdict = DOCTOR_HEALTHY;
	f.snapshot.note_count = 0;
	f.log[0].lines_cut = 0;
	text = print_text(&f, &plain);
	for (const char *c = text; *c; c++)
		lines += *c == '\n';
	EXPECT(!strncmp(text, "Nothing found.\n", 15));
	EXPECT_HAS(text, "Looked at host pve1, Proxmox VE 9.1.9, kernel 6.14.8-2-pve");
	EXPECT_HAS(text, "Read host.log: 1234 lines.");
	EXPECT(lines <= 5);
	free(text);
	fixture_deinit(&f);
}

static void test_text_nothing_from_outside_steers_the_terminal(void)
{
	static const char nasty[] = "a\033[2Jb\rc\x9b"
				    "1md\xc2\x9b"
				    "e-\xe2\x80\xae"
				    "f\ng";
	struct doctor_evidence evidence = {nasty, nasty, 1};
	struct doctor_style style = plain;
	const char *why[] = {nasty};
	struct fixture f;
	char *text;

	style.utf8 = true;
	fixture_init(&f);
	f.finding[0].title = f.finding[0].label = f.finding[0].machine = nasty;
	f.finding[0].evidence = &evidence;
	f.finding[0].evidence_count = 1;
	f.finding[0].why = why;
	f.finding[0].why_count = 1;
	f.finding[3].title = f.finding[3].label = nasty;
	f.machine.name = f.machine.kernel = f.log[0].name = f.note[0].why = nasty;
	text = print_text(&f, &style);
	for (const char *c = text; *c; c++)
		EXPECT((unsigned char)*c >= 0x20 || *c == '\n');
	EXPECT(!strstr(text, "\xc2\x9b"));
	EXPECT(!strstr(text, "\xe2\x80\xae"));
	EXPECT(!strstr(text, "f\ng"));
	free(text);
	fixture_deinit(&f);
}

static void test_json_is_as_the_schema_says(void)
{
	struct fixture f;
	char *text;

	fixture_init(&f);
	text = fixture_print(&f, doctor_report_json);
	EXPECT_STR(schema_judge(SCHEMA, text), "");
	EXPECT_HAS(text, "\"format\": \"tethys-doctor-report/1\"");
	EXPECT_HAS(text, "\"device\": \"0000:5e:00.0\"");
	EXPECT_HAS(text, "\"qm reboot 101\"");
	free(text);
	f.report.looked_at = NULL;
	f.report.count = 0;
	f.report.verdict = DOCTOR_CANNOT_LOOK;
	text = fixture_print(&f, doctor_report_json);
	EXPECT_STR(schema_judge(SCHEMA, text), "");
	EXPECT_HAS(text, "\"verdict\": \"cannot-look\"");
	free(text);
	fixture_deinit(&f);
}

/* The judge of the schema itself can say no. */
static void test_json_that_differs_from_the_schema_is_told(void)
{
	EXPECT_HAS(schema_judge(SCHEMA, "{}"), "format");
	EXPECT_HAS(schema_judge(SCHEMA, "{\"format\": \"other\", \"version\": \"\", \"verdict\": "
					"\"healthy\", \"findings\": [], \"looked_at\": "
					"{\"machines\": [], \"logs\": []}, \"notes\": []}"),
		   "/format: is another value");
	EXPECT_HAS(schema_judge(SCHEMA, "{\"format\": \"tethys-doctor-report/1\", \"version\": "
					"\"\", \"verdict\": \"healthy\", \"findings\": [], "
					"\"looked_at\": {\"machines\": [], \"logs\": [{\"name\": "
					"1}]}, \"notes\": []}"),
		   "/looked_at/logs/0");
}

static void test_json_bytes_that_are_no_text_stay_valid(void)
{
	struct fixture f;
	char *text;

	fixture_init(&f);
	f.finding[0].title = "\xff\xfe\033 \xc0\x80";
	text = fixture_print(&f, doctor_report_json);
	EXPECT_STR(schema_judge(SCHEMA, text), "");
	EXPECT_HAS(text, "\"title\": \"\xef\xbf\xbd\xef\xbf\xbd");
	EXPECT(!strstr(text, "u001b"));
	free(text);
	fixture_deinit(&f);
}

static void test_escape_characters_that_steer_are_replaced(void)
{
	const char *text = "\xf0\x9f\x98\x80\xed\xa0\x80z";

	EXPECT_EQ(escape_next(&text), 0x1f600);
	EXPECT_EQ(escape_next(&text), 0xfffd); /* half of a surrogate pair */
	EXPECT_EQ(escape_next(&text), 'z');
	EXPECT_EQ(escape_next(&text), 0);
	text = "\xe2\x80"; /* ends too early */
	EXPECT_EQ(escape_next(&text), 0xfffd);
	EXPECT_EQ(escape_next(&text), 0xfffd);
	EXPECT_EQ(escape_next(&text), 0);
}

static void test_wrap_long_words_stay_whole(void)
{
	char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);

	wrap_print("one two /sys/bus/pci/devices/0000:5e:00.0/reset_method four", 12, 2, 2, out);
	fclose(out);
	EXPECT_STR(text, "one two\n  /sys/bus/pci/devices/0000:5e:00.0/reset_method\n  four\n");
	free(text);
}

static void test_explain_every_class_has_its_words(void)
{
	const struct doctor_rule *rule = NULL;
	size_t count = 0;

	while ((rule = doctor_rule_next(rule))) {
		char *text = NULL;
		size_t size = 0;
		FILE *out = open_memstream(&text, &size);

		EXPECT_EQ(doctor_explain(rule->id, &plain, out), 0);
		fclose(out);
		EXPECT_HAS(text, rule->id);
		if (!strstr(text, "What goes on"))
			TAP_FAIL("%s has no cause", rule->id);
		free(text);
		count++;
	}
	EXPECT(count > 20);
}

static void test_explain_unknown_class_is_told(void)
{
	FILE *out = fopen("/dev/null", "w");

	ASSERT(out);
	EXPECT_EQ(doctor_explain("no-such-thing", &plain, out), -ENOENT);
	fclose(out);
}

static void test_list_names_every_class(void)
{
	const struct doctor_rule *rule = NULL;
	struct json_object *list;
	char *text = NULL;
	size_t size = 0, count = 0;
	FILE *out = open_memstream(&text, &size);

	doctor_list(&plain, true, out);
	fclose(out);
	list = json_tokener_parse(text);
	while ((rule = doctor_rule_next(rule))) {
		EXPECT_HAS(text, rule->id);
		count++;
	}
	EXPECT(list && json_object_array_length(list) == count);
	json_object_put(list);
	free(text);
}

int main(void)
{
	RUN(test_text_first_is_whole_others_are_short);
	RUN(test_text_verbose_shortens_nothing);
	RUN(test_text_width_is_kept_by_prose);
	RUN(test_text_healthy_is_a_few_lines);
	RUN(test_text_nothing_from_outside_steers_the_terminal);
	RUN(test_json_is_as_the_schema_says);
	RUN(test_json_that_differs_from_the_schema_is_told);
	RUN(test_json_bytes_that_are_no_text_stay_valid);
	RUN(test_escape_characters_that_steer_are_replaced);
	RUN(test_wrap_long_words_stay_whole);
	RUN(test_explain_every_class_has_its_words);
	RUN(test_explain_unknown_class_is_told);
	RUN(test_list_names_every_class);
	return tap_done();
}
