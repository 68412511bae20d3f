/* SPDX-License-Identifier: MIT */
/*
 * What the rules about DMA and about interrupts share with their words.
 */
#ifndef TETHYS_DOCTOR_RULES_DMA_RULES_H
#define TETHYS_DOCTOR_RULES_DMA_RULES_H

#include "doctor/rules/dma_address.h"

/* Judges all DMA faults at once: it decides which class each stream of them is. */
void dma_judge(struct doctor_judge *judge, const struct doctor_rule *rule);
/* Judges all interrupt faults at once. */
void interrupt_judge(struct doctor_judge *judge, const struct doctor_rule *rule);
void interrupt_judge_vectors(struct doctor_judge *judge, const struct doctor_rule *rule);
void interrupt_judge_pages(struct doctor_judge *judge, const struct doctor_rule *rule);

/* AMD reports a refused interrupt as a page fault: those are judged with the interrupts. */
bool interrupt_is_fault(const struct doctor_fact *fact);

/* One reading of a run of faults. */
struct dma_reading {
	const char *id;
	unsigned int percent;
	const char *why; /* why it fits, a sentence */
};

#define DMA_READINGS_MAX 12u

struct dma_readings {
	struct arena *arena;
	struct dma_reading reading[DMA_READINGS_MAX];
	size_t count;
};

/* The surest sentence per id stays. */
void dma_propose(struct dma_readings *readings, const char *id, unsigned int percent,
		 const char *fmt, ...) __attribute__((format(printf, 4, 5)));
/* NULL when nothing was proposed. */
const struct dma_reading *dma_best(const struct dma_readings *readings);
/*
 * The finding of the best one on a device of the host or @guest, with the others named in it. NULL
 * when no rule has the id.
 */
struct doctor_finding *dma_add_best(struct doctor_judge *judge, const struct dma_readings *readings,
				    bool guest, const struct bdf *device);

#endif
