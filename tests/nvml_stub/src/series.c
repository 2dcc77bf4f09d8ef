#include "series.h"

#include <math.h>
#include <stdlib.h>

/* Noise changes ten times a second, so two readings inside one sampling window agree. */
static const double NOISE_PERIOD_S = 0.1;

double hash_unit(uint32_t seed, uint64_t n)
{
    uint64_t x = n * 0x9E3779B97F4A7C15u + ((uint64_t)seed << 32 | 0x85EBCA6Bu);
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9u;
    x = (x ^ x >> 27) * 0x94D049BB133111EBu;
    x ^= x >> 31;
    return (double)(x >> 11) / 9007199254740992.0;
}

static double segment(const Series *s, size_t i, double t)
{
    double width = s->t[i + 1] - s->t[i];
    double mean = s->linear ? s->v[i] + (s->v[i + 1] - s->v[i]) * (t - s->t[i]) / width / 2 : s->v[i];
    return mean * (t - s->t[i]);
}

void series_build(Series *s, double *t, double *v, size_t count)
{
    s->state = SERIES_SET;
    s->t = t;
    s->v = v;
    s->count = count;
    s->area = calloc(count, sizeof *s->area);
    for (size_t i = 0; s->area != NULL && i + 1 < count; i++) {
        s->area[i + 1] = s->area[i] + segment(s, i, t[i + 1]);
    }
}

/* Index of the last point at or before t; the first point where t comes before all. */
static size_t find(const Series *s, double t)
{
    size_t low = 0, high = s->count;
    while (high - low > 1) {
        size_t middle = (low + high) / 2;
        if (s->t[middle] <= t) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return low;
}

static double plain_at(const Series *s, double t)
{
    size_t i = find(s, t);
    if (!s->linear || i + 1 >= s->count || t <= s->t[i]) {
        return s->v[i];
    }
    return s->v[i] + (s->v[i + 1] - s->v[i]) * (t - s->t[i]) / (s->t[i + 1] - s->t[i]);
}

static double plain_area(const Series *s, double t)
{
    if (t <= s->t[0]) {
        return s->v[0] * t;
    }
    size_t i = find(s, t);
    double before = s->v[0] * s->t[0] + s->area[i];
    return before + (i + 1 < s->count ? segment(s, i, t) : s->v[i] * (t - s->t[i]));
}

static double noisy(const Series *s, double value, double t)
{
    if (s->noise == 0) {
        return value;
    }
    uint64_t bucket = (uint64_t)(int64_t)floor(t / NOISE_PERIOD_S);
    return value * (1 + s->noise * (2 * hash_unit(s->seed, bucket) - 1));
}

double series_at(const Series *s, double t)
{
    double within = s->loop_s > 0 ? t - floor(t / s->loop_s) * s->loop_s : t;
    return noisy(s, plain_at(s, within), t);
}

double series_area(const Series *s, double t)
{
    if (s->loop_s <= 0) {
        return plain_area(s, t);
    }
    double loops = floor(t / s->loop_s);
    return loops * plain_area(s, s->loop_s) + plain_area(s, t - loops * s->loop_s);
}

double series_mean(const Series *s, double from, double to)
{
    if (to - from < 1e-9) {
        return series_at(s, to);
    }
    return noisy(s, (series_area(s, to) - series_area(s, from)) / (to - from), to);
}
