// SPDX-License-Identifier: MIT
#include <errno.h>
#include <limits.h>
#include <time.h>

#include "lab/scenario.h"
#include "tests/tap.h"

static unsigned int count(const char *pattern, const char *text)
{
	struct lab_pattern parsed;
	struct reason why = {0};
	unsigned int lines;

	if (lab_pattern_parse(pattern, &parsed, &why)) {
		TAP_FAIL("%s: %s", pattern, why.text);
		return UINT_MAX;
	}
	lines = lab_pattern_count(&parsed, text, strlen(text));
	lab_pattern_deinit(&parsed);
	return lines;
}

static void expect_bounds(const char *text, unsigned int min, unsigned int max)
{
	struct lab_pattern pattern = {0};
	struct reason why = {0};

	if (lab_pattern_parse(text, &pattern, &why)) {
		TAP_FAIL("%s: %s", text, why.text);
		return;
	}
	EXPECT_EQ(pattern.min, min);
	EXPECT_EQ(pattern.max, max);
	EXPECT_STR(pattern.text, text);
	lab_pattern_deinit(&pattern);
}

static void expect_refused(const char *text, const char *words)
{
	struct lab_pattern pattern = {0};
	struct reason why = {0};

	EXPECT_EQ(lab_pattern_parse(text, &pattern, &why), -EINVAL);
	EXPECT_HAS(why.text, words);
	EXPECT(!pattern.source && !pattern.text);
}

static void test_pattern_each_form_has_its_bounds(void)
{
	expect_bounds("/x/", 1, UINT_MAX);
	expect_bounds("no /x/", 0, 0);
	expect_bounds("1 x /x/", 1, 1);
	expect_bounds("0 x /x/", 0, 0);
	expect_bounds("12 x/x/", 12, 12);
	expect_bounds("at least 2 x /x/", 2, UINT_MAX);
	expect_bounds("at most 3 x /x/", 0, 3);
	expect_bounds("at most 0 x /x/", 0, 0);
	expect_bounds("at least 2x /x/", 2, UINT_MAX);
}

static void test_pattern_source_loses_only_the_slash_escape(void)
{
	struct lab_pattern pattern;

	ASSERT_EQ(lab_pattern_parse("/a\\/b\\.c\\\\/", &pattern, NULL), 0);
	EXPECT_STR(pattern.source, "a/b\\.c\\\\");
	EXPECT(lab_pattern_matches(&pattern, "a/b.c\\"));
	EXPECT(!lab_pattern_matches(&pattern, "a/bxc\\"));
	lab_pattern_deinit(&pattern);
	lab_pattern_deinit(&pattern);
}

static void test_pattern_lines_are_counted(void)
{
	EXPECT_EQ(count("/fault/", ""), 0);
	EXPECT_EQ(count("/fault/", "fault"), 1);
	EXPECT_EQ(count("/fault/", "a fault\nnone\nfault fault\n"), 2);
	EXPECT_EQ(count("/^$/", "\n\nx\n"), 2);
	EXPECT_EQ(count("/a.b/", "a\nb"), 0);
	EXPECT_EQ(count("/[ab]{2,3}c|^z/", "abc\nac\nz\n"), 2);
}

static void test_pattern_carriage_return_is_no_part_of_the_line(void)
{
	EXPECT_EQ(count("/up$/", "guest up\r\nup \r\n"), 1);
}

static void test_pattern_nul_in_text_counts_as_question_mark(void)
{
	static const char text[] = "a\0b\nab\n";
	struct lab_pattern pattern;

	ASSERT_EQ(lab_pattern_parse("/^a[?]b$/", &pattern, NULL), 0);
	EXPECT_EQ(lab_pattern_count(&pattern, text, sizeof(text) - 1), 1);
	lab_pattern_deinit(&pattern);
}

static void test_pattern_long_line_is_matched_by_its_start(void)
{
	static char line[LAB_PATTERN_LINE_MAX + 10];

	memset(line, 'x', sizeof(line) - 1);
	line[LAB_PATTERN_LINE_MAX - 1] = 'a';
	line[LAB_PATTERN_LINE_MAX] = 'b';
	EXPECT_EQ(count("/xa$/", line), 1);
	EXPECT_EQ(count("/b/", line), 0);
}

static void test_pattern_line_of_the_case_matches(void)
{
	EXPECT_EQ(
		count("/^DMAR: \\[DMA Write NO_PASID\\] Request device \\[86:00\\.0\\] fault addr "
		      "0x149800000 \\[fault reason 0x05\\] PTE Write access is not set$/",
		      "DMAR: DRHD: handling fault status reg 2\n"
		      "DMAR: [DMA Write NO_PASID] Request device [86:00.0] fault addr 0x149800000 "
		      "[fault reason 0x05] PTE Write access is not set\n"),
		1);
}

static void test_pattern_malformed_is_refused_with_what_is_right(void)
{
	expect_refused("", "a pattern is /REGEX/");
	expect_refused("DMAR", "a pattern is /REGEX/");
	expect_refused("nothing /x/", "a pattern is /REGEX/");
	expect_refused("at least /x/", "2 x /REGEX/");
	expect_refused("2 /x/", "after the count comes x");
	expect_refused("2 times /x/", "after the count comes x");
	expect_refused("-1 x /x/", "a pattern is");
	expect_refused("99999999999999999999 x /x/", "a count is at most");
	expect_refused("1000001 x /x/", "a count is at most 1000000");
	expect_refused("at least 0 x /x/", "always true");
	expect_refused("no x", "between slashes");
	expect_refused("/x", "ends with a slash");
	expect_refused("/x\\/", "ends with a slash");
	expect_refused("/x\\", "ends with a slash");
	expect_refused("//", "nothing between");
	expect_refused("/a/b/", "\"b/\" follows the pattern; a slash inside is written \\/");
	expect_refused("/a/i", "\"i\" follows");
}

static void test_pattern_not_compiling_is_refused_with_the_reason(void)
{
	expect_refused("/[a/", "no regular expression (POSIX, extended): ");
	expect_refused("/(a/", "no regular expression (POSIX, extended): ");
	expect_refused("/a\\/(/", "no regular expression (POSIX, extended): ");
	expect_refused("/[[:nope:]]/", "no regular expression (POSIX, extended): ");
}

static void test_pattern_too_long_is_refused(void)
{
	char text[LAB_PATTERN_BYTES_MAX + 8];

	memset(text, 'a', sizeof(text));
	text[0] = text[LAB_PATTERN_BYTES_MAX + 1] = '/';
	text[LAB_PATTERN_BYTES_MAX + 2] = '\0';
	expect_bounds(text, 1, UINT_MAX);
	text[LAB_PATTERN_BYTES_MAX + 1] = 'a';
	text[LAB_PATTERN_BYTES_MAX + 2] = '/';
	text[LAB_PATTERN_BYTES_MAX + 3] = '\0';
	expect_refused(text, "at most 512 bytes, this one 513");
}

/* Each of these takes regcomp() or regexec() seconds and gigabytes. */
static void test_pattern_costly_is_refused(void)
{
	expect_refused("/((((a{1,255}){1,255}){1,255}){1,255}){1,255}/",
		       "written out, are over 4096");
	expect_refused("/(x{40}){40}{40}/", "written out, are over 4096");
	expect_refused("/a{99999999999999999999}/", "written out, are over 4096");
	expect_refused("/a++++++++++++++++++++++++++++++++++++++++/", "written out, are over 4096");
	expect_refused("/((((((((((((((((a+)+)+)+)+)+)+)+)+)+)+)+)+)+)+)+/",
		       "written out, are over 4096");
	expect_refused("/(a*)*\\1/", "refer back to a group (\\1)");
	/* Braces that count nothing. */
	expect_bounds("/a+b+c+d+e+f+g+h+i+j+k+l+m+n+o+(p+q+)+{3}[0-9]{16}/", 1, UINT_MAX);
	expect_bounds("/[{9999]\\{9999[^]{9999[:digit:]{9999]/", 1, UINT_MAX);
}

static void test_pattern_dearest_allowed_is_quick(void)
{
	static char text[8 * LAB_PATTERN_LINE_MAX];
	struct lab_pattern pattern;
	clock_t start = clock();

	ASSERT_EQ(lab_pattern_parse("/((a|b|ab|.)*(x|a*b*){15}){8}$/", &pattern, NULL), 0);
	memset(text, 'a', sizeof(text));
	EXPECT_EQ(lab_pattern_count(&pattern, text, sizeof(text)), 1);
	lab_pattern_deinit(&pattern);
	EXPECT((clock() - start) / CLOCKS_PER_SEC < 5);
}

int main(void)
{
	RUN(test_pattern_each_form_has_its_bounds);
	RUN(test_pattern_source_loses_only_the_slash_escape);
	RUN(test_pattern_lines_are_counted);
	RUN(test_pattern_carriage_return_is_no_part_of_the_line);
	RUN(test_pattern_nul_in_text_counts_as_question_mark);
	RUN(test_pattern_long_line_is_matched_by_its_start);
	RUN(test_pattern_line_of_the_case_matches);
	RUN(test_pattern_malformed_is_refused_with_what_is_right);
	RUN(test_pattern_not_compiling_is_refused_with_the_reason);
	RUN(test_pattern_too_long_is_refused);
	RUN(test_pattern_costly_is_refused);
	RUN(test_pattern_dearest_allowed_is_quick);
	return tap_done();
}
