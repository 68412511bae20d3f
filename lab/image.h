/* SPDX-License-Identifier: MIT */
/*
 * What the machines boot: made by scripts/lab-build, which also knows what is up to date.
 */
#ifndef TETHYS_LAB_IMAGE_H
#define TETHYS_LAB_IMAGE_H

#include <limits.h>
#include <stdbool.h>

#include "common/reason.h"

struct lab_images {
	char kernel[PATH_MAX];	/* bzImage */
	char initrd[PATH_MAX];	/* cpio.gz: agent and the modules it needs to find its root */
	char base[PATH_MAX];	/* erofs: Debian 13 with QEMU and kernel modules */
	char payload[PATH_MAX]; /* erofs: bin/tethys, lib/, assets/, initrd */
	char enter[PATH_MAX];	/* runs a program of @root (scripts/enter.c) */
	char root[PATH_MAX];	/* root file system with QEMU, for this machine */
	char release[128];	/* the kernel's, as of uname -r */
	char qemu[64];		/* version */
};

/**
 * lab_images_make() - make what is missing or stale, in under half a second if nothing is
 * @quiet: no lines of progress on stdout; a failed step's go to stderr
 *
 * A program of a build tree takes command and agent of that tree, and the scripts of the source
 * tree it was made from; one in PREFIX/bin what is in PREFIX/share/tethys/scripts and
 * PREFIX/libexec/tethys. TETHYS_LAB_SCRIPTS names another folder with scripts, TETHYS_LAB_IMAGES
 * another for images.json, payload and initrd.
 *
 * Return: 0; -ENOENT the scripts are not installed; -ECHILD the script failed, and has said why;
 * -EPROTO it left nonsense.
 */
int lab_images_make(bool quiet, struct lab_images *ret_images, struct reason *why);

/*
 * Where scenarios are: TETHYS_LAB_SCENARIOS, the source tree this command was built from, or
 * share/tethys.
 */
int lab_scenario_dir(char ret_dir[PATH_MAX], struct reason *why);

#endif
