/* SPDX-License-Identifier: MIT */
/*
 * The rules about DMA in words: cause, looks, what decides, the trap, and what to type.
 */
#include "doctor/rules/dma_rules.h"

/* clang-format off */

#define UNMAPPED "dma-unmapped-write", "dma-unmapped-read"
#define DRIVER_CLASSES "wrong-driver", "guest-driver"

static const char *const over_unmapped[] = {UNMAPPED, NULL};
static const char *const over_unmapped_driver[] = {UNMAPPED, DRIVER_CLASSES, NULL};
static const char *const over_reads[] = {"dma-unmapped-read", "context-absent", NULL};

/* ---- Fixes ---- */

static const struct doctor_fix fix_unmapped[] = {
	{FOR_ANY, "Find the cause first: the next steps below tell the cases apart. Rule out work "
		  "of a previous owner by a cold boot with the host's driver kept away.",
	 "printf 'options vfio-pci ids={ids}\\nsoftdep {driver} pre: vfio-pci\\n' >> "
	 "/etc/modprobe.d/vfio.conf\nupdate-initramfs -u -k all\npoweroff", ""},
	{FOR_PROXMOX, "If the VM has a virtual IOMMU that it does not need, remove it.",
	 "qm config {vmid} | grep -E 'machine|args'\nqm set {vmid} --machine q35", ""},
	{FOR_GUEST, "If the VM needs its virtual IOMMU, keep it from translating the device: add "
		    "iommu=pt to the guest's kernel command line.",
	 "sed -i 's/^GRUB_CMDLINE_LINUX=\"/&iommu=pt /' "
	 "/etc/default/grub\nupdate-grub\nreboot", ""},
	{0}};

static const struct doctor_fix fix_stale[] = {
	{FOR_ANY, "Keep the host's driver from ever touching the device: bind it to vfio-pci at "
		  "boot.",
	 "printf 'options vfio-pci ids={ids}\\nsoftdep {driver} pre: vfio-pci\\n' >> "
	 "/etc/modprobe.d/vfio.conf\nupdate-initramfs -u -k all\npoweroff   # a reboot may keep "
	 "the slot powered", ""},
	{FOR_ANY, "Choose a reset that reaches the device, and look which ones there are.",
	 "cat /sys/bus/pci/devices/{device}/reset_method\n"
	 "echo bus > /sys/bus/pci/devices/{device}/reset_method", ""},
	{FOR_PROXMOX, "Hand over all functions of the device together, so that they are reset "
		      "together: give the address without its function.",
	 "DEVICE={device}\nqm set {vmid} --hostpci0 \"${DEVICE%.*},pcie=1\"", ""},
	{FOR_LIBVIRT, "Hand over all functions of the device in one domain.",
	 "virsh edit {vmid}   # one <hostdev> per function", ""},
	{FOR_GUEST, "Unload the device's driver before the VM is switched off.",
	 "modprobe -r DRIVER && poweroff", ""},
	{0}};

static const struct doctor_fix fix_guest_reset[] = {
	{FOR_GUEST, "Shut the guest down instead of rebooting it, so that its driver stops the "
		    "engine first.",
	 "poweroff", ""},
	{FOR_PROXMOX, "Stop and start the VM: the device is reset in between. A reboot inside the "
		      "guest is not the same.",
	 "qm shutdown {vmid} && qm wait {vmid} && qm start {vmid}", ""},
	{FOR_ANY, "For a display engine: keep the host's framebuffer off it, and let no other "
		  "function be left out.",
	 "cat /sys/bus/pci/devices/{device}/reset_method\nlspci -nnk -s {device}", ""},
	{0}};

static const struct doctor_fix fix_alias[] = {
	{FOR_ANY, "Use a newer kernel: it may know the device's second id (a DMA alias quirk).",
	 "uname -r\nDEVICE={device}\nlspci -nn -s \"${DEVICE%.*}\"", ""},
	{FOR_ANY, "Until then use another card, or a slot without a bridge to conventional PCI.",
	 "lspci -tv", ""},
	{0}};

static const struct doctor_fix fix_context[] = {
	{FOR_ANY, "Once at hand-over: nothing to do. Repeated: stop the device before it changes "
		  "hands; unload its driver, and reset it.",
	 "lspci -nnk -s {device}\ncat /sys/bus/pci/devices/{device}/reset_method", ""},
	{0}};

static const struct doctor_fix fix_truncated[] = {
	{FOR_ANY, "Update the kernel: a quirk that limits the device's address width cures it.",
	 "uname -r", ""},
	{FOR_PROXMOX, "Until then keep the guest's memory below the limit (below 4 GiB to be "
		      "sure).",
	 "qm set {vmid} --memory 2048", ""},
	{FOR_LIBVIRT, "Until then keep the guest's memory below the limit.",
	 "virsh setmaxmem {vmid} 2G --config && virsh setmem {vmid} 2G --config", ""},
	{0}};

static const struct doctor_fix fix_bypass[] = {
	{FOR_ANY, "Update the driver, or report it: it must give the device addresses from the "
		  "DMA API (dma_map_*), not physical ones.",
	 "modinfo {driver} | grep -E '^(version|filename)'", ""},
	{FOR_ANY, "Until then give the device an identity domain on this host, where both are the "
		  "same. This takes the protection away for it.",
	 "cat /sys/bus/pci/devices/{device}/iommu_group/type\n"
	 "# kernel command line: iommu=pt, then reboot", ""},
	{FOR_ANY, "Or use the card in a VM: there guest addresses are mapped, and such a driver "
		  "works.", "", ""},
	{0}};

static const struct doctor_fix fix_window[] = {
	{FOR_ANY, "Update the firmware of the endpoint: it took its outbound window away while an "
		  "interrupt was still on its way.",
	 "lspci -vv -s {device}", ""},
	{0}};

static const struct doctor_fix fix_p2p[] = {
	{FOR_ANY, "One device alone needs no peer-to-peer. For two that talk: both BARs must be "
		  "mapped in the guest's container, and the switch must route between them.",
	 "lspci -vv | grep -E '^[0-9a-f]|ACSCtl'", ""},
	{FOR_GUEST, "Or switch peer-to-peer off in the application or driver (for NCCL: "
		    "NCCL_P2P_DISABLE=1).",
	 "export NCCL_P2P_DISABLE=1", ""},
	{0}};

static const struct doctor_fix fix_none[] = {
	{FOR_ANY, "Nothing to do.", "", ""},
	{0}};

/* ---- Rules ---- */

static const struct doctor_rule rules[] = {
	{
		.id = "dma-unmapped-write",
		.title = "The device writes to an address that its IOMMU domain does not map",
		.severity = DOCTOR_ERROR, .hop = HOP_DMA,
		.judge = dma_judge,
		.cause = "The device used an address for which its domain has no mapping. That is "
			 "the general class: who made the address decides the cause.",
		.shows = "VT-d reasons 0x05, 0x79, 0x85; AMD IO_PAGE_FAULT with flags 0x0020; "
			 "SMMU F_TRANSLATION with a write.",
		.decides = "Whether the address is guest memory, zero, an interrupt message, a "
			   "BAR, reserved, the host's, or too wide; whether the guest has an "
			   "IOMMU of its own; when it happened.",
		.trap = "\"The page is mapped without write permission.\" A missing entry is "
			"reported in the same words.",
		.fixes = fix_unmapped,
	},
	{
		.id = "dma-unmapped-read",
		.title = "The device reads from an address that its IOMMU domain does not map",
		.severity = DOCTOR_ERROR, .hop = HOP_DMA,
		.cause = "The device used an address for which its domain has no mapping. That is "
			 "the general class: who made the address decides the cause.",
		.shows = "VT-d reasons 0x06, 0x79, 0x71, 0x86; AMD IO_PAGE_FAULT with flags "
			 "0x0000; SMMU F_TRANSLATION with a read.",
		.decides = "The same questions as for writes. Only the direction differs.",
		.trap = "\"Read access is not set, so a ROM or a table is missing.\" The "
			"direction only tells what the device wanted to do.",
		.fixes = fix_unmapped,
	},
	{
		.id = "stale-dma-no-reset",
		.title = "The device still works for its previous owner",
		.severity = DOCTOR_ERROR, .hop = HOP_DEVICE,
		.swallows = over_unmapped,
		.cause = "The device was not reset, or its reset does not reach the part that "
			 "moves data. It goes on with addresses of the host's driver or of the "
			 "guest before.",
		.shows = "Faults between the leave of the host's driver and the start of the "
			 "guest's, or after a guest stopped; on AMD flags 0x0050 or 0x0070.",
		.decides = "It is gone after a cold boot with the host's driver kept away; "
			   "reset_method is empty, or only \"bus\" with other functions beside.",
		.trap = "\"The guest programs wrong addresses.\"",
		.fixes = fix_stale,
	},
	{
		.id = "dma-after-guest-reset",
		.title = "The device keeps reading after the guest was reset",
		.severity = DOCTOR_ERROR, .hop = HOP_DEVICE,
		.swallows = over_reads,
		.cause = "An engine, most often the display's, was not stopped before the guest "
			 "rebooted. It reads addresses that the new guest has not mapped.",
		.shows = "A steady stream of read faults, with \"callbacks suppressed\", around a "
			 "reboot of the guest.",
		.decides = "It stops when the VM is switched off and started, instead of rebooted.",
		.trap = "\"The host's mapping was lost.\"",
		.fixes = fix_guest_reset,
	},
	{
		.id = "requester-alias",
		.title = "Requests carry an id that no device has",
		.severity = DOCTOR_ERROR, .hop = HOP_DMA,
		.swallows = over_unmapped_driver,
		.cause = "A device sends requests with another function's number, or a bridge "
			 "puts its own id on them, and the kernel does not know this alias.",
		.shows = "Reason 0x02 (or 0x05, 0x06) for a function that lspci does not list, or "
			 "for a bridge; the device times out.",
		.decides = "lspci: the function does not exist, or is a bridge to conventional "
			   "PCI.",
		.trap = "\"Another device is misbehaving.\"",
		.fixes = fix_alias,
	},
	{
		.id = "context-absent",
		.title = "The device had no IOMMU domain at that moment",
		.severity = DOCTOR_ERROR, .hop = HOP_DMA,
		.cause = "The requester id was attached to no domain: a hand-over between "
			 "drivers, a crash kernel, or a device that was left running.",
		.shows = "VT-d reasons 0x01, 0x02, 0x39, 0x41 for an existing device; SMMU "
			 "C_BAD_STE.",
		.decides = "Once at hand-over is harmless; repeated, the device runs while nobody "
			   "owns it.",
		.trap = "\"The address is wrong.\" No table was looked at, so the address says "
			"nothing.",
		.fixes = fix_context,
	},
	{
		.id = "dma-mask-truncated",
		.title = "The device drops bits of the addresses it is given",
		.severity = DOCTOR_ERROR, .hop = HOP_DEVICE,
		.swallows = over_unmapped_driver,
		.cause = "The device claims more address bits than it keeps, or writes a 64-bit "
			 "address in two halves and uses it in between.",
		.shows = "The faulting address equals a real one without its top bits, or lies "
			 "just below 2^n.",
		.decides = "A guest with little memory works, one with much does not.",
		.trap = "\"The mapping is missing.\" The right address is mapped, the device used "
			"another.",
		.fixes = fix_truncated,
	},
	{
		.id = "driver-bypasses-dma-api",
		.title = "The host's driver gives the device physical addresses",
		.severity = DOCTOR_ERROR, .hop = HOP_DMA,
		.swallows = over_unmapped_driver,
		.cause = "The driver hands out physical addresses instead of those of the DMA "
			 "API. Without translation both are the same, with it none is mapped.",
		.shows = "Every transfer faults at a fresh, large, well aligned address while "
			 "control traffic works.",
		.decides = "The address is \"System RAM\" of the host, and the group's type is "
			   "DMA.",
		.trap = "Switching the IOMMU off as a cure: the fault stays, only nobody tells.",
		.fixes = fix_bypass,
	},
	{
		.id = "device-window-address",
		.title = "The device sends an address of its own inner bus",
		.severity = DOCTOR_ERROR, .hop = HOP_DEVICE,
		.swallows = over_unmapped,
		.cause = "The endpoint took down its window to the host while a write was still "
			 "on its way, so the write leaves with the window's own address.",
		.shows = "A write that ends in 0x040, in a page that the host never gave out.",
		.decides = "The address is in the endpoint's memory map, not in the host's or the "
			   "guest's.",
		.trap = "\"The host's mapping of the interrupt went missing.\"",
		.fixes = fix_window,
	},
	{
		.id = "acs-p2p",
		.title = "The device wants to reach another device, not memory",
		.severity = DOCTOR_ERROR, .hop = HOP_BAR,
		.swallows = over_unmapped,
		.cause = "Peer-to-peer traffic goes to a BAR that is not mapped in the guest's "
			 "container, or a switch does not route it.",
		.shows = "Faults at the address of a BAR; QEMU says \"PCI peer-to-peer "
			 "transactions on BARs are not supported\".",
		.decides = "The address lies in a BAR as the guest sees it.",
		.trap = "Taking QEMU's warning for a failure: a single device does not need it.",
		.fixes = fix_p2p,
	},
	{
		.id = "boot-fault-benign",
		.title = "A fault from the start of the machine; harmless",
		.severity = DOCTOR_INFO, .hop = HOP_NONE,
		.cause = "Firmware left a device running, most often the display, while the "
			 "kernel switched translation on.",
		.shows = "A few faults in the first two seconds, most often of 00:02.0, before "
			 "any VM.",
		.decides = "The time, and that it does not come again.",
		.trap = "Taking it for the cause of a VM that fails hours later.",
		.fixes = fix_none,
	},
	{
		.id = "other-device-benign",
		.title = "A fault of a device that no guest has; harmless",
		.severity = DOCTOR_INFO, .hop = HOP_NONE,
		.cause = "The requester is the chipset, the root complex or a device that stays "
			 "with the host.",
		.shows = "f0:1f.0 or 00:1f.0 with index 0 and reason 0x25 at boot; "
			 "INVALID_DEVICE_REQUEST of a root complex.",
		.decides = "Whose requester id it is.",
		.trap = "Blaming the guest's device for it.",
		.fixes = fix_none,
	},
};

const struct doctor_rules doctor_rules_dma = {rules, sizeof(rules) / sizeof(rules[0])};
