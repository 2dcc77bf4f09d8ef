/* Reading a scenario: typed access to JSON members, where the first error ends the load. */
#ifndef STUB_LOAD_H
#define STUB_LOAD_H

#include "json.h"
#include "model.h"

#include <setjmp.h>

typedef struct {
    jmp_buf escape;
    char *error;
    size_t error_size;
    char where[160]; /* what is being read, for messages */
} Loader;

void load_fail(Loader *l, const char *format, ...) __attribute__((noreturn, format(printf, 2, 3)));
void *load_alloc(Loader *l, size_t count, size_t size);
double load_number(Loader *l, const Json *value, const char *key);
/* A number that fits an unsigned 32-bit value or a count: whole, 0 to 2^53. */
unsigned long long load_count(Loader *l, const Json *value, const char *key);
bool load_bool(Loader *l, const Json *value, const char *key);
char *load_string(Loader *l, const Json *value, const char *key);
void load_type(Loader *l, const Json *value, const char *key, JsonType type);
Return load_return(Loader *l, const Json *value, const char *key);
void load_series(Loader *l, const Json *value, const char *key, Series *into);
void load_reasons(Loader *l, const Json *value, Series into[REASON_COUNT]);
void load_gpm(Loader *l, const Json *value, Gpm *into);
void load_processes(Loader *l, const Json *value, Gpu *gpu);
void load_instances(Loader *l, const Json *value, Gpu *gpu);
void load_gpu(Loader *l, const Json *value, Gpu *gpu);

#endif
