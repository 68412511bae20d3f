/* SPDX-License-Identifier: MIT */
/*
 * Each hop, good and broken, on a card in this process whose bus has the fault.
 */
#include <errno.h>
#include <json-c/json.h>
#include <linux/pci_regs.h>

#include <tethys/hw/irq.h>
#include <tethys/hw/pci.h>

#include "probe/tests/faulty.h"

static const char *const personalities[] = {"1.3.2", "1.6.0", "1.8.0"};
#define PERSONALITIES_NR 3

static struct probe_options opts(void)
{
	return (struct probe_options){.timeout_ms = TEST_TIMEOUT_MS};
}

/* Opens, spoils with @spoil, runs. */
static int run_with(const char *personality, void (*spoil)(struct probe_bus *bus),
		    const struct probe_options *options, struct probe_report *ret_report)
{
	struct probe_bus *bus = faulty_open(personality);
	int err;

	memset(ret_report, 0, sizeof(*ret_report));
	if (!bus)
		return -ENODEV;
	if (spoil)
		spoil(bus);
	err = probe_run(bus, options, ret_report);
	probe_bus_close(bus);
	return err;
}

static int run(void (*spoil)(struct probe_bus *bus), struct probe_report *ret_report)
{
	const struct probe_options options = opts();

	return run_with("1.6.0", spoil, &options, ret_report);
}

/* --- nothing wrong --- */

static void test_probe_good_card_passes_every_hop(void)
{
	const struct probe_options options = {.timeout_ms = 1000, .reset = true};
	struct probe_report report;
	enum probe_hop hop;

	for (int i = 0; i < PERSONALITIES_NR; i++) {
		EXPECT_EQ(run_with(personalities[i], NULL, &options, &report), 0);
		EXPECT_FIRST(&report, PROBE_HOP_NR);
		for (hop = 0; hop < PROBE_HOP_NR; hop++)
			if (hop != PROBE_IMWR || i < 2)
				EXPECT_STEP(&report, hop, PROBE_OK);
		EXPECT_EQ(report.suggests_nr, 0);
		EXPECT_HAS(report.what, "Metis card 1f9d:1100");
	}
	/* The newest firmware's interrupts are its own business. */
	EXPECT_STEP(&report, PROBE_IMWR, PROBE_NOT_TRIED);
	EXPECT_HAS(report.step[PROBE_IMWR].detail, "firmware owns");
}

static uint32_t reg(struct probe_bus *bus, uint32_t offset)
{
	uint32_t value = 0xdead;

	real->bar_read(bus, METIS_BAR_EDMA, offset, &value, 4, NULL);
	return value;
}

static void put_reg(struct probe_bus *bus, uint32_t offset, uint32_t value)
{
	real->bar_write(bus, METIS_BAR_EDMA, offset, &value, 4, NULL);
}

static void test_probe_leaves_registers_and_memory_as_they_were(void)
{
	static uint8_t before[METIS_EDMA_LISTS_BYTES], after[METIS_EDMA_LISTS_BYTES];
	const uint64_t lists = METIS_EDMA_LISTS_BASE - METIS_L2_BASE;
	const struct probe_options options = opts();
	struct probe_report report = {.device = ""};
	struct probe_bus *bus = faulty_open("1.3.2");
	uint16_t command = PCI_COMMAND_MEMORY, control;

	ASSERT(bus);
	for (size_t i = 0; i < sizeof(before); i++)
		before[i] = (uint8_t)(i * 7);
	real->config_write(bus, PCI_COMMAND, &command, 2, NULL);
	real->bar_write(bus, METIS_BAR_L2, lists, before, sizeof(before), NULL);
	put_reg(bus, METIS_EDMA_WR_CH(3) + METIS_EDMA_CH_SAR_LO, 0x1234);
	put_reg(bus, METIS_EDMA_RD_CH(3) + METIS_EDMA_CH_LLP_LO, 0x5678);
	put_reg(bus, METIS_EDMA_RD_LL_ERR_EN, 0xf);
	put_reg(bus, METIS_EDMA_RD_ENGINE_EN, 1);
	EXPECT_EQ(probe_run(bus, &options, &report), 0);
	real->bar_read(bus, METIS_BAR_L2, lists, after, sizeof(after), NULL);
	EXPECT(!memcmp(before, after, sizeof(after)));
	EXPECT_EQ(reg(bus, METIS_EDMA_WR_CH(3) + METIS_EDMA_CH_SAR_LO), 0x1234);
	EXPECT_EQ(reg(bus, METIS_EDMA_RD_CH(3) + METIS_EDMA_CH_LLP_LO), 0x5678);
	EXPECT_EQ(reg(bus, METIS_EDMA_RD_LL_ERR_EN), 0xf);
	/* These as after any use by the runtime. */
	EXPECT_EQ(reg(bus, METIS_EDMA_RD_ENGINE_EN), 0);
	EXPECT_EQ(reg(bus, METIS_EDMA_WR_ENGINE_EN), 0);
	EXPECT_EQ(reg(bus, METIS_EDMA_RD_DONE_IMWR_LO), 0);
	EXPECT_EQ(reg(bus, METIS_EDMA_WR_CH23_IMWR_DATA), 0);
	real->config_read(bus, PCI_COMMAND, &command, 2, NULL);
	EXPECT_EQ(command, PCI_COMMAND_MEMORY);
	real->config_read(bus, METIS_CAP_MSI + PCI_MSI_FLAGS, &control, 2, NULL);
	EXPECT_EQ(control & PCI_MSI_FLAGS_ENABLE, 0);
	probe_bus_close(bus);
}

static void sleeping(struct probe_bus *bus)
{
	uint16_t d3 = 3;

	real->config_write(bus, METIS_CAP_PM + PCI_PM_CTRL, &d3, 2, NULL);
}

static void test_probe_sleeping_card_is_woken(void)
{
	struct probe_report report;

	EXPECT_EQ(run(sleeping, &report), 0);
	EXPECT_HAS(report.step[PROBE_POWER].detail, "was asleep");
}

/* --- configuration space --- */

static int config_ones(struct probe_bus *bus, uint32_t offset, void *buf, size_t len,
		       struct reason *why)
{
	(void)bus, (void)offset, (void)why;
	memset(buf, 0xff, len);
	return 0;
}

static void gone(struct probe_bus *bus)
{
	(void)bus;
	faulty.config_read = config_ones;
}

static void test_config_all_ones_is_a_device_that_is_gone(void)
{
	struct probe_report report;

	EXPECT_EQ(run(gone, &report), -EIO);
	EXPECT_FIRST(&report, PROBE_CONFIG);
	EXPECT_STEP(&report, PROBE_MAP, PROBE_NOT_TRIED);
	EXPECT_STEP(&report, PROBE_MSI, PROBE_NOT_TRIED);
	EXPECT_STR(suggested(&report, 0), "device-gone");
}

static int config_loop(struct probe_bus *bus, uint32_t offset, void *buf, size_t len,
		       struct reason *why)
{
	int err = real->config_read(bus, offset, buf, len, why);

	if (offset == METIS_CAP_EXP && len == 2)
		((uint8_t *)buf)[1] = METIS_CAP_PM;
	return err;
}

static void looping(struct probe_bus *bus)
{
	(void)bus;
	faulty.config_read = config_loop;
}

static void test_config_loop_of_capabilities_ends(void)
{
	struct probe_report report;

	EXPECT_EQ(run(looping, &report), -EIO);
	EXPECT_FIRST(&report, PROBE_CONFIG);
	EXPECT_HAS(report.step[PROBE_CONFIG].detail, "capabilities is broken");
}

/* --- power --- */

static int config_keep(struct probe_bus *bus, uint32_t offset, const void *buf, size_t len,
		       struct reason *why)
{
	return offset == PCI_COMMAND || offset == METIS_CAP_PM + PCI_PM_CTRL
		       ? 0
		       : real->config_write(bus, offset, buf, len, why);
}

static void no_command(struct probe_bus *bus)
{
	(void)bus;
	faulty.config_write = config_keep;
}

static void test_power_bus_master_that_stays_off_fails(void)
{
	struct probe_report report;

	EXPECT_EQ(run(no_command, &report), -EIO);
	EXPECT_FIRST(&report, PROBE_POWER);
	EXPECT_HAS(report.step[PROBE_POWER].detail, "stays off");
	EXPECT_STEP(&report, PROBE_BAR_READ, PROBE_NOT_TRIED);
	/* That takes no device. */
	EXPECT_STEP(&report, PROBE_MAP, PROBE_OK);
}

static void coma(struct probe_bus *bus)
{
	sleeping(bus);
	faulty.config_write = config_keep;
}

static void test_power_stuck_in_d3_fails(void)
{
	struct probe_report report;

	EXPECT_EQ(run(coma, &report), -EIO);
	EXPECT_FIRST(&report, PROBE_POWER);
	EXPECT_HAS(report.step[PROBE_POWER].detail, "stays in D3");
	EXPECT_STR(suggested(&report, 0), "stuck-d3");
}

/* --- BARs --- */

static int bar_ones(struct probe_bus *bus, unsigned int bar, uint64_t offset, void *buf, size_t len,
		    struct reason *why)
{
	(void)bus, (void)bar, (void)offset, (void)why;
	memset(buf, 0xff, len);
	return 0;
}

static void deaf(struct probe_bus *bus)
{
	(void)bus;
	faulty.bar_read = bar_ones;
}

static void test_bar_read_all_ones_fails(void)
{
	struct probe_report report;

	EXPECT_EQ(run(deaf, &report), -EIO);
	EXPECT_FIRST(&report, PROBE_BAR_READ);
	EXPECT_STEP(&report, PROBE_DMA_IN, PROBE_NOT_TRIED);
	EXPECT_STEP(&report, PROBE_IMWR, PROBE_NOT_TRIED);
	/* The host's side of it. */
	EXPECT_STEP(&report, PROBE_MSI, PROBE_OK);
	EXPECT_HAS(report.step[PROBE_MSI].detail, "not asked");
}

static int bar_drop(struct probe_bus *bus, unsigned int bar, uint64_t offset, const void *buf,
		    size_t len, struct reason *why)
{
	(void)bus, (void)bar, (void)offset, (void)buf, (void)len, (void)why;
	return 0;
}

static void write_protected(struct probe_bus *bus)
{
	(void)bus;
	faulty.bar_write = bar_drop;
}

static void test_bar_write_that_is_dropped_fails(void)
{
	struct probe_report report;

	EXPECT_EQ(run(write_protected, &report), -EIO);
	EXPECT_FIRST(&report, PROBE_BAR_WRITE);
	EXPECT_HAS(report.step[PROBE_BAR_WRITE].detail, "BAR0: 0x5a5aa5a4 stored at");
	EXPECT_HAS(report.step[PROBE_BAR_WRITE].detail, "reads back as 0x00000000");
	EXPECT_STEP(&report, PROBE_DMA_IN, PROBE_NOT_TRIED);
}

/* --- a former owner's transfers --- */

static unsigned int running; /* channels from there up */

static int bar_busy(struct probe_bus *bus, unsigned int bar, uint64_t offset, void *buf, size_t len,
		    struct reason *why)
{
	uint32_t control = METIS_PREP(METIS_EDMA_CS, METIS_EDMA_CS_RUNNING);
	unsigned int n;
	int err = real->bar_read(bus, bar, offset, buf, len, why);

	for (n = running; bar == METIS_BAR_EDMA && n < METIS_EDMA_CHANNELS; n++)
		if (offset == METIS_EDMA_RD_CH(n) || offset == METIS_EDMA_WR_CH(n))
			memcpy(buf, &control, sizeof(control));
	return err;
}

static void busy(struct probe_bus *bus)
{
	(void)bus;
	faulty.bar_read = bar_busy;
}

static void test_busy_channels_are_left_alone(void)
{
	struct probe_report report;

	running = 2;
	EXPECT_EQ(run(busy, &report), 0);
	EXPECT_HAS(report.step[PROBE_BAR_READ].detail, "4 DMA channels were running");
	EXPECT_STEP(&report, PROBE_DMA_IN, PROBE_OK);
	EXPECT_STEP(&report, PROBE_IMWR, PROBE_OK);
}

static void test_busy_channels_all_of_them_fail(void)
{
	struct probe_report report;

	running = 0;
	EXPECT_EQ(run(busy, &report), -EIO);
	EXPECT_FIRST(&report, PROBE_BAR_WRITE);
	EXPECT_STR(suggested(&report, 0), "stale-dma-no-reset");
	EXPECT_STEP(&report, PROBE_DMA_IN, PROBE_NOT_TRIED);
}

/* --- memory and DMA --- */

/* As of a write that an IOMMU blocks: it is posted, so the engine ends it as if it had arrived. */
static int bar_changed(struct probe_bus *bus, unsigned int bar, uint64_t offset, void *buf,
		       size_t len, struct reason *why)
{
	int err = real->bar_read(bus, bar, offset, buf, len, why);

	if (bar == METIS_BAR_L2 && len == PROBE_BYTES)
		((uint8_t *)buf)[5] ^= 1;
	return err;
}

static void forging(struct probe_bus *bus)
{
	(void)bus;
	faulty.bar_read = bar_changed;
}

static void test_dma_that_ends_without_its_data_fails(void)
{
	struct probe_report report;

	EXPECT_EQ(run(forging, &report), -EIO);
	EXPECT_FIRST(&report, PROBE_DMA_IN);
	EXPECT_HAS(report.step[PROBE_DMA_IN].detail, "the transfer ends, but byte 5 is");
	EXPECT_STEP(&report, PROBE_DMA_OUT, PROBE_OK);
}

static unsigned int keep_prot;
static uint64_t keep_above, keep_below;

/* An IOMMU that has forgotten something. */
static int map_less(struct probe_bus *bus, struct probe_mem *mem, struct reason *why)
{
	mem->prot &= keep_prot;
	if (mem->iova < keep_above || mem->iova >= keep_below)
		mem->prot = 0;
	return real->map(bus, mem, why);
}

static void forgetful(struct probe_bus *bus)
{
	(void)bus;
	faulty.map = map_less;
}

static void test_dma_in_unmapped_read_is_named(void)
{
	struct probe_report report;

	keep_prot = PROBE_MAP_WRITE;
	keep_above = 0;
	keep_below = UINT64_MAX;
	EXPECT_EQ(run(forgetful, &report), -EIO);
	EXPECT_FIRST(&report, PROBE_DMA_IN);
	EXPECT_HAS(report.step[PROBE_DMA_IN].detail, "the host's side refuses the read");
	EXPECT_STEP(&report, PROBE_DMA_OUT, PROBE_OK);
	EXPECT_STEP(&report, PROBE_IMWR, PROBE_OK);
	EXPECT_STR(suggested(&report, 0), "dma-unmapped-read");
}

static void test_dma_out_unmapped_write_is_named(void)
{
	struct probe_report report;

	keep_prot = PROBE_MAP_READ;
	keep_above = 0;
	keep_below = UINT64_MAX;
	EXPECT_EQ(run(forgetful, &report), -EIO);
	EXPECT_FIRST(&report, PROBE_DMA_OUT);
	EXPECT_HAS(report.step[PROBE_DMA_OUT].detail, "the host's side refuses the write");
	EXPECT_STEP(&report, PROBE_DMA_IN, PROBE_OK);
	EXPECT_STEP(&report, PROBE_IMWR, PROBE_OK);
	EXPECT_STR(suggested(&report, 0), "dma-unmapped-write");
}

static void test_dma_that_works_below_4g_only_says_so(void)
{
	struct probe_report report;

	keep_prot = PROBE_MAP_READ | PROBE_MAP_WRITE;
	keep_above = 0;
	keep_below = 1ull << 32;
	EXPECT_EQ(run(forgetful, &report), -EIO);
	EXPECT_FIRST(&report, PROBE_DMA_IN);
	EXPECT_HAS(report.step[PROBE_DMA_IN].detail, "at 0x100000000; ");
	EXPECT_HAS(report.step[PROBE_DMA_IN].detail, "at 0x100000 it works");
	EXPECT_STR(suggested(&report, 0), "dma-mask-truncated");
}

static int map_refuse(struct probe_bus *bus, struct probe_mem *mem, struct reason *why)
{
	(void)bus, (void)mem;
	return reason_add(why, -ENOMEM, "VFIO does not map: Cannot allocate memory");
}

static void no_map(struct probe_bus *bus)
{
	(void)bus;
	faulty.map = map_refuse;
}

static void test_map_refused_names_the_limit_of_locked_memory(void)
{
	struct probe_report report;

	EXPECT_EQ(run(no_map, &report), -EIO);
	EXPECT_FIRST(&report, PROBE_MAP);
	EXPECT_STR(suggested(&report, 0), "memlock");
	EXPECT_STEP(&report, PROBE_DMA_IN, PROBE_NOT_TRIED);
	EXPECT_STEP(&report, PROBE_MSI, PROBE_OK);
}

static void narrow(struct probe_bus *bus)
{
	bus->ranges_nr = 1;
}

static void test_map_without_addresses_above_4g_goes_on_below(void)
{
	struct probe_report report;

	EXPECT_EQ(run(narrow, &report), 0);
	EXPECT_HAS(report.step[PROBE_MAP].detail, "no address above 4 GiB");
	EXPECT_STEP(&report, PROBE_DMA_OUT, PROBE_OK);
	EXPECT_EQ(report.suggests_nr, 0);
}

static void no_addresses(struct probe_bus *bus)
{
	bus->ranges_nr = 0;
}

static void test_map_without_any_address_fails(void)
{
	struct probe_report report;

	EXPECT_EQ(run(no_addresses, &report), -EIO);
	EXPECT_FIRST(&report, PROBE_MAP);
	EXPECT_STR(report.step[PROBE_DMA_IN].detail, "needs map");
}

static int map_physical(struct probe_bus *bus, struct probe_mem *mem, struct reason *why)
{
	mem->iova = 0x7654000;
	return real->map(bus, mem, why);
}

static void no_iommu(struct probe_bus *bus)
{
	bus->ranges_nr = 0;
	bus->no_iommu = true;
	faulty.map = map_physical;
}

static void test_map_without_an_iommu_uses_physical_memory(void)
{
	struct probe_report report;

	EXPECT_EQ(run(no_iommu, &report), 0);
	EXPECT_STR(report.step[PROBE_MAP].detail,
		   "a page at 0x7654000, its physical address: there is no IOMMU");
	EXPECT_STEP(&report, PROBE_DMA_IN, PROBE_OK);
	EXPECT_STEP(&report, PROBE_DMA_OUT, PROBE_OK);
}

/* --- interrupts --- */

static int loop_into_the_void(struct probe_bus *bus, unsigned int vector, struct reason *why)
{
	(void)bus, (void)vector, (void)why;
	return 0;
}

static void no_loop(struct probe_bus *bus)
{
	(void)bus;
	faulty.irq_loop = loop_into_the_void;
}

static void test_msi_that_not_even_the_host_delivers_fails(void)
{
	struct probe_report report;

	EXPECT_EQ(run(no_loop, &report), -EIO);
	EXPECT_FIRST(&report, PROBE_MSI);
	EXPECT_HAS(report.step[PROBE_MSI].detail, "even when the kernel raises it");
}

static int message_hidden(struct probe_bus *bus, unsigned int cap, uint64_t *ret_addr,
			  uint32_t *ret_data, struct reason *why)
{
	(void)bus, (void)cap, (void)ret_addr, (void)ret_data;
	return reason_add(why, -EACCES, "hidden: be root");
}

static void hidden(struct probe_bus *bus)
{
	(void)bus;
	faulty.msi_message = message_hidden;
}

static void test_imwr_without_the_hosts_message_is_not_tried(void)
{
	struct probe_report report;

	EXPECT_EQ(run(hidden, &report), 0);
	EXPECT_STEP(&report, PROBE_IMWR, PROBE_NOT_TRIED);
	EXPECT_STR(report.step[PROBE_IMWR].detail, "hidden: be root");
}

/* What VFIO never sees: the engine writes another message than the capability's. */
static int message_foreign(struct probe_bus *bus, unsigned int cap, uint64_t *ret_addr,
			   uint32_t *ret_data, struct reason *why)
{
	int err = real->msi_message(bus, cap, ret_addr, ret_data, why);

	*ret_addr |= 0x418;
	return err;
}

static void foreign(struct probe_bus *bus)
{
	(void)bus;
	faulty.msi_message = message_foreign;
}

static void test_imwr_message_that_does_not_arrive_fails(void)
{
	struct probe_report report;

	EXPECT_EQ(run(foreign, &report), -EIO);
	EXPECT_FIRST(&report, PROBE_IMWR);
	EXPECT_STEP(&report, PROBE_MSI, PROBE_OK);
	EXPECT_HAS(report.step[PROBE_IMWR].detail, "did not come");
	EXPECT_STR(suggested(&report, 0), "raw-msi-in-bar");
}

static void stale_remappable(struct probe_bus *bus)
{
	put_reg(bus, METIS_EDMA_WR_DONE_IMWR_LO, 0xfee00418);
	put_reg(bus, METIS_EDMA_WR_CH01_IMWR_DATA, 0x00090008);
}

static void test_imwr_found_with_a_foreign_handle_names_its_index(void)
{
	struct probe_report report;

	EXPECT_EQ(run(stale_remappable, &report), -EIO);
	EXPECT_FIRST(&report, PROBE_IMWR);
	EXPECT_HAS(report.step[PROBE_IMWR].detail,
		   "IMWr of write channel 0 held 0xfee00418 and data 0x0008");
	EXPECT_HAS(report.step[PROBE_IMWR].detail, "index 0x28");
	EXPECT_HAS(report.step[PROBE_IMWR].detail, "the message of this kernel arrives");
	EXPECT_STR(suggested(&report, 0), "raw-msi-in-bar");
	EXPECT_STR(suggested(&report, 1), "irte-not-present");
}

static void stale_compatible(struct probe_bus *bus)
{
	put_reg(bus, METIS_EDMA_RD_DONE_IMWR_LO, 0xfee01000);
	put_reg(bus, METIS_EDMA_RD_CH01_IMWR_DATA, 0x00c600c5);
}

static void test_imwr_found_with_a_guests_message_names_reason_0x25(void)
{
	struct probe_report report;

	EXPECT_EQ(run(stale_compatible, &report), -EIO);
	EXPECT_FIRST(&report, PROBE_IMWR);
	EXPECT_HAS(report.step[PROBE_IMWR].detail, "vector 0xc5");
	EXPECT_HAS(report.step[PROBE_IMWR].detail, "reason 0x25");
	EXPECT(suggests(&report, "compat-msi-blocked"));
}

static void test_imwr_found_foreign_is_cleared_for_the_next(void)
{
	const struct probe_options options = opts();
	struct probe_report report = {.device = ""};
	struct probe_bus *bus = faulty_open("1.6.0");

	ASSERT(bus);
	stale_remappable(bus);
	EXPECT_EQ(probe_run(bus, &options, &report), -EIO);
	memset(&report, 0, sizeof(report));
	EXPECT_EQ(probe_run(bus, &options, &report), 0);
	EXPECT_STEP(&report, PROBE_IMWR, PROBE_OK);
	probe_bus_close(bus);
}

/* --- reset --- */

static int reset_for_good(struct probe_bus *bus, struct reason *why)
{
	(void)bus, (void)why;
	faulty.config_read = config_ones;
	return 0;
}

static void test_reset_without_return_fails(void)
{
	const struct probe_options options = {.timeout_ms = TEST_TIMEOUT_MS, .reset = true};
	struct probe_report report = {.device = ""};
	struct probe_bus *bus = faulty_open("1.8.0");

	ASSERT(bus);
	faulty.reset = reset_for_good;
	EXPECT_EQ(probe_run(bus, &options, &report), -EIO);
	EXPECT_FIRST(&report, PROBE_RESET);
	EXPECT_STR(suggested(&report, 0), "flr-broken");
	probe_bus_close(bus);
}

static int reset_none(struct probe_bus *bus, struct reason *why)
{
	(void)bus;
	return reason_add(why, -EOPNOTSUPP, "the kernel knows no way to reset it alone");
}

static void test_reset_that_is_not_there_is_named(void)
{
	const struct probe_options options = {.timeout_ms = TEST_TIMEOUT_MS, .reset = true};
	struct probe_report report = {.device = ""};
	struct probe_bus *bus = faulty_open("1.8.0");

	ASSERT(bus);
	faulty.reset = reset_none;
	EXPECT_EQ(probe_run(bus, &options, &report), -EIO);
	EXPECT_FIRST(&report, PROBE_RESET);
	EXPECT_STR(suggested(&report, 0), "reset-missing");
	probe_bus_close(bus);
}

/* --- devices that are not known --- */

static int config_other(struct probe_bus *bus, uint32_t offset, void *buf, size_t len,
			struct reason *why)
{
	int err = real->config_read(bus, offset, buf, len, why);

	if (!offset && len >= 4)
		memcpy(buf, "\x86\x80\xd3\x10", 4);
	return err;
}

static unsigned int bar_accesses;

static int bar_count(struct probe_bus *bus, unsigned int bar, uint64_t offset, void *buf,
		     size_t len, struct reason *why)
{
	bar_accesses++;
	return real->bar_read(bus, bar, offset, buf, len, why);
}

static void other(struct probe_bus *bus)
{
	(void)bus;
	bar_accesses = 0;
	faulty.config_read = config_other;
	faulty.bar_read = bar_count;
	faulty.bar_write = bar_drop;
}

static void test_other_device_is_tried_as_far_as_is_safe(void)
{
	struct probe_report report;

	EXPECT_EQ(run(other, &report), 0);
	EXPECT_STR(report.what, "PCI device 8086:10d3 rev 02");
	EXPECT_EQ(bar_accesses, 0);
	EXPECT_STEP(&report, PROBE_BAR_READ, PROBE_NOT_TRIED);
	EXPECT_HAS(report.step[PROBE_BAR_READ].detail, "--read-bars");
	EXPECT_STEP(&report, PROBE_MAP, PROBE_OK);
	EXPECT_STEP(&report, PROBE_DMA_OUT, PROBE_NOT_TRIED);
	EXPECT_STEP(&report, PROBE_MSI, PROBE_OK);
	EXPECT_STEP(&report, PROBE_IMWR, PROBE_NOT_TRIED);
}

static void test_other_device_bars_are_read_on_request(void)
{
	const struct probe_options options = {.timeout_ms = TEST_TIMEOUT_MS, .read_bars = true};
	struct probe_report report;

	EXPECT_EQ(run_with("1.8.0", other, &options, &report), 0);
	EXPECT_EQ(bar_accesses, 2);
	EXPECT_STEP(&report, PROBE_BAR_READ, PROBE_OK);
}

/* --- the report --- */

static void test_json_has_every_hop_and_the_first_that_failed(void)
{
	static char text[32768];
	FILE *out = fmemopen(text, sizeof(text), "w");
	struct json_object *root, *hops, *value;
	struct probe_report report;

	ASSERT(out);
	EXPECT_EQ(run(foreign, &report), -EIO);
	snprintf(report.device, sizeof(report.device), "a\"b");
	probe_print_json(&report, out);
	fclose(out);
	root = json_tokener_parse(text);
	ASSERT(root);
	json_object_object_get_ex(root, "format", &value);
	EXPECT_STR(json_object_get_string(value), "tethys-probe/1");
	json_object_object_get_ex(root, "device", &value);
	EXPECT_STR(json_object_get_string(value), "a\"b");
	json_object_object_get_ex(root, "first_failed", &value);
	EXPECT_STR(json_object_get_string(value), "imwr");
	json_object_object_get_ex(root, "hops", &hops);
	EXPECT_EQ(json_object_array_length(hops), PROBE_HOP_NR);
	json_object_object_get_ex(json_object_array_get_idx(hops, PROBE_IMWR), "result", &value);
	EXPECT_STR(json_object_get_string(value), "failed");
	json_object_put(root);
}

static void test_text_names_hop_and_what_to_read(void)
{
	static const struct probe_style plain = {"", "", "", "", ""};
	static char text[32768];
	FILE *out = fmemopen(text, sizeof(text), "w");
	struct probe_report report;

	ASSERT(out);
	EXPECT_EQ(run(gone, &report), -EIO);
	probe_print_text(&report, &plain, out);
	fclose(out);
	EXPECT_HAS(text, "First hop that fails: config\n");
	EXPECT_HAS(text, "tethys doctor --explain device-gone");
	EXPECT(!strstr(text, " \n"));
}

static void test_names_of_no_known_kind_are_refused(void)
{
	const struct probe_options options = opts();
	struct probe_report report;

	EXPECT_EQ(probe_device("", &options, &report), -EINVAL);
	EXPECT_EQ(probe_device("card", &options, &report), -EINVAL);
	EXPECT_EQ(probe_device("00:zz.0", &options, &report), -EINVAL);
	EXPECT_EQ(probe_device("vfio:0000:00:00.8", &options, &report), -EINVAL);
	EXPECT_EQ(probe_device("/dev/metis-0-86-0", &options, &report), -EBUSY);
	EXPECT_FIRST(&report, PROBE_OPEN);
}

int main(void)
{
	RUN(test_probe_good_card_passes_every_hop);
	RUN(test_probe_leaves_registers_and_memory_as_they_were);
	RUN(test_probe_sleeping_card_is_woken);
	RUN(test_config_all_ones_is_a_device_that_is_gone);
	RUN(test_config_loop_of_capabilities_ends);
	RUN(test_power_bus_master_that_stays_off_fails);
	RUN(test_power_stuck_in_d3_fails);
	RUN(test_bar_read_all_ones_fails);
	RUN(test_bar_write_that_is_dropped_fails);
	RUN(test_busy_channels_are_left_alone);
	RUN(test_busy_channels_all_of_them_fail);
	RUN(test_dma_that_ends_without_its_data_fails);
	RUN(test_dma_in_unmapped_read_is_named);
	RUN(test_dma_out_unmapped_write_is_named);
	RUN(test_dma_that_works_below_4g_only_says_so);
	RUN(test_map_refused_names_the_limit_of_locked_memory);
	RUN(test_map_without_addresses_above_4g_goes_on_below);
	RUN(test_map_without_any_address_fails);
	RUN(test_map_without_an_iommu_uses_physical_memory);
	RUN(test_msi_that_not_even_the_host_delivers_fails);
	RUN(test_imwr_without_the_hosts_message_is_not_tried);
	RUN(test_imwr_message_that_does_not_arrive_fails);
	RUN(test_imwr_found_with_a_foreign_handle_names_its_index);
	RUN(test_imwr_found_with_a_guests_message_names_reason_0x25);
	RUN(test_imwr_found_foreign_is_cleared_for_the_next);
	RUN(test_reset_without_return_fails);
	RUN(test_reset_that_is_not_there_is_named);
	RUN(test_other_device_is_tried_as_far_as_is_safe);
	RUN(test_other_device_bars_are_read_on_request);
	RUN(test_json_has_every_hop_and_the_first_that_failed);
	RUN(test_text_names_hop_and_what_to_read);
	RUN(test_names_of_no_known_kind_are_refused);
	return tap_done();
}
