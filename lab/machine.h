/* SPDX-License-Identifier: MIT */
/*
 * Command lines of QEMU, for the host VM and for the guest inside it. Pure functions.
 */
#ifndef TETHYS_LAB_MACHINE_H
#define TETHYS_LAB_MACHINE_H

#include <stdbool.h>
#include <stddef.h>

#include "common/reason.h"

#define LAB_GUESTS_MAX 2u
/* Where the card is, in the host VM, with the port above it, and in a guest. */
#define LAB_HOST_CARD "0000:86:00.0"
#define LAB_HOST_PORT "0000:85:00.0"
#define LAB_GUEST_CARD "0000:01:00.0"

enum lab_accel {
	LAB_ACCEL_TCG, /* software; nested virtualisation by its emulated SVM */
	LAB_ACCEL_KVM, /* with nested virtualisation */
};

/* Strings, NULL at the end. */
struct lab_argv {
	char **item;
	size_t count;
};
int lab_argv_add(struct lab_argv *argv, const char *fmt, ...)
	__attribute__((format(printf, 2, 3))); /* 0; -ENOMEM */
void lab_argv_deinit(struct lab_argv *argv);

struct lab_host_machine {
	enum lab_accel accel;
	const char *kernel, *initrd, *base, *payload; /* files; base and payload are disks */
	const char *socket_dir;	 /* short: a unix socket's path has 107 bytes at most */
	const char *log_dir;	 /* consoles */
	const char *cmdline;	 /* added to ours; may be NULL */
	const char *card_socket; /* NULL: no card */
	unsigned int memory_mib, cpus;
	bool iommu;	     /* an emulated VT-d */
	bool intremap;	     /* with interrupt remapping */
	unsigned int guests; /* that it must have ports for */
	/* Interrupts that an idle device has, 0 or LAB_OCCUPIED_MIN to MAX and even. */
	unsigned int occupied;
};

/*
 * A virtio console without ports: Linux asks for one interrupt for the device, one for its control
 * queue and two for each port that there could be.
 */
#define LAB_OCCUPIED_MIN 4u
#define LAB_OCCUPIED_MAX 128u

/**
 * lab_host_argv() - the command line of the host VM's QEMU
 * @ret_argv: appended to, so what runs QEMU may be in it already; QEMU is looked up in PATH
 *
 * Sockets in @socket_dir (QEMU listens): host.agent, host.shell, host.qmp, guestN.agent,
 * guestN.shell. Files in @log_dir: host.console, guestN.console. The card is the device "card" of
 * QMP. Paths may be relative to where QEMU is started.
 *
 * Return: 0; -ENOMEM; -ENAMETOOLONG a socket's path has over 107 bytes; -EINVAL over
 * LAB_GUESTS_MAX guests, or no such number of occupied interrupts.
 */
int lab_host_argv(const struct lab_host_machine *machine, struct lab_argv *ret_argv,
		  struct reason *why);

/* The device "card" for QMP's device_add, or -device: JSON, to be freed. NULL: out of memory. */
char *lab_card_device(const char *card_socket);

enum lab_pass {
	LAB_PASS_NONE,	  /* the guest has no card */
	LAB_PASS_GROUP,	  /* VFIO group and container */
	LAB_PASS_IOMMUFD, /* VFIO device and iommufd */
};

struct lab_guest_machine {
	unsigned int number; /* 1, 2 */
	enum lab_pass pass;
	const char *cmdline;
	const char *irqchip; /* "on", "split"; NULL: what fits */
	unsigned int memory_mib, cpus;
	bool hugepages;		  /* RAM from /dev/hugepages of the host VM, preallocated */
	bool prealloc;		  /* -mem-prealloc */
	bool numa;		  /* a node is named, of all of the memory */
	bool viommu;		  /* an emulated VT-d in the guest, with interrupt remapping */
	const char *console_port; /* path of a port in the host VM, for output only */
};

/**
 * lab_guest_argv() - the command line of a guest's QEMU, which runs in the host VM
 * @ret_argv: appended to
 *
 * Kernel, initrd and disks are where the agent has them.
 *
 * Return: 0; -ENOMEM; -EINVAL no such number or irqchip.
 */
int lab_guest_argv(const struct lab_guest_machine *machine, struct lab_argv *ret_argv,
		   struct reason *why);

/* In the host VM, made by the base image. */
#define LAB_VM_KERNEL "/boot/vmlinuz"
#define LAB_VM_INITRD "/lab/initrd" /* of the payload, since the agent is in it */
#define LAB_VM_BASE_DISK "/dev/vda"
#define LAB_VM_PAYLOAD_DISK "/dev/vdb"

#endif
