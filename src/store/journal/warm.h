/* warm: a copy of what the cache knows, written now and then, so that an instance which starts
 * while PostgreSQL is away knows its sessions. It is a cache: a lost or damaged one costs misses,
 * nothing else. `dir/<instance-name>/warm`, beside the journal and under its lock, in the same
 * format (docs/journal.md): first a clock, then a write of one item per entry, then the end.
 *
 * Written aside in slices by a thread of its own, and renamed when it is complete. */
#ifndef RESPGRES_STORE_JOURNAL_WARM_H
#define RESPGRES_STORE_JOURNAL_WARM_H

#include "store/journal/journal.h"

struct warm;

/* Borrows the loop. The folder is made if it is missing. NULL with the reason in `error`. */
MUST_CHECK struct warm *warm_new(struct loop *loop, const char *dir, const char *instance_name,
                                 struct buf *error);
/* Gives up a file that is under way. */
void warm_free(struct warm *w); /* NULL is allowed */

struct warm_source {
    /* The next entries are wanted, about `bytes` of them, by warm_add; false = that was all. Called
     * from warm_flush. */
    bool (*more)(void *arg, size_t bytes);
    /* The file stands there, of so many bytes (error = NULL), or the old one stayed. From the loop.
     */
    void (*done)(void *arg, uint64_t bytes, const char *error);
};

/* Starts a file. False: one is under way. */
bool warm_begin(struct warm *w, const struct journal_clock *clock, const struct warm_source *source,
                void *arg);
/* Within `more`: what is known of a key, `base` and `base_version` (LIVE or ABSENT; UNKNOWN:
 * live, as `merged_unseen` has it). Borrows nothing. */
void warm_add(struct warm *w, const struct journal_item *item);
/* To be called at the end of each turn. The thread's answer wakes the loop. */
void warm_flush(struct warm *w);
/* Gives up what is under way: `done` is not called any more. */
void warm_cancel(struct warm *w);
bool warm_is_writing(const struct warm *w);

/* Reads the file of a folder, in order; pointers are valid within the call only. What is damaged is
 * passed over, with a warning in the log. Returns the number of records, the clock included; 0 if
 * there is no file. */
uint64_t warm_load(const char *dir, void (*record)(void *arg, const struct journal_record *r),
                   void *arg);

#endif
