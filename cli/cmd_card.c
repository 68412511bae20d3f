/* SPDX-License-Identifier: MIT */
#include "cli/cli.h"
#include "cli/options.h"
#include "cli/serve.h"

static const char examples[] =
	"  tethys card --socket /tmp/card.sock\n"
	"  tethys run resnet18.onnx --input cat.jpg --device vfio-user:/tmp/card.sock\n"
	"  qemu-system-x86_64 ... -device '{\"driver\": \"vfio-user-pci\", \"socket\":\n"
	"      {\"type\": \"unix\", \"path\": \"/tmp/card.sock\"}}'\n";

#define FD_NONE 0xffffffffu

int cmd_card(int argc, char **argv)
{
	struct serve_options serve = {.card.keep_imwr = -1, .server.listen_fd = -1};
	unsigned int fd = FD_NONE;
	const struct cli_option options[] = {
		{OPTION_STRING, 's', "socket", "PATH", "listen there; only its owner may connect",
		 .value = &serve.server.path},
		{OPTION_STRING, 0, "socket-path", "PATH",
		 "the same, as other vfio-user servers call it", .value = &serve.server.path},
		{OPTION_UINT, 0, "fd", "N", "serve this listening or connected socket instead",
		 .value = &fd, .min = 3, .max = 1e6},
		{OPTION_STRING, 'p', "personality", "V",
		 "firmware to play: 1.3.2, 1.6.0, 1.8.0; default: newest",
		 .value = &serve.card.personality},
		{OPTION_CHOICE, 'e', "engine", "NAME", "onnx, or null: copies, for measuring",
		 .value = &serve.card.engine, .choices = "onnx|null"},
		{OPTION_FLAG, 0, "raw-imwr",
		 .help = "send interrupt writes that are not the card's own",
		 .value = &serve.card.raw_imwr},
		{OPTION_YESNO, 0, "keep-imwr", "yes|no",
		 "interrupt writes survive resets; default: by personality",
		 .value = &serve.card.keep_imwr},
		{OPTION_FLAG, 0, "mirror-dma",
		 .help = "firmware sets virtual MSIs for DMA channels too",
		 .value = &serve.card.mirror_dma},
		{OPTION_FLAG, 0, "latch-target",
		 .help = "firmware keeps the first host-driver target it uses",
		 .value = &serve.card.latch_target},
		{OPTION_FLAG, 0, "count-accesses",
		 .help = "offer no BAR for mapping, so that all accesses count",
		 .value = &serve.server.trap_l2},
		{OPTION_FLAG, 0, "no-direct", .help = "all DMA by message, never by shared memory",
		 .value = &serve.server.no_direct},
		{OPTION_STRING, 0, "record", "FILE", "write down each access and what allowed it",
		 .value = &serve.record},
		{OPTION_STRING, 0, "control", "PATH", "take commands there: faults on request",
		 .value = &serve.control},
		{OPTION_LIST, 0, "seed", "COMMAND", "a command to begin with; may be given often",
		 .value = &serve.seeds},
		{OPTION_FLAG, 'v', "verbose", .help = "say who comes and goes",
		 .value = &serve.verbose},
	};
	const struct cli_usage usage = {
		.command = "tethys card",
		.synopsis = "--socket PATH",
		.summary =
			"Be a card: serve a virtual Metis card over vfio-user, one client at a time,\n"
			"until SIGINT or SIGTERM. Prints one line when it is ready.",
		.examples = examples,
		.options = options,
		.count = OPTIONS_NR(options),
	};
	int rc = options_parse(&usage, argc, argv, NULL, NULL);

	if (rc != OPTIONS_GO_ON)
		return rc;
	if (!serve.server.path == (fd == FD_NONE))
		return options_misuse(&usage, "give one of --socket and --fd");
	if (fd != FD_NONE)
		serve.server.listen_fd = (int)fd;
	return serve_card(&serve);
}
