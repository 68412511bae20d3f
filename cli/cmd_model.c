/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <string.h>

#include "cli/cleanup.h"
#include "cli/cli.h"
#include "cli/json.h"
#include "cli/model_info.h"
#include "cli/options.h"
#include "cli/term.h"
#include "tasks/models.h"

#define COMMANDS_NR(table) (sizeof(table) / sizeof((table)[0]))

static int finish(int err, const struct reason *why, const char *path, bool json)
{
	struct json_object *root;

	if (err) {
		term_error("%s", why->text);
		return CLI_FAILED;
	}
	if (!json) {
		printf("wrote %s\n", path);
		return CLI_OK;
	}
	root = json_object_new_object();
	json_object_object_add(root, "file", json_object_new_string(path));
	json_print(root);
	return CLI_OK;
}

static int cmd_model_make(int argc, char **argv)
{
	const char *path = "resnet18.onnx", *kind;
	unsigned int seed = RESNET18_SEED;
	struct term_progress *bar;
	struct reason why = {0};
	bool json = false;
	const struct cli_option options[] = {
		{OPTION_STRING, 'o', "output", "FILE", "default: resnet18.onnx", .value = &path},
		{OPTION_UINT, 's', "seed", "N", "the same seed gives the same file; default 18",
		 .value = &seed, .max = 4294967295.0},
		{OPTION_FLAG, 0, "json", .help = "one JSON document on stdout", .value = &json},
	};
	const struct cli_usage usage = {
		.command = "tethys model make",
		.synopsis = "resnet18",
		.summary =
			"Write an untrained ResNet-18 as ONNX: right architecture, size and cost, for\n"
			"latency and exactness. Its answers mean nothing.",
		.examples = "  tethys model make resnet18\n"
			    "  tethys model make resnet18 -o /tmp/net.onnx --seed 7\n",
		.options = options,
		.count = OPTIONS_NR(options),
		.positional_min = 1,
		.positional_max = 1,
	};
	int rc = options_parse(&usage, argc, argv, &kind, NULL);

	if (rc != OPTIONS_GO_ON)
		return rc;
	if (strcmp(kind, "resnet18"))
		return options_misuse(&usage, "'%s' can't be made, only resnet18", kind);
	cleanup_start();
	bar = term_progress_start("making the model", 0);
	cleanup_hold();
	rc = resnet18_make(path, seed, &why);
	cleanup_release();
	term_progress_stop(bar);
	return finish(rc, &why, path, json);
}

static int cmd_model_convert_tiny_face(int argc, char **argv)
{
	const char *path = "tiny-face.onnx", *package;
	unsigned int size = TINY_FACE_SIZE;
	struct reason why = {0};
	bool json = false;
	const struct cli_option options[] = {
		{OPTION_STRING, 'o', "output", "FILE", "default: tiny-face.onnx", .value = &path},
		{OPTION_UINT, 's', "size", "N", "side of the input, a multiple of 32; default 416",
		 .value = &size, .min = 32, .max = 1024},
		{OPTION_FLAG, 0, "json", .help = "one JSON document on stdout", .value = &json},
	};
	const struct cli_usage usage = {
		.command = "tethys model convert-tiny-face",
		.synopsis = "PACKAGE_DIR",
		.summary =
			"Write the tiny face detector of the npm package @vladmandic/face-api (MIT) as\n"
			"ONNX. PACKAGE_DIR is the unpacked package: the folder with model/ in it.",
		.examples = "  npm pack @vladmandic/face-api && tar xf vladmandic-face-api-*.tgz\n"
			    "  tethys model convert-tiny-face package -o tiny-face.onnx\n",
		.options = options,
		.count = OPTIONS_NR(options),
		.positional_min = 1,
		.positional_max = 1,
	};
	int rc = options_parse(&usage, argc, argv, &package, NULL);

	if (rc != OPTIONS_GO_ON)
		return rc;
	cleanup_start();
	return finish(model_convert_tiny_face(package, path, size, &why), &why, path, json);
}

static int cmd_model_info(int argc, char **argv)
{
	const char *path;
	bool json = false;
	const struct cli_option options[] = {
		{OPTION_FLAG, 0, "json", .help = "one JSON document on stdout", .value = &json},
	};
	const struct cli_usage usage = {
		.command = "tethys model info",
		.synopsis = "MODEL",
		.summary = "Show what goes into a model and what comes out. Needs no card.",
		.examples = "  tethys model info resnet18.onnx\n"
			    "  tethys model info resnet18.onnx --json\n",
		.options = options,
		.count = OPTIONS_NR(options),
		.positional_min = 1,
		.positional_max = 1,
	};
	int rc = options_parse(&usage, argc, argv, &path, NULL);

	return rc == OPTIONS_GO_ON ? model_info(path, json) : rc;
}

static const struct cli_command commands[] = {
	{"make", "write an untrained ResNet-18", cmd_model_make},
	{"convert-tiny-face", "write the face detector of an npm package as ONNX",
	 cmd_model_convert_tiny_face},
	{"info", "show a model's inputs and outputs", cmd_model_info},
};

int cmd_model(int argc, char **argv)
{
	return cli_dispatch("tethys model", "Make, convert and inspect models.",
			    "Examples:\n"
			    "  tethys model make resnet18\n"
			    "  tethys model info resnet18.onnx\n",
			    commands, COMMANDS_NR(commands), argc, argv);
}
