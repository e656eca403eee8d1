/* The tools that look at a folder without a server. Repairing writes one snapshot of all records
 * that can be read, and that takes the place of everything, as a compaction's does: a crash on the
 * way leaves the folder as it was. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/mem.h"
#include "store/journal/internal.h"
#include "store/journal/scan.h"

enum { CHECK_TRIES = 5 };

/* ---- check ---- */

static const char *const kind_names[] = {
    [JOURNAL_WRITE] = "write",         [JOURNAL_SETTLED] = "settled",
    [JOURNAL_FLUSH] = "flush",         [JOURNAL_MERGE_BEGIN] = "merge-begin",
    [JOURNAL_MERGE_END] = "merge-end", [JOURNAL_CLOCK] = "clock",
};

/* The keys that writes name, by their hashes. */
struct keys {
    uint64_t *v;
    size_t n;
    size_t room;
};

static void note_keys(void *arg, const struct journal_record *r)
{
    struct keys *k = arg;
    for (size_t i = 0; r->kind == JOURNAL_WRITE && i < r->nitems; i++) {
        if (k->n == k->room) {
            k->room = k->room == 0 ? 1024 : 2 * k->room;
            k->v = mem_realloc(k->v, k->room * sizeof(*k->v));
        }
        k->v[k->n++] = hash_bytes(r->items[i].key, (uint64_t)r->items[i].db);
    }
}

static int compare_hashes(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static size_t count_keys(struct keys *k)
{
    size_t distinct = 0;
    if (k->n > 0)
        qsort(k->v, k->n, sizeof(*k->v), compare_hashes);
    for (size_t i = 0; i < k->n; i++)
        distinct += i == 0 || k->v[i] != k->v[i - 1];
    return distinct;
}

static void describe_file(const struct scan_file *f, struct buf *out)
{
    char name[FILENAME_SIZE];
    buf_printf(out, "%s: ", file_name(f->entry.kind, f->entry.number, name));
    switch (f->state) {
    case SCAN_STALE:
        buf_append_cstr(out, "replaced or given up, to be deleted\n");
        return;
    case SCAN_WHOLE:
        buf_printf(out, "whole, %" PRIu64 " records in %" PRIu64 " bytes\n", f->records, f->end);
        return;
    case SCAN_TORN:
        buf_printf(out,
                   "%" PRIu64 " records in %" PRIu64
                   " bytes, then a torn tail that nobody was told "
                   "is safe (%s): the next start cuts it\n",
                   f->records, f->end, f->why);
        return;
    case SCAN_DAMAGED:
        buf_printf(out, "DAMAGED at offset %" PRIu64 ": %s; %" PRIu64 " records before it\n",
                   f->damaged_at, f->why, f->records);
        return;
    }
}

static void describe_total(const struct scan *s, struct keys *keys, struct buf *out)
{
    uint64_t kinds[JOURNAL_CLOCK + 1] = {0};
    uint64_t records = 0;
    for (size_t i = 0; i < s->n; i++) {
        records += s->files[i].records;
        for (int k = JOURNAL_WRITE; k <= JOURNAL_CLOCK; k++)
            kinds[k] += s->files[i].kinds[k];
    }
    buf_printf(out, "records: %" PRIu64, records);
    for (int k = JOURNAL_WRITE; k <= JOURNAL_CLOCK; k++)
        if (kinds[k] > 0)
            buf_printf(out, ", %s %" PRIu64, kind_names[k], kinds[k]);
    buf_printf(out, "\nkeys written: %zu\n", count_keys(keys));
}

static void describe_journal(const struct scan *s, struct buf *out)
{
    const char *name = "";
    buf_append_cstr(out, "journal ");
    for (size_t i = 0; s->has_id && i < ID_SIZE; i++)
        buf_printf(out, "%02x", s->id[i]);
    for (size_t i = 0; i < s->n; i++)
        if (s->files[i].header_ok)
            name = s->files[i].header.name;
    buf_printf(out, "%s of the instance \"%s\"%s\n", s->has_id ? "" : "(unknown)", name,
               folder_is_locked(s->dirfd) ? ", in use by a process" : "");
}

static bool check_once(const char *dir, bool *locked, struct buf *out)
{
    struct scan s;
    struct keys keys = {0};
    bool whole = true;
    int dirfd = folder_open(dir, false, out);
    if (dirfd < 0 || !scan_open(&s, dirfd, out)) {
        buf_append_cstr(out, "\n");
        if (dirfd >= 0)
            close(dirfd);
        return false;
    }
    *locked = folder_is_locked(dirfd);
    if (s.n > 0)
        describe_journal(&s, out);
    for (size_t i = 0; i < s.n; i++) {
        scan_read(&s, &s.files[i], note_keys, &keys);
        describe_file(&s.files[i], out);
        whole = whole && s.files[i].state != SCAN_DAMAGED;
    }
    describe_total(&s, &keys, out);
    if (!whole)
        buf_printf(out, "damaged: \"respgres --repair-journal %s\" keeps what can be read\n", dir);
    mem_free(keys.v);
    scan_close(&s);
    close(dirfd);
    return whole;
}

/* Beside a process that writes, a file may have gone or grown while it was read. */
bool journal_check(const char *dir, struct buf *out)
{
    size_t before = out->len;
    for (int i = 1;; i++) {
        bool locked = false;
        out->len = before;
        bool whole = check_once(dir, &locked, out);
        if (whole || !locked || i == CHECK_TRIES)
            return whole;
    }
}

/* ---- repair ---- */

struct repair {
    int dirfd;
    struct scan scan;
    int fd; /* the new snapshot */
    uint64_t number;
    uint64_t at;
    uint64_t records;
    struct buf data;
    bool ok; /* everything could be written so far */
};

static void write_out(struct repair *p)
{
    p->ok = p->ok && write_fully(p->fd, p->data.data, p->data.len, p->at);
    p->at += p->data.len;
    buf_reset(&p->data, KEPT_BUFFER);
}

static void keep_record(void *arg, const struct journal_record *r)
{
    struct repair *p = arg;
    journal_encode(r, &p->data);
    p->records++;
    if (p->data.len >= KEPT_BUFFER)
        write_out(p);
}

/* A file of another journal is not of this one's making; an unborn segment holds nothing. */
static void keep_file(struct repair *p, struct scan_file *f, struct buf *out)
{
    char name[FILENAME_SIZE];
    bool foreign = f->header_ok && memcmp(f->header.id, p->scan.id, ID_SIZE) != 0;
    file_name(f->entry.kind, f->entry.number, name);
    if (f->state == SCAN_STALE || (f->state == SCAN_TORN && !f->header_ok))
        return;
    if (f->state != SCAN_DAMAGED) {
        f->state = SCAN_WHOLE; /* judged again, the same */
        f->records = 0;
        scan_read(&p->scan, f, keep_record, p);
        return;
    }
    buf_printf(out, "%s: damaged at offset %" PRIu64 ": %s\n", name, f->damaged_at, f->why);
    f->records = 0;
    if (!foreign)
        scan_salvage(&p->scan, f, keep_record, p, out);
    buf_printf(out, "%s: %" PRIu64 " records kept\n", name, f->records);
}

static void add_snapshot_header(struct repair *p)
{
    char header[FILE_HEADER_SIZE];
    struct file_header h = {
        .kind = FILE_SNAPSHOT, .number = p->number, .created_us = clock_wall_us()};
    char random[ID_SIZE + 1];
    random_bytes(random, sizeof(random));
    memcpy(h.id, p->scan.has_id ? (const char *)p->scan.id : random, ID_SIZE);
    for (size_t i = 0; i < p->scan.n; i++)
        if (p->scan.files[i].header_ok)
            memcpy(h.name, p->scan.files[i].header.name, FILE_NAME_SIZE);
    header_encode(&h, header);
    p->ok = p->ok && write_fully(p->fd, header, sizeof(header), 0);
}

static bool write_snapshot(struct repair *p, struct buf *out)
{
    char name[FILENAME_SIZE];
    char temporary[FILENAME_SIZE + 4];
    file_name(FILE_SNAPSHOT, p->number, name);
    snprintf(temporary, sizeof(temporary), "%s.tmp", name);
    p->fd = openat(p->dirfd, temporary, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (p->fd < 0) {
        buf_printf(out, "%s cannot be made: %s\n", name, strerror(errno));
        return false;
    }
    p->ok = true;
    p->at = FILE_HEADER_SIZE;
    for (size_t i = 0; i < p->scan.n; i++)
        keep_file(p, &p->scan.files[i], out);
    end_encode(p->records, &p->data);
    write_out(p);
    add_snapshot_header(p);
    p->ok = p->ok && fsync(p->fd) == 0 && renameat(p->dirfd, temporary, p->dirfd, name) == 0 &&
            fsync(p->dirfd) == 0;
    if (!p->ok) {
        buf_printf(out, "%s cannot be written: %s\n", name, strerror(errno));
        unlinkat(p->dirfd, temporary, 0);
    }
    close(p->fd);
    return p->ok;
}

/* A file that is whole but for one that is missing before it has nothing to be kept for. */
static void set_aside_damaged(struct repair *p, struct buf *out)
{
    char name[FILENAME_SIZE];
    char aside[FILENAME_SIZE + 8];
    for (size_t i = 0; i < p->scan.n; i++) {
        struct scan_file *f = &p->scan.files[i];
        bool foreign = f->header_ok && memcmp(f->header.id, p->scan.id, ID_SIZE) != 0;
        if (f->state != SCAN_DAMAGED || (f->header_ok && f->lost == 0 && !foreign))
            continue;
        file_name(f->entry.kind, f->entry.number, name);
        snprintf(aside, sizeof(aside), "%s.damaged", name);
        if (renameat(p->dirfd, name, p->dirfd, aside) == 0)
            buf_printf(out, "%s is kept as %s\n", name, aside);
    }
    folder_remove_below(p->dirfd, p->number);
    if (fsync(p->dirfd) != 0)
        buf_printf(out, "the folder cannot be synced: %s\n", strerror(errno));
}

static bool repair_files(struct repair *p, struct buf *out)
{
    char name[FILENAME_SIZE];
    bool damaged = false;
    for (size_t i = 0; i < p->scan.n; i++) {
        struct scan_file *f = &p->scan.files[i];
        scan_read(&p->scan, f, NULL, NULL);
        damaged = damaged || f->state == SCAN_DAMAGED;
        if (f->other_version) {
            buf_printf(out, "%s: %s: repair it with that one\n",
                       file_name(f->entry.kind, f->entry.number, name), f->why);
            return false;
        }
        if (f->entry.number >= p->number)
            p->number = f->entry.number + 1;
    }
    if (!damaged) {
        buf_append_cstr(out, "nothing is damaged, nothing was changed\n");
        return true;
    }
    if (!write_snapshot(p, out))
        return false;
    set_aside_damaged(p, out);
    buf_printf(out, "repaired: %" PRIu64 " records are in %s\n", p->records,
               file_name(FILE_SNAPSHOT, p->number, name));
    return true;
}

bool journal_repair(const char *dir, struct buf *out)
{
    struct repair p = {.number = 1};
    bool ok = false;
    p.dirfd = folder_open(dir, false, out);
    int lock = p.dirfd < 0 ? -1 : folder_lock(p.dirfd, dir, out);
    if (lock >= 0) {
        folder_remove_unfinished(p.dirfd);
        if (scan_open(&p.scan, p.dirfd, out)) {
            buf_init(&p.data);
            ok = repair_files(&p, out);
            buf_release(&p.data);
            scan_close(&p.scan);
        }
        close(lock);
    }
    if (p.dirfd >= 0)
        close(p.dirfd);
    if (out->len > 0 && out->data[out->len - 1] != '\n')
        buf_append_cstr(out, "\n");
    return ok;
}

/* ---- orphans ---- */

/* Without reading it all: a segment in which something was written begins with a frame, a snapshot
 * with a record is longer than an empty one. */
static bool holds_something(int dirfd, const struct file_entry *e)
{
    char name[FILENAME_SIZE];
    struct window w;
    if (!window_open(&w, dirfd, file_name(e->kind, e->number, name)))
        return false;
    bool found = w.size > FILE_HEADER_SIZE + END_SIZE && !window_is_zero(&w, FILE_HEADER_SIZE);
    window_close(&w);
    return found;
}

static bool is_orphan(int dirfd)
{
    struct file_entry *v;
    size_t n;
    bool found = false;
    if (folder_is_locked(dirfd) || !folder_list(dirfd, &v, &n))
        return false;
    /* What a snapshot replaces counts no more. */
    for (size_t i = n; i > 0 && !found; i--) {
        found = holds_something(dirfd, &v[i - 1]);
        if (v[i - 1].kind == FILE_SNAPSHOT)
            break;
    }
    mem_free(v);
    return found;
}

static void look_beside(int parent, const char *own, struct buf *out)
{
    int listing = openat(parent, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = listing < 0 ? NULL : fdopendir(listing);
    if (d == NULL) {
        if (listing >= 0)
            close(listing);
        return;
    }
    for (struct dirent *it = readdir(d); it != NULL; it = readdir(d)) {
        if (it->d_name[0] == '.' || strcmp(it->d_name, own) == 0)
            continue;
        int fd = openat(parent, it->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0)
            continue;
        if (is_orphan(fd))
            buf_printf(out, "%s\n", it->d_name);
        close(fd);
    }
    closedir(d);
}

void journal_find_orphans(const char *dir, struct buf *out)
{
    char *path = mem_strdup(dir);
    size_t n = strlen(path);
    while (n > 1 && path[n - 1] == '/')
        path[--n] = '\0';
    char *slash = strrchr(path, '/');
    const char *own = slash == NULL ? path : slash + 1;
    if (slash != NULL)
        *slash = '\0';
    const char *where = slash == NULL ? "." : path[0] == '\0' ? "/" : path;
    int parent = open(where, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (parent >= 0) {
        look_beside(parent, own, out);
        close(parent);
    }
    mem_free(path);
}
