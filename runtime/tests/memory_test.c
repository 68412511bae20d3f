/* SPDX-License-Identifier: MIT */
/*
 * Large tensors in memory of every kind: the application's own, and what tethys_alloc() gave. On a
 * card in this process and behind a socket, with the engine that copies.
 */
#include <unistd.h>

#include <axruntime/axruntime.h>
#include <axruntime/tethys.h>

#include "runtime/device/tests/fixture.h"
#include "runtime/tests/onnx_writer.h"
#include "tests/tap.h"

#define ELEMENTS 200000u
#define BYTES (ELEMENTS * sizeof(float))

static char path[] = "/tmp/tethys-memory-XXXXXX.onnx";
static char device_name[256] = "sim";

struct setup {
	axrContext *ctx;
	axrConnection *conn;
	axrModelInstance *inst;
	float *in, *out; /* plain */
};

static bool setup_open(struct setup *s)
{
	axrDeviceInfo device = {0};
	axrProperties *p;

	memset(s, 0, sizeof(*s));
	snprintf(device.name, sizeof(device.name), "%s", device_name);
	s->ctx = axr_create_context();
	p = axr_create_properties(s->ctx, "tethys.engine=null");
	s->conn = axr_device_connect(s->ctx, &device, 1, p);
	axr_destroy(AXR_OBJECT(p));
	if (s->conn)
		s->inst = axr_load_model_instance(s->conn, axr_load_model(s->ctx, path), NULL);
	s->in = malloc(BYTES);
	s->out = malloc(BYTES);
	if (!s->inst)
		TAP_FAIL("%s", axr_last_error_string(AXR_OBJECT(s->ctx)));
	return s->inst && s->in && s->out;
}

static void setup_close(struct setup *s)
{
	axr_destroy(AXR_OBJECT(s->ctx));
	free(s->in);
	free(s->out);
}

/* Fills @in anew for each @seed; true when all of it arrives in @out. */
static bool copies(struct setup *s, float *in, float *out, unsigned int seed)
{
	axrArgument from = {in, 0, 0, BYTES}, to = {out, 0, 0, BYTES};

	for (unsigned int i = 0; i < ELEMENTS; i++)
		in[i] = (float)(i * 7 + seed);
	memset(out, 0, BYTES);
	if (axr_run_model_instance(s->inst, &from, 1, &to, 1)) {
		TAP_FAIL("%s", axr_last_error_string(AXR_OBJECT(s->inst)));
		return false;
	}
	return !memcmp(in, out, BYTES);
}

static void test_memory_plain_and_ours_in_any_mixture_carry_the_same(void)
{
	struct setup s;
	float *in, *out;

	ASSERT(setup_open(&s));
	in = tethys_alloc(s.conn, BYTES);
	out = tethys_alloc(s.conn, BYTES);
	ASSERT(in && out);
	EXPECT(copies(&s, s.in, s.out, 1));
	EXPECT(copies(&s, in, out, 2));
	EXPECT(copies(&s, in, s.out, 3));
	EXPECT(copies(&s, s.in, out, 4));
	EXPECT(copies(&s, s.in, s.out, 5));
	setup_close(&s);
}

static void test_memory_tensors_anywhere_in_an_allocation_work(void)
{
	struct setup s;
	char *both;

	ASSERT(setup_open(&s));
	both = tethys_alloc(s.conn, 2 * BYTES + 12);
	ASSERT(both);
	EXPECT(copies(&s, (float *)(both + 4), (float *)(both + 12 + BYTES), 1));
	EXPECT_EQ(*(float *)both, 0); /* not a byte before */
	/* One that sticks out at the end is plain memory to us: it is copied, not refused. */
	EXPECT(copies(&s, (float *)both, s.out, 2));
	setup_close(&s);
}

static void test_memory_given_back_is_plain_again(void)
{
	struct setup s;
	float *ours;

	ASSERT(setup_open(&s));
	for (unsigned int i = 0; i < 50; i++) {
		ours = tethys_alloc(s.conn, BYTES);
		ASSERT(ours);
		EXPECT_EQ(ours[ELEMENTS - 1], 0); /* zeroed, also when it was somebody's */
		EXPECT(copies(&s, ours, s.out, i));
		tethys_free(s.conn, ours);
	}
	EXPECT(copies(&s, s.in, s.out, 99));
	tethys_free(s.conn, NULL);
	EXPECT_EQ(axr_last_error(AXR_OBJECT(s.ctx)), AXR_SUCCESS);
	setup_close(&s);
}

static void test_memory_wrong_calls_are_refused(void)
{
	struct setup s;

	ASSERT(setup_open(&s));
	EXPECT(!tethys_alloc(NULL, BYTES));
	EXPECT_EQ(axr_last_error(NULL), AXR_ERROR_INVALID_ARGUMENT);
	EXPECT(!tethys_alloc(s.conn, 0));
	EXPECT(axr_last_error(AXR_OBJECT(s.ctx)) != AXR_SUCCESS);
	tethys_free(s.conn, s.in);
	EXPECT_EQ(axr_last_error(AXR_OBJECT(s.ctx)), AXR_ERROR_INVALID_ARGUMENT);
	setup_close(&s);
}

static void run_all(void)
{
	printf("# %s\n", device_name);
	RUN(test_memory_plain_and_ours_in_any_mixture_carry_the_same);
	RUN(test_memory_tensors_anywhere_in_an_allocation_work);
	RUN(test_memory_given_back_is_plain_again);
	RUN(test_memory_wrong_calls_are_refused);
}

int main(void)
{
	struct fixture fx = {0};
	int fd = mkstemps(path, 5);

	if (fd < 0)
		return 1;
	close(fd);
	onnx_save(onnx_unary("Relu", "1,200000"), path);
	run_all();
	if (fixture_path(&fx) || fixture_serve(&fx, NULL, false))
		return 1;
	snprintf(device_name, sizeof(device_name), "vfio-user:%s", fx.path);
	run_all();
	fixture_unserve(&fx);
	rmdir(fx.dir);
	unlink(path);
	return tap_done();
}
