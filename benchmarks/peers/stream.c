/* Plain loops over three arrays of doubles, as a compiler makes them: the figures of a C program.
 *
 *     stream BYTES SECONDS
 *
 * BYTES is the size of one array. Runs read, write, copy and triad by turns for that long in all, and prints
 * a line a pass: the kernel's name and bytes per second, counted without write-allocate. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { READ, WRITE, COPY, TRIAD, KERNELS };
static const char *const names[KERNELS] = {"read", "write", "copy", "triad"};
static const int moved[KERNELS] = {1, 1, 2, 3};

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec * 1e-9;
}

static double pass(int kernel, double *restrict a, const double *restrict b, const double *restrict c, long n)
{
    double sum = 0;
    switch (kernel) {
    case READ:
#pragma omp parallel for simd reduction(+ : sum)
        for (long i = 0; i < n; i++)
            sum += b[i];
        break;
    case WRITE:
#pragma omp parallel for
        for (long i = 0; i < n; i++)
            a[i] = 2.5;
        break;
    case COPY:
#pragma omp parallel for
        for (long i = 0; i < n; i++)
            a[i] = b[i];
        break;
    default:
#pragma omp parallel for
        for (long i = 0; i < n; i++)
            a[i] = b[i] + 3.0 * c[i];
    }
    return sum;
}

int main(int argc, char **argv)
{
    if (argc != 3)
        return 2;
    long n = atol(argv[1]) / (long)sizeof(double);
    double *a = malloc(n * sizeof *a), *b = malloc(n * sizeof *b), *c = malloc(n * sizeof *c);
    if (n < 1 || !a || !b || !c)
        return 1;
#pragma omp parallel for
    for (long i = 0; i < n; i++) {
        a[i] = 0;
        b[i] = i & 255;
        c[i] = (i & 255) + 1;
    }
    double end = now_s() + atof(argv[2]), sum = 0;
    for (int round = 0; round < 3 || now_s() < end; round++)
        for (int kernel = 0; kernel < KERNELS; kernel++) {
            double begin = now_s();
            sum += pass(kernel, a, b, c, n);
            printf("%s %.6g\n", names[kernel], moved[kernel] * (double)n * sizeof *a / (now_s() - begin));
        }
    fprintf(stderr, "%g\n", sum + a[n / 2]); /* So that no pass is left out. */
    return 0;
}
