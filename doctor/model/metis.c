/* SPDX-License-Identifier: MIT */
/*
 * Metis cards: what driver and firmware tell of them, the vendor's driver (module metis, PCI driver
 * axl) and ours (tethys_metis).
 *
 * Of debugfs only what is safe to read with either driver: the vendor's files of lists follow
 * pointers of the card's.
 */
#include <stdlib.h>
#include <string.h>

#include <tethys/hw/edma.h>
#include <tethys/hw/pci.h>

#include "doctor/model/machine.h"

#define OURS "tethys_metis"
#define OUR_DEVICES "/sys/bus/pci/drivers/" OURS "/*:*:*.*/"
#define VENDORS_DEVICES "/sys/bus/pci/drivers/axl/"

const char *const machine_metis_paths[] = {
	"/sys/module/metis/version",
	"/sys/module/metis/srcversion",
	"/sys/module/metis/parameters/*",
	"/sys/module/tethys_metis/version",
	"/sys/module/tethys_metis/parameters/*",
	"/sys/class/metis/version",
	VENDORS_DEVICES "*:*:*.*/msi_irqs/*",
	OUR_DEVICES "firmware",
	OUR_DEVICES "board",
	OUR_DEVICES "dma_vm",
	OUR_DEVICES "vectors",
	OUR_DEVICES "lost_interrupts",
	OUR_DEVICES "timeouts",
	OUR_DEVICES "aborts",
	OUR_DEVICES "mode",
	OUR_DEVICES "state",
	"/sys/kernel/debug/metis/version",
	"/sys/kernel/debug/metis/metis-*/info",
	"/sys/kernel/debug/metis/metis-*/dma-regs",
	NULL,
};

static enum tristate switch_of(const char *text)
{
	if (!text || !*text)
		return UNKNOWN;
	return strchr("0nN", *text) ? NO : YES;
}

static enum tristate parameter(struct store *store, const char *module, const char *name)
{
	return switch_of(store_text(store, "/sys/module/%s/parameters/%s", module, name));
}

/* An attribute of the device, by either of its paths. */
static const char *attribute(struct store *store, const struct machine_device *device,
			     const char *name)
{
	char bdf[BDF_TEXT_BYTES];
	const char *text;

	bdf_text(device->bdf, bdf);
	text = store_text(store, "/sys/bus/pci/drivers/" OURS "/%s/%s", bdf, name);
	return text ? text : store_text(store, "/sys/bus/pci/devices/%s/%s", bdf, name);
}

static uint64_t counter(struct store *store, const struct machine_device *device, const char *name)
{
	const char *text = attribute(store, device, name);

	return text ? strtoull(text, NULL, 10) : 0;
}

/* "1.4.16", and nothing that isn't a version. */
static const char *version(const char *text)
{
	if (!text || *text < '0' || *text > '9' || strlen(text) > 32)
		return NULL;
	return text;
}

static void read_driver(struct machine_metis *card, struct store *store)
{
	const char *driver = card->device->driver;

	if (!driver)
		return;
	if (!strcmp(driver, "axl") || !strcmp(driver, "metis"))
		card->driver = "metis";
	else if (!strcmp(driver, OURS))
		card->driver = OURS;
	else
		return;
	card->driver_version = version(store_text(store, "/sys/module/%s/version", card->driver));
	if (!card->driver_version)
		card->driver_version = version(store_text(store, "/sys/class/metis/version"));
	if (!card->driver_version)
		card->driver_version =
			version(store_text(store, "/sys/kernel/debug/metis/version"));
	card->dma_poll = parameter(store, card->driver, "dma_poll");
	card->single_msi = parameter(store, card->driver, "single_msi");
	if (strcmp(card->driver, OURS) != 0)
		return;
	card->healing = parameter(store, OURS, "healing");
	card->check_done = parameter(store, OURS, "check_done");
}

static void read_ours(struct machine_metis *card, struct store *store)
{
	const struct machine_device *device = card->device;
	const char *text;

	card->firmware = version(attribute(store, device, "firmware"));
	card->dma_vm = switch_of(attribute(store, device, "dma_vm"));
	card->mode = attribute(store, device, "mode");
	card->irqs_lost = counter(store, device, "lost_interrupts");
	card->transfers_timed_out = counter(store, device, "timeouts");
	text = attribute(store, device, "vectors");
	if (text)
		card->vectors = (unsigned int)strtoul(text, NULL, 10) & 0x3f;
}

/* Vectors as the system gave them, when the driver doesn't tell. */
static void count_vectors(struct machine_metis *card, const struct machine *machine,
			  struct store *store)
{
	const struct machine_device *device = card->device;
	static const char *const dirs[] = {"/sys/bus/pci/devices/", VENDORS_DEVICES};
	char bdf[BDF_TEXT_BYTES];

	for (size_t i = 0; i < sizeof(dirs) / sizeof(*dirs) && !card->vectors; i++) {
		const char *dir = arena_printf(store->arena, "%s%s/msi_irqs", dirs[i],
					       bdf_text(device->bdf, bdf));
		size_t index = 0;

		while (store_children(store, dir, &index))
			card->vectors++;
	}
	for (size_t i = 0; !card->vectors && i < machine->irq_count; i++)
		if (machine->irq[i].has_device && bdf_equal(machine->irq[i].device, device->bdf)) {
			/* The lines of a device stand together; their number is what counts. */
			for (; i < machine->irq_count; i++)
				card->vectors += machine->irq[i].has_device &&
						 bdf_equal(machine->irq[i].device, device->bdf);
			return;
		}
	if (!card->vectors && device->msi.present && device->msi.enabled)
		card->vectors = device->msi.vectors;
}

static bool is_word(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	       c == '_';
}

/*
 * A line of dma-regs: name, offset, value. The two numbers at its end, both with 0x, whatever else
 * a version puts between them.
 */
static bool parse_register(const char *line, size_t size, uint64_t *ret_offset, uint64_t *ret_value)
{
	unsigned int numbers = 0;

	for (size_t at = 0; at < size;) {
		char word[20];
		size_t length = 0;

		while (at < size && !is_word(line[at]))
			at++;
		for (; at < size && is_word(line[at]); at++, length++)
			if (length < sizeof(word) - 1)
				word[length] = line[at];
		if (length < 3 || length >= sizeof(word) || word[0] != '0' || word[1] != 'x')
			continue;
		word[length] = '\0';
		*ret_offset = *ret_value;
		*ret_value = strtoull(word, NULL, 16);
		numbers++;
	}
	return numbers >= 2;
}

/* What the eDMA of a write channel sends when it is done, as its registers have it now. */
static void read_message(struct machine_metis *card, struct store *store)
{
	uint64_t low = 0, high = 0, data = 0;
	char bdf[BDF_TEXT_BYTES];
	unsigned int found = 0;
	const char *text;

	text = store_text(store, "/sys/kernel/debug/metis/metis-%s/dma-regs",
			  bdf_text(card->device->bdf, bdf));
	while (text && *text) {
		size_t size = strcspn(text, "\n");
		uint64_t offset = 0, value = 0;

		if (parse_register(text, size, &offset, &value)) {
			if (offset == METIS_EDMA_WR_DONE_IMWR_LO) {
				low = value;
				found |= 1;
			} else if (offset == METIS_EDMA_WR_DONE_IMWR_HI) {
				high = value;
			} else if (offset == METIS_EDMA_WR_CH01_IMWR_DATA) {
				data = value;
				found |= 2;
			}
		}
		text += size + (text[size] == '\n');
	}
	/* All ones is a card that doesn't answer, zero one that nobody set up. */
	if (found != 3 || low == UINT32_MAX || !low)
		return;
	card->has_imwr = true;
	card->imwr_address = high << 32 | low;
	card->imwr_data = (uint16_t)data;
}

/* "host_driver: 0x400" of our driver's info: where the area is, 0 for none. */
static void read_area(struct machine_metis *card, struct store *store)
{
	char bdf[BDF_TEXT_BYTES];
	const char *text;

	text = store_text(store, "/sys/kernel/debug/metis/metis-%s/info",
			  bdf_text(card->device->bdf, bdf));
	text = text ? strstr(text, "host_driver: ") : NULL;
	if (text)
		card->host_driver_area =
			strtoull(text + strlen("host_driver: "), NULL, 16) ? YES : NO;
}

void machine_read_metis(struct machine *machine, struct snapshot *snapshot)
{
	struct store *store = &snapshot->store;

	machine->metis = NULL;
	machine->metis_count = 0;
	for (size_t i = 0; i < machine->device_count; i++) {
		const struct machine_device *device = &machine->device[i];
		struct machine_metis *card;

		if (device->vendor != METIS_PCI_VENDOR ||
		    (device->device != METIS_PCI_DEVICE_OMEGA &&
		     device->device != METIS_PCI_DEVICE_ALPHA))
			continue;
		card = arena_grow(&snapshot->arena, &machine->metis, machine->metis_count,
				  sizeof(*card));
		machine->metis_count++;
		card->device = device;
		read_driver(card, store);
		if (card->driver && !strcmp(card->driver, OURS))
			read_ours(card, store);
		count_vectors(card, machine, store);
		read_message(card, store);
		read_area(card, store);
	}
}
