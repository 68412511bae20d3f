/* SPDX-License-Identifier: MIT */
/*
 * Keys and their values: tables of what may stand in which section, and the machines' part.
 */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "lab/scenario_internal.h"

#define MEMORY_MIN_MIB 64u
#define MEMORY_MAX_MIB 65536u
/* Of the host VM's own, beside hugepages. */
#define HOST_OWN_MIB 256u
#define HUGEPAGE_MIB 2u
#define CPUS_MAX 16u
/* As the card takes them: card/control.h. */
#define COMMAND_BYTES_MAX 255u
#define PARAMETERS_BYTES_MAX 1024u
#define HOUR_MS (60u * 60u * 1000u)

int lab_grow(void *array, size_t count, size_t size)
{
	char *grown, *old;

	memcpy(&old, array, sizeof(old));
	grown = realloc(old, (count + 1) * size);
	if (!grown)
		return -ENOMEM;
	memset(grown + count * size, 0, size);
	memcpy(array, &grown, sizeof(grown));
	return 0;
}

/* ---- values ---- */

int lab_set_text(struct lab_parse *parse, const struct lab_key *key, void *field, const char *value)
{
	char **text = field, *copy = strdup(value);

	(void)parse;
	(void)key;
	if (!copy)
		return -ENOMEM;
	free(*text);
	*text = copy;
	return 0;
}

static int set_title(struct lab_parse *parse, const struct lab_key *key, void *field,
		     const char *value)
{
	if (strlen(value) > key->max)
		return lab_parse_error(parse, "%s has over %u bytes", key->name, key->max);
	return lab_set_text(parse, key, field, value);
}

int lab_add_text(struct lab_parse *parse, const struct lab_key *key, struct lab_strings *list,
		 const char *value)
{
	int err;

	if (list->count >= LAB_LIST_MAX)
		return lab_parse_error(parse, "%s is there over %u times", key->name, LAB_LIST_MAX);
	err = lab_grow(&list->item, list->count, sizeof(*list->item));
	if (err)
		return err;
	list->item[list->count] = strdup(value);
	return list->item[list->count++] ? 0 : -ENOMEM;
}

static void clear_strings(const struct lab_key *key, void *field)
{
	(void)key;
	lab_strings_deinit(field);
}

static int set_seed(struct lab_parse *parse, const struct lab_key *key, void *field,
		    const char *value)
{
	if (strlen(value) > COMMAND_BYTES_MAX)
		return lab_parse_error(parse, "a command to the card has at most %u bytes",
				       COMMAND_BYTES_MAX);
	return lab_add_text(parse, key, field, value);
}

/* Letters, digits, '_', '-', '.', the first none of the last two: nothing that is an option. */
static bool is_word(const char *text, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++)
		if (!isalnum((unsigned char)text[i]) && text[i] != '_' &&
		    (!i || !strchr("-.", text[i])))
			return false;
	return len;
}

static int set_word(struct lab_parse *parse, const struct lab_key *key, void *field,
		    const char *value)
{
	if (!is_word(value, strlen(value)))
		return lab_parse_error(parse, "%s = %.60s: must be one word", key->name, value);
	return lab_set_text(parse, key, field, value);
}

/* Nothing in it that a shell would take for more than text. */
static bool is_parameter(const char *text, size_t len)
{
	const char *equals = memchr(text, '=', len);
	size_t i;

	for (i = 0; i < len; i++)
		if (!isalnum((unsigned char)text[i]) && !strchr("_-.,:+=/@", text[i]))
			return false;
	return equals && is_word(text, (size_t)(equals - text));
}

/* Words between blanks, none at the ends. */
static bool are_parameters(const char *text)
{
	size_t len = strcspn(text, " \t");
	bool good = is_parameter(text, len);

	while (good && text[len]) {
		text += len;
		text += strspn(text, " \t");
		len = strcspn(text, " \t");
		good = is_parameter(text, len);
	}
	return good;
}

static int set_parameters(struct lab_parse *parse, const struct lab_key *key, void *field,
			  const char *value)
{
	char **text = field;

	if (!*value) {
		free(*text);
		*text = NULL;
		return 0;
	}
	if (strlen(value) > PARAMETERS_BYTES_MAX)
		return lab_parse_error(parse, "%s has over %u bytes", key->name,
				       PARAMETERS_BYTES_MAX);
	if (!are_parameters(value))
		return lab_parse_error(parse,
				       "%s = %.60s: must be PARAMETER=VALUE..., without quotes",
				       key->name, value);
	return lab_set_text(parse, key, field, value);
}

static int set_module(struct lab_parse *parse, const struct lab_key *key, void *field,
		      const char *value)
{
	size_t len = strcspn(value, " \t");

	if (!is_word(value, len) ||
	    (value[len] && !are_parameters(value + len + strspn(value + len, " \t"))))
		return lab_parse_error(parse,
				       "module = %.60s: must be NAME or NAME PARAMETER=VALUE..., "
				       "without quotes",
				       value);
	return lab_add_text(parse, key, field, value);
}

static int read_flag(struct lab_parse *parse, const struct lab_key *key, const char *value,
		     bool *ret_flag)
{
	if (strcmp(value, "yes") && strcmp(value, "no"))
		return lab_parse_error(parse, "%s = %.60s: must be yes or no", key->name, value);
	*ret_flag = *value == 'y';
	return 0;
}

int lab_set_flag(struct lab_parse *parse, const struct lab_key *key, void *field, const char *value)
{
	return read_flag(parse, key, value, field);
}

static int set_tristate(struct lab_parse *parse, const struct lab_key *key, void *field,
			const char *value)
{
	bool flag;
	int err = read_flag(parse, key, value, &flag);

	if (!err)
		*(int *)field = flag;
	return err;
}

/* "a, b or c" into @words, as much as there is room for. */
static void join_choices(const char *const *choices, char *words, size_t bytes)
{
	size_t used = 0, i;
	const char *between;

	words[0] = '\0';
	for (i = 0; choices[i] && used < bytes - 1; i++) {
		between = !i ? "" : choices[i + 1] ? ", " : " or ";
		snprintf(words + used, bytes - used, "%s%s", between, choices[i]);
		used += strlen(words + used);
	}
}

static int read_choice(struct lab_parse *parse, const struct lab_key *key, const char *value,
		       unsigned int *ret_index)
{
	char words[160];
	unsigned int i;

	for (i = 0; key->choices[i]; i++) {
		if (strcmp(key->choices[i], value))
			continue;
		*ret_index = i;
		return 0;
	}
	join_choices(key->choices, words, sizeof(words));
	return lab_parse_error(parse, "%s = %.60s: must be %s", key->name, value, words);
}

static int set_choice(struct lab_parse *parse, const struct lab_key *key, void *field,
		      const char *value)
{
	unsigned int index;
	int err = read_choice(parse, key, value, &index);

	return err ? err : lab_set_text(parse, key, field, value);
}

/* A number at the start of @value, and behind it and blanks the unit, which may be "". */
static int read_number(const char *value, unsigned long *ret_number, const char **ret_unit)
{
	char *end;

	if (!isdigit((unsigned char)*value))
		return -EINVAL;
	errno = 0;
	*ret_number = strtoul(value, &end, 10);
	if (errno)
		return -EINVAL;
	*ret_unit = end + strspn(end, " \t");
	return 0;
}

static int set_number(struct lab_parse *parse, const struct lab_key *key, void *field,
		      const char *value)
{
	unsigned long number;
	const char *unit;

	if (read_number(value, &number, &unit) || *unit || number < key->min || number > key->max)
		return lab_parse_error(parse, "%s = %.60s: must be a number from %u to %u",
				       key->name, value, key->min, key->max);
	*(unsigned int *)field = (unsigned int)number;
	return 0;
}

/* A port is two queues; beside them the control queues have a vector and the device has one. */
static int set_occupied(struct lab_parse *parse, const struct lab_key *key, void *field,
			const char *value)
{
	int err;

	if (!strcmp(value, "none")) {
		*(unsigned int *)field = 0;
		return 0;
	}
	err = set_number(parse, key, field, value);
	if (!err && *(unsigned int *)field % 2)
		err = lab_parse_error(parse, "%s = %.60s: must be even", key->name, value);
	return err;
}

static int set_mib(struct lab_parse *parse, const struct lab_key *key, void *field,
		   const char *value)
{
	unsigned long number;
	const char *unit;
	bool good = !read_number(value, &number, &unit) && number <= MEMORY_MAX_MIB;

	if (good && !strcmp(unit, "G"))
		number *= 1024;
	else if (good && strcmp(unit, "M"))
		good = false;
	if (!good || number < key->min || number > key->max)
		return lab_parse_error(parse,
				       "%s = %.60s: must be a number with M or G, %uM to %uG",
				       key->name, value, key->min, key->max / 1024);
	*(unsigned int *)field = (unsigned int)number;
	return 0;
}

int lab_set_ms(struct lab_parse *parse, const struct lab_key *key, void *field, const char *value)
{
	unsigned long number, unit_ms = 0;
	const char *unit;

	if (!read_number(value, &number, &unit))
		unit_ms = !strcmp(unit, "ms")	 ? 1
			  : !strcmp(unit, "s")	 ? 1000
			  : !strcmp(unit, "min") ? 60000
						 : 0;
	if (!unit_ms || !number || number > HOUR_MS / unit_ms)
		return lab_parse_error(parse,
				       "%s = %.60s: must be a number with ms, s or min, up to "
				       "60 min",
				       key->name, value);
	*(unsigned int *)field = (unsigned int)(number * unit_ms);
	return 0;
}

static int set_pass(struct lab_parse *parse, const struct lab_key *key, void *field,
		    const char *value)
{
	static const enum lab_pass pass[] = {LAB_PASS_GROUP, LAB_PASS_IOMMUFD, LAB_PASS_NONE};
	unsigned int index;
	int err = read_choice(parse, key, value, &index);

	if (!err)
		*(enum lab_pass *)field = pass[index];
	return err;
}

static int set_vfio(struct lab_parse *parse, const struct lab_key *key, void *field,
		    const char *value)
{
	unsigned int index;
	int err = read_choice(parse, key, value, &index);

	if (!err)
		*(bool *)field = index;
	return err;
}

/* ---- tables ---- */

#define CHOICES(...) ((const char *const[]){__VA_ARGS__, NULL})
#define TOP(field) offsetof(struct lab_scenario, field)
#define CARD(field) offsetof(struct lab_scenario_card, field)
#define HOST(field) offsetof(struct lab_scenario_host, field)
#define GUEST(field) offsetof(struct lab_scenario_guest, field)
#define KEYS(name, words, table) \
	const struct lab_keys name = {words, table, sizeof(table) / sizeof((table)[0])}

static const struct lab_key top_table[] = {
	{.name = "like", .set = lab_set_like},
	{.name = "title", .set = set_title, .offset = TOP(title), .max = 200},
	{.name = "about", .set = lab_set_text, .offset = TOP(about)},
};
KEYS(lab_top_keys, "the first lines", top_table);

static const struct lab_key card_table[] = {
	{.name = "personality", .set = set_word, .offset = CARD(personality)},
	{.name = "engine", .set = set_word, .offset = CARD(engine)},
	{.name = "raw imwr", .set = lab_set_flag, .offset = CARD(raw_imwr)},
	{.name = "keep imwr", .set = set_tristate, .offset = CARD(keep_imwr)},
	{.name = "mirror dma", .set = lab_set_flag, .offset = CARD(mirror_dma)},
	{.name = "latch target", .set = lab_set_flag, .offset = CARD(latch_target)},
	{.name = "count accesses", .set = lab_set_flag, .offset = CARD(count_accesses)},
	{.name = "direct", .set = lab_set_flag, .offset = CARD(direct)},
	{.name = "seed",
	 .set = set_seed,
	 .offset = CARD(seed),
	 .repeats = true,
	 .clear = clear_strings},
};
KEYS(lab_card_keys, "[card]", card_table);

static const struct lab_key host_table[] = {
	{.name = "interrupt remapping", .set = lab_set_flag, .offset = HOST(intremap)},
	{.name = "memory",
	 .set = set_mib,
	 .offset = HOST(memory_mib),
	 .min = 2 * HOST_OWN_MIB,
	 .max = MEMORY_MAX_MIB},
	/* Kept in MiB until lab_machines_finish(). */
	{.name = "hugepages",
	 .set = set_mib,
	 .offset = HOST(hugepages),
	 .min = MEMORY_MIN_MIB,
	 .max = MEMORY_MAX_MIB},
	{.name = "kernel", .set = lab_set_text, .offset = HOST(cmdline), .may_be_empty = true},
	{.name = "module",
	 .set = set_module,
	 .offset = HOST(modules),
	 .repeats = true,
	 .clear = clear_strings},
	{.name = "driver",
	 .set = set_choice,
	 .offset = HOST(driver),
	 .choices = CHOICES("vfio-pci", LAB_DRIVER_METIS, "none")},
	{.name = "driver parameters",
	 .set = set_parameters,
	 .offset = HOST(driver_parameters),
	 .may_be_empty = true},
	{.name = "occupied interrupts",
	 .set = set_occupied,
	 .offset = HOST(occupied),
	 .min = LAB_OCCUPIED_MIN,
	 .max = LAB_OCCUPIED_MAX},
	{.name = "cpus", .set = set_number, .offset = HOST(cpus), .min = 1, .max = CPUS_MAX},
	{.name = "iommu", .set = lab_set_flag, .offset = HOST(iommu)},
	{.name = "vfio",
	 .set = set_vfio,
	 .offset = HOST(lab_vfio),
	 .choices = CHOICES("debian", "lab")},
};
KEYS(lab_host_keys, "[host]", host_table);

static const struct lab_key guest_table[] = {
	{.name = "pass",
	 .set = set_pass,
	 .offset = GUEST(pass),
	 .choices = CHOICES("group", "iommufd", "none")},
	{.name = "kernel", .set = lab_set_text, .offset = GUEST(cmdline), .may_be_empty = true},
	{.name = "irqchip",
	 .set = set_choice,
	 .offset = GUEST(irqchip),
	 .choices = CHOICES("on", "split")},
	{.name = "driver",
	 .set = set_choice,
	 .offset = GUEST(driver),
	 .choices = CHOICES("vfio-noiommu", "vfio-pci", LAB_DRIVER_METIS, "none")},
	{.name = "driver parameters",
	 .set = set_parameters,
	 .offset = GUEST(driver_parameters),
	 .may_be_empty = true},
	{.name = "module",
	 .set = set_module,
	 .offset = GUEST(modules),
	 .repeats = true,
	 .clear = clear_strings},
	{.name = "memory",
	 .set = set_mib,
	 .offset = GUEST(memory_mib),
	 .min = MEMORY_MIN_MIB,
	 .max = MEMORY_MAX_MIB},
	{.name = "cpus", .set = set_number, .offset = GUEST(cpus), .min = 1, .max = CPUS_MAX},
	{.name = "hugepages", .set = lab_set_flag, .offset = GUEST(hugepages)},
	{.name = "prealloc", .set = lab_set_flag, .offset = GUEST(prealloc)},
	{.name = "numa", .set = lab_set_flag, .offset = GUEST(numa)},
	{.name = "viommu", .set = lab_set_flag, .offset = GUEST(viommu)},
};
KEYS(lab_guest_keys, "[guest]", guest_table);

/* ---- finding a key ---- */

/* Edits from @word to @known: letters added, lost, changed or swapped. */
static unsigned int distance(const char *word, const char *known)
{
	unsigned int row[3][40], best, i, j;
	size_t wide = strlen(known);

	if (wide > 38 || strlen(word) > 60)
		return 100;
	for (j = 0; j <= wide; j++)
		row[0][j] = row[2][j] = j;
	for (i = 1; word[i - 1]; i++) {
		unsigned int *now = row[i % 3], *last = row[(i - 1) % 3],
			     *before = row[(i + 1) % 3];

		now[0] = i;
		for (j = 1; j <= wide; j++) {
			best = last[j - 1] + (tolower((unsigned char)word[i - 1]) != known[j - 1]);
			best = last[j] + 1 < best ? last[j] + 1 : best;
			best = now[j - 1] + 1 < best ? now[j - 1] + 1 : best;
			if (i > 1 && j > 1 && word[i - 1] == known[j - 2] &&
			    word[i - 2] == known[j - 1] && before[j - 2] + 1 < best)
				best = before[j - 2] + 1;
			now[j] = best;
		}
	}
	return row[(i - 1) % 3][wide];
}

const char *lab_nearest(const char *word, const char *const *known)
{
	unsigned int nearest = 100, edits;
	const char *found = NULL;

	for (; *known; known++) {
		edits = distance(word, *known);
		/* Up to a third of the letters; or it would be a guess. */
		if (edits >= nearest || edits * 3 > strlen(*known) + 1)
			continue;
		nearest = edits;
		found = *known;
	}
	return found;
}

static const struct lab_key *find(const struct lab_keys *keys, const char *name)
{
	size_t i;

	for (i = 0; i < keys->count; i++)
		if (!strcmp(keys->key[i].name, name))
			return &keys->key[i];
	return NULL;
}

/* Not a key of this section: of which, or what was it meant to be? */
static int unknown_key(struct lab_parse *parse, const struct lab_keys *keys, const char *name)
{
	static const struct lab_keys *const all[] = {&lab_top_keys,  &lab_card_keys,
						     &lab_host_keys, &lab_guest_keys,
						     &lab_step_keys, &lab_end_keys};
	const char *known[32], *nearest;
	char words[240];
	size_t i;

	for (i = 0; i < keys->count && i < 30; i++)
		known[i] = keys->key[i].name;
	known[i] = NULL;
	for (i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		if (find(all[i], name))
			return lab_parse_error(parse, "\"%.40s\" belongs in %s, not in %s", name,
					       all[i]->section, keys->section);
	nearest = lab_nearest(name, known);
	if (nearest)
		return lab_parse_error(parse, "%s has no key \"%.40s\"; is \"%s\" meant?",
				       keys->section, name, nearest);
	join_choices(known, words, sizeof(words));
	return lab_parse_error(parse, "%s has no key \"%.40s\"; it has %s", keys->section, name,
			       words);
}

int lab_keys_set(struct lab_parse *parse, const struct lab_keys *keys, void *target,
		 const char *name, const char *value)
{
	const struct lab_key *key = find(keys, name);
	uint32_t bit;

	if (!key)
		return unknown_key(parse, keys, name);
	bit = UINT32_C(1) << (key - keys->key);
	if (parse->given & bit && !key->repeats)
		return lab_parse_error(parse, "%s is there twice in %s", name, keys->section);
	if (!*value && !key->may_be_empty)
		return lab_parse_error(parse, "%s has no value", name);
	if (parse->like && key->clear && !(parse->given & bit))
		key->clear(key, (char *)target + key->offset);
	parse->given |= bit;
	return key->set(parse, key, (char *)target + key->offset, value);
}

/* ---- the machines as a whole ---- */

static int default_text(char **text, const char *value)
{
	if (!*text)
		*text = strdup(value);
	return *text ? 0 : -ENOMEM;
}

static int check_parameters(struct lab_parse *parse, const char *driver, const char *parameters)
{
	if (!parameters || !strcmp(driver, LAB_DRIVER_METIS))
		return 0;
	return lab_parse_error(parse, "driver parameters are for driver = " LAB_DRIVER_METIS);
}

static int finish_host(struct lab_parse *parse)
{
	struct lab_scenario_host *host = &parse->scenario->host;

	if (!host->iommu)
		host->intremap = false;
	if (host->hugepages + HOST_OWN_MIB > host->memory_mib)
		return lab_parse_error(
			parse,
			"[host] needs %uM beside its hugepages (%uM), but has memory "
			"= %uM",
			HOST_OWN_MIB, host->hugepages, host->memory_mib);
	host->hugepages /= HUGEPAGE_MIB;
	if (default_text(&host->driver, "vfio-pci") ||
	    default_text(&host->cmdline, "intel_iommu=on iommu=pt"))
		return -ENOMEM;
	return check_parameters(parse, host->driver, host->driver_parameters);
}

static int check_guest_memory(struct lab_parse *parse, const struct lab_scenario_guest *guest)
{
	const struct lab_scenario_host *host = &parse->scenario->host;

	if (guest->hugepages && guest->memory_mib > host->hugepages * HUGEPAGE_MIB)
		return lab_parse_error(parse,
				       "a guest with hugepages = yes needs hugepages = %uM or more "
				       "in [host]",
				       guest->memory_mib);
	if (guest->memory_mib + HOST_OWN_MIB > host->memory_mib)
		return lab_parse_error(parse,
				       "a guest with memory = %uM doesn't fit into a host with "
				       "memory = %uM",
				       guest->memory_mib, host->memory_mib);
	return 0;
}

static int check_guest(struct lab_parse *parse, const struct lab_scenario_guest *guest)
{
	bool driver = strcmp(guest->driver, "none") != 0;

	if (guest->pass == LAB_PASS_NONE && driver)
		return lab_parse_error(parse, "driver = %s needs a card, but pass = none",
				       guest->driver);
	if (!strcmp(guest->driver, "vfio-pci") && !guest->viommu)
		return lab_parse_error(parse, "driver = vfio-pci needs viommu = yes; without it "
					      "vfio-noiommu is what works");
	if (!strcmp(guest->driver, "vfio-noiommu") && guest->viommu)
		return lab_parse_error(parse, "with viommu = yes the driver is vfio-pci");
	if (guest->viommu && guest->irqchip && !strcmp(guest->irqchip, "on"))
		return lab_parse_error(parse, "viommu = yes needs irqchip = split, since "
					      "it remaps interrupts");
	if (guest->pass == LAB_PASS_IOMMUFD && !parse->scenario->host.lab_vfio)
		return lab_parse_error(parse, "pass = iommufd needs vfio = lab in [host]: Debian's "
					      "kernel has no iommufd");
	return check_guest_memory(parse, guest);
}

static int finish_guest(struct lab_parse *parse, struct lab_scenario_guest *guest)
{
	const char *driver = guest->pass == LAB_PASS_NONE ? "none"
			     : guest->viommu		  ? "vfio-pci"
							  : "vfio-noiommu";

	if (default_text(&guest->driver, driver) ||
	    default_text(&guest->cmdline, guest->viommu ? "intel_iommu=on iommu=pt" : ""))
		return -ENOMEM;
	return check_parameters(parse, guest->driver, guest->driver_parameters) ||
			       check_guest(parse, guest)
		       ? -EINVAL
		       : 0;
}

int lab_machines_finish(struct lab_parse *parse)
{
	struct lab_scenario *scenario = parse->scenario;
	unsigned int i;
	int err;

	parse->line = parse->host_line ? parse->host_line : 1;
	err = finish_host(parse);
	for (i = 0; !err && i < LAB_GUESTS_MAX; i++) {
		parse->line = parse->guest_line[i];
		if (scenario->guest[i].present)
			err = finish_guest(parse, &scenario->guest[i]);
	}
	if (!err && scenario->guest[1].present && !scenario->guest[0].present)
		err = lab_parse_error(parse, "[guest 2] without [guest]");
	return err;
}
