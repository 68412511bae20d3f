// SPDX-License-Identifier: MIT
#include "card/tests/fake_host.h"

#define MSI(reg) (METIS_CAP_MSI + (reg))
#define EXP(reg) (METIS_CAP_EXP + (reg))
#define AER(reg) (METIS_ECAP_AER + (reg))

static struct host host;

static void test_pci_identity_is_metis(void)
{
	ASSERT(host_up(&host, NULL));
	EXPECT_EQ(host_cfg(&host, 0x00, 4), 0x11001f9d);
	EXPECT_EQ(host_cfg(&host, 0x08, 4), 0x12000002);
	EXPECT_EQ(host_cfg(&host, PCI_HEADER_TYPE, 1), 0);
	EXPECT_EQ(host_cfg(&host, PCI_SUBSYSTEM_VENDOR_ID, 2), METIS_PCI_VENDOR);
	EXPECT_EQ(host_cfg(&host, PCI_INTERRUPT_PIN, 1), 0);
	host_down(&host);
}

static void test_pci_capabilities_form_the_chain(void)
{
	ASSERT(host_up(&host, NULL));
	EXPECT(host_cfg(&host, PCI_STATUS, 2) & PCI_STATUS_CAP_LIST);
	EXPECT_EQ(host_cfg(&host, PCI_CAPABILITY_LIST, 1), METIS_CAP_PM);
	EXPECT_EQ(host_cfg(&host, METIS_CAP_PM, 2), 0x5001);
	EXPECT_EQ(host_cfg(&host, METIS_CAP_MSI, 2), 0x7005);
	EXPECT_EQ(host_cfg(&host, METIS_CAP_EXP, 2), 0x0010);
	EXPECT_EQ(host_cfg(&host, METIS_ECAP_AER, 4), 0x00020001);
	host_down(&host);
}

static void test_pci_msi_capability_offers_32_maskable_64bit_vectors(void)
{
	ASSERT(host_up(&host, NULL));
	card_reset(host.card, CARD_RESET_BUS);
	EXPECT_EQ(host_cfg(&host, MSI(METIS_MSI_CONTROL), 2), 0x018a);
	host_cfg_set(&host, MSI(METIS_MSI_ADDR_LO), 0xffffffff, 4);
	EXPECT_EQ(host_cfg(&host, MSI(METIS_MSI_ADDR_LO), 4), 0xfffffffc);
	host_cfg_set(&host, MSI(METIS_MSI_DATA), 0xffffffff, 4);
	EXPECT_EQ(host_cfg(&host, MSI(METIS_MSI_DATA), 4), 0x0000ffff);
	host_cfg_set(&host, MSI(METIS_MSI_PENDING), 0xffffffff, 4);
	EXPECT_EQ(host_cfg(&host, MSI(METIS_MSI_PENDING), 4), 0);
	host_down(&host);
}

static void test_pci_express_is_a_v2_endpoint_at_8gts_x4_with_flr(void)
{
	ASSERT(host_up(&host, NULL));
	EXPECT_EQ(host_cfg(&host, EXP(PCI_EXP_FLAGS), 2), 0x0002);
	EXPECT(host_cfg(&host, EXP(PCI_EXP_DEVCAP), 4) & PCI_EXP_DEVCAP_FLR);
	EXPECT_EQ(host_cfg(&host, EXP(PCI_EXP_LNKCAP), 4) & 0x3ff, 0x43);
	EXPECT_EQ(host_cfg(&host, EXP(PCI_EXP_LNKSTA), 2) & 0x3ff, 0x43);
	EXPECT_EQ(host_cfg(&host, EXP(PCI_EXP_LNKCAP2), 4), 0xe);
	EXPECT_EQ(host_cfg(&host, EXP(PCI_EXP_LNKCTL2), 2), 3);
	host_down(&host);
}

static uint32_t sized(uint32_t offset)
{
	uint32_t before = host_cfg(&host, offset, 4), value;

	host_cfg_set(&host, offset, 0xffffffff, 4);
	value = host_cfg(&host, offset, 4);
	host_cfg_set(&host, offset, before, 4);
	return value;
}

static void test_pci_bars_size_as_on_silicon(void)
{
	ASSERT(host_up(&host, NULL));
	EXPECT_EQ(sized(PCI_BASE_ADDRESS_0), 0xfffff004);
	EXPECT_EQ(sized(PCI_BASE_ADDRESS_1), 0xffffffff);
	EXPECT_EQ(sized(PCI_BASE_ADDRESS_2), 0xfe000000);
	EXPECT_EQ(sized(PCI_BASE_ADDRESS_3), 0);
	EXPECT_EQ(sized(PCI_BASE_ADDRESS_4), 0);
	EXPECT_EQ(sized(PCI_BASE_ADDRESS_5), 0);
	EXPECT_EQ(sized(PCI_ROM_ADDRESS), 0);
	host_cfg_set(&host, PCI_BASE_ADDRESS_0, 0xfd123abc, 4);
	EXPECT_EQ(host_cfg(&host, PCI_BASE_ADDRESS_0, 4), 0xfd123004);
	host_down(&host);
}

static void test_pci_aer_masks_are_writable_and_status_is_not(void)
{
	ASSERT(host_up(&host, NULL));
	host_cfg_set(&host, AER(PCI_ERR_UNCOR_MASK), 0xffffffff, 4);
	host_cfg_set(&host, AER(PCI_ERR_COR_MASK), 0xffffffff, 4);
	EXPECT_EQ(host_cfg(&host, AER(PCI_ERR_UNCOR_MASK), 4), 0x07fff030);
	EXPECT_EQ(host_cfg(&host, AER(PCI_ERR_COR_MASK), 4), 0xf1c1);
	host_cfg_set(&host, AER(PCI_ERR_UNCOR_MASK), 0, 4);
	EXPECT_EQ(host_cfg(&host, AER(PCI_ERR_UNCOR_MASK), 4), 0);
	host_cfg_set(&host, AER(PCI_ERR_UNCOR_STATUS), 0xffffffff, 4);
	EXPECT_EQ(host_cfg(&host, AER(PCI_ERR_UNCOR_STATUS), 4), 0);
	host_down(&host);
}

/* Every width at every offset, straddling registers: nothing read-only changes. */
static void test_pci_writes_of_every_width_leave_read_only_bits(void)
{
	static const uint32_t values[] = {0, 0xffffffff, 0x5a5aa5a5};
	uint32_t before[4], offset;
	size_t i, len;

	ASSERT(host_up(&host, NULL));
	before[0] = host_cfg(&host, 0, 4);
	before[1] = host_cfg(&host, 8, 4);
	before[2] = host_cfg(&host, METIS_ECAP_AER, 4);
	before[3] = host_cfg(&host, EXP(PCI_EXP_LNKCAP), 4);
	for (i = 0; i < sizeof(values) / sizeof(values[0]); i++)
		for (len = 1; len <= 4; len++)
			for (offset = 0; offset + len <= METIS_PCI_CFG_BYTES; offset++)
				/* FLR apart, which has a test of its own and costs time here. */
				if (offset > EXP(PCI_EXP_DEVCTL) + 1 ||
				    offset + len <= EXP(PCI_EXP_DEVCTL) + 1)
					host_cfg_set(&host, offset, values[i], len);
	EXPECT_EQ(host_cfg(&host, 0, 4), before[0]);
	EXPECT_EQ(host_cfg(&host, 8, 4), before[1]);
	EXPECT_EQ(host_cfg(&host, METIS_ECAP_AER, 4), before[2]);
	EXPECT_EQ(host_cfg(&host, EXP(PCI_EXP_LNKCAP), 4), before[3]);
	EXPECT_EQ(host_cfg(&host, PCI_ROM_ADDRESS, 4), 0);
	host_down(&host);
}

static void test_pci_reads_of_every_width_agree(void)
{
	uint8_t all[METIS_PCI_CFG_BYTES];
	uint32_t offset, want;
	size_t len;

	ASSERT(host_up(&host, NULL));
	ASSERT_EQ(card_region_read(host.card, HOST_CONFIG, 0, all, sizeof(all)), 0);
	for (len = 1; len <= 4; len++) {
		for (offset = 0; offset + len <= sizeof(all); offset++) {
			want = 0;
			memcpy(&want, all + offset, len);
			if (host_cfg(&host, offset, len) != want)
				TAP_FAIL("%u at 0x%x differs", (unsigned int)len, offset);
		}
	}
	host_down(&host);
}

static void test_pci_flr_resets_inside_the_write(void)
{
	static const struct {
		uint32_t offset, value;
		unsigned int len;
	} ways[] = {
		{EXP(PCI_EXP_DEVCTL) + 1, PCI_EXP_DEVCTL_BCR_FLR >> 8, 1},
		{EXP(PCI_EXP_DEVCTL), PCI_EXP_DEVCTL_BCR_FLR, 2},
		{EXP(PCI_EXP_DEVCTL), PCI_EXP_DEVCTL_BCR_FLR, 4},
		{EXP(PCI_EXP_DEVCTL) - 2, (uint32_t)PCI_EXP_DEVCTL_BCR_FLR << 16, 4},
	};
	size_t i;

	ASSERT(host_up(&host, NULL));
	for (i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
		host_bus_master(&host, true);
		host_cfg_set(&host, PCI_BASE_ADDRESS_2, 0xe0000000, 4);
		host_cfg_set(&host, ways[i].offset, ways[i].value, ways[i].len);
		EXPECT_EQ(host_cfg(&host, PCI_COMMAND, 2), 0);
		EXPECT_EQ(host_cfg(&host, PCI_BASE_ADDRESS_2, 4), 0);
		EXPECT_EQ(host_cfg(&host, MSI(METIS_MSI_CONTROL), 2), 0x018a);
		EXPECT_EQ(host_cfg(&host, EXP(PCI_EXP_DEVCTL), 2) & PCI_EXP_DEVCTL_BCR_FLR, 0);
		EXPECT_EQ(host_stats(&host).resets, i + 1);
	}
	host_down(&host);
}

static void test_pci_power_state_d3_stops_bus_mastering(void)
{
	uint32_t pmcsr = METIS_CAP_PM + PCI_PM_CTRL;

	ASSERT(host_up(&host, NULL));
	host_cfg_set(&host, pmcsr, 1, 2);
	EXPECT_EQ(host_cfg(&host, pmcsr, 2) & PCI_PM_CTRL_STATE_MASK, 0);
	host_cfg_set(&host, pmcsr, 3, 2);
	EXPECT_EQ(host_cfg(&host, pmcsr, 2) & PCI_PM_CTRL_STATE_MASK, 3);
	EXPECT_EQ(host_inject_dma(&host, true, HOST_BASE, METIS_DDR_BASE, 4), -ENODEV);
	host_cfg_set(&host, pmcsr, 2, 2);
	EXPECT_EQ(host_cfg(&host, pmcsr, 2) & PCI_PM_CTRL_STATE_MASK, 3);
	host_cfg_set(&host, pmcsr, 0, 2);
	/* No_Soft_Reset: what was configured is still there. */
	EXPECT_EQ(host_inject_dma(&host, true, HOST_BASE, METIS_DDR_BASE, 4), 0);
	host_down(&host);
}

/* IMWr through the card's own message is the way to one vector from outside. */
static void raise_vector(unsigned int vector)
{
	EXPECT_EQ(card_inject_imwr(host.card, HOST_MSI_ADDR, vector), 0);
}

static void test_pci_masked_msi_waits_and_goes_once_on_unmask(void)
{
	ASSERT(host_up(&host, NULL));
	host_cfg_set(&host, MSI(METIS_MSI_MASK), 0x30, 4);
	raise_vector(4);
	raise_vector(4);
	raise_vector(5);
	raise_vector(6);
	EXPECT_EQ(host.msi_total, 1);
	EXPECT_EQ(host.msi[6], 1);
	EXPECT_EQ(host_cfg(&host, MSI(METIS_MSI_PENDING), 4), 0x30);
	host_cfg_set(&host, MSI(METIS_MSI_MASK), 0x20, 1);
	EXPECT_EQ(host.msi[4], 1);
	EXPECT_EQ(host.msi[5], 0);
	EXPECT_EQ(host_cfg(&host, MSI(METIS_MSI_PENDING), 4), 0x20);
	host_cfg_set(&host, MSI(METIS_MSI_MASK), 0, 4);
	EXPECT_EQ(host.msi[5], 1);
	EXPECT_EQ(host_cfg(&host, MSI(METIS_MSI_PENDING), 4), 0);
	host_cfg_set(&host, MSI(METIS_MSI_MASK), 0, 4);
	EXPECT_EQ(host.msi_total, 3);
	host_down(&host);
}

static void test_pci_pending_msi_waits_for_bus_master(void)
{
	ASSERT(host_up(&host, NULL));
	host_cfg_set(&host, MSI(METIS_MSI_MASK), 1, 4);
	raise_vector(0);
	host_bus_master(&host, false);
	host_cfg_set(&host, MSI(METIS_MSI_MASK), 0, 4);
	EXPECT_EQ(host.msi_total, 0);
	host_bus_master(&host, true);
	EXPECT_EQ(host.msi[0], 1);
	host_down(&host);
}

static void test_pci_pending_msi_is_dropped_when_msi_goes_off(void)
{
	ASSERT(host_up(&host, NULL));
	host_cfg_set(&host, MSI(METIS_MSI_MASK), 1, 4);
	raise_vector(0);
	host_cfg_set(&host, MSI(METIS_MSI_CONTROL), 0, 2);
	host_cfg_set(&host, MSI(METIS_MSI_MASK), 0, 4);
	host_enable_msi(&host, 5, 0);
	EXPECT_EQ(host.msi_total, 0);
	host_down(&host);
}

static void test_pci_msi_data_selects_among_enabled_vectors(void)
{
	unsigned int code;

	ASSERT(host_up(&host, NULL));
	for (code = 0; code <= 7; code++) {
		unsigned int vectors = code > 5 ? 32 : 1u << code;

		host_enable_msi(&host, code, 0x4020);
		EXPECT_EQ(card_inject_imwr(host.card, HOST_MSI_ADDR, 0x4020 + vectors - 1), 0);
		EXPECT(host.msi[vectors - 1] >= 1);
		EXPECT_EQ(card_inject_imwr(host.card, HOST_MSI_ADDR, 0x4020 + vectors), -EPERM);
	}
	EXPECT_EQ(host.msi_total, 8);
	host_down(&host);
}

/* The low bits of the message's data are the vector's, whatever the host left in them. */
static void test_pci_msi_data_low_bits_are_the_vector(void)
{
	ASSERT(host_up(&host, NULL));
	host_enable_msi(&host, 2, 0x4027);
	EXPECT_EQ(card_inject_imwr(host.card, HOST_MSI_ADDR, 0x4024), 0);
	EXPECT_EQ(card_inject_imwr(host.card, HOST_MSI_ADDR, 0x4026), 0);
	EXPECT_EQ(host.msi[0], 1);
	EXPECT_EQ(host.msi[2], 1);
	EXPECT_EQ(card_inject_imwr(host.card, HOST_MSI_ADDR, 0x4023), -EPERM);
	EXPECT_EQ(card_inject_imwr(host.card, HOST_MSI_ADDR, 0x4028), -EPERM);
	EXPECT_EQ(card_inject_imwr(host.card, HOST_MSI_ADDR, 2), -EPERM);
	EXPECT_EQ(card_inject_imwr(host.card, HOST_MSI_ADDR, 0x10004026), -EPERM);
	/* Another high half makes it an address in memory; the host has none there. */
	EXPECT_EQ(card_inject_imwr(host.card, HOST_MSI_ADDR | 1ull << 33, 0x4026), -EFAULT);
	/* One vector: all bits count. */
	host_enable_msi(&host, 0, 0x4027);
	EXPECT_EQ(card_inject_imwr(host.card, HOST_MSI_ADDR, 0x4027), 0);
	EXPECT_EQ(card_inject_imwr(host.card, HOST_MSI_ADDR, 0x4026), -EPERM);
	EXPECT_EQ(host.msi[0], 2);
	EXPECT_EQ(host.msi_total, 3);
	host_down(&host);
}

int main(void)
{
	RUN(test_pci_identity_is_metis);
	RUN(test_pci_capabilities_form_the_chain);
	RUN(test_pci_msi_capability_offers_32_maskable_64bit_vectors);
	RUN(test_pci_express_is_a_v2_endpoint_at_8gts_x4_with_flr);
	RUN(test_pci_bars_size_as_on_silicon);
	RUN(test_pci_aer_masks_are_writable_and_status_is_not);
	RUN(test_pci_writes_of_every_width_leave_read_only_bits);
	RUN(test_pci_reads_of_every_width_agree);
	RUN(test_pci_flr_resets_inside_the_write);
	RUN(test_pci_power_state_d3_stops_bus_mastering);
	RUN(test_pci_masked_msi_waits_and_goes_once_on_unmask);
	RUN(test_pci_pending_msi_waits_for_bus_master);
	RUN(test_pci_pending_msi_is_dropped_when_msi_goes_off);
	RUN(test_pci_msi_data_selects_among_enabled_vectors);
	RUN(test_pci_msi_data_low_bits_are_the_vector);
	return tap_done();
}
