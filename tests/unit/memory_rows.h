/* memory_rows: the rows and spaces of memory_store's databases. */
#ifndef RESPGRES_TESTS_UNIT_MEMORY_ROWS_H
#define RESPGRES_TESTS_UNIT_MEMORY_ROWS_H

#include "base/buf.h"
#include "store/store.h"

enum { MEMORY_DATABASES = 16, STAMP_SLOT_BITS = 10 };

struct memory_row {
    int space;
    struct buf key;
    struct value *value; /* NULL = tombstone or placeholder */
    int64_t version;
    int64_t value_version;
    int64_t expires_us; /* since 1970, or STORE_NEVER */
    int64_t id;
    bool told;           /* that it has expired */
    bool revoked;        /* SQL has ended it, and nobody has made it anew */
};

struct memory_rows {
    struct memory_row *rows;
    size_t n;
    int spaces[MEMORY_DATABASES];
    int next_space;
    int64_t next_id;
};

void memory_rows_init(struct memory_rows *m);
void memory_rows_release(struct memory_rows *m);
void memory_rows_copy(struct memory_rows *to, const struct memory_rows *from);

/* NULL if there is no row. */
struct memory_row *memory_rows_find(const struct memory_rows *m, int db, struct bytes key);
/* A placeholder if there is none: absent, at version 0. Moves rows. */
struct memory_row *memory_rows_make(struct memory_rows *m, int db, struct bytes key);
void memory_rows_remove(struct memory_rows *m, struct memory_row *r);
/* NULL is not live. */
bool memory_row_is_live(const struct memory_row *r, int64_t now_us);
/* It has expired, and nobody has been told. NULL has not. */
bool memory_row_is_untold(const struct memory_row *r, int64_t now_us);
/* Writes or touches the item's row, made if there is none; stamps it above what it was. */
struct memory_row *memory_rows_apply(struct memory_rows *m, const struct commit_item *it,
                                     int64_t stamp, int64_t now_us);

void memory_rows_flush(struct memory_rows *m, int db, int db2);
void memory_rows_swap(struct memory_rows *m, int db, int db2);

/* Those that only look, and FLUSH and SWAP; none about locks. The caller frees `q->keyspace`. */
void memory_rows_query(struct memory_rows *m, struct store_query *q, int64_t now_us);

#endif
