/* SPDX-License-Identifier: MIT */
/*
 * What the readers of VMs share: one per kind of source, all filling struct machine_vm.
 */
#ifndef TETHYS_DOCTOR_MODEL_VM_H
#define TETHYS_DOCTOR_MODEL_VM_H

#include "doctor/model/machine.h"

/* Words of one list "key=value,key,...", in which a comma is written ",,". */
#define VM_VALUE_BYTES 512

/**
 * vm_option() - a value of a list as QEMU and Proxmox write them
 * @list: "q35,accel=kvm"
 * @key: looked for; '-' and '_' are the same
 * @first: whether a first word without '=' is @key's
 *
 * Return: false when it isn't there. A key without value has "on".
 */
bool vm_option(const char *list, const char *key, bool first, char ret_value[VM_VALUE_BYTES]);

/* "on", "yes", "true", "1"; "off" and so on; else UNKNOWN. */
enum tristate vm_switch(const char *value);

/* "8G", "8192" with a suffix as default ('M'), "1.5G". Return: false for anything else. */
bool vm_bytes(const char *text, char suffix, uint64_t *ret_bytes);

struct machine_vm *vm_add(struct machine *machine, struct arena *arena, enum vm_kind kind);
void vm_add_device(struct machine_vm *vm, struct arena *arena, struct bdf bdf, bool all_functions);
void vm_add_mdev(struct machine_vm *vm, struct arena *arena, const char *name);

/* "pc-q35-9.0+pve1", "q35", "pc", "virt-9.0". */
enum vm_board vm_board_of(const char *machine_type);

/* What a VM's sources say about the virtual IOMMU decides together: the default of intremap. */
void vm_settle_viommu(struct machine_vm *vm, bool kvm);

/**
 * struct vm_words - a command line
 * @word: arguments, NULL beyond @count
 */
struct vm_words {
	const char **word;
	size_t count;
};

/* A shell-like line into words: quotes and backslashes, nothing is expanded. */
void vm_split(struct arena *arena, const char *line, struct vm_words *ret_words);

/* QEMU's options, from @from on, into @vm, leaving alone what they don't say. */
void vm_read_arguments(struct machine_vm *vm, struct arena *arena, const struct vm_words *words,
		       size_t from);

void vm_read_processes(struct machine *machine, struct snapshot *snapshot);
void vm_read_proxmox(struct machine *machine, struct snapshot *snapshot);
void vm_read_libvirt(struct machine *machine, struct snapshot *snapshot);

#define VM_COUNT_MAX 4096u /* of a machine */
#define VM_DEVICES_MAX 64u /* of a VM */
#define VM_WORDS_MAX 4096u /* of a command line */

#endif
