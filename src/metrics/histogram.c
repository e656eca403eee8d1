#include "metrics/histogram.h"

void histogram_add(struct histogram *to, const struct histogram *from)
{
    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++)
        to->buckets[i] += from->buckets[i];
}

static uint64_t sum_of(const struct histogram *h, size_t n)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += h->buckets[i];
    return sum;
}

uint64_t histogram_count(const struct histogram *h)
{
    return sum_of(h, HISTOGRAM_BUCKETS);
}

uint64_t histogram_below(const struct histogram *h, unsigned bits)
{
    size_t end = bits >= 64 ? HISTOGRAM_BUCKETS : histogram_bucket(1ULL << bits);
    return sum_of(h, end);
}

/* The highest number that is counted in the i-th bucket. */
static uint64_t top_of(size_t i)
{
    if (i < HISTOGRAM_SUBS)
        return i;
    size_t high = i / HISTOGRAM_SUBS + HISTOGRAM_SUB_BITS - 1;
    uint64_t sub = HISTOGRAM_SUBS + i % HISTOGRAM_SUBS;
    return ((sub + 1) << (high - HISTOGRAM_SUB_BITS)) - 1;
}

uint64_t histogram_quantile(const struct histogram *h, unsigned thousandths)
{
    uint64_t count = histogram_count(h);
    if (count == 0)
        return 0;
    uint64_t wanted = count / 1000 * thousandths + (count % 1000 * thousandths + 999) / 1000;
    uint64_t seen = 0;
    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
        seen += h->buckets[i];
        if (seen >= wanted && seen > 0)
            return top_of(i);
    }
    return top_of(HISTOGRAM_BUCKETS - 1);
}
