/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <json-c/json.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include "lab/agent/proto.h"
#include "lab/machine.h"

#define PROGRAM "qemu-system-x86_64"
/* Nothing that the machines don't need: every device costs time in firmware and kernel. */
#define BARE_Q35 "q35,hpet=off,smbus=off,sata=off,i8042=off,vmport=off,graphics=off,usb=off"

/*
 * Ours of both kernel command lines.
 * panic=-1: with -no-reboot QEMU ends at once.
 * loglevel=4: a serial port writes 3000 characters a second in the guest; the agent has the rest.
 */
#define COMMON_CMDLINE "console=ttyS0 panic=-1 loglevel=4"

/*
 * Where each second of the emulated machine costs, and none of this is what a scenario is about:
 * no_timer_check: on a busy machine ticks come late, and the check ends in a panic.
 * cryptomgr.notests: half a second of known answers.
 */
#define FAST_CMDLINE " no_timer_check cryptomgr.notests"
/*
 * lastbus=0: without it the kernel looks for forgotten PCI buses by 8000 reads, 1.6 s of exits.
 * cmos_init waits up to a second for the clock's tick, jent_mod_init tests itself.
 */
#define GUEST_CMDLINE                 \
	FAST_CMDLINE " pci=lastbus=0" \
		     " initcall_blacklist=cmos_init,jent_mod_init"

/* Keeps the first error, so that a command line reads as one list. */
struct builder {
	struct lab_argv *argv;
	size_t count_before;
	struct reason *why;
	int err;
};

static void __attribute__((format(printf, 2, 3))) add(struct builder *b, const char *fmt, ...)
{
	char *text;
	va_list ap;
	int n;

	if (b->err)
		return;
	va_start(ap, fmt);
	n = vasprintf(&text, fmt, ap);
	va_end(ap);
	if (n < 0) {
		b->err = -ENOMEM;
		return;
	}
	b->err = lab_argv_add(b->argv, "%s", text);
	free(text);
}

static void add_all(struct builder *b, const char *const *items)
{
	for (; *items; items++)
		add(b, "%s", *items);
}

/* On failure the list is as it was. */
static int finish(struct builder *b)
{
	if (!b->err)
		return 0;
	while (b->argv->count > b->count_before) {
		free(b->argv->item[--b->argv->count]);
		b->argv->item[b->argv->count] = NULL;
	}
	return b->err == -ENOMEM ? reason_add(b->why, b->err, "out of memory") : b->err;
}

/* In QEMU's options a comma ends a value, two are one. */
struct quoted {
	char text[2 * PATH_MAX];
};

static const char *quote(struct builder *b, const char *dir, const char *name,
			 struct quoted *ret_quoted)
{
	char path[PATH_MAX], *to = ret_quoted->text;
	const char *from;

	if (snprintf(path, sizeof(path), "%s%s%s", dir, *name ? "/" : "", name) >=
	    (int)sizeof(path)) {
		if (!b->err)
			b->err = reason_add(b->why, -ENAMETOOLONG, "too long a path: %s", dir);
		path[0] = '\0';
	}
	for (from = path; *from; from++) {
		*to++ = *from;
		if (*from == ',')
			*to++ = ',';
	}
	*to = '\0';
	return ret_quoted->text;
}

static void add_socket(struct builder *b, const char *dir, const char *name)
{
	size_t bytes = strlen(dir) + 1 + strlen(name);
	struct sockaddr_un addr;
	struct quoted path;

	if (!b->err && bytes >= sizeof(addr.sun_path))
		b->err = reason_add(b->why, -ENAMETOOLONG,
				    "%s/%s: a socket's path may have %zu bytes, not %zu", dir, name,
				    sizeof(addr.sun_path) - 1, bytes);
	add(b, "-chardev");
	add(b, "socket,id=%s,path=%s,server=on,wait=off", name, quote(b, dir, name, &path));
}

static void add_disk(struct builder *b, const char *id, const char *path, unsigned int slot)
{
	struct quoted quoted;

	add(b, "-drive");
	add(b, "file=%s,if=none,id=%s,format=raw,readonly=on", quote(b, path, "", &quoted), id);
	add(b, "-device");
	/* Disks are named in the order of their slots; with a second host bridge the bus must be named. */
	add(b, "virtio-blk-pci,drive=%s,bus=pcie.0,addr=%u", id, slot);
}

static void add_port(struct builder *b, const char *chardev, const char *name)
{
	add(b, "-device");
	add(b, "virtserialport,chardev=%s,name=%s", chardev, name);
}

static void add_kernel(struct builder *b, const char *kernel, const char *initrd, const char *role,
		       const char *ours, const char *theirs)
{
	add(b, "-kernel");
	add(b, "%s", kernel);
	add(b, "-initrd");
	add(b, "%s", initrd);
	add(b, "-append");
	add(b, COMMON_CMDLINE " " LAB_ARG_ROLE "%s%s%s%s", role, ours, theirs ? " " : "",
	    theirs ? theirs : "");
}

/* --- host VM --- */

char *lab_card_device(const char *card_socket)
{
	struct json_object *device = json_object_new_object(), *socket = json_object_new_object();
	char *text = NULL;
	int err = !device || !socket;

	if (!err)
		err = json_object_object_add(socket, "type", json_object_new_string("unix")) ||
		      json_object_object_add(socket, "path", json_object_new_string(card_socket)) ||
		      json_object_object_add(device, "driver",
					     json_object_new_string("vfio-user-pci")) ||
		      json_object_object_add(device, "id", json_object_new_string("card")) ||
		      json_object_object_add(device, "bus", json_object_new_string("cardport")) ||
		      json_object_object_add(device, "socket", json_object_get(socket));
	if (!err)
		text = strdup(json_object_to_json_string_ext(
			device, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(socket);
	json_object_put(device);
	return text;
}

static void add_host_accel(struct builder *b, const struct lab_host_machine *m)
{
	bool kvm = m->accel == LAB_ACCEL_KVM;

	add(b, "-accel");
	add(b, kvm ? "kvm" : "tcg,thread=multi");
	add(b, "-cpu");
	add(b, kvm ? "host" : "max");
	add(b, "-machine");
	/* Remapping of interrupts needs an IO-APIC outside of the kernel. */
	add(b, BARE_Q35 ",kernel-irqchip=%s,memory-backend=ram", kvm ? "split" : "off");
	add(b, "-smp");
	add(b, "%u", m->cpus);
	add(b, "-m");
	add(b, "%uM", m->memory_mib);
	/* The card maps it. */
	add(b, "-object");
	add(b, "memory-backend-memfd,id=ram,size=%uM,share=on", m->memory_mib);
}

static void add_host_card(struct builder *b, const struct lab_host_machine *m)
{
	static const char *const port[] = {
		/*
		 * The card's slot is the kernel's own (pciehp), not ACPI's: else the port reports no
		 * active link, which drivers of the card take for a broken one.
		 */
		"-global", "ICH9-LPC.acpi-pci-hotplug-with-bridge-support=off",
		"-device", "pxb-pcie,id=cardroot,bus_nr=0x85,bus=pcie.0,addr=8",
		"-device", "pcie-root-port,id=cardport,bus=cardroot,chassis=1,slot=1",
		NULL,
	};
	char *device;

	/* Before the devices behind it. vfio-user-pci needs caching-mode to hear of mappings. */
	if (m->iommu) {
		add(b, "-device");
		add(b, "intel-iommu,intremap=%s,caching-mode=on", m->intremap ? "on" : "off");
	}
	add_all(b, port);
	if (!m->card_socket)
		return;
	device = lab_card_device(m->card_socket);
	if (!device) {
		b->err = -ENOMEM;
		return;
	}
	add(b, "-device");
	add(b, "%s", device);
	free(device);
}

static void add_host_guest_ports(struct builder *b, const struct lab_host_machine *m,
				 unsigned int guest)
{
	char name[32], port[32];
	struct quoted path;

	snprintf(name, sizeof(name), "guest%u.agent", guest);
	snprintf(port, sizeof(port), LAB_PORT_GUEST_AGENT, guest);
	add_socket(b, m->socket_dir, name);
	add_port(b, name, port);
	snprintf(name, sizeof(name), "guest%u.shell", guest);
	snprintf(port, sizeof(port), LAB_PORT_GUEST_SHELL, guest);
	add_socket(b, m->socket_dir, name);
	add_port(b, name, port);
	snprintf(name, sizeof(name), "guest%u.console", guest);
	snprintf(port, sizeof(port), LAB_PORT_GUEST_CONSOLE, guest);
	add(b, "-chardev");
	add(b, "file,id=%s,path=%s", name, quote(b, m->log_dir, name, &path));
	add_port(b, name, port);
}

static void add_host_ports(struct builder *b, const struct lab_host_machine *m)
{
	struct quoted path;
	unsigned int guest;

	add(b, "-chardev");
	add(b, "file,id=console,path=%s", quote(b, m->log_dir, "host.console", &path));
	add(b, "-serial");
	add(b, "chardev:console");
	add_socket(b, m->socket_dir, "host.qmp");
	add(b, "-qmp");
	add(b, "chardev:host.qmp");
	add(b, "-device");
	add(b, "virtio-serial-pci,bus=pcie.0,addr=4");
	add_socket(b, m->socket_dir, "host.agent");
	add_port(b, "host.agent", LAB_PORT_AGENT);
	add_socket(b, m->socket_dir, "host.shell");
	add_port(b, "host.shell", LAB_PORT_SHELL);
	for (guest = 1; guest <= m->guests; guest++)
		add_host_guest_ports(b, m, guest);
}

static void add_host_occupied(struct builder *b, const struct lab_host_machine *m)
{
	if (!m->occupied)
		return;
	add(b, "-device");
	add(b,
	    "virtio-serial-pci,id=occupied,bus=pcie.0,addr=5,disable-legacy=on,max_ports=%u,vectors=%u",
	    (m->occupied - 2) / 2, m->occupied);
}

static bool is_occupied_sound(unsigned int count)
{
	return !count || (count >= LAB_OCCUPIED_MIN && count <= LAB_OCCUPIED_MAX && count % 2 == 0);
}

static const char *const quiet_machine[] = {
	PROGRAM, "-no-user-config", "-nodefaults", "-nic", "none", "-display",
	"none",	 "-no-reboot",	    NULL,
};

int lab_host_argv(const struct lab_host_machine *m, struct lab_argv *ret_argv, struct reason *why)
{
	struct builder b = {.argv = ret_argv, .count_before = ret_argv->count, .why = why};

	if (m->guests > LAB_GUESTS_MAX)
		return reason_add(why, -EINVAL, "%u guests are more than %u", m->guests,
				  LAB_GUESTS_MAX);
	if (!is_occupied_sound(m->occupied))
		return reason_add(why, -EINVAL, "%u occupied interrupts can't be had", m->occupied);
	add_all(&b, quiet_machine);
	add_host_accel(&b, m);
	add_host_card(&b, m);
	add_kernel(&b, m->kernel, m->initrd, "host", FAST_CMDLINE, m->cmdline);
	add_disk(&b, "base", m->base, 2);
	add_disk(&b, "payload", m->payload, 3);
	add_host_ports(&b, m);
	add_host_occupied(&b, m);
	return finish(&b);
}

/* --- guest --- */

static void add_guest_memory(struct builder *b, const struct lab_guest_machine *m,
			     const char *irqchip)
{
	add(b, "-machine");
	add(b, BARE_Q35 ",kernel-irqchip=%s%s", irqchip,
	    m->hugepages && !m->numa ? ",memory-backend=ram" : "");
	add(b, "-smp");
	add(b, "%u", m->cpus);
	add(b, "-m");
	add(b, "%uM", m->memory_mib);
	if (m->prealloc)
		add(b, "-mem-prealloc");
	if (m->hugepages || m->numa)
		add(b, "-object");
	/* Now rather than by a SIGBUS later, when there are too few. */
	if (m->hugepages)
		add(b,
		    "memory-backend-file,id=ram,size=%uM,mem-path=/dev/hugepages,prealloc=on,"
		    "share=off",
		    m->memory_mib);
	else if (m->numa)
		add(b, "memory-backend-ram,id=ram,size=%uM", m->memory_mib);
	if (!m->numa)
		return;
	add(b, "-numa");
	add(b, "node,memdev=ram");
}

static void add_guest_card(struct builder *b, const struct lab_guest_machine *m)
{
	if (m->viommu) {
		/* Before the devices behind it. */
		add(b, "-device");
		add(b, "intel-iommu,intremap=on,caching-mode=on");
	}
	/* Also without a card, so that everything else stays in its place. */
	add(b, "-device");
	add(b, "pcie-root-port,id=cardport,bus=pcie.0,addr=8,chassis=1,slot=1");
	if (m->pass == LAB_PASS_NONE)
		return;
	if (m->pass == LAB_PASS_IOMMUFD) {
		add(b, "-object");
		add(b, "iommufd,id=iommufd");
	}
	add(b, "-device");
	add(b, "vfio-pci,id=card,host=" LAB_HOST_CARD ",bus=cardport%s",
	    m->pass == LAB_PASS_IOMMUFD ? ",iommufd=iommufd" : "");
}

/* Where the host VM's agent joins the runner's port (see agent/proto.h). */
static void add_relayed_port(struct builder *b, const char *id, const char *path, const char *name)
{
	add(b, "-chardev");
	add(b, "socket,id=%s,path=%s,server=on,wait=off", id, path);
	add_port(b, id, name);
}

static void add_guest_ports(struct builder *b, const struct lab_guest_machine *m)
{
	struct quoted console;
	char path[64];

	add(b, "-chardev");
	add(b, "pipe,id=console,path=%s", quote(b, m->console_port, "", &console));
	add(b, "-serial");
	add(b, "chardev:console");
	add(b, "-device");
	add(b, "virtio-serial-pci,bus=pcie.0,addr=4");
	snprintf(path, sizeof(path), LAB_RELAY_AGENT, m->number);
	add_relayed_port(b, "agent", path, LAB_PORT_AGENT);
	snprintf(path, sizeof(path), LAB_RELAY_SHELL, m->number);
	add_relayed_port(b, "shell", path, LAB_PORT_SHELL);
}

static int check_guest(const struct lab_guest_machine *m, struct reason *why)
{
	static const char *const chips[] = {"on", "split"};
	size_t i;

	if (m->number < 1 || m->number > LAB_GUESTS_MAX)
		return reason_add(why, -EINVAL, "there is no guest %u", m->number);
	for (i = 0; m->irqchip && i < sizeof(chips) / sizeof(chips[0]); i++)
		if (!strcmp(m->irqchip, chips[i]))
			return 0;
	if (m->irqchip)
		return reason_add(why, -EINVAL, "irqchip \"%s\" is not on or split", m->irqchip);
	return 0;
}

int lab_guest_argv(const struct lab_guest_machine *m, struct lab_argv *ret_argv, struct reason *why)
{
	struct builder b = {.argv = ret_argv, .count_before = ret_argv->count, .why = why};
	int err = check_guest(m, why);

	if (err)
		return err;
	add_all(&b, quiet_machine);
	/* Starts a kernel and does nothing else; the kernel places the card by itself. */
	add(&b, "-bios");
	add(&b, "qboot.rom");
	add(&b, "-accel");
	add(&b, "kvm");
	add(&b, "-cpu");
	add(&b, "host");
	/* What an emulated VT-d can remap is outside of the kernel; QEMU's default as well. */
	add_guest_memory(&b, m, m->irqchip ? m->irqchip : "split");
	add_guest_card(&b, m);
	add_kernel(&b, LAB_VM_KERNEL, LAB_VM_INITRD, "guest", GUEST_CMDLINE, m->cmdline);
	add_disk(&b, "base", LAB_VM_BASE_DISK, 2);
	add_disk(&b, "payload", LAB_VM_PAYLOAD_DISK, 3);
	add_guest_ports(&b, m);
	return finish(&b);
}
