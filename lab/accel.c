/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/unix_socket.h"
#include "common/userdir.h"
#include "lab/accel.h"
#include "lab/dir.h"
#include "lab/link.h"
#include "lab/process.h"

#define TRIAL_MS 15000
#define TRIAL_MIB 512u
#define LINE_BYTES 160
#define KEY_BYTES (PATH_MAX + 256)

enum outcome {
	OUTCOME_UNKNOWN,
	OUTCOME_WORKS,
	OUTCOME_NOT_NESTED,
	OUTCOME_BROKEN, /* KVM stopped the machine, see words */
	OUTCOME_ENDED,	/* QEMU did, see words */
	OUTCOME_SILENT,
};

struct trial {
	struct lab_loop *loop;
	struct lab_process *process;
	struct lab_link *link;
	char dir[64], agent[96], log[96];
	enum outcome outcome;
	char words[96]; /* QEMU's own */
	bool asked;
	int err; /* the agent can't be reached at all */
};

/* --- what QEMU prints --- */

static size_t read_file(const char *path, char *ret_text, size_t size)
{
	FILE *file = fopen(path, "re");
	size_t n = 0;

	if (file) {
		n = fread(ret_text, 1, size - 1, file);
		fclose(file);
	}
	ret_text[n] = '\0';
	return n;
}

/* QEMU leaves a machine that KVM can't go on with paused, after such a line. */
static bool find_breakdown(const char *log, char *ret_words, size_t size)
{
	static const char *const marks[] = {"emulation failure", "KVM internal error",
					    "kvm run failed", "KVM: entry failed"};
	const char *at;
	size_t i;

	for (i = 0; i < sizeof(marks) / sizeof(marks[0]); i++) {
		at = strstr(log, marks[i]);
		if (!at)
			continue;
		snprintf(ret_words, size, "%.*s", (int)strcspn(at, "\n"), at);
		return true;
	}
	return false;
}

static void last_line(char *log, char *ret_words, size_t size)
{
	size_t len = strlen(log);
	const char *at;

	while (len && log[len - 1] == '\n')
		log[--len] = '\0';
	at = strrchr(log, '\n');
	snprintf(ret_words, size, "%.*s", (int)size - 1, at ? at + 1 : log);
}

/* --- the agent in it --- */

static void on_ended(void *ctx, int status, bool timed_out, uint64_t elapsed_us, const char *error)
{
	struct trial *t = ctx;

	(void)timed_out;
	(void)elapsed_us;
	(void)error;
	/* grep: 1 for "not found"; anything else tells nothing, and the trial goes on to its end. */
	if (status == 0)
		t->outcome = OUTCOME_WORKS;
	else if (status == 1)
		t->outcome = OUTCOME_NOT_NESTED;
}

static void on_hello(void *ctx, uint64_t uptime_us, const char *text)
{
	static const char *const argv[] = {"grep", "-qwE", "svm|vmx", "/proc/cpuinfo", NULL};
	static const struct lab_command_events events = {.ended = on_ended};
	struct lab_command command = {.argv = argv, .timeout_ms = TRIAL_MS};
	struct trial *t = ctx;
	uint32_t id;

	(void)uptime_us;
	(void)text;
	if (!t->asked)
		t->asked = lab_link_exec(t->link, &command, &events, t, &id) == 0;
}

/* Return: 0, also when it is too early; negative errno. */
static int try_connect(struct trial *t)
{
	static const struct lab_link_events events = {.hello = on_hello};
	int fd = unix_socket_connect(t->agent, 0, 0);

	if (fd == -ENOENT || fd == -ECONNREFUSED)
		return 0;
	if (fd < 0)
		return fd;
	return lab_link_create(t->loop, fd, &events, t, &t->link);
}

/* --- the trial --- */

static bool trial_over(void *ctx)
{
	struct trial *t = ctx;
	bool running = lab_process_running(t->process);
	char log[8192];

	if (t->outcome != OUTCOME_UNKNOWN)
		return true;
	read_file(t->log, log, sizeof(log));
	if (find_breakdown(log, t->words, sizeof(t->words))) {
		t->outcome = OUTCOME_BROKEN;
	} else if (!running) {
		last_line(log, t->words, sizeof(t->words));
		t->outcome = OUTCOME_ENDED;
	} else if (!t->link) {
		t->err = try_connect(t);
	}
	return t->err || t->outcome != OUTCOME_UNKNOWN;
}

static int start_qemu(struct trial *t, const struct lab_images *images, struct reason *why)
{
	struct lab_host_machine machine = {
		.accel = LAB_ACCEL_KVM,
		.kernel = images->kernel,
		.initrd = images->initrd,
		.base = images->base,
		.payload = images->payload,
		.socket_dir = t->dir,
		.log_dir = t->dir,
		.memory_mib = TRIAL_MIB,
		.cpus = 1,
		.iommu = true,
		.intremap = true,
	};
	struct lab_argv argv = {0};
	int err;

	err = lab_argv_add(&argv, "%s", images->enter);
	if (!err)
		err = lab_argv_add(&argv, "%s", images->root);
	if (!err)
		err = lab_host_argv(&machine, &argv, why);
	if (!err)
		err = lab_process_start(t->loop, (const char *const *)argv.item, t->log,
					&t->process, why);
	lab_argv_deinit(&argv);
	return err;
}

static int trial_init(struct trial *t, struct lab_loop *loop, struct reason *why)
{
	/* Short, because of its sockets. */
	char dir[] = "/tmp/tethys-accel-XXXXXX";

	memset(t, 0, sizeof(*t));
	t->loop = loop;
	if (!mkdtemp(dir))
		return reason_add(why, -errno, "no folder %s: %s", dir, strerror(errno));
	strcpy(t->dir, dir);
	snprintf(t->log, sizeof(t->log), "%s/host.qemu", dir);
	snprintf(t->agent, sizeof(t->agent), "%s/host.agent", dir);
	return 0;
}

static void trial_deinit(struct trial *t)
{
	lab_link_destroy(t->link);
	if (t->process)
		lab_process_stop(t->process, 0);
	lab_process_destroy(t->process);
	lab_dir_remove(t->dir);
}

/* Does KVM boot the lab's kernel, with nested virtualisation in it? */
static int run_trial(struct lab_loop *loop, const struct lab_images *images, int timeout_ms,
		     enum outcome *ret_outcome, char ret_words[96], struct reason *why)
{
	struct trial t;
	int err;

	err = trial_init(&t, loop, why);
	if (err)
		return err;
	err = start_qemu(&t, images, why);
	if (!err)
		err = lab_loop_run(loop, trial_over, &t, timeout_ms);
	if (err == -ETIMEDOUT) {
		t.outcome = OUTCOME_SILENT;
		err = 0;
	}
	if (!err && t.err)
		err = reason_add(why, t.err, "the machine that tries KVM can't be reached: %s",
				 strerror(-t.err));
	if (!err) {
		*ret_outcome = t.outcome;
		strcpy(ret_words, t.words);
	}
	trial_deinit(&t);
	return err;
}

static void describe(enum outcome outcome, const char *words, int timeout_ms,
		     char ret_line[LINE_BYTES])
{
	switch (outcome) {
	case OUTCOME_WORKS:
		snprintf(ret_line, LINE_BYTES, "KVM");
		break;
	case OUTCOME_NOT_NESTED:
		snprintf(ret_line, LINE_BYTES, "TCG: KVM here has no nested virtualisation");
		break;
	case OUTCOME_SILENT:
		snprintf(ret_line, LINE_BYTES, "TCG: KVM did not boot a kernel in %d s",
			 timeout_ms / 1000);
		break;
	case OUTCOME_ENDED:
		snprintf(ret_line, LINE_BYTES, "TCG: QEMU does not run with KVM here (%s)",
			 *words ? words : "it said nothing");
		break;
	default:
		snprintf(ret_line, LINE_BYTES, "TCG: KVM can't boot a kernel here (%s)", words);
	}
}

/* --- what is remembered: key, "kvm" or "tcg", line --- */

static int make_key(const struct lab_accel_world *world, const struct lab_images *images,
		    char ret_key[KEY_BYTES])
{
	char boot_id[64];
	struct stat st;

	if (!read_file(world->boot_id, boot_id, sizeof(boot_id)) || stat(images->kernel, &st))
		return -ENOENT;
	boot_id[strcspn(boot_id, "\n")] = '\0';
	snprintf(ret_key, KEY_BYTES, "%s %s %s %lld %lld", boot_id, images->qemu, images->kernel,
		 (long long)st.st_size, (long long)st.st_mtime);
	return strchr(ret_key, '\n') ? -EINVAL : 0;
}

/* Return: 0; -ENOENT nothing, or of another boot, kernel or QEMU. */
static int recall(const char *path, const char *key, enum lab_accel *ret_accel,
		  char ret_line[LINE_BYTES])
{
	char text[KEY_BYTES + 2 * LINE_BYTES], *accel, *line, *save;

	read_file(path, text, sizeof(text));
	if (!strtok_r(text, "\n", &save) || strcmp(text, key) != 0)
		return -ENOENT;
	accel = strtok_r(NULL, "\n", &save);
	line = strtok_r(NULL, "\n", &save);
	if (!line || (strcmp(accel, "kvm") != 0 && strcmp(accel, "tcg") != 0))
		return -ENOENT;
	*ret_accel = strcmp(accel, "kvm") ? LAB_ACCEL_TCG : LAB_ACCEL_KVM;
	snprintf(ret_line, LINE_BYTES, "%s", line);
	return 0;
}

/* A failure costs the next run a trial, no more. */
static void remember(const char *path, const char *key, enum lab_accel accel, const char *line)
{
	char temporary[PATH_MAX + 8];
	FILE *file;
	int fd;

	snprintf(temporary, sizeof(temporary), "%s.XXXXXX", path);
	fd = mkostemp(temporary, O_CLOEXEC);
	file = fd < 0 ? NULL : fdopen(fd, "w");
	if (!file) {
		if (fd >= 0)
			close(fd);
		return;
	}
	fprintf(file, "%s\n%s\n%s\n", key, accel == LAB_ACCEL_KVM ? "kvm" : "tcg", line);
	if (fclose(file) || rename(temporary, path))
		unlink(temporary);
}

/* --- the choice --- */

static int try_out(const struct lab_accel_world *world, struct lab_loop *loop,
		   const struct lab_images *images, enum lab_accel *ret_accel,
		   char ret_line[LINE_BYTES], struct reason *why)
{
	char key[KEY_BYTES], path[PATH_MAX], words[96];
	enum outcome outcome;
	bool cache;
	int err;

	cache = world->cache &&
		snprintf(path, sizeof(path), "%s/lab-accel", world->cache) < (int)sizeof(path) &&
		make_key(world, images, key) == 0;
	if (cache && recall(path, key, ret_accel, ret_line) == 0)
		return 0;
	err = run_trial(loop, images, world->timeout_ms, &outcome, words, why);
	if (err)
		return err;
	*ret_accel = outcome == OUTCOME_WORKS ? LAB_ACCEL_KVM : LAB_ACCEL_TCG;
	describe(outcome, words, world->timeout_ms, ret_line);
	if (cache && outcome != OUTCOME_ENDED)
		remember(path, key, *ret_accel, ret_line);
	return 0;
}

int lab_accel_choose_in(const struct lab_accel_world *world, struct lab_loop *loop,
			const struct lab_images *images, enum lab_accel *ret_accel,
			char ret_line[LINE_BYTES], struct reason *why)
{
	const char *wish = getenv("TETHYS_LAB_ACCEL");
	int fd;

	if (wish && *wish) {
		if (strcmp(wish, "kvm") != 0 && strcmp(wish, "tcg") != 0)
			return reason_add(why, -EINVAL,
					  "TETHYS_LAB_ACCEL is \"%s\", not kvm or tcg", wish);
		*ret_accel = strcmp(wish, "kvm") ? LAB_ACCEL_TCG : LAB_ACCEL_KVM;
		snprintf(ret_line, LINE_BYTES, "%s: as TETHYS_LAB_ACCEL says",
			 *ret_accel == LAB_ACCEL_KVM ? "KVM" : "TCG");
		return 0;
	}
	fd = open(world->kvm, O_RDWR | O_CLOEXEC);
	if (fd >= 0) {
		close(fd);
		return try_out(world, loop, images, ret_accel, ret_line, why);
	}
	*ret_accel = LAB_ACCEL_TCG;
	if (errno == ENOENT)
		snprintf(ret_line, LINE_BYTES, "TCG: no %s", world->kvm);
	else
		snprintf(ret_line, LINE_BYTES, "TCG: %s: %s", world->kvm, strerror(errno));
	return 0;
}

int lab_accel_choose(struct lab_loop *loop, const struct lab_images *images,
		     enum lab_accel *ret_accel, char ret_line[LINE_BYTES], struct reason *why)
{
	char cache[PATH_MAX];
	struct lab_accel_world world = {
		.kvm = "/dev/kvm",
		.boot_id = "/proc/sys/kernel/random/boot_id",
		.cache = userdir_path(USERDIR_CACHE, "", cache, NULL) ? NULL : cache,
		.timeout_ms = TRIAL_MS,
	};

	return lab_accel_choose_in(&world, loop, images, ret_accel, ret_line, why);
}
