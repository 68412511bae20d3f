/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "doctor/metrics_server.h"
#include "doctor/options.h"

static bool is_stdout(const char *path)
{
	return path && !strcmp(path, "-");
}

static size_t count_stdin(const struct option_list *list)
{
	size_t count = 0;

	for (size_t i = 0; i < list->count; i++)
		count += !strcmp(list->item[i], "-");
	return count;
}

static int check_output(const struct cli_usage *usage, const struct doctor_options *options)
{
	int on_stdout = options->json + is_stdout(options->html) + is_stdout(options->snapshot);

	if (on_stdout > 1)
		return options_misuse(usage, "only one of --json, --html - and --snapshot - can go "
					     "to standard output");
	if (options->redact && !options->snapshot)
		return options_misuse(usage, "--redact is for --snapshot FILE");
	if (options->snapshot && options->file_count + options->live != 1)
		return options_misuse(usage, "--snapshot saves one machine: this one (add --live), "
					     "or one snapshot given");
	if (options->watch && (on_stdout || options->snapshot))
		return options_misuse(usage, "--watch prints what happens; --json, --html and "
					     "--snapshot are for a single look");
	if (options->watch && (!options->live || options->root || options->file_count))
		return options_misuse(usage, "--watch follows the log of this machine; "
					     "snapshots and --root don't change");
	return DOCTOR_GO_ON;
}

static int check(const struct cli_usage *usage, struct doctor_options *options, const char *device)
{
	if (options->explain && options->list)
		return options_misuse(usage, "--explain and --list are two things to ask");
	if (count_stdin(&options->log) + count_stdin(&options->guest_log) > 1)
		return options_misuse(usage, "standard input can be read once only");
	if (device && !bdf_parse(device, strlen(device), &options->device, NULL))
		return options_misuse(usage, "--device: '%s' is no address like 86:00.0", device);
	options->has_device = device != NULL;
	options->metrics_served = options->metrics && metrics_server_is_address(options->metrics);
	/* What is served has to stay fresh. */
	options->watch |= options->metrics_served;
	options->live |= options->root || options->watch ||
			 !(options->file_count || options->log.count || options->guest_log.count);
	return check_output(usage, options);
}

static const char summary[] =
	"Say why PCI passthrough fails, with evidence and the fix. Looks at this machine and its\n"
	"kernel log; with SNAPSHOT files or --log, at those and not at this machine. A host's and\n"
	"a guest's snapshot are judged together. Reads only; as root it sees more.\n"
	"\n"
	"Exit codes: 0 healthy, 1 findings, 2 could not look.";

static const char examples[] = "  tethys doctor\n"
			       "  dmesg | tethys doctor --log -\n"
			       "  tethys doctor --snapshot host.json --redact\n"
			       "  tethys doctor host.json guest.json --html report.html\n"
			       "  tethys doctor --explain raw-msi-in-bar\n";

int doctor_options_parse(int argc, char **argv, struct doctor_options *ret)
{
	const char *device = NULL;
	const struct cli_option options[] = {
		{OPTION_LIST, 'l', "log", "FILE...",
		 .help = "judge logs, '-' is stdin; compressed is fine", .value = &ret->log},
		{OPTION_LIST, 0, "guest-log", "FILE...", .help = "the same, of a guest",
		 .value = &ret->guest_log},
		{OPTION_FLAG, 0, "live", .help = "look at this machine besides what is given",
		 .value = &ret->live},
		{OPTION_STRING, 0, "root", "DIR",
		 .help = "look at the machine whose /proc, /sys are in DIR", .value = &ret->root},
		{OPTION_STRING, 'd', "device", "ADDRESS",
		 .help = "only what concerns this PCI device", .value = &device},
		{OPTION_FLAG, 'v', "verbose", .help = "all of every finding",
		 .value = &ret->verbose},
		{OPTION_FLAG, 0, "json", .help = "one JSON document on stdout",
		 .value = &ret->json},
		{OPTION_STRING, 0, "html", "FILE",
		 .help = "write a page with a drawing, '-' is stdout", .value = &ret->html},
		{OPTION_STRING, 0, "snapshot", "FILE", .help = "save what was seen, '-' is stdout",
		 .value = &ret->snapshot},
		{OPTION_FLAG, 0, "redact",
		 .help = "no names, serial numbers, MAC and IP addresses in it",
		 .value = &ret->redact},
		{OPTION_FLAG, 'w', "watch", .help = "follow the kernel log, report what happens",
		 .value = &ret->watch},
		{OPTION_UINT, 0, "interval", "SECONDS",
		 .help = "how often the machine is looked at anew (60)", .value = &ret->interval_s,
		 .min = 1, .max = 86400},
		{OPTION_STRING, 0, "metrics", "FILE|:PORT",
		 .help = "write OpenMetrics, or serve them and watch", .value = &ret->metrics},
		{OPTION_STRING, 0, "explain", "ID",
		 .help = "what is known about a class of findings", .value = &ret->explain},
		{OPTION_FLAG, 0, "list", .help = "list the classes of findings",
		 .value = &ret->list},
	};
	const struct cli_usage usage = {
		.command = argv[0],
		.synopsis = "[SNAPSHOT...] [options]",
		.summary = summary,
		.examples = examples,
		.options = options,
		.count = OPTIONS_NR(options),
		.positional_max = DOCTOR_FILES_MAX,
	};
	int rc;

	*ret = (struct doctor_options){.interval_s = 60};
	rc = options_parse(&usage, argc, argv, ret->file, &ret->file_count);
	return rc == OPTIONS_GO_ON ? check(&usage, ret, device) : rc;
}
