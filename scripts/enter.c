/* SPDX-License-Identifier: MIT */
/*
 * Runs a command with /usr of another Debian release, everything else as it is:
 *
 *	enter [--build] ROOT COMMAND [ARG]...
 *
 * In a mount namespace of its own the root's /usr is bound over the machine's, so programs and
 * libraries are the root's while all files of the caller keep their paths. /usr/local and /usr/src
 * stay the machine's. With --build headers and libraries of /usr/local are hidden (they belong to
 * the machine's release) and PATH holds the root's programs only.
 *
 * From inside there is a way to run a program of the machine (apt, for example): its /usr is kept
 * below ROOT/machine, which TETHYS_MACHINE names then, and which is good as ROOT of another enter.
 * TETHYS_ROOT names the root whose /usr is in place.
 *
 * It is a program because that needs neither mount(8) nor two shells, and because a chroot and an
 * ordinary user each want a little more care than unshare(1) takes.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

/* As a shell: 126 for "found and can't be run". */
#define EXIT_CANNOT 126

__attribute__((noreturn, format(printf, 1, 2))) static void fail(const char *fmt, ...)
{
	int err = errno;
	va_list ap;

	fputs("tethys: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fprintf(stderr, "%s%s\n", err ? ": " : "", err ? strerror(err) : "");
	exit(EXIT_CANNOT);
}

__attribute__((noreturn)) static void refuse(const char *text)
{
	errno = 0;
	fail("%s", text);
}

static bool exists(const char *path)
{
	return access(path, F_OK) == 0;
}

static void write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		fail("can't write %s", path);
	close(fd);
}

/* The user keeps their own ids: files made inside belong to them, and nothing looks like root. */
static void map_own_ids(uid_t uid, gid_t gid)
{
	char line[64];

	write_file("/proc/self/setgroups", "deny");
	snprintf(line, sizeof(line), "%u %u 1", uid, uid);
	write_file("/proc/self/uid_map", line);
	snprintf(line, sizeof(line), "%u %u 1", gid, gid);
	write_file("/proc/self/gid_map", line);
}

static void new_namespace(void)
{
	uid_t uid = geteuid();
	gid_t gid = getegid();

	if (unshare(CLONE_NEWNS) == 0)
		return;
	if (unshare(CLONE_NEWUSER | CLONE_NEWNS))
		fail("this system lets us make no mount namespace (try it as root; in a "
		     "container, allow CAP_SYS_ADMIN)");
	map_own_ids(uid, gid);
}

/*
 * Keeps our mounts out of the namespace we came from. Propagation can only be set where something
 * is mounted, and the top directory of a chroot need not be such a place: then from the top of the
 * tree the chroot is in, after which we go back into it.
 */
static void make_private(void)
{
	int root;

	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0)
		return;
	if (errno != EINVAL)
		fail("can't make the mounts private");
	root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	/* With the root moved below the working directory, ".." doesn't stop at the old root. */
	if (root < 0 || chdir("/") || chroot("/usr"))
		fail("can't make the mounts private");
	for (int i = 0; i < PATH_MAX / 2; i++)
		if (chdir(".."))
			break;
	if (mount(NULL, ".", NULL, MS_REC | MS_PRIVATE, NULL))
		fail("can't make the mounts private");
	if (fchdir(root) || chroot("."))
		fail("can't go back into the chroot");
	close(root);
}

static void bind_over(const char *root, const char *from, const char *to_root, const char *to)
{
	char source[PATH_MAX], target[PATH_MAX];

	if (snprintf(source, sizeof(source), "%s%s", root, from) >= (int)sizeof(source) ||
	    snprintf(target, sizeof(target), "%s%s", to_root, to) >= (int)sizeof(target))
		refuse("the path of the root file system is too long");
	if (mount(source, target, NULL, MS_BIND | MS_REC, NULL))
		fail("can't mount %s on %s", source, target);
}

/* Of several roots, one in the other, the machine's own /usr stays known. */
static void keep_machine(const char *root)
{
	const char *known = getenv("TETHYS_MACHINE");
	char machine[PATH_MAX], usr[PATH_MAX];

	if (known && strcmp(known, root) == 0) {
		unsetenv("TETHYS_MACHINE");
		unsetenv("TETHYS_ROOT");
		return;
	}
	setenv("TETHYS_ROOT", root, 1);
	if (known || snprintf(machine, sizeof(machine), "%s/machine", root) >= PATH_MAX ||
	    snprintf(usr, sizeof(usr), "%s/usr", machine) >= PATH_MAX || !exists(usr))
		return;
	bind_over("", "/usr", root, "/machine/usr");
	setenv("TETHYS_MACHINE", machine, 1);
}

static void mount_usr(const char *root, bool build)
{
	/* The loader's cache and preloads name libraries of the machine's release. */
	static const char *const loader[] = {"/etc/ld.so.cache", "/etc/ld.so.preload"};
	static const char *const kept[] = {"/usr/local", "/usr/src"};
	static const char *const hidden[] = {"/usr/local/include", "/usr/local/lib"};

	for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++)
		if (exists(kept[i]))
			bind_over("", kept[i], root, kept[i]);
	for (size_t i = 0; build && i < sizeof(hidden) / sizeof(hidden[0]); i++)
		if (exists(hidden[i]))
			bind_over(root, "/mnt", root, hidden[i]);
	for (size_t i = 0; i < sizeof(loader) / sizeof(loader[0]); i++)
		if (exists(loader[i]))
			bind_over(root, "/etc/empty", "", loader[i]);
	bind_over(root, "/usr", "", "/usr");
}

static void check_machine(const char *root)
{
	struct stat st;
	char usr[PATH_MAX];

	errno = 0;
	if (snprintf(usr, sizeof(usr), "%s/usr/bin", root) >= (int)sizeof(usr) || !exists(usr))
		fail("%s is no root file system (run 'make build' again)", root);
	if (lstat("/bin", &st) || !S_ISLNK(st.st_mode))
		refuse("/bin is a directory of its own here; a merged /usr is needed (Debian: "
		       "install the package usrmerge)");
}

static bool same_file(const char *path, const struct stat *before)
{
	struct stat now;

	return stat(path, &now) == 0 && now.st_dev == before->st_dev &&
	       now.st_ino == before->st_ino;
}

/* Better no start than one on another file of that name, or on none. */
static void check_reachable(const char *path, const struct stat *before)
{
	errno = 0;
	if (!same_file(path, before))
		fail("%s can't be reached with another release's /usr (below /usr only local and "
		     "src can)",
		     path);
}

/*
 * The working directory and whatever of the machine's /usr the arguments name must be what they
 * were. @before has an entry for each argument; its st_nlink is 0 where there is nothing to check.
 */
static void note_arguments(char **args, struct stat *before)
{
	for (; *args; args++, before++)
		if (strncmp(*args, "/usr/", 5) || stat(*args, before))
			before->st_nlink = 0;
}

static void check_arguments(char **args, const struct stat *before)
{
	for (; *args; args++, before++)
		if (before->st_nlink)
			check_reachable(*args, before);
}

int main(int argc, char **argv)
{
	bool build = argc > 1 && strcmp(argv[1], "--build") == 0;
	char root[PATH_MAX], cwd[PATH_MAX];
	struct stat cwd_before, *before;

	argv += 1 + build;
	if (argc < 3 + build)
		refuse("usage: enter [--build] ROOT COMMAND [ARG]...");
	if (!realpath(argv[0], root))
		fail("%s", argv[0]);
	if (!getcwd(cwd, sizeof(cwd)) || stat(".", &cwd_before))
		fail("the current directory");
	before = calloc((size_t)argc, sizeof(*before));
	if (!before)
		fail("out of memory");
	/* Of a build the arguments are its own programs. */
	if (!build)
		note_arguments(argv + 2, before);
	check_machine(root);
	new_namespace();
	make_private();
	keep_machine(root);
	mount_usr(root, build);
	if (chdir(cwd))
		fail("%s", cwd);
	check_reachable(cwd, &cwd_before);
	if (!build)
		check_arguments(argv + 2, before);
	free(before);
	unsetenv("LD_LIBRARY_PATH");
	unsetenv("LD_PRELOAD");
	if (build)
		setenv("PATH", "/usr/sbin:/usr/bin:/sbin:/bin", 1);
	execvp(argv[1], argv + 1);
	fail("%s", argv[1]);
}
