/* SPDX-License-Identifier: MIT */
/*
 * The engine: joining, combining, swallowing, order, and what is left open in fixes. With rules of
 * the product whose signals are simple, because the table is not exchangeable.
 */
#include "doctor/rules/judge.h"
#include "doctor/tests/judging.h"
#include "tests/tap.h"

static struct judging judging;

static void begin(void)
{
	judging_init(&judging);
}

static void end(void)
{
	judging_deinit(&judging);
}

static void test_nothing_given_cannot_look(void)
{
	begin();
	judging_judge(&judging);
	EXPECT_EQ(judging.report.verdict, DOCTOR_CANNOT_LOOK);
	EXPECT_EQ(judging.report.count, 0);
	end();
}

static void test_facts_without_meaning_are_healthy(void)
{
	begin();
	judging_device_fact(&judging, DOCTOR_VFIO_OPENED, "21:00.0", "hiding ecap");
	judging_judge(&judging);
	EXPECT_EQ(judging.report.verdict, DOCTOR_HEALTHY);
	EXPECT_EQ(judging.report.count, 0);
	end();
}

static void test_signal_makes_finding_with_evidence_and_fix(void)
{
	const struct doctor_finding *finding;

	begin();
	judging_device_fact(&judging, DOCTOR_RMRR_REFUSED, "0000:21:00.0",
			    "refused, says the kernel");
	judging_judge(&judging);
	ASSERT_EQ(judging.report.count, 1);
	finding = &judging.report.finding[0];
	EXPECT_STR(finding->rule->id, "rmrr");
	EXPECT_EQ(judging.report.verdict, DOCTOR_FINDINGS);
	EXPECT_EQ(finding->confidence, 97);
	EXPECT(finding->has_device && finding->device.bus == 0x21);
	ASSERT_EQ(finding->evidence_count, 1);
	EXPECT_STR(finding->evidence[0].text, "refused, says the kernel");
	EXPECT_HAS(finding->evidence[0].source, ":1");
	EXPECT(finding->fix_count > 0);
	end();
}

static void test_confidences_combine(void)
{
	begin();
	judging_device_fact(&judging, DOCTOR_RESET_ENOTTY, "21:00.0", "one");
	judging_device_fact(&judging, DOCTOR_RESET_PVE_WARNING, "21:00.0", "two")->reason = 1;
	judging_judge(&judging);
	ASSERT_EQ(judging.report.count, 1);
	/* 1 - 0.45 * 0.55, rounded down */
	EXPECT_EQ(judging.report.finding[0].confidence, 75);
	EXPECT_EQ(judging.report.finding[0].evidence_count, 2);
	end();
}

static void test_many_hints_are_no_certainty(void)
{
	begin();
	for (int i = 0; i < 50; i++)
		judging_device_fact(&judging, DOCTOR_RESET_NONE, "21:00.0", "again");
	judging_judge(&judging);
	ASSERT_EQ(judging.report.count, 1);
	EXPECT_EQ(judging.report.finding[0].confidence, 99);
	EXPECT_EQ(judging.report.finding[0].evidence_count, 50);
	end();
}

static void test_line_without_device_joins_the_nearest_finding(void)
{
	begin();
	judging_device_fact(&judging, DOCTOR_NO_IOMMU_GROUP, "21:00.0", "no group")->line = 10;
	judging_device_fact(&judging, DOCTOR_NO_IOMMU_GROUP, "42:00.0", "no group")->line = 90;
	judging_fact(&judging, DOCTOR_IOMMU_ABSENT, "no IOMMU")->line = 91;
	judging_judge(&judging);
	ASSERT_EQ(judging.report.count, 2);
	EXPECT_EQ(judging.report.finding[0].device.bus, 0x42);
	EXPECT_EQ(judging.report.finding[0].evidence_count, 2);
	EXPECT_EQ(judging.report.finding[1].evidence_count, 1);
	end();
}

static void test_refuting_lowers(void)
{
	begin();
	judging_device_fact(&judging, DOCTOR_NO_IOMMU_GROUP, "21:00.0", "no group");
	judging_fact(&judging, DOCTOR_IOMMU_WORKING, "works");
	judging_judge(&judging);
	ASSERT_EQ(judging.report.count, 1);
	EXPECT_EQ(judging.report.finding[0].confidence, 51);
	end();
}

static void test_refuting_of_another_device_does_not(void)
{
	begin();
	judging_device_fact(&judging, DOCTOR_NO_IOMMU_GROUP, "21:00.0", "no group");
	judging_device_fact(&judging, DOCTOR_IOMMU_ADDED_TO_GROUP, "22:00.0", "in group 3");
	judging_judge(&judging);
	ASSERT_EQ(judging.report.count, 1);
	EXPECT_EQ(judging.report.finding[0].confidence, 85);
	end();
}

static void test_cause_swallows_consequence(void)
{
	const struct doctor_finding *finding;

	begin();
	judging_device_fact(&judging, DOCTOR_D3_STUCK, "21:00.0", "D3cold");
	judging_device_fact(&judging, DOCTOR_HEADER_TYPE_127, "21:00.0", "header type 127");
	judging_judge(&judging);
	ASSERT_EQ(judging.report.count, 1);
	finding = &judging.report.finding[0];
	EXPECT_STR(finding->rule->id, "stuck-d3");
	ASSERT_EQ(finding->follows_count, 1);
	EXPECT_STR(finding->follows[0], "device-gone");
	EXPECT_EQ(finding->evidence_count, 2);
	end();
}

static void test_cause_is_as_grave_as_its_consequence(void)
{
	begin();
	judging_device_fact(&judging, DOCTOR_RESET_METHOD_BAD, "21:00.0", "unsupported");
	judging_fact(&judging, DOCTOR_IRQ_PIN_ASSERT, "assertion");
	judging_judge(&judging);
	ASSERT_EQ(judging.report.count, 1);
	EXPECT_STR(judging_first(&judging), "reset-missing");
	EXPECT_EQ(judging.report.finding[0].severity, DOCTOR_ERROR);
	end();
}

static void test_cause_on_another_device_does_not_swallow(void)
{
	begin();
	judging_device_fact(&judging, DOCTOR_D3_STUCK, "21:00.0", "D3cold");
	judging_device_fact(&judging, DOCTOR_HEADER_TYPE_127, "42:00.0", "header type 127");
	judging_judge(&judging);
	EXPECT_EQ(judging.report.count, 2);
	end();
}

static void test_of_two_causes_the_first_stays(void)
{
	begin();
	judging_device_fact(&judging, DOCTOR_RESET_NOT_READY, "21:00.0", "giving up")->reason = 1;
	judging_device_fact(&judging, DOCTOR_D3_STUCK, "21:00.0", "D3cold");
	judging_judge(&judging);
	ASSERT_EQ(judging.report.count, 1);
	EXPECT_STR(judging_first(&judging), "flr-broken");
	end();

	begin();
	judging_device_fact(&judging, DOCTOR_D3_STUCK, "21:00.0", "D3cold");
	judging_device_fact(&judging, DOCTOR_RESET_NOT_READY, "21:00.0", "giving up")->reason = 1;
	judging_judge(&judging);
	ASSERT_EQ(judging.report.count, 1);
	EXPECT_STR(judging_first(&judging), "stuck-d3");
	end();
}

static void test_fact_before_a_good_start_is_past(void)
{
	begin();
	judging_device_fact(&judging, DOCTOR_GROUP_NOT_VIABLE, "21:00.0", "group 3 is not viable");
	judging_fact(&judging, DOCTOR_START_OK, "TASK OK");
	judging_judge(&judging);
	EXPECT_EQ(judging.report.count, 0);
	EXPECT_EQ(judging.report.verdict, DOCTOR_HEALTHY);
	end();
}

static void test_fact_after_a_good_start_counts(void)
{
	begin();
	judging_fact(&judging, DOCTOR_START_OK, "TASK OK");
	judging_device_fact(&judging, DOCTOR_GROUP_NOT_VIABLE, "21:00.0", "group 3 is not viable");
	judging_judge(&judging);
	EXPECT_EQ(judging.report.count, 1);
	end();
}

static void test_facts_of_other_clocks_are_not_past(void)
{
	struct doctor_fact *fact;

	begin();
	fact = judging_device_fact(&judging, DOCTOR_D3_STUCK, "21:00.0", "[ 7.0] stuck");
	fact->time_us = fact->last_time_us = 7000000;
	judging_fact(&judging, DOCTOR_START_OK, "TASK OK");
	judging_judge(&judging);
	EXPECT_EQ(judging.report.count, 1);
	end();

	begin();
	judging_device_fact(&judging, DOCTOR_RESET_ENOTTY, "21:00.0",
			    "pvedaemon[2451]: error writing '1'");
	judging_fact(&judging, DOCTOR_START_OK, "TASK OK");
	judging_judge(&judging);
	EXPECT_EQ(judging.report.count, 1);
	end();
}

static void test_errors_come_first_then_confidence(void)
{
	begin();
	judging_fact(&judging, DOCTOR_START_UNRELATED, "bridge does not exist");
	judging_device_fact(&judging, DOCTOR_RMRR_REFUSED, "42:00.0", "refused");
	judging_device_fact(&judging, DOCTOR_HOST_DRIVER_HOLDS, "21:00.0", "holds");
	judging_judge(&judging);
	ASSERT_EQ(judging.report.count, 2);
	EXPECT_STR(judging.report.finding[0].rule->id, "rmrr");
	EXPECT_STR(judging.report.finding[1].rule->id, "host-driver-bound");
	end();
}

static struct machine_device card;

static void with_card(const char *driver)
{
	card = (struct machine_device){.bdf = judging_bdf("0000:21:00.0"),
				       .vendor = 0x1f9d,
				       .device = 0x1100,
				       .driver = driver,
				       .group = 22,
				       .label = "Metis"};
	judging.machine[0] = (struct machine){
		.name = "host", .side = DOCTOR_SIDE_HOST, .device = &card, .device_count = 1};
	judging.machine_count = 1;
}

static const char *all_commands(const struct doctor_finding *finding)
{
	const char *all = "";

	for (size_t i = 0; i < finding->fix_count; i++)
		all = arena_printf(&judging.arena, "%s%s\n", all, finding->fix[i].commands);
	return all;
}

static void test_fixes_are_filled_in(void)
{
	begin();
	with_card("metis");
	judging_device_fact(&judging, DOCTOR_HOST_DRIVER_HOLDS, "0000:21:00.0", "holds");
	judging_judge(&judging);
	ASSERT_EQ(judging.report.count, 1);
	EXPECT_HAS(all_commands(&judging.report.finding[0]), "ids=1f9d:1100");
	EXPECT_HAS(all_commands(&judging.report.finding[0]), "softdep metis pre: vfio-pci");
	EXPECT_HAS(all_commands(&judging.report.finding[0]),
		   "echo 0000:21:00.0 > /sys/bus/pci/devices/0000:21:00.0/driver/unbind");
	EXPECT_STR(judging.report.finding[0].label, "Metis");
	EXPECT_STR(judging.report.finding[0].machine, "host");
	end();
}

static void test_hostile_names_stay_out_of_commands(void)
{
	begin();
	with_card("x; rm -rf /");
	judging_device_fact(&judging, DOCTOR_HOST_DRIVER_HOLDS, "0000:21:00.0", "holds");
	judging_judge(&judging);
	ASSERT_EQ(judging.report.count, 1);
	EXPECT(!strstr(all_commands(&judging.report.finding[0]), "rm -rf"));
	EXPECT_HAS(all_commands(&judging.report.finding[0]), "softdep DRIVER pre");
	end();
}

static void test_unknown_values_stay_visible(void)
{
	begin();
	judging_fact(&judging, DOCTOR_VFIO_NODE_DENIED, "denied");
	judging_judge(&judging);
	ASSERT_EQ(judging.report.count, 1);
	EXPECT_HAS(all_commands(&judging.report.finding[0]), "/dev/vfio/GROUP");
	end();
}

static void test_judge_functions_keep_their_findings(void)
{
	struct doctor_case seen = {.arena = &judging.arena, .facts = &judging.facts};
	struct doctor_judge judge = {.seen = &seen};
	const struct doctor_rule *rule = doctor_rule_find("device-gone");
	struct doctor_finding *first = NULL;
	struct bdf device = {0};

	begin();
	ASSERT(rule);
	for (unsigned int i = 0; i < 200; i++) {
		struct doctor_finding *finding;

		device.bus = (uint8_t)i;
		finding = judge_add(&judge, rule, &device, 40);
		if (!i)
			first = finding;
	}
	device.bus = 0;
	EXPECT(judge_find(&judge, "device-gone", &device) == first);
	EXPECT(judge_add(&judge, rule, &device, 90) == first);
	EXPECT_EQ(first->confidence, 40);
	judge_set(first, 100);
	EXPECT_EQ(first->confidence, 100);
	judge_refute(first, 50);
	EXPECT_EQ(first->confidence, 50);
	judge_why(&judge, first, "once");
	judge_why(&judge, first, "once");
	EXPECT_EQ(first->why_count, 1);
	judge_clear_fixes(first);
	EXPECT_EQ(first->fix_count, 0);
	judge_drop(&judge, first);
	EXPECT(!judge_find(&judge, "device-gone", &device));
	end();
}

/* The guest numbers its devices by itself: its 21:00.0 is another than the host's. */
static struct machine_device guest_card;

static void with_guest(void)
{
	guest_card = (struct machine_device){.bdf = judging_bdf("0000:21:00.0"),
					     .vendor = 0x1af4,
					     .device = 0x1041,
					     .driver = "virtio-pci",
					     .group = -1,
					     .label = "Virtio network"};
	judging.machine[1] = (struct machine){.name = "guest",
					      .side = DOCTOR_SIDE_GUEST,
					      .device = &guest_card,
					      .device_count = 1};
	judging.machine_count = 2;
}

static void test_same_address_in_host_and_guest_is_two_devices(void)
{
	begin();
	with_card("metis");
	with_guest();
	judging_device_fact(&judging, DOCTOR_HOST_DRIVER_HOLDS, "21:00.0", "in the guest")->side =
		DOCTOR_SIDE_GUEST;
	judging_device_fact(&judging, DOCTOR_HOST_DRIVER_HOLDS, "21:00.0", "in the host")->side =
		DOCTOR_SIDE_HOST;
	judging_device_fact(&judging, DOCTOR_HOST_DRIVER_HOLDS, "21:00.0", "nobody says where");
	judging_judge(&judging);
	ASSERT_EQ(judging.report.count, 2);
	const struct doctor_finding *host = &judging.report.finding[0];
	const struct doctor_finding *guest = &judging.report.finding[1];

	EXPECT(!host->guest && guest->guest);
	EXPECT_STR(host->machine, "host");
	EXPECT_STR(host->label, "Metis");
	EXPECT_EQ(host->evidence_count, 2);
	EXPECT_HAS(all_commands(host), "ids=1f9d:1100");
	EXPECT_STR(guest->machine, "guest");
	EXPECT_STR(guest->label, "Virtio network");
	EXPECT_EQ(guest->evidence_count, 1);
	EXPECT_HAS(all_commands(guest), "ids=1af4:1041");
	end();
}

static void test_cause_in_the_host_does_not_swallow_another_device_of_the_guest(void)
{
	begin();
	judging_device_fact(&judging, DOCTOR_D3_STUCK, "21:00.0", "D3cold")->side =
		DOCTOR_SIDE_HOST;
	judging_device_fact(&judging, DOCTOR_HEADER_TYPE_127, "21:00.0", "header type 127")->side =
		DOCTOR_SIDE_GUEST;
	judging_judge(&judging);
	EXPECT_EQ(judging.report.count, 2);
	end();
}

static void test_what_works_in_a_guest_refutes_nothing_of_its_host(void)
{
	begin();
	judging_device_fact(&judging, DOCTOR_NO_IOMMU_GROUP, "21:00.0", "no group");
	judging_fact(&judging, DOCTOR_IOMMU_WORKING, "works")->side = DOCTOR_SIDE_GUEST;
	judging_judge(&judging);
	ASSERT_EQ(judging.report.count, 1);
	EXPECT(judging.report.finding[0].confidence > 60);
	end();
}

static void test_finding_without_a_machine_of_its_side_names_none(void)
{
	begin();
	with_card("metis");
	judging_device_fact(&judging, DOCTOR_RMRR_REFUSED, "21:00.0", "refused")->side =
		DOCTOR_SIDE_GUEST;
	judging_judge(&judging);
	ASSERT_EQ(judging.report.count, 1);
	EXPECT(!judging.report.finding[0].machine);
	EXPECT(!judging.report.finding[0].label);
	end();
}

static void one_finding_of(const char *text)
{
	begin();
	judging_text(&judging, text);
	judging_judge(&judging);
	EXPECT_EQ(judging.report.count, 1);
	EXPECT_STR(judging_first(&judging), "no-intremap");
	if (judging.report.count) {
		EXPECT(judging.report.finding[0].has_device);
		EXPECT_EQ(judging.report.finding[0].evidence_count, 2);
	}
	end();
}

#define KERNEL_SAYS                                                                             \
	"vfio_iommu_type1_attach_group: No interrupt remapping support.  Use the module param " \
	"\"allow_unsafe_interrupts\" to enable VFIO IOMMU support on this platform\n"
#define QEMU_SAYS                                                                          \
	"qemu-system-x86_64: -device vfio-pci,host=21:00.0: vfio 0000:21:00.0: failed to " \
	"setup container for group 9: Failed to set iommu for container: Operation not permitted\n"

/* The one names no device, and the other is judged later, by a function. */
static void test_line_without_device_joins_a_finding_that_comes_later(void)
{
	one_finding_of(KERNEL_SAYS QEMU_SAYS);
	one_finding_of(QEMU_SAYS KERNEL_SAYS);
}

static void test_finding_without_device_joins_the_nearest_with_one(void)
{
	begin();
	judging_text(
		&judging, KERNEL_SAYS QEMU_SAYS
		"qemu-system-x86_64: -device vfio-pci,host=42:00.0: vfio 0000:42:00.0: failed to "
		"setup container for group 7: Failed to set iommu for container: Operation not "
		"permitted\n");
	judging_judge(&judging);
	ASSERT_EQ(judging.report.count, 2);
	EXPECT_EQ(judging.report.finding[0].device.bus, 0x21);
	EXPECT_EQ(judging.report.finding[0].evidence_count, 2);
	EXPECT_EQ(judging.report.finding[1].evidence_count, 1);
	end();
}

static void test_side_that_is_not_told_is_the_hosts_first(void)
{
	const struct doctor_rule *rule = doctor_rule_find("device-gone");
	struct doctor_judge judge = {.seen = &judging.seen};
	struct doctor_finding *host, *guest;
	struct bdf device;

	begin();
	device = judging_bdf("0000:21:00.0");
	judging.seen.arena = &judging.arena;
	judging.seen.machine = judging.machine;
	with_card("metis");
	with_guest();
	judging.seen.machine_count = 2;
	guest = judge_add_on(&judge, rule, &judging.machine[1], &device, 40);
	EXPECT(judge_find(&judge, "device-gone", &device) == guest);
	EXPECT(!judge_find_on(&judge, "device-gone", &judging.machine[0], &device));
	host = judge_add_on(&judge, rule, &judging.machine[0], &device, 40);
	EXPECT(host != guest);
	EXPECT(judge_find(&judge, "device-gone", &device) == host);
	EXPECT(judge_add(&judge, rule, &device, 40) == host);
	/* One that only the guest has. */
	device = guest_card.bdf = judging_bdf("0000:07:00.0");
	EXPECT(judge_add(&judge, rule, &device, 40)->guest);
	device = judging_bdf("0000:08:00.0");
	EXPECT(!judge_add(&judge, rule, &device, 40)->guest);
	end();
}

int main(void)
{
	RUN(test_nothing_given_cannot_look);
	RUN(test_facts_without_meaning_are_healthy);
	RUN(test_signal_makes_finding_with_evidence_and_fix);
	RUN(test_confidences_combine);
	RUN(test_many_hints_are_no_certainty);
	RUN(test_line_without_device_joins_the_nearest_finding);
	RUN(test_refuting_lowers);
	RUN(test_refuting_of_another_device_does_not);
	RUN(test_cause_swallows_consequence);
	RUN(test_cause_is_as_grave_as_its_consequence);
	RUN(test_cause_on_another_device_does_not_swallow);
	RUN(test_of_two_causes_the_first_stays);
	RUN(test_fact_before_a_good_start_is_past);
	RUN(test_fact_after_a_good_start_counts);
	RUN(test_facts_of_other_clocks_are_not_past);
	RUN(test_errors_come_first_then_confidence);
	RUN(test_fixes_are_filled_in);
	RUN(test_hostile_names_stay_out_of_commands);
	RUN(test_unknown_values_stay_visible);
	RUN(test_judge_functions_keep_their_findings);
	RUN(test_same_address_in_host_and_guest_is_two_devices);
	RUN(test_cause_in_the_host_does_not_swallow_another_device_of_the_guest);
	RUN(test_what_works_in_a_guest_refutes_nothing_of_its_host);
	RUN(test_finding_without_a_machine_of_its_side_names_none);
	RUN(test_line_without_device_joins_a_finding_that_comes_later);
	RUN(test_finding_without_device_joins_the_nearest_with_one);
	RUN(test_side_that_is_not_told_is_the_hosts_first);
	return tap_done();
}
