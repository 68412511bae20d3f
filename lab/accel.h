/* SPDX-License-Identifier: MIT */
/*
 * KVM or TCG, found out by trying: a /dev/kvm that opens may still be unable to boot a kernel.
 */
#ifndef TETHYS_LAB_ACCEL_H
#define TETHYS_LAB_ACCEL_H

#include "lab/image.h"
#include "lab/loop.h"
#include "lab/machine.h"

/**
 * lab_accel_choose() - what to run the host VM with
 * @ret_line: one line for the user: "KVM", "TCG: no /dev/kvm", "TCG: KVM can't boot a kernel here
 * (emulation failure)", "TCG: KVM here has no nested virtualisation"
 *
 * Boots the lab's kernel and initrd under KVM, with split interrupt controller and the emulated
 * IOMMU, until the agent says HELLO and finds svm or vmx in /proc/cpuinfo; 15 s at most. The answer
 * is remembered in ${XDG_CACHE_HOME:-~/.cache}/tethys, keyed by boot id, kernel and QEMU, except
 * when QEMU would not run at all: that may change at any time. TETHYS_LAB_ACCEL=tcg|kvm skips the
 * trial.
 *
 * Return: 0; -EINTR; -EINVAL TETHYS_LAB_ACCEL is neither; -ENOENT and others: there is no QEMU to
 * try with, or no room for its files.
 */
int lab_accel_choose(struct lab_loop *loop, const struct lab_images *images,
		     enum lab_accel *ret_accel, char ret_line[160], struct reason *why);

/* Where it looks; lab_accel_choose() is lab_accel_choose_in() with the machine's own. */
struct lab_accel_world {
	const char *kvm;     /* the device */
	const char *boot_id; /* a file */
	const char *cache;   /* folder; NULL: remember nothing */
	int timeout_ms;	     /* of the trial */
};
int lab_accel_choose_in(const struct lab_accel_world *world, struct lab_loop *loop,
			const struct lab_images *images, enum lab_accel *ret_accel,
			char ret_line[160], struct reason *why);

#endif
