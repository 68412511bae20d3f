/* SPDX-License-Identifier: MIT */
/*
 * The demo's second half, in the lab: networks on bare metal, in a guest that relies on interrupts,
 * and in one that heals.
 */
#ifndef TETHYS_CLI_DEMO_LAB_H
#define TETHYS_CLI_DEMO_LAB_H

#include <json-c/json.h>

/**
 * demo_lab() - play the scenario "demo", and show its three places side by side
 * @ret_lab: what came out as a JSON object, which is the caller's; NULL: a table is printed
 *
 * Return: enum cli_exit, or 128 + a signal; errors are printed. CLI_FAILED too when the networks
 * don't work on bare metal and in the healed guest alike, or work in the other.
 */
int demo_lab(struct json_object **ret_lab);

#endif
