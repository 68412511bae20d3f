/* SPDX-License-Identifier: MIT */
#include "doctor/model/machine.h"
#include "doctor/model/names.h"
#include "tests/tap.h"

#define CARD "/sys/bus/pci/devices/0000:c1:00.0"
#define DISK "/sys/bus/pci/devices/0000:02:00.0"

static void put(struct snapshot *snapshot, const char *path, const char *text)
{
	store_add(&snapshot->store, STORE_FILE, path, text, strlen(text), false);
}

static void make(struct snapshot *snapshot)
{
	snapshot_init(snapshot);
	put(snapshot, CARD "/vendor", "0x1f9d\n");
	put(snapshot, CARD "/device", "0x1100\n");
	put(snapshot, CARD "/class", "0x120000\n");
	put(snapshot, CARD "/revision", "0x02\n");
	put(snapshot, CARD "/resource",
	    "0x0000200000000000 0x0000200001ffffff 0x000000000014220c\n"
	    "0x0000000000000000 0x0000000000000000 0x0000000000000000\n"
	    "0x0000000000000000 0x000000003fffffff 0x000000002014220c\n"
	    "0x0000000000000000 0x0000000000000000 0x0000000000000000\n"
	    "0x0000000000003000 0x00000000000030ff 0x0000000000040101\n");
	put(snapshot, CARD "/reset_method", "flr bus\n");
	put(snapshot, CARD "/reset", "");
	put(snapshot, CARD "/driver_override", "vfio-pci\n");
	put(snapshot, CARD "/power_state", "D0\n");
	put(snapshot, CARD "/current_link_speed", "8.0 GT/s PCIe\n");
	put(snapshot, CARD "/max_link_speed", "16.0 GT/s PCIe\n");
	put(snapshot, CARD "/current_link_width", "4\n");
	put(snapshot, CARD "/max_link_width", "16\n");
	put(snapshot, CARD "/msi_irqs/140", "msi\n");
	store_add(&snapshot->store, STORE_LINK, CARD "/driver", "../../drivers/vfio-pci", 22,
		  false);
	store_add(&snapshot->store, STORE_LINK, CARD "/iommu_group", "../x/iommu_groups/22", 20,
		  false);
	put(snapshot, DISK "/vendor", "0x144d\n");
	put(snapshot, DISK "/device", "0xa80a\n");
	put(snapshot, DISK "/class", "0x010802\n");
	put(snapshot, DISK "/driver_override", "(null)\n");
	put(snapshot, "/sys/bus/pci/devices/rubbish/vendor", "0x1\n");
	put(snapshot, "/proc/interrupts",
	    "            CPU0       CPU1\n"
	    "  40:          3          4  IR-PCI-MSIX-0000:02:00.0    0-edge      nvme0q0\n"
	    " 140:         10          0  IR-PCI-MSI 1234-edge      something\n");
}

static void test_pci_device_of_sysfs(void)
{
	struct machine machine = {0};
	const struct machine_device *card, *disk;
	struct snapshot snapshot;
	unsigned int bar = 9;

	make(&snapshot);
	machine_read_memory(&machine, &snapshot);
	machine_read_pci(&machine, &snapshot);
	ASSERT_EQ(machine.device_count, 2);
	card = machine_find_device(&machine, (struct bdf){.bus = 0xc1});
	disk = machine_find_device(&machine, (struct bdf){.bus = 2});
	ASSERT(card && disk);
	EXPECT(disk < card);
	EXPECT_EQ(card->vendor, 0x1f9d);
	EXPECT_EQ(card->class_code, 0x120000);
	EXPECT_EQ(card->revision, 2);
	EXPECT_STR(card->driver, "vfio-pci");
	EXPECT_STR(card->override, "vfio-pci");
	EXPECT(!disk->driver && !disk->override);
	EXPECT_EQ(card->group, 22);
	EXPECT_EQ(disk->group, -1);
	EXPECT_EQ(card->bar[0].start, 0x200000000000);
	EXPECT_EQ(card->bar[0].size, 32 << 20);
	EXPECT(!card->bar[0].unassigned && !card->bar[1].unassigned);
	EXPECT(card->bar[2].unassigned && card->bar[2].size == 1 << 30);
	EXPECT_EQ(card->has_reset, YES);
	EXPECT_EQ(disk->has_reset, NO);
	EXPECT_STR(card->reset_method, "flr bus");
	EXPECT(!disk->reset_method);
	EXPECT_EQ(card->link_speed, 3);
	EXPECT_EQ(card->link_speed_max, 4);
	EXPECT_EQ(card->link_width, 4);
	EXPECT_EQ(card->link_width_max, 16);
	EXPECT(card->has_interrupts && card->interrupts == 10);
	EXPECT(disk->has_interrupts && disk->interrupts == 7);
	EXPECT(machine_bar_at(&machine, 0x200000001000, &bar) == card);
	EXPECT_EQ(bar, 0);
	EXPECT(!machine_bar_at(&machine, 0x200002000000, &bar));
	EXPECT(!machine_bar_at(&machine, 0x3000, &bar));
	EXPECT(!machine_bar_at(&machine, 0x1000, &bar));
	snapshot_deinit(&snapshot);
}

static void test_pci_without_root_says_so_once(void)
{
	static const uint8_t config[64] = {0x9d, 0x1f, 0, 0x11, 6, 4, 0x10, 0, [0x34] = 0x40};
	struct machine machine = {0};
	struct snapshot snapshot;

	make(&snapshot);
	store_add(&snapshot.store, STORE_FILE, CARD "/config", config, 64, false);
	store_add_error(&snapshot.store, DISK "/config", 13);
	machine_read_pci(&machine, &snapshot);
	EXPECT(machine.device[0].config_short && machine.device[1].config_short);
	ASSERT_EQ(snapshot.note_count, 1);
	EXPECT_HAS(snapshot.note[0].why, "2 devices");
	EXPECT_STR(snapshot.note[0].next, "run as root");
	snapshot_deinit(&snapshot);
}

static void test_pci_names_from_a_list(void)
{
	static char list[] = "# comment\n"
			     "0001  Nobody\n"
			     "\ta80a  Not this one\n"
			     "144d  Example\x1b[31m Disks\n"
			     "\ta80a  Fast disk\n"
			     "\t\t144d a801  A variant\n"
			     "zz\n"
			     "C 01  Classes\n"
			     "1f9d  Too late\n";
	struct machine machine = {0};
	struct snapshot snapshot;
	FILE *file = fmemopen(list, sizeof(list) - 1, "r");

	ASSERT(file);
	make(&snapshot);
	machine_read_pci(&machine, &snapshot);
	names_label_from(&machine, &snapshot.arena, file);
	EXPECT_STR(machine.device[0].label, "Example?[31m Disks Fast disk [144d:a80a]");
	EXPECT_STR(machine.device[1].label, "Axelera AI Metis AIPU [1f9d:1100]");
	names_label_from(&machine, &snapshot.arena, NULL);
	EXPECT_STR(machine.device[0].label, "PCI device [144d:a80a]");
	fclose(file);
	snapshot_deinit(&snapshot);
}

int main(void)
{
	RUN(test_pci_device_of_sysfs);
	RUN(test_pci_without_root_says_so_once);
	RUN(test_pci_names_from_a_list);
	return tap_done();
}
