/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/cleanup.h"
#include "cli/cli.h"
#include "cli/demo_lab.h"
#include "cli/json.h"
#include "cli/term.h"
#include "cli/text.h"

#define SCENARIO "demo"
#define ROWS_MAX 4

enum place {
	BARE_METAL,
	GUEST_STOCK,
	GUEST_HEALED,
	PLACES,
};

/* The scenario's steps are called "MODEL SUFFIX". */
static const struct {
	const char *suffix, *head, *key;
} places[PLACES] = {
	[BARE_METAL] = {"on bare metal", "bare metal", "bare_metal"},
	[GUEST_STOCK] = {"in the guest, stock host", "guest, stock host", "guest_stock"},
	[GUEST_HEALED] = {"in the guest, healed", "guest, healed", "guest_healed"},
};

#define STEP_HOST_LOG "What the host's kernel says"
#define STEP_HEALING "What healing did"

/* What "tethys run --json" said in a place. */
struct cell {
	bool works;
	double load_ms, run_ms;
	char answer[96];
	struct json_object *errors; /* lines, as the vendor's runtime has them */
};

struct row {
	char model[64];
	struct cell cell[PLACES];
};

struct demo_table {
	struct row row[ROWS_MAX];
	size_t rows;
	double seconds;
	char accel[160];
	struct json_object *host_log; /* lines */
	unsigned int lost, timeouts;
};

/* --- from a step's output to a cell --- */

static double number(struct json_object *object, const char *key)
{
	return json_object_get_double(json_object_object_get(object, key));
}

static const char *string(struct json_object *object, const char *key)
{
	const char *text = json_object_get_string(json_object_object_get(object, key));

	return text ? text : "";
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

static void add_line(struct json_object *lines, const char *line, size_t len)
{
	json_object_array_add(lines, json_object_new_string_len(line, (int)len));
}

static void take_run(struct cell *cell, const char *output)
{
	const char *brace = strchr(output, '{');
	struct json_object *root = brace ? json_tokener_parse(brace) : NULL;
	struct json_object *results = NULL, *result;

	if (root && json_object_object_get_ex(root, "results", &results) &&
	    json_object_array_length(results) > 0) {
		result = json_object_array_get_idx(results, 0);
		cell->works = true;
		cell->load_ms = number(root, "load_ms");
		cell->run_ms = number(result, "ms");
		answer_of(result, cell->answer);
	}
	json_object_put(root);
}

/* "[FILE:LINE] ... failed: ..." and what the runtime makes of it, not what we add. */
static void take_errors(struct cell *cell, const char *output)
{
	size_t len;

	for (; *output; output += len + (output[len] == '\n')) {
		len = strcspn(output, "\n");
		if (*output == '[')
			add_line(cell->errors, output, len);
	}
}

static struct row *row_of(struct demo_table *table, const char *model, size_t len)
{
	struct row *row;
	size_t i;

	for (i = 0; i < table->rows; i++)
		if (strlen(table->row[i].model) == len && !strncmp(table->row[i].model, model, len))
			return &table->row[i];
	if (table->rows == ROWS_MAX)
		return NULL;
	row = &table->row[table->rows++];
	snprintf(row->model, sizeof(row->model), "%.*s", (int)len, model);
	return row;
}

static void take_cell(struct demo_table *table, const char *title, const char *output)
{
	size_t len = strcspn(title, " ");
	enum place place;
	struct cell *cell;
	struct row *row;

	for (place = BARE_METAL; place < PLACES; place++)
		if (title[len] && !strcmp(title + len + 1, places[place].suffix))
			break;
	row = place < PLACES ? row_of(table, title, len) : NULL;
	if (!row)
		return;
	cell = &row->cell[place];
	take_run(cell, output);
	if (cell->works || cell->errors)
		return;
	cell->errors = json_object_new_array();
	take_errors(cell, output);
}

/* The last line with @what, from the kernel's "DMAR: " on. */
static void take_host_line(struct demo_table *table, const char *output, const char *what)
{
	const char *from, *line = NULL;

	for (from = output; (from = strstr(from, "DMAR: ")); from++)
		if (memmem(from, strcspn(from, "\n"), what, strlen(what)))
			line = from;
	if (line)
		add_line(table->host_log, line, strcspn(line, "\n"));
}

static unsigned int count_of(const char *output, const char *key)
{
	const char *at = strstr(output, key);
	unsigned int count = 0;

	if (at)
		sscanf(at + strlen(key), ":%u", &count);
	return count;
}

static void take_stage(struct demo_table *table, struct json_object *stage)
{
	const char *title = string(stage, "name"), *output = string(stage, "output");

	if (!strcmp(title, STEP_HOST_LOG)) {
		take_host_line(table, output, "fault reason 0x05");
		take_host_line(table, output, "fault reason 0x22");
	} else if (!strcmp(title, STEP_HEALING)) {
		table->lost = count_of(output, "lost_interrupts");
		table->timeouts = count_of(output, "timeouts");
	} else {
		take_cell(table, title, output);
	}
}

static void take_scenario(struct demo_table *table, struct json_object *scenario)
{
	struct json_object *stages = json_object_object_get(scenario, "stages");
	size_t i;

	table->seconds = number(scenario, "seconds");
	snprintf(table->accel, sizeof(table->accel), "%s", string(scenario, "accelerator"));
	for (i = 0; stages && i < json_object_array_length(stages); i++)
		take_stage(table, json_object_array_get_idx(stages, i));
}

static void table_deinit(struct demo_table *table)
{
	size_t i, place;

	for (i = 0; i < table->rows; i++)
		for (place = 0; place < PLACES; place++)
			json_object_put(table->row[i].cell[place].errors);
	json_object_put(table->host_log);
}

/* --- playing --- */

/* In the child: the lab as anybody would call it, its document on @out. */
static void become_lab(int out)
{
	char *const argv[] = {(char *)"tethys", (char *)"lab",	  (char *)"run",
			      (char *)"--json", (char *)SCENARIO, NULL};

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
static struct json_object *play(void)
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

/* --- the table --- */

static bool same(const struct row *row)
{
	return row->cell[BARE_METAL].works && row->cell[GUEST_HEALED].works &&
	       !strcmp(row->cell[BARE_METAL].answer, row->cell[GUEST_HEALED].answer);
}

static const char *mark(bool works)
{
	if (!term_utf8())
		return works ? "yes" : "no";
	return works ? "✓" : "✗";
}

static void print_mark(bool works)
{
	printf("%s%s%s", term_on(stdout, works ? TERM_GOOD : TERM_BAD), mark(works),
	       term_off(stdout));
}

static void print_cell(const struct cell *cell)
{
	if (cell->works)
		printf("%9.1f %8.2f ", cell->load_ms, cell->run_ms);
	else
		printf("%9s %8s ", "-", "-");
	print_mark(cell->works);
}

/* Fills up to where the next cell begins. */
static void print_gap(const struct cell *cell)
{
	printf("%*s", term_utf8() ? 3 : cell->works ? 1 : 2, "");
}

static void print_row(const struct row *row)
{
	size_t place;

	printf("%-10s", row->model);
	for (place = 0; place < PLACES; place++) {
		if (place)
			print_gap(&row->cell[place - 1]);
		print_cell(&row->cell[place]);
	}
	putchar('\n');
}

static void print_rows(const struct demo_table *table)
{
	size_t i, place;

	printf("%s%-10s", term_on(stdout, TERM_BOLD), "model");
	for (place = 0; place < PLACES; place++)
		printf("%*s", place ? 22 : 18, places[place].head);
	printf("%s\n%-10s", term_off(stdout), "");
	for (place = 0; place < PLACES; place++)
		printf("%*s %8s", place ? 13 : 9, "load ms", "run ms");
	putchar('\n');
	for (i = 0; i < table->rows; i++)
		print_row(&table->row[i]);
}

static size_t terminal_width(void)
{
	struct winsize size;

	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) || size.ws_col < 40)
		return 0;
	return size.ws_col;
}

/* Indented; on a terminal broken between words, elsewhere as it is. */
static void print_folded(const char *text)
{
	size_t width = terminal_width(), len, cut;
	const char *indent = "   ";

	while (*text) {
		len = strlen(text);
		cut = len;
		if (width && strlen(indent) + len > width) {
			cut = width - strlen(indent);
			while (cut && text[cut] != ' ')
				cut--;
			if (!cut)
				cut = len;
		}
		printf("%s%s%.*s%s\n", indent, term_on(stdout, TERM_DIM), (int)cut, text,
		       term_off(stdout));
		text += cut + (text[cut] == ' ');
		indent = "     ";
	}
}

static void print_lines(struct json_object *lines)
{
	size_t i;

	for (i = 0; lines && i < json_object_array_length(lines); i++)
		print_folded(json_object_get_string(json_object_array_get_idx(lines, i)));
}

/* What went through dma-bufs has more lines, all of those that the case has. */
static struct json_object *most_errors(const struct demo_table *table)
{
	struct json_object *most = NULL, *errors;
	size_t i;

	for (i = 0; i < table->rows; i++) {
		errors = table->row[i].cell[GUEST_STOCK].errors;
		if (errors &&
		    (!most || json_object_array_length(errors) > json_object_array_length(most)))
			most = errors;
	}
	return most;
}

static void print_answers(const struct demo_table *table)
{
	size_t i;

	putchar('\n');
	for (i = 0; i < table->rows; i++)
		printf("%s: %s, %s\n", table->row[i].model, table->row[i].cell[BARE_METAL].answer,
		       same(&table->row[i]) ? "the same in the healed guest"
					    : table->row[i].cell[GUEST_HEALED].answer);
}

static void print_failure(const struct demo_table *table)
{
	putchar('\n');
	print_mark(false);
	printf("  The guest's driver waits for interrupts, and none arrives. The application:\n");
	print_lines(most_errors(table));
	printf("   and the host's kernel:\n");
	print_lines(table->host_log);
}

static void print_healing(const struct demo_table *table)
{
	putchar('\n');
	print_mark(true);
	printf("  Healing: ");
	if (table->lost == 1)
		printf("1 interrupt got lost, since then the driver polled.\n");
	else
		printf("%u interrupts got lost; from the first on the driver polled, the others\n"
		       "   were to see whether they arrive again.\n",
		       table->lost);
}

static void print_table(const struct demo_table *table)
{
	printf("\n%sIn the lab%s: a host VM with an IOMMU, and a guest in it, which the card is passed\n"
	       "through to; %.0f s from power-on to power-off.\n"
	       "Accelerator: %s\n\n",
	       term_on(stdout, TERM_BOLD), term_off(stdout), table->seconds, table->accel);
	print_rows(table);
	print_answers(table);
	print_failure(table);
	print_healing(table);
	fflush(stdout);
}

/* --- the same as JSON --- */

static struct json_object *cell_json(const struct cell *cell)
{
	struct json_object *object = json_object_new_object();

	json_object_object_add(object, "works", json_object_new_boolean(cell->works));
	if (cell->works) {
		json_object_object_add(object, "load_ms", json_rounded(cell->load_ms));
		json_object_object_add(object, "run_ms", json_rounded(cell->run_ms));
		json_object_object_add(object, "result", json_object_new_string(cell->answer));
	} else {
		json_object_object_add(object, "errors", json_object_get(cell->errors));
	}
	return object;
}

static struct json_object *row_json(const struct row *row)
{
	struct json_object *object = json_object_new_object();
	size_t place;

	json_object_object_add(object, "model", json_object_new_string(row->model));
	for (place = 0; place < PLACES; place++)
		json_object_object_add(object, places[place].key, cell_json(&row->cell[place]));
	json_object_object_add(object, "same", json_object_new_boolean(same(row)));
	return object;
}

static struct json_object *table_json(const struct demo_table *table)
{
	struct json_object *object = json_object_new_object();
	struct json_object *rows = json_object_new_array();
	size_t i;

	for (i = 0; i < table->rows; i++)
		json_object_array_add(rows, row_json(&table->row[i]));
	json_object_object_add(object, "seconds", json_rounded(table->seconds));
	json_object_object_add(object, "accelerator", json_object_new_string(table->accel));
	json_object_object_add(object, "rows", rows);
	json_object_object_add(object, "host_log", json_object_get(table->host_log));
	json_object_object_add(object, "lost_interrupts", json_object_new_int64(table->lost));
	json_object_object_add(object, "timeouts", json_object_new_int64(table->timeouts));
	return object;
}

/* --- what came out --- */

static int verdict(const struct demo_table *table)
{
	size_t i;

	for (i = 0; i < table->rows; i++) {
		const struct row *row = &table->row[i];

		if (row->cell[GUEST_STOCK].works)
			term_error("%s should fail in the guest on the stock host.", row->model);
		else if (!same(row))
			term_error("%s gives another result in the healed guest.", row->model);
		else
			continue;
		return CLI_FAILED;
	}
	if (table->rows)
		return CLI_OK;
	term_error("No network ran in the lab.");
	return CLI_FAILED;
}

int demo_lab(struct json_object **ret_lab)
{
	struct demo_table table = {.host_log = json_object_new_array()};
	struct json_object *root = play();
	int rc = CLI_FAILED;

	if (json_object_get_boolean(json_object_object_get(root, "passed"))) {
		take_scenario(&table, json_object_array_get_idx(
					      json_object_object_get(root, "scenarios"), 0));
		if (ret_lab)
			*ret_lab = table_json(&table);
		else
			print_table(&table);
		rc = verdict(&table);
	} else {
		term_error("The lab did not go as promised.");
		term_hint("'tethys lab run " SCENARIO
			  "' shows it alone, 'tethys lab logs' what it left.");
	}
	table_deinit(&table);
	json_object_put(root);
	return rc;
}
