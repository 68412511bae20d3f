/* SPDX-License-Identifier: MIT */
/*
 * Scenario files: lines, sections, and what is left of them.
 */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lab/image.h"
#include "lab/scenario_internal.h"

#define FILE_BYTES_MAX ((size_t)256 * 1024)
#define KEY_BYTES_MAX 64u
#define BOM "\xef\xbb\xbf"

/* "KEY = VALUE" is complete when the line behind its last one is known. */
struct reader {
	struct lab_parse parse;
	const struct lab_keys *keys; /* of the section */
	void *target;		     /* what it describes; NULL: the last step */
	unsigned int line;
	char key[KEY_BYTES_MAX]; /* "": none is open */
	char *value;
	size_t value_len;
	unsigned int value_line;
};

/* ---- destroy ---- */

void lab_strings_deinit(struct lab_strings *strings)
{
	size_t i;

	for (i = 0; i < strings->count; i++)
		free(strings->item[i]);
	free(strings->item);
	memset(strings, 0, sizeof(*strings));
}

static void free_guest(struct lab_scenario_guest *guest)
{
	free(guest->cmdline);
	free(guest->irqchip);
	free(guest->driver);
	free(guest->driver_parameters);
	lab_strings_deinit(&guest->modules);
}

void lab_scenario_destroy(struct lab_scenario *scenario)
{
	size_t i;

	if (!scenario)
		return;
	for (i = 0; i < scenario->expects; i++)
		lab_pattern_deinit(&scenario->expect[i].pattern);
	free(scenario->expect);
	for (i = 0; i < scenario->steps; i++)
		lab_step_deinit(&scenario->step[i]);
	free(scenario->step);
	for (i = 0; i < LAB_GUESTS_MAX; i++)
		free_guest(&scenario->guest[i]);
	free(scenario->host.cmdline);
	free(scenario->host.driver);
	free(scenario->host.driver_parameters);
	lab_strings_deinit(&scenario->host.modules);
	free(scenario->card.personality);
	free(scenario->card.engine);
	lab_strings_deinit(&scenario->card.seed);
	lab_strings_deinit(&scenario->doctor.ids);
	lab_strings_deinit(&scenario->guest_doctor.ids);
	lab_strings_deinit(&scenario->doctor_together.ids);
	lab_strings_deinit(&scenario->doctor_also);
	free(scenario->about);
	free(scenario->title);
	free(scenario->path);
	free(scenario->name);
	free(scenario);
}

static struct lab_scenario *create(const char *path)
{
	struct lab_scenario *scenario = calloc(1, sizeof(*scenario));
	const char *name = strrchr(path, '/');
	size_t len, suffix = strlen(LAB_SCENARIO_SUFFIX), i;

	if (!scenario)
		return NULL;
	name = name ? name + 1 : path;
	len = strlen(name);
	if (len > suffix && !strcmp(name + len - suffix, LAB_SCENARIO_SUFFIX))
		len -= suffix;
	scenario->name = strndup(name, len);
	scenario->path = strdup(path);
	scenario->card.keep_imwr = -1;
	scenario->card.direct = true;
	scenario->host.memory_mib = 1536;
	scenario->host.cpus = 2;
	scenario->host.iommu = scenario->host.intremap = true;
	for (i = 0; i < LAB_GUESTS_MAX; i++) {
		scenario->guest[i].pass = LAB_PASS_GROUP;
		scenario->guest[i].memory_mib = 384;
		scenario->guest[i].cpus = 1;
	}
	scenario->isolation = true;
	if (scenario->name && scenario->path)
		return scenario;
	lab_scenario_destroy(scenario);
	return NULL;
}

/* ---- lines ---- */

static void *target_of(const struct reader *reader)
{
	struct lab_scenario *scenario = reader->parse.scenario;

	return reader->target ? reader->target : &scenario->step[scenario->steps - 1];
}

/* No more lines belong to the value. */
static int close_value(struct reader *reader)
{
	int err;

	if (!*reader->key)
		return 0;
	while (reader->value_len && strchr(" \t\n", reader->value[reader->value_len - 1]))
		reader->value_len--;
	reader->value[reader->value_len] = '\0';
	reader->parse.line = reader->value_line;
	if (strlen(reader->value) > LAB_VALUE_BYTES_MAX)
		err = lab_parse_error(&reader->parse, "%s has over %u bytes", reader->key,
				      LAB_VALUE_BYTES_MAX);
	else
		err = lab_keys_set(&reader->parse, reader->keys, target_of(reader), reader->key,
				   reader->value);
	reader->key[0] = '\0';
	return err;
}

static int close_section(struct reader *reader)
{
	int err = close_value(reader);

	if (!err && reader->keys == &lab_step_keys)
		err = lab_step_finish(&reader->parse);
	return err;
}

/* @line has no blanks at its end. */
static int add_key(struct reader *reader, const char *line, size_t len)
{
	const char *equals = memchr(line, '=', len);
	size_t key, value;
	int err = close_value(reader);

	reader->parse.line = reader->line;
	if (err)
		return err;
	if (!equals)
		return lab_parse_error(&reader->parse,
				       "\"%.*s\" is neither [SECTION] nor KEY = VALUE; a line that "
				       "goes on starts with a blank",
				       len < 60 ? (int)len : 60, line);
	for (key = (size_t)(equals - line); key && strchr(" \t", line[key - 1]);)
		key--;
	if (!key || key >= KEY_BYTES_MAX)
		return lab_parse_error(&reader->parse, "before the = stands a key");
	memcpy(reader->key, line, key);
	reader->key[key] = '\0';
	for (value = (size_t)(equals - line) + 1; value < len && strchr(" \t", line[value]);)
		value++;
	reader->value_len = len - value;
	memcpy(reader->value, line + value, reader->value_len);
	reader->value_line = reader->line;
	return 0;
}

/* @line starts behind its blanks. The blank that went makes room for what joins. */
static int add_continuation(struct reader *reader, const char *line, size_t len)
{
	reader->parse.line = reader->line;
	if (!*reader->key)
		return lab_parse_error(
			&reader->parse,
			"a line that starts with a blank goes on from the one above, "
			"but there is no KEY = VALUE");
	if (reader->value_len)
		reader->value[reader->value_len++] = strcmp(reader->key, "about") ? ' ' : '\n';
	memcpy(reader->value + reader->value_len, line, len);
	reader->value_len += len;
	return 0;
}

static int open_guest(struct reader *reader, unsigned int guest)
{
	struct lab_parse *parse = &reader->parse;

	if (parse->guest_line[guest])
		return lab_parse_error(parse, "this section was there in line %u",
				       parse->guest_line[guest]);
	parse->guest_line[guest] = reader->line;
	parse->scenario->guest[guest].present = true;
	reader->keys = &lab_guest_keys;
	reader->target = &parse->scenario->guest[guest];
	return 0;
}

static int open_once(struct reader *reader, const struct lab_keys *keys, void *target,
		     unsigned int *seen_line)
{
	if (*seen_line)
		return lab_parse_error(&reader->parse, "this section was there in line %u",
				       *seen_line);
	*seen_line = reader->line;
	reader->keys = keys;
	reader->target = target;
	return 0;
}

/* One step here, and none of like = is left. */
static void drop_steps(struct lab_parse *parse)
{
	struct lab_scenario *scenario = parse->scenario;

	while (scenario->steps)
		lab_step_deinit(&scenario->step[--scenario->steps]);
	parse->placed = 0;
	parse->like_steps = false;
}

static int open_step(struct reader *reader, const char *title)
{
	if (reader->parse.like_steps)
		drop_steps(&reader->parse);
	reader->keys = &lab_step_keys;
	reader->target = NULL; /* moves with every step that is added */
	return lab_step_begin(&reader->parse, title + strspn(title, " \t"));
}

static int unknown_section(struct reader *reader, const char *name)
{
	static const char *const known[] = {"card", "host", "guest", "guest 2", "at the end", NULL};
	const char *nearest = lab_nearest(name, known);

	if (nearest)
		return lab_parse_error(&reader->parse, "[%.40s] is no section; is [%s] meant?",
				       name, nearest);
	return lab_parse_error(&reader->parse,
			       "[%.40s] is no section; there are [card], [host], [guest], [guest "
			       "2], [step TITLE] and [at the end]",
			       name);
}

static int open_section(struct reader *reader, const char *name)
{
	struct lab_parse *parse = &reader->parse;
	struct lab_scenario *scenario = parse->scenario;

	parse->given = 0;
	if (!strcmp(name, "card"))
		return open_once(reader, &lab_card_keys, &scenario->card, &parse->card_line);
	if (!strcmp(name, "host"))
		return open_once(reader, &lab_host_keys, &scenario->host, &parse->host_line);
	if (!strcmp(name, "guest"))
		return open_guest(reader, 0);
	if (!strcmp(name, "guest 2"))
		return open_guest(reader, 1);
	if (!strcmp(name, "at the end"))
		return open_once(reader, &lab_end_keys, scenario, &parse->end_line);
	if (!strncmp(name, "step", 4) && strchr(" \t", name[4]))
		return open_step(reader, name + 4);
	return unknown_section(reader, name);
}

static int add_section(struct reader *reader, const char *line, size_t len)
{
	char name[160];
	int err = close_section(reader);

	reader->parse.line = reader->line;
	if (err)
		return err;
	if (line[len - 1] != ']')
		return lab_parse_error(&reader->parse, "a section ends with ]: [SECTION]");
	line++;
	len -= 2;
	while (len && strchr(" \t", *line)) {
		line++;
		len--;
	}
	while (len && strchr(" \t", line[len - 1]))
		len--;
	if (len >= sizeof(name))
		return lab_parse_error(&reader->parse, "this section's name is too long");
	memcpy(name, line, len);
	name[len] = '\0';
	return open_section(reader, name);
}

static int check_bytes(struct reader *reader, const char *line, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++) {
		if (!iscntrl((unsigned char)line[i]) || line[i] == '\t')
			continue;
		reader->parse.line = reader->line;
		return lab_parse_error(&reader->parse, "byte 0x%02x is no text",
				       (unsigned char)line[i]);
	}
	return 0;
}

static int add_line(struct reader *reader, const char *line, size_t len)
{
	size_t blanks = 0;
	int err;

	if (len && line[len - 1] == '\r')
		len--;
	err = check_bytes(reader, line, len);
	if (err)
		return err;
	while (len && strchr(" \t", line[len - 1]))
		len--;
	while (blanks < len && strchr(" \t", line[blanks]))
		blanks++;
	if (!len)
		return close_value(reader);
	if (line[blanks] == '#')
		return 0;
	if (blanks)
		return add_continuation(reader, line + blanks, len - blanks);
	return *line == '[' ? add_section(reader, line, len) : add_key(reader, line, len);
}

/* ---- the whole ---- */

/* Of what like = brought, mistakes are found in the line that says like. */
static void like_lines(struct lab_parse *parse)
{
	unsigned int i;

	if (!parse->like)
		return;
	if (!parse->host_line)
		parse->host_line = parse->like_line;
	for (i = 0; i < LAB_GUESTS_MAX; i++)
		if (!parse->guest_line[i])
			parse->guest_line[i] = parse->like_line;
	if (!parse->end_line)
		parse->end_line = parse->like_line;
}

static int finish(struct reader *reader)
{
	struct lab_parse *parse = &reader->parse;
	struct lab_scenario *scenario = parse->scenario;
	int err = close_section(reader);

	if (err)
		return err;
	parse->line = 1;
	if (!scenario->title)
		return lab_parse_error(parse, "a scenario starts with title = WHAT IT SHOWS");
	if (!scenario->about)
		scenario->about = strdup("");
	if (!scenario->about)
		return -ENOMEM;
	like_lines(parse);
	err = lab_machines_finish(parse);
	parse->line = reader->line;
	return err ? err : lab_steps_finish(parse);
}

static int read_lines(struct reader *reader, const char *text, size_t len)
{
	const char *end;
	size_t line;
	int err = 0;

	if (len >= strlen(BOM) && !memcmp(text, BOM, strlen(BOM))) {
		text += strlen(BOM);
		len -= strlen(BOM);
	}
	while (!err && len) {
		reader->line++;
		end = memchr(text, '\n', len);
		line = end ? (size_t)(end - text) : len;
		err = add_line(reader, text, line);
		line += end != NULL;
		text += line;
		len -= line;
	}
	return err;
}

int lab_scenario_parse(const char *path, const char *text, size_t len,
		       struct lab_scenario **ret_scenario, struct reason *why)
{
	struct reader reader = {.parse = {.path = path, .why = why}, .keys = &lab_top_keys};
	int err = -ENOMEM;

	if (len > FILE_BYTES_MAX)
		return reason_add(why, -EFBIG, "%s: over %zu KiB", path, FILE_BYTES_MAX / 1024);
	reader.parse.scenario = create(path);
	/* A value can't be longer than all of the text. */
	reader.value = malloc(len + 1);
	reader.target = reader.parse.scenario;
	if (reader.parse.scenario && reader.value)
		err = read_lines(&reader, text, len);
	if (!err)
		err = finish(&reader);
	free(reader.value);
	if (err) {
		lab_scenario_destroy(reader.parse.scenario);
		return err == -ENOMEM ? reason_add(why, err, "%s: out of memory", path) : err;
	}
	*ret_scenario = reader.parse.scenario;
	return 0;
}

/* Names of runs and folders are made of it. */
static int check_name(const char *path, struct reason *why)
{
	const char *name = strrchr(path, '/');
	size_t len, suffix = strlen(LAB_SCENARIO_SUFFIX), i;

	name = name ? name + 1 : path;
	len = strlen(name);
	if (len <= suffix || strcmp(name + len - suffix, LAB_SCENARIO_SUFFIX))
		return reason_add(why, -EINVAL, "%s: a scenario's file is NAME" LAB_SCENARIO_SUFFIX,
				  path);
	for (i = 0; i < len; i++)
		if (!isalnum((unsigned char)name[i]) && (!i || !strchr("-_.", name[i])))
			return reason_add(why, -EINVAL,
					  "%s: a scenario's name is of letters, digits, '-', '_' "
					  "and '.'",
					  path);
	return 0;
}

/* As much as there is of it, up to one byte more than is allowed. */
static int read_file(const char *path, char *text, size_t *ret_len, struct reason *why)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	size_t len = 0;
	ssize_t got = 1;

	if (fd < 0)
		return reason_add(why, -errno, "%s: %m", path);
	while (len <= FILE_BYTES_MAX && got > 0) {
		got = read(fd, text + len, FILE_BYTES_MAX + 1 - len);
		if (got > 0)
			len += (size_t)got;
	}
	if (got < 0) {
		got = -errno;
		close(fd);
		return reason_add(why, (int)got, "%s: %s", path, strerror((int)-got));
	}
	close(fd);
	*ret_len = len;
	return 0;
}

/* ---- like = NAME ---- */

/* Beside the file that says so, else among those that are shipped. */
static int read_original(const char *path, const char *name, char *ret_path, char *text,
			 size_t *ret_len, struct reason *why)
{
	const char *slash = strrchr(path, '/');
	struct reason unused = {0};
	char dir[PATH_MAX];
	int err;

	if (snprintf(ret_path, PATH_MAX, "%.*s%s" LAB_SCENARIO_SUFFIX,
		     slash ? (int)(slash + 1 - path) : 0, path, name) >= PATH_MAX)
		return reason_add(why, -ENAMETOOLONG, "too long a path");
	err = read_file(ret_path, text, ret_len, why);
	if (err != -ENOENT || lab_scenario_dir(dir, &unused) ||
	    snprintf(ret_path, PATH_MAX, "%s/%s" LAB_SCENARIO_SUFFIX, dir, name) >= PATH_MAX)
		return err;
	why->text[0] = '\0';
	return read_file(ret_path, text, ret_len, why);
}

/* What it says goes into @parse->scenario, as if this file had said it in its first line. */
static int take_over(struct lab_parse *parse, const char *path, const char *text, size_t len)
{
	struct reader reader = {
		.parse = {.path = path, .why = parse->why, .scenario = parse->scenario},
		.keys = &lab_top_keys,
		.target = parse->scenario,
	};
	struct lab_scenario *scenario = parse->scenario;
	size_t i;
	int err;

	reader.parse.original = true;
	reader.value = malloc(len + 1);
	if (!reader.value)
		return -ENOMEM;
	err = read_lines(&reader, text, len);
	if (!err)
		err = close_section(&reader);
	free(reader.value);
	if (err)
		return err;
	free(scenario->title);
	free(scenario->about);
	scenario->title = scenario->about = NULL;
	parse->placed = reader.parse.placed;
	for (i = 0; i < scenario->steps; i++)
		scenario->step[i].line = parse->line;
	for (i = 0; i < scenario->expects; i++)
		scenario->expect[i].line = parse->line;
	return 0;
}

int lab_set_like(struct lab_parse *parse, const struct lab_key *key, void *field, const char *value)
{
	char path[PATH_MAX], *text;
	struct reason reading = {0};
	size_t len = 0;
	int err;

	(void)field;
	if (parse->original)
		return lab_parse_error(parse,
				       "another scenario is like this one, so it can't be like "
				       "a third");
	if (parse->scenario->title || parse->scenario->about)
		return lab_parse_error(parse, "%s = comes first", key->name);
	if (strchr(value, '/'))
		return lab_parse_error(parse, "%s = %.60s: must be the name of a scenario",
				       key->name, value);
	text = malloc(FILE_BYTES_MAX + 1);
	if (!text)
		return -ENOMEM;
	err = read_original(parse->path, value, path, text, &len, &reading);
	if (err)
		err = lab_parse_error(parse, "%s = %.60s: %s", key->name, value, reading.text);
	else if (len > FILE_BYTES_MAX)
		err = lab_parse_error(parse, "%s = %.60s: it has over %zu KiB", key->name, value,
				      FILE_BYTES_MAX / 1024);
	else
		err = take_over(parse, path, text, len);
	free(text);
	parse->like = parse->like_steps = !err;
	parse->like_line = parse->line;
	return err;
}

int lab_scenario_load(const char *path, struct lab_scenario **ret_scenario, struct reason *why)
{
	char *text;
	size_t len = 0;
	int err = check_name(path, why);

	if (err)
		return err;
	text = malloc(FILE_BYTES_MAX + 1);
	if (!text)
		return reason_add(why, -ENOMEM, "%s: out of memory", path);
	err = read_file(path, text, &len, why);
	if (!err)
		err = lab_scenario_parse(path, text, len, ret_scenario, why);
	free(text);
	return err;
}
