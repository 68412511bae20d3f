/* SPDX-License-Identifier: MIT */
#include "cli/cleanup.h"
#include "cli/cli.h"
#include "cli/options.h"
#include "cli/run.h"

static const char examples[] =
	"  tethys run resnet18.onnx --input cat.jpg\n"
	"  tethys run face.onnx --input a.jpg b.jpg --output out --device vfio-user:/tmp/card.sock\n"
	"  tethys run net.onnx --task raw --input tensor.bin --output out --json\n";

int cmd_run(int argc, char **argv)
{
	struct run_options run = {.job.cores = 1, .repeat = 1, .top = 5};
	struct option_list files = {.count = 0};
	double timeout = 0;
	const struct cli_option options[] = {
		{OPTION_LIST, 'i', "input", "FILE...", "photos (JPEG, PNG), or raw tensors",
		 .value = &files},
		{OPTION_STRING, 'd', "device", "DEV",
		 "metis-ADDRESS, vfio:ADDRESS, sim, vfio-user:PATH; default: the first",
		 .value = &run.job.device},
		{OPTION_UINT, 'c', "cores", "N", "cores of the card, 1-4; default 1",
		 .value = &run.job.cores, .min = 1, .max = 4},
		{OPTION_CHOICE, 't', "task", "TASK", "classify, detect or raw; default: by outputs",
		 .value = &run.task, .choices = "classify|detect|raw"},
		{OPTION_STRING, 'o', "output", "DIR", "write marked photos or output tensors there",
		 .value = &run.output},
		{OPTION_STRING, 0, "labels", "FILE", "class names, one a line",
		 .value = &run.labels},
		{OPTION_DOUBLE, 0, "threshold", "SCORE", "faces above it count, 0-1",
		 .value = &run.threshold, .min = 1e-6, .max = 1},
		{OPTION_UINT, 0, "top", "N", "classes to show; default 5", .value = &run.top,
		 .min = 1, .max = RUN_TOP_MAX},
		{OPTION_UINT, 0, "repeat", "N", "runs a file, the time is their median; default 1",
		 .value = &run.repeat, .min = 1, .max = 1e6},
		{OPTION_DOUBLE, 0, "timeout", "SECONDS", "give up on a run after this time",
		 .value = &timeout, .min = 0.001, .max = 86400},
		{OPTION_FLAG, 0, "json", .help = "one JSON document on stdout", .value = &run.json},
	};
	const struct cli_usage usage = {
		.command = "tethys run",
		.synopsis = "MODEL --input FILE...",
		.summary =
			"Run MODEL (.onnx, model.json or its folder) on a card, once for each photo,\n"
			"or once for each set of raw tensors (one file for each input of the model).",
		.examples = examples,
		.options = options,
		.count = OPTIONS_NR(options),
		.positional_min = 1,
		.positional_max = 1,
	};
	int rc = options_parse(&usage, argc, argv, &run.job.model, NULL);

	if (rc != OPTIONS_GO_ON)
		return rc;
	if (!files.count)
		return options_misuse(&usage, "no --input");
	run.files = files.item;
	run.file_count = files.count;
	run.job.timeout_ms = (unsigned int)(timeout * 1000 + 0.5);
	cleanup_start();
	return run_main(&run);
}
