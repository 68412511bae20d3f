/* SPDX-License-Identifier: MIT */
#include "cli/bench.h"
#include "cli/cleanup.h"
#include "cli/cli.h"
#include "cli/options.h"

int cmd_bench(int argc, char **argv)
{
	struct bench_options bench = {.job.cores = 1, .runs = 50};
	const struct cli_option options[] = {
		{OPTION_STRING, 'd', "device", "DEV",
		 "metis-ADDRESS, vfio:ADDRESS, sim, vfio-user:PATH; default: the first",
		 .value = &bench.job.device},
		{OPTION_UINT, 'c', "cores", "N",
		 "cores of the card, and threads of the peer; default 1", .value = &bench.job.cores,
		 .min = 1, .max = 4},
		{OPTION_UINT, 'n', "runs", "N", "runs of each; default 50", .value = &bench.runs,
		 .min = 1, .max = 1e6},
		{OPTION_FLAG, 0, "json", .help = "one JSON document on stdout",
		 .value = &bench.json},
	};
	const struct cli_usage usage = {
		.command = "tethys bench",
		.synopsis = "MODEL",
		.summary =
			"Time MODEL through a card and in ONNX Runtime alone, in turns, with as many\n"
			"threads, and compare the outputs byte for byte.",
		.examples =
			"  tethys bench resnet18.onnx\n"
			"  tethys bench resnet18.onnx --device vfio-user:/tmp/card.sock --cores 2\n",
		.options = options,
		.count = OPTIONS_NR(options),
		.positional_min = 1,
		.positional_max = 1,
	};
	int rc = options_parse(&usage, argc, argv, &bench.job.model, NULL);

	if (rc != OPTIONS_GO_ON)
		return rc;
	cleanup_start();
	return bench_main(&bench);
}
