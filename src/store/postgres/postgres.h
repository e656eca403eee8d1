/* postgres: the store whose keys are rows in PostgreSQL. libpq's home. */
#ifndef RESPGRES_STORE_POSTGRES_POSTGRES_H
#define RESPGRES_STORE_POSTGRES_POSTGRES_H

#include "config/config.h"
#include "event/loop.h"
#include "store/journal/journal.h"
#include "store/merge.h"
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

/* Reads are answered: online, or while it is away because it can take no writes. */
bool postgres_readable(const struct store *s);

/* ---- the merge of a journal (merge.c) ---- */

/* Decides and writes one batch, in one transaction, on the bulk lane between its own batches. One at
 * a time, postgres_merged included. `done` comes from the loop. */
void postgres_merge(struct store *s, struct merge_batch *b);

/* The number of the last batch of this journal that PostgreSQL has, 0 = none; batches that are still
 * under way there, whoever sent them, are fenced before. `ok` false: no answer. */
void postgres_merged(struct store *s, const char *journal,
                     void (*done)(void *arg, bool ok, uint64_t number), void *arg);

/* ---- hand-over: for whoever serves while PostgreSQL is away (handover.c) ---- */

/* What became of a commit batch that was in flight when its connection went. */
struct postgres_outcome {
    bool known;              /* false: the lane's row is gone, or has gone on since */
    bool applied;            /* the batch counted; of its items those below */
    bool whole;              /* all of them */
    const int32_t *accepted; /* else the positions of those that were applied, in no order; valid
                                within the call. Check-only items are not among them. */
    size_t naccepted;
};

/* Was the item at this position of the batch applied? */
static inline bool postgres_outcome_has(const struct postgres_outcome *o, int32_t position)
{
    for (size_t i = 0; o->applied && !o->whole && i < o->naccepted; i++) {
        if (o->accepted[i] == position)
            return true;
    }
    return o->applied && o->whole;
}

/* Called from the loop, never from within a call of the store. */
struct postgres_events {
    void (*state)(void *arg); /* its state, or whether it can be read, may have changed */
    /* The outcome of a batch that was taken, or that postgres_settle has asked for. Nothing of it can
     * reach PostgreSQL any more. */
    void (*settled)(void *arg, const struct journal_lane *lane, const struct postgres_outcome *o);
};

void postgres_set_events(struct store *s, const struct postgres_events *events, void *arg);

/* The batch of commit lane `lane` whose outcome is not known, or that is still in flight (its
 * connection is given up then): it is the caller's from now on, neither sent again nor answered here.
 * `out` tells where the outcome will stand, and each item's `version` is the stamp that it was sent
 * with. The lane finds out as soon as it is connected again, before anything else, and reports
 * `settled`. NULL = there is none; a transaction of several steps (store_xact) is not handed over. */
struct commit_batch *postgres_take_batch(struct store *s, size_t lane, struct journal_lane *out);

/* A store_xact of commit lane `lane` is STORE_LOST now. If its end had been sent, what became of it is found out
 * before the lane is used again, and told to nobody. */
void postgres_drop_xact(struct store *s, size_t lane);

/* Asks for the outcome of a batch of an earlier life of this instance, once PostgreSQL is there. */
void postgres_settle(struct store *s, const struct journal_lane *lane);

/* Before the first contact: who this instance was, and PostgreSQL's clock minus clock_mono_us(), as a
 * journal has them. Stamps can be minted at once; a slot is claimed at the first contact all the same. */
void postgres_set_identity(struct store *s, int slot, int64_t incarnation, int64_t last_stamp,
                           int64_t offset_us);
int postgres_slot(const struct store *s); /* 0 = none yet: mint no stamps */
int64_t postgres_incarnation(const struct store *s);
int64_t postgres_last_stamp(const struct store *s); /* the highest minted, or claimed from */
bool postgres_clock(const struct store *s, int64_t *offset_us); /* false: not known */
/* The first of n stamps, each 1 << 10 above the one before, above all minted earlier. */
int64_t postgres_mint_stamps(struct store *s, size_t n);

/* This instance has a journal folder: its slot is given to nobody else while that may hold something.
 * Before the first contact. */
void postgres_holds_journal(struct store *s, bool holds);
/* Before a clean stop: the journal has something that is not merged yet, the slot is not given back. */
void postgres_keep_slot(struct store *s);
/* Why it went away last, "" = it never has. */
const char *postgres_reason(const struct store *s);
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
