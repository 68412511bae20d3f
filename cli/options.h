/* SPDX-License-Identifier: MIT */
/*
 * Options of a command as a table: parsing, checking and --help come from the same rows.
 */
#ifndef TETHYS_CLI_OPTIONS_H
#define TETHYS_CLI_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>

enum option_kind {
	OPTION_FLAG,   /* bool: set to true */
	OPTION_STRING, /* const char * */
	OPTION_UINT,   /* unsigned int within min..max */
	OPTION_BYTES,  /* size_t within min..max; 64K, 1M, 2G are understood */
	OPTION_DOUBLE, /* double within min..max */
	OPTION_CHOICE, /* const char *, one of @choices */
	OPTION_YESNO,  /* int: 0 or 1 */
	OPTION_LIST,   /* struct option_list: this argument and those that follow it */
};

#define OPTION_LIST_MAX 256u

struct option_list {
	const char *item[OPTION_LIST_MAX];
	size_t count;
};

struct cli_option {
	enum option_kind kind;
	char letter; /* short form, 0 for none */
	const char *name;
	const char *arg; /* name of the argument in --help; NULL for a flag */
	const char *help;
	void *value;
	double min, max;     /* for numbers */
	const char *choices; /* "a|b|c" */
};

struct cli_usage {
	const char *command;  /* "tethys run" */
	const char *synopsis; /* "MODEL --input FILE..." */
	const char *summary;  /* lines, the last without '\n' */
	const char *examples; /* lines, each ended by '\n' */
	const struct cli_option *options;
	size_t count;
	size_t positional_min, positional_max;
};

#define OPTIONS_NR(table) (sizeof(table) / sizeof((table)[0]))
#define OPTIONS_GO_ON (-1)

/**
 * options_parse() - fill the values of the table from a command line
 * @ret_positional: arguments that are no options, in order; room for positional_max
 *
 * Prints help or the mistake itself.
 *
 * Return: OPTIONS_GO_ON, or the exit code to leave with: CLI_OK after --help, CLI_USAGE.
 */
int options_parse(const struct cli_usage *usage, int argc, char **argv, const char **ret_positional,
		  size_t *ret_positional_count);

/**
 * options_misuse() - report a wrong use that the table can't see
 *
 * Return: CLI_USAGE.
 */
int options_misuse(const struct cli_usage *usage, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

#endif
