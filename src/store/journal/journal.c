/* Opening, appending, closing. The loop's side owns the state; the threads get work with everything
 * they need in it (worker.h). Positions count the bytes of records since the opening; they are
 * nobody's offsets. */
#include "store/journal/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/log.h"
#include "base/mem.h"
#include "store/journal/internal.h"
#include "store/journal/scan.h"

/* ---- the files that count ---- */

static void count_bytes(struct journal *j)
{
    j->stats.bytes = 0;
    for (size_t i = 0; i < j->nfiles; i++)
        j->stats.bytes += j->files[i].bytes;
}

void journal_set_file(struct journal *j, enum file_kind kind, uint64_t number, uint64_t bytes)
{
    for (size_t i = 0; i < j->nfiles; i++) {
        struct kept_file *f = &j->files[i];
        if (f->entry.kind != kind || f->entry.number != number)
            continue;
        j->stats.bytes += bytes - f->bytes;
        f->bytes = bytes;
        return;
    }
    j->files = mem_realloc(j->files, (j->nfiles + 1) * sizeof(*j->files));
    j->files[j->nfiles++] = (struct kept_file){{kind, number}, bytes};
    j->stats.bytes += bytes;
}

void journal_drop_files_below(struct journal *j, uint64_t number)
{
    size_t kept = 0;
    for (size_t i = 0; i < j->nfiles; i++)
        if (j->files[i].entry.number >= number)
            j->files[kept++] = j->files[i];
    j->nfiles = kept;
    count_bytes(j);
}

void journal_make_header(const struct journal *j, enum file_kind kind, uint64_t number,
                         struct file_header *h)
{
    *h = (struct file_header){.kind = kind, .number = number, .created_us = clock_wall_us()};
    memcpy(h->id, j->id, ID_SIZE);
    memcpy(h->name, j->name, strnlen(j->name, FILE_NAME_SIZE - 1));
}

/* ---- opening ---- */

static void set_id(struct journal *j, const struct scan *s)
{
    char bytes[ID_SIZE + 1]; /* a NUL behind */
    if (s->has_id) {
        memcpy(j->id, s->id, ID_SIZE);
    } else {
        random_bytes(bytes, sizeof(bytes));
        memcpy(j->id, bytes, ID_SIZE);
    }
    for (size_t i = 0; i < ID_SIZE; i++)
        snprintf(j->id_hex + 2 * i, 3, "%02x", j->id[i]);
}

static void explain_damage(const struct journal *j, const struct scan_file *f, struct buf *error)
{
    char name[FILENAME_SIZE];
    buf_printf(error,
               "journal %s/%s is damaged at offset %" PRIu64 ": %s. What was written before "
               "and behind it may be wanted still: look with \"respgres --check-journal %s\", "
               "keep what can be read with \"respgres --repair-journal %s\"",
               j->dir, file_name(f->entry.kind, f->entry.number, name), f->damaged_at, f->why,
               j->dir, j->dir);
}

static void warn_of_tail(const struct scan_file *f, const char *name)
{
    char quoted[LOG_QUOTE_SIZE];
    log_event(LOG_WARNING, "journal-tail-cut",
              "file=%s offset=%" PRIu64 " bytes=%" PRIu64 " why=%s", name, f->end, f->size - f->end,
              log_quote(f->why, quoted));
}

/* Cuts what nobody was told is safe. The last segment is synced: what has been read of it counts
 * from now on, also if the process that wrote it was killed before its fsync. */
static bool cut(struct journal *j, const struct scan_file *f, bool last, struct buf *error)
{
    char name[FILENAME_SIZE];
    file_name(f->entry.kind, f->entry.number, name);
    if (j->read_only || (f->size == f->end && f->end > 0 && !last))
        return true;
    if (f->state == SCAN_TORN)
        warn_of_tail(f, name);
    if (f->end == 0) {
        unlinkat(j->dirfd, name, 0);
        return true;
    }
    int fd = openat(j->dirfd, name, O_WRONLY | O_CLOEXEC);
    bool ok = fd >= 0 && ftruncate(fd, (off_t)f->end) == 0 && fsync(fd) == 0;
    if (!ok)
        buf_printf(error, "journal %s/%s cannot be cut: %s", j->dir, name, strerror(errno));
    if (fd >= 0)
        close(fd);
    return ok;
}

static bool read_file(struct journal *j, struct scan *s, struct scan_file *f, struct buf *error)
{
    if (f->entry.number >= j->next_number)
        j->next_number = f->entry.number + 1;
    if (f->state == SCAN_STALE)
        return true;
    scan_read(s, f, j->events.record, j->arg);
    if (f->state == SCAN_DAMAGED) {
        explain_damage(j, f, error);
        return false;
    }
    if (!cut(j, f, f == &s->files[s->last], error))
        return false;
    if (f->end == 0)
        return true;
    journal_set_file(j, f->entry.kind, f->entry.number, f->end);
    if (f->entry.kind == FILE_SEGMENT) {
        j->number = f->entry.number;
        j->end = f->end;
    }
    return true;
}

static bool read_files(struct journal *j, struct buf *error)
{
    struct scan s;
    char name[FILENAME_SIZE];
    if (!scan_open(&s, j->dirfd, error))
        return false;
    bool ok = true;
    set_id(j, &s);
    for (size_t i = 0; ok && i < s.n; i++)
        ok = read_file(j, &s, &s.files[i], error);
    for (size_t i = 0; ok && !j->read_only && i < s.n; i++)
        if (s.files[i].state == SCAN_STALE)
            unlinkat(j->dirfd, file_name(s.files[i].entry.kind, s.files[i].entry.number, name), 0);
    scan_close(&s);
    return ok;
}

static bool start_threads(struct journal *j, struct buf *error)
{
    j->writer = worker_new(j->loop);
    j->keeper = j->writer == NULL ? NULL : worker_new(j->loop);
    if (j->keeper == NULL)
        buf_append_cstr(error, "no thread can be started for the journal");
    return j->keeper != NULL;
}

static bool open_folder(struct journal *j, struct buf *error)
{
    j->dirfd = folder_open(j->dir, !j->read_only, error);
    if (j->dirfd < 0)
        return false;
    if (j->read_only)
        return true;
    j->lockfd = folder_lock(j->dirfd, j->dir, error);
    if (j->lockfd < 0)
        return false;
    folder_remove_unfinished(j->dirfd);
    return true;
}

static void release(struct journal *j)
{
    worker_free(j->writer);
    worker_free(j->keeper);
    timer_free(j->second);
    if (j->fd >= 0)
        close(j->fd);
    if (j->dirfd >= 0)
        close(j->dirfd);
    if (j->lockfd >= 0)
        close(j->lockfd);
    buf_release(&j->pending);
    buf_release(&j->write.data);
    buf_release(&j->snapshot.data);
    mem_free(j->files);
    mem_free(j->dir);
    mem_free(j->name);
    mem_free(j);
}

struct journal *journal_open(struct loop *loop, const struct journal_options *options,
                             const struct journal_events *events, void *arg, struct buf *error)
{
    struct journal *j = mem_zalloc(sizeof(*j));
    CHECK(loop != NULL || options->read_only);
    j->loop = loop;
    j->events = *events;
    j->arg = arg;
    j->dir = mem_strdup(options->dir);
    j->name = mem_strdup(options->instance_name == NULL ? "" : options->instance_name);
    j->read_only = options->read_only;
    j->fsync = options->fsync;
    j->max_bytes = options->max_bytes;
    j->dirfd = j->lockfd = j->fd = -1;
    j->next_number = 1;
    buf_init(&j->pending);
    buf_init(&j->write.data);
    buf_init(&j->snapshot.data);
    if (!open_folder(j, error) || !read_files(j, error) ||
        (!j->read_only && !start_threads(j, error))) {
        release(j);
        return NULL;
    }
    return j;
}

/* The segment is left without the zeros that were set aside. */
static void finish_segment(struct journal *j)
{
    char quoted[LOG_QUOTE_SIZE];
    if (j->fd < 0)
        return;
    bool ok = ftruncate(j->fd, (off_t)j->end) == 0;
    if (j->unsynced && j->fsync != JOURNAL_FSYNC_NO && !j->bad)
        ok = fdatasync(j->fd) == 0 && ok;
    if (!ok)
        log_event(LOG_WARNING, "journal-not-closed", "why=%s", log_quote(strerror(errno), quoted));
}

void journal_close(struct journal *j)
{
    if (j == NULL)
        return;
    if (!j->read_only) {
        j->closing = true;
        writer_submit(j);
        worker_wait(j->writer);
        compact_finish(j);
        finish_segment(j);
    }
    release(j);
}

const char *journal_id(const struct journal *j)
{
    return j->id_hex;
}

/* ---- appending ---- */

static bool is_full(const struct journal *j, size_t more)
{
    uint64_t waiting = j->pending.len + (j->writing ? j->write.data.len : 0);
    return j->max_bytes > 0 && j->stats.bytes + waiting + more > (uint64_t)j->max_bytes;
}

static bool refuse(struct journal *j, const char *why)
{
    j->full = true;
    snprintf(j->error, sizeof(j->error), "%s", why);
    return false;
}

/* What tells of records that are there already is small and has room beyond the limit: without it
 * a journal that is full could not be merged. */
static bool is_limited(enum journal_kind kind)
{
    return kind == JOURNAL_WRITE || kind == JOURNAL_FLUSH;
}

static bool may_append(struct journal *j, enum journal_kind kind, size_t size)
{
    char why[ERROR_SIZE];
    if (j->failed)
        return false;
    j->full = false;
    if (size > PAYLOAD_MAX)
        return refuse(j, "a record is too large for the journal");
    if (!is_limited(kind) || !is_full(j, size))
        return true;
    snprintf(why, sizeof(why), "the journal is full: its limit is %" PRId64 " bytes", j->max_bytes);
    return refuse(j, why);
}

uint64_t journal_append(struct journal *j, const struct journal_record *r)
{
    size_t size = record_size(r);
    CHECK(!j->read_only);
    if (!may_append(j, r->kind, size))
        return 0;
    if (j->pending.len == 0) {
        buf_reserve(&j->pending, MARK_SIZE + size);
        j->pending.len = MARK_SIZE; /* filled when it goes out */
    }
    journal_encode(r, &j->pending);
    j->stats.records++;
    j->position += size;
    return j->position;
}

bool journal_flush(struct journal *j)
{
    writer_submit(j);
    compact_step(j);
    return false;
}

bool journal_retry(struct journal *j)
{
    if (!j->failed)
        return false;
    writer_begin(j);
    return true;
}

const char *journal_error(const struct journal *j)
{
    return j->failed || j->full ? j->error : NULL;
}

void journal_get_stats(const struct journal *j, struct journal_stats *out)
{
    *out = j->stats;
}

void journal_set_fsync(struct journal *j, enum journal_fsync fsync)
{
    j->fsync = fsync;
    if (!j->read_only)
        writer_arm(j);
}

void journal_set_max_bytes(struct journal *j, int64_t bytes)
{
    j->max_bytes = bytes;
    j->full = false;
}
