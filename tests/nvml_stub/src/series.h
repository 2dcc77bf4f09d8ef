/* A value over scenario time: a constant, steps, or straight lines, optionally repeating. */
#ifndef STUB_SERIES_H
#define STUB_SERIES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum { SERIES_UNSET, SERIES_NULL, SERIES_SET } SeriesState;

typedef struct {
    SeriesState state;
    bool linear;
    double loop_s; /* 0: holds its last value for ever */
    double noise;  /* relative amplitude; a hash of the time chooses the value, the same on every run */
    uint32_t seed;
    size_t count;
    double *t, *v;
    double *area; /* integral from t[0] to t[i] */
} Series;

/* Sets up `s` from `count` points with rising times; takes over both arrays. */
void series_build(Series *s, double *t, double *v, size_t count);

double series_at(const Series *s, double t);

/* Integral from scenario time 0 to t, without noise. */
double series_area(const Series *s, double t);

/* Mean between two times, with noise; the value at `to` where they coincide. */
double series_mean(const Series *s, double from, double to);

/* A number in [0, 1) that depends on its arguments alone. */
double hash_unit(uint32_t seed, uint64_t n);

#endif
