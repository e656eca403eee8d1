/* router: the store that the engine sees. While PostgreSQL is there it passes everything on. While it
 * is away, what is known in memory is served, and writes go to the journal; when it is back, the
 * journal is merged. docs/architecture.md draws the states. */
#ifndef RESPGRES_STORE_ROUTER_ROUTER_H
#define RESPGRES_STORE_ROUTER_ROUTER_H

#include "config/config.h"
#include "event/loop.h"
#include "keyspace/keyspace.h"
#include "store/postgres/postgres.h"
#include "store/store.h"

/* Reads journal and warm file; the keys in them are in `keyspace` then. Takes `postgres` (NULL:
 * standalone), also on failure; borrows the others until freed. NULL with the reason in `error`: the
 * journal is in use, or damaged. */
struct store *router_new(struct loop *loop, const struct config *config, struct keyspace *keyspace,
                         struct store *postgres, struct buf *error);

/* At the end of each turn, after the engine's; true = there is more to do at once. */
bool router_turn_end(struct store *s);

/* Options may have changed. */
void router_config_changed(struct store *s);

/* Keys that are only in the journal, to be merged when PostgreSQL is there. */
size_t router_unmerged(const struct store *s);
/* Where they are; "" if there is no journal. */
const char *router_journal_dir(const struct store *s);

/* For health checks: why and since when (clock_mono_us) the state is what it is. */
const char *router_state_reason(const struct store *s, int64_t *since_us);

/* --dump with `standalone yes`: every live key that the journal of the configured folder has, without
 * touching it, beside the process that serves it or without. */
MUST_CHECK bool router_dump(const struct config *config,
                            bool (*entry)(void *arg, const struct dump_entry *e), void *arg,
                            struct buf *error);

/* SAVE: the journal is written anew without what is outdated. False = it cannot be. */
bool router_compact(struct store *s);

#endif
