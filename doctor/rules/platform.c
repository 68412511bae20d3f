/* SPDX-License-Identifier: MIT */
/*
 * The IOMMU itself, real or virtual: off, without interrupt remapping, bound by firmware, hidden,
 * half set up, or rejecting its own tables.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "doctor/rules/judge.h"
#include "doctor/rules/state.h"

enum { IOMMU_OFF, NO_INTREMAP, RMRR, SANDBOX, CACHING_MODE, VIOMMU_REMAP, ILLEGAL_DTE, RULES };
static const struct doctor_rule rules[RULES];

/* --- iommu-off --- */

/* vfio-pci refuses a device without a group with EINVAL, but also a bridge, which has a group. */
static bool probe_einval(const struct doctor_case *seen, const struct doctor_fact *fact)
{
	const struct doctor_fact *member = NULL;

	if (!fact->has_reason || fact->reason != EINVAL)
		return false;
	while ((member = doctor_fact_next(seen->facts, DOCTOR_GROUP_MEMBER, member)))
		if (fact->has_device && member->has_device &&
		    bdf_equal(member->device, fact->device))
			return false;
	return !fact->has_device ||
	       !doctor_facts_have_device(seen->facts, DOCTOR_IOMMU_ADDED_TO_GROUP, fact->device);
}

static const struct doctor_signal iommu_off_confirm[] = {
	{DOCTOR_NO_IOMMU_GROUP, 85, NULL,
	 "The device has no IOMMU group. The kernel gives one to every device behind a working "
	 "IOMMU."},
	{DOCTOR_IOMMU_ABSENT, 80, NULL, "The tool that starts VMs found no working IOMMU."},
	{DOCTOR_VFIO_PROBE_FAILED, 60, probe_einval,
	 "vfio-pci answers EINVAL for a device that has no IOMMU group."},
	{DOCTOR_FACT_NONE, 0, NULL, NULL},
};

static const struct doctor_signal iommu_off_refute[] = {
	{DOCTOR_IOMMU_WORKING, 40, NULL,
	 "But the kernel reports a working IOMMU in the same evidence."},
	{DOCTOR_FACT_NONE, 0, NULL, NULL},
};

static bool parameter_is(const struct machine *host, const char *name, const char *value)
{
	const char *is = machine_parameter(host, name);

	return is && !strcmp(is, value);
}

/* What the machine says about the reason, and the one fix that follows from it. */
static void iommu_off_reason(struct doctor_judge *judge, struct doctor_finding *finding,
			     const struct machine *host)
{
	if (parameter_is(host, "intel_iommu", "off") || parameter_is(host, "amd_iommu", "off") ||
	    parameter_is(host, "iommu", "off")) {
		judge_confirm(finding, 80);
		judge_state(judge, finding, "/proc/cmdline", "%s", host->command_line);
		judge_why(judge, finding, "The kernel command line switches the IOMMU off.");
		return;
	}
	if (host->acpi.dmar == YES || host->acpi.ivrs == YES) {
		judge_state(judge, finding, "/sys/firmware/acpi/tables",
			    "The firmware describes an IOMMU (%s).",
			    host->acpi.dmar == YES ? "DMAR" : "IVRS");
		judge_why(judge, finding,
			  "The firmware offers the IOMMU, so the switch that is missing is on the "
			  "kernel command line.");
		judge_rule_out(judge, finding, "firmware switch",
			       "The firmware's table is there, so VT-d or AMD-Vi is on in it.");
	} else if (host->acpi.dmar == NO && host->acpi.ivrs == NO && host->arch != ARCH_ARM) {
		judge_state(judge, finding, "/sys/firmware/acpi/tables",
			    "The firmware describes no IOMMU: neither DMAR nor IVRS.");
		judge_why(judge, finding,
			  "The firmware hides the IOMMU. No kernel parameter can bring it back: "
			  "switch VT-d or AMD-Vi on in the firmware's setup first.");
	}
}

/* Devices have groups, so an IOMMU works; once for all of them, a host has a hundred. */
static void iommu_off_doubt(struct doctor_judge *judge, struct doctor_finding *finding)
{
	const struct doctor_facts *facts = judge_case(judge)->facts;

	if (finding->has_device
		    ? !doctor_facts_have_device(facts, DOCTOR_IOMMU_ADDED_TO_GROUP, finding->device)
		    : !doctor_facts_have(facts, DOCTOR_IOMMU_ADDED_TO_GROUP))
		return;
	judge_refute(finding, 40);
	judge_why(judge, finding,
		  "But the kernel put devices into IOMMU groups in the same evidence.");
	judge_next(
		judge, finding, "Look whether vfio is loaded, and from where the tool looks.",
		"ls /sys/kernel/iommu_groups /dev/vfio; modprobe vfio-pci",
		"Groups but no /dev/vfio/vfio: load vfio-pci. Groups on the host but not where the "
		"tool runs: a container hides them.");
}

static void iommu_off_judge(struct doctor_judge *judge, const struct doctor_rule *rule)
{
	const struct doctor_case *seen = judge_case(judge);
	const struct machine *host = state_host(seen);
	struct doctor_finding *finding = NULL;
	struct state_want want;
	size_t index = 0;

	for (size_t i = 0; i < judge->count; i++)
		if (judge->entry[i]->finding.rule == rule)
			iommu_off_doubt(judge, &judge->entry[i]->finding);
	if (!host || host->iommu != NO || !state_anything_wanted(host))
		return;
	while (state_next_wanted(host, &index, &want) && !finding)
		finding = judge_find_on(judge, rule->id, host, &want.device->bdf);
	if (!finding)
		finding = judge_add_on(judge, rule, host, NULL, 90);
	else
		judge_confirm(finding, 90);
	judge_state(judge, finding, "/sys/class/iommu", "No IOMMU is at work on this machine.");
	judge_why(judge, finding,
		  "A device is meant for a VM, and /sys/class/iommu is empty: nothing can be "
		  "passed through.");
	iommu_off_reason(judge, finding, host);
}

static const struct doctor_fix iommu_off_fixes[] = {
	{FOR_ANY,
	 "Switch the IOMMU on in the firmware's setup: \"VT-d\" (Intel), \"AMD-Vi\" or \"IOMMU\" "
	 "(AMD), \"SMMU\" (Arm). CPU virtualisation (VT-x, SVM) is another switch.",
	 "", ""},
	{FOR_PROXMOX,
	 "On Intel, ask the kernel for it, on the line that your boot loader really uses; reboot. "
	 "On AMD the kernel switches it on by itself.",
	 "proxmox-boot-tool status\n"
	 "# systemd-boot: add intel_iommu=on to the one line of this file\n"
	 "nano /etc/kernel/cmdline && proxmox-boot-tool refresh\n"
	 "# GRUB: add it to GRUB_CMDLINE_LINUX_DEFAULT\n"
	 "nano /etc/default/grub && update-grub\n"
	 "reboot",
	 ""},
	{FOR_ANY, "On other distributions with an Intel CPU, the same through GRUB; reboot.",
	 "# add intel_iommu=on to GRUB_CMDLINE_LINUX_DEFAULT\n"
	 "sudoedit /etc/default/grub\n"
	 "sudo update-grub || sudo grub2-mkconfig -o /boot/grub2/grub.cfg\n"
	 "sudo reboot",
	 ""},
	{FOR_ANY, "After the reboot, check that it took effect.",
	 "cat /proc/cmdline\nls /sys/class/iommu /sys/kernel/iommu_groups", ""},
	{0},
};

/* --- no-intremap --- */

static const struct doctor_signal no_intremap_confirm[] = {
	{DOCTOR_IR_UNSUPPORTED, 92, NULL,
	 "The kernel refuses to hand out the device, because interrupts can't be remapped and a "
	 "guest could inject them anywhere."},
	{DOCTOR_FACT_NONE, 0, NULL, NULL},
};

/* How likely EPERM alone is no-intremap (else rmrr), from what else is known. */
static unsigned int eperm_percent(const struct doctor_facts *facts, bool intremap)
{
	bool remapped = doctor_facts_have(facts, DOCTOR_IR_ENABLED);

	if (doctor_facts_have(facts, DOCTOR_RMRR_REFUSED))
		return intremap ? 0 : 30;
	if (doctor_facts_have(facts, DOCTOR_IR_UNSUPPORTED))
		return intremap ? 30 : 0;
	if (doctor_facts_have(facts, DOCTOR_IR_X2APIC_OPT_OUT))
		return intremap ? 75 : 0;
	if (remapped || doctor_facts_have(facts, DOCTOR_RMRR_DECLARED))
		return intremap ? 0 : 55;
	/* Both remain. The more frequent one is told, with what decides. */
	return intremap ? 55 : 0;
}

static void eperm_judge(struct doctor_judge *judge, const struct doctor_rule *rule)
{
	const struct doctor_facts *facts = judge_case(judge)->facts;
	unsigned int percent = eperm_percent(facts, rule == &rules[NO_INTREMAP]);
	const struct doctor_fact *fact = NULL, *opt_out;
	struct doctor_finding *finding;

	while (percent && (fact = doctor_fact_next(facts, DOCTOR_SET_IOMMU_EPERM, fact))) {
		if (judge_is_past(judge_case(judge), fact))
			continue;
		finding = judge_find_fact(judge, rule->id, fact);
		if (finding)
			judge_confirm(finding, percent);
		else
			finding = judge_add_fact(judge, rule, fact, percent);
		judge_evidence(judge, finding, fact);
		opt_out = doctor_fact_next(facts, DOCTOR_IR_X2APIC_OPT_OUT, NULL);
		if (opt_out && rule == &rules[NO_INTREMAP])
			judge_evidence(judge, finding, opt_out);
		judge_why(judge, finding,
			  "EPERM at this step is no file permission. The kernel says it when "
			  "interrupts can't be remapped, or when firmware claims memory for the "
			  "device.");
		if (doctor_facts_have(facts, DOCTOR_IR_ENABLED))
			judge_rule_out(judge, finding, rules[NO_INTREMAP].id,
				       "The kernel reports interrupt remapping as enabled.");
		judge_next(judge, finding, "Read which line the kernel wrote at the same moment.",
			   "dmesg | grep -E 'interrupt remapping|RMRR|1:1 IOMMU'",
			   "\"No interrupt remapping support\" is no-intremap; \"RMRR "
			   "requirement\" or \"1:1 IOMMU mapping\" is rmrr.");
	}
}

static void no_intremap_judge(struct doctor_judge *judge, const struct doctor_rule *rule)
{
	const struct doctor_case *seen = judge_case(judge);
	const struct machine *host = state_host(seen);
	struct doctor_finding *finding;
	struct state_want want;
	size_t index = 0;

	eperm_judge(judge, rule);
	if (!host || host->iommu != YES || host->intremap != NO || host->unsafe_interrupts != NO ||
	    (host->arch != ARCH_INTEL && host->arch != ARCH_AMD))
		return;
	while (state_next_wanted(host, &index, &want))
		if (want.running)
			return; /* it works, so what we read is wrong */
	if (!state_anything_wanted(host))
		return;
	finding = judge_add_on(judge, rule, host, NULL, 75);
	judge_state(judge, finding, "/proc/interrupts",
		    "The IOMMU is at work, but no interrupt is remapped by it.");
	if (parameter_is(host, "intremap", "off") || machine_parameter(host, "nointremap")) {
		judge_confirm(finding, 80);
		judge_state(judge, finding, "/proc/cmdline", "%s", host->command_line);
		judge_why(judge, finding, "The kernel command line switches remapping off.");
	}
	if (host->acpi.x2apic_opt_out)
		judge_why(judge, finding,
			  "The firmware asks the kernel to stay away from x2APIC mode "
			  "(DMAR table, flag x2APIC opt-out).");
}

static const struct doctor_fix no_intremap_fixes[] = {
	{FOR_ANY,
	 "Take intremap=off and nointremap off the kernel command line, and switch interrupt "
	 "remapping (often one switch with VT-d, or \"x2APIC\") on in the firmware; reboot.",
	 "grep -o -E 'intremap=[^ ]*|nointremap|nox2apic' /proc/cmdline", ""},
	{FOR_ANY,
	 "If the boot log says that the firmware opts out of x2APIC, let the kernel ignore that.",
	 "# add to the kernel command line, then reboot\nintremap=no_x2apic_optout", ""},
	{FOR_ANY,
	 "Last resort, only on a host that truly has no remapping and for a guest that you trust: "
	 "a guest can then send any interrupt to the host.",
	 "echo 'options vfio_iommu_type1 allow_unsafe_interrupts=1' "
	 "> /etc/modprobe.d/vfio-unsafe.conf\nupdate-initramfs -u -k all && reboot",
	 ""},
	{0},
};

/* --- rmrr --- */

static const struct doctor_signal rmrr_confirm[] = {
	{DOCTOR_RMRR_REFUSED, 97, NULL,
	 "The kernel says itself why it refuses: firmware wants this device to keep a fixed "
	 "mapping of its memory."},
	{DOCTOR_FACT_NONE, 0, NULL, NULL},
};

static bool kernel_at_least(const struct machine *machine, unsigned long major, unsigned long minor)
{
	unsigned long has_major, has_minor = 0;
	char *end;

	if (!machine->kernel)
		return false;
	has_major = strtoul(machine->kernel, &end, 10);
	if (*end == '.')
		has_minor = strtoul(end + 1, NULL, 10);
	return has_major > major || (has_major == major && has_minor >= minor);
}

static void rmrr_of_machine(struct doctor_judge *judge, const struct doctor_rule *rule)
{
	const struct machine *host = state_host(judge_case(judge));
	struct state_want want;
	size_t index = 0;

	/* Before 6.6 only VT-d's own check refused, and it said so in the log. */
	if (!host || !kernel_at_least(host, 6, 6))
		return;
	while (state_next_wanted(host, &index, &want)) {
		const struct machine_group *group = machine_find_group(host, want.device->group);
		struct doctor_finding *finding;

		if (!group || want.running)
			continue;
		for (size_t i = 0; i < group->reserved_count; i++) {
			const struct machine_range *range = &group->reserved[i];

			if (!range->type || strcmp(range->type, "direct"))
				continue;
			finding = judge_add_on(judge, rule, host, &want.device->bdf, 70);
			judge_state(judge, finding, "/sys/kernel/iommu_groups",
				    "Group %d must keep 0x%llx-0x%llx mapped one to one for its "
				    "firmware.",
				    group->number, (unsigned long long)range->start,
				    (unsigned long long)range->end);
		}
	}
}

static void rmrr_judge(struct doctor_judge *judge, const struct doctor_rule *rule)
{
	const struct doctor_case *seen = judge_case(judge);
	const struct doctor_facts *facts = seen->facts;
	const struct doctor_fact *fact = NULL;
	struct doctor_finding *finding;

	rmrr_of_machine(judge, rule);
	eperm_judge(judge, rule);
	while ((fact = doctor_fact_next(facts, DOCTOR_SET_CONTAINER_EINVAL, fact))) {
		if (judge_is_past(seen, fact))
			continue;
		finding = judge_add_fact(judge, rule, fact, 55);
		judge_evidence(judge, finding, fact);
		judge_why(judge, finding,
			  "Kernels that demand the 1:1 mapping answer EINVAL here; the kernel log "
			  "of that moment says it in words.");
	}
	/* A declaration is normal; it only supports a refusal. */
	finding = judge_find(judge, rule->id, NULL);
	fact = doctor_fact_next(facts, DOCTOR_RMRR_DECLARED, NULL);
	if (finding && fact)
		judge_evidence(judge, finding, fact);
	fact = doctor_fact_next(facts, DOCTOR_RMRR_RELAXED, NULL);
	if (finding && fact)
		judge_evidence(judge, finding, fact);
}

static const struct doctor_fix rmrr_fixes[] = {
	{FOR_ANY,
	 "AMD: switch \"Pre-boot DMA protection\" off in the firmware's setup and set IOMMU to "
	 "Enabled, not Auto. Update the board's firmware.",
	 "", ""},
	{FOR_ANY,
	 "HPE and similar servers: use the vendor's tool or a firmware update to leave the "
	 "device's slot out of the shared-memory (RMRR) feature.",
	 "dmesg | grep -i rmrr", ""},
	{FOR_PROXMOX,
	 "A kernel with the patch that lets such regions be ignored. The firmware may then lose "
	 "data in its region.",
	 "# only with such a kernel; add to the kernel command line, then reboot\n"
	 "intel_iommu=on,relax_rmrr",
	 ""},
	{0},
};

/* --- sandbox-hides-iommu --- */

/* KubeVirt runs libvirt in a pod; its names stand around what libvirt says. */
static bool said_in_pod(const struct doctor_fact *fact)
{
	return fact && (state_line_has(fact, "virt-launcher") || state_line_has(fact, "SyncVMI") ||
			state_line_has(fact, "LibvirtError(Code="));
}

/*
 * What virt-host-validate passed. That firmware has a table says nothing of the kernel, so it
 * counts only against a view without the table.
 */
static const struct doctor_fact *validated(const struct doctor_case *seen, bool hidden)
{
	const struct doctor_fact *fact = NULL;

	while ((fact = doctor_fact_next(seen->facts, DOCTOR_IOMMU_VALIDATED, fact)))
		if (hidden || !strcmp(fact->name, "kernel"))
			break;
	return fact;
}

static void sandbox_judge(struct doctor_judge *judge, const struct doctor_rule *rule)
{
	const struct doctor_case *seen = judge_case(judge);
	const struct machine *host = state_host(seen);
	const struct doctor_fact *hidden = doctor_fact_next(seen->facts, DOCTOR_IOMMU_HIDDEN, NULL);
	const struct doctor_fact *absent, *works;
	struct doctor_finding *finding, *off;
	bool at_work;

	works = validated(seen, hidden);
	if (!works)
		works = doctor_fact_next(seen->facts, DOCTOR_IOMMU_WORKING, NULL);
	if (!works)
		works = doctor_fact_next(seen->facts, DOCTOR_IOMMU_ADDED_TO_GROUP, NULL);
	at_work = works || (host && host->iommu == YES);
	absent = doctor_fact_next(seen->facts, DOCTOR_IOMMU_ABSENT, NULL);
	if (!hidden &&
	    !(absent && works && (works->kind == DOCTOR_IOMMU_VALIDATED || said_in_pod(absent))))
		return;
	if (!at_work) {
		/* Nobody saw the IOMMU anywhere: rather it is off. */
		off = judge_find(judge, rules[IOMMU_OFF].id, NULL);
		if (off)
			judge_confirm(off, 40);
		else
			off = judge_add(judge, &rules[IOMMU_OFF], NULL, 65);
		judge_evidence(judge, off, hidden);
		judge_next(judge, off, "Was the check run in a container? Repeat it on the host.",
			   "ls /sys/class/iommu /sys/firmware/acpi/tables",
			   "If the host shows an IOMMU, the container hides it "
			   "(sandbox-hides-iommu).");
		return;
	}
	finding = judge_add(judge, rule, NULL, 90);
	if (works)
		judge_evidence(judge, finding, works);
	else
		judge_state(judge, finding, "/sys/class/iommu", "The host has a working IOMMU.");
	if (hidden)
		judge_evidence(judge, finding, hidden);
	judge_why(judge, finding,
		  "One view shows a working IOMMU, another none. So it is the view that lacks the "
		  "tables, not the machine.");
	judge_rule_out(judge, finding, rules[IOMMU_OFF].id,
		       "The IOMMU works where it can be seen, so no firmware switch is missing.");
}

static const struct doctor_fix sandbox_fixes[] = {
	{FOR_ANY,
	 "Give the container the host's view: /sys/firmware and /sys/kernel/iommu_groups "
	 "read-only, and /dev/vfio if it starts VMs.",
	 "docker run -v /sys/firmware:/sys/firmware:ro "
	 "-v /sys/kernel/iommu_groups:/sys/kernel/iommu_groups:ro --device /dev/vfio ...",
	 ""},
	{FOR_LIBVIRT, "Load vfio on the host; libvirt looks for /dev/vfio/vfio too.",
	 "modprobe vfio-pci && ls /dev/vfio/vfio", ""},
	{0},
};

/* --- vcaching-mode --- */

static const struct doctor_signal caching_confirm[] = {
	{DOCTOR_VIOMMU_NO_CACHING_MODE, 97, NULL,
	 "QEMU itself says that the virtual IOMMU does not report its mappings."},
	{DOCTOR_FACT_NONE, 0, NULL, NULL},
};

static void caching_judge(struct doctor_judge *judge, const struct doctor_rule *rule)
{
	const struct machine *host = state_host(judge_case(judge));
	struct doctor_finding *finding;

	for (size_t i = 0; host && i < host->vm_count; i++) {
		const struct machine_vm *vm = &host->vm[i];

		if (vm->running || vm->viommu != VIOMMU_INTEL || vm->caching_mode != NO ||
		    !vm->device_count)
			continue;
		finding = judge_find(judge, rule->id, NULL);
		if (!finding)
			finding = judge_add(judge, rule, NULL, 85);
		judge_state(judge, finding, vm->source,
			    "VM %s has a virtual VT-d without caching mode, and a device.",
			    vm->name);
	}
}

static const struct doctor_fix caching_fixes[] = {
	{FOR_PROXMOX, "Let Proxmox write the option: it adds caching-mode=on by itself.",
	 "qm set {vmid} -machine q35,viommu=intel", ""},
	{FOR_LIBVIRT, "Switch it on in the domain.",
	 "virsh edit {vmid}   # <iommu model='intel'><driver intremap='on' "
	 "caching_mode='on'/></iommu>",
	 ""},
	{FOR_QEMU, "Add it to the device.", "-device intel-iommu,intremap=on,caching-mode=on", ""},
	{FOR_QEMU,
	 "The virtual IOMMUs of Arm and AMD have no such option: use virtio's in their place, or "
	 "none.",
	 "-device virtio-iommu-pci", ""},
	{0},
};

/* --- viommu-remap --- */

/* A fault that says "not mapped", by whichever IOMMU. */
static bool is_unmapped(const struct doctor_fact *fact)
{
	if (!fact->has_device || !fact->has_address)
		return false;
	switch (fact->kind) {
	case DOCTOR_VTD_DMA_FAULT:
		return fact->reason == 0x05 || fact->reason == 0x06 || fact->reason == 0x79;
	case DOCTOR_AMD_PAGE_FAULT:
		/* Bit 3: an interrupt; bit 4: something was mapped. */
		return !(fact->reason & 0x18);
	case DOCTOR_SMMU_FAULT:
		return fact->reason == 0x10;
	default:
		return false;
	}
}

/* The type of the device's domain in the guest, NULL if nobody looked. */
static const char *guest_domain(const struct machine *guest, const struct machine_device *device)
{
	for (size_t i = 0; guest && i < guest->device_count; i++) {
		const struct machine_device *own = &guest->device[i];
		const struct machine_group *group = machine_find_group(guest, own->group);

		if (own->vendor == device->vendor && own->device == device->device && group)
			return group->type;
	}
	return NULL;
}

static void viommu_fault(struct doctor_judge *judge, const struct doctor_rule *rule,
			 const struct machine *host, const struct doctor_fact *fact)
{
	const struct machine *guest = judge_machine(judge_case(judge), DOCTOR_SIDE_GUEST);
	const struct machine_device *device = machine_find_device(host, fact->device);
	const struct machine_vm *vm = machine_find_vm(host, fact->device);
	struct doctor_finding *finding;
	const char *type;

	if (!device || !vm || vm->viommu == VIOMMU_UNKNOWN || vm->viommu == VIOMMU_NONE)
		return;
	type = guest_domain(guest, device);
	if (type && !strncmp(type, "identity", 8))
		return;
	finding = judge_find_fact(judge, rule->id, fact);
	if (!finding)
		finding = judge_add_fact(judge, rule, fact, type ? 70 : 40);
	judge_evidence(judge, finding, fact);
	judge_state(judge, finding, vm->source, "VM %s has a virtual IOMMU.", vm->name);
	if (type)
		judge_state(judge, finding, "guest: /sys/kernel/iommu_groups",
			    "The guest translates the device itself (domain type %s).", type);
	if (machine_vm_ram(vm, fact->address) == YES)
		judge_why(
			judge, finding,
			"The address is guest memory as the guest counts it. With the guest's own "
			"IOMMU in between, only what the guest mapped is reachable.");
	judge_next(judge, finding, "Ask the guest how it treats the device.",
		   "cat /sys/bus/pci/devices/*/iommu_group/type; cat /proc/cmdline",
		   "\"DMA\": the guest translates, try iommu=pt there. \"identity\": it is not "
		   "this.");
}

/*
 * Logs alone: a VM has a virtual IOMMU, and its device uses an address as Linux deals them out
 * behind one, from 4 GiB down.
 */
static void viommu_of_log(struct doctor_judge *judge, const struct doctor_rule *rule,
			  const struct doctor_fact *fact)
{
	const struct doctor_fact *viommu =
		doctor_fact_next(judge_case(judge)->facts, DOCTOR_VM_VIOMMU, NULL);
	struct doctor_finding *finding;

	if (!viommu || fact->address < 0xff000000ull || fact->address > 0xffffffffull ||
	    (*fact->driver && strncmp(fact->driver, "pci", 3) &&
	     !state_is_vfio_driver(fact->driver)) ||
	    judge_find_fact(judge, rule->id, fact))
		return;
	finding = judge_add_fact(judge, rule, fact, 60);
	judge_evidence(judge, finding, fact);
	judge_evidence(judge, finding, viommu);
	judge_why(judge, finding,
		  "The VM has a virtual IOMMU. Behind one, Linux gives devices addresses from "
		  "4 GiB down, as this one; the host has no such page mapped.");
	judge_next(
		judge, finding, "Ask the guest how it treats the device.",
		"cat /sys/bus/pci/devices/*/iommu_group/type; cat /proc/cmdline",
		"\"DMA\": the guest translates, try iommu=pt there. \"identity\": the address is "
		"the host driver's, from before (stale-dma-no-reset).");
}

static void viommu_judge(struct doctor_judge *judge, const struct doctor_rule *rule)
{
	const struct doctor_case *seen = judge_case(judge);
	const struct machine *host = state_host(seen);

	for (size_t i = 0; !host && i < seen->facts->count; i++)
		if (seen->facts->fact[i].side != DOCTOR_SIDE_GUEST &&
		    is_unmapped(&seen->facts->fact[i]) &&
		    !judge_is_past(seen, &seen->facts->fact[i]))
			viommu_of_log(judge, rule, &seen->facts->fact[i]);
	for (size_t i = 0; host && i < seen->facts->count; i++)
		if (seen->facts->fact[i].side != DOCTOR_SIDE_GUEST &&
		    is_unmapped(&seen->facts->fact[i]) &&
		    !judge_is_past(seen, &seen->facts->fact[i]))
			viommu_fault(judge, rule, host, &seen->facts->fact[i]);
}

static const struct doctor_fix viommu_fixes[] = {
	{FOR_GUEST, "Let the guest's kernel pass the device's addresses through; reboot the guest.",
	 "# add to the guest's kernel command line\niommu=pt", ""},
	{FOR_PROXMOX, "Or drop the virtual IOMMU, if nothing in the guest needs it.",
	 "qm set {vmid} -machine q35", ""},
	{0},
};

/* --- illegal-dte --- */

static const struct doctor_signal illegal_dte_confirm[] = {
	{DOCTOR_AMD_ILLEGAL_DTE, 90, NULL,
	 "The IOMMU calls the host's own table entry for the device invalid. Nothing that a guest "
	 "does can cause that."},
	{DOCTOR_FACT_NONE, 0, NULL, NULL},
};

static const struct doctor_fix illegal_dte_fixes[] = {
	{FOR_ANY,
	 "Update the host's kernel and the board's firmware. If it began after a suspend, a reboot "
	 "helps until the next one.",
	 "", ""},
	{0},
};

static const char *const off_swallows[] = {"host-driver-bound",
					   "vfio-node-permission",
					   "not-passthrough",
					   "guest-driver",
					   "wrong-driver",
					   "bridge-in-group",
					   NULL};
static const char *const sandbox_swallows[] = {"iommu-off", "not-passthrough", NULL};
static const char *const generic_swallows[] = {"not-passthrough", NULL};
static const char *const viommu_swallows[] = {"dma-unmapped-write", "dma-unmapped-read",
					      "stale-dma-no-reset", NULL};
static const char *const dte_swallows[] = {"other-device-benign", NULL};

static const struct doctor_rule rules[RULES] = {
	[IOMMU_OFF] =
		{
			.id = "iommu-off",
			.title = "The IOMMU is not active",
			.severity = DOCTOR_ERROR,
			.hop = HOP_PLATFORM,
			.confirm = iommu_off_confirm,
			.refute = iommu_off_refute,
			.judge = iommu_off_judge,
			.swallows = off_swallows,
			.cause = "VT-d, AMD-Vi or the SMMU is off in firmware or not asked for on "
				 "the kernel command line, the wrong boot loader's file was "
				 "edited, or the board has none in front of its PCIe slots. "
				 "Without it the device can't be confined, so the kernel does not "
				 "hand it out.",
			.shows = "\"no iommu_group found\", Proxmox's \"IOMMU not present\", "
				 "libvirt's \"host doesn't support passthrough\", vfio-pci's "
				 "probe failing with error -22; /sys/class/iommu and "
				 "/sys/kernel/iommu_groups are empty.",
			.decides = "Whether /sys/class/iommu has an entry. \"DMAR: IOMMU enabled\" "
				   "only repeats the command line: neither its presence nor its "
				   "absence decides. A DMAR or IVRS table without an IOMMU at work "
				   "points to the command line, no table to the firmware.",
			.trap = "\"AMD-Vi: Unknown option - 'on'\" and \"AMD IOMMUv2 "
				"functionality not available\" are harmless. The switch follows "
				"the CPU, not the card: an Intel CPU with an AMD card needs "
				"intel_iommu=on.",
			.fixes = iommu_off_fixes,
		},
	[NO_INTREMAP] =
		{
			.id = "no-intremap",
			.title = "Interrupts are not remapped",
			.severity = DOCTOR_ERROR,
			.hop = HOP_PLATFORM,
			.confirm = no_intremap_confirm,
			.judge = no_intremap_judge,
			.swallows = generic_swallows,
			.cause = "The IOMMU works for memory but not for interrupts: an old "
				 "chipset, firmware that opts out of x2APIC, or somebody wrote "
				 "intremap=off. VFIO then refuses with EPERM, because a guest "
				 "could forge interrupts.",
			.shows = "\"No interrupt remapping support. Use the module param "
				 "allow_unsafe_interrupts\", and in QEMU \"Failed to set iommu "
				 "for container: Operation not permitted\".",
			.decides =
				"The boot log has no \"Enabled IRQ remapping\"; /proc/interrupts "
				"shows no chip named IR-; intremap=off on the command line.",
			.trap = "EPERM looks like a file permission. It isn't. The same EPERM "
				"comes from reserved memory (rmrr): the kernel's line of that "
				"moment tells.",
			.fixes = no_intremap_fixes,
		},
	[RMRR] =
		{
			.id = "rmrr",
			.title = "Firmware demands a fixed memory mapping for the device",
			.severity = DOCTOR_ERROR,
			.hop = HOP_PLATFORM,
			.confirm = rmrr_confirm,
			.judge = rmrr_judge,
			.swallows = generic_swallows,
			.cause = "The firmware's tables (RMRR on Intel, IVMD on AMD) ask that the "
				 "device keep access to a piece of host memory. The kernel will "
				 "not give such a device to a user.",
			.shows = "\"Device is ineligible for IOMMU domain attach due to platform "
				 "RMRR requirement\" (EPERM) or \"Firmware has requested this "
				 "device have a 1:1 IOMMU mapping\" (EINVAL).",
			.decides = "Those lines, or a region of type \"direct\" in the group's "
				   "reserved_regions. Typical: HPE servers; AM5 boards with "
				   "pre-boot DMA protection.",
			.trap = "\"Invalid argument\" gets blamed on libvirt, iommufd or the VM. "
				"A \"DMAR: RMRR base\" line at boot is only a declaration. "
				"\"Contact your platform vendor\" is no dead end: there usually "
				"is a firmware switch.",
			.fixes = rmrr_fixes,
		},
	[SANDBOX] =
		{
			.id = "sandbox-hides-iommu",
			.title = "The check ran where the IOMMU can't be seen",
			.severity = DOCTOR_ERROR,
			.hop = HOP_PLATFORM,
			.judge = sandbox_judge,
			.swallows = sandbox_swallows,
			.cause = "The host's IOMMU works, but the container that checks or starts "
				 "the VM does not see the firmware's tables or the IOMMU groups.",
			.shows = "virt-host-validate passes on the host and warns in the "
				 "container; libvirt there refuses; opening "
				 "/sys/firmware/acpi/tables/DMAR gives ENOENT.",
			.decides = "The same file exists outside the container.",
			.trap = "\"VT-d is off in the BIOS\": the host proves that it is on.",
			.fixes = sandbox_fixes,
		},
	[CACHING_MODE] =
		{
			.id = "vcaching-mode",
			.title = "The virtual IOMMU lacks caching mode",
			.severity = DOCTOR_ERROR,
			.hop = HOP_MEMORY,
			.confirm = caching_confirm,
			.judge = caching_judge,
			.swallows = generic_swallows,
			.cause = "Without caching mode a virtual VT-d does not tell QEMU about "
				 "new mappings, so QEMU refuses to run with a device.",
			.shows = "\"We need to set caching-mode=on for intel-iommu to enable "
				 "device assignment with IOMMU protection\".",
			.decides = "The line itself says it.",
			.trap = "Taking the virtual IOMMU away, when the guest needs it for its "
				"interrupts.",
			.fixes = caching_fixes,
		},
	[VIOMMU_REMAP] =
		{
			.id = "viommu-remap",
			.title = "The guest's own IOMMU translates the device",
			.severity = DOCTOR_ERROR,
			.hop = HOP_MEMORY,
			.judge = viommu_judge,
			.swallows = viommu_swallows,
			.cause = "The virtual IOMMU was added for its interrupt remapping. DMA "
				 "remapping came along, and the guest's driver or the host's copy "
				 "of the mappings can't follow.",
			.shows = "Faults on the host at addresses that are the guest's I/O "
				 "addresses, like 0xffc00000; in the guest, iommu_group/type of "
				 "the device is DMA.",
			.decides = "iommu=pt in the guest: the faults stop.",
			.trap = "\"A mapping of the host is missing\". It is missing because the "
				"guest never asked for it.",
			.fixes = viommu_fixes,
		},
	[ILLEGAL_DTE] =
		{
			.id = "illegal-dte",
			.title = "The AMD IOMMU rejects the host's own table entry",
			.severity = DOCTOR_ERROR,
			.hop = HOP_PLATFORM,
			.confirm = illegal_dte_confirm,
			.swallows = dte_swallows,
			.cause = "The device table entry that the host wrote is not valid for "
				 "this request: a bug of the host's kernel or firmware, often "
				 "after suspend, or an interrupt controller that asks as a device.",
			.shows = "\"ILLEGAL_DEV_TABLE_ENTRY\" and the entry's four words after it.",
			.decides = "Whether it began after a suspend, and whether a newer kernel "
				   "still says it.",
			.trap = "The named device and its guest are not at fault.",
			.fixes = illegal_dte_fixes,
		},
};

const struct doctor_rules doctor_rules_platform = {rules, RULES};
