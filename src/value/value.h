/* value: the typed payload of a key, shared by reference count, so that a cache, a batch on the wire
 * and a reply may hold the same bytes. Pure: no I/O, no clock.
 *
 * A string is immutable once made. A collection (type.h) may be changed by whoever has the only
 * reference to it; everybody else copies it first. So what an entry of the cache holds never changes,
 * and many changes of one collection that follow each other cost one copy.
 *
 * A value whose bytes this version cannot read (a newer version's type or encoding, or damage) is
 * opaque: it keeps its bytes and can be moved, copied and replaced, but commands of no type take it. */
#ifndef RESPGRES_VALUE_VALUE_H
#define RESPGRES_VALUE_VALUE_H

#include <stdint.h>

#include "base/bytes.h"
#include "base/check.h"
#include "value/type.h"

struct value {
    uint32_t refs;
    uint8_t type;
    bool opaque;
    size_t len;  /* of `data`, where that are the stored bytes: of a string, or opaque; else 0 */
    char data[]; /* of a collection: value.c's */
};

/* NULL when there is no memory for it. One reference, the caller's. */
MUST_CHECK struct value *value_string_new(struct bytes content);

/* A value of any type from its stored bytes, perhaps an opaque one; NULL when there is no memory. */
MUST_CHECK struct value *value_decode(uint8_t type, struct bytes stored);

/* A string of `len` bytes whose content the caller fills in before anyone else sees it. */
MUST_CHECK struct value *value_string_alloc(size_t len);

struct value *value_ref(struct value *v);
/* NULL is allowed. */
void value_unref(struct value *v);

/* ---- collections ---- */

static inline bool value_is_collection(const struct value *v)
{
    return v->type != VALUE_STRING && !v->opaque;
}

/* The functions of a collection type of this version; NULL if it is none. */
const struct value_type_ops *value_type_ops(uint8_t type);

/* A new, empty one. */
struct value *value_collection_new(uint8_t type);
/* The same elements, for whoever wants to change them; NULL = no memory. */
MUST_CHECK struct value *value_collection_copy(const struct value *v);

/* The type's structure (struct hash *, …). To be changed only after value_begin_change. */
void *value_content(const struct value *v);
size_t value_count(const struct value *v);

static inline bool value_is_shared(const struct value *v)
{
    return v->refs > 1;
}

/* Its bytes are going to be others. The caller has the only reference. */
void value_begin_change(struct value *v);

/* ---- stored bytes ---- */

struct bytes value_encoded(const struct value *v);

/* What is stored. A collection is encoded when this is first asked for, and keeps the bytes until
 * value_drop_bytes. */
static inline struct bytes value_bytes(const struct value *v)
{
    return value_is_collection(v) ? value_encoded(v) : (struct bytes){v->data, v->len};
}

/* Nobody needs the stored bytes of a collection for now. */
void value_drop_bytes(const struct value *v);

/* How many bytes are stored, or somewhat more; does not encode. */
size_t value_size(const struct value *v);

/* Bytes of memory held, without those that value_drop_bytes frees. */
size_t value_memory(const struct value *v);

/* Redis' name of the type: "string", "hash"; "unknown" for one that this version does not know. */
const char *value_type_name(uint8_t type);

/* The name TYPE and SCAN use → type; false for an unknown one. */
MUST_CHECK bool value_type_by_name(struct bytes name, uint8_t *out);

#endif
