// SPDX-License-Identifier: Apache-2.0
// The memory layout of DLPack, by which array libraries lend each other their memory: https://dmlc.github.io/dlpack.
// What is here is its C ABI, whose names it keeps; versions of one major number have the same layout.
#pragma once

#include <cstdint>

namespace coxlmm::python::dlpack {

enum DeviceType : std::int32_t { kDLCPU = 1, kDLCUDA = 2, kDLCUDAHost = 3, kDLMetal = 8, kDLROCM = 10, kDLROCMHost = 11 };
enum DataTypeCode : std::uint8_t { kDLInt = 0, kDLUInt = 1, kDLFloat = 2, kDLBfloat = 4, kDLBool = 6 };

struct DLDevice {
    std::int32_t device_type;
    std::int32_t device_id;
};

struct DLDataType {
    std::uint8_t code;
    std::uint8_t bits;
    std::uint16_t lanes;
};

struct DLTensor {
    void* data;
    DLDevice device;
    std::int32_t ndim;
    DLDataType dtype;
    std::int64_t* shape;
    std::int64_t* strides;  // in elements; may be null before version 1.2: rows one after the other
    std::uint64_t byte_offset;
};

/// What a capsule named "dltensor" points to.
struct DLManagedTensor {
    DLTensor dl_tensor;
    void* manager_ctx;
    void (*deleter)(DLManagedTensor*);
};

inline constexpr std::uint32_t major_version = 1;

/// What a capsule named "dltensor_versioned" points to.
struct DLManagedTensorVersioned {
    std::uint32_t major;
    std::uint32_t minor;
    void* manager_ctx;
    void (*deleter)(DLManagedTensorVersioned*);
    std::uint64_t flags;
    DLTensor dl_tensor;
};

}  // namespace coxlmm::python::dlpack
