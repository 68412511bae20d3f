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

int main(void)
{
	RUN(test_join_old_two_line_faults);
	RUN(test_join_fault_whose_reason_never_comes_stays_a_fact);
	RUN(test_join_smmu_words_are_one_fact);
	RUN(test_join_smmu_words_and_text_count_once);
	RUN(test_join_group_list_has_members);
	RUN(test_join_msi_word_of_lspci_knows_its_device);
	RUN(test_join_aer_names_have_the_severity_of_their_error);
	return tap_done();
}
