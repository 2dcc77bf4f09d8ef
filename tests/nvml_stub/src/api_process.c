#include "call.h"

static unsigned long long used_bytes(const Process *p, double t)
{
    if (p->memory_mib.state != SERIES_SET) {
        return ULLONG_MAX;
    }
    return to_u64(fmin(series_at(&p->memory_mib, t), 1e12)) * 1048576u;
}

static bool visible(const Call *call, const Process *p)
{
    bool here = call->instance == NULL || (p->gi == call->instance->gi && (p->ci == call->instance->ci || p->ci == UINT_MAX));
    return here && process_alive(p, call->t);
}

/* NVML's way with arrays: too small an array leaves the size needed behind. */
static Return list(const Call *call, ProcessKind kind, unsigned int *count, ProcessInfo *out)
{
    unsigned int found = 0, room = *count;
    for (size_t i = 0; i < call->gpu->process_count; i++) {
        const Process *p = &call->gpu->processes[i];
        if (p->kind != kind || !visible(call, p)) {
            continue;
        }
        if (found < room && out != NULL) {
            out[found] = (ProcessInfo){p->pid, used_bytes(p, call->t), p->gi, p->ci};
        }
        found++;
    }
    *count = found;
    return found > room || (found > 0 && out == NULL) ? R_INSUFFICIENT_SIZE : R_SUCCESS;
}

#define PROCESSES(function, kind)                                                                            \
    API Return function(Device device, unsigned int *count, ProcessInfo *out)                                \
    {                                                                                                        \
        BEGIN_ANY(device);                                                                                   \
        NEED(count != NULL);                                                                                 \
        return call_end(list(&call, kind, count, out));                                                      \
    }

PROCESSES(nvmlDeviceGetComputeRunningProcesses_v3, PROCESS_COMPUTE)
PROCESSES(nvmlDeviceGetGraphicsRunningProcesses_v3, PROCESS_GRAPHICS)
PROCESSES(nvmlDeviceGetMPSComputeRunningProcesses_v3, PROCESS_MPS)
PROCESSES(nvmlDeviceGetComputeRunningProcesses_v2, PROCESS_COMPUTE)
PROCESSES(nvmlDeviceGetGraphicsRunningProcesses_v2, PROCESS_GRAPHICS)
PROCESSES(nvmlDeviceGetMPSComputeRunningProcesses_v2, PROCESS_MPS)

API Return nvmlDeviceGetRunningProcessDetailList(Device device, ProcessDetailList *detail)
{
    BEGIN_ANY(device);
    NEED(detail != NULL && detail->mode < 3);
    if (detail->version != (sizeof *detail | 1u << 24)) {
        return call_end(R_ARGUMENT_VERSION_MISMATCH);
    }
    static const ProcessKind kinds[] = {PROCESS_COMPUTE, PROCESS_GRAPHICS, PROCESS_MPS};
    unsigned int found = 0, room = detail->count;
    for (size_t i = 0; i < call.gpu->process_count; i++) {
        const Process *p = &call.gpu->processes[i];
        if (p->kind != kinds[detail->mode] || !visible(&call, p)) {
            continue;
        }
        if (found < room && detail->entries != NULL) {
            detail->entries[found] = (ProcessDetail){p->pid, used_bytes(p, call.t), p->gi, p->ci, 0};
        }
        found++;
    }
    detail->count = found;
    return call_end(found > room || (found > 0 && detail->entries == NULL) ? R_INSUFFICIENT_SIZE : R_SUCCESS);
}

static unsigned int percent(const Series *s, double t)
{
    return s->state == SERIES_SET ? to_u32(last_second(s, t)) : 0;
}

/* The driver keeps samples of processes that ran something; one that reports no share has none. */
static unsigned int samples(const Call *call, unsigned int room, ProcessUtilizationInfo *out)
{
    unsigned int found = 0;
    for (size_t i = 0; i < call->gpu->process_count; i++) {
        const Process *p = &call->gpu->processes[i];
        if (!process_alive(p, call->t) || p->sm_util.state != SERIES_SET) {
            continue;
        }
        if (found < room && out != NULL) {
            out[found] = (ProcessUtilizationInfo){
                wall_us(), p->pid, percent(&p->sm_util, call->t), percent(&p->mem_util, call->t),
                percent(&p->enc_util, call->t), percent(&p->dec_util, call->t), 0, 0};
        }
        found++;
    }
    return found;
}

static Return no_samples(void)
{
    return node.empty_utilization_succeeds ? R_SUCCESS : R_NOT_FOUND;
}

enum { MAX_SAMPLES = 256 };

API Return nvmlDeviceGetProcessUtilization(Device device, ProcessUtilizationSample *out, unsigned int *count,
                                           unsigned long long last_seen_us)
{
    BEGIN_GPU(device);
    NEED(count != NULL);
    ProcessUtilizationInfo all[MAX_SAMPLES];
    unsigned int found = samples(&call, MAX_SAMPLES, all), room = *count;
    *count = found;
    if (mig_enabled(call.gpu) || found == 0 || last_seen_us >= wall_us()) {
        return call_end(mig_enabled(call.gpu) ? R_NOT_SUPPORTED : no_samples());
    }
    if (out == NULL || room < found) {
        return call_end(R_INSUFFICIENT_SIZE);
    }
    for (unsigned int i = 0; i < found && i < MAX_SAMPLES; i++) {
        out[i] = (ProcessUtilizationSample){all[i].pid, all[i].time_us, all[i].sm, all[i].mem, all[i].enc, all[i].dec};
    }
    return call_end(R_SUCCESS);
}

API Return nvmlDeviceGetProcessesUtilizationInfo(Device device, ProcessesUtilizationInfo *out)
{
    BEGIN_GPU(device);
    NEED(out != NULL);
    unsigned int room = out->count;
    out->count = samples(&call, room, out->entries);
    if (mig_enabled(call.gpu) || out->count == 0) {
        return call_end(mig_enabled(call.gpu) ? R_NOT_SUPPORTED : no_samples());
    }
    return call_end(out->entries == NULL || room < out->count ? R_INSUFFICIENT_SIZE : R_SUCCESS);
}
