/* Links, errors, affinity: what decides whether a card is healthy and well placed. */
#include "call.h"

#include <string.h>

static unsigned int whole(const Call *call, GpuKey key)
{
    double value = 0;
    return gpu_value(call->gpu, key, call->t, &value) ? to_u32(value) : 0;
}

API Return nvmlDeviceGetPcieThroughput(Device device, unsigned int counter, unsigned int *kib_s)
{
    BEGIN_GPU(device);
    NEED(kib_s != NULL && counter < 2);
    double mib_s = 0;
    GpuKey key = counter == 0 ? K_pcie_tx_mib_s : K_pcie_rx_mib_s;
    bool known = !mig_enabled(call.gpu) && gpu_value(call.gpu, key, call.t, &mib_s);
    *kib_s = to_u32(mib_s * 1024);
    return call_end(known ? R_SUCCESS : R_NOT_SUPPORTED);
}

API Return nvmlDeviceGetEccMode(Device device, unsigned int *current, unsigned int *pending)
{
    BEGIN_GPU(device);
    NEED(current != NULL && pending != NULL);
    *current = *pending = whole(&call, K_ecc_enabled);
    return call_end(call.gpu->series[K_ecc_enabled].state == SERIES_NULL ? R_NOT_SUPPORTED : R_SUCCESS);
}

static Return ecc_count(const Call *call, unsigned int error, unsigned long long *count)
{
    if (whole(call, K_ecc_enabled) == 0) {
        return R_NOT_SUPPORTED;
    }
    *count = whole(call, error == 0 ? K_ecc_corrected : K_ecc_uncorrected);
    return R_SUCCESS;
}

API Return nvmlDeviceGetTotalEccErrors(Device device, unsigned int error, unsigned int counter,
                                       unsigned long long *count)
{
    BEGIN_GPU(device);
    NEED(count != NULL && error < 2 && counter < 2);
    return call_end(ecc_count(&call, error, count));
}

API Return nvmlDeviceGetMemoryErrorCounter(Device device, unsigned int error, unsigned int counter,
                                           unsigned int location, unsigned long long *count)
{
    BEGIN_GPU(device);
    NEED(count != NULL && error < 2 && counter < 2);
    /* All simulated errors are in device memory. */
    Return result = ecc_count(&call, error, count);
    *count = result == R_SUCCESS && location == 2 ? *count : 0;
    return call_end(result);
}

API Return nvmlDeviceGetRemappedRows(Device device, unsigned int *corrected, unsigned int *uncorrected,
                                     unsigned int *pending, unsigned int *failure)
{
    BEGIN_GPU(device);
    NEED(corrected != NULL && uncorrected != NULL && pending != NULL && failure != NULL);
    *corrected = whole(&call, K_remapped_correctable);
    *uncorrected = whole(&call, K_remapped_uncorrectable);
    *pending = whole(&call, K_remap_pending);
    *failure = whole(&call, K_remap_failure);
    return call_end(call.gpu->series[K_remap_pending].state == SERIES_NULL ? R_NOT_SUPPORTED : R_SUCCESS);
}

double reason_seconds(const Gpu *gpu, unsigned long long mask, double t)
{
    double longest = 0;
    for (size_t bit = 0; bit < REASON_COUNT; bit++) {
        if (mask >> bit & 1 && gpu->reasons[bit].state == SERIES_SET) {
            longest = fmax(longest, series_area(&gpu->reasons[bit], t));
        }
    }
    return longest / node.speed;
}

API Return nvmlDeviceGetViolationStatus(Device device, unsigned int policy, ViolationTime *out)
{
    static const unsigned long long masks[] = {0x4, 0x68, 0x10, 0x80};
    BEGIN_GPU(device);
    NEED(out != NULL);
    if (policy >= 12) {
        return call_end(R_INVALID_ARGUMENT);
    }
    out->reference_us = wall_us();
    double seconds = policy < 4 ? reason_seconds(call.gpu, masks[policy], call.t) : 0;
    out->violation_ns = to_u64(seconds * 1e9);
    return call_end(R_SUCCESS);
}

static Return affinity(const Gpu *gpu, unsigned int words, unsigned long *set)
{
    bool any = false;
    for (unsigned int i = 0; i < words; i++) {
        set[i] = i < MAX_CPUS / 64 ? gpu->cpus[i] : 0;
        any = any || set[i] != 0;
    }
    return any ? R_SUCCESS : R_NOT_SUPPORTED;
}

API Return nvmlDeviceGetCpuAffinity(Device device, unsigned int words, unsigned long *set)
{
    BEGIN_GPU(device);
    NEED(set != NULL && words > 0);
    return call_end(affinity(call.gpu, words, set));
}

API Return nvmlDeviceGetCpuAffinityWithinScope(Device device, unsigned int words, unsigned long *set,
                                               unsigned int scope)
{
    BEGIN_GPU(device);
    NEED(set != NULL && words > 0 && scope < 2);
    return call_end(affinity(call.gpu, words, set));
}

API Return nvmlDeviceGetMemoryAffinity(Device device, unsigned int words, unsigned long *set, unsigned int scope)
{
    BEGIN_GPU(device);
    NEED(set != NULL && words > 0 && scope < 2);
    double numa = 0;
    bool known = gpu_value(call.gpu, K_numa_node, call.t, &numa) && numa >= 0 && numa < 64.0 * words;
    memset(set, 0, words * sizeof *set);
    if (known) {
        set[(size_t)numa / 64] |= 1ul << (size_t)numa % 64;
    }
    return call_end(known ? R_SUCCESS : R_NOT_SUPPORTED);
}

API Return nvmlDeviceGetNvLinkState(Device device, unsigned int link, unsigned int *active)
{
    BEGIN_GPU(device);
    NEED(active != NULL);
    *active = 1;
    return call_end(link < whole(&call, K_nvlink_links) ? R_SUCCESS : R_NOT_SUPPORTED);
}

API Return nvmlDeviceGetTopologyCommonAncestor(Device device, Device other, unsigned int *level)
{
    BEGIN_GPU(device);
    NEED(level != NULL && other != NULL);
    *level = other == device ? 0 : 40;
    return call_end(R_SUCCESS);
}

/* Confidential computing is off, so no memory is protected. */
API Return nvmlDeviceGetConfComputeMemSizeInfo(Device device, unsigned long long out[2])
{
    BEGIN_GPU(device);
    NEED(out != NULL);
    double total = 0;
    gpu_value(call.gpu, K_memory_total_mib, call.t, &total);
    out[0] = 0;
    out[1] = to_u64(total) * 1024;
    return call_end(R_SUCCESS);
}

/* Windows alone has driver models. */
API Return nvmlDeviceGetDriverModel(Device device, unsigned int *current, unsigned int *pending)
{
    BEGIN_GPU(device);
    (void)current;
    (void)pending;
    return call_end(R_NOT_SUPPORTED);
}

API Return nvmlDeviceGetDriverModel_v2(Device device, unsigned int *current, unsigned int *pending)
{
    BEGIN_GPU(device);
    (void)current;
    (void)pending;
    return call_end(R_NOT_SUPPORTED);
}
