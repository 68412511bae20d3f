/* SPDX-License-Identifier: MIT */
/*
 * The rules about interrupts in words: cause, looks, what decides, the trap, and what to type.
 */
#include "doctor/rules/dma_rules.h"

/* clang-format off */

static const char *const over_raw[] = {"irte-not-present", "compat-msi-blocked", "wrong-driver",
				       "guest-driver", NULL};
static const char *const over_driver[] = {"wrong-driver", "guest-driver", NULL};
static const char *const over_vectors[] = {"wrong-driver", "guest-driver", "raw-msi-in-bar", NULL};
static const char *const over_write[] = {"dma-unmapped-write", NULL};

/* ---- Fixes ---- */

static const struct doctor_fix fix_raw[] = {
	{FOR_GUEST, "Use a driver or firmware that does not copy the message: one that interrupts "
		    "through the MSI capability, or that polls. Look for an option and for an "
		    "update.",
	 "modinfo DRIVER | grep -iE '^(version|parm)'", ""},
	{FOR_GUEST, "Where the driver can poll, let it poll.", "modinfo DRIVER | grep -i poll", ""},
	{FOR_ANY, "Or keep the card on the host and give the guest its service over the network "
		  "or a socket.", "", ""},
	{0}};

static const struct doctor_fix fix_compat[] = {
	{FOR_ANY, "Update the host's kernel and firmware: a device of the host was left out of "
		  "interrupt remapping. If it began with an update, start the kernel before it.",
	 "uname -r\nproxmox-boot-tool kernel list 2>/dev/null || ls /boot/vmlinuz-*", ""},
	{FOR_ANY, "Look which interrupts are remapped: their chips are named IR-...",
	 "grep -vE ' IR-' /proc/interrupts | grep -i msi\ndmesg | grep -iE 'remapping|x2apic'", ""},
	{0}};

static const struct doctor_fix fix_irte[] = {
	{FOR_ANY, "Make the device forget its old message: switch the machine off and on, and "
		  "keep the host's driver from loading for it.",
	 "printf 'options vfio-pci ids={ids}\\nsoftdep {driver} pre: vfio-pci\\n' >> "
	 "/etc/modprobe.d/vfio.conf\nupdate-initramfs -u -k all\npoweroff", ""},
	{FOR_ANY, "If the device stays with the host: update the kernel. Its driver freed the "
		  "vector while the device still fired.",
	 "uname -r", ""},
	{FOR_PROXMOX, "If the VM has a virtual IOMMU that it does not need, remove it: then the "
		      "guest composes no handles of its own.",
	 "qm config {vmid} | grep machine\nqm set {vmid} --machine q35", ""},
	{0}};

static const struct doctor_fix fix_sid[] = {
	{FOR_ANY, "Update the kernel that owns the table (in a VM with a virtual IOMMU: the "
		  "guest's): it must allow the id that the bridge uses.",
	 "uname -r\nlspci -tv", ""},
	{FOR_ANY, "Or put the device where no bridge changes its id: another slot, or in the VM a "
		  "root port.", "", ""},
	{0}};

static const struct doctor_fix fix_unprogrammed[] = {
	{FOR_ANY, "Reload the device's driver, so that it programs the message before the device "
		  "fires.",
	 "echo {device} > /sys/bus/pci/devices/{device}/driver/unbind\n"
	 "echo {device} > /sys/bus/pci/drivers_probe\nlspci -vv -s {device} | grep -A2 'MSI:'", ""},
	{FOR_ANY, "If it comes again, update the kernel: the driver lets the device interrupt too "
		  "early.",
	 "uname -r", ""},
	{0}};

static const struct doctor_fix fix_doorbell[] = {
	{FOR_ANY, "Update the host's kernel: it must map the doorbell's page for the guest's "
		  "domain.",
	 "uname -r\ngrep . /sys/kernel/iommu_groups/{group}/reserved_regions   # wants a line "
	 "\"msi\"", ""},
	{0}};

static const struct doctor_fix fix_vectors[] = {
	{FOR_ANY, "Host: use a newer kernel, or another slot: the interrupt controller above the "
		  "device has too few vectors.",
	 "lspci -vv -s {device} | grep -E 'MSI|MSI-X'\nuname -r", ""},
	{FOR_PROXMOX, "VM: give it interrupt remapping; x86 kernels hand out several MSI vectors "
		      "only with it.",
	 "qm set {vmid} --machine q35,viommu=intel   # then iommu=pt on the guest's kernel "
	 "command line", ""},
	{FOR_QEMU, "The same for plain QEMU.",
	 "-machine q35,kernel-irqchip=split -device intel-iommu,intremap=on,caching-mode=on", ""},
	{FOR_GUEST, "Or use a driver option for one vector, where there is one.",
	 "modinfo DRIVER | grep -iE 'msi|irq|vector'", ""},
	{0}};

static const struct doctor_fix fix_shared_page[] = {
	{FOR_QEMU, "Let QEMU move the MSI-X table to a page of its own.",
	 "-device vfio-pci,host={device},x-msix-relocation=auto", ""},
	{FOR_PROXMOX, "The same on Proxmox, through args.",
	 "qm set {vmid} --args '-set device.hostpci0.x-msix-relocation=auto'", ""},
	{FOR_ANY, "Hypervisors that do not forward the rest of the page can't run this device. "
		  "KVM can.", "", ""},
	{0}};

/* ---- Rules ---- */

static const struct doctor_rule rules[] = {
	{
		.id = "raw-msi-in-bar",
		.title = "The guest's interrupt message was copied into the device, where nobody "
			 "translates it",
		.severity = DOCTOR_ERROR, .hop = HOP_INTERRUPT,
		.judge = interrupt_judge,
		.swallows = over_raw,
		.cause = "VFIO translates the MSI capability. A driver that also writes the "
			 "message into registers, firmware or a DMA engine writes the guest's, "
			 "which the host never gave out.",
		.shows = "Guest: time-outs (-110), \"firmware crashed\". Host: reason 0x25; with "
			 "a virtual IOMMU in the guest 0x20, 0x21, 0x22 or 0x26.",
		.decides = "The guest's MSI address and data differ from the host's, and the "
			   "driver reads the message to give it to the device.",
		.trap = "\"Interrupt remapping is broken\", allow_unsafe_interrupts, new firmware "
			"files. With intremap=off the raw vector hits some vector of the host.",
		.fixes = fix_raw,
	},
	{
		.id = "compat-msi-blocked",
		.title = "A device of the host sends interrupts without a handle, which remapping "
			 "blocks",
		.severity = DOCTOR_ERROR, .hop = HOP_INTERRUPT,
		.swallows = over_driver,
		.cause = "The device's interrupt was set up without remapping: a kernel's "
			 "regression, a bridge like VMD, Thunderbolt, or firmware.",
		.shows = "Reason 0x25 (or decimal 37) for a device that no guest has.",
		.decides = "Its chip in /proc/interrupts is not named IR-...; another kernel does "
			   "not do it.",
		.trap = "intremap=off as a cure.",
		.fixes = fix_compat,
	},
	{
		.id = "irte-not-present",
		.title = "The device fires an interrupt whose entry is not live",
		.severity = DOCTOR_ERROR, .hop = HOP_INTERRUPT,
		.swallows = over_driver,
		.cause = "The vector was freed or not yet activated, the device still holds an "
			 "earlier owner's message, or it carries a guest's own handle.",
		.shows = "Reason 0x22 (or decimal 34); AMD IO_PAGE_FAULT at 0xfffffffdf8000000 "
			 "with flags 0x0008.",
		.decides = "The index against the live entries; the time against close and "
			   "unbind; whether the guest has an IOMMU that remaps interrupts.",
		.trap = "\"The IRTE was lost.\" Nobody made one for this index.",
		.fixes = fix_irte,
	},
	{
		.id = "irte-sid-mismatch",
		.title = "The interrupt's entry belongs to another requester id",
		.severity = DOCTOR_ERROR, .hop = HOP_INTERRUPT,
		.swallows = over_driver,
		.cause = "The entry is live, but allows another id: a bridge puts its own on the "
			 "message, the kernel computed the wrong one, or the handle is another "
			 "device's.",
		.shows = "Reason 0x26 (or decimal 38).",
		.decides = "A bridge in front of the device; whose entry the index is.",
		.trap = "Blaming the disk or card that times out.",
		.fixes = fix_sid,
	},
	{
		.id = "msi-unprogrammed",
		.title = "The device interrupts before it was given a message",
		.severity = DOCTOR_ERROR, .hop = HOP_INTERRUPT,
		.swallows = over_write,
		.cause = "The MSI address is still 0, so the interrupt leaves the device as a "
			 "memory write to 0.",
		.shows = "A DMA write fault at address 0x0 (reason 0x05), not an interrupt fault.",
		.decides = "lspci -vv: MSI: Enable+ with Address: 00000000.",
		.trap = "Looking for a lost buffer.",
		.fixes = fix_unprogrammed,
	},
	{
		.id = "msi-doorbell-unmapped",
		.title = "The page of the interrupt doorbell is not mapped for the device",
		.severity = DOCTOR_ERROR, .hop = HOP_INTERRUPT,
		.swallows = over_write,
		.cause = "On Arm an interrupt message is a write to a page of the ITS, which the "
			 "host must map in the guest's domain, and did not.",
		.shows = "SMMU: a write fault at an address that ends in 0x040.",
		.decides = "The low 12 bits; reserved_regions has an \"msi\" line.",
		.trap = "Looking for a missing buffer.",
		.fixes = fix_doorbell,
	},
	{
		.id = "msi-vectors-short",
		.title = "There are fewer interrupt vectors than the driver insists on",
		.severity = DOCTOR_ERROR, .hop = HOP_INTERRUPT,
		.judge = interrupt_judge_vectors,
		.swallows = over_vectors,
		.cause = "The interrupt controller or the machine's model has too few MSI "
			 "vectors, or an x86 guest without interrupt remapping gets only one.",
		.shows = "\"Failed to enable MSI -28\", or a driver that stops because it got "
			 "fewer vectors.",
		.decides = "lspci -vv: MSI: Count=1/32; another kernel or machine type gives more.",
		.trap = "\"The card is broken.\"",
		.fixes = fix_vectors,
	},
	{
		.id = "msix-shared-page",
		.title = "The MSI-X table shares a page with registers, and the hypervisor traps "
			 "the page",
		.severity = DOCTOR_ERROR, .hop = HOP_BAR,
		.judge = interrupt_judge_pages,
		.swallows = over_driver,
		.cause = "The hypervisor intercepts the page of the MSI-X table. Ordinary "
			 "registers in the same page do not reach the device.",
		.shows = "\"Page table init timed out\", \"MSI-X table init timed out\", \"RAM "
			 "did not enable within timeout\".",
		.decides = "It works on bare metal and under KVM, not under a hypervisor that "
			   "traps the whole page.",
		.trap = "Driver reinstall.",
		.fixes = fix_shared_page,
	},
};

const struct doctor_rules doctor_rules_interrupt = {rules, sizeof(rules) / sizeof(rules[0])};
