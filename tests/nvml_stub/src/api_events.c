#include "call.h"

#include <stdlib.h>
#include <string.h>

static const double POLL_S = 0.005;

typedef struct {
    unsigned long long types[MAX_GPUS];
    size_t next_in_order;
} EventSet;

API Return nvmlEventSetCreate(EventSet **set)
{
    BEGIN();
    NEED(set != NULL);
    *set = calloc(1, sizeof **set);
    if (*set == NULL) {
        return call_end(R_MEMORY);
    }
    return call_end(R_SUCCESS);
}

API Return nvmlEventSetFree(EventSet *set)
{
    BEGIN();
    NEED(set != NULL);
    free(set);
    return call_end(R_SUCCESS);
}

API Return nvmlDeviceGetSupportedEventTypes(Device device, unsigned long long *types)
{
    BEGIN_GPU(device);
    NEED(types != NULL);
    *types = 0x1F;
    return call_end(R_SUCCESS);
}

API Return nvmlDeviceRegisterEvents(Device device, unsigned long long types, EventSet *set)
{
    BEGIN_GPU(device);
    NEED(set != NULL);
    set->types[call.gpu->index] |= types;
    return call_end(R_SUCCESS);
}

/* Events in the order of the scenario, each once. */
static bool next_event(EventSet *set, double t, EventData *data)
{
    if (set->next_in_order >= node.event_count || node.events[set->next_in_order].t_s > t) {
        return false;
    }
    const Event *e = &node.events[set->next_in_order++];
    bool wanted = e->gpu < node.gpu_count && (set->types[e->gpu] & e->type) != 0;
    if (wanted) {
        *data = (EventData){&node.gpus[e->gpu], e->type, e->data, UINT_MAX, UINT_MAX};
    }
    return wanted || next_event(set, t, data);
}

static Gpu *lost_one(const EventSet *set, double t)
{
    for (size_t i = 0; i < node.gpu_count; i++) {
        if (set->types[i] != 0 && gpu_is_lost(&node.gpus[i], t)) {
            return &node.gpus[i];
        }
    }
    return NULL;
}

/* A GPU that is gone tells its own last events; those of all others in the set are hidden behind it. */
static Return look(EventSet *set, double t, EventData *data)
{
    Gpu *lost = lost_one(set, t);
    bool found = next_event(set, t, data);
    if (lost != NULL && !(found && data->device == lost)) {
        return lost->lost_code;
    }
    return found ? R_SUCCESS : R_TIMEOUT;
}

API Return nvmlEventSetWait_v2(EventSet *set, EventData *data, unsigned int timeout_ms)
{
    BEGIN();
    NEED(set != NULL && data != NULL);
    double until = monotonic_s() + timeout_ms / 1e3;
    Return seen;
    memset(data, 0, sizeof *data);
    while ((seen = look(set, scenario_now(), data)) == R_TIMEOUT && monotonic_s() < until) {
        call_wait(POLL_S);
    }
    return call_end(seen);
}
