/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <json-c/json.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/userdir.h"
#include "lab/image.h"

/* A first set-up fetches 400 MB. */
#define SCRIPT_TIMEOUT_MS (2 * 3600 * 1000)
/* A program of a build tree is at most this deep in it: lab/tests/image_test. */
#define BUILD_DEPTH 3
#define MESON_INFO "meson-info/meson-info.json"

extern char **environ;

/* Where the parts of the lab are, seen from the running program. */
struct places {
	char scripts[PATH_MAX], scenarios[PATH_MAX];
	char tethys[PATH_MAX], agent[PATH_MAX];
	char out[PATH_MAX];
};

__attribute__((format(printf, 2, 3))) static int path_of(char ret_path[PATH_MAX], const char *fmt,
							 ...)
{
	va_list args;
	int len;

	va_start(args, fmt);
	len = vsnprintf(ret_path, PATH_MAX, fmt, args);
	va_end(args);
	return len < PATH_MAX ? 0 : -ENAMETOOLONG;
}

static bool cut_last(char *path)
{
	char *slash = strrchr(path, '/');

	if (!slash || slash == path)
		return false;
	*slash = 0;
	return true;
}

static int program_path(char ret_path[PATH_MAX])
{
	ssize_t len = readlink("/proc/self/exe", ret_path, PATH_MAX - 1);

	if (len < 0)
		return -errno;
	ret_path[len] = 0;
	return 0;
}

/* Meson notes there which source tree a build tree is of. */
static int source_of(const char *build, char ret_source[PATH_MAX])
{
	struct json_object *info, *directories, *source;
	char path[PATH_MAX];
	int err;

	err = path_of(path, "%s/%s", build, MESON_INFO);
	if (err)
		return err;
	info = json_object_from_file(path);
	if (!info)
		return -ENOENT;
	err = -EPROTO;
	if (json_object_object_get_ex(info, "directories", &directories) &&
	    json_object_object_get_ex(directories, "source", &source) &&
	    json_object_is_type(source, json_type_string))
		err = path_of(ret_source, "%s", json_object_get_string(source));
	json_object_put(info);
	return err;
}

/* In a build tree everything is of that tree. */
static int find_in_build(const char *program, struct places *ret_places)
{
	char build[PATH_MAX], source[PATH_MAX];
	int depth, err = -ENOENT;

	snprintf(build, sizeof(build), "%s", program);
	for (depth = 0; err && depth < BUILD_DEPTH && cut_last(build); depth++)
		err = source_of(build, source);
	if (!err)
		err = path_of(ret_places->scripts, "%s/scripts", source);
	if (!err)
		err = path_of(ret_places->scenarios, "%s/lab/scenarios", source);
	if (!err)
		err = path_of(ret_places->tethys, "%s/cli/tethys", build);
	if (!err)
		err = path_of(ret_places->agent, "%s/lab/agent/tethys-lab-agent", build);
	if (!err)
		err = path_of(ret_places->out, "%s/lab/images", build);
	return err;
}

/* PREFIX/bin/tethys. The images are the user's. */
static int find_installed(const char *program, struct places *ret_places, struct reason *why)
{
	char prefix[PATH_MAX];
	int err;

	snprintf(prefix, sizeof(prefix), "%s", program);
	if (!cut_last(prefix))
		return -ENOENT;
	if (!cut_last(prefix))
		return -ENOENT;
	err = path_of(ret_places->scripts, "%s/share/tethys/scripts", prefix);
	if (!err)
		err = path_of(ret_places->scenarios, "%s/share/tethys/scenarios", prefix);
	if (!err)
		err = path_of(ret_places->tethys, "%s", program);
	if (!err)
		err = path_of(ret_places->agent, "%s/libexec/tethys/tethys-lab-agent", prefix);
	return err ? err : userdir_path(USERDIR_CACHE, "lab", ret_places->out, why);
}

static int find_places(struct places *ret_places, struct reason *why)
{
	const char *scripts = getenv("TETHYS_LAB_SCRIPTS");
	const char *scenarios = getenv("TETHYS_LAB_SCENARIOS");
	const char *images = getenv("TETHYS_LAB_IMAGES");
	char program[PATH_MAX];
	int err;

	err = program_path(program);
	if (!err && find_in_build(program, ret_places))
		err = find_installed(program, ret_places, why);
	if (!err && scripts && *scripts)
		err = path_of(ret_places->scripts, "%s", scripts);
	if (!err && scenarios && *scenarios)
		err = path_of(ret_places->scenarios, "%s", scenarios);
	if (!err && images && *images)
		err = path_of(ret_places->out, "%s", images);
	return err ? reason_add(why, err, "Can't tell where the lab's files are.") : 0;
}

int lab_scenario_dir(char ret_dir[PATH_MAX], struct reason *why)
{
	struct places places;
	struct stat st;
	int err;

	err = find_places(&places, why);
	if (err)
		return err;
	if (stat(places.scenarios, &st) || !S_ISDIR(st.st_mode))
		return reason_add(why, -ENOENT,
				  "There are no scenarios in '%s' (TETHYS_LAB_SCENARIOS names "
				  "another folder).",
				  places.scenarios);
	memcpy(ret_dir, places.scenarios, PATH_MAX);
	return 0;
}

/* --- the script --- */

/* The descriptor of a process becomes readable at its end. */
static int await_end(pid_t pid, int *ret_status)
{
	int fd = pidfd_open(pid, 0), ready;
	struct pollfd end = {.fd = fd, .events = POLLIN};

	if (fd < 0)
		return -errno;
	/* A signal, as at a change of the window's size, starts the time anew: no harm. */
	do
		ready = poll(&end, 1, SCRIPT_TIMEOUT_MS);
	while (ready < 0 && errno == EINTR);
	close(fd);
	if (ready <= 0)
		return ready ? -errno : -ETIMEDOUT;
	return waitpid(pid, ret_status, 0) == pid ? 0 : -errno;
}

/* Quiet, what a failed step shows goes to stderr: stdout may be a document. */
static int spawn(char *const argv[], bool quiet, pid_t *ret_pid)
{
	posix_spawn_file_actions_t actions;
	int err;

	err = posix_spawn_file_actions_init(&actions);
	if (err)
		return -err;
	if (quiet)
		err = posix_spawn_file_actions_adddup2(&actions, STDERR_FILENO, STDOUT_FILENO);
	if (!err)
		err = posix_spawn(ret_pid, argv[0], &actions, NULL, argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	return -err;
}

static int run_script(struct places *places, bool quiet, struct reason *why)
{
	char script[PATH_MAX];
	char *argv[] = {script,	 "--tethys",  places->tethys,		"--agent", places->agent,
			"--out", places->out, quiet ? "--quiet" : NULL, NULL};
	int err, status = 0;
	pid_t pid = 0;

	err = path_of(script, "%s/lab-build", places->scripts);
	if (err || access(script, X_OK))
		return reason_add(why, -ENOENT,
				  "The lab's scripts are not in '%s' (TETHYS_LAB_SCRIPTS names "
				  "another folder).",
				  places->scripts);
	err = spawn(argv, quiet, &pid);
	if (err)
		return reason_add(why, err, "Can't run '%s': %s.", script, strerror(-err));
	err = await_end(pid, &status);
	if (err) {
		kill(pid, SIGTERM);
		waitpid(pid, NULL, 0);
		return reason_add(why, err, "'%s' did not end: %s.", script, strerror(-err));
	}
	if (!WIFEXITED(status) || WEXITSTATUS(status))
		return reason_add(why, -ECHILD, "The lab's images could not be made.");
	return 0;
}

/* --- what it left --- */

static const struct field {
	const char *key;
	size_t offset, size;
} fields[] = {
#define FIELD(name) \
	{#name, offsetof(struct lab_images, name), sizeof(((struct lab_images *)0)->name)}
	FIELD(kernel), FIELD(initrd), FIELD(base),    FIELD(payload),
	FIELD(enter),  FIELD(root),   FIELD(release), FIELD(qemu),
#undef FIELD
};

static int read_field(struct json_object *document, const struct field *field,
		      struct lab_images *images)
{
	struct json_object *value;
	const char *text;

	if (!json_object_object_get_ex(document, field->key, &value) ||
	    !json_object_is_type(value, json_type_string))
		return -EPROTO;
	text = json_object_get_string(value);
	if (!*text || strlen(text) >= field->size)
		return -EPROTO;
	memcpy((char *)images + field->offset, text, strlen(text) + 1);
	return 0;
}

static int read_images(const char *path, struct lab_images *ret_images, struct reason *why)
{
	struct json_object *document = json_object_from_file(path);
	struct lab_images images = {0};
	int err = 0;

	if (!document)
		return reason_add(why, -EPROTO, "'%s' is missing or no JSON.", path);
	for (size_t i = 0; !err && i < sizeof(fields) / sizeof(fields[0]); i++) {
		err = read_field(document, &fields[i], &images);
		if (err)
			reason_add(why, err, "'%s' has no usable \"%s\".", path, fields[i].key);
	}
	json_object_put(document);
	if (!err)
		*ret_images = images;
	return err;
}

int lab_images_make(bool quiet, struct lab_images *ret_images, struct reason *why)
{
	struct places places;
	char path[PATH_MAX];
	int err;

	err = find_places(&places, why);
	if (!err)
		err = run_script(&places, quiet, why);
	if (!err)
		err = path_of(path, "%s/images.json", places.out);
	return err ? err : read_images(path, ret_images, why);
}
