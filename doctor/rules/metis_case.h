/* SPDX-License-Identifier: MIT */
/*
 * What is known of a Metis card that is passed through, from all logs and machines together.
 */
#ifndef TETHYS_DOCTOR_RULES_METIS_CASE_H
#define TETHYS_DOCTOR_RULES_METIS_CASE_H

#include "doctor/rules/rule.h"

/* Which driver speaks. */
enum metis_driver { DRIVER_UNKNOWN, DRIVER_VENDORS, DRIVER_OURS };

/* How the vendor's driver waits for a DMA transfer, by its version. */
enum metis_waiting {
	WAITING_UNKNOWN,     /* no version, or one between two that were read */
	WAITING_CHECKS,	     /* 1.5.6 and newer */
	WAITING_CHECKS_LATE, /* 1.4.4 and older: looks after a second */
	WAITING_MAYBE_NOT,   /* between 1.4.4 and 1.5.6 */
	WAITING_NO_CHECK,    /* 1.4.16 */
};

struct metis_case {
	const struct doctor_case *seen;
	const struct machine *host, *guest; /* NULL: not given */

	/* The card as whoever runs its driver sees it: the guest, else a machine of its own. */
	const struct machine *user_machine;
	const struct machine_metis *user;
	enum metis_driver driver;
	const char *version;	    /* of the driver; NULL = not known */
	const char *version_source; /* where that stands */
	const struct doctor_fact *version_fact;
	enum metis_waiting waiting;
	unsigned int vectors; /* 0 = not known */
	const char *vectors_source;
	const struct doctor_fact *vectors_fact;
	enum tristate host_area; /* the firmware's host-driver area */
	const char *firmware;	 /* NULL = not known */
	enum tristate dma_poll;
	/* DMA interrupts have come, by the counts of the user's machine; with one vector any may have. */
	enum tristate arrive;
	uint64_t arrived;

	/* The card as the host sees it. */
	bool has_device;
	struct bdf device; /* the host's address, else the guest's */
	bool of_guest;	   /* only the guest's side is known: the device is its own */
	const struct machine_device *in_host;
	const struct machine_vm *vm;
	enum tristate
		guest_remaps; /* the guest has interrupt remapping, so its messages a handle */
	const char *guest_remaps_why, *guest_remaps_source;

	/* Lines. */
	const struct doctor_fact *irq; /* an interrupt of the card that the host blocked */
	bool irq_anonymous;	       /* it names no requester: an emulated IOMMU */
	const struct doctor_fact *dma; /* a write of the card to an address that is not mapped */
	bool dma_alone;		       /* all its unmapped writes go to such addresses */
	const struct doctor_fact *app; /* the application's first time-out */
	unsigned int app_paths;	       /* distinct lines of the application */
	unsigned int library_paths;    /* of these, time-outs that the vendor's library printed */
	const struct doctor_fact *gave_up; /* the driver's time-out */
	const struct doctor_fact *healed;  /* our driver's lost interrupt */

	bool known;  /* to be a Metis card */
	bool likely; /* by the pattern of the two lines */

	/* Messages. */
	bool has_handle; /* of the guest's own message, by its MSI capability or the eDMA's registers */
	unsigned int handle, sent; /* the handle, and the index that the card would send */
	bool has_sent;
	const char *handle_source;
};

/**
 * metis_case_find() - put together what is known
 *
 * Return: false when nothing speaks of a Metis card.
 */
bool metis_case_find(const struct doctor_case *seen, struct metis_case *ret_case);

/* <0, 0, >0 as "1.4.16" is older, the same, newer. Text behind the numbers doesn't count. */
int metis_version_compare(const char *a, const char *b);

/* "DMA write channel 0", NULL for a number that no DMA channel has. */
const char *metis_number_text(unsigned int number);
/* The index that a message in handle format carries. Return: false when it has another format. */
bool metis_message_index(uint64_t address, uint16_t data, unsigned int *ret_index);

/* An interrupt's index is a block of 32 and the number of a DMA channel. */
bool metis_fits_index(uint64_t index);
/* An address is where the buffer of a host's driver could begin: 2 MiB aligned, and not 0. */
bool metis_fits_target(uint64_t address);

/* The three causes: they overlap, so fixes name what they cure. */
#define METIS_CAUSE_CHECK 0x1u	 /* the driver does not look which transfer is done */
#define METIS_CAUSE_MESSAGE 0x2u /* the eDMA sends a message that is not the host's */
#define METIS_CAUSE_TARGET 0x4u	 /* the firmware writes to an earlier owner's buffer */

/* The fixes for one cause, in the place of those that the finding has. */
void metis_add_fixes(struct doctor_judge *judge, struct doctor_finding *finding,
		     unsigned int cause);
/* For a message that may be the host's: that, too, goes only with the card's power. */
void metis_add_stale_fix(struct doctor_judge *judge, struct doctor_finding *finding);
/* Why none of the report's six attempts could help. */
void metis_add_attempts(struct doctor_judge *judge, struct doctor_finding *finding);

/* The observations that decide; each asks only what isn't known. */
void metis_ask_count(struct doctor_judge *judge, struct doctor_finding *finding);
void metis_ask_viommu(struct doctor_judge *judge, struct doctor_finding *finding,
		      const struct metis_case *c);
void metis_ask_version(struct doctor_judge *judge, struct doctor_finding *finding,
		       const struct metis_case *c);
void metis_ask_memory(struct doctor_judge *judge, struct doctor_finding *finding,
		      const struct metis_case *c);

#endif
