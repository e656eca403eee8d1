/* What is bad is torn or damaged by one rule: damaged, if it had been acknowledged. Three things
 * tell: the next segment's header says where this one ended; a mark behind the bad place says how
 * far the file had been acknowledged when the mark was written; a snapshot got its name when it was
 * complete. Otherwise the bad bytes belong to the last group that was written, whose pages a crash
 * may have kept in any order: none of it was acknowledged unless it was all there.
 *
 * A value may hold anything, so also bytes that look like a mark: a mark carries the journal's id,
 * which no client knows. */
#include "store/journal/scan.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "base/mem.h"

enum { SEARCH_STEP = 64 * 1024, SECTOR = 4096 };

static PRINTF_LIKE(4, 5) void mark_bad(struct scan_file *f, enum scan_state state, uint64_t at,
                                       const char *why, ...)
{
    va_list ap;
    va_start(ap, why);
    vsnprintf(f->why, sizeof(f->why), why, ap);
    va_end(ap);
    f->state = state;
    f->damaged_at = at;
}

/* ---- headers and the chain ---- */

static void read_header(struct scan *s, struct scan_file *f)
{
    char name[FILENAME_SIZE];
    struct window w;
    const char *why = NULL;
    if (!window_open(&w, s->dirfd, file_name(f->entry.kind, f->entry.number, name))) {
        mark_bad(f, SCAN_DAMAGED, 0, "cannot be opened: %s", strerror(errno));
        return;
    }
    f->size = w.size;
    f->header_ok = header_decode(window_get(&w, 0, FILE_HEADER_SIZE), &f->header, &why);
    f->other_version = why == header_of_other_version;
    if (w.error != 0)
        mark_bad(f, SCAN_DAMAGED, 0, "cannot be read: %s", strerror(w.error));
    else if (!f->header_ok)
        mark_bad(f, SCAN_DAMAGED, 0, "%s", why);
    else if (f->header.number != f->entry.number || f->header.kind != f->entry.kind)
        mark_bad(f, SCAN_DAMAGED, 0, "it is another file under this name");
    window_close(&w);
}

static size_t count_files_of(const struct scan *s, const uint8_t id[ID_SIZE])
{
    size_t n = 0;
    for (size_t i = 0; i < s->n; i++)
        n += s->files[i].header_ok && memcmp(s->files[i].header.id, id, ID_SIZE) == 0;
    return n;
}

/* The id is that of most files, of the highest one where two have as many. */
static void find_id(struct scan *s)
{
    size_t most = 0;
    for (size_t i = s->n; i > 0; i--) {
        const struct file_header *h = &s->files[i - 1].header;
        if (!s->files[i - 1].header_ok || count_files_of(s, h->id) <= most)
            continue;
        most = count_files_of(s, h->id);
        s->has_id = true;
        memcpy(s->id, h->id, ID_SIZE);
    }
}

static bool is_good(const struct scan_file *f)
{
    return f->header_ok && f->state == SCAN_WHOLE;
}

/* Everything below the highest snapshot is replaced by it. */
static uint64_t first_number(const struct scan *s)
{
    for (size_t i = s->n; i > 0; i--)
        if (s->files[i - 1].entry.kind == FILE_SNAPSHOT)
            return s->files[i - 1].entry.number;
    return 0;
}

/* A segment between this one and the one before it was given up when it was begun. */
static void check_link(struct scan *s, struct scan_file *f, uint64_t first)
{
    char name[FILENAME_SIZE];
    uint64_t previous = f->header.previous;
    struct scan_file *before = f;
    while (before > s->files) {
        before--;
        if (before->entry.kind != FILE_SEGMENT || before->entry.number <= previous)
            break;
        before->state = SCAN_STALE;
    }
    if (before->entry.kind == FILE_SEGMENT && before->entry.number == previous) {
        before->limited = true;
        before->limit = f->header.previous_end;
    } else if (previous != 0 && previous >= first) {
        mark_bad(f, SCAN_DAMAGED, 0, "%s, which was before it, is missing",
                 file_name(FILE_SEGMENT, previous, name));
    }
}

static void check_chain(struct scan *s)
{
    uint64_t first = first_number(s);
    for (size_t i = 0; i < s->n; i++) {
        struct scan_file *f = &s->files[i];
        if (f->entry.number < first) {
            f->state = SCAN_STALE;
            continue;
        }
        if (is_good(f) && memcmp(f->header.id, s->id, ID_SIZE) != 0)
            mark_bad(f, SCAN_DAMAGED, 0, "it belongs to another journal");
        if (f->entry.kind == FILE_SEGMENT && is_good(f))
            check_link(s, f, first);
    }
}

/* ---- frames ---- */

/* The frame at `at`. It may be as long as the file at most, so nothing is allocated for a length
 * that only claims to be. */
static enum journal_parse read_frame(struct window *w, uint64_t at, struct frame *f)
{
    struct bytes head = window_get(w, at, FRAME_HEAD_SIZE);
    size_t size = head.len < FRAME_HEAD_SIZE ? 0 : frame_size(head.data);
    if (size == 0)
        return frame_parse(head, f);
    if (size > w->size - at)
        return JOURNAL_INCOMPLETE;
    return frame_parse(window_get(w, at, size), f);
}

/* The next place from `at` on where a marker stands; the file's size if there is none. */
static uint64_t find_marker(struct window *w, uint64_t at)
{
    while (at + FRAME_HEAD_SIZE <= w->size) {
        struct bytes s = window_get(w, at, SEARCH_STEP);
        if (s.len < sizeof(frame_marker)) {
            at += SECTOR - at % SECTOR; /* a place that cannot be read */
            continue;
        }
        const char *hit = memmem(s.data, s.len, frame_marker, sizeof(frame_marker));
        if (hit != NULL)
            return at + (uint64_t)(hit - s.data);
        at += s.len - (sizeof(frame_marker) - 1);
    }
    return w->size;
}

/* Does a mark of this journal behind `at` say that what stands at `at` had been acknowledged? */
static bool was_acknowledged(const struct scan *s, struct window *w, uint64_t at)
{
    uint64_t acknowledged;
    uint8_t id[ID_SIZE];
    struct frame f;
    for (uint64_t p = find_marker(w, at); p < w->size; p = find_marker(w, p + 1)) {
        struct bytes in = window_get(w, p, MARK_SIZE);
        if (in.len < MARK_SIZE || frame_size(in.data) != MARK_SIZE ||
            frame_parse(in, &f) != JOURNAL_PARSED || !mark_decode(&f, &acknowledged, id))
            continue;
        if (acknowledged > at && acknowledged <= p &&
            (!s->has_id || memcmp(id, s->id, ID_SIZE) == 0))
            return true;
    }
    return false;
}

/* A segment whose header was being written when everything stopped holds nothing, and the one
 * before it is the last. */
static bool is_unborn(const struct scan *s, const struct scan_file *f)
{
    char name[FILENAME_SIZE];
    struct window w;
    if (f->entry.kind != FILE_SEGMENT || f->header_ok || f->other_version ||
        !window_open(&w, s->dirfd, file_name(f->entry.kind, f->entry.number, name)))
        return false;
    bool unborn = !was_acknowledged(s, &w, 0) && w.error == 0;
    window_close(&w);
    return unborn;
}

static void find_last(struct scan *s)
{
    for (s->last = s->n; s->last > 0; s->last--) {
        struct scan_file *f = &s->files[s->last - 1];
        if (f->state != SCAN_DAMAGED || !is_unborn(s, f))
            break;
        f->state = SCAN_TORN;
    }
    s->last -= s->last > 0;
}

bool scan_open(struct scan *s, int dirfd, struct buf *error)
{
    struct file_entry *entries;
    *s = (struct scan){.dirfd = dirfd};
    if (!folder_list(dirfd, &entries, &s->n)) {
        buf_printf(error, "the journal's folder cannot be read: %s", strerror(errno));
        return false;
    }
    s->files = mem_zalloc(s->n * sizeof(*s->files));
    for (size_t i = 0; i < s->n; i++) {
        s->files[i].entry = entries[i];
        read_header(s, &s->files[i]);
    }
    mem_free(entries);
    find_id(s);
    check_chain(s);
    find_last(s);
    return true;
}

bool scan_open_warm(struct scan *s, struct scan_file *f)
{
    char name[FILENAME_SIZE];
    if (faccessat(s->dirfd, file_name(FILE_WARM, 0, name), F_OK, 0) != 0)
        return false;
    read_header(s, f);
    return true;
}

void scan_close(struct scan *s)
{
    mem_free(s->files);
    s->files = NULL;
    s->n = 0;
}

/* ---- one file ---- */

struct reading {
    struct scan *scan;
    struct scan_file *file;
    struct window w;
    scan_record record;
    void *arg;
    uint64_t at;
    bool ended;   /* a snapshot's end was read */
    bool salvage; /* records may be missing */
    const char *why;
};

/* Takes a frame that is whole; false: it means nothing that can stand here. */
static bool take_frame(struct reading *r, const struct frame *f)
{
    struct journal_record record;
    uint64_t number;
    uint8_t id[ID_SIZE];
    if (f->kind == KIND_MARK) {
        if (!mark_decode(f, &number, id))
            return false;
        if (!r->scan->has_id) /* no header could be read */
            memcpy(r->scan->id, id, ID_SIZE);
        r->scan->has_id = true;
        return true;
    }
    if (f->kind == KIND_END) {
        r->ended = r->file->entry.kind != FILE_SEGMENT && end_decode(f, &number) &&
                   (r->salvage || number == r->file->records);
        return r->ended;
    }
    if (!record_decode(f, &record))
        return false;
    r->file->records++;
    r->file->kinds[record.kind]++;
    if (r->record != NULL)
        r->record(r->arg, &record);
    mem_free(record.items);
    return true;
}

/* Reads frames from r->at on until the end or something bad, which stands at r->at then. */
static bool read_frames(struct reading *r)
{
    uint64_t until = r->file->limited ? r->file->limit : r->w.size;
    struct frame f;
    while (r->at < until && !r->ended) {
        switch (read_frame(&r->w, r->at, &f)) {
        case JOURNAL_PARSED:
            if (!take_frame(r, &f)) {
                r->why = "a record has a content that cannot be";
                return false;
            }
            r->at += f.used;
            continue;
        case JOURNAL_INCOMPLETE:
            r->why = "a record is not complete";
            return false;
        case JOURNAL_DAMAGED:
            r->why = "the checksum of a record is wrong";
            return false;
        }
    }
    return true;
}

static bool begin(struct reading *r, struct scan *s, struct scan_file *f)
{
    char name[FILENAME_SIZE];
    if (!window_open(&r->w, s->dirfd, file_name(f->entry.kind, f->entry.number, name))) {
        mark_bad(f, SCAN_DAMAGED, 0, "cannot be opened: %s", strerror(errno));
        return false;
    }
    f->size = r->w.size;
    r->scan = s;
    r->file = f;
    r->at = FILE_HEADER_SIZE;
    return true;
}

static bool is_last(const struct scan *s, const struct scan_file *f)
{
    return f == &s->files[s->last] && f->entry.kind == FILE_SEGMENT;
}

/* Something bad stands at r->at, or the file is too short. */
static void judge(struct reading *r)
{
    struct scan_file *f = r->file;
    if (r->w.error != 0)
        mark_bad(f, SCAN_DAMAGED, r->at, "cannot be read: %s", strerror(r->w.error));
    else if (f->limited || !is_last(r->scan, f) || was_acknowledged(r->scan, &r->w, r->at))
        mark_bad(f, SCAN_DAMAGED, r->at, "%s", r->why);
    else if (!window_is_zero(&r->w, r->at)) /* zeros were set aside for what was to come */
        mark_bad(f, SCAN_TORN, r->at, "%s", r->why);
}

void scan_read(struct scan *s, struct scan_file *f, scan_record record, void *arg)
{
    struct reading r = {.record = record, .arg = arg};
    if (f->state != SCAN_WHOLE || !begin(&r, s, f))
        return;
    bool good = read_frames(&r);
    f->end = r.at;
    if (good && f->entry.kind == FILE_SNAPSHOT && !r.ended) {
        r.why = "the snapshot has no end";
        good = false;
    }
    if (!good)
        judge(&r);
    window_close(&r.w);
}

/* ---- salvage ---- */

static bool is_whole_record(struct window *w, uint64_t at)
{
    struct frame f;
    struct journal_record record;
    uint64_t number;
    uint8_t id[ID_SIZE];
    if (read_frame(w, at, &f) != JOURNAL_PARSED)
        return false;
    if (f.kind == KIND_MARK)
        return mark_decode(&f, &number, id);
    if (f.kind == KIND_END)
        return end_decode(&f, &number);
    if (!record_decode(&f, &record))
        return false;
    mem_free(record.items);
    return true;
}

/* Where a bad frame's own length leads is looked at first: what its bytes hold is a client's. */
static uint64_t find_whole(struct window *w, uint64_t bad)
{
    struct bytes head = window_get(w, bad, FRAME_HEAD_SIZE);
    size_t size = head.len < FRAME_HEAD_SIZE ? 0 : frame_size(head.data);
    if (size > 0 && size < w->size - bad && is_whole_record(w, bad + size))
        return bad + size;
    uint64_t at = find_marker(w, bad + 1);
    while (at < w->size && !is_whole_record(w, at))
        at = find_marker(w, at + 1);
    return at;
}

/* Passes over what is bad at r->at; false at the end of the file. */
static bool pass_over(struct reading *r, const char *name, struct buf *out)
{
    bool empty = window_is_zero(&r->w, r->at);
    uint64_t next = empty ? r->w.size : find_whole(&r->w, r->at);
    if (empty && !r->file->limited)
        return false; /* zeros that were set aside */
    uint64_t until = empty || next == r->w.size ? r->file->limit : next;
    if (until < next)
        until = next;
    if (until == r->at)
        return false;
    buf_printf(out, "%s: bytes %" PRIu64 " to %" PRIu64 " lost: %s\n", name, r->at, until - 1,
               r->why);
    r->file->lost += until - r->at;
    r->at = next;
    return next < r->w.size;
}

void scan_salvage(struct scan *s, struct scan_file *f, scan_record record, void *arg,
                  struct buf *out)
{
    struct reading r = {.record = record, .arg = arg, .salvage = true};
    char name[FILENAME_SIZE];
    if (f->state == SCAN_STALE || !begin(&r, s, f))
        return;
    file_name(f->entry.kind, f->entry.number, name);
    while (!read_frames(&r) && pass_over(&r, name, out))
        ;
    if (f->entry.kind != FILE_SEGMENT && !r.ended && out->len == 0)
        buf_printf(out, "%s: it has no end\n", name);
    f->end = r.at;
    window_close(&r.w);
}
