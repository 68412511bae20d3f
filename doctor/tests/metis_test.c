/* SPDX-License-Identifier: MIT */
/*
 * Metis cards as sysfs and debugfs of either driver show them.
 */
#include "doctor/model/machine.h"
#include "tests/tap.h"

static struct snapshot snapshot;
static struct machine machine;
static struct machine_device device;
static struct machine_irq irq[3];

static void begin(const char *driver)
{
	snapshot = (struct snapshot){0};
	store_init(&snapshot.store, &snapshot.arena);
	device = (struct machine_device){.bdf = {.bus = 0x21},
					 .vendor = 0x1f9d,
					 .device = 0x1100,
					 .driver = driver,
					 .group = -1};
	machine = (struct machine){.device = &device, .device_count = 1};
}

static void file(const char *path, const char *text)
{
	store_add(&snapshot.store, STORE_FILE, path, text, strlen(text), false);
}

static const struct machine_metis *card(void)
{
	static const struct machine_metis none;

	machine_read_metis(&machine, &snapshot);
	EXPECT_EQ(machine.metis_count, 1);
	return machine.metis_count ? &machine.metis[0] : &none;
}

static void end(void)
{
	arena_free(&snapshot.arena);
}

static void test_metis_vendor_driver_is_read(void)
{
	begin("axl");
	file("/sys/class/metis/version", "1.4.16\n");
	file("/sys/module/metis/parameters/dma_poll", "0\n");
	file("/sys/module/metis/parameters/single_msi", "1\n");
	file("/sys/bus/pci/drivers/axl/0000:21:00.0/msi_irqs/44", "msi\n");
	/* The layout of the lines is the vendor's own; what is certain is the order of the parts. */
	file("/sys/kernel/debug/metis/metis-0000:21:00.0/dma-regs",
	     "WRITE_DONE_LOW [0x60] = 0xfee00578\nWRITE_DONE_HIGH [0x64] = 0x0\n"
	     "WRITE_DATA [0x70] = 0x90008\n");
	const struct machine_metis *metis = card();

	EXPECT_STR(metis->driver ? metis->driver : "", "metis");
	EXPECT_STR(metis->driver_version ? metis->driver_version : "", "1.4.16");
	EXPECT_EQ(metis->dma_poll, NO);
	EXPECT_EQ(metis->single_msi, YES);
	EXPECT_EQ(metis->vectors, 1);
	EXPECT_EQ(metis->host_driver_area, UNKNOWN);
	EXPECT(metis->has_imwr);
	EXPECT_EQ(metis->imwr_address, 0xfee00578);
	EXPECT_EQ(metis->imwr_data, 8);
	end();
}

static void test_metis_our_driver_is_read(void)
{
	begin("tethys_metis");
	file("/sys/module/tethys_metis/version", "0.3.0\n");
	file("/sys/module/tethys_metis/parameters/healing", "2\n");
	file("/sys/module/tethys_metis/parameters/check_done", "N\n");
	file("/sys/module/tethys_metis/parameters/dma_poll", "Y\n");
	file("/sys/bus/pci/drivers/tethys_metis/0000:21:00.0/firmware", "1.6.0\n");
	file("/sys/bus/pci/drivers/tethys_metis/0000:21:00.0/vectors", "32\n");
	file("/sys/bus/pci/drivers/tethys_metis/0000:21:00.0/dma_vm", "0\n");
	file("/sys/bus/pci/drivers/tethys_metis/0000:21:00.0/lost_interrupts", "3\n");
	file("/sys/bus/pci/drivers/tethys_metis/0000:21:00.0/timeouts", "1\n");
	file("/sys/bus/pci/drivers/tethys_metis/0000:21:00.0/mode",
	     "polling: interrupts got lost\n");
	file("/sys/kernel/debug/metis/metis-0000:21:00.0/info",
	     "name: metis-0:21:0\nhost_driver: 0x1000\ncontexts: 0x0\n");
	const struct machine_metis *metis = card();

	EXPECT_STR(metis->driver ? metis->driver : "", "tethys_metis");
	EXPECT_STR(metis->driver_version ? metis->driver_version : "", "0.3.0");
	EXPECT_STR(metis->firmware ? metis->firmware : "", "1.6.0");
	EXPECT_EQ(metis->vectors, 32);
	EXPECT_EQ(metis->dma_vm, NO);
	EXPECT_EQ(metis->dma_poll, YES);
	EXPECT_EQ(metis->healing, YES);
	EXPECT_EQ(metis->check_done, NO);
	EXPECT_EQ(metis->irqs_lost, 3);
	EXPECT_EQ(metis->transfers_timed_out, 1);
	EXPECT_EQ(metis->host_driver_area, YES);
	EXPECT_STR(metis->mode ? metis->mode : "", "polling: interrupts got lost");
	end();
}

static void test_metis_card_of_vfio_has_no_driver_but_vectors(void)
{
	begin("vfio-pci");
	device.msi = (struct machine_msi){.present = true, .enabled = true, .vectors = 1};
	/* A version of a module that has no card says nothing of this one. */
	file("/sys/module/metis/version", "1.4.16\n");
	EXPECT(!card()->driver);
	EXPECT(!machine.metis[0].driver_version);
	EXPECT_EQ(machine.metis[0].vectors, 1);
	EXPECT_EQ(machine.metis[0].dma_poll, UNKNOWN);
	end();
}

static void test_metis_vectors_are_counted_in_proc_interrupts(void)
{
	begin("axl");
	for (int i = 0; i < 3; i++)
		irq[i] = (struct machine_irq){.has_device = i != 1, .device = device.bdf};
	machine.irq = irq;
	machine.irq_count = 3;
	EXPECT_EQ(card()->vectors, 2);
	end();
}

static void test_metis_other_devices_are_left_alone(void)
{
	begin("axl");
	device.device = 0x0001;
	machine_read_metis(&machine, &snapshot);
	EXPECT_EQ(machine.metis_count, 0);
	end();
}

static void test_metis_odd_texts_tell_nothing(void)
{
	begin("tethys_metis");
	file("/sys/module/tethys_metis/version", "\x1b[31m1.4\n");
	file("/sys/module/tethys_metis/parameters/healing", "");
	file("/sys/bus/pci/devices/0000:21:00.0/firmware", "n/a\n");
	file("/sys/bus/pci/devices/0000:21:00.0/vectors", "4294967297\n");
	file("/sys/kernel/debug/metis/metis-0000:21:00.0/dma-regs",
	     "A 0x60 0xffffffff\nB 0x70 0xffffffff\n0x\n0xfffffffffffffffffffffff 0x60\n\n");
	EXPECT(!card()->driver_version);
	EXPECT(!machine.metis[0].firmware);
	EXPECT_EQ(machine.metis[0].healing, UNKNOWN);
	EXPECT(machine.metis[0].vectors <= 32);
	EXPECT(!machine.metis[0].has_imwr);
	end();
}

int main(void)
{
	RUN(test_metis_vendor_driver_is_read);
	RUN(test_metis_our_driver_is_read);
	RUN(test_metis_card_of_vfio_has_no_driver_but_vectors);
	RUN(test_metis_vectors_are_counted_in_proc_interrupts);
	RUN(test_metis_other_devices_are_left_alone);
	RUN(test_metis_odd_texts_tell_nothing);
	return tap_done();
}
