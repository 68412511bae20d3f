/* SPDX-License-Identifier: MIT */
/*
 * Configuration space: does anybody answer, does it make sense, is it awake?
 */
#include <errno.h>
#include <linux/pci_regs.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <tethys/hw/pci.h>

#include "probe/internal.h"

#define CAPS_MAX 48	 /* as many as 192 bytes can hold */
#define WAKE_NS 20000000 /* D3hot to D0 takes 10 ms */

static int read_config(struct probe *p, uint32_t offset, void *buf, size_t len, struct reason *why)
{
	return p->bus->ops->config_read(p->bus, offset, buf, len, why);
}

static void take_cap(struct probe *p, uint8_t id, unsigned int at)
{
	if (id == PCI_CAP_ID_PM)
		p->cap_pm = at;
	else if (id == PCI_CAP_ID_MSI && at <= PCI_CFG_SPACE_SIZE - 24)
		p->cap_msi = at;
	else if (id == PCI_CAP_ID_MSIX)
		p->cap_msix = at;
	else if (id == PCI_CAP_ID_EXP && at <= PCI_CFG_SPACE_SIZE - 20)
		p->cap_exp = at;
}

static int find_caps(struct probe *p, struct reason *why)
{
	uint8_t at, cap[2];
	unsigned int i;
	int err = read_config(p, PCI_CAPABILITY_LIST, &at, 1, why);

	for (i = 0; !err && (at &= 0xfc); i++) {
		if (at < PCI_STD_HEADER_SIZEOF || i == CAPS_MAX)
			return reason_add(why, -EPROTO,
					  "the list of capabilities is broken at 0x%02x", at);
		err = read_config(p, at, cap, 2, why);
		if (!err)
			take_cap(p, cap[0], at);
		at = cap[1];
	}
	return err;
}

/* "PCIe 8 GT/s x4"; "" where it does not say. */
static void say_link(struct probe *p, char *text, size_t bytes)
{
	static const char *const speeds[] = {"?", "2.5", "5", "8", "16", "32", "64"};
	unsigned int speed, lanes;
	uint16_t status = 0;

	text[0] = '\0';
	if (!p->cap_exp || read_config(p, p->cap_exp + PCI_EXP_LNKSTA, &status, 2, NULL))
		return;
	speed = status & PCI_EXP_LNKSTA_CLS;
	lanes = (status & PCI_EXP_LNKSTA_NLW) >> PCI_EXP_LNKSTA_NLW_SHIFT;
	if (lanes)
		snprintf(text, bytes, ", link %s GT/s x%u",
			 speed < sizeof(speeds) / sizeof(speeds[0]) ? speeds[speed] : "?", lanes);
}

static void say_irqs(struct probe *p, char *text, size_t bytes)
{
	uint16_t control = 0;

	text[0] = '\0';
	if (p->cap_msix && !read_config(p, p->cap_msix + PCI_MSIX_FLAGS, &control, 2, NULL))
		snprintf(text, bytes, ", %u MSI-X", (control & PCI_MSIX_FLAGS_QSIZE) + 1u);
	else if (p->cap_msi && !read_config(p, p->cap_msi + PCI_MSI_FLAGS, &control, 2, NULL))
		snprintf(text, bytes, ", %u MSI", 1u << ((control & PCI_MSI_FLAGS_QMASK) >> 1));
	else
		snprintf(text, bytes, ", no MSI");
}

int probe_hop_config(struct probe *p, struct reason *why)
{
	uint8_t head[PCI_STD_HEADER_SIZEOF];
	char link[40], irqs[40];
	uint16_t vendor, device;
	int err = read_config(p, 0, head, sizeof(head), why);

	if (err)
		return err;
	memcpy(&vendor, head + PCI_VENDOR_ID, 2);
	memcpy(&device, head + PCI_DEVICE_ID, 2);
	if (vendor == 0xffff)
		return reason_add(why, -ENODEV,
				  "configuration space reads as all ones: the device is gone");
	if (!vendor || (head[PCI_HEADER_TYPE] & PCI_HEADER_TYPE_MASK) != PCI_HEADER_TYPE_NORMAL)
		return reason_add(why, -EPROTO,
				  "vendor %04x, header type 0x%02x: that is no endpoint", vendor,
				  head[PCI_HEADER_TYPE]);
	p->pin = head[PCI_INTERRUPT_PIN];
	err = find_caps(p, why);
	if (err)
		return err;
	p->is_metis = vendor == METIS_PCI_VENDOR &&
		      (device == METIS_PCI_DEVICE_OMEGA || device == METIS_PCI_DEVICE_ALPHA);
	say_link(p, link, sizeof(link));
	say_irqs(p, irqs, sizeof(irqs));
	snprintf(p->report->what, sizeof(p->report->what), "%s %04x:%04x rev %02x",
		 p->is_metis ? "Metis card" : "PCI device", vendor, device, head[PCI_REVISION_ID]);
	probe_note(p, "%s%s%s", p->report->what, link, irqs);
	return 0;
}

/* Return: 0 or 3 for D0 and D3hot. */
static int power_state(struct probe *p, unsigned int *ret_state, struct reason *why)
{
	uint16_t pmcsr = 0;
	int err = 0;

	if (p->cap_pm)
		err = read_config(p, p->cap_pm + PCI_PM_CTRL, &pmcsr, 2, why);
	*ret_state = pmcsr & PCI_PM_CTRL_STATE_MASK;
	return err;
}

static int wake(struct probe *p, unsigned int state, struct reason *why)
{
	const struct timespec pause = {.tv_nsec = WAKE_NS};
	unsigned int now;
	uint16_t pmcsr;
	int err = read_config(p, p->cap_pm + PCI_PM_CTRL, &pmcsr, 2, why);

	if (!err)
		err = probe_store(p, PROBE_CONFIG_SPACE, p->cap_pm + PCI_PM_CTRL, 2,
				  pmcsr & ~(uint32_t)PCI_PM_CTRL_STATE_MASK, why);
	if (err)
		return err;
	nanosleep(&pause, NULL);
	err = power_state(p, &now, why);
	if (!err && now)
		err = reason_add(why, -EIO, "it stays in D%u when told to go to D0 (from D%u)", now,
				 state);
	return err;
}

int probe_hop_power(struct probe *p, struct reason *why)
{
	const uint16_t on = PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER;
	uint16_t before = 0, command = 0;
	unsigned int state;
	int err = power_state(p, &state, why);

	if (!err && state)
		err = wake(p, state, why);
	if (!err)
		err = read_config(p, PCI_COMMAND, &before, 2, why);
	/* Bus mastering is for what we ask it to do: a device that is not known gets none. */
	command = p->is_metis ? before | on : before | PCI_COMMAND_MEMORY;
	if (!err)
		err = probe_store(p, PROBE_CONFIG_SPACE, PCI_COMMAND, 2, command, why);
	if (!err)
		err = read_config(p, PCI_COMMAND, &command, 2, why);
	if (err)
		return err;
	if (command == 0xffff)
		return reason_add(why, -ENODEV, "configuration space reads as all ones by now");
	if (!(command & PCI_COMMAND_MEMORY) || (p->is_metis && !(command & PCI_COMMAND_MASTER)))
		return reason_add(why, -EIO, "memory decoding or bus mastering stays off (0x%04x)",
				  command);
	probe_note(p, "D0%s, memory decoding%s on", state ? " (was asleep)" : "",
		   p->is_metis ? " and bus mastering" : "");
	return 0;
}
