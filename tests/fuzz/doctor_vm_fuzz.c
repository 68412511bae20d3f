/* SPDX-License-Identifier: MIT */
/*
 * Configurations and command lines of VMs, any bytes. The first byte chooses whose.
 */
#include <string.h>

#include "doctor/model/machine.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const paths[] = {"/etc/libvirt/qemu/a.xml",
					    "/etc/pve/qemu-server/101.conf", "/proc/77/cmdline"};
	struct snapshot snapshot = {0};
	struct machine machine = {0};
	struct bdf bdf = {.bus = 0x86};

	if (!size)
		return 0;
	store_init(&snapshot.store, &snapshot.arena);
	store_add(&snapshot.store, STORE_FILE, "/proc/sys/kernel/hostname", "pve\n", 4, false);
	store_add(&snapshot.store, STORE_FILE, paths[data[0] % 3], data + 1, size - 1,
		  data[0] & 0x80);
	/* The mapping and the process' limits are texts of the same kind. */
	store_add(&snapshot.store, STORE_FILE, "/etc/pve/mapping/pci.cfg", data + 1, size - 1,
		  false);
	store_add(&snapshot.store, STORE_FILE, "/proc/77/limits", data + 1, size - 1, false);
	store_add(&snapshot.store, STORE_FILE, "/proc/77/status", data + 1, size - 1, false);
	machine_read_vms(&machine, &snapshot);
	for (size_t i = 0; i < machine.vm_count; i++)
		machine_vm_ram(&machine.vm[i], 0x149800000);
	machine_find_vm(&machine, bdf);
	arena_free(&snapshot.arena);
	return 0;
}
