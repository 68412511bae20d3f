/* SPDX-License-Identifier: MIT */
/*
 * The order of the hops, what each needs, and putting back what was stored.
 */
#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <tethys/hw/pci.h>

#include "probe/internal.h"

#define BIT(hop) (1u << (hop))
#define AWAKE (BIT(PROBE_CONFIG) | BIT(PROBE_POWER))
#define REGISTERS (AWAKE | BIT(PROBE_BAR_READ) | BIT(PROBE_BAR_WRITE))
#define DEFAULTS_MAX 4

struct hop {
	const char *name;
	const char *meaning;
	int (*run)(struct probe *p, struct reason *why);
	unsigned int needs; /* hops without which it makes no sense */
	const char *suggests[DEFAULTS_MAX];
};

static const struct hop hops[PROBE_HOP_NR] = {
	[PROBE_OPEN] = {"open",
			"The device can't be had like this, neither by a program nor by a guest.",
			NULL,
			0,
			{NULL}},
	[PROBE_CONFIG] = {"config",
			  "The device does not answer on the bus: no driver and no IOMMU setting "
			  "will help.",
			  probe_hop_config,
			  0,
			  {"device-gone", "link-down-aer", "flr-broken"}},
	[PROBE_POWER] = {"power",
			 "The device does not wake up.",
			 probe_hop_power,
			 BIT(PROBE_CONFIG),
			 {"stuck-d3", "device-gone"}},
	[PROBE_BAR_READ] = {"bar-read",
			    "The device answers, but its registers don't: it hangs, lost its power "
			    "meanwhile, or its BARs lie where the bridge does not forward them.",
			    probe_hop_bar_read,
			    AWAKE,
			    {"device-gone", "mmio-window", "link-down-aer"}},
	[PROBE_BAR_WRITE] = {"bar-write",
			     "What a driver stores does not arrive.",
			     probe_hop_bar_write,
			     AWAKE | BIT(PROBE_BAR_READ),
			     {"device-gone", "link-down-aer"}},
	[PROBE_MAP] = {"map",
		       "The kernel does not map memory for the device.",
		       probe_hop_map,
		       BIT(PROBE_CONFIG),
		       {"memlock", "reserved-iova", "dma-mappings-exhausted"}},
	[PROBE_DMA_IN] =
		{"dma-in",
		 "The device can't read memory that is mapped for it: the IOMMU sees another "
		 "requester, the bridge drops the request, or the DMA engine hangs.",
		 probe_hop_dma_in,
		 REGISTERS | BIT(PROBE_MAP),
		 {"dma-unmapped-read", "requester-alias", "context-absent"}},
	[PROBE_DMA_OUT] = {"dma-out",
			   "The device can't write memory that is mapped for it.",
			   probe_hop_dma_out,
			   REGISTERS | BIT(PROBE_MAP),
			   {"dma-unmapped-write", "requester-alias", "context-absent"}},
	[PROBE_MSI] = {"msi",
		       "Interrupts of the MSI capability do not reach the program: transfers end, "
		       "and a driver that waits for the interrupt times out.",
		       probe_hop_msi,
		       AWAKE,
		       {"irte-not-present", "irte-sid-mismatch"}},
	[PROBE_IMWR] =
		{"imwr",
		 "Interrupt messages that the card's DMA engine writes itself don't arrive. "
		 "VFIO translates the MSI capability only: in a guest, the guest's message in "
		 "a register means nothing to the host.",
		 probe_hop_imwr,
		 REGISTERS | BIT(PROBE_MAP),
		 {"raw-msi-in-bar", "irte-not-present", "compat-msi-blocked"}},
	[PROBE_RESET] = {"reset",
			 "The device can't be reset, or does not come back from it.",
			 probe_hop_reset,
			 BIT(PROBE_CONFIG),
			 {"flr-broken", "reset-missing"}},
};

const char *probe_hop_name(enum probe_hop hop)
{
	return hops[hop].name;
}

const char *probe_hop_meaning(enum probe_hop hop)
{
	return hops[hop].meaning;
}

const char *probe_result_name(enum probe_result result)
{
	static const char *const names[] = {"not tried", "ok", "failed"};

	return names[result];
}

enum probe_hop probe_first_failed(const struct probe_report *report)
{
	enum probe_hop hop;

	for (hop = 0; hop < PROBE_HOP_NR; hop++)
		if (report->step[hop].result == PROBE_FAILED)
			break;
	return hop;
}

/* --- for the hops --- */

void probe_note(struct probe *p, const char *fmt, ...)
{
	size_t used = strlen(p->note.text);
	va_list ap;

	if (used + 3 >= sizeof(p->note.text))
		return;
	if (used) {
		strcpy(p->note.text + used, "; ");
		used += 2;
	}
	va_start(ap, fmt);
	vsnprintf(p->note.text + used, sizeof(p->note.text) - used, fmt, ap);
	va_end(ap);
}

static void suggest(struct probe_report *report, const char *id)
{
	unsigned int i;

	for (i = 0; i < report->suggests_nr; i++)
		if (!strcmp(report->suggests[i], id))
			return;
	if (report->suggests_nr < PROBE_SUGGESTS_MAX)
		report->suggests[report->suggests_nr++] = id;
}

void probe_suggest(struct probe *p, const char *id)
{
	suggest(p->report, id);
}

int probe_reg_read(struct probe *p, uint32_t offset, uint32_t *ret_value, struct reason *why)
{
	return p->bus->ops->bar_read(p->bus, METIS_BAR_EDMA, offset, ret_value, 4, why);
}

int probe_reg_write(struct probe *p, uint32_t offset, uint32_t value, struct reason *why)
{
	return p->bus->ops->bar_write(p->bus, METIS_BAR_EDMA, offset, &value, 4, why);
}

static int access_saved(struct probe *p, const struct probe_saved *saved, bool write, void *value,
			struct reason *why)
{
	const struct probe_bus_ops *ops = p->bus->ops;

	if (saved->space == PROBE_CONFIG_SPACE)
		return write ? ops->config_write(p->bus, saved->offset, value, saved->bytes, why)
			     : ops->config_read(p->bus, saved->offset, value, saved->bytes, why);
	return write ? ops->bar_write(p->bus, (unsigned int)saved->space, saved->offset, value,
				      saved->bytes, why)
		     : ops->bar_read(p->bus, (unsigned int)saved->space, saved->offset, value,
				     saved->bytes, why);
}

static bool is_saved(const struct probe *p, int space, uint32_t offset)
{
	unsigned int i;

	for (i = 0; i < p->saved_nr; i++)
		if (p->saved[i].space == space && p->saved[i].offset == offset)
			return true;
	return false;
}

int probe_store(struct probe *p, int space, uint32_t offset, uint32_t bytes, uint32_t value,
		struct reason *why)
{
	struct probe_saved saved = {.space = space, .offset = offset, .bytes = bytes};
	int err = 0;

	if (!is_saved(p, space, offset)) {
		err = access_saved(p, &saved, false, &saved.value, why);
		if (!err && p->saved_nr == PROBE_JOURNAL_MAX)
			err = reason_add(why, -ENOSPC, "too much to put back");
		if (!err)
			p->saved[p->saved_nr++] = saved;
	}
	return err ? err : access_saved(p, &saved, true, &value, why);
}

/* In reverse. After a reset only configuration space is as before, and the kernel's to keep. */
static void put_back(struct probe *p)
{
	while (p->saved_nr) {
		struct probe_saved *saved = &p->saved[--p->saved_nr];

		if (p->no_restore && saved->space != PROBE_CONFIG_SPACE)
			continue;
		access_saved(p, saved, true, &saved->value, NULL);
	}
}

/* --- running --- */

static double now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

/* Lines become one; names come from the kernel, but a report goes to terminals. */
static void set_detail(struct probe_step *step, const char *text)
{
	size_t used = 0;

	for (; *text && used + 3 < sizeof(step->detail); text++) {
		if (*text == '\n')
			step->detail[used++] = ';';
		step->detail[used++] = *text == '\n'		       ? ' '
				       : isprint((unsigned char)*text) ? *text
								       : '?';
	}
	step->detail[used] = '\0';
}

static void fail(struct probe_report *report, enum probe_hop hop, const struct reason *why)
{
	unsigned int i;

	report->step[hop].result = PROBE_FAILED;
	set_detail(&report->step[hop], why->text);
	for (i = 0; i < DEFAULTS_MAX && hops[hop].suggests[i]; i++)
		suggest(report, hops[hop].suggests[i]);
}

/* The first hop that @hop needs and does not have; PROBE_HOP_NR: it may go. */
static enum probe_hop missing(const struct probe *p, enum probe_hop hop)
{
	enum probe_hop need;

	for (need = 0; need < hop; need++) {
		if (!(hops[hop].needs & BIT(need)) || probe_good(p, need))
			continue;
		/* What such devices are not tried for, they are not told of either. */
		if (p->is_metis || need <= PROBE_POWER ||
		    p->report->step[need].result == PROBE_FAILED)
			return need;
	}
	return PROBE_HOP_NR;
}

static void run_hop(struct probe *p, enum probe_hop hop)
{
	struct probe_step *step = &p->report->step[hop];
	unsigned int suggests = p->report->suggests_nr;
	enum probe_hop need = missing(p, hop);
	struct reason why = {""};
	double start;
	int err;

	if (need != PROBE_HOP_NR || probe_canceled(p)) {
		snprintf(step->detail, sizeof(step->detail), "%s%s",
			 probe_canceled(p) ? "interrupted" : "needs ",
			 probe_canceled(p) ? "" : hops[need].name);
		return;
	}
	p->note.text[0] = '\0';
	start = now_ms();
	err = hops[hop].run(p, &why);
	step->ms = now_ms() - start;
	if (err < 0 && err != -ECANCELED) {
		fail(p->report, hop, &why);
		return;
	}
	/* They were for a failure. */
	p->report->suggests_nr = suggests;
	step->result = err ? PROBE_NOT_TRIED : PROBE_OK;
	set_detail(step, err == -ECANCELED ? "interrupted" : p->note.text);
}

static void run(struct probe *p)
{
	enum probe_hop hop;

	for (hop = PROBE_CONFIG; hop < PROBE_HOP_NR; hop++)
		run_hop(p, hop);
	probe_metis_quiet(p);
	p->bus->ops->irq_off(p->bus);
	put_back(p);
	p->report->interrupted = probe_canceled(p);
}

/* --- opening --- */

static bool starts_with(const char *text, const char *prefix)
{
	return !strncmp(text, prefix, strlen(prefix));
}

static int open_bus(const char *name, const struct probe_options *options,
		    struct probe_report *report, struct probe_bus **ret_bus, struct reason *why)
{
	const char *root = options->root ? options->root : "";
	const char *colon = strchr(name, ':');

	if (starts_with(name, "vfio-user:"))
		return probe_bus_open_vfio_user(colon + 1, options->timeout_ms, ret_bus, why);
	if (!strcmp(name, "sim") || starts_with(name, "sim:"))
		return probe_bus_open_sim(NULL, ret_bus, why);
	if (starts_with(name, "metis-") || starts_with(name, "/dev/") ||
	    starts_with(name, "chardev"))
		return reason_add(why, -EBUSY,
				  "%.100s belongs to a driver of the host, and a probe needs the "
				  "device for itself: name its PCI address, as in 0000:86:00.0",
				  name);
	if (starts_with(name, "vfio:"))
		name = colon + 1;
	if (isxdigit((unsigned char)name[0]) && colon)
		return probe_bus_open_vfio(root, name, ret_bus, report, why);
	return reason_add(why, -EINVAL,
			  "device \"%.100s\" is of no known kind: write a PCI address as in "
			  "0000:86:00.0, vfio-user:PATH or sim",
			  name);
}

int probe_run(struct probe_bus *bus, const struct probe_options *options,
	      struct probe_report *report)
{
	struct probe p = {.bus = bus, .options = *options, .report = report};

	if (!p.options.timeout_ms)
		p.options.timeout_ms = PROBE_TIMEOUT_MS;
	report->step[PROBE_OPEN].result = PROBE_OK;
	run(&p);
	if (probe_first_failed(report) != PROBE_HOP_NR)
		return -EIO;
	return report->interrupted ? -ECANCELED : 0;
}

static void nothing_else(struct probe_report *report, enum probe_hop from, const char *needs)
{
	enum probe_hop hop;

	for (hop = from; hop < PROBE_HOP_NR; hop++)
		snprintf(report->step[hop].detail, sizeof(report->step[hop].detail), "needs %s",
			 needs);
}

int probe_device(const char *name, const struct probe_options *options,
		 struct probe_report *ret_report)
{
	struct probe_options opts = *options;
	struct reason why = {""};
	struct probe_bus *bus;
	double start = now_ms();
	int err;

	if (!opts.timeout_ms)
		opts.timeout_ms = PROBE_TIMEOUT_MS;
	memset(ret_report, 0, sizeof(*ret_report));
	snprintf(ret_report->device, sizeof(ret_report->device), "%s", name);
	err = open_bus(name, &opts, ret_report, &bus, &why);
	ret_report->step[PROBE_OPEN].ms = now_ms() - start;
	if (err == -ENXIO) {
		/* Not opened, but known all the same. */
		fail(ret_report, PROBE_CONFIG, &why);
		snprintf(ret_report->step[PROBE_OPEN].detail,
			 sizeof(ret_report->step[PROBE_OPEN].detail), "not opened as it is");
		nothing_else(ret_report, PROBE_POWER, probe_hop_name(PROBE_CONFIG));
		return -EIO;
	}
	if (err) {
		fail(ret_report, PROBE_OPEN, &why);
		nothing_else(ret_report, PROBE_CONFIG, probe_hop_name(PROBE_OPEN));
		return err == -EIO ? -ENODEV : err;
	}
	err = probe_run(bus, &opts, ret_report);
	probe_bus_close(bus);
	return err;
}
