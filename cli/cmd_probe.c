/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <signal.h>

#include "cli/cli.h"
#include "cli/options.h"
#include "cli/term.h"
#include "probe/probe.h"

/* A signal's only business with a run: the hop ends, all is put back, then the process. */
static volatile sig_atomic_t caught;

static void catch (int number)
{
	caught = number;
}

/* Those that were ignored when we started (nohup, a job in the background) stay ignored. */
static void catch_signals(void)
{
	static const int numbers[] = {SIGINT, SIGTERM, SIGHUP};
	const struct sigaction action = {.sa_handler = catch};
	struct sigaction old;

	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		if (!sigaction(numbers[i], NULL, &old) && old.sa_handler != SIG_IGN)
			sigaction(numbers[i], &action, NULL);
}

static int exit_code(int err)
{
	if (!err)
		return CLI_OK;
	if (err == -EINVAL)
		return CLI_USAGE;
	return err == -EIO || err == -ECANCELED ? CLI_FAILED : CLI_DEVICE;
}

int cmd_probe(int argc, char **argv)
{
	struct probe_options probe = {.cancel = &caught};
	struct probe_report report;
	double seconds = PROBE_TIMEOUT_MS / 1e3;
	const char *device;
	size_t devices;
	bool json = false;
	const struct cli_option options[] = {
		{OPTION_FLAG, 'r', "reset",
		 .help = "reset the device, and see whether it comes back", .value = &probe.reset},
		{OPTION_FLAG, 0, "read-bars",
		 .help = "read a word of each BAR of a device that is no Metis card",
		 .value = &probe.read_bars},
		{OPTION_DOUBLE, 't', "timeout", "SECONDS", "of each wait; default 1",
		 .value = &seconds, .min = 0.05, .max = 60},
		{OPTION_FLAG, 0, "json", .help = "one JSON document on stdout", .value = &json},
	};
	const struct cli_usage usage = {
		.command = "tethys probe",
		.synopsis = "DEVICE",
		.summary =
			"Find the first hop that fails between a PCI device and a program: opening it\n"
			"through VFIO, configuration space, registers, DMA both ways, interrupts.\n"
			"Takes the device for itself; a device in use is refused.",
		.examples = "  tethys probe 0000:86:00.0\n"
			    "  tethys probe 86:00.0 --reset --json\n"
			    "  tethys probe vfio-user:/tmp/card.sock\n",
		.options = options,
		.count = OPTIONS_NR(options),
		.positional_min = 1,
		.positional_max = 1,
	};
	int rc = options_parse(&usage, argc, argv, &device, &devices);

	if (rc != OPTIONS_GO_ON)
		return rc;
	probe.timeout_ms = (unsigned int)(seconds * 1e3);
	catch_signals();
	rc = exit_code(probe_device(device, &probe, &report));
	if (rc == CLI_USAGE) {
		term_error("%s", report.step[PROBE_OPEN].detail);
		return rc;
	}
	if (json) {
		probe_print_json(&report, stdout);
	} else {
		const struct probe_style style = {
			.bold = term_on(stdout, TERM_BOLD),
			.good = term_on(stdout, TERM_GOOD),
			.bad = term_on(stdout, TERM_BAD),
			.dim = term_on(stdout, TERM_DIM),
			.off = term_off(stdout),
		};

		probe_print_text(&report, &style, stdout);
	}
	if (caught) {
		/* The shell sees the truth. */
		fflush(stdout);
		signal(caught, SIG_DFL);
		raise(caught);
	}
	return rc;
}
