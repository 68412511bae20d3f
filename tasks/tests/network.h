/* SPDX-License-Identifier: MIT */
/*
 * For tests: a network straight in ONNX Runtime, one input, up to three float32 outputs.
 */
#ifndef TETHYS_TASKS_TESTS_NETWORK_H
#define TETHYS_TASKS_TESTS_NETWORK_H

#include "common/ort.h"
#include "tasks/tensor.h"

#define NETWORK_OUTPUTS_MAX 3

struct network {
	const OrtApi *api;
	OrtSession *session;
	struct task_tensor input;			 /* data is allocated */
	struct task_tensor outputs[NETWORK_OUTPUTS_MAX]; /* data: of the last run */
	size_t output_count;
	OrtValue *values[NETWORK_OUTPUTS_MAX];
};

int network_open(const char *path, struct network *ret_network, struct reason *why);
void network_close(struct network *network);
int network_run(struct network *network, struct reason *why);

#endif
