/* hash: SipHash-1-3 with a random key (a peer that chooses keys must not choose collisions), and
 * the short name under which a key may appear in a log. */
#ifndef RESPGRES_BASE_HASH_H
#define RESPGRES_BASE_HASH_H

#include <stdint.h>

#include "base/bytes.h"

/* Draws the process's hash key from the system. Call once before the first hash. */
void hash_seed(void);

/* `tweak` distinguishes equal bytes of different spaces (a database number). */
uint64_t hash_bytes(struct bytes s, uint64_t tweak);

/* SipHash-1-3 with a key of the caller's: the same in every process. */
uint64_t hash_bytes_keyed(struct bytes s, uint64_t seed);

/* FNV-1a, 32 bits: the same in every process, and in the schema's SQL (bucket_code). */
uint32_t hash_stable(struct bytes s);

/* Fills a NUL-terminated buffer of n bytes from the system's random source. */
void random_bytes(void *out, size_t n);

enum { KEY_NAME_SIZE = 40 };

/* Session keys are bearer tokens: a log shows a key as its prefix (up to ':', printable, at most
 * 16 bytes) and 8 hex digits of a hash. Returns `out`, which has KEY_NAME_SIZE bytes. */
const char *key_log_name(struct bytes key, char *out);

#endif
