/* SPDX-License-Identifier: MIT */
/*
 * tethys lab shell.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/lab.h"
#include "cli/lab_session.h"
#include "cli/term.h"
#include "lab/dir.h"
#include "lab/link.h"

/* --- shell --- */

struct shell {
	struct lab_session session;
	enum lab_where where;
	int status;
	bool drawn;
};

/* "host.shell", "guest1.shell" */
static int socket_of(enum lab_where where, const char *dir, char ret_path[PATH_MAX])
{
	int n;

	if (where == LAB_IN_HOST)
		n = snprintf(ret_path, PATH_MAX, "%s/host.shell", dir);
	else
		n = snprintf(ret_path, PATH_MAX, "%s/guest%d.shell", dir, (int)where);
	return n < PATH_MAX ? 0 : -ENAMETOOLONG;
}

static int attach(enum lab_where where, const char *socket_dir)
{
	struct reason why = {0};
	char path[PATH_MAX];
	int status = socket_of(where, socket_dir, path);

	if (!status)
		status = lab_shell(path, NULL, &why);
	if (status >= 0)
		return status;
	term_error("%s", *why.text ? why.text : strerror(-status));
	return CLI_FAILED;
}

static bool child_ended(void *ctx)
{
	struct shell *shell = ctx;

	return shell->status >= 0;
}

static void on_child(void *ctx, short revents)
{
	struct shell *shell = ctx;

	(void)revents;
	shell->status = CLI_FAILED;
}

/*
 * In a process of its own: the machines' logs go on being read here meanwhile. The terminal stays
 * with it, as it is in our process group.
 */
static int shell_inside(void *ctx, const char *socket_dir)
{
	struct shell *shell = ctx;
	int status = 0, fd, err;
	pid_t pid;

	if (shell->drawn)
		fputs("\r\033[K", stderr);
	fflush(NULL);
	pid = fork();
	if (pid == 0)
		_exit(attach(shell->where, socket_dir));
	if (pid < 0)
		return -errno;
	shell->status = -1;
	fd = (int)syscall(SYS_pidfd_open, pid, 0);
	err = fd < 0 ? -errno
		     : lab_loop_add(shell->session.options.loop, fd, POLLIN, on_child, shell);
	if (!err)
		lab_loop_run(shell->session.options.loop, child_ended, shell, INT64_MAX / 2);
	if (fd >= 0 && !err)
		lab_loop_remove(shell->session.options.loop, fd);
	if (fd >= 0)
		close(fd);
	if (shell->status < 0)
		kill(pid, SIGTERM);
	waitpid(pid, &status, 0);
	shell->status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
	return err;
}

static void shell_watch(void *ctx, const struct lab_stage *stage, enum lab_stage_state state)
{
	struct shell *shell = ctx;

	if (state == LAB_STAGE_FAILED) {
		term_error("%s: %s", stage->name, stage->detail);
	} else if (isatty(STDERR_FILENO) && state != LAB_STAGE_PASSED) {
		fprintf(stderr, "\r\033[K%s, %.0f s", stage->name, stage->seconds);
		shell->drawn = true;
	}
}

static int boot_shell(struct shell *shell, const char *logs, const struct lab_scenario *scenario)
{
	struct lab_run_options *options = &shell->session.options;
	struct lab_result result;
	struct reason why = {0};
	int rc, err;

	rc = lab_session_open(&shell->session, logs, true);
	if (rc != CLI_OK)
		return lab_session_close(&shell->session, rc);
	options->shell = true;
	options->until = shell->where;
	options->inside = shell_inside;
	options->inside_ctx = shell;
	options->watch = shell_watch;
	options->watch_ctx = shell;
	err = lab_session_loop(&shell->session, &options->loop);
	if (!err) {
		shell->status = CLI_FAILED;
		err = lab_run(scenario, options, &result, &why);
		if (shell->drawn)
			fputs("\r\033[K", stderr);
		lab_result_deinit(&result);
		lab_session_loop_done(&shell->session, options->loop);
	}
	if (err && err != -EINTR)
		term_error("%s", *why.text ? why.text : strerror(-err));
	return lab_session_close(&shell->session, err ? CLI_FAILED : shell->status);
}

/* Of a run that was told to keep its machines. */
static bool kept_sockets(const char *logs, const char *scenario, enum lab_where where,
			 char ret_dir[PATH_MAX])
{
	char dir[PATH_MAX], link[PATH_MAX], path[PATH_MAX];
	ssize_t n;

	if (lab_logs_dir(logs, dir, NULL) || lab_folder_newest(dir, scenario, link, NULL))
		return false;
	if (strlen(link) + sizeof("/sockets") > PATH_MAX)
		return false;
	strcat(link, "/sockets");
	n = readlink(link, ret_dir, PATH_MAX - 1);
	if (n <= 0)
		return false;
	ret_dir[n] = '\0';
	return !socket_of(where, ret_dir, path) && !access(path, F_OK);
}

int lab_cmd_shell(const char *logs, const char *where, const char *name)
{
	struct shell shell = {.where = !strcmp(where, "host")	 ? LAB_IN_HOST
				       : !strcmp(where, "guest") ? LAB_IN_GUEST1
								 : LAB_IN_GUEST2};
	struct lab_set set;
	struct reason why = {0};
	char kept[PATH_MAX];
	int rc;

	if (lab_set_load(&name, 1, &set, &why)) {
		term_error("%s", why.text);
		return CLI_FAILED;
	}
	if (kept_sockets(logs, set.item[0]->name, shell.where, kept)) {
		rc = attach(shell.where, kept);
	} else if (shell.where != LAB_IN_HOST &&
		   !set.item[0]->guest[shell.where - LAB_IN_GUEST1].present) {
		term_error("The scenario '%s' has no such guest.", name);
		rc = CLI_USAGE;
	} else {
		rc = boot_shell(&shell, logs, set.item[0]);
	}
	lab_set_deinit(&set);
	return rc;
}
