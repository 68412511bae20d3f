/* SPDX-License-Identifier: MIT */
/* Groups, remapping, and what kind of machine it is. */
#include "doctor/model/machine.h"
#include "tests/tap.h"

static void put(struct snapshot *snapshot, const char *path, const char *text)
{
	store_add(&snapshot->store, STORE_FILE, path, text, strlen(text), false);
}

static void test_iommu_groups_sorted_with_regions(void)
{
	const struct machine_group *group;
	struct machine machine = {0};
	struct snapshot snapshot;

	snapshot_init(&snapshot);
	put(&snapshot, "/sys/kernel/iommu_groups/10/type", "DMA-FQ\n");
	put(&snapshot, "/sys/kernel/iommu_groups/9/type", "identity\n");
	put(&snapshot, "/sys/kernel/iommu_groups/9/reserved_regions",
	    "0x000000007b800000 0x000000007fffffff direct\n"
	    "nonsense\n"
	    "0x00000000fee00000 0x00000000feefffff msi\n"
	    "0x0000000000000009 0x0000000000000001 msi\n");
	put(&snapshot, "/sys/kernel/iommu_groups/x1/type", "DMA\n");
	store_add(&snapshot.store, STORE_DIR, "/sys/class/iommu", "", 0, false);
	machine_read_iommu(&machine, &snapshot);
	ASSERT_EQ(machine.group_count, 2);
	EXPECT_EQ(machine.group[0].number, 9);
	group = machine_find_group(&machine, 9);
	ASSERT(group);
	EXPECT_STR(group->type, "identity");
	ASSERT_EQ(group->reserved_count, 2);
	EXPECT_EQ(group->reserved[0].end, 0x7fffffff);
	EXPECT_STR(group->reserved[1].type, "msi");
	EXPECT(!machine_find_group(&machine, 11));
	EXPECT_EQ(machine.iommu, NO);
	store_add(&snapshot.store, STORE_LINK, "/sys/class/iommu/dmar0", "x", 1, false);
	machine_read_iommu(&machine, &snapshot);
	EXPECT_EQ(machine.iommu, YES);
	snapshot_deinit(&snapshot);
}

/* @chip of an interrupt, "" for no list of them. */
static enum tristate remapping_with(const char *vendor, const char *chip, const char *cmdline)
{
	struct snapshot snapshot;
	struct machine machine;
	enum tristate answer;

	snapshot_init(&snapshot);
	put(&snapshot, "/proc/cpuinfo", vendor);
	put(&snapshot, "/proc/cmdline", cmdline);
	if (*chip) {
		char text[128];

		snprintf(text, sizeof(text), "   CPU0\n 30:  1  %s  0-edge  x\nNMI:  0  y\n", chip);
		put(&snapshot, "/proc/interrupts", text);
	}
	machine_build(&machine, &snapshot);
	answer = machine.intremap;
	snapshot_deinit(&snapshot);
	return answer;
}

static void test_iommu_remapping_by_chips_else_command_line(void)
{
	const char *intel = "vendor_id\t: GenuineIntel\n", *arm = "CPU implementer\t: 0x41\n";

	EXPECT_EQ(remapping_with(intel, "IR-PCI-MSI", "quiet"), YES);
	EXPECT_EQ(remapping_with(intel, "PCI-MSI", "quiet"), NO);
	EXPECT_EQ(remapping_with(intel, "", "quiet"), UNKNOWN);
	EXPECT_EQ(remapping_with(intel, "", "quiet intremap=off"), NO);
	EXPECT_EQ(remapping_with(intel, "", "xintremap=off intremap=on"), UNKNOWN);
	EXPECT_EQ(remapping_with("vendor_id\t: AuthenticAMD\n", "IO-APIC", ""), NO);
	EXPECT_EQ(remapping_with(arm, "ITS-PCI-MSI-0000:01:00.0", ""), YES);
	EXPECT_EQ(remapping_with(arm, "GICv3", ""), UNKNOWN);
}

static void make_guest(struct snapshot *snapshot)
{
	snapshot_init(snapshot);
	put(snapshot, "/proc/cpuinfo",
	    "processor\t: 0\nvendor_id\t: AuthenticAMD\nmodel name\t: Example 9\n"
	    "flags\t\t: fpu hypervisor\naddress sizes\t: 43 bits physical, 48 bits virtual\n");
	put(snapshot, "/proc/meminfo", "MemTotal:        2048 kB\nMemFree: 1 kB\n");
	put(snapshot, "/proc/uptime", "90.17 1.0\n");
	put(snapshot, "/proc/version", "Linux version 6.1.0-9-amd64 (x@y) #1\n");
	put(snapshot, "/sys/class/dmi/id/sys_vendor", "QEMU\n");
	put(snapshot, "/sys/class/dmi/id/product_name", "Standard PC (Q35 + ICH9, 2009)\n");
	put(snapshot, "/proc/cmdline",
	    "BOOT_IMAGE=/vmlinuz iommu=pt intel_iommu=on a=\"b c\" quiet intel-iommu=off -- iommu=x\n");
}

static void test_basics_of_a_guest(void)
{
	struct snapshot snapshot;
	struct machine machine;

	make_guest(&snapshot);
	machine_build(&machine, &snapshot);
	EXPECT_EQ(machine.arch, ARCH_AMD);
	EXPECT_EQ(machine.is_vm, YES);
	EXPECT_STR(machine.hypervisor, "kvm");
	EXPECT_EQ(machine.side, DOCTOR_SIDE_GUEST);
	EXPECT_EQ(machine.physical_bits, 43);
	EXPECT_EQ(machine.ram, 2 << 20);
	EXPECT_EQ(machine.uptime_s, 90);
	EXPECT_STR(machine.kernel, "6.1.0-9-amd64");
	EXPECT_STR(machine.cpu, "Example 9");
	EXPECT(!machine.is_proxmox);
	EXPECT_STR(machine_parameter(&machine, "iommu"), "pt");
	EXPECT_STR(machine_parameter(&machine, "intel_iommu"), "off");
	EXPECT_STR(machine_parameter(&machine, "a"), "b c");
	EXPECT_STR(machine_parameter(&machine, "quiet"), "");
	EXPECT(!machine_parameter(&machine, "IMAGE"));
	snapshot_deinit(&snapshot);
}

static void test_basics_vm_that_passes_on_is_a_host(void)
{
	struct snapshot snapshot;
	struct machine machine;

	make_guest(&snapshot);
	put(&snapshot, "/sys/bus/pci/devices/0000:01:00.0/vendor", "0x1\n");
	store_add(&snapshot.store, STORE_LINK, "/sys/bus/pci/devices/0000:01:00.0/driver",
		  "../vfio-pci", 11, false);
	machine_build(&machine, &snapshot);
	EXPECT_EQ(machine.side, DOCTOR_SIDE_HOST);
	EXPECT_EQ(machine.is_vm, YES);
	snapshot.side = DOCTOR_SIDE_GUEST; /* the user knows better */
	machine_build(&machine, &snapshot);
	EXPECT_EQ(machine.side, DOCTOR_SIDE_GUEST);
	snapshot_deinit(&snapshot);
	make_guest(&snapshot);
	put(&snapshot, "/etc/pve/qemu-server/101.conf", "memory: 2048\n");
	machine_build(&machine, &snapshot);
	EXPECT(machine.is_proxmox);
	EXPECT_EQ(machine.side, DOCTOR_SIDE_HOST);
	snapshot_deinit(&snapshot);
}

static void test_basics_of_nothing_are_unknown(void)
{
	struct snapshot snapshot;
	struct machine machine;

	snapshot_init(&snapshot);
	machine_build(&machine, &snapshot);
	EXPECT_EQ(machine.arch, ARCH_UNKNOWN);
	EXPECT_EQ(machine.is_vm, UNKNOWN);
	EXPECT_EQ(machine.side, DOCTOR_SIDE_UNKNOWN);
	EXPECT_EQ(machine.iommu, UNKNOWN);
	EXPECT_EQ(machine.intremap, UNKNOWN);
	EXPECT_EQ(machine.acpi.dmar, UNKNOWN);
	EXPECT_EQ(machine.unsafe_interrupts, UNKNOWN);
	EXPECT_EQ(machine.uptime_s, -1);
	EXPECT(!machine_parameter(&machine, "iommu"));
	EXPECT(!machine_find_device(&machine, (struct bdf){0}));
	snapshot_deinit(&snapshot);
}

int main(void)
{
	RUN(test_iommu_groups_sorted_with_regions);
	RUN(test_iommu_remapping_by_chips_else_command_line);
	RUN(test_basics_of_a_guest);
	RUN(test_basics_vm_that_passes_on_is_a_host);
	RUN(test_basics_of_nothing_are_unknown);
	return tap_done();
}
