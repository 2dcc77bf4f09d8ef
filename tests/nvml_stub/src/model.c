#include "model.h"

#include <stddef.h>

Node node;

const GpmMetricKind gpm_kinds[GPM_METRIC_KINDS] = {
    {1, "gr_active", true, "GRAPHICS_UTIL", "Graphics or compute engine active"},
    {2, "sm_active", true, "SM_UTIL", "SMs busy"},
    {3, "sm_occupancy", true, "SM_OCCUPANCY", "Warps resident against the maximum"},
    {4, "int_active", true, "INTEGER_UTIL", "Integer pipe active"},
    {5, "tensor_active", true, "ANY_TENSOR_UTIL", "Any tensor pipe active"},
    {6, "dfma", true, "DFMA_TENSOR_UTIL", "DFMA tensor pipe active"},
    {7, "hmma", true, "HMMA_TENSOR_UTIL", "HMMA tensor pipe active"},
    {8, "dmma", true, "DMMA_TENSOR_UTIL", "DMMA tensor pipe active"},
    {9, "imma", true, "IMMA_TENSOR_UTIL", "IMMA tensor pipe active"},
    {10, "dram_active", true, "DRAM_BW_UTIL", "DRAM bandwidth used"},
    {11, "fp64", true, "FP64_UTIL", "FP64 pipe active"},
    {12, "fp32", true, "FP32_UTIL", "FP32 pipe active"},
    {13, "fp16", true, "FP16_UTIL", "FP16 pipe active"},
    {20, "pcie_tx_mib_s", false, "PCIE_TX_PER_SEC", "PCIe bytes sent"},
    {21, "pcie_rx_mib_s", false, "PCIE_RX_PER_SEC", "PCIe bytes received"},
    {60, "nvlink_rx_mib_s", false, "NVLINK_TOTAL_RX_PER_SEC", "NVLink bytes received"},
    {61, "nvlink_tx_mib_s", false, "NVLINK_TOTAL_TX_PER_SEC", "NVLink bytes sent"},
};

static const double fallbacks[GPU_SERIES_COUNT] = {
#define X(key, fallback) fallback,
    GPU_SERIES(X)
#undef X
};

/* Where the scenario is silent, some readings follow from another one. */
static bool derived(const Gpu *gpu, GpuKey key, double t, double *value)
{
    switch (key) {
    case K_gpu_util:
    case K_mem_util:
        *value = gpu_utilization(gpu, key, t);
        return true;
    case K_memory_used_mib:
        *value = gpu_memory_used_mib(gpu, t);
        return true;
    case K_power_limit_enforced_w:
        return gpu_value(gpu, K_power_limit_w, t, value);
    case K_graphics_mhz:
        return gpu_value(gpu, K_sm_mhz, t, value);
    case K_graphics_mhz_max:
        return gpu_value(gpu, K_sm_mhz_max, t, value);
    case K_sm_mhz_app:
        return gpu_value(gpu, K_sm_mhz_app_default, t, value);
    case K_sm_mhz_app_default:
    case K_sm_mhz_customer_max:
        return gpu_value(gpu, K_sm_mhz_max, t, value);
    case K_mig_mode:
        *value = gpu->instance_count > 0;
        return true;
    default:
        return false;
    }
}

bool gpu_value(const Gpu *gpu, GpuKey key, double t, double *value)
{
    const Series *s = &gpu->series[key];
    if (s->state == SERIES_SET) {
        *value = series_at(s, t);
        return true;
    }
    if (s->state == SERIES_NULL) {
        return false;
    }
    *value = fallbacks[key];
    return !isnan(*value) || derived(gpu, key, t, value);
}

double gpu_area(const Gpu *gpu, GpuKey key, double t)
{
    const Series *s = &gpu->series[key];
    if (s->state == SERIES_SET) {
        return series_area(s, t);
    }
    return s->state == SERIES_NULL || isnan(fallbacks[key]) ? 0 : fallbacks[key] * t;
}

double last_second(const Series *s, double t)
{
    return series_mean(s, t - node.speed, t);
}

double gpu_utilization(const Gpu *gpu, GpuKey key, double t)
{
    const Series *given = &gpu->series[key];
    if (given->state == SERIES_SET) {
        return last_second(given, t);
    }
    const Series *counter = &gpu->gpm.metrics[key == K_gpu_util ? 0 : 9];
    return counter->state == SERIES_SET ? 100 * last_second(counter, t) : 0;
}

double gpu_memory_used_mib(const Gpu *gpu, double t)
{
    double used = 0;
    if (gpu->series[K_memory_used_mib].state == SERIES_SET) {
        return series_at(&gpu->series[K_memory_used_mib], t);
    }
    for (size_t i = 0; i < gpu->process_count; i++) {
        const Process *p = &gpu->processes[i];
        used += process_alive(p, t) && p->memory_mib.state == SERIES_SET ? series_at(&p->memory_mib, t) : 0;
    }
    return used;
}

unsigned long long gpu_reasons(const Gpu *gpu, double t)
{
    unsigned long long mask = 0;
    for (size_t bit = 0; bit < REASON_COUNT; bit++) {
        bool on = gpu->reasons[bit].state == SERIES_SET && series_at(&gpu->reasons[bit], t) > 0.5;
        mask |= (unsigned long long)on << bit;
    }
    return mask;
}

unsigned int to_u32(double value)
{
    return value >= UINT_MAX ? UINT_MAX : value > 0 ? (unsigned int)(value + 0.5) : 0;
}

unsigned long long to_u64(double value)
{
    return value >= 1.8e19 ? ULLONG_MAX : value > 0 ? (unsigned long long)value : 0;
}

bool process_alive(const Process *process, double t)
{
    return t >= process->from_s && t < process->to_s;
}

bool gpu_present(const Gpu *gpu, double t)
{
    return t >= gpu->added_at_s && t < gpu->removed_at_s;
}
