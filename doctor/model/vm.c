/* SPDX-License-Identifier: MIT */
/*
 * The VMs of a machine: of their processes and of their configurations, joined.
 *
 * What is collected for it: machine_vm_paths, and of QEMU's processes (machine_vm_is_qemu())
 * /proc/PID/cmdline, /proc/PID/limits and /proc/PID/status.
 */
#include <stdlib.h>
#include <string.h>

#include "doctor/model/vm.h"

const char *const machine_vm_paths[] = {
	"/etc/pve/qemu-server/*.conf",
	"/etc/pve/mapping/pci.cfg",
	"/etc/libvirt/qemu/*.xml",
	"/proc/sys/kernel/hostname",
	NULL,
};

static bool same_key(const char *a, const char *b, size_t size)
{
	for (size_t i = 0; i < size; i++) {
		char left = a[i] == '_' ? '-' : a[i], right = b[i] == '_' ? '-' : b[i];

		if (left != right)
			return false;
	}
	return !b[size];
}

/* Copies one element, joining ",,"; returns where the next one begins, NULL at the end. */
static const char *next_element(const char *list, char ret_element[VM_VALUE_BYTES])
{
	size_t used = 0;

	for (; *list; list++) {
		if (*list == ',') {
			if (list[1] != ',')
				break;
			list++;
		}
		if (used < VM_VALUE_BYTES - 1)
			ret_element[used++] = *list;
	}
	ret_element[used] = '\0';
	return *list ? list + 1 : NULL;
}

bool vm_option(const char *list, const char *key, bool first, char ret_value[VM_VALUE_BYTES])
{
	char element[VM_VALUE_BYTES] = "";
	bool found = false;

	/* The last one counts, as in QEMU. */
	for (const char *at = list; at; first = false) {
		const char *equals;

		at = next_element(at, element);
		equals = strchr(element, '=');
		if (equals && same_key(element, key, (size_t)(equals - element)))
			memmove(ret_value, equals + 1, strlen(equals + 1) + 1);
		else if (!equals && first)
			memcpy(ret_value, element, strlen(element) + 1);
		else if (!equals && same_key(element, key, strlen(element)))
			memcpy(ret_value, "on", sizeof("on"));
		else
			continue;
		found = true;
	}
	return found;
}

enum tristate vm_switch(const char *value)
{
	static const char *const on[] = {"on", "yes", "true", "y", "1"};
	static const char *const off[] = {"off", "no", "false", "n", "0"};

	for (size_t i = 0; i < sizeof(on) / sizeof(*on); i++) {
		if (!strcmp(value, on[i]))
			return YES;
		if (!strcmp(value, off[i]))
			return NO;
	}
	return UNKNOWN;
}

static int shift_of(char suffix)
{
	switch (suffix | 0x20) {
	case 'b':
		return 0;
	case 'k':
		return 10;
	case 'm':
		return 20;
	case 'g':
		return 30;
	case 't':
		return 40;
	default:
		return -1;
	}
}

bool vm_bytes(const char *text, char suffix, uint64_t *ret_bytes)
{
	uint64_t whole = 0, parts = 0, scale = 1;
	int shift;

	if (*text < '0' || *text > '9')
		return false;
	for (; *text >= '0' && *text <= '9'; text++) {
		if (whole > UINT32_MAX * 1024ull)
			return false;
		whole = whole * 10 + (uint64_t)(*text - '0');
	}
	if (*text == '.')
		for (text++; *text >= '0' && *text <= '9'; text++)
			if (scale < 1000000) {
				parts = parts * 10 + (uint64_t)(*text - '0');
				scale *= 10;
			}
	if (*text)
		suffix = *text++;
	/* "KiB", "GB" as some write. */
	if (*text == 'i' || *text == 'I')
		text++;
	if (*text == 'b' || *text == 'B')
		text++;
	shift = shift_of(suffix);
	if (*text || shift < 0 || whole > UINT64_MAX >> shift >> 1)
		return false;
	*ret_bytes = (whole << shift) + (parts << shift) / scale;
	return true;
}

struct machine_vm *vm_add(struct machine *machine, struct arena *arena, enum vm_kind kind)
{
	struct machine_vm *vm;

	if (machine->vm_count >= VM_COUNT_MAX)
		return NULL;
	vm = arena_grow(arena, &machine->vm, machine->vm_count, sizeof(*vm));
	machine->vm_count++;
	vm->kind = kind;
	vm->name = "";
	vm->source = "";
	return vm;
}

void vm_add_device(struct machine_vm *vm, struct arena *arena, struct bdf bdf, bool all_functions)
{
	struct bdf *device;
	bool *all;

	for (size_t i = 0; i < vm->device_count; i++)
		if (bdf_equal(vm->device[i], bdf)) {
			vm->all_functions[i] |= all_functions;
			return;
		}
	if (vm->device_count >= VM_DEVICES_MAX)
		return;
	device = arena_grow(arena, &vm->device, vm->device_count, sizeof(*device));
	all = arena_grow(arena, &vm->all_functions, vm->device_count, sizeof(*all));
	*device = bdf;
	*all = all_functions;
	vm->device_count++;
}

void vm_add_mdev(struct machine_vm *vm, struct arena *arena, const char *name)
{
	const char **mdev;

	if (vm->mdev_count >= VM_DEVICES_MAX)
		return;
	mdev = arena_grow(arena, &vm->mdev, vm->mdev_count, sizeof(*mdev));
	*mdev = arena_strdup(arena, name);
	vm->mdev_count++;
}

enum vm_board vm_board_of(const char *machine_type)
{
	if (strstr(machine_type, "q35"))
		return BOARD_Q35;
	if (!strcmp(machine_type, "pc") || !strncmp(machine_type, "pc-", 3) ||
	    !strncmp(machine_type, "pc+", 3))
		return BOARD_I440FX;
	if (!strncmp(machine_type, "virt", 4))
		return BOARD_VIRT;
	return BOARD_UNKNOWN;
}

/* QEMU's "auto": an emulated IOMMU remaps interrupts unless all of the interrupt controllers are in
 * the kernel, which is the default under KVM. */
void vm_settle_viommu(struct machine_vm *vm, bool kvm)
{
	if (vm->viommu != VIOMMU_INTEL && vm->viommu != VIOMMU_AMD) {
		if (vm->viommu != VIOMMU_UNKNOWN)
			vm->intremap = NO;
		return;
	}
	if (vm->intremap != UNKNOWN)
		return;
	if (vm->irqchip)
		vm->intremap = strcmp(vm->irqchip, "on") ? YES : NO;
	else
		vm->intremap = kvm ? NO : YES;
}

static bool shares_device(const struct machine_vm *a, const struct machine_vm *b)
{
	for (size_t i = 0; i < a->device_count; i++)
		for (size_t j = 0; j < b->device_count; j++)
			if (bdf_equal(a->device[i], b->device[j]))
				return true;
	return false;
}

/* Proxmox names a process by the VMID ("-id"), libvirt by the domain ("-name guest="). */
static bool is_process_of(const struct machine_vm *process, const struct machine_vm *config)
{
	if (!*process->name || strcmp(process->name, config->name) != 0)
		return false;
	/* A VM that somebody started by hand may have any name. */
	return config->kind == VM_LIBVIRT || !process->device_count || !config->device_count ||
	       shares_device(process, config);
}

/* A process is how the VM was started; its configuration may have been changed since. */
static void join(struct machine_vm *process, const struct machine_vm *config, struct arena *arena)
{
	process->kind = config->kind;
	process->name = config->name;
	process->pcie |= config->pcie;
	process->hugepages |= config->hugepages;
	process->ovmf |= config->ovmf;
	if (!process->ram)
		process->ram = config->ram;
	if (process->board == BOARD_UNKNOWN)
		process->board = config->board;
	if (process->viommu == VIOMMU_UNKNOWN) {
		process->viommu = config->viommu;
		process->intremap = config->intremap;
		process->caching_mode = config->caching_mode;
		process->aw_bits = config->aw_bits;
	}
	if (!process->cpu)
		process->cpu = config->cpu;
	for (size_t i = 0; !process->mdev_count && i < config->mdev_count; i++)
		vm_add_mdev(process, arena, config->mdev[i]);
	/* libvirt hands devices to a running QEMU through its monitor. */
	for (size_t i = 0; config->kind == VM_LIBVIRT && i < config->device_count; i++)
		vm_add_device(process, arena, config->device[i], config->all_functions[i]);
}

static void join_all(struct machine *machine, struct arena *arena)
{
	size_t kept = 0;

	for (size_t i = 0; i < machine->vm_count; i++) {
		const struct machine_vm *config = &machine->vm[i];
		bool joined = false;

		for (size_t j = 0; config->kind != VM_QEMU && !config->running && j < kept; j++) {
			struct machine_vm *process = &machine->vm[j];

			if (process->kind != VM_QEMU || !is_process_of(process, config))
				continue;
			join(process, config, arena);
			joined = true;
			break;
		}
		if (!joined)
			machine->vm[kept++] = *config;
	}
	machine->vm_count = kept;
}

void machine_read_vms(struct machine *machine, struct snapshot *snapshot)
{
	machine->vm = NULL;
	machine->vm_count = 0;
	/* Processes first: configurations are joined into them. */
	vm_read_processes(machine, snapshot);
	vm_read_proxmox(machine, snapshot);
	vm_read_libvirt(machine, snapshot);
	join_all(machine, &snapshot->arena);
}

static bool has_device(const struct machine_vm *vm, struct bdf bdf)
{
	for (size_t i = 0; i < vm->device_count; i++) {
		struct bdf have = vm->device[i];

		if (vm->all_functions[i])
			have.function = bdf.function;
		if (bdf_equal(have, bdf))
			return true;
	}
	return false;
}

const struct machine_vm *machine_find_vm(const struct machine *machine, struct bdf bdf)
{
	const struct machine_vm *found = NULL;

	for (size_t i = 0; i < machine->vm_count; i++) {
		const struct machine_vm *vm = &machine->vm[i];

		if (!has_device(vm, bdf))
			continue;
		if (vm->running)
			return vm;
		if (!found)
			found = vm;
	}
	return found;
}

#define GIB (1ull << 30)

static enum tristate ram_on(enum vm_board board, uint64_t ram, uint64_t address)
{
	uint64_t low;

	switch (board) {
	case BOARD_VIRT:
		return address >= GIB && address - GIB < ram ? YES : NO;
	case BOARD_I440FX:
		low = ram > 0xe0000000 ? 3 * GIB : ram;
		break;
	default:
		low = ram >= 0xb0000000 ? 2 * GIB : ram;
	}
	if (address < low)
		return YES;
	return address >= 4 * GIB && address - 4 * GIB < ram - low ? YES : NO;
}

enum tristate machine_vm_ram(const struct machine_vm *vm, uint64_t address)
{
	enum tristate is;

	if (!vm->ram)
		return UNKNOWN;
	if (vm->board != BOARD_UNKNOWN)
		return ram_on(vm->board, vm->ram, address);
	is = ram_on(BOARD_Q35, vm->ram, address);
	if (is != ram_on(BOARD_I440FX, vm->ram, address) ||
	    is != ram_on(BOARD_VIRT, vm->ram, address))
		return UNKNOWN;
	return is;
}
