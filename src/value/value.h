/* value: the typed payload of a key. Immutable once made and shared by reference count, so that
 * a cache, a batch on the wire and a reply may hold the same bytes. Strings only so far: a new
 * type gets a file of its own here. Pure: no I/O, no clock. */
#ifndef RESPGRES_VALUE_VALUE_H
#define RESPGRES_VALUE_VALUE_H

#include <stdint.h>

#include "base/bytes.h"
#include "base/check.h"
#include "value/type.h"

struct value {
    uint32_t refs;
    uint8_t type;
    size_t len;
    char data[];
};

/* NULL when there is no memory for it. One reference, the caller's. */
MUST_CHECK struct value *value_string_new(struct bytes content);

/* A value of any type from its stored bytes; NULL when they are not such, or there is no memory. */
MUST_CHECK struct value *value_decode(uint8_t type, struct bytes stored);

/* A string of `len` bytes whose content the caller fills in before anyone else sees it. */
MUST_CHECK struct value *value_string_alloc(size_t len);

struct value *value_ref(struct value *v);
/* NULL is allowed. */
void value_unref(struct value *v);

static inline struct bytes value_bytes(const struct value *v)
{
    return (struct bytes){v->data, v->len};
}

/* Bytes of memory held. */
size_t value_memory(const struct value *v);

/* Redis' name of the type: "string". */
const char *value_type_name(uint8_t type);

/* The name TYPE and SCAN use → type; false for an unknown one. */
MUST_CHECK bool value_type_by_name(struct bytes name, uint8_t *out);

#endif
