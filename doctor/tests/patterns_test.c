/* SPDX-License-Identifier: MIT */
/* Forms of messages of all versions, written after the kernels' and programs' format strings. */
#include <errno.h>

#include "doctor/log/pattern.h"
#include "doctor/tests/log_parse.h"
#include "tests/tap.h"

/* "KIND dev a=HEX n=N r=R w|r t" as far as set. */
static void describe(const struct doctor_fact *f, char *to, size_t size)
{
	char bdf[BDF_TEXT_BYTES];
	int used = snprintf(to, size, "%s", doctor_fact_name(f->kind));

#define ADD(cond, ...) \
	if (cond)      \
	used += snprintf(to + used, size - (size_t)used, __VA_ARGS__)
	ADD(f->has_device, " %s", bdf_text(f->device, bdf));
	ADD(f->has_address, " a=%" PRIx64, f->address);
	ADD(f->has_size, " s=%" PRIx64, f->size);
	ADD(f->has_number, " n=%" PRIu64, f->number);
	ADD(f->has_reason, " r=%u", f->reason);
	ADD(f->has_write, " %s", f->write ? "W" : "R");
	ADD(f->name[0], " %s", f->name);
#undef ADD
}

static const struct {
	const char *line, *fact;
} forms[] = {
	{"DMAR: [DMA Read] Request device [3a:00.1] fault addr 7c000 [fault reason 12] x",
	 "VTD_DMA_FAULT 0000:3a:00.1 a=7c000 r=12 R"},
	{"DMAR: [DMA Write] Request device [3a:00.1] PASID ffffffff fault addr 7c000 [fault reason 05] x",
	 "VTD_DMA_FAULT 0000:3a:00.1 a=7c000 r=5 W"},
	{"DMAR: [DMA Write] Request device [3a:00.1] PASID 5 fault addr 7c000 [fault reason 05] x",
	 "VTD_DMA_FAULT 0000:3a:00.1 a=7c000 n=5 r=5 W"},
	{"DMAR: [DMA Write NO_PASID] Request device [0x3a:0x00.1] fault addr 0x7c000 "
	 "[fault reason 0x12] x",
	 "VTD_DMA_FAULT 0000:3a:00.1 a=7c000 r=18 W"},
	{"DMAR: [DMA Read PASID 0x12] Request device [3a:00.1] fault addr 0x7c000 "
	 "[fault reason 0x79] SM: x",
	 "VTD_DMA_FAULT 0000:3a:00.1 a=7c000 n=18 r=121 R"},
	{"DMAR: [INTR-REMAP] Request device [3a:00.1] fault index 3b [fault reason 37] x",
	 "VTD_IR_FAULT 0000:3a:00.1 n=59 r=37"},
	{"DMAR: [INTR-REMAP] Request device [3a:00.1] fault index 0x3b [fault reason 0x25] x",
	 "VTD_IR_FAULT 0000:3a:00.1 n=59 r=37"},
	{"dmar_fault: 77 callbacks suppressed", "VTD_SUPPRESSED n=77 dmar_fault"},
	{"AMD-Vi: Event logged [IO_PAGE_FAULT device=3a:00.1 domain=0x000e address=0x00000000ce000000 "
	 "flags=0x0020]",
	 "AMD_PAGE_FAULT 0000:3a:00.1 a=ce000000 n=14 r=32 W"},
	{"foo 0000:3a:00.1: AMD-Vi: Event logged [IO_PAGE_FAULT domain=0x000e address=0xce000000 "
	 "flags=0x0000]",
	 "AMD_PAGE_FAULT 0000:3a:00.1 a=ce000000 n=14 r=0 R foo"},
	{"iommu ivhd1: AMD-Vi: Event logged [INVALID_DEVICE_REQUEST device=0000:3a:00.1 pasid=0x00000 "
	 "address=0xfffffffdf8000000 flags=0x0a00]",
	 "AMD_INVALID_REQUEST 0000:3a:00.1 a=fffffffdf8000000 r=2560"},
	{"AMD-Vi: Event logged [IOTLB_INV_TIMEOUT device=3a:00.1 address=0x1000]",
	 "AMD_IOTLB_TIMEOUT 0000:3a:00.1 a=1000"},
	{"arm-smmu fd.smmu: Unhandled context fault: fsr=0x402, iova=0xf9030040, fsynr=0x12, cb=0",
	 "SMMU_FAULT a=f9030040 r=16 W"},
	{"pci 0000:3a:00.1: Adding to iommu group 12", "IOMMU_ADDED_TO_GROUP 0000:3a:00.1 n=12"},
	{"iommu: Adding device 0000:3a:00.1 to group 12", "IOMMU_ADDED_TO_GROUP 0000:3a:00.1 n=12"},
	{"DMAR: RMRR base: 0x0000007c000000 end: 0x0000007c7fffff",
	 "RMRR_DECLARED a=7c000000 s=800000"},
	{"DMAR: intel_iommu_map: iommu width (39) is not sufficient for the mapped address (ff00008000)",
	 "IOMMU_TOO_NARROW a=ff00008000 n=39"},
	{"kvm: -device vfio-pci,host=0000:3a:00.1,id=h: vfio 0000:3a:00.1: group 9 is not viable",
	 "GROUP_NOT_VIABLE 0000:3a:00.1 n=9"},
	{"qemu: vfio 0000:3a:00.1: failed to open /dev/vfio/9: No such file or directory",
	 "VFIO_NODE_MISSING 0000:3a:00.1 n=9 r=2"},
	{"Could not open '/dev/vfio/9': Permission denied", "VFIO_NODE_DENIED n=9 r=13"},
	{"PCI device '0000:3a:00.0' already in use by VMID '104'", "PVE_IN_USE 0000:3a:00.0 n=104"},
	{"can't reset PCI device '0000:3a:00.0'", "RESET_PVE_WARNING 0000:3a:00.0"},
	{"vfio: Cannot reset device 0000:3a:00.0, depends on group 7 which is not owned.",
	 "RESET_NONE 0000:3a:00.0 n=7"},
	{"qemu: vfio_dma_map(0x5577, 0xfe000000, 0x4000, 0x7f00) = -14 (Bad address)",
	 "MAP_FAILED a=fe000000 s=4000 r=14"},
	{"VFIO_MAP_DMA failed: No space left on device", "MAP_FAILED r=28"},
	{"vfio_region_write(0000:3a:00.0:region1+0x2d0, 0x5,8) failed: Device or resource busy",
	 "BAR_WRITE_BUSY 0000:3a:00.0 n=1"},
	{"TASK ERROR: start failed: command '/usr/bin/kvm -id 7' failed: got timeout",
	 "START_TIMEOUT"},
	{"bridge 'vmbr7' does not exist", "START_UNRELATED vmbr7"},
	{"vfio-pci 0000:3a:00.0: not ready 65535ms after bus reset; giving up",
	 "RESET_NOT_READY 0000:3a:00.0 n=65535 r=1 bus reset"},
	{"pcieport 0000:00:01.0: AER: Uncorrected (Fatal) error received: 0000:3a:00.0",
	 "AER_FATAL 0000:3a:00.0"},
	{"pcieport 0000:00:01.0: AER: Multiple Uncorrectable (Non-Fatal) error message received from "
	 "0000:3a:00.0",
	 "AER_NONFATAL 0000:3a:00.0"},
	{"NVRM: Xid (PCI:0000:3a:00): 79, pid=1, GPU has fallen off the bus.",
	 "FELL_OFF_BUS 0000:3a:00.0"},
	{"foo 0000:3a:00.0: can't set up: -110", "DRIVER_TIMEOUT 0000:3a:00.0 r=110 foo"},
	{"foo 0000:3a:00.0: command timed out", "DRIVER_TIMEOUT 0000:3a:00.0 foo"},
	{"foo 0000:3a:00.0: probe with driver foo failed with error -22",
	 "DRIVER_FAILED 0000:3a:00.0 r=22 foo"},
	{"foo: probe of 0000:3a:00.0 failed with error -22", "DRIVER_FAILED 0000:3a:00.0 r=22 foo"},
	{"  40000000-407fffff : efifb", "FRAMEBUFFER_IN_BAR a=40000000 s=800000 efifb"},
	{"3a:00.0 Non-Volatile memory controller: Maker Disk (rev ff)", "DEVICE_GONE 0000:3a:00.0"},
	{"[libaxldev_linux.c:9] USR_DMA_XFER failed: Connection timed out",
	 "METIS_APP_TIMEOUT USR_DMA_XFER"},
	{"[ERROR][load]: Failed to load module.", "METIS_APP_LOAD_FAILED"},
	{"metis 0000:3a:00.0: DMA write CH2: done, but its interrupt (number 6) got lost",
	 "METIS_DRIVER_LOST_IRQ 0000:3a:00.0 n=6"},
	{"axl 0000:3a:00.0: DMA RD CH0 timeout (irq 4)", "METIS_DRIVER_TIMEOUT 0000:3a:00.0 RD"},
	{"flver=1.6.0 bcver=7.4", "METIS_FIRMWARE 1.6.0"},
	{"tethys_metis 0000:3a:00.0: DMA RD CH0 timed out (number 4, element 0 of 3): it is done, but no "
	 "interrupt told so; 'tethys doctor' finds out why",
	 "METIS_DRIVER_TIMEOUT 0000:3a:00.0 n=4 RD"},
	{"tethys_metis 0000:3a:00.0: DMA WR CH3 timed out (number 11, element 7 of 9): it still runs; "
	 "'tethys doctor' finds out why",
	 "METIS_DRIVER_TIMEOUT 0000:3a:00.0 n=11 WR"},
	{"tethys_metis 0000:3a:00.0: DMA WR CH1: done, but its interrupt (number 9) got lost; polling "
	 "until interrupts come back",
	 "METIS_DRIVER_LOST_IRQ 0000:3a:00.0 n=9"},
	{"tethys_metis 0000:3a:00.0: DMA interrupts are back",
	 "METIS_DRIVER 0000:3a:00.0 interrupts back"},
	{"tethys_metis 0000:3a:00.0: DMA RD CH2 aborted (card address 0x2000, 64 bytes): the host refuses "
	 "the read of its address",
	 "METIS_DRIVER 0000:3a:00.0 aborted"},
	{"tethys_metis 0000:3a:00.0: a DMA channel can't be stopped: no DMA until a reset: echo 1 "
	 ">/sys/bus/pci/devices/0000:3a:00.0/reset",
	 "METIS_DRIVER 0000:3a:00.0 stuck"},
	{"tethys_metis 0000:3a:00.0: its registers read as all ones: no DMA until a reset: echo 1 "
	 ">/sys/bus/pci/devices/0000:3a:00.0/reset",
	 "DEVICE_GONE 0000:3a:00.0 registers"},
	{"tethys_metis 0000:3a:00.0: metis-0:1:0: firmware not running, 32 MSI vectors",
	 "METIS_VECTORS 0000:3a:00.0 n=32"},
	{"/sys/class/metis/version:1.4.16", "METIS_DRIVER 1.4.16"},
	{"Failed to read IOMMU group for 0000:3a:00.0: IOMMU group 9 has devices not bound to vfio-pci:",
	 "GROUP_NOT_VIABLE 0000:3a:00.0 n=9"},
	{"pcieport 0000:00:1c.0: AER: Multiple Correctable error message received from 0000:3a:00.0",
	 "AER_CORRECTABLE 0000:3a:00.0"},
	{"x: device 00.02.0 requires iommu notifier which is currently not supported",
	 "VIOMMU_NO_CACHING_MODE"},
	{"Wrong driver devices: [('0000:3a:00.1', 'snd_hda_intel')]", "GROUP_MEMBER 0000:3a:00.1"},
};

static void test_patterns_forms_become_their_facts(void)
{
	char is[256];

	for (size_t i = 0; i < sizeof(forms) / sizeof(*forms); i++) {
		struct parsed p;

		parse(&p, forms[i].line);
		if (p.facts.count == 1)
			describe(&p.facts.fact[0], is, sizeof(is));
		else
			snprintf(is, sizeof(is), "%zu facts", p.facts.count);
		if (strcmp(is, forms[i].fact))
			TAP_FAIL("%s: is %s, not %s", forms[i].line, is, forms[i].fact);
		parsed_free(&p);
	}
}

static void test_patterns_ordinary_lines_are_no_facts(void)
{
	static const char *const lines[] = {
		"DMAR: No ATSR found",
		"DMAR: IOMMU feature pgsel_inv inconsistent",
		"AMD-Vi: Unknown option - 'on'",
		"vfio-pci 0000:3a:00.0: vgaarb: deactivate vga console",
		"igb 0000:3a:00.0 eth0: igb: eth0 NIC Link is Down",
		"kvm: warning: host doesn't support requested feature: CPUID.80000001H:ECX [bit 2]",
		"usb 1-2: device descriptor read/64, error -71",
		"foo 0000:3a:00.0: watchdog timeout set to 5 s",
		"virtio_net virtio0 ens18: renamed from eth0",
	};

	for (size_t i = 0; i < sizeof(lines) / sizeof(*lines); i++) {
		struct parsed p;

		parse(&p, lines[i]);
		if (p.facts.count)
			TAP_FAIL("%s: %s", lines[i], doctor_fact_name(p.facts.fact[0].kind));
		parsed_free(&p);
	}
}

/* Shorter ones can't be found by looking at every fourth place. */
static void test_patterns_keys_are_long_enough(void)
{
	const struct doctor_pattern *row;

	for (size_t i = 0; (row = doctor_pattern(i)); i++)
		if (row->key && strlen(row->key) < PREFILTER_KEY_BYTES)
			TAP_FAIL("\"%s\" is too short", row->key);
}

int main(void)
{
	RUN(test_patterns_forms_become_their_facts);
	RUN(test_patterns_ordinary_lines_are_no_facts);
	RUN(test_patterns_keys_are_long_enough);
	return tap_done();
}
