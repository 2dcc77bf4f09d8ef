#include "call.h"

#include <string.h>

API Return nvmlDeviceGetMigMode(Device device, unsigned int *current, unsigned int *pending)
{
    BEGIN_GPU(device);
    NEED(current != NULL && pending != NULL);
    *current = *pending = mig_enabled(call.gpu);
    return call_end(call.gpu->series[K_mig_mode].state == SERIES_NULL ? R_NOT_SUPPORTED : R_SUCCESS);
}

API Return nvmlDeviceGetMaxMigDeviceCount(Device device, unsigned int *count)
{
    BEGIN_GPU(device);
    NEED(count != NULL);
    double most = 0;
    gpu_value(call.gpu, K_max_mig_devices, call.t, &most);
    *count = call.gpu->series[K_mig_mode].state == SERIES_NULL ? 0 : to_u32(most);
    return call_end(R_SUCCESS);
}

API Return nvmlDeviceGetMigDeviceHandleByIndex(Device device, unsigned int index, Device *instance)
{
    BEGIN_GPU(device);
    NEED(instance != NULL);
    if (!mig_enabled(call.gpu) || index >= call.gpu->instance_count) {
        return call_end(mig_enabled(call.gpu) ? R_NOT_FOUND : R_NOT_SUPPORTED);
    }
    *instance = &call.gpu->instances[index];
    return call_end(R_SUCCESS);
}

API Return nvmlDeviceIsMigDeviceHandle(Device device, unsigned int *is_instance)
{
    BEGIN_ANY(device);
    NEED(is_instance != NULL);
    *is_instance = call.instance != NULL;
    return call_end(R_SUCCESS);
}

API Return nvmlDeviceGetGpuInstanceId(Device device, unsigned int *id)
{
    BEGIN_ANY(device);
    NEED(id != NULL);
    if (call.instance == NULL) {
        return call_end(R_NOT_SUPPORTED);
    }
    *id = call.instance->gi;
    return call_end(R_SUCCESS);
}

API Return nvmlDeviceGetComputeInstanceId(Device device, unsigned int *id)
{
    BEGIN_ANY(device);
    NEED(id != NULL);
    if (call.instance == NULL) {
        return call_end(R_NOT_SUPPORTED);
    }
    *id = call.instance->ci;
    return call_end(R_SUCCESS);
}

API Return nvmlDeviceGetDeviceHandleFromMigDeviceHandle(Device device, Device *gpu)
{
    BEGIN_ANY(device);
    NEED(gpu != NULL && call.instance != NULL);
    *gpu = call.gpu;
    return call_end(R_SUCCESS);
}

API Return nvmlDeviceGetAttributes_v2(Device device, Attributes *out)
{
    BEGIN_ANY(device);
    NEED(out != NULL);
    if (call.instance == NULL) {
        return call_end(R_NOT_SUPPORTED);
    }
    const Instance *m = call.instance;
    memset(out, 0, sizeof *out);
    out->multiprocessors = m->sm_count;
    out->copy_engines = out->decoders = out->jpegs = m->slices;
    out->gi_slices = m->slices;
    out->ci_slices = m->compute_slices;
    out->memory_mib = to_u64(series_at(&m->memory_total_mib, call.t));
    return call_end(R_SUCCESS);
}
