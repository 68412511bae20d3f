/* SPDX-License-Identifier: MIT */
/*
 * A scenario while it is played: run.c leads, vm.c has the machines, step.c what happens in them.
 */
#ifndef TETHYS_LAB_RUN_INTERNAL_H
#define TETHYS_LAB_RUN_INTERNAL_H

#include "lab/card.h"
#include "lab/link.h"
#include "lab/log.h"
#include "lab/machine.h"
#include "lab/process.h"
#include "lab/run.h"

struct lab_run;

/* A command in a machine. */
struct lab_job {
	struct lab_vm *vm;
	struct lab_log *output;
	uint32_t id;
	bool started, ended, timed_out;
	int status; /* -1: never ended by itself */
	uint64_t elapsed_us;
	char error[160]; /* why there is no status */
};

struct lab_vm {
	struct lab_run *run;
	enum lab_where where;
	struct lab_link *link;
	bool hello, closed;
	char error[160]; /* what the agent complained of last; told with what fails */
	struct lab_log *kmsg;
	/* Host VM: a process here. Guests: a command in the host VM. */
	struct lab_process *process;
	struct lab_job qemu;
};

#define LAB_VMS (1 + LAB_GUESTS_MAX)

struct lab_background {
	struct lab_job job;
	bool waited;
};

struct lab_run {
	const struct lab_scenario *scenario;
	const struct lab_run_options *options;
	struct lab_loop *loop;
	struct lab_result *result;
	char socket_dir[64];		  /* short: a socket's path has 107 bytes */
	struct lab_vm vm[LAB_VMS];	  /* by enum lab_where */
	char console[LAB_GUESTS_MAX][32]; /* of each guest: a port in the host VM */
	struct lab_card *card;
	unsigned int cards;		   /* so far */
	struct lab_background *background; /* of each step */
	struct lab_stage *stage;	   /* the present one */
	int64_t stage_from_ms;
};

/* --- vm.c --- */
int lab_vm_init(struct lab_run *run, enum lab_where where);
void lab_vm_deinit(struct lab_vm *vm);
int lab_vm_connect(struct lab_vm *vm, struct reason *why);
void lab_vm_disconnect(struct lab_vm *vm);
/* Wait until the agent has said HELLO; -ETIMEDOUT; -ECHILD the machine ended. */
int lab_vm_wait_hello(struct lab_vm *vm, int64_t timeout_ms, struct reason *why);
bool lab_vm_alive(const struct lab_vm *vm);
/* "host", "guest", "guest 2" */
const char *lab_vm_name(enum lab_where where);

/* @log_path: NULL: output in memory only. Return: 0; as lab_link_exec(). */
int lab_job_start(struct lab_job *job, struct lab_vm *vm, const char *const *argv,
		  unsigned int timeout_ms, const char *log_path, struct reason *why);
/* The loop until it has ended; -ETIMEDOUT; -EINTR. */
int lab_job_wait(struct lab_job *job, int64_t timeout_ms);
void lab_job_deinit(struct lab_job *job);
/*
 * A shell script in a machine, waited for. Return: 0 it exited with 0; -EREMOTEIO it failed, its
 * last lines are in @why; -ETIMEDOUT; -EINTR.
 */
int lab_vm_script(struct lab_vm *vm, const char *script, int64_t timeout_ms, char *ret_output,
		  size_t size, struct reason *why);

/* What a machine said last, from a file in @dir, as further lines of @why. */
void lab_add_tail(const char *dir, const char *file, struct reason *why);

/* --- boot.c --- */
int lab_card_new(struct lab_run *run, struct reason *why);
int lab_boot_host(struct lab_run *run, struct reason *why);
int lab_setup_host(struct lab_run *run, struct reason *why);
/* @patience_ms: for everything. -ECHILD: its QEMU ended; status and output are in vm->qemu. */
int lab_start_guest(struct lab_run *run, enum lab_where where, int64_t patience_ms,
		    struct reason *why);
int lab_bind_card(struct lab_run *run, enum lab_where where, struct reason *why);
/* Tell the host VM's slot that its card is gone, as a broken link does. */
int lab_pull_card(struct lab_run *run, int64_t timeout_ms, struct reason *why);
/* Unplug the dead card of the host VM, if it still is in, and plug in run->card. */
int lab_replug_card(struct lab_run *run, int64_t timeout_ms, struct reason *why);

/* --- step.c --- */
/* Carry a step out and check what it promises. Return: 0 all held; negative errno, with @why. */
int lab_step(struct lab_run *run, size_t index, struct reason *why);
/* What [at the end] promises, waiting a little for what may still be on its way. */
int lab_check_end(struct lab_run *run, struct reason *why);

/* --- doctor.c --- */
bool lab_wants_doctor(const struct lab_scenario *scenario);
/* Does "tethys doctor" find in the machines what [at the end] promises? */
int lab_check_doctor(struct lab_run *run, struct reason *why);

/* --- run.c --- */
int lab_loop_wait(struct lab_run *run, bool (*done)(void *ctx), void *ctx, int64_t timeout_ms);
/* Note a check in the present stage. @seen: NULL when it held. Return: -EBADMSG if it did not. */
int lab_note_check(struct lab_run *run, const char *text, bool passed, const char *seen);
int lab_path(char ret_path[PATH_MAX], const char *dir, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

#endif
