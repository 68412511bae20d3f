/* SPDX-License-Identifier: MIT */
/*
 * The trial of KVM with something that only looks like QEMU: this program itself, which the trial
 * starts as lab_images.enter, with the behaviour to show as lab_images.root.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "lab/accel.h"
#include "lab/agent/proto.h"
#include "lab/dir.h"
#include "tests/tap.h"

/* --- as QEMU --- */

static bool read_all(int fd, void *data, size_t len)
{
	return recv(fd, data, len, MSG_WAITALL) == (ssize_t)len;
}

static void send_frame(int fd, enum lab_frame_type type, uint32_t id, const void *body, size_t len)
{
	struct lab_frame frame = {.bytes = (uint32_t)len, .type = type, .id = id};

	if (send(fd, &frame, sizeof(frame), MSG_NOSIGNAL) < 0 ||
	    send(fd, body, len, MSG_NOSIGNAL) < 0)
		_exit(3);
}

static int listen_as_agent(int argc, char **argv)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	const char *path = NULL;
	int i, fd;

	for (i = 0; i < argc && !path; i++)
		if (!strncmp(argv[i], "socket,id=host.agent,path=", 26))
			path = argv[i] + 26;
	if (!path)
		_exit(2);
	snprintf(addr.sun_path, sizeof(addr.sun_path), "%.*s", (int)strcspn(path, ","), path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || bind(fd, (struct sockaddr *)&addr, sizeof(addr)) || listen(fd, 1))
		_exit(2);
	fd = accept(fd, NULL, NULL);
	if (fd < 0)
		_exit(2);
	return fd;
}

/* An agent that knows one command, which ends with @status. */
static void be_an_agent(int argc, char **argv, uint32_t status)
{
	struct lab_hello hello = {.magic = LAB_HELLO_MAGIC, .uptime_us = 1000000};
	struct lab_exit ended = {.status = status};
	struct lab_frame frame;
	static char body[LAB_FRAME_BYTES_MAX];
	int fd = listen_as_agent(argc, argv);

	while (read_all(fd, &frame, sizeof(frame)) && frame.bytes <= sizeof(body) &&
	       (!frame.bytes || read_all(fd, body, frame.bytes)))
		if (frame.type == LAB_FRAME_PING)
			send_frame(fd, LAB_FRAME_HELLO, 0, &hello, sizeof(hello));
		else if (frame.type == LAB_FRAME_EXEC)
			send_frame(fd, LAB_FRAME_EXIT, frame.id, &ended, sizeof(ended));
	_exit(0);
}

static int be_qemu(const char *behaviour, int argc, char **argv)
{
	const char *path = getenv("ACCEL_TEST_STARTS");
	FILE *starts = path ? fopen(path, "ae") : NULL;

	if (!starts || fputs("start\n", starts) < 0 || fclose(starts))
		return 2;
	if (!strcmp(behaviour, "nested"))
		be_an_agent(argc, argv, 0);
	if (!strcmp(behaviour, "not-nested"))
		be_an_agent(argc, argv, 1);
	if (!strcmp(behaviour, "internal-error"))
		fputs("KVM internal error. Suberror: 1\nextra data[0]: 0x0\nemulation failure\n"
		      "RAX=0000000000000000 RBX=0000000000000000\n",
		      stderr);
	if (!strcmp(behaviour, "run-failed"))
		fputs("error: kvm run failed Invalid argument\n", stderr);
	if (!strcmp(behaviour, "ends")) {
		fputs("warning: something\nCould not access KVM kernel module\n", stderr);
		return 1;
	}
	if (!strcmp(behaviour, "ends-mute"))
		return 1;
	sleep(30);
	return 0;
}

/* --- as the test --- */

struct fixture {
	char dir[64], kvm[96], boot_id[96], kernel[96], starts[96], self[PATH_MAX];
	struct lab_loop *loop;
	struct lab_images images;
	struct lab_accel_world world;
	enum lab_accel accel;
	char line[160];
	struct reason why;
	int64_t took_ms;
};

static void write_text(const char *path, const char *text)
{
	FILE *file = fopen(path, "we");

	if (!file || fputs(text, file) < 0 || fclose(file))
		abort();
}

static void setup(struct fixture *f, const char *behaviour)
{
	ssize_t n;

	assert(f);
	memset(f, 0, sizeof(*f));
	strcpy(f->dir, "/tmp/accel-test-XXXXXX");
	n = readlink("/proc/self/exe", f->self, sizeof(f->self) - 1);
	if (n < 0 || !mkdtemp(f->dir) || lab_loop_create(&f->loop))
		abort();
	snprintf(f->kvm, sizeof(f->kvm), "%s/kvm", f->dir);
	snprintf(f->boot_id, sizeof(f->boot_id), "%s/boot_id", f->dir);
	snprintf(f->kernel, sizeof(f->kernel), "%s/kernel", f->dir);
	snprintf(f->starts, sizeof(f->starts), "%s/starts", f->dir);
	write_text(f->kvm, "");
	write_text(f->boot_id, "0b5a\n");
	write_text(f->kernel, "kernel");
	setenv("ACCEL_TEST_STARTS", f->starts, 1);
	unsetenv("TETHYS_LAB_ACCEL");
	strcpy(f->images.enter, f->self);
	strcpy(f->images.root, behaviour);
	strcpy(f->images.kernel, f->kernel);
	strcpy(f->images.initrd, "/initrd");
	strcpy(f->images.base, "/base");
	strcpy(f->images.payload, "/payload");
	strcpy(f->images.qemu, "11.1.3");
	f->world.kvm = f->kvm;
	f->world.boot_id = f->boot_id;
	f->world.cache = f->dir;
	f->world.timeout_ms = 5000;
	f->accel = (enum lab_accel)99;
}

static void teardown(struct fixture *f)
{
	lab_loop_destroy(f->loop);
	lab_dir_remove(f->dir);
	EXPECT(access(f->dir, F_OK) != 0);
	unsetenv("TETHYS_LAB_ACCEL");
}

static int choose(struct fixture *f)
{
	int64_t start_ms = lab_now_ms();
	int err = lab_accel_choose_in(&f->world, f->loop, &f->images, &f->accel, f->line, &f->why);

	f->took_ms = lab_now_ms() - start_ms;
	return err;
}

static int starts(const struct fixture *f)
{
	struct stat st;

	return stat(f->starts, &st) ? 0 : (int)(st.st_size / 6);
}

static void expect_tcg(const char *behaviour, const char *words)
{
	struct fixture f;

	setup(&f, behaviour);
	EXPECT_EQ(choose(&f), 0);
	EXPECT_EQ(f.accel, LAB_ACCEL_TCG);
	EXPECT_HAS(f.line, "TCG: ");
	EXPECT_HAS(f.line, words);
	EXPECT(f.took_ms < 3000);
	teardown(&f);
}

static void test_accel_that_boots_and_nests_is_kvm(void)
{
	struct fixture f;

	setup(&f, "nested");
	EXPECT_EQ(choose(&f), 0);
	EXPECT_EQ(f.accel, LAB_ACCEL_KVM);
	EXPECT_STR(f.line, "KVM");
	EXPECT(f.took_ms < 3000);
	teardown(&f);
}

static void test_accel_without_nesting_is_tcg(void)
{
	expect_tcg("not-nested", "no nested virtualisation");
}

static void test_accel_internal_error_is_tcg_at_once(void)
{
	expect_tcg("internal-error", "(emulation failure)");
	expect_tcg("run-failed", "kvm run failed Invalid argument");
}

static void test_accel_that_ends_is_tcg_with_its_last_line(void)
{
	expect_tcg("ends", "(Could not access KVM kernel module)");
	expect_tcg("ends-mute", "said nothing");
}

static void test_accel_that_is_silent_is_tcg_after_the_time(void)
{
	struct fixture f;

	setup(&f, "silent");
	f.world.timeout_ms = 1000;
	EXPECT_EQ(choose(&f), 0);
	EXPECT_EQ(f.accel, LAB_ACCEL_TCG);
	EXPECT_STR(f.line, "TCG: KVM did not boot a kernel in 1 s");
	EXPECT(f.took_ms >= 1000 && f.took_ms < 4000);
	teardown(&f);
}

static void test_accel_without_device_is_tcg_untried(void)
{
	struct fixture f;

	setup(&f, "nested");
	unlink(f.kvm);
	EXPECT_EQ(choose(&f), 0);
	EXPECT_EQ(f.accel, LAB_ACCEL_TCG);
	EXPECT_HAS(f.line, "TCG: no /tmp/");
	EXPECT_EQ(starts(&f), 0);
	teardown(&f);
}

static void test_accel_is_remembered_for_this_boot_kernel_and_qemu(void)
{
	struct fixture f;

	setup(&f, "nested");
	EXPECT_EQ(choose(&f), 0);
	strcpy(f.images.root, "internal-error"); /* would say something else, if asked */
	EXPECT_EQ(choose(&f), 0);
	EXPECT_EQ(f.accel, LAB_ACCEL_KVM);
	EXPECT_STR(f.line, "KVM");
	EXPECT_EQ(starts(&f), 1);

	write_text(f.boot_id, "0b5b\n");
	EXPECT_EQ(choose(&f), 0);
	EXPECT_EQ(f.accel, LAB_ACCEL_TCG);
	EXPECT_EQ(starts(&f), 2);

	strcpy(f.images.qemu, "12.0.0");
	EXPECT_EQ(choose(&f), 0);
	EXPECT_EQ(starts(&f), 3);

	write_text(f.kernel, "another kernel");
	EXPECT_EQ(choose(&f), 0);
	EXPECT_EQ(starts(&f), 4);

	EXPECT_EQ(choose(&f), 0);
	EXPECT_HAS(f.line, "emulation failure");
	EXPECT_EQ(starts(&f), 4);
	teardown(&f);
}

static void test_accel_of_a_qemu_that_ended_is_not_remembered(void)
{
	struct fixture f;

	setup(&f, "ends");
	EXPECT_EQ(choose(&f), 0);
	EXPECT_EQ(choose(&f), 0);
	EXPECT_EQ(starts(&f), 2);
	teardown(&f);
}

static void test_accel_spoilt_cache_is_tried_anew(void)
{
	static const char *const spoilt[] = {"", "\n\n\n", "nonsense", NULL};
	char path[128];
	struct fixture f;
	int i;

	setup(&f, "nested");
	snprintf(path, sizeof(path), "%s/lab-accel", f.dir);
	for (i = 0; spoilt[i]; i++) {
		write_text(path, spoilt[i]);
		EXPECT_EQ(choose(&f), 0);
		EXPECT_EQ(f.accel, LAB_ACCEL_KVM);
		EXPECT_EQ(starts(&f), i + 1);
	}
	teardown(&f);
}

static void test_accel_wish_skips_the_trial(void)
{
	struct fixture f;

	setup(&f, "nested");
	setenv("TETHYS_LAB_ACCEL", "tcg", 1);
	EXPECT_EQ(choose(&f), 0);
	EXPECT_EQ(f.accel, LAB_ACCEL_TCG);
	setenv("TETHYS_LAB_ACCEL", "kvm", 1);
	EXPECT_EQ(choose(&f), 0);
	EXPECT_EQ(f.accel, LAB_ACCEL_KVM);
	EXPECT_HAS(f.line, "TETHYS_LAB_ACCEL");
	EXPECT_EQ(starts(&f), 0);
	teardown(&f);
}

static void test_accel_wish_for_something_else_is_refused(void)
{
	struct fixture f;

	setup(&f, "nested");
	setenv("TETHYS_LAB_ACCEL", "hvf", 1);
	EXPECT_EQ(choose(&f), -EINVAL);
	EXPECT_HAS(f.why.text, "hvf");
	EXPECT_EQ(f.accel, 99);
	EXPECT_STR(f.line, "");
	teardown(&f);
}

static void test_accel_without_qemu_is_an_error(void)
{
	struct fixture f;

	setup(&f, "nested");
	strcpy(f.images.enter, "/no/such/program");
	EXPECT_EQ(choose(&f), -ENOENT);
	EXPECT_EQ(f.accel, 99);
	teardown(&f);
}

static void test_accel_stopped_is_interrupted(void)
{
	struct fixture f;

	setup(&f, "silent");
	lab_loop_stop(f.loop);
	EXPECT_EQ(choose(&f), -EINTR);
	EXPECT_EQ(f.accel, 99);
	EXPECT(f.took_ms < 3000);
	teardown(&f);
}

int main(int argc, char **argv)
{
	if (argc > 2 && !strcmp(argv[2], "qemu-system-x86_64"))
		return be_qemu(argv[1], argc, argv);
	RUN(test_accel_that_boots_and_nests_is_kvm);
	RUN(test_accel_without_nesting_is_tcg);
	RUN(test_accel_internal_error_is_tcg_at_once);
	RUN(test_accel_that_ends_is_tcg_with_its_last_line);
	RUN(test_accel_that_is_silent_is_tcg_after_the_time);
	RUN(test_accel_without_device_is_tcg_untried);
	RUN(test_accel_is_remembered_for_this_boot_kernel_and_qemu);
	RUN(test_accel_of_a_qemu_that_ended_is_not_remembered);
	RUN(test_accel_spoilt_cache_is_tried_anew);
	RUN(test_accel_wish_skips_the_trial);
	RUN(test_accel_wish_for_something_else_is_refused);
	RUN(test_accel_without_qemu_is_an_error);
	RUN(test_accel_stopped_is_interrupted);
	return tap_done();
}
