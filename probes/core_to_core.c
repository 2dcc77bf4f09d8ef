/* One-way message latency between pairs of cores: two pinned threads hand one cache line back and forth.
 *
 *     core_to_core SECONDS WINDOWS ROUNDS A,B [A,B ...]
 *
 * Prints a line a pair: A,B and the nanoseconds that a message took in each window (the round trip halved).
 * A pair that cannot be pinned prints A,B alone. SECONDS is the longest it may live; it ends with whoever
 * started it, so that nothing is left spinning. */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

static alignas(256) atomic_long line_; /* Odd: a question. Even: its answer. */
static long messages;

static int pin(int core)
{
    if (core < 0)
        return -1;
    cpu_set_t *set = CPU_ALLOC(core + 1);
    size_t size = CPU_ALLOC_SIZE(core + 1);
    CPU_ZERO_S(size, set);
    CPU_SET_S(core, size, set);
    int failed = sched_setaffinity(0, size, set);
    CPU_FREE(set);
    return failed;
}

static void *answer(void *core)
{
    pin(*(int *)core);
    for (long i = 1; i < 2 * messages; i += 2) {
        while (atomic_load_explicit(&line_, memory_order_acquire) != i)
            ;
        atomic_store_explicit(&line_, i + 1, memory_order_release);
    }
    return NULL;
}

static double now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1e9 + t.tv_nsec;
}

static double ask(long from, long count)
{
    double begin = now_ns();
    for (long i = from; i < from + count; i++) {
        atomic_store_explicit(&line_, 2 * i + 1, memory_order_release);
        while (atomic_load_explicit(&line_, memory_order_acquire) != 2 * i + 2)
            ;
    }
    return (now_ns() - begin) / (2.0 * count);
}

static void pair(int a, int b, int windows, int rounds)
{
    double taken[windows];
    pthread_t other;
    printf("%d,%d", a, b);
    if (pin(b) || pin(a)) { /* Both on one core would wait for each other a time slice a message. */
        puts("");
        return;
    }
    atomic_store(&line_, 0);
    messages = (windows + 1L) * rounds;
    if (pthread_create(&other, NULL, answer, &b))
        exit(1);
    ask(0, rounds); /* Warms both cores up. */
    for (int w = 0; w < windows; w++)
        taken[w] = ask((w + 1L) * rounds, rounds);
    pthread_join(other, NULL);
    for (int w = 0; w < windows; w++)
        printf(" %.3f", taken[w]);
    puts("");
    fflush(stdout);
}

int main(int argc, char **argv)
{
    int a, b;
    if (argc < 5)
        return 2;
    int windows = atoi(argv[2]), rounds = atoi(argv[3]);
    if (windows < 1 || windows > 10000 || rounds < 1)
        return 2;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    alarm(atoi(argv[1]));
    for (int i = 4; i < argc && sscanf(argv[i], "%d,%d", &a, &b) == 2; i++)
        pair(a, b, windows, rounds);
    return 0;
}
