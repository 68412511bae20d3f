/* SPDX-License-Identifier: MIT */
/*
 * The layouts and values programs written for the vendor's runtime rely on, checked in C and C++.
 */
#ifndef TETHYS_RUNTIME_ABI_H
#define TETHYS_RUNTIME_ABI_H

#include <stddef.h>

#include <axruntime/axruntime.h>

#ifdef __cplusplus
#define ABI_ASSERT(cond) static_assert(cond, #cond)
#else
#define ABI_ASSERT(cond) _Static_assert(cond, #cond)
#endif
#define ABI_AT(type, member, at) ABI_ASSERT(offsetof(type, member) == (at))

ABI_ASSERT(sizeof(axrArgument) == 32);
ABI_AT(axrArgument, ptr, 0);
ABI_AT(axrArgument, fd, 8);
ABI_AT(axrArgument, offset, 16);
ABI_AT(axrArgument, size, 24);

ABI_ASSERT(sizeof(axrTensorInfo) == 488);
ABI_AT(axrTensorInfo, dims, 0);
ABI_AT(axrTensorInfo, ndims, 64);
ABI_AT(axrTensorInfo, bits, 72);
ABI_AT(axrTensorInfo, type, 80);
ABI_AT(axrTensorInfo, name, 88);
ABI_AT(axrTensorInfo, padding, 344);
ABI_AT(axrTensorInfo, scale, 472);
ABI_AT(axrTensorInfo, zero_point, 480);

ABI_ASSERT(sizeof(axrDeviceInfo) == 1568);
ABI_AT(axrDeviceInfo, name, 0);
ABI_AT(axrDeviceInfo, subdevice_count, 256);
ABI_AT(axrDeviceInfo, max_memory, 264);
ABI_AT(axrDeviceInfo, in_use, 272);
ABI_AT(axrDeviceInfo, in_use_by, 276);
ABI_AT(axrDeviceInfo, board_type, 532);
ABI_AT(axrDeviceInfo, firmware_version, 536);
ABI_AT(axrDeviceInfo, board_revision, 792);
ABI_AT(axrDeviceInfo, flashed_firmware_version, 796);
ABI_AT(axrDeviceInfo, board_controller_firmware_version, 1052);
ABI_AT(axrDeviceInfo, board_controller_board_type, 1308);

ABI_ASSERT(AXR_SUCCESS == 0);
ABI_ASSERT(AXR_ERROR_RUNTIME_ERROR == 1);
ABI_ASSERT(AXR_ERROR_VALUE_ERROR == 2);
ABI_ASSERT(AXR_ERROR_INVALID_ARGUMENT == 3);
ABI_ASSERT(AXR_ERROR_CONNECTION_ERROR == 4);
ABI_ASSERT(AXR_ERROR_DEVICE_IN_USE == 5);
ABI_ASSERT(AXR_ERROR_INCOMPATIBLE_DEVICE == 6);
ABI_ASSERT(AXR_ERROR_INVALID_CONFIGURATION == 7);
ABI_ASSERT(AXR_ERROR_NOT_IMPLEMENTED == 8);
ABI_ASSERT(AXR_ERROR_INTERNAL_ERROR == 9);
ABI_ASSERT(AXR_ERROR_PENDING_ERROR == 10);
ABI_ASSERT(AXR_ERROR_UNKNOWN_ERROR == 11);
ABI_ASSERT(AXR_LOG_TRACE == 0 && AXR_LOG_LOG == 1 && AXR_LOG_DEBUG == 2 && AXR_LOG_INFO == 3);
ABI_ASSERT(AXR_LOG_FIXME == 4 && AXR_LOG_WARNING == 5 && AXR_LOG_ERROR == 6);
ABI_ASSERT(AXR_BOARD_METIS_UNUSED1 == 0 && AXR_BOARD_METIS_UNUSED2 == 1);
ABI_ASSERT(AXR_BOARD_METIS_OMEGA_PCIE == 2 && AXR_BOARD_METIS_OMEGA_M2 == 3);
ABI_ASSERT(AXR_BOARD_METIS_UNUSED3 == 4 && AXR_BOARD_METIS_MAX == 6);
ABI_ASSERT(sizeof(axrBoardType) == 4);
ABI_ASSERT(AXR_UNSIGNED == 0 && AXR_SIGNED == 1 && AXR_FLOAT == 2);
ABI_ASSERT(AXR_MAX_TENSOR_DIMS == 8);

#endif
