/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "cli/cli.h"
#include "cli/lab.h"
#include "cli/options.h"

#define COMMANDS_NR(table) (sizeof(table) / sizeof((table)[0]))
#define SCENARIOS_MAX 64

static int cmd_lab_build(int argc, char **argv)
{
	bool quiet = false, without_vfio = false, json = false;
	const struct cli_option options[] = {
		{OPTION_FLAG, 'q', "quiet", .help = "only what fails", .value = &quiet},
		{OPTION_FLAG, 0, "without-vfio",
		 .help = "not the kernel modules with no-IOMMU mode and iommufd",
		 .value = &without_vfio},
		{OPTION_FLAG, 0, "json", .help = "one JSON document on stdout", .value = &json},
	};
	const struct cli_usage usage = {
		.command = "tethys lab build",
		.synopsis = "",
		.summary =
			"Make what the lab's machines boot: a Debian 13 root file system, kernel, disks.\n"
			"Only what is missing or out of date; 'tethys lab run' does it by itself.",
		.examples = "  tethys lab build\n"
			    "  tethys lab build --json | jq -r .kernel\n",
		.options = options,
		.count = OPTIONS_NR(options),
	};
	int rc = options_parse(&usage, argc, argv, NULL, NULL);

	return rc != OPTIONS_GO_ON ? rc : lab_cmd_build(quiet || json, without_vfio, json);
}

static int cmd_lab_run(int argc, char **argv)
{
	const char *names[SCENARIOS_MAX];
	struct lab_options lab = {.jobs = 1, .repeat = 1, .names = names};
	const struct cli_option options[] = {
		{OPTION_FLAG, 'a', "all", .help = "every scenario that is shipped",
		 .value = &lab.all},
		{OPTION_UINT, 'j', "jobs", "N", "so many at the same time; default 1",
		 .value = &lab.jobs, .min = 1, .max = 64},
		{OPTION_UINT, 'n', "repeat", "N", "each N times, and compare the verdicts",
		 .value = &lab.repeat, .min = 1, .max = 1000},
		{OPTION_FLAG, 'k', "keep",
		 .help = "leave the machines running until Ctrl-C, for 'tethys lab shell'",
		 .value = &lab.keep},
		{OPTION_STRING, 'o', "logs", "DIR",
		 "folder for logs; default: ~/.local/state/tethys/lab", .value = &lab.logs},
		{OPTION_FLAG, 0, "json", .help = "one JSON document on stdout", .value = &lab.json},
		{OPTION_FLAG, 0, "tap", .help = "TAP on stdout, one test for each promise",
		 .value = &lab.tap},
	};
	const struct cli_usage usage = {
		.command = "tethys lab run",
		.synopsis = "SCENARIO...",
		.summary =
			"Play scenarios: boot a host VM with an IOMMU and a card, guests in it, let things\n"
			"happen, and compare what is seen with what the scenario promises. SCENARIO is a\n"
			"name of 'tethys lab list', or the path of a .scenario file.",
		.examples = "  tethys lab run bare-metal\n"
			    "  tethys lab run passthrough-clean replay-1346 --json\n"
			    "  tethys lab run ./mine.scenario --keep\n"
			    "  tethys lab run --all --jobs 2\n",
		.options = options,
		.count = OPTIONS_NR(options),
		.positional_max = SCENARIOS_MAX,
	};
	int rc = options_parse(&usage, argc, argv, names, &lab.count);

	if (rc != OPTIONS_GO_ON)
		return rc;
	if (lab.all == (lab.count > 0))
		return options_misuse(&usage, "name scenarios, or say --all");
	if (lab.json && lab.tap)
		return options_misuse(&usage, "--json and --tap exclude each other");
	if (lab.keep && (lab.count != 1 || lab.repeat > 1))
		return options_misuse(&usage, "--keep is for one scenario");
	return lab_cmd_run(&lab);
}

static int cmd_lab_list(int argc, char **argv)
{
	bool json = false;
	const struct cli_option options[] = {
		{OPTION_FLAG, 0, "json", .help = "one JSON document on stdout", .value = &json},
	};
	const struct cli_usage usage = {
		.command = "tethys lab list",
		.synopsis = "",
		.summary = "Show the scenarios there are.",
		.examples = "  tethys lab list\n",
		.options = options,
		.count = OPTIONS_NR(options),
	};
	int rc = options_parse(&usage, argc, argv, NULL, NULL);

	return rc != OPTIONS_GO_ON ? rc : lab_cmd_list(json);
}

static int cmd_lab_logs(int argc, char **argv)
{
	const char *names[2] = {NULL, NULL}, *logs = NULL;
	size_t count;
	bool json = false;
	const struct cli_option options[] = {
		{OPTION_STRING, 'o', "logs", "DIR", "where 'tethys lab run' was told to put them",
		 .value = &logs},
		{OPTION_FLAG, 0, "json", .help = "names of the files, as JSON", .value = &json},
	};
	const struct cli_usage usage = {
		.command = "tethys lab logs",
		.synopsis = "[SCENARIO [FILE]]",
		.summary =
			"Show where the logs of the last run are (of SCENARIO), and what there is. With\n"
			"FILE (host.dmesg, guest1.dmesg, card.log, ...) print that one.",
		.examples = "  tethys lab logs\n"
			    "  tethys lab logs replay-1346 host.dmesg | grep DMAR\n",
		.options = options,
		.count = OPTIONS_NR(options),
		.positional_max = 2,
	};
	int rc = options_parse(&usage, argc, argv, names, &count);

	return rc != OPTIONS_GO_ON ? rc : lab_cmd_logs(logs, names[0], names[1], json);
}

static int cmd_lab_shell(int argc, char **argv)
{
	const char *names[2], *logs = NULL;
	size_t count;
	const struct cli_option options[] = {
		{OPTION_STRING, 'o', "logs", "DIR",
		 "folder for logs; default: ~/.local/state/tethys/lab", .value = &logs},
	};
	const struct cli_usage usage = {
		.command = "tethys lab shell",
		.synopsis = "host|guest|guest2 SCENARIO",
		.summary =
			"A shell in a machine of SCENARIO: one that 'tethys lab run --keep' left running,\n"
			"else one booted for it, which ends with the shell. Reads commands from stdin when\n"
			"that is no terminal.",
		.examples = "  tethys lab shell host bare-metal\n"
			    "  echo 'dmesg | grep DMAR' | tethys lab shell host replay-1346\n",
		.options = options,
		.count = OPTIONS_NR(options),
		.positional_min = 2,
		.positional_max = 2,
	};
	int rc = options_parse(&usage, argc, argv, names, &count);

	if (rc != OPTIONS_GO_ON)
		return rc;
	if (strcmp(names[0], "host") && strcmp(names[0], "guest") && strcmp(names[0], "guest2"))
		return options_misuse(&usage, "there is no machine '%s'", names[0]);
	return lab_cmd_shell(logs, names[0], names[1]);
}

int cmd_lab(int argc, char **argv)
{
	static const struct cli_command commands[] = {
		{"run", "play scenarios and say whether they went as promised", cmd_lab_run},
		{"list", "show the scenarios there are", cmd_lab_list},
		{"shell", "a shell in one of the machines", cmd_lab_shell},
		{"logs", "what the last run left", cmd_lab_logs},
		{"build", "make what the machines boot", cmd_lab_build},
	};

	return cli_dispatch("tethys lab",
			    "Host, IOMMU, guest and card in stock QEMU, without hardware.",
			    "Exit codes: 0 all as promised, 1 not, 2 wrong usage.\n", commands,
			    COMMANDS_NR(commands), argc, argv);
}
