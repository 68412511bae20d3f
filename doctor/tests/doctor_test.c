/* SPDX-License-Identifier: MIT */
/*
 * The program from options to exit code, each run in a process of its own.
 */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "doctor/doctor.h"
#include "doctor/tests/schema.h"
#include "tests/tap.h"

#define SCHEMA DOCTOR_TESTS "/../../docs/doctor-report.schema.json"
#define ARGS_MAX 16
#define SECONDS 60

static char folder[] = "/tmp/doctor-test.XXXXXX";

static const char faults[] =
	"[   77.100001] DMAR: DRHD: handling fault status reg 2\n"
	"[   77.100002] DMAR: [DMA Write NO_PASID] Request device [5e:00.0] fault addr 0x3c5d2000 "
	"[fault reason 0x05] PTE Write access is not set\n";
static const char calm[] = "[    0.000000] Linux version 6.12.0 (gcc) #1 SMP\n"
			   "[    0.100000] DMAR: IOMMU enabled\n"
			   "[    0.200000] pci 0000:5e:00.0: Adding to iommu group 22\n";

struct run {
	int code; /* -1: it did not end by itself */
	char *out;
};

static const char *path_of(const char *name)
{
	static char path[4][PATH_MAX];
	static unsigned int turn;

	turn = (turn + 1) % 4;
	snprintf(path[turn], PATH_MAX, "%s/%s", folder, name);
	return path[turn];
}

static void put_file(const char *name, const char *text)
{
	FILE *file = fopen(path_of(name), "w");

	if (!file)
		abort();
	fputs(text, file);
	fclose(file);
}

static char *get_file(const char *path)
{
	char *text = NULL;
	size_t room = 0;
	FILE *file = fopen(path, "r");
	ssize_t size;

	if (!file)
		return strdup("");
	size = getdelim(&text, &room, '\0', file); /* none of ours holds a NUL */
	fclose(file);
	if (size >= 0)
		return text;
	free(text);
	return strdup("");
}

static pid_t start(const char *const *argv, const char *input)
{
	char *copy[ARGS_MAX + 2] = {NULL};
	pid_t pid = fork();
	int argc = 1, fd;

	if (pid)
		return pid;
	copy[0] = strdup("tethys-doctor");
	for (; argc <= ARGS_MAX && argv[argc - 1]; argc++)
		copy[argc] = strdup(argv[argc - 1]);
	alarm(SECONDS);
	freopen(path_of("stdout"), "w", stdout);
	freopen(path_of("stderr"), "w", stderr);
	fd = open(input, O_RDONLY);
	dup2(fd, STDIN_FILENO);
	fd = doctor_main(argc, copy);
	for (int i = 0; i < argc; i++)
		free(copy[i]);
	exit(fd); /* with the sanitizer's look for leaks */
}

static struct run finish(pid_t pid)
{
	struct run run = {.code = -1};
	int status = 0;

	waitpid(pid, &status, 0);
	if (WIFEXITED(status))
		run.code = WEXITSTATUS(status);
	run.out = get_file(path_of("stdout"));
	return run;
}

#define RUN_DOCTOR(...) finish(start((const char *const[]){__VA_ARGS__, NULL}, "/dev/null"))

static void test_doctor_exit_codes_tell_the_verdict(void)
{
	struct run run = RUN_DOCTOR("--log", path_of("calm.log"));

	EXPECT_EQ(run.code, 0);
	EXPECT(!strncmp(run.out, "Nothing found", 13));
	free(run.out);
	run = RUN_DOCTOR("--log", path_of("faults.log"));
	EXPECT_EQ(run.code, 1);
	EXPECT_HAS(run.out, "[1] ERROR: ");
	EXPECT_HAS(run.out, "faults.log:2");
	free(run.out);
	run = RUN_DOCTOR("--log", path_of("nowhere.log"));
	EXPECT_EQ(run.code, 2);
	free(run.out);
	run = RUN_DOCTOR("--log", "/dev/null");
	EXPECT_EQ(run.code, 2);
	free(run.out);
}

static void test_doctor_wrong_usage_is_told(void)
{
	static const char *const wrong[][4] = {
		{"--explain", "no-such-class"},
		{"--redact"},
		{"--device", "x"},
		{"--json", "--html", "-"},
		{"--log", "-", "--guest-log", "-"},
		{"--watch", "--json"},
		{"--watch", "--root", "/"},
		{"--log", "/dev/null", "--snapshot", "-"},
		{"--interval", "0"},
		{"--nonsense"},
	};

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		struct run run = finish(start((const char *const[]){wrong[i][0], wrong[i][1],
								    wrong[i][2], wrong[i][3], NULL},
					      "/dev/null"));
		char *errors = get_file(path_of("stderr"));

		EXPECT_EQ(run.code, 2);
		EXPECT_STR(run.out, "");
		EXPECT_HAS(errors, "error: ");
		free(errors);
		free(run.out);
	}
}

static void test_doctor_stdin_is_a_log(void)
{
	struct run run =
		finish(start((const char *const[]){"--log", "-", NULL}, path_of("faults.log")));

	EXPECT_EQ(run.code, 1);
	EXPECT_HAS(run.out, "stdin:2");
	free(run.out);
}

static void test_doctor_json_is_as_the_schema_says(void)
{
	struct run run = RUN_DOCTOR("--json", "--log", path_of("faults.log"), path_of("calm.log"));

	EXPECT_EQ(run.code, 1);
	EXPECT_STR(schema_judge(SCHEMA, run.out), "");
	free(run.out);
	run = RUN_DOCTOR("--json", "--log", path_of("nowhere.log"));
	EXPECT_EQ(run.code, 2);
	EXPECT_STR(schema_judge(SCHEMA, run.out), "");
	EXPECT_HAS(run.out, "nowhere.log");
	free(run.out);
	run = RUN_DOCTOR("--json"); /* this machine, whatever it is */
	EXPECT(run.code >= 0 && run.code <= 2);
	EXPECT_STR(schema_judge(SCHEMA, run.out), "");
	free(run.out);
}

static void test_doctor_snapshot_is_judged_as_the_machine_was(void)
{
	struct run run, again;

	run = RUN_DOCTOR("--root", path_of("root"), "--snapshot", path_of("host.json"));
	EXPECT_EQ(run.code, 1);
	EXPECT_HAS(run.out, "kern.log:2");
	free(run.out);
	run = RUN_DOCTOR("--json", path_of("host.json"));
	EXPECT_EQ(run.code, 1);
	EXPECT_HAS(run.out, "kern.log:2\"");
	EXPECT_STR(schema_judge(SCHEMA, run.out), "");
	/* Among logs it is known for what it is. */
	again = RUN_DOCTOR("--json", "--log", path_of("host.json"));
	EXPECT_EQ(again.code, 1);
	EXPECT_STR(run.out, again.out);
	free(again.out);
	free(run.out);
	run = RUN_DOCTOR("--snapshot", "-", path_of("host.json"));
	EXPECT_EQ(run.code, 1);
	EXPECT_HAS(run.out, "\"tethys-doctor-snapshot\"");
	EXPECT(!strstr(run.out, "ERROR"));
	free(run.out);
}

static void test_doctor_two_snapshots_are_one_case(void)
{
	struct json_object *root, *machines;
	struct run run;

	run = RUN_DOCTOR("--root", path_of("root"), "--snapshot", path_of("host.json"));
	free(run.out);
	run = RUN_DOCTOR("--json", path_of("host.json"), path_of("host.json"), "--guest-log",
			 path_of("calm.log"));
	root = json_tokener_parse(run.out);
	machines = json_object_object_get(json_object_object_get(root, "looked_at"), "machines");
	EXPECT(root && json_object_array_length(machines) == 2);
	EXPECT_HAS(run.out, "\"side\": \"guest\"");
	json_object_put(root);
	free(run.out);
}

static void test_doctor_device_leaves_others_out(void)
{
	struct run run = RUN_DOCTOR("--log", path_of("faults.log"), "--device", "5e:00.0");

	EXPECT_EQ(run.code, 1);
	free(run.out);
	run = RUN_DOCTOR("--log", path_of("faults.log"), "--device", "0000:5f:00.0");
	EXPECT_EQ(run.code, 0);
	EXPECT(!strstr(run.out, "5e:00.0"));
	free(run.out);
}

static void test_doctor_files_are_replaced_whole(void)
{
	struct stat info = {0};
	struct run run;
	char *text;

	put_file("doctor.prom", "old");
	run = RUN_DOCTOR("--log", path_of("faults.log"), "--metrics", path_of("doctor.prom"),
			 "--html", path_of("page.html"));
	EXPECT_EQ(run.code, 1);
	free(run.out);
	text = get_file(path_of("doctor.prom"));
	EXPECT_HAS(text, "tethys_doctor_verdict 1\n");
	EXPECT_HAS(text, "kind=\"vtd_dma_fault\",device=\"0000:5e:00.0\"} 1\n# ");
	EXPECT(!strstr(text, "old"));
	free(text);
	EXPECT(!stat(path_of("doctor.prom"), &info) && (info.st_mode & 0444) == 0444);
	text = get_file(path_of("page.html"));
	EXPECT_HAS(text, "</html>");
	free(text);
	run = RUN_DOCTOR("--log", path_of("calm.log"), "--html", path_of("none/page.html"));
	EXPECT_EQ(run.code, 2);
	free(run.out);
}

/* Waits until the child has said @text. */
static bool wait_for(const char *text)
{
	for (int i = 0; i < 10 * SECONDS; i++) {
		char *out = get_file(path_of("stdout"));
		bool there = strstr(out, text);

		free(out);
		if (there)
			return true;
		poll(NULL, 0, 100);
	}
	return false;
}

static void test_doctor_watch_ends_by_signal_with_the_verdict(void)
{
	static const int signals[] = {SIGINT, SIGTERM};

	for (size_t i = 0; i < 2; i++) {
		pid_t pid;
		struct run run;

		put_file("stdout", "");
		pid = start((const char *const[]){"--watch", "--interval", "1", "--metrics",
						  path_of("watch.prom"), NULL},
			    "/dev/null");
		EXPECT(wait_for("^C ends it"));
		kill(pid, signals[i]);
		run = finish(pid);
		EXPECT(run.code == 0 || run.code == 1);
		free(run.out);
		run.out = get_file(path_of("watch.prom"));
		EXPECT_HAS(run.out,
			   run.code ? "tethys_doctor_verdict 1" : "tethys_doctor_verdict 0");
		free(run.out);
	}
}

static void test_doctor_words_about_classes(void)
{
	struct run run = RUN_DOCTOR("--explain", "raw-msi-in-bar");

	EXPECT_EQ(run.code, 0);
	EXPECT_HAS(run.out, "The wrong conclusion");
	free(run.out);
	run = RUN_DOCTOR("--list");
	EXPECT_EQ(run.code, 0);
	EXPECT_HAS(run.out, "\ngroup-not-viable ");
	free(run.out);
}

/* A machine of few files; its log has a fault. */
static void make_root(void)
{
	static const char *const dirs[] = {"root",	   "root/proc", "root/sys",
					   "root/sys/bus", "root/var",	"root/var/log"};

	for (size_t i = 0; i < sizeof(dirs) / sizeof(dirs[0]); i++)
		mkdir(path_of(dirs[i]), 0755);
	put_file("root/proc/cmdline", "root=/dev/sda1 intel_iommu=on iommu=pt\n");
	put_file("root/proc/version", "Linux version 6.12.0\n");
	put_file("root/var/log/kern.log", faults);
}

static int remove_one(const char *path, const struct stat *info, int type, struct FTW *ftw)
{
	(void)info;
	(void)type;
	(void)ftw;
	return remove(path);
}

int main(void)
{
	if (!mkdtemp(folder))
		return 1;
	put_file("faults.log", faults);
	put_file("calm.log", calm);
	make_root();
	RUN(test_doctor_exit_codes_tell_the_verdict);
	RUN(test_doctor_wrong_usage_is_told);
	RUN(test_doctor_stdin_is_a_log);
	RUN(test_doctor_json_is_as_the_schema_says);
	RUN(test_doctor_snapshot_is_judged_as_the_machine_was);
	RUN(test_doctor_two_snapshots_are_one_case);
	RUN(test_doctor_device_leaves_others_out);
	RUN(test_doctor_files_are_replaced_whole);
	RUN(test_doctor_watch_ends_by_signal_with_the_verdict);
	RUN(test_doctor_words_about_classes);
	nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	return tap_done();
}
