/* histogram: latencies in nanoseconds, counted in buckets about 1.5 % wide. */
#ifndef RESPGRES_BENCH_HISTOGRAM_H
#define RESPGRES_BENCH_HISTOGRAM_H

#include <stdint.h>

enum {
    HISTOGRAM_SUB_BITS = 6,
    HISTOGRAM_BUCKETS = (64 - HISTOGRAM_SUB_BITS + 1) << HISTOGRAM_SUB_BITS
};

struct histogram {
    uint64_t n;
    int64_t max_ns;
    uint64_t counts[HISTOGRAM_BUCKETS];
};

/* Zero-initialized is empty. */
void histogram_add(struct histogram *h, int64_t ns);

/* The latency, in microseconds, that `share` (0 to 1) of all stay below; 0 if there are none. */
double histogram_us(const struct histogram *h, double share);

/* CLOCK_MONOTONIC. */
int64_t now_ns(void);

#endif
