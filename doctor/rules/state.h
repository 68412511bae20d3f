/* SPDX-License-Identifier: MIT */
/*
 * Questions that several rules ask of a machine's state.
 */
#ifndef TETHYS_DOCTOR_RULES_STATE_H
#define TETHYS_DOCTOR_RULES_STATE_H

#include "doctor/rules/rule.h"

/* The machine that hands devices to VMs: the host, or any that has VMs; NULL for none. */
const struct machine *state_host(const struct doctor_case *seen);

/* What wants a device for a VM. */
struct state_want {
	const struct machine_device *device;
	const struct machine_vm *vm; /* NULL: only bound to vfio */
	bool running;		     /* a running VM has it */
};

/**
 * state_next_wanted() - devices that are meant for a VM, one after the other
 * @index: 0 at first
 *
 * A device is wanted when a VM's configuration or command line names it, or when it is bound to
 * vfio-pci or set apart for it by driver_override.
 */
bool state_next_wanted(const struct machine *host, size_t *index, struct state_want *ret_want);
bool state_anything_wanted(const struct machine *host);

/* vfio-pci, a variant of it, or a driver that is known to keep its hands still. */
bool state_is_vfio_driver(const char *driver);
bool state_same_slot(struct bdf a, struct bdf b);

/* Whether anything speaks of VFIO at all: a device that is kept ready, a line of vfio-pci. */
bool state_has_vfio(const struct doctor_case *seen);
/* A card was pulled out on purpose, as when a laptop leaves its dock: the port saw it go. */
bool state_was_unplugged(const struct doctor_case *seen);

/* Case-insensitive search in a fact's line. */
bool state_line_has(const struct doctor_fact *fact, const char *part);

#endif
