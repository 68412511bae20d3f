/* SPDX-License-Identifier: MIT */
/*
 * "tethys doctor" inside the machines, once all steps are over: what it says there, and what it
 * says here of the snapshots that it took there.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "lab/diagnosis.h"
#include "lab/run_internal.h"

/* It needs a second; an emulated machine on a busy computer gives it less. */
#define DOCTOR_MS 60000
#define WORDS_BYTES 1024

/* One look: into a machine, or at snapshots. */
struct look {
	struct lab_run *run;
	const char *stem; /* of its files: "host", "guest", "host-again", "together" */
	struct lab_diagnosis diagnosis;
};

/* --- what it said --- */

/* A look that failed, as a check, so that the others happen all the same. */
static int note_failure(struct look *look, const char *text, int err, const struct reason *cause)
{
	char seen[REASON_BYTES], file[32], *c;
	struct reason why = *cause;

	if (err == -EINTR)
		return err;
	snprintf(file, sizeof(file), "doctor-%s.err", look->stem);
	lab_add_tail(look->run->result->dir, file, &why);
	snprintf(seen, sizeof(seen), "%s", *why.text ? why.text : strerror(-err));
	for (c = seen; *c; c++)
		if (*c == '\n')
			*c = ' ';
	return lab_note_check(look->run, text, false, seen);
}

static int judge(struct look *look, const char *text, const struct lab_verdict *expected)
{
	char seen[WORDS_BYTES];
	bool fits =
		lab_diagnosis_fits(&look->diagnosis, expected, &look->run->scenario->doctor_also);

	lab_diagnosis_words(&look->diagnosis, seen, sizeof(seen));
	return lab_note_check(look->run, text, fits, seen);
}

static int read_report(struct look *look, const struct lab_log *log, int exit_code,
		       struct reason *why)
{
	const char *text;
	size_t len;

	if (lab_log_full(log))
		return reason_add(why, -EPROTO, "doctor's report is over %u MiB",
				  LAB_LOG_BYTES_MAX >> 20);
	text = lab_log_text(log, &len);
	return lab_diagnosis_parse(text, len, exit_code, &look->diagnosis, why);
}

/* --- in a machine --- */

/* Runs @script there with its output to @file of the run's folder; at most what a log keeps. */
static int run_there(struct lab_vm *vm, const char *script, const char *file, struct lab_job *job,
		     struct reason *why)
{
	const char *argv[] = {"/bin/sh", "-c", script, NULL};
	char path[PATH_MAX];
	int err;

	err = lab_path(path, vm->run->result->dir, "%s", file);
	if (!err)
		err = lab_job_start(job, vm, argv, DOCTOR_MS, path, why);
	/* The agent ends it in time; a dead machine doesn't. */
	if (!err)
		err = lab_job_wait(job, DOCTOR_MS + 5000);
	if (err && job->started)
		lab_vm_disconnect(vm); /* nobody writes into the job any more */
	if (!err && job->timed_out)
		err = -ETIMEDOUT;
	if (!err && job->status < 0)
		return reason_add(why, -EPIPE, "%s", job->error);
	return err == -ETIMEDOUT ? reason_add(why, err, "doctor in the %s took over %d s",
					      lab_vm_name(vm->where), DOCTOR_MS / 1000)
				 : err;
}

/* @name in the folder that doctor wrote to; its text is then the job's output and in @file here. */
static int fetch(struct lab_vm *vm, const char *name, const char *file, struct lab_job *job,
		 struct reason *why)
{
	char script[256];
	int err;

	snprintf(script, sizeof(script), "head -c %u '%s-doctor/%s'", LAB_LOG_BYTES_MAX + 1,
		 vm->run->socket_dir, name);
	err = run_there(vm, script, file, job, why);
	if (!err && (job->status || lab_log_full(job->output)))
		err = reason_add(why, -EPROTO, "doctor's %s is %s", name,
				 job->status ? "not there" : "too long");
	return err;
}

static int ask_there(struct look *look, struct lab_vm *vm, struct reason *why)
{
	char script[512], file[32];
	const char *dir = vm->run->socket_dir;
	struct lab_job job = {0}, report = {0}, snapshot = {0};
	int err;

	snprintf(script, sizeof(script),
		 "mkdir -p '%s-doctor' && cd '%s-doctor' &&\n"
		 "exec tethys doctor --json --snapshot snapshot >report",
		 dir, dir);
	snprintf(file, sizeof(file), "doctor-%s.err", look->stem);
	err = run_there(vm, script, file, &job, why);
	snprintf(file, sizeof(file), "doctor-%s.json", look->stem);
	if (!err)
		err = fetch(vm, "report", file, &report, why);
	snprintf(file, sizeof(file), "snapshot-%s.json", look->stem);
	if (!err)
		err = read_report(look, report.output, job.status, why);
	if (!err)
		err = fetch(vm, "snapshot", file, &snapshot, why);
	snprintf(script, sizeof(script), "rm -rf '%s-doctor'", dir);
	if (vm->link)
		lab_vm_script(vm, script, DOCTOR_MS, NULL, 0, NULL);
	lab_job_deinit(&job);
	lab_job_deinit(&report);
	lab_job_deinit(&snapshot);
	return err;
}

/* --- here, from snapshots --- */

static bool process_ended(void *ctx)
{
	return !lab_process_running(ctx);
}

/* Return: the exit code, or negative errno. */
static int run_here(struct lab_run *run, const char *const *argv, struct reason *why)
{
	struct lab_process *process;
	int err;

	err = lab_process_start(run->loop, argv, NULL, &process, why);
	if (err)
		return err;
	err = lab_loop_wait(run, process_ended, process, DOCTOR_MS);
	if (!err)
		err = lab_process_stop(process, 0);
	else if (err == -ETIMEDOUT)
		reason_add(why, err, "doctor here took over %d s", DOCTOR_MS / 1000);
	lab_process_destroy(process);
	return err;
}

static int file_of(const struct look *look, const char *what, const char *stem, const char *suffix,
		   char ret_path[PATH_MAX])
{
	return lab_path(ret_path, look->run->result->dir, "%s-%s.%s", what, stem, suffix);
}

/* @second: NULL: one snapshot is all. */
static int ask_here(struct look *look, const char *first, const char *second, struct reason *why)
{
	static const char script[] =
		"exec \"$0\" doctor --json \"$3\" ${4+\"$4\"} >\"$1\" 2>\"$2\"";
	char report[PATH_MAX], complaints[PATH_MAX], one[PATH_MAX], other[PATH_MAX];
	const char *argv[] = {"/bin/sh", "-c",	     script, look->run->options->command,
			      report,	 complaints, one,    second ? other : NULL,
			      NULL};
	struct lab_log *log;
	int err, exit_code;

	err = file_of(look, "doctor", look->stem, "json", report);
	if (!err)
		err = file_of(look, "doctor", look->stem, "err", complaints);
	if (!err)
		err = file_of(look, "snapshot", first, "json", one);
	if (!err && second)
		err = file_of(look, "snapshot", second, "json", other);
	if (err)
		return err;
	exit_code = run_here(look->run, argv, why);
	if (exit_code < 0)
		return exit_code;
	err = lab_log_load(report, &log);
	if (err)
		return reason_add(why, err, "%s: %s", report, strerror(-err));
	err = read_report(look, log, exit_code, why);
	lab_log_destroy(log);
	return err;
}

/* --- the looks --- */

/* @live: what was found in the machine, which its snapshot must say as well. */
static int look_again(struct lab_run *run, const char *stem, const char *promise,
		      const struct lab_verdict *expected, const struct lab_diagnosis *live)
{
	char again[16], text[WORDS_BYTES], words[WORDS_BYTES];
	struct look look = {.run = run, .stem = again};
	struct reason why = {0};
	int err;

	snprintf(again, sizeof(again), "%s-again", stem);
	snprintf(text, sizeof(text), "%s, from its snapshot", promise);
	err = ask_here(&look, stem, NULL, &why);
	if (err)
		return note_failure(&look, text, err, &why);
	err = judge(&look, text, expected);
	lab_diagnosis_words(&look.diagnosis, words, sizeof(words));
	snprintf(text, sizeof(text), "the %s's snapshot says what was found live", stem);
	if (lab_note_check(run, text, lab_diagnosis_equal(live, &look.diagnosis), words))
		err = -EBADMSG;
	lab_diagnosis_deinit(&look.diagnosis);
	return err;
}

/* @expected->asked: no: only its snapshot is wanted. */
static int look_into(struct lab_run *run, enum lab_where where, const char *key,
		     const struct lab_verdict *expected)
{
	struct look look = {.run = run, .stem = lab_vm_name(where)};
	char promise[WORDS_BYTES - 100], text[WORDS_BYTES];
	struct reason why = {0};
	int err, again;

	lab_verdict_words(key, expected, promise, sizeof(promise));
	if (!expected->asked)
		snprintf(promise, sizeof(promise), "a snapshot of the %s", look.stem);
	snprintf(text, sizeof(text), "%s%s", promise, expected->asked ? ", live" : "");
	err = ask_there(&look, &run->vm[where], &why);
	if (err)
		return note_failure(&look, text, err, &why);
	if (expected->asked) {
		err = judge(&look, text, expected);
		again = look_again(run, look.stem, promise, expected, &look.diagnosis);
		err = again ? again : err;
	}
	lab_diagnosis_deinit(&look.diagnosis);
	return err;
}

static int look_together(struct lab_run *run)
{
	const struct lab_verdict *expected = &run->scenario->doctor_together;
	struct look look = {.run = run, .stem = "together"};
	struct reason why = {0};
	char text[WORDS_BYTES];
	int err;

	lab_verdict_words("doctor together", expected, text, sizeof(text));
	err = ask_here(&look, "host", "guest", &why);
	if (err)
		return note_failure(&look, text, err, &why);
	err = judge(&look, text, expected);
	lab_diagnosis_deinit(&look.diagnosis);
	return err;
}

bool lab_wants_doctor(const struct lab_scenario *scenario)
{
	return scenario->doctor.asked || scenario->guest_doctor.asked ||
	       scenario->doctor_together.asked;
}

int lab_check_doctor(struct lab_run *run, struct reason *why)
{
	const struct lab_scenario *scenario = run->scenario;
	bool both = scenario->doctor_together.asked;
	int err = 0, one;

	if (scenario->doctor.asked || both)
		err = look_into(run, LAB_IN_HOST, "doctor", &scenario->doctor);
	if (err != -EINTR && (scenario->guest_doctor.asked || both)) {
		one = look_into(run, LAB_IN_GUEST1, "guest doctor", &scenario->guest_doctor);
		err = one == -EINTR || !err ? one : err;
	}
	if (err != -EINTR && both) {
		one = look_together(run);
		err = one == -EINTR || !err ? one : err;
	}
	return err == -EBADMSG ? reason_add(why, err, "doctor says something else") : err;
}
