#include "call.h"

#include <fnmatch.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static Function *functions;
static unsigned int generation; /* 0: no scenario read yet */
static int references;
static double origin_s, dumped_s;

static double clock_s(clockid_t id)
{
    struct timespec now;
    clock_gettime(id, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

double monotonic_s(void)
{
    return clock_s(CLOCK_MONOTONIC);
}

unsigned long long wall_us(void)
{
    return (unsigned long long)(clock_s(CLOCK_REALTIME) * 1e6);
}

double scenario_now(void)
{
    double elapsed = node.has_t0 ? clock_s(CLOCK_REALTIME) - node.t0 : monotonic_s() - origin_s;
    return elapsed * node.speed;
}

static void sleep_s(double seconds)
{
    double until = monotonic_s() + seconds;
    for (double left = seconds; left > 0; left = until - monotonic_s()) {
        double step = left > 3600 ? 3600 : left;
        struct timespec wanted = {(time_t)step, (long)((step - (double)(time_t)step) * 1e9)};
        nanosleep(&wanted, NULL);
    }
}

void call_wait(double seconds)
{
    pthread_mutex_unlock(&lock);
    sleep_s(seconds);
    pthread_mutex_lock(&lock);
}

/* "%p" in the path stands for the process id. */
static void calls_path(const char *pattern, char *path, size_t size)
{
    const char *mark = strstr(pattern, "%p");
    if (mark == NULL) {
        snprintf(path, size, "%s", pattern);
    } else {
        snprintf(path, size, "%.*s%d%s", (int)(mark - pattern), pattern, (int)getpid(), mark + 2);
    }
}

static void write_calls(FILE *file)
{
    fputs("{", file);
    for (const Function *f = functions; f != NULL; f = f->next) {
        fprintf(file, "\"%s\": %llu%s", f->name, f->calls, f->next == NULL ? "" : ", ");
    }
    fputs("}\n", file);
}

static void dump_calls(void)
{
    const char *pattern = getenv("ADVISOR_NVML_CALLS");
    char path[4000], temporary[4032];
    if (pattern == NULL || functions == NULL) {
        return;
    }
    calls_path(pattern, path, sizeof path);
    snprintf(temporary, sizeof temporary, "%s.%d", path, (int)getpid());
    FILE *file = fopen(temporary, "w");
    if (file != NULL) {
        write_calls(file);
        fclose(file);
        rename(temporary, path);
    }
}

static void __attribute__((destructor)) at_exit(void)
{
    dump_calls();
}

/* A process that is killed leaves the counts of at most a second ago. */
static void dump_now_and_then(void)
{
    double now = monotonic_s();
    if (now - dumped_s >= 1) {
        dumped_s = now;
        dump_calls();
    }
}

static void after_fork(void)
{
    pthread_mutex_init(&lock, NULL);
}

static void count(Function *function)
{
    if (function->calls++ == 0) {
        function->next = functions;
        functions = function;
    }
}

static double latency_of(const char *name)
{
    for (size_t i = 0; i < node.latency_count; i++) {
        if (fnmatch(node.latencies[i].function, name, 0) == 0) {
            return node.latencies[i].us;
        }
    }
    return 0;
}

/* The driver serialises calls, so a slow one delays the others too. */
static void delay(Function *function)
{
    if (function->generation != generation) {
        function->generation = generation;
        function->latency_us = latency_of(function->name);
    }
    if (function->latency_us > 0) {
        sleep_s(function->latency_us / 1e6);
    }
}

static bool fault_due(Fault *fault, double t)
{
    unsigned long long n = fault->seen++;
    return n >= fault->after_calls && n - fault->after_calls < fault->calls && t >= fault->from_s &&
           t < fault->to_s && hash_unit(0xFA017, n) < fault->probability;
}

static void hang(const Fault *fault)
{
    double seconds = isinf(fault->hang_s) ? 1e9 : fault->hang_s;
    if (fault->holds_lock) {
        sleep_s(seconds);
    } else {
        call_wait(seconds);
    }
}

static Return suffer(const Fault *fault, Gpu *gpu)
{
    if (fault->crash) {
        abort();
    }
    if (fault->hang_s > 0) {
        hang(fault);
    }
    if (fault->lose && gpu != NULL) {
        gpu->lost = true;
    }
    return fault->code;
}

/* Faults for one GPU wait until the call is known to be about it; the others strike on entry. */
static Return strike(const Function *function, Gpu *gpu, double t)
{
    for (size_t i = 0; i < node.fault_count; i++) {
        Fault *f = &node.faults[i];
        bool here = gpu == NULL ? f->gpu < 0 && !f->lose : f->lose ? f->gpu < 0 || (unsigned)f->gpu == gpu->index
                                                                   : f->gpu >= 0 && (unsigned)f->gpu == gpu->index;
        if (here && fnmatch(f->function, function->name, 0) == 0 && fault_due(f, t)) {
            Return struck = suffer(f, gpu);
            if (struck != R_SUCCESS) {
                return struck;
            }
        }
    }
    return R_SUCCESS;
}

Return call_end(Return result)
{
    if (getenv("ADVISOR_NVML_CALLS") != NULL) {
        dump_now_and_then();
    }
    pthread_mutex_unlock(&lock);
    return result;
}

static Return enter(Call *call, Function *function)
{
    *call = (Call){.function = function, .t = scenario_now()};
    delay(function);
    Return struck = strike(function, NULL, call->t);
    return struck == R_SUCCESS ? R_SUCCESS : call_end(struck);
}

Return call_begin(Call *call, Function *function)
{
    pthread_mutex_lock(&lock);
    count(function);
    return references == 0 ? call_end(R_UNINITIALIZED) : enter(call, function);
}

bool gpu_is_lost(Gpu *gpu, double t)
{
    gpu->lost = gpu->lost || gpu->calls > gpu->lost_after_calls || t >= gpu->lost_at_s;
    return gpu->lost;
}

Return call_attach(Call *call, Gpu *gpu)
{
    call->gpu = gpu;
    gpu->calls++;
    Return struck = strike(call->function, gpu, call->t);
    if (!gpu_present(gpu, call->t)) {
        return call_end(R_GPU_IS_LOST);
    }
    if (gpu_is_lost(gpu, call->t)) {
        return call_end(gpu->lost_code);
    }
    return struck == R_SUCCESS ? R_SUCCESS : call_end(struck);
}

static bool resolve(Device handle, Gpu **gpu, Instance **instance)
{
    for (size_t i = 0; i < node.gpu_count; i++) {
        *gpu = &node.gpus[i];
        *instance = NULL;
        if (handle == *gpu) {
            return true;
        }
        for (size_t k = 0; k < node.gpus[i].instance_count; k++) {
            *instance = &node.gpus[i].instances[k];
            if (handle == *instance) {
                return true;
            }
        }
    }
    return false;
}

Return call_begin_device(Call *call, Function *function, Device handle)
{
    Return begun = call_begin(call, function);
    if (begun != R_SUCCESS) {
        return begun;
    }
    Gpu *gpu;
    if (!resolve(handle, &gpu, &call->instance)) {
        return call_end(R_INVALID_ARGUMENT);
    }
    return call_attach(call, gpu);
}

bool mig_enabled(const Gpu *gpu)
{
    double mode;
    return gpu_value(gpu, K_mig_mode, 0, &mode) && mode > 0.5;
}

/* A message quotes the file, which may hold anything; a terminal gets plain text. */
static void make_printable(char *text)
{
    for (; *text != '\0'; text++) {
        if (*text < 0x20 || *text > 0x7E) {
            *text = '?';
        }
    }
}

static bool read_scenario(void)
{
    const char *path = getenv("ADVISOR_NVML_SCENARIO");
    char error[400] = "";
    if (!node_load(&node, path, error, sizeof error)) {
        make_printable(error);
        fprintf(stderr, "simulated NVML: %s: %s\n", path == NULL ? "default scenario" : path, error);
        return false;
    }
    pthread_atfork(NULL, NULL, after_fork);
    origin_s = monotonic_s();
    generation++;
    return true;
}

static Return initialise(Function *function)
{
    pthread_mutex_lock(&lock);
    count(function);
    if (generation == 0 && !read_scenario()) {
        return call_end(R_UNKNOWN);
    }
    Call call;
    Return entered = enter(&call, function);
    if (entered != R_SUCCESS) {
        return entered;
    }
    references++;
    return call_end(R_SUCCESS);
}

API Return nvmlInitWithFlags(unsigned int flags)
{
    static Function function = {.name = __func__};
    (void)flags;
    return initialise(&function);
}

API Return nvmlInit_v2(void)
{
    static Function function = {.name = __func__};
    return initialise(&function);
}

API Return nvmlShutdown(void)
{
    BEGIN();
    references--;
    dump_calls();
    return call_end(R_SUCCESS);
}
