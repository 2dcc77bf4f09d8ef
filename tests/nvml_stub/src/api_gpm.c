#include "call.h"

#include <stdlib.h>
#include <string.h>

enum { SAMPLE_MAGIC = 0x6B5A17E5, METRICS_GET_VERSION = 1, SUPPORT_VERSION = 1 };

/* NVIDIA's own lower limit between two samples. */
static const double SHORTEST_S = 0.1;

typedef struct {
    unsigned int magic;
    Gpu *gpu; /* NULL until it is filled */
    const Gpm *source;
    double t, taken_s;
} Sample;

static bool valid(const Sample *sample)
{
    return sample != NULL && sample->magic == SAMPLE_MAGIC;
}

API Return nvmlGpmSampleAlloc(Sample **sample)
{
    BEGIN();
    NEED(sample != NULL);
    *sample = calloc(1, sizeof **sample);
    if (*sample == NULL) {
        return call_end(R_MEMORY);
    }
    (*sample)->magic = SAMPLE_MAGIC;
    return call_end(R_SUCCESS);
}

API Return nvmlGpmSampleFree(Sample *sample)
{
    BEGIN();
    NEED(valid(sample));
    sample->magic = 0;
    free(sample);
    return call_end(R_SUCCESS);
}

static Return take(const Call *call, const Gpm *source, Sample *sample)
{
    if (!call->gpu->gpm_supported || source == NULL || !source->present) {
        return R_NOT_SUPPORTED;
    }
    sample->gpu = call->gpu;
    sample->source = source;
    sample->t = call->t;
    sample->taken_s = monotonic_s();
    return R_SUCCESS;
}

API Return nvmlGpmSampleGet(Device device, Sample *sample)
{
    BEGIN_GPU(device);
    NEED(valid(sample));
    return call_end(take(&call, &call.gpu->gpm, sample));
}

API Return nvmlGpmMigSampleGet(Device device, unsigned int gi, Sample *sample)
{
    BEGIN_ANY(device);
    NEED(valid(sample));
    for (size_t i = 0; i < call.gpu->instance_count; i++) {
        if (call.gpu->instances[i].gi == gi) {
            return call_end(take(&call, &call.gpu->instances[i].gpm, sample));
        }
    }
    return call_end(call.gpu->instance_count == 0 ? R_NOT_SUPPORTED : R_INVALID_ARGUMENT);
}

static bool any_gpm(const Gpu *gpu)
{
    bool present = gpu->gpm.present;
    for (size_t i = 0; i < gpu->instance_count; i++) {
        present = present || gpu->instances[i].gpm.present;
    }
    return present && gpu->gpm_supported;
}

API Return nvmlGpmQueryDeviceSupport(Device device, GpmSupport *support)
{
    BEGIN_ANY(device);
    NEED(support != NULL);
    if (support->version != SUPPORT_VERSION) {
        return call_end(R_ARGUMENT_VERSION_MISMATCH);
    }
    support->supported = any_gpm(call.gpu);
    return call_end(R_SUCCESS);
}

API Return nvmlGpmQueryIfStreamingEnabled(Device device, unsigned int *enabled)
{
    BEGIN_GPU(device);
    NEED(enabled != NULL);
    *enabled = 0;
    return call_end(any_gpm(call.gpu) ? R_SUCCESS : R_NOT_SUPPORTED);
}

API Return nvmlGpmSetStreamingEnabled(Device device, unsigned int state)
{
    BEGIN_GPU(device);
    (void)state;
    return call_end(R_NO_PERMISSION);
}

/* Transfer counters of the card stand in where the gpm block is silent about them. */
static const Series *metric_series(const Sample *sample, size_t kind)
{
    static const GpuKey of_gpu[] = {K_pcie_tx_mib_s, K_pcie_rx_mib_s, K_nvlink_rx_mib_s, K_nvlink_tx_mib_s};
    const Series *own = &sample->source->metrics[kind];
    if (own->state != SERIES_UNSET || gpm_kinds[kind].fraction || sample->source != &sample->gpu->gpm) {
        return own;
    }
    return &sample->gpu->series[of_gpu[kind - (GPM_METRIC_KINDS - 4)]];
}

static double metric_value(const Sample *from, const Sample *to, size_t kind)
{
    const Series *s = metric_series(to, kind);
    double mean = s->state == SERIES_SET ? series_mean(s, from->t, to->t) : 0;
    return gpm_kinds[kind].fraction ? 100 * fmin(1, fmax(0, mean)) : fmax(0, mean);
}

static Return measure(const Sample *from, const Sample *to, GpmMetric *metric)
{
    for (size_t kind = 0; kind < GPM_METRIC_KINDS; kind++) {
        if (gpm_kinds[kind].id != metric->metric_id || metric->metric_id >= to->gpu->gpm_array_max) {
            continue;
        }
        if (metric_series(to, kind)->state == SERIES_NULL) {
            return R_NOT_SUPPORTED;
        }
        if (to->taken_s - from->taken_s < SHORTEST_S) {
            return R_NO_DATA;
        }
        metric->value = metric_value(from, to, kind);
        metric->info = (GpmMetricInfo){gpm_kinds[kind].short_name, gpm_kinds[kind].long_name,
                                       gpm_kinds[kind].fraction ? "%" : "MiB/s"};
        return R_SUCCESS;
    }
    return R_NOT_SUPPORTED;
}

/* A driver that believes in 32-byte entries finds its n-th entry inside a neighbour's. It fills what it takes
 * for the id, the return code and the value, and knows no third string. */
static void measure_old(const Sample *from, const Sample *to, char *metrics, unsigned int n)
{
    GpmMetric metric = {0};
    char *entry = metrics + (size_t)n * GPM_OLD_STRIDE;
    memcpy(&metric.metric_id, entry, sizeof metric.metric_id);
    metric.result = measure(from, to, &metric);
    memcpy(entry + 4, &metric.result, sizeof metric.result);
    if (metric.result == R_SUCCESS) {
        memcpy(entry + 8, &metric.value, sizeof metric.value);
    }
}

static Return check(const GpmMetricsGet *get)
{
    const Sample *from = get->sample1, *to = get->sample2;
    if (get->version != METRICS_GET_VERSION) {
        return R_ARGUMENT_VERSION_MISMATCH;
    }
    if (!valid(from) || !valid(to) || from->gpu == NULL || to->gpu != from->gpu || to->source != from->source) {
        return R_INVALID_ARGUMENT;
    }
    return get->count == 0 || get->count > to->gpu->gpm_array_max || get->count > 1024 ? R_INVALID_ARGUMENT
                                                                                        : R_SUCCESS;
}

API Return nvmlGpmMetricsGet(GpmMetricsGet *get)
{
    BEGIN();
    NEED(get != NULL);
    Return checked = check(get);
    if (checked != R_SUCCESS) {
        return call_end(checked);
    }
    const Sample *from = get->sample1, *to = get->sample2;
    Return attached = call_attach(&call, to->gpu);
    if (attached != R_SUCCESS) {
        return attached;
    }
    for (unsigned int i = 0; i < get->count; i++) {
        if (to->gpu->gpm_old_stride) {
            measure_old(from, to, (char *)get->metrics, i);
        } else {
            get->metrics[i].result = measure(from, to, &get->metrics[i]);
        }
    }
    return call_end(R_SUCCESS);
}
