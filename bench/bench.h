/* SPDX-License-Identifier: MIT */
/*
 * What the bench programs share. Each prints a ratio against a named peer that ran in the same
 * process and the same minute, in turns, because machines are noisy.
 */
#ifndef TETHYS_BENCH_BENCH_H
#define TETHYS_BENCH_BENCH_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/reason.h"

/* Monotonic time in microseconds. */
double bench_now_us(void);

/* Median of @values[count], which is sorted on return; 0 for none. */
double bench_median(double *values, size_t count);

/* The command: TETHYS, else beside the bench programs' folder, else what PATH has. */
void bench_find_command(char *path, size_t bytes);

/* A card process of our own, for the vfio-user rows. */
struct bench_card {
	pid_t pid;
	char dir[64];	  /* temporary; holds the socket */
	char device[160]; /* "vfio-user:DIR/card" */
};

/**
 * bench_card_start() - start `tethys card` and wait until it listens
 * @engine: "onnx" or "null"
 *
 * Return: 0 or a negative errno with @why set.
 */
int bench_card_start(struct bench_card *card, const char *engine, struct reason *why);
void bench_card_stop(struct bench_card *card);

#endif
