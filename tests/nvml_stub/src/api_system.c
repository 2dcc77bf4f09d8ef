#include "call.h"

#include <stdio.h>
#include <string.h>

static Return put_text(const char *text, char *out, unsigned int length)
{
    if (strlen(text) + 1 > length) {
        return R_INSUFFICIENT_SIZE;
    }
    strcpy(out, text);
    return R_SUCCESS;
}

/* No driver has this symbol: a program that finds it knows that its data is synthetic. */
API int advisorSimulatedNvml(void)
{
    return 1;
}

API const char *nvmlErrorString(Return result)
{
    switch (result) {
#define X(name, code, text)                                                                                  \
    case R_##name:                                                                                           \
        return text;
        NVML_RETURNS(X)
#undef X
    }
    return "Unknown Error";
}

API Return nvmlSystemGetDriverVersion(char *version, unsigned int length)
{
    BEGIN();
    NEED(version != NULL);
    return call_end(put_text(node.driver_version, version, length));
}

API Return nvmlSystemGetNVMLVersion(char *version, unsigned int length)
{
    BEGIN();
    NEED(version != NULL);
    return call_end(put_text(node.nvml_version, version, length));
}

API Return nvmlSystemGetCudaDriverVersion(int *version)
{
    BEGIN();
    NEED(version != NULL);
    *version = node.cuda_version;
    return call_end(R_SUCCESS);
}

API Return nvmlSystemGetCudaDriverVersion_v2(int *version)
{
    BEGIN();
    NEED(version != NULL);
    *version = node.cuda_version;
    return call_end(R_SUCCESS);
}

static const char *process_name(unsigned int pid, double t)
{
    for (size_t g = 0; g < node.gpu_count; g++) {
        for (size_t i = 0; i < node.gpus[g].process_count; i++) {
            const Process *p = &node.gpus[g].processes[i];
            if (p->pid == pid && process_alive(p, t)) {
                return p->name;
            }
        }
    }
    return NULL;
}

API Return nvmlSystemGetProcessName(unsigned int pid, char *name, unsigned int length)
{
    BEGIN();
    NEED(name != NULL && length > 0);
    const char *found = process_name(pid, call.t);
    if (found == NULL) {
        return call_end(R_NOT_FOUND);
    }
    snprintf(name, length, "%s", found);
    return call_end(R_SUCCESS);
}

static unsigned int present_count(double t)
{
    unsigned int count = 0;
    for (size_t i = 0; i < node.gpu_count; i++) {
        count += gpu_present(&node.gpus[i], t);
    }
    return count;
}

API Return nvmlDeviceGetCount_v2(unsigned int *count)
{
    BEGIN();
    NEED(count != NULL);
    *count = present_count(call.t);
    return call_end(R_SUCCESS);
}

static Return hand_out(Call *call, Gpu *gpu, Device handle, Device *device)
{
    Return attached = call_attach(call, gpu);
    if (attached == R_SUCCESS) {
        *device = handle;
        return call_end(R_SUCCESS);
    }
    return attached;
}

API Return nvmlDeviceGetHandleByIndex_v2(unsigned int index, Device *device)
{
    BEGIN();
    NEED(device != NULL);
    for (size_t i = 0; i < node.gpu_count; i++) {
        if (gpu_present(&node.gpus[i], call.t) && index-- == 0) {
            return hand_out(&call, &node.gpus[i], &node.gpus[i], device);
        }
    }
    return call_end(R_INVALID_ARGUMENT);
}

/* The handle with this UUID, of a GPU or of one of its MIG instances; NULL where it is of neither. */
static Device handle_by_uuid(Gpu *gpu, const char *uuid)
{
    if (strcmp(gpu->strings[S_uuid], uuid) == 0) {
        return gpu;
    }
    for (size_t k = 0; k < gpu->instance_count; k++) {
        if (strcmp(gpu->instances[k].uuid, uuid) == 0) {
            return &gpu->instances[k];
        }
    }
    return NULL;
}

API Return nvmlDeviceGetHandleByUUID(const char *uuid, Device *device)
{
    BEGIN();
    NEED(uuid != NULL && device != NULL);
    for (size_t i = 0; i < node.gpu_count; i++) {
        Gpu *gpu = &node.gpus[i];
        Device handle = gpu_present(gpu, call.t) ? handle_by_uuid(gpu, uuid) : NULL;
        if (handle != NULL) {
            return hand_out(&call, gpu, handle, device);
        }
    }
    return call_end(R_NOT_FOUND);
}

API Return nvmlDeviceGetHandleByPciBusId_v2(const char *bus_id, Device *device)
{
    BEGIN();
    NEED(bus_id != NULL && device != NULL);
    unsigned int domain, bus, slot;
    if (sscanf(bus_id, "%x:%x:%x", &domain, &bus, &slot) != 3) {
        return call_end(R_INVALID_ARGUMENT);
    }
    for (size_t i = 0; i < node.gpu_count; i++) {
        unsigned int d = 0, b = 0, s = 0;
        sscanf(node.gpus[i].strings[S_pci], "%x:%x:%x", &d, &b, &s);
        if (gpu_present(&node.gpus[i], call.t) && d == domain && b == bus && s == slot) {
            return hand_out(&call, &node.gpus[i], &node.gpus[i], device);
        }
    }
    return call_end(R_NOT_FOUND);
}
