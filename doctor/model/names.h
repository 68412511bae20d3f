/* SPDX-License-Identifier: MIT */
/*
 * Names of PCI vendors and devices.
 */
#ifndef TETHYS_DOCTOR_MODEL_NAMES_H
#define TETHYS_DOCTOR_MODEL_NAMES_H

#include <stdio.h>

#include "doctor/model/machine.h"

/**
 * names_label() - fill in the labels of all devices
 *
 * From the list on this machine, also for a snapshot of another: a dictionary, not evidence.
 */
void names_label(struct machine *machine, struct arena *arena);

/* The same from a given list, NULL for none. */
void names_label_from(struct machine *machine, struct arena *arena, FILE *list);

#endif
