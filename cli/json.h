/* SPDX-License-Identifier: MIT */
/*
 * json-c with the numbers we want: as many digits as a type holds, null for what JSON can't say.
 */
#ifndef TETHYS_CLI_JSON_H
#define TETHYS_CLI_JSON_H

#include <json-c/json.h>

#include "tasks/tensor.h"

/* Nine digits name every float32 exactly; seventeen every double. */
struct json_object *json_float(float value);
struct json_object *json_double(double value);
/* For milliseconds and rates: three digits after the point. */
struct json_object *json_rounded(double value);

/* {"name", "type", "shape"} of a tensor. */
struct json_object *json_tensor(const struct task_tensor *tensor);

/* One document on stdout, ended by a newline. Takes the reference. */
void json_print(struct json_object *root);

#endif
