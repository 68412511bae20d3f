/* SPDX-License-Identifier: MIT */
/*
 * The demo's second half: the same networks on bare metal and in a guest, both in the lab.
 */
#ifndef TETHYS_CLI_DEMO_LAB_H
#define TETHYS_CLI_DEMO_LAB_H

#include <json-c/json.h>
#include <stdbool.h>

/**
 * demo_lab() - play "bare-metal" and "passthrough-clean", side by side in one table
 * @rows: JSON objects of the rows are added to this array; NULL: the table is printed
 *
 * Return: enum cli_exit, or 128 + a signal; errors are printed. CLI_FAILED too when the guest's
 * results are not those of bare metal.
 */
int demo_lab(struct json_object *rows);

#endif
