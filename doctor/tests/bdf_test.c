/* SPDX-License-Identifier: MIT */
#include "doctor/bdf.h"
#include "tests/tap.h"

static void expect_bdf(const char *text, const char *is)
{
	char shown[BDF_TEXT_BYTES];
	struct bdf bdf;

	if (!bdf_parse(text, strlen(text), &bdf, NULL)) {
		TAP_FAIL("\"%s\" is no address", text);
		return;
	}
	EXPECT_STR(bdf_text(bdf, shown), is);
}

static void test_bdf_parse_all_spellings(void)
{
	expect_bdf("0000:86:00.0", "0000:86:00.0");
	expect_bdf("86:00.0", "0000:86:00.0");
	expect_bdf("0x86:0x1f.7", "0000:86:1f.7");
	expect_bdf("AF:0B.3", "0000:af:0b.3");
	expect_bdf("10000:01:00.0", "10000:01:00.0");
}

static void test_bdf_parse_other_texts_are_none(void)
{
	static const char *const texts[] = {
		"",	    "86",	 "86:00",   "86:00.8",	"86:20.0",
		"186:00.0", "86:00.",	 ":00.0",   "a.b",	"86:00.0x",
		"86:00.00", "1:2:3:4.0", "zz:00.0", "86:00.0 ", "123456789:00:00.0",
	};

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct bdf bdf = {.bus = 77};

		if (bdf_parse(texts[i], strlen(texts[i]), &bdf, NULL))
			TAP_FAIL("\"%s\" is an address", texts[i]);
		EXPECT_EQ(bdf.bus, 77);
	}
}

static void test_bdf_parse_stays_within_size(void)
{
	const char *text = "86:00.0] fault";
	struct bdf bdf;
	size_t used = 0;

	EXPECT(bdf_parse(text, strlen(text), &bdf, &used));
	EXPECT_EQ(used, 7);
	for (size_t size = 0; size < 7; size++)
		EXPECT(!bdf_parse(text, size, &bdf, &used));
}

static void test_bdf_order_and_requester(void)
{
	struct bdf a = {.bus = 0x86, .slot = 0, .function = 1}, b = {.bus = 0x86, .slot = 1};
	struct bdf c = {.domain = 1};

	EXPECT(bdf_compare(a, b) < 0 && bdf_compare(b, a) > 0 && bdf_compare(b, c) < 0);
	EXPECT(bdf_equal(a, a) && !bdf_equal(a, b));
	EXPECT_EQ(bdf_requester(a), 0x8601);
	EXPECT_EQ(bdf_requester(b), 0x8608);
}

int main(void)
{
	RUN(test_bdf_parse_all_spellings);
	RUN(test_bdf_parse_other_texts_are_none);
	RUN(test_bdf_parse_stays_within_size);
	RUN(test_bdf_order_and_requester);
	return tap_done();
}
