/* router: the states, and who serves what.
 *
 *     starting ──────────► online ◄──────── recovering
 *        │                   │                 ▲   │
 *        └────► away ◄───────┴─────────────────┼───┘
 *                └─────────────────────────────┘          standalone: for good
 *
 * router_set_state alone moves it. To PostgreSQL: online, and recovering but for keys that are not
 * merged yet, which are held until they are. From here: away and standalone. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/mem.h"
#include "config/policy.h"
#include "metrics/metrics.h"
#include "payload/rules.h"
#include "store/journal/warm.h"
#include "store/router/internal.h"

static const int64_t hour_us = 3600LL * 1000 * 1000;

enum { STANDALONE_READS = 1, STANDALONE_COMMITS = 2 };

/* ---- clock and stamps ---- */

int64_t router_now_us(struct router *r)
{
    int64_t now = r->pg != NULL ? r->pg->ops->now_us(r->pg) : clock_wall_us();
    if (r->pg != NULL && r->base.clock_set != r->pg->clock_set) {
        r->base.clock_set = r->pg->clock_set;
        r->last_now_us = 0;
    }
    if (now > r->last_now_us)
        r->last_now_us = now;
    return r->last_now_us;
}

int64_t router_mint(struct router *r, size_t n)
{
    if (r->pg != NULL)
        return postgres_mint_stamps(r->pg, n);
    int64_t stamp = ((router_now_us(r) - STAMP_EPOCH_US) << 10) | r->slot;
    if (stamp <= r->last_stamp)
        stamp = (((r->last_stamp >> 10) + 1) << 10) | r->slot;
    r->last_stamp = stamp + ((int64_t)n << 10);
    return stamp;
}

/* ---- states ---- */

static const char *const state_names[] = {"starting", "online", "away", "recovering", "standalone"};

static bool fallback_is_off(const struct router *r)
{
    return policy_fallback(r->config->fallback, bytes_of(NULL, 0)) == FALLBACK_OFF;
}

bool router_is_local(const struct router *r)
{
    return r->state == STORE_STANDALONE || (r->state == STORE_AWAY && !fallback_is_off(r));
}

bool router_is_readable(const struct router *r)
{
    return r->state == STORE_AWAY && postgres_readable(r->pg);
}

static void note_outage(struct router *r)
{
    int64_t now_us = clock_mono_us();
    r->stats.outages++;
    memmove(&r->outage_times[0], &r->outage_times[1],
            sizeof(r->outage_times) - sizeof(r->outage_times[0]));
    r->outage_times[3] = now_us;
    if (r->outage_times[0] != 0 && now_us - r->outage_times[0] < hour_us)
        log_event(LOG_WARNING, "postgres-unsteady", "note=\"more than three outages within an hour\"");
}

void router_set_state(struct router *r, enum store_state to, const char *why)
{
    static const bool legal[5][5] = {
        [STORE_STARTING] = {[STORE_ONLINE] = true, [STORE_AWAY] = true, [STORE_RECOVERING] = true,
                            [STORE_STANDALONE] = true},
        [STORE_ONLINE] = {[STORE_AWAY] = true},
        [STORE_AWAY] = {[STORE_RECOVERING] = true, [STORE_ONLINE] = true},
        [STORE_RECOVERING] = {[STORE_ONLINE] = true, [STORE_AWAY] = true},
    };
    char quoted[LOG_QUOTE_SIZE];
    CHECK(legal[r->state][to]);
    log_event(to == STORE_AWAY ? LOG_WARNING : LOG_NOTICE, "state",
              "from=%s to=%s after_ms=%" PRId64 " why=%s", state_names[r->state], state_names[to],
              (clock_mono_us() - r->since_us) / 1000, log_quote(why, quoted));
    r->state = to;
    r->since_us = clock_mono_us();
    snprintf(r->reason, sizeof(r->reason), "%s", why);
    keyspace_keep_all(r->keyspace, router_is_local(r));
    if (to == STORE_AWAY)
        note_outage(r);
}

/* ---- answering ---- */

void router_answer_soon(struct router *r)
{
    timer_set(r->answer_timer, 0);
}

static void on_answer(void *arg)
{
    local_answer(arg);
    router_pump(arg);
}

/* ---- held operations ---- */

static bool want_key(struct router *r, int db, struct bytes key)
{
    const struct entry *e = keyspace_find(r->keyspace, db, key);
    if (e == NULL || e->dirty == NULL)
        return false;
    merger_want(r, e->dirty);
    return true;
}

static bool wants_reads(struct router *r, const struct read_batch *b)
{
    bool any = false;
    for (size_t i = 0; i < b->n; i++)
        any |= want_key(r, b->items[i].db, b->items[i].key);
    return any;
}

static bool wants_items(struct router *r, const struct commit_batch *b)
{
    bool any = false;
    for (size_t i = 0; i < b->n; i++)
        any |= want_key(r, b->items[i].db, b->items[i].key);
    return any;
}

/* Until FLUSHes and batches in flight are settled, and the journal knows it, nobody may look at
 * PostgreSQL's rows. */
static bool all_must_wait(const struct router *r)
{
    return !list_empty(&r->flushes) || !list_empty(&r->unsettled) || r->settled_position > r->durable;
}

static bool is_recovering(const struct router *r)
{
    return r->state == STORE_RECOVERING && (r->ndirty > 0 || all_must_wait(r));
}

bool router_has_held(const struct router *r)
{
    bool any = r->held_queries != NULL;
    for (size_t i = 0; i < r->nreads; i++)
        any |= r->held_reads[i].read != NULL;
    for (size_t i = 0; i < r->ncommits; i++)
        any |= r->held_commits[i].commit != NULL || r->held_commits[i].xact != NULL;
    return any;
}

/* Nobody tells when a lane is idle again: that is looked at each turn. */
static void hold_read(struct router *r, size_t lane, struct read_batch *b, bool for_lane)
{
    r->held_reads[lane].read = b;
    r->release_due |= for_lane;
}

static void route_read(struct router *r, size_t lane, struct read_batch *b)
{
    bool hold = is_recovering(r) && (wants_reads(r, b) || all_must_wait(r));
    if (router_is_local(r) && router_is_readable(r) && r->pg->ops->read_lane_idle(r->pg, lane))
        split_read(r, lane, b);
    else if (router_is_local(r))
        local_read(r, lane, b);
    else if (hold || !r->pg->ops->read_lane_idle(r->pg, lane))
        hold_read(r, lane, b, !hold);
    else
        r->pg->ops->read(r->pg, lane, b);
}

static void route_commit(struct router *r, size_t lane, struct commit_batch *b)
{
    bool hold = is_recovering(r) && (wants_items(r, b) || all_must_wait(r));
    if (router_is_local(r)) {
        local_commit(r, lane, b, NULL);
    } else if (hold || !r->pg->ops->commit_lane_idle(r->pg, lane)) {
        r->held_commits[lane].commit = b;
        r->release_due |= !hold;
    } else {
        b->local = false;
        r->pg->ops->commit(r->pg, lane, b);
    }
}

static void route_xact(struct router *r, size_t lane, struct store_xact *x)
{
    if (router_is_local(r)) {
        local_xact_begin(r, x);
    } else if (is_recovering(r) || !r->pg->ops->commit_lane_idle(r->pg, lane)) {
        r->held_commits[lane].xact = x;
        r->release_due |= !is_recovering(r);
    } else {
        r->pg->ops->xact_begin(r->pg, lane, x);
    }
}

/* INFO tells how far the merge is; and of the keys of a batch that has been sent none waits for it. */
static bool needs_no_merge(const struct store_query *q)
{
    return q->kind >= QUERY_SCRIPT_SAVE || q->kind == QUERY_KEYSPACE || q->kind == QUERY_FIND_LOCKED || q->kind == QUERY_TRY_LOCK;
}

static void route_query(struct router *r, struct store_query *q)
{
    if (router_is_local(r)) {
        local_query(r, q);
    } else if (is_recovering(r) && !needs_no_merge(q)) {
        q->next = NULL;
        *r->held_queries_tail = q;
        r->held_queries_tail = &q->next;
    } else {
        if (q->kind == QUERY_SCAN && q->cursor >= LOCAL_CURSOR && q->cursor < 2 * LOCAL_CURSOR)
            q->cursor = 0; /* begun in memory: from the start, rather than leave out some */
        r->pg->ops->query(r->pg, q);
    }
}

static void release_queries(struct router *r)
{
    struct store_query *q = r->held_queries;
    r->held_queries = NULL;
    r->held_queries_tail = &r->held_queries;
    while (q != NULL) {
        struct store_query *next = q->next;
        route_query(r, q);
        q = next;
    }
}

/* All who sent it have been told that it may have been applied. It was never sent: nor is it now. */
static void drop_abandoned(struct commit_batch *b)
{
    for (size_t i = 0; i < b->n; i++)
        b->items[i].applied = false;
    b->result = STORE_LOST;
    b->done(b);
}

void router_release_held(struct router *r)
{
    r->release_due = false;
    for (size_t i = 0; i < r->nreads; i++) {
        struct read_batch *b = r->held_reads[i].read;
        r->held_reads[i].read = NULL;
        if (b != NULL)
            route_read(r, i, b);
    }
    for (size_t i = 0; i < r->ncommits; i++) {
        struct held_lane *h = &r->held_commits[i];
        struct commit_batch *b = h->commit;
        struct store_xact *x = h->xact;
        h->commit = NULL;
        h->xact = NULL;
        if (b != NULL && b->abandoned)
            drop_abandoned(b);
        else if (b != NULL)
            route_commit(r, i, b);
        if (x != NULL)
            route_xact(r, i, x);
    }
    release_queries(r);
}

/* ---- PostgreSQL goes and comes ---- */

static void take_over(struct router *r)
{
    for (size_t i = 0; i < r->ncommits; i++) {
        struct journal_lane lane;
        struct commit_batch *b = postgres_take_batch(r->pg, i, &lane);
        if (b == NULL)
            continue;
        local_commit(r, i, b, &lane);
        struct unsettled *u = LIST_ITEM(r->unsettled.prev, struct unsettled, node);
        if (!list_empty(&r->unsettled) && u->lane.stamp == lane.stamp)
            u->taken = true;
    }
    /* What cannot be taken over would wait for PostgreSQL, and the next of its kind for it. */
    for (size_t i = 0; i < r->ncommits; i++)
        postgres_drop_xact(r->pg, i);
    router_release_held(r);
}

static void go_away(struct router *r, const char *why)
{
    timer_clear(r->start_timer);
    if (r->state == STORE_RECOVERING)
        merger_stop(r);
    router_set_state(r, STORE_AWAY, why);
    if (!fallback_is_off(r))
        take_over(r);
}

static bool has_something_to_merge(const struct router *r)
{
    return r->ndirty > 0 || all_must_wait(r);
}

static void come_back(struct router *r)
{
    r->returning = false;
    timer_clear(r->start_timer);
    if (has_something_to_merge(r)) {
        router_set_state(r, STORE_RECOVERING, "PostgreSQL is back");
        merger_start(r);
    } else {
        router_set_state(r, STORE_ONLINE, "PostgreSQL answers");
    }
    router_release_held(r);
}

/* What is under way locally ends locally. */
void router_pump(struct router *r)
{
    if (r->pg == NULL || r->pg_stopping)
        return;
    enum store_state pg = r->pg->ops->state(r->pg);
    bool back = pg == STORE_ONLINE && (r->state == STORE_AWAY || r->state == STORE_STARTING);
    r->returning = back;
    if (back && !local_busy(r))
        come_back(r);
    else if (pg == STORE_AWAY && (r->state == STORE_ONLINE || r->state == STORE_RECOVERING))
        go_away(r, postgres_reason(r->pg));
    else if (pg == STORE_AWAY && r->state == STORE_STARTING && r->has_memory)
        go_away(r, "PostgreSQL cannot be reached");
}

static void on_pg_state(void *arg)
{
    router_pump(arg);
}

static void on_pg_settled(void *arg, const struct journal_lane *lane, const struct postgres_outcome *o)
{
    merger_outcome(arg, lane, o);
}

static const struct postgres_events pg_events = {on_pg_state, on_pg_settled};

static void on_start_timer(void *arg)
{
    struct router *r = arg;
    if (r->state == STORE_STARTING && r->has_memory)
        go_away(r, "PostgreSQL cannot be reached");
}

static void on_merge_timer(void *arg)
{
    merger_pump(arg);
}

static void on_retry_timer(void *arg)
{
    struct router *r = arg;
    if (r->journal == NULL || journal_error(r->journal) == NULL)
        return;
    journal_retry(r->journal);
    timer_set(r->retry_timer, 1000000);
}

/* ---- the store's functions ---- */

static struct router *self(const struct store *s)
{
    return (struct router *)s;
}

static enum store_state op_state(const struct store *s)
{
    return self(s)->state;
}

static bool op_memory_is_truth(const struct store *s)
{
    return router_is_local(self(s)) && !router_is_readable(self(s));
}

static size_t op_read_lanes(const struct store *s)
{
    return self(s)->nreads;
}

static size_t op_commit_lanes(const struct store *s)
{
    return self(s)->ncommits;
}

static bool op_read_lane_idle(const struct store *s, size_t lane)
{
    const struct router *r = self(s);
    if (r->local_reads[lane].read != NULL || r->held_reads[lane].read != NULL)
        return false;
    if (r->returning)
        return false;
    if (router_is_local(r) && router_is_readable(r))
        return r->flushing == NULL && r->pg->ops->read_lane_idle(r->pg, lane);
    if (router_is_local(r))
        return r->flushing == NULL;
    return r->pg != NULL && r->pg->ops->read_lane_idle(r->pg, lane);
}

static bool op_commit_lane_idle(const struct store *s, size_t lane)
{
    const struct router *r = self(s);
    if (r->local_commits[lane].batch != NULL || r->held_commits[lane].commit != NULL ||
        r->held_commits[lane].xact != NULL)
        return false;
    if (r->returning)
        return false;
    if (router_is_local(r)) /* a FLUSH waits for those before it and keeps out those behind it */
        return r->flushing == NULL && !local_flush_waits(r) && (lane > 0 || r->xact == NULL);
    return r->pg != NULL && r->pg->ops->commit_lane_idle(r->pg, lane);
}

static void op_read(struct store *s, size_t lane, struct read_batch *b)
{
    route_read(self(s), lane, b);
}

static void op_commit(struct store *s, size_t lane, struct commit_batch *b)
{
    route_commit(self(s), lane, b);
}

static void op_xact_begin(struct store *s, size_t lane, struct store_xact *x)
{
    route_xact(self(s), lane, x);
}

static void op_xact_step(struct store *s, size_t lane, struct store_xact *x)
{
    struct router *r = self(s);
    if (r->xact == x)
        local_xact_step(r, x);
    else
        r->pg->ops->xact_step(r->pg, lane, x);
}

static void op_xact_end(struct store *s, size_t lane, struct store_xact *x)
{
    struct router *r = self(s);
    if (r->xact == x)
        local_xact_end(r, x);
    else
        r->pg->ops->xact_end(r->pg, lane, x);
}

static void op_query(struct store *s, struct store_query *q)
{
    route_query(self(s), q);
}

static int64_t op_now_us(struct store *s)
{
    return router_now_us(self(s));
}

static void op_set_notices(struct store *s, const struct store_notices *notices, void *arg)
{
    if (self(s)->pg != NULL)
        self(s)->pg->ops->set_notices(self(s)->pg, notices, arg);
}

static void op_want(struct store *s, unsigned wants)
{
    if (self(s)->pg != NULL)
        self(s)->pg->ops->want(self(s)->pg, wants);
}

static unsigned op_hears(const struct store *s)
{
    const struct router *r = self(s);
    return r->pg != NULL ? r->pg->ops->hears(r->pg) : 0;
}

static void op_publish(struct store *s, bool shard, struct bytes channel, struct bytes message)
{
    if (self(s)->pg != NULL)
        self(s)->pg->ops->publish(self(s)->pg, shard, channel, message);
}

static enum store_room op_publish_room(const struct store *s)
{
    const struct router *r = self(s);
    return r->pg != NULL ? r->pg->ops->publish_room(r->pg) : STORE_ROOM;
}

static int64_t op_fresh_until_us(const struct store *s)
{
    const struct router *r = self(s);
    bool asks = r->state == STORE_ONLINE || r->state == STORE_RECOVERING;
    return asks ? r->pg->ops->fresh_until_us(r->pg) : 0;
}

static unsigned op_fleet_events(const struct store *s)
{
    const struct router *r = self(s);
    return r->pg != NULL && r->pg->ops->fleet_events != NULL ? r->pg->ops->fleet_events(r->pg) : 0;
}

static void info_journal(struct router *r, struct buf *out)
{
    char why[200];
    const char *error = journaling_error(r, why, sizeof(why));
    buf_printf(out, "journal_state:%s\r\n", r->journal == NULL && r->journal_trouble == NULL ? "off"
                                            : error != NULL ? "failed" : "ok");
    buf_printf(out, "journal_dir_is:%s\r\n",
               r->config->dir_is == DIR_PERSISTENT ? "persistent" : "ephemeral");
    buf_printf(out, "journal_keys:%zu\r\njournal_dir:%s\r\n", r->ndirty, r->journal_dir != NULL ? r->journal_dir : "");
}

void router_feed_metrics(struct router *r)
{
    struct journal_stats st = {0};
    if (r->journal != NULL)
        journal_get_stats(r->journal, &st);
    metrics.journal_bytes = (int64_t)st.bytes;
    metrics.journal_pending_keys = (int64_t)r->ndirty;
    metrics.journal_oldest_time = r->ndirty > 0 ? r->oldest_us / 1000000 : 0;
    metrics.journal_records = (int64_t)st.records;
    metrics.journal_fsyncs = (int64_t)st.fsyncs;
    metrics.journal_fsync_us = (int64_t)st.fsync_us;
    metrics.journal_failures = (int64_t)st.failures;
    metrics.journal_compactions = (int64_t)st.compactions;
    metrics.away_misses = (int64_t)r->stats.unknown_reads;
}

static void op_info(struct store *s, struct buf *out)
{
    struct router *r = self(s);
    const struct router_stats *st = &r->stats;
    buf_printf(out, "store_state:%s\r\nstore_outages:%" PRIu64 "\r\n", state_names[r->state],
               st->outages);
    buf_printf(out, "away_unknown_reads:%" PRIu64 "\r\naway_commits:%" PRIu64 "\r\n",
               st->unknown_reads, st->local_commits);
    info_journal(r, out);
    buf_printf(out, "merge_keys_left:%zu\r\nmerge_last_ms:%" PRId64 "\r\n",
               r->state == STORE_RECOVERING ? r->ndirty : 0, st->merge_us / 1000);
    router_feed_metrics(r);
    if (r->pg != NULL)
        r->pg->ops->info(r->pg, out);
}

static void op_collect(const struct store *s, struct metrics_page *p)
{
    router_feed_metrics(self(s));
    if (self(s)->pg != NULL)
        self(s)->pg->ops->collect(self(s)->pg, p);
}

static const char *op_why(const struct store *s)
{
    struct router *r = self(s);
    char error[200];
    if (r->state == STORE_STARTING && r->pg != NULL)
        return r->pg->ops->why(r->pg);
    bool writes_fail = router_is_local(r) && journaling_error(r, error, sizeof(error)) != NULL;
    snprintf(r->why, sizeof(r->why), "%s%s%s", r->reason, writes_fail ? "; writes are refused: " : "",
             writes_fail ? error + strlen("MISCONF ") : "");
    return r->why;
}

static void op_reset_stats(struct store *s)
{
    if (self(s)->pg != NULL)
        self(s)->pg->ops->reset_stats(self(s)->pg);
}

static bool op_save(struct store *s)
{
    return router_compact(s);
}

/* With something to merge, the stop waits for that (router_turn_end), also for PostgreSQL. */
static void op_stop(struct store *s)
{
    self(s)->stopping = true;
}

static bool may_stop_pg(const struct router *r)
{
    return r->state != STORE_RECOVERING && !(r->state == STORE_AWAY && has_something_to_merge(r));
}

static bool op_stopped(const struct store *s)
{
    const struct router *r = self(s);
    if (r->pg == NULL)
        return !local_busy(r);
    return r->pg_stopping && r->pg->ops->stopped(r->pg);
}

static void release_if_due(struct router *r)
{
    if (!r->release_due || r->pg == NULL || router_is_local(r))
        return;
    r->release_due = false;
    if (router_has_held(r))
        router_release_held(r);
}

bool router_turn_end(struct store *s)
{
    struct router *r = router_of(s);
    release_if_due(r);
    bool more = r->journal != NULL && journal_flush(r->journal);
    if (r->stopping && !r->warm_at_stop && r->pg != NULL && may_stop_pg(r)) {
        r->warm_at_stop = true;
        if (r->state == STORE_ONLINE)
            warming_begin(r);
    }
    if (r->warm != NULL)
        warm_flush(r->warm);
    bool warm = r->warm_at_stop && (r->warm == NULL || !warm_is_writing(r->warm));
    if (r->stopping && !r->pg_stopping && warm && may_stop_pg(r)) {
        r->pg_stopping = true;
        r->pg->ops->stop(r->pg);
    }
    return more;
}

size_t router_unmerged(const struct store *s)
{
    const struct router *r = self(s);
    return r->pg != NULL ? r->ndirty + !list_empty(&r->flushes) : 0;
}

const char *router_journal_dir(const struct store *s)
{
    return self(s)->journal_dir != NULL ? self(s)->journal_dir : "";
}

const char *router_state_reason(const struct store *s, int64_t *since_us)
{
    *since_us = self(s)->since_us;
    return self(s)->reason;
}

void router_config_changed(struct store *s)
{
    struct router *r = router_of(s);
    if (r->warm_timer != NULL)
        warming_schedule(r);
    if (r->journal == NULL)
        return;
    journal_set_fsync(r->journal, (enum journal_fsync)r->config->journal_fsync);
    journal_set_max_bytes(r->journal, r->config->journal_max_size);
}

/* ---- making and ending ---- */

static void free_list_of(struct list *l, size_t offset)
{
    LIST_EACH(it, l)
    {
        list_remove(it);
        mem_free((char *)it - offset);
    }
}

void router_free_lists(struct router *r)
{
    free_list_of(&r->flushes, offsetof(struct flushed, node));
    free_list_of(&r->unsettled, offsetof(struct unsettled, node));
}

static void op_free(struct store *s)
{
    struct router *r = router_of(s);
    if (r == NULL)
        return;
    if (r->pg != NULL && router_unmerged(s) > 0)
        postgres_keep_slot(r->pg);
    if (r->pg != NULL)
        r->pg->ops->free(r->pg);
    warm_free(r->warm);
    timer_free(r->warm_timer);
    if (r->journal != NULL)
        journal_close(r->journal);
    merger_forget_sent(r);
    dirty_drop_db(r, -1);
    router_free_lists(r);
    payload_rules_free(r->sessions);
    local_free(r);
    timer_free(r->start_timer);
    timer_free(r->answer_timer);
    timer_free(r->merge_timer);
    timer_free(r->retry_timer);
    timer_free(r->upkeep_timer);
    mem_free(r->local_reads);
    mem_free(r->local_commits);
    mem_free(r->held_reads);
    mem_free(r->held_commits);
    mem_free(r->flushed);
    mem_free(r->journal_dir);
    mem_free(r->journal_trouble);
    mem_free(r);
}

static const struct store_ops router_ops = {
    .free = op_free,
    .state = op_state,
    .read_lanes = op_read_lanes,
    .commit_lanes = op_commit_lanes,
    .read_lane_idle = op_read_lane_idle,
    .commit_lane_idle = op_commit_lane_idle,
    .read = op_read,
    .commit = op_commit,
    .xact_begin = op_xact_begin,
    .xact_step = op_xact_step,
    .xact_end = op_xact_end,
    .memory_is_truth = op_memory_is_truth,
    .query = op_query,
    .now_us = op_now_us,
    .set_notices = op_set_notices,
    .fresh_until_us = op_fresh_until_us,
    .fleet_events = op_fleet_events,
    .info = op_info,
    .reset_stats = op_reset_stats,
    .collect = op_collect,
    .why = op_why,
    .stop = op_stop,
    .stopped = op_stopped,
    .save = op_save,
    .want = op_want,
    .hears = op_hears,
    .publish = op_publish,
    .publish_room = op_publish_room,
};

static void init(struct router *r)
{
    list_init(&r->dirty);
    list_init(&r->flushes);
    list_init(&r->unsettled);
    list_init(&r->staged);
    r->queries_tail = &r->queries;
    r->held_queries_tail = &r->held_queries;
    r->since_us = clock_mono_us();
    r->flushed = mem_zalloc((size_t)r->config->databases * sizeof(*r->flushed));
    r->nreads = r->pg != NULL ? r->pg->ops->read_lanes(r->pg) : STANDALONE_READS;
    r->ncommits = r->pg != NULL ? r->pg->ops->commit_lanes(r->pg) : STANDALONE_COMMITS;
    r->local_reads = mem_zalloc(r->nreads * sizeof(*r->local_reads));
    r->held_reads = mem_zalloc(r->nreads * sizeof(*r->held_reads));
    r->local_commits = mem_zalloc(r->ncommits * sizeof(*r->local_commits));
    r->held_commits = mem_zalloc(r->ncommits * sizeof(*r->held_commits));
    r->start_timer = timer_new(r->loop, on_start_timer, r);
    r->answer_timer = timer_new(r->loop, on_answer, r);
    r->merge_timer = timer_new(r->loop, on_merge_timer, r);
    r->retry_timer = timer_new(r->loop, on_retry_timer, r);
    upkeep_start(r);
}

char *router_make_dir(const struct config *c)
{
    struct buf dir;
    buf_init(&dir);
    buf_printf(&dir, "%s/%s", c->dir, c->instance_name);
    char *made = mem_strdup(buf_cstr(&dir));
    buf_release(&dir);
    return made;
}

static bool open_memory(struct router *r, struct buf *error)
{
    if (r->pg != NULL && fallback_is_off(r))
        return true;
    r->journal_dir = router_make_dir(r->config);
    if (!journaling_open(r, error))
        return false;
    if (r->pg != NULL || r->journal != NULL)
        return true;
    buf_printf(error, "standalone needs its journal: %s", r->journal_trouble);
    return false;
}

static void begin(struct router *r)
{
    if (r->pg == NULL) {
        uint16_t dice;
        random_bytes(&dice, sizeof(dice));
        if (r->slot == 0)
            r->slot = 1 + dice % 1023;
        router_set_state(r, STORE_STANDALONE, "as configured");
        return;
    }
    postgres_holds_journal(r->pg, r->journal != NULL);
    postgres_set_events(r->pg, &pg_events, r);
    warming_start(r);
    timer_set(r->start_timer, r->config->pg_timeout_ms * 1000);
}

struct store *router_new(struct loop *loop, const struct config *config, struct keyspace *keyspace,
                         struct store *postgres, struct buf *error)
{
    struct router *r = mem_zalloc(sizeof(*r));
    r->base.ops = &router_ops;
    r->loop = loop;
    r->config = config;
    r->keyspace = keyspace;
    r->pg = postgres;
    init(r);
    if (!open_memory(r, error)) {
        op_free(&r->base);
        return NULL;
    }
    begin(r);
    return &r->base;
}
