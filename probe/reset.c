/* SPDX-License-Identifier: MIT */
/*
 * A reset, and whether the device comes back from it.
 */
#include <errno.h>
#include <linux/pci_regs.h>
#include <time.h>

#include <tethys/hw/pci.h>

#include "probe/internal.h"

#define TRIES_MS 20

static void pause_ms(unsigned int ms)
{
	const struct timespec pause = {.tv_nsec = (long)ms * 1000000};

	nanosleep(&pause, NULL);
}

/* Configuration space, and a card's registers, within the time limit. */
static int come_back(struct probe *p, struct reason *why)
{
	unsigned int waited;
	uint16_t vendor, command = PCI_COMMAND_MEMORY;
	uint32_t value = 0;
	int err;

	for (waited = 0;; waited += TRIES_MS) {
		vendor = 0xffff;
		err = p->bus->ops->config_read(p->bus, PCI_VENDOR_ID, &vendor, 2, why);
		if (err || vendor != 0xffff || waited >= p->options.timeout_ms || probe_canceled(p))
			break;
		pause_ms(TRIES_MS);
	}
	if (err || probe_canceled(p))
		return err ? err : -ECANCELED;
	if (vendor == 0xffff)
		return reason_add(why, -ENODEV, "the device does not come back from its reset");
	if (!p->metis.seen)
		return 0;
	err = p->bus->ops->config_write(p->bus, PCI_COMMAND, &command, 2, why);
	if (!err)
		err = probe_reg_read(p, METIS_EDMA_CTRL, &value, why);
	if (!err && value == UINT32_MAX)
		err = reason_add(why, -ENODEV, "BAR0 reads as all ones after the reset");
	return err;
}

int probe_hop_reset(struct probe *p, struct reason *why)
{
	int err;

	if (!p->options.reset) {
		probe_note(p, "only on request: --reset");
		return PROBE_SKIP;
	}
	p->bus->ops->irq_off(p->bus);
	err = p->bus->ops->reset(p->bus, why);
	if (err == -EOPNOTSUPP)
		probe_suggest(p, "reset-missing");
	if (err)
		return err;
	/* What was noted is of before. */
	p->no_restore = true;
	err = come_back(p, why);
	if (err)
		return err;
	probe_note(p, "the device is back");
	return 0;
}
