/* journal: the local file of what was accepted while PostgreSQL could not take it. Append-only;
 * checksummed records (docs/journal.md has the format). It knows nothing of what the records mean:
 * the router gives them and gets them back, in order, when a journal is opened.
 *
 * Files of `dir/<instance-name>/`: `lock`, `journal.NNNNNNNNNN` (segments, in order of number),
 * `snapshot.NNNNNNNNNN` (everything that the segments below that number hold, complete once it has
 * this name). Read: the highest snapshot, then the segments from its number on.
 *
 * Nothing here blocks the loop: a thread writes and syncs; what gathers while it does goes out
 * together next (group commit). */
#ifndef RESPGRES_STORE_JOURNAL_JOURNAL_H
#define RESPGRES_STORE_JOURNAL_JOURNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/bytes.h"
#include "event/loop.h"

/* ---- records ---- */

/* What a write was based on: what this instance knew of the key before. Stored: never renumber. */
enum journal_base {
    BASE_UNKNOWN = 0, /* nothing; or that it was not live when it was last asked for, which may be long ago:
                         base_version as of BASE_ABSENT, BASE_NO_ROW where there was no row */
    BASE_ABSENT = 1,  /* not live; base_version = of its tombstone or expired row, 0 = no row */
    BASE_LIVE = 2,    /* live at base_version */
};

/* The state of one key after a write. */
struct journal_item {
    int32_t db;
    struct bytes key;
    bool live;             /* false: removed; the fields of the value are 0 then */
    bool touch;            /* the bytes are as they were: `value` is empty */
    uint8_t type;          /* enum value_type */
    struct bytes value;    /* encoded as in PostgreSQL's column */
    int64_t version;       /* its stamp */
    int64_t value_version; /* of the write that made the bytes */
    int64_t expires_us;    /* since 1970 on PostgreSQL's clock, INT64_MAX = never */
    uint8_t base;          /* enum journal_base: of the first write since the key was last as in
                              PostgreSQL */
    int64_t base_version;
    int64_t maybe_version; /* a version under which an earlier write of ours may have reached
                              PostgreSQL, 0 = none */
};

/* A commit batch that was in flight when PostgreSQL went: the row of its lane tells its outcome. */
struct journal_lane {
    int32_t slot; /* 0 = the write was never sent */
    int64_t incarnation;
    int32_t lane;
    int64_t stamp;
};

/* No row has this version. */
#define BASE_NO_ROW ((int64_t)1)

enum journal_kind {
    JOURNAL_WRITE = 1,       /* items of one atomic group, and the lane */
    JOURNAL_SETTLED = 2,     /* lane, applied: the outcome of a batch in flight; items = those that it
                                rejected (db, key, version) */
    JOURNAL_FLUSH = 3,       /* db (-1 = all), stamp: everything before it is gone */
    JOURNAL_MERGE_BEGIN = 4, /* number; items (db, key, version): about to be sent */
    JOURNAL_MERGE_END = 5,   /* number, applied: it has reached PostgreSQL, or certainly not */
    JOURNAL_CLOCK = 6,       /* clock */
};

/* The clock, and who we were, as last known: enough to mint stamps without PostgreSQL. */
struct journal_clock {
    char boot_id[37];        /* of the kernel; another one = the offset is worthless */
    int64_t boot_us;         /* CLOCK_BOOTTIME ... */
    int64_t pg_us;           /* ... when PostgreSQL's clock was this */
    int64_t wall_us;         /* ... and the host's was this */
    int32_t slot;
    int64_t incarnation;
    int64_t last_stamp;      /* the highest one minted */
};

struct journal_record {
    enum journal_kind kind;
    struct journal_item *items;
    size_t nitems;
    struct journal_lane lane;
    bool applied;
    int32_t db;
    int64_t stamp;
    uint64_t number;
    struct journal_clock clock;
};

/* ---- a journal ---- */

enum journal_fsync { JOURNAL_FSYNC_ALWAYS, JOURNAL_FSYNC_EVERYSEC, JOURNAL_FSYNC_NO };

struct journal_options {
    const char *dir;           /* dir/<instance-name>; made if missing (with parents), mode 0700 */
    const char *instance_name; /* stands in each file's header */
    enum journal_fsync fsync;
    int64_t max_bytes;         /* of all segments and snapshots; 0 = no limit but the disk. It is a limit
                                  for writes and flushes; what tells of them may go beyond it */
    bool read_only;            /* for --check-journal and --dump: nothing is changed, no lock taken */
};

struct journal_events {
    /* While opening: each record in order; pointers are valid within the call only. */
    void (*record)(void *arg, const struct journal_record *r);
    /* All that was appended up to this position (journal_append's result) and not reported by
     * `failed` is as durable as journal-fsync asks for. Also called when a retry has succeeded, with
     * the position of the last append. From the loop, never from within a call of ours, and before
     * it whatever has gathered meanwhile has gone to the thread. Everything but journal_close may be
     * called from it. */
    void (*durable)(void *arg, uint64_t position);
    /* It cannot be written (why: disk full, I/O error ...): everything appended and not yet durable
     * is lost and must be answered so. An fsync error is final for that file: a new segment is begun
     * when it is written again (journal_retry). A compaction under way is given up. From the loop. */
    void (*failed)(void *arg, const char *why);
    /* Compaction: the next records of the snapshot are wanted, about `bytes` of them, by
     * journal_snapshot_add; false = that was all. Called from the loop, at the end of a turn. */
    bool (*snapshot)(void *arg, size_t bytes);
};

struct journal;

/* Takes the lock and reads everything. Returns NULL with the reason in `error`: locked by another
 * process; damaged (file, offset, and the command that salvages); unreadable. A torn tail of the last
 * segment is cut, with a warning in the log. `loop` may be NULL for read_only. */
struct journal *journal_open(struct loop *loop, const struct journal_options *options,
                             const struct journal_events *events, void *arg, struct buf *error);
/* Writes what is pending (waits for it), closes. No event is called any more. */
void journal_close(struct journal *j); /* NULL is allowed */

/* 32 hex digits, the same for the life of the folder; in the header of each file. */
const char *journal_id(const struct journal *j);

/* Appends; it goes out with journal_flush. Returns the position behind it, or 0 if the journal is full
 * or cannot be written now (journal_error tells why): nothing was appended. */
uint64_t journal_append(struct journal *j, const struct journal_record *r);
/* To be called at the end of each turn: starts the thread if something waits and it is idle; goes on
 * with a compaction. Returns true if it wants to be called again at once: the threads' answers wake
 * the loop by themselves, so it never does so far. */
bool journal_flush(struct journal *j);

/* All is merged, nothing is wanted any more: an empty snapshot replaces everything, and what is
 * appended from now on goes into a new segment. Not while something is not durable yet; after a
 * failure it may be called without a retry, and makes room. It is under way when this returns (a
 * crash before its end leaves everything as it was); a compaction is given up for it. Where it cannot be
 * written it is tried again every second. */
void journal_clear(struct journal *j);
/* Starts writing a snapshot aside (events.snapshot), then replaces everything older by it. Appends go
 * on meanwhile, into a new segment; they are read after the snapshot, and may repeat what it holds.
 * What is on its way may be in it: it gets its name when that is durable, and is given up if that fails.
 * Does nothing while one is under way, while there is a failure, and for a minute after one that could
 * not be written. */
void journal_compact(struct journal *j);
/* A compaction or a clearing is under way. */
bool journal_is_compacting(const struct journal *j);
void journal_snapshot_add(struct journal *j, const struct journal_record *r);

/* Tries again to write after a failure: begins a new segment. True if that could be started, or is
 * under way; failed or durable tells. Called by the owner now and then (once a second). */
bool journal_retry(struct journal *j);

/* NULL = fine, else why nothing can be appended now. Valid until the next call. */
const char *journal_error(const struct journal *j);

struct journal_stats {
    uint64_t bytes;          /* in all files */
    uint64_t records;        /* appended since the start */
    uint64_t fsyncs;
    uint64_t fsync_us;       /* all together */
    uint64_t fsync_us_max;
    uint64_t failures;
    uint64_t compactions;
    uint64_t compaction_failures;
    uint64_t delayed;        /* writes that took more than 2 s, as behind an fsync of everysec */
};

void journal_get_stats(const struct journal *j, struct journal_stats *out);
void journal_set_fsync(struct journal *j, enum journal_fsync fsync);
void journal_set_max_bytes(struct journal *j, int64_t bytes);

/* ---- offline ---- */

/* Reads a folder's journal without changing it and describes it on `out` (files, records by kind, keys,
 * torn tail or damage with file and offset). Returns true if it is whole. */
bool journal_check(const char *dir, struct buf *out);
/* Keeps what can be read: whole records behind the damage are found again by their header; the
 * damaged files are kept beside (suffix .damaged). Says on `out` what was lost. Returns false if
 * nothing could be done, as when a process has the lock. */
bool journal_repair(const char *dir, struct buf *out);
/* Other folders beside `dir` that hold a journal with something in it and no process: their names, one
 * per line. */
void journal_find_orphans(const char *dir, struct buf *out);

/* ---- one record's bytes, for the fuzzer and for other files of the same format ---- */

void journal_encode(const struct journal_record *r, struct buf *out);

enum journal_parse { JOURNAL_PARSED, JOURNAL_INCOMPLETE, JOURNAL_DAMAGED };

/* One record from the beginning of `in`; `used` = its bytes. The items' array is the caller's to free
 * (mem_free); keys and values point into `in`. Out-parameters are untouched on failure. */
enum journal_parse journal_decode(struct bytes in, struct journal_record *r, size_t *used);

#endif
