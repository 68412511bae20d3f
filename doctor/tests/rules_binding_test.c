/* SPDX-License-Identifier: MIT */
/*
 * Rules on groups, drivers and nodes, and starts that fail for other reasons.
 */
#include <errno.h>

#include "doctor/tests/host.h"
#include "tests/tap.h"

static struct test_host host;
static struct machine *machine = &host.judging.machine[0];

static const char *first(void)
{
	host_judge(&host);
	return judging_first(&host.judging);
}

static const struct doctor_finding *top(void)
{
	return &host.judging.report.finding[0];
}

static bool says(const char *part)
{
	for (size_t i = 0; host.judging.report.count && i < top()->why_count; i++)
		if (strstr(top()->why[i], part))
			return true;
	return false;
}

static void test_group_with_siblings_only_is_one_card(void)
{
	struct doctor_fact *fact;

	host_init(&host);
	host.judging.machine_count = 0;
	fact = judging_device_fact(&host.judging, DOCTOR_GROUP_NOT_VIABLE, "21:00.0", "not viable");
	fact->has_number = true;
	fact->number = 22;
	fact = judging_device_fact(&host.judging, DOCTOR_GROUP_MEMBER, "21:00.1", "audio");
	fact->has_number = true;
	fact->number = 22;
	fact = judging_device_fact(&host.judging, DOCTOR_GROUP_MEMBER, "20:01.0", "PCI bridge");
	fact->has_number = true;
	fact->number = 22;
	EXPECT_STR(first(), "group-not-viable");
	EXPECT(says("ACS override is not needed"));
	host_deinit(&host);
}

static void test_group_of_the_machine_names_who_is_in_the_way(void)
{
	struct doctor_fact *fact;
	bool named = false;

	host_init(&host);
	fact = judging_device_fact(&host.judging, DOCTOR_GROUP_NOT_VIABLE, "21:00.0", "not viable");
	fact->has_number = true;
	fact->number = 22;
	host.device[HOST_CARD].driver = "vfio-pci";
	ASSERT(!strcmp(first(), "group-not-viable"));
	for (size_t i = 0; i < top()->evidence_count; i++)
		named |= !!strstr(top()->evidence[i].text, "snd_hda_intel");
	EXPECT(named);
	host_deinit(&host);
}

static void test_proxmox_takes_functions_of_the_card_silently(void)
{
	host_init(&host);
	host_vm(&host, VM_PROXMOX, "0000:21:00.0", false);
	EXPECT_STR(first(), "");
	host_deinit(&host);
}

static void test_proxmox_that_will_take_a_disk_is_a_warning(void)
{
	host_init(&host);
	host.device[HOST_DISK].group = 22;
	host_vm(&host, VM_PROXMOX, "0000:21:00.0", false);
	ASSERT(!strcmp(first(), "group-not-viable"));
	EXPECT_EQ(top()->severity, DOCTOR_WARNING);
	EXPECT_HAS(top()->title, "from the host");
	host_deinit(&host);
}

static void test_libvirt_without_the_second_function_is_a_warning(void)
{
	host_init(&host);
	host_vm(&host, VM_LIBVIRT, "0000:21:00.0", false);
	EXPECT_STR(first(), "group-not-viable");
	host_deinit(&host);
}

static void test_running_vm_has_no_group_trouble(void)
{
	host_init(&host);
	host.device[HOST_CARD].driver = "vfio-pci";
	host_vm(&host, VM_LIBVIRT, "0000:21:00.0", false)->running = true;
	EXPECT_STR(first(), "");
	host_deinit(&host);
}

static void test_bridge_that_is_set_apart_is_found(void)
{
	host_init(&host);
	host.device[HOST_PORT].override = "vfio-pci";
	EXPECT_STR(first(), "bridge-in-group");
	host_deinit(&host);
}

static void test_bind_refused_of_an_endpoint_is_no_bridge(void)
{
	host_init(&host);
	judging_device_fact(&host.judging, DOCTOR_VFIO_BIND_EINVAL, "0000:22:00.0", "EINVAL");
	host_judge(&host);
	EXPECT(!judging_find(&host.judging, "bridge-in-group"));
	host_deinit(&host);
}

static void test_probe_refused_of_a_device_with_group_is_a_bridge(void)
{
	struct doctor_fact *fact;

	host_init(&host);
	host.judging.machine_count = 0;
	judging_device_fact(&host.judging, DOCTOR_IOMMU_ADDED_TO_GROUP, "20:01.0", "group 21");
	fact = judging_device_fact(&host.judging, DOCTOR_VFIO_PROBE_FAILED, "20:01.0", "-22");
	fact->has_reason = true;
	fact->reason = EINVAL;
	EXPECT_STR(first(), "bridge-in-group");
	host_deinit(&host);
}

static void test_new_id_twice_before_a_good_open_is_nothing(void)
{
	host_init(&host);
	judging_fact(&host.judging, DOCTOR_VFIO_NEW_ID_EXISTS, "file exists");
	judging_device_fact(&host.judging, DOCTOR_VFIO_OPENED, "21:00.0", "hiding ecap");
	EXPECT_STR(first(), "");
	host_deinit(&host);
}

static void test_driver_that_came_before_vfio_is_a_warning(void)
{
	host_init(&host);
	machine->command_line = "quiet vfio-pci.ids=10de:2204";
	ASSERT(!strcmp(first(), "host-driver-bound"));
	EXPECT_EQ(top()->severity, DOCTOR_WARNING);
	host_deinit(&host);
}

static void test_ids_of_another_card_are_nothing(void)
{
	host_init(&host);
	machine->command_line = "quiet vfio-pci.ids=1002:73bf";
	EXPECT_STR(first(), "");
	host_deinit(&host);
}

static void test_device_of_another_vm_is_named(void)
{
	struct doctor_fact *fact;

	host_init(&host);
	fact = judging_device_fact(&host.judging, DOCTOR_PVE_IN_USE, "21:00.0", "in use");
	fact->has_number = true;
	fact->number = 120;
	ASSERT(!strcmp(first(), "host-driver-bound"));
	EXPECT_HAS(top()->title, "VM 120");
	host_deinit(&host);
}

static void test_no_group_is_not_a_host_driver(void)
{
	host_init(&host);
	host.judging.machine_count = 0;
	judging_device_fact(&host.judging, DOCTOR_NO_IOMMU_GROUP, "21:00.0", "no group");
	judging_device_fact(&host.judging, DOCTOR_PVE_CANNOT_BIND, "21:00.0", "cannot bind");
	EXPECT_STR(first(), "iommu-off");
	EXPECT_EQ(host.judging.report.count, 1);
	host_deinit(&host);
}

static void test_node_errno_decides_the_words(void)
{
	struct doctor_fact *fact;

	host_init(&host);
	fact = judging_fact(&host.judging, DOCTOR_VFIO_NODE_DENIED, "denied");
	fact->has_reason = true;
	fact->reason = EPERM;
	EXPECT_STR(first(), "vfio-node-permission");
	EXPECT(says("cgroup"));
	fact->reason = EACCES;
	host_judge(&host);
	EXPECT(says("mode or owner"));
	host_deinit(&host);
}

static void test_vm_with_a_device_that_is_not_there_is_a_warning(void)
{
	host_init(&host);
	host_vm(&host, VM_PROXMOX, "0000:3b:02.1", false);
	ASSERT(!strcmp(first(), "vf-vanished"));
	EXPECT_EQ(top()->severity, DOCTOR_WARNING);
	EXPECT(says("sriov_numvfs"));
	host_deinit(&host);
}

static void test_generic_last_line_alone_is_a_weak_warning(void)
{
	host_init(&host);
	judging_fact(&host.judging, DOCTOR_START_FAILED, "TASK ERROR: start failed");
	ASSERT(!strcmp(first(), "not-passthrough"));
	EXPECT(top()->confidence < 50);
	host_deinit(&host);
}

static void test_generic_last_line_adds_nothing_to_a_cause(void)
{
	host_init(&host);
	judging_device_fact(&host.judging, DOCTOR_D3_STUCK, "21:00.0", "D3cold");
	judging_fact(&host.judging, DOCTOR_START_FAILED, "TASK ERROR: start failed");
	EXPECT_STR(first(), "stuck-d3");
	EXPECT_EQ(host.judging.report.count, 1);
	host_deinit(&host);
}

static struct doctor_fact *driver_fact(const char *driver, uint32_t err)
{
	struct doctor_fact *fact;

	fact = judging_device_fact(&host.judging, DOCTOR_DRIVER_FAILED, "21:00.0", "failed");
	snprintf(fact->driver, sizeof(fact->driver), "%s", driver);
	fact->has_reason = true;
	fact->reason = err;
	return fact;
}

static void test_driver_of_a_card_that_fails_alone_is_found(void)
{
	host_init(&host);
	driver_fact("hailo", EIO);
	EXPECT_STR(first(), "guest-driver");
	host_deinit(&host);
}

static void test_driver_of_the_machine_that_fails_is_nothing(void)
{
	host_init(&host);
	driver_fact("iwlwifi", EIO);
	driver_fact("nvidia", ENOENT);
	EXPECT_STR(first(), "");
	host_deinit(&host);
}

static void test_driver_that_fails_after_a_cause_is_nothing_of_its_own(void)
{
	host_init(&host);
	judging_device_fact(&host.judging, DOCTOR_GUEST_RESET_LINK_DOWN, "21:00.0", "link down");
	driver_fact("hailo", EIO);
	EXPECT_STR(first(), "guest-triggered-reset");
	EXPECT_EQ(host.judging.report.count, 1);
	host_deinit(&host);
}

int main(void)
{
	RUN(test_group_with_siblings_only_is_one_card);
	RUN(test_group_of_the_machine_names_who_is_in_the_way);
	RUN(test_proxmox_takes_functions_of_the_card_silently);
	RUN(test_proxmox_that_will_take_a_disk_is_a_warning);
	RUN(test_libvirt_without_the_second_function_is_a_warning);
	RUN(test_running_vm_has_no_group_trouble);
	RUN(test_bridge_that_is_set_apart_is_found);
	RUN(test_bind_refused_of_an_endpoint_is_no_bridge);
	RUN(test_probe_refused_of_a_device_with_group_is_a_bridge);
	RUN(test_new_id_twice_before_a_good_open_is_nothing);
	RUN(test_driver_that_came_before_vfio_is_a_warning);
	RUN(test_ids_of_another_card_are_nothing);
	RUN(test_device_of_another_vm_is_named);
	RUN(test_no_group_is_not_a_host_driver);
	RUN(test_node_errno_decides_the_words);
	RUN(test_vm_with_a_device_that_is_not_there_is_a_warning);
	RUN(test_generic_last_line_alone_is_a_weak_warning);
	RUN(test_generic_last_line_adds_nothing_to_a_cause);
	RUN(test_driver_of_a_card_that_fails_alone_is_found);
	RUN(test_driver_of_the_machine_that_fails_is_nothing);
	RUN(test_driver_that_fails_after_a_cause_is_nothing_of_its_own);
	return tap_done();
}
