/* SPDX-License-Identifier: MIT */
#include "cli/cleanup.h"
#include "cli/cli.h"
#include "cli/demo.h"
#include "cli/options.h"

int cmd_demo(int argc, char **argv)
{
	bool no_lab = false;
	struct demo_options demo = {.output = "tethys-demo", .runs = 30, .lab = true};
	const struct cli_option options[] = {
		{OPTION_STRING, 'a', "assets", "DIR", "default: ~/.cache/tethys/assets",
		 .value = &demo.assets},
		{OPTION_STRING, 'o', "output", "DIR", "for the marked photos; default: tethys-demo",
		 .value = &demo.output},
		{OPTION_UINT, 'n', "runs", "N", "of each network, at most; default 30",
		 .value = &demo.runs, .min = 1, .max = 10000},
		{OPTION_FLAG, 0, "no-lab", .help = "only the first half, without virtual machines",
		 .value = &no_lab},
		{OPTION_FLAG, 0, "json", .help = "one JSON document on stdout",
		 .value = &demo.json},
	};
	const struct cli_usage usage = {
		.command = "tethys demo",
		.synopsis = "",
		.summary =
			"Run ResNet18 (untrained) and a face detector on photos: on a card in this\n"
			"process, and on a card process that is started and ended for it. Then in the lab:\n"
			"on a host VM with an IOMMU, and in a guest that gets the card by VFIO, where they\n"
			"fail until the driver heals lost interrupts.",
		.examples = "  tethys demo\n"
			    "  tethys demo --assets /srv/assets --output /tmp/photos\n",
		.options = options,
		.count = OPTIONS_NR(options),
	};
	int rc = options_parse(&usage, argc, argv, NULL, NULL);

	if (rc != OPTIONS_GO_ON)
		return rc;
	demo.lab = !no_lab;
	cleanup_start();
	return demo_main(&demo);
}
