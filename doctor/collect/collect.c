/* SPDX-License-Identifier: MIT */
/*
 * The table of what is read of a machine. Nothing is written, no node is opened.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "doctor/collect/collect.h"
#include "doctor/model/machine.h"

#define SMALL ((size_t)16 << 10) /* an attribute, a configuration */
#define MEDIUM ((size_t)1 << 20) /* a table */
#define LARGE ((size_t)16 << 20) /* /proc/interrupts of 512 processors */
#define CONFIG_BYTES 4096u
#define PCI_DEVICES "/sys/bus/pci/devices"

static const char *const pci_names[] = {
	"resource",
	"class",
	"vendor",
	"device",
	"subsystem_vendor",
	"subsystem_device",
	"revision",
	"driver",
	"driver_override",
	"iommu_group",
	"reset",
	"reset_method",
	"power_state",
	"d3cold_allowed",
	"power/control",
	"power/runtime_status",
	"current_link_speed",
	"current_link_width",
	"max_link_speed",
	"max_link_width",
	"boot_vga",
	"enable",
	"sriov_numvfs",
	"sriov_totalvfs",
	"physfn",
	"msi_irqs/*",
	"numa_node",
	"irq",
	"msi_bus",
	"ari_enabled",
	"broken_parity_status",
	NULL,
};
static const char *const iommu_names[] = {
	"intel-iommu/cap",
	"intel-iommu/ecap",
	"intel-iommu/version",
	"intel-iommu/address",
	"amd-iommu/cap",
	"amd-iommu/features",
	NULL,
};
static const char *const group_names[] = {"type", "reserved_regions", "devices/*", NULL};
static const char *const acpi_names[] = {"DMAR*", "IVRS*", "IORT*", NULL};
static const char *const proc_names[] = {
	"cmdline",
	"version",
	"meminfo",
	"modules",
	"uptime",
	"sys/kernel/hostname",
	"sys/kernel/osrelease",
	"sys/vm/overcommit_memory",
	"sys/vm/max_map_count",
	"self/limits",
	"self/cgroup",
	NULL,
};
static const char *const big_proc_names[] = {"interrupts", "iomem", NULL};
static const char *const module_names[] = {"version", "srcversion", "parameters/*", NULL};
static const char *const modules[] = {
	"vfio*",	"kvm*", "iommu*",   "intel_iommu",  "amd_iommu*",   "irqbypass", "metis*",
	"tethys_metis", "axl*", "pci_stub", "pci_hotplug",  "virtio_iommu", "nvidia*",	 "amdgpu",
	"i915",		"xe",	"nouveau",  "vendor_reset", "pcieport",	    "mdev",	 NULL,
};
static const char *const etc_names[] = {
	"os-release",
	"hostname",
	"modprobe.d/*",
	"modules",
	"modules-load.d/*.conf",
	"default/grub",
	"default/grub.d/*.cfg",
	"kernel/cmdline",
	"initramfs-tools/modules",
	"security/limits.conf",
	"security/limits.d/*",
	"libvirt/qemu.conf",
	NULL,
};
/* Of this node see machine_vm_paths. */
static const char *const pve_names[] = {"nodes/*/qemu-server/*.conf", NULL};
static const char *const dmi_names[] = {
	"sys_vendor", "product_name",  "product_version", "board_vendor",
	"board_name", "board_version", "bios_vendor",	  "bios_version",
	"bios_date",  "bios_release",  "chassis_type",	  NULL,
};
static const char *const huge_names[] = {"nr_hugepages", "free_hugepages", "resv_hugepages", NULL};
static const char *const cpu_names[] = {"online", "possible", "present", NULL};
static const char *const cgroup_names[] = {
	"memory.max", "memory.high", "memory.current", "cgroup.controllers", NULL,
};
static const char *const dev_names[] = {"vfio/*", "vfio/devices/*", "kvm", "iommu", NULL};
static const char *const hypervisor_names[] = {"type", "properties/features", NULL};
static const char *const lockdown_names[] = {"lockdown", NULL};

/* That they are there but empty tells something. */
static const char *const folders[] = {
	"sys/class/iommu",
	"sys/kernel/iommu_groups",
	"sys/firmware/acpi/tables",
	"sys/bus/pci/devices",
	"dev/vfio",
	"etc/pve",
	"etc/libvirt",
	NULL,
};

static const struct collect_rule table[] = {
	{"/", folders, SMALL, "what there is"},
	{PCI_DEVICES "/*", pci_names, SMALL, "how devices are set up"},
	{"/sys/class/iommu", (const char *const[]){"*", NULL}, SMALL, "which IOMMUs work"},
	{"/sys/class/iommu/*", iommu_names, SMALL, "what IOMMUs can do"},
	{"/sys/kernel/iommu_groups/*", group_names, MEDIUM, "reserved regions of IOMMU groups"},
	{"/sys/firmware/acpi/tables", acpi_names, MEDIUM,
	 "which memory the firmware keeps for devices, and whether interrupts can be remapped"},
	{"/proc", proc_names, MEDIUM, "how the kernel was started"},
	{"/proc", big_proc_names, LARGE, "where memory, BARs and interrupts are"},
	{"/etc", etc_names, SMALL, "how modules are set up"},
	{"/etc/pve", pve_names, SMALL, "how VMs of the cluster are set up"},
	{"/sys/class/dmi/id", dmi_names, SMALL, "board and firmware"},
	{"/sys/kernel/mm/hugepages/*", huge_names, SMALL, "huge pages"},
	{"/sys/devices/system/node/node*/hugepages/*", huge_names, SMALL, "huge pages of nodes"},
	{"/sys/devices/system/cpu", cpu_names, SMALL, "how many processors there are"},
	{"/sys/fs/cgroup", cgroup_names, SMALL, "how much memory may be used"},
	{"/sys/fs/cgroup/machine.slice", cgroup_names, SMALL, "how much memory VMs may use"},
	{"/sys/fs/cgroup/qemu.slice", cgroup_names, SMALL, "how much memory VMs may use"},
	{"/dev", dev_names, SMALL, "which groups VFIO offers"},
	{"/sys/hypervisor", hypervisor_names, SMALL, "the hypervisor"},
	{"/sys/kernel/security", lockdown_names, SMALL, "whether the kernel is locked down"},
};

/*
 * Reading configuration space wakes a device that sleeps in D3cold, which takes 100 ms and more.
 * Only those handed to VFIO are worth it: whether they still wake up is a question of its own.
 */
static bool worth_waking(struct collect *collect, int dir, const char *path)
{
	char driver[256];
	bool cut;
	ssize_t size = collect_read(collect, dir, "power_state", path, 64, &cut);

	if (size < 6 || memcmp(collect->buffer, "D3cold", 6) != 0)
		return true;
	size = readlinkat(dir, "driver", driver, sizeof(driver) - 1);
	driver[size < 0 ? 0 : size] = '\0';
	return strstr(driver, "vfio");
}

static void take_config(struct collect *collect, int devices, const char *name, void *context)
{
	char path[384];
	size_t size;
	int dir;

	(void)devices;
	(void)context;
	size = (size_t)snprintf(path, sizeof(path), PCI_DEVICES "/%.255s", name);
	dir = collect_open_dir(collect, path);
	if (dir < 0)
		return;
	snprintf(path + size, sizeof(path) - size, "/power_state");
	if (worth_waking(collect, dir, path)) {
		snprintf(path + size, sizeof(path) - size, "/config");
		collect_take(collect, dir, "config", path, CONFIG_BYTES);
	}
	close(dir);
}

static void take_configs(struct collect *collect)
{
	int devices = collect_open_dir(collect, PCI_DEVICES);

	if (devices < 0)
		return;
	collect_names(collect, devices, PCI_DEVICES, "*", take_config, NULL);
	close(devices);
	collect_denied(collect, "what devices can do and how they are set up");
}

/* One processor tells about all. */
static void take_cpuinfo(struct collect *collect)
{
	int proc = collect_open_dir(collect, "/proc");
	const char *end;
	bool cut = false;
	ssize_t size;

	if (proc < 0)
		return;
	size = collect_read(collect, proc, "cpuinfo", "/proc/cpuinfo", SMALL, &cut);
	close(proc);
	if (size < 0) {
		collect_error(collect, "/proc/cpuinfo", (int)-size);
		return;
	}
	end = memmem(collect->buffer, (size_t)size, "\n\n", 2);
	if (end && end + 2 < collect->buffer + size) {
		size = end + 1 - collect->buffer;
		cut = true;
	}
	collect_store(collect, STORE_FILE, "/proc/cpuinfo", collect->buffer, (size_t)size, cut);
}

static void take_modules(struct collect *collect)
{
	for (size_t i = 0; modules[i]; i++) {
		char dir[64];
		struct collect_rule rule = {dir, module_names, SMALL, "parameters of modules"};

		snprintf(dir, sizeof(dir), "/sys/module/%s", modules[i]);
		collect_rule(collect, &rule);
	}
}

static void take_patterns(struct collect *collect, const char *const *pattern, const char *tells)
{
	for (; *pattern; pattern++)
		collect_pattern(collect, *pattern, MEDIUM, tells);
}

static void name_it(struct snapshot *snapshot)
{
	const char *name = store_text(&snapshot->store, "/proc/sys/kernel/hostname");

	if (!name || !*name)
		name = store_text(&snapshot->store, "/etc/hostname");
	if (name && *name)
		snapshot->name = name;
}

int snapshot_collect(struct snapshot *snapshot, const char *root, struct reason *why)
{
	struct collect collect;
	struct stat stat;
	int err = collect_init(&collect, snapshot, root, why);

	if (err)
		return err;
	if (fstatat(collect.root, "proc", &stat, 0) && fstatat(collect.root, "sys", &stat, 0)) {
		collect_deinit(&collect);
		return reason_add(why, -ENOENT, "%s: holds neither proc nor sys", root);
	}
	if (collect.live)
		snapshot->time_s = time(NULL);
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		collect_rule(&collect, &table[i]);
	take_configs(&collect);
	take_cpuinfo(&collect);
	take_modules(&collect);
	take_patterns(&collect, machine_metis_paths, "what a Metis card and its driver say");
	take_patterns(&collect, machine_vm_paths, "how VMs are set up");
	collect_processes(&collect);
	collect_deinit(&collect);
	name_it(snapshot);
	return 0;
}
