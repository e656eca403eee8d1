/* A snapshot is asked of the owner in slices, one at a time, and written under a name that does not
 * count. With its end record it is synced and gets its name; from then on all files below its
 * number are replaced, whether they still stand there or not. Clearing is a snapshot without
 * records. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "store/journal/internal.h"

enum { SLICE = 512 * 1024, PAUSE_US = 60 * 1000 * 1000, CLEAR_PAUSE_US = 1000 * 1000 };

/* ---- the thread ---- */

static void temporary_name(const struct snapshot_job *s, char out[FILENAME_SIZE + 4])
{
    char name[FILENAME_SIZE];
    snprintf(out, FILENAME_SIZE + 4, "%s.tmp", file_name(FILE_SNAPSHOT, s->number, name));
}

static void discard(struct snapshot_job *s)
{
    char name[FILENAME_SIZE + 4];
    if (s->fd < 0)
        return;
    close(s->fd);
    s->fd = -1;
    temporary_name(s, name);
    unlinkat(s->dirfd, name, 0);
}

static bool publish(struct snapshot_job *s)
{
    char temporary[FILENAME_SIZE + 4];
    char name[FILENAME_SIZE];
    temporary_name(s, temporary);
    file_name(FILE_SNAPSHOT, s->number, name);
    return renameat(s->dirfd, temporary, s->dirfd, name) == 0 && fsync(s->dirfd) == 0;
}

/* Each slice is synced: one large fsync at the end would hold up those of the segment. */
static bool write_slice(struct snapshot_job *s)
{
    char name[FILENAME_SIZE + 4];
    temporary_name(s, name);
    if (s->fd < 0)
        s->fd = openat(s->dirfd, name, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    return s->fd >= 0 && write_fully(s->fd, s->data.data, s->data.len, s->at) &&
           fdatasync(s->fd) == 0 && (!s->last || publish(s));
}

/* Everything is merged: where the disk is so full that not even an empty snapshot fits, the oldest
 * files may go first. The newest stays, for the id. */
static bool write_cleared(struct snapshot_job *s)
{
    if (write_slice(s))
        return true;
    if (errno != ENOSPC)
        return false;
    discard(s);
    folder_remove_below(s->dirfd, s->newest);
    return write_slice(s);
}

static void run_snapshot(struct work *work)
{
    struct snapshot_job *s = LIST_ITEM(work, struct snapshot_job, work);
    char name[FILENAME_SIZE];
    if (s->discard) {
        discard(s);
        return;
    }
    s->ok = s->clear ? write_cleared(s) : write_slice(s);
    if (!s->ok) {
        snprintf(s->error, sizeof(s->error), "writing %s: %s",
                 file_name(FILE_SNAPSHOT, s->number, name), strerror(errno));
        discard(s);
    } else if (s->last) {
        close(s->fd);
        s->fd = -1;
        folder_remove_below(s->dirfd, s->number);
    }
}

/* ---- the loop ---- */

static void on_done(struct work *work);

static void submit(struct journal *j)
{
    j->snapshot.busy = true;
    worker_submit(j->keeper, &j->snapshot.work);
}

/* Closes `fd` and removes what stands under the temporary name. */
static void submit_discard(struct journal *j, int fd)
{
    j->snapshot.discard = true;
    j->snapshot.fd = fd;
    submit(j);
}

/* The number is the next file's. What is appended from now on goes into a segment with a higher
 * one. */
static uint64_t take_number(struct journal *j)
{
    j->roll = true;
    return j->next_number++;
}

static void begin(struct journal *j, bool clear, uint64_t number)
{
    struct snapshot_job *s = &j->snapshot;
    *s = (struct snapshot_job){.work = {.run = run_snapshot, .done = on_done},
                               .j = j,
                               .phase = SNAPSHOT_FILLING,
                               .clear = clear,
                               .dirfd = j->dirfd,
                               .fd = -1,
                               .number = number,
                               .newest = number - 1,
                               .from = clear ? 0 : j->position};
    buf_init(&s->data);
}

static bool is_clear(const struct journal *j)
{
    return j->nfiles == 0 || (j->nfiles == 1 && j->files[0].entry.kind == FILE_SNAPSHOT &&
                              j->files[0].bytes == FILE_HEADER_SIZE + END_SIZE);
}

static void end(struct journal *j)
{
    struct snapshot_job *s = &j->snapshot;
    uint64_t then_clear = s->then_clear;
    buf_release(&s->data);
    s->phase = SNAPSHOT_NONE;
    s->then_clear = 0;
    if (then_clear != 0 && !is_clear(j))
        begin(j, true, then_clear);
}

/* The segment that was replaced is closed by the thread: that frees its room, which takes time. */
static void end_published(struct journal *j)
{
    struct snapshot_job *s = &j->snapshot;
    int fd = j->fd;
    j->stats.compactions++;
    if (j->clear_owed < s->number)
        j->clear_owed = 0;
    journal_drop_files_below(j, s->number);
    journal_set_file(j, FILE_SNAPSHOT, s->number, s->at);
    if (j->writing || fd < 0 || j->number > s->number) {
        end(j);
        return;
    }
    j->fd = -1;
    submit_discard(j, fd);
}

static void on_done(struct work *work)
{
    struct snapshot_job *s = LIST_ITEM(work, struct snapshot_job, work);
    struct journal *j = s->j;
    char quoted[LOG_QUOTE_SIZE];
    s->busy = false;
    s->at += s->data.len;
    if (s->discard) {
        end(j);
        return;
    }
    if (!s->ok) {
        j->stats.compaction_failures++;
        j->compact_after_us = loop_now_us(j->loop) + PAUSE_US;
        if (s->clear && s->then_clear == 0) {
            j->clear_owed = s->number;
            j->clear_after_us = loop_now_us(j->loop) + CLEAR_PAUSE_US;
        }
        log_event(LOG_WARNING, "journal-not-compacted", "why=%s", log_quote(s->error, quoted));
        end(j);
    } else if (s->last) {
        end_published(j);
    } else if (s->abort) {
        submit_discard(j, s->fd);
    }
}

static void add_header(struct journal *j)
{
    struct file_header h;
    journal_make_header(j, FILE_SNAPSHOT, j->snapshot.number, &h);
    header_encode(&h, buf_reserve(&j->snapshot.data, FILE_HEADER_SIZE));
    j->snapshot.data.len += FILE_HEADER_SIZE;
}

/* The next records into s->data. */
static void fill_slice(struct journal *j)
{
    struct snapshot_job *s = &j->snapshot;
    buf_reset(&s->data, 4 * (size_t)SLICE);
    if (s->at == 0)
        add_header(j);
    s->last = s->clear || !j->events.snapshot(j->arg, SLICE);
    if (s->abort) /* by the owner, within the call */
        return;
    if (s->last) {
        end_encode(s->records, &s->data);
        s->wait = s->clear ? 0 : j->position;
        s->phase = SNAPSHOT_ENDING;
    }
}

static void begin_owed(struct journal *j)
{
    uint64_t number = j->clear_owed;
    j->clear_owed = 0;
    begin(j, true, number);
}

/* What is on its way into a file that will be replaced must be in the owner's state, which it enters
 * when the owner hears that it is durable: the beginning waits for that. And the owner's state may have
 * what is on its way and can still fail: the end waits for it, so that nothing stands in a snapshot
 * that was reported lost. */
void compact_step(struct journal *j)
{
    struct snapshot_job *s = &j->snapshot;
    if (s->phase == SNAPSHOT_NONE && j->clear_owed != 0 &&
        loop_now_us(j->loop) >= j->clear_after_us)
        begin_owed(j);
    if (s->phase == SNAPSHOT_NONE || s->busy)
        return;
    if (s->phase == SNAPSHOT_FILLING && s->at == 0 && j->acknowledged < s->from)
        return;
    if (s->phase == SNAPSHOT_FILLING)
        fill_slice(j);
    if (!s->abort && (s->phase == SNAPSHOT_FILLING || j->acknowledged >= s->wait))
        submit(j);
}

/* Once its end is on the way it happens. */
void compact_abort(struct journal *j)
{
    struct snapshot_job *s = &j->snapshot;
    bool ending = s->phase == SNAPSHOT_ENDING && s->busy;
    if (s->phase == SNAPSHOT_NONE || ending || s->clear || s->abort)
        return;
    s->abort = true;
    if (!s->busy)
        submit_discard(j, s->fd);
}

void compact_finish(struct journal *j)
{
    compact_abort(j);
    worker_wait(j->keeper);
    if (j->snapshot.phase == SNAPSHOT_NONE && j->clear_owed != 0)
        begin_owed(j);
    if (j->snapshot.clear)
        compact_step(j);
    worker_wait(j->keeper);
}

void journal_compact(struct journal *j)
{
    if (j->snapshot.phase != SNAPSHOT_NONE || j->failed || j->read_only ||
        loop_now_us(j->loop) < j->compact_after_us)
        return;
    begin(j, false, take_number(j));
}

void journal_clear(struct journal *j)
{
    struct snapshot_job *s = &j->snapshot;
    CHECK(!j->read_only && j->pending.len == 0 && (!j->writing || j->failed));
    if (s->phase != SNAPSHOT_NONE) {
        s->then_clear = take_number(j); /* what is appended meanwhile is not meant */
        compact_abort(j);
    } else if (!is_clear(j)) {
        j->clear_owed = 0;
        begin(j, true, take_number(j));
        compact_step(j);
    }
}

bool journal_is_compacting(const struct journal *j)
{
    return j->snapshot.phase != SNAPSHOT_NONE;
}

void journal_snapshot_add(struct journal *j, const struct journal_record *r)
{
    struct snapshot_job *s = &j->snapshot;
    CHECK(s->phase == SNAPSHOT_FILLING && !s->busy);
    s->records++;
    journal_encode(r, &s->data);
}
