/* SPDX-License-Identifier: MIT */
/*
 * The set of facts as the parser fills it.
 */
#ifndef TETHYS_DOCTOR_LOG_FACT_INDEX_H
#define TETHYS_DOCTOR_LOG_FACT_INDEX_H

#include "doctor/log/fact.h"

/**
 * fact_add() - one more fact, or one more of an equal one
 * @text: the line, safe; copied only when the fact is new
 *
 * Return: its place in facts->fact, SIZE_MAX when there are DOCTOR_FACTS_MAX others already.
 */
size_t fact_add(struct doctor_facts *facts, const struct doctor_fact *fact, const char *text,
		size_t text_size);
/* @again is equal to @known by what fact.h compares. */
void fact_again(struct doctor_fact *known, const struct doctor_fact *again);
/* Into the order of logs and lines. Return: whether places have changed. */
bool facts_sort(struct doctor_facts *facts);

#endif
