/* What every exported function does on entry and exit: lock, count, latency, faults, lost GPUs. */
#ifndef STUB_CALL_H
#define STUB_CALL_H

#include "model.h"

#define API __attribute__((visibility("default")))

typedef struct Function {
    const char *name;
    struct Function *next;
    unsigned long long calls;
    double latency_us;
    unsigned int generation; /* the scenario that latency_us was looked up in */
} Function;

typedef struct {
    Function *function;
    Gpu *gpu;
    Instance *instance; /* for the handle of a MIG instance */
    double t;           /* scenario seconds */
} Call;

/* Each returns SUCCESS with the lock held, or an error with the lock free. */
Return call_begin(Call *call, Function *function);
Return call_begin_device(Call *call, Function *function, Device handle);

/* Whether it is lost by now; once lost it stays so. */
bool gpu_is_lost(Gpu *gpu, double t);

/* After call_begin: the call is about this GPU. Frees the lock where it fails. */
Return call_attach(Call *call, Gpu *gpu);

/* Frees the lock and hands `result` on. */
Return call_end(Return result);

/* Frees and takes the lock while waiting. */
void call_wait(double seconds);

/* Scenario seconds now, and real seconds that never go back. */
double scenario_now(void);
double monotonic_s(void);
unsigned long long wall_us(void);

bool mig_enabled(const Gpu *gpu);

/* Real seconds since scenario time 0 during which a reason of `mask` applied: of several, the longest. */
double reason_seconds(const Gpu *gpu, unsigned long long mask, double t);

#define BEGIN()                                                                                              \
    static Function function_ = {.name = __func__};                                                          \
    Call call;                                                                                               \
    do {                                                                                                     \
        Return begun_ = call_begin(&call, &function_);                                                       \
        if (begun_ != R_SUCCESS) {                                                                           \
            return begun_;                                                                                   \
        }                                                                                                    \
    } while (0)

/* MIG instances have no readings but those of their own functions. */
#define BEGIN_ANY(handle)                                                                                    \
    static Function function_ = {.name = __func__};                                                          \
    Call call;                                                                                               \
    do {                                                                                                     \
        Return begun_ = call_begin_device(&call, &function_, handle);                                        \
        if (begun_ != R_SUCCESS) {                                                                           \
            return begun_;                                                                                   \
        }                                                                                                    \
    } while (0)

#define BEGIN_GPU(handle)                                                                                    \
    BEGIN_ANY(handle);                                                                                       \
    do {                                                                                                     \
        if (call.instance != NULL) {                                                                         \
            return call_end(R_NOT_SUPPORTED);                                                                \
        }                                                                                                    \
    } while (0)

#define NEED(condition)                                                                                      \
    do {                                                                                                     \
        if (!(condition)) {                                                                                  \
            return call_end(R_INVALID_ARGUMENT);                                                             \
        }                                                                                                    \
    } while (0)

#endif
