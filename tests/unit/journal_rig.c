/* The faults stand in the place of the C library's calls (--wrap in tests/CMakeLists.txt); journal
 * threads call them, so their switches are atomic. */
#include "journal_rig.h"

#include <dirent.h>
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"
#include "base/mem.h"
#include "event/loop_base.h"

_Atomic int fault_errno[CALL_COUNT];
_Atomic int fault_exit_at;
_Atomic int fault_delay_us;
_Atomic bool fault_hold;

ssize_t __real_pwrite(int fd, const void *data, size_t n, off_t at);
int __real_fdatasync(int fd);
int __real_fsync(int fd);
int __real_renameat(int a, const char *from, int b, const char *to);
int __real_unlinkat(int dirfd, const char *name, int flags);
int __real_ftruncate(int fd, off_t n);
int __real_fallocate(int fd, int mode, off_t at, off_t n);
ssize_t __wrap_pwrite(int fd, const void *data, size_t n, off_t at);
int __wrap_fdatasync(int fd);
int __wrap_fsync(int fd);
int __wrap_renameat(int a, const char *from, int b, const char *to);
int __wrap_unlinkat(int dirfd, const char *name, int flags);
int __wrap_ftruncate(int fd, off_t n);
int __wrap_fallocate(int fd, int mode, off_t at, off_t n);

static bool meet(enum fault_call call)
{
    static _Atomic int calls;
    int at = fault_exit_at;
    if (at > 0 && ++calls == at)
        _exit(42);
    int error = fault_errno[call];
    if (error != 0)
        errno = error;
    return error != 0;
}

ssize_t __wrap_pwrite(int fd, const void *data, size_t n, off_t at)
{
    return meet(CALL_WRITE) ? -1 : __real_pwrite(fd, data, n, at);
}

int __wrap_fdatasync(int fd)
{
    int delay_us = fault_delay_us;
    if (delay_us > 0)
        usleep((useconds_t)delay_us);
    while (fault_hold)
        usleep(1000);
    return meet(CALL_SYNC) ? -1 : __real_fdatasync(fd);
}

int __wrap_fsync(int fd)
{
    return meet(CALL_SYNC_FOLDER) ? -1 : __real_fsync(fd);
}

int __wrap_renameat(int a, const char *from, int b, const char *to)
{
    return meet(CALL_RENAME) ? -1 : __real_renameat(a, from, b, to);
}

int __wrap_unlinkat(int dirfd, const char *name, int flags)
{
    return meet(CALL_UNLINK) ? -1 : __real_unlinkat(dirfd, name, flags);
}

int __wrap_ftruncate(int fd, off_t n)
{
    return meet(CALL_TRUNCATE) ? -1 : __real_ftruncate(fd, n);
}

int __wrap_fallocate(int fd, int mode, off_t at, off_t n)
{
    return meet(CALL_ALLOCATE) ? -1 : __real_fallocate(fd, mode, at, n);
}

/* ---- records as text ---- */

static void note_items(const struct journal_record *r, struct buf *out)
{
    for (size_t i = 0; i < r->nitems; i++) {
        const struct journal_item *it = &r->items[i];
        buf_printf(out, " [%d %.*s %d%d %u %.*s:%zu", it->db, (int)it->key.len, it->key.data,
                   it->live, it->touch, it->type, it->value.len > 4 ? 4 : (int)it->value.len,
                   it->value.data, it->value.len);
        buf_printf(out, " %" PRId64 " %" PRId64 " %" PRId64 " %u %" PRId64 " %" PRId64 "]",
                   it->version, it->value_version, it->expires_us, it->base, it->base_version,
                   it->maybe_version);
    }
}

void note_record(const struct journal_record *r, struct buf *out)
{
    buf_printf(out, "%d lane %d %" PRId64 " %d %" PRId64, (int)r->kind, r->lane.slot,
               r->lane.incarnation, r->lane.lane, r->lane.stamp);
    buf_printf(out, " %d db %d %" PRId64 " %" PRIu64, r->applied, r->db, r->stamp, r->number);
    buf_printf(out, " clock %s %" PRId64 " %" PRId64 " %" PRId64, r->clock.boot_id,
               r->clock.boot_us, r->clock.pg_us, r->clock.wall_us);
    buf_printf(out, " %d %" PRId64 " %" PRId64, r->clock.slot, r->clock.incarnation,
               r->clock.last_stamp);
    note_items(r, out);
    buf_append_cstr(out, "\n");
}

struct sample {
    struct journal_record record;
    struct journal_item item;
    char key[16];
    char *value;
};

static void make_sample(struct sample *s, int n, size_t size)
{
    memset(s, 0, sizeof(*s));
    int len = snprintf(s->key, sizeof(s->key), "k%d", n);
    s->value = mem_alloc(size + 1);
    memset(s->value, 'a' + n % 26, size);
    s->item = (struct journal_item){.db = n % 16,
                                    .key = {s->key, (size_t)len},
                                    .live = true,
                                    .value = {s->value, size},
                                    .version = n + 1000,
                                    .value_version = n + 1000,
                                    .expires_us = INT64_MAX,
                                    .base = BASE_LIVE,
                                    .base_version = n};
    s->record = (struct journal_record){.kind = JOURNAL_WRITE, .items = &s->item, .nitems = 1};
}

void note_append(int n, size_t size, struct buf *out)
{
    struct sample s;
    make_sample(&s, n, size);
    note_record(&s.record, out);
    mem_free(s.value);
}

uint64_t rig_append(struct journal_rig *r, int n, size_t size)
{
    struct sample s;
    make_sample(&s, n, size);
    uint64_t position = journal_append(r->j, &s.record);
    mem_free(s.value);
    return position;
}

/* ---- events ---- */

static void on_record(void *arg, const struct journal_record *record)
{
    struct journal_rig *r = arg;
    note_record(record, &r->replayed);
    r->nreplayed++;
}

static void on_durable(void *arg, uint64_t position)
{
    struct journal_rig *r = arg;
    CHECK(position >= r->durable);
    r->durable = position;
    r->ndurable++;
}

static void on_failed(void *arg, const char *why)
{
    struct journal_rig *r = arg;
    r->failures++;
    snprintf(r->why, sizeof(r->why), "%s", why);
}

/* One record a call, so that a snapshot has many slices. */
static bool on_snapshot(void *arg, size_t bytes)
{
    struct journal_rig *r = arg;
    struct sample s;
    CHECK(bytes > 0);
    if (r->snapshot_at == r->snapshot_n)
        return false;
    make_sample(&s, r->snapshot_at++, 100);
    journal_snapshot_add(r->j, &s.record);
    mem_free(s.value);
    return r->snapshot_at < r->snapshot_n;
}

/* ---- the rig ---- */

void rig_init(struct journal_rig *r)
{
    memset(r, 0, sizeof(*r));
    const char *tmp = getenv("TMPDIR");
    snprintf(r->dir, sizeof(r->dir), "%.90s/journal-XXXXXX", tmp == NULL ? "/tmp" : tmp);
    CHECK(mkdtemp(r->dir) != NULL);
    r->loop = loop_new();
    r->options = (struct journal_options){.dir = r->dir, .instance_name = "one"};
    buf_init(&r->error);
    buf_init(&r->replayed);
    for (int i = 0; i < CALL_COUNT; i++)
        fault_errno[i] = 0;
    fault_exit_at = 0;
    fault_delay_us = 0;
    fault_hold = false;
}

bool rig_open(struct journal_rig *r)
{
    static const struct journal_events events = {
        .record = on_record, .durable = on_durable, .failed = on_failed, .snapshot = on_snapshot};
    buf_reset(&r->error, 4096);
    buf_reset(&r->replayed, 1 << 20);
    r->nreplayed = 0;
    r->durable = 0;
    r->ndurable = 0;
    r->failures = 0;
    r->snapshot_at = 0;
    r->j = journal_open(r->loop, &r->options, &events, r, &r->error);
    return r->j != NULL;
}

void rig_close(struct journal_rig *r)
{
    journal_close(r->j);
    r->j = NULL;
}

void rig_release(struct journal_rig *r)
{
    rig_close(r);
    loop_free(r->loop);
    remove_folder(r->dir);
    buf_release(&r->error);
    buf_release(&r->replayed);
}

static struct timer *patience;

static void on_timeout(void *arg)
{
    struct journal_rig *r = arg;
    r->timeout = true;
}

void rig_start_clock(struct journal_rig *r)
{
    r->timeout = false;
    patience = timer_new(r->loop, on_timeout, r);
    timer_set(patience, 60 * 1000 * 1000);
}

void rig_stop_clock(struct journal_rig *r)
{
    (void)r;
    timer_free(patience);
    patience = NULL;
}

void rig_flush(struct journal_rig *r)
{
    if (r->j != NULL)
        journal_flush(r->j);
    if (r->turn_end != NULL)
        r->turn_end(r->turn_arg);
}

void rig_turn(struct journal_rig *r)
{
    event_base_loop(loop_event_base(r->loop), EVLOOP_ONCE);
    loop_woke(r->loop);
    rig_flush(r);
}

/* ---- files ---- */

void rig_path(const struct journal_rig *r, const char *name, char out[256])
{
    snprintf(out, 256, "%s/%s", r->dir, name);
}

void read_whole(const char *path, struct buf *out)
{
    FILE *f = fopen(path, "rbe");
    CHECK(f != NULL);
    buf_reset(out, 1 << 20);
    for (size_t n = 1; n > 0;) {
        n = fread(buf_reserve(out, 65536), 1, 65536, f);
        out->len += n;
    }
    fclose(f);
}

void write_whole(const char *path, struct bytes s)
{
    FILE *f = fopen(path, "wbe");
    CHECK(f != NULL);
    CHECK(fwrite(s.data, 1, s.len, f) == s.len);
    CHECK(fclose(f) == 0);
}

int64_t file_bytes(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 ? (int64_t)st.st_size : -1;
}

static void each_file(const char *dir, void (*f)(void *arg, const char *name), void *arg)
{
    DIR *d = opendir(dir);
    if (d == NULL)
        return;
    for (struct dirent *it = readdir(d); it != NULL; it = readdir(d))
        if (it->d_name[0] != '.')
            f(arg, it->d_name);
    closedir(d);
}

struct pair {
    const char *from;
    const char *to;
    int n;
};

static void copy_one(void *arg, const char *name)
{
    struct pair *p = arg;
    char path[512];
    struct buf b;
    buf_init(&b);
    snprintf(path, sizeof(path), "%s/%s", p->from, name);
    read_whole(path, &b);
    snprintf(path, sizeof(path), "%s/%s", p->to, name);
    write_whole(path, buf_bytes(&b));
    buf_release(&b);
}

void copy_folder(const char *from, const char *to)
{
    struct pair p = {from, to, 0};
    CHECK(mkdir(to, 0700) == 0);
    each_file(from, copy_one, &p);
}

static void remove_one(void *arg, const char *name)
{
    struct pair *p = arg;
    char path[512];
    snprintf(path, sizeof(path), "%s/%s", p->from, name);
    unlink(path);
}

void remove_folder(const char *dir)
{
    struct pair p = {dir, NULL, 0};
    each_file(dir, remove_one, &p);
    rmdir(dir);
}

static void count_one(void *arg, const char *name)
{
    struct pair *p = arg;
    p->n += strncmp(name, p->from, strlen(p->from)) == 0;
}

int count_files(const char *dir, const char *prefix)
{
    struct pair p = {prefix, NULL, 0};
    each_file(dir, count_one, &p);
    return p.n;
}
