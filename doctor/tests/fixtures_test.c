/* SPDX-License-Identifier: MIT */
/*
 * That the table of rules is whole: words, fixes, ids that others name, and a log for each class.
 */
#include <dirent.h>

#include "doctor/tests/judging.h"
#include "tests/tap.h"

static const struct doctor_rule *rule;

static void test_rule_has_words_and_known_consequences(void)
{
	EXPECT(rule->title && *rule->title);
	EXPECT(rule->cause && *rule->cause);
	EXPECT(rule->shows && rule->decides && rule->trap);
	EXPECT(rule->hop < HOP_NR);
	EXPECT(doctor_rule_find(rule->id) == rule);
	for (const char *const *id = rule->swallows; id && *id; id++)
		if (!doctor_rule_find(*id))
			TAP_FAIL("%s names %s, which is no rule", rule->id, *id);
}

static void test_rule_signals_are_sane(void)
{
	const struct doctor_signal *lists[] = {rule->confirm, rule->refute};

	for (size_t i = 0; i < 2; i++)
		for (const struct doctor_signal *signal = lists[i];
		     signal && signal->kind != DOCTOR_FACT_NONE; signal++) {
			EXPECT(signal->kind < DOCTOR_FACT_NR);
			EXPECT(signal->percent >= 1 && signal->percent <= 99);
		}
}

static void test_rule_fixes_have_known_placeholders_only(void)
{
	static const char *const known[] = {"{device}", "{group}", "{driver}", "{ids}", "{vmid}"};

	for (const struct doctor_fix *fix = rule->fixes; fix && fix->text; fix++) {
		const char *at = fix->commands;

		EXPECT(fix->commands && fix->proved);
		while (at && (at = strchr(at, '{'))) {
			bool found = false;
			bool shell = at > fix->commands && at[-1] == '$';

			for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++)
				found |= !strncmp(at, known[i], strlen(known[i]));
			if (!found && !shell)
				TAP_FAIL("%s has \"%s\"", rule->id, at);
			at++;
		}
	}
}

/* Those of which no log is known yet are judged by state, or in tests of their own. */
static bool needs_no_log(const char *id)
{
	static const char *const ids[] = {"viommu-remap", NULL};

	for (size_t i = 0; ids[i]; i++)
		if (!strcmp(ids[i], id))
			return true;
	return false;
}

static bool is_of(const struct doctor_rules *group)
{
	return rule >= group->rule && rule < group->rule + group->count;
}

static void test_rule_has_a_log(void)
{
	DIR *folder = opendir(DOCTOR_TESTS "/fixtures/logs");
	const struct dirent *entry;
	bool found = false;

	ASSERT(folder);
	while ((entry = readdir(folder)))
		found |= !strncmp(entry->d_name, rule->id, strlen(rule->id));
	closedir(folder);
	if (!found)
		TAP_FAIL("%s has no log", rule->id);
}

static void test_ids_are_unique(void)
{
	const struct doctor_rule *a = NULL, *b;

	while ((a = doctor_rule_next(a)))
		for (b = doctor_rule_next(a); b; b = doctor_rule_next(b))
			if (!strcmp(a->id, b->id))
				TAP_FAIL("%s is there twice", a->id);
}

static void test_unknown_id_is_not_found(void)
{
	EXPECT(!doctor_rule_find("no-such-rule"));
	EXPECT(!doctor_rule_find(""));
}

int main(void)
{
	RUN(test_ids_are_unique);
	RUN(test_unknown_id_is_not_found);
	while ((rule = doctor_rule_next(rule))) {
		char name[96];

		snprintf(name, sizeof(name), "%s: words", rule->id);
		tap_run(name, test_rule_has_words_and_known_consequences);
		snprintf(name, sizeof(name), "%s: signals", rule->id);
		tap_run(name, test_rule_signals_are_sane);
		snprintf(name, sizeof(name), "%s: fixes", rule->id);
		tap_run(name, test_rule_fixes_have_known_placeholders_only);
		if (needs_no_log(rule->id) ||
		    !(is_of(&doctor_rules_platform) || is_of(&doctor_rules_binding) ||
		      is_of(&doctor_rules_mapping) || is_of(&doctor_rules_reset) ||
		      is_of(&doctor_rules_display)))
			continue;
		snprintf(name, sizeof(name), "%s: log", rule->id);
		tap_run(name, test_rule_has_a_log);
	}
	return tap_done();
}
