/* SPDX-License-Identifier: MIT */
/*
 * The whole way, on a card in this process: file, module, DMA, firmware, engine and back.
 */
#include <pthread.h>
#include <unistd.h>

#include <axruntime/axruntime.h>
#include <axruntime/tethys.h>

#include "runtime/tests/onnx_writer.h"
#include "tests/tap.h"

#define ELEMENTS 1000

static char path[] = "/tmp/tethys-sim-XXXXXX.onnx";
static char other_path[] = "/tmp/tethys-sim-XXXXXX.onnx";
static char bad_path[] = "/tmp/tethys-sim-XXXXXX.onnx";

static axrConnection *connect_sim(axrContext *ctx, unsigned int cores, const char *properties)
{
	axrProperties *p = axr_create_properties(ctx, properties);
	axrDeviceInfo sim = {.name = "sim"};
	axrConnection *conn = axr_device_connect(ctx, &sim, cores, p);

	if (!conn)
		TAP_FAIL("%s", axr_last_error_string(AXR_OBJECT(ctx)));
	axr_destroy(AXR_OBJECT(p));
	return conn;
}

static axrModelInstance *load(axrContext *ctx, axrConnection *conn, const char *model)
{
	axrModelInstance *inst = axr_load_model_instance(conn, axr_load_model(ctx, model), NULL);

	if (!inst)
		TAP_FAIL("%s", axr_last_error_string(AXR_OBJECT(ctx)));
	return inst;
}

static axrResult run(axrModelInstance *inst, float *in, float *out)
{
	axrArgument from = {in, 0, 0, ELEMENTS * sizeof(float)};
	axrArgument to = {out, 0, 0, ELEMENTS * sizeof(float)};

	return axr_run_model_instance(inst, &from, 1, &to, 1);
}

/* Values around zero, different for each @seed. */
static void fill(float *values, unsigned int seed)
{
	unsigned int i;

	for (i = 0; i < ELEMENTS; i++)
		values[i] = (float)((int)((i * 37 + seed * 101) % 201) - 100);
}

static bool is_relu(const float *in, const float *out)
{
	unsigned int i;

	for (i = 0; i < ELEMENTS; i++)
		if (out[i] != (in[i] > 0 ? in[i] : 0))
			return false;
	return true;
}

static void test_sim_is_listed_with_its_board(void)
{
	axrContext *ctx = axr_create_context();
	axrDeviceInfo *list = NULL;
	size_t n = axr_list_devices(ctx, &list);

	EXPECT_EQ(n, axr_list_devices(ctx, NULL));
	ASSERT(n >= 1);
	EXPECT_STR(list[n - 1].name, "sim");
	EXPECT_EQ(list[n - 1].subdevice_count, 4);
	EXPECT_EQ(list[n - 1].max_memory, 16ull << 30);
	EXPECT_EQ(list[n - 1].in_use, 0);
	EXPECT_EQ(list[n - 1].board_type, AXR_BOARD_METIS_OMEGA_PCIE);
	EXPECT(list[n - 1].firmware_version[0]);
	axr_destroy(AXR_OBJECT(ctx));
}

static void test_sim_null_engine_copies(void)
{
	axrContext *ctx = axr_create_context();
	axrConnection *conn = connect_sim(ctx, 1, "tethys.engine=null");
	float in[ELEMENTS], out[ELEMENTS] = {0};
	axrModelInstance *inst;

	ASSERT(conn);
	EXPECT_STR(tethys_connection_engine(conn), "null");
	inst = load(ctx, conn, path);
	ASSERT(inst);
	fill(in, 1);
	EXPECT_EQ(run(inst, in, out), AXR_SUCCESS);
	EXPECT(!memcmp(in, out, sizeof(in)));
	axr_destroy(AXR_OBJECT(ctx));
}

static void test_sim_onnx_engine_computes(void)
{
	axrContext *ctx = axr_create_context();
	axrConnection *conn = connect_sim(ctx, 4, "tethys.engine=onnx");
	struct tethys_instance_stats stats;
	float in[ELEMENTS], out[ELEMENTS];
	axrModelInstance *inst;
	unsigned int n;

	ASSERT(conn);
	inst = load(ctx, conn, path);
	ASSERT(inst);
	for (n = 0; n < 20; n++) {
		fill(in, n);
		EXPECT_EQ(run(inst, in, out), AXR_SUCCESS);
		EXPECT(is_relu(in, out));
	}
	EXPECT_EQ(tethys_instance_stats(inst, &stats, sizeof(stats)), AXR_SUCCESS);
	EXPECT_EQ(stats.runs, 20);
	EXPECT_EQ(stats.lost_irqs, 0);
	EXPECT_EQ(stats.cores, 4);
	EXPECT(stats.device_ns && stats.command_ns >= stats.device_ns);
	axr_destroy(AXR_OBJECT(ctx));
}

static void test_sim_personalities_all_run(void)
{
	static const char *const names[] = {"1.3.2", "1.6.0", "1.8.0"};
	float in[ELEMENTS], out[ELEMENTS];
	char properties[64];
	axrContext *ctx;
	axrConnection *conn;
	size_t i;

	for (i = 0; i < 3; i++) {
		ctx = axr_create_context();
		snprintf(properties, sizeof(properties), "tethys.engine=null;tethys.personality=%s",
			 names[i]);
		conn = connect_sim(ctx, 2, properties);
		ASSERT(conn);
		EXPECT_STR(tethys_connection_personality(conn), names[i]);
		fill(in, (unsigned int)i);
		EXPECT_EQ(run(load(ctx, conn, path), in, out), AXR_SUCCESS);
		EXPECT(!memcmp(in, out, sizeof(in)));
		axr_destroy(AXR_OBJECT(ctx));
	}
}

static void test_sim_other_settings_while_open_are_refused(void)
{
	axrContext *ctx = axr_create_context();
	axrConnection *conn = connect_sim(ctx, 1, "tethys.engine=null");
	axrProperties *p = axr_create_properties(ctx, "tethys.engine=onnx");
	axrDeviceInfo sim = {.name = "sim"};

	ASSERT(conn);
	EXPECT(!axr_device_connect(ctx, &sim, 1, p));
	EXPECT_EQ(axr_last_error(AXR_OBJECT(ctx)), AXR_ERROR_INVALID_CONFIGURATION);
	axr_set_property(p, "tethys.engine", "nonsense");
	strcpy(sim.name, "sim:9");
	EXPECT(!axr_device_connect(ctx, &sim, 1, p));
	EXPECT(axr_last_error(AXR_OBJECT(ctx)) != AXR_SUCCESS);
	axr_destroy(AXR_OBJECT(ctx));
}

/* What the scanner lets pass and only the engine can judge. */
static void test_sim_unknown_operator_is_refused_and_next_load_works(void)
{
	axrContext *ctx = axr_create_context();
	axrConnection *conn = connect_sim(ctx, 1, "tethys.engine=onnx");
	float in[ELEMENTS], out[ELEMENTS];
	axrModelInstance *inst;

	ASSERT(conn);
	inst = axr_load_model_instance(conn, axr_load_model(ctx, bad_path), NULL);
	EXPECT(!inst);
	EXPECT_EQ(axr_last_error(AXR_OBJECT(conn)), AXR_ERROR_RUNTIME_ERROR);
	EXPECT_HAS(axr_last_error_string(AXR_OBJECT(conn)), "the firmware refused to load");
	inst = load(ctx, conn, path);
	ASSERT(inst);
	fill(in, 5);
	EXPECT_EQ(run(inst, in, out), AXR_SUCCESS);
	EXPECT(is_relu(in, out));
	axr_destroy(AXR_OBJECT(ctx));
}

static void test_sim_two_models_live_on_one_connection(void)
{
	axrContext *ctx = axr_create_context();
	axrConnection *conn = connect_sim(ctx, 2, "tethys.engine=onnx");
	float in[ELEMENTS], relu[ELEMENTS], neg[ELEMENTS];
	axrModelInstance *a, *b;
	unsigned int n, i;

	ASSERT(conn);
	a = load(ctx, conn, path);
	b = load(ctx, conn, other_path);
	ASSERT(a && b);
	for (n = 0; n < 5; n++) {
		fill(in, n);
		EXPECT_EQ(run(a, in, relu), AXR_SUCCESS);
		EXPECT_EQ(run(b, in, neg), AXR_SUCCESS);
		EXPECT(is_relu(in, relu));
		for (i = 0; i < ELEMENTS; i++)
			ASSERT(neg[i] == -in[i]);
	}
	axr_destroy(AXR_OBJECT(ctx));
}

/* As clients do: a connection and an instance for each thread, on one context and one model. */
struct client {
	axrContext *ctx;
	axrModel *model;
	unsigned int id;
	unsigned int failed;
};

static void *client_main(void *arg)
{
	struct client *client = arg;
	axrDeviceInfo sim = {.name = "sim"};
	axrConnection *conn = axr_device_connect(client->ctx, &sim, 1, NULL);
	axrModelInstance *inst = conn ? axr_load_model_instance(conn, client->model, NULL) : NULL;
	float in[ELEMENTS], out[ELEMENTS];
	unsigned int n;

	for (n = 0; n < 25; n++) {
		fill(in, client->id * 1000 + n);
		if (!inst || run(inst, in, out) || !is_relu(in, out))
			client->failed++;
	}
	axr_destroy(AXR_OBJECT(conn));
	return NULL;
}

static void test_sim_connections_run_side_by_side(void)
{
	axrContext *ctx = axr_create_context();
	axrModel *model = axr_load_model(ctx, path);
	struct client clients[4];
	pthread_t threads[4];
	unsigned int i;

	for (i = 0; i < 4; i++) {
		clients[i] = (struct client){ctx, model, i, 0};
		pthread_create(&threads[i], NULL, client_main, &clients[i]);
	}
	for (i = 0; i < 4; i++) {
		pthread_join(threads[i], NULL);
		EXPECT_EQ(clients[i].failed, 0);
	}
	axr_destroy(AXR_OBJECT(ctx));
}

static void test_sim_reload_gives_everything_back(void)
{
	axrContext *ctx = axr_create_context();
	axrConnection *conn = connect_sim(ctx, 1, "tethys.engine=null");
	axrModel *model = axr_load_model(ctx, path);
	axrModelInstance *inst;
	unsigned int n;

	ASSERT(conn && model);
	for (n = 0; n < 200; n++) { /* more than the card's table of modules */
		inst = axr_load_model_instance(conn, model, NULL);
		ASSERT(inst);
		axr_destroy(AXR_OBJECT(inst));
	}
	axr_destroy(AXR_OBJECT(ctx));
}

static void make(char *template, const char *op)
{
	int fd = mkstemps(template, 5);

	if (fd < 0)
		abort();
	close(fd);
	onnx_save(onnx_unary(op, "1,1000"), template);
}

int main(void)
{
	make(path, "Relu");
	make(other_path, "Neg");
	make(bad_path, "NoSuchOperator");
	RUN(test_sim_is_listed_with_its_board);
	RUN(test_sim_null_engine_copies);
	RUN(test_sim_onnx_engine_computes);
	RUN(test_sim_personalities_all_run);
	RUN(test_sim_other_settings_while_open_are_refused);
	RUN(test_sim_unknown_operator_is_refused_and_next_load_works);
	RUN(test_sim_two_models_live_on_one_connection);
	RUN(test_sim_connections_run_side_by_side);
	RUN(test_sim_reload_gives_everything_back);
	unlink(path);
	unlink(other_path);
	unlink(bad_path);
	return tap_done();
}
