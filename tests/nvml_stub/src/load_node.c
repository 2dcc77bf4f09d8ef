#include "load.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char default_scenario[] = "{\"gpus\": [{}]}";

static char *read_file(Loader *l, const char *path, size_t *length)
{
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        load_fail(l, "cannot open the scenario");
    }
    char *text = load_alloc(l, JSON_MAX_BYTES + 2, 1);
    *length = fread(text, 1, JSON_MAX_BYTES + 1, file);
    bool broken = ferror(file) != 0;
    fclose(file);
    if (broken) {
        load_fail(l, "cannot read the scenario");
    }
    text[*length] = '\0';
    return text;
}

static void fault_member(Loader *l, const char *key, const Json *value, Fault *f)
{
    struct {
        const char *key;
        double *into;
    } numbers[] = {{"from_s", &f->from_s}, {"to_s", &f->to_s}, {"probability", &f->probability}, {"hang_s", &f->hang_s}};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        if (strcmp(numbers[i].key, key) == 0) {
            *numbers[i].into = load_number(l, value, key);
            return;
        }
    }
    if (strcmp(key, "function") == 0) {
        f->function = load_string(l, value, key);
    } else if (strcmp(key, "gpu") == 0) {
        f->gpu = (int)(load_count(l, value, key) & 0xFF);
    } else if (strcmp(key, "after_calls") == 0) {
        f->after_calls = (unsigned long long)load_count(l, value, key);
    } else if (strcmp(key, "calls") == 0) {
        f->calls = (unsigned long long)load_count(l, value, key);
    } else if (strcmp(key, "return") == 0) {
        f->code = load_return(l, value, key);
    } else if (strcmp(key, "hang") == 0) {
        f->hang_s = load_bool(l, value, key) ? INFINITY : 0;
    } else if (strcmp(key, "crash") == 0) {
        f->crash = load_bool(l, value, key);
    } else if (strcmp(key, "lost") == 0) {
        f->lose = load_bool(l, value, key);
    } else if (strcmp(key, "holds_lock") == 0) {
        f->holds_lock = load_bool(l, value, key);
    } else {
        load_fail(l, "unknown key \"%.40s\"", key);
    }
}

static void load_faults(Loader *l, const Json *value, Node *node)
{
    load_type(l, value, "faults", JSON_ARRAY);
    node->fault_count = value->count;
    node->faults = load_alloc(l, value->count, sizeof *node->faults);
    for (size_t i = 0; i < value->count; i++) {
        snprintf(l->where, sizeof l->where, "faults[%zu]", i);
        const Json *item = &value->items[i];
        load_type(l, item, "a fault", JSON_OBJECT);
        Fault *f = &node->faults[i];
        *f = (Fault){.gpu = -1, .from_s = -INFINITY, .to_s = INFINITY, .probability = 1, .calls = ULLONG_MAX};
        for (size_t k = 0; k < item->count; k++) {
            fault_member(l, item->keys[k], &item->items[k], f);
        }
        if (f->function == NULL || (f->code == R_SUCCESS && f->hang_s == 0 && !f->crash && !f->lose)) {
            load_fail(l, "needs \"function\" and one of \"return\", \"hang\", \"hang_s\", \"crash\", \"lost\"");
        }
    }
}

static void load_latencies(Loader *l, const Json *value, Node *node)
{
    load_type(l, value, "latency_us", JSON_OBJECT);
    node->latency_count = value->count;
    node->latencies = load_alloc(l, value->count, sizeof *node->latencies);
    for (size_t i = 0; i < value->count; i++) {
        char *name = load_alloc(l, strlen(value->keys[i]) + 1, 1);
        node->latencies[i].function = strcpy(name, value->keys[i]);
        node->latencies[i].us = load_number(l, &value->items[i], "latency_us");
    }
}

static double event_number(Loader *l, const Json *event, const char *key, double fallback)
{
    const Json *value = json_get(event, key);
    return value == NULL ? fallback : load_number(l, value, key);
}

static void load_events(Loader *l, const Json *value, Node *node)
{
    load_type(l, value, "events", JSON_ARRAY);
    node->event_count = value->count;
    node->events = load_alloc(l, value->count, sizeof *node->events);
    for (size_t i = 0; i < value->count; i++) {
        const Json *item = &value->items[i];
        load_type(l, item, "an event", JSON_OBJECT);
        node->events[i].t_s = event_number(l, item, "t_s", 0);
        node->events[i].gpu = (unsigned int)event_number(l, item, "gpu", 0);
        node->events[i].type = (unsigned long long)event_number(l, item, "type", 8);
        node->events[i].data = (unsigned long long)event_number(l, item, "data", 0);
    }
}

static void load_gpus(Loader *l, const Json *value, Node *node)
{
    load_type(l, value, "gpus", JSON_ARRAY);
    if (value->count > MAX_GPUS) {
        load_fail(l, "gpus: at most %d", MAX_GPUS);
    }
    node->gpu_count = value->count;
    for (unsigned int i = 0; i < value->count; i++) {
        snprintf(l->where, sizeof l->where, "gpus[%u]", i);
        node->gpus[i].index = i;
        load_gpu(l, &value->items[i], &node->gpus[i]);
    }
}

/* "12.8" is 12080 to NVML. */
static int cuda_version(Loader *l, const Json *value)
{
    load_type(l, value, "cuda_version", JSON_STRING);
    int major, minor;
    if (sscanf(value->string, "%d.%d", &major, &minor) != 2) {
        load_fail(l, "cuda_version must look like \"12.8\"");
    }
    return major * 1000 + minor * 10;
}

static void init_fault(Loader *l, const Json *value, Node *node)
{
    Fault *faults = load_alloc(l, node->fault_count + 1, sizeof *faults);
    for (size_t i = 0; i < node->fault_count; i++) {
        faults[i] = node->faults[i];
    }
    faults[node->fault_count++] = (Fault){.function = "nvmlInit*", .gpu = -1, .from_s = -INFINITY, .to_s = INFINITY,
        .probability = 1, .calls = ULLONG_MAX, .code = load_return(l, value, "init_return")};
    node->faults = faults;
}

static void node_member(Loader *l, const char *key, const Json *value, Node *node)
{
    snprintf(l->where, sizeof l->where, "scenario");
    if (strcmp(key, "gpus") == 0) {
        load_gpus(l, value, node);
    } else if (strcmp(key, "faults") == 0) {
        load_faults(l, value, node);
    } else if (strcmp(key, "latency_us") == 0) {
        load_latencies(l, value, node);
    } else if (strcmp(key, "events") == 0) {
        load_events(l, value, node);
    } else if (strcmp(key, "driver_version") == 0) {
        node->driver_version = load_string(l, value, key);
    } else if (strcmp(key, "nvml_version") == 0) {
        node->nvml_version = load_string(l, value, key);
    } else if (strcmp(key, "cuda_version") == 0) {
        node->cuda_version = cuda_version(l, value);
    } else if (strcmp(key, "t0") == 0) {
        node->has_t0 = true;
        node->t0 = load_number(l, value, key);
    } else if (strcmp(key, "speed") == 0) {
        node->speed = load_number(l, value, key);
    } else if (strcmp(key, "empty_utilization_succeeds") == 0) {
        node->empty_utilization_succeeds = load_bool(l, value, key);
    } else if (strcmp(key, "note") != 0 && strcmp(key, "init_return") != 0) {
        load_fail(l, "unknown key \"%.60s\"", key);
    }
}

static void load_document(Loader *l, const Json *document, Node *node)
{
    load_type(l, document, "the document", JSON_OBJECT);
    for (size_t i = 0; i < document->count; i++) {
        node_member(l, document->keys[i], &document->items[i], node);
    }
    snprintf(l->where, sizeof l->where, "scenario");
    if (json_get(document, "gpus") == NULL) {
        load_fail(l, "needs \"gpus\"");
    }
    if (node->speed <= 0) {
        load_fail(l, "speed must be positive");
    }
    const Json *init = json_get(document, "init_return");
    if (init != NULL) {
        init_fault(l, init, node);
    }
}

bool node_load(Node *node, const char *path, char *error, size_t error_size)
{
    Loader l = {.error = error, .error_size = error_size, .where = "scenario"};
    memset(node, 0, sizeof *node);
    node->speed = 1;
    node->driver_version = "580.95.05";
    node->nvml_version = "13.580.95.05";
    node->cuda_version = 13000;
    if (setjmp(l.escape) != 0) {
        return false;
    }
    size_t length = sizeof default_scenario - 1;
    char *text = path == NULL ? NULL : read_file(&l, path, &length);
    Json *document = json_parse(text == NULL ? default_scenario : text, length, error, error_size);
    if (document == NULL) {
        return false;
    }
    free(text);
    load_document(&l, document, node);
    json_free(document);
    return true;
}
