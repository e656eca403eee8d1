/* journaling: records on their way to the journal, and back into memory at the start. */
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "store/router/internal.h"

/* ---- the clock ---- */

static void read_boot_id(char out[37])
{
    memset(out, 0, 37);
    FILE *f = fopen("/proc/sys/kernel/random/boot_id", "re");
    if (f == NULL)
        return;
    if (fread(out, 1, 36, f) != 36)
        memset(out, 0, 37);
    fclose(f);
}

void journaling_fill_clock(struct router *r, struct journal_clock *c)
{
    read_boot_id(c->boot_id);
    c->boot_us = clock_mono_us();
    c->wall_us = clock_wall_us();
    c->pg_us = router_now_us(r);
    if (r->pg != NULL) {
        c->slot = postgres_slot(r->pg);
        c->incarnation = postgres_incarnation(r->pg);
        c->last_stamp = postgres_last_stamp(r->pg);
    } else {
        c->slot = r->slot;
        c->last_stamp = r->last_stamp;
    }
}

/* What the clock says now that said so then. */
static int64_t clock_offset(const struct journal_clock *c)
{
    char boot_id[37];
    read_boot_id(boot_id);
    if (boot_id[0] != '\0' && strcmp(boot_id, c->boot_id) == 0)
        return c->pg_us - c->boot_us;
    return c->pg_us - c->wall_us + clock_wall_us() - clock_mono_us();
}

void journaling_take_clock(struct router *r, const struct journal_clock *c)
{
    r->has_memory = true;
    if (r->pg != NULL) {
        int64_t last = c->last_stamp > r->last_stamp ? c->last_stamp : r->last_stamp;
        r->last_stamp = last;
        postgres_set_identity(r->pg, c->slot, c->incarnation, last, clock_offset(c));
    } else {
        r->slot = c->slot;
        r->last_stamp = c->last_stamp > r->last_stamp ? c->last_stamp : r->last_stamp;
    }
}

static void note_stamp(struct router *r, int64_t stamp)
{
    if (stamp > r->last_stamp)
        r->last_stamp = stamp;
    if (STAMP_US(stamp) > r->last_now_us)
        r->last_now_us = STAMP_US(stamp);
}

/* ---- reading ---- */

static void replay_item(struct router *r, const struct journal_item *it)
{
    struct entry *e = keyspace_pin(r->keyspace, it->db, it->key);
    struct value *v = NULL;
    if (it->live && it->touch && e->value != NULL)
        v = value_ref(e->value);
    else if (it->live && !it->touch)
        v = value_decode(it->type, it->value);
    CHECK(v != NULL || !it->live || it->touch); /* no memory, or a newer version's: better no start */
    if (v != NULL)
        entry_set_live(r->keyspace, e, v, it->version, it->value_version, it->expires_us);
    else
        entry_set_absent(r->keyspace, e, it->version);
    dirty_note(r, e, it);
    note_stamp(r, it->version);
    keyspace_unpin(r->keyspace, e);
}

/* The greatest position in the lane's batch that the record tells of, plus one. */
static size_t lane_extent(const struct journal_record *rec)
{
    size_t n = 0;
    for (size_t i = 0; i < rec->nitems; i++) {
        int64_t past = rec->items[i].maybe_version - rec->lane.stamp;
        if (past >= 0 && (size_t)(past >> 10) >= n)
            n = (size_t)(past >> 10) + 1;
    }
    return n;
}

static void replay_write(struct router *r, const struct journal_record *rec)
{
    struct dirty *first = NULL;
    for (size_t i = 0; i < rec->nitems; i++) {
        if (rec->items[i].db < 0 || rec->items[i].db >= r->config->databases)
            continue; /* there are fewer databases now: not reachable, but kept in the file */
        replay_item(r, &rec->items[i]);
        struct entry *e = keyspace_find(r->keyspace, rec->items[i].db, rec->items[i].key);
        if (first != NULL)
            dirty_unite(first, e->dirty);
        first = e->dirty;
    }
    if (rec->lane.slot != 0)
        merger_note_lane(r, &rec->lane, lane_extent(rec));
}

static bool not_rejected(void *arg, int32_t position)
{
    const struct journal_record *rec = arg;
    for (size_t i = 0; i < rec->nitems; i++) {
        if ((rec->items[i].version - rec->lane.stamp) >> 10 == position)
            return false;
    }
    return true;
}

static void replay_settled(struct router *r, const struct journal_record *rec)
{
    merger_settled(r, &rec->lane, true, rec->applied, not_rejected, (void *)rec);
}

static void replay_merge_begin(struct router *r, const struct journal_record *rec)
{
    merger_forget_sent(r);
    for (size_t i = 0; i < rec->nitems && r->batch.n < MERGE_MAX; i++) {
        const struct journal_item *it = &rec->items[i];
        struct entry *e = keyspace_find(r->keyspace, it->db, it->key);
        if (e == NULL || e->dirty == NULL)
            continue;
        e->dirty->merging = true;
        r->items[r->batch.n].version = it->version;
        r->sent[r->batch.n++] = e->dirty;
    }
    r->merge_number = rec->number;
}

static void replay_merge_end(struct router *r, const struct journal_record *rec)
{
    if (rec->number == r->merge_number)
        merger_batch_ended(r, rec->applied, false);
}

static void on_record(void *arg, const struct journal_record *rec)
{
    struct router *r = arg;
    switch (rec->kind) {
    case JOURNAL_WRITE:
        replay_write(r, rec);
        break;
    case JOURNAL_SETTLED:
        replay_settled(r, rec);
        break;
    case JOURNAL_FLUSH:
        router_apply_flush(r, rec->db);
        router_note_flush(r, rec->db, rec->stamp);
        note_stamp(r, rec->stamp);
        break;
    case JOURNAL_MERGE_BEGIN:
        replay_merge_begin(r, rec);
        break;
    case JOURNAL_MERGE_END:
        replay_merge_end(r, rec);
        break;
    case JOURNAL_CLOCK:
        journaling_take_clock(r, &rec->clock);
        break;
    }
}

/* ---- writing ---- */

static void append_clock(struct router *r)
{
    struct journal_record rec = {.kind = JOURNAL_CLOCK};
    journaling_fill_clock(r, &rec.clock);
    uint64_t position = journal_append(r->journal, &rec);
    r->clock_written = position != 0;
    if (position != 0)
        r->journalled = position;
}

uint64_t journaling_append(struct router *r, const struct journal_record *rec)
{
    if (r->journal == NULL)
        return 0;
    if (!r->clock_written)
        append_clock(r);
    uint64_t position = journal_append(r->journal, rec);
    if (position != 0)
        r->journalled = position;
    return position;
}

const char *journaling_error(const struct router *r, char *out, size_t size)
{
    const char *why = r->journal == NULL ? r->journal_trouble : journal_error(r->journal);
    if (r->journal == NULL && why == NULL)
        why = "fallback is off";
    if (why == NULL)
        return NULL;
    snprintf(out, size, "MISCONF %s and the journal cannot be written (%.90s), nothing was done",
             r->pg != NULL ? "PostgreSQL is not reachable" : "there is no PostgreSQL", why);
    return out;
}

static void on_durable(void *arg, uint64_t position)
{
    struct router *r = arg;
    r->durable = position;
    local_durable(r);
    merger_durable(r);
    r->release_due = true;
    if (r->returning)
        router_answer_soon(r); /* that may have been the last thing under way here */
}

static void on_failed(void *arg, const char *why)
{
    struct router *r = arg;
    char quoted[LOG_QUOTE_SIZE];
    log_event(LOG_WARNING, "journal-failed", "dir=%s why=%s", r->journal_dir,
              log_quote(why, quoted));
    r->clock_written = false;
    local_failed(r);
    merger_journal_failed(r);
    if (r->returning)
        router_answer_soon(r);
    timer_set(r->retry_timer, 1000000);
}

/* ---- compaction ---- */

static void snapshot_entry(struct entry *e, void *arg)
{
    struct router *r = arg;
    struct journal_item it;
    if (e->dirty == NULL)
        return;
    dirty_item(e->dirty, true, &it);
    struct journal_record rec = {.kind = JOURNAL_WRITE, .items = &it, .nitems = 1};
    journal_snapshot_add(r->journal, &rec);
    r->snapshot_bytes += it.key.len + it.value.len + 64;
    if (e->value != NULL)
        value_drop_bytes(e->value);
}

/* Sets are told by an empty-handed record: the items again, as touches. */
static void snapshot_set(struct router *r, const struct merge_set *set)
{
    struct journal_item *items = mem_alloc(set->n * sizeof(*items));
    size_t n = 0;
    for (const struct list *at = set->members.next; at != &set->members; at = at->next) {
        const struct dirty *d = LIST_ITEM(at, const struct dirty, set_node);
        dirty_item(d, false, &items[n]);
        items[n].touch = items[n].live;
        n++;
    }
    struct journal_record rec = {.kind = JOURNAL_WRITE, .items = items, .nitems = n};
    journal_snapshot_add(r->journal, &rec);
    mem_free(items);
}

static void snapshot_sets(struct router *r)
{
    LIST_EACH(at, &r->dirty)
    {
        struct dirty *d = LIST_ITEM(at, struct dirty, node);
        if (d->set != NULL && d->set->n > 1 && d->set->members.next == &d->set_node)
            snapshot_set(r, d->set);
    }
}

static void snapshot_head(struct router *r)
{
    struct journal_record clock = {.kind = JOURNAL_CLOCK};
    journaling_fill_clock(r, &clock.clock);
    journal_snapshot_add(r->journal, &clock);
    LIST_EACH(at, &r->flushes)
    {
        const struct flushed *f = LIST_ITEM(at, struct flushed, node);
        struct journal_record rec = {.kind = JOURNAL_FLUSH, .db = f->db, .stamp = f->stamp};
        journal_snapshot_add(r->journal, &rec);
    }
}

/* A batch that was in flight: its keys again, as touches, each on its own: together they would be one
 * merge set. */
static void snapshot_lane(struct router *r, const struct unsettled *u)
{
    struct journal_item item;
    struct journal_record rec = {.kind = JOURNAL_WRITE, .items = &item, .lane = u->lane};
    journal_snapshot_add(r->journal, &rec);
    rec.nitems = 1;
    LIST_EACH(at, &r->dirty)
    {
        const struct dirty *d = LIST_ITEM(at, const struct dirty, node);
        if (!merger_is_of_lane(u, d->maybe_version))
            continue;
        dirty_item(d, false, &item);
        item.touch = item.live;
        journal_snapshot_add(r->journal, &rec);
    }
}

/* What refers to keys comes at the end: they are there by then. */
static void snapshot_tail(struct router *r)
{
    snapshot_sets(r);
    LIST_EACH(at, &r->unsettled)
    snapshot_lane(r, LIST_ITEM(at, struct unsettled, node));
    if (r->merge_number > r->merge_confirmed)
        merger_describe_sent(r, true);
}

static bool on_snapshot(void *arg, size_t bytes)
{
    struct router *r = arg;
    if (!r->snapshot_begun) {
        r->snapshot_begun = true;
        r->snapshot_cursor = 0;
        snapshot_head(r);
    }
    r->snapshot_bytes = 0;
    do
        r->snapshot_cursor = keyspace_scan(r->keyspace, r->snapshot_cursor, snapshot_entry, r);
    while (r->snapshot_cursor != 0 && r->snapshot_bytes < bytes);
    if (r->snapshot_cursor != 0)
        return true;
    snapshot_tail(r);
    r->snapshot_begun = false;
    return false;
}

bool router_compact(struct store *s)
{
    struct router *r = router_of(s);
    if (r->journal == NULL)
        return false;
    journal_compact(r->journal); /* one that is full needs it most */
    return journal_is_compacting(r->journal);
}

/* ---- the journal's life ---- */

static const struct journal_events events = {on_record, on_durable, on_failed, on_snapshot};

static enum journal_fsync fsync_of(const struct config *c)
{
    return (enum journal_fsync)c->journal_fsync;
}

/* NULL = there is a folder that we may write to, else the reason why there is none. A folder that cannot
 * be used is no reason not to serve; a journal that is there and cannot be read is. */
static const char *folder_trouble(const char *dir)
{
    char path[PATH_MAX];
    if (snprintf(path, sizeof(path), "%s", dir) >= (int)sizeof(path))
        return strerror(ENAMETOOLONG);
    for (char *at = strchr(path + 1, '/'); at != NULL; at = strchr(at + 1, '/')) {
        *at = '\0';
        if (mkdir(path, 0700) < 0 && errno != EEXIST)
            return strerror(errno);
        *at = '/';
    }
    if (mkdir(path, 0700) < 0 && errno != EEXIST)
        return strerror(errno);
    return access(path, R_OK | W_OK | X_OK) < 0 ? strerror(errno) : NULL;
}

static void no_journal(struct router *r, const char *why)
{
    char quoted[LOG_QUOTE_SIZE];
    r->journal_trouble = mem_strdup(why);
    log_event(LOG_WARNING, "no-journal",
              "dir=%s why=%s note=\"while PostgreSQL is away, writes will be refused\"",
              r->journal_dir, log_quote(why, quoted));
}

/* Of instances of another name that have ended: somebody has to say that they are to be merged. */
static void tell_of_orphans(const struct router *r)
{
    struct buf names;
    char *rest = NULL;
    char quoted[LOG_QUOTE_SIZE];
    buf_init(&names);
    journal_find_orphans(r->journal_dir, &names);
    (void)buf_cstr(&names);
    for (char *name = strtok_r(names.data, "\n", &rest); name != NULL; name = strtok_r(NULL, "\n", &rest))
        log_event(LOG_WARNING, "orphaned-journal",
                  "name=%s note=\"beside ours, and no process has it: respgres --merge-journal merges it\"",
                  log_quote(name, quoted));
    buf_release(&names);
}

bool journaling_open(struct router *r, struct buf *error)
{
    struct journal_options o = {.dir = r->journal_dir,
                                .instance_name = r->config->instance_name,
                                .fsync = fsync_of(r->config),
                                .max_bytes = r->config->journal_max_size};
    const char *trouble = folder_trouble(r->journal_dir);
    if (trouble != NULL) {
        no_journal(r, trouble);
        return true;
    }
    warming_load(r);
    int64_t began_us = clock_mono_us();
    r->journal = journal_open(r->loop, &o, &events, r, error);
    if (r->journal == NULL)
        return false;
    tell_of_orphans(r);
    log_event(LOG_NOTICE, "journal", "dir=%s is=%s keys=%zu ms=%" PRId64, r->journal_dir,
              r->config->dir_is == DIR_PERSISTENT ? "persistent" : "ephemeral", r->ndirty,
              (clock_mono_us() - began_us) / 1000);
    return true;
}

bool journaling_read(struct router *r, struct buf *error)
{
    char *dir = router_make_dir(r->config);
    struct journal_options o = {
        .dir = dir, .instance_name = r->config->instance_name, .read_only = true};
    struct journal *j = journal_open(NULL, &o, &events, r, error);
    if (j != NULL)
        journal_close(j);
    mem_free(dir);
    return j != NULL;
}

void journaling_merged(struct router *r)
{
    r->clock_written = false;
    memset(r->flushed, 0, (size_t)r->config->databases * sizeof(*r->flushed));
    journal_clear(r->journal);
}
