/* journal_rig: a journal in a temporary folder on a real loop, its events noted down, and faults:
 * any system call that writes can be made to fail, or to be the last thing the process does. */
#ifndef RESPGRES_TESTS_UNIT_JOURNAL_RIG_H
#define RESPGRES_TESTS_UNIT_JOURNAL_RIG_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "event/loop.h"
#include "store/journal/journal.h"

struct journal_rig {
    char dir[128];
    struct loop *loop;
    struct journal *j;
    struct journal_options options;
    struct buf error;    /* of the last journal_open that failed */
    struct buf replayed; /* a line per record read, as note_record writes it */
    uint64_t nreplayed;
    uint64_t durable;
    uint64_t ndurable;
    int failures;
    char why[256];
    bool timeout;
    /* the snapshot: these lines' records, one per call */
    int snapshot_n;
    int snapshot_at;
    /* at the end of each turn, besides journal_flush */
    void (*turn_end)(void *arg);
    void *turn_arg;
};

/* A new folder and loop; the journal is not open yet. */
void rig_init(struct journal_rig *r);
/* Closes, deletes the folder. */
void rig_release(struct journal_rig *r);
bool rig_open(struct journal_rig *r);
void rig_close(struct journal_rig *r);

/* Runs the loop until the condition holds, a minute at most. */
#define RIG_UNTIL(r, condition)               \
    do {                                      \
        rig_start_clock(r);                   \
        rig_flush(r);                         \
        while (!(condition) && !(r)->timeout) \
            rig_turn(r);                      \
        EXPECT(!(r)->timeout);                \
        rig_stop_clock(r);                    \
    } while (0)

void rig_start_clock(struct journal_rig *r);
void rig_stop_clock(struct journal_rig *r);
void rig_turn(struct journal_rig *r);
void rig_flush(struct journal_rig *r);

void note_record(const struct journal_record *r, struct buf *out);

/* Appends a write of key `k<n>` with a value of `size` bytes. */
uint64_t rig_append(struct journal_rig *r, int n, size_t size);
/* What note_record says of it. */
void note_append(int n, size_t size, struct buf *out);

/* ---- files ---- */

void rig_path(const struct journal_rig *r, const char *name, char out[256]);
void read_whole(const char *path, struct buf *out);
void write_whole(const char *path, struct bytes s);
int64_t file_bytes(const char *path); /* -1 = there is none */
/* Copies the folder's files into another, empty one that is made. */
void copy_folder(const char *from, const char *to);
void remove_folder(const char *dir);
/* How many files have a name that begins so. */
int count_files(const char *dir, const char *prefix);

/* ---- faults ---- */

enum fault_call {
    CALL_WRITE,
    CALL_SYNC,
    CALL_SYNC_FOLDER,
    CALL_RENAME,
    CALL_UNLINK,
    CALL_TRUNCATE,
    CALL_ALLOCATE,
    CALL_COUNT
};

extern _Atomic int fault_errno[CALL_COUNT]; /* != 0: these calls fail with it */
extern _Atomic int fault_exit_at;  /* > 0: the process ends before this many-th of all calls */
extern _Atomic int fault_delay_us; /* each sync takes this long at least */
extern _Atomic bool fault_hold;    /* each sync takes until this is false */

#endif
