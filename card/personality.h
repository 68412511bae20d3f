/* SPDX-License-Identifier: MIT */
/*
 * Firmware personalities: what differs by firmware version is a column here, never an if.
 */
#ifndef TETHYS_CARD_PERSONALITY_H
#define TETHYS_CARD_PERSONALITY_H

#include <stdbool.h>
#include <stddef.h>

struct card_personality {
	const char *name;		/* "1.6.0" */
	const char *controller_version; /* board controller, "7.4" */
	bool sysctl_header;		/* magic 0xfd1f at offset 0 */
	bool host_driver;		/* host-driver area and virtual MSI */
	bool dma_vm;			/* raises 4-11 itself, the host leaves IMWr alone */
	bool list_area;			/* offers a place for lists */
	bool datastream;		/* an empty datastream area */
	bool keep_over_flr;		/* IMWr, lists and host-driver target survive FLR */
	bool keep_over_bus_reset;	/* the same for a bus reset */
	bool vmsi_for_dma; /* sets virtual MSIs for 4-11 too, though IMWr tells of them */
	bool latch_target; /* keeps the first host-driver target it uses until power-off */
};

/* Row by name; NULL name: the newest. NULL when there is none. */
const struct card_personality *card_personality_find(const char *name);
/* All rows, oldest first. */
const struct card_personality *card_personalities(size_t *ret_count);

#endif
