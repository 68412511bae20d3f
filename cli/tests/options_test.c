/* SPDX-License-Identifier: MIT */
#include "cli/cli.h"
#include "cli/options.h"
#include "tests/tap.h"

/* What the table below fills. */
static struct {
	bool flag;
	const char *text, *choice;
	unsigned int number;
	size_t bytes;
	double real;
	int yesno;
	struct option_list list;
	const char *positional[2];
	size_t count;
} got;

static int parse(int argc, char **argv)
{
	const struct cli_option table[] = {
		{OPTION_FLAG, 'f', "flag", .help = "", .value = &got.flag},
		{OPTION_STRING, 't', "text", "T", "", .value = &got.text},
		{OPTION_UINT, 'n', "number", "N", "", .value = &got.number, .min = 1, .max = 9},
		{OPTION_BYTES, 'b', "bytes", "B", "", .value = &got.bytes, .max = 1ull << 40},
		{OPTION_DOUBLE, 0, "real", "R", "", .value = &got.real, .min = 0, .max = 1},
		{OPTION_CHOICE, 0, "choice", "C", "", .value = &got.choice, .choices = "ab|abc"},
		{OPTION_YESNO, 0, "yesno", "Y", "", .value = &got.yesno},
		{OPTION_LIST, 'i', "list", "L...", "", .value = &got.list},
	};
	const struct cli_usage usage = {
		.command = "test",
		.synopsis = "A [B]",
		.summary = "",
		.examples = "",
		.options = table,
		.count = OPTIONS_NR(table),
		.positional_min = 1,
		.positional_max = 2,
	};

	memset(&got, 0, sizeof(got));
	got.yesno = -1;
	return options_parse(&usage, argc, argv, got.positional, &got.count);
}

#define PARSE(...)                                                \
	({                                                        \
		const char *args[] = {"test", __VA_ARGS__, NULL}; \
		parse((int)OPTIONS_NR(args) - 1, (char **)args);  \
	})

static void test_options_each_kind_is_taken(void)
{
	ASSERT_EQ(PARSE("-f", "--text=x y", "--number", "9", "--bytes", "3M", "--real", "0.25",
			"--choice", "ab", "--yesno", "no", "a"),
		  OPTIONS_GO_ON);
	EXPECT(got.flag);
	EXPECT_STR(got.text, "x y");
	EXPECT_EQ(got.number, 9);
	EXPECT_EQ(got.bytes, 3 << 20);
	EXPECT(got.real == 0.25);
	EXPECT_STR(got.choice, "ab");
	EXPECT_EQ(got.yesno, 0);
	EXPECT_EQ(got.count, 1);
	EXPECT_STR(got.positional[0], "a");
}

static void test_options_list_takes_what_follows_up_to_an_option(void)
{
	ASSERT_EQ(PARSE("a", "-i", "1", "2", "3", "--flag", "b", "--list", "4"), OPTIONS_GO_ON);
	ASSERT_EQ(got.list.count, 4);
	EXPECT_STR(got.list.item[0], "1");
	EXPECT_STR(got.list.item[2], "3");
	EXPECT_STR(got.list.item[3], "4");
	ASSERT_EQ(got.count, 2);
	EXPECT_STR(got.positional[0], "a");
	EXPECT_STR(got.positional[1], "b");
	EXPECT(got.flag);
}

static void test_options_bytes_units_and_overflow(void)
{
	EXPECT_EQ(PARSE("a", "-b", "4096"), OPTIONS_GO_ON);
	EXPECT_EQ(got.bytes, 4096);
	EXPECT_EQ(PARSE("a", "-b", "1G"), OPTIONS_GO_ON);
	EXPECT_EQ(got.bytes, 1 << 30);
	EXPECT_EQ(PARSE("a", "-b", "2KiB"), OPTIONS_GO_ON);
	EXPECT_EQ(got.bytes, 2048);
	EXPECT_EQ(PARSE("a", "-b", "2X"), CLI_USAGE);
	EXPECT_EQ(PARSE("a", "-b", "17179869184G"), CLI_USAGE);
	EXPECT_EQ(PARSE("a", "-b", "99999999999999999999"), CLI_USAGE);
	EXPECT_EQ(PARSE("a", "-b", "K"), CLI_USAGE);
}

static void test_options_bad_values_are_misuse(void)
{
	EXPECT_EQ(PARSE("a", "-n", "0"), CLI_USAGE);
	EXPECT_EQ(PARSE("a", "-n", "10"), CLI_USAGE);
	EXPECT_EQ(PARSE("a", "-n", " 5"), CLI_USAGE);
	EXPECT_EQ(PARSE("a", "-n", "0x5"), CLI_USAGE);
	EXPECT_EQ(PARSE("a", "-n", ""), CLI_USAGE);
	EXPECT_EQ(PARSE("a", "--real", "nan"), CLI_USAGE);
	EXPECT_EQ(PARSE("a", "--real", "1.5"), CLI_USAGE);
	EXPECT_EQ(PARSE("a", "--choice", "a"), CLI_USAGE);
	EXPECT_EQ(PARSE("a", "--choice", "abc|"), CLI_USAGE);
	EXPECT_EQ(PARSE("a", "--choice", ""), CLI_USAGE);
	EXPECT_EQ(PARSE("a", "--yesno", "maybe"), CLI_USAGE);
	EXPECT_EQ(PARSE("a", "--text", ""), CLI_USAGE);
	EXPECT_EQ(PARSE("a", "-n"), CLI_USAGE);
	EXPECT_EQ(PARSE("a", "-z"), CLI_USAGE);
	EXPECT_EQ(PARSE("-f"), CLI_USAGE);
	EXPECT_EQ(PARSE("a", "b", "c"), CLI_USAGE);
}

int main(void)
{
	RUN(test_options_each_kind_is_taken);
	RUN(test_options_list_takes_what_follows_up_to_an_option);
	RUN(test_options_bytes_units_and_overflow);
	RUN(test_options_bad_values_are_misuse);
	return tap_done();
}
