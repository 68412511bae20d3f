/* SPDX-License-Identifier: MIT */
/*
 * Proxmox VE's configurations: /etc/pve/qemu-server/VMID.conf, and the mappings of devices that
 * they may name, /etc/pve/mapping/pci.cfg.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "doctor/model/vm.h"

#define CONF_DIR "/etc/pve/qemu-server"

/* One line out of a text, without white space around it. */
static const char *next_line(struct arena *arena, const char **text)
{
	const char *line = *text;
	size_t size = strcspn(line, "\n");

	if (!*line)
		return NULL;
	*text = line + size + (line[size] == '\n');
	while (size && strchr(" \t\r", line[size - 1]))
		size--;
	return arena_strndup(arena, line, size);
}

/* "86:00" is all functions, "0000:86:00.0" one; the domain may be left out. */
static bool parse_address(const char *text, size_t size, struct bdf *ret_bdf, bool *ret_all)
{
	char whole[BDF_TEXT_BYTES];

	if (bdf_parse(text, size, ret_bdf, NULL)) {
		*ret_all = false;
		return true;
	}
	if (size + 3 > sizeof(whole))
		return false;
	memcpy(whole, text, size);
	memcpy(whole + size, ".0", 3);
	*ret_all = true;
	return bdf_parse(whole, size + 2, ret_bdf, NULL);
}

/* "0000:86:00.0;0000:86:00.1". Return: how many there were; added to @vm unless it is NULL. */
static size_t read_addresses(struct machine_vm *vm, struct arena *arena, const char *list)
{
	size_t count = 0;

	while (*list) {
		size_t size = strcspn(list, ";");
		struct bdf bdf;
		bool all;

		if (parse_address(list, size, &bdf, &all)) {
			if (vm)
				vm_add_device(vm, arena, bdf, all);
			count++;
		}
		list += size + (list[size] == ';');
	}
	return count;
}

/*
 * What a mapping stands for on this node:
 *
 *	pci: NAME
 *		map id=1f9d:1100,iommugroup=22,node=pve1,path=0000:86:00.0
 *
 * Return: paths, NULL unless there is exactly one: of several, Proxmox takes one that is free.
 */
static const char *mapped_path(struct store *store, const char *name)
{
	const char *text = store_text(store, "/etc/pve/mapping/pci.cfg");
	const char *node = store_text(store, "/proc/sys/kernel/hostname");
	char value[VM_VALUE_BYTES];
	const char *line, *path = NULL;
	bool here = false;

	while (text && (line = next_line(store->arena, &text))) {
		if (*line && *line != ' ' && *line != '\t') {
			const char *colon = strchr(line, ':');

			here = colon && !strcmp(colon + 1 + strspn(colon + 1, " \t"), name);
			continue;
		}
		line += strspn(line, " \t");
		if (!here || strncmp(line, "map", 3) != 0 || (line[3] != ' ' && line[3] != '\t'))
			continue;
		line += 3 + strspn(line + 3, " \t");
		if (node && vm_option(line, "node", false, value) && strcmp(value, node) != 0)
			continue;
		if (!vm_option(line, "path", false, value))
			continue;
		if (path)
			return NULL;
		path = arena_strdup(store->arena, value);
	}
	return path;
}

struct proxmox_conf {
	struct machine_vm *vm;
	struct store *store;
	struct arena *arena;
	const char *args;
};

static void read_hostpci(struct proxmox_conf *conf, const char *list)
{
	char value[VM_VALUE_BYTES];
	const char *path;

	if (vm_option(list, "pcie", false, value) && vm_switch(value) == YES)
		conf->vm->pcie = true;
	if (vm_option(list, "mapping", false, value)) {
		path = mapped_path(conf->store, value);
		if (!path || !read_addresses(conf->vm, conf->arena, path))
			vm_add_mdev(conf->vm, conf->arena, value);
	} else if (vm_option(list, "host", true, value)) {
		if (!read_addresses(conf->vm, conf->arena, value) && *value)
			vm_add_mdev(conf->vm, conf->arena, value);
	}
}

static void read_machine(struct proxmox_conf *conf, const char *list)
{
	struct machine_vm *vm = conf->vm;
	char value[VM_VALUE_BYTES];

	if (vm_option(list, "type", true, value) && vm_board_of(value) != BOARD_UNKNOWN)
		vm->board = vm_board_of(value);
	if (vm_option(list, "viommu", false, value)) {
		if (!strcmp(value, "intel")) {
			/* It expands to intremap=on,caching-mode=on and a split irqchip. */
			vm->viommu = VIOMMU_INTEL;
			vm->intremap = YES;
			vm->caching_mode = YES;
			vm->irqchip = "split";
		} else if (!strcmp(value, "virtio")) {
			vm->viommu = VIOMMU_VIRTIO;
		}
	}
	if (vm_option(list, "aw-bits", false, value))
		vm->aw_bits = (unsigned int)strtoul(value, NULL, 10) & 0x7f;
}

static void read_memory(struct proxmox_conf *conf, const char *list)
{
	char value[VM_VALUE_BYTES];
	uint64_t bytes;

	if (vm_option(list, "current", true, value) && vm_bytes(value, 'M', &bytes))
		conf->vm->ram = bytes;
}

static void read_cpu(struct proxmox_conf *conf, const char *list)
{
	char value[VM_VALUE_BYTES];

	conf->vm->cpu = list;
	if (vm_option(list, "guest-phys-bits", false, value) ||
	    vm_option(list, "phys-bits", false, value))
		conf->vm->guest_phys_bits = (unsigned int)strtoul(value, NULL, 10) & 0x7f;
}

static void read_hugepages(struct proxmox_conf *conf, const char *value)
{
	(void)value;
	/* Proxmox adds prealloc=yes to such memory. */
	conf->vm->hugepages = true;
	conf->vm->prealloc = true;
}

static void read_bios(struct proxmox_conf *conf, const char *value)
{
	conf->vm->ovmf = !strcmp(value, "ovmf");
}

static void read_arch(struct proxmox_conf *conf, const char *value)
{
	if (!strcmp(value, "aarch64"))
		conf->vm->board = BOARD_VIRT;
}

static void read_args(struct proxmox_conf *conf, const char *value)
{
	conf->args = value;
}

static const struct {
	const char *key;
	void (*read)(struct proxmox_conf *conf, const char *value);
} readers[] = {
	{"machine", read_machine},     {"memory", read_memory}, {"cpu", read_cpu},
	{"hugepages", read_hugepages}, {"bios", read_bios},	{"arch", read_arch},
	{"args", read_args},
};

static void read_line(struct proxmox_conf *conf, const char *line)
{
	const char *colon = strchr(line, ':');
	size_t size = colon ? (size_t)(colon - line) : 0;
	const char *value;

	if (!size || *line == '#')
		return;
	value = colon + 1 + strspn(colon + 1, " \t");
	if (size > 7 && size < 10 && !strncmp(line, "hostpci", 7)) {
		read_hostpci(conf, value);
		return;
	}
	for (size_t i = 0; i < sizeof(readers) / sizeof(*readers); i++)
		if (strlen(readers[i].key) == size && !memcmp(readers[i].key, line, size))
			readers[i].read(conf, value);
}

static void settle(struct proxmox_conf *conf)
{
	struct machine_vm *vm = conf->vm;
	struct vm_words words;

	/* These come last on the command line. */
	if (conf->args) {
		vm_split(conf->arena, conf->args, &words);
		vm_read_arguments(vm, conf->arena, &words, 0);
	}
	if (vm->viommu == VIOMMU_UNKNOWN)
		vm->viommu = VIOMMU_NONE;
	vm_settle_viommu(vm, true);
}

static void read_conf(struct machine *machine, struct snapshot *snapshot, const char *vmid)
{
	struct arena *arena = &snapshot->arena;
	struct proxmox_conf conf = {.store = &snapshot->store, .arena = arena};
	const char *text, *line;

	text = store_text(&snapshot->store, CONF_DIR "/%s.conf", vmid);
	conf.vm = text ? vm_add(machine, arena, VM_PROXMOX) : NULL;
	if (!conf.vm)
		return;
	conf.vm->name = vmid;
	conf.vm->source = arena_printf(arena, CONF_DIR "/%s.conf", vmid);
	/* What Proxmox takes where the file says nothing. */
	conf.vm->ram = 512ull << 20;
	conf.vm->board = BOARD_I440FX;
	/* "[name]" begins a snapshot, or what is pending: not how the VM is now. */
	while ((line = next_line(arena, &text)) && *line != '[')
		read_line(&conf, line);
	settle(&conf);
}

void vm_read_proxmox(struct machine *machine, struct snapshot *snapshot)
{
	const char *name;
	size_t index = 0;

	while ((name = store_children(&snapshot->store, CONF_DIR, &index))) {
		size_t digits = strspn(name, "0123456789");

		if (digits && digits < 12 && !strcmp(name + digits, ".conf"))
			read_conf(machine, snapshot, arena_strndup(&snapshot->arena, name, digits));
	}
}
