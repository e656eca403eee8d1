/* type: what every collection type is to the rest of the server: a table of functions.
 *
 * A collection is a pure, opaque structure in a file of its own (`hash.h`: `struct hash`, hash_new,
 * hash_set …). No I/O, no clock, no randomness of its own: where a command draws, it passes the
 * number in. Its file ends with a const `struct value_type_ops X_ops`, and value.c has a row for
 * it.
 *
 * Encoding. X_encode writes what is stored in entries.value, X_decode reads it back. The first byte
 * is the version of the encoding (1 now), so that large collections can be stored in another way
 * later. Lengths are varints (value/coding.h). Decoding takes any bytes: it is bounded by their
 * length, returns NULL for what is not an encoding, and is fuzzed (tests/fuzz/value_fuzz.c). What
 * decodes encodes to the same bytes again where that is cheap (elements in their order).
 *
 * Memory. Small fixed allocations abort; those that a peer can make large (an element, a copy) are
 * tried (`mem_try_alloc`), and the function that makes them returns NULL or false with the
 * collection as before. A handler prepares everything that can fail before its first change. */
#ifndef RESPGRES_VALUE_TYPE_H
#define RESPGRES_VALUE_TYPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/bytes.h"
#include "payload/emit.h"

/* Stored in entries.type and in journals: never renumber. */
enum value_type {
    VALUE_STRING = 0,
    VALUE_LIST = 1,
    VALUE_SET = 2,
    VALUE_ZSET = 3,
    VALUE_HASH = 4,
};

enum { VALUE_TYPES = VALUE_HASH + 1 };

/* Functions of a collection type; `content` is its structure (a struct hash *, …). */
struct value_type_ops {
    const char *name; /* Redis' name of the type */
    /* A new, empty one. */
    void *(*new_empty)(void);
    void (*free)(void *content);
    /* All of it, sharing nothing; NULL = no memory. */
    void *(*copy)(const void *content);
    /* Number of elements; a collection without any is removed from its key. */
    size_t (*count)(const void *content);
    /* Bytes of memory held, about. O(1): asked for at every write. */
    size_t (*memory)(const void *content);
    /* Bytes that `encode` will append, or somewhat more. O(1). */
    size_t (*encoded_size)(const void *content);
    void (*encode)(const void *content, struct buf *out);
    /* NULL when it is malformed, or there is no memory. */
    void *(*decode)(struct bytes stored);
    /* One JSON value for the column `doc`: hash = object, list = array, set = array sorted by
     * bytes, zset = array of [member, score] in order. Elements by emit_text_or_bytes, fields by
     * emit_key_begin/end. Stops when !emit_ok. */
    void (*to_json)(const void *content, struct emit *out);
    /* The command that makes it anew from its elements ("HSET"), and how many arguments an element
     * is there; `each` hands out the arguments of all elements in that order. For backups. */
    const char *add_command;
    int add_arguments;
    void (*each)(const void *content, void (*f)(void *arg, struct bytes argument), void *arg);
    /* OBJECT ENCODING, by Redis 7.0's default thresholds: "listpack", "hashtable", … */
    const char *(*encoding)(const void *content);
};

extern const struct value_type_ops deque_ops; /* lists */
extern const struct value_type_ops set_ops;
extern const struct value_type_ops zset_ops;
extern const struct value_type_ops hash_ops;

#endif
