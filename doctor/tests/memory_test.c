/* SPDX-License-Identifier: MIT */
#include "doctor/model/machine.h"
#include "tests/tap.h"

static void read_from(struct machine *machine, struct snapshot *snapshot, const char *iomem,
		      const char *interrupts)
{
	memset(machine, 0, sizeof(*machine));
	snapshot_init(snapshot);
	store_add(&snapshot->store, STORE_FILE, "/proc/iomem", iomem, strlen(iomem), false);
	store_add(&snapshot->store, STORE_FILE, "/proc/interrupts", interrupts, strlen(interrupts),
		  false);
	machine_read_memory(machine, snapshot);
}

static void test_memory_iomem_innermost(void)
{
	const struct machine_iomem *at;
	struct snapshot snapshot;
	struct machine machine;

	read_from(&machine, &snapshot,
		  "00000000-00000fff : Reserved\n"
		  "00100000-7fffffff : System RAM\n"
		  "  01000000-01ffffff : Kernel code\n"
		  "rubbish\n"
		  "5-\n"
		  "9-1 : backwards\n"
		  "200000000000-3fffffffffff : PCI Bus 0000:c0\n"
		  "  200000000000-200001ffffff : PCI Bus 0000:c1\n"
		  "    200000000000-200001ffffff : 0000:c1:00.0\n",
		  "");
	EXPECT_EQ(machine.iomem_count, 6);
	EXPECT(!machine.iomem_hidden);
	at = machine_iomem_at(&machine, 0x200000000010);
	ASSERT(at);
	EXPECT_STR(at->name, "0000:c1:00.0");
	EXPECT_EQ(at->depth, 2);
	at = machine_iomem_at(&machine, 0x1000000);
	ASSERT(at);
	EXPECT_STR(at->name, "Kernel code");
	EXPECT(!machine_iomem_at(&machine, 0x80000000));
	snapshot_deinit(&snapshot);
}

static void test_memory_iomem_hidden_is_no_map(void)
{
	struct snapshot snapshot;
	struct machine machine;

	read_from(&machine, &snapshot,
		  "00000000-00000000 : Reserved\n  00000000-00000000 : System RAM\n", "");
	EXPECT(machine.iomem_hidden);
	EXPECT(!machine_iomem_at(&machine, 0));
	ASSERT_EQ(snapshot.note_count, 1);
	EXPECT_STR(snapshot.note[0].next, "run as root");
	snapshot_deinit(&snapshot);
}

static void test_memory_interrupts_of_all_kinds(void)
{
	const struct machine_irq *irq;
	struct snapshot snapshot;
	struct machine machine;
	char text[BDF_TEXT_BYTES];

	read_from(
		&machine, &snapshot, "",
		"            CPU0       CPU1\n"
		"   9:          0          5  IR-IO-APIC    9-fasteoi   acpi\n"
		" 140:         10         20  IR-PCI-MSI-0000:86:00.0    3-edge      metis 3, x\n"
		" 141:          1          1  PCI-MSI 524288-edge      vfio-msi[0](0000:21:00.1)\n"
		"  30:          7          0     GICv3  30 Level     arch_timer\n"
		"  31:          7          0   ITS-PCI-MSI-0001:01:00.0   0 Edge      nvme0q0\n"
		"  32:          7          0   PCI-MSI 12-edge\n"
		" NMI:          2          3   Non-maskable interrupts\n"
		" ERR:          4\n"
		"rubbish\n"
		"  33:\n");
	ASSERT_EQ(machine.irq_count, 9);
	irq = machine.irq;
	EXPECT_STR(irq[0].chip, "IR-IO-APIC");
	EXPECT_STR(irq[0].name, "acpi");
	EXPECT(irq[0].remapped && irq[0].count == 5 && !irq[0].has_device);
	EXPECT_EQ(irq[1].count, 30);
	EXPECT_STR(irq[1].name, "metis 3, x");
	ASSERT(irq[1].has_device);
	EXPECT_STR(bdf_text(irq[1].device, text), "0000:86:00.0");
	EXPECT(!irq[2].remapped);
	ASSERT(irq[2].has_device);
	EXPECT_STR(bdf_text(irq[2].device, text), "0000:21:00.1");
	EXPECT_STR(irq[3].chip, "GICv3");
	EXPECT_STR(irq[3].name, "arch_timer");
	EXPECT_STR(irq[4].name, "nvme0q0");
	EXPECT_STR(bdf_text(irq[4].device, text), "0001:01:00.0");
	EXPECT_STR(irq[5].name, "");
	EXPECT_STR(irq[6].number, "NMI");
	EXPECT_EQ(irq[6].count, 5);
	EXPECT_STR(irq[6].name, "Non-maskable interrupts");
	EXPECT_EQ(irq[7].count, 4);
	EXPECT_STR(irq[8].chip, "");
	snapshot_deinit(&snapshot);
}

int main(void)
{
	RUN(test_memory_iomem_innermost);
	RUN(test_memory_iomem_hidden_is_no_map);
	RUN(test_memory_interrupts_of_all_kinds);
	return tap_done();
}
