/* postgres: the store whose keys are rows in PostgreSQL. libpq's home. */
#ifndef RESPGRES_STORE_POSTGRES_POSTGRES_H
#define RESPGRES_STORE_POSTGRES_POSTGRES_H

#include "config/config.h"
#include "event/loop.h"
#include "store/store.h"

/* Starts connecting at once. `fatal` is called when going on makes no sense (a schema that this
 * binary cannot serve), with the reason. Borrows loop and config until freed. */
struct store *postgres_store_new(struct loop *loop, const struct config *config,
                                 void (*fatal)(void *arg, const char *why), void *arg);

/* Makes or upgrades the schema, and nothing else; returns when that is done, tried again for a minute
 * while somebody holds a lock. `before` and `after` are the schema's versions, 0 = there was none. */
MUST_CHECK bool postgres_migrate(const struct config *config, int *before, int *after,
                                 struct buf *error);

/* The SQL that brings a schema of version `from` (0 = none) to what this binary needs: one
 * transaction, the same as postgres_migrate runs. */
void postgres_print_schema(const char *schema, int from, struct buf *out);

/* One live key of a dump; pointers are valid within the call. */
struct dump_entry {
    int db;
    struct bytes key;
    uint8_t type; /* enum value_type */
    struct bytes value;
    int64_t expires_ms; /* since 1970, -1 = never */
};

/* Gives every live key of every database, as of one moment, to `entry`; those of one database need not
 * come together. Waits for PostgreSQL: for a process of its own. If `entry` returns false, which then
 * has written `error`, or something fails, so does the dump. */
MUST_CHECK bool postgres_dump(const struct config *config,
                              bool (*entry)(void *arg, const struct dump_entry *e), void *arg,
                              struct buf *error);

#endif
