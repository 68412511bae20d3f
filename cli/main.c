/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/cleanup.h"
#include "cli/cli.h"
#include "cli/options.h"
#include "cli/term.h"

#define COMMANDS_NR(table) (sizeof(table) / sizeof((table)[0]))

static const struct cli_command commands[] = {
	{"demo", "show the card at work: two networks, real photos, two ways to reach it",
	 cmd_demo},
	{"devices", "list the cards there are", cmd_devices},
	{"run", "run a model on images or tensors", cmd_run},
	{"bench", "compare a model through the card with ONNX Runtime alone", cmd_bench},
	{"doctor", "say why PCI passthrough fails, with evidence and the fix", cmd_doctor},
	{"dma", "test and measure the card's DMA engine", cmd_dma},
	{"card", "be a card: serve a virtual one on a socket", cmd_card},
	{"lab", "boot host, IOMMU, guest and card in QEMU; play scenarios", cmd_lab},
	{"probe", "find the first hop to a device that fails", cmd_probe},
	{"model", "make, convert and inspect models", cmd_model},
	{"version", "print the version", cmd_version},
};

static const char footer[] = "Environment:\n"
			     "  TETHYS_DEVICES  more cards to list, names joined by ','\n"
			     "  NO_COLOR        when set and not empty, no colours\n"
			     "\n"
			     "Exit codes: 0 ok, 1 failed, 2 wrong usage, 3 device error.\n"
			     "\n"
			     "Examples:\n"
			     "  tethys demo\n"
			     "  tethys run face.onnx --input photo.jpg --output out\n"
			     "  tethys card --socket /tmp/card.sock\n";

/* Without this a socket could become "stdout" and receive our text. */
static void open_standard_fds(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDWR);
	while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd >= 0)
		close(fd);
}

static bool reader_left(void)
{
	struct pollfd poller = {.fd = STDOUT_FILENO};

	return poll(&poller, 1, 0) == 1 && poller.revents & (POLLERR | POLLHUP);
}

/* A reader that left early (head, a closed pager) is no failure; a full disk is. */
static int finish_stdout(int code)
{
	int err = ferror(stdout) ? EIO : 0; /* why is lost by now */

	if (fflush(stdout))
		err = errno;
	if (!err || reader_left())
		return code;
	term_error("The output could not be written: %s", strerror(err));
	return code ? code : CLI_FAILED;
}

static void print_commands(const char *prefix, const char *summary, const char *tail,
			   const struct cli_command *table, size_t count)
{
	printf("Usage: %s COMMAND [options]\n\n%s\n\nCommands:\n", prefix, summary);
	for (size_t i = 0; i < count; i++)
		printf("  %-18s %s\n", table[i].name, table[i].summary);
	printf("\n'%s COMMAND --help' explains one.\n", prefix);
	if (tail)
		printf("\n%s", tail);
}

int cli_dispatch(const char *prefix, const char *summary, const char *tail,
		 const struct cli_command *table, size_t count, int argc, char **argv)
{
	const char *name = argc > 1 ? argv[1] : NULL;

	if (!name) {
		term_error("%s: which command? See '%s --help'", prefix, prefix);
		return CLI_USAGE;
	}
	if (!strcmp(name, "--help") || !strcmp(name, "-h") || !strcmp(name, "help")) {
		print_commands(prefix, summary, tail, table, count);
		return CLI_OK;
	}
	for (size_t i = 0; i < count; i++)
		if (!strcmp(name, table[i].name))
			return table[i].run(argc - 1, argv + 1);
	term_error("%s: there is no command '%s'. See '%s --help'", prefix, name, prefix);
	return CLI_USAGE;
}

int main(int argc, char **argv)
{
	int code;

	open_standard_fds();
	signal(SIGPIPE, SIG_IGN); /* a closed pipe is an error of write(), not our end */
	if (argc > 1 && !strcmp(argv[1], "--version"))
		argv[1] = (char *)"version";
	code = cli_dispatch("tethys", "A Metis accelerator card in software, and what drives it.",
			    footer, commands, COMMANDS_NR(commands), argc, argv);
	cleanup_all();
	return finish_stdout(code);
}
