/* SPDX-License-Identifier: MIT */
/* The public headers in C++20, the way clients use them. */
#include <cstdio>
#include <cstring>
#include <type_traits>
#include <vector>

struct axrContext; /* clients declare them themselves */

#include <axruntime/axruntime.hpp>
#include <axruntime/tethys.h>

#include "runtime/abi.h"

static int failed, count;

static void check(bool ok, const char *what)
{
	failed += !ok;
	std::printf("%sok %d - %s\n", ok ? "" : "not ", ++count, what);
}

/* Assignable with the const-ness clients declare. */
static_assert(std::is_same_v<decltype(&axr_device_connect),
			     axrConnection *(*)(axrContext *, const axrDeviceInfo *, size_t,
						const axrProperties *)>);
static_assert(std::is_same_v<decltype(&axr_tensor_size), size_t (*)(const axrTensorInfo *)>);
static_assert(std::is_same_v<decltype(&axr_destroy), void (*)(const axrObject *)>);
static_assert(std::is_same_v<decltype(axrTensorInfo::padding), size_t[8][2]>);

struct Holder {
	axr::ptr<axrContext> context = axr::to_ptr(axr_create_context());
	axr::ptr<axrProperties> properties = axr::to_ptr(
		axr_create_properties(context.get(), "aipu_cores=4\nnum_sub_devices=1\n"));
	axr::ptr<axrModel> model;
};

int main()
{
	Holder holder;
	int8_t bytes[4] = {};
	axrArgument host{bytes, 0, 0, 0}, dmabuf{nullptr, 3, 0, 0},
		sized{bytes, {}, 0, sizeof(bytes)};
	std::vector<axrArgument> arguments{host, dmabuf, sized};
	axrTensorInfo info{};
	size_t sum = 0;

	for (const auto &[before, after] : info.padding)
		sum += before + after;
	check(sum == 0 && arguments[2].size == 4, "structs take positional and structured use");
	check(bool(holder.context) && bool(holder.properties) && !holder.model,
	      "pointers convert to bool");
	check(!std::strcmp(axr_get_property(holder.properties.get(), "num_sub_devices"), "1"),
	      "properties are read back");
	axr_set_logger(
		holder.context.get(), AXR_LOG_WARNING, [](void *, axrLogLevel, const char *) {},
		nullptr);
	check(!axr_load_model(holder.context.get(), "/nonexistent.onnx") &&
		      axr_last_error(AXR_OBJECT(holder.context.get())) ==
			      AXR_ERROR_INVALID_ARGUMENT,
	      "errors are seen on the context");
	std::printf("1..%d\n", count);
	return failed != 0;
}
