/* SPDX-License-Identifier: MIT */
/*
 * Helpers of the end-to-end tests: start the built command, collect what it says, end it by pid.
 *
 * TETHYS names the command, TETHYS_MODELS the folder with expected.json.
 */
#ifndef TETHYS_TESTS_E2E_E2E_H
#define TETHYS_TESTS_E2E_E2E_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define E2E_ARGS_MAX 40

struct e2e_process {
	pid_t pid;
	int out, err; /* read ends */
};

struct e2e_result {
	int code;  /* exit code, or -signal, or E2E_TIMEOUT */
	char *out; /* NUL-terminated; never NULL after e2e_run() */
	char *err;
	double ms; /* from start to end */
};

#define E2E_TIMEOUT (-1000)

const char *e2e_tethys(void);

/**
 * e2e_run() - run a command to its end
 * @argv: NULL-terminated; argv[0] "tethys" means the built one
 * @timeout_ms: then it is killed, and the code is E2E_TIMEOUT
 * @ret_result: for the caller to e2e_result_deinit()
 */
void e2e_run(const char *const *argv, unsigned int timeout_ms, struct e2e_result *ret_result);
void e2e_result_deinit(struct e2e_result *result);

/* In two steps. Return: 0; negative errno. */
int e2e_start(const char *const *argv, struct e2e_process *ret_process);
void e2e_finish(struct e2e_process *process, unsigned int timeout_ms,
		struct e2e_result *ret_result);
/* Exit code as in e2e_result, without reading output. */
int e2e_wait(pid_t pid, unsigned int timeout_ms);

/* Wait for @text on @fd. */
bool e2e_wait_text(int fd, const char *text, unsigned int timeout_ms);

struct e2e_card {
	struct e2e_process process;
	char socket[128];
	char device[160];
};

/**
 * e2e_card_start() - "tethys card" on a socket in @dir
 * @extra: NULL-terminated further arguments; NULL: none
 *
 * Return: 0; negative errno.
 */
int e2e_card_start(struct e2e_card *ret_card, const char *dir, const char *const *extra);
/* SIGTERM and wait. Return: as e2e_wait(). */
int e2e_card_stop(struct e2e_card *card);

/* A folder under TMPDIR; removed with all in it. */
int e2e_dir_make(char ret_dir[PATH_MAX]);
void e2e_dir_remove(const char *dir);
int e2e_write(const char *dir, const char *name, const void *data, size_t bytes,
	      char ret_path[PATH_MAX]);
/* Whole file; NULL when it can't be read. For the caller to free(). */
char *e2e_read(const char *path, size_t *ret_bytes);

double e2e_now_ms(void);
void e2e_sleep_ms(unsigned int ms);

#endif
