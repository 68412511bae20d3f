/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "card/personality.h"

/*
 * Sources: 1.6.0 is the firmware of the report that started this project, with board controller
 * 7.4 (measured). Which version brought which area is known from the driver's side only: a driver
 * that looks for an area proves the area, not the firmware that had it first. Every "guess" is a
 * reading of that report; keep_* can be switched with card_config.keep_imwr, vmsi_for_dma and
 * latch_target switched on with the configuration.
 */
static const struct card_personality personalities[] = {
	{
		.name = "1.3.2",
		.controller_version = "7.2", /* guess */
		.sysctl_header = false,	     /* guess: the header is younger than driver 1.5.6 */
		.host_driver = false,	     /* guess */
		.dma_vm = false,
		.list_area = false, /* fixed lists: driver 1.4.4 knows no other place */
		.datastream = false,
		.keep_over_flr = false,
		.keep_over_bus_reset = false,
		.vmsi_for_dma = false, /* guess */
		.latch_target = false, /* guess */
	},
	{
		.name = "1.6.0",
		.controller_version = "7.4", /* measured */
		.sysctl_header = true,	     /* guess */
		.host_driver = true,	     /* measured: the report's first fault is a use of it */
		.dma_vm = false,	     /* guess */
		.list_area = true,
		.datastream = true,
		.keep_over_flr = true,	     /* guess: one of the readings of the report */
		.keep_over_bus_reset = true, /* guess: the same */
		.vmsi_for_dma = false,	     /* guess */
		.latch_target = false,	     /* guess: else another reading of the report */
	},
	{
		.name = "1.8.0",
		.controller_version = "7.6", /* guess */
		.sysctl_header = true,
		.host_driver = true,
		.dma_vm = true,
		.list_area = true,
		.datastream = true,
		.keep_over_flr = false,
		.keep_over_bus_reset = false,
		.vmsi_for_dma = false, /* guess */
		.latch_target = false, /* guess */
	},
};

#define PERSONALITY_NR (sizeof(personalities) / sizeof(personalities[0]))

const struct card_personality *card_personality_find(const char *name)
{
	size_t i;

	if (!name)
		return &personalities[PERSONALITY_NR - 1];
	for (i = 0; i < PERSONALITY_NR; i++) {
		if (!strcmp(personalities[i].name, name))
			return &personalities[i];
	}
	return NULL;
}

const struct card_personality *card_personalities(size_t *ret_count)
{
	*ret_count = PERSONALITY_NR;
	return personalities;
}
