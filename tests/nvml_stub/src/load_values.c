#include "load.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_POINTS = 100000 };

void load_fail(Loader *l, const char *format, ...)
{
    int used = snprintf(l->error, l->error_size, "%s: ", l->where);
    va_list arguments;
    va_start(arguments, format);
    if (used > 0 && (size_t)used < l->error_size) {
        vsnprintf(l->error + used, l->error_size - (size_t)used, format, arguments);
    }
    va_end(arguments);
    longjmp(l->escape, 1);
}

void *load_alloc(Loader *l, size_t count, size_t size)
{
    void *block = calloc(count == 0 ? 1 : count, size);
    if (block == NULL) {
        load_fail(l, "out of memory");
    }
    return block;
}

void load_type(Loader *l, const Json *value, const char *key, JsonType type)
{
    static const char *names[] = {"null", "true or false", "a number", "a string", "an array", "an object"};
    if (value->type != type) {
        load_fail(l, "%s must be %s", key, names[type]);
    }
}

double load_number(Loader *l, const Json *value, const char *key)
{
    load_type(l, value, key, JSON_NUMBER);
    return value->number;
}

unsigned long long load_count(Loader *l, const Json *value, const char *key)
{
    double number = load_number(l, value, key);
    if (number < 0 || number > 9007199254740992.0) {
        load_fail(l, "%s must be 0 or more", key);
    }
    return (unsigned long long)number;
}

bool load_bool(Loader *l, const Json *value, const char *key)
{
    load_type(l, value, key, JSON_BOOL);
    return value->number != 0;
}

char *load_string(Loader *l, const Json *value, const char *key)
{
    load_type(l, value, key, JSON_STRING);
    char *copy = load_alloc(l, strlen(value->string) + 1, 1);
    return strcpy(copy, value->string);
}

Return load_return(Loader *l, const Json *value, const char *key)
{
    static const struct {
        const char *name;
        Return code;
    } table[] = {
#define X(name, code, text) {#name, code},
        NVML_RETURNS(X)
#undef X
    };
    if (value->type == JSON_NUMBER) {
        return (Return)(int)fmin(fmax(value->number, 0), 9999);
    }
    load_type(l, value, key, JSON_STRING);
    const char *name = strncmp(value->string, "NVML_ERROR_", 11) == 0 ? value->string + 11 : value->string;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        if (strcmp(table[i].name, name) == 0) {
            return table[i].code;
        }
    }
    load_fail(l, "%s: no NVML return code is called \"%.40s\"", key, name);
}

static double point_time(Loader *l, const Json *points, size_t i, const char *key)
{
    const Json *point = &points->items[i];
    if (point->type != JSON_ARRAY || point->count != 2 || point->items[0].type != JSON_NUMBER) {
        load_fail(l, "%s: a point must be [seconds, value]", key);
    }
    if (i > 0 && point->items[0].number <= points->items[i - 1].items[0].number) {
        load_fail(l, "%s: times must rise", key);
    }
    return point->items[0].number;
}

static void check_points(Loader *l, const Json *points, const char *key)
{
    load_type(l, points, key, JSON_ARRAY);
    if (points->count == 0 || points->count > MAX_POINTS) {
        load_fail(l, "%s: a series needs 1 to %d points", key, MAX_POINTS);
    }
}

static double scalar(Loader *l, const Json *value, const char *key)
{
    if (value->type != JSON_NUMBER && value->type != JSON_BOOL) {
        load_fail(l, "%s must be a number, null, [[seconds, value], ...] or an object with \"series\"", key);
    }
    return value->number;
}

static void build(Loader *l, Series *into, double *t, double *v, size_t count)
{
    series_build(into, t, v, count);
    if (into->area == NULL) {
        load_fail(l, "out of memory");
    }
}

static void load_points(Loader *l, const Json *points, const char *key, Series *into)
{
    check_points(l, points, key);
    double *t = load_alloc(l, points->count, sizeof *t);
    double *v = load_alloc(l, points->count, sizeof *v);
    for (size_t i = 0; i < points->count; i++) {
        t[i] = point_time(l, points, i, key);
        v[i] = scalar(l, &points->items[i].items[1], key);
    }
    build(l, into, t, v, points->count);
}

static void load_constant(Loader *l, double value, Series *into)
{
    double *t = load_alloc(l, 1, sizeof *t);
    double *v = load_alloc(l, 1, sizeof *v);
    *v = value;
    build(l, into, t, v, 1);
}

static bool interpolation(Loader *l, const Json *value, const char *key)
{
    load_type(l, value, "interp", JSON_STRING);
    if (strcmp(value->string, "linear") != 0 && strcmp(value->string, "step") != 0) {
        load_fail(l, "%s: interp must be \"step\" or \"linear\"", key);
    }
    return value->string[0] == 'l';
}

static void series_option(Loader *l, const char *option, const Json *value, const char *key, Series *into)
{
    if (strcmp(option, "interp") == 0) {
        into->linear = interpolation(l, value, key);
    } else if (strcmp(option, "loop_s") == 0) {
        into->loop_s = load_number(l, value, "loop_s");
    } else if (strcmp(option, "noise") == 0) {
        into->noise = load_number(l, value, "noise");
    } else if (strcmp(option, "series") != 0) {
        load_fail(l, "%s: unknown option \"%.40s\"", key, option);
    }
}

static void load_series_object(Loader *l, const Json *value, const char *key, Series *into)
{
    const Json *points = json_get(value, "series");
    if (points == NULL) {
        load_fail(l, "%s: an object needs \"series\"", key);
    }
    for (size_t i = 0; i < value->count; i++) {
        series_option(l, value->keys[i], &value->items[i], key, into);
    }
    if (points->type == JSON_NUMBER) {
        load_constant(l, points->number, into);
    } else {
        load_points(l, points, key, into);
    }
    if (into->loop_s < 0 || (into->loop_s > 0 && into->t[into->count - 1] > into->loop_s)) {
        load_fail(l, "%s: loop_s must not end before the last point", key);
    }
}

void load_series(Loader *l, const Json *value, const char *key, Series *into)
{
    memset(into, 0, sizeof *into);
    for (const char *c = key; *c != '\0'; c++) {
        into->seed = into->seed * 31 + (unsigned char)*c;
    }
    if (value->type == JSON_NULL) {
        into->state = SERIES_NULL;
    } else if (value->type == JSON_OBJECT) {
        load_series_object(l, value, key, into);
    } else if (value->type == JSON_ARRAY) {
        load_points(l, value, key, into);
    } else {
        load_constant(l, scalar(l, value, key), into);
    }
}

static unsigned long long reason_bit(Loader *l, const Json *name)
{
    static const struct {
        const char *name;
        unsigned long long bit;
    } table[] = {
#define X(name, bit) {#name, bit},
        NVML_REASONS(X)
#undef X
    };
    load_type(l, name, "a reason", JSON_STRING);
    for (size_t i = 0; i < REASON_COUNT; i++) {
        if (strcmp(table[i].name, name->string) == 0) {
            return table[i].bit;
        }
    }
    load_fail(l, "no clocks-event reason is called \"%.40s\"", name->string);
}

static unsigned long long reason_mask(Loader *l, const Json *value)
{
    if (value->type == JSON_NUMBER) {
        return load_count(l, value, "reasons");
    }
    load_type(l, value, "reasons", JSON_ARRAY);
    unsigned long long mask = 0;
    for (size_t i = 0; i < value->count; i++) {
        mask |= reason_bit(l, &value->items[i]);
    }
    return mask;
}

static bool is_points(const Json *value)
{
    return value->type == JSON_ARRAY && value->count > 0 && value->items[0].type == JSON_ARRAY;
}

void load_reasons(Loader *l, const Json *value, Series into[REASON_COUNT])
{
    const Json *points = value->type == JSON_OBJECT ? json_get(value, "series") : value;
    const Json *loop = value->type == JSON_OBJECT ? json_get(value, "loop_s") : NULL;
    if (points == NULL) {
        load_fail(l, "reasons: an object needs \"series\"");
    }
    size_t count = is_points(points) ? points->count : 1;
    check_points(l, is_points(points) ? points : &(Json){.type = JSON_ARRAY, .count = 1}, "reasons");
    for (size_t bit = 0; bit < REASON_COUNT; bit++) {
        double *t = load_alloc(l, count, sizeof *t);
        double *v = load_alloc(l, count, sizeof *v);
        for (size_t i = 0; i < count; i++) {
            t[i] = is_points(points) ? point_time(l, points, i, "reasons") : 0;
            const Json *mask = is_points(points) ? &points->items[i].items[1] : points;
            v[i] = (double)(reason_mask(l, mask) >> bit & 1);
        }
        build(l, &into[bit], t, v, count);
        into[bit].loop_s = loop == NULL ? 0 : load_number(l, loop, "loop_s");
    }
}
