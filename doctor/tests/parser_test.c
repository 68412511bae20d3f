/* SPDX-License-Identifier: MIT */
#include "doctor/tests/log_parse.h"
#include "tests/tap.h"

#define FAULT                                                                      \
	"DMAR: [DMA Write NO_PASID] Request device [2b:00.1] fault addr 0x7fe000 " \
	"[fault reason 0x05] PTE Write access is not set\n"

static void expect_time(const char *before, int64_t time_us, bool wall_clock)
{
	struct parsed p;
	char text[512];

	snprintf(text, sizeof(text), "%s" FAULT, before);
	parse(&p, text);
	if (p.facts.count != 1)
		TAP_FAIL("\"%s\": %zu facts", before, p.facts.count);
	else if (p.facts.fact[0].time_us != time_us || p.facts.fact[0].wall_clock != wall_clock)
		TAP_FAIL("\"%s\": %" PRId64, before, p.facts.fact[0].time_us);
	parsed_free(&p);
}

static void test_parser_time_stamps(void)
{
	expect_time("", DOCTOR_TIME_NONE, false);
	expect_time("kernel: ", DOCTOR_TIME_NONE, false);
	expect_time("[   12.345678] ", 12345678, false);
	expect_time("<4>[   12.345678][  T112] ", 12345678, false);
	expect_time("kernel: [   12.345678] ", 12345678, false);
	expect_time("4,815,12345678,-;", 12345678, false);
	expect_time("[Mon May  6 10:20:30 2024] ", 1714990830000000, true);
	expect_time("[Mo Mai  6 10:20:30 2024] ", 1714990830000000, true);
	expect_time("[Пн мая  6 10:20:30 2024] ", 1714990830000000, true);
	expect_time("[一 5月  6 10:20:30 2024] ", 1714990830000000, true);
	expect_time("2024-05-06T10:20:30+0000 box kernel: ", 1714990830000000, true);
	expect_time("2024-05-06T12:20:30.5+02:00 box kernel: ", 1714990830500000, true);
	expect_time("May  6 10:20:30 box kernel: [   12.345678] ", 12345678, false);
	expect_time("May  6 10:20:30 box kernel: ", 10837230000000, true);
}

static void test_parser_json_of_the_journal(void)
{
	static const char text[] =
		"{\"_BOOT_ID\":\"11111111111111111111111111111111\",\"MESSAGE\":\"axx 0000:2b:00.0: "
		"AMD-Vi: Event logged [IO_PAGE_FAULT domain=0x0007 address=0x4000 flags=0x0020]\","
		"\"_SOURCE_MONOTONIC_TIMESTAMP\":\"5000123\"}\n"
		"{\"_BOOT_ID\":\"22222222222222222222222222222222\",\"MESSAGE\":\"axx 0000:2b:00.0: "
		"AMD-Vi: Event logged [IO_PAGE_FAULT domain=0x0007 address=0x4000 flags=0x0020]\","
		"\"__REALTIME_TIMESTAMP\":\"1714990830000000\"}\n";
	struct parsed p;

	parse(&p, text);
	EXPECT_EQ(p.facts.count, 2);
	EXPECT_EQ(p.facts.fact[0].time_us, 5000123);
	EXPECT(p.facts.fact[0].write);
	EXPECT_EQ(p.facts.fact[1].boot, p.facts.fact[0].boot + 1);
	EXPECT(p.facts.fact[1].wall_clock);
	parsed_free(&p);
}

static void test_parser_pieces_make_no_difference(void)
{
	static const char text[] = "one\n" FAULT "two\r\n[    5.000001] " FAULT "\n" FAULT "end";
	struct parsed whole, p;

	parse(&whole, text);
	EXPECT_EQ(whole.facts.count, 1);
	EXPECT_EQ(whole.facts.fact[0].count, 3);
	EXPECT_EQ(whole.facts.log[0].lines, 7);
	EXPECT_EQ(whole.facts.fact[0].last_line, 6);
	for (size_t piece = 1; piece < sizeof(text); piece++) {
		parse_pieces(&p, text, sizeof(text) - 1, piece);
		EXPECT_EQ(p.facts.count, 1);
		EXPECT_EQ(p.facts.fact[0].count, 3);
		EXPECT_EQ(p.facts.fact[0].line, 2);
		EXPECT_EQ(p.facts.log[0].lines, 7);
		parsed_free(&p);
	}
	parsed_free(&whole);
}

static void test_parser_long_line_is_cut_and_counted(void)
{
	size_t size = 300000 + strlen(FAULT);
	char *text = malloc(size + 1);
	struct parsed p;

	ASSERT(text);
	memset(text, 'x', size);
	text[299999] = '\n';
	memcpy(text + 300000, FAULT, strlen(FAULT));
	for (size_t piece = 0; piece < 200000; piece = piece * 7 + 1000) {
		parse_pieces(&p, text, size, piece);
		EXPECT_EQ(p.facts.log[0].lines, 2);
		EXPECT_EQ(p.facts.log[0].lines_cut, 1);
		EXPECT_EQ(p.facts.count, 1);
		parsed_free(&p);
	}
	free(text);
}

static void test_parser_junk_is_counted_and_text_made_safe(void)
{
	static const char text[] =
		"\1\2\3\377\376\n"
		"\33]0;title\7\33[31m[    1.5] \33[1mDMAR: [INTR-REMAP] Request device [2b:00.0] fault "
		"index 0x9 [fault reason 0x25] \303\050 \342\200\256 evil\n";
	struct parsed p;

	parse_pieces(&p, text, sizeof(text) - 1, 0);
	EXPECT_EQ(p.facts.log[0].lines_binary, 2);
	ASSERT_EQ(p.facts.count, 1);
	EXPECT_EQ(p.facts.fact[0].time_us, 1500000);
	EXPECT_EQ(p.facts.fact[0].number, 9);
	EXPECT_HAS(p.facts.fact[0].text, "reason 0x25]");
	for (const char *c = p.facts.fact[0].text; *c; c++)
		EXPECT((unsigned char)*c >= 0x20 && (unsigned char)*c < 0x7f);
	parsed_free(&p);
}

static void test_parser_facts_have_a_limit(void)
{
	struct parsed p = {0};
	struct doctor_parser *parser;
	char line[200];

	doctor_facts_init(&p.facts, &p.arena);
	parser = doctor_parser_create(&p.facts, "log", DOCTOR_SIDE_HOST, NULL, NULL);
	for (int i = 0; i < 5000; i++) {
		int size = snprintf(line, sizeof(line),
				    "DMAR: [DMA Read NO_PASID] Request device [2b:00.0] fault addr "
				    "0x%x000 [fault reason 0x06] x\n",
				    i);

		doctor_parser_feed(parser, line, (size_t)size);
	}
	doctor_parser_finish(parser);
	doctor_parser_destroy(parser);
	EXPECT_EQ(p.facts.count, DOCTOR_FACTS_MAX);
	EXPECT_EQ(p.facts.dropped, 5000 - DOCTOR_FACTS_MAX);
	parsed_free(&p);
}

static void test_parser_each_boot_has_facts_of_its_own(void)
{
	struct parsed p;

	parse(&p, "Linux version 6.8.0 (x)\n" FAULT "Linux version 6.8.0 (x)\n" FAULT);
	EXPECT_EQ(p.facts.log[0].boots, 2);
	EXPECT_EQ(p.facts.count, 4);
	EXPECT_EQ(p.facts.fact[1].boot, 0);
	EXPECT_EQ(p.facts.fact[3].boot, 1);
	parsed_free(&p);
}

int main(void)
{
	RUN(test_parser_time_stamps);
	RUN(test_parser_json_of_the_journal);
	RUN(test_parser_pieces_make_no_difference);
	RUN(test_parser_long_line_is_cut_and_counted);
	RUN(test_parser_junk_is_counted_and_text_made_safe);
	RUN(test_parser_facts_have_a_limit);
	RUN(test_parser_each_boot_has_facts_of_its_own);
	return tap_done();
}
