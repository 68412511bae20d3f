/* SPDX-License-Identifier: MIT */
/*
 * The API itself: devices, cores, properties, errors, objects.
 */
#include <errno.h>
#include <pthread.h>

#include <tethys/hw/fwproto.h>

#include "runtime/tests/fake_fixture.h"

static void test_api_open_errors_have_their_kind(void)
{
	static const struct {
		int err;
		axrResult result;
	} kinds[] = {
		{-ENODEV, AXR_ERROR_CONNECTION_ERROR},
		{-EBUSY, AXR_ERROR_DEVICE_IN_USE},
		{-EPROTO, AXR_ERROR_INCOMPATIBLE_DEVICE},
	};
	axrDeviceInfo device = {.name = "nonsense"}, *list;
	size_t i;

	fake_reset();
	ctx = axr_create_context();
	for (i = 0; i < 3; i++) {
		fake.open_err = kinds[i].err;
		EXPECT(!axr_device_connect(ctx, NULL, 1, NULL));
		EXPECT_EQ(axr_last_error(NULL), kinds[i].result);
	}
	fake.open_err = -EBUSY;
	EXPECT_EQ(axr_list_devices(ctx, &list), 1);
	EXPECT_EQ(list[0].in_use, 4);
	fake.open_err = -ENODEV;
	EXPECT_EQ(axr_list_devices(ctx, NULL), 0);
	fake.open_err = 0;
	EXPECT(!axr_device_connect(ctx, &device, 1, NULL));
	EXPECT_EQ(axr_last_error(NULL), AXR_ERROR_INVALID_ARGUMENT);
	EXPECT_HAS(error(), "Failed to initialise device: nonsense");
	memset(device.name, 'x', sizeof(device.name));
	EXPECT(!axr_device_connect(ctx, &device, 1, NULL));
	EXPECT_EQ(axr_last_error(NULL), AXR_ERROR_INVALID_ARGUMENT);
	fake.no_protocol = true;
	EXPECT(!axr_device_connect(ctx, NULL, 1, NULL));
	EXPECT_EQ(axr_last_error(NULL), AXR_ERROR_INCOMPATIBLE_DEVICE);
	EXPECT_EQ(axr_list_devices(ctx, NULL), 1);
	tear_down();
}

static void test_api_cores_run_out_and_come_back(void)
{
	axrConnection *c[4];
	int i;

	fake_reset();
	ctx = axr_create_context();
	EXPECT(!axr_device_connect(ctx, NULL, 0, NULL));
	EXPECT_EQ(axr_last_error(NULL), AXR_ERROR_INVALID_ARGUMENT);
	EXPECT(!axr_device_connect(ctx, NULL, 5, NULL));
	EXPECT_EQ(axr_last_error(NULL), AXR_ERROR_INVALID_ARGUMENT);
	EXPECT_HAS(error(), "Failed to allocate AI cores: Invalid argument");
	for (i = 0; i < 4; i++) {
		c[i] = axr_device_connect(ctx, NULL, 1, NULL);
		ASSERT(c[i]);
		EXPECT_EQ(tethys_connection_core(c[i]), i);
	}
	EXPECT_EQ(fake.opens, 1);
	EXPECT(!axr_device_connect(ctx, NULL, 1, NULL));
	EXPECT_EQ(axr_last_error(NULL), AXR_ERROR_DEVICE_IN_USE);
	EXPECT_HAS(error(), "Failed to allocate AI cores: ");
	axr_destroy(AXR_OBJECT(c[1]));
	axr_destroy(AXR_OBJECT(c[3]));
	EXPECT(!axr_device_connect(ctx, NULL, 2, NULL)); /* free, but not adjacent */
	c[1] = axr_device_connect(ctx, NULL, 1, NULL);
	EXPECT_EQ(tethys_connection_core(c[1]), 1);
	tear_down();
}

static void test_api_real_card_goes_before_simulated(void)
{
	axrDeviceInfo *list;

	fake_reset();
	fake.two_cards = true;
	ctx = axr_create_context();
	ASSERT_EQ(axr_list_devices(ctx, &list), 2);
	EXPECT_STR(list[0].name, "vfio-user:/fake");
	EXPECT_STR(list[1].name, "sim");
	EXPECT_EQ(list[0].subdevice_count, 4);
	EXPECT_EQ(list[0].max_memory, 256u << 20);
	EXPECT_STR(list[0].firmware_version, "v9.9.9");
	EXPECT_EQ(list[0].board_revision, 7);
	EXPECT_EQ(list[0].in_use, 0);
	conn = axr_device_connect(ctx, NULL, 4, NULL);
	ASSERT(conn);
	EXPECT_STR(tethys_connection_device(conn), "vfio-user:/fake");
	EXPECT(!axr_device_connect(ctx, NULL, 1, NULL)); /* no silent fall back to sim */
	EXPECT_EQ(axr_last_error(NULL), AXR_ERROR_DEVICE_IN_USE);
	ASSERT_EQ(axr_list_devices(ctx, &list), 2);
	EXPECT_EQ(list[0].in_use, 4);
	EXPECT(list[0].in_use_by[0]);
	tear_down();
}

static void expect_placed(const char *properties, uint32_t context, uint32_t cores)
{
	axrProperties *p = axr_create_properties(ctx, properties);

	if (!axr_load_model_instance(conn, model, p))
		TAP_FAIL("%s", error());
	EXPECT_EQ(fake.last_context, context);
	EXPECT_EQ(fake.last_cores, cores);
	axr_destroy(AXR_OBJECT(p));
}

static void test_api_instances_are_placed_where_firmware_lets_them(void)
{
	fake_reset();
	ctx = axr_create_context();
	conn = axr_device_connect(ctx, NULL, 4, NULL);
	model = axr_load_model(ctx, model_path);
	expect_placed("num_sub_devices=1;aipu_cores=4", 0, 1);
	expect_placed("aipu_cores=2", 1, 2);
	expect_placed("num_sub_devices=1", 3, 1);
	expect_placed("", 1, 2);		    /* four wanted, at most two together */
	expect_placed("num_sub_devices=100", 1, 2); /* more than there are */
	expect_placed("num_sub_devices=1", 0, 1);
	tear_down();
}

static void test_api_load_properties_are_strict(void)
{
	static const struct {
		const char *text;
		axrResult result;
		const char *says;
	} cases[] = {
		{"depth=2", AXR_ERROR_INVALID_CONFIGURATION,
		 "Invalid properties: Unknown property key: depth"},
		{"aipu_cores=x", AXR_ERROR_VALUE_ERROR, "Invalid properties: aipu_cores=x"},
		{"double_buffer=2", AXR_ERROR_VALUE_ERROR, "must be 0 or 1"},
		{"input_dmabuf=1", AXR_ERROR_NOT_IMPLEMENTED, "dmabuf"},
		{"output_dmabuf=1", AXR_ERROR_NOT_IMPLEMENTED, "dmabuf"},
		{"max_pending=3", AXR_ERROR_INVALID_CONFIGURATION, "async_mode=1"},
		{"async_mode=1;double_buffer=1", AXR_ERROR_INVALID_CONFIGURATION, "exclude"},
	};
	axrProperties *p;
	size_t i;

	fake_reset();
	set_up("device_name=triton-0:1:0;device_firmware_check=0\n",
	       "aipu_cores=0;num_sub_devices=0;input_dmabuf=0;output_dmabuf=0;double_buffer=0\n"
	       "device_profiling=1\nhost_profiling=1\nelf_in_ddr=1\nasync_mode=0\n");
	EXPECT(inst != NULL);
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		p = axr_create_properties(ctx, cases[i].text);
		EXPECT(!axr_load_model_instance(conn, model, p));
		axr_destroy(AXR_OBJECT(p)); /* leaves the error */
		EXPECT_EQ(axr_last_error(AXR_OBJECT(model)), cases[i].result);
		EXPECT_HAS(error(), cases[i].says);
	}
	tear_down();
}

static void test_api_run_arguments_are_checked(void)
{
	axrArgument bad[] = {
		{NULL, 0, 0, 0},
		{in, 0, 4, 0},
		{in, 0, 0, sizeof(in) - 1},
	};
	axrArgument two[] = {in_arg, in_arg}, dmabuf = {NULL, 5, 0, 0};
	size_t i;

	fake_reset();
	set_up(NULL, NULL);
	ASSERT(inst);
	for (i = 0; i < 3; i++) {
		EXPECT_EQ(axr_run_model_instance(inst, &bad[i], 1, &out_arg, 1),
			  AXR_ERROR_INVALID_ARGUMENT);
		EXPECT_EQ(axr_run_model_instance(inst, &in_arg, 1, &bad[i], 1),
			  AXR_ERROR_INVALID_ARGUMENT);
	}
	EXPECT_EQ(axr_run_model_instance(inst, two, 2, &out_arg, 1), AXR_ERROR_INVALID_ARGUMENT);
	EXPECT_HAS(error(), "the model has 1 inputs, not 2");
	EXPECT_EQ(axr_run_model_instance(inst, NULL, 1, &out_arg, 1), AXR_ERROR_INVALID_ARGUMENT);
	EXPECT_EQ(axr_run_model_instance(inst, &in_arg, 1, NULL, 0), AXR_ERROR_INVALID_ARGUMENT);
	EXPECT_EQ(axr_run_model_instance(NULL, &in_arg, 1, &out_arg, 1),
		  AXR_ERROR_INVALID_ARGUMENT);
	EXPECT_EQ(axr_run_model_instance(inst, &dmabuf, 1, &out_arg, 1), AXR_ERROR_NOT_IMPLEMENTED);
	EXPECT_EQ(fake.runs, 0);
	tear_down();
}

struct logged {
	unsigned int count;
	char last[512];
};

static void logger(void *arg, axrLogLevel level, const char *msg)
{
	struct logged *logged = arg;

	EXPECT(level >= AXR_LOG_WARNING);
	logged->count++;
	snprintf(logged->last, sizeof(logged->last), "%s", msg);
	axr_set_logger(ctx, AXR_LOG_WARNING, logger, arg); /* may use the API */
}

static void test_api_are_logged(void)
{
	struct logged logged = {0};

	fake_reset();
	ctx = axr_create_context();
	axr_set_logger(ctx, AXR_LOG_WARNING, logger, &logged);
	EXPECT(!axr_load_model(ctx, "/nonexistent"));
	EXPECT_EQ(logged.count, 1);
	EXPECT_HAS(logged.last, "/nonexistent: No such file");
	axr_set_logger(ctx, AXR_LOG_WARNING, NULL, NULL);
	EXPECT(!axr_load_model(ctx, "/nonexistent"));
	EXPECT_EQ(logged.count, 1);
	tear_down();
}

static void *other_thread(void *arg)
{
	EXPECT_STR(axr_last_error_string(arg), "");
	EXPECT_EQ(axr_last_error(arg), AXR_SUCCESS);
	return NULL;
}

static void test_api_errors_are_per_thread(void)
{
	pthread_t thread;

	fake_reset();
	ctx = axr_create_context();
	EXPECT(!axr_load_model(ctx, "/nonexistent"));
	pthread_create(&thread, NULL, other_thread, AXR_OBJECT(ctx));
	pthread_join(thread, NULL);
	EXPECT_EQ(axr_last_error(AXR_OBJECT(ctx)), AXR_ERROR_INVALID_ARGUMENT);
	tear_down();
}

static void test_api_objects_die_in_any_order(void)
{
	axrProperties *p;

	fake_reset();
	set_up(NULL, NULL); /* children first */
	axr_destroy(AXR_OBJECT(inst));
	axr_destroy(AXR_OBJECT(conn));
	axr_destroy(AXR_OBJECT(model));
	tear_down();
	set_up(NULL, NULL); /* the model before its instance */
	axr_destroy(AXR_OBJECT(model));
	EXPECT_EQ(run(), AXR_SUCCESS);
	tear_down();
	set_up(NULL, NULL); /* the connection with its instance; properties left over */
	p = axr_get_model_properties(model);
	EXPECT(p != NULL);
	axr_destroy(AXR_OBJECT(conn));
	tear_down();
	EXPECT_EQ(fake.modules, 0);
}

static void test_api_configuration_is_checked(void)
{
	static const struct {
		const char *text;
		axrResult result;
	} cases[] = {
		{"", AXR_SUCCESS},
		{"device_firmware=1;clock_profile=800;mvm_utilisation_core_3=100", AXR_SUCCESS},
		{"clock_profile_core_1=400", AXR_ERROR_NOT_IMPLEMENTED},
		{"mvm_utilisation_core_0=20", AXR_ERROR_NOT_IMPLEMENTED},
		{"clock_profile=500", AXR_ERROR_VALUE_ERROR},
		{"mvm_utilisation_core_0=0", AXR_ERROR_VALUE_ERROR},
		{"colour=red", AXR_ERROR_INVALID_CONFIGURATION},
	};
	axrDeviceInfo *list, missing = {.name = "nonsense"};
	axrProperties *p;
	size_t i;

	fake_reset();
	ctx = axr_create_context();
	ASSERT_EQ(axr_list_devices(ctx, &list), 1);
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		p = axr_create_properties(ctx, cases[i].text);
		EXPECT_EQ(axr_configure_device(ctx, list, p), cases[i].result);
		axr_destroy(AXR_OBJECT(p));
	}
	EXPECT_EQ(axr_device_ready(ctx, list), AXR_SUCCESS);
	EXPECT(axr_device_ready(ctx, &missing) != AXR_SUCCESS);
	p = axr_read_device_configuration(ctx, list);
	EXPECT_STR(axr_get_property(p, "clock_profile_core_2"), "800");
	EXPECT_STR(axr_get_property(p, "mvm_utilisation_core_0"), "100");
	EXPECT(!axr_read_device_configuration(ctx, &missing));
	tear_down();
}

int main(void)
{
	make_models();
	RUN(test_api_open_errors_have_their_kind);
	RUN(test_api_cores_run_out_and_come_back);
	RUN(test_api_real_card_goes_before_simulated);
	RUN(test_api_instances_are_placed_where_firmware_lets_them);
	RUN(test_api_load_properties_are_strict);
	RUN(test_api_run_arguments_are_checked);
	RUN(test_api_are_logged);
	RUN(test_api_errors_are_per_thread);
	RUN(test_api_objects_die_in_any_order);
	RUN(test_api_configuration_is_checked);
	remove_models();
	return tap_done();
}
