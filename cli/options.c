/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/options.h"
#include "cli/term.h"
#include "cli/text.h"

#define OPTIONS_MAX 32
#define LONG_BASE 1000 /* getopt's value of row i is LONG_BASE + i */
#define VALUE_HELP (LONG_BASE + OPTIONS_MAX)

int options_misuse(const struct cli_usage *usage, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	term_error("%s: %s. See '%s --help'", usage->command, text, usage->command);
	return CLI_USAGE;
}

static void print_option(const struct cli_option *row)
{
	char left[64];

	snprintf(left, sizeof(left), "%c%c%s --%s%s%s", row->letter ? '-' : ' ',
		 row->letter ? row->letter : ' ', row->letter ? "," : " ", row->name,
		 row->arg ? " " : "", row->arg ? row->arg : "");
	printf("  %-28s %s\n", left, row->help);
}

static void print_help(const struct cli_usage *usage)
{
	printf("Usage: %s%s%s\n\n%s\n\nOptions:\n", usage->command, *usage->synopsis ? " " : "",
	       usage->synopsis, usage->summary);
	for (size_t i = 0; i < usage->count; i++)
		print_option(&usage->options[i]);
	printf("  %-28s %s\n", "-h, --help", "this text");
	printf("\nExamples:\n%s", usage->examples);
}

static bool parse_double(const char *text, double *ret_value)
{
	char *end;
	double value;

	errno = 0;
	value = strtod(text, &end);
	if (end == text || *end || errno || !isfinite(value))
		return false;
	*ret_value = value;
	return true;
}

/* Digits only: strtoull alone would take "-1", " 1" and "0x1". */
static bool parse_whole(const char *text, const char **ret_end, unsigned long long *ret_value)
{
	char *end;

	if (*text < '0' || *text > '9')
		return false;
	errno = 0;
	*ret_value = strtoull(text, &end, 10);
	*ret_end = end;
	return errno == 0;
}

static bool parse_bytes(const char *text, unsigned long long *ret_value)
{
	static const struct {
		const char *suffix;
		unsigned int shift;
	} units[] = {{"", 0},	{"K", 10},   {"KiB", 10}, {"k", 10},
		     {"M", 20}, {"MiB", 20}, {"G", 30},	  {"GiB", 30}};
	unsigned long long value;
	const char *end;

	if (!parse_whole(text, &end, &value))
		return false;
	for (size_t i = 0; i < OPTIONS_NR(units); i++) {
		if (strcmp(end, units[i].suffix))
			continue;
		if (value > ~0ull >> units[i].shift)
			return false;
		*ret_value = value << units[i].shift;
		return true;
	}
	return false;
}

static int number_out_of_range(const struct cli_usage *usage, const struct cli_option *row,
			       const char *text)
{
	char least[TEXT_BYTES_BYTES], most[TEXT_BYTES_BYTES];

	if (row->kind == OPTION_BYTES)
		return options_misuse(usage, "--%s: '%s' is not a size from %s to %s", row->name,
				      text, text_bytes((uint64_t)row->min, least),
				      text_bytes((uint64_t)row->max, most));
	return options_misuse(usage, "--%s: '%s' is not a number from %.10g to %.10g", row->name,
			      text, row->min, row->max);
}

static int set_number(const struct cli_usage *usage, const struct cli_option *row, const char *text)
{
	unsigned long long whole = 0;
	double real = 0;
	const char *end = text;
	bool good;

	if (row->kind == OPTION_DOUBLE)
		good = parse_double(text, &real);
	else if (row->kind == OPTION_BYTES)
		good = parse_bytes(text, &whole);
	else
		good = parse_whole(text, &end, &whole) && !*end;
	if (row->kind != OPTION_DOUBLE)
		real = (double)whole;
	if (!good || real < row->min || real > row->max)
		return number_out_of_range(usage, row, text);

	if (row->kind == OPTION_DOUBLE)
		*(double *)row->value = real;
	else if (row->kind == OPTION_BYTES)
		*(size_t *)row->value = whole;
	else
		*(unsigned int *)row->value = (unsigned int)whole;
	return OPTIONS_GO_ON;
}

static bool is_choice(const char *choices, const char *text)
{
	size_t len = strlen(text);

	for (const char *p = choices; p; p = strchr(p, '|')) {
		p += *p == '|';
		if (len && !strncmp(p, text, len) && (p[len] == '|' || !p[len]))
			return true;
	}
	return false;
}

static int set_choice(const struct cli_usage *usage, const struct cli_option *row, const char *text)
{
	const char *choices = row->kind == OPTION_YESNO ? "yes|no" : row->choices;

	if (!is_choice(choices, text))
		return options_misuse(usage, "--%s: '%s' is none of %s", row->name, text, choices);
	if (row->kind == OPTION_YESNO)
		*(int *)row->value = !strcmp(text, "yes");
	else
		*(const char **)row->value = text;
	return OPTIONS_GO_ON;
}

/* "--input a b c": b and c belong to the option as well, up to the next option. */
static int add_list(const struct cli_usage *usage, const struct cli_option *row, int argc,
		    char **argv, const char *first)
{
	struct option_list *list = row->value;
	const char *text = first;

	for (;;) {
		if (list->count == OPTION_LIST_MAX)
			return options_misuse(usage, "--%s: more than %u", row->name,
					      OPTION_LIST_MAX);
		list->item[list->count++] = text;
		if (optind >= argc || argv[optind][0] == '-')
			return OPTIONS_GO_ON;
		text = argv[optind++];
	}
}

static int set_option(const struct cli_usage *usage, const struct cli_option *row, int argc,
		      char **argv, const char *text)
{
	switch (row->kind) {
	case OPTION_FLAG:
		*(bool *)row->value = true;
		return OPTIONS_GO_ON;
	case OPTION_STRING:
		if (!*text)
			return options_misuse(usage, "--%s: must not be empty", row->name);
		*(const char **)row->value = text;
		return OPTIONS_GO_ON;
	case OPTION_UINT:
	case OPTION_BYTES:
	case OPTION_DOUBLE:
		return set_number(usage, row, text);
	case OPTION_CHOICE:
	case OPTION_YESNO:
		return set_choice(usage, row, text);
	case OPTION_LIST:
		return add_list(usage, row, argc, argv, text);
	}
	return CLI_USAGE;
}

/* getopt's own form of the table. */
struct parser {
	struct option longs[OPTIONS_MAX + 2];
	char shorts[3 * OPTIONS_MAX + 4];
};

static void parser_init(struct parser *parser, const struct cli_usage *usage)
{
	char *s = parser->shorts;

	memset(parser, 0, sizeof(*parser));
	*s++ = ':'; /* tell a missing argument from an unknown option */
	for (size_t i = 0; i < usage->count && i < OPTIONS_MAX; i++) {
		const struct cli_option *row = &usage->options[i];

		parser->longs[i] = (struct option){
			.name = row->name,
			.has_arg = row->arg ? required_argument : no_argument,
			.val = LONG_BASE + (int)i,
		};
		if (row->letter)
			*s++ = row->letter;
		if (row->letter && row->arg)
			*s++ = ':';
	}
	*s++ = 'h';
	parser->longs[usage->count] = (struct option){.name = "help", .val = VALUE_HELP};
}

static const struct cli_option *find_row(const struct cli_usage *usage, int value)
{
	if (value >= LONG_BASE)
		return &usage->options[value - LONG_BASE];
	for (size_t i = 0; i < usage->count; i++)
		if (usage->options[i].letter == value)
			return &usage->options[i];
	return NULL;
}

static int take_positional(const struct cli_usage *usage, int argc, char **argv,
			   const char **ret_positional, size_t *ret_positional_count)
{
	size_t count = (size_t)(argc - optind);

	if (count < usage->positional_min)
		return options_misuse(usage, "expected %s%s", usage->synopsis,
				      count ? "" : ", got nothing of it");
	if (count > usage->positional_max)
		return options_misuse(usage, "'%s' is not expected here",
				      argv[optind + (int)usage->positional_max]);
	for (size_t i = 0; i < count; i++)
		ret_positional[i] = argv[optind + (int)i];
	if (ret_positional_count)
		*ret_positional_count = count;
	return OPTIONS_GO_ON;
}

int options_parse(const struct cli_usage *usage, int argc, char **argv, const char **ret_positional,
		  size_t *ret_positional_count)
{
	struct parser parser;
	int value, rc;

	parser_init(&parser, usage);
	optind = 0; /* glibc: start afresh */
	while ((value = getopt_long(argc, argv, parser.shorts, parser.longs, NULL)) != -1) {
		if (value == 'h' || value == VALUE_HELP) {
			print_help(usage);
			return CLI_OK;
		}
		if (value == ':')
			return options_misuse(usage, "%s needs an argument", argv[optind - 1]);
		if (value == '?')
			return options_misuse(usage, "there is no option '%s'", argv[optind - 1]);
		rc = set_option(usage, find_row(usage, value), argc, argv, optarg);
		if (rc != OPTIONS_GO_ON)
			return rc;
	}
	return take_positional(usage, argc, argv, ret_positional, ret_positional_count);
}
