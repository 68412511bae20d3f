/* SPDX-License-Identifier: MIT */
/*
 * Facts that several lines tell, and what else a row asks for beyond its form.
 */
#ifndef TETHYS_DOCTOR_LOG_JOIN_H
#define TETHYS_DOCTOR_LOG_JOIN_H

#include "doctor/log/pattern.h"

#define JOIN_TEXT_BYTES 513u
#define JOIN_SMMUS 4u
/* Lines of other processors that may stand between. */
#define JOIN_LINES 12u

struct joiner_held {
	bool used;
	struct doctor_fact fact;
	char text[JOIN_TEXT_BYTES];
};

struct joiner_smmu {
	struct joiner_held held;
	uint64_t node; /* hash of its name */
	uint64_t word[4];
	unsigned int words;
	uint64_t last_line; /* that told of the event */
};

struct joiner {
	/* Receives facts whose last line has come. */
	void (*emit)(void *context, const struct doctor_fact *fact, const char *text);
	void *context;
	unsigned int follow;	  /* lines to look at whether or not they hold a key */
	struct joiner_held fault; /* waits for its reason */
	struct joiner_smmu smmu[JOIN_SMMUS];
	bool in_group;
	uint64_t group;
	bool has_lspci;
	struct bdf lspci;
	uint64_t msi_line; /* of the last enabled capability, 0: none */
	enum doctor_fact_kind aer;
	uint64_t aer_line;
	uint64_t unbound_line; /* that named a group whose devices follow, 0: none */
	uint64_t unbound;
	uint64_t bind_line; /* where a shell wrote to vfio-pci's bind, 0: none */
	struct doctor_fact bind;
	uint64_t module_line; /* that named the Metis module, 0: none */
};

/**
 * join_apply() - do what @row asks for
 * @fact: what the form took; is completed
 * @text: the line, safe
 *
 * Return: whether @fact is to be added. When not, it is kept for later or was no fact.
 */
bool join_apply(struct joiner *joiner, const struct doctor_pattern *row,
		const struct message *message, struct doctor_fact *fact, const char *text);
/* A line that is looked at: lets go of what waits in vain. */
void join_line(struct joiner *joiner, uint64_t line);
/* The line after a row that asked for following ones was none of them. */
void join_nothing_followed(struct joiner *joiner);
void join_finish(struct joiner *joiner);

/* Whether equal lines always are equal facts. */
bool join_is_stateless(enum pattern_act act);

#endif
