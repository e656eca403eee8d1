/* The current segment. One group is on its way at a time; what is appended meanwhile is the next
 * one. The loop decides everything before and after; the thread only writes, at a place it is told,
 * so that a group which failed leaves no doubt about where the acknowledged part of the file ends.
 *
 * A segment is set aside on the disk in steps, size included, ahead of what is written: an
 * fdatasync then has no size to change, which is most of the metadata it would have to write. What
 * is not used is zeros; they are cut when the segment ends. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "store/journal/internal.h"

enum {
    STEP = 4 * 1024 * 1024,  /* set aside at a time */
    LEAST_STEP = 256 * 1024, /* a new segment must get this */
    SEGMENT_SIZE = 64 * 1024 * 1024,
    SECOND_US = 1000 * 1000,
    DELAYED_US = 2 * 1000 * 1000,
};

/* ---- the thread ---- */

bool write_fully(int fd, const char *data, size_t n, uint64_t at)
{
    while (n > 0) {
        ssize_t done = pwrite(fd, data, n, (off_t)at);
        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0)
            return false;
        if (done == 0) {
            errno = EIO;
            return false;
        }
        data += done;
        n -= (size_t)done;
        at += (uint64_t)done;
    }
    return true;
}

static bool timed_sync(struct write_job *w, int fd)
{
    int64_t start_us = clock_mono_us();
    bool ok = fdatasync(fd) == 0;
    uint64_t took_us = (uint64_t)(clock_mono_us() - start_us);
    w->fsyncs++;
    w->fsync_us += took_us;
    if (took_us > w->fsync_us_max)
        w->fsync_us_max = took_us;
    return ok;
}

static bool fail(struct write_job *w, const char *what)
{
    char name[FILENAME_SIZE];
    snprintf(w->error, sizeof(w->error), "%s %s: %s", what,
             file_name(FILE_SEGMENT, w->number, name), strerror(errno));
    return false;
}

/* Failing is no error where the file system cannot do this, or where less room is left than a step:
 * the write itself decides. */
static bool set_aside(struct write_job *w, uint64_t least)
{
    uint64_t until = w->at + w->data.len + STEP;
    if (!w->sync && w->at > 0) /* so that the sync at the segment's end finds little to do */
        sync_file_range(w->fd, 0, (off_t)w->at, SYNC_FILE_RANGE_WRITE);
    if (fallocate(w->fd, 0, (off_t)w->allocated, (off_t)(until - w->allocated)) == 0) {
        w->allocated = until;
        return true;
    }
    if (errno == EOPNOTSUPP || errno == ENOSYS) {
        w->allocated = UINT64_MAX; /* not again */
        return true;
    }
    return fallocate(w->fd, 0, 0, (off_t)(w->at + least)) == 0;
}

/* The old segment ends where it was acknowledged. The new one's header says so too, so nothing
 * depends on the cut. */
static bool end_old(struct write_job *w)
{
    int fd = w->old_fd;
    w->old_fd = -1;
    if (fd < 0)
        return true;
    bool cut = ftruncate(fd, (off_t)w->old_end) == 0;
    (void)cut;
    bool ok = w->old_is_bad || timed_sync(w, fd);
    if (!ok)
        fail(w, "syncing the segment before");
    close(fd);
    return ok;
}

static bool begin_segment(struct write_job *w)
{
    char name[FILENAME_SIZE];
    char header[FILE_HEADER_SIZE];
    if (!end_old(w))
        return false;
    w->fd = openat(w->dirfd, file_name(FILE_SEGMENT, w->number, name),
                   O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (w->fd < 0)
        return fail(w, "making");
    w->at = FILE_HEADER_SIZE;
    w->allocated = 0;
    header_encode(&w->header, header);
    if (!set_aside(w, LEAST_STEP) || !write_fully(w->fd, header, sizeof(header), 0))
        return fail(w, "writing");
    return true;
}

/* A segment that was not begun is no segment. */
static void undo_begin(struct write_job *w)
{
    char name[FILENAME_SIZE];
    if (w->fd < 0)
        return;
    close(w->fd);
    w->fd = -1;
    unlinkat(w->dirfd, file_name(FILE_SEGMENT, w->number, name), 0);
}

static bool write_group(struct write_job *w)
{
    if (w->begin && !begin_segment(w))
        return false;
    if (w->at + w->data.len > w->allocated)
        set_aside(w, 0);
    int64_t start_us = clock_mono_us();
    if (!write_fully(w->fd, w->data.data, w->data.len, w->at))
        return fail(w, "writing");
    w->took_us = (uint64_t)(clock_mono_us() - start_us);
    if ((w->sync || w->begin) && !timed_sync(w, w->fd))
        return fail(w, "syncing");
    if (w->begin && fsync(w->dirfd) != 0)
        return fail(w, "syncing the folder of");
    return true;
}

/* What was not acknowledged is cut at once, as far as that can be done: nobody shall read it. */
static void run_write(struct work *work)
{
    struct write_job *w = LIST_ITEM(work, struct write_job, work);
    w->ok = write_group(w);
    if (w->ok)
        return;
    if (w->begin) {
        undo_begin(w);
        return;
    }
    bool cut = ftruncate(w->fd, (off_t)w->at) == 0;
    (void)cut;
    w->allocated = w->at;
}

static void run_sync(struct work *work)
{
    struct sync_job *s = LIST_ITEM(work, struct sync_job, work);
    int64_t start_us = clock_mono_us();
    s->error = fdatasync(s->fd) == 0 ? 0 : errno;
    s->took_us = (uint64_t)(clock_mono_us() - start_us);
    close(s->fd);
}

/* ---- the loop ---- */

void writer_fail(struct journal *j, const char *why)
{
    char quoted[LOG_QUOTE_SIZE];
    j->failed = true;
    j->bad = true;
    j->stats.failures++;
    snprintf(j->error, sizeof(j->error), "%s", why);
    buf_reset(&j->pending, KEPT_BUFFER);
    compact_abort(j);
    if (!j->closing)
        j->events.failed(j->arg, j->error);
    else
        log_event(LOG_WARNING, "journal-not-written", "why=%s", log_quote(j->error, quoted));
}

static void count_syncs(struct journal *j, uint64_t n, uint64_t took_us, uint64_t longest_us)
{
    j->stats.fsyncs += n;
    j->stats.fsync_us += took_us;
    if (longest_us > j->stats.fsync_us_max)
        j->stats.fsync_us_max = longest_us;
}

/* Where the thread left the files. */
static void take_over(struct journal *j, const struct write_job *w)
{
    count_syncs(j, w->fsyncs, w->fsync_us, w->fsync_us_max);
    if (w->took_us > DELAYED_US)
        j->stats.delayed++;
    if (w->begin && w->ok) {
        j->number = w->number;
        j->bad = false;
    }
    if (w->begin)
        j->fd = w->fd; /* the old one is closed in any case */
    j->allocated = w->allocated;
    if (!w->ok)
        return;
    j->end = w->at + w->data.len;
    j->unsynced = !w->sync && !w->begin;
    if (w->sync || w->begin)
        j->synced = j->end;
    journal_set_file(j, FILE_SEGMENT, j->number, j->end);
}

/* While the group was being written an fsync of its file has failed. A segment that was begun
 * meanwhile is not concerned. */
static void consider_sync_error(struct journal *j, struct write_job *w)
{
    if (j->sync_error[0] != '\0' && w->ok && !w->begin) {
        w->ok = false;
        memcpy(w->error, j->sync_error, sizeof(w->error));
    }
    j->sync_error[0] = '\0';
}

static void on_written(struct work *work)
{
    struct write_job *w = LIST_ITEM(work, struct write_job, work);
    struct journal *j = w->j;
    j->writing = false;
    consider_sync_error(j, w);
    take_over(j, w);
    buf_reset(&w->data, KEPT_BUFFER);
    if (!w->ok) {
        writer_fail(j, w->error);
        return;
    }
    uint64_t position = w->position;
    j->failed = false;
    j->acknowledged = position;
    writer_submit(j);
    writer_arm(j);
    if (!j->closing)
        j->events.durable(j->arg, position);
}

static void prepare_begin(struct journal *j)
{
    struct write_job *w = &j->write;
    w->begin = true;
    w->number = j->next_number;
    w->old_fd = j->fd;
    w->old_end = j->end;
    w->old_is_bad = j->bad;
    w->fd = -1;
    w->at = 0;
    j->next_number++;
    j->roll = false;
    journal_make_header(j, FILE_SEGMENT, w->number, &w->header);
    w->header.previous = j->number;
    w->header.previous_end = j->number == 0 ? 0 : j->end;
    j->fd = -1;
}

static void prepare(struct journal *j, bool begin)
{
    struct write_job *w = &j->write;
    *w = (struct write_job){.j = j,
                            .work = {.run = run_write, .done = on_written},
                            .dirfd = j->dirfd,
                            .fd = j->fd,
                            .number = j->number,
                            .at = j->end,
                            .allocated = j->allocated,
                            .old_fd = -1,
                            .data = w->data,
                            .sync = j->fsync == JOURNAL_FSYNC_ALWAYS,
                            .position = j->position};
    if (begin)
        prepare_begin(j);
}

/* What a mark promises of the file: what was acknowledged and synced. What everysec has not synced
 * yet may be lost in a crash of the machine, and is no damage then. */
static uint64_t promised(const struct journal *j)
{
    const struct write_job *w = &j->write;
    if (w->begin)
        return 0;
    return j->fsync == JOURNAL_FSYNC_NO ? w->at : j->synced;
}

void writer_submit(struct journal *j)
{
    struct write_job *w = &j->write;
    if (j->writing || j->failed || j->pending.len == 0)
        return;
    prepare(j, j->fd < 0 || j->roll || j->end >= SEGMENT_SIZE);
    struct buf empty = w->data;
    w->data = j->pending;
    j->pending = empty;
    mark_encode(promised(j), j->id, w->data.data);
    j->writing = true;
    worker_submit(j->writer, &w->work);
}

void writer_begin(struct journal *j)
{
    if (j->writing)
        return;
    prepare(j, true);
    j->writing = true;
    worker_submit(j->writer, &j->write.work);
}

static void on_synced(struct work *work)
{
    struct sync_job *s = LIST_ITEM(work, struct sync_job, work);
    struct journal *j = s->j;
    char name[FILENAME_SIZE];
    char why[ERROR_SIZE];
    char quoted[LOG_QUOTE_SIZE];
    j->syncing = false;
    count_syncs(j, 1, s->took_us, s->took_us);
    if (s->error == 0) {
        if (s->number == j->number && s->end > j->synced)
            j->synced = s->end;
        writer_arm(j);
        return;
    }
    snprintf(why, sizeof(why), "syncing %s: %s", file_name(FILE_SEGMENT, s->number, name),
             strerror(s->error));
    if (s->number != j->number || j->failed)
        log_event(LOG_WARNING, "journal-not-synced", "why=%s", log_quote(why, quoted));
    else if (j->writing)
        memcpy(j->sync_error, why, sizeof(why));
    else
        writer_fail(j, why);
}

/* Not while the thread may be closing the segment. */
static void on_second(void *arg)
{
    struct journal *j = arg;
    j->second_set = false;
    if (!j->unsynced || j->syncing || j->bad || j->fd < 0 || j->fsync == JOURNAL_FSYNC_NO) {
        writer_arm(j);
        return;
    }
    int fd = fcntl(j->fd, F_DUPFD_CLOEXEC, 0);
    if (fd < 0) { /* no descriptor left: next time */
        writer_arm(j);
        return;
    }
    j->unsynced = false;
    j->syncing = true;
    j->sync = (struct sync_job){.work = {.run = run_sync, .done = on_synced},
                                .j = j,
                                .fd = fd,
                                .number = j->number,
                                .end = j->end};
    worker_submit(j->keeper, &j->sync.work);
}

void writer_arm(struct journal *j)
{
    if (j->second == NULL)
        j->second = timer_new(j->loop, on_second, j);
    if (j->second_set || !j->unsynced || j->closing || j->fsync == JOURNAL_FSYNC_NO)
        return;
    j->second_set = true;
    timer_set(j->second, SECOND_US);
}
