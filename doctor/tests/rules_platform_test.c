/* SPDX-License-Identifier: MIT */
/*
 * Rules on the IOMMU itself, from lines and from state, and hosts that are fine.
 */
#include "doctor/tests/host.h"
#include "tests/tap.h"

static struct test_host host;
static struct machine *machine = &host.judging.machine[0];

static const char *first(void)
{
	host_judge(&host);
	return judging_first(&host.judging);
}

static void test_host_without_vms_is_healthy(void)
{
	host_init(&host);
	EXPECT_STR(first(), "");
	EXPECT_EQ(host.judging.report.verdict, DOCTOR_HEALTHY);
	host_deinit(&host);
}

static void test_host_with_a_vm_is_healthy(void)
{
	host_init(&host);
	host_vm(&host, VM_PROXMOX, "0000:21:00.0", true);
	EXPECT_STR(first(), "");
	host_deinit(&host);
}

static void test_iommu_off_without_a_wish_is_healthy(void)
{
	host_init(&host);
	machine->iommu = NO;
	EXPECT_STR(first(), "");
	host_deinit(&host);
}

static void test_iommu_off_with_a_vm_is_found(void)
{
	const struct doctor_finding *finding;

	host_init(&host);
	machine->iommu = NO;
	host_vm(&host, VM_PROXMOX, "0000:21:00.0", true);
	ASSERT(!strcmp(first(), "iommu-off"));
	finding = &host.judging.report.finding[0];
	EXPECT(finding->confidence >= 85);
	/* The table is there: the command line is what lacks. */
	EXPECT_EQ(finding->ruled_out_count, 1);
	host_deinit(&host);
}

static void test_iommu_off_with_vfio_pci_set_apart_is_found(void)
{
	host_init(&host);
	machine->iommu = NO;
	machine->acpi.dmar = NO;
	host.device[HOST_CARD].driver = NULL;
	host.device[HOST_CARD].override = "vfio-pci";
	EXPECT_STR(first(), "iommu-off");
	host_deinit(&host);
}

static void test_iommu_absent_beside_groups_is_doubted_not_dropped(void)
{
	host_init(&host);
	host.judging.machine_count = 0;
	for (int i = 0; i < 60; i++) {
		struct doctor_fact *fact;

		fact = judging_device_fact(&host.judging, DOCTOR_IOMMU_ADDED_TO_GROUP, "00:01.0",
					   "Adding to iommu group");
		fact->device.bus = (uint8_t)i;
	}
	judging_fact(&host.judging, DOCTOR_IOMMU_ABSENT, "host doesn't support passthrough");
	ASSERT(!strcmp(first(), "iommu-off"));
	EXPECT(host.judging.report.finding[0].confidence < 60);
	EXPECT(host.judging.report.finding[0].confidence >= 30);
	host_deinit(&host);
}

static void test_iommu_unknown_is_not_off(void)
{
	host_init(&host);
	machine->iommu = UNKNOWN;
	host_vm(&host, VM_PROXMOX, "0000:21:00.0", true);
	EXPECT_STR(first(), "");
	host_deinit(&host);
}

static void test_intremap_off_is_found_before_a_start(void)
{
	host_init(&host);
	machine->intremap = NO;
	machine->command_line = "intel_iommu=on intremap=off";
	host_vm(&host, VM_PROXMOX, "0000:21:00.0", true);
	EXPECT_STR(first(), "no-intremap");
	host_deinit(&host);
}

static void test_intremap_off_with_a_vm_that_runs_is_not(void)
{
	host_init(&host);
	machine->intremap = NO;
	host.device[HOST_CARD].driver = host.device[HOST_AUDIO].driver = "vfio-pci";
	host_vm(&host, VM_QEMU, "0000:21:00.0", true)->running = true;
	EXPECT_STR(first(), "");
	host_deinit(&host);
}

static void test_intremap_off_but_allowed_is_not(void)
{
	host_init(&host);
	machine->intremap = NO;
	machine->unsafe_interrupts = YES;
	host_vm(&host, VM_PROXMOX, "0000:21:00.0", true);
	EXPECT_STR(first(), "");
	host_deinit(&host);
}

static void test_eperm_is_told_apart_by_the_kernels_line(void)
{
	host_init(&host);
	machine->vm_count = 0;
	judging_device_fact(&host.judging, DOCTOR_SET_IOMMU_EPERM, "21:00.0", "EPERM");
	judging_device_fact(&host.judging, DOCTOR_RMRR_REFUSED, "21:00.0", "RMRR");
	EXPECT_STR(first(), "rmrr");
	EXPECT(!judging_find(&host.judging, "no-intremap"));
	host_deinit(&host);

	host_init(&host);
	judging_fact(&host.judging, DOCTOR_IR_UNSUPPORTED, "No interrupt remapping support");
	judging_device_fact(&host.judging, DOCTOR_SET_IOMMU_EPERM, "21:00.0", "EPERM");
	EXPECT_STR(first(), "no-intremap");
	EXPECT(!judging_find(&host.judging, "rmrr"));
	host_deinit(&host);
}

static void test_eperm_with_remapping_is_rather_rmrr(void)
{
	host_init(&host);
	judging_fact(&host.judging, DOCTOR_IR_ENABLED, "Enabled IRQ remapping");
	judging_fact(&host.judging, DOCTOR_RMRR_DECLARED, "RMRR base");
	judging_device_fact(&host.judging, DOCTOR_SET_IOMMU_EPERM, "21:00.0", "EPERM");
	EXPECT_STR(first(), "rmrr");
	host_deinit(&host);
}

static void test_rmrr_declared_is_healthy(void)
{
	host_init(&host);
	judging_fact(&host.judging, DOCTOR_RMRR_DECLARED, "RMRR base");
	judging_fact(&host.judging, DOCTOR_RMRR_RELAXED, "relaxable");
	EXPECT_STR(first(), "");
	host_deinit(&host);
}

static void test_direct_region_of_a_wanted_device_is_rmrr(void)
{
	host_init(&host);
	host.reserved[1] = (struct machine_range){0xbd000000, 0xbdffffff, "direct"};
	host.group[0].reserved_count = 2;
	host_vm(&host, VM_PROXMOX, "0000:21:00.0", true);
	EXPECT_STR(first(), "rmrr");
	host_deinit(&host);
}

static void test_direct_region_that_is_relaxable_is_healthy(void)
{
	host_init(&host);
	host.reserved[1] = (struct machine_range){0xbd000000, 0xbdffffff, "direct-relaxable"};
	host.group[0].reserved_count = 2;
	host_vm(&host, VM_PROXMOX, "0000:21:00.0", true);
	EXPECT_STR(first(), "");
	host_deinit(&host);
}

static void test_direct_region_of_another_device_is_healthy(void)
{
	host_init(&host);
	host.reserved[1] = (struct machine_range){0xbd000000, 0xbdffffff, "direct"};
	host.group[1].reserved = &host.reserved[1];
	host.group[1].reserved_count = 1;
	host_vm(&host, VM_PROXMOX, "0000:21:00.0", true);
	EXPECT_STR(first(), "");
	host_deinit(&host);
}

static void test_hidden_tables_with_a_working_host_are_a_sandbox(void)
{
	host_init(&host);
	judging_fact(&host.judging, DOCTOR_IOMMU_HIDDEN, "No ACPI DMAR table found");
	EXPECT_STR(first(), "sandbox-hides-iommu");
	host_deinit(&host);
}

static void test_hidden_tables_alone_are_rather_off(void)
{
	host_init(&host);
	host.judging.machine_count = 0;
	judging_fact(&host.judging, DOCTOR_IOMMU_HIDDEN, "No ACPI DMAR table found");
	EXPECT_STR(first(), "iommu-off");
	host_deinit(&host);
}

static void test_caching_mode_off_is_found(void)
{
	struct machine_vm *vm;

	host_init(&host);
	vm = host_vm(&host, VM_LIBVIRT, "0000:21:00.0", true);
	vm->viommu = VIOMMU_INTEL;
	vm->caching_mode = NO;
	host.device[HOST_CARD].driver = host.device[HOST_AUDIO].driver = "vfio-pci";
	EXPECT_STR(first(), "vcaching-mode");
	vm->caching_mode = UNKNOWN;
	EXPECT_STR(first(), "");
	host_deinit(&host);
}

static struct doctor_fact *unmapped(uint64_t address)
{
	struct doctor_fact *fact;

	fact = judging_device_fact(&host.judging, DOCTOR_VTD_DMA_FAULT, "0000:21:00.0", "fault");
	fact->has_address = fact->has_reason = fact->has_write = true;
	fact->address = address;
	fact->reason = 0x05;
	fact->write = true;
	return fact;
}

static void test_viommu_that_translates_is_found(void)
{
	struct machine *guest = &host.judging.machine[1];
	struct machine_device inside = {
		.bdf = judging_bdf("0000:01:00.0"), .vendor = 0x10de, .device = 0x2204, .group = 3};
	struct machine_group group = {.number = 3, .type = "DMA-FQ"};

	host_init(&host);
	host.device[HOST_CARD].driver = host.device[HOST_AUDIO].driver = "vfio-pci";
	host_vm(&host, VM_QEMU, "0000:21:00.0", true)->viommu = VIOMMU_INTEL;
	host.vm[0].running = true;
	*guest = (struct machine){.name = "guest",
				  .side = DOCTOR_SIDE_GUEST,
				  .snapshot = &host.snapshot,
				  .device = &inside,
				  .device_count = 1,
				  .group = &group,
				  .group_count = 1};
	host.judging.machine_count = 2;
	unmapped(0xffc00000);
	host_judge(&host);
	EXPECT(judging_find(&host.judging, "viommu-remap"));
	group.type = "identity";
	host_judge(&host);
	EXPECT(!judging_find(&host.judging, "viommu-remap"));
	host_deinit(&host);
}

static void test_no_viommu_is_no_viommu_remap(void)
{
	host_init(&host);
	host_vm(&host, VM_QEMU, "0000:21:00.0", true)->running = true;
	unmapped(0xffc00000);
	host_judge(&host);
	EXPECT(!judging_find(&host.judging, "viommu-remap"));
	host_deinit(&host);
}

int main(void)
{
	RUN(test_host_without_vms_is_healthy);
	RUN(test_host_with_a_vm_is_healthy);
	RUN(test_iommu_off_without_a_wish_is_healthy);
	RUN(test_iommu_off_with_a_vm_is_found);
	RUN(test_iommu_off_with_vfio_pci_set_apart_is_found);
	RUN(test_iommu_absent_beside_groups_is_doubted_not_dropped);
	RUN(test_iommu_unknown_is_not_off);
	RUN(test_intremap_off_is_found_before_a_start);
	RUN(test_intremap_off_with_a_vm_that_runs_is_not);
	RUN(test_intremap_off_but_allowed_is_not);
	RUN(test_eperm_is_told_apart_by_the_kernels_line);
	RUN(test_eperm_with_remapping_is_rather_rmrr);
	RUN(test_rmrr_declared_is_healthy);
	RUN(test_direct_region_of_a_wanted_device_is_rmrr);
	RUN(test_direct_region_that_is_relaxable_is_healthy);
	RUN(test_direct_region_of_another_device_is_healthy);
	RUN(test_hidden_tables_with_a_working_host_are_a_sandbox);
	RUN(test_hidden_tables_alone_are_rather_off);
	RUN(test_caching_mode_off_is_found);
	RUN(test_viommu_that_translates_is_found);
	RUN(test_no_viommu_is_no_viommu_remap);
	return tap_done();
}
