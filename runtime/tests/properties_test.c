/* SPDX-License-Identifier: MIT */
#include <axruntime/axruntime.h>

#include "runtime/properties.h"
#include "tests/tap.h"

static void test_properties_take_both_separators(void)
{
	axrContext *ctx = axr_create_context();
	axrProperties *p = axr_create_properties(ctx, "a=1;b=2\nc = x y \n;;\n\n");

	EXPECT_STR(axr_get_property(p, "a"), "1");
	EXPECT_STR(axr_get_property(p, "b"), "2");
	EXPECT_STR(axr_get_property(p, "c"), "x y");
	EXPECT_STR(axr_list_properties(p), "a;b;c");
	EXPECT(!axr_get_property(p, "d"));
	axr_destroy(AXR_OBJECT(ctx));
}

static void test_properties_set_and_delete(void)
{
	axrContext *ctx = axr_create_context();
	axrProperties *p = axr_create_properties(ctx, NULL);

	EXPECT_STR(axr_list_properties(p), "");
	axr_set_property(p, "a", "1");
	axr_set_property(p, "b", "x=y");
	axr_set_property(p, "a", "3");
	EXPECT_STR(axr_list_properties(p), "a;b");
	EXPECT_STR(axr_get_property(p, "a"), "3");
	EXPECT_STR(axr_get_property(p, "b"), "x=y");
	axr_del_property(p, "a");
	axr_del_property(p, "nothing");
	EXPECT_STR(axr_list_properties(p), "b");
	axr_destroy(AXR_OBJECT(p));
	axr_destroy(AXR_OBJECT(ctx));
}

static void test_properties_null_is_survived(void)
{
	axrContext *ctx = axr_create_context();
	axrProperties *p = axr_create_properties(ctx, "=5;x");

	EXPECT(!axr_create_properties(NULL, "a=1"));
	axr_set_property(NULL, "a", "1");
	axr_set_property(p, NULL, "1");
	axr_set_property(p, "n", NULL);
	EXPECT_STR(axr_get_property(p, "n"), "");
	EXPECT_STR(axr_get_property(p, "x"), "");
	EXPECT(!axr_get_property(NULL, "a"));
	EXPECT(!axr_get_property(p, NULL));
	axr_del_property(NULL, "a");
	EXPECT_STR(axr_list_properties(NULL), "");
	axr_destroy(AXR_OBJECT(ctx));
}

struct target {
	unsigned int number;
	bool flag;
	const char *text;
};
static const struct prop_spec specs[] = {
	{"number", PROP_UINT, offsetof(struct target, number), 2, 4000000000u},
	{"flag", PROP_BOOL, offsetof(struct target, flag), 0, 0},
	{"text", PROP_TEXT, offsetof(struct target, text), 0, 0},
};

static int fill(const char *text, struct target *target, struct reason *why)
{
	struct propset set = {0};
	int r;

	memset(target, 0, sizeof(*target));
	why->text[0] = 0;
	EXPECT_EQ(propset_parse(&set, text), 0);
	r = propset_fill(&set, specs, 3, target, why);
	target->text = NULL; /* it lived in the set */
	propset_deinit(&set);
	return r;
}

static void test_properties_fill_checks_values(void)
{
	static const char *const bad[] = {"number=",
					  "number=1",
					  "number=-3",
					  "number=0x10",
					  "number=3 4",
					  "number=4000000001",
					  "number=99999999999999999999999999",
					  "flag=2",
					  "flag=true",
					  "flag="};
	struct reason why = {0};
	struct target target;
	size_t i;

	EXPECT_EQ(fill("number=4000000000;flag=1;text=x;other=1", &target, &why), 0);
	EXPECT_EQ(target.number, 4000000000u);
	EXPECT_EQ(target.flag, true);
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		EXPECT(fill(bad[i], &target, &why) < 0);
		EXPECT_HAS(why.text, "Invalid properties: ");
		EXPECT_EQ(target.number, 0);
	}
}

static void test_properties_unknown_is_named(void)
{
	struct propset set = {0};

	EXPECT_EQ(propset_parse(&set, "number=3;depth=2"), 0);
	EXPECT_STR(propset_unknown(&set, specs, 3), "depth");
	propset_del(&set, "depth");
	EXPECT(!propset_unknown(&set, specs, 3));
	EXPECT(!propset_unknown(NULL, specs, 3));
	propset_deinit(&set);
}

int main(void)
{
	RUN(test_properties_take_both_separators);
	RUN(test_properties_set_and_delete);
	RUN(test_properties_null_is_survived);
	RUN(test_properties_fill_checks_values);
	RUN(test_properties_unknown_is_named);
	return tap_done();
}
