/* SPDX-License-Identifier: MIT */
/*
 * Which hop of the way between a PCI device and a program fails first: an active test, for which
 * nobody else may have the device.
 *
 * The device is opened through VFIO, in an IOMMU domain of its own, or is a card of ours behind
 * another transport. What is written is restored, but for the engines and the interrupt messages
 * of a Metis card: those are left off, as after any use by the runtime.
 */
#ifndef TETHYS_PROBE_PROBE_H
#define TETHYS_PROBE_PROBE_H

#include <signal.h>
#include <stdbool.h>
#include <stdio.h>

/* In the order of the way; each needs some of those before it. */
enum probe_hop {
	PROBE_OPEN,	 /* VFIO hands it out */
	PROBE_CONFIG,	 /* configuration space answers, and makes sense */
	PROBE_POWER,	 /* in D0, memory decoding and bus mastering can be switched on */
	PROBE_BAR_READ,	 /* registers answer */
	PROBE_BAR_WRITE, /* and keep what is stored */
	PROBE_MAP,	 /* host memory can be mapped for the device */
	PROBE_DMA_IN,	 /* the device reads host memory */
	PROBE_DMA_OUT,	 /* the device writes host memory */
	PROBE_MSI,	 /* interrupts of the MSI capability */
	PROBE_IMWR,	 /* interrupt messages that the DMA engine writes itself */
	PROBE_RESET,	 /* a reset, and back again; only on request */
	PROBE_HOP_NR
};

enum probe_result {
	PROBE_NOT_TRIED,
	PROBE_OK,
	PROBE_FAILED,
};

#define PROBE_TEXT_BYTES 640
#define PROBE_SUGGESTS_MAX 8
#define PROBE_COMMANDS_BYTES 640

struct probe_step {
	enum probe_result result;
	double ms;
	char detail[PROBE_TEXT_BYTES]; /* one line, printable */
};

struct probe_options {
	bool reset;	/* try that hop too */
	bool read_bars; /* read registers of devices that are not known: it may have effects */
	unsigned int timeout_ms; /* of each wait of a hop; 0: PROBE_TIMEOUT_MS */
	const char *root;	 /* the folder that /sys is in; NULL: "" */
	/* Becomes other than 0 when the user wants to stop; may be NULL. */
	const volatile sig_atomic_t *cancel;
};
#define PROBE_TIMEOUT_MS 1000

struct probe_report {
	char device[256];
	char what[128]; /* the device in words; "": not known */
	struct probe_step step[PROBE_HOP_NR];
	const char *suggests
		[PROBE_SUGGESTS_MAX]; /* classes of `tethys doctor --explain`, likeliest first */
	unsigned int suggests_nr;
	char commands[PROBE_COMMANDS_BYTES]; /* lines to type, to hand the device over; "": none */
	bool interrupted;
};

/**
 * probe_device() - open a device, try its hops, leave it quiet and close it
 * @name: "0000:86:00.0" or "vfio:0000:86:00.0"; "sim"; "vfio-user:PATH"
 * @ret_report: always filled in
 *
 * Return: 0 all hops that were tried are good; -EIO one failed; -EINVAL the name is of no known
 * form; -ECANCELED; other negative errno: not opened, and PROBE_OPEN has failed.
 */
int probe_device(const char *name, const struct probe_options *options,
		 struct probe_report *ret_report);

/* Name of a hop, "dma-in"; of a result, "ok"; and what a failure of the hop means. */
const char *probe_hop_name(enum probe_hop hop);
const char *probe_result_name(enum probe_result result);
const char *probe_hop_meaning(enum probe_hop hop);
/* The first that failed; PROBE_HOP_NR: none. */
enum probe_hop probe_first_failed(const struct probe_report *report);

#define PROBE_FORMAT "tethys-probe/1"

/* Strings that switch colours on and off; "" where none are wanted. */
struct probe_style {
	const char *bold, *good, *bad, *dim, *off;
};

void probe_print_text(const struct probe_report *report, const struct probe_style *style,
		      FILE *out);
void probe_print_json(const struct probe_report *report, FILE *out);

#endif
