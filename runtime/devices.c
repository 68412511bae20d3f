/* SPDX-License-Identifier: MIT */
/*
 * The cards there are, and their settings.
 */
#include <endian.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runtime/cards.h"
#include "runtime/devices.h"
#include "runtime/internal.h"

#define CLOCK_DEFAULT_MHZ 800u
#define MVM_DEFAULT_PERCENT 100u

/* --- names --- */

static void name_found(void *ctx, const char *name)
{
	struct device_names *names = ctx;
	char **items = reallocarray(names->items, names->count + 1, sizeof(*items));
	char *copy = strdup(name);

	if (items)
		names->items = items;
	if (!items || !copy || strlen(name) >= sizeof(((axrDeviceInfo *)NULL)->name)) {
		free(copy);
		return;
	}
	items[names->count++] = copy;
}

bool device_simulated(const char *name)
{
	return !strncmp(name, "sim", 3) && (!name[3] || name[3] == ':');
}

/* Real cards first, each kind in the order it was found in. */
static void names_sort(struct device_names *names)
{
	size_t i, real = 0;
	char *name;

	for (i = 0; i < names->count; i++) {
		name = names->items[i];
		if (device_simulated(name))
			continue;
		memmove(&names->items[real + 1], &names->items[real],
			(i - real) * sizeof(*names->items));
		names->items[real++] = name;
	}
}

void device_names_init(struct device_names *names)
{
	*names = (struct device_names){0};
	axdev_list(name_found, names);
	names_sort(names);
}

void device_names_deinit(struct device_names *names)
{
	while (names->count)
		free(names->items[--names->count]);
	free(names->items);
}

/* --- one card's info --- */

static void fill_board(axrDeviceInfo *info, const struct metis_board *board)
{
	uint32_t type = le32toh(board->board_type);

	info->board_type = type < AXR_BOARD_METIS_MAX ? (axrBoardType)type : AXR_BOARD_METIS_MAX;
	info->board_revision = (int)le32toh(board->board_revision);
	snprintf(info->firmware_version, sizeof(info->firmware_version), "%s",
		 board->firmware_version);
	snprintf(info->flashed_firmware_version, sizeof(info->flashed_firmware_version), "%s",
		 board->flashed_firmware_version);
	snprintf(info->board_controller_firmware_version,
		 sizeof(info->board_controller_firmware_version), "%s", board->controller_version);
	snprintf(info->board_controller_board_type, sizeof(info->board_controller_board_type), "%s",
		 board->controller_board_type);
}

static void fill_info(axrDeviceInfo *info, const struct card_look *look)
{
	const char *user = getenv("USER");

	info->max_memory = look->ddr_bytes;
	info->in_use = (int)look->taken;
	if (info->in_use)
		snprintf(info->in_use_by, sizeof(info->in_use_by), "%.100s (%ld)", user ? user : "",
			 (long)getpid());
	if (look->has_board)
		fill_board(info, &look->board);
	else
		snprintf(info->firmware_version, sizeof(info->firmware_version), "%s",
			 look->personality);
}

/* Return: 0; -ENODEV and the like: not there; a card that can't be looked into is there. */
static int device_info(const char *name, axrDeviceInfo *info, struct reason *why)
{
	struct card_look look;
	int r;

	*info = (axrDeviceInfo){
		.subdevice_count = METIS_CORES,
		.board_type = AXR_BOARD_METIS_OMEGA_PCIE,
	};
	snprintf(info->name, sizeof(info->name), "%s", name);
	r = cards_look(name, &look, why);
	if (r == -EBUSY) {
		info->in_use = METIS_CORES;
		snprintf(info->in_use_by, sizeof(info->in_use_by), "another process");
		return 0;
	}
	if (r == -EPROTO) /* another firmware: listed, though it can't be connected to */
		return 0;
	if (r)
		return r;
	fill_info(info, &look);
	return 0;
}

static size_t list_devices(struct axrContext *context, axrDeviceInfo **ret_devices)
{
	struct device_names names;
	axrDeviceInfo *devices;
	size_t i, count = 0;

	device_names_init(&names);
	devices = calloc(names.count ? names.count : 1, sizeof(*devices));
	for (i = 0; devices && i < names.count; i++) {
		struct reason why = {0};

		if (!device_info(names.items[i], &devices[count], &why))
			count++;
		else
			axr_log(context, AXR_LOG_WARNING, "%s is not there: %s", names.items[i],
				why.text);
	}
	device_names_deinit(&names);
	*ret_devices = devices;
	return count;
}

size_t axr_list_devices(axrContext *context, axrDeviceInfo **devices)
{
	axrDeviceInfo *list;
	size_t count;

	axr_error_clear();
	if (!object_as(&object_context, context)) {
		axr_error_set(NULL, AXR_ERROR_INVALID_ARGUMENT, NULL,
			      "axr_list_devices: no context given");
		return 0;
	}
	count = list_devices(context, &list);
	if (!list)
		axr_error_set(context, AXR_ERROR_INTERNAL_ERROR, NULL, "out of memory");
	if (!list || !devices) {
		free(list);
		return count;
	}
	pthread_mutex_lock(&context->list_lock);
	free(context->devices);
	context->devices = list;
	*devices = list;
	pthread_mutex_unlock(&context->list_lock);
	return count;
}

/* --- settings --- */

/* Look at the card a configuration call is about; on failure the last error is set. */
static axrResult look_at(struct axrContext *context, const axrDeviceInfo *device, const char *what,
			 struct card_look *ret_look)
{
	struct reason why = {0};
	int r;

	memset(ret_look, 0, sizeof(*ret_look));
	if (!object_as(&object_context, context) || !device ||
	    !memchr(device->name, 0, sizeof(device->name)))
		return axr_error_set(context, AXR_ERROR_INVALID_ARGUMENT, NULL, "%s: no %s given",
				     what, context ? "device" : "context");
	r = cards_look(device->name, ret_look, &why);
	if (!r)
		return AXR_SUCCESS;
	return axr_error_set(context, axr_result_of(r), &why, "%s: Failed to initialise device: %s",
			     what, device->name);
}

static unsigned int clock_mhz(const struct card_look *look)
{
	unsigned int mhz = look->has_board ? le32toh(look->board.clock_mhz) : 0;

	return mhz ? mhz : CLOCK_DEFAULT_MHZ;
}

struct configuration {
	unsigned int clock[1 + METIS_CORES]; /* all, then each core's; MHz */
	unsigned int mvm[METIS_CORES];	     /* percent */
	unsigned int ddr_size;
	bool firmware;
};

#define AT(field) offsetof(struct configuration, field)
static const struct prop_spec specs[] = {
	{"clock_profile", PROP_UINT, AT(clock[0]), 100, 800},
	{"clock_profile_core_0", PROP_UINT, AT(clock[1]), 100, 800},
	{"clock_profile_core_1", PROP_UINT, AT(clock[2]), 100, 800},
	{"clock_profile_core_2", PROP_UINT, AT(clock[3]), 100, 800},
	{"clock_profile_core_3", PROP_UINT, AT(clock[4]), 100, 800},
	{"mvm_utilisation_core_0", PROP_UINT, AT(mvm[0]), 1, 100},
	{"mvm_utilisation_core_1", PROP_UINT, AT(mvm[1]), 1, 100},
	{"mvm_utilisation_core_2", PROP_UINT, AT(mvm[2]), 1, 100},
	{"mvm_utilisation_core_3", PROP_UINT, AT(mvm[3]), 1, 100},
	{"ddr_size", PROP_UINT, AT(ddr_size), 1, UINT32_MAX},
	{"device_firmware", PROP_BOOL, AT(firmware), 0, 0},
};
#define SPECS_NR (sizeof(specs) / sizeof(specs[0]))

static bool clock_exists(unsigned int mhz)
{
	return mhz == 100 || mhz == 200 || mhz == 400 || mhz == 600 || mhz == 700 || mhz == 800;
}

/* Settings that already are as asked are fine; the open firmware can't change any. */
static axrResult apply(struct axrContext *context, unsigned int now,
		       const struct configuration *wanted)
{
	unsigned int i, mhz;

	for (i = 0; i < 1 + METIS_CORES; i++) {
		mhz = wanted->clock[i];
		if (mhz && !clock_exists(mhz))
			return axr_error_set(context, AXR_ERROR_VALUE_ERROR, NULL,
					     "clock_profile: %u MHz is none of 100, 200, 400, 600, "
					     "700, 800",
					     mhz);
	}
	for (i = 0; i < 1 + METIS_CORES; i++)
		if (wanted->clock[i] && wanted->clock[i] != now)
			return axr_error_set(context, AXR_ERROR_NOT_IMPLEMENTED, NULL,
					     "clock_profile: this firmware has no clock control; "
					     "it runs at %u MHz",
					     now);
	for (i = 0; i < METIS_CORES; i++)
		if (wanted->mvm[i] && wanted->mvm[i] != MVM_DEFAULT_PERCENT)
			return axr_error_set(context, AXR_ERROR_NOT_IMPLEMENTED, NULL,
					     "mvm_utilisation: this firmware always runs at %u %%",
					     MVM_DEFAULT_PERCENT);
	if (wanted->ddr_size)
		return axr_error_set(context, AXR_ERROR_NOT_IMPLEMENTED, NULL,
				     "ddr_size: the card's memory is of fixed size");
	if (wanted->firmware)
		axr_log(context, AXR_LOG_INFO, "the card's firmware runs, nothing to load");
	return AXR_SUCCESS;
}

axrResult axr_configure_device(axrContext *context, axrDeviceInfo *device,
			       axrProperties *properties)
{
	struct axrProperties *given = object_as(&object_properties, properties);
	const struct propset *set = given ? &given->set : NULL;
	struct configuration wanted = {0};
	struct reason why = {0};
	struct card_look look;
	const char *unknown;
	axrResult result;

	axr_error_clear();
	result = look_at(context, device, "axr_configure_device", &look);
	if (result)
		return result;
	unknown = propset_unknown(set, specs, SPECS_NR);
	if (unknown)
		return axr_error_set(context, AXR_ERROR_INVALID_CONFIGURATION, NULL,
				     "Invalid properties: Unknown property key: %.100s", unknown);
	if (propset_fill(set, specs, SPECS_NR, &wanted, &why))
		return axr_error_set(context, AXR_ERROR_VALUE_ERROR, &why, NULL);
	return apply(context, clock_mhz(&look), &wanted);
}

/* Nothing we can set takes time. A card that somebody else drives was ready for them. */
axrResult axr_device_ready(axrContext *context, axrDeviceInfo *device)
{
	struct card_look look;
	axrResult result;

	axr_error_clear();
	result = look_at(context, device, "axr_device_ready", &look);
	if (result != AXR_ERROR_DEVICE_IN_USE)
		return result;
	axr_error_clear();
	return AXR_SUCCESS;
}

axrProperties *axr_read_device_configuration(axrContext *context, axrDeviceInfo *device)
{
	struct propset set = {0};
	struct axrProperties *properties = NULL;
	struct card_look look;
	char value[16];
	size_t i;
	int r = 0;

	axr_error_clear();
	if (look_at(context, device, "axr_read_device_configuration", &look))
		return NULL;
	for (i = 0; i < SPECS_NR && !r; i++) {
		if (!strncmp(specs[i].key, "clock", 5))
			snprintf(value, sizeof(value), "%u", clock_mhz(&look));
		else if (!strncmp(specs[i].key, "mvm", 3))
			snprintf(value, sizeof(value), "%u", MVM_DEFAULT_PERCENT);
		else
			continue;
		r = propset_set(&set, specs[i].key, value);
	}
	if (!r)
		properties = axr_properties_of(&context->base, &set);
	if (!properties)
		axr_error_set(context, AXR_ERROR_INTERNAL_ERROR, NULL, "out of memory");
	propset_deinit(&set);
	return properties;
}
