/* SPDX-License-Identifier: MIT */
#ifndef TETHYS_RUNTIME_DEVICES_H
#define TETHYS_RUNTIME_DEVICES_H

#include <stdbool.h>
#include <stddef.h>

/* Names of the cards there are, in the order the application sees them: simulated ones last. */
struct device_names {
	char **items; /* [count] */
	size_t count;
};

void device_names_init(struct device_names *names);
void device_names_deinit(struct device_names *names);

bool device_simulated(const char *name);

#endif
