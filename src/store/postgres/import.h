/* import: the two ends of --import. One connection reads a table of an application, another one
 * writes keys. Both wait for PostgreSQL: for a process of its own. */
#ifndef RESPGRES_STORE_POSTGRES_IMPORT_H
#define RESPGRES_STORE_POSTGRES_IMPORT_H

#include <stdint.h>

#include "config/config.h"

/* ---- the table that is read (import_source.c) ---- */

struct import_table {
    const char *name; /* as SQL writes it: quoted where it must be, with a schema or without */
    const char *key;  /* names of columns */
    const char *value;
    const char *expiry;
    bool binary;           /* the value is bytea; else it is read as text, in UTF-8 */
    const char *time_zone; /* of an expiry without one; NULL = what the server has for this role */
};

struct import_row {
    bool has_key;
    struct bytes key;
    bool has_value; /* false also of an expired one: its bytes are not asked for */
    struct bytes value;
    bool expired; /* by the clock of the table's server */
    bool has_expiry;
    int64_t expires_us; /* since 1970; INT64_MAX = never */
};

/* Gives every row, as of one moment, to `row`; pointers are valid within the call. `fetch` rows are
 * asked for at a time, and come one by one. If `row` returns false, which then has written `error`,
 * or something fails, so does this. */
MUST_CHECK bool import_read(const char *url, const struct import_table *t, int64_t fetch,
                            bool (*row)(void *arg, const struct import_row *r), void *arg,
                            struct buf *error);

/* ---- the keys that are written (import_target.c) ---- */

struct import_item {
    struct bytes key;
    struct bytes value;
    int64_t expires_us; /* since 1970; INT64_MAX = never */
};

/* What became of items, or with `dry_run` would. */
struct import_counts {
    uint64_t written;
    uint64_t live;    /* the key lives here, with other bytes or another expiry: kept */
    uint64_t same;    /* it is here as it is there */
    uint64_t ended;   /* it was deleted here, or made inactive: it stays so */
    uint64_t expired; /* meanwhile */
};

struct import_mode {
    int db;
    bool dry_run;   /* nothing is written, the schema included */
    bool overwrite; /* what is there gives way, whatever it is */
};

struct import_target;

/* Makes the schema where it is not there, as a start would. Borrows `c`. */
struct import_target *import_target_open(const struct config *c, const struct import_mode *mode,
                                         struct buf *error);
void import_target_free(struct import_target *t);

/* One statement and one transaction, unless PostgreSQL refuses an item: then halves of it are
 * tried, until that item is alone; of it `refused` is told, and why. Adds to `counts`. False =
 * `error`; what was written before stays. */
MUST_CHECK bool import_write(struct import_target *t, const struct import_item *items, size_t n,
                             struct import_counts *counts,
                             void (*refused)(void *arg, const struct import_item *it,
                                             const char *why),
                             void *arg, struct buf *error);

#endif
