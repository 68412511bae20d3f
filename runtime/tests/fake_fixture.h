/* SPDX-License-Identifier: MIT */
/*
 * A context, a connection, a model and an instance on the double of fake_card.c.
 */
#ifndef TETHYS_RUNTIME_TESTS_FAKE_FIXTURE_H
#define TETHYS_RUNTIME_TESTS_FAKE_FIXTURE_H

#include <unistd.h>

#include <axruntime/axruntime.h>
#include <axruntime/tethys.h>

#include "runtime/internal.h"
#include "runtime/tests/fake_card.h"
#include "runtime/tests/onnx_writer.h"
#include "tests/tap.h"

#define ELEMENTS 100

static char model_path[] = "/tmp/tethys-faults-XXXXXX.onnx";
static char big_path[] = "/tmp/tethys-faults-XXXXXX.onnx";

static axrContext *ctx;
static axrConnection *conn;
static axrModel *model;
static axrModelInstance *inst;
static float in[ELEMENTS], out[ELEMENTS];
static axrArgument in_arg = {in, 0, 0, sizeof(in)}, out_arg = {out, 0, 0, sizeof(out)};

static inline void set_up(const char *connect, const char *load)
{
	axrProperties *c, *l;

	ctx = axr_create_context();
	c = axr_create_properties(ctx, connect);
	l = axr_create_properties(ctx, load);
	conn = axr_device_connect(ctx, NULL, 1, c);
	model = axr_load_model(ctx, model_path);
	inst = conn && model ? axr_load_model_instance(conn, model, l) : NULL;
	axr_destroy(AXR_OBJECT(l));
	axr_destroy(AXR_OBJECT(c));
}

/* All is given back, whatever happened: cards closed, modules unloaded. */
static inline void tear_down(void)
{
	axr_destroy(AXR_OBJECT(ctx));
	ctx = NULL;
	EXPECT_EQ(fake.opens, fake.closes);
	EXPECT_EQ(fake.overlaps, 0);
}

static inline axrResult run(void)
{
	int i;

	for (i = 0; i < ELEMENTS; i++) {
		in[i] = (float)(i + 1);
		out[i] = -1;
	}
	return axr_run_model_instance(inst, &in_arg, 1, &out_arg, 1);
}

static inline uint64_t now_ms(void)
{
	return axr_now_ns() / 1000000;
}

static inline const char *error(void)
{
	return axr_last_error_string(AXR_OBJECT(ctx));
}

/* The last line of the chain. */
static inline const char *outermost(void)
{
	const char *line = strrchr(error(), '\n');

	return line ? line + 1 : error();
}

static inline void make_models(void)
{
	int fd = mkstemps(model_path, 5), big = mkstemps(big_path, 5);

	if (fd < 0 || big < 0)
		abort();
	close(fd);
	close(big);
	onnx_save(onnx_unary("Relu", "1,100"), model_path);
	onnx_save(onnx_unary("Relu", "1,200000"), big_path);
}

static inline void remove_models(void)
{
	unlink(model_path);
	unlink(big_path);
}

#endif
