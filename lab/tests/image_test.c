/* SPDX-License-Identifier: MIT */
/* With scripts of the test's own: what real images are good for the lab's scenarios show. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lab/image.h"
#include "tests/tap.h"

static char dir[] = "/tmp/image_test.XXXXXX";

static void write_file(const char *name, mode_t mode, const char *text)
{
	char path[128];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	file = fopen(path, "w");
	if (!file || fputs(text, file) < 0 || fclose(file) || chmod(path, mode)) {
		perror(path);
		exit(1);
	}
}

/* A lab-build that takes --out and leaves @json there. */
static void write_script(const char *json)
{
	write_file("given.json", 0644, json);
	write_file("lab-build", 0755,
		   "#!/bin/sh\n"
		   "echo \"$@\" >\"${0%/*}/arguments\"\n"
		   "cp \"${0%/*}/given.json\" \"${0%/*}/images.json\"\n");
}

#define WHOLE                                                                     \
	"{\"kernel\": \"/k\", \"initrd\": \"/i\", \"base\": \"/b \\\"c\\\"\", "   \
	"\"payload\": \"/p\", \"enter\": \"/e\", \"root\": \"/r\", \"release\": " \
	"\"6.12\", \"qemu\": \"11.1.3\"}"

static void test_images_of_a_script_that_succeeds_are_read(void)
{
	struct reason why = {""};
	struct lab_images images;
	char path[128], text[8192] = "";
	FILE *file;

	write_script(WHOLE);
	ASSERT_EQ(lab_images_make(true, &images, &why), 0);
	EXPECT_STR(images.kernel, "/k");
	EXPECT_STR(images.base, "/b \"c\"");
	EXPECT_STR(images.qemu, "11.1.3");
	snprintf(path, sizeof(path), "%s/arguments", dir);
	file = fopen(path, "r");
	ASSERT(file);
	EXPECT(fread(text, 1, sizeof(text) - 1, file) > 0);
	fclose(file);
	EXPECT_HAS(text, "/cli/tethys --agent ");
	EXPECT_HAS(text, "/lab/agent/tethys-lab-agent --out ");
	EXPECT_HAS(text, "--quiet");
}

static void expect_refused(int err, const char *words)
{
	struct lab_images images = {.kernel = "untouched"};
	struct reason why = {""};

	EXPECT_EQ(lab_images_make(true, &images, &why), err);
	EXPECT_HAS(why.text, words);
	EXPECT_STR(images.kernel, "untouched");
}

static void test_images_json_without_a_field_is_refused(void)
{
	write_script("{\"kernel\": \"/k\", \"initrd\": \"/i\"}");
	expect_refused(-EPROTO, "no usable \"base\"");
}

static void test_images_json_with_a_number_for_a_path_is_refused(void)
{
	write_script("{\"kernel\": 7}");
	expect_refused(-EPROTO, "no usable \"kernel\"");
}

static void test_images_json_cut_short_is_refused(void)
{
	write_script("{\"kernel\": \"/k\", \"ini");
	expect_refused(-EPROTO, "no JSON");
}

static void test_images_script_that_fails_is_told(void)
{
	write_file("lab-build", 0755, "#!/bin/sh\nexit 1\n");
	expect_refused(-ECHILD, "could not be made");
}

static void test_images_without_scripts_names_the_folder(void)
{
	setenv("TETHYS_LAB_SCRIPTS", "/nowhere", 1);
	expect_refused(-ENOENT, "/nowhere");
	setenv("TETHYS_LAB_SCRIPTS", dir, 1);
}

static void test_scenario_dir_is_the_one_named(void)
{
	char path[PATH_MAX];

	setenv("TETHYS_LAB_SCENARIOS", dir, 1);
	EXPECT_EQ(lab_scenario_dir(path, NULL), 0);
	EXPECT_STR(path, dir);
	setenv("TETHYS_LAB_SCENARIOS", "/nowhere", 1);
	EXPECT_EQ(lab_scenario_dir(path, NULL), -ENOENT);
	EXPECT_STR(path, dir);
}

static void test_scenario_dir_of_a_build_tree_is_in_its_source(void)
{
	char path[PATH_MAX];

	unsetenv("TETHYS_LAB_SCENARIOS");
	ASSERT_EQ(lab_scenario_dir(path, NULL), 0);
	EXPECT_HAS(path, "/lab/scenarios");
	EXPECT(!strstr(path, "share/tethys"));
}

int main(void)
{
	static const char *const files[] = {"lab-build", "given.json", "images.json", "arguments"};
	char path[128];

	if (!mkdtemp(dir)) {
		perror(dir);
		return 1;
	}
	setenv("TETHYS_LAB_SCRIPTS", dir, 1);
	setenv("TETHYS_LAB_IMAGES", dir, 1);
	RUN(test_images_of_a_script_that_succeeds_are_read);
	RUN(test_images_json_without_a_field_is_refused);
	RUN(test_images_json_with_a_number_for_a_path_is_refused);
	RUN(test_images_json_cut_short_is_refused);
	RUN(test_images_script_that_fails_is_told);
	RUN(test_images_without_scripts_names_the_folder);
	RUN(test_scenario_dir_is_the_one_named);
	RUN(test_scenario_dir_of_a_build_tree_is_in_its_source);
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, files[i]);
		unlink(path);
	}
	rmdir(dir);
	return tap_done();
}
