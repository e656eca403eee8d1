/* item: the bytes of one element, immutable and counted, so that the versions of a collection share
 * them. A few bytes of a fixed tail may follow the content (a sorted set keeps the score there). */
#ifndef RESPGRES_VALUE_ITEM_H
#define RESPGRES_VALUE_ITEM_H

#include <stdint.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/mem.h"

struct item {
    uint32_t refs;
    uint32_t len;
    char data[];
};

/* One reference, the caller's. The content is below 4 GB: so is every argument. */
static inline struct item *item_new(struct bytes content, const void *tail, size_t tail_len)
{
    CHECK(content.len <= UINT32_MAX);
    struct item *it = mem_alloc(sizeof(*it) + content.len + tail_len);
    it->refs = 1;
    it->len = (uint32_t)content.len;
    if (content.len > 0)
        memcpy(it->data, content.data, content.len);
    if (tail_len > 0)
        memcpy(it->data + content.len, tail, tail_len);
    return it;
}

static inline struct item *item_ref(struct item *it)
{
    CHECK(it->refs > 0 && it->refs < UINT32_MAX);
    it->refs++;
    return it;
}

static inline void item_unref(struct item *it)
{
    CHECK(it->refs > 0);
    if (--it->refs == 0)
        mem_free(it);
}

static inline struct bytes item_bytes(const struct item *it)
{
    return (struct bytes){it->data, it->len};
}

#endif
