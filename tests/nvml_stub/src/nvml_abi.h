/* The part of NVML's binary interface that this library speaks. */
#ifndef STUB_NVML_ABI_H
#define STUB_NVML_ABI_H

#include <stdint.h>

#define NVML_RETURNS(X)                                                                                      \
    X(SUCCESS, 0, "The operation was successful")                                                            \
    X(UNINITIALIZED, 1, "Uninitialized")                                                                     \
    X(INVALID_ARGUMENT, 2, "Invalid Argument")                                                               \
    X(NOT_SUPPORTED, 3, "Not Supported")                                                                     \
    X(NO_PERMISSION, 4, "Insufficient Permissions")                                                          \
    X(ALREADY_INITIALIZED, 5, "Already Initialized")                                                         \
    X(NOT_FOUND, 6, "Not Found")                                                                             \
    X(INSUFFICIENT_SIZE, 7, "Insufficient Size")                                                             \
    X(INSUFFICIENT_POWER, 8, "Insufficient External Power")                                                  \
    X(DRIVER_NOT_LOADED, 9, "Driver Not Loaded")                                                             \
    X(TIMEOUT, 10, "Timeout")                                                                                \
    X(IRQ_ISSUE, 11, "Interrupt Request Issue")                                                              \
    X(LIBRARY_NOT_FOUND, 12, "NVML Shared Library Not Found")                                                \
    X(FUNCTION_NOT_FOUND, 13, "Function Not Found")                                                          \
    X(CORRUPTED_INFOROM, 14, "Corrupted infoROM")                                                            \
    X(GPU_IS_LOST, 15, "GPU is lost")                                                                        \
    X(RESET_REQUIRED, 16, "GPU requires reset")                                                              \
    X(OPERATING_SYSTEM, 17, "GPU access blocked by the operating system")                                    \
    X(LIB_RM_VERSION_MISMATCH, 18, "Driver/library version mismatch")                                        \
    X(IN_USE, 19, "In use by another client")                                                                \
    X(MEMORY, 20, "Insufficient Memory")                                                                     \
    X(NO_DATA, 21, "No data")                                                                                \
    X(INSUFFICIENT_RESOURCES, 23, "Insufficient Resources")                                                  \
    X(ARGUMENT_VERSION_MISMATCH, 25, "Argument version mismatch")                                            \
    X(DEPRECATED, 26, "Deprecated")                                                                          \
    X(NOT_READY, 27, "Not Ready")                                                                            \
    X(GPU_NOT_FOUND, 28, "GPU not found")                                                                    \
    X(INVALID_STATE, 29, "Invalid state")                                                                    \
    X(UNKNOWN, 999, "Unknown Error")

typedef enum {
#define X(name, code, text) R_##name = code,
    NVML_RETURNS(X)
#undef X
} Return;

#define NVML_REASONS(X)                                                                                      \
    X(gpu_idle, 0x001)                                                                                       \
    X(applications_clocks, 0x002)                                                                            \
    X(sw_power_cap, 0x004)                                                                                   \
    X(hw_slowdown, 0x008)                                                                                    \
    X(sync_boost, 0x010)                                                                                     \
    X(sw_thermal, 0x020)                                                                                     \
    X(hw_thermal, 0x040)                                                                                     \
    X(hw_power_brake, 0x080)                                                                                 \
    X(display_clocks, 0x100)

enum { REASON_COUNT = 9 };

typedef void *Device;

typedef struct {
    unsigned long long total, free, used;
} Memory;

typedef struct {
    unsigned int version;
    unsigned long long total, reserved, free, used;
} MemoryV2;

typedef struct {
    char bus_id_legacy[16];
    unsigned int domain, bus, device, pci_device_id, pci_subsystem_id;
    char bus_id[32];
} PciInfo;

typedef struct {
    unsigned int version, domain, bus, device, pci_device_id, pci_subsystem_id, base_class, sub_class;
    char bus_id[32];
} PciInfoExt;

typedef struct {
    unsigned int gpu, memory;
} Utilization;

typedef struct {
    unsigned int pid;
    unsigned long long used_gpu_memory;
    unsigned int gpu_instance_id, compute_instance_id;
} ProcessInfo;

typedef struct {
    unsigned int pid;
    unsigned long long used_gpu_memory;
    unsigned int gpu_instance_id, compute_instance_id;
    unsigned long long used_gpu_cc_protected_memory;
} ProcessDetail;

typedef struct {
    unsigned int version, mode, count;
    ProcessDetail *entries;
} ProcessDetailList;

typedef struct {
    unsigned int pid;
    unsigned long long time_us;
    unsigned int sm, mem, enc, dec;
} ProcessUtilizationSample;

typedef struct {
    unsigned long long time_us;
    unsigned int pid, sm, mem, enc, dec, jpg, ofa;
} ProcessUtilizationInfo;

typedef struct {
    unsigned int version, count;
    unsigned long long last_seen_us;
    ProcessUtilizationInfo *entries;
} ProcessesUtilizationInfo;

typedef struct {
    unsigned int field_id, scope_id;
    int64_t timestamp_us, latency_us;
    unsigned int value_type, result;
    union {
        double d;
        unsigned int u32;
        unsigned long long u64;
    } value;
} FieldValue;

typedef struct {
    unsigned long long reference_us, violation_ns;
} ViolationTime;

typedef struct {
    unsigned int version, sensor;
    int temperature;
} TemperatureV1;

typedef struct {
    unsigned int version;
    int margin;
} MarginTemperature;

typedef struct {
    unsigned int multiprocessors, copy_engines, decoders, encoders, jpegs, ofas, gi_slices, ci_slices;
    unsigned long long memory_mib;
} Attributes;

typedef struct {
    const char *short_name, *long_name, *unit;
} GpmMetricInfo;

typedef struct {
    unsigned int metric_id, result;
    double value;
    GpmMetricInfo info;
} GpmMetric;

typedef struct {
    unsigned int version, count;
    void *sample1, *sample2;
    GpmMetric metrics[];
} GpmMetricsGet;

typedef struct {
    unsigned int version, supported;
} GpmSupport;

typedef struct {
    Device device;
    unsigned long long type, data;
    unsigned int gpu_instance_id, compute_instance_id;
} EventData;

_Static_assert(sizeof(PciInfo) == 68 && sizeof(PciInfoExt) == 64, "PCI layout");
_Static_assert(sizeof(MemoryV2) == 40 && sizeof(ProcessInfo) == 24 && sizeof(ProcessDetail) == 32, "layout");
_Static_assert(sizeof(ProcessUtilizationSample) == 32 && sizeof(ProcessUtilizationInfo) == 40, "layout");
_Static_assert(sizeof(FieldValue) == 40 && sizeof(Attributes) == 40 && sizeof(EventData) == 32, "layout");
_Static_assert(sizeof(GpmMetric) == 40 && sizeof(GpmMetricsGet) == 24, "GPM layout");

#endif
