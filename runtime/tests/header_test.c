/* SPDX-License-Identifier: MIT */
/* The public headers on their own, in C, as strict as a compiler can be made. */
struct axrContext; /* clients declare them themselves */
struct axrModel;

#include <axruntime/axruntime.h>
#include <axruntime/tethys.h>

#include "runtime/abi.h"
#include "tests/tap.h"

static void test_header_positional_argument_fills_fields_in_order(void)
{
	char bytes[4];
	axrArgument a = {bytes, 0, 0, 4}, b = {NULL, 7, 0, 0};

	EXPECT(a.ptr == bytes && a.size == 4);
	EXPECT(!b.ptr && b.fd == 7);
}

static void test_header_macro_takes_const_objects(void)
{
	axrContext *context = axr_create_context();
	const axrContext *constant = context;

	EXPECT_EQ(axr_last_error(AXR_OBJECT(constant)), AXR_SUCCESS);
	EXPECT_STR(axr_last_error_string(AXR_OBJECT(constant)), "");
	EXPECT(axr_get_context(AXR_OBJECT(context)) == context);
	EXPECT(!axr_get_context(NULL));
	axr_destroy(AXR_OBJECT(constant));
	axr_destroy(NULL);
}

static void test_header_texts_are_never_null(void)
{
	int n;

	for (n = -1; n < 20; n++) {
		EXPECT(axr_error_string((axrResult)n)[0]);
		EXPECT(axr_board_type_string((axrBoardType)n)[0]);
	}
	EXPECT_STR(axr_board_type_string(AXR_BOARD_METIS_OMEGA_PCIE), "pcie");
	EXPECT_EQ(axr_api_version(), AXR_API_VERSION);
	EXPECT_STR(tethys_version_string(), TETHYS_VERSION);
}

int main(void)
{
	RUN(test_header_positional_argument_fills_fields_in_order);
	RUN(test_header_macro_takes_const_objects);
	RUN(test_header_texts_are_never_null);
	return tap_done();
}
