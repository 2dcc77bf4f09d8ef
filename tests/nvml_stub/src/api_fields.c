#include "call.h"

#include <stdlib.h>

enum { TYPE_U32 = 1, TYPE_U64 = 3 };
static const unsigned int SCOPE_ALL_LINKS = 0xFFFFFFFF;

typedef struct {
    unsigned int id;
    GpuKey key;
    double scale;
    unsigned int type;
} PlainField;

static const PlainField plain_fields[] = {
    {1, K_ecc_enabled, 1, TYPE_U32},          {3, K_ecc_corrected, 1, TYPE_U64},
    {4, K_ecc_uncorrected, 1, TYPE_U64},      {5, K_ecc_corrected, 1, TYPE_U64},
    {6, K_ecc_uncorrected, 1, TYPE_U64},      {82, K_mem_temp_c, 1, TYPE_U32},
    {90, K_nvlink_speed_mbps, 1, TYPE_U32},   {91, K_nvlink_links, 1, TYPE_U32},
    {94, K_pcie_replays, 1, TYPE_U32},        {142, K_remapped_correctable, 1, TYPE_U32},
    {143, K_remapped_uncorrectable, 1, TYPE_U32}, {144, K_remap_pending, 1, TYPE_U32},
    {145, K_remap_failure, 1, TYPE_U32},      {186, K_power_w, 1000, TYPE_U32},
    {187, K_power_limit_min_w, 1000, TYPE_U32}, {188, K_power_limit_max_w, 1000, TYPE_U32},
    {189, K_power_limit_default_w, 1000, TYPE_U32}, {190, K_power_limit_enforced_w, 1000, TYPE_U32},
    {192, K_power_limit_w, 1000, TYPE_U32},
};

typedef struct {
    unsigned int id;
    unsigned long long mask;
} ReasonField;

static const ReasonField reason_fields[] = {{74, 0x04}, {75, 0x68}, {76, 0x10}, {77, 0x80}};

static Return put(FieldValue *field, unsigned int type, double value)
{
    field->value_type = type;
    field->value.u64 = 0;
    if (type == TYPE_U32) {
        field->value.u32 = to_u32(value);
    } else {
        field->value.u64 = to_u64(value);
    }
    return R_SUCCESS;
}

static Return plain(const Call *call, const PlainField *plain_field, FieldValue *field)
{
    double value;
    if (!gpu_value(call->gpu, plain_field->key, call->t, &value)) {
        return R_NOT_SUPPORTED;
    }
    return put(field, plain_field->type, value * plain_field->scale);
}

static Return traffic(const Call *call, GpuKey key, double unit, double share, FieldValue *field)
{
    if (call->gpu->series[key].state == SERIES_NULL) {
        return R_NOT_SUPPORTED;
    }
    return put(field, TYPE_U64, gpu_area(call->gpu, key, call->t) / node.speed * unit * share);
}

/* PCIe byte counters may be narrow and wrap; the header says no more than that. */
static Return pcie_bytes(const Call *call, GpuKey key, FieldValue *field)
{
    double bits = 64;
    Return result = traffic(call, key, 1048576, 1, field);
    if (result == R_SUCCESS && gpu_value(call->gpu, K_pcie_counter_bits, call->t, &bits) && bits == 32) {
        field->value_type = TYPE_U32;
        field->value.u64 &= 0xFFFFFFFF;
    }
    return result;
}

/* Scope: one link, or all of them together. */
static Return nvlink_kib(const Call *call, GpuKey key, double overhead, FieldValue *field)
{
    double links = 0;
    if (!gpu_value(call->gpu, K_nvlink_links, call->t, &links) || links < 1) {
        return R_NOT_SUPPORTED;
    }
    if (field->scope_id != SCOPE_ALL_LINKS && field->scope_id >= links) {
        return R_INVALID_ARGUMENT;
    }
    double share = field->scope_id == SCOPE_ALL_LINKS ? 1 : 1 / links;
    return traffic(call, key, 1024 * overhead, share, field);
}

/* The duration fields of three reasons moved from 251..253 to 269..271 with driver 580. */
static unsigned long long moved_reason(unsigned int id)
{
    static const unsigned long long masks[] = {0x20, 0x40, 0x80};
    unsigned int first = atoi(node.driver_version) >= 580 ? 269 : 251;
    return id >= first && id < first + 3 ? masks[id - first] : 0;
}

static unsigned long long reason_mask(unsigned int id)
{
    for (size_t i = 0; i < sizeof reason_fields / sizeof *reason_fields; i++) {
        if (reason_fields[i].id == id) {
            return reason_fields[i].mask;
        }
    }
    return moved_reason(id);
}

static Return averages(const Call *call, FieldValue *field)
{
    const Series *power = &call->gpu->series[K_power_w];
    double value;
    if (!gpu_value(call->gpu, K_power_w, call->t, &value)) {
        return R_NOT_SUPPORTED;
    }
    if (power->state == SERIES_SET) {
        value = last_second(power, call->t);
    }
    return put(field, TYPE_U32, value * 1000);
}

static Return energy(const Call *call, FieldValue *field)
{
    const Series *given = &call->gpu->series[K_energy_j];
    double joules = given->state == SERIES_SET ? series_at(given, call->t)
                                               : gpu_area(call->gpu, K_power_w, call->t) / node.speed;
    return given->state == SERIES_NULL ? R_NOT_SUPPORTED : put(field, TYPE_U64, joules * 1000);
}

static Return read_field(const Call *call, FieldValue *field)
{
    for (size_t i = 0; i < sizeof plain_fields / sizeof *plain_fields; i++) {
        if (plain_fields[i].id == field->field_id) {
            return plain(call, &plain_fields[i], field);
        }
    }
    unsigned long long mask = reason_mask(field->field_id);
    if (mask != 0) {
        return put(field, TYPE_U64, reason_seconds(call->gpu, mask, call->t) * 1e9);
    }
    switch (field->field_id) {
    case 83:
        return energy(call, field);
    case 138:
        return nvlink_kib(call, K_nvlink_tx_mib_s, 1, field);
    case 139:
        return nvlink_kib(call, K_nvlink_rx_mib_s, 1, field);
    case 140:
        return nvlink_kib(call, K_nvlink_tx_mib_s, 1.1, field);
    case 141:
        return nvlink_kib(call, K_nvlink_rx_mib_s, 1.1, field);
    case 185:
        return averages(call, field);
    case 197:
        return pcie_bytes(call, K_pcie_tx_mib_s, field);
    case 198:
        return pcie_bytes(call, K_pcie_rx_mib_s, field);
    default:
        return R_NOT_SUPPORTED;
    }
}

API Return nvmlDeviceGetFieldValues(Device device, int count, FieldValue *fields)
{
    BEGIN_GPU(device);
    NEED(count > 0 && fields != NULL);
    for (int i = 0; i < count; i++) {
        fields[i].timestamp_us = (int64_t)wall_us();
        fields[i].latency_us = 1;
        fields[i].result = read_field(&call, &fields[i]);
    }
    return call_end(R_SUCCESS);
}
