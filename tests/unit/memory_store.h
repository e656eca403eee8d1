/* memory_store: a store in memory, for tests of what stands on store.h. It judges and writes as
 * src/store/postgres/statements.c does, statement by statement, on a clock that the test moves.
 *
 * A lane's batch first runs (against the rows as they are then) and is answered later. Lanes that
 * are held do each when the test says so; the others do both in memory_store_turn, never within the
 * engine's call. Between the two a test may write rows as another instance or a person would. */
#ifndef RESPGRES_TESTS_UNIT_MEMORY_STORE_H
#define RESPGRES_TESTS_UNIT_MEMORY_STORE_H

#include "memory_rows.h"
#include "store/store.h"

enum memory_lane { MEMORY_READ, MEMORY_COMMIT, MEMORY_QUERY };

/* One change of a row. Those of one batch have the same number. */
struct memory_change {
    uint64_t number;
    int db;
    struct buf key;
    struct value *value; /* NULL = removed */
    bool touch;          /* the bytes are as before */
};

struct memory_counts {
    uint64_t reads; /* batches */
    uint64_t read_items;
    uint64_t read_bytes_sent; /* items whose bytes were sent */
    uint64_t commits;
    uint64_t checked;
    uint64_t writes; /* items that were asked for */
    uint64_t touches;
    uint64_t checks;
    uint64_t rejected; /* items that were asked to be written and were not */
    uint64_t queries;
};

struct memory_store;

/* Freed through its ops. The bulk lane is number `commit_lanes`, behind the others. */
struct memory_store *memory_store_new(size_t read_lanes, size_t commit_lanes);
struct store *memory_store_base(struct memory_store *ms);

void memory_store_set_state(struct memory_store *ms, enum store_state state);
void memory_store_advance(struct memory_store *ms, int64_t us);
int64_t memory_store_now_us(const struct memory_store *ms);
const struct memory_counts *memory_store_counts(const struct memory_store *ms);

/* ---- lanes; the query lane is number 0 ---- */

void memory_store_hold(struct memory_store *ms, enum memory_lane kind, size_t lane, bool hold);
/* Items of the batch, or queries, that are under way. */
size_t memory_store_in_flight(const struct memory_store *ms, enum memory_lane kind, size_t lane);
/* Runs it now if it has not run; the answer waits. False if there is nothing under way. */
bool memory_store_execute(struct memory_store *ms, enum memory_lane kind, size_t lane);
/* Runs it if it has not run, and answers. False if there was nothing under way. */
bool memory_store_answer(struct memory_store *ms, enum memory_lane kind, size_t lane);
/* Answers every lane that is not held, once; true if there was something to answer. */
bool memory_store_turn(struct memory_store *ms);

/* What is found out about a batch whose connection went. Only a commit that has not run can turn
 * out as MEMORY_LOST_BEFORE: it is sent again unless it was abandoned. */
enum memory_loss {
    MEMORY_LOST_BEFORE, /* certainly not applied */
    MEMORY_LOST_AFTER,  /* certainly applied, versions unknown */
    MEMORY_LOST_FENCED, /* nothing can be found out; what has run stays */
};

/* Reads and queries are answered with STORE_LOST whatever `loss` is. */
bool memory_store_lose(struct memory_store *ms, enum memory_lane kind, size_t lane,
                       enum memory_loss loss);

/* ---- rows ---- */

/* A write by another instance. NULL = it removes the key. */
void memory_store_write_value(struct memory_store *ms, int db, const char *key, struct value *value);

/* Somebody holds the row in an open transaction, or (a key without a row) is inserting it. */
void memory_store_lock(struct memory_store *ms, int db, const char *key, bool locked);
bool memory_store_is_locked(struct memory_store *ms, int db, struct bytes key);
/* Somebody is writing the row, and may have found it live: a read of it when it has expired is not
 * decided. */
void memory_store_set_undecided(struct memory_store *ms, int db, const char *key, bool undecided);
/* Writing the row fails with `error` (a trigger, say); NULL = it does not any more. */
void memory_store_refuse(struct memory_store *ms, int db, const char *key, const char *error);

/* Writes of another instance. `value` NULL leaves a tombstone. */
void memory_store_write(struct memory_store *ms, int db, const char *key, const char *value);
/* Somebody ends a session by SQL: a blind write of it counts for nothing until one by a client that has
 * seen that it is gone. */
void memory_store_end_session(struct memory_store *ms, int db, const char *key);
/* Moves the expiry of a live row (STORE_NEVER = takes it away). */
void memory_store_touch(struct memory_store *ms, int db, const char *key, int64_t expires_us);
/* From now on the others' clocks are ahead by so much. */
void memory_store_set_foreign_ahead(struct memory_store *ms, int64_t us);
/* The sweeper takes the row away. */
void memory_store_purge(struct memory_store *ms, int db, const char *key);

/* `consistency cached`: answers from memory are good until then (clock_mono_us); 0 = never. */
void memory_store_set_fresh_until(struct memory_store *ms, int64_t us);
/* Another instance says that it has written the key, or (NULL) everything. */
void memory_store_tell(struct memory_store *ms, const char *key);

/* NULL if there is no row. */
const struct memory_row *memory_store_row(const struct memory_store *ms, int db, struct bytes key);
/* The value as a C string, "(nil)" if the key is not live. Valid until the next call. */
const char *memory_store_text(struct memory_store *ms, int db, const char *key);

/* All changes so far, oldest first. */
const struct memory_change *memory_store_changes(const struct memory_store *ms, size_t *n);
/* The number of the latest change, or batch of changes; 0 = none yet. */
uint64_t memory_store_change_number(const struct memory_store *ms);

#endif
