/* SPDX-License-Identifier: MIT */
#include "doctor/tests/report_fixture.h"
#include "doctor/watch.h"
#include "tests/tap.h"

static const struct doctor_style plain = {"", "", "", "", "", "", 0, false, false, false};

static char *changes(struct watch_tracker *tracker, const struct fixture *f, int64_t now_ms,
		     bool *ret_waits)
{
	char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);
	bool waits = watch_changes(tracker, &f->report, &plain, now_ms, "12:00:00", out);

	if (ret_waits)
		*ret_waits = waits;
	fclose(out);
	return text;
}

/* Each finding with evidence of its own, which tests change. */
static void own_evidence(struct fixture *f, struct doctor_evidence evidence[2])
{
	for (size_t i = 0; i < 2; i++) {
		evidence[i] = fixture_evidence[0];
		f->finding[i].evidence = &evidence[i];
		f->finding[i].evidence_count = 1;
	}
}

static void test_watch_new_findings_are_said_once(void)
{
	struct watch_tracker tracker = {0};
	struct fixture f;
	char *text;

	fixture_init(&f);
	f.report.finding = &f.finding[1];
	f.report.count = 3;
	watch_remember(&tracker, &f.report, 0);
	text = changes(&tracker, &f, 1000, NULL);
	EXPECT_STR(text, "");
	free(text);
	f.report.finding = f.finding;
	f.report.count = 4;
	text = changes(&tracker, &f, 2000, NULL);
	EXPECT_HAS(text, "12:00:00 ERROR 0000:5e:00.0 (Axelera AI Metis AIPU [1f9d:1100]): The "
			 "guest's MSI message was written raw into the device (raw-msi-in-bar, 87 "
			 "%)\n");
	EXPECT_HAS(text, "What to do: Install the vendor's driver 1.5.6 or newer.");
	EXPECT(!strstr(text, "not mapped"));
	free(text);
	text = changes(&tracker, &f, 3000, NULL);
	EXPECT_STR(text, "");
	free(text);
	fixture_deinit(&f);
}

static void test_watch_the_same_is_said_once_a_minute_with_a_count(void)
{
	struct watch_tracker tracker = {0};
	struct doctor_evidence evidence[2];
	struct fixture f;
	bool waits;
	char *text;

	fixture_init(&f);
	own_evidence(&f, evidence);
	watch_remember(&tracker, &f.report, 0);
	evidence[0].count += 3;
	text = changes(&tracker, &f, 1000, &waits);
	EXPECT_STR(text, "");
	EXPECT(waits);
	free(text);
	evidence[0].count += 4;
	text = changes(&tracker, &f, WATCH_QUIET_MS, &waits);
	EXPECT_HAS(text, "again: 0000:5e:00.0");
	EXPECT_HAS(text, "(raw-msi-in-bar), 7 more lines\n");
	EXPECT(!waits);
	free(text);
	text = changes(&tracker, &f, WATCH_QUIET_MS + 1, NULL);
	EXPECT_STR(text, "");
	free(text);
	fixture_deinit(&f);
}

static void test_watch_what_ended_is_said(void)
{
	struct watch_tracker tracker = {0};
	struct fixture f;
	char *text;

	fixture_init(&f);
	watch_remember(&tracker, &f.report, 0);
	f.report.count = 2; /* the warning and the info are gone */
	text = changes(&tracker, &f, 1000, NULL);
	EXPECT_STR(text, "12:00:00 gone: 0000:5f:00.0: The device has no reset that works "
			 "(reset-missing)\n");
	free(text);
	f.report.count = 4;
	text = changes(&tracker, &f, 2000, NULL);
	EXPECT_HAS(text, "WARNING 0000:5f:00.0: The device has no reset");
	free(text);
	fixture_deinit(&f);
}

static void test_watch_any_number_of_findings_needs_no_more_room(void)
{
	static struct doctor_finding many[2 * WATCH_FINDINGS_MAX];
	struct watch_tracker tracker = {0};
	struct fixture f;
	size_t lines = 0;
	char *text;

	fixture_init(&f);
	for (size_t i = 0; i < 2 * WATCH_FINDINGS_MAX; i++) {
		many[i] = f.finding[2];
		many[i].device = (struct bdf){.domain = (uint32_t)i};
	}
	f.report.finding = many;
	f.report.count = 2 * WATCH_FINDINGS_MAX;
	text = changes(&tracker, &f, 0, NULL);
	for (const char *c = text; *c; c++)
		lines += *c == '\n';
	EXPECT_EQ(lines, WATCH_FINDINGS_MAX);
	EXPECT_EQ(tracker.count, WATCH_FINDINGS_MAX);
	EXPECT_EQ(tracker.left_out, WATCH_FINDINGS_MAX);
	free(text);
	fixture_deinit(&f);
}

int main(void)
{
	RUN(test_watch_new_findings_are_said_once);
	RUN(test_watch_the_same_is_said_once_a_minute_with_a_count);
	RUN(test_watch_what_ended_is_said);
	RUN(test_watch_any_number_of_findings_needs_no_more_room);
	return tap_done();
}
