/* One slice is with the thread at a time; the next one is asked for when it is back, at the end of
 * a turn. What is cancelled goes on to a last work that removes the unfinished file. */
#include "store/journal/warm.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "store/journal/internal.h"
#include "store/journal/scan.h"

enum { SLICE = 512 * 1024 };

static const char temporary[] = "warm.tmp";

struct warm {
    struct work work;
    struct worker *worker;
    int dirfd;
    char *name; /* of the instance */
    struct warm_source source;
    void *arg;
    bool writing; /* between warm_begin and done */
    bool busy;    /* the thread has it */
    bool cancelled;
    /* the thread's while busy: */
    int fd;
    uint64_t at;
    uint64_t records;
    struct buf data;
    bool last;
    bool discard;
    bool ok;
    int error; /* errno */
};

/* ---- the thread ---- */

static void discard(struct warm *w)
{
    if (w->fd < 0)
        return;
    close(w->fd);
    w->fd = -1;
    unlinkat(w->dirfd, temporary, 0);
}

static bool publish(struct warm *w)
{
    char name[FILENAME_SIZE];
    return renameat(w->dirfd, temporary, w->dirfd, file_name(FILE_WARM, 0, name)) == 0 &&
           fsync(w->dirfd) == 0;
}

/* Each slice is synced: one large fsync at the end would hold up the journal's. */
static bool write_slice(struct warm *w)
{
    if (w->fd < 0)
        w->fd = openat(w->dirfd, temporary, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    return w->fd >= 0 && write_fully(w->fd, w->data.data, w->data.len, w->at) &&
           fdatasync(w->fd) == 0 && (!w->last || publish(w));
}

static void run(struct work *work)
{
    struct warm *w = LIST_ITEM(work, struct warm, work);
    if (w->discard) {
        discard(w);
        return;
    }
    w->ok = write_slice(w);
    if (!w->ok) {
        w->error = errno;
        discard(w);
    } else if (w->last) {
        close(w->fd);
        w->fd = -1;
    }
}

/* ---- the loop ---- */

static void submit(struct warm *w)
{
    w->busy = true;
    worker_submit(w->worker, &w->work);
}

static void end(struct warm *w)
{
    w->writing = false;
    buf_release(&w->data);
}

static void on_done(struct work *work)
{
    struct warm *w = LIST_ITEM(work, struct warm, work);
    w->busy = false;
    w->at += w->data.len;
    if (w->cancelled && w->fd >= 0 && !w->discard) {
        w->discard = true;
        submit(w);
    } else if (w->cancelled) {
        end(w);
    } else if (!w->ok || w->last) {
        end(w);
        w->source.done(w->arg, w->ok ? w->at : 0, w->ok ? NULL : strerror(w->error));
    }
}

struct warm *warm_new(struct loop *loop, const char *dir, const char *instance_name,
                      struct buf *error)
{
    int dirfd = folder_open(dir, true, error);
    if (dirfd < 0)
        return NULL;
    struct warm *w = mem_zalloc(sizeof(*w));
    w->worker = worker_new(loop);
    if (w->worker == NULL) {
        buf_append_cstr(error, "no thread can be started for the warm file");
        close(dirfd);
        mem_free(w);
        return NULL;
    }
    w->work = (struct work){.run = run, .done = on_done};
    w->dirfd = dirfd;
    w->name = mem_strdup(instance_name);
    w->fd = -1;
    buf_init(&w->data);
    return w;
}

void warm_free(struct warm *w)
{
    if (w == NULL)
        return;
    warm_cancel(w);
    worker_wait(w->worker);
    worker_free(w->worker);
    close(w->dirfd);
    buf_release(&w->data);
    mem_free(w->name);
    mem_free(w);
}

bool warm_begin(struct warm *w, const struct journal_clock *clock, const struct warm_source *source,
                void *arg)
{
    struct file_header h = {.kind = FILE_WARM, .created_us = clock_wall_us()};
    struct journal_record r = {.kind = JOURNAL_CLOCK, .clock = *clock};
    if (w->writing)
        return false;
    w->source = *source;
    w->arg = arg;
    w->writing = true;
    w->cancelled = w->last = w->discard = w->ok = false;
    w->at = 0;
    w->records = 1;
    memcpy(h.name, w->name, strnlen(w->name, FILE_NAME_SIZE - 1));
    header_encode(&h, buf_reserve(&w->data, FILE_HEADER_SIZE));
    w->data.len = FILE_HEADER_SIZE;
    journal_encode(&r, &w->data);
    return true;
}

void warm_add(struct warm *w, const struct journal_item *item)
{
    struct journal_item copy = *item;
    struct journal_record r = {.kind = JOURNAL_WRITE, .items = &copy, .nitems = 1};
    CHECK(w->writing && !w->busy);
    journal_encode(&r, &w->data);
    w->records++;
}

void warm_flush(struct warm *w)
{
    if (!w->writing || w->busy || w->last)
        return;
    if (w->at > 0) /* else the header stands there */
        buf_reset(&w->data, 4 * (size_t)SLICE);
    w->last = !w->source.more(w->arg, SLICE);
    if (!w->writing || w->busy) /* cancelled within the call */
        return;
    if (w->last)
        end_encode(w->records, &w->data);
    submit(w);
}

void warm_cancel(struct warm *w)
{
    if (!w->writing || w->cancelled)
        return;
    w->cancelled = true;
    if (w->busy)
        return;
    if (w->fd < 0) {
        end(w);
        return;
    }
    w->discard = true;
    submit(w);
}

bool warm_is_writing(const struct warm *w)
{
    return w->writing;
}

/* ---- loading ---- */

static void warn(const char *dir, const char *why)
{
    char quoted[LOG_QUOTE_SIZE];
    char quoted_dir[LOG_QUOTE_SIZE];
    log_event(LOG_WARNING, "warm-file-damaged", "dir=%s why=%s", log_quote(dir, quoted_dir),
              log_quote(why, quoted));
}

uint64_t warm_load(const char *dir, void (*record)(void *arg, const struct journal_record *r),
                   void *arg)
{
    struct scan s = {0};
    struct scan_file f = {.entry = {.kind = FILE_WARM}};
    struct buf lost;
    buf_init(&lost);
    s.dirfd = folder_open(dir, false, &lost);
    if (s.dirfd >= 0 && scan_open_warm(&s, &f)) {
        if (f.header_ok)
            scan_salvage(&s, &f, record, arg, &lost);
        if (f.state == SCAN_DAMAGED || lost.len > 0)
            warn(dir, f.state == SCAN_DAMAGED ? f.why : buf_cstr(&lost));
    }
    if (s.dirfd >= 0)
        close(s.dirfd);
    buf_release(&lost);
    return f.records;
}
