#include "histogram.h"

#include <time.h>

/* Below 2^SUB_BITS each number has its own bucket; above, each power of two has 2^SUB_BITS. */
static int bucket_of(uint64_t v)
{
    if (v < 1u << HISTOGRAM_SUB_BITS)
        return (int)v;
    int shift = 63 - __builtin_clzll(v) - HISTOGRAM_SUB_BITS;
    int sub = (int)(v >> shift) & ((1 << HISTOGRAM_SUB_BITS) - 1);
    return ((shift + 1) << HISTOGRAM_SUB_BITS) | sub;
}

/* The middle of a bucket. */
static double value_of(int bucket)
{
    int sub = bucket & ((1 << HISTOGRAM_SUB_BITS) - 1);
    int power = bucket >> HISTOGRAM_SUB_BITS;
    if (power == 0)
        return sub;
    return ((1 << HISTOGRAM_SUB_BITS) + sub + 0.5) * (double)(1ull << (power - 1));
}

void histogram_add(struct histogram *h, int64_t ns)
{
    if (ns < 0)
        ns = 0;
    if (ns > h->max_ns)
        h->max_ns = ns;
    h->n++;
    h->counts[bucket_of((uint64_t)ns)]++;
}

double histogram_us(const struct histogram *h, double share)
{
    uint64_t wanted = (uint64_t)(share * (double)h->n);
    uint64_t seen = 0;
    for (int i = 0; i < HISTOGRAM_BUCKETS; i++) {
        seen += h->counts[i];
        if (seen > wanted || (seen == h->n && seen > 0))
            return value_of(i) / 1000;
    }
    return 0;
}

int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}
