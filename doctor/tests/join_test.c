/* SPDX-License-Identifier: MIT */
#include "doctor/tests/log_parse.h"
#include "tests/tap.h"

static void test_join_old_two_line_faults(void)
{
	struct parsed p;

	parse(&p,
	      "DMAR:[DMA Write] Request device [3a:00.0] fault addr fff00000 \n"
	      "usb 1-1: something in between\n"
	      "DMAR:[fault reason 05] PTE Write access is not set\n"
	      "INTR-REMAP: Request device[[3a:00.1] fault index b0\n"
	      "INTR-REMAP:[fault reason 38] Blocked\n"
	      "(XEN) [VT-D]DMAR:[DMA Read] Request device [0000:3a:02.0] fault addr 8e000000, iommu\n"
	      "(XEN) [VT-D]DMAR: reason 22 - x\n");
	ASSERT_EQ(p.facts.count, 3);
	EXPECT_EQ(p.facts.fact[0].reason, 5);
	EXPECT_EQ(p.facts.fact[0].address, 0xfff00000);
	EXPECT_EQ(p.facts.fact[1].number, 0xb0);
	EXPECT_EQ(p.facts.fact[1].reason, 38);
	EXPECT_EQ(p.facts.fact[2].reason, 0x22);
	parsed_free(&p);
}

static void test_join_fault_whose_reason_never_comes_stays_a_fact(void)
{
	struct parsed p;

	parse(&p, "DMAR:[DMA Write] Request device [3a:00.0] fault addr fff00000 \n");
	ASSERT_EQ(p.facts.count, 1);
	EXPECT(!p.facts.fact[0].has_reason);
	parsed_free(&p);
}

static void test_join_wrapped_faults(void)
{
	struct parsed p;

	parse(&p, "DMAR: [DMA Write] Request device [3a:00.0] PASID ffffffff \n"
		  "fault addr 7d300000 [fault reason 05] PTE Write access is not set\n"
		  "igb 0000:3b:00.0: AMD-Vi: Event logged [IO_PAGE_FAULT domain=0x0011\n"
		  "address=0xa91c4000 flags=0x0020]\n");
	ASSERT_EQ(p.facts.count, 2);
	EXPECT_EQ(p.facts.fact[0].address, 0x7d300000);
	EXPECT_EQ(p.facts.fact[0].reason, 5);
	EXPECT(p.facts.fact[0].write);
	EXPECT_EQ(p.facts.fact[1].address, 0xa91c4000);
	EXPECT_EQ(p.facts.fact[1].device.bus, 0x3b);
	EXPECT_EQ(p.facts.fact[1].reason, 0x20);
	EXPECT(p.facts.fact[1].has_write && p.facts.fact[1].write);
	parsed_free(&p);
}

/* Address 0 would be a lie, and the reason of another IOMMU's fault another. */
static void test_join_half_of_a_wrapped_fault_is_none(void)
{
	struct parsed p;

	parse(&p, "DMAR: [DMA Write NO_PASID] Request device [3a:00.0]\n"
		  "address=0xa91c4000 flags=0x0020]\n"
		  "usb 1-1: new device\n");
	EXPECT_EQ(p.facts.count, 0);
	parsed_free(&p);
}

#define NODE "[    3.5] arm-smmu-v3 fe0.iommu: "

static void test_join_smmu_words_are_one_fact(void)
{
	struct parsed p;

	parse(&p, NODE "event 0x10 received:\n" NODE "\t0x0000021000000010\n" NODE
		       "\t0x0000020800000000\n" NODE "\t0x00000000fff02040\n" NODE
		       "\t0x0000000000000000\n");
	ASSERT_EQ(p.facts.count, 1);
	EXPECT_EQ(p.facts.fact[0].reason, 0x10);
	EXPECT_EQ(p.facts.fact[0].number, 0x210);
	EXPECT_EQ(p.facts.fact[0].address, 0xfff02040);
	EXPECT(p.facts.fact[0].has_write && !p.facts.fact[0].write);
	EXPECT(p.facts.fact[0].has_device);
	EXPECT_EQ(p.facts.fact[0].device.bus, 2);
	EXPECT_EQ(p.facts.fact[0].device.slot, 2);
	parsed_free(&p);
}

static void test_join_smmu_words_and_text_count_once(void)
{
	struct parsed p;

	parse(&p,
	      NODE "event 0x13 received:\n" NODE "0x0000021000000013\n" NODE
		   "0x0000020000000000\n" NODE "0x0000000012345678\n" NODE "0x0\n" NODE
		   "event: F_PERMISSION client: 0001:02:02.0 sid: 0x210 ssid: 0x0 iova: 0x12345678 "
		   "ipa: 0x0\n" NODE "unpriv data write s1 \"Input\" stag: 0x0\n");
	ASSERT_EQ(p.facts.count, 1);
	EXPECT_EQ(p.facts.fact[0].count, 1);
	EXPECT_EQ(p.facts.fact[0].device.domain, 1);
	EXPECT_EQ(p.facts.fact[0].reason, 0x13);
	EXPECT(p.facts.fact[0].write);
	parsed_free(&p);
}

static void test_join_group_list_has_members(void)
{
	struct parsed p;

	parse(&p,
	      "IOMMU Group 7:\n\t3a:00.0 Ethernet controller [0200]: Maker [1234:5678]\n"
	      "\t3a:00.1 Audio device [0403]: Maker\nsomething\n\t3b:00.0 PCI bridge [0604]: x\n"
	      "IOMMU Group 8 3c:00.0 PCI bridge [0604]: Maker\n");
	ASSERT_EQ(p.facts.count, 3);
	EXPECT_EQ(p.facts.fact[0].number, 7);
	EXPECT_EQ(p.facts.fact[1].device.function, 1);
	EXPECT_EQ(p.facts.fact[2].number, 8);
	EXPECT_HAS(p.facts.fact[2].name, "PCI bridge");
	parsed_free(&p);
}

static void test_join_msi_word_of_lspci_knows_its_device(void)
{
	struct parsed p;

	parse(&p, "3a:00.0 Processing accelerators: Maker Card (rev 02)\n"
		  "\tCapabilities: [50] MSI: Enable+ Count=1/32 Maskable+ 64bit+\n"
		  "\t\tAddress: 00000000fee00418  Data: 0008\n"
		  "3b:00.0 Ethernet controller: Maker (rev 01)\n"
		  "\tCapabilities: [50] MSI: Enable- Count=1/1\n"
		  "\t\tAddress: 0000000000000000  Data: 0000\n");
	ASSERT_EQ(p.facts.count, 1);
	EXPECT_EQ(p.facts.fact[0].device.bus, 0x3a);
	EXPECT_EQ(p.facts.fact[0].address, 0xfee00418);
	EXPECT_EQ(p.facts.fact[0].number, 8);
	parsed_free(&p);
}

static void test_join_aer_names_have_the_severity_of_their_error(void)
{
	struct parsed p;

	parse(&p, "x 0000:3a:00.0: PCIe Bus Error: severity=Uncorrected (Fatal), type=Transaction\n"
		  "x 0000:3a:00.0:   device [1234:5678] error status/mask=00040000/00000000\n"
		  "x 0000:3a:00.0:    [18] MalfTLP                (First)\n");
	ASSERT_EQ(p.facts.count, 2);
	EXPECT_EQ(p.facts.fact[1].kind, DOCTOR_AER_FATAL);
	EXPECT_STR(p.facts.fact[1].name, "MalfTLP");
	parsed_free(&p);
}

static void test_join_xen_on_arm_prints_the_same_words(void)
{
	struct parsed p;

	parse(&p, "(XEN) SMMUv3: /smmuv3@50: event 0x10 received:\n"
		  "(XEN) SMMUv3: /smmuv3@60: event 0x13 received:\n"
		  "(XEN) SMMUv3: /smmuv3@50: \t0x0000041000000010\n"
		  "(XEN) SMMUv3: /smmuv3@60: \t0x0000051000000013\n"
		  "(XEN) SMMUv3: /smmuv3@50: \t0x0000000000000000\n"
		  "(XEN) SMMUv3: /smmuv3@60: \t0x0000000800000000\n"
		  "(XEN) SMMUv3: /smmuv3@50: \t0x0000000087654000\n"
		  "(XEN) SMMUv3: /smmuv3@60: \t0x0000000012345000\n"
		  "(XEN) SMMUv3: /smmuv3@50: \t0x0000000000000000\n"
		  "(XEN) SMMUv3: /smmuv3@60: \t0x0000000000000000\n");
	ASSERT_EQ(p.facts.count, 2);
	EXPECT_EQ(p.facts.fact[0].kind, DOCTOR_SMMU_FAULT);
	EXPECT_EQ(p.facts.fact[0].reason, 0x10);
	EXPECT_EQ(p.facts.fact[0].address, 0x87654000);
	EXPECT_EQ(p.facts.fact[0].device.bus, 4);
	EXPECT(p.facts.fact[0].has_write && p.facts.fact[0].write);
	EXPECT_EQ(p.facts.fact[1].reason, 0x13);
	EXPECT_EQ(p.facts.fact[1].device.bus, 5);
	EXPECT(p.facts.fact[1].has_write && !p.facts.fact[1].write);
	parsed_free(&p);
}

static void test_join_driver_tells_firmware_and_vectors_in_one_line(void)
{
	struct parsed p;

	parse(&p,
	      "[ 4.1] tethys_metis 0000:3a:00.0: metis-0:1:0: firmware v1.6.0, 1 MSI vector\n"
	      "[ 9.2] tethys_metis 0000:3b:00.0: metis-1:2:0: firmware 1.3.2, 32 MSI vectors, DMA "
	      "interrupts by the firmware\n");
	ASSERT_EQ(p.facts.count, 4);
	EXPECT_EQ(p.facts.fact[0].kind, DOCTOR_METIS_FIRMWARE);
	EXPECT_STR(p.facts.fact[0].name, "1.6.0");
	EXPECT_EQ(p.facts.fact[0].device.bus, 0x3a);
	EXPECT_EQ(p.facts.fact[1].kind, DOCTOR_METIS_VECTORS);
	EXPECT_EQ(p.facts.fact[1].number, 1);
	EXPECT_STR(p.facts.fact[1].name, "");
	EXPECT_EQ(p.facts.fact[2].kind, DOCTOR_METIS_FIRMWARE);
	EXPECT_STR(p.facts.fact[2].driver, "tethys_metis");
	EXPECT_EQ(p.facts.fact[3].number, 32);
	EXPECT_EQ(p.facts.fact[3].device.bus, 0x3b);
	parsed_free(&p);
}

static void version_is(const char *text, const char *version)
{
	struct parsed p;

	parse(&p, text);
	if (p.facts.count != (*version ? 1 : 0))
		TAP_FAIL("%zu facts in: %s", p.facts.count, text);
	else if (*version)
		EXPECT_STR(p.facts.fact[0].name, version);
	if (p.facts.count)
		EXPECT_EQ(p.facts.fact[0].kind, DOCTOR_METIS_DRIVER);
	parsed_free(&p);
}

static void test_join_version_of_the_metis_module(void)
{
	version_is("filename:       /lib/modules/6.8.0-9/updates/dkms/metis.ko.zst\n"
		   "license:        GPL\nauthor:         Somebody\nversion:        1.4.7\n"
		   "srcversion:     2.2.2\n",
		   "1.4.7");
	version_is("$ modinfo metis | grep ^version\nversion: 1.5.9\n", "1.5.9");
	version_is("$ cat /sys/class/metis/version\n1.4.7\n", "1.4.7");
	/* Another module's, another word, or too far away. */
	version_is("filename: /lib/modules/6.8.0-9/kernel/tethys_metis.ko\nversion: 1.4.7\n", "");
	version_is("$ cat /sys/class/metis/version\nnone\n1.4.7\n", "");
	version_is("$ cat /sys/class/metis/version\n3a:00.0\n", "");
	version_is("version: 1.4.7\n1.4.7\n", "");
}

static void test_join_each_device_with_a_wrong_driver_is_a_member(void)
{
	struct parsed p;

	parse(&p,
	      "Failed to read IOMMU group for 0000:3b:00.0: IOMMU group 9 has devices not bound to "
	      "vfio-pci:\n"
	      "Wrong driver devices: [('0000:3a:00.0', 'pcieport'), ('0000:3b:00.1', 'xhci_hcd')]\n"
	      "Wrong driver devices: []\n");
	ASSERT_EQ(p.facts.count, 3);
	EXPECT_EQ(p.facts.fact[0].kind, DOCTOR_GROUP_NOT_VIABLE);
	EXPECT_EQ(p.facts.fact[1].kind, DOCTOR_GROUP_MEMBER);
	EXPECT_EQ(p.facts.fact[1].number, 9);
	EXPECT_STR(p.facts.fact[1].driver, "pcieport");
	EXPECT_EQ(p.facts.fact[2].number, 9);
	EXPECT_EQ(p.facts.fact[2].device.function, 1);
	EXPECT_STR(p.facts.fact[2].driver, "xhci_hcd");
	parsed_free(&p);
}

int main(void)
{
	RUN(test_join_old_two_line_faults);
	RUN(test_join_fault_whose_reason_never_comes_stays_a_fact);
	RUN(test_join_wrapped_faults);
	RUN(test_join_half_of_a_wrapped_fault_is_none);
	RUN(test_join_smmu_words_are_one_fact);
	RUN(test_join_smmu_words_and_text_count_once);
	RUN(test_join_group_list_has_members);
	RUN(test_join_msi_word_of_lspci_knows_its_device);
	RUN(test_join_aer_names_have_the_severity_of_their_error);
	RUN(test_join_xen_on_arm_prints_the_same_words);
	RUN(test_join_driver_tells_firmware_and_vectors_in_one_line);
	RUN(test_join_version_of_the_metis_module);
	RUN(test_join_each_device_with_a_wrong_driver_is_a_member);
	return tap_done();
}
