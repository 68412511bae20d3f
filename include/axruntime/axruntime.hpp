/* SPDX-License-Identifier: MIT */
/*
 * axruntime for C++: objects that destroy themselves.
 */
#ifndef AXRUNTIME_AXRUNTIME_HPP
#define AXRUNTIME_AXRUNTIME_HPP

#include <memory>

#include <axruntime/axruntime.h>

namespace axr
{

struct object_deleter {
	template <typename T> void operator()(T *object) const noexcept
	{
		axr_destroy(AXR_OBJECT(object));
	}
};

/* axr::ptr<axrContext> and so on. */
template <typename T> using ptr = std::unique_ptr<T, object_deleter>;

template <typename T> [[nodiscard]] inline ptr<T> to_ptr(T *object) noexcept
{
	return ptr<T>(object);
}

} // namespace axr

#endif
