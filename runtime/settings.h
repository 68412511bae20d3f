/* SPDX-License-Identifier: MIT */
/*
 * Settings of a connection: properties, then the environment, then defaults.
 */
#ifndef TETHYS_RUNTIME_SETTINGS_H
#define TETHYS_RUNTIME_SETTINGS_H

#include "runtime/device/device.h"
#include "runtime/properties.h"

struct settings {
	struct axdev_options device; /* texts live in the properties or the environment */
	unsigned int timeout_ms;
	unsigned int load_timeout_ms;
};

/**
 * settings_read() - @properties may be NULL; names it does not know are skipped
 *
 * Return: 0; -EINVAL a value is not what its name takes.
 */
int settings_read(const struct propset *properties, struct settings *ret_settings,
		  struct reason *why);

#endif
