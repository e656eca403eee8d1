/* histogram: counts of numbers in buckets that are fixed once for all: eight per power of two, so
 * that a quantile is at most an eighth too high. Noting a number costs a handful of instructions.
 */
#ifndef RESPGRES_METRICS_HISTOGRAM_H
#define RESPGRES_METRICS_HISTOGRAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    HISTOGRAM_SUB_BITS = 3,
    HISTOGRAM_SUBS = 1 << HISTOGRAM_SUB_BITS,
    HISTOGRAM_BUCKETS = (64 - HISTOGRAM_SUB_BITS + 1) * HISTOGRAM_SUBS, /* any number has one */
};

struct histogram {
    uint64_t buckets[HISTOGRAM_BUCKETS];
};

/* Below 16 each number has a bucket; from there on the highest bit and the three behind it choose. */
static inline size_t histogram_bucket(uint64_t v)
{
    unsigned high = 63U ^ (unsigned)__builtin_clzll(v | HISTOGRAM_SUBS);
    unsigned shift = high - HISTOGRAM_SUB_BITS;
    return shift * HISTOGRAM_SUBS + (size_t)(v >> shift);
}

static inline void histogram_note(struct histogram *h, uint64_t v)
{
    h->buckets[histogram_bucket(v)]++;
}

void histogram_add(struct histogram *to, const struct histogram *from);
uint64_t histogram_count(const struct histogram *h);
/* How many were below 2^bits. */
uint64_t histogram_below(const struct histogram *h, unsigned bits);
/* The highest number of the bucket that holds the given share of all, 0 if there are none. The
 * share is in thousandths: 500 = the median. */
uint64_t histogram_quantile(const struct histogram *h, unsigned thousandths);

#endif
