/* sample: what the generators write. Values are slices of one pool made once from a seed, so that
 * making one costs a copy; two slices at different places share no bytes at the same offset. */
#ifndef RESPGRES_BENCH_SAMPLE_H
#define RESPGRES_BENCH_SAMPLE_H

#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"

/* xorshift64*: never 0. */
struct random {
    uint64_t state;
};

struct random random_from(uint64_t seed);
uint64_t random_next(struct random *r);
/* 0 to n - 1. */
uint64_t random_below(struct random *r, uint64_t n);

struct sample {
    char *pool;
    size_t len;
};

enum { SAMPLE_MAX = 1 << 20 };

/* Text: a chat in JSON, of words; lz4 takes about a third off a few kilobytes. Otherwise
 * random bytes, which nothing makes smaller. */
void sample_init(struct sample *s, bool text, uint64_t seed);
void sample_release(struct sample *s);

/* `len` <= SAMPLE_MAX bytes at a place chosen by `which`. Valid as long as the sample. */
struct bytes sample_slice(const struct sample *s, uint64_t which, size_t len);

#endif
