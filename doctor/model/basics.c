/* SPDX-License-Identifier: MIT */
/*
 * What machine it is: processor, board, kernel, and whether it is a virtual one.
 */
#include <stdlib.h>
#include <string.h>

#include "doctor/model/machine.h"

/* The value of "key : value" in @text, in the arena; NULL when there is none. */
static const char *value_of(struct arena *arena, const char *text, const char *key)
{
	size_t size = strlen(key);

	while (text && *text) {
		const char *at = text, *end = strchrnul(text, '\n');

		if (!strncmp(at, key, size)) {
			at += size;
			at += strspn(at, " \t");
			if (*at == ':') {
				at++;
				at += strspn(at, " \t");
				if (at > end)
					at = end;
				return arena_strndup(arena, at, (size_t)(end - at));
			}
		}
		text = *end ? end + 1 : end;
	}
	return NULL;
}

static bool has_word(const char *text, const char *word)
{
	size_t size = strlen(word);

	for (const char *at = text; at && (at = strstr(at, word)); at += size)
		if ((at == text || at[-1] == ' ') && (!at[size] || at[size] == ' '))
			return true;
	return false;
}

static enum machine_arch arch_of(const char *vendor, const char *implementer, bool known)
{
	if (vendor && !strcmp(vendor, "GenuineIntel"))
		return ARCH_INTEL;
	if (vendor && (!strcmp(vendor, "AuthenticAMD") || !strcmp(vendor, "HygonGenuine")))
		return ARCH_AMD;
	if (implementer)
		return ARCH_ARM;
	return known ? ARCH_OTHER : ARCH_UNKNOWN;
}

/* The hypervisor by what it calls its machines; NULL for none that is known. */
static const char *hypervisor_of(const char *vendor, const char *product)
{
	static const struct {
		const char *vendor, *product, *name;
	} known[] = {
		{"QEMU", "", "kvm"},
		{"", "KVM", "kvm"},
		{"", "Standard PC", "kvm"},
		{"Red Hat", "KVM", "kvm"},
		{"Proxmox", "", "kvm"},
		{"Amazon EC2", "", "kvm"},
		{"Google", "Google Compute Engine", "kvm"},
		{"VMware", "", "vmware"},
		{"Microsoft Corporation", "Virtual Machine", "hyper-v"},
		{"Xen", "", "xen"},
		{"innotek", "", "virtualbox"},
	};

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (vendor && product && strstr(vendor, known[i].vendor) &&
		    strstr(product, known[i].product))
			return known[i].name;
	return NULL;
}

static void read_cpu(struct machine *machine, struct snapshot *snapshot)
{
	struct arena *arena = &snapshot->arena;
	const char *text = store_text(&snapshot->store, "/proc/cpuinfo");
	const char *sizes = value_of(arena, text, "address sizes");
	const char *flags = value_of(arena, text, "flags");
	unsigned long bits = sizes ? strtoul(sizes, NULL, 10) : 0;

	machine->arch = arch_of(value_of(arena, text, "vendor_id"),
				value_of(arena, text, "CPU implementer"), text);
	machine->cpu = value_of(arena, text, "model name");
	machine->physical_bits = bits <= 64 ? (unsigned int)bits : 0;
	if (flags)
		machine->is_vm = has_word(flags, "hypervisor") ? YES : NO;
}

static void read_board(struct machine *machine, struct snapshot *snapshot)
{
	struct store *store = &snapshot->store;
	const char *vendor = store_text(store, "/sys/class/dmi/id/sys_vendor");
	const char *product = store_text(store, "/sys/class/dmi/id/product_name");
	const char *board_vendor = store_text(store, "/sys/class/dmi/id/board_vendor");
	const char *board = store_text(store, "/sys/class/dmi/id/board_name");

	machine->hypervisor = hypervisor_of(vendor, product);
	if (machine->hypervisor)
		machine->is_vm = YES;
	else if (machine->is_vm == UNKNOWN && vendor && product)
		machine->is_vm = NO;
	/* Servers are known by the system's name, self-built machines by the board's. */
	machine->board_vendor = board_vendor && *board_vendor ? board_vendor : vendor;
	machine->board = board && *board ? board : product;
	machine->firmware_version = store_text(store, "/sys/class/dmi/id/bios_version");
}

/* "Linux version 6.8.12-4-pve (...) ..." */
static const char *kernel_of(struct snapshot *snapshot)
{
	const char *release = store_text(&snapshot->store, "/proc/sys/kernel/osrelease");
	const char *version = store_text(&snapshot->store, "/proc/version");

	if (release && *release)
		return release;
	if (!version || strncmp(version, "Linux version ", 14) != 0)
		return NULL;
	return arena_strndup(&snapshot->arena, version + 14, strcspn(version + 14, " "));
}

void machine_read_basics(struct machine *machine, struct snapshot *snapshot)
{
	struct store *store = &snapshot->store;
	const char *text;
	char *end;
	size_t index = 0;

	machine->name = snapshot->name;
	machine->command_line = store_text(store, "/proc/cmdline");
	machine->kernel = kernel_of(snapshot);
	read_cpu(machine, snapshot);
	read_board(machine, snapshot);
	text = value_of(&snapshot->arena, store_text(store, "/proc/meminfo"), "MemTotal");
	if (text) {
		unsigned long long kib = strtoull(text, &end, 10);

		if (!strcmp(end, " kB") && kib <= UINT64_MAX / 1024)
			machine->ram = kib * 1024;
	}
	machine->uptime_s = -1;
	text = store_text(store, "/proc/uptime");
	if (text && *text >= '0' && *text <= '9')
		machine->uptime_s = strtoll(text, NULL, 10);
	machine->is_proxmox = (machine->kernel && strstr(machine->kernel, "-pve")) ||
			      store_children(store, "/etc/pve", &index);
}
