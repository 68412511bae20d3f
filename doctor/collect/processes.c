/* SPDX-License-Identifier: MIT */
/*
 * QEMU's processes. Of others only the command line is looked at, and nothing kept.
 */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "doctor/collect/collect.h"
#include "doctor/model/machine.h"

#define CMDLINE_MAX ((size_t)128 << 10)

struct process {
	const char *path; /* "/proc/4711" */
};

/* Which of VFIO's, IOMMUFD's and KVM's nodes it holds open; the rest is nobody's business. */
static void take_fd(struct collect *collect, int dir, const char *name, void *context)
{
	const struct process *process = context;
	char path[COLLECT_PATH_BYTES], target[256];
	ssize_t size = readlinkat(dir, name, target, sizeof(target) - 1);

	if (size <= 0)
		return;
	target[size] = '\0';
	if (!strstr(target, "vfio") && !strstr(target, "iommu") && !strstr(target, "kvm"))
		return;
	snprintf(path, sizeof(path), "%s/fd/%s", process->path, name);
	collect_store(collect, STORE_LINK, path, target, (size_t)size, false);
}

static void take_process(struct collect *collect, int dir, const char *path)
{
	static const char *const files[] = {"cmdline", "limits", "status", "comm", "cgroup"};
	struct process process = {.path = path};
	char name[COLLECT_PATH_BYTES];
	int fds;

	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		snprintf(name, sizeof(name), "%s/%s", path, files[i]);
		collect_take(collect, dir, files[i], name, CMDLINE_MAX);
	}
	snprintf(name, sizeof(name), "%s/fd", path);
	fds = openat(dir, "fd", O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fds < 0)
		return;
	collect_names(collect, fds, name, "[0-9]*", take_fd, &process);
	close(fds);
}

static void look_at(struct collect *collect, int proc, const char *name, void *context)
{
	char path[64], file[80];
	bool cut = false;
	ssize_t size;
	int dir;

	(void)context;
	if (name[strspn(name, "0123456789")])
		return;
	dir = openat(proc, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (dir < 0)
		return;
	snprintf(path, sizeof(path), "/proc/%.20s", name);
	snprintf(file, sizeof(file), "%s/cmdline", path);
	size = collect_read(collect, dir, "cmdline", file, CMDLINE_MAX, &cut);
	if (size > 0 && machine_vm_is_qemu(collect->buffer, (size_t)size))
		take_process(collect, dir, path);
	close(dir);
}

void collect_processes(struct collect *collect)
{
	int proc = collect_open_dir(collect, "/proc");

	if (proc < 0)
		return;
	collect_names(collect, proc, "/proc", "[0-9]*", look_at, NULL);
	close(proc);
	collect_denied(collect, "what running VMs have open");
}
