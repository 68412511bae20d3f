/* SPDX-License-Identifier: MIT */
/*
 * [step] and [at the end]: what happens and what must be seen.
 */
#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lab/scenario_internal.h"

#define TITLE_BYTES_MAX 100u
#define EXPECTS_MAX 256u
#define COMMAND_BYTES_MAX 255u

static const char *const log_names[LAB_LOG_NR] = {
	[LAB_LOG_HOST] = "host log",	      [LAB_LOG_GUEST1] = "guest log",
	[LAB_LOG_GUEST2] = "guest 2 log",     [LAB_LOG_HOST_QEMU] = "host qemu",
	[LAB_LOG_GUEST1_QEMU] = "guest qemu", [LAB_LOG_GUEST2_QEMU] = "guest 2 qemu",
	[LAB_LOG_CARD] = "card log",
};

const char *lab_log_name(enum lab_log_kind kind)
{
	return log_names[kind];
}

/* ---- values ---- */

static int read_pattern(struct lab_parse *parse, const char *key, const char *value,
			struct lab_pattern *ret_pattern)
{
	struct reason words = {0};
	int err = lab_pattern_parse(value, ret_pattern, &words);

	if (err == -EINVAL)
		return lab_parse_error(parse, "%s = %.60s: %s", key, value, words.text);
	return err;
}

static int set_exit(struct lab_parse *parse, const struct lab_key *key, void *field,
		    const char *value)
{
	unsigned long code;
	char *end;

	if (!strcmp(value, "any")) {
		*(int *)field = -1;
		return 0;
	}
	code = strtoul(value, &end, 10);
	if (!isdigit((unsigned char)*value) || *end || code > 255)
		return lab_parse_error(parse, "%s = %.60s: must be a number up to 255, or any",
				       key->name, value);
	*(int *)field = (int)code;
	return 0;
}

static int add_print(struct lab_parse *parse, const struct lab_key *key, void *field,
		     const char *value)
{
	struct lab_patterns *prints = field;
	int err;

	if (prints->count >= LAB_LIST_MAX)
		return lab_parse_error(parse, "%s is there over %u times", key->name, LAB_LIST_MAX);
	err = lab_grow(&prints->item, prints->count, sizeof(*prints->item));
	if (!err)
		err = read_pattern(parse, key->name, value, &prints->item[prints->count]);
	if (!err)
		prints->count++;
	return err;
}

static int set_where(struct lab_parse *parse, const struct lab_key *key, void *field,
		     const char *value)
{
	static const char *const names[] = {"host", "guest", "guest 2", NULL};
	unsigned int i;

	for (i = 0; names[i]; i++) {
		if (strcmp(names[i], value))
			continue;
		*(enum lab_where *)field = (enum lab_where)i;
		return 0;
	}
	return lab_parse_error(parse, "%s = %.60s: must be host, guest or guest 2", key->name,
			       value);
}

struct action {
	const char *words;
	enum lab_action action;
	enum lab_where where;
};

static const struct action actions[] = {
	{"start guest", LAB_DO_START_GUEST, LAB_IN_GUEST1},
	{"start guest 2", LAB_DO_START_GUEST, LAB_IN_GUEST2},
	{"stop guest", LAB_DO_STOP_GUEST, LAB_IN_GUEST1},
	{"stop guest 2", LAB_DO_STOP_GUEST, LAB_IN_GUEST2},
	{"kill guest", LAB_DO_KILL_GUEST, LAB_IN_GUEST1},
	{"kill guest 2", LAB_DO_KILL_GUEST, LAB_IN_GUEST2},
	{"kill card", LAB_DO_KILL_CARD, LAB_IN_HOST},
	{"pull card", LAB_DO_PULL_CARD, LAB_IN_HOST},
	{"new card", LAB_DO_NEW_CARD, LAB_IN_HOST},
};

/* What follows @words and a blank in @value; NULL: something else is there. */
static const char *after(const char *value, const char *words)
{
	size_t len = strlen(words);

	if (strncmp(value, words, len) || (value[len] != ' ' && value[len] != '\t'))
		return NULL;
	return value + len + strspn(value + len, " \t");
}

static int set_rest(struct lab_step *step, enum lab_action action, const char *rest)
{
	step->action = action;
	free(step->command); /* of a run =, which is refused once the whole step is known */
	step->command = strdup(rest);
	return step->command ? 0 : -ENOMEM;
}

static int set_wait_log(struct lab_parse *parse, struct lab_step *step, const char *rest)
{
	const char *pattern;
	unsigned int i;

	for (i = 0; i < LAB_LOG_NR; i++) {
		pattern = after(rest, log_names[i]);
		if (!pattern)
			continue;
		step->action = LAB_DO_WAIT_LOG;
		step->log = (enum lab_log_kind)i;
		/* A count would be a question to the end, not to now. */
		if (*pattern != '/')
			return lab_parse_error(parse, "wait for %s is followed by /REGEX/",
					       log_names[i]);
		return read_pattern(parse, "wait for", pattern, &step->pattern);
	}
	return lab_parse_error(parse,
			       "do = wait for %.60s: what follows is \"step TITLE\" or a log and "
			       "/REGEX/; logs are host log, guest log, guest 2 log, host qemu, "
			       "guest qemu, guest 2 qemu, card log",
			       rest);
}

static int unknown_action(struct lab_parse *parse, const char *value)
{
	const char *known[sizeof(actions) / sizeof(actions[0]) + 1], *nearest;
	size_t i;

	for (i = 0; i < sizeof(actions) / sizeof(actions[0]); i++)
		known[i] = actions[i].words;
	known[i] = NULL;
	nearest = lab_nearest(value, known);
	if (nearest)
		return lab_parse_error(parse, "do = %.60s: is \"%s\" meant?", value, nearest);
	return lab_parse_error(parse,
			       "do = %.60s: must be start, stop or kill guest (or guest 2), kill "
			       "card, new card, card COMMAND, wait for step TITLE or wait for LOG "
			       "/REGEX/; a command in a machine is run = COMMAND",
			       value);
}

static int set_action(struct lab_parse *parse, const struct lab_key *key, void *field,
		      const char *value)
{
	struct lab_step *step = field;
	const char *rest;
	size_t i;

	(void)key;
	for (i = 0; i < sizeof(actions) / sizeof(actions[0]); i++) {
		if (strcmp(actions[i].words, value))
			continue;
		step->action = actions[i].action;
		step->where = actions[i].where;
		return 0;
	}
	rest = after(value, "card");
	if (rest && strlen(rest) > COMMAND_BYTES_MAX)
		return lab_parse_error(parse, "a command to the card has at most %u bytes",
				       COMMAND_BYTES_MAX);
	if (rest)
		return set_rest(step, LAB_DO_CARD, rest);
	rest = after(value, "wait for step");
	if (rest)
		return set_rest(step, LAB_DO_WAIT_STEP, rest);
	rest = after(value, "wait for");
	return rest ? set_wait_log(parse, step, rest) : unknown_action(parse, value);
}

static void clear_expects(const struct lab_key *key, void *field)
{
	struct lab_scenario *scenario = field;
	size_t i, kept = 0;

	for (i = 0; i < scenario->expects; i++) {
		if (scenario->expect[i].log == key->log)
			lab_pattern_deinit(&scenario->expect[i].pattern);
		else
			scenario->expect[kept++] = scenario->expect[i];
	}
	scenario->expects = kept;
}

static int add_expect(struct lab_parse *parse, const struct lab_key *key, void *field,
		      const char *value)
{
	struct lab_scenario *scenario = field;
	struct lab_expect *expect;
	int err;

	if (scenario->expects >= EXPECTS_MAX)
		return lab_parse_error(parse, "over %u lines in [at the end]", EXPECTS_MAX);
	err = lab_grow(&scenario->expect, scenario->expects, sizeof(*scenario->expect));
	if (err)
		return err;
	expect = &scenario->expect[scenario->expects];
	expect->log = key->log;
	expect->line = parse->line;
	err = read_pattern(parse, key->name, value, &expect->pattern);
	if (!err)
		scenario->expects++;
	return err;
}

/* As findings are named: small letters, digits, '-'. */
static bool is_finding(const char *word)
{
	return *word && !word[strspn(word, "abcdefghijklmnopqrstuvwxyz0123456789-")];
}

static int add_finding(struct lab_parse *parse, const struct lab_key *key, struct lab_strings *ids,
		       const char *word)
{
	size_t i;

	if (!is_finding(word) || !strcmp(word, "healthy"))
		return lab_parse_error(parse,
				       "%s = ... %.40s: must be the ids of findings, with commas "
				       "between (\"tethys doctor --list\" shows them)",
				       key->name, word);
	for (i = 0; i < ids->count; i++)
		if (!strcmp(ids->item[i], word))
			return lab_parse_error(parse, "%s has %s twice", key->name, word);
	return lab_add_text(parse, key, ids, word);
}

static int add_findings(struct lab_parse *parse, const struct lab_key *key, void *field,
			const char *value)
{
	struct lab_strings *ids = field;
	char word[64];
	size_t len;
	int err = 0;

	lab_strings_deinit(ids);
	while (!err) {
		len = strcspn(value, ",");
		snprintf(word, sizeof(word), "%.*s", (int)len, value);
		while (len && len < sizeof(word) && strchr(" \t", word[len - 1]))
			word[--len] = '\0';
		err = add_finding(parse, key, ids, word);
		value += strcspn(value, ",");
		if (!*value++)
			break;
		value += strspn(value, " \t");
	}
	return err;
}

static int set_verdict(struct lab_parse *parse, const struct lab_key *key, void *field,
		       const char *value)
{
	struct lab_verdict *verdict = field;

	verdict->asked = true;
	if (strcmp(value, "healthy"))
		return add_findings(parse, key, &verdict->ids, value);
	lab_strings_deinit(&verdict->ids);
	return 0;
}

/* ---- tables ---- */

#define STEP(field) offsetof(struct lab_step, field)
#define BIT(key) (UINT32_C(1) << (key))

enum step_key {
	STEP_IN,
	STEP_RUN,
	STEP_DO,
	STEP_WITHIN,
	STEP_EXIT,
	STEP_PRINTS,
	STEP_AT_MOST,
	STEP_BACKGROUND,
};

static const struct lab_key step_table[] = {
	[STEP_IN] = {.name = "in", .set = set_where, .offset = STEP(where)},
	[STEP_RUN] = {.name = "run", .set = lab_set_text, .offset = STEP(command)},
	[STEP_DO] = {.name = "do", .set = set_action},
	[STEP_WITHIN] = {.name = "within", .set = lab_set_ms, .offset = STEP(within_ms)},
	[STEP_EXIT] = {.name = "exit", .set = set_exit, .offset = STEP(exit)},
	[STEP_PRINTS] = {.name = "prints",
			 .set = add_print,
			 .offset = STEP(prints),
			 .repeats = true},
	[STEP_AT_MOST] = {.name = "at most", .set = lab_set_ms, .offset = STEP(at_most_ms)},
	[STEP_BACKGROUND] = {.name = "background", .set = lab_set_flag, .offset = STEP(background)},
};
const struct lab_keys lab_step_keys = {"[step]", step_table,
				       sizeof(step_table) / sizeof(step_table[0])};

#define END(field) offsetof(struct lab_scenario, field)
#define LOG(kind_, name_) \
	{.name = name_, .set = add_expect, .clear = clear_expects, .repeats = true, .log = kind_}

static const struct lab_key end_table[] = {
	LOG(LAB_LOG_HOST, "host log"),
	LOG(LAB_LOG_GUEST1, "guest log"),
	LOG(LAB_LOG_GUEST2, "guest 2 log"),
	LOG(LAB_LOG_HOST_QEMU, "host qemu"),
	LOG(LAB_LOG_GUEST1_QEMU, "guest qemu"),
	LOG(LAB_LOG_GUEST2_QEMU, "guest 2 qemu"),
	LOG(LAB_LOG_CARD, "card log"),
	{.name = "isolation", .set = lab_set_flag, .offset = END(isolation)},
	{.name = "doctor", .set = set_verdict, .offset = END(doctor)},
	{.name = "guest doctor", .set = set_verdict, .offset = END(guest_doctor)},
	{.name = "doctor together", .set = set_verdict, .offset = END(doctor_together)},
	{.name = "doctor also", .set = add_findings, .offset = END(doctor_also)},
};
const struct lab_keys lab_end_keys = {"[at the end]", end_table,
				      sizeof(end_table) / sizeof(end_table[0])};

/* ---- one step ---- */

void lab_step_deinit(struct lab_step *step)
{
	size_t i;

	for (i = 0; i < step->prints.count; i++)
		lab_pattern_deinit(&step->prints.item[i]);
	free(step->prints.item);
	lab_pattern_deinit(&step->pattern);
	free(step->command);
	free(step->title);
}

int lab_step_begin(struct lab_parse *parse, const char *title)
{
	struct lab_scenario *scenario = parse->scenario;
	struct lab_step *step;
	int err;

	if (!*title || strlen(title) > TITLE_BYTES_MAX)
		return lab_parse_error(parse, "a step has a title of 1 to %u bytes: [step TITLE]",
				       TITLE_BYTES_MAX);
	if (scenario->steps >= LAB_STEPS_MAX)
		return lab_parse_error(parse, "over %u steps", LAB_STEPS_MAX);
	err = lab_grow(&scenario->step, scenario->steps, sizeof(*scenario->step));
	if (err)
		return err;
	step = &scenario->step[scenario->steps];
	step->title = strdup(title);
	step->line = parse->line;
	if (!step->title)
		return -ENOMEM;
	scenario->steps++;
	return 0;
}

static unsigned int default_within_ms(enum lab_action action)
{
	switch (action) {
	case LAB_DO_START_GUEST:
		return 120000;
	case LAB_DO_CARD:
		return 10000;
	default:
		return 60000;
	}
}

/* Keys that say something about this action. */
static uint32_t keys_of(enum lab_action action)
{
	uint32_t keys = BIT(STEP_DO) | BIT(STEP_WITHIN);

	switch (action) {
	case LAB_DO_RUN:
		return ~BIT(STEP_DO);
	case LAB_DO_START_GUEST:
		return keys | BIT(STEP_EXIT) | BIT(STEP_PRINTS);
	case LAB_DO_CARD:
		return keys | BIT(STEP_PRINTS);
	default:
		return keys;
	}
}

static int check_run(struct lab_parse *parse, const struct lab_step *step)
{
	if (step->at_most_ms > step->within_ms)
		return lab_parse_error(
			parse, "[step %s] is ended after %u ms, so \"at most\" must be less",
			step->title, step->within_ms);
	return 0;
}

int lab_step_finish(struct lab_parse *parse)
{
	struct lab_step *step = &parse->scenario->step[parse->scenario->steps - 1];
	bool run = parse->given & BIT(STEP_RUN), action = parse->given & BIT(STEP_DO);
	uint32_t wrong;
	unsigned int i;

	parse->line = step->line;
	if (run == action)
		return lab_parse_error(parse,
				       "[step %s] must have either run = or do =", step->title);
	wrong = parse->given & ~keys_of(step->action);
	for (i = 0; i < lab_step_keys.count; i++)
		if (wrong & BIT(i))
			return lab_parse_error(parse, "[step %s]: %s has no sense beside its do =",
					       step->title, step_table[i].name);
	if (step->action == LAB_DO_START_GUEST && step->exit < 0)
		return lab_parse_error(parse,
				       "[step %s]: exit of a start must be 0 (the guest is up), or "
				       "what QEMU ends with when it refuses",
				       step->title);
	if (parse->given & BIT(STEP_IN))
		parse->placed |= UINT64_C(1) << (parse->scenario->steps - 1);
	if (!step->within_ms)
		step->within_ms = default_within_ms(step->action);
	return run ? check_run(parse, step) : 0;
}

/* ---- all steps in their order ---- */

/* What the steps so far have led to. */
struct walk {
	struct lab_parse *parse;
	bool runs[LAB_GUESTS_MAX], dead_card;
	bool waited[LAB_STEPS_MAX]; /* the end of this background step */
};

static const char *guest_words(unsigned int guest)
{
	return guest ? "guest 2" : "guest";
}

/* Which guest a step is in or about; -1: none. */
static int guest_of(const struct lab_step *step)
{
	return (int)step->where - (int)LAB_IN_GUEST1;
}

static int guest_of_log(enum lab_log_kind log)
{
	switch (log) {
	case LAB_LOG_GUEST1:
	case LAB_LOG_GUEST1_QEMU:
		return 0;
	case LAB_LOG_GUEST2:
	case LAB_LOG_GUEST2_QEMU:
		return 1;
	default:
		return -1;
	}
}

/* With a guest nobody should have to guess what the default is. */
static int check_placed(struct lab_parse *parse)
{
	const struct lab_scenario *scenario = parse->scenario;
	size_t i;

	static_assert(LAB_STEPS_MAX <= 64, "one bit each");
	for (i = 0; scenario->guest[0].present && i < scenario->steps; i++) {
		parse->line = scenario->step[i].line;
		if (scenario->step[i].action == LAB_DO_RUN && !(parse->placed >> i & 1))
			return lab_parse_error(parse,
					       "[step %s] must say where: in = host or in = guest",
					       scenario->step[i].title);
	}
	return 0;
}

/* Before the first step in it; nothing when a step starts it, or none is in it. */
static int insert_start(struct lab_parse *parse, unsigned int guest)
{
	struct lab_scenario *scenario = parse->scenario;
	struct lab_step start = {0};
	size_t first = scenario->steps, i;
	int err;

	for (i = scenario->steps; i-- > 0;) {
		if (guest_of(&scenario->step[i]) != (int)guest)
			continue;
		if (scenario->step[i].action == LAB_DO_START_GUEST)
			return 0;
		if (scenario->step[i].action == LAB_DO_RUN)
			first = i;
	}
	if (first == scenario->steps)
		return 0;
	parse->line = parse->guest_line[guest];
	err = lab_step_begin(parse, guest_words(guest));
	if (err)
		return err;
	start = scenario->step[scenario->steps - 1];
	start.action = LAB_DO_START_GUEST;
	start.where = guest ? LAB_IN_GUEST2 : LAB_IN_GUEST1;
	start.within_ms = default_within_ms(start.action);
	memmove(&scenario->step[first + 1], &scenario->step[first],
		(scenario->steps - 1 - first) * sizeof(start));
	scenario->step[first] = start;
	return 0;
}

static int check_present(struct lab_parse *parse, int guest)
{
	if (guest < 0 || parse->scenario->guest[guest].present)
		return 0;
	return lab_parse_error(parse, "there is no [%s] in this scenario",
			       guest_words((unsigned int)guest));
}

static int check_title(struct lab_parse *parse, size_t index)
{
	const struct lab_step *step = parse->scenario->step;
	size_t i;

	for (i = 0; i < index; i++)
		if (!strcmp(step[i].title, step[index].title))
			return lab_parse_error(parse,
					       "two steps have the title \"%s\", the other in "
					       "line %u",
					       step[i].title, step[i].line);
	return 0;
}

static int walk_guest(struct walk *walk, const struct lab_step *step)
{
	unsigned int guest = (unsigned int)guest_of(step);
	bool start = step->action == LAB_DO_START_GUEST;

	if (start && walk->runs[guest])
		return lab_parse_error(walk->parse, "[step %s]: the %s runs already", step->title,
				       guest_words(guest));
	if (!start && !walk->runs[guest])
		return lab_parse_error(walk->parse, "[step %s]: the %s isn't running at this point",
				       step->title, guest_words(guest));
	if (start)
		walk->runs[guest] = !step->exit;
	else if (step->action != LAB_DO_RUN)
		walk->runs[guest] = false;
	return 0;
}

static int walk_card(struct walk *walk, const struct lab_step *step)
{
	bool of_dead = step->action == LAB_DO_NEW_CARD || step->action == LAB_DO_PULL_CARD;

	if (of_dead != walk->dead_card)
		return lab_parse_error(walk->parse, "[step %s]: the card is %s at this point",
				       step->title, of_dead ? "alive" : "dead");
	if (step->action == LAB_DO_KILL_CARD || step->action == LAB_DO_NEW_CARD)
		walk->dead_card = step->action == LAB_DO_KILL_CARD;
	return 0;
}

/* Its step is before @index, in the background, and nobody has waited for it. */
static int walk_wait(struct walk *walk, size_t index)
{
	const struct lab_step *step = walk->parse->scenario->step;
	size_t i;

	for (i = 0; i < index; i++) {
		if (strcmp(step[i].title, step[index].command))
			continue;
		if (!step[i].background)
			return lab_parse_error(
				walk->parse,
				"[step %s] waits for \"%s\", which has no background "
				"= yes, so is over",
				step[index].title, step[i].title);
		if (walk->waited[i])
			return lab_parse_error(walk->parse,
					       "[step %s]: \"%s\" was waited for before",
					       step[index].title, step[i].title);
		walk->waited[i] = true;
		return 0;
	}
	return lab_parse_error(walk->parse,
			       "[step %s] waits for \"%.60s\", but no step before it "
			       "has this title",
			       step[index].title, step[index].command);
}

static int walk_step(struct walk *walk, size_t index)
{
	const struct lab_step *step = &walk->parse->scenario->step[index];
	int err;

	walk->parse->line = step->line;
	err = check_title(walk->parse, index);
	if (!err)
		err = check_present(walk->parse, guest_of(step));
	if (err)
		return err;
	switch (step->action) {
	case LAB_DO_RUN:
	case LAB_DO_START_GUEST:
	case LAB_DO_STOP_GUEST:
	case LAB_DO_KILL_GUEST:
		return guest_of(step) < 0 ? 0 : walk_guest(walk, step);
	case LAB_DO_KILL_CARD:
	case LAB_DO_PULL_CARD:
	case LAB_DO_NEW_CARD:
	case LAB_DO_CARD:
		return walk_card(walk, step);
	case LAB_DO_WAIT_LOG:
		return check_present(walk->parse, guest_of_log(step->log));
	case LAB_DO_WAIT_STEP:
		return walk_wait(walk, index);
	}
	return 0;
}

/* A guest that nobody looks at is a mistake of the writer's. */
static int check_unused(struct walk *walk)
{
	const struct lab_scenario *scenario = walk->parse->scenario;
	bool used[LAB_GUESTS_MAX] = {0};
	size_t i;

	for (i = 0; i < scenario->steps; i++) {
		if (guest_of(&scenario->step[i]) >= 0)
			used[guest_of(&scenario->step[i])] = true;
	}
	for (i = 0; i < LAB_GUESTS_MAX; i++) {
		walk->parse->line = walk->parse->guest_line[i];
		if (scenario->guest[i].present && !used[i])
			return lab_parse_error(walk->parse, "no step is in the %s or starts it",
					       guest_words((unsigned int)i));
	}
	return 0;
}

static int check_expects(struct lab_parse *parse)
{
	const struct lab_scenario *scenario = parse->scenario;
	size_t i;
	int err = 0;

	for (i = 0; !err && i < scenario->expects; i++) {
		parse->line = scenario->expect[i].line;
		err = check_present(parse, guest_of_log(scenario->expect[i].log));
	}
	return err;
}

static int check_doctor(struct walk *walk)
{
	const struct lab_scenario *scenario = walk->parse->scenario;
	bool in_guest = scenario->guest_doctor.asked || scenario->doctor_together.asked;
	int err = 0;

	walk->parse->line = walk->parse->end_line;
	if (in_guest)
		err = check_present(walk->parse, 0);
	if (!err && in_guest && !walk->runs[0])
		err = lab_parse_error(walk->parse,
				      "doctor can't look into the guest: it isn't running at the "
				      "end");
	if (!err && scenario->doctor_also.count && !scenario->doctor.asked && !in_guest)
		err = lab_parse_error(walk->parse, "doctor also = ... beside no doctor = ...");
	return err;
}

int lab_steps_finish(struct lab_parse *parse)
{
	struct walk walk = {.parse = parse};
	unsigned int guest;
	size_t i;
	int err;

	if (!parse->scenario->steps)
		return lab_parse_error(parse, "a scenario has at least one [step TITLE]");
	err = check_placed(parse);
	for (guest = 0; !err && guest < LAB_GUESTS_MAX; guest++)
		if (parse->scenario->guest[guest].present)
			err = insert_start(parse, guest);
	for (i = 0; !err && i < parse->scenario->steps; i++)
		err = walk_step(&walk, i);
	if (!err)
		err = check_unused(&walk);
	if (!err)
		err = check_doctor(&walk);
	return err ? err : check_expects(parse);
}
