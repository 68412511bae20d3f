/* SPDX-License-Identifier: MIT */
/*
 * Whole logs: each file of fixtures/logs says in its first lines which class it is of, and must be
 * judged so. A folder named by TETHYS_LOGS is judged, too, and may miss one in twenty.
 */
#include <dirent.h>
#include <errno.h>

#include "doctor/tests/judging.h"
#include "tests/tap.h"

#define FOLDER DOCTOR_TESTS "/fixtures/logs"
#define FILE_BYTES_MAX (1u << 20)

static char path[4096];

struct sample {
	char class[64];
	char *text; /* without the lines that begin with '#' */
	size_t size;
};

/* Return: false when the file can't be read or names no class. */
static bool sample_read(const char *from, struct sample *sample)
{
	static const char key[] = "# class: ";
	FILE *file = fopen(from, "r");
	char *line = NULL;
	size_t room = 0;
	ssize_t got;

	*sample = (struct sample){.text = calloc(1, FILE_BYTES_MAX)};
	if (!file || !sample->text) {
		if (file)
			fclose(file);
		return false;
	}
	while ((got = getline(&line, &room, file)) > 0) {
		if (*line != '#') {
			if (sample->size + (size_t)got >= FILE_BYTES_MAX)
				break;
			memcpy(sample->text + sample->size, line, (size_t)got);
			sample->size += (size_t)got;
		} else if (!strncmp(line, key, sizeof(key) - 1)) {
			sscanf(line + sizeof(key) - 1, "%63s", sample->class);
		}
	}
	free(line);
	fclose(file);
	return *sample->class;
}

static bool is_benign(const char *class)
{
	return strstr(class, "-benign");
}

/* What is wrong with the judgement, "" if nothing; for people. */
static const char *judge_sample(const struct sample *sample)
{
	static char wrong[512];
	struct judging judging;

	judging_init(&judging);
	judging_log(&judging, "sample", DOCTOR_SIDE_UNKNOWN, sample->text, sample->size);
	judging_judge(&judging);
	*wrong = '\0';
	if (!strcmp(sample->class, "healthy")) {
		if (judging.report.count)
			snprintf(wrong, sizeof(wrong), "healthy, but judged as %s (%u %%)",
				 judging_first(&judging), judging.report.finding[0].confidence);
		else if (judging.report.verdict != DOCTOR_HEALTHY)
			snprintf(wrong, sizeof(wrong), "no finding, but not called healthy");
	} else if (strcmp(judging_first(&judging), sample->class)) {
		snprintf(wrong, sizeof(wrong), "%s, but judged as \"%s\"%s%s", sample->class,
			 judging_first(&judging), judging.report.count > 1 ? ", then " : "",
			 judging.report.count > 1 ? judging.report.finding[1].rule->id : "");
	} else if (is_benign(sample->class) != (judging.report.verdict == DOCTOR_HEALTHY)) {
		snprintf(wrong, sizeof(wrong), "%s, but the verdict is %d", sample->class,
			 (int)judging.report.verdict);
	}
	judging_deinit(&judging);
	return wrong;
}

static void test_log_of_a_class_is_judged_so(void)
{
	struct sample sample;

	if (!sample_read(path, &sample))
		TAP_FAIL("%s names no class", path);
	else
		EXPECT_STR(judge_sample(&sample), "");
	free(sample.text);
}

static int is_log(const struct dirent *entry)
{
	const char *dot = strrchr(entry->d_name, '.');

	return dot && !strcmp(dot, ".log");
}

static void run_fixtures(void)
{
	struct dirent **entry = NULL;
	int count = scandir(FOLDER, &entry, is_log, alphasort);

	for (int i = 0; i < count; i++) {
		snprintf(path, sizeof(path), "%s/%s", FOLDER, entry[i]->d_name);
		tap_run(entry[i]->d_name, test_log_of_a_class_is_judged_so);
		free(entry[i]);
	}
	free(entry);
}

static void test_fixtures_are_there(void)
{
	struct dirent **entry = NULL;
	int count = scandir(FOLDER, &entry, is_log, alphasort);

	for (int i = 0; i < count; i++)
		free(entry[i]);
	free(entry);
	EXPECT(count >= 60);
}

static void test_other_logs_are_judged_right_in_19_of_20(void)
{
	const char *folder = getenv("TETHYS_LOGS");
	struct dirent **entry = NULL;
	int count, missed = 0;

	if (!folder)
		SKIP("TETHYS_LOGS names no folder of further logs");
	count = scandir(folder, &entry, is_log, alphasort);
	for (int i = 0; i < count; i++) {
		struct sample sample;
		const char *wrong = "names no class";

		snprintf(path, sizeof(path), "%s/%s", folder, entry[i]->d_name);
		if (sample_read(path, &sample))
			wrong = judge_sample(&sample);
		free(sample.text);
		if (*wrong) {
			missed++;
			printf("# %s: %s\n", entry[i]->d_name, wrong);
		}
		free(entry[i]);
	}
	free(entry);
	EXPECT(count > 0);
	EXPECT(missed * 20 <= count);
}

int main(void)
{
	RUN(test_fixtures_are_there);
	run_fixtures();
	RUN(test_other_logs_are_judged_right_in_19_of_20);
	return tap_done();
}
