/* SPDX-License-Identifier: MIT */
#ifndef TETHYS_CLI_DEMO_H
#define TETHYS_CLI_DEMO_H

#include <stdbool.h>

struct demo_options {
	const char *assets; /* see assets.h */
	const char *output; /* folder for the marked photos */
	unsigned int runs;  /* of each network, at most */
	bool lab;	    /* its second half as well: two scenarios, about a minute */
	bool json;
};

/* Show and tell. Return: enum cli_exit; errors are printed. */
int demo_main(const struct demo_options *options);

#endif
