/* SPDX-License-Identifier: MIT */
/*
 * Register accesses of one transfer to the card: those of the kernel driver, which the card counts
 * in a machine of the lab (accesses.scenario), against the vendor's way of doing the same, replayed
 * on a card in this process. Exit code 1 when ours are more than half of theirs.
 */
#include <errno.h>
#include <json-c/json.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "bench/bench.h"
#include "bench/vendor_way.h"

#define GOAL 0.5
#define OUTPUT_MAX ((size_t)4 << 20)

enum { BAR0_READS, BAR0_WRITES, L2_READS, L2_WRITES, ACCESSES_NR, MOVED = ACCESSES_NR, IRQS, NR };

static const char *const counters[NR] = {
	[BAR0_READS] = "bar0_reads", [BAR0_WRITES] = "bar0_writes", [L2_READS] = "l2_reads",
	[L2_WRITES] = "l2_writes",   [MOVED] = "dma_read_bytes",    [IRQS] = "msi_raised",
};

struct transfer {
	const char *title;
	uint64_t bytes, segments;
	double ms;
	uint64_t cost[NR];
};

/* --- the lab --- */

/* Return: what the command printed, to be freed; NULL with @why set. */
static char *play(const char *scenario, struct reason *why)
{
	char command[PATH_MAX], line[2 * PATH_MAX + 64];
	char *text = calloc(1, OUTPUT_MAX);
	FILE *pipe;

	bench_find_command(command, sizeof(command));
	snprintf(line, sizeof(line), "'%s' lab run '%s' --json", command, scenario);
	fflush(NULL);
	pipe = text ? popen(line, "re") : NULL;
	if (!pipe) {
		reason_add(why, -errno, "%s: %s", line, strerror(errno));
		free(text);
		return NULL;
	}
	text[fread(text, 1, OUTPUT_MAX - 1, pipe)] = '\0';
	if (!pclose(pipe))
		return text;
	reason_add(why, -ECHILD, "%s: not as promised", line);
	free(text);
	return NULL;
}

static const char *string_of(struct json_object *object, const char *key)
{
	struct json_object *value;

	return json_object_object_get_ex(object, key, &value) ? json_object_get_string(value) : "";
}

static uint64_t number_of(struct json_object *object, const char *key)
{
	struct json_object *value;

	return json_object_object_get_ex(object, key, &value) ? json_object_get_uint64(value) : 0;
}

/* A stage's output if it is an object that has @key, to be put back; else NULL. */
static struct json_object *output_with(struct json_object *stage, const char *key)
{
	struct json_object *output = json_tokener_parse(string_of(stage, "output"));

	if (json_object_is_type(output, json_type_object) &&
	    json_object_object_get_ex(output, key, NULL))
		return output;
	json_object_put(output);
	return NULL;
}

static int read_counters(struct json_object *stage, uint64_t value[NR], struct reason *why)
{
	struct json_object *output = output_with(stage, counters[0]);

	if (!output)
		return reason_add(why, -EPROTO, "\"%s\" told no counters",
				  string_of(stage, "name"));
	for (size_t i = 0; i < NR; i++)
		value[i] = number_of(output, counters[i]);
	json_object_put(output);
	return 0;
}

/* @stages[3]: the card's counters, a transfer, the counters again. */
static int read_transfer(struct json_object *const stages[3], struct transfer *transfer,
			 struct reason *why)
{
	struct json_object *output = output_with(stages[1], "segments");
	uint64_t before[NR], after[NR];
	int err;

	if (!output)
		return reason_add(why, -EPROTO, "\"%s\" told of no transfer",
				  string_of(stages[1], "name"));
	transfer->title = string_of(stages[1], "name");
	transfer->bytes = number_of(output, "bytes");
	transfer->segments = number_of(output, "segments");
	transfer->ms = (double)number_of(output, "us") / 1e3;
	json_object_put(output);
	err = read_counters(stages[0], before, why);
	if (!err)
		err = read_counters(stages[2], after, why);
	for (size_t i = 0; !err && i < NR; i++)
		transfer->cost[i] = after[i] - before[i];
	/* Lists may be moved besides. */
	if (!err && (!transfer->segments || transfer->cost[MOVED] < transfer->bytes))
		err = reason_add(why, -EPROTO, "\"%s\" did not go through this card",
				 transfer->title);
	return err;
}

/* --- the table --- */

static void print_head(void)
{
	printf("%-30s %8s  %7s %7s %7s %7s %7s  %7s %7s %7s  %5s %7s\n", "one transfer to the card",
	       "segments", "BAR0 rd", "BAR0 wr", "L2 rd", "L2 wr", "ours", "1.4.4", "1.6.2",
	       "ratio", "irqs", "ms");
}

/* The ratio is to the vendor's better one. Return: 0; 1 it is beside the goal; negative errno. */
static int print_row(const struct transfer *transfer, struct reason *why)
{
	uint64_t vendor[VENDOR_NR], ours = 0, best = UINT64_MAX;
	double ratio;

	for (size_t i = 0; i < VENDOR_NR; i++) {
		int err = vendor_way((enum vendor_version)i, transfer->segments, transfer->bytes,
				     &vendor[i], why);

		if (err)
			return err;
		best = vendor[i] < best ? vendor[i] : best;
	}
	for (size_t i = 0; i < ACCESSES_NR; i++)
		ours += transfer->cost[i];
	ratio = (double)ours / (double)best;
	printf("%-30s %8lu ", transfer->title, transfer->segments);
	for (size_t i = 0; i < ACCESSES_NR; i++)
		printf(" %7lu", transfer->cost[i]);
	printf(" %7lu  %7lu %7lu %7.3f  %5lu %7.1f%s\n", ours, vendor[VENDOR_1_4_4],
	       vendor[VENDOR_1_6_2], ratio, transfer->cost[IRQS], transfer->ms,
	       ratio > GOAL ? "  above the goal" : "");
	return ratio > GOAL;
}

static bool tells_counters(struct json_object *stage)
{
	struct json_object *output = output_with(stage, counters[0]);
	bool tells = output;

	json_object_put(output);
	return tells;
}

/* Return: rows beside the goal; negative errno. */
static int print_rows(struct json_object *stages, struct reason *why)
{
	size_t count = json_object_array_length(stages);
	int rows = 0, missed = 0;

	print_head();
	for (size_t i = 1; i + 1 < count; i++) {
		struct json_object *three[3];
		struct transfer transfer;
		int ret;

		for (size_t j = 0; j < 3; j++)
			three[j] = json_object_array_get_idx(stages, i - 1 + j);
		if (!tells_counters(three[0]) || strcmp(string_of(three[1], "kind"), "step"))
			continue;
		ret = read_transfer(three, &transfer, why);
		if (!ret)
			ret = print_row(&transfer, why);
		if (ret < 0)
			return ret;
		missed += ret;
		rows++;
	}
	return rows ? missed : reason_add(why, -EPROTO, "the lab played no transfers");
}

/* The only scenario's stages. */
static struct json_object *stages_of(struct json_object *result)
{
	struct json_object *scenarios, *stages;

	if (json_object_object_get_ex(result, "scenarios", &scenarios) &&
	    json_object_is_type(scenarios, json_type_array) &&
	    json_object_array_length(scenarios) == 1 &&
	    json_object_object_get_ex(json_object_array_get_idx(scenarios, 0), "stages", &stages))
		return stages;
	return NULL;
}

static int bench(const char *scenario, struct reason *why)
{
	char *text = play(scenario, why);
	struct json_object *result, *stages;
	int ret;

	if (!text)
		return -ECHILD;
	result = json_tokener_parse(text);
	stages = stages_of(result);
	ret = stages ? print_rows(stages, why)
		     : reason_add(why, -EPROTO, "the lab printed no result");
	json_object_put(result);
	free(text);
	return ret;
}

int main(int argc, char **argv)
{
	struct reason why = {0};
	int ret = bench(argc > 1 ? argv[1] : BENCH_SCENARIO, &why);

	if (ret < 0)
		fprintf(stderr, "accesses: %s\n", why.text);
	else
		printf("goal: a ratio of %.1f; %d above\n", GOAL, ret);
	return ret ? 1 : 0;
}
