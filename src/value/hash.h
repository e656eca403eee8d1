/* hash: fields with a value each. A small one keeps them in the order of insertion. It becomes large,
 * and stays so, as a Redis hash becomes a hashtable: by more than 512 fields, or one of more than 64
 * bytes in field or value. So a small one is listed in the very order of Redis.
 *
 * Encoding, version 1: a byte of flags (1 = large), the seed of the table's hash where it is large
 * (8 bytes), the number of fields, then field and value of each. The seed travels along so that a
 * cursor of HSCAN means the same in every instance. */
#ifndef RESPGRES_VALUE_HASH_H
#define RESPGRES_VALUE_HASH_H

#include "base/check.h"
#include "value/type.h"

enum { HASH_MAX_LISTPACK_ENTRIES = 512, HASH_MAX_LISTPACK_VALUE = 64 };

struct hash;

/* A field with its value, not yet in a hash: made before the first change, so that putting it in
 * cannot fail. */
struct hash_item;

struct hash *hash_new(void);
void hash_free(struct hash *h);
/* NULL = no memory. */
MUST_CHECK struct hash *hash_copy(const struct hash *h);
size_t hash_count(const struct hash *h);
size_t hash_memory(const struct hash *h);
size_t hash_encoded_size(const struct hash *h);
void hash_encode(const struct hash *h, struct buf *out);
MUST_CHECK struct hash *hash_decode(struct bytes stored);
void hash_to_json(const struct hash *h, struct emit *out);
const char *hash_encoding(const struct hash *h);

/* False if it is not there; else its value, good until the hash is changed. */
bool hash_get(const struct hash *h, struct bytes field, struct bytes *value);

/* NULL = no memory. */
MUST_CHECK struct hash_item *hash_item_new(struct bytes field, struct bytes value);
void hash_item_free(struct hash_item *item);
/* Puts it in, in the place of one of the same field if there is one. True if the field is new. */
bool hash_put(struct hash *h, struct hash_item *take);

/* False if it was not there. */
bool hash_remove(struct hash *h, struct bytes field);

/* The i-th field, i < hash_count; any number names each once as long as the hash is not changed. */
void hash_at(const struct hash *h, size_t i, struct bytes *field, struct bytes *value);

/* A walk in pieces, as map_scan: every field that is there from the first call to the last is seen,
 * some perhaps twice. A small one is walked in one call. */
uint64_t hash_scan(const struct hash *h, uint64_t cursor,
                   void (*f)(void *arg, struct bytes field, struct bytes value), void *arg);

#endif
