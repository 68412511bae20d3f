/* SPDX-License-Identifier: MIT */
/*
 * What kernels (and Xen) print about their IOMMU: faults, and how it was set up.
 */
#include "doctor/log/pattern.h"

/* clang-format off */
static const struct doctor_pattern rows[] = {
	/* VT-d, 5.14 and later; 5.9 to 5.13 (all ones: no PASID); 4.x; two lines before and with Xen. */
	ROW(VTD_DMA_FAULT, "fault addr",
	    "[DMA {w} NO_PASID] Request device [{d}] fault addr {a} [fault reason {r}]"),
	ROW(VTD_DMA_FAULT, "fault addr",
	    "[DMA {w} PASID {N}] Request device [{d}] fault addr {a} [fault reason {r}]"),
	ROW(VTD_DMA_FAULT, "fault addr",
	    "[DMA {w}] Request device [{d}] PASID ffffffff fault addr {a} [fault reason "
	    "{r}]"),
	ROW(VTD_DMA_FAULT, "fault addr",
	    "[DMA {w}] Request device [{d}] PASID {N} fault addr {a} [fault reason {r}]"),
	ROW(VTD_DMA_FAULT, "fault addr",
	    "[DMA {w}] Request device [{d}] fault addr {a} [fault reason {r}]"),
	ROW(VTD_DMA_FAULT, "fault addr",
	    "[DMA {w}< NO_PASID>< PASID {x}>] Request device [<[>{d}]< PASID {x}> fault "
	    "addr {a}",
	    .act = ACT_REASON_FOLLOWS),
	ROW(VTD_IR_FAULT, "fault index",
	    "Request device< >[<[>{d}] fault index {N} [fault reason {r}]"),
	ROW(VTD_IR_FAULT, "fault index",
	    "Request device< >[<[>{d}] fault index {N}", .act = ACT_REASON_FOLLOWS),
	ROW(VTD_DMA_FAULT, "fault reason", "[fault reason {r}]", .act = ACT_REASON),
	ROW(VTD_DMA_FAULT, "DMAR: reason", "DMAR: reason {R}", .act = ACT_REASON),
	ROW(VTD_IR_FAULT, "REMAP: reason", "REMAP: reason {R}", .act = ACT_REASON),
	ROW(VTD_SUPPRESSED, "callbacks suppressed",
	    "{*}{=dmar_fault|amd_iommu_report_page_fault|amd_iommu_print_event|"
	    "iommu_print_event|amd_iommu_int_thread|arm_smmu_evtq_thread|"
	    "arm_smmu_context_fault}: {n} callbacks suppressed"),
	ROW(VTD_INVALIDATION, "VT-d detected",
	    "VT-d detected {=Invalidation Time-out Error|Invalidation Completion Error|"
	    "Invalidation Queue Error}"),
	ROW(VTD_INVALIDATION, "Invalidation Time-out Error", "{=Invalidation Time-out Error}: SID"),

	/* AMD-Vi: the device is in the brackets, or before them. Flags are missing where people cut. */
	ROW(AMD_PAGE_FAULT, "IO_PAGE_FAULT",
	    "IO_PAGE_FAULT device={d} domain={N} address={a}< flags={R}>"),
	ROW(AMD_PAGE_FAULT, "IO_PAGE_FAULT", "IO_PAGE_FAULT domain={N} address={a}< flags={R}>"),
	ROW(AMD_PAGE_FAULT, "IO_PAGE_FAULT", "IO_PAGE_FAULT device={d} {*}address={a}< flags={R}>"),
	ROW(AMD_PAGE_FAULT, "IO_PAGE_FAULT", "IO_PAGE_FAULT {*}address={a}< flags={R}>"),
	ROW(AMD_ILLEGAL_DTE, "ILLEGAL_DEV_TABLE",
	    "ILLEGAL_DEV_TABLE_ENTRY device={d} {*}address={a}< flags={R}>"),
	ROW(AMD_ILLEGAL_DTE, "ILLEGAL_DEV_TABLE",
	    "ILLEGAL_DEV_TABLE_ENTRY {*}address={a}< flags={R}>"),
	ROW(AMD_INVALID_REQUEST, "INVALID_DEVICE_REQ",
	    "INVALID_DEVICE_REQUEST device={d} {*}address={a}< flags={R}>"),
	ROW(AMD_INVALID_REQUEST, "INVALID_DEVICE_REQ",
	    "INVALID_DEVICE_REQUEST {*}address={a}< flags={R}>"),
	ROW(AMD_IOTLB_TIMEOUT, "IOTLB_INV_TIMEOUT", "IOTLB_INV_TIMEOUT device={d} address={a}"),
	ROW(AMD_IOTLB_TIMEOUT, "IOTLB_INV_TIMEOUT", "IOTLB_INV_TIMEOUT"),
	ROW(AMD_COMPLETION_WAIT, "Completion-Wait", "Completion-Wait loop timed out"),
	ROW(AMD_OTHER_EVENT, "TAB_HARDWARE_ERROR",
	    "{*}{=DEV_TAB_HARDWARE_ERROR|PAGE_TAB_HARDWARE_ERROR} device={d} "
	    "{*}address={a}< flags={R}>"),
	ROW(AMD_OTHER_EVENT, "TAB_HARDWARE_ERROR",
	    "{*}{=DEV_TAB_HARDWARE_ERROR|PAGE_TAB_HARDWARE_ERROR} {*}address={a}< "
	    "flags={R}>"),
	ROW(AMD_OTHER_EVENT, "INVALID_PPR_REQUEST",
	    "{=INVALID_PPR_REQUEST} device={d} {*}address={a}< flags={R}>"),
	ROW(AMD_OTHER_EVENT, "ILLEGAL_COMMAND_ERROR",
	    "ILLEGAL_COMMAND_ERROR address={a}", .name = "ILLEGAL_COMMAND_ERROR"),
	ROW(AMD_OTHER_EVENT, "COMMAND_HARDWARE_ERROR",
	    "COMMAND_HARDWARE_ERROR address={a}< flags={R}>",
	    .name = "COMMAND_HARDWARE_ERROR"),
	ROW(AMD_OTHER_EVENT, "RMP_PAGE_FAULT",
	    "RMP_PAGE_FAULT {*}gpa={a}, {*} flags={R}", .name = "RMP_PAGE_FAULT"),
	ROW(AMD_OTHER_EVENT, "RMP_HW_ERROR",
	    "RMP_HW_ERROR {*}spa={a}, flags={R}", .name = "RMP_HW_ERROR"),
	ROW(AMD_OTHER_EVENT, "logged [UNKNOWN", "Event logged [UNKNOWN", .name = "UNKNOWN"),
	ROW(AMD_OTHER_EVENT, "event log overflow", "IOMMU event log overflow", .name = "overflow"),

	/* SMMUv3: a line, four words, and since 6.14 the same in words. */
	ROW(SMMU_FAULT, "arm-smmu-v3",
	    "arm-smmu-v3 {_}: event {R} received:", .act = ACT_SMMU_EVENT),
	ROW(SMMU_FAULT, "arm-smmu-v3",
	    "arm-smmu-v3 {_}: event: {t} client: {d} sid: {N} ssid: {x} iova: {a}",
	    .act = ACT_SMMU_TEXT),
	ROW(SMMU_FAULT, "arm-smmu-v3",
	    "arm-smmu-v3 {_}: event: {t} client: {d} sid: {N}", .act = ACT_SMMU_TEXT),
	ROW(SMMU_FAULT, "arm-smmu-v3",
	    "arm-smmu-v3 {_}: event: {t} client: {*} sid: {N}< ssid: {x} iova: {a}>",
	    .act = ACT_SMMU_TEXT),
	ROW(SMMU_FAULT, "arm-smmu-v3",
	    "arm-smmu-v3 {_}: {|unpriv|priv} {|data|inst} {w}", .act = ACT_SMMU_HOW),
	ROW(IOMMU_WORKING, "arm-smmu-v3", "arm-smmu-v3 {_}: ias {0}-bit", .name = "SMMUv3"),
	ROW(SMMU_FAULT, "arm-smmu-v3", "arm-smmu-v3 {_}: {a}$", .act = ACT_SMMU_WORD),
	/* Xen on Arm */
	ROW(SMMU_FAULT, "SMMUv3: ", "SMMUv3: {_}: event {R} received:", .act = ACT_SMMU_EVENT),
	ROW(SMMU_FAULT, "SMMUv3: ", "SMMUv3: {_}: {a}$", .act = ACT_SMMU_WORD),
	ROW(SMMU_FAULT, NULL, "^0x{x}$", .act = ACT_SMMU_WORD),
	ROW(SMMU_FAULT, "context fault:",
	    "nhandled context fault: fsr={R}, iova={a}, fsynr={s}, cbfrsynra={N}",
	    .act = ACT_SMMU2),
	ROW(SMMU_FAULT, "context fault:",
	    "nhandled context fault: fsr={R}, iova={a}, fsynr={s}", .act = ACT_SMMU2),
	ROW(IOMMU_WORKING, "probing hardware config",
	    "arm-smmu {_}: probing hardware configuration", .name = "SMMUv2"),

	/* At boot. */
	ROW(KERNEL_BOOT, "Linux version ", "^Linux version {t}", .act = ACT_BOOT),
	ROW(IOMMU_COMMAND_LINE_ON, "IOMMU enabled", "DMAR: IOMMU enabled"),
	ROW(IOMMU_COMMAND_LINE_ON, "IOMMU: enabled", "Intel-IOMMU: enabled"),
	ROW(IOMMU_WORKING, "for Directed I/O",
	    "Intel(R) Virtualization Technology for Directed I/O", .name = "VT-d"),
	ROW(IOMMU_WORKING, "Found IOMMU", "AMD-Vi: Found IOMMU", .name = "AMD-Vi"),
	ROW(IOMMU_ADDED_TO_GROUP, "to iommu group",
	    "^Adding to iommu group {n}", .act = ACT_NEEDS_ADDRESS),
	ROW(IOMMU_ADDED_TO_GROUP, " to group ", "Adding device {d} to group {n}"),
	ROW(IOMMU_ADDRESS_WIDTH, "Host address width", "Host address width {n}"),
	ROW(IR_ENABLED, "IRQ remapping", "Enabled IRQ remapping"),
	ROW(IR_ENABLED, "nterrupt remapping enabled", "nterrupt remapping enabled"),
	ROW(IR_ENABLED, "Interrupt-remapping", "nabled Interrupt-remapping"),
	ROW(IR_UNSUPPORTED, "No interrupt remapping", "No interrupt remapping support"),
	ROW(IR_X2APIC_OPT_OUT, "no_x2apic_optout'", "no_x2apic_optout' to override"),
	ROW(IR_X2APIC_OPT_OUT, "opted out of", "opted out of {*}remapping"),
	ROW(IR_X2APIC_OPT_OUT, "x2apic be disabled", "requested that x2apic be disabled"),
	ROW(RMRR_DECLARED, "RMRR base", "RMRR base: {a} end: {z}"),
	ROW(RMRR_REFUSED, "IOMMU domain attach",
	    "ineligible for IOMMU domain attach due to platform RMRR"),
	ROW(RMRR_REFUSED, "1:1 IOMMU mapping", "requested this device have a 1:1 IOMMU mapping"),
	ROW(RMRR_RELAXED, "RMRRs are relaxable", "all RMRRs are relaxable"),
	ROW(IOMMU_TOO_NARROW, "iommu width (",
	    "iommu width ({n}) is not sufficient for the mapped address ({a})"),

	/* What checkers say, inside a container too. */
	ROW(IOMMU_HIDDEN, "acpi/tables/", "/acpi/tables/{=DMAR|IVRS|IORT}{*}ENOENT"),
	ROW(IOMMU_HIDDEN, "acpi/tables/", "/acpi/tables/{=DMAR|IVRS|IORT}{*}No such file"),
	ROW(IOMMU_HIDDEN, "table found", "No ACPI {=DMAR|IVRS|IORT} table found"),
	ROW(IOMMU_VALIDATED, "IOMMU support",
	    "device assignment IOMMU support{*}: PASS", .name = "support"),
	ROW(IOMMU_VALIDATED, "enabled by kernel",
	    "IOMMU is enabled by kernel{*}: PASS", .name = "kernel"),
	ROW(IOMMU_ABSENT, "enabled by kernel",
	    "IOMMU is enabled by kernel{*}: {|WARN|FAIL}", .name = "virt-host-validate"),

	/* Command lines, of a log or of a file that sets them. */
	ROW(KERNEL_COMMAND_LINE, "ommand line: ",
	    "^Kernel command line: ", .act = ACT_COMMAND_LINE),
	ROW(KERNEL_COMMAND_LINE, "ommand line: ", "^Command line: ", .act = ACT_COMMAND_LINE),
	ROW(KERNEL_COMMAND_LINE, "GRUB_CMDLINE", "GRUB_CMDLINE_LINUX", .act = ACT_COMMAND_LINE),
	ROW(KERNEL_COMMAND_LINE, "_iommu=", "_iommu=", .act = ACT_COMMAND_LINE),
	ROW(KERNEL_COMMAND_LINE, " iommu=pt", " iommu=pt", .act = ACT_COMMAND_LINE),
};
/* clang-format on */

const struct doctor_patterns doctor_patterns_iommu = {rows, sizeof(rows) / sizeof(*rows)};
