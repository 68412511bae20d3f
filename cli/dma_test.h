/* SPDX-License-Identifier: MIT */
/*
 * Does the DMA engine move every byte, on every channel, and how fast?
 */
#ifndef TETHYS_CLI_DMA_TEST_H
#define TETHYS_CLI_DMA_TEST_H

#include <stdbool.h>
#include <stddef.h>

#define DMA_CHANNEL_ALL (-1)

struct dma_options {
	const char *device;
	size_t size;	     /* of the pattern test, each channel */
	size_t max;	     /* largest transfer of the table; 0: no table */
	int channel;	     /* 0-3, DMA_CHANNEL_ALL */
	const char *pattern; /* name; NULL: all of them */
	bool json;
};

/* "counter|random|..." for the option's help. */
#define DMA_PATTERNS "counter|random|ones|zeros|checker"

/* Test, measure and print. Return: enum cli_exit; errors are printed. */
int dma_test_main(const struct dma_options *options);

#endif
