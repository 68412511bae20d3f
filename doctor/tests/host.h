/* SPDX-License-Identifier: MIT */
/*
 * A host for tests of rules that look at state: one card on its own bus behind a port, in group 22,
 * with another card and a function of the first beside it. Healthy until a test changes it.
 */
#ifndef TETHYS_DOCTOR_TESTS_HOST_H
#define TETHYS_DOCTOR_TESTS_HOST_H

#include "doctor/tests/judging.h"

#define TEST_GIB ((uint64_t)1 << 30)

enum { HOST_PORT, HOST_CARD, HOST_AUDIO, HOST_DISK, HOST_DEVICES };

struct test_host {
	struct judging judging;
	struct machine_device device[HOST_DEVICES];
	struct machine_group group[2];
	struct machine_range reserved[2];
	struct machine_iomem iomem[2];
	struct machine_vm vm[2];
	struct bdf vm_device[2][2];
	bool all_functions[2][2];
	struct snapshot snapshot;
};

static inline void host_init(struct test_host *host)
{
	struct machine *machine;

	*host = (struct test_host){0};
	judging_init(&host->judging);
	machine = &host->judging.machine[0];
	host->device[HOST_PORT] = (struct machine_device){.bdf = judging_bdf("0000:20:01.0"),
							  .is_bridge = true,
							  .driver = "pcieport",
							  .class_code = 0x060400,
							  .group = 21};
	host->device[HOST_CARD] = (struct machine_device){.bdf = judging_bdf("0000:21:00.0"),
							  .vendor = 0x10de,
							  .device = 0x2204,
							  .driver = "nouveau",
							  .class_code = 0x030000,
							  .group = 22,
							  .reset_method = "bus",
							  .power_state = "D0",
							  .label = "card"};
	host->device[HOST_AUDIO] = (struct machine_device){.bdf = judging_bdf("0000:21:00.1"),
							   .vendor = 0x10de,
							   .device = 0x1aef,
							   .driver = "snd_hda_intel",
							   .class_code = 0x040300,
							   .group = 22,
							   .reset_method = "",
							   .power_state = "D0",
							   .label = "audio"};
	host->device[HOST_DISK] = (struct machine_device){.bdf = judging_bdf("0000:22:00.0"),
							  .vendor = 0x144d,
							  .device = 0xa80a,
							  .driver = "nvme",
							  .class_code = 0x010802,
							  .group = 23,
							  .reset_method = "flr",
							  .has_flr = true,
							  .power_state = "D0",
							  .label = "disk"};
	host->group[0] = (struct machine_group){
		.number = 22, .type = "DMA", .reserved = host->reserved, .reserved_count = 1};
	host->group[1] = (struct machine_group){.number = 23, .type = "DMA"};
	host->reserved[0] = (struct machine_range){0xfee00000, 0xfeefffff, "msi"};
	*machine = (struct machine){
		.name = "host",
		.snapshot = &host->snapshot,
		.side = DOCTOR_SIDE_HOST,
		.arch = ARCH_INTEL,
		.kernel = "6.8.12-8-pve",
		.command_line = "quiet intel_iommu=on",
		.iommu = YES,
		.intremap = YES,
		.unsafe_interrupts = NO,
		.device = host->device,
		.device_count = HOST_DEVICES,
		.group = host->group,
		.group_count = 2,
		.iomem = host->iomem,
		.vm = host->vm,
		.acpi = {
			.dmar = YES, .ivrs = NO, .address_width = 46, .interrupt_remapping = true}};
	host->judging.machine_count = 1;
}

/* A VM that has the card; stopped unless a test starts it. */
static inline struct machine_vm *host_vm(struct test_host *host, enum vm_kind kind,
					 const char *device, bool all_functions)
{
	struct machine *machine = &host->judging.machine[0];
	size_t index = machine->vm_count++;
	struct machine_vm *vm = &host->vm[index];

	host->vm_device[index][0] = judging_bdf(device);
	host->all_functions[index][0] = all_functions;
	*vm = (struct machine_vm){.kind = kind,
				  .name = kind == VM_LIBVIRT ? "train" : "101",
				  .source = "/etc/pve/qemu-server/101.conf",
				  .ram = 16 * TEST_GIB,
				  .board = BOARD_Q35,
				  .viommu = VIOMMU_NONE,
				  .device = host->vm_device[index],
				  .all_functions = host->all_functions[index],
				  .device_count = 1};
	return vm;
}

static inline void host_judge(struct test_host *host)
{
	judging_judge(&host->judging);
}

static inline void host_deinit(struct test_host *host)
{
	judging_deinit(&host->judging);
	arena_free(&host->snapshot.arena);
}

#endif
