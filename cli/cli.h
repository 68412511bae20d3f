/* SPDX-License-Identifier: MIT */
/*
 * The command tethys: one cmd_<name>.c per sub-command, options in, exit code out.
 */
#ifndef TETHYS_CLI_CLI_H
#define TETHYS_CLI_CLI_H

#include <stddef.h>

/* Exit codes, promised in tethys(1). */
enum cli_exit {
	CLI_OK = 0,
	CLI_FAILED = 1,
	CLI_USAGE = 2,
	CLI_DEVICE = 3, /* the card can't be reached, refused, or died */
};

struct cli_command {
	const char *name;
	const char *summary;
	/* @argv[0] is the command's name. Return: enum cli_exit. */
	int (*run)(int argc, char **argv);
};

int cmd_bench(int argc, char **argv);
int cmd_card(int argc, char **argv);
int cmd_demo(int argc, char **argv);
int cmd_devices(int argc, char **argv);
int cmd_dma(int argc, char **argv);
int cmd_doctor(int argc, char **argv);
int cmd_lab(int argc, char **argv);
int cmd_model(int argc, char **argv);
int cmd_probe(int argc, char **argv);
int cmd_run(int argc, char **argv);
int cmd_version(int argc, char **argv);

/**
 * cli_dispatch() - call the command that @argv[1] names
 * @prefix: what the user typed so far, "tethys" or "tethys model"
 * @summary: one line for --help
 * @footer: lines after the list of commands in --help; may be NULL
 *
 * Return: enum cli_exit.
 */
int cli_dispatch(const char *prefix, const char *summary, const char *footer,
		 const struct cli_command *commands, size_t count, int argc, char **argv);

#endif
