/* SPDX-License-Identifier: MIT */
/*
 * What happens in a scenario, one function an action, and whether it went as promised.
 */
#include <ctype.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lab/run_internal.h"

#define OUTPUT_SHOWN_MAX 65536u
#define END_PATIENCE_MS 5000 /* for a line that is promised and not there yet */
#define END_QUIET_MS 300     /* for a line that must not come */
/* The agent ends a command in time; this much later the machine itself is given up. */
#define AGENT_GRACE_MS 5000

/* --- what is promised --- */

static int check_patterns(struct lab_run *run, const char *what,
			  const struct lab_patterns *patterns, const char *text, size_t len)
{
	char line[640], seen[64];
	unsigned int count;
	size_t i;
	int err = 0;

	for (i = 0; i < patterns->count; i++) {
		const struct lab_pattern *pattern = &patterns->item[i];

		count = lab_pattern_count(pattern, text, len);
		snprintf(line, sizeof(line), "%s = %s", what, pattern->text);
		snprintf(seen, sizeof(seen), "%u such line%s", count, count == 1 ? "" : "s");
		if (lab_note_check(run, line, count >= pattern->min && count <= pattern->max, seen))
			err = -EBADMSG;
	}
	return err;
}

/* Patterns say nothing about what was not kept. */
static int check_whole(struct lab_run *run, const char *what, const struct lab_log *log)
{
	char text[64];

	if (!lab_log_full(log))
		return 0;
	snprintf(text, sizeof(text), "%s is within %u MiB", what, LAB_LOG_BYTES_MAX >> 20);
	return lab_note_check(run, text, false, "more");
}

static int check_exit(struct lab_run *run, const struct lab_step *step, const struct lab_job *job)
{
	char text[32], seen[200];

	/* Any end will do, but not that of a command which took too long. */
	if (step->exit < 0 && job->status >= 0 && !job->timed_out)
		return 0;
	if (step->exit < 0)
		snprintf(text, sizeof(text), "exit = any");
	else
		snprintf(text, sizeof(text), "exit = %d", step->exit);
	if (job->timed_out)
		snprintf(seen, sizeof(seen), "ended after %g s without an end",
			 (double)step->within_ms / 1000);
	else if (job->status < 0)
		snprintf(seen, sizeof(seen), "%s", job->error);
	else
		snprintf(seen, sizeof(seen), "exit code %d", job->status);
	return lab_note_check(run, text, job->status == step->exit && !job->timed_out, seen);
}

static int check_time(struct lab_run *run, const struct lab_step *step, const struct lab_job *job)
{
	char text[48], seen[48];

	if (!step->at_most_ms)
		return 0;
	snprintf(text, sizeof(text), "at most = %u ms", step->at_most_ms);
	snprintf(seen, sizeof(seen), "%.1f ms", (double)job->elapsed_us / 1000);
	return lab_note_check(run, text, job->elapsed_us <= step->at_most_ms * 1000ull, seen);
}

static void keep_output(struct lab_run *run, const struct lab_job *job)
{
	const char *text;
	size_t len;

	text = lab_log_text(job->output, &len);
	free(run->stage->output);
	run->stage->output = strndup(text, len < OUTPUT_SHOWN_MAX ? len : OUTPUT_SHOWN_MAX);
	run->stage->status = job->status;
	run->stage->elapsed_us = job->elapsed_us;
}

static int judge(struct lab_run *run, const struct lab_step *step, const struct lab_job *job,
		 struct reason *why)
{
	const char *text;
	size_t len;
	int err;

	keep_output(run, job);
	text = lab_log_text(job->output, &len);
	err = check_exit(run, step, job);
	if (step->prints.count && check_whole(run, "prints", job->output))
		err = -EBADMSG;
	if (check_patterns(run, "prints", &step->prints, text, len))
		err = -EBADMSG;
	if (check_time(run, step, job))
		err = -EBADMSG;
	return err ? reason_add(why, err, "\"%s\" went another way", step->title) : 0;
}

/* --- commands --- */

/* "step-03-resnet18-in-the-guest.out" */
static int output_path(struct lab_run *run, size_t index, char ret_path[PATH_MAX])
{
	const char *title = run->scenario->step[index].title;
	char slug[48];
	size_t len = 0;

	for (; *title && len < sizeof(slug) - 1; title++) {
		if (isalnum((unsigned char)*title))
			slug[len++] = (char)tolower((unsigned char)*title);
		else if (len && slug[len - 1] != '-')
			slug[len++] = '-';
	}
	slug[len] = '\0';
	return lab_path(ret_path, run->result->dir, "step-%02zu-%s.out", index + 1, slug);
}

/* A job on which we give up must not be written to any more. */
static int give_up(struct lab_job *job, int err)
{
	if (!job->ended)
		lab_vm_disconnect(job->vm);
	return err;
}

static int start_command(struct lab_run *run, size_t index, struct lab_job *job, struct reason *why)
{
	const struct lab_step *step = &run->scenario->step[index];
	const char *argv[] = {"/bin/sh", "-c", step->command, NULL};
	char path[PATH_MAX];
	int err = output_path(run, index, path);

	return err ? err
		   : lab_job_start(job, &run->vm[step->where], argv, step->within_ms, path, why);
}

static int do_run(struct lab_run *run, size_t index, struct reason *why)
{
	const struct lab_step *step = &run->scenario->step[index];
	struct lab_job *job = &run->background[index].job;
	int err = start_command(run, index, job, why);

	if (err || step->background)
		return err;
	err = lab_job_wait(job, (int64_t)step->within_ms + AGENT_GRACE_MS);
	if (err) {
		keep_output(run, job);
		return reason_add(why, give_up(job, err), "the %s stopped answering",
				  lab_vm_name(step->where));
	}
	return judge(run, step, job, why);
}

static size_t step_named(const struct lab_scenario *scenario, const char *title)
{
	size_t i;

	for (i = 0; i < scenario->steps; i++)
		if (!strcmp(scenario->step[i].title, title))
			break;
	return i;
}

static int do_wait_step(struct lab_run *run, size_t index, struct reason *why)
{
	const struct lab_step *step = &run->scenario->step[index];
	size_t other = step_named(run->scenario, step->command);
	struct lab_background *background = &run->background[other];
	int err;

	background->waited = true;
	err = lab_job_wait(&background->job, step->within_ms);
	if (err) {
		keep_output(run, &background->job);
		return reason_add(why, err, "\"%s\" did not end", step->command);
	}
	return judge(run, &run->scenario->step[other], &background->job, why);
}

/* --- machines --- */

static int judge_refusal(struct lab_run *run, const struct lab_step *step, struct reason *why)
{
	struct lab_vm *vm = &run->vm[step->where];

	if (!vm->qemu.ended)
		return reason_add(why, -EBADMSG, "QEMU should have refused, and the guest is up");
	return judge(run, step, &vm->qemu, why);
}

static int do_start_guest(struct lab_run *run, size_t index, struct reason *why)
{
	const struct lab_step *step = &run->scenario->step[index];
	struct lab_vm *vm = &run->vm[step->where];
	struct reason boot = {0};
	int err;

	err = lab_start_guest(run, step->where, step->within_ms, &boot);
	if (step->exit)
		return err && err != -ECHILD && err != -EPIPE
			       ? reason_add(why, err, "%s", boot.text)
			       : judge_refusal(run, step, why);
	if (!err)
		return 0;
	if (vm->qemu.ended)
		keep_output(run, &vm->qemu);
	return reason_add(why, err, "%s", boot.text);
}

static int do_end_guest(struct lab_run *run, size_t index, struct reason *why)
{
	const struct lab_step *step = &run->scenario->step[index];
	struct lab_vm *vm = &run->vm[step->where];
	int err;

	if (!lab_vm_alive(vm))
		return reason_add(why, -ESRCH, "no guest runs");
	if (step->action == LAB_DO_KILL_GUEST)
		err = lab_link_signal(run->vm[LAB_IN_HOST].link, vm->qemu.id, SIGKILL);
	else
		err = lab_link_poweroff(vm->link);
	if (!err)
		err = lab_job_wait(&vm->qemu, step->within_ms);
	/* The port stays open when a guest dies: what ran in it learns of its end from us. */
	lab_vm_disconnect(vm);
	return err ? reason_add(why, err, "the guest's QEMU did not end") : 0;
}

/* --- the card --- */

static int do_card(struct lab_run *run, size_t index, struct reason *why)
{
	const struct lab_step *step = &run->scenario->step[index];
	char reply[2048] = "", seen[128];
	int err;

	err = lab_card_control(run->card, step->command, step->within_ms, reply, sizeof(reply),
			       why);
	if (err && err != -EREMOTEIO)
		return err;
	free(run->stage->output);
	run->stage->output = strdup(reply);
	snprintf(seen, sizeof(seen), "%.100s", reply);
	/* A card that refuses is what some scenarios are about: then they name what it says. */
	if (err && !step->prints.count)
		return reason_add(why, err, "the card refused");
	err = check_patterns(run, "prints", &step->prints, reply, strlen(reply));
	return err ? reason_add(why, err, "the card answered %s", seen) : 0;
}

/*
 * As power lost: all reads give ones. Not the end of its process, since QEMU 11.1 may abort when
 * that happens in the middle of a request.
 */
static int do_kill_card(struct lab_run *run, size_t index, struct reason *why)
{
	char reply[2048];

	return lab_card_control(run->card, "vanish", run->scenario->step[index].within_ms, reply,
				sizeof(reply), why);
}

static int do_pull_card(struct lab_run *run, size_t index, struct reason *why)
{
	return lab_pull_card(run, run->scenario->step[index].within_ms, why);
}

static int do_new_card(struct lab_run *run, size_t index, struct reason *why)
{
	int err = lab_card_new(run, why);

	return err ? err : lab_replug_card(run, run->scenario->step[index].within_ms, why);
}

/* --- logs --- */

/* The log as it is now; to be given back with log_release(). */
static struct lab_log *log_of(struct lab_run *run, enum lab_log_kind kind)
{
	struct lab_log *log = NULL;
	char path[PATH_MAX];

	switch (kind) {
	case LAB_LOG_HOST:
	case LAB_LOG_GUEST1:
	case LAB_LOG_GUEST2:
		return run->vm[kind - LAB_LOG_HOST].kmsg;
	case LAB_LOG_GUEST1_QEMU:
	case LAB_LOG_GUEST2_QEMU:
		return run->vm[kind - LAB_LOG_GUEST1_QEMU + LAB_IN_GUEST1].qemu.output;
	case LAB_LOG_HOST_QEMU:
		if (!lab_path(path, run->result->dir, "host.qemu"))
			lab_log_load(path, &log);
		return log;
	default:
		if (run->card)
			lab_log_load(lab_card_log(run->card), &log);
		return log;
	}
}

static void log_release(enum lab_log_kind kind, struct lab_log *log)
{
	if (kind == LAB_LOG_HOST_QEMU || kind == LAB_LOG_CARD)
		lab_log_destroy(log);
}

static int check_log_whole(struct lab_run *run, enum lab_log_kind kind)
{
	struct lab_log *log = log_of(run, kind);
	int err = log ? check_whole(run, lab_log_name(kind), log) : 0;

	log_release(kind, log);
	return err;
}

static unsigned int count_lines(struct lab_run *run, enum lab_log_kind kind,
				const struct lab_pattern *pattern)
{
	struct lab_log *log = log_of(run, kind);
	unsigned int count = log ? lab_log_count(log, pattern) : 0;

	log_release(kind, log);
	return count;
}

struct awaited {
	struct lab_run *run;
	enum lab_log_kind log;
	const struct lab_pattern *pattern;
};

static bool line_is_there(void *ctx)
{
	const struct awaited *a = ctx;

	return count_lines(a->run, a->log, a->pattern) >= a->pattern->min;
}

static int do_wait_log(struct lab_run *run, size_t index, struct reason *why)
{
	const struct lab_step *step = &run->scenario->step[index];
	struct awaited a = {.run = run, .log = step->log, .pattern = &step->pattern};
	int err = lab_loop_wait(run, line_is_there, &a, step->within_ms);

	if (err == -ETIMEDOUT)
		check_log_whole(run, step->log);
	return err ? reason_add(why, err, "the %s shows no %s", lab_log_name(step->log),
				step->pattern.text)
		   : 0;
}

int lab_step(struct lab_run *run, size_t index, struct reason *why)
{
	static int (*const actions[])(struct lab_run *run, size_t index, struct reason *why) = {
		[LAB_DO_RUN] = do_run,
		[LAB_DO_START_GUEST] = do_start_guest,
		[LAB_DO_STOP_GUEST] = do_end_guest,
		[LAB_DO_KILL_GUEST] = do_end_guest,
		[LAB_DO_KILL_CARD] = do_kill_card,
		[LAB_DO_PULL_CARD] = do_pull_card,
		[LAB_DO_NEW_CARD] = do_new_card,
		[LAB_DO_CARD] = do_card,
		[LAB_DO_WAIT_LOG] = do_wait_log,
		[LAB_DO_WAIT_STEP] = do_wait_step,
	};

	return actions[run->scenario->step[index].action](run, index, why);
}

/* --- the end --- */

static bool all_lines_there(void *ctx)
{
	struct lab_run *run = ctx;
	const struct lab_scenario *scenario = run->scenario;
	size_t i;

	for (i = 0; i < scenario->expects; i++)
		if (count_lines(run, scenario->expect[i].log, &scenario->expect[i].pattern) <
		    scenario->expect[i].pattern.min)
			return false;
	return true;
}

static bool never(void *ctx)
{
	(void)ctx;
	return false;
}

/* Nobody waited for its end: it must have come by now. */
static int check_background(struct lab_run *run)
{
	size_t i;
	int err = 0;

	for (i = 0; i < run->scenario->steps; i++) {
		const struct lab_step *step = &run->scenario->step[i];
		struct lab_background *background = &run->background[i];

		if (!step->background || background->waited || !background->job.started)
			continue;
		if (!background->job.ended && step->exit == -1)
			continue;
		if (lab_note_check(run, step->title, background->job.ended, "still running") ||
		    judge(run, step, &background->job, NULL))
			err = -EBADMSG;
	}
	return err;
}

/* Each log that is looked at, once. */
static int check_logs_whole(struct lab_run *run)
{
	const struct lab_scenario *scenario = run->scenario;
	unsigned int seen = 0;
	size_t i;
	int err = 0;

	for (i = 0; i < scenario->expects; i++) {
		enum lab_log_kind log = scenario->expect[i].log;

		if (!(seen & 1u << log) && check_log_whole(run, log))
			err = -EBADMSG;
		seen |= 1u << log;
	}
	return err;
}

int lab_check_end(struct lab_run *run, struct reason *why)
{
	const struct lab_scenario *scenario = run->scenario;
	char text[640], seen[64];
	unsigned int count;
	size_t i;
	int err;

	err = lab_loop_wait(run, all_lines_there, run, END_PATIENCE_MS);
	if (err != -EINTR)
		err = lab_loop_wait(run, never, NULL, END_QUIET_MS);
	if (err == -EINTR)
		return err;
	err = check_background(run);
	if (check_logs_whole(run))
		err = -EBADMSG;
	for (i = 0; i < scenario->expects; i++) {
		const struct lab_expect *expect = &scenario->expect[i];

		count = count_lines(run, expect->log, &expect->pattern);
		snprintf(text, sizeof(text), "%s = %s", lab_log_name(expect->log),
			 expect->pattern.text);
		snprintf(seen, sizeof(seen), "%u such line%s", count, count == 1 ? "" : "s");
		if (lab_note_check(run, text,
				   count >= expect->pattern.min && count <= expect->pattern.max,
				   seen))
			err = -EBADMSG;
	}
	return err ? reason_add(why, err, "what was seen is not what was promised") : 0;
}
