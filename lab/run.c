/* SPDX-License-Identifier: MIT */
/*
 * Stages of a scenario, in order, and its end however it comes.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "lab/dir.h"
#include "lab/run_internal.h"

#define HOST_END_MS 3000
#define STAGES_MAX (LAB_STEPS_MAX + 6) /* ours are the card, two of the host, three at the end */

int lab_path(char ret_path[PATH_MAX], const char *dir, const char *fmt, ...)
{
	int n = snprintf(ret_path, PATH_MAX, "%s/", dir), m;
	va_list ap;

	if (n >= PATH_MAX)
		return -ENAMETOOLONG;
	va_start(ap, fmt);
	m = vsnprintf(ret_path + n, (size_t)(PATH_MAX - n), fmt, ap);
	va_end(ap);
	return m >= PATH_MAX - n ? -ENAMETOOLONG : 0;
}

/* --- stages and checks --- */

static void tell(struct lab_run *run, enum lab_stage_state state)
{
	if (!run->stage || !run->options->watch)
		return;
	run->stage->seconds = (double)(lab_now_ms() - run->stage_from_ms) / 1000;
	run->options->watch(run->options->watch_ctx, run->stage, state);
}

struct waiting {
	struct lab_run *run;
	bool (*done)(void *ctx);
	void *ctx;
};

static bool done_or_tell(void *ctx)
{
	struct waiting *w = ctx;

	if (w->done(w->ctx))
		return true;
	tell(w->run, LAB_STAGE_GOES_ON);
	return false;
}

int lab_loop_wait(struct lab_run *run, bool (*done)(void *ctx), void *ctx, int64_t timeout_ms)
{
	struct waiting w = {.run = run, .done = done, .ctx = ctx};

	return lab_loop_run(run->loop, done_or_tell, &w, timeout_ms);
}

int lab_note_check(struct lab_run *run, const char *text, bool passed, const char *seen)
{
	struct lab_stage *stage = run->stage;
	struct lab_check *check;

	check = realloc(stage->check, (stage->checks + 1) * sizeof(*check));
	if (!check)
		return -ENOMEM;
	stage->check = check;
	check += stage->checks++;
	check->text = strdup(text);
	check->seen = passed ? NULL : strdup(seen);
	check->passed = passed;
	return passed ? 0 : -EBADMSG;
}

static void begin_stage(struct lab_run *run, const char *name, enum lab_stage_kind kind)
{
	run->stage = &run->result->stage[run->result->stages++];
	run->stage->name = strdup(name);
	run->stage->kind = kind;
	run->stage->status = -1;
	run->stage_from_ms = lab_now_ms();
	tell(run, LAB_STAGE_BEGINS);
}

/* What agents had to say, of no command, may be why. */
static void add_complaints(const struct lab_run *run, struct reason *why)
{
	unsigned int i;

	for (i = 0; i < LAB_VMS; i++)
		if (*run->vm[i].error)
			reason_add(why, 0, "the %s's agent: %s", lab_vm_name(run->vm[i].where),
				   run->vm[i].error);
}

static int end_stage(struct lab_run *run, int err, struct reason *why)
{
	run->stage->passed = !err;
	if (err && !*why->text)
		reason_add(why, 0, "%s", err == -EINTR ? "interrupted" : strerror(-err));
	if (err)
		add_complaints(run, why);
	if (err)
		run->stage->detail = strdup(why->text);
	tell(run, err ? LAB_STAGE_FAILED : LAB_STAGE_PASSED);
	run->stage->seconds = (double)(lab_now_ms() - run->stage_from_ms) / 1000;
	return err;
}

static int stage(struct lab_run *run, const char *name,
		 int (*play)(struct lab_run *run, struct reason *why))
{
	struct reason why = {0};

	begin_stage(run, name, LAB_STAGE_OURS);
	return end_stage(run, play(run, &why), &why);
}

/* --- the course of things --- */

static bool wanted(const struct lab_run *run, const struct lab_step *step)
{
	return !run->options->shell || step->action == LAB_DO_START_GUEST;
}

static int play_steps(struct lab_run *run)
{
	const struct lab_scenario *scenario = run->scenario;
	struct reason why;
	size_t i;
	int err = 0;

	if (run->options->shell && run->options->until == LAB_IN_HOST)
		return 0;
	for (i = 0; !err && i < scenario->steps; i++) {
		if (!wanted(run, &scenario->step[i]))
			continue;
		memset(&why, 0, sizeof(why));
		begin_stage(run, scenario->step[i].title, LAB_STAGE_STEP);
		err = end_stage(run, lab_step(run, i, &why), &why);
		if (run->options->shell && scenario->step[i].where == run->options->until)
			break;
	}
	return err;
}

/* Return: @err, or how it went when that is 0. A host that has gone fails what it was to show. */
static int stage_at_end(struct lab_run *run, int err, const char *name,
			int (*play)(struct lab_run *run, struct reason *why))
{
	int at_end;

	if (err == -EINTR || (err && !lab_vm_alive(&run->vm[LAB_IN_HOST])))
		return err;
	at_end = stage(run, name, play);
	return err && at_end != -EINTR ? err : at_end;
}

static int play(struct lab_run *run)
{
	int err;

	err = stage(run, "card", lab_card_new);
	if (!err)
		err = stage(run, "host boots", lab_boot_host);
	if (!err)
		err = stage(run, "host is set up", lab_setup_host);
	if (!err)
		err = play_steps(run);
	if (run->options->shell || err == -EINTR)
		return err;
	/* Also after a step that failed: what else is wrong helps to see why. */
	if (lab_wants_doctor(run->scenario))
		err = stage_at_end(run, err, "doctor", lab_check_doctor);
	/* Behind it, since looking must leave no trace in the logs. */
	return stage_at_end(run, err, "at the end", lab_check_end);
}

static int check_isolation(struct lab_run *run, struct reason *why)
{
	struct lab_isolation *isolation = &run->result->isolation;
	struct lab_isolation one;
	char path[PATH_MAX];
	unsigned int i;
	int err = 0;

	for (i = 1; !err && i <= run->cards; i++) {
		if (i == 1)
			err = lab_path(path, run->result->dir, "card.record");
		else
			err = lab_path(path, run->result->dir, "card%u.record", i);
		if (!err)
			err = lab_isolation_check(path, &one, why);
		if (err)
			return err;
		isolation->maps += one.maps;
		isolation->unmaps += one.unmaps;
		isolation->owners += one.owners;
		isolation->accesses += one.accesses;
		isolation->refused += one.refused;
		isolation->unknown += one.unknown;
		isolation->messages += one.messages;
		isolation->violations += one.violations;
		if (!*isolation->first)
			memcpy(isolation->first, one.first, sizeof(one.first));
	}
	err = lab_note_check(run, "isolation = yes", !isolation->violations, isolation->first);
	return err ? reason_add(why, err, "%s", isolation->first) : 0;
}

/* Ends the machines from the inside out; the card last, so that its record is whole. */
static void power_off(struct lab_run *run)
{
	unsigned int i;

	for (i = LAB_VMS; i-- > LAB_IN_GUEST1;)
		lab_vm_disconnect(&run->vm[i]);
	lab_vm_disconnect(&run->vm[LAB_IN_HOST]);
	if (run->vm[LAB_IN_HOST].process)
		lab_process_stop(run->vm[LAB_IN_HOST].process, HOST_END_MS);
	lab_card_destroy(run->card);
	run->card = NULL;
}

static int play_and_end(struct lab_run *run)
{
	const struct lab_run_options *options = run->options;
	int err = play(run), inside;

	if (options->inside && err != -EINTR && (options->keep || (options->shell && !err))) {
		run->stage = NULL;
		inside = options->inside(options->inside_ctx, run->socket_dir);
		err = err ? err : inside;
	}
	power_off(run);
	if (run->scenario->isolation && run->cards && err != -EINTR) {
		int isolation = stage(run, "isolation", check_isolation);

		err = err ? err : isolation;
	}
	return err;
}

/*
 * The second interrupt finds the entry stack of the first, takes it for the kernel's own and faults
 * until that stack is full. Nothing but an interrupt at the first instruction of the entry gets
 * there.
 */
static bool was_interrupted_twice(const char *console, size_t len)
{
	static const char sign[] = "BUG: ENTRY_TRAMPOLINE stack guard page was hit";

	return memmem(console, len, sign, strlen(sign));
}

/*
 * The kernel's loader has said its last word, in real mode, and the kernel none: nobody has touched
 * the card by then.
 */
static bool stood_still(const char *console, size_t len)
{
	static const char last[] = "Probing EDD (edd=off to disable)... ok";

	while (len && strchr("\r\n", console[len - 1]))
		len--;
	return len >= strlen(last) && !memcmp(console + len - strlen(last), last, strlen(last));
}

static bool emulator_failed(const struct lab_run *run)
{
	char path[PATH_MAX];
	struct lab_log *log;
	bool found = false;
	const char *text;
	unsigned int i;
	size_t len;

	for (i = LAB_IN_GUEST1; !found && i < LAB_VMS; i++) {
		if (lab_path(path, run->result->dir, "guest%u.console", i) ||
		    lab_log_load(path, &log))
			continue;
		text = lab_log_text(log, &len);
		found = was_interrupted_twice(text, len) || stood_still(text, len);
		lab_log_destroy(log);
	}
	return found;
}

/* --- building up and tearing down --- */

static int make_socket_dir(struct lab_run *run, struct reason *why)
{
	char link[PATH_MAX];
	int err;

	strcpy(run->socket_dir, "/tmp/tethys-lab-XXXXXX");
	if (!mkdtemp(run->socket_dir)) {
		*run->socket_dir = '\0';
		return reason_add(why, -errno, "no folder for sockets in /tmp: %s",
				  strerror(errno));
	}
	/* How "tethys lab shell" finds machines that are kept. */
	err = lab_path(link, run->result->dir, "sockets");
	return err || symlink(run->socket_dir, link) ? reason_add(why, -EIO, "no link %s", link)
						     : 0;
}

static int run_init(struct lab_run *run, struct reason *why)
{
	const struct lab_scenario *scenario = run->scenario;
	unsigned int i;
	int err;

	run->result->scenario = scenario;
	run->result->stage = calloc(STAGES_MAX, sizeof(*run->result->stage));
	run->background = calloc(scenario->steps + 1, sizeof(*run->background));
	if (!run->result->stage || !run->background)
		return reason_add(why, -ENOMEM, "out of memory");
	snprintf(run->result->accel, sizeof(run->result->accel), "%s", run->options->accel_line);
	err = lab_folder_create(run->options->logs_dir, scenario->name, run->result->dir, why);
	if (!err)
		err = make_socket_dir(run, why);
	for (i = 0; !err && i < LAB_VMS; i++)
		err = lab_vm_init(run, (enum lab_where)i);
	return err;
}

static void run_deinit(struct lab_run *run)
{
	char link[PATH_MAX];
	unsigned int i;

	power_off(run);
	for (i = 0; run->background && i < run->scenario->steps; i++)
		lab_job_deinit(&run->background[i].job);
	free(run->background);
	for (i = LAB_VMS; i--;)
		lab_vm_deinit(&run->vm[i]);
	if (*run->socket_dir)
		lab_dir_remove(run->socket_dir);
	if (!lab_path(link, run->result->dir, "sockets"))
		unlink(link);
}

int lab_run(const struct lab_scenario *scenario, const struct lab_run_options *options,
	    struct lab_result *ret_result, struct reason *why)
{
	struct lab_run run = {
		.scenario = scenario,
		.options = options,
		.loop = options->loop,
		.result = ret_result,
	};
	int64_t from_ms = lab_now_ms();
	int err;

	memset(ret_result, 0, sizeof(*ret_result));
	err = run_init(&run, why);
	if (!err) {
		err = play_and_end(&run);
		ret_result->passed = !err;
		ret_result->emulator_fault = err && err != -EINTR &&
					     options->accel == LAB_ACCEL_TCG &&
					     emulator_failed(&run);
		err = err == -EINTR ? err : 0;
	}
	run_deinit(&run);
	ret_result->seconds = (double)(lab_now_ms() - from_ms) / 1000;
	return err;
}

void lab_result_deinit(struct lab_result *result)
{
	size_t i, j;

	for (i = 0; i < result->stages; i++) {
		struct lab_stage *stage = &result->stage[i];

		for (j = 0; j < stage->checks; j++) {
			free(stage->check[j].text);
			free(stage->check[j].seen);
		}
		free(stage->check);
		free(stage->name);
		free(stage->detail);
		free(stage->output);
	}
	free(result->stage);
	memset(result, 0, sizeof(*result));
}
