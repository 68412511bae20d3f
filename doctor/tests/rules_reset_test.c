/* SPDX-License-Identifier: MIT */
/*
 * Rules on reset, power and link.
 */
#include "doctor/tests/host.h"
#include "tests/tap.h"

static struct test_host host;

static const char *first(void)
{
	host_judge(&host);
	return judging_first(&host.judging);
}

static const struct doctor_finding *top(void)
{
	return &host.judging.report.finding[0];
}

static struct doctor_fact *not_ready(const char *after, unsigned int ms, bool gave_up)
{
	struct doctor_fact *fact;

	fact = judging_device_fact(&host.judging, DOCTOR_RESET_NOT_READY, "21:00.0", "not ready");
	snprintf(fact->name, sizeof(fact->name), "%s", after);
	fact->has_number = true;
	fact->number = ms;
	fact->has_reason = gave_up;
	fact->reason = gave_up;
	return fact;
}

static void test_short_wait_after_a_reset_is_healthy(void)
{
	host_init(&host);
	not_ready("FLR", 1023, false);
	not_ready("FLR", 4095, false);
	judging_device_fact(&host.judging, DOCTOR_RESET_READY, "21:00.0", "ready 4500ms after FLR");
	EXPECT_STR(first(), "");
	host_deinit(&host);
}

static void test_wait_that_the_log_ends_with_is_a_suspicion(void)
{
	host_init(&host);
	not_ready("FLR", 1023, false);
	ASSERT(!strcmp(first(), "flr-broken"));
	EXPECT(top()->confidence < 50);
	host_deinit(&host);
}

static void test_giving_up_after_a_reset_is_a_broken_reset(void)
{
	host_init(&host);
	not_ready("FLR", 65535, true);
	EXPECT_STR(first(), "flr-broken");
	host_deinit(&host);

	host_init(&host);
	not_ready("bus reset", 65535, true);
	EXPECT_STR(first(), "flr-broken");
	host_deinit(&host);
}

static void test_giving_up_after_a_resume_is_stuck(void)
{
	host_init(&host);
	not_ready("resume", 65535, true);
	EXPECT_STR(first(), "stuck-d3");
	host_deinit(&host);
}

static void test_power_lines_take_the_assertion_along(void)
{
	host_init(&host);
	judging_device_fact(&host.judging, DOCTOR_D3_STUCK, "21:00.0", "D3cold");
	judging_device_fact(&host.judging, DOCTOR_RESET_PENDING, "21:00.0", "pending");
	judging_fact(&host.judging, DOCTOR_IRQ_PIN_ASSERT, "pci_irq_handler");
	EXPECT_STR(first(), "stuck-d3");
	EXPECT_EQ(host.judging.report.count, 1);
	host_deinit(&host);
}

static void test_device_that_is_gone_and_wanted_is_found(void)
{
	host_init(&host);
	host.device[HOST_CARD].gone = true;
	EXPECT_STR(first(), "");
	host_vm(&host, VM_PROXMOX, "0000:21:00.0", true);
	EXPECT_STR(first(), "device-gone");
	host.device[HOST_CARD].power_state = "D3cold";
	EXPECT_STR(first(), "stuck-d3");
	EXPECT_EQ(host.judging.report.count, 1);
	host_deinit(&host);
}

static void test_sleeping_device_is_healthy(void)
{
	host_init(&host);
	host.device[HOST_CARD].power_state = "D3hot";
	host_vm(&host, VM_PROXMOX, "0000:21:00.0", true);
	EXPECT_STR(first(), "");
	host_deinit(&host);
}

static void test_no_reset_on_a_shared_bus_is_a_warning(void)
{
	host_init(&host);
	host.device[HOST_CARD].reset_method = "";
	host_vm(&host, VM_PROXMOX, "0000:21:00.0", false);
	ASSERT(!strcmp(first(), "reset-missing"));
	EXPECT_EQ(top()->severity, DOCTOR_WARNING);
	host.vm[0].running = true;
	EXPECT_STR(first(), "");
	host_deinit(&host);
}

static void test_no_reset_but_the_whole_bus_is_healthy(void)
{
	host_init(&host);
	host.device[HOST_CARD].reset_method = "";
	host_vm(&host, VM_PROXMOX, "0000:21:00.0", true);
	EXPECT_STR(first(), "");
	host_deinit(&host);
}

static void test_reset_that_ended_a_start_is_an_error(void)
{
	host_init(&host);
	judging_device_fact(&host.judging, DOCTOR_RESET_PVE_WARNING, "22:00.0", "can't reset");
	ASSERT(!strcmp(first(), "reset-missing"));
	EXPECT_EQ(top()->severity, DOCTOR_ERROR);
	host_deinit(&host);
}

static struct doctor_fact *aer(enum doctor_fact_kind kind, const char *device, const char *error)
{
	struct doctor_fact *fact = judging_device_fact(&host.judging, kind, device, error);

	snprintf(fact->name, sizeof(fact->name), "%s", error);
	return fact;
}

static void test_port_and_card_are_one_finding_on_the_card(void)
{
	host_init(&host);
	aer(DOCTOR_AER_CORRECTABLE, "20:01.0", "BadTLP");
	aer(DOCTOR_AER_CORRECTABLE, "20:01.0", "Rollover");
	aer(DOCTOR_AER_CORRECTABLE, "21:00.0", "Timeout");
	EXPECT_STR(first(), "link-down-aer");
	EXPECT_EQ(host.judging.report.count, 1);
	EXPECT_EQ(top()->device.bus, 0x21);
	EXPECT_EQ(top()->severity, DOCTOR_WARNING);
	EXPECT_EQ(top()->evidence_count, 3);
	host_deinit(&host);
}

static void test_receiver_errors_now_and_then_are_healthy(void)
{
	struct doctor_fact *fact;

	host_init(&host);
	fact = aer(DOCTOR_AER_CORRECTABLE, "22:00.0", "RxErr");
	EXPECT_STR(first(), "");
	fact->count = 5000;
	EXPECT_STR(first(), "link-down-aer");
	host_deinit(&host);
}

static void test_network_link_down_is_healthy(void)
{
	host_init(&host);
	judging_device_fact(&host.judging, DOCTOR_LINK_DOWN, "22:00.0",
			    "igb 0000:22:00.0 eth0: igb: eth0 NIC Link is Down");
	EXPECT_STR(first(), "");
	host_deinit(&host);
}

static void test_invalidation_names_the_reset_before_it(void)
{
	bool named = false;

	host_init(&host);
	judging_device_fact(&host.judging, DOCTOR_RESET_VENDOR, "21:00.0", "performing reset");
	judging_fact(&host.judging, DOCTOR_VTD_INVALIDATION, "Time-out");
	ASSERT(!strcmp(first(), "ats-invalidation-timeout"));
	for (size_t i = 0; i < top()->why_count; i++)
		named |= !!strstr(top()->why[i], "0000:21:00.0");
	EXPECT(named);
	host_deinit(&host);
}

static void test_rom_of_a_guest_that_boots_on_is_healthy(void)
{
	host_init(&host);
	judging_fact(&host.judging, DOCTOR_OPTION_ROM_RUNS, "Slot 0 Adapter Initializing... /");
	EXPECT_STR(first(), "option-rom-hang");
	judging_fact(&host.judging, DOCTOR_KERNEL_BOOT, "Linux version 6.8.0");
	EXPECT_STR(first(), "");
	host_deinit(&host);
}

static void test_bios_banner_alone_is_healthy(void)
{
	host_init(&host);
	judging_fact(&host.judging, DOCTOR_OPTION_ROM_RUNS, "SeaBIOS (version 1.16.3)");
	EXPECT_STR(first(), "");
	host_deinit(&host);
}

int main(void)
{
	RUN(test_short_wait_after_a_reset_is_healthy);
	RUN(test_wait_that_the_log_ends_with_is_a_suspicion);
	RUN(test_giving_up_after_a_reset_is_a_broken_reset);
	RUN(test_giving_up_after_a_resume_is_stuck);
	RUN(test_power_lines_take_the_assertion_along);
	RUN(test_device_that_is_gone_and_wanted_is_found);
	RUN(test_sleeping_device_is_healthy);
	RUN(test_no_reset_on_a_shared_bus_is_a_warning);
	RUN(test_no_reset_but_the_whole_bus_is_healthy);
	RUN(test_reset_that_ended_a_start_is_an_error);
	RUN(test_port_and_card_are_one_finding_on_the_card);
	RUN(test_receiver_errors_now_and_then_are_healthy);
	RUN(test_network_link_down_is_healthy);
	RUN(test_invalidation_names_the_reset_before_it);
	RUN(test_rom_of_a_guest_that_boots_on_is_healthy);
	RUN(test_bios_banner_alone_is_healthy);
	return tap_done();
}
