/* SPDX-License-Identifier: MIT */
/* Collection from a folder made here, some of it by somebody who means no good. */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "doctor/model/machine.h"
#include "tests/tap.h"

static char root[64];

/* Makes the folders above @path, which is below root. */
static const char *at(const char *path)
{
	static char full[512];

	snprintf(full, sizeof(full), "%s%s", root, path);
	for (char *slash = full + strlen(root) + 1; (slash = strchr(slash, '/')); slash++) {
		*slash = '\0';
		mkdir(full, 0755);
		*slash = '/';
	}
	return full;
}

static void put(const char *path, const char *text, size_t size)
{
	FILE *file = fopen(at(path), "w");

	if (!file || fwrite(text, 1, size, file) != size || fclose(file))
		abort();
}

static void put_text(const char *path, const char *text)
{
	put(path, text, strlen(text));
}

static void put_link(const char *path, const char *target)
{
	if (symlink(target, at(path)))
		abort();
}

static int remove_one(const char *path, const struct stat *stat, int flag, struct FTW *ftw)
{
	(void)stat;
	(void)flag;
	(void)ftw;
	return remove(path);
}

static void make_root(void)
{
	snprintf(root, sizeof(root), "/tmp/doctor-collect-XXXXXX");
	if (!mkdtemp(root))
		abort();
}

static void remove_root(void)
{
	nftw(root, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static const char *text_of(struct snapshot *snapshot, const char *path)
{
	const char *text = store_text(&snapshot->store, "%s", path);

	return text ? text : "(none)";
}

static void test_collect_tree_as_sysfs_has_it(void)
{
	struct snapshot snapshot;
	char config[4096] = {1, 2};

	make_root();
	put_text("/proc/cpuinfo", "processor\t: 0\nflags\t: a\n\nprocessor\t: 1\nflags\t: a\n\n");
	put_text("/proc/sys/kernel/hostname", "box\n");
	put("/sys/devices/pci0000:80/0000:81:00.0/config", config, sizeof(config));
	put_text("/sys/devices/pci0000:80/0000:81:00.0/vendor", "0x1f9d\n");
	put_text("/sys/devices/pci0000:80/0000:81:00.0/power/control", "on\n");
	put_link("/sys/devices/pci0000:80/0000:81:00.0/driver",
		 "../../../bus/pci/drivers/vfio-pci");
	put_link("/sys/bus/pci/devices/0000:81:00.0", "../../../devices/pci0000:80/0000:81:00.0");
	put_text("/sys/kernel/iommu_groups/4/type", "DMA\n");
	put_text("/etc/pve/qemu-server/7.conf", "memory: 1\n");
	put_text("/etc/pve/priv/secret", "no\n");
	put_text("/usr/lib/os-release", "ID=x\n");
	put_link("/etc/os-release", "../usr/lib/os-release");
	put("/proc/55/cmdline", "/usr/bin/qemu-system-x86_64\0-m\0001G", 33);
	put_text("/proc/55/limits", "Max locked memory 1 1 bytes\n");
	put_text("/proc/56/cmdline", "bash");
	put_text("/proc/56/limits", "none of ours\n");
	put_link("/proc/55/fd/9", "/dev/vfio/4");
	put_link("/proc/55/fd/8", "/data/disk");
	snapshot_init(&snapshot);
	ASSERT_EQ(snapshot_collect(&snapshot, root, NULL), 0);
	EXPECT_STR(snapshot.name, "box");
	EXPECT_EQ(snapshot.time_s, 0);
	EXPECT_STR(text_of(&snapshot, "/sys/bus/pci/devices/0000:81:00.0/vendor"), "0x1f9d");
	EXPECT_STR(text_of(&snapshot, "/sys/bus/pci/devices/0000:81:00.0/power/control"), "on");
	EXPECT_STR(store_link_name(&snapshot.store, "/sys/bus/pci/devices/0000:81:00.0/driver"),
		   "vfio-pci");
	ASSERT(store_find(&snapshot.store, "/sys/bus/pci/devices/0000:81:00.0/config"));
	EXPECT_EQ(store_find(&snapshot.store, "/sys/bus/pci/devices/0000:81:00.0/config")->size,
		  4096);
	EXPECT_STR(text_of(&snapshot, "/proc/cpuinfo"), "processor\t: 0\nflags\t: a");
	EXPECT_STR(text_of(&snapshot, "/etc/os-release"), "ID=x");
	EXPECT_STR(text_of(&snapshot, "/etc/pve/qemu-server/7.conf"), "memory: 1");
	EXPECT_STR(text_of(&snapshot, "/etc/pve/priv/secret"), "(none)");
	EXPECT_STR(text_of(&snapshot, "/sys/kernel/iommu_groups/4/type"), "DMA");
	EXPECT(store_find(&snapshot.store, "/proc/55/cmdline"));
	EXPECT_HAS(text_of(&snapshot, "/proc/55/limits"), "Max locked");
	EXPECT(!store_find(&snapshot.store, "/proc/56/limits"));
	EXPECT(store_find(&snapshot.store, "/proc/55/fd/9"));
	EXPECT(!store_find(&snapshot.store, "/proc/55/fd/8"));
	EXPECT_EQ(snapshot.note_count, 0);
	snapshot_deinit(&snapshot);
	remove_root();
}

static void test_collect_links_stay_within_root(void)
{
	struct snapshot snapshot;
	char up[256];

	make_root();
	mkdir(at("/proc"), 0755);
	snprintf(up, sizeof(up), "../../../../../../../../etc/passwd");
	put_link("/etc/modules", up);
	put_link("/etc/os-release", "/etc/passwd");
	put_link("/sys/bus/pci/devices/0000:00:00.0", "/proc/self");
	put_link("/etc/pve", "/etc");
	put_link("/etc/hostname", "/proc/self/environ");
	snapshot_init(&snapshot);
	ASSERT_EQ(snapshot_collect(&snapshot, root, NULL), 0);
	for (size_t i = 0; i < snapshot.store.count; i++)
		if (snapshot.store.entry[i].kind == STORE_FILE)
			TAP_FAIL("%s was read", snapshot.store.entry[i].path);
	/* Where they point to is kept: it is the folder's own. */
	EXPECT(store_find(&snapshot.store, "/etc/modules"));
	snapshot_deinit(&snapshot);
	remove_root();
}

static void test_collect_odd_files_do_not_hang(void)
{
	struct snapshot snapshot;
	FILE *file;

	make_root();
	mkdir(at("/proc"), 0755);
	if (mkfifo(at("/proc/cmdline"), 0644) || mkfifo(at("/etc/modprobe.d/x.conf"), 0644))
		abort();
	put_link("/etc/modules", "modules");
	file = fopen(at("/proc/version"), "w");
	if (!file || ftruncate(fileno(file), 64 << 20) || fclose(file))
		abort();
	put_text("/sys/bus/pci/devices/0000:00:00.0/reset", "x");
	chmod(at("/sys/bus/pci/devices/0000:00:00.0/reset"), 0200);
	snapshot_init(&snapshot);
	ASSERT_EQ(snapshot_collect(&snapshot, root, NULL), 0);
	EXPECT(!store_find(&snapshot.store, "/proc/cmdline"));
	ASSERT(store_find(&snapshot.store, "/proc/version"));
	EXPECT(store_find(&snapshot.store, "/proc/version")->cut);
	EXPECT_EQ(store_find(&snapshot.store, "/proc/version")->size, 1 << 20);
	ASSERT(store_find(&snapshot.store, "/sys/bus/pci/devices/0000:00:00.0/reset"));
	EXPECT_EQ(store_find(&snapshot.store, "/sys/bus/pci/devices/0000:00:00.0/reset")->size, 0);
	snapshot_deinit(&snapshot);
	remove_root();
}

static void test_collect_sleeping_device_is_not_woken(void)
{
	struct snapshot snapshot;

	make_root();
	put_text("/sys/bus/pci/devices/0000:00:01.0/power_state", "D3cold\n");
	put_text("/sys/bus/pci/devices/0000:00:01.0/config", "x");
	put_text("/sys/bus/pci/devices/0000:00:02.0/power_state", "D3cold\n");
	put_text("/sys/bus/pci/devices/0000:00:02.0/config", "x");
	put_link("/sys/bus/pci/devices/0000:00:02.0/driver", "../vfio-pci");
	snapshot_init(&snapshot);
	ASSERT_EQ(snapshot_collect(&snapshot, root, NULL), 0);
	EXPECT(!store_find(&snapshot.store, "/sys/bus/pci/devices/0000:00:01.0/config"));
	EXPECT(store_find(&snapshot.store, "/sys/bus/pci/devices/0000:00:02.0/config"));
	snapshot_deinit(&snapshot);
	remove_root();
}

static void test_collect_no_machine_says_so(void)
{
	struct reason why = {0};
	struct snapshot snapshot;

	make_root();
	snapshot_init(&snapshot);
	EXPECT_EQ(snapshot_collect(&snapshot, root, &why), -ENOENT);
	EXPECT_HAS(why.text, "neither proc nor sys");
	EXPECT_EQ(snapshot_collect(&snapshot, "/nonexistent/folder", &why), -ENOENT);
	snapshot_deinit(&snapshot);
	remove_root();
}

/* As somebody else: the child's exit status counts what went wrong. */
static void test_collect_denied_is_noted(void)
{
	pid_t child;
	int status;

	if (geteuid())
		SKIP("only root can become somebody else");
	make_root();
	chmod(root, 0755);
	put_text("/proc/iomem", "x");
	put_text("/etc/pve/qemu-server/1.conf", "x");
	chmod(at("/proc/iomem"), 0400);
	chmod(at("/etc/pve/qemu-server"), 0700);
	child = fork();
	if (!child) {
		struct snapshot snapshot;
		int bad = 0;

		if (setuid(65534))
			_exit(9);
		snapshot_init(&snapshot);
		bad += snapshot_collect(&snapshot, root, NULL) != 0;
		bad += !store_find(&snapshot.store, "/proc/iomem") ||
		       store_find(&snapshot.store, "/proc/iomem")->kind != STORE_ERROR;
		bad += snapshot.note_count != 2;
		for (size_t i = 0; i < snapshot.note_count; i++)
			bad += !strstr(snapshot.note[i].why, "may not be read");
		_exit(bad);
	}
	ASSERT(child > 0 && waitpid(child, &status, 0) == child);
	EXPECT(WIFEXITED(status));
	EXPECT_EQ(WEXITSTATUS(status), 0);
	remove_root();
}

static void test_collect_this_machine(void)
{
	struct snapshot snapshot;
	struct machine machine;

	snapshot_init(&snapshot);
	ASSERT_EQ(snapshot_collect(&snapshot, "", NULL), 0);
	machine_build(&machine, &snapshot);
	EXPECT(snapshot.time_s > 0);
	EXPECT(machine.kernel && machine.ram && machine.uptime_s >= 0);
	snapshot_deinit(&snapshot);
}

int main(void)
{
	RUN(test_collect_tree_as_sysfs_has_it);
	RUN(test_collect_links_stay_within_root);
	RUN(test_collect_odd_files_do_not_hang);
	RUN(test_collect_sleeping_device_is_not_woken);
	RUN(test_collect_no_machine_says_so);
	RUN(test_collect_denied_is_noted);
	RUN(test_collect_this_machine);
	return tap_done();
}
