/* SPDX-License-Identifier: MIT */
#include <errno.h>

#include "lab/diagnosis.h"
#include "tests/tap.h"

#define REPORT(verdict, findings)                                                              \
	"{\"format\": \"tethys-doctor-report/1\", \"later\": 1, \"verdict\": \"" verdict "\"," \
	" \"findings\": [" findings "]}\n"
#define FINDING(id, severity) \
	"{\"id\": \"" id "\", \"severity\": \"" severity "\", \"title\": \"T\"}"

static int parse(const char *text, int exit_code, struct lab_diagnosis *ret_diagnosis,
		 struct reason *why)
{
	memset(ret_diagnosis, 0, sizeof(*ret_diagnosis));
	why->text[0] = '\0';
	return lab_diagnosis_parse(text, strlen(text), exit_code, ret_diagnosis, why);
}

static void test_diagnosis_findings_are_read_in_their_order(void)
{
	struct lab_diagnosis diagnosis;
	struct reason why;
	char words[100], few[12];

	ASSERT_EQ(parse(REPORT("findings", FINDING("b", "error") "," FINDING(
						   "a", "warning") "," FINDING("c", "info")),
			1, &diagnosis, &why),
		  0);
	ASSERT_EQ(diagnosis.count, 3);
	EXPECT_STR(diagnosis.item[0].id, "b");
	EXPECT(diagnosis.item[1].wrong);
	EXPECT(!diagnosis.item[2].wrong);
	lab_diagnosis_words(&diagnosis, words, sizeof(words));
	EXPECT_STR(words, "b (T), a (T)");
	lab_diagnosis_words(&diagnosis, few, sizeof(few));
	EXPECT_STR(few, "b (T), a (T");
	lab_diagnosis_deinit(&diagnosis);
	lab_diagnosis_deinit(&diagnosis);
}

static void test_diagnosis_what_is_no_report_is_refused(void)
{
	static const struct {
		const char *text;
		int exit_code;
		const char *words;
	} cases[] = {
		{"", 0, "printed no JSON"},
		{"", 127, "failed (exit code 127)"},
		{"{", 0, "printed no JSON"},
		{"[]", 0, "something else than a report"},
		{"{\"format\": 1, \"verdict\": \"healthy\", \"findings\": []}", 0,
		 "something else"},
		{"{\"format\": \"tethys-doctor-report/1\", \"verdict\": \"healthy\"}", 0,
		 "no list of findings"},
		{REPORT("healthy", "1"), 0, "without id, title or severity"},
		{REPORT("healthy", FINDING("a", "bad")), 0, "without id, title or severity"},
		{REPORT("healthy", "{\"id\": \"a\", \"severity\": \"info\"}"), 0, "without id"},
		{REPORT("cannot-look", ""), 2, "could not look (exit code 2)"},
		{REPORT("healthy", ""), 1, "contradicts itself"},
		{REPORT("findings", ""), 0, "contradicts itself"},
		{REPORT("findings", FINDING("a", "info")), 1, "contradicts itself"},
		{REPORT("healthy", FINDING("a", "error")), 0, "contradicts itself"},
		{REPORT("findings", FINDING("a", "error")), 0, "contradicts itself"},
		{REPORT("findings", FINDING("a", "error")), 139, "could not look"},
	};
	struct lab_diagnosis diagnosis;
	struct reason why;
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		EXPECT_EQ(parse(cases[i].text, cases[i].exit_code, &diagnosis, &why), -EPROTO);
		EXPECT_HAS(why.text, cases[i].words);
		EXPECT_EQ(diagnosis.count, 0);
	}
}

static void test_diagnosis_control_characters_do_not_come_out(void)
{
	struct lab_diagnosis diagnosis;
	struct reason why;
	char words[64];

	ASSERT_EQ(
		parse(REPORT("findings", FINDING("a\\u001b[2J\\n", "error")), 1, &diagnosis, &why),
		0);
	lab_diagnosis_words(&diagnosis, words, sizeof(words));
	EXPECT_STR(words, "a?[2J? (T)");
	lab_diagnosis_deinit(&diagnosis);
}

static bool fits(const char *findings, int exit_code, const struct lab_verdict *expected,
		 const struct lab_strings *also)
{
	struct lab_diagnosis diagnosis;
	struct reason why;
	bool good;

	if (parse(findings, exit_code, &diagnosis, &why)) {
		TAP_FAIL("%s", why.text);
		return false;
	}
	good = lab_diagnosis_fits(&diagnosis, expected, also);
	lab_diagnosis_deinit(&diagnosis);
	return good;
}

static void test_diagnosis_fits_only_what_is_expected(void)
{
	char a[] = "a", b[] = "b", c[] = "c", *ab[] = {a, b}, *only_c[] = {c};
	struct lab_verdict healthy = {.asked = true};
	struct lab_verdict first_a = {.asked = true, .ids = {.item = ab, .count = 2}};
	struct lab_strings none = {0}, also_c = {.item = only_c, .count = 1};
	char words[64];

#define A FINDING("a", "error")
#define B FINDING("b", "warning")
#define C FINDING("c", "error")
	EXPECT(fits(REPORT("healthy", ""), 0, &healthy, &none));
	EXPECT(fits(REPORT("healthy", FINDING("x", "info")), 0, &healthy, &none));
	EXPECT(!fits(REPORT("findings", C), 1, &healthy, &none));
	EXPECT(fits(REPORT("findings", C), 1, &healthy, &also_c));
	EXPECT(fits(REPORT("findings", A "," B), 1, &first_a, &none));
	/* One finding for each of several devices. */
	EXPECT(fits(REPORT("findings", A "," B "," A), 1, &first_a, &none));
	EXPECT(!fits(REPORT("findings", B "," A), 1, &first_a, &none));
	EXPECT(!fits(REPORT("findings", A), 1, &first_a, &none));
	EXPECT(!fits(REPORT("findings", A "," B "," C), 1, &first_a, &none));
	EXPECT(fits(REPORT("findings", A "," B "," C), 1, &first_a, &also_c));
	/* What may be found besides is not what it must begin with. */
	EXPECT(!fits(REPORT("findings", C "," A "," B), 1, &first_a, &also_c));
	EXPECT(!fits(REPORT("findings", A "," FINDING("b", "info")), 1, &first_a, &none));
	lab_verdict_words("doctor", &first_a, words, sizeof(words));
	EXPECT_STR(words, "doctor = a, b");
	lab_verdict_words("guest doctor", &healthy, words, sizeof(words));
	EXPECT_STR(words, "guest doctor = healthy");
}

int main(void)
{
	RUN(test_diagnosis_findings_are_read_in_their_order);
	RUN(test_diagnosis_what_is_no_report_is_refused);
	RUN(test_diagnosis_control_characters_do_not_come_out);
	RUN(test_diagnosis_fits_only_what_is_expected);
	return tap_done();
}
