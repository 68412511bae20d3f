/* SPDX-License-Identifier: MIT */
/*
 * From the initramfs to the machine's root: the base disk below an overlay in memory, the payload
 * disk at /lab. What fails is said on the console, and the machine goes off at once, so that nobody
 * waits for it.
 */
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "lab/agent/agent.h"
#include "lab/machine.h"

#define MODULES "/modules"
#define DISK_WAIT_US 10000000

void agent_power_off(void)
{
	sync();
	reboot(RB_POWER_OFF);
	_exit(1); /* process 1 that ends: the kernel panics, which ends the machine too */
}

void agent_fatal(int err, const char *fmt, ...)
{
	char text[256];
	va_list args;
	int console = getpid() == 1 ? open("/dev/console", O_WRONLY | O_NOCTTY | O_CLOEXEC) : -1;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	dprintf(console < 0 ? 2 : console, "\ntethys-lab-agent: %s: %s\n", text, strerror(-err));
	if (console >= 0)
		tcdrain(console);
	if (getpid() == 1)
		agent_power_off();
	_exit(1);
}

static void must(int ret, const char *what)
{
	if (ret)
		agent_fatal(-errno, "%s", what);
}

/* --- modules --- */

static void load_module(const char *name)
{
	char path[320];
	int fd, err;

	snprintf(path, sizeof(path), MODULES "/%s", name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		agent_fatal(-errno, "%s", path);
	if (syscall(SYS_finit_module, fd, "", 0)) {
		err = -errno;
		if (err != -EEXIST)
			agent_fatal(err, "cannot load %s", path);
	}
	close(fd);
	unlink(path); /* it is in memory twice now */
}

/* Without an order, all drivers are in the kernel. */
static void load_modules(void)
{
	FILE *order = fopen(MODULES "/order", "re");
	char line[256];

	if (!order)
		return;
	while (fgets(line, sizeof(line), order)) {
		line[strcspn(line, "\n")] = 0;
		if (*line)
			load_module(line);
	}
	fclose(order);
	unlink(MODULES "/order");
}

/* --- the root --- */

static void wait_for_disk(const char *path)
{
	int64_t until_us = agent_now_us() + DISK_WAIT_US;

	while (access(path, F_OK)) {
		if (agent_now_us() > until_us)
			agent_fatal(-ENODEV, "no disk %s in 10 s", path);
		usleep(2000);
	}
}

static void mount_at(const char *source, const char *target, const char *type, unsigned long flags,
		     const char *options)
{
	mkdir(target, 0755); /* it may be there */
	if (mount(source, target, type, flags, options))
		agent_fatal(-errno, "cannot mount %s at %s", source, target);
}

static void make_root(void)
{
	wait_for_disk(LAB_VM_BASE_DISK);
	mount_at(LAB_VM_BASE_DISK, "/base", "erofs", MS_RDONLY, NULL);
	mount_at("overlay", "/rw", "tmpfs", 0, "mode=0755");
	must(mkdir("/rw/upper", 0755), "mkdir /rw/upper");
	must(mkdir("/rw/work", 0755), "mkdir /rw/work");
	mount_at("overlay", "/joined", "overlay", 0,
		 "lowerdir=/base,upperdir=/rw/upper,workdir=/rw/work");
	if (!access(LAB_VM_PAYLOAD_DISK, F_OK))
		mount_at(LAB_VM_PAYLOAD_DISK, "/joined/lab", "erofs", MS_RDONLY, NULL);
}

static void switch_root(void)
{
	static const char *const moved[] = {"proc", "sys", "dev"};
	char from[16], to[16];
	size_t i;

	for (i = 0; i < sizeof(moved) / sizeof(*moved); i++) {
		snprintf(from, sizeof(from), "/%s", moved[i]);
		snprintf(to, sizeof(to), "/joined/%s", moved[i]);
		mkdir(to, 0755);
		must(mount(from, to, NULL, MS_MOVE, NULL), to);
	}
	must(chdir("/joined"), "chdir to the root");
	unlink("/init");
	rmdir(MODULES);
	must(mount(".", "/", NULL, MS_MOVE, NULL), "move the root");
	must(chroot("."), "chroot");
	must(chdir("/"), "chdir /");
}

static bool kernel_has(const char *filesystem)
{
	FILE *list = fopen("/proc/filesystems", "re");
	char line[64];
	bool found = false;

	while (list && !found && fgets(line, sizeof(line), list))
		found = strstr(line, filesystem);
	if (list)
		fclose(list);
	return found;
}

static void mount_more(void)
{
	mount_at("devpts", "/dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, "mode=0620,ptmxmode=0666");
	mount_at("shm", "/dev/shm", "tmpfs", MS_NOSUID | MS_NODEV, NULL);
	mount_at("run", "/run", "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755");
	mount_at("tmp", "/tmp", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777");
	/* As distributions have it: what drivers tell of themselves is there. */
	if (kernel_has("debugfs"))
		mount_at("debugfs", "/sys/kernel/debug", "debugfs", MS_NOSUID | MS_NOEXEC, NULL);
	if (kernel_has("hugetlbfs"))
		mount_at("hugetlbfs", "/dev/hugepages", "hugetlbfs", 0, NULL);
	must(mkdir(LAB_RELAY_DIR, 0755), LAB_RELAY_DIR);
}

/* --- what commands find --- */

bool agent_cmdline(const char *key, char *ret_value, size_t size)
{
	char line[4096], *word, *save;
	FILE *file = fopen("/proc/cmdline", "re");
	bool found = false;

	if (file && fgets(line, sizeof(line), file))
		for (word = strtok_r(line, " \n", &save); word && !found;
		     word = strtok_r(NULL, " \n", &save))
			if (!strncmp(word, key, strlen(key))) {
				snprintf(ret_value, size, "%s", word + strlen(key));
				found = true;
			}
	if (file)
		fclose(file);
	return found;
}

/* A kernel without a network has no lo either. */
static void loopback_up(void)
{
	struct ifreq request = {.ifr_name = "lo"};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return;
	if (!ioctl(fd, SIOCGIFFLAGS, &request)) {
		request.ifr_flags |= IFF_UP | IFF_RUNNING;
		if (ioctl(fd, SIOCSIFFLAGS, &request))
			agent_fatal(-errno, "cannot bring lo up");
	}
	close(fd);
}

static void set_environment(void)
{
	struct rlimit files = {65536, 65536};

	clearenv(); /* the kernel hands on what it didn't understand of its command line */
	setenv("PATH", "/lab/bin:/usr/sbin:/usr/bin:/sbin:/bin", 1);
	setenv("HOME", "/root", 1);
	setenv("TERM", "linux", 1);
	setrlimit(RLIMIT_NOFILE, &files);
}

static unsigned int uptime_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_BOOTTIME, &now);
	return (unsigned int)(now.tv_sec * 1000 + now.tv_nsec / 1000000);
}

void agent_init(void)
{
	unsigned int start_ms, modules_ms;
	struct utsname kernel = {0};
	char role[16];

	mount_at("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
	mount_at("sys", "/sys", "sysfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
	mount_at("dev", "/dev", "devtmpfs", MS_NOSUID, "mode=0755");
	start_ms = uptime_ms();
	load_modules();
	modules_ms = uptime_ms();
	make_root();
	switch_root();
	mount_more();
	if (!agent_cmdline(LAB_ARG_ROLE, role, sizeof(role)))
		agent_fatal(-EINVAL, "the kernel's command line has no " LAB_ARG_ROLE);
	must(sethostname(role, strlen(role)), "sethostname");
	loopback_up();
	set_environment();
	uname(&kernel);
	snprintf(agent_greeting, sizeof(agent_greeting),
		 "%s, Linux %s: kernel %u ms, modules %u ms, root %u ms", role, kernel.release,
		 start_ms, modules_ms - start_ms, uptime_ms() - modules_ms);
}
