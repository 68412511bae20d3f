/* SPDX-License-Identifier: MIT */
/*
 * The peer that everything is compared with: the same network in ONNX Runtime, called directly.
 */
#ifndef TETHYS_CLI_DIRECT_H
#define TETHYS_CLI_DIRECT_H

#include <stdbool.h>

#include <onnxruntime_c_api.h>

#include "cli/job.h"
#include "common/reason.h"

struct direct {
	const OrtApi *api;
	OrtSession *session;
	const struct job *job; /* whose inputs are used, and whose outputs are compared with */
	const char **names;    /* [inputs + outputs]; borrowed from the job */
	OrtValue **values;     /* [inputs + outputs] */
	void **output;	       /* [outputs] */
};

/**
 * direct_open() - open a job's network without a card
 * @model: path, as in job_options
 * @threads: as many as the job has cores
 * @job: must outlive the result
 *
 * Return: 0; negative errno with @why; direct_close() is due in both cases.
 */
int direct_open(const char *model, unsigned int threads, const struct job *job,
		struct direct *ret_direct, struct reason *why);
void direct_close(struct direct *direct);

/* From the job's inputs to outputs of its own. @ret_ms may be NULL. Return: 0; -EIO. */
int direct_run(struct direct *direct, double *ret_ms, struct reason *why);

/* True when every output has the same bytes as the job's. */
bool direct_equal(const struct direct *direct);

#endif
