/* SPDX-License-Identifier: MIT */
/*
 * A model loaded on a card, through the public runtime API, with memory for its tensors.
 */
#ifndef TETHYS_CLI_JOB_H
#define TETHYS_CLI_JOB_H

#include <axruntime/axruntime.h>

#include "cli/cli.h"
#include "common/reason.h"
#include "tasks/tensor.h"

struct job_options {
	const char *model;	 /* .onnx, model.json or its folder */
	const char *device;	 /* NULL: the first there is */
	unsigned int cores;	 /* 1-4 */
	unsigned int timeout_ms; /* of one run; 0: the runtime's default */
};

struct job {
	axrContext *context;
	axrConnection *connection;
	axrModel *model;
	axrModelInstance *instance;
	size_t inputs, outputs;
	struct task_tensor *input, *output; /* [inputs], [outputs]; with data */
	axrTensorInfo *info;		    /* [inputs + outputs]; holds the names */
	axrArgument *arg;		    /* [inputs + outputs] */
	char device[256];
	double connect_ms, load_ms;
};

/**
 * job_open() - connect, load, and allocate the tensors
 * @ret_job: for the caller to job_close(), also on failure
 * @why: set on failure
 *
 * Return: enum cli_exit.
 */
int job_open(const struct job_options *options, struct job *ret_job, struct reason *why);
void job_close(struct job *job);

/**
 * job_run() - inputs to outputs, once
 * @ret_ms: time of the call; may be NULL
 *
 * Return: enum cli_exit.
 */
int job_run(struct job *job, double *ret_ms, struct reason *why);

/**
 * job_describe() - a tensor of the runtime as the tasks see it
 * @ret_tensor: borrows the name; without data; dtype 0 when the type has no number here
 */
void job_describe(const axrTensorInfo *info, struct task_tensor *ret_tensor);

#endif
