/* SPDX-License-Identifier: MIT */

#include "doctor/rules/dma_address.h"
#include "doctor/tests/fault_case.h"

#define GIB ((uint64_t)1 << 30)

static struct dma_place place_of(uint64_t address)
{
	struct dma_requester who = {0};
	struct dma_place place;

	dma_place_find(&who, address, &place);
	return place;
}

static void test_place_arithmetic_names_each_range(void)
{
	struct fault_case made;
	struct dma_place place;

	fault_begin(&made);
	place = place_of(0x149800000);
	EXPECT_EQ(place.align, 0x800000);
	EXPECT(place.above_4g && !place.truncated_bits && !place.interrupt);
	EXPECT_STR(dma_place_text(&made.seen, &place),
		   "0x149800000 = 4 GiB + 0x49800000, 8 MiB aligned");
	place = place_of(0x7ffffe80000);
	EXPECT_EQ(place.truncated_bits, 43);
	EXPECT(place_of(0).zero);
	EXPECT(place_of(0xfff).tiny);
	EXPECT(!place_of(0x10000).tiny);
	EXPECT(place_of(0xfee00578).interrupt);
	EXPECT(place_of(0xfffffffdf8000000).interrupt);
	EXPECT(place_of(0xfdf8000020).interrupt);
	EXPECT(!place_of(0xfef00000).interrupt);
	EXPECT(place_of(0xffc00000).host_iova);
	EXPECT(!place_of(0xfee00000).host_iova);
	EXPECT(place_of(0xffffe040).doorbell);
	EXPECT(place_of(0x8090040).guest_doorbell);
	/* What isn't given is not known, never "no". */
	EXPECT_EQ(place.guest_ram, UNKNOWN);
	EXPECT_EQ(place.host_ram, UNKNOWN);
	EXPECT_EQ(place.too_wide, UNKNOWN);
	fault_end(&made);
}

static void test_write_of_guest_device_is_unmapped_not_read_only(void)
{
	const struct doctor_finding *finding;
	struct fault_case made;

	fault_begin(&made);
	fault_driver(&made, DOCTOR_VFIO_OPENED, "41:00.0", "vfio-pci", 40);
	fault_dma(&made, "41:00.0", 311, 0x2b4c61000, 0x05, true);
	fault_judge(&made);
	EXPECT_STR(fault_first(&made), "dma-unmapped-write");
	finding = fault_finding(&made, "dma-unmapped-write");
	ASSERT(finding);
	EXPECT_EQ(finding->severity, DOCTOR_ERROR);
	EXPECT(fault_says(finding, "no present bit"));
	EXPECT(fault_says(finding, "0x2b4c61000 = 4 GiB + 0x1b4c61000"));
	EXPECT(fault_rules_out(finding, "the page is mapped read-only"));
	EXPECT(fault_rules_out(finding, "allow_unsafe_interrupts=1"));
	EXPECT(finding->next_count > 0);
	EXPECT_EQ(made.report.verdict, DOCTOR_FINDINGS);
	fault_end(&made);
}

static void test_address_beyond_guest_memory_says_where_it_ends(void)
{
	const struct doctor_finding *finding;
	struct fault_case made;
	struct machine_vm *vm;

	fault_begin(&made);
	fault_machine(&made, DOCTOR_SIDE_HOST, "86:00.0", "vfio-pci");
	vm = fault_vm(&made, "86:00.0");
	vm->ram = 2 * GIB;
	vm->board = BOARD_Q35;
	vm->viommu = VIOMMU_NONE;
	fault_dma(&made, "86:00.0", 900, 0x149800000, 0x05, true);
	fault_judge(&made);
	finding = made.report.count ? &made.report.finding[0] : NULL;
	ASSERT(finding);
	EXPECT(fault_says(finding,
			  "VM 101 has 2 GiB of memory (q35), all of it below 0x80000000. The "
			  "address is outside."));
	EXPECT(!fault_finding(&made, "viommu-remap"));
	fault_end(&made);
}

static void test_guest_iova_with_virtual_iommu_is_viommu_remap(void)
{
	struct fault_case made;
	struct machine_vm *vm;

	fault_begin(&made);
	fault_machine(&made, DOCTOR_SIDE_HOST, "86:00.0", "vfio-pci");
	vm = fault_vm(&made, "86:00.0");
	vm->ram = 8 * GIB;
	vm->board = BOARD_Q35;
	vm->viommu = VIOMMU_INTEL;
	fault_dma(&made, "86:00.0", 900, 0xffc00000, 0x05, true);
	fault_judge(&made);
	EXPECT_STR(fault_first(&made), "viommu-remap");
	EXPECT(!fault_finding(&made, "dma-unmapped-write"));
	fault_end(&made);
}

static void test_host_memory_outside_guest_memory_is_stale(void)
{
	static struct machine_iomem iomem[] = {
		{{0x100000000, 0x87fffffff, NULL}, "System RAM", 0},
	};
	struct machine_device *device;
	struct fault_case made;
	struct machine_vm *vm;

	fault_begin(&made);
	device = fault_machine(&made, DOCTOR_SIDE_HOST, "86:00.0", "vfio-pci");
	device->reset_method = "bus";
	made.machine[0].iomem = iomem;
	made.machine[0].iomem_count = 1;
	vm = fault_vm(&made, "86:00.0");
	vm->ram = 2 * GIB;
	vm->board = BOARD_Q35;
	vm->viommu = VIOMMU_NONE;
	fault_dma(&made, "86:00.0", 900, 0x149800000, 0x05, true);
	fault_judge(&made);
	EXPECT_STR(fault_first(&made), "stale-dma-no-reset");
	fault_end(&made);
}

static void test_amd_forbidden_entry_is_stale_absent_entry_is_not(void)
{
	struct fault_case made;

	fault_begin(&made);
	fault_amd(&made, "09:00.0", "vfio-pci", 800, 0x2f0e5a000, 0x0050);
	fault_judge(&made);
	EXPECT_STR(fault_first(&made), "stale-dma-no-reset");
	fault_end(&made);

	fault_begin(&made);
	fault_amd(&made, "09:00.0", "vfio-pci", 800, 0x2f0e5a000, 0x0000);
	fault_judge(&made);
	EXPECT_STR(fault_first(&made), "dma-unmapped-read");
	EXPECT(fault_says(fault_finding(&made, "dma-unmapped-read"), "has no entry"));
	fault_end(&made);
}

static void test_reads_across_a_reopen_are_after_guest_reset(void)
{
	const struct doctor_finding *finding;
	struct doctor_fact *fact;
	struct fault_case made;

	fault_begin(&made);
	fault_dma(&made, "00:02.0", 104, 0x9bd00000, 0x06, false);
	fault_driver(&made, DOCTOR_VFIO_OPENED, "00:02.0", "vfio-pci", 105);
	fact = fault_fact(&made, DOCTOR_VTD_SUPPRESSED, NULL, 109);
	fact->has_number = true;
	fact->number = 7000;
	fault_dma(&made, "00:02.0", 109, 0x9c000000, 0x06, false);
	fault_judge(&made);
	EXPECT_STR(fault_first(&made), "dma-after-guest-reset");
	finding = fault_finding(&made, "dma-after-guest-reset");
	EXPECT(fault_says(finding, "suppressed 7000 more lines"));
	EXPECT(!fault_finding(&made, "dma-unmapped-read"));
	fault_end(&made);
}

static void test_function_that_does_not_exist_is_alias(void)
{
	struct fault_case made;

	fault_begin(&made);
	fault_dma(&made, "03:00.1", -1, 0xfffc0000, 0x02, true);
	fault_judge(&made);
	EXPECT_STR(fault_first(&made), "requester-alias");
	fault_end(&made);

	fault_begin(&made);
	fault_machine(&made, DOCTOR_SIDE_HOST, "03:00.0", "ahci");
	fault_dma(&made, "03:00.1", 50, 0x80000000, 0x05, true);
	fault_judge(&made);
	EXPECT_STR(fault_first(&made), "requester-alias");
	EXPECT(made.report.finding[0].confidence >= 80);
	fault_end(&made);
}

static void test_existing_function_without_context_is_context_absent(void)
{
	struct fault_case made;

	fault_begin(&made);
	fault_machine(&made, DOCTOR_SIDE_HOST, "03:00.1", "snd_hda_intel");
	fault_dma(&made, "03:00.1", 50, 0xfffc0000, 0x02, true);
	fault_judge(&made);
	EXPECT_STR(fault_first(&made), "context-absent");
	fault_end(&made);
}

static void test_boot_fault_is_harmless_but_not_later(void)
{
	struct fault_case made;

	fault_begin(&made);
	fault_dma(&made, "00:02.0", 0.9, 0x70ad5000, 0x07, false);
	fault_dma(&made, "00:02.0", 0.96, 0x7c346000, 0x06, false);
	fault_judge(&made);
	EXPECT_STR(fault_first(&made), "boot-fault-benign");
	EXPECT_EQ(made.report.verdict, DOCTOR_HEALTHY);
	fault_end(&made);

	fault_begin(&made);
	fault_dma(&made, "00:02.0", 46, 0x4f600000, 0x06, false);
	fault_judge(&made);
	EXPECT_STR(fault_first(&made), "dma-unmapped-read");
	EXPECT_EQ(made.report.verdict, DOCTOR_FINDINGS);
	fault_end(&made);
}

static void test_boot_fault_by_wall_clock_is_found(void)
{
	struct doctor_fact *fact;
	struct fault_case made;

	fault_begin(&made);
	fact = fault_fact(&made, DOCTOR_KERNEL_BOOT, NULL, 1700000000);
	fact->wall_clock = true;
	fact = fault_dma(&made, "00:02.0", 1700000001, 0x70ad5000, 0x06, false);
	fact->wall_clock = true;
	fault_judge(&made);
	EXPECT_STR(fault_first(&made), "boot-fault-benign");
	fault_end(&made);
}

static void test_host_driver_large_aligned_address_bypasses_api(void)
{
	struct fault_case made;

	fault_begin(&made);
	fault_amd(&made, "61:00.0", "npu_pcie", 150, 0x105a400000, 0);
	fault_judge(&made);
	EXPECT_STR(fault_first(&made), "driver-bypasses-dma-api");
	fault_end(&made);

	/* The same from a guest's device is no matter of a driver of the host. */
	fault_begin(&made);
	fault_amd(&made, "61:00.0", "vfio-pci", 150, 0x105a400000, 0);
	fault_judge(&made);
	EXPECT_STR(fault_first(&made), "dma-unmapped-read");
	fault_end(&made);
}

static void test_half_an_address_of_failing_driver_is_truncated(void)
{
	struct fault_case made;

	fault_begin(&made);
	fault_amd(&made, "2b:00.0", "xhci_hcd", 11, 0xa3c41200, 0);
	fault_driver(&made, DOCTOR_DRIVER_TIMEOUT, "2b:00.0", "xhci_hcd", 21)->reason = 110;
	fault_judge(&made);
	EXPECT_STR(fault_first(&made), "dma-mask-truncated");
	fault_end(&made);

	fault_begin(&made);
	fault_amd(&made, "0c:00.0", "ahci", 6, 0x7ffffe80000, 0);
	fault_judge(&made);
	EXPECT_STR(fault_first(&made), "dma-mask-truncated");
	fault_end(&made);
}

static void test_smmu_doorbell_below_and_above_4g(void)
{
	struct fault_case made;

	fault_begin(&made);
	fault_smmu(&made, "7d:01.0", 0xffee3040, 0x10, true);
	fault_judge(&made);
	EXPECT_STR(fault_first(&made), "msi-doorbell-unmapped");
	fault_end(&made);

	fault_begin(&made);
	fault_smmu(&made, "01:00.0", 0x880003040, 0x10, true);
	fault_judge(&made);
	EXPECT_STR(fault_first(&made), "device-window-address");
	fault_end(&made);

	/* A read at such an address is data. */
	fault_begin(&made);
	fault_smmu(&made, "01:00.0", 0x73ad2040, 0x10, false);
	fault_judge(&made);
	EXPECT_STR(fault_first(&made), "dma-unmapped-read");
	fault_end(&made);
}

static void test_address_in_a_bar_is_peer_to_peer(void)
{
	struct machine_device *device;
	struct fault_case made;

	fault_begin(&made);
	device = fault_machine(&made, DOCTOR_SIDE_HOST, "86:00.0", "vfio-pci");
	device->bar[0] = (struct machine_bar){.start = 0x3800000000, .size = 0x1000000};
	fault_dma(&made, "87:00.0", 900, 0x3800400000, 0x06, false);
	fault_driver(&made, DOCTOR_VFIO_OPENED, "87:00.0", "vfio-pci", 901);
	fault_judge(&made);
	EXPECT_STR(fault_first(&made), "acs-p2p");
	fault_end(&made);
}

static void test_host_device_beside_a_guest_is_harmless(void)
{
	struct fault_case made;

	fault_begin(&made);
	fault_driver(&made, DOCTOR_VFIO_OPENED, "41:00.0", "vfio-pci", 100);
	fault_dma(&made, "00:1f.3", 120, 0x8ac00000, 0x06, false);
	fault_judge(&made);
	EXPECT_STR(fault_first(&made), "other-device-benign");
	EXPECT_EQ(made.report.verdict, DOCTOR_HEALTHY);
	fault_end(&made);
}

static void test_fault_before_last_good_start_blames_nothing(void)
{
	struct fault_case made;

	fault_begin(&made);
	fault_driver(&made, DOCTOR_VFIO_OPENED, "41:00.0", "vfio-pci", 100);
	fault_dma(&made, "41:00.0", 120, 0x8ac00000, 0x05, true);
	fault_driver(&made, DOCTOR_VFIO_OPENED, "41:00.0", "vfio-pci", 500);
	fault_fact(&made, DOCTOR_IRQ_LIFECYCLE, NULL, 900);
	fault_judge(&made);
	EXPECT_EQ(made.report.verdict, DOCTOR_HEALTHY);
	fault_end(&made);

	/* With a fault after the start it counts. */
	fault_begin(&made);
	fault_driver(&made, DOCTOR_VFIO_OPENED, "41:00.0", "vfio-pci", 500);
	fault_dma(&made, "41:00.0", 620, 0x8ac00000, 0x05, true);
	fault_fact(&made, DOCTOR_IRQ_LIFECYCLE, NULL, 900);
	fault_judge(&made);
	EXPECT_EQ(made.report.verdict, DOCTOR_FINDINGS);
	fault_end(&made);
}

static void test_older_read_does_not_hide_newer_write(void)
{
	struct fault_case made;

	/* Both become one class and device; the good start lies between them. */
	fault_begin(&made);
	fault_driver(&made, DOCTOR_VFIO_OPENED, "41:00.0", "vfio-pci", 100);
	fault_smmu(&made, "41:00.0", 0x73ad2000, 0x10, true);
	fault_driver(&made, DOCTOR_VFIO_OPENED, "41:00.0", "vfio-pci", 500);
	fault_fact(&made, DOCTOR_IRQ_LIFECYCLE, NULL, 900);
	fault_dma(&made, "41:00.0", 950, 0x8ac00000, 0x05, true);
	fault_judge(&made);
	EXPECT_STR(fault_first(&made), "dma-unmapped-write");
	EXPECT_EQ(made.report.verdict, DOCTOR_FINDINGS);
	fault_end(&made);
}

static void test_fault_before_successful_start_is_left_out(void)
{
	struct fault_case made;

	fault_begin(&made);
	fault_dma(&made, "41:00.0", 120, 0x8ac00000, 0x05, true);
	fault_fact(&made, DOCTOR_START_OK, NULL, 900);
	fault_judge(&made);
	EXPECT_EQ(made.report.count, 0);
	fault_end(&made);
}

static void test_faults_of_a_dying_device_are_a_consequence(void)
{
	const struct doctor_finding *finding;
	struct fault_case made;

	fault_begin(&made);
	fault_amd(&made, "09:00.0", "vfio-pci", 800, 0x2f0e5a000, 0x0000);
	fault_driver(&made, DOCTOR_DEVICE_GONE, "09:00.0", "vfio-pci", 801);
	fault_judge(&made);
	EXPECT(strcmp(fault_first(&made), "dma-unmapped-read"));
	finding = fault_finding(&made, "dma-unmapped-read");
	EXPECT(!finding || finding->severity == DOCTOR_WARNING);
	fault_end(&made);
}

static void test_host_allocators_address_without_owner_is_stale(void)
{
	struct fault_case made;

	fault_begin(&made);
	fault_smmu(&made, "05:00.0", 0xffa4e000, 0x10, true);
	fault_judge(&made);
	EXPECT_STR(fault_first(&made), "stale-dma-no-reset");
	fault_end(&made);
}

static void test_stream_id_of_another_device_is_alias(void)
{
	struct doctor_fact *fact;
	struct fault_case made;

	fault_begin(&made);
	fact = fault_smmu(&made, "01:00.0", 0x9b0cc000, 0x10, false);
	fact->has_number = true;
	fact->number = 0x11;
	fault_judge(&made);
	EXPECT_STR(fault_first(&made), "requester-alias");
	fault_end(&made);

	fault_begin(&made);
	fact = fault_smmu(&made, "01:00.0", 0x9b0cc000, 0x10, false);
	fact->has_number = true;
	fact->number = 0x20100; /* the segment above the requester id */
	fault_judge(&made);
	EXPECT_STR(fault_first(&made), "dma-unmapped-read");
	fault_end(&made);
}

static void test_guest_device_that_drops_top_bits_is_truncated(void)
{
	struct fault_case made;

	fault_begin(&made);
	fault_amd(&made, "07:00.0", "vfio-pci", 800, 0x7ff20000000, 0x0010);
	fault_judge(&made);
	EXPECT_STR(fault_first(&made), "dma-mask-truncated");
	fault_end(&made);

	/* No memory has such an address: made up, not stale. */
	fault_begin(&made);
	fault_amd(&made, "07:00.0", "vfio-pci", 800, 0xffffffff00000000, 0x0010);
	fault_judge(&made);
	EXPECT_STR(fault_first(&made), "dma-unmapped-read");
	fault_end(&made);
}

static void test_without_faults_nothing_is_found(void)
{
	struct fault_case made;
	struct machine_vm *vm;

	fault_begin(&made);
	fault_machine(&made, DOCTOR_SIDE_HOST, "86:00.0", "vfio-pci");
	vm = fault_vm(&made, "86:00.0");
	vm->viommu = VIOMMU_INTEL;
	fault_driver(&made, DOCTOR_VFIO_OPENED, "86:00.0", "vfio-pci", 100);
	fault_judge(&made);
	for (size_t i = 0; i < made.report.count; i++)
		EXPECT_STR(made.report.finding[i].rule->id, "none");
	fault_end(&made);
}

int main(void)
{
	RUN(test_place_arithmetic_names_each_range);
	RUN(test_write_of_guest_device_is_unmapped_not_read_only);
	RUN(test_address_beyond_guest_memory_says_where_it_ends);
	RUN(test_guest_iova_with_virtual_iommu_is_viommu_remap);
	RUN(test_host_memory_outside_guest_memory_is_stale);
	RUN(test_amd_forbidden_entry_is_stale_absent_entry_is_not);
	RUN(test_reads_across_a_reopen_are_after_guest_reset);
	RUN(test_function_that_does_not_exist_is_alias);
	RUN(test_existing_function_without_context_is_context_absent);
	RUN(test_boot_fault_is_harmless_but_not_later);
	RUN(test_boot_fault_by_wall_clock_is_found);
	RUN(test_host_driver_large_aligned_address_bypasses_api);
	RUN(test_half_an_address_of_failing_driver_is_truncated);
	RUN(test_smmu_doorbell_below_and_above_4g);
	RUN(test_address_in_a_bar_is_peer_to_peer);
	RUN(test_host_device_beside_a_guest_is_harmless);
	RUN(test_fault_before_last_good_start_blames_nothing);
	RUN(test_older_read_does_not_hide_newer_write);
	RUN(test_fault_before_successful_start_is_left_out);
	RUN(test_faults_of_a_dying_device_are_a_consequence);
	RUN(test_host_allocators_address_without_owner_is_stale);
	RUN(test_stream_id_of_another_device_is_alias);
	RUN(test_guest_device_that_drops_top_bits_is_truncated);
	RUN(test_without_faults_nothing_is_found);
	return tap_done();
}
