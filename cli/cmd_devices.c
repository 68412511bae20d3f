/* SPDX-License-Identifier: MIT */
#include <inttypes.h>
#include <stdio.h>

#include <axruntime/axruntime.h>

#include "cli/cli.h"
#include "cli/json.h"
#include "cli/options.h"
#include "cli/term.h"
#include "cli/text.h"

static struct json_object *device_json(const axrDeviceInfo *device)
{
	struct json_object *object = json_object_new_object();

	json_object_object_add(object, "name", json_object_new_string(device->name));
	json_object_object_add(object, "board",
			       json_object_new_string(axr_board_type_string(device->board_type)));
	json_object_object_add(object, "firmware",
			       json_object_new_string(device->firmware_version));
	json_object_object_add(object, "controller_firmware",
			       json_object_new_string(device->board_controller_firmware_version));
	json_object_object_add(object, "cores",
			       json_object_new_int64((int64_t)device->subdevice_count));
	json_object_object_add(object, "memory_bytes",
			       json_object_new_int64((int64_t)device->max_memory));
	json_object_object_add(object, "cores_in_use", json_object_new_int(device->in_use));
	json_object_object_add(object, "in_use_by", json_object_new_string(device->in_use_by));
	return object;
}

static void print_json(const axrDeviceInfo *devices, size_t count)
{
	struct json_object *root = json_object_new_object();
	struct json_object *list = json_object_new_array();

	for (size_t i = 0; i < count; i++)
		json_object_array_add(list, device_json(&devices[i]));
	json_object_object_add(root, "devices", list);
	json_print(root);
}

static void print_text(const axrDeviceInfo *devices, size_t count)
{
	char memory[TEXT_BYTES_BYTES];

	printf("%s%-36s %-12s %-10s %5s %8s %s%s\n", term_on(stdout, TERM_BOLD), "device", "board",
	       "firmware", "cores", "memory", "in use", term_off(stdout));
	for (size_t i = 0; i < count; i++)
		printf("%-36s %-12s %-10s %5zu %8s %d\n", devices[i].name,
		       axr_board_type_string(devices[i].board_type), devices[i].firmware_version,
		       devices[i].subdevice_count, text_bytes(devices[i].max_memory, memory),
		       devices[i].in_use);
}

int cmd_devices(int argc, char **argv)
{
	bool json = false;
	const struct cli_option options[] = {
		{OPTION_FLAG, 0, "json", .help = "one JSON document on stdout", .value = &json},
	};
	const struct cli_usage usage = {
		.command = "tethys devices",
		.synopsis = "",
		.summary =
			"List the cards there are. Card processes are listed when TETHYS_DEVICES\n"
			"names them.",
		.examples = "  tethys devices\n"
			    "  TETHYS_DEVICES=vfio-user:/tmp/card.sock tethys devices --json\n",
		.options = options,
		.count = OPTIONS_NR(options),
	};
	axrDeviceInfo *devices = NULL;
	axrContext *context;
	size_t count;
	int rc = options_parse(&usage, argc, argv, NULL, NULL);

	if (rc != OPTIONS_GO_ON)
		return rc;
	context = axr_create_context();
	count = axr_list_devices(context, &devices);
	if (count && json)
		print_json(devices, count);
	else if (count)
		print_text(devices, count);
	if (!count) {
		term_error("%s", axr_last_error_string(AXR_OBJECT(context)));
		term_hint("'tethys card --socket PATH' makes a card; name it in TETHYS_DEVICES.");
	}
	axr_destroy(AXR_OBJECT(context));
	return count ? CLI_OK : CLI_DEVICE;
}
