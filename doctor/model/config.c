/* SPDX-License-Identifier: MIT */
/*
 * PCI configuration space. It comes from hardware, which may be broken, and from files, which may
 * be made up: lists that loop or point nowhere end there and are told.
 *
 * Source of offsets: PCI Express Base Specification 6.0, sections 7.5, 7.7 and 7.8; PCI Local Bus
 * Specification 3.0, chapter 6; Advanced Features capability ECN.
 */
#include <string.h>

#include "doctor/model/machine.h"

#define HEADER_BYTES 64u
#define CONVENTIONAL_BYTES 256u
#define EXTENDED_BYTES 4096u

#define COMMAND 0x04
#define COMMAND_MEMORY 0x2u
#define COMMAND_MASTER 0x4u
#define STATUS 0x06
#define STATUS_LIST 0x10u
#define BARS 0x10
#define LIST 0x34
#define CARDBUS_LIST 0x14

enum { CAP_PM = 0x01, CAP_MSI = 0x05, CAP_EXPRESS = 0x10, CAP_MSIX = 0x11, CAP_AF = 0x13 };
enum { ECAP_AER = 0x01, ECAP_ACS = 0x0d, ECAP_ATS = 0x0f, ECAP_SRIOV = 0x10 };

struct config {
	const uint8_t *byte;
	size_t size;
};

/* Beyond the end is 0: what wasn't read isn't there. */
static uint16_t get16(const struct config *config, size_t at)
{
	if (at + 2 > config->size)
		return 0;
	return (uint16_t)(config->byte[at] | config->byte[at + 1] << 8);
}

static uint32_t get32(const struct config *config, size_t at)
{
	return get16(config, at) | (uint32_t)get16(config, at + 2) << 16;
}

/* Whether a capability's registers were read; says so when they were not. */
static bool whole(struct machine_device *device, const struct config *config, size_t at,
		  size_t bytes)
{
	size_t end = at < CONVENTIONAL_BYTES ? CONVENTIONAL_BYTES : EXTENDED_BYTES;

	if (at + bytes > end)
		device->config_malformed = true;
	else if (at + bytes > config->size)
		device->config_short = true;
	return at + bytes <= end && at + bytes <= config->size;
}

static void parse_msi(struct machine_device *device, const struct config *config, size_t at)
{
	struct machine_msi *msi = &device->msi;
	uint16_t control = get16(config, at + 2);
	size_t data = control & 0x80 ? at + 12 : at + 8;
	unsigned int capable = control >> 1 & 7, enabled = control >> 4 & 7;

	if (!whole(device, config, at, data + 2 - at))
		return;
	msi->present = true;
	msi->enabled = control & 1;
	msi->is_64bit = control & 0x80;
	msi->maskable = control & 0x100;
	/* 6 and 7 are reserved. */
	msi->capable = 1u << (capable > 5 ? 5 : capable);
	msi->vectors = msi->enabled ? 1u << (enabled > 5 ? 5 : enabled) : 0;
	msi->address = get32(config, at + 4);
	if (msi->is_64bit)
		msi->address |= (uint64_t)get32(config, at + 8) << 32;
	msi->data = get16(config, data);
}

static void parse_msix(struct machine_device *device, const struct config *config, size_t at)
{
	struct machine_msix *msix = &device->msix;
	uint16_t control = get16(config, at + 2);
	uint32_t table = get32(config, at + 4), pba = get32(config, at + 8);

	if (!whole(device, config, at, 12))
		return;
	*msix = (struct machine_msix){
		.present = true,
		.enabled = control & 0x8000,
		.vectors = (control & 0x7ffu) + 1,
		.table_bar = table & 7,
		.table_offset = table & ~7u,
		.pba_bar = pba & 7,
		.pba_offset = pba & ~7u,
	};
}

static void parse_express(struct machine_device *device, const struct config *config, size_t at)
{
	uint32_t link;
	uint16_t status;

	device->has_express = true;
	if (!whole(device, config, at, 0x14))
		return;
	link = get32(config, at + 0x0c);
	status = get16(config, at + 0x12);
	if (get32(config, at + 4) & 1u << 28)
		device->has_flr = true;
	device->link_speed_max = link & 0xf;
	device->link_width_max = link >> 4 & 0x3f;
	device->link_speed = status & 0xf;
	device->link_width = status >> 4 & 0x3f;
}

static void parse_capability(struct machine_device *device, const struct config *config, size_t at)
{
	switch (config->byte[at]) {
	case CAP_PM:
		if (whole(device, config, at, 8))
			device->pm_state = get16(config, at + 4) & 3;
		break;
	case CAP_MSI:
		parse_msi(device, config, at);
		break;
	case CAP_EXPRESS:
		parse_express(device, config, at);
		break;
	case CAP_MSIX:
		parse_msix(device, config, at);
		break;
	case CAP_AF:
		if (whole(device, config, at, 6) && config->byte[at + 3] & 2)
			device->has_flr = true;
		break;
	default:
		break;
	}
}

static void parse_list(struct machine_device *device, const struct config *config)
{
	bool seen[CONVENTIONAL_BYTES / 4] = {false};
	size_t at;

	if (!(get16(config, STATUS) & STATUS_LIST))
		return;
	at = config->byte[device->header_type == 2 ? CARDBUS_LIST : LIST] & 0xfc;
	while (at) {
		if (at < HEADER_BYTES || seen[at / 4]) {
			device->config_malformed = true;
			return;
		}
		seen[at / 4] = true;
		if (at + 2 > config->size) {
			device->config_short = true;
			return;
		}
		if (config->byte[at] == 0xff) {
			device->config_malformed = true;
			return;
		}
		parse_capability(device, config, at);
		at = config->byte[at + 1] & 0xfc;
	}
}

static void parse_extended(struct machine_device *device, const struct config *config, size_t at)
{
	switch (get16(config, at)) {
	case ECAP_AER:
		if (!whole(device, config, at, 0x18))
			break;
		device->aer_uncorrectable = get32(config, at + 0x04);
		device->aer_correctable = get32(config, at + 0x10);
		break;
	case ECAP_ACS:
		if (!whole(device, config, at, 8))
			break;
		device->has_acs = true;
		device->acs_control = get16(config, at + 6);
		break;
	case ECAP_ATS:
		if (!whole(device, config, at, 8))
			break;
		device->has_ats = true;
		device->ats_on = get16(config, at + 6) & 0x8000;
		break;
	case ECAP_SRIOV:
		if (whole(device, config, at, 0x40))
			device->sriov_numvfs = get16(config, at + 0x10);
		break;
	default:
		break;
	}
}

static void parse_extended_list(struct machine_device *device, const struct config *config)
{
	bool seen[EXTENDED_BYTES / 4] = {false};
	size_t at = CONVENTIONAL_BYTES;

	/* Nothing at all there is "no list", as conventional devices have it. */
	if (config->size < at + 4 || !get32(config, at) || get32(config, at) == UINT32_MAX)
		return;
	while (at) {
		uint32_t header;

		if (at < CONVENTIONAL_BYTES || seen[at / 4]) {
			device->config_malformed = true;
			return;
		}
		if (!whole(device, config, at, 4))
			return;
		seen[at / 4] = true;
		header = get32(config, at);
		if (header == UINT32_MAX) {
			device->config_malformed = true;
			return;
		}
		parse_extended(device, config, at);
		at = header >> 20 & 0xffc;
	}
}

/* A BAR that has a type but no address was not assigned. One of 32 bits without prefetching looks
 * the same as none: for these the kernel's list has to tell. */
static void parse_bars(struct machine_device *device, const struct config *config)
{
	unsigned int count = device->header_type == 0 ? 6 : device->header_type == 1 ? 2 : 0;

	for (unsigned int i = 0; i < count; i++) {
		struct machine_bar *bar = &device->bar[i];
		uint32_t low = get32(config, BARS + 4 * i);

		if (low & 1) {
			bar->start = low & ~3u;
			continue;
		}
		bar->start = low & ~0xfu;
		if ((low & 6) == 4 && i + 1 < count)
			bar->start |= (uint64_t)get32(config, BARS + 4 * ++i) << 32;
		bar->unassigned = !bar->start && low;
	}
}

static bool all_ones(const uint8_t *config, size_t size)
{
	for (size_t i = 0; i < size; i++)
		if (config[i] != 0xff)
			return false;
	return size > 0;
}

void machine_parse_config(struct machine_device *device, const uint8_t *config, size_t size)
{
	struct config all = {.byte = config, .size = size > EXTENDED_BYTES ? EXTENDED_BYTES : size};
	uint16_t command;

	/* The identity alone doesn't tell: a virtual function's reads all ones, too. */
	if (size >= HEADER_BYTES && all_ones(config, HEADER_BYTES)) {
		device->gone = true;
		return;
	}
	if (size < HEADER_BYTES) {
		device->config_short = true;
		return;
	}
	if (!device->vendor) {
		device->vendor = get16(&all, 0);
		device->device = get16(&all, 2);
	}
	device->revision = config[8];
	device->class_code = get32(&all, 8) >> 8;
	device->header_type = config[0x0e] & 0x7f;
	device->is_bridge = device->header_type == 1 || device->header_type == 2;
	command = get16(&all, COMMAND);
	device->memory_enabled = command & COMMAND_MEMORY;
	device->bus_master = command & COMMAND_MASTER;
	parse_bars(device, &all);
	parse_list(device, &all);
	parse_extended_list(device, &all);
}
