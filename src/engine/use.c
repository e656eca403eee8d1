/* When a key was last used, for OBJECT IDLETIME: by this instance, or by whoever wrote it last, which
 * its version tells. */

#include "engine/internal.h"

static int64_t last_use_ms(const struct engine *e, const struct entry *entry)
{
    int64_t written_ms = STORE_STAMP_US(entry->version) / 1000;
    if (entry->used_s == 0)
        return written_ms;
    int64_t idle_us = loop_now_us(e->loop) - ((int64_t)entry->used_s - 1) * 1000000;
    int64_t used_ms = (e->store->ops->now_us(e->store) - idle_us) / 1000;
    return used_ms > written_ms ? used_ms : written_ms;
}

int64_t use_of_key(struct txn_key *k)
{
    if (!k->txn->uses_keys)
        return last_use_ms(k->txn->engine, k->entry);
    k->entry->used_s = (uint32_t)(loop_now_us(k->txn->engine->loop) / 1000000) + 1;
    return INT64_MAX; /* this very moment */
}
