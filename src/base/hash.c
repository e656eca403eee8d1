#include "base/hash.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

#include "base/check.h"

static uint64_t seed_key[2]; /* written once at the start; a hash key is no state */

void random_bytes(void *out, size_t n)
{
    char *p = out;
    while (n > 0) {
        ssize_t got = getrandom(p, n, 0);
        CHECK(got > 0);
        p += got;
        n -= (size_t)got;
    }
}

void hash_seed(void)
{
    random_bytes(seed_key, sizeof(seed_key));
}

static uint64_t rotl(uint64_t x, int b)
{
    return (x << b) | (x >> (64 - b));
}

struct sip {
    uint64_t v0, v1, v2, v3;
};

static inline void sip_round(struct sip *s)
{
    s->v0 += s->v1;
    s->v1 = rotl(s->v1, 13) ^ s->v0;
    s->v0 = rotl(s->v0, 32);
    s->v2 += s->v3;
    s->v3 = rotl(s->v3, 16) ^ s->v2;
    s->v0 += s->v3;
    s->v3 = rotl(s->v3, 21) ^ s->v0;
    s->v2 += s->v1;
    s->v1 = rotl(s->v1, 17) ^ s->v2;
    s->v2 = rotl(s->v2, 32);
}

/* Aumasson and Bernstein, "SipHash: a fast short-input PRF", with one and three rounds. */
static uint64_t sip(struct bytes s, uint64_t k0, uint64_t k1)
{
    struct sip st = {k0 ^ 0x736f6d6570736575ULL, k1 ^ 0x646f72616e646f6dULL,
                     k0 ^ 0x6c7967656e657261ULL, k1 ^ 0x7465646279746573ULL};
    size_t whole = s.len & ~(size_t)7;
    for (size_t i = 0; i < whole; i += 8) {
        uint64_t m;
        memcpy(&m, s.data + i, 8);
        st.v3 ^= m;
        sip_round(&st);
        st.v0 ^= m;
    }
    uint64_t last = (uint64_t)s.len << 56;
    for (size_t i = whole; i < s.len; i++)
        last |= (uint64_t)(unsigned char)s.data[i] << (8 * (i - whole));
    st.v3 ^= last;
    sip_round(&st);
    st.v0 ^= last;
    st.v2 ^= 0xff;
    sip_round(&st);
    sip_round(&st);
    sip_round(&st);
    return st.v0 ^ st.v1 ^ st.v2 ^ st.v3;
}

uint64_t hash_bytes(struct bytes s, uint64_t tweak)
{
    return sip(s, seed_key[0] ^ tweak, seed_key[1]);
}

uint64_t hash_bytes_keyed(struct bytes s, uint64_t seed)
{
    return sip(s, seed, ~seed);
}

uint32_t hash_stable(struct bytes s)
{
    uint32_t h = 2166136261U;
    for (size_t i = 0; i < s.len; i++)
        h = (h ^ (unsigned char)s.data[i]) * 16777619U;
    return h;
}

const char *key_log_name(struct bytes key, char *out)
{
    size_t n = 0;
    while (n < key.len && n < 16 && key.data[n] != ':') {
        char c = key.data[n];
        if (c <= ' ' || c > '~' || c == '"' || c == '=')
            break;
        n++;
    }
    if (n == key.len || key.data[n] != ':')
        n = 0;
    /* The same key has the same name in every instance's log. */
    snprintf(out, KEY_NAME_SIZE, "%.*s%s%08x", (int)n, key.data ? key.data : "", n ? ":" : "",
             hash_stable(key));
    return out;
}
