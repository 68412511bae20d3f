/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/cleanup.h"
#include "cli/cli.h"
#include "cli/demo_lab.h"
#include "cli/json.h"
#include "cli/term.h"
#include "cli/text.h"

#define ROWS_MAX 4

enum place {
	BARE_METAL,
	GUEST,
	PLACES,
};

static const char *const scenarios[PLACES] = {"bare-metal", "passthrough-clean"};

/* What "tethys run --json" said in a machine. */
struct cell {
	bool present;
	double load_ms, run_ms;
	char answer[96];
};

struct row {
	char model[64];
	struct cell cell[PLACES];
};

struct demo_table {
	struct row row[ROWS_MAX];
	size_t rows;
	double seconds[PLACES];
	char accel[160];
	struct json_object *json; /* NULL: for people */
};

/* --- from a step's output to a cell --- */

static double number(struct json_object *object, const char *key)
{
	return json_object_get_double(json_object_object_get(object, key));
}

static void answer_of(struct json_object *result, char ret_text[96])
{
	struct json_object *top = json_object_object_get(result, "top");

	if (top)
		snprintf(ret_text, 96, "class %d (untrained)",
			 json_object_get_int(json_object_object_get(
				 json_object_array_get_idx(top, 0), "index")));
	else
		snprintf(ret_text, 96, "%d faces, best %.2f",
			 json_object_get_int(json_object_object_get(result, "count")),
			 number(result, "best_score"));
}

static struct row *row_of(struct demo_table *table, const char *model)
{
	char stem[64];
	size_t i;

	text_stem(model, stem, sizeof(stem));
	for (i = 0; i < table->rows; i++)
		if (!strcmp(table->row[i].model, stem))
			return &table->row[i];
	if (table->rows == ROWS_MAX)
		return NULL;
	snprintf(table->row[table->rows].model, sizeof(table->row[0].model), "%s", stem);
	return &table->row[table->rows++];
}

/* Other steps print other things; those are not for us. */
static void take_output(struct demo_table *table, enum place place, const char *output)
{
	const char *brace = output ? strchr(output, '{') : NULL;
	struct json_object *root = brace ? json_tokener_parse(brace) : NULL;
	struct json_object *results = NULL, *model = NULL, *result;
	struct cell cell = {.present = true};
	struct row *row;

	if (root && json_object_object_get_ex(root, "results", &results) &&
	    json_object_object_get_ex(root, "model", &model) &&
	    json_object_array_length(results) > 0) {
		result = json_object_array_get_idx(results, 0);
		cell.load_ms = number(root, "load_ms");
		cell.run_ms = number(result, "ms");
		answer_of(result, cell.answer);
		row = row_of(table, json_object_get_string(model));
		if (row)
			row->cell[place] = cell;
	}
	json_object_put(root);
}

/* --- playing --- */

/* In the child: the lab as anybody would call it, its document on @out. */
static void become_lab(int out)
{
	char *const argv[] = {(char *)"tethys",
			      (char *)"lab",
			      (char *)"run",
			      (char *)"--json",
			      (char *)scenarios[BARE_METAL],
			      (char *)scenarios[GUEST],
			      NULL};

	prctl(PR_SET_PDEATHSIG, SIGTERM);
	dup2(out, STDOUT_FILENO);
	cleanup_in_child();
	execv("/proc/self/exe", argv);
	_exit(127);
}

static struct json_object *read_document(int fd)
{
	struct json_tokener *tokener = json_tokener_new();
	struct json_object *root = NULL;
	char block[16384];
	ssize_t n;

	while (!root && (n = read(fd, block, sizeof(block))) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			break;
		root = json_tokener_parse_ex(tokener, block, (int)n);
		if (!root && json_tokener_get_error(tokener) != json_tokener_continue)
			break;
	}
	json_tokener_free(tokener);
	return root;
}

/* A process of its own, since both it and we take signals, each in its own way. */
static struct json_object *play_both(void)
{
	struct json_object *root = NULL;
	int out[2];
	pid_t pid;

	if (pipe2(out, O_CLOEXEC))
		return NULL;
	pid = fork();
	if (pid == 0)
		become_lab(out[1]);
	close(out[1]);
	if (pid > 0) {
		cleanup_add_process(pid);
		root = read_document(out[0]);
		waitpid(pid, NULL, 0);
	}
	close(out[0]);
	return root;
}

static void take_scenario(struct demo_table *table, struct json_object *scenario)
{
	const char *name = json_object_get_string(json_object_object_get(scenario, "scenario"));
	struct json_object *stages = json_object_object_get(scenario, "stages"), *stage;
	enum place place;
	size_t i;

	for (place = BARE_METAL; place < PLACES; place++)
		if (name && !strcmp(name, scenarios[place]))
			break;
	if (place == PLACES || !stages)
		return;
	table->seconds[place] = number(scenario, "seconds");
	snprintf(table->accel, sizeof(table->accel), "%s",
		 json_object_get_string(json_object_object_get(scenario, "accelerator")));
	for (i = 0; i < json_object_array_length(stages); i++) {
		stage = json_object_array_get_idx(stages, i);
		take_output(table, place,
			    json_object_get_string(json_object_object_get(stage, "output")));
	}
}

/* --- what came out --- */

static bool same(const struct row *row)
{
	return row->cell[BARE_METAL].present && row->cell[GUEST].present &&
	       !strcmp(row->cell[BARE_METAL].answer, row->cell[GUEST].answer);
}

static void print_table(const struct demo_table *table)
{
	size_t i;

	printf("\n%sIn the lab%s: a host VM with an IOMMU, and a guest in it with the card passed\n"
	       "through; %.0f s and %.0f s from power-on to power-off.\n"
	       "Accelerator: %s\n\n"
	       "%s%-12s %22s %22s  %s%s\n"
	       "%-12s %11s %10s %11s %10s\n",
	       term_on(stdout, TERM_BOLD), term_off(stdout), table->seconds[BARE_METAL],
	       table->seconds[GUEST], table->accel, term_on(stdout, TERM_BOLD), "model",
	       "bare metal", "guest", "result", term_off(stdout), "", "load ms", "run ms",
	       "load ms", "run ms");
	for (i = 0; i < table->rows; i++) {
		const struct row *row = &table->row[i];

		printf("%-12s %11.1f %10.2f %11.1f %10.2f  %s, %s\n", row->model,
		       row->cell[BARE_METAL].load_ms, row->cell[BARE_METAL].run_ms,
		       row->cell[GUEST].load_ms, row->cell[GUEST].run_ms,
		       row->cell[BARE_METAL].answer,
		       same(row) ? "the same in the guest" : row->cell[GUEST].answer);
	}
	fflush(stdout);
}

static struct json_object *cell_json(const struct cell *cell)
{
	struct json_object *object = json_object_new_object();

	json_object_object_add(object, "load_ms", json_rounded(cell->load_ms));
	json_object_object_add(object, "run_ms", json_rounded(cell->run_ms));
	json_object_object_add(object, "result", json_object_new_string(cell->answer));
	return object;
}

static void add_json(const struct demo_table *table)
{
	struct json_object *object;
	size_t i;

	for (i = 0; i < table->rows; i++) {
		object = json_object_new_object();
		json_object_object_add(object, "model",
				       json_object_new_string(table->row[i].model));
		json_object_object_add(object, "bare_metal",
				       cell_json(&table->row[i].cell[BARE_METAL]));
		json_object_object_add(object, "guest", cell_json(&table->row[i].cell[GUEST]));
		json_object_object_add(object, "same",
				       json_object_new_boolean(same(&table->row[i])));
		json_object_array_add(table->json, object);
	}
}

static int verdict(const struct demo_table *table)
{
	size_t i;

	for (i = 0; i < table->rows; i++) {
		if (same(&table->row[i]))
			continue;
		term_error("%s gives another result in the guest.", table->row[i].model);
		return CLI_FAILED;
	}
	if (table->rows)
		return CLI_OK;
	term_error("No network ran in the lab.");
	return CLI_FAILED;
}

int demo_lab(struct json_object *rows)
{
	struct demo_table table = {.json = rows};
	struct json_object *root, *list;
	size_t i;
	int rc = CLI_FAILED;

	root = play_both();
	list = json_object_object_get(root, "scenarios");
	for (i = 0; list && i < json_object_array_length(list); i++)
		take_scenario(&table, json_object_array_get_idx(list, i));
	if (json_object_get_boolean(json_object_object_get(root, "passed"))) {
		if (rows)
			add_json(&table);
		else
			print_table(&table);
		rc = verdict(&table);
	} else {
		term_error("The lab did not go as promised.");
		term_hint(
			"'tethys lab run bare-metal' shows it alone, 'tethys lab logs' what it left.");
	}
	json_object_put(root);
	return rc;
}
