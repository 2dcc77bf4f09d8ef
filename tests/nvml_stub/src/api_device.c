#include "call.h"

#include <stdio.h>
#include <string.h>

static Return put_u32(const Call *call, GpuKey key, double scale, unsigned int *out)
{
    double value;
    if (!gpu_value(call->gpu, key, call->t, &value)) {
        return R_NOT_SUPPORTED;
    }
    *out = to_u32(value * scale);
    return R_SUCCESS;
}

static unsigned long long mib_to_bytes(double mib)
{
    return (unsigned long long)fmin(fmax(0, mib), 1e12) * 1048576u;
}

/* One reading of a whole GPU, as an unsigned int. */
#define GETTER(function, key, scale)                                                                         \
    API Return function(Device device, unsigned int *out)                                                    \
    {                                                                                                        \
        BEGIN_GPU(device);                                                                                   \
        NEED(out != NULL);                                                                                   \
        return call_end(put_u32(&call, K_##key, scale, out));                                                \
    }

GETTER(nvmlDeviceGetPowerUsage, power_w, 1000)
GETTER(nvmlDeviceGetPowerManagementLimit, power_limit_w, 1000)
GETTER(nvmlDeviceGetPowerManagementDefaultLimit, power_limit_default_w, 1000)
GETTER(nvmlDeviceGetEnforcedPowerLimit, power_limit_enforced_w, 1000)
GETTER(nvmlDeviceGetPerformanceState, performance_state, 1)
GETTER(nvmlDeviceGetPowerState, performance_state, 1)
GETTER(nvmlDeviceGetFanSpeed, fan_percent, 1)
GETTER(nvmlDeviceGetNumFans, fans, 1)
GETTER(nvmlDeviceGetPersistenceMode, persistence, 1)
GETTER(nvmlDeviceGetComputeMode, compute_mode, 1)
GETTER(nvmlDeviceGetCurrPcieLinkGeneration, pcie_gen, 1)
GETTER(nvmlDeviceGetMaxPcieLinkGeneration, pcie_gen_max, 1)
GETTER(nvmlDeviceGetGpuMaxPcieLinkGeneration, pcie_gen_device_max, 1)
GETTER(nvmlDeviceGetCurrPcieLinkWidth, pcie_width, 1)
GETTER(nvmlDeviceGetMaxPcieLinkWidth, pcie_width_max, 1)
GETTER(nvmlDeviceGetPcieReplayCounter, pcie_replays, 1)
GETTER(nvmlDeviceGetNumGpuCores, cores, 1)
GETTER(nvmlDeviceGetMemoryBusWidth, memory_bus_bits, 1)
GETTER(nvmlDeviceGetArchitecture, architecture, 1)
GETTER(nvmlDeviceGetBrand, brand, 1)
GETTER(nvmlDeviceGetNumaNodeId, numa_node, 1)

/* Values that every simulated GPU shares. */
#define CONSTANT(function, value)                                                                            \
    API Return function(Device device, unsigned int *out)                                                    \
    {                                                                                                        \
        BEGIN_GPU(device);                                                                                   \
        NEED(out != NULL);                                                                                   \
        *out = (value);                                                                                      \
        return call_end(R_SUCCESS);                                                                          \
    }

CONSTANT(nvmlDeviceGetDisplayMode, 0)
CONSTANT(nvmlDeviceGetDisplayActive, 0)
CONSTANT(nvmlDeviceGetPowerManagementMode, 1)
CONSTANT(nvmlDeviceGetMultiGpuBoard, 0)
CONSTANT(nvmlDeviceGetPowerSource, 0)
CONSTANT(nvmlDeviceGetRetiredPagesPendingStatus, 0)
CONSTANT(nvmlDeviceGetMinorNumber, call.gpu->index)
CONSTANT(nvmlDeviceGetBoardId, call.gpu->index)

API Return nvmlDeviceGetIndex(Device device, unsigned int *index)
{
    BEGIN_ANY(device);
    NEED(index != NULL);
    *index = call.instance == NULL ? call.gpu->index : call.instance->index;
    return call_end(R_SUCCESS);
}

static Return put_text(const char *text, char *out, unsigned int length)
{
    if (out == NULL || strlen(text) + 1 > length) {
        return out == NULL ? R_INVALID_ARGUMENT : R_INSUFFICIENT_SIZE;
    }
    strcpy(out, text);
    return R_SUCCESS;
}

API Return nvmlDeviceGetName(Device device, char *name, unsigned int length)
{
    BEGIN_ANY(device);
    char full[200];
    const char *gpu = call.gpu->strings[S_name];
    if (call.instance != NULL) {
        snprintf(full, sizeof full, "%s MIG %s", gpu, call.instance->profile);
    }
    return call_end(put_text(call.instance == NULL ? gpu : full, name, length));
}

API Return nvmlDeviceGetUUID(Device device, char *uuid, unsigned int length)
{
    BEGIN_ANY(device);
    return call_end(put_text(call.instance == NULL ? call.gpu->strings[S_uuid] : call.instance->uuid, uuid, length));
}

#define TEXT(function, key)                                                                                  \
    API Return function(Device device, char *text, unsigned int length)                                      \
    {                                                                                                        \
        BEGIN_GPU(device);                                                                                   \
        return call_end(put_text(call.gpu->strings[S_##key], text, length));                                 \
    }

TEXT(nvmlDeviceGetSerial, serial)
TEXT(nvmlDeviceGetVbiosVersion, vbios)
TEXT(nvmlDeviceGetBoardPartNumber, board_part_number)

static void pci_numbers(const Gpu *gpu, unsigned int *domain, unsigned int *bus, unsigned int *slot)
{
    *domain = *bus = *slot = 0;
    sscanf(gpu->strings[S_pci], "%x:%x:%x", domain, bus, slot);
}

API Return nvmlDeviceGetPciInfo_v3(Device device, PciInfo *pci)
{
    BEGIN_ANY(device);
    NEED(pci != NULL);
    memset(pci, 0, sizeof *pci);
    pci_numbers(call.gpu, &pci->domain, &pci->bus, &pci->device);
    snprintf(pci->bus_id_legacy, sizeof pci->bus_id_legacy, "%04X:%02X:%02X.0", pci->domain & 0xFFFF,
             pci->bus & 0xFF, pci->device & 0xFF);
    snprintf(pci->bus_id, sizeof pci->bus_id, "%s", call.gpu->strings[S_pci]);
    Return device_id = put_u32(&call, K_pci_device_id, 1, &pci->pci_device_id);
    return call_end(device_id != R_SUCCESS ? device_id : put_u32(&call, K_pci_subsystem_id, 1, &pci->pci_subsystem_id));
}

API Return nvmlDeviceGetCudaComputeCapability(Device device, int *major, int *minor)
{
    BEGIN_ANY(device);
    NEED(major != NULL && minor != NULL);
    bool known = sscanf(call.gpu->strings[S_compute_capability], "%d.%d", major, minor) == 2;
    return call_end(known ? R_SUCCESS : R_NOT_SUPPORTED);
}

static void memory_mib(const Call *call, double *total, double *used, double *reserved)
{
    *reserved = 0;
    if (call->instance != NULL) {
        *total = series_at(&call->instance->memory_total_mib, call->t);
        const Series *s = &call->instance->memory_used_mib;
        *used = s->state == SERIES_SET ? series_at(s, call->t) : 0;
        return;
    }
    gpu_value(call->gpu, K_memory_total_mib, call->t, total);
    gpu_value(call->gpu, K_memory_reserved_mib, call->t, reserved);
    *used = gpu_memory_used_mib(call->gpu, call->t);
}

API Return nvmlDeviceGetMemoryInfo(Device device, Memory *memory)
{
    BEGIN_ANY(device);
    NEED(memory != NULL);
    double total = 0, used = 0, reserved = 0;
    memory_mib(&call, &total, &used, &reserved);
    memory->total = mib_to_bytes(total);
    memory->used = mib_to_bytes(used + reserved);
    memory->free = memory->total > memory->used ? memory->total - memory->used : 0;
    return call_end(R_SUCCESS);
}

API Return nvmlDeviceGetMemoryInfo_v2(Device device, MemoryV2 *memory)
{
    BEGIN_ANY(device);
    NEED(memory != NULL);
    if (memory->version != (sizeof *memory | 2u << 24)) {
        return call_end(R_ARGUMENT_VERSION_MISMATCH);
    }
    double total = 0, used = 0, reserved = 0;
    memory_mib(&call, &total, &used, &reserved);
    memory->total = mib_to_bytes(total);
    memory->used = mib_to_bytes(used);
    memory->reserved = mib_to_bytes(reserved);
    unsigned long long taken = memory->used + memory->reserved;
    memory->free = memory->total > taken ? memory->total - taken : 0;
    return call_end(R_SUCCESS);
}

API Return nvmlDeviceGetBAR1MemoryInfo(Device device, Memory *memory)
{
    BEGIN_ANY(device);
    NEED(memory != NULL);
    double total = 0, used = 0;
    gpu_value(call.gpu, K_bar1_total_mib, call.t, &total);
    gpu_value(call.gpu, K_bar1_used_mib, call.t, &used);
    /* pynvml reads total, free, used in this order, as Memory has them. */
    *memory = (Memory){mib_to_bytes(total), mib_to_bytes(total - used), mib_to_bytes(used)};
    return call_end(R_SUCCESS);
}

static Return utilization(const Call *call, GpuKey key, unsigned int *out)
{
    if (mig_enabled(call->gpu) || call->gpu->series[key].state == SERIES_NULL) {
        return R_NOT_SUPPORTED;
    }
    *out = to_u32(fmin(100, gpu_utilization(call->gpu, key, call->t)));
    return R_SUCCESS;
}

API Return nvmlDeviceGetUtilizationRates(Device device, Utilization *out)
{
    BEGIN_GPU(device);
    NEED(out != NULL);
    Return gpu = utilization(&call, K_gpu_util, &out->gpu);
    return call_end(gpu != R_SUCCESS ? gpu : utilization(&call, K_mem_util, &out->memory));
}

#define ENGINE(function, key)                                                                                \
    API Return function(Device device, unsigned int *percent, unsigned int *period_us)                       \
    {                                                                                                        \
        BEGIN_GPU(device);                                                                                   \
        NEED(percent != NULL && period_us != NULL);                                                          \
        *period_us = 167000;                                                                                 \
        return call_end(mig_enabled(call.gpu) ? R_NOT_SUPPORTED : put_u32(&call, K_##key, 1, percent));      \
    }

ENGINE(nvmlDeviceGetEncoderUtilization, encoder_util)
ENGINE(nvmlDeviceGetDecoderUtilization, decoder_util)
ENGINE(nvmlDeviceGetJpgUtilization, jpg_util)
ENGINE(nvmlDeviceGetOfaUtilization, ofa_util)

API Return nvmlDeviceGetPowerManagementLimitConstraints(Device device, unsigned int *low, unsigned int *high)
{
    BEGIN_GPU(device);
    NEED(low != NULL && high != NULL);
    Return minimum = put_u32(&call, K_power_limit_min_w, 1000, low);
    return call_end(minimum != R_SUCCESS ? minimum : put_u32(&call, K_power_limit_max_w, 1000, high));
}

API Return nvmlDeviceGetTotalEnergyConsumption(Device device, unsigned long long *mj)
{
    BEGIN_GPU(device);
    NEED(mj != NULL);
    double joules = gpu_area(call.gpu, K_power_w, call.t) / node.speed;
    const Series *given = &call.gpu->series[K_energy_j];
    if (given->state == SERIES_NULL) {
        return call_end(R_NOT_SUPPORTED);
    }
    if (given->state == SERIES_SET) {
        joules = series_at(given, call.t);
    }
    *mj = to_u64(joules * 1000);
    return call_end(R_SUCCESS);
}

static const GpuKey clock_now[] = {K_graphics_mhz, K_sm_mhz, K_mem_mhz, K_video_mhz};
static const GpuKey clock_max[] = {K_graphics_mhz_max, K_sm_mhz_max, K_mem_mhz_max, K_video_mhz_max};

/* The clock that a setting names: 1 application, 2 its default, 3 the owner's maximum. */
static GpuKey clock_set(unsigned int type, unsigned int id)
{
    static const GpuKey settings[] = {K_sm_mhz, K_sm_mhz_app, K_sm_mhz_app_default, K_sm_mhz_customer_max};
    return type < 2 ? settings[id] : clock_max[type];
}

API Return nvmlDeviceGetClockInfo(Device device, unsigned int type, unsigned int *mhz)
{
    BEGIN_GPU(device);
    NEED(mhz != NULL && type < 4);
    return call_end(put_u32(&call, clock_now[type], 1, mhz));
}

API Return nvmlDeviceGetMaxClockInfo(Device device, unsigned int type, unsigned int *mhz)
{
    BEGIN_GPU(device);
    NEED(mhz != NULL && type < 4);
    return call_end(put_u32(&call, clock_max[type], 1, mhz));
}

API Return nvmlDeviceGetClock(Device device, unsigned int type, unsigned int id, unsigned int *mhz)
{
    BEGIN_GPU(device);
    NEED(mhz != NULL && type < 4 && id < 4);
    return call_end(put_u32(&call, id == 0 ? clock_now[type] : clock_set(type, id), 1, mhz));
}

/* Settings of the SM clock. The memory clock has no other than its maximum here. */
#define CLOCK_SETTING(function, id)                                                                          \
    API Return function(Device device, unsigned int type, unsigned int *mhz)                                 \
    {                                                                                                        \
        BEGIN_GPU(device);                                                                                   \
        NEED(mhz != NULL && type < 4);                                                                       \
        return call_end(put_u32(&call, clock_set(type, id), 1, mhz));                                        \
    }

CLOCK_SETTING(nvmlDeviceGetApplicationsClock, 1)
CLOCK_SETTING(nvmlDeviceGetDefaultApplicationsClock, 2)
CLOCK_SETTING(nvmlDeviceGetMaxCustomerBoostClock, 3)

API Return nvmlDeviceGetTemperature(Device device, unsigned int sensor, unsigned int *celsius)
{
    BEGIN_GPU(device);
    NEED(celsius != NULL && sensor == 0);
    return call_end(put_u32(&call, K_temp_c, 1, celsius));
}

API Return nvmlDeviceGetTemperatureV(Device device, TemperatureV1 *out)
{
    BEGIN_GPU(device);
    NEED(out != NULL && out->sensor == 0);
    if (out->version != (sizeof *out | 1u << 24)) {
        return call_end(R_ARGUMENT_VERSION_MISMATCH);
    }
    return call_end(put_u32(&call, K_temp_c, 1, (unsigned int *)&out->temperature));
}

API Return nvmlDeviceGetTemperatureThreshold(Device device, unsigned int which, unsigned int *celsius)
{
    static const GpuKey keys[] = {K_temp_shutdown_c, K_temp_slowdown_c, K_temp_mem_max_c, K_temp_gpu_max_c};
    BEGIN_GPU(device);
    NEED(celsius != NULL);
    return call_end(which < 4 ? put_u32(&call, keys[which], 1, celsius) : R_NOT_SUPPORTED);
}

API Return nvmlDeviceGetMarginTemperature(Device device, MarginTemperature *out)
{
    BEGIN_GPU(device);
    NEED(out != NULL);
    double now = 0, limit = 0;
    bool known = gpu_value(call.gpu, K_temp_c, call.t, &now) && gpu_value(call.gpu, K_temp_gpu_max_c, call.t, &limit);
    out->margin = (int)(limit - now);
    return call_end(known ? R_SUCCESS : R_NOT_SUPPORTED);
}

static Return reasons(const Call *call, unsigned long long *mask)
{
    *mask = gpu_reasons(call->gpu, call->t);
    return R_SUCCESS;
}

#define REASONS(function)                                                                                    \
    API Return function(Device device, unsigned long long *mask)                                             \
    {                                                                                                        \
        BEGIN_GPU(device);                                                                                   \
        NEED(mask != NULL);                                                                                  \
        return call_end(reasons(&call, mask));                                                               \
    }

REASONS(nvmlDeviceGetCurrentClocksEventReasons)
REASONS(nvmlDeviceGetCurrentClocksThrottleReasons)

static Return supported_reasons(Device device, Function *function, unsigned long long *mask)
{
    Call call;
    Return begun = call_begin_device(&call, function, device);
    if (begun != R_SUCCESS) {
        return begun;
    }
    NEED(mask != NULL);
    *mask = (1u << REASON_COUNT) - 1;
    return call_end(R_SUCCESS);
}

API Return nvmlDeviceGetSupportedClocksEventReasons(Device device, unsigned long long *mask)
{
    static Function function = {.name = __func__};
    return supported_reasons(device, &function, mask);
}

API Return nvmlDeviceGetSupportedClocksThrottleReasons(Device device, unsigned long long *mask)
{
    static Function function = {.name = __func__};
    return supported_reasons(device, &function, mask);
}
