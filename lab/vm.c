/* SPDX-License-Identifier: MIT */
/*
 * A machine as the runner sees it: its agent, its kernel log, the commands in it.
 */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/unix_socket.h"
#include "lab/run_internal.h"

#define CONNECT_MS 10000

const char *lab_vm_name(enum lab_where where)
{
	static const char *const names[] = {
		[LAB_IN_HOST] = "host",
		[LAB_IN_GUEST1] = "guest",
		[LAB_IN_GUEST2] = "guest 2",
	};

	return names[where];
}

/* "host", "guest1": in names of files and sockets. */
static void file_stem(enum lab_where where, char ret_stem[16])
{
	if (where == LAB_IN_HOST)
		strcpy(ret_stem, "host");
	else
		snprintf(ret_stem, 16, "guest%d", (int)where);
}

int lab_vm_init(struct lab_run *run, enum lab_where where)
{
	struct lab_vm *vm = &run->vm[where];
	char path[PATH_MAX], stem[16];
	int err;

	vm->run = run;
	vm->where = where;
	file_stem(where, stem);
	err = lab_path(path, run->result->dir, "%s.dmesg", stem);
	return err ? err : lab_log_create(path, &vm->kmsg);
}

void lab_vm_deinit(struct lab_vm *vm)
{
	lab_vm_disconnect(vm);
	lab_process_destroy(vm->process);
	lab_job_deinit(&vm->qemu);
	lab_log_destroy(vm->kmsg);
	memset(vm, 0, sizeof(*vm));
}

bool lab_vm_alive(const struct lab_vm *vm)
{
	if (vm->where == LAB_IN_HOST)
		return vm->process && lab_process_running(vm->process);
	return vm->qemu.started && !vm->qemu.ended;
}

/* --- the agent --- */

static void on_hello(void *ctx, uint64_t uptime_us, const char *text)
{
	struct lab_vm *vm = ctx;

	(void)uptime_us;
	(void)text;
	vm->hello = true;
}

static void on_kmsg(void *ctx, uint64_t time_us, unsigned int level, const char *line)
{
	struct lab_vm *vm = ctx;

	(void)level;
	lab_log_add_kmsg(vm->kmsg, time_us, line);
}

static void on_error(void *ctx, const char *text)
{
	struct lab_vm *vm = ctx;

	snprintf(vm->error, sizeof(vm->error), "%s", text);
}

static void on_closed(void *ctx, int err)
{
	struct lab_vm *vm = ctx;

	(void)err;
	vm->closed = true;
}

struct connecting {
	char path[PATH_MAX];
	struct lab_vm *vm;
	int fd; /* or why there is none */
};

/* QEMU makes its sockets when it starts, so they may not be there yet. */
static bool connected_or_dead(void *ctx)
{
	struct connecting *c = ctx;

	c->fd = unix_socket_connect(c->path, 0, 0);
	return c->fd >= 0 || !lab_vm_alive(&c->vm->run->vm[LAB_IN_HOST]);
}

int lab_vm_connect(struct lab_vm *vm, struct reason *why)
{
	static const struct lab_link_events events = {
		.hello = on_hello,
		.kmsg = on_kmsg,
		.error = on_error,
		.closed = on_closed,
	};
	struct connecting c = {.vm = vm, .fd = -ENOENT};
	char stem[16];
	int err;

	lab_vm_disconnect(vm);
	vm->hello = vm->closed = false;
	vm->error[0] = '\0';
	file_stem(vm->where, stem);
	err = lab_path(c.path, vm->run->socket_dir, "%s.agent", stem);
	if (!err)
		err = lab_loop_wait(vm->run, connected_or_dead, &c, CONNECT_MS);
	if (!err && c.fd < 0)
		err = -ECHILD;
	if (err)
		return reason_add(why, err, "QEMU of the %s offers no agent socket: %s",
				  lab_vm_name(vm->where), strerror(-c.fd));
	err = lab_link_create(vm->run->loop, c.fd, &events, vm, &vm->link);
	return err ? reason_add(why, err, "out of memory") : 0;
}

void lab_vm_disconnect(struct lab_vm *vm)
{
	lab_link_destroy(vm->link);
	vm->link = NULL;
}

static bool hello_or_dead(void *ctx)
{
	struct lab_vm *vm = ctx;

	return vm->hello || vm->closed || !lab_vm_alive(vm);
}

int lab_vm_wait_hello(struct lab_vm *vm, int64_t timeout_ms, struct reason *why)
{
	int err = lab_loop_wait(vm->run, hello_or_dead, vm, timeout_ms);
	const char *name = lab_vm_name(vm->where);

	if (err == -ETIMEDOUT)
		return reason_add(why, err, "the %s's agent said nothing in %lld s", name,
				  (long long)timeout_ms / 1000);
	if (err)
		return err;
	return vm->hello ? 0 : reason_add(why, -ECHILD, "the %s ended while it booted", name);
}

/* --- commands --- */

static void on_output(void *ctx, bool is_stderr, const char *data, size_t len)
{
	struct lab_job *job = ctx;

	(void)is_stderr;
	lab_log_add(job->output, data, len);
}

static void on_ended(void *ctx, int status, bool timed_out, uint64_t elapsed_us, const char *error)
{
	struct lab_job *job = ctx;

	job->ended = true;
	job->status = status;
	job->timed_out = timed_out;
	job->elapsed_us = elapsed_us;
	if (error)
		snprintf(job->error, sizeof(job->error), "%s", error);
}

int lab_job_start(struct lab_job *job, struct lab_vm *vm, const char *const *argv,
		  unsigned int timeout_ms, const char *log_path, struct reason *why)
{
	static const struct lab_command_events events = {.output = on_output, .ended = on_ended};
	struct lab_command command = {.argv = argv, .timeout_ms = timeout_ms};
	int err;

	lab_job_deinit(job);
	job->vm = vm;
	job->status = -1;
	if (!vm->link)
		return reason_add(why, -EPIPE, "the %s is not up", lab_vm_name(vm->where));
	err = lab_log_create(log_path, &job->output);
	if (!err)
		err = lab_link_exec(vm->link, &command, &events, job, &job->id);
	if (err)
		return reason_add(why, err, "the %s takes no command: %s", lab_vm_name(vm->where),
				  strerror(-err));
	job->started = true;
	return 0;
}

static bool job_ended(void *ctx)
{
	const struct lab_job *job = ctx;

	return job->ended;
}

int lab_job_wait(struct lab_job *job, int64_t timeout_ms)
{
	return lab_loop_wait(job->vm->run, job_ended, job, timeout_ms);
}

/* Not while it runs: the link would still know it. */
void lab_job_deinit(struct lab_job *job)
{
	lab_log_destroy(job->output);
	memset(job, 0, sizeof(*job));
}

/* The last lines of a text, for a message. */
static void last_lines(const char *text, size_t len, char *ret_lines, size_t size)
{
	const char *from = text + len;
	unsigned int lines = 0;

	while (from > text && len - (size_t)(from - text) < size - 1) {
		if (from[-1] == '\n' && from != text + len && ++lines == 6)
			break;
		from--;
	}
	len -= (size_t)(from - text);
	while (len && from[len - 1] == '\n')
		len--;
	snprintf(ret_lines, size, "%.*s", (int)len, from);
}

static int judge_script(const struct lab_job *job, struct reason *why)
{
	char lines[400];
	const char *text;
	size_t len;

	if (job->status == 0)
		return 0;
	if (job->status < 0)
		return reason_add(why, -EPIPE, "%s", job->error);
	text = lab_log_text(job->output, &len);
	last_lines(text, len, lines, sizeof(lines));
	return reason_add(why, -EREMOTEIO, "%s", *lines ? lines : "(it printed nothing)");
}

/* Of a console without what moves its cursor. */
void lab_add_tail(const char *dir, const char *file, struct reason *why)
{
	char path[PATH_MAX], lines[400], *c;
	struct lab_log *log;
	const char *text;
	size_t len;

	if (lab_path(path, dir, "%s", file) || lab_log_load(path, &log))
		return;
	text = lab_log_text(log, &len);
	last_lines(text, len, lines, sizeof(lines));
	lab_log_destroy(log);
	for (c = lines; *c; c++)
		if (iscntrl((unsigned char)*c) && *c != '\n')
			*c = ' ';
	if (*lines)
		reason_add(why, 0, "last lines of %s:\n%s", file, lines);
}

int lab_vm_script(struct lab_vm *vm, const char *script, int64_t timeout_ms, char *ret_output,
		  size_t size, struct reason *why)
{
	const char *argv[] = {"/bin/sh", "-c", script, NULL};
	struct lab_job job = {0};
	const char *text;
	size_t len;
	int err;

	err = lab_job_start(&job, vm, argv, (unsigned int)timeout_ms, NULL, why);
	/* The agent ends it in time; a dead machine doesn't. */
	if (!err)
		err = lab_job_wait(&job, timeout_ms + 5000);
	if (err && job.started)
		lab_vm_disconnect(vm); /* nobody writes into job any more */
	if (!err)
		err = judge_script(&job, why);
	if (!err && ret_output) {
		text = lab_log_text(job.output, &len);
		snprintf(ret_output, size, "%s", text);
	}
	lab_job_deinit(&job);
	return err;
}
