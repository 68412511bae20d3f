/* SPDX-License-Identifier: MIT */
/*
 * Guest memory, address widths, and BARs.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "doctor/rules/state.h"

enum { MEMLOCK, EXHAUSTED, APERTURE, RESERVED, BAR_EFAULT, MMIO_WINDOW, RULES };
static const struct doctor_rule rules[RULES];

#define GIB ((uint64_t)1 << 30)
#define MIB ((uint64_t)1 << 20)
/* Of client CPUs, and of QEMU's virtual VT-d unless told otherwise. */
#define NARROW_BITS 39
#define X86_MSI_START 0xfee00000ull
#define X86_MSI_END 0xfeefffffull
#define AMD_HT_START 0xfd00000000ull
#define AMD_HT_END 0xffffffffffull

static bool failed_with(const struct doctor_fact *fact, uint32_t err)
{
	return fact->has_reason && fact->reason == err;
}

/* Guest memory by the name that QEMU gives it: "pc.ram", "mach-virt.ram", "/objects/ram0". */
static bool is_ram(const struct doctor_fact *fact)
{
	return strstr(fact->name, "ram") && !strstr(fact->name, "ramfb") &&
	       !strstr(fact->name, "vram");
}

static bool overlaps(uint64_t start, uint64_t size, uint64_t first, uint64_t last)
{
	uint64_t end = size && size - 1 <= UINT64_MAX - start ? start + (size - 1) : start;

	return start <= last && end >= first;
}

/* --- memlock --- */

static bool map_enomem(const struct doctor_case *seen, const struct doctor_fact *fact)
{
	(void)seen;
	return failed_with(fact, ENOMEM);
}

static const struct doctor_signal memlock_confirm[] = {
	{DOCTOR_MEMLOCK_EXCEEDED, 94, NULL,
	 "The kernel counted the pages that QEMU wanted to pin against its limit, and it was too "
	 "low."},
	{DOCTOR_MAP_FAILED, 75, map_enomem,
	 "ENOMEM at this step is the limit on locked memory, seldom a lack of memory."},
	{DOCTOR_FACT_NONE, 0, NULL, NULL},
};

static const struct machine_vm *largest_vm(const struct machine *host)
{
	const struct machine_vm *largest = NULL;

	for (size_t i = 0; host && i < host->vm_count; i++)
		if (host->vm[i].device_count + host->vm[i].mdev_count &&
		    (!largest || host->vm[i].ram > largest->ram))
			largest = &host->vm[i];
	return largest;
}

static void memlock_of_vm(struct doctor_judge *judge, const struct doctor_rule *rule,
			  const struct machine_vm *vm)
{
	struct doctor_finding *finding;

	/* Root's QEMU has CAP_IPC_LOCK. What is pinned already can't fail any more. */
	if (!vm->running || !(vm->device_count + vm->mdev_count) || !vm->uid || !vm->ram ||
	    !vm->memlock_limit || vm->memlock_limit >= vm->ram || vm->locked >= vm->ram)
		return;
	finding = judge_find(judge, rule->id, NULL);
	if (!finding) {
		finding = judge_add(judge, rule, NULL, 75);
		finding->severity = DOCTOR_WARNING;
	} else {
		judge_confirm(finding, 75);
	}
	judge_state(judge, finding, vm->source,
		    "VM %s has %" PRIu64 " MiB of memory, and its QEMU (user %u) may lock %" PRIu64
		    " MiB.",
		    vm->name, vm->ram / MIB, vm->uid, vm->memlock_limit / MIB);
}

static void memlock_judge(struct doctor_judge *judge, const struct doctor_rule *rule)
{
	const struct doctor_case *seen = judge_case(judge);
	const struct machine *host = state_host(seen);
	const struct machine_vm *vm = largest_vm(host);
	const struct doctor_fact *fact = NULL;
	struct doctor_finding *finding;

	while ((fact = doctor_fact_next(seen->facts, DOCTOR_MEMLOCK_EXCEEDED, fact))) {
		finding = judge_find_fact(judge, rule->id, fact);
		if (!finding || !fact->has_number)
			continue;
		judge_why(judge, finding, "The limit was %" PRIu64 " bytes (%" PRIu64 " MiB).",
			  fact->number, fact->number / MIB);
		if (!vm || !vm->ram)
			judge_next(
				judge, finding, "Compare the limit with the VM's memory.",
				"grep 'locked memory' /proc/$(pgrep -o qemu)/limits",
				"Below the memory plus about 1 GiB: this is it. Above it: look for "
				"a kernel bug or for memory that is counted twice.");
		else if (fact->number >= vm->ram + GIB) {
			judge_refute(finding, 60);
			judge_why(judge, finding,
				  "But the largest VM with a device has only %" PRIu64
				  " MiB, so the limit should do.",
				  vm->ram / MIB);
		}
	}
	for (size_t i = 0; host && i < host->vm_count; i++)
		memlock_of_vm(judge, rule, &host->vm[i]);
}

static const struct doctor_fix memlock_fixes[] = {
	{FOR_LIBVIRT, "Set a hard limit of the VM's memory plus 1 GiB or more (here for 16 GiB).",
	 "virsh edit {vmid}\n# <memtune><hard_limit unit='GiB'>18</hard_limit></memtune>", ""},
	{FOR_QEMU, "Raise the limit of the user or the service that starts QEMU.",
	 "# /etc/security/limits.d/vfio.conf; log in again\n"
	 "echo '@kvm - memlock unlimited' > /etc/security/limits.d/vfio.conf\n"
	 "# or, in a systemd unit: LimitMEMLOCK=infinity",
	 ""},
	{FOR_ANY, "In a container, raise it where the container is started.",
	 "docker run --ulimit memlock=-1 ...", ""},
	{0},
};

/* --- dma-mappings-exhausted --- */

/* The nvme:// block driver in QEMU meets ENOSPC in its daily work and tries again. */
static bool map_enospc(const struct doctor_case *seen, const struct doctor_fact *fact)
{
	(void)seen;
	return failed_with(fact, ENOSPC) && !state_line_has(fact, "nvme");
}

static const struct doctor_signal exhausted_confirm[] = {
	{DOCTOR_MAP_FAILED, 85, map_enospc, "The container's table of mappings is full."},
	{DOCTOR_MAPPINGS_RUNNING_OUT, 65, NULL,
	 "QEMU itself counted the mappings and warns that they may not suffice."},
	{DOCTOR_FACT_NONE, 0, NULL, NULL},
};

static void exhausted_judge(struct doctor_judge *judge, const struct doctor_rule *rule)
{
	const struct doctor_case *seen = judge_case(judge);
	const struct doctor_fact *fact = NULL;
	struct doctor_finding *finding;

	while ((fact = doctor_fact_next(seen->facts, DOCTOR_MAP_FAILED, fact)))
		if (map_enospc(seen, fact))
			return;
	fact = doctor_fact_next(seen->facts, DOCTOR_MAPPINGS_RUNNING_OUT, NULL);
	finding = fact ? judge_find_fact(judge, rule->id, fact) : NULL;
	if (!finding)
		return;
	finding->severity = DOCTOR_WARNING;
	judge_why(judge, finding, "So far it is a warning: no mapping failed yet.");
}

static const struct doctor_fix exhausted_fixes[] = {
	{FOR_ANY, "Allow more mappings in a container (the default is 65535).",
	 "echo 'options vfio_iommu_type1 dma_entry_limit=1048576' "
	 "> /etc/modprobe.d/vfio-entries.conf\n"
	 "echo 1048576 > /sys/module/vfio_iommu_type1/parameters/dma_entry_limit",
	 ""},
	{FOR_QEMU, "Make fewer and larger pieces: a larger block size of virtio-mem.",
	 "-device virtio-mem-pci,block-size=1G,...", ""},
	{0},
};

/* --- aperture-39bit, reserved-iova, bar-map-efault: one mapping that failed --- */

/* Bits that the host's IOMMU translates, as far as anybody said; 0 = nobody. */
static unsigned int iommu_bits(const struct doctor_case *seen)
{
	const struct machine *host = state_host(seen);
	const struct doctor_fact *width;

	width = doctor_fact_next(seen->facts, DOCTOR_IOMMU_TOO_NARROW, NULL);
	if (!width)
		width = doctor_fact_next(seen->facts, DOCTOR_IOMMU_ADDRESS_WIDTH, NULL);
	if (width && width->has_number && width->number >= 30 && width->number < 64)
		return (unsigned int)width->number;
	return host && host->acpi.address_width < 64 ? host->acpi.address_width : 0;
}

/*
 * A guest's memory that reaches into the last 12 GiB below 1 TiB, where AMD's hosts keep
 * HyperTransport's window. Hosts with 39 bits don't have that much memory.
 */
static bool over_hypertransport(const struct doctor_case *seen, const struct doctor_fact *fact)
{
	unsigned int bits = iommu_bits(seen);

	return is_ram(fact) && fact->has_address && fact->has_size && (!bits || bits > 40) &&
	       overlaps(fact->address, fact->size, AMD_HT_START, AMD_HT_END);
}

static bool too_wide(const struct doctor_case *seen, const struct doctor_fact *fact)
{
	unsigned int bits = iommu_bits(seen);

	if (!fact->has_address || over_hypertransport(seen, fact))
		return false;
	/* 48 bits would hold the address, but few hosts' tables are that deep. */
	if (!bits || bits > 47)
		bits = NARROW_BITS;
	return overlaps(fact->address, fact->size, 1ull << bits, UINT64_MAX);
}

/* What of the map lies where an IOMMU has something else. NULL: nothing that is known. */
static const char *reserved_under(const struct doctor_case *seen, const struct doctor_fact *fact)
{
	const struct machine *host = state_host(seen);

	if (!fact->has_address || !fact->has_size)
		return NULL;
	for (size_t i = 0; host && i < host->group_count; i++)
		for (size_t j = 0; j < host->group[i].reserved_count; j++) {
			const struct machine_range *range = &host->group[i].reserved[j];

			if (range->type && strcmp(range->type, "direct-relaxable") &&
			    overlaps(fact->address, fact->size, range->start, range->end))
				return arena_printf(seen->arena,
						    "0x%" PRIx64 "-0x%" PRIx64
						    " (%s, reserved_regions of group %d)",
						    range->start, range->end, range->type,
						    host->group[i].number);
		}
	if (overlaps(fact->address, fact->size, X86_MSI_START, X86_MSI_END))
		return "0xfee00000-0xfeefffff, the interrupt window of every x86 host";
	if (over_hypertransport(seen, fact))
		return "0xfd00000000-0xffffffffff, HyperTransport's window of AMD's hosts";
	if (host && host->arch == ARCH_ARM &&
	    overlaps(fact->address, fact->size, 0x8000000, 0x80fffff))
		return "0x8000000-0x80fffff, where VFIO maps the doorbell on Arm";
	return NULL;
}

static bool map_too_wide(const struct doctor_case *seen, const struct doctor_fact *fact)
{
	return failed_with(fact, EINVAL) && too_wide(seen, fact);
}

static bool beyond_mgaw(const struct doctor_case *seen, const struct doctor_fact *fact)
{
	(void)seen;
	/* VT-d: beyond MGAW; scalable mode: beyond the hardware's or the table's most. */
	return fact->has_reason &&
	       (fact->reason == 0x04 || fact->reason == 0x83 || fact->reason == 0x84);
}

static bool smmu_addr_size(const struct doctor_case *seen, const struct doctor_fact *fact)
{
	(void)seen;
	return fact->has_reason && fact->reason == 0x11;
}

static const struct doctor_signal aperture_confirm[] = {
	{DOCTOR_IOMMU_TOO_NARROW, 95, NULL,
	 "The kernel says that the address has more bits than the IOMMU translates."},
	{DOCTOR_MAP_FAILED, 88, map_too_wide,
	 "EINVAL for an address above what the IOMMU translates (39 bits on client CPUs)."},
	{DOCTOR_VTD_DMA_FAULT, 75, beyond_mgaw,
	 "The device used an address beyond the IOMMU's width."},
	{DOCTOR_SMMU_FAULT, 60, smmu_addr_size, "The SMMU met an address that is too wide."},
	{DOCTOR_FACT_NONE, 0, NULL, NULL},
};

static bool any_ram_failed(const struct doctor_facts *facts)
{
	const struct doctor_fact *fact = NULL;

	while ((fact = doctor_fact_next(facts, DOCTOR_MAP_FAILED, fact)))
		if (is_ram(fact))
			return true;
	return false;
}

/* Only BARs failed: the guest runs, its devices can't reach each other. */
static void only_peer_to_peer(struct doctor_judge *judge, struct doctor_finding *finding)
{
	const struct doctor_case *seen = judge_case(judge);
	const struct machine *host = state_host(seen);
	const struct machine_vm *vm = NULL;

	if (any_ram_failed(seen->facts) || doctor_facts_have(seen->facts, DOCTOR_KVM_BAD_ADDRESS))
		return;
	if (host && finding->has_device)
		vm = machine_find_vm(host, finding->device);
	finding->severity = vm && vm->running ? DOCTOR_INFO : DOCTOR_WARNING;
	judge_why(judge, finding,
		  "What failed is the mapping of a BAR, not of guest memory. QEMU goes on: only "
		  "transfers from one device straight to another (peer to peer) can't work.");
}

static struct doctor_finding *finding_of(struct doctor_judge *judge, const struct doctor_rule *rule,
					 const struct doctor_fact *fact)
{
	struct doctor_finding *finding = NULL;

	if (fact->has_device)
		finding = judge_find_fact(judge, rule->id, fact);
	return finding ? finding : judge_find(judge, rule->id, NULL);
}

static void aperture_judge(struct doctor_judge *judge, const struct doctor_rule *rule)
{
	const struct doctor_case *seen = judge_case(judge);
	const struct machine *host = state_host(seen);
	const struct doctor_fact *fact = NULL;
	unsigned int bits = iommu_bits(seen);
	struct doctor_finding *finding;

	while ((fact = doctor_fact_next(seen->facts, DOCTOR_MAP_FAILED, fact))) {
		finding = map_too_wide(seen, fact) ? finding_of(judge, rule, fact) : NULL;
		if (!finding)
			continue;
		judge_why(judge, finding, "0x%" PRIx64 " needs more than %u bits%s.", fact->address,
			  bits && bits < 48 ? bits : NARROW_BITS,
			  bits && bits < 48 ? ", which is all this IOMMU has" : "");
		if (!is_ram(fact))
			only_peer_to_peer(judge, finding);
		for (size_t i = 0; host && bits == NARROW_BITS && i < host->vm_count; i++)
			if (host->vm[i].device_count && !host->vm[i].guest_phys_bits)
				judge_state(judge, finding, host->vm[i].source,
					    "VM %s does not limit the guest's address width.",
					    host->vm[i].name);
	}
}

static const struct doctor_fix aperture_fixes[] = {
	{FOR_PROXMOX, "Let the guest place its BARs no higher than the IOMMU reaches.",
	 "qm set {vmid} -cpu host,guest-phys-bits=39", ""},
	{FOR_LIBVIRT, "The same in the domain.",
	 "virsh edit {vmid}   # <cpu mode='host-passthrough'><maxphysaddr mode='emulate' "
	 "bits='39'/></cpu>",
	 ""},
	{FOR_QEMU, "The same on QEMU's command line; with a virtual VT-d, widen that, too.",
	 "-cpu host,guest-phys-bits=39\n-device intel-iommu,aw-bits=48,...", ""},
	{0},
};

static bool map_reserved(const struct doctor_case *seen, const struct doctor_fact *fact)
{
	return failed_with(fact, EINVAL) && !too_wide(seen, fact) && reserved_under(seen, fact);
}

static const struct doctor_signal reserved_confirm[] = {
	{DOCTOR_MAP_FAILED, 92, map_reserved,
	 "The mapping that was refused lies over a window that the host's IOMMU keeps for "
	 "itself."},
	{DOCTOR_FACT_NONE, 0, NULL, NULL},
};

/* EINVAL without an address that would tell: both that are possible, and what to look at. */
static void einval_unclear(struct doctor_judge *judge, const struct doctor_fact *fact)
{
	struct doctor_finding *wide, *reserved;

	wide = judge_add_fact(judge, &rules[APERTURE], fact, is_ram(fact) ? 30 : 50);
	reserved = judge_add_fact(judge, &rules[RESERVED], fact, is_ram(fact) ? 50 : 25);
	judge_evidence(judge, wide, fact);
	judge_evidence(judge, reserved, fact);
	judge_next(judge, wide,
		   "Look at the second number of QEMU's vfio_dma_map() line: the guest address.",
		   "dmesg | grep -E 'iommu width|Host address width'\n"
		   "cat /sys/kernel/iommu_groups/{group}/reserved_regions",
		   "Above the IOMMU's width: aperture-39bit. Over a reserved region: "
		   "reserved-iova.");
}

static void reserved_judge(struct doctor_judge *judge, const struct doctor_rule *rule)
{
	const struct doctor_case *seen = judge_case(judge);
	const struct doctor_fact *fact = NULL;
	struct doctor_finding *finding;
	const char *window;

	while ((fact = doctor_fact_next(seen->facts, DOCTOR_MAP_FAILED, fact))) {
		if (!failed_with(fact, EINVAL) || judge_is_past(seen, fact))
			continue;
		if (map_reserved(seen, fact)) {
			finding = finding_of(judge, rule, fact);
			window = reserved_under(seen, fact);
			if (finding && window)
				judge_why(judge, finding,
					  "0x%" PRIx64 "-0x%" PRIx64 " lies over %s.",
					  fact->address, fact->address + (fact->size - 1), window);
		} else if (!too_wide(seen, fact) && !finding_of(judge, &rules[APERTURE], fact) &&
			   !finding_of(judge, rule, fact)) {
			einval_unclear(judge, fact);
		}
	}
}

static const struct doctor_fix reserved_fixes[] = {
	{FOR_ANY, "See what the group reserves.",
	 "cat /sys/kernel/iommu_groups/{group}/reserved_regions", ""},
	{FOR_QEMU,
	 "Use a machine type of the host's own architecture, whose memory leaves the window free, "
	 "or so little memory that it ends below the window.",
	 "-machine q35 -accel kvm", ""},
	{0},
};

static bool map_efault(const struct doctor_case *seen, const struct doctor_fact *fact)
{
	(void)seen;
	return failed_with(fact, EFAULT);
}

static const struct doctor_signal bar_efault_confirm[] = {
	{DOCTOR_MAP_FAILED, 85, map_efault,
	 "The kernel could not find pages behind the BAR at that moment."},
	{DOCTOR_KVM_BAD_ADDRESS, 45, NULL,
	 "The guest touched memory that nothing stands behind, and KVM gave up."},
	{DOCTOR_FACT_NONE, 0, NULL, NULL},
};

static void bar_efault_judge(struct doctor_judge *judge, const struct doctor_rule *rule)
{
	const struct doctor_case *seen = judge_case(judge);
	const struct doctor_fact *fact = NULL, *peer;
	struct doctor_finding *finding;

	while ((fact = doctor_fact_next(seen->facts, DOCTOR_MAP_FAILED, fact))) {
		finding = map_efault(seen, fact) ? finding_of(judge, rule, fact) : NULL;
		if (!finding)
			continue;
		peer = doctor_fact_next(seen->facts, DOCTOR_P2P_UNSUPPORTED, NULL);
		if (peer)
			judge_evidence(judge, finding, peer);
		if (!is_ram(fact))
			only_peer_to_peer(judge, finding);
	}
}

static const struct doctor_fix bar_efault_fixes[] = {
	{FOR_ANY,
	 "If the VM works, nothing needs fixing: only device-to-device transfers are lost. Keep "
	 "the device out of D3 while QEMU starts, if you need them.",
	 "echo on > /sys/bus/pci/devices/{device}/power/control", ""},
	{FOR_PROXMOX,
	 "With several large cards: give the guest the host's address width, so that all BARs fit.",
	 "qm set {vmid} -cpu host,phys-bits=host", ""},
	{FOR_QEMU, "The same on QEMU's command line.", "-cpu host,host-phys-bits=on", ""},
	{0},
};

/* --- mmio-window --- */

/* Not ports, bridge windows, ROMs, BARs of virtual functions: healthy hosts miss room for those. */
static bool is_memory_bar(const struct doctor_fact *fact)
{
	return fact->has_number && fact->number <= 5 && !state_line_has(fact, "[io ") &&
	       !state_line_has(fact, "VF BAR");
}

/* A driver that asks for a larger BAR, in vain, goes on with the one it had. */
static bool is_resize(const struct doctor_fact *fact)
{
	return *fact->driver && strncmp(fact->driver, "pci", 3) &&
	       !state_is_vfio_driver(fact->driver);
}

/* Small ones are moved elsewhere by the kernel in a second attempt. */
static bool large_bar(const struct doctor_case *seen, const struct doctor_fact *fact)
{
	(void)seen;
	return is_memory_bar(fact) && !is_resize(fact) && fact->has_size && fact->size >= 256 * MIB;
}

static bool small_bar(const struct doctor_case *seen, const struct doctor_fact *fact)
{
	return is_memory_bar(fact) && !large_bar(seen, fact) && fact->has_device &&
	       doctor_facts_have_device(seen->facts, DOCTOR_BAR_INVALID, fact->device);
}

static const struct doctor_signal mmio_confirm[] = {
	{DOCTOR_BAR_NO_SPACE, 80, large_bar,
	 "The BAR found no room in the address window that firmware set up."},
	{DOCTOR_BAR_NO_SPACE, 60, small_bar, "A BAR found no room."},
	{DOCTOR_BAR_INVALID, 75, NULL, "The driver met a BAR without an address."},
	{DOCTOR_FACT_NONE, 0, NULL, NULL},
};

static void mmio_judge(struct doctor_judge *judge, const struct doctor_rule *rule)
{
	const struct doctor_case *seen = judge_case(judge);

	for (size_t i = 0; i < seen->machine_count; i++) {
		const struct machine *machine = &seen->machine[i];
		struct state_want want;
		size_t index = 0;

		while (state_next_wanted(machine, &index, &want))
			for (unsigned int bar = 0; bar < 6; bar++) {
				const struct machine_bar *at = &want.device->bar[bar];
				struct doctor_finding *finding;

				/* IORESOURCE_MEM; ports are of no use to a guest. */
				if (!at->unassigned || want.device->gone || !(at->flags & 0x200))
					continue;
				finding = judge_add_on(judge, rule, machine, &want.device->bdf, 80);
				judge_state(judge, finding, "/sys/bus/pci/devices",
					    "BAR %u (%" PRIu64 " MiB) has no address.", bar,
					    at->size / MIB);
			}
	}
}

static const struct doctor_fix mmio_fixes[] = {
	{FOR_ANY,
	 "On the host: switch \"Above 4G decoding\" on and CSM off in the firmware's setup; make a "
	 "resizable BAR smaller if it still does not fit.",
	 "lspci -vvs {device} | grep -E 'Region|BAR'", ""},
	{FOR_PROXMOX, "In the guest: OVMF instead of SeaBIOS, q35, and a larger 64-bit window.",
	 "qm set {vmid} -bios ovmf -machine q35\n"
	 "qm set {vmid} -args '-fw_cfg name=opt/ovmf/X-PciMmio64Mb,string=65536'",
	 ""},
	{FOR_LIBVIRT, "The same through the domain.",
	 "virsh edit {vmid}   # <qemu:arg value='-fw_cfg'/> "
	 "<qemu:arg value='name=opt/ovmf/X-PciMmio64Mb,string=65536'/>",
	 ""},
	{FOR_QEMU, "The same on QEMU's command line.",
	 "-fw_cfg name=opt/ovmf/X-PciMmio64Mb,string=65536 -cpu host", ""},
	{0},
};

static const char *const generic_swallows[] = {"not-passthrough", NULL};
static const char *const memlock_swallows[] = {"not-passthrough", "start-timeout", "guest-driver",
					       "wrong-driver", NULL};
static const char *const aperture_swallows[] = {"bar-map-efault", "dma-unmapped-write",
						"dma-unmapped-read", "not-passthrough", NULL};
static const char *const mmio_swallows[] = {"link-down-aer", "guest-driver", "wrong-driver",
					    "not-passthrough", NULL};

static const struct doctor_rule rules[RULES] = {
	[MEMLOCK] =
		{
			.id = "memlock",
			.title = "QEMU may not lock enough memory",
			.severity = DOCTOR_ERROR,
			.hop = HOP_MEMORY,
			.confirm = memlock_confirm,
			.judge = memlock_judge,
			.swallows = memlock_swallows,
			.cause = "All memory of a guest with a device is pinned, and an "
				 "unprivileged QEMU is held to its limit on locked memory.",
			.shows = "\"RLIMIT_MEMLOCK (N) exceeded\", \"VFIO_MAP_DMA failed: Cannot "
				 "allocate memory\", \"vfio_dma_map(...) = -12\".",
			.decides = "Compare N with the guest's memory plus about 1 GiB. A limit "
				   "above that is not the cause: look for a kernel regression or "
				   "memory counted twice.",
			.trap = "Sizing the limit by the device instead of by the guest's "
				"memory. Taking ENOMEM for a lack of memory. Hugepages do not "
				"lift the limit.",
			.fixes = memlock_fixes,
		},
	[EXHAUSTED] =
		{
			.id = "dma-mappings-exhausted",
			.title = "The VM needs more DMA mappings than the container allows",
			.severity = DOCTOR_ERROR,
			.hop = HOP_MEMORY,
			.confirm = exhausted_confirm,
			.judge = exhausted_judge,
			.swallows = generic_swallows,
			.cause = "A container holds 65535 mappings. Memory in many small pieces "
				 "(virtio-mem blocks, page conversion of confidential guests) "
				 "uses them up.",
			.shows = "\"possibly running out of DMA mappings\", then \"VFIO_MAP_DMA "
				 "failed: No space left on device\".",
			.decides = "The size of the pieces times 65535 against the guest's memory.",
			.trap = "\"No space left\" has nothing to do with a disk. The nvme:// "
				"block driver meets the same errno in its daily work and tries "
				"again.",
			.fixes = exhausted_fixes,
		},
	[APERTURE] =
		{
			.id = "aperture-39bit",
			.title = "An address is wider than the IOMMU translates",
			.severity = DOCTOR_ERROR,
			.hop = HOP_MEMORY,
			.confirm = aperture_confirm,
			.judge = aperture_judge,
			.swallows = aperture_swallows,
			.cause = "The guest sees the CPU's address width and its firmware places "
				 "64-bit BARs near the top. The IOMMU of client CPUs, and QEMU's "
				 "virtual VT-d, translate only 39 bits.",
			.shows = "\"iommu width (39) is not sufficient\", or EINVAL for a mapping "
				 "at an address like 0x380000000000.",
			.decides =
				"The mapping's address against \"DMAR: Host address width\". A "
				"BAR: QEMU goes on without peer to peer. Guest memory: the start "
				"fails.",
			.trap = "Taking the repeated -22 lines of a BAR for the reason of a "
				"time-out or a hang.",
			.fixes = aperture_fixes,
		},
	[RESERVED] =
		{
			.id = "reserved-iova",
			.title = "Guest memory lies over a window that the host reserves",
			.severity = DOCTOR_ERROR,
			.hop = HOP_MEMORY,
			.confirm = reserved_confirm,
			.judge = reserved_judge,
			.swallows = generic_swallows,
			.cause = "The IOMMU keeps some addresses, on x86 the interrupt window "
				 "0xfee00000-0xfeefffff. A guest whose memory covers them can't "
				 "be mapped; that happens with machines of another architecture "
				 "and unusual layouts.",
			.shows = "\"Region ...ram: vfio_dma_map(.., IOVA, SIZE, ..) = -22 "
				 "(Invalid argument)\".",
			.decides = "IOVA and SIZE against reserved_regions of the group.",
			.trap = "The device isn't at fault; another one will fail the same way.",
			.fixes = reserved_fixes,
		},
	[BAR_EFAULT] =
		{
			.id = "bar-map-efault",
			.title = "A BAR could not be mapped for other devices",
			.severity = DOCTOR_ERROR,
			.hop = HOP_BAR,
			.confirm = bar_efault_confirm,
			.judge = bar_efault_judge,
			.swallows = generic_swallows,
			.cause = "QEMU maps BARs so that devices can reach each other. That fails "
				 "while the device sleeps (D3hot) or its memory is switched off, "
				 "for BARs smaller than a page, and when BARs do not fit the "
				 "guest's address width.",
			.shows = "\"vfio_container_dma_map(...) = -14 (Bad address)\", "
				 "\"IOMMU_IOAS_MAP failed: Bad address, PCI BAR?\", \"PCI "
				 "peer-to-peer transactions on BARs are not supported\".",
			.decides = "Whether the VM works all the same: then it is harmless. \"kvm "
				   "run failed Bad address\" after it is not.",
			.trap = "Blaming these lines for whatever fails next.",
			.fixes = bar_efault_fixes,
		},
	[MMIO_WINDOW] =
		{
			.id = "mmio-window",
			.title = "A BAR does not fit into the address window",
			.severity = DOCTOR_ERROR,
			.hop = HOP_BAR,
			.confirm = mmio_confirm,
			.judge = mmio_judge,
			.swallows = mmio_swallows,
			.cause = "The firmware, real or virtual, set up too small a window for "
				 "64-bit BARs, or none above 4 GiB.",
			.shows = "\"BAR 1 [mem size ... 64bit pref]: can't assign; no space\", "
				 "\"BAR1 is 0M @ 0x0\", \"This PCI I/O region assigned to your "
				 "NVIDIA device is invalid\".",
			.decides =
				"lspci shows the BAR as unassigned; its size against the window.",
			.trap = "Installing the driver again. \"Fallen off the bus\" is what "
				"follows from it.",
			.fixes = mmio_fixes,
		},
};

const struct doctor_rules doctor_rules_mapping = {rules, RULES};
