#include "load.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *const series_keys[GPU_SERIES_COUNT] = {
#define X(key, fallback) #key,
    GPU_SERIES(X)
#undef X
};

static const char *const string_keys[GPU_STRING_COUNT] = {
#define X(key, fallback) #key,
    GPU_STRINGS(X)
#undef X
};

static const char *const string_fallbacks[GPU_STRING_COUNT] = {
#define X(key, fallback) fallback,
    GPU_STRINGS(X)
#undef X
};

static int find_key(const char *const *keys, size_t count, const char *key)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(keys[i], key) == 0) {
            return (int)i;
        }
    }
    return -1;
}

void load_gpm(Loader *l, const Json *value, Gpm *into)
{
    load_type(l, value, "gpm", JSON_OBJECT);
    into->present = true;
    for (size_t i = 0; i < value->count; i++) {
        size_t kind = 0;
        while (kind < GPM_METRIC_KINDS && strcmp(gpm_kinds[kind].key, value->keys[i]) != 0) {
            kind++;
        }
        if (kind == GPM_METRIC_KINDS) {
            load_fail(l, "gpm: no metric is called \"%.40s\"", value->keys[i]);
        }
        load_series(l, &value->items[i], value->keys[i], &into->metrics[kind]);
    }
}

/* "env:NAME" or "env:NAME:DEFAULT", where DEFAULT may again be any of the forms. */
static unsigned int pid_of(Loader *l, const char *text)
{
    if (strcmp(text, "self") == 0) {
        return (unsigned int)getpid();
    }
    if (strcmp(text, "parent") == 0) {
        return (unsigned int)getppid();
    }
    char name[64];
    if (sscanf(text, "env:%63[^:]", name) == 1) {
        const char *set = getenv(name), *fallback = strchr(text + 4, ':');
        if (set != NULL || fallback != NULL) {
            return pid_of(l, set != NULL ? set : fallback + 1);
        }
        load_fail(l, "pid: the environment has no %s", name);
    }
    char *end;
    unsigned long pid = strtoul(text, &end, 10);
    if (end == text || *end != '\0') {
        load_fail(l, "pid must be a number, \"self\", \"parent\" or \"env:NAME[:DEFAULT]\", not \"%.40s\"", text);
    }
    return (unsigned int)pid;
}

static int hex_digit(char c)
{
    static const char digits[] = "0123456789abcdef";
    const char *found = c == '\0' ? NULL : strchr(digits, c | ('A' <= c && c <= 'F' ? 0x20 : 0));
    return found == NULL ? -1 : (int)(found - digits);
}

/* Turns each \xNN written in the text into that byte: names that are not UTF-8 cannot be written in JSON. */
static void decode_bytes(char *text)
{
    char *out = text;
    for (const char *in = text; *in != '\0'; out++) {
        bool escape = in[0] == '\\' && in[1] == 'x' && hex_digit(in[2]) >= 0 && hex_digit(in[3]) >= 0;
        *out = escape ? (char)(hex_digit(in[2]) * 16 + hex_digit(in[3])) : *in;
        in += escape ? 4 : 1;
    }
    *out = '\0';
}

static ProcessKind process_kind(Loader *l, const Json *value)
{
    static const char *const names[] = {"compute", "graphics", "mps"};
    load_type(l, value, "type", JSON_STRING);
    int kind = find_key(names, 3, value->string);
    if (kind < 0) {
        load_fail(l, "type must be compute, graphics or mps");
    }
    return (ProcessKind)kind;
}

static void process_member(Loader *l, const char *key, const Json *value, Process *p)
{
    struct {
        const char *key;
        Series *into;
    } series[] = {{"memory_mib", &p->memory_mib}, {"sm_util", &p->sm_util},   {"mem_util", &p->mem_util},
                  {"enc_util", &p->enc_util},     {"dec_util", &p->dec_util}};
    for (size_t i = 0; i < sizeof series / sizeof *series; i++) {
        if (strcmp(series[i].key, key) == 0) {
            load_series(l, value, key, series[i].into);
            return;
        }
    }
    if (strcmp(key, "pid") == 0) {
        p->pid = value->type == JSON_STRING ? pid_of(l, value->string) : (unsigned int)load_count(l, value, key);
    } else if (strcmp(key, "name") == 0) {
        decode_bytes(p->name = load_string(l, value, key));
    } else if (strcmp(key, "type") == 0) {
        p->kind = process_kind(l, value);
    } else if (strcmp(key, "from_s") == 0) {
        p->from_s = load_number(l, value, key);
    } else if (strcmp(key, "to_s") == 0) {
        p->to_s = load_number(l, value, key);
    } else if (strcmp(key, "gi") == 0) {
        p->gi = (unsigned int)load_count(l, value, key);
    } else if (strcmp(key, "ci") == 0) {
        p->ci = (unsigned int)load_count(l, value, key);
    } else {
        load_fail(l, "processes: unknown key \"%.40s\"", key);
    }
}

void load_processes(Loader *l, const Json *value, Gpu *gpu)
{
    load_type(l, value, "processes", JSON_ARRAY);
    gpu->process_count = value->count;
    gpu->processes = load_alloc(l, value->count, sizeof *gpu->processes);
    for (size_t i = 0; i < value->count; i++) {
        const Json *item = &value->items[i];
        load_type(l, item, "a process", JSON_OBJECT);
        Process *p = &gpu->processes[i];
        *p = (Process){.from_s = -INFINITY, .to_s = INFINITY, .gi = UINT_MAX, .ci = UINT_MAX};
        for (size_t k = 0; k < item->count; k++) {
            process_member(l, item->keys[k], &item->items[k], p);
        }
        if (json_get(item, "pid") == NULL) {
            load_fail(l, "processes: each needs a pid");
        }
    }
}

static void instance_member(Loader *l, const char *key, const Json *value, Instance *m)
{
    struct {
        const char *key;
        unsigned int *into;
    } numbers[] = {{"gi", &m->gi},
                   {"ci", &m->ci},
                   {"slices", &m->slices},
                   {"compute_slices", &m->compute_slices},
                   {"sm_count", &m->sm_count}};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        if (strcmp(numbers[i].key, key) == 0) {
            *numbers[i].into = (unsigned int)load_count(l, value, key);
            return;
        }
    }
    if (strcmp(key, "uuid") == 0) {
        m->uuid = load_string(l, value, key);
    } else if (strcmp(key, "profile") == 0) {
        m->profile = load_string(l, value, key);
    } else if (strcmp(key, "memory_total_mib") == 0) {
        load_series(l, value, key, &m->memory_total_mib);
    } else if (strcmp(key, "memory_used_mib") == 0) {
        load_series(l, value, key, &m->memory_used_mib);
    } else if (strcmp(key, "gpm") == 0) {
        load_gpm(l, value, &m->gpm);
    } else {
        load_fail(l, "mig: unknown key \"%.40s\"", key);
    }
}

void load_instances(Loader *l, const Json *value, Gpu *gpu)
{
    load_type(l, value, "mig", JSON_ARRAY);
    if (value->count > MAX_INSTANCES) {
        load_fail(l, "mig: at most %d instances", MAX_INSTANCES);
    }
    gpu->instance_count = value->count;
    gpu->instances = load_alloc(l, MAX_INSTANCES, sizeof *gpu->instances);
    for (unsigned int i = 0; i < value->count; i++) {
        const Json *item = &value->items[i];
        load_type(l, item, "an instance", JSON_OBJECT);
        Instance *m = &gpu->instances[i];
        *m = (Instance){.gpu = gpu, .index = i, .gi = i + 1, .slices = 1, .compute_slices = 1, .sm_count = 16};
        for (size_t k = 0; k < item->count; k++) {
            instance_member(l, item->keys[k], &item->items[k], m);
        }
        if (m->profile == NULL || m->memory_total_mib.state != SERIES_SET) {
            load_fail(l, "mig: each instance needs profile and memory_total_mib");
        }
    }
}

static void load_cpus(Loader *l, const Json *value, Gpu *gpu)
{
    load_type(l, value, "cpu_affinity", JSON_ARRAY);
    for (size_t i = 0; i < value->count; i++) {
        double cpu = load_number(l, &value->items[i], "a CPU");
        if (cpu < 0 || cpu >= MAX_CPUS) {
            load_fail(l, "cpu_affinity: CPUs are 0 to %d", MAX_CPUS - 1);
        }
        gpu->cpus[(size_t)cpu / 64] |= (uint64_t)1 << (size_t)cpu % 64;
    }
}

static bool special_member(Loader *l, const char *key, const Json *value, Gpu *gpu)
{
    if (strcmp(key, "reasons") == 0) {
        load_reasons(l, value, gpu->reasons);
    } else if (strcmp(key, "gpm") == 0) {
        load_gpm(l, value, &gpu->gpm);
    } else if (strcmp(key, "gpm_supported") == 0) {
        gpu->gpm_supported = load_bool(l, value, key);
    } else if (strcmp(key, "gpm_array_max") == 0) {
        gpu->gpm_array_max = (unsigned int)load_count(l, value, key);
    } else if (strcmp(key, "gpm_abi") == 0) {
        load_type(l, value, key, JSON_STRING);
        gpu->gpm_old_stride = strcmp(value->string, "old") == 0;
    } else if (strcmp(key, "processes") == 0) {
        load_processes(l, value, gpu);
    } else if (strcmp(key, "mig") == 0) {
        load_instances(l, value, gpu);
    } else if (strcmp(key, "cpu_affinity") == 0) {
        load_cpus(l, value, gpu);
    } else {
        return false;
    }
    return true;
}

static bool life_member(Loader *l, const char *key, const Json *value, Gpu *gpu)
{
    if (strcmp(key, "added_at_s") == 0) {
        gpu->added_at_s = load_number(l, value, key);
    } else if (strcmp(key, "removed_at_s") == 0) {
        gpu->removed_at_s = load_number(l, value, key);
    } else if (strcmp(key, "lost_at_s") == 0) {
        gpu->lost_at_s = load_number(l, value, key);
    } else if (strcmp(key, "lost_after_calls") == 0) {
        gpu->lost_after_calls = (unsigned long long)load_count(l, value, key);
    } else if (strcmp(key, "lost_code") == 0) {
        gpu->lost_code = load_return(l, value, key);
    } else {
        return false;
    }
    return true;
}

static char *numbered(Loader *l, const char *pattern, unsigned int n)
{
    char *text = load_alloc(l, 64, 1);
    snprintf(text, 64, pattern, n);
    return text;
}

static void fill_identity(Loader *l, Gpu *gpu)
{
    for (int i = 0; i < GPU_STRING_COUNT; i++) {
        if (gpu->strings[i] == NULL && string_fallbacks[i] != NULL) {
            gpu->strings[i] = load_alloc(l, 64, 1);
            snprintf(gpu->strings[i], 64, "%s", string_fallbacks[i]);
        }
    }
    if (gpu->strings[S_uuid] == NULL) {
        gpu->strings[S_uuid] = numbered(l, "GPU-51a7c0de-0000-4000-8000-%012x", gpu->index);
    }
    if (gpu->strings[S_pci] == NULL) {
        gpu->strings[S_pci] = numbered(l, "00000000:%02X:00.0", 0x1B + gpu->index * 0x10);
    }
    for (size_t i = 0; i < gpu->instance_count; i++) {
        Instance *m = &gpu->instances[i];
        if (m->uuid == NULL) {
            m->uuid = numbered(l, "MIG-51a7c0de-0000-4000-8000-%012x", gpu->index * 256 + m->gi * 16 + m->ci);
        }
    }
}

void load_gpu(Loader *l, const Json *value, Gpu *gpu)
{
    load_type(l, value, "a GPU", JSON_OBJECT);
    gpu->gpm_supported = true;
    gpu->added_at_s = -INFINITY;
    gpu->removed_at_s = gpu->lost_at_s = INFINITY;
    gpu->lost_after_calls = ULLONG_MAX;
    gpu->lost_code = R_GPU_IS_LOST;
    gpu->gpm_array_max = UINT_MAX;
    for (size_t i = 0; i < value->count; i++) {
        const char *key = value->keys[i];
        int series = find_key(series_keys, GPU_SERIES_COUNT, key);
        int string = find_key(string_keys, GPU_STRING_COUNT, key);
        if (series >= 0) {
            load_series(l, &value->items[i], key, &gpu->series[series]);
        } else if (string >= 0) {
            gpu->strings[string] = load_string(l, &value->items[i], key);
        } else if (!special_member(l, key, &value->items[i], gpu) &&
                   !life_member(l, key, &value->items[i], gpu)) {
            load_fail(l, "unknown key \"%.60s\"", key);
        }
    }
    fill_identity(l, gpu);
}
