/* SPDX-License-Identifier: MIT */
/*
 * A scenario file: machines, what happens, and what must be seen. The format is described for
 * its writers in docs/lab.md; this is what is left of it after all checks.
 */
#ifndef TETHYS_LAB_SCENARIO_H
#define TETHYS_LAB_SCENARIO_H

#include <regex.h>
#include <stdbool.h>
#include <stddef.h>

#include "common/reason.h"
#include "lab/machine.h"

struct lab_strings {
	char **item;
	size_t count;
};

/* What regcomp() and regexec() can be trusted with: both take their time on hostile input. */
#define LAB_PATTERN_BYTES_MAX 512u
#define LAB_PATTERN_LINE_MAX 4096u /* of a line that much is looked at */

/* "1 x /REGEX/", "at least 2 x /../", "at most 3 x /../", "no /../", "/../" (at least once). */
struct lab_pattern {
	char *text;	       /* as written, for messages */
	char *source;	       /* between the slashes, "\/" already "/" */
	regex_t regex;	       /* extended; matched against single lines */
	unsigned int min, max; /* how many lines; max UINT_MAX: no limit */
};

struct lab_patterns {
	struct lab_pattern *item;
	size_t count;
};

enum lab_log_kind {
	LAB_LOG_HOST,	     /* kernel log of the host VM: "host log" */
	LAB_LOG_GUEST1,	     /* "guest log" */
	LAB_LOG_GUEST2,	     /* "guest 2 log" */
	LAB_LOG_HOST_QEMU,   /* "host qemu": what it printed */
	LAB_LOG_GUEST1_QEMU, /* "guest qemu" */
	LAB_LOG_GUEST2_QEMU, /* "guest 2 qemu" */
	LAB_LOG_CARD,	     /* "card log" */
	LAB_LOG_NR,
};

struct lab_scenario_card {
	char *personality; /* NULL: newest */
	char *engine;	   /* NULL: onnx */
	bool raw_imwr;
	int keep_imwr;		 /* -1 by personality, 0, 1 */
	bool mirror_dma;	 /* virtual MSIs for DMA channels too */
	bool latch_target;	 /* the firmware keeps the first host-driver target it uses */
	bool count_accesses;	 /* each one reaches the card: no BAR is mapped */
	bool direct;		 /* DMA through mapped memory; default yes */
	struct lab_strings seed; /* control commands before anybody connects: card/control.h */
};

/* The driver of the project: its module's and its PCI driver's name. */
#define LAB_DRIVER_METIS "tethys_metis"

struct lab_scenario_host {
	char *cmdline;		    /* default: "intel_iommu=on iommu=pt" */
	struct lab_strings modules; /* "NAME", or "NAME PARAMETER=VALUE..." */
	char *driver;		    /* of the card: "vfio-pci" (default), "tethys_metis", "none" */
	char *driver_parameters;    /* "PARAMETER=VALUE..." for tethys_metis; NULL: none */
	unsigned int memory_mib, cpus;
	unsigned int occupied;	/* interrupts of a device that does nothing; 0: there is none */
	unsigned int hugepages; /* of 2 MiB, reserved after boot */
	bool iommu, intremap;	/* both default yes; never intremap without iommu */
	/* VFIO with no-IOMMU mode and iommufd, built from Debian's source; default: Debian's own. */
	bool lab_vfio;
};

struct lab_scenario_guest {
	bool present;
	enum lab_pass pass; /* default group */
	char *cmdline;	    /* default: "", with viommu "intel_iommu=on iommu=pt" */
	char *irqchip;	    /* NULL: what fits */
	/*
	 * "vfio-noiommu"; "vfio-pci", the default with viommu; "tethys_metis"; "none", the default
	 * without card
	 */
	char *driver;
	char *driver_parameters; /* as of the host */
	struct lab_strings modules;
	unsigned int memory_mib, cpus;
	bool hugepages, prealloc, numa, viommu;
};

enum lab_where {
	LAB_IN_HOST,
	LAB_IN_GUEST1,
	LAB_IN_GUEST2,
};

enum lab_action {
	LAB_DO_RUN,	    /* run = COMMAND, in = WHERE: a shell command */
	LAB_DO_START_GUEST, /* do = start guest [2]: QEMU, boot, driver */
	LAB_DO_STOP_GUEST,  /* do = stop guest [2]: in order */
	LAB_DO_KILL_GUEST,  /* do = kill guest [2]: SIGKILL to its QEMU */
	LAB_DO_KILL_CARD,   /* do = kill card: from now on it reads as ones and does nothing */
	LAB_DO_PULL_CARD,   /* do = pull card: its slot notices; the kernel finds it removed */
	LAB_DO_NEW_CARD,    /* do = new card: another one in the slot, bound as at first */
	LAB_DO_CARD,	    /* do = card COMMAND: card/control.h */
	LAB_DO_WAIT_LOG,    /* do = wait for LOG /REGEX/ */
	LAB_DO_WAIT_STEP,   /* do = wait for step TITLE: the end of one with background = yes */
};

struct lab_step {
	char *title;
	unsigned int line; /* in the file */
	enum lab_action action;
	enum lab_where where;  /* RUN, and which guest of START, STOP, KILL */
	char *command;	       /* RUN: for sh -c; CARD: the control command; WAIT_STEP: title */
	enum lab_log_kind log; /* WAIT_LOG */
	struct lab_pattern pattern; /* WAIT_LOG */
	bool background;
	unsigned int within_ms; /* default by action: 60 s; START_GUEST 120 s; CARD 10 s */
	/* What the end must look like. START_GUEST: of QEMU, when it should refuse. */
	int exit;		    /* default 0; RUN: -1 any, also that its machine went away */
	struct lab_patterns prints; /* in stdout and stderr together; CARD: in its reply */
	unsigned int at_most_ms;    /* on the machine's own clock; 0: no bound */
};

struct lab_expect {
	unsigned int line; /* in the file */
	enum lab_log_kind log;
	struct lab_pattern pattern;
};

/* What "tethys doctor" must find. */
struct lab_verdict {
	bool asked;
	struct lab_strings ids; /* the first one first, the others in any order; none: healthy */
};

#define LAB_STEPS_MAX 64u

/*
 * What holds for the steps after all checks: a guest runs before a step is in it, for a step that
 * starts it is there, if only an inserted one (titled "guest" or "guest 2"); LAB_DO_WAIT_STEP names
 * an earlier step with background = yes, each at most once; titles are unique. Where doctor is to
 * look into the guest, it still runs after the last step.
 */
struct lab_scenario {
	char *name; /* of the file, without ".scenario" */
	char *path;
	char *title; /* one line */
	char *about; /* any number of lines; "" when absent */
	struct lab_scenario_card card;
	struct lab_scenario_host host;
	struct lab_scenario_guest guest[LAB_GUESTS_MAX];
	struct lab_step *step;
	size_t steps;
	struct lab_expect *expect; /* [at the end] */
	size_t expects;
	bool isolation;		   /* no DMA landed outside what the owner mapped; default yes */
	struct lab_verdict doctor; /* in the host VM, live and from its snapshot */
	struct lab_verdict guest_doctor;    /* in the guest, likewise */
	struct lab_verdict doctor_together; /* from both snapshots at once */
	struct lab_strings doctor_also;	    /* may be found besides, by any of them */
};

#define LAB_SCENARIO_SUFFIX ".scenario"

/**
 * lab_scenario_load() - read and check a file
 * @path: ends in LAB_SCENARIO_SUFFIX; before it a name of letters, digits, '-', '_' and '.'
 *
 * The first mistake is named with its line and what would be right. The file need not be trusted.
 *
 * Return: 0; -EINVAL; -EFBIG over 256 KiB; -ENOMEM; why it can't be read: -ENOENT, -EACCES, ...
 */
int lab_scenario_load(const char *path, struct lab_scenario **ret_scenario, struct reason *why);
/* The same from memory; @path for messages and the name, it need not exist. */
int lab_scenario_parse(const char *path, const char *text, size_t len,
		       struct lab_scenario **ret_scenario, struct reason *why);
void lab_scenario_destroy(struct lab_scenario *scenario); /* NULL is fine */

/**
 * lab_pattern_parse() - a pattern as it is written in a scenario
 * @ret_pattern: to be ended with lab_pattern_deinit()
 * @why: gets one line: what is wrong and what would be right
 *
 * Return: 0; -EINVAL; -ENOMEM.
 */
int lab_pattern_parse(const char *text, struct lab_pattern *ret_pattern, struct reason *why);
void lab_pattern_deinit(struct lab_pattern *pattern); /* all zeros are fine */

/* Does @line match? It has no '\n'; a '\r' at its end is no part of it. */
bool lab_pattern_matches(const struct lab_pattern *pattern, const char *line);
/* How many lines of @text match? A NUL in it counts as '?'. */
unsigned int lab_pattern_count(const struct lab_pattern *pattern, const char *text, size_t len);

const char *lab_log_name(enum lab_log_kind kind); /* "host log" */

#endif
