/* SPDX-License-Identifier: MIT */
#include "cli/cleanup.h"
#include "cli/cli.h"
#include "cli/dma_test.h"
#include "cli/options.h"

#define CHANNEL_UNSET 4

int cmd_dma(int argc, char **argv)
{
	struct dma_options dma = {.size = 1 << 20, .max = (size_t)256 << 20};
	unsigned int channel = CHANNEL_UNSET;
	const struct cli_option options[] = {
		{OPTION_STRING, 'd', "device", "DEV",
		 "metis-ADDRESS, vfio:ADDRESS, sim, vfio-user:PATH; default: the first metis, else sim",
		 .value = &dma.device},
		{OPTION_BYTES, 's', "size", "BYTES", "of the pattern test; default 1M",
		 .value = &dma.size, .min = 4096, .max = 1 << 28},
		{OPTION_BYTES, 'm', "max", "BYTES",
		 "largest transfer of the table; 0: no table; default 256M", .value = &dma.max,
		 .max = 1 << 30},
		{OPTION_UINT, 'c', "channel", "N", "0-3; default: all, one by one and at once",
		 .value = &channel, .max = 3},
		{OPTION_CHOICE, 'p', "pattern", "NAME", DMA_PATTERNS "; default: all",
		 .value = &dma.pattern, .choices = DMA_PATTERNS},
		{OPTION_FLAG, 0, "json", .help = "one JSON document on stdout", .value = &dma.json},
	};
	const struct cli_usage usage = {
		.command = "tethys dma",
		.synopsis = "",
		.summary =
			"Send patterns through the card's DMA engine and compare what comes back, then\n"
			"measure throughput by size against memcpy of the same bytes.",
		.examples =
			"  tethys dma\n"
			"  tethys dma --device vfio-user:/tmp/card.sock --channel 2 --max 16M\n",
		.options = options,
		.count = OPTIONS_NR(options),
	};
	int rc = options_parse(&usage, argc, argv, NULL, NULL);

	if (rc != OPTIONS_GO_ON)
		return rc;
	dma.channel = channel == CHANNEL_UNSET ? DMA_CHANNEL_ALL : (int)channel;
	cleanup_start();
	return dma_test_main(&dma);
}
