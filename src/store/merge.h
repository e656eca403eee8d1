/* merge: what a journal brings back to PostgreSQL. The router makes batches of it when PostgreSQL is
 * there again; the PostgreSQL store decides, key by key, in one transaction, which side wins
 * (docs/consistency.md has the table). The loser is kept in the table `conflicts`. */
#ifndef RESPGRES_STORE_MERGE_H
#define RESPGRES_STORE_MERGE_H

#include "store/journal/journal.h"
#include "store/store.h"

enum merge_outcome {
    MERGE_APPLIED,  /* the row is as the journal has it; `version` is the row's now */
    MERGE_SAME,     /* nothing to do: already there, or the same bytes */
    MERGE_LOST,     /* the row stays as it is; what the journal had is in `conflicts` */
    MERGE_DROPPED,  /* the row stays; what the journal had has expired meanwhile and is not kept */
};

struct merge_item {
    int db;
    struct bytes key;       /* borrowed until done */
    struct value *value;    /* borrowed; NULL = removed */
    int64_t version;        /* the journal's stamp */
    int64_t value_version;
    int64_t expires_us;     /* STORE_NEVER = none */
    enum journal_base base;
    int64_t base_version;
    int64_t maybe_version;  /* 0 = none */
    int32_t group;          /* > 0: with others of this number it was one MULTI or multi-key command */
    /* out: */
    enum merge_outcome outcome;
    int64_t row_version;    /* with APPLIED and SAME */
};

/* Everything of a database (db < 0: of all) whose version is below `before`. */
struct merge_flush {
    int db;
    int64_t before;
};

struct merge_batch {
    const char *journal;    /* its id: 32 hex digits */
    const char *instance;   /* the name that `conflicts` shows */
    uint64_t number;        /* stored with the batch in the same transaction: above the last one's */
    struct merge_item *items; /* at most 1000; each key once */
    size_t n;
    struct merge_flush *flush; /* instead of items, or NULL */
    void (*done)(struct merge_batch *b);
    /* out: */
    enum store_result result; /* STORE_OK; STORE_LOCKED: a row is held, try again or without it;
                                 STORE_REFUSED: bad data, halve it; STORE_LOST: ask postgres_merged */
    char error[160];
    int64_t replaced;       /* rows that lost to the journal, now in `conflicts` */
};

#endif
