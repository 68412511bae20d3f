/* SPDX-License-Identifier: MIT */
/*
 * tethys lab run: scenarios one after another, or several at once, and what the user sees of it.
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/json.h"
#include "cli/lab.h"
#include "cli/lab_session.h"
#include "cli/term.h"
#include "lab/result.h"

struct batch {
	const struct lab_options *options;
	struct lab_session session;
	struct lab_set set;
	size_t runs;	      /* scenarios times repetitions */
	pthread_mutex_t lock; /* protects all below, and the output */
	size_t next;
	size_t passed, failed;
	bool interrupted;
	bool *verdict; /* of each run */
	unsigned int tap;
	struct json_object *json;
};

/* The emulator was seen to kill one of about 45 guests: hardly three in a row. */
#define PLAYS_MAX 3

/* One scenario on its way. */
struct play {
	struct batch *batch;
	bool live;	 /* alone, so its stages are shown as they go */
	bool line_drawn; /* and unfinished */
};

/* --- what the user sees --- */

/* Where progress goes: JSON and TAP keep stdout for themselves. */
static FILE *stage_stream(const struct lab_options *options)
{
	return options->json || options->tap ? stderr : stdout;
}

static bool on_terminal(const struct lab_options *options)
{
	return isatty(fileno(stage_stream(options)));
}

/* All lines of @text from @from on, each behind @mark. */
static void print_lines(FILE *out, const char *mark, const char *text)
{
	size_t len;

	while (*text) {
		len = strcspn(text, "\n");
		fprintf(out, "    %s %.*s\n", mark, (int)len, text);
		text += len + (text[len] == '\n');
	}
}

static void print_stage(FILE *out, const struct lab_stage *stage)
{
	size_t i;

	fprintf(out, "  %-44.60s %6.1f s%s%s%s\n", stage->name, stage->seconds,
		stage->passed ? "" : term_on(out, TERM_BAD), stage->passed ? "" : "  FAILED",
		stage->passed ? "" : term_off(out));
	for (i = 0; i < stage->checks; i++)
		if (!stage->check[i].passed)
			fprintf(out, "    | promised: %s\n    |     seen: %s\n",
				stage->check[i].text, stage->check[i].seen);
	if (stage->detail)
		print_lines(out, "|", stage->detail);
}

/* Of a failed command the last lines it printed, which say most. */
static void print_output(FILE *out, const struct lab_stage *stage)
{
	const char *from, *text = stage->output;
	unsigned int lines = 0;

	if (stage->passed || !text)
		return;
	for (from = text + strlen(text); from > text; from--)
		if (from[-1] == '\n' && from[0] && ++lines == 12)
			break;
	print_lines(out, ">", from);
}

static void watch(void *ctx, const struct lab_stage *stage, enum lab_stage_state state)
{
	struct play *play = ctx;
	const struct lab_options *options = play->batch->options;
	FILE *out = stage_stream(options);

	if (!play->live)
		return;
	if (state == LAB_STAGE_PASSED || state == LAB_STAGE_FAILED) {
		if (play->line_drawn)
			fputs("\r\033[K", out);
		play->line_drawn = false;
		if (!options->json && !options->tap) {
			print_stage(out, stage);
			print_output(out, stage);
		}
	} else if (on_terminal(options)) {
		fprintf(out, "\r\033[K  %-44.60s %4.0f s ", stage->name, stage->seconds);
		play->line_drawn = true;
	}
	fflush(out);
}

static void print_verdict(const struct batch *batch, const struct lab_result *result, bool live)
{
	FILE *out = stage_stream(batch->options);
	size_t i;

	for (i = 0; !live && !result->passed && i < result->stages; i++) {
		if (result->stage[i].passed)
			continue;
		print_stage(out, &result->stage[i]);
		print_output(out, &result->stage[i]);
	}
	fprintf(out, "%s%s%s  %s, %.1f s; logs: %s\n",
		term_on(out, result->passed ? TERM_GOOD : TERM_BAD),
		result->passed ? "as promised" : "NOT as promised", term_off(out),
		result->scenario->name, result->seconds, result->dir);
	fflush(out);
}

static void report(struct play *play, size_t index, const struct lab_result *result)
{
	struct batch *batch = play->batch;

	batch->verdict[index] = result->passed;
	if (result->passed)
		batch->passed++;
	else
		batch->failed++;
	if (lab_result_write(result))
		term_error("%s/result.json can't be written", result->dir);
	if (batch->options->json)
		json_object_array_add(batch->json, lab_result_json(result));
	if (batch->options->tap)
		batch->tap = lab_result_tap(result, batch->tap, stdout);
	if (!batch->options->json || !result->passed)
		print_verdict(batch, result,
			      play->live && !batch->options->tap && !batch->options->json);
}

/* --- running --- */

static int stay(void *ctx, const char *socket_dir)
{
	struct play *play = ctx;
	const char *name = play->batch->set.item[0]->name;
	FILE *out = stage_stream(play->batch->options);

	fprintf(out,
		"The machines stay up until Ctrl-C. From another terminal:\n"
		"  tethys lab shell host %s\n"
		"Sockets: %s\n",
		name, socket_dir);
	fflush(out);
	lab_session_wait(&play->batch->session);
	return 0;
}

/* Once, unless the emulator fails: then again, and never without a word. */
static int play_through(struct play *play, const struct lab_scenario *scenario,
			const struct lab_run_options *options, struct lab_result *ret_result,
			struct reason *why)
{
	FILE *out = stage_stream(play->batch->options);
	unsigned int plays = 1;
	int err;

	for (;;) {
		err = lab_run(scenario, options, ret_result, why);
		if (err || !ret_result->emulator_fault || plays++ == PLAYS_MAX)
			return err;
		fprintf(out,
			"%s: QEMU's emulated SVM gave the guest an interrupt twice, which killed its "
			"kernel, or none before its first word; playing it again (logs: %s)\n",
			scenario->name, ret_result->dir);
		fflush(out);
		lab_result_write(ret_result);
		lab_result_deinit(ret_result);
	}
}

static int play_one(struct play *play, size_t index)
{
	struct batch *batch = play->batch;
	const struct lab_scenario *scenario = batch->set.item[index / batch->options->repeat];
	struct lab_run_options options = batch->session.options;
	struct lab_result result;
	struct reason why = {0};
	int err;

	options.watch = watch;
	options.watch_ctx = play;
	options.keep = batch->options->keep;
	options.inside = stay;
	options.inside_ctx = play;
	err = lab_session_loop(&batch->session, &options.loop);
	if (err)
		return err;
	if (play->live && !batch->options->json && !batch->options->tap)
		printf("%s%s%s: %s\n", term_on(stdout, TERM_BOLD), scenario->name, term_off(stdout),
		       scenario->title);
	err = play_through(play, scenario, &options, &result, &why);
	pthread_mutex_lock(&batch->lock);
	if (play->line_drawn)
		fputs("\r\033[K", stage_stream(batch->options));
	if (!err || (err == -EINTR && batch->options->keep))
		report(play, index, &result);
	else if (err != -EINTR)
		term_error("%s", why.text);
	pthread_mutex_unlock(&batch->lock);
	lab_result_deinit(&result);
	lab_session_loop_done(&batch->session, options.loop);
	return err;
}

static void *play_main(void *arg)
{
	struct batch *batch = arg;
	struct play play = {.batch = batch, .live = batch->options->jobs == 1};
	size_t index;
	int err = 0;

	while (!err) {
		pthread_mutex_lock(&batch->lock);
		index = batch->next < batch->runs ? batch->next++ : batch->runs;
		pthread_mutex_unlock(&batch->lock);
		if (index == batch->runs)
			return NULL;
		err = play_one(&play, index);
	}
	pthread_mutex_lock(&batch->lock);
	batch->next = batch->runs;
	if (err == -EINTR)
		batch->interrupted = true;
	else
		batch->failed++;
	pthread_mutex_unlock(&batch->lock);
	return NULL;
}

static void play_all(struct batch *batch)
{
	unsigned int jobs = batch->options->jobs, i, started = 0;
	pthread_t *threads = calloc(jobs, sizeof(*threads));

	/* The first in this thread: then one job needs none. */
	for (i = 1; threads && i < jobs; i++)
		if (!pthread_create(&threads[started], NULL, play_main, batch))
			started++;
	play_main(batch);
	while (started)
		pthread_join(threads[--started], NULL);
	free(threads);
}

/* Repetitions must agree: a scenario that passes now and then is worse than one that fails. */
static void print_repeats(const struct batch *batch)
{
	FILE *out = stage_stream(batch->options);
	unsigned int repeat = batch->options->repeat, good, n;
	size_t i;

	for (i = 0; i < batch->set.count && repeat > 1; i++) {
		for (n = good = 0; n < repeat; n++)
			good += batch->verdict[i * repeat + n];
		fprintf(out, "%s: %u of %u as promised\n", batch->set.item[i]->name, good, repeat);
	}
}

static int finish(struct batch *batch)
{
	struct json_object *root;

	if (!batch->interrupted)
		print_repeats(batch);
	if (batch->options->tap)
		printf("1..%u\n", batch->tap - 1);
	if (batch->options->json) {
		root = json_object_new_object();
		json_object_object_add(
			root, "passed",
			json_object_new_boolean(!batch->failed && !batch->interrupted));
		json_object_object_add(root, "scenarios", batch->json);
		json_print(root);
	} else if (batch->runs > 1) {
		fprintf(stage_stream(batch->options), "%zu as promised, %zu not\n", batch->passed,
			batch->failed);
	}
	return batch->failed || batch->passed < batch->runs ? CLI_FAILED : CLI_OK;
}

static int run_batch(struct batch *batch)
{
	batch->runs = batch->set.count * batch->options->repeat;
	batch->verdict = calloc(batch->runs, sizeof(*batch->verdict));
	if (!batch->verdict) {
		term_error("out of memory");
		return CLI_FAILED;
	}
	if (batch->options->json)
		batch->json = json_object_new_array();
	play_all(batch);
	return finish(batch);
}

int lab_cmd_run(const struct lab_options *options)
{
	struct batch batch = {.options = options, .lock = PTHREAD_MUTEX_INITIALIZER, .tap = 1};
	struct reason why = {0};
	int rc;

	if (lab_set_load(options->all ? NULL : options->names, options->count, &batch.set, &why)) {
		term_error("%s", why.text);
		term_hint("'tethys lab list' shows what there is; docs/lab.md how to write one.");
		return CLI_FAILED;
	}
	rc = lab_session_open(&batch.session, options->logs, options->json || options->tap);
	if (!rc)
		rc = run_batch(&batch);
	free(batch.verdict);
	lab_set_deinit(&batch.set);
	return lab_session_close(&batch.session, rc);
}
