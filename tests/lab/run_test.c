/* SPDX-License-Identifier: MIT */
/*
 * Does a run say what it saw? Each scenario here is played with a machine that is this machine.
 */
#include <dirent.h>
#include <errno.h>
#include <ftw.h>
#include <pthread.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lab/dir.h"
#include "lab/result.h"
#include "tests/tap.h"

#define HEAD               \
	"title = A test\n" \
	"[host]\n"         \
	"driver = none\n"  \
	"[card]\n"         \
	"engine = null\n"

static char logs[] = "/tmp/tethys-lab-test-XXXXXX";
static struct lab_images images;

/* Plays @text; @ret_result is to be deinitialised with the scenario it points to. */
static int play_in(struct lab_loop *loop, const char *text, struct lab_result *ret_result)
{
	struct lab_run_options options = {
		.command = getenv("TETHYS"),
		.logs_dir = logs,
		.loop = loop,
		.images = &images,
		.accel_line = "none",
	};
	struct lab_scenario *scenario;
	struct reason why = {0};
	int err;

	memset(ret_result, 0, sizeof(*ret_result));
	err = lab_scenario_parse("test", text, strlen(text), &scenario, &why);
	if (!err)
		err = lab_run(scenario, &options, ret_result, &why);
	if (err && err != -EINTR)
		printf("# %s\n", why.text);
	return err;
}

static int play(const char *text, struct lab_result *ret_result)
{
	struct lab_loop *loop;
	int err = lab_loop_create(&loop);

	if (!err)
		err = play_in(loop, text, ret_result);
	lab_loop_destroy(loop);
	return err;
}

static void done(struct lab_result *result)
{
	struct lab_scenario *scenario = (struct lab_scenario *)result->scenario;

	lab_result_deinit(result);
	lab_scenario_destroy(scenario);
}

static const struct lab_stage *stage_named(const struct lab_result *result, const char *name)
{
	static const struct lab_stage none = {.name = (char *)"none", .detail = (char *)"none"};
	size_t i;

	for (i = 0; i < result->stages; i++)
		if (!strcmp(result->stage[i].name, name))
			return &result->stage[i];
	printf("# no stage \"%s\"\n", name);
	return &none;
}

static const char *output_of(const struct lab_result *result, const char *name)
{
	const struct lab_stage *stage = stage_named(result, name);

	if (stage->detail)
		printf("# %s: %s\n", name, stage->detail);
	return stage->output ? stage->output : "(none)";
}

static void test_lab_run_all_as_promised_passes(void)
{
	struct lab_result result;

	ASSERT_EQ(play(HEAD "[step Hello]\nin = host\nrun = echo hello; echo hello; exit 3\n"
			    "exit = 3\nprints = 2 x /^hello$/\nprints = no /world/\n"
			    "at most = 20 s\n"
			    "[at the end]\nhost qemu = 1 x /fake QEMU/\n",
		       &result),
		  0);
	EXPECT(result.passed);
	EXPECT_EQ(stage_named(&result, "Hello")->checks, 4);
	EXPECT_EQ(stage_named(&result, "Hello")->status, 3);
	EXPECT_STR(output_of(&result, "Hello"), "hello\nhello\n");
	EXPECT(stage_named(&result, "isolation")->passed);
	EXPECT(!access(result.dir, R_OK));
	done(&result);
}

/* One broken promise each; the rest holds. */
static void test_lab_run_a_broken_promise_fails(void)
{
	static const struct {
		const char *steps, *check, *seen;
	} cases[] = {
		{"[step S]\nin = host\nrun = exit 4\n", "exit = 0", "exit code 4"},
		{"[step S]\nin = host\nrun = kill -9 $$\n", "exit = 0", "exit code 137"},
		{"[step S]\nin = host\nrun = echo no\nprints = /yes/\n", "prints = /yes/",
		 "0 such lines"},
		{"[step S]\nin = host\nrun = echo yes\nprints = no /yes/\n", "prints = no /yes/",
		 "1 such line"},
		{"[step S]\nin = host\nrun = echo a; echo a\nprints = 1 x /a/\n",
		 "prints = 1 x /a/", "2 such lines"},
		{"[step S]\nin = host\nrun = sleep 0.2\nat most = 100 ms\n", "at most = 100 ms",
		 NULL},
		{"[step S]\nin = host\nrun = sleep 60\nwithin = 300 ms\n", "exit = 0",
		 "ended after 0.3 s without an end"},
		{"[step S]\nin = host\nrun = sleep 60\nwithin = 300 ms\nexit = any\n", "exit = any",
		 "ended after 0.3 s without an end"},
		/* What is looked for may be in what was not kept. */
		{"[step S]\nin = host\nrun = head -c 8500000 /dev/zero | tr '\\0' x; echo; echo y\n"
		 "prints = no /y/\n",
		 "prints is within 8 MiB", "more"},
		{"[step S]\ndo = card peek 0\nprints = /nothing/\n", "prints = /nothing/", NULL},
	};
	const struct lab_stage *stage;
	struct lab_result result;
	char text[512];
	size_t i, j;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		snprintf(text, sizeof(text), HEAD "%s", cases[i].steps);
		ASSERT_EQ(play(text, &result), 0);
		EXPECT(!result.passed);
		EXPECT(result.seconds < 20);
		stage = stage_named(&result, "S");
		EXPECT(!stage->passed && stage->detail);
		for (j = 0; j < stage->checks; j++) {
			if (strcmp(stage->check[j].text, cases[i].check))
				continue;
			EXPECT(!stage->check[j].passed);
			if (cases[i].seen)
				EXPECT_STR(stage->check[j].seen, cases[i].seen);
			break;
		}
		EXPECT(j < stage->checks);
		done(&result);
	}
}

static void test_lab_run_end_promise_broken_fails(void)
{
	struct lab_result result;

	ASSERT_EQ(play(HEAD "[step S]\nin = host\nrun = true\n"
			    "[at the end]\nhost qemu = no /fake QEMU/\n",
		       &result),
		  0);
	EXPECT(!result.passed);
	EXPECT(!stage_named(&result, "at the end")->passed);
	done(&result);
}

static void test_lab_run_end_log_over_its_bound_fails(void)
{
	const struct lab_stage *stage;
	struct lab_result result;

	setenv("FAKE_QEMU_NOISE", "8500000", 1);
	ASSERT_EQ(play(HEAD "[step S]\nin = host\nrun = true\n"
			    "[at the end]\nhost qemu = no /the end of the noise/\n"
			    "host qemu = 1 x /fake QEMU/\n",
		       &result),
		  0);
	unsetenv("FAKE_QEMU_NOISE");
	EXPECT(!result.passed);
	stage = stage_named(&result, "at the end");
	EXPECT(!stage->passed);
	ASSERT_EQ(stage->checks, 3);
	EXPECT_STR(stage->check[0].text, "host qemu is within 8 MiB");
	EXPECT(!stage->check[0].passed && stage->check[1].passed && stage->check[2].passed);
	done(&result);
}

static void test_lab_run_module_too_long_is_told(void)
{
	struct lab_result result;
	char text[8192], *at = text;

	at += sprintf(at, "title = A test\n[host]\ndriver = none\nmodule = none_such a=");
	memset(at, 'x', 5000);
	strcpy(at + 5000, "\n[card]\nengine = null\n[step S]\nin = host\nrun = true\n");
	ASSERT_EQ(play(text, &result), 0);
	EXPECT(!result.passed);
	EXPECT_HAS(stage_named(&result, "host is set up")->detail, "module = none_such a=xxx");
	EXPECT_HAS(stage_named(&result, "host is set up")->detail, "too long by ");
	done(&result);
}

static void test_lab_run_failed_step_ends_the_steps(void)
{
	struct lab_result result;

	ASSERT_EQ(play(HEAD "[step First]\nin = host\nrun = false\n"
			    "[step Second]\nin = host\nrun = true\n",
		       &result),
		  0);
	EXPECT(!result.passed);
	EXPECT_STR(stage_named(&result, "Second")->name, "none");
	EXPECT(stage_named(&result, "at the end")->passed);
	done(&result);
}

static void test_lab_run_background_step_is_waited_for(void)
{
	struct lab_result result;

	ASSERT_EQ(play(HEAD "[step Slow]\nin = host\nrun = sleep 0.5; echo late; exit 5\n"
			    "background = yes\nexit = 5\nprints = /late/\n"
			    "[step Quick]\nin = host\nrun = true\n"
			    "[step Wait]\ndo = wait for step Slow\n",
		       &result),
		  0);
	EXPECT(result.passed);
	EXPECT_STR(output_of(&result, "Wait"), "late\n");
	done(&result);
	ASSERT_EQ(play(HEAD "[step Slow]\nin = host\nrun = sleep 60\nbackground = yes\n"
			    "[step Quick]\nin = host\nrun = true\n",
		       &result),
		  0);
	EXPECT(!result.passed);
	EXPECT(!stage_named(&result, "at the end")->passed);
	done(&result);
}

static void test_lab_run_card_answers_and_refuses(void)
{
	struct lab_result result;

	ASSERT_EQ(play(HEAD "[step Stats]\ndo = card stats\nprints = /\"ok\":true/\n", &result), 0);
	EXPECT(result.passed);
	done(&result);
	ASSERT_EQ(play(HEAD "[step Nonsense]\ndo = card dance\n", &result), 0);
	EXPECT(!result.passed);
	done(&result);
}

static void test_lab_run_bad_seed_fails_at_the_card(void)
{
	struct lab_result result;

	ASSERT_EQ(play(HEAD "seed = poke 0xffffff 1\n[step S]\nin = host\nrun = true\n", &result),
		  0);
	EXPECT(!result.passed);
	EXPECT(!stage_named(&result, "card")->passed);
	done(&result);
}

static void test_lab_run_qemu_that_ends_fails_at_the_boot(void)
{
	struct lab_result result;

	setenv("FAKE_QEMU_EXIT", "1", 1);
	ASSERT_EQ(play(HEAD "[step S]\nin = host\nrun = true\n", &result), 0);
	unsetenv("FAKE_QEMU_EXIT");
	EXPECT(!result.passed);
	EXPECT(!stage_named(&result, "host boots")->passed);
	EXPECT(result.seconds < 20);
	done(&result);
}

static void *stop_soon(void *arg)
{
	usleep(1500000);
	lab_loop_stop(arg);
	return NULL;
}

static void test_lab_run_stopped_leaves_nothing(void)
{
	struct lab_result result;
	struct lab_loop *loop;
	pthread_t thread;
	char link[PATH_MAX + 16];

	ASSERT_EQ(lab_loop_create(&loop), 0);
	ASSERT_EQ(pthread_create(&thread, NULL, stop_soon, loop), 0);
	EXPECT_EQ(play_in(loop, HEAD "[step S]\nin = host\nrun = sleep 60\n", &result), -EINTR);
	pthread_join(thread, NULL);
	lab_loop_destroy(loop);
	EXPECT(result.seconds < 10);
	snprintf(link, sizeof(link), "%s/sockets", result.dir);
	EXPECT(access(link, F_OK));
	done(&result);
}

static void test_lab_run_silent_agent_is_given_up(void)
{
	struct lab_result result;
	struct lab_loop *loop;
	pthread_t thread;

	setenv("FAKE_QEMU_SILENT", "1", 1);
	ASSERT_EQ(lab_loop_create(&loop), 0);
	ASSERT_EQ(pthread_create(&thread, NULL, stop_soon, loop), 0);
	EXPECT_EQ(play_in(loop, HEAD "[step S]\nin = host\nrun = true\n", &result), -EINTR);
	pthread_join(thread, NULL);
	unsetenv("FAKE_QEMU_SILENT");
	lab_loop_destroy(loop);
	EXPECT(!stage_named(&result, "host boots")->passed);
	done(&result);
}

static void test_lab_run_complaint_of_the_agent_is_shown(void)
{
	struct lab_result result;

	setenv("FAKE_QEMU_COMPLAINT", "cannot read the kernel log", 1);
	ASSERT_EQ(play(HEAD "[step S]\ndo = wait for host log /x/\nwithin = 300 ms\n", &result), 0);
	unsetenv("FAKE_QEMU_COMPLAINT");
	EXPECT_STR(stage_named(&result, "S")->detail,
		   "the host log shows no /x/\nthe host's agent: cannot read the kernel log");
	done(&result);
}

static void test_lab_result_json_and_tap_agree(void)
{
	struct json_object *root, *stages;
	struct lab_result result;
	char *tap = NULL;
	size_t len = 0;
	FILE *stream;

	ASSERT_EQ(play(HEAD "[step S]\nin = host\nrun = echo x # y\nprints = /z#/\n", &result), 0);
	stream = open_memstream(&tap, &len);
	ASSERT(stream);
	lab_result_tap(&result, 1, stream);
	fclose(stream);
	EXPECT(strstr(tap, "not ok 5 - test: S: prints = /z /\n") != NULL);
	EXPECT(strstr(tap, "ok 4 - test: S: exit = 0\n") != NULL);
	free(tap);
	root = lab_result_json(&result);
	stages = json_object_object_get(root, "stages");
	EXPECT_EQ(json_object_array_length(stages), result.stages);
	EXPECT(!json_object_get_boolean(json_object_object_get(root, "passed")));
	json_object_put(root);
	done(&result);
}

/*
 * A tethys that says of machines what is in live.json beside it, of snapshots what is in again.json
 * or, of two, together.json, with the exit code in front; everything else does the real one.
 */
static const char fake_tethys[] =
	"#!/bin/sh\n"
	"d=${0%%/*}\n"
	"[ \"$1\" = doctor ] || exec '%s' \"$@\"\n"
	"name=again\n"
	"[ $# -lt 4 ] || name=together\n"
	"if [ \"$3\" = --snapshot ]; then name=live; echo seen >\"$4\"; fi\n"
	"[ $name = live ] || grep -q seen \"$3\" || exit 9\n"
	"read -r code <$d/$name.json\n"
	"echo something >&2\n"
	"sed 1d $d/$name.json\n"
	"exit $code\n";

static char fake_path[sizeof(logs) + 16];

static void write_file(const char *name, const char *text)
{
	char path[sizeof(logs) + 64];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", logs, name);
	file = fopen(path, "w");
	if (!file || fputs(text, file) < 0 || fclose(file))
		TAP_FAIL("%s: %s", path, strerror(errno));
}

/* "1 iommu-off:error rmrr:info": exit code, findings. */
static void write_report(const char *name, const char *short_form)
{
	char text[2048], words[256], *id, *save, *severity;

	snprintf(words, sizeof(words), "%s", short_form);
	snprintf(text, sizeof(text),
		 "%c\n{\"format\":\"tethys-doctor-report/1\",\"verdict\":\"%s\",\"findings\":[",
		 *words,
		 *words == '0'	 ? "healthy"
		 : *words == '1' ? "findings"
				 : "cannot-look");
	strtok_r(words, " ", &save);
	for (id = strtok_r(NULL, " ", &save); id; id = strtok_r(NULL, " ", &save)) {
		severity = strchr(id, ':');
		*severity++ = '\0';
		snprintf(text + strlen(text), sizeof(text) - strlen(text),
			 "%s{\"id\":\"%s\",\"severity\":\"%s\",\"title\":\"T of %s\"}",
			 text[strlen(text) - 1] == '[' ? "" : ",", id, severity, id);
	}
	strcat(text, "]}\n");
	write_file(name, text);
}

static void use_fake_tethys(void)
{
	char text[2048], path[4096];

	snprintf(fake_path, sizeof(fake_path), "%s/tethys", logs);
	snprintf(text, sizeof(text), fake_tethys, getenv("TETHYS"));
	write_file("tethys", text);
	chmod(fake_path, 0755);
	snprintf(path, sizeof(path), "%s:%s", logs, getenv("PATH"));
	setenv("PATH", path, 1);
	setenv("TETHYS", fake_path, 1);
}

static void test_lab_run_doctor_is_asked_live_and_of_its_snapshot(void)
{
	static const struct {
		const char *live, *again, *promise, *seen; /* seen: NULL: it holds */
		size_t failed;				   /* which check */
	} cases[] = {
		{"0", "0", "doctor = healthy", NULL, 0},
		{"0 boot-fault-benign:info", "0 boot-fault-benign:info", "doctor = healthy", NULL,
		 0},
		{"1 b:error a:warning", "1 b:error a:warning", "doctor = b, a", NULL, 0},
		{"1 b:error a:warning", "1 b:error a:warning", "doctor = b\ndoctor also = a", NULL,
		 0},
		{"1 b:error a:warning", "1 b:error a:warning", "doctor = b",
		 "b (T of b), a (T of a)", 0},
		{"1 b:error a:warning", "1 b:error a:warning", "doctor = a, b",
		 "b (T of b), a (T of a)", 0},
		{"1 a:error", "1 a:error", "doctor = healthy", "a (T of a)", 0},
		{"0", "0", "doctor = a", "healthy", 0},
		{"1 a:error", "0", "doctor = a", "healthy", 1},
		{"1 a:error", "1 a:error b:info", "doctor = a", "a (T of a)", 2},
		{"2", "2", "doctor = healthy",
		 "doctor could not look (exit code 2) last lines of doctor-host.err: something", 0},
		{"0 a:error", "1 a:error", "doctor = a",
		 "doctor contradicts itself: verdict healthy, exit code 0, and 1 errors and "
		 "warnings last lines of doctor-host.err: something",
		 0},
	};
	const struct lab_stage *stage;
	struct lab_result result;
	char text[512];
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		write_report("live.json", cases[i].live);
		write_report("again.json", cases[i].again);
		snprintf(text, sizeof(text),
			 HEAD "[step S]\nin = host\nrun = true\n[at the end]\n%s\n",
			 cases[i].promise);
		ASSERT_EQ(play(text, &result), 0);
		printf("# %zu\n", i);
		stage = stage_named(&result, "doctor");
		EXPECT_EQ(result.passed, !cases[i].seen);
		EXPECT_EQ(stage->passed, !cases[i].seen);
		ASSERT(stage->checks > cases[i].failed);
		EXPECT_EQ(stage->check[cases[i].failed].passed, !cases[i].seen);
		if (cases[i].seen && stage->check[cases[i].failed].seen)
			EXPECT_STR(stage->check[cases[i].failed].seen, cases[i].seen);
		done(&result);
	}
}

static void test_lab_run_doctor_leaves_reports_and_snapshots(void)
{
	static const char *const names[] = {"doctor-host.json", "doctor-host-again.json",
					    "snapshot-host.json", "doctor-host.err"};
	char path[PATH_MAX + 64];
	struct lab_result result;
	size_t i;

	write_report("live.json", "0");
	write_report("again.json", "0");
	/* Also when a step has failed. */
	ASSERT_EQ(play(HEAD "[step S]\nin = host\nrun = false\n[at the end]\ndoctor = healthy\n",
		       &result),
		  0);
	EXPECT(!result.passed);
	EXPECT(stage_named(&result, "doctor")->passed);
	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", result.dir, names[i]);
		EXPECT(!access(path, R_OK));
	}
	done(&result);
}

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	(void)st;
	(void)flag;
	(void)ftw;
	return remove(path);
}

int main(void)
{
	if (!mkdtemp(logs))
		return 1;
	snprintf(images.enter, sizeof(images.enter), "%s", getenv("FAKE_QEMU"));
	strcpy(images.root, "/");
	strcpy(images.kernel, "/boot/none");
	strcpy(images.initrd, "/boot/none");
	strcpy(images.base, "/boot/none");
	strcpy(images.payload, "/boot/none");
	RUN(test_lab_run_all_as_promised_passes);
	RUN(test_lab_run_a_broken_promise_fails);
	RUN(test_lab_run_end_promise_broken_fails);
	RUN(test_lab_run_end_log_over_its_bound_fails);
	RUN(test_lab_run_module_too_long_is_told);
	RUN(test_lab_run_failed_step_ends_the_steps);
	RUN(test_lab_run_background_step_is_waited_for);
	RUN(test_lab_run_card_answers_and_refuses);
	RUN(test_lab_run_bad_seed_fails_at_the_card);
	RUN(test_lab_run_qemu_that_ends_fails_at_the_boot);
	RUN(test_lab_run_stopped_leaves_nothing);
	RUN(test_lab_run_silent_agent_is_given_up);
	RUN(test_lab_run_complaint_of_the_agent_is_shown);
	RUN(test_lab_result_json_and_tap_agree);
	use_fake_tethys();
	RUN(test_lab_run_doctor_is_asked_live_and_of_its_snapshot);
	RUN(test_lab_run_doctor_leaves_reports_and_snapshots);
	nftw(logs, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	return tap_done();
}
