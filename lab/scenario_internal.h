/* SPDX-License-Identifier: MIT */
/*
 * Between the files of the scenario parser: lines (scenario.c), values of keys
 * (scenario_fields.c), steps and what must be seen (scenario_step.c).
 */
#ifndef TETHYS_LAB_SCENARIO_INTERNAL_H
#define TETHYS_LAB_SCENARIO_INTERNAL_H

#include <stdint.h>

#include "lab/scenario.h"

#define LAB_VALUE_BYTES_MAX 8192u
#define LAB_LIST_MAX 64u /* of one key that may be repeated */

struct lab_parse {
	const char *path;
	unsigned int line; /* of the key or section that is being looked at */
	struct reason *why;
	struct lab_scenario *scenario;
	uint32_t given;	 /* keys seen in this section, by their index in its table */
	uint64_t placed; /* steps that say in =, by their index */
	/*
	 * What like = brought: a list that this file says anew replaces the one there, and so do its
	 * steps. @original: this is the file that another is like.
	 */
	bool original, like, like_steps;
	unsigned int like_line;
	/* Where their sections start; 0: absent. */
	unsigned int card_line, host_line, guest_line[LAB_GUESTS_MAX], end_line;
};

/* For "return": "PATH:LINE: WORDS". */
#define lab_parse_error(parse, fmt, ...)                                               \
	reason_add((parse)->why, -EINVAL, "%s:%u: " fmt, (parse)->path, (parse)->line, \
		   ##__VA_ARGS__)

struct lab_key {
	const char *name;
	int (*set)(struct lab_parse *parse, const struct lab_key *key, void *field,
		   const char *value);
	size_t offset;		    /* of the field in what the section describes */
	unsigned int min, max;	    /* numbers */
	const char *const *choices; /* NULL at the end */
	bool repeats, may_be_empty;
	enum lab_log_kind log; /* [at the end] */
	/* Forget what like = brought; NULL: setting does that. */
	void (*clear)(const struct lab_key *key, void *field);
};

struct lab_keys {
	const char *section; /* in words: "[host]" */
	const struct lab_key *key;
	size_t count;
};

extern const struct lab_keys lab_top_keys, lab_card_keys, lab_host_keys, lab_guest_keys,
	lab_step_keys, lab_end_keys;

/* Set what @name says in @target, which @keys describe. Return: 0; -EINVAL; -ENOMEM. */
int lab_keys_set(struct lab_parse *parse, const struct lab_keys *keys, void *target,
		 const char *name, const char *value);

/* like = NAME: all that the scenario NAME says, but for title and about. */
int lab_set_like(struct lab_parse *parse, const struct lab_key *key, void *field,
		 const char *value);

/* Values that several tables have. */
int lab_set_text(struct lab_parse *parse, const struct lab_key *key, void *field,
		 const char *value);
int lab_set_flag(struct lab_parse *parse, const struct lab_key *key, void *field,
		 const char *value);
/* At the end of a list of at most LAB_LIST_MAX. */
int lab_add_text(struct lab_parse *parse, const struct lab_key *key, struct lab_strings *list,
		 const char *value);
int lab_set_ms(struct lab_parse *parse, const struct lab_key *key, void *field, const char *value);

/* The one of @known (NULL at the end) that @word was probably meant to be; NULL: none is near. */
const char *lab_nearest(const char *word, const char *const *known);

/* Defaults that depend on other keys, and what doesn't go together. */
int lab_machines_finish(struct lab_parse *parse);

/* A new step at the end; and what can only be said when all its keys are known. */
int lab_step_begin(struct lab_parse *parse, const char *title);
int lab_step_finish(struct lab_parse *parse);
/* All steps in their order: inserts starts of guests, checks what depends on steps before. */
int lab_steps_finish(struct lab_parse *parse);
void lab_step_deinit(struct lab_step *step);
void lab_strings_deinit(struct lab_strings *strings);

/* Room for one more in an array of @size bytes each, zeroed. Return: 0; -ENOMEM. */
int lab_grow(void *array, size_t count, size_t size);

#endif
