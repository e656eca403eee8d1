/* upkeep: what is due now and then while we serve from memory: expired values are let go, a journal
 * that has grown is written anew, and the last traces of what is long gone are dropped. */
#include "base/clock.h"
#include "base/keyspace_events.h"
#include "store/router/internal.h"

enum {
    TICK_US = 100 * 1000,
    STEPS = 64,          /* buckets looked at per tick */
    DROPS = 256,
    SMALL_JOURNAL = 64 << 20,
};

struct upkeep {
    struct router *r;
    int64_t now_us;
    bool to_be_told;
    struct dirty *old[DROPS];
    size_t nold;
};

/* Kept as long as in PostgreSQL: something older must not come back by a merge. */
static bool is_long_gone(const struct router *r, const struct dirty *d, int64_t now_us)
{
    int64_t end_us = d->live ? d->expires_us : STAMP_US(d->version);
    return end_us < now_us - r->config->tombstone_retention_s * 1000000;
}

/* Then whoever tells the events does it: QUERY_EXPIRE. */
static bool is_to_be_told(const struct router *r)
{
    unsigned events = keyspace_events_effective((unsigned)r->config->notify_keyspace_events);
    return r->state == STORE_STANDALONE && (events & EVENT_EXPIRED) != 0;
}

static void look(struct entry *e, void *arg)
{
    struct upkeep *u = arg;
    if (e->pins > 0)
        return;
    if (e->knowledge == ENTRY_LIVE && e->expires_us <= u->now_us && !u->to_be_told) {
        entry_set_absent(u->r->keyspace, e, e->version);
        e->ended_here = true;
    }
    struct dirty *d = e->dirty;
    if (u->r->state == STORE_STANDALONE && d != NULL && e->knowledge == ENTRY_ABSENT &&
        u->nold < DROPS && is_long_gone(u->r, d, u->now_us))
        u->old[u->nold++] = d;
}

static void sweep(struct router *r)
{
    struct upkeep u = {.r = r, .now_us = router_now_us(r), .to_be_told = is_to_be_told(r)};
    for (int i = 0; i < STEPS; i++)
        r->sweep_cursor = keyspace_scan(r->keyspace, r->sweep_cursor, look, &u);
    for (size_t i = 0; i < u.nold; i++) {
        entry_set_unknown(r->keyspace, u.old[i]->entry);
        dirty_drop(r, u.old[i]);
    }
}

/* Twice what it was when it was last written anew is worth doing it again; where it is full, an eighth
 * more. (One that cannot be written at all is not compacted either: journal_compact.) */
static void compact_if_due(struct router *r)
{
    struct journal_stats st;
    if (r->journal == NULL || journal_is_compacting(r->journal) || r->merging != MERGE_IDLE)
        return;
    journal_get_stats(r->journal, &st);
    if (st.compactions != r->compactions) {
        r->compactions = st.compactions;
        r->compacted_bytes = st.bytes;
    }
    bool full = journal_error(r->journal) != NULL;
    if ((st.bytes > SMALL_JOURNAL && st.bytes > 2 * r->compacted_bytes) ||
        (full && st.bytes > r->compacted_bytes + r->compacted_bytes / 8))
        journal_compact(r->journal);
}

static void on_upkeep(void *arg)
{
    struct router *r = arg;
    router_feed_metrics(r);
    if (router_is_local(r)) {
        sweep(r);
        compact_if_due(r);
    }
    timer_set(r->upkeep_timer, TICK_US);
}

void upkeep_start(struct router *r)
{
    r->upkeep_timer = timer_new(r->loop, on_upkeep, r);
    timer_set(r->upkeep_timer, TICK_US);
}
