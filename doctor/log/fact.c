/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "doctor/log/fact_index.h"

/* Twice the facts, a power of two: chains stay short. */
#define SLOTS 8192u
_Static_assert(SLOTS >= 2 * DOCTOR_FACTS_MAX, "the table has room for all facts");

struct fact_index {
	uint16_t slot[SLOTS]; /* fact's place in the array + 1; 0 = free */
};

static const struct {
	const char *name, *text;
} kinds[] = {[DOCTOR_FACT_NONE] = {"NONE", "nothing"},
#define KIND(name_, text_) [DOCTOR_##name_] = {#name_, text_},
	     DOCTOR_FACT_KINDS(KIND)
#undef KIND
};

const char *doctor_fact_text(enum doctor_fact_kind kind)
{
	return (unsigned int)kind < DOCTOR_FACT_NR ? kinds[kind].text : "unknown";
}

const char *doctor_fact_name(enum doctor_fact_kind kind)
{
	return (unsigned int)kind < DOCTOR_FACT_NR ? kinds[kind].name : "UNKNOWN";
}

void doctor_facts_init(struct doctor_facts *facts, struct arena *arena)
{
	*facts = (struct doctor_facts){.arena = arena};
}

void doctor_facts_deinit(struct doctor_facts *facts)
{
	free(facts->index);
	facts->index = NULL;
}

static uint64_t mix(uint64_t hash, uint64_t value)
{
	hash = (hash ^ value) * 0x9e3779b97f4a7c15u;
	return hash ^ hash >> 29;
}

/* Numbers that grow from line to line don't tell instances apart. */
static bool number_tells(enum doctor_fact_kind kind)
{
	return kind != DOCTOR_VTD_SUPPRESSED && kind != DOCTOR_RESET_NOT_READY;
}

static uint64_t fact_hash(const struct doctor_fact *fact)
{
	uint64_t hash = mix(fact->log, (uint64_t)fact->kind << 32 | fact->boot);

	if (fact->has_device)
		hash = mix(hash, (uint64_t)fact->device.domain << 16 | bdf_requester(fact->device));
	if (fact->has_reason)
		hash = mix(hash, fact->reason + 1ull);
	if (fact->has_address)
		hash = mix(hash, fact->address >> 12);
	if (fact->has_number && number_tells(fact->kind))
		hash = mix(hash, fact->number);
	for (const char *c = fact->name; *c; c++)
		hash = mix(hash, (unsigned char)*c);
	return mix(hash, (uint64_t)fact->has_write << 1 | fact->write);
}

static bool same(const struct doctor_fact *a, const struct doctor_fact *b)
{
	if (a->kind != b->kind || a->log != b->log || a->boot != b->boot ||
	    a->has_device != b->has_device || a->has_reason != b->has_reason ||
	    a->has_write != b->has_write || a->has_address != b->has_address ||
	    a->has_number != b->has_number)
		return false;
	if (a->has_device && !bdf_equal(a->device, b->device))
		return false;
	if ((a->has_reason && a->reason != b->reason) || (a->has_write && a->write != b->write))
		return false;
	if (a->has_address && a->address >> 12 != b->address >> 12)
		return false;
	if (a->has_number && number_tells(a->kind) && a->number != b->number)
		return false;
	return !strcmp(a->name, b->name);
}

static struct fact_index *the_index(struct doctor_facts *facts)
{
	if (!facts->index) {
		facts->index = calloc(1, sizeof(struct fact_index));
		if (!facts->index)
			abort();
	}
	return facts->index;
}

static uint16_t *find_slot(struct doctor_facts *facts, const struct doctor_fact *fact)
{
	struct fact_index *index = the_index(facts);
	size_t at = fact_hash(fact) % SLOTS;

	while (index->slot[at] && !same(&facts->fact[index->slot[at] - 1], fact))
		at = (at + 1) % SLOTS;
	return &index->slot[at];
}

void fact_again(struct doctor_fact *known, const struct doctor_fact *again)
{
	known->count += again->count;
	/* One that was joined from several lines may come after a later one. */
	if (again->line < known->line) {
		known->line = again->line;
		known->time_us = again->time_us;
	}
	if (again->last_line > known->last_line) {
		known->last_line = again->last_line;
		if (again->last_time_us != DOCTOR_TIME_NONE)
			known->last_time_us = again->last_time_us;
	}
	if (known->kind == DOCTOR_VTD_SUPPRESSED)
		known->number += again->number;
	else if (again->has_number && again->number > known->number)
		known->number = again->number;
	if (!known->driver[0])
		memcpy(known->driver, again->driver, sizeof(known->driver));
}

size_t fact_add(struct doctor_facts *facts, const struct doctor_fact *fact, const char *text,
		size_t text_size)
{
	uint16_t *slot = find_slot(facts, fact);
	struct doctor_fact *added;

	if (*slot) {
		fact_again(&facts->fact[*slot - 1], fact);
		return *slot - 1u;
	}
	if (facts->count == DOCTOR_FACTS_MAX) {
		facts->dropped++;
		return SIZE_MAX;
	}
	added = arena_grow(facts->arena, &facts->fact, facts->count, sizeof(*fact));
	*added = *fact;
	added->text = arena_strndup(facts->arena, text, text_size);
	*slot = (uint16_t)++facts->count;
	return facts->count - 1;
}

static int in_log_order(const void *left, const void *right)
{
	const struct doctor_fact *a = left, *b = right;

	if (a->log != b->log)
		return a->log < b->log ? -1 : 1;
	if (a->line != b->line)
		return a->line < b->line ? -1 : 1;
	return (a->kind > b->kind) - (a->kind < b->kind);
}

bool facts_sort(struct doctor_facts *facts)
{
	size_t i;

	for (i = 1; i < facts->count; i++)
		if (in_log_order(&facts->fact[i - 1], &facts->fact[i]) > 0)
			break;
	if (i >= facts->count)
		return false;
	qsort(facts->fact, facts->count, sizeof(*facts->fact), in_log_order);
	memset(the_index(facts), 0, sizeof(struct fact_index));
	for (i = 0; i < facts->count; i++)
		*find_slot(facts, &facts->fact[i]) = (uint16_t)(i + 1);
	return true;
}

const struct doctor_fact *doctor_fact_next(const struct doctor_facts *facts,
					   enum doctor_fact_kind kind,
					   const struct doctor_fact *from)
{
	for (size_t i = from ? (size_t)(from - facts->fact) + 1 : 0; i < facts->count; i++)
		if (facts->fact[i].kind == kind)
			return &facts->fact[i];
	return NULL;
}

bool doctor_facts_have(const struct doctor_facts *facts, enum doctor_fact_kind kind)
{
	return doctor_fact_next(facts, kind, NULL) != NULL;
}

bool doctor_facts_have_device(const struct doctor_facts *facts, enum doctor_fact_kind kind,
			      struct bdf device)
{
	const struct doctor_fact *fact = NULL;

	while ((fact = doctor_fact_next(facts, kind, fact)))
		if (fact->has_device && bdf_equal(fact->device, device))
			return true;
	return false;
}
