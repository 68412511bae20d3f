/* SPDX-License-Identifier: MIT */
/*
 * Rules on guest memory, address widths, BARs and display memory.
 */
#include <errno.h>

#include "doctor/tests/host.h"
#include "tests/tap.h"

static struct test_host host;
static struct machine *machine = &host.judging.machine[0];

static const char *first(void)
{
	host_judge(&host);
	return judging_first(&host.judging);
}

static const struct doctor_finding *top(void)
{
	return &host.judging.report.finding[0];
}

static struct doctor_fact *map_failed(uint32_t err, uint64_t address, uint64_t size,
				      const char *region)
{
	struct doctor_fact *fact = judging_fact(&host.judging, DOCTOR_MAP_FAILED, "map failed");

	fact->has_reason = true;
	fact->reason = err;
	fact->has_address = fact->has_size = size > 0;
	fact->address = address;
	fact->size = size;
	snprintf(fact->name, sizeof(fact->name), "%s", region);
	return fact;
}

static void test_enomem_is_memlock(void)
{
	host_init(&host);
	map_failed(ENOMEM, 0, 0xc0000, "pc.ram");
	EXPECT_STR(first(), "memlock");
	host_deinit(&host);
}

static void test_limit_above_the_memory_is_doubted(void)
{
	struct doctor_fact *fact;
	unsigned int sure;

	host_init(&host);
	host_vm(&host, VM_LIBVIRT, "0000:21:00.0", true);
	fact = judging_fact(&host.judging, DOCTOR_MEMLOCK_EXCEEDED, "exceeded");
	fact->has_number = true;
	fact->number = 4 * TEST_GIB;
	EXPECT_STR(first(), "memlock");
	sure = top()->confidence;
	fact->number = 64 * TEST_GIB;
	host_judge(&host);
	EXPECT(judging_find(&host.judging, "memlock")->confidence < sure / 2);
	host_deinit(&host);
}

static struct machine_vm *running_user_vm(void)
{
	struct machine_vm *vm;

	host.device[HOST_CARD].driver = host.device[HOST_AUDIO].driver = "vfio-pci";
	vm = host_vm(&host, VM_QEMU, "0000:21:00.0", true);
	vm->running = true;
	vm->uid = 1000;
	vm->memlock_limit = 8 * TEST_GIB;
	return vm;
}

static void test_low_limit_of_a_users_vm_is_a_warning(void)
{
	host_init(&host);
	running_user_vm();
	ASSERT(!strcmp(first(), "memlock"));
	EXPECT_EQ(top()->severity, DOCTOR_WARNING);
	host_deinit(&host);
}

static void test_low_limit_is_nothing_where_it_does_not_count(void)
{
	struct machine_vm *vm;

	host_init(&host);
	vm = running_user_vm();
	vm->uid = 0;
	EXPECT_STR(first(), "");
	vm->uid = 1000;
	vm->locked = 16 * TEST_GIB;
	EXPECT_STR(first(), "");
	vm->locked = 0;
	vm->memlock_limit = UINT64_MAX;
	EXPECT_STR(first(), "");
	vm->memlock_limit = 0;
	EXPECT_STR(first(), "");
	host_deinit(&host);
}

static void test_enospc_is_exhaustion_but_not_of_nvme(void)
{
	host_init(&host);
	map_failed(ENOSPC, 0, 0, "");
	EXPECT_STR(first(), "dma-mappings-exhausted");
	host_deinit(&host);

	host_init(&host);
	map_failed(ENOSPC, 0, 0, "")->text = "nvme: VFIO_MAP_DMA failed: No space left on device";
	EXPECT_STR(first(), "");
	host_deinit(&host);
}

static void test_wide_address_is_the_aperture(void)
{
	host_init(&host);
	host.judging.machine_count = 0;
	map_failed(EINVAL, 0x380000000000, 0x1000000, "");
	EXPECT_STR(first(), "aperture-39bit");
	EXPECT_EQ(top()->severity, DOCTOR_WARNING);
	EXPECT_EQ(host.judging.report.count, 1);
	host_deinit(&host);
}

static void test_wide_address_of_memory_is_an_error(void)
{
	host_init(&host);
	machine->acpi.address_width = 39;
	map_failed(EINVAL, 0x100000000, 0x8000000000, "pc.ram");
	EXPECT_STR(first(), "aperture-39bit");
	EXPECT_EQ(top()->severity, DOCTOR_ERROR);
	host_deinit(&host);
}

static void test_width_of_the_host_counts(void)
{
	host_init(&host);
	/* 46 bits: this address fits, so the IOMMU's width isn't why. */
	map_failed(EINVAL, 0x8800000000, 0x1000000, "");
	host_judge(&host);
	EXPECT(judging_find(&host.judging, "aperture-39bit")->confidence <= 50);
	host_deinit(&host);
}

static void test_bar_of_a_running_vm_is_information(void)
{
	host_init(&host);
	machine->acpi.address_width = 39;
	running_user_vm()->uid = 0;
	map_failed(EINVAL, 0x8800000000, 0x1000000, "");
	host.judging.facts.fact[0].has_device = true;
	host.judging.facts.fact[0].device = judging_bdf("0000:21:00.0");
	EXPECT_STR(first(), "aperture-39bit");
	EXPECT_EQ(host.judging.report.verdict, DOCTOR_HEALTHY);
	host_deinit(&host);
}

static void test_memory_over_the_interrupt_window_is_reserved(void)
{
	host_init(&host);
	host.judging.machine_count = 0;
	map_failed(EINVAL, 0x40000000, 0x100000000, "mach-virt.ram");
	EXPECT_STR(first(), "reserved-iova");
	EXPECT_EQ(host.judging.report.count, 1);
	host_deinit(&host);
}

static void test_memory_over_a_region_of_the_host_is_reserved(void)
{
	host_init(&host);
	host.reserved[1] = (struct machine_range){0x1000000000, 0x10ffffffff, "reserved"};
	host.group[0].reserved_count = 2;
	map_failed(EINVAL, 0x100000000, 0x1000000000, "pc.ram");
	EXPECT_STR(first(), "reserved-iova");
	host_deinit(&host);
}

static void test_efault_of_a_bar_is_a_warning(void)
{
	host_init(&host);
	map_failed(EFAULT, 0xe0000000, 0x800000, "");
	judging_fact(&host.judging, DOCTOR_P2P_UNSUPPORTED, "no peer-to-peer");
	ASSERT(!strcmp(first(), "bar-map-efault"));
	EXPECT_EQ(top()->severity, DOCTOR_WARNING);
	EXPECT_EQ(top()->evidence_count, 2);
	host_deinit(&host);
}

static void test_efault_with_a_guest_that_stops_is_an_error(void)
{
	host_init(&host);
	map_failed(EFAULT, 0xe0000000, 0x8000, "");
	judging_fact(&host.judging, DOCTOR_KVM_BAD_ADDRESS, "kvm run failed Bad address");
	ASSERT(!strcmp(first(), "bar-map-efault"));
	EXPECT_EQ(top()->severity, DOCTOR_ERROR);
	host_deinit(&host);
}

static void test_peer_to_peer_line_alone_is_healthy(void)
{
	host_init(&host);
	judging_device_fact(&host.judging, DOCTOR_P2P_UNSUPPORTED, "21:00.0", "no peer-to-peer");
	host_judge(&host);
	EXPECT_EQ(host.judging.report.verdict, DOCTOR_HEALTHY);
	host_deinit(&host);
}

static struct doctor_fact *no_space(unsigned int bar, uint64_t size, const char *text)
{
	struct doctor_fact *fact;

	fact = judging_device_fact(&host.judging, DOCTOR_BAR_NO_SPACE, "21:00.0", text);
	fact->has_number = fact->has_size = true;
	fact->number = bar;
	fact->size = size;
	return fact;
}

static void test_large_bar_without_room_is_found(void)
{
	host_init(&host);
	no_space(1, 32 * TEST_GIB, "BAR 1 [mem size 0x800000000 64bit pref]: can't assign");
	EXPECT_STR(first(), "mmio-window");
	host_deinit(&host);
}

static void test_windows_ports_and_small_bars_are_healthy(void)
{
	host_init(&host);
	no_space(13, 0x1000, "BAR 13 [io  size 0x1000]: can't assign");
	no_space(14, 16 * TEST_GIB, "BAR 14 [mem size 0x400000000]: can't assign");
	no_space(0, TEST_GIB, "VF BAR 0 [mem size 0x40000000]: can't assign");
	no_space(2, 0x4000, "BAR 2 [mem size 0x4000]: can't assign");
	EXPECT_STR(first(), "");
	host_deinit(&host);
}

static void test_unassigned_bar_counts_for_wanted_devices_only(void)
{
	host_init(&host);
	host.device[HOST_CARD].bar[1] =
		(struct machine_bar){.size = TEST_GIB, .flags = 0x14220c, .unassigned = true};
	EXPECT_STR(first(), "");
	host_vm(&host, VM_PROXMOX, "0000:21:00.0", true);
	EXPECT_STR(first(), "mmio-window");
	host_deinit(&host);
}

static void test_stolen_memory_takes_the_fault_along(void)
{
	struct doctor_fact *fact;

	host_init(&host);
	fact = judging_device_fact(&host.judging, DOCTOR_IGD_STOLEN_OUTSIDE, "00:02.0", "stolen");
	fact->has_address = fact->has_size = true;
	fact->address = 0x4c800000;
	fact->size = 0x100000;
	fact = judging_device_fact(&host.judging, DOCTOR_VTD_DMA_FAULT, "00:02.0", "fault");
	fact->has_address = fact->has_reason = fact->has_write = true;
	fact->address = 0x4c93c000;
	fact->reason = 0x06;
	EXPECT_STR(first(), "igd-stolen-mismatch");
	EXPECT(top()->confidence >= 95);
	EXPECT_EQ(host.judging.report.count, 1);
	host_deinit(&host);
}

static void with_framebuffer(const char *driver)
{
	host.device[HOST_CARD].driver = driver;
	host.device[HOST_CARD].bar[1] =
		(struct machine_bar){.start = 0x90000000, .size = 0x10000000, .flags = 0x14220c};
	host.iomem[0] = (struct machine_iomem){
		.range = {0x90000000, 0x902fffff, NULL}, .name = "BOOTFB", .depth = 2};
	machine->iomem_count = 1;
}

static void test_framebuffer_in_a_bar_of_vfio_is_found(void)
{
	host_init(&host);
	with_framebuffer("vfio-pci");
	EXPECT_STR(first(), "bar-busy-efifb");
	host_deinit(&host);
}

static void test_framebuffer_of_the_hosts_own_card_is_healthy(void)
{
	host_init(&host);
	with_framebuffer("nouveau");
	EXPECT_STR(first(), "");
	host_vm(&host, VM_PROXMOX, "0000:21:00.0", true);
	EXPECT_STR(first(), "");
	host_deinit(&host);
}

static void test_bar_taken_of_a_host_driver_is_not_vfios_affair(void)
{
	struct doctor_fact *fact;

	host_init(&host);
	fact = judging_device_fact(&host.judging, DOCTOR_BAR_RESERVE_FAILED, "22:00.0",
				   "BAR 0: can't reserve");
	snprintf(fact->driver, sizeof(fact->driver), "spi-intel");
	EXPECT_STR(first(), "");
	snprintf(fact->driver, sizeof(fact->driver), "vfio-pci");
	EXPECT_STR(first(), "bar-busy-efifb");
	host_deinit(&host);
}

int main(void)
{
	RUN(test_enomem_is_memlock);
	RUN(test_limit_above_the_memory_is_doubted);
	RUN(test_low_limit_of_a_users_vm_is_a_warning);
	RUN(test_low_limit_is_nothing_where_it_does_not_count);
	RUN(test_enospc_is_exhaustion_but_not_of_nvme);
	RUN(test_wide_address_is_the_aperture);
	RUN(test_wide_address_of_memory_is_an_error);
	RUN(test_width_of_the_host_counts);
	RUN(test_bar_of_a_running_vm_is_information);
	RUN(test_memory_over_the_interrupt_window_is_reserved);
	RUN(test_memory_over_a_region_of_the_host_is_reserved);
	RUN(test_efault_of_a_bar_is_a_warning);
	RUN(test_efault_with_a_guest_that_stops_is_an_error);
	RUN(test_peer_to_peer_line_alone_is_healthy);
	RUN(test_large_bar_without_room_is_found);
	RUN(test_windows_ports_and_small_bars_are_healthy);
	RUN(test_unassigned_bar_counts_for_wanted_devices_only);
	RUN(test_stolen_memory_takes_the_fault_along);
	RUN(test_framebuffer_in_a_bar_of_vfio_is_found);
	RUN(test_framebuffer_of_the_hosts_own_card_is_healthy);
	RUN(test_bar_taken_of_a_host_driver_is_not_vfios_affair);
	return tap_done();
}
