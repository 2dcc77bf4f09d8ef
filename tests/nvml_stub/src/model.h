/* The simulated node, as the scenario file describes it. */
#ifndef STUB_MODEL_H
#define STUB_MODEL_H

#include "nvml_abi.h"
#include "series.h"

#include <limits.h>
#include <math.h>
#include <stdbool.h>

enum { MAX_GPUS = 8, MAX_INSTANCES = 7, MAX_CPUS = 1024, GPM_OLD_STRIDE = 32 };

/* Series of a GPU and the value each has where the scenario is silent; NAN: not supported by the card. */
#define GPU_SERIES(X)                                                                                        \
    X(memory_total_mib, 81559) X(memory_used_mib, NAN) X(memory_reserved_mib, 0)                             \
    X(bar1_total_mib, 131072) X(bar1_used_mib, 1)                                                            \
    X(gpu_util, NAN) X(mem_util, NAN)                                                                        \
    X(encoder_util, 0) X(decoder_util, 0) X(jpg_util, 0) X(ofa_util, 0)                                      \
    X(power_w, 70) X(energy_j, NAN)                                                                          \
    X(power_limit_w, 700) X(power_limit_default_w, 700) X(power_limit_min_w, 200)                            \
    X(power_limit_max_w, 700) X(power_limit_enforced_w, NAN)                                                 \
    X(sm_mhz, 1980) X(graphics_mhz, NAN) X(mem_mhz, 2619) X(video_mhz, 1545)                                 \
    X(sm_mhz_app, NAN) X(sm_mhz_app_default, NAN) X(sm_mhz_customer_max, NAN)                                \
    X(sm_mhz_max, 1980) X(graphics_mhz_max, NAN) X(mem_mhz_max, 2619) X(video_mhz_max, 1545)                 \
    X(temp_c, 30) X(mem_temp_c, 36) X(temp_slowdown_c, 90) X(temp_shutdown_c, 95)                            \
    X(temp_gpu_max_c, 87) X(temp_mem_max_c, 95)                                                              \
    X(fan_percent, NAN) X(fans, 0) X(performance_state, 0)                                                   \
    X(pcie_gen, 5) X(pcie_width, 16) X(pcie_gen_max, 5) X(pcie_gen_device_max, 5) X(pcie_width_max, 16)      \
    X(pcie_replays, 0) X(pcie_tx_mib_s, 0) X(pcie_rx_mib_s, 0) X(pcie_counter_bits, 64)                      \
    X(nvlink_links, 18) X(nvlink_tx_mib_s, 0) X(nvlink_rx_mib_s, 0) X(nvlink_speed_mbps, 26562)              \
    X(ecc_enabled, 1) X(ecc_corrected, 0) X(ecc_uncorrected, 0)                                              \
    X(remapped_correctable, 0) X(remapped_uncorrectable, 0) X(remap_pending, 0) X(remap_failure, 0)          \
    X(persistence, 1) X(compute_mode, 0) X(cores, 16896) X(memory_bus_bits, 5120) X(architecture, 9)         \
    X(numa_node, 0) X(brand, 14) X(pci_device_id, 0x233010DE) X(pci_subsystem_id, 0x16C110DE)                \
    X(mig_mode, NAN) X(max_mig_devices, 7)

typedef enum {
#define X(key, fallback) K_##key,
    GPU_SERIES(X)
#undef X
        GPU_SERIES_COUNT
} GpuKey;

#define GPU_STRINGS(X)                                                                                       \
    X(name, "NVIDIA H100 80GB HBM3") X(uuid, NULL) X(serial, "0000000000000") X(pci, NULL)                   \
    X(vbios, "96.00.00.00.00") X(board_part_number, "000-00000-0000-000") X(compute_capability, "9.0")

typedef enum {
#define X(key, fallback) S_##key,
    GPU_STRINGS(X)
#undef X
        GPU_STRING_COUNT
} GpuString;

typedef struct {
    unsigned int id;
    const char *key;
    bool fraction; /* scenario 0 to 1, NVML 0 to 100; otherwise MiB/s both ways */
    const char *short_name, *long_name;
} GpmMetricKind;

enum { GPM_METRIC_KINDS = 17 };
extern const GpmMetricKind gpm_kinds[GPM_METRIC_KINDS];

typedef struct {
    bool present;
    Series metrics[GPM_METRIC_KINDS];
} Gpm;

typedef enum { PROCESS_COMPUTE, PROCESS_GRAPHICS, PROCESS_MPS } ProcessKind;

typedef struct {
    unsigned int pid;
    char *name;
    ProcessKind kind;
    double from_s, to_s;
    Series memory_mib, sm_util, mem_util, enc_util, dec_util;
    unsigned int gi, ci; /* UINT_MAX: not in an instance */
} Process;

struct Gpu;

typedef struct {
    struct Gpu *gpu;
    unsigned int index, gi, ci, slices, compute_slices, sm_count;
    char *uuid, *profile;
    Series memory_total_mib, memory_used_mib;
    Gpm gpm;
} Instance;

typedef struct Gpu {
    unsigned int index;
    char *strings[GPU_STRING_COUNT];
    Series series[GPU_SERIES_COUNT];
    Series reasons[REASON_COUNT]; /* 1 while the reason applies */
    Gpm gpm;
    bool gpm_supported, gpm_old_stride;
    unsigned int gpm_array_max;
    uint64_t cpus[MAX_CPUS / 64];
    size_t process_count, instance_count;
    Process *processes;
    Instance *instances;
    double added_at_s, removed_at_s, lost_at_s;
    unsigned long long lost_after_calls, calls;
    Return lost_code;
    bool lost;
} Gpu;

typedef struct {
    char *function; /* fnmatch pattern */
    int gpu;        /* -1: any, and calls without a GPU */
    double from_s, to_s, probability, hang_s;
    unsigned long long after_calls, calls, seen;
    Return code;
    bool crash, lose, holds_lock;
} Fault;

typedef struct {
    char *function;
    double us;
} Latency;

typedef struct {
    double t_s;
    unsigned int gpu;
    unsigned long long type, data;
} Event;

typedef struct {
    char *driver_version, *nvml_version;
    int cuda_version;
    bool has_t0, empty_utilization_succeeds;
    double t0, speed;
    size_t gpu_count, fault_count, latency_count, event_count;
    Gpu gpus[MAX_GPUS];
    Fault *faults;
    Latency *latencies;
    Event *events;
} Node;

extern Node node;

/* Reads the scenario at `path`, or the default one for NULL. False with one line in `error` on failure. */
bool node_load(Node *node, const char *path, char *error, size_t error_size);

/* Value of a GPU at scenario time t; false where the card does not have it. */
bool gpu_value(const Gpu *gpu, GpuKey key, double t, double *value);

/* Integral from scenario time 0; 0 where the card does not have it. */
double gpu_area(const Gpu *gpu, GpuKey key, double t);

/* Mean over the last second of real time; a repeating series repeated before time 0 too. */
double last_second(const Series *s, double t);

/* Per cent over the last second, as the driver samples it. */
double gpu_utilization(const Gpu *gpu, GpuKey key, double t);

double gpu_memory_used_mib(const Gpu *gpu, double t);
unsigned long long gpu_reasons(const Gpu *gpu, double t);

/* The nearest whole number that fits; 0 for what is below. */
unsigned int to_u32(double value);
unsigned long long to_u64(double value);

bool process_alive(const Process *process, double t);
bool gpu_present(const Gpu *gpu, double t);

#endif
