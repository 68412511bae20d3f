/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <string.h>

#include "common/userdir.h"
#include "tests/tap.h"

static void test_userdir_variable_comes_before_home(void)
{
	char path[PATH_MAX];

	setenv("HOME", "/h", 1);
	setenv("XDG_CACHE_HOME", "/c", 1);
	unsetenv("XDG_STATE_HOME");
	EXPECT_EQ(userdir_path(USERDIR_CACHE, "", path, NULL), 0);
	EXPECT_STR(path, "/c/tethys");
	EXPECT_EQ(userdir_path(USERDIR_CACHE, "lab", path, NULL), 0);
	EXPECT_STR(path, "/c/tethys/lab");
	EXPECT_EQ(userdir_path(USERDIR_STATE, "lab", path, NULL), 0);
	EXPECT_STR(path, "/h/.local/state/tethys/lab");
	setenv("XDG_CACHE_HOME", "", 1);
	EXPECT_EQ(userdir_path(USERDIR_CACHE, "assets", path, NULL), 0);
	EXPECT_STR(path, "/h/.cache/tethys/assets");
}

static void test_userdir_nowhere_is_enoent(void)
{
	struct reason why = {0};
	char path[PATH_MAX] = "as it was";

	setenv("HOME", "", 1);
	unsetenv("XDG_STATE_HOME");
	EXPECT_EQ(userdir_path(USERDIR_STATE, "lab", path, &why), -ENOENT);
	EXPECT_STR(why.text, "neither HOME nor XDG_STATE_HOME is set");
	EXPECT_STR(path, "as it was");
}

static void test_userdir_too_long_is_told(void)
{
	char path[PATH_MAX] = "as it was", home[PATH_MAX];
	struct reason why = {0};

	memset(home, 'x', sizeof(home) - 1);
	home[sizeof(home) - 1] = '\0';
	setenv("HOME", home, 1);
	unsetenv("XDG_CACHE_HOME");
	EXPECT_EQ(userdir_path(USERDIR_CACHE, "lab", path, &why), -ENAMETOOLONG);
	EXPECT_STR(why.text, "the path of HOME is too long");
	EXPECT_STR(path, "as it was");
}

int main(void)
{
	RUN(test_userdir_variable_comes_before_home);
	RUN(test_userdir_nowhere_is_enoent);
	RUN(test_userdir_too_long_is_told);
	return tap_done();
}
