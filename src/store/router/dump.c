/* dump: the keys of a standalone instance, read from its journal. */
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "store/router/internal.h"

enum { TRIES = 5, PAUSE_US = 200 * 1000 };

struct dump {
    bool (*entry)(void *arg, const struct dump_entry *e);
    void *arg;
    int64_t now_us;
    bool ok;
};

static void emit(struct entry *e, void *arg)
{
    struct dump *d = arg;
    if (!d->ok || !local_is_live(e, d->now_us))
        return;
    struct dump_entry out = {.db = e->db, .key = entry_key(e), .type = e->value->type,
                             .value = value_bytes(e->value), .expires_ms = -1};
    if (e->expires_us != STORE_NEVER)
        out.expires_ms = e->expires_us / 1000;
    d->ok = d->entry(d->arg, &out);
    value_drop_bytes(e->value);
}

static bool emit_all(struct router *r, struct dump *d)
{
    uint64_t cursor = 0;
    do
        cursor = keyspace_scan(r->keyspace, cursor, emit, d);
    while (cursor != 0 && d->ok);
    return d->ok;
}

static void begin(struct router *r, const struct config *config)
{
    *r = (struct router){.config = config, .keyspace = keyspace_new(SIZE_MAX)};
    list_init(&r->dirty);
    list_init(&r->flushes);
    list_init(&r->unsettled);
    list_init(&r->staged);
    r->flushed = mem_zalloc((size_t)config->databases * sizeof(*r->flushed));
}

static void end(struct router *r)
{
    merger_forget_sent(r);
    dirty_drop_db(r, -1);
    router_free_lists(r);
    keyspace_free(r->keyspace);
    mem_free(r->flushed);
}

/* Another process may be writing: what looks like damage then is gone a moment later. */
bool router_dump(const struct config *config,
                 bool (*entry)(void *arg, const struct dump_entry *e), void *arg, struct buf *error)
{
    struct router *r = mem_alloc(sizeof(*r));
    struct dump d = {entry, arg, clock_wall_us(), true};
    bool read = false;
    for (int i = 0; i < TRIES && !read; i++) {
        if (i > 0)
            usleep(PAUSE_US);
        buf_reset(error, 1024);
        begin(r, config);
        read = journaling_read(r, error);
        if (!read)
            end(r);
    }
    bool ok = read && emit_all(r, &d);
    if (read)
        end(r);
    mem_free(r);
    return ok;
}
