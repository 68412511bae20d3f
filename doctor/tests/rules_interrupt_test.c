/* SPDX-License-Identifier: MIT */

#include "doctor/tests/fault_case.h"

static void expect_first(struct fault_case *made, const char *id)
{
	fault_judge(made);
	EXPECT_STR(fault_first(made), id);
}

static void test_ioapic_at_boot_is_harmless(void)
{
	struct fault_case made;

	fault_begin(&made);
	fault_ir(&made, "f0:1f.0", -1, 0, 0x25);
	expect_first(&made, "other-device-benign");
	EXPECT_EQ(made.report.verdict, DOCTOR_HEALTHY);
	fault_end(&made);
}

static void test_chipset_index_0_is_harmless_for_other_reasons_too(void)
{
	struct fault_case made;

	fault_begin(&made);
	fault_ir(&made, "f0:1f.0", -1, 0, 0x22);
	expect_first(&made, "other-device-benign");
	fault_end(&made);

	/* ff:1f.7 is how an emulated IOMMU says that it doesn't know: nobody to excuse. */
	fault_begin(&made);
	fault_ir(&made, "ff:1f.7", 500, 0, 0x25);
	fault_judge(&made);
	EXPECT_EQ(made.report.verdict, DOCTOR_FINDINGS);
	fault_end(&made);

	/* A real device at 00:1f. */
	fault_begin(&made);
	fault_ir(&made, "00:1f.6", 500, 0, 0x25);
	expect_first(&made, "compat-msi-blocked");
	fault_end(&made);
}

static void test_vector_given_back_before_the_fault_is_evidence(void)
{
	struct doctor_fact *fact;
	struct fault_case made;

	fault_begin(&made);
	fact = fault_fact(&made, DOCTOR_IRQ_LIFECYCLE, NULL, -1);
	snprintf(fact->name, sizeof(fact->name), "vector_deactivate");
	fault_ir(&made, "65:00.0", 76561, 0x25, 0x22);
	expect_first(&made, "irte-not-present");
	EXPECT(made.report.finding[0].confidence >= 80);
	EXPECT_EQ(made.report.finding[0].evidence_count, 2);
	fault_end(&made);
}

static void test_plain_message_of_guest_device_is_raw(void)
{
	const struct doctor_finding *finding;
	struct fault_case made;

	fault_begin(&made);
	fault_driver(&made, DOCTOR_VFIO_OPENED, "17:00.0", "vfio-pci", 1002);
	fault_ir(&made, "17:00.0", 1031, 0, 0x25);
	expect_first(&made, "raw-msi-in-bar");
	finding = fault_finding(&made, "raw-msi-in-bar");
	EXPECT(fault_says(finding, "compatibility format"));
	EXPECT(fault_rules_out(finding, "intremap=off"));
	EXPECT(fault_rules_out(finding, "allow_unsafe_interrupts=1"));
	fault_end(&made);
}

static void test_plain_message_of_host_device_is_compat(void)
{
	struct fault_case made;

	fault_begin(&made);
	fault_ir(&made, "09:00.0", -1, 0x8080, 0x25);
	expect_first(&made, "compat-msi-blocked");
	fault_end(&made);

	/* Its own driver of the host gives up: still no guest. */
	fault_begin(&made);
	fault_ir(&made, "09:00.0", 50, 0, 0x25);
	fault_driver(&made, DOCTOR_DRIVER_TIMEOUT, "09:00.0", "nvme", 80);
	expect_first(&made, "compat-msi-blocked");
	fault_end(&made);
}

static void test_plain_message_with_crashing_guest_firmware_is_raw(void)
{
	struct fault_case made;

	fault_begin(&made);
	fault_driver(&made, DOCTOR_DRIVER_TIMEOUT, "00:06.0", "ath11k_pci", 3);
	fault_driver(&made, DOCTOR_FIRMWARE_CRASHED, "00:06.0", "ath11k_pci", 3.5);
	fault_ir(&made, "02:00.0", 1414, 0, 0x25);
	expect_first(&made, "raw-msi-in-bar");
	fault_end(&made);
}

static void test_guest_log_alone_of_copying_driver_is_raw(void)
{
	struct fault_case made;

	fault_begin(&made);
	fault_driver(&made, DOCTOR_DRIVER_TIMEOUT, "00:06.0", "ath11k_pci", 3);
	fault_driver(&made, DOCTOR_FIRMWARE_CRASHED, "00:06.0", "ath11k_pci", 3.5);
	expect_first(&made, "raw-msi-in-bar");
	fault_end(&made);

	/* The log of a host: its driver got the right message. */
	fault_begin(&made);
	fault_fact(&made, DOCTOR_IOMMU_WORKING, NULL, 0.9);
	fault_driver(&made, DOCTOR_DRIVER_TIMEOUT, "02:00.0", "ath11k_pci", 3);
	fault_judge(&made);
	EXPECT(!fault_finding(&made, "raw-msi-in-bar"));
	fault_end(&made);

	fault_begin(&made);
	fault_driver(&made, DOCTOR_GUEST_RESET_LINK_DOWN, "00:06.0", "ath12k_pci", 2);
	fault_driver(&made, DOCTOR_DRIVER_TIMEOUT, "00:06.0", "ath12k_pci", 3);
	fault_judge(&made);
	EXPECT(!fault_finding(&made, "raw-msi-in-bar"));
	fault_end(&made);
}

static void test_handle_not_live_is_not_present(void)
{
	const struct doctor_finding *finding;
	struct fault_case made;

	fault_begin(&made);
	fault_ir(&made, "65:00.0", 76561, 0x25, 0x22);
	expect_first(&made, "irte-not-present");
	finding = fault_finding(&made, "irte-not-present");
	EXPECT(fault_says(finding, "index 0x25"));
	fault_end(&made);
}

static void test_amd_interrupt_flag_is_not_dma(void)
{
	struct fault_case made;

	fault_begin(&made);
	fault_amd(&made, NULL, "", -1, 0xfffffffdf8000000, 0x0008);
	expect_first(&made, "irte-not-present");
	EXPECT_EQ(made.report.count, 1);
	fault_end(&made);
}

static void guest_message(struct fault_case *made, uint64_t address)
{
	struct machine_device *device;

	fault_machine(made, DOCTOR_SIDE_HOST, "86:00.0", "vfio-pci");
	fault_vm(made, "86:00.0");
	device = fault_machine(made, DOCTOR_SIDE_GUEST, "01:00.0", "driver");
	device->msi = (struct machine_msi){
		.present = true, .enabled = true, .address = address, .data = 0};
}

static void test_index_of_guests_handle_is_raw(void)
{
	struct fault_case made;

	/* Handle 0x20 in bits 19:5, bit 4 set; channel 8 adds 8. */
	fault_begin(&made);
	guest_message(&made, 0xfee00418);
	fault_ir(&made, "86:00.0", 900, 0x28, 0x22);
	expect_first(&made, "raw-msi-in-bar");
	EXPECT(fault_says(fault_finding(&made, "raw-msi-in-bar"), "0x28 = 0x20 + 8"));
	fault_end(&made);
}

static void test_handle_from_plain_guest_is_of_the_host(void)
{
	const struct doctor_finding *finding;
	struct fault_case made;

	fault_begin(&made);
	guest_message(&made, 0xfee00000);
	fault_ir(&made, "86:00.0", 900, 0x28, 0x22);
	expect_first(&made, "irte-not-present");
	finding = fault_finding(&made, "irte-not-present");
	EXPECT(fault_says(finding, "composes no handles"));
	EXPECT(fault_rules_out(finding, "raw-msi-in-bar"));
	fault_end(&made);
}

static void test_foreign_entry_is_sid_mismatch(void)
{
	struct fault_case made;

	fault_begin(&made);
	fault_ir(&made, "00:11.0", -1, 0x3b, 0x26);
	expect_first(&made, "irte-sid-mismatch");
	fault_end(&made);
}

static void test_write_to_zero_with_empty_message_is_unprogrammed(void)
{
	struct doctor_fact *fact;
	struct fault_case made;

	fault_begin(&made);
	fact = fault_fact(&made, DOCTOR_MSI_WORD, NULL, -1);
	fact->has_address = true;
	fault_dma(&made, "00:1a.0", 979, 0, 0x05, true);
	expect_first(&made, "msi-unprogrammed");
	EXPECT(made.report.finding[0].confidence >= 90);
	EXPECT_EQ(made.report.finding[0].evidence_count, 2);
	fault_end(&made);

	/* Reads of zero are no message. */
	fault_begin(&made);
	fault_dma(&made, "00:1a.0", 979, 0, 0x06, false);
	expect_first(&made, "dma-unmapped-read");
	fault_end(&made);
}

static void test_vectors_and_shared_page_are_named(void)
{
	struct doctor_fact *fact;
	struct fault_case made;

	fault_begin(&made);
	fact = fault_driver(&made, DOCTOR_MSI_ENABLE_FAILED, "05:00.0", "hailo", 3);
	fact->has_reason = true;
	fact->reason = 28;
	expect_first(&made, "msi-vectors-short");
	fault_end(&made);

	fault_begin(&made);
	fault_driver(&made, DOCTOR_MSIX_INIT_TIMEOUT, "02:03.0", "apex", 3);
	expect_first(&made, "msix-shared-page");
	fault_end(&made);
}

int main(void)
{
	RUN(test_ioapic_at_boot_is_harmless);
	RUN(test_chipset_index_0_is_harmless_for_other_reasons_too);
	RUN(test_vector_given_back_before_the_fault_is_evidence);
	RUN(test_plain_message_of_guest_device_is_raw);
	RUN(test_plain_message_of_host_device_is_compat);
	RUN(test_plain_message_with_crashing_guest_firmware_is_raw);
	RUN(test_guest_log_alone_of_copying_driver_is_raw);
	RUN(test_handle_not_live_is_not_present);
	RUN(test_amd_interrupt_flag_is_not_dma);
	RUN(test_index_of_guests_handle_is_raw);
	RUN(test_handle_from_plain_guest_is_of_the_host);
	RUN(test_foreign_entry_is_sid_mismatch);
	RUN(test_write_to_zero_with_empty_message_is_unprogrammed);
	RUN(test_vectors_and_shared_page_are_named);
	return tap_done();
}
