/* bus: what this instance hears of others. Whoever needs to hear something says so; the store
 * connects for it when the first need comes, and lets go when the last has ended. */
#ifndef RESPGRES_ENGINE_BUS_H
#define RESPGRES_ENGINE_BUS_H

#include "store/store.h"

struct engine;

void bus_init(struct engine *e);

/* One more, or one less, needs to hear this. Keys: while clients wait for keys that others may
 * write, one need per client or one for all of them, as it suits the caller. */
void bus_want(struct engine *e, enum store_want what);
void bus_unwant(struct engine *e, enum store_want what);

/* Is it heard now, without a gap? Not yet while the connection is being made; not while PostgreSQL
 * is away; never of keys behind a pooler in transaction mode, and never without PostgreSQL. */
bool bus_hears(const struct engine *e, enum store_want what);

/* Keys were written elsewhere, by other instances or by SQL: all whose store_bucket is this one, or
 * any key at all. Called from the loop, after the write has become visible. When keys begin to be
 * heard (again) all_keys_written comes, for what was written unheard: whoever checks its keys, then
 * waits, misses nothing. NULL to end. */
struct bus_keys {
    void (*keys_written)(struct engine *e, uint32_t bucket);
    void (*all_keys_written)(struct engine *e);
};
void bus_on_keys(struct engine *e, const struct bus_keys *f);

#endif
