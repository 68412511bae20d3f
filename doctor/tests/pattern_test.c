/* SPDX-License-Identifier: MIT */
#include <errno.h>

#include "doctor/log/pattern.h"
#include "tests/tap.h"

static bool match(const char *form, const char *text, struct doctor_fact *fact)
{
	const struct doctor_pattern row = {.kind = DOCTOR_MAP_FAILED, .form = form};
	struct message message;

	*fact = (struct doctor_fact){0};
	message_init(&message, text, strlen(text));
	return pattern_match(&row, &message, fact);
}

static void test_pattern_takes_numbers_by_their_bases(void)
{
	struct doctor_fact f;

	EXPECT(match("a {a} n {n} N {N}", "xx a ff n 12 N 12", &f));
	EXPECT_EQ(f.address, 0xff);
	EXPECT_EQ(f.number, 0x12);
	EXPECT(match("reason {r}]", "reason 38]", &f));
	EXPECT_EQ(f.reason, 38);
	EXPECT(match("reason {r}]", "reason 0x26]", &f));
	EXPECT_EQ(f.reason, 0x26);
	EXPECT(match("[mem {a}-{z}]", "[mem 0x1000-0x1fff]", &f));
	EXPECT(f.has_size);
	EXPECT_EQ(f.size, 0x1000);
	EXPECT(match(" = {e} ", "x = -12 (", &f));
	EXPECT_EQ(f.reason, 12);
	EXPECT(match("failed: {E}", "failed: Bad address", &f));
	EXPECT_EQ(f.reason, EFAULT);
}

static void test_pattern_number_too_wide_does_not_match(void)
{
	struct doctor_fact f;

	EXPECT(!match("a {a}", "a 0x12345678123456789", &f));
	EXPECT(!match("n {n}", "n 99999999999999999999999", &f));
	EXPECT(!match("r {R}", "r 0x123456789", &f));
	EXPECT(!match("e {e}", "e -5000", &f));
}

static void test_pattern_leaves_the_fact_alone_when_it_does_not_match(void)
{
	struct doctor_fact f;

	EXPECT(!match("dev {d} addr {a} end", "dev 01:00.0 addr 0x10 no", &f));
	EXPECT(!f.has_device && !f.has_address && !f.kind);
}

static void test_pattern_optional_parts_anchors_and_choices(void)
{
	struct doctor_fact f;

	EXPECT(match("^go< on>: {=left|right}$", "go on: right  ", &f));
	EXPECT_STR(f.name, "right");
	EXPECT(match("^go< on>: {=left|right}$", "go: left", &f));
	EXPECT(!match("^go< on>: {=left|right}$", "to go: left", &f));
	EXPECT(!match("^go< on>: {=left|right}$", "go: left turn", &f));
	EXPECT(match("{*}{=ab|cd}: {n}", "xxab cd: 7", &f));
	EXPECT_STR(f.name, "cd");
	EXPECT(match("one two", "one    two", &f));
	EXPECT(!match("one two", "onetwo", &f));
}

static void test_pattern_prefix_is_driver_and_device(void)
{
	static const char text[] = "snd_x 0001:2b:00.1: hello";
	struct message m;

	message_init(&m, text, strlen(text));
	EXPECT(m.has_device);
	EXPECT_EQ(m.device.domain, 1);
	EXPECT_EQ(m.device.bus, 0x2b);
	EXPECT_STR(m.driver, "snd_x");
	EXPECT_STR(m.text + m.rest, "hello");
	message_init(&m, "NVRM: GPU 0000:2b:00.0: x", 25);
	EXPECT(!m.has_device);
}

/* A line made to have each {*} try each place must end soon. */
static void test_pattern_hostile_line_ends(void)
{
	static char text[60001];
	struct doctor_fact f;

	memset(text, 'a', sizeof(text) - 1);
	EXPECT(!match("^{*}a{*}a{*}a{*}b", text, &f));
}

int main(void)
{
	RUN(test_pattern_takes_numbers_by_their_bases);
	RUN(test_pattern_number_too_wide_does_not_match);
	RUN(test_pattern_leaves_the_fact_alone_when_it_does_not_match);
	RUN(test_pattern_optional_parts_anchors_and_choices);
	RUN(test_pattern_prefix_is_driver_and_device);
	RUN(test_pattern_hostile_line_ends);
	return tap_done();
}
