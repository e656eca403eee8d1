/* The journal's parts: journal.c (opening, appending, the calls), writer.c (the current segment)
 * and compact.c (snapshots). For src/store/journal/ only. */
#ifndef RESPGRES_STORE_JOURNAL_INTERNAL_H
#define RESPGRES_STORE_JOURNAL_INTERNAL_H

#include "base/clock.h"
#include "store/journal/files.h"
#include "store/journal/worker.h"

enum { ERROR_SIZE = 256, KEPT_BUFFER = 1024 * 1024 };

/* One group on its way to the disk. The thread's alone from submit to done. */
struct write_job {
    struct work work;
    struct journal *j;
    int dirfd;
    int fd; /* of the segment; -1 = none yet */
    uint64_t number;
    uint64_t at;        /* where the group goes */
    uint64_t allocated; /* so far is set aside on the disk */
    bool begin;         /* a new segment, with this header, after `old_fd` was ended at `old_end` */
    struct file_header header;
    int old_fd; /* -1 = none */
    uint64_t old_end;
    bool old_is_bad; /* its fsync failed: what is acknowledged is all that counts */
    bool sync;
    struct buf data;
    uint64_t position;
    /* out: */
    bool ok;
    char error[ERROR_SIZE];
    uint64_t fsyncs;
    uint64_t fsync_us;
    uint64_t fsync_us_max;
    uint64_t took_us; /* writing alone */
};

/* everysec: the current segment, by a descriptor of its own. */
struct sync_job {
    struct work work;
    struct journal *j;
    int fd;
    uint64_t number;
    uint64_t end; /* of it, when this began */
    int error;
    uint64_t took_us;
};

enum snapshot_phase { SNAPSHOT_NONE, SNAPSHOT_FILLING, SNAPSHOT_ENDING };

struct snapshot_job {
    struct work work;
    struct journal *j;
    enum snapshot_phase phase;
    bool busy;           /* the thread has it */
    bool clear;          /* an empty one */
    bool abort;          /* is to be given up */
    uint64_t then_clear; /* a clearing with this number follows, 0 = none */
    int dirfd;
    int fd;
    uint64_t number;
    uint64_t newest; /* of the files that it replaces */
    uint64_t at;
    uint64_t records;
    uint64_t from; /* what older files hold ends here: acknowledged before the first record is asked for */
    uint64_t wait; /* everything up to this position must be acknowledged before it may end */
    struct buf data;
    bool last;
    bool discard;
    /* out: */
    bool ok;
    char error[ERROR_SIZE];
};

/* A file that counts, for the sum of their sizes. */
struct kept_file {
    struct file_entry entry;
    uint64_t bytes;
};

struct journal {
    struct loop *loop;
    struct journal_events events;
    void *arg;
    char *dir;
    char *name;
    int dirfd;
    int lockfd;
    bool read_only;
    bool closing;
    enum journal_fsync fsync;
    int64_t max_bytes;
    uint8_t id[ID_SIZE];
    char id_hex[2 * ID_SIZE + 1];

    struct worker *writer; /* groups of records */
    struct worker *keeper; /* snapshots, everysec's fsync */
    struct timer *second;  /* everysec */
    bool second_set;

    uint64_t next_number; /* of a file */
    int fd;               /* the current segment, -1 = none */
    uint64_t number;      /* of the current segment, or of the last one read; 0 = none */
    uint64_t end;         /* of it: so far it is acknowledged */
    uint64_t synced;      /* so far it is known to be on the disk */
    uint64_t allocated;
    bool roll; /* the next group begins a new segment */
    bool bad;  /* the current segment is not to be written or synced any more */

    struct buf pending;    /* room for a mark, then records */
    uint64_t position;     /* of the last append */
    uint64_t acknowledged; /* up to this one all is durable, or was reported lost */
    bool writing;
    struct write_job write;
    bool unsynced; /* everysec: written since the last fsync began */
    bool syncing;
    struct sync_job sync;
    char sync_error[ERROR_SIZE]; /* to be reported when the write under way is back */

    bool failed;
    bool full; /* the last append met max_bytes */
    char error[ERROR_SIZE];

    struct snapshot_job snapshot;
    int64_t compact_after_us;
    uint64_t clear_owed; /* a clearing of this number could not be written, 0 = none */
    int64_t clear_after_us;

    struct kept_file *files;
    size_t nfiles;
    struct journal_stats stats;
};

/* ---- writer.c ---- */

/* Starts the thread on what is pending if it is idle and nothing has failed. */
void writer_submit(struct journal *j);
/* Starts a new segment although nothing is pending (journal_retry). */
void writer_begin(struct journal *j);
/* Arms everysec's timer if something has not been synced. */
void writer_arm(struct journal *j);
/* Everything that is appended and not acknowledged is lost. */
void writer_fail(struct journal *j, const char *why);

/* ---- compact.c ---- */

/* Goes on with a snapshot, if the thread does not have it. */
void compact_step(struct journal *j);
void compact_abort(struct journal *j);
/* When closing: a clearing that is owed, or under way, is on its way now. */
void compact_finish(struct journal *j);

/* ---- journal.c ---- */

void journal_set_file(struct journal *j, enum file_kind kind, uint64_t number, uint64_t bytes);
void journal_drop_files_below(struct journal *j, uint64_t number);
void journal_make_header(const struct journal *j, enum file_kind kind, uint64_t number,
                         struct file_header *h);
/* All n bytes; false with errno. */
MUST_CHECK bool write_fully(int fd, const char *data, size_t n, uint64_t at);

#endif
