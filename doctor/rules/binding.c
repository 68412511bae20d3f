/* SPDX-License-Identifier: MIT */
/*
 * Groups, drivers, nodes of /dev/vfio, and configurations that a start trips over.
 */
#include <errno.h>
#include <string.h>

#include "doctor/rules/state.h"

enum { NOT_VIABLE, BRIDGE, HOST_DRIVER, NODE_DENIED, INTX, VF_GONE, MDEV, VM_CONFIG, RULES };
static const struct doctor_rule rules[RULES];

/* --- group-not-viable --- */

static bool is_port_driver(const char *driver)
{
	return !strcmp(driver, "pcieport") || !strcmp(driver, "shpchp");
}

/*
 * A program that looks at the group's drivers itself, and stumbles over nothing but bridges: the
 * kernel doesn't count these, so the group would be viable.
 */
static bool only_bridges(const struct doctor_case *seen, const struct doctor_fact *fact)
{
	const struct doctor_fact *member = NULL;
	size_t bridges = 0;

	if (!state_line_has(fact, "not bound to vfio"))
		return false;
	while ((member = doctor_fact_next(seen->facts, DOCTOR_GROUP_MEMBER, member))) {
		if (!*member->driver || member->log != fact->log || !member->has_number ||
		    !fact->has_number || member->number != fact->number)
			continue;
		if (!is_port_driver(member->driver))
			return false;
		bridges++;
	}
	return bridges > 0;
}

static bool holds_devices(const struct doctor_case *seen, const struct doctor_fact *fact)
{
	return !only_bridges(seen, fact);
}

static const struct doctor_signal not_viable_confirm[] = {
	{DOCTOR_GROUP_NOT_VIABLE, 96, holds_devices,
	 "VFIO hands out whole groups. A member that still has a host driver keeps the group."},
	{DOCTOR_FACT_NONE, 0, NULL, NULL},
};

static bool is_bridge_text(const struct doctor_fact *member)
{
	if (*member->driver)
		return is_port_driver(member->driver);
	return state_line_has(member, "bridge") || strstr(member->name, "bridge") ||
	       state_line_has(member, "pcieport");
}

/* Which members a log lists, and what follows from whether they are one card. */
static void not_viable_members(struct doctor_judge *judge, struct doctor_finding *finding,
			       uint64_t group)
{
	const struct doctor_facts *facts = judge_case(judge)->facts;
	const struct doctor_fact *member = NULL;
	size_t siblings = 0, others = 0;

	while ((member = doctor_fact_next(facts, DOCTOR_GROUP_MEMBER, member))) {
		if (!member->has_device || !member->has_number || member->number != group ||
		    is_bridge_text(member))
			continue;
		if (finding->has_device && bdf_equal(member->device, finding->device))
			continue;
		if (finding->has_device && state_same_slot(member->device, finding->device))
			siblings++;
		else
			others++;
		if (siblings + others <= 8)
			judge_evidence(judge, finding, member);
	}
	if (siblings && !others)
		judge_why(
			judge, finding,
			"The other members are functions of the same card, so it is enough to hand "
			"over all of them. ACS override is not needed.");
	else if (others)
		judge_why(judge, finding,
			  "The group holds other devices, too: the board does not part this slot.");
}

static bool holds_group(const struct machine_device *member)
{
	return !member->is_bridge && member->driver && !state_is_vfio_driver(member->driver) &&
	       strcmp(member->driver, "pcieport");
}

/* The members that the machine shows to be in the way. Return: how many. */
static size_t not_viable_culprits(struct doctor_judge *judge, struct doctor_finding *finding,
				  const struct machine *host, int group)
{
	char text[BDF_TEXT_BYTES];
	size_t count = 0;

	for (size_t i = 0; i < host->device_count; i++) {
		const struct machine_device *member = &host->device[i];

		if (member->group != group || !holds_group(member) || count++ >= 8)
			continue;
		judge_state(judge, finding, "/sys/kernel/iommu_groups",
			    "%s %s of group %d is held by the host's driver %s.",
			    bdf_text(member->bdf, text), member->label ? member->label : "", group,
			    member->driver);
	}
	return count;
}

/*
 * A VM that is not started yet and will take, or fail on, members it doesn't name. Proxmox binds
 * the rest of the group itself: other functions of the card are meant to go along, other cards are
 * not.
 */
static void not_viable_of_vm(struct doctor_judge *judge, const struct doctor_rule *rule,
			     const struct machine *host, const struct state_want *want)
{
	bool proxmox = want->vm->kind == VM_PROXMOX;
	struct doctor_finding *finding;
	size_t foreign = 0;

	for (size_t i = 0; i < host->device_count; i++) {
		const struct machine_device *member = &host->device[i];

		if (member->group != want->device->group || !holds_group(member) ||
		    machine_find_vm(host, member->bdf) ||
		    (proxmox && state_same_slot(member->bdf, want->device->bdf)))
			continue;
		foreign++;
	}
	if (!foreign)
		return;
	finding = judge_add_on(judge, rule, host, &want->device->bdf, 70);
	finding->severity = DOCTOR_WARNING;
	if (proxmox) {
		judge_title(judge, finding,
			    "VM %s will take other devices of group %d from the host",
			    want->vm->name, want->device->group);
		judge_why(judge, finding,
			  "Proxmox binds every member of the group to vfio-pci at the start, also "
			  "those that the VM does not name. The host loses them at that moment.");
	}
	judge_state(judge, finding, want->vm->source, "VM %s names the device.", want->vm->name);
	not_viable_culprits(judge, finding, host, want->device->group);
}

static void not_viable_judge(struct doctor_judge *judge, const struct doctor_rule *rule)
{
	const struct doctor_case *seen = judge_case(judge);
	const struct machine *host = state_host(seen);
	const struct doctor_fact *fact = NULL;
	struct doctor_finding *finding;
	struct state_want want;
	size_t index = 0;

	while ((fact = doctor_fact_next(seen->facts, DOCTOR_GROUP_NOT_VIABLE, fact))) {
		finding = judge_find_fact(judge, rule->id, fact);
		if (!finding || !fact->has_number)
			continue;
		not_viable_members(judge, finding, fact->number);
		if (host && fact->number <= INT32_MAX)
			not_viable_culprits(judge, finding, host, (int)fact->number);
	}
	while (host && host->iommu == YES && state_next_wanted(host, &index, &want))
		if (want.vm && !want.running && want.vm->kind != VM_QEMU &&
		    want.device->group >= 0 &&
		    !judge_find_on(judge, rule->id, host, &want.device->bdf))
			not_viable_of_vm(judge, rule, host, &want);
}

static const struct doctor_fix not_viable_fixes[] = {
	{FOR_ANY, "See who is in the group and which driver each member has. Bridges don't count.",
	 "for d in /sys/kernel/iommu_groups/{group}/devices/*; do lspci -nnks \"${d##*/}\"; done",
	 ""},
	{FOR_PROXMOX, "Hand over all functions of the card: the address without \".0\".",
	 "qm config {vmid} | grep hostpci\nqm set {vmid} -hostpci0 BB:DD", ""},
	{FOR_LIBVIRT, "Detach every other function of the group from the host, too.",
	 "virsh nodedev-detach pci_0000_BB_DD_F   # for each non-bridge member", ""},
	{FOR_QEMU, "Bind every non-bridge member of the group to vfio-pci by its address.",
	 "echo vfio-pci > /sys/bus/pci/devices/MEMBER/driver_override\n"
	 "echo MEMBER > /sys/bus/pci/devices/MEMBER/driver/unbind\n"
	 "echo MEMBER > /sys/bus/pci/drivers_probe",
	 ""},
	{FOR_ANY,
	 "When the members belong to other cards: use a slot that hangs on the CPU, or another "
	 "version of the board's firmware (some merge or split groups). An ACS override kernel is "
	 "the last resort; it gives up the isolation.",
	 "", ""},
	{0},
};

/* --- bridge-in-group --- */

/* What is known of the device in a bind that was refused. */
static enum tristate bind_is_bridge(const struct doctor_case *seen, const struct doctor_fact *fact)
{
	const struct machine *host = state_host(seen);
	const struct machine_device *device = NULL;
	const struct doctor_fact *member = NULL;

	if (!fact->has_device)
		return UNKNOWN;
	if (host)
		device = machine_find_device(host, fact->device);
	if (device)
		return device->is_bridge ? YES : NO;
	while ((member = doctor_fact_next(seen->facts, DOCTOR_GROUP_MEMBER, member)))
		if (member->has_device && bdf_equal(member->device, fact->device))
			return is_bridge_text(member) ? YES : UNKNOWN;
	return UNKNOWN;
}

static bool may_be_bridge(const struct doctor_case *seen, const struct doctor_fact *fact)
{
	return bind_is_bridge(seen, fact) != NO;
}

static bool probe_of_bridge(const struct doctor_case *seen, const struct doctor_fact *fact)
{
	return fact->has_reason && fact->reason == EINVAL &&
	       (bind_is_bridge(seen, fact) == YES ||
		(fact->has_device &&
		 doctor_facts_have_device(seen->facts, DOCTOR_IOMMU_ADDED_TO_GROUP, fact->device)));
}

/* A start script that repeats its new_id on a good system is no failure. */
static bool id_not_used(const struct doctor_case *seen, const struct doctor_fact *fact)
{
	const struct doctor_fact *opened = NULL;

	while ((opened = doctor_fact_next(seen->facts, DOCTOR_VFIO_OPENED, opened)))
		if (opened->log == fact->log && opened->last_line > fact->last_line)
			return false;
	return true;
}

static const struct doctor_signal bridge_confirm[] = {
	{DOCTOR_GROUP_NOT_VIABLE, 90, only_bridges,
	 "The program wants vfio-pci on every member, but those that it names are bridges. They keep "
	 "pcieport; for the kernel a group with them is viable. The program has to leave them out."},
	{DOCTOR_VFIO_BIND_EINVAL, 70, may_be_bridge,
	 "vfio-pci takes ordinary devices only. It answers EINVAL to a bridge or switch port."},
	{DOCTOR_VFIO_PROBE_FAILED, 75, probe_of_bridge,
	 "The device has an IOMMU group, so vfio-pci's EINVAL means that it is a bridge."},
	{DOCTOR_VFIO_NEW_ID_EXISTS, 30, id_not_used,
	 "The id is registered already: binding by id instead of by address meets every device "
	 "that carries it."},
	{DOCTOR_FACT_NONE, 0, NULL, NULL},
};

static const struct doctor_signal bridge_refute[] = {
	{DOCTOR_NO_IOMMU_GROUP, 70, NULL, NULL},
	{DOCTOR_IOMMU_ABSENT, 70, NULL, NULL},
	{DOCTOR_FACT_NONE, 0, NULL, NULL},
};

static void bridge_judge(struct doctor_judge *judge, const struct doctor_rule *rule)
{
	const struct doctor_case *seen = judge_case(judge);
	const struct machine *host = state_host(seen);
	const struct doctor_fact *fact = NULL;
	struct doctor_finding *finding;

	while ((fact = doctor_fact_next(seen->facts, DOCTOR_VFIO_BIND_EINVAL, fact))) {
		finding = judge_find_fact(judge, rule->id, fact);
		if (finding && bind_is_bridge(seen, fact) == YES)
			judge_confirm(finding, 90);
		else if (finding)
			judge_next(judge, finding,
				   "Look what the device is, and if it has a group.",
				   "lspci -nns {device}; readlink "
				   "/sys/bus/pci/devices/{device}/iommu_group",
				   "Class 0604: a bridge. No group: the IOMMU is off (iommu-off).");
	}
	for (size_t i = 0; host && i < host->device_count; i++) {
		const struct machine_device *device = &host->device[i];

		if (!device->is_bridge || !state_is_vfio_driver(device->override))
			continue;
		finding = judge_add_on(judge, rule, host, &device->bdf, 80);
		finding->severity = DOCTOR_WARNING;
		judge_state(judge, finding, "/sys/bus/pci/devices",
			    "This bridge is set apart for %s by driver_override.",
			    device->override);
	}
}

static const struct doctor_fix bridge_fixes[] = {
	{FOR_ANY,
	 "Leave bridges and switch ports alone (class 0604): a group with them is viable. Bind the "
	 "device behind them, by address and not by vendor and device id.",
	 "lspci -nn | grep 0604\n"
	 "echo vfio-pci > /sys/bus/pci/devices/{device}/driver_override\n"
	 "echo {device} > /sys/bus/pci/drivers_probe",
	 ""},
	{FOR_PROXMOX, "Name the endpoint in the VM, not the port in front of it.",
	 "lspci -tv\nqm config {vmid} | grep hostpci", ""},
	{0},
};

/* --- host-driver-bound --- */

static bool module_in_use(const struct doctor_case *seen, const struct doctor_fact *fact)
{
	(void)seen;
	return state_line_has(fact, "in use");
}

static const struct doctor_signal host_driver_confirm[] = {
	{DOCTOR_VFIO_NODE_MISSING, 75, NULL,
	 "The group has no node in /dev/vfio, because no member of it is bound to vfio-pci."},
	{DOCTOR_PVE_CANNOT_BIND, 80, NULL, "Proxmox could not bind the device to vfio-pci."},
	{DOCTOR_HOST_DRIVER_HOLDS, 90, NULL,
	 "The host's driver still counts users of the device and does not let go."},
	{DOCTOR_DRIVER_REFUSED, 70, module_in_use,
	 "The host's driver can't be unloaded: something uses it."},
	{DOCTOR_PVE_IN_USE, 90, NULL, "Another VM has reserved the device."},
	{DOCTOR_VFIO_NODE_BUSY, 85, NULL, "Another process has the group open."},
	{DOCTOR_FACT_NONE, 0, NULL, NULL},
};

static const struct doctor_signal host_driver_refute[] = {
	{DOCTOR_NO_IOMMU_GROUP, 70, NULL, NULL},
	{DOCTOR_IOMMU_ABSENT, 70, NULL, NULL},
	{DOCTOR_FACT_NONE, 0, NULL, NULL},
};

/* vfio-pci.ids= of the command line names the device. */
static bool id_is_reserved(const struct machine *host, const struct machine_device *device)
{
	static const char digits[] = "0123456789abcdef";
	const char *ids = machine_parameter(host, "vfio-pci.ids");
	char id[10] = "0000:0000";

	for (int i = 0; i < 4; i++) {
		id[i] = digits[device->vendor >> (12 - 4 * i) & 15];
		id[5 + i] = digits[device->device >> (12 - 4 * i) & 15];
	}
	return ids && device->vendor != 0xffff && strcasestr(ids, id);
}

static void host_driver_judge(struct doctor_judge *judge, const struct doctor_rule *rule)
{
	const struct doctor_facts *facts = judge_case(judge)->facts;
	const struct machine *host = state_host(judge_case(judge));
	const struct doctor_fact *fact = NULL;
	struct doctor_finding *finding;

	while ((fact = doctor_fact_next(facts, DOCTOR_PVE_IN_USE, fact))) {
		finding = judge_find_fact(judge, rule->id, fact);
		if (finding && fact->has_number)
			judge_title(judge, finding, "VM %llu has the device already",
				    (unsigned long long)fact->number);
	}
	for (size_t i = 0; host && host->iommu == YES && i < host->device_count; i++) {
		const struct machine_device *device = &host->device[i];
		bool reserved = id_is_reserved(host, device);

		if (device->is_bridge || !device->driver || state_is_vfio_driver(device->driver) ||
		    !(reserved || state_is_vfio_driver(device->override)))
			continue;
		finding = judge_add_on(judge, rule, host, &device->bdf, 65);
		if (!finding->evidence_count)
			finding->severity = DOCTOR_WARNING;
		judge_state(judge, finding, reserved ? "/proc/cmdline" : "/sys/bus/pci/devices",
			    "%s asks for vfio-pci, but the driver %s has the device.",
			    reserved ? "vfio-pci.ids=" : "driver_override", device->driver);
		judge_why(judge, finding, "The host's driver came first at boot.");
	}
}

static const struct doctor_fix host_driver_fixes[] = {
	{FOR_ANY, "See who has it.",
	 "lspci -nnks {device}\nfuser -v /dev/nvidia* /dev/dri/* 2>/dev/null", ""},
	{FOR_PROXMOX, "Let vfio-pci take the device before the host's driver, at boot.",
	 "echo 'options vfio-pci ids={ids}' > /etc/modprobe.d/vfio.conf\n"
	 "echo 'softdep {driver} pre: vfio-pci' >> /etc/modprobe.d/vfio.conf\n"
	 "update-initramfs -u -k all && reboot",
	 ""},
	{FOR_LIBVIRT,
	 "Stop what uses the device on the host (display manager, persistence daemon, mounted "
	 "file systems), then hand it over.",
	 "systemctl stop display-manager nvidia-persistenced\n"
	 "virsh nodedev-detach pci_0000_BB_DD_F",
	 ""},
	{FOR_QEMU, "Take it from its driver by hand, by address.",
	 "modprobe vfio-pci\n"
	 "echo vfio-pci > /sys/bus/pci/devices/{device}/driver_override\n"
	 "echo {device} > /sys/bus/pci/devices/{device}/driver/unbind\n"
	 "echo {device} > /sys/bus/pci/drivers_probe",
	 ""},
	{0},
};

/* --- vfio-node-permission --- */

static const struct doctor_signal node_denied_confirm[] = {
	{DOCTOR_VFIO_NODE_DENIED, 94, NULL,
	 "The group's node exists, and opening it is forbidden."},
	{DOCTOR_FACT_NONE, 0, NULL, NULL},
};

static void node_denied_judge(struct doctor_judge *judge, const struct doctor_rule *rule)
{
	const struct doctor_facts *facts = judge_case(judge)->facts;
	const struct doctor_fact *fact = NULL;
	struct doctor_finding *finding;

	while ((fact = doctor_fact_next(facts, DOCTOR_VFIO_NODE_DENIED, fact))) {
		finding = judge_find_fact(judge, rule->id, fact);
		if (!finding || !fact->has_reason)
			continue;
		if (fact->reason == EPERM)
			judge_why(judge, finding,
				  "EPERM comes from a device policy (cgroup) of a container or "
				  "service, not from the file's mode.");
		else if (fact->reason == EACCES)
			judge_why(judge, finding,
				  "EACCES comes from the file's mode or owner, or from a security "
				  "module.");
	}
}

static const struct doctor_fix node_denied_fixes[] = {
	{FOR_ANY, "EACCES: let the user who starts the VM own the node; a udev rule keeps it so.",
	 "ls -l /dev/vfio\n"
	 "echo 'SUBSYSTEM==\"vfio\", OWNER=\"root\", GROUP=\"kvm\", MODE=\"0660\"' "
	 "> /etc/udev/rules.d/10-vfio.rules\nudevadm control --reload && udevadm trigger -s vfio",
	 ""},
	{FOR_ANY, "EPERM: allow the node in the container or the service.",
	 "docker run --device /dev/vfio/vfio --device /dev/vfio/{group} ...\n"
	 "# systemd unit: DeviceAllow=/dev/vfio/{group} rw and DeviceAllow=/dev/vfio/vfio rw",
	 ""},
	{FOR_LIBVIRT,
	 "Let libvirt manage the device instead of a raw QEMU argument, so that it allows the "
	 "node.",
	 "virsh edit {vmid}   # <hostdev mode='subsystem' type='pci' managed='yes'>", ""},
	{0},
};

/* --- intx-shared-busy --- */

static const struct doctor_signal intx_confirm[] = {
	{DOCTOR_INTX_BUSY, 94, NULL,
	 "The device shares its legacy interrupt line and can't mask it itself, so VFIO needs the "
	 "line alone."},
	{DOCTOR_FACT_NONE, 0, NULL, NULL},
};

static const struct doctor_fix intx_fixes[] = {
	{FOR_ANY,
	 "Find who shares the line, and move one card to another slot, or unbind the other user's "
	 "driver. A firmware update of the card that brings MSI helps, too.",
	 "lspci -vs {device} | grep -i irq\ngrep -E 'vfio-intx|IO-APIC' /proc/interrupts", ""},
	{0},
};

/* --- vf-vanished --- */

static const struct doctor_signal vf_gone_confirm[] = {
	{DOCTOR_PVE_DEVICE_MISSING, 88, NULL,
	 "The VM's configuration names an address where the host has no device."},
	{DOCTOR_FACT_NONE, 0, NULL, NULL},
};

static void vf_gone_words(struct doctor_judge *judge, struct doctor_finding *finding)
{
	if (finding->has_device && (finding->device.function || finding->device.slot))
		judge_why(judge, finding,
			  "Virtual functions exist only while sriov_numvfs of their card says so. "
			  "The "
			  "number is lost when the card's driver is loaded again, and at boot.");
	else
		judge_why(
			judge, finding,
			"The device is gone or has another address now, as after a change of cards "
			"or of firmware settings.");
}

static void vf_gone_judge(struct doctor_judge *judge, const struct doctor_rule *rule)
{
	const struct machine *host = state_host(judge_case(judge));
	const struct doctor_fact *fact = NULL;
	struct doctor_finding *finding;

	while ((fact = doctor_fact_next(judge_case(judge)->facts, DOCTOR_PVE_DEVICE_MISSING,
					fact))) {
		finding = judge_find_fact(judge, rule->id, fact);
		if (finding)
			vf_gone_words(judge, finding);
	}
	if (!host || !host->device_count)
		return;
	for (size_t i = 0; i < host->vm_count; i++) {
		const struct machine_vm *vm = &host->vm[i];

		for (size_t j = 0; j < vm->device_count && !vm->running; j++) {
			if (machine_find_device(host, vm->device[j]) || vm->kind == VM_QEMU)
				continue;
			finding = judge_add_on(judge, rule, host, &vm->device[j], 75);
			if (!finding->evidence_count)
				finding->severity = DOCTOR_WARNING;
			judge_state(judge, finding, vm->source,
				    "VM %s names a device that the host does not have.", vm->name);
			vf_gone_words(judge, finding);
		}
	}
}

static const struct doctor_fix vf_gone_fixes[] = {
	{FOR_ANY, "See what is there, and bring the virtual functions back.",
	 "lspci -D | grep -i virtual\n"
	 "cat /sys/bus/pci/devices/PARENT/sriov_totalvfs\n"
	 "echo 4 > /sys/bus/pci/devices/PARENT/sriov_numvfs",
	 ""},
	{FOR_ANY, "Make the number last, for example with sysfsutils or a udev rule.",
	 "echo 'bus/pci/devices/PARENT/sriov_numvfs = 4' >> /etc/sysfs.conf", ""},
	{FOR_PROXMOX, "If the address changed, write the new one.",
	 "lspci -D\nqm config {vmid} | grep hostpci\nqm set {vmid} -hostpci0 BB:DD.F", ""},
	{0},
};

/* --- mdev-config --- */

static const struct doctor_signal mdev_confirm[] = {
	{DOCTOR_MDEV_REGION_EIO, 92, NULL,
	 "The mediated device's driver refuses to describe its registers: it does not know for "
	 "which VM it is."},
	{DOCTOR_MDEV_MISSING, 80, NULL,
	 "The mediated device that the VM names is not there, or its driver has not taken it: it "
	 "has to be made anew after each boot."},
	{DOCTOR_SET_IOMMU_EIO, 55, NULL,
	 "The container was refused with an I/O error, as seen with mediated devices."},
	{DOCTOR_FACT_NONE, 0, NULL, NULL},
};

static const struct doctor_fix mdev_fixes[] = {
	{FOR_PROXMOX,
	 "Update qemu-server (7.2-4 and newer pass the VM's UUID), or give it by hand: the UUID of "
	 "the mediated device.",
	 "pveversion -v | grep qemu-server\n"
	 "qm set {vmid} -args '-uuid 00000000-0000-0000-0000-000000000VMID'",
	 ""},
	{FOR_QEMU, "Start QEMU with the VM's UUID, and check the vendor's host service.",
	 "qemu-system-x86_64 -uuid \"$(uuidgen)\" ...\n"
	 "systemctl status nvidia-vgpu-mgr\njournalctl -u nvidia-vgpu-mgr -b",
	 ""},
	{0},
};

/* --- vm-config --- */

static const struct doctor_signal config_confirm[] = {
	{DOCTOR_PVE_CONFIG, 90, NULL,
	 "Proxmox refused the VM's configuration before it touched the device."},
	{DOCTOR_FACT_NONE, 0, NULL, NULL},
};

static const struct doctor_fix config_fixes[] = {
	{FOR_PROXMOX,
	 "Correct what the line names. pcie=1 needs the q35 machine; a device may be assigned "
	 "once; a resource mapping must match the hardware of this node; legacy-igd=1 needs "
	 "i440fx, vga none and the address 00:02.0; with a virtual IOMMU, devices of one group "
	 "must share one virtual bus (a pcie-pci-bridge).",
	 "qm config {vmid}\nqm set {vmid} -machine q35\npvesh get /cluster/mapping/pci", ""},
	{0},
};

static const char *const not_viable_swallows[] = {"not-passthrough", "host-driver-bound", NULL};
static const char *const generic_swallows[] = {"not-passthrough", NULL};
static const char *const holder_swallows[] = {"not-passthrough", "guest-driver", "wrong-driver",
					      "device-gone", NULL};

static const struct doctor_rule rules[RULES] = {
	[NOT_VIABLE] =
		{
			.id = "group-not-viable",
			.title = "Another member of the IOMMU group is still on a host driver",
			.severity = DOCTOR_ERROR,
			.hop = HOP_BINDING,
			.confirm = not_viable_confirm,
			.judge = not_viable_judge,
			.swallows = not_viable_swallows,
			.cause = "Devices of one group can reach each other behind the IOMMU's "
				 "back, so they can only go to a guest together. Either a "
				 "function of the card was left behind, or the board lumps "
				 "several slots into one group.",
			.shows = "\"group N is not viable\" and \"Please ensure all devices "
				 "within the iommu_group are bound to their vfio bus driver\".",
			.decides =
				"The members of the group and their drivers: any that is no "
				"bridge and has a driver other than vfio-pci is in the way. Look "
				"for the audio, USB and UCSI functions of a graphics card.",
			.trap = "Bridges need no binding; trying it leads to bridge-in-group. "
				"ACS override is no cure for a card of which only some functions "
				"were handed over.",
			.fixes = not_viable_fixes,
		},
	[BRIDGE] =
		{
			.id = "bridge-in-group",
			.title = "A bridge or switch port was given to vfio-pci",
			.severity = DOCTOR_ERROR,
			.hop = HOP_BINDING,
			.confirm = bridge_confirm,
			.refute = bridge_refute,
			.judge = bridge_judge,
			.swallows = generic_swallows,
			.cause = "vfio-pci owns endpoints only. Binding by vendor and device id "
				 "meets every port of a switch that carries the id.",
			.shows = "Writing to /sys/bus/pci/drivers/vfio-pci/bind gives \"Invalid "
				 "argument\"; new_id says \"File exists\" when it is written "
				 "twice.",
			.decides = "Whether lspci shows the address as a PCI bridge (class 0604).",
			.trap = "\"The IOMMU is broken\". It isn't involved yet.",
			.fixes = bridge_fixes,
		},
	[HOST_DRIVER] =
		{
			.id = "host-driver-bound",
			.title = "The host, or another VM, still holds the device",
			.severity = DOCTOR_ERROR,
			.hop = HOP_BINDING,
			.confirm = host_driver_confirm,
			.refute = host_driver_refute,
			.judge = host_driver_judge,
			.swallows = holder_swallows,
			.cause = "The host's own driver took the device at boot or has users that "
				 "keep it: a desktop, a console, a persistence service, a mounted "
				 "disk. Or another VM or process has it.",
			.shows = "\"failed to open /dev/vfio/N: No such file or directory\", "
				 "\"Cannot bind ... to vfio\", \"Attempting to remove device ... "
				 "with non-zero usage count\", a libvirtd that hangs, \"already "
				 "in use by VMID\".",
			.decides =
				"\"Kernel driver in use\" of lspci -nnk; how vfio-pci.ids is "
				"spelled on the command line; whether the initramfs was rebuilt.",
			.trap = "\"The IOMMU group is missing\". The group exists; nothing in it "
				"is on vfio-pci.",
			.fixes = host_driver_fixes,
		},
	[NODE_DENIED] =
		{
			.id = "vfio-node-permission",
			.title = "QEMU may not open the group's node in /dev/vfio",
			.severity = DOCTOR_ERROR,
			.hop = HOP_BINDING,
			.confirm = node_denied_confirm,
			.judge = node_denied_judge,
			.swallows = generic_swallows,
			.cause = "A container's or service's device policy, or the node's mode. "
				 "VFIO and the device are fine.",
			.shows = "\"/dev/vfio/N: Operation not permitted\" or \"Permission "
				 "denied\".",
			.decides =
				"EPERM: device policy (cgroup). EACCES: owner or mode of the node.",
			.trap = "Loosening IOMMU settings, such as allow_unsafe_interrupts. They "
				"are not asked yet.",
			.fixes = node_denied_fixes,
		},
	[INTX] =
		{
			.id = "intx-shared-busy",
			.title = "The device shares its legacy interrupt line",
			.severity = DOCTOR_ERROR,
			.hop = HOP_INTERRUPT,
			.confirm = intx_confirm,
			.swallows = generic_swallows,
			.cause = "Without an interrupt-disable bit, a device's INTx line can be "
				 "masked only as a whole, and another driver or VM uses the same "
				 "line.",
			.shows = "\"Failed to set up TRIGGER eventfd signaling for interrupt "
				 "INTX-0: VFIO_DEVICE_SET_IRQS failure: Device or resource busy\".",
			.decides = "Each device starts alone, not together; /proc/interrupts shows "
				   "both on one line.",
			.trap = "\"One of the two cards is broken\".",
			.fixes = intx_fixes,
		},
	[VF_GONE] =
		{
			.id = "vf-vanished",
			.title = "The VM names a device that is not there",
			.severity = DOCTOR_ERROR,
			.hop = HOP_BINDING,
			.confirm = vf_gone_confirm,
			.judge = vf_gone_judge,
			.swallows = generic_swallows,
			.cause = "A virtual function vanished with its card's setting, or the "
				 "address changed.",
			.shows = "\"no pci device info for device '0000:BB:DD.F'\".",
			.decides = "lspci, and sriov_numvfs of the physical function.",
			.trap = "Looking for a fault of VFIO: there is no device to hand over.",
			.fixes = vf_gone_fixes,
		},
	[MDEV] =
		{
			.id = "mdev-config",
			.title = "The mediated device was not told which VM it is for",
			.severity = DOCTOR_ERROR,
			.hop = HOP_BINDING,
			.confirm = mdev_confirm,
			.swallows = generic_swallows,
			.cause = "The vendor's host service matches a mediated device with its VM "
				 "by the UUID on QEMU's command line, and there is none.",
			.shows = "\"vfio UUID: failed to get region 0 info: Input/output error\".",
			.decides = "Whether QEMU's command line has -uuid; the log of the vendor's "
				   "service.",
			.trap = "The last line, \"QEMU exited with code 1\", says nothing.",
			.fixes = mdev_fixes,
		},
	[VM_CONFIG] =
		{
			.id = "vm-config",
			.title = "The VM's configuration does not fit",
			.severity = DOCTOR_ERROR,
			.hop = HOP_BINDING,
			.confirm = config_confirm,
			.swallows = generic_swallows,
			.cause = "The management tool checks the configuration first and found a "
				 "contradiction.",
			.shows = "\"q35 machine model is not enabled\", \"assigned more than "
				 "once\", \"PCI device mapping invalid\", \"legacy IGD assignment "
				 "...\".",
			.decides = "The line itself says it.",
			.trap = "The device and the IOMMU were not touched.",
			.fixes = config_fixes,
		},
};

const struct doctor_rules doctor_rules_binding = {rules, RULES};
