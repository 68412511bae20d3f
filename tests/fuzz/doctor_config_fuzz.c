/* SPDX-License-Identifier: MIT */
/*
 * A configuration space of any bytes and length. Byte 0 of the input repeats the rest to 4096 bytes
 * when its low bit is set: lists then have somewhere to lead.
 */
#include <stdlib.h>
#include <string.h>

#include "doctor/model/machine.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	struct machine_device device = {0};
	size_t size = bytes ? bytes - 1 : 0;
	uint8_t *space;

	if (bytes > 1 && data[0] & 1)
		size = 4096;
	/* Of its exact size, so that a read beyond it is found. */
	space = malloc(size ? size : 1);
	if (!space)
		return 0;
	for (size_t i = 0; i < size; i++)
		space[i] = data[1 + i % (bytes - 1)];
	machine_parse_config(&device, space, size);
	free(space);
	if (device.gone && (device.msi.present || device.config_malformed))
		abort();
	if (device.msi.capable > 32 || device.msi.vectors > 32 || device.msix.vectors > 2048 ||
	    device.msix.table_bar > 7 || device.pm_state > 3 || device.link_width > 63)
		abort();
	if (size < 64 && !device.config_short)
		abort();
	return 0;
}
