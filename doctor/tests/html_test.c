/* SPDX-License-Identifier: MIT */
#include "doctor/tests/report_fixture.h"
#include "tests/tap.h"

static void test_html_findings_are_there_best_first(void)
{
	struct fixture f;
	const char *first, *second;
	char *page;

	fixture_init(&f);
	page = fixture_print(&f, doctor_report_html);
	first = strstr(page,
		       "<article id=\"finding-1\" class=\"error\" data-id=\"raw-msi-in-bar\"");
	second = strstr(page, "<article id=\"finding-2\"");
	EXPECT(first && second && first < second);
	EXPECT_HAS(page, "0000:5e:00.0 (Axelera AI Metis AIPU [1f9d:1100])");
	EXPECT_HAS(page, "qm set 101 --machine q35\nqm reboot 101");
	EXPECT_HAS(page, "Looks alarming, is not");
	EXPECT_HAS(page, "host.log:12, 14 times");
	EXPECT_HAS(page, "/proc/iomem: addresses are hidden from users (run as root)");
	free(page);
	fixture_deinit(&f);
}

/* Of Proxmox, libvirt and QEMU the one that is there comes first. */
static void test_html_fixes_begin_with_what_is_there(void)
{
	struct fixture f;
	const char *guest, *proxmox, *libvirt;
	char *page;

	fixture_init(&f);
	page = fixture_print(&f, doctor_report_html);
	guest = strstr(page, "1.5.6 or newer");
	proxmox = strstr(page, "qm set 101");
	libvirt = strstr(page, "virsh edit VM");
	EXPECT(guest && proxmox && libvirt && guest < proxmox && proxmox < libvirt);
	free(page);
	fixture_deinit(&f);
}

static void test_html_broken_hops_carry_their_numbers(void)
{
	struct fixture f;
	char *page;

	fixture_init(&f);
	page = fixture_print(&f, doctor_report_html);
	EXPECT_HAS(page, "class=\"box broken\" data-hop=\"interrupt\"");
	EXPECT_HAS(page, "class=\"box broken\" data-hop=\"dma\"");
	EXPECT_HAS(page, "class=\"box broken\" data-hop=\"device\"");
	EXPECT_HAS(page, "class=\"box\" data-hop=\"memory\"");
	EXPECT_HAS(page, ">1</text></g>");
	EXPECT_HAS(page, "interrupts: device to remapping to guest (finding 1)");
	free(page);
	fixture_deinit(&f);
}

static void test_html_every_hop_can_be_marked(void)
{
	struct fixture f;
	char *page;

	for (int hop = HOP_NONE + 1; hop < HOP_NR; hop++) {
		fixture_init(&f);
		f.report.count = 1;
		f.finding[0].hop = (enum doctor_hop)hop;
		page = fixture_print(&f, doctor_report_html);
		EXPECT_HAS(page, "class=\"mark\"");
		EXPECT_HAS(page, " broken\"");
		free(page);
		fixture_deinit(&f);
	}
}

static void test_html_healthy_marks_nothing(void)
{
	struct fixture f;
	char *page;

	fixture_init(&f);
	f.report.finding = &f.finding[3]; /* infos name no hop that is broken */
	f.report.count = 1;
	f.report.verdict = DOCTOR_HEALTHY;
	page = fixture_print(&f, doctor_report_html);
	EXPECT(!strstr(page, "class=\"mark\""));
	EXPECT(!strstr(page, "class=\"box broken"));
	EXPECT_HAS(page, "class=\"verdict healthy\"");
	free(page);
	fixture_deinit(&f);
}

static void test_html_hostile_text_stays_text(void)
{
	static const char nasty[] =
		"</title><script>alert(1)</script>\" onload='x' \033[31m\xc2\x9b"
		"\xe2\x80\xae&\xff";
	struct doctor_evidence evidence = {nasty, nasty, 1};
	const char *why[] = {nasty};
	struct fixture f;
	char *page;

	fixture_init(&f);
	f.finding[0].title = f.finding[0].label = f.finding[0].machine = nasty;
	f.finding[0].evidence = &evidence;
	f.finding[0].evidence_count = 1;
	f.finding[0].why = why;
	f.finding[0].why_count = 1;
	f.machine.name = f.machine.kernel = f.log[0].name = f.note[0].what = nasty;
	page = fixture_print(&f, doctor_report_html);
	EXPECT(!strstr(page, "<script"));
	EXPECT(!strstr(page, "\" onload"));
	EXPECT(!strstr(page, "\033"));
	EXPECT(!strstr(page, "\xc2\x9b"));
	EXPECT(!strstr(page, "\xe2\x80\xae"));
	EXPECT(!strstr(page, "\xff"));
	EXPECT_HAS(page, "&lt;script&gt;");
	free(page);
	fixture_deinit(&f);
}

/* A page that asks nobody for anything, whatever it is opened in. */
static void test_html_refers_to_nothing_outside(void)
{
	struct fixture f;
	char *page;

	fixture_init(&f);
	page = fixture_print(&f, doctor_report_html);
	EXPECT_HAS(page, "default-src 'none'");
	EXPECT(!strstr(page, "http:"));
	EXPECT(!strstr(page, "https:"));
	EXPECT(!strstr(page, "src="));
	EXPECT(!strstr(page, "@import"));
	EXPECT(!strstr(page, "<link"));
	free(page);
	fixture_deinit(&f);
}

int main(int argc, char **argv)
{
	struct fixture f;

	/* The page itself, for the test in a browser and for looking at. */
	if (argc > 1 && !strcmp(argv[1], "--print")) {
		fixture_init(&f);
		doctor_report_html(&f.report, stdout);
		fixture_deinit(&f);
		return 0;
	}
	RUN(test_html_findings_are_there_best_first);
	RUN(test_html_fixes_begin_with_what_is_there);
	RUN(test_html_broken_hops_carry_their_numbers);
	RUN(test_html_every_hop_can_be_marked);
	RUN(test_html_healthy_marks_nothing);
	RUN(test_html_hostile_text_stays_text);
	RUN(test_html_refers_to_nothing_outside);
	return tap_done();
}
