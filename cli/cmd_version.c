/* SPDX-License-Identifier: MIT */
#include <stdio.h>

#include <axruntime/axruntime.h>

#include "cli/cli.h"
#include "cli/json.h"
#include "cli/options.h"

int cmd_version(int argc, char **argv)
{
	bool json = false;
	const struct cli_option options[] = {
		{OPTION_FLAG, 0, "json", .help = "one JSON document on stdout", .value = &json},
	};
	const struct cli_usage usage = {
		.command = "tethys version",
		.synopsis = "",
		.summary = "Print the version of the command and of the runtime API.",
		.examples = "  tethys version\n  tethys version --json\n",
		.options = options,
		.count = OPTIONS_NR(options),
	};
	struct json_object *root;
	int rc = options_parse(&usage, argc, argv, NULL, NULL);

	if (rc != OPTIONS_GO_ON)
		return rc;
	if (!json) {
		printf("tethys %s\n", TETHYS_VERSION);
		return CLI_OK;
	}
	root = json_object_new_object();
	json_object_object_add(root, "version", json_object_new_string(TETHYS_VERSION));
	json_object_object_add(root, "api_version", json_object_new_int64(axr_api_version()));
	json_print(root);
	return CLI_OK;
}
