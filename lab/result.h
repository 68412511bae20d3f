/* SPDX-License-Identifier: MIT */
/*
 * What a run gave, for machines.
 */
#ifndef TETHYS_LAB_RESULT_H
#define TETHYS_LAB_RESULT_H

#include <json-c/json.h>
#include <stdio.h>

#include "lab/run.h"

/* The document of docs/lab.md, "JSON". The caller's reference; never NULL. */
struct json_object *lab_result_json(const struct lab_result *result);

/* Into RESULT.dir/result.json. Return: 0; -EIO. */
int lab_result_write(const struct lab_result *result);

/* TAP lines from @number on, one for each stage and promise. Return: the next number. */
unsigned int lab_result_tap(const struct lab_result *result, unsigned int number, FILE *stream);

#endif
