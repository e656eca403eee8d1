/* The PostgreSQL store: links, their life, the state, the clock and the version stamps.
 *
 * Invariants: a link has at most one operation in flight; a commit link without an answer keeps its
 * batch until the lane's row has told the outcome; `state` moves in store_update_state alone. */
#include "store/postgres/internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/mem.h"

/* 2025-01-01, from which stamps count microseconds: 53 bits of them last until 2310. */
static const int64_t stamp_epoch_us = 1735689600LL * 1000000;

enum { SLOT_BITS = 10 };

int64_t store_timeout_us(const struct pg_store *s)
{
    return s->config->pg_timeout_ms * 1000;
}

int64_t link_timeout_us(const struct link *k)
{
    return k->bulk ? STORE_BULK_TIMEOUT_MS * 1000 : store_timeout_us(k->store);
}

const char *store_text(const struct pg_store *s, enum statement_id id)
{
    return s->texts[id].data;
}

void op_stats_add(struct op_stats *st, size_t items, int64_t us)
{
    st->items += items;
    st->us += (uint64_t)us;
    if (items > st->max_items)
        st->max_items = items;
    if ((uint64_t)us > st->max_us)
        st->max_us = (uint64_t)us;
    histogram_note(&st->sizes, items > 0 ? items - 1 : 0);
    histogram_note(&st->times, (uint64_t)us);
}

/* ---- clock and stamps ---- */

/* Time does not go back: it stands still, but no longer than this. What has been answered by a clock that was far
 * ahead says nothing about the one that goes now: keys would seem to have expired that PostgreSQL calls live. */
static const int64_t standstill_us = 1000 * 1000;
static const int64_t clock_told_every_us = 10 * 1000 * 1000;

void store_clock_sample(struct pg_store *s, int64_t pg_us, const struct lane *l)
{
    bool first = !s->clock_asked; /* the host's clock, or the journal's word of it, may have been ahead */
    if (first)
        s->clock.known = false;
    s->clock_asked = true;
    int64_t now = clock_mono_us();
    int64_t set = clock_offset_note(&s->clock, pg_us, lane_begun_us(l), now);
    bool far = set > standstill_us || set < -standstill_us; /* else it drifts more than it should */
    if (far && now - s->clock_told_us > clock_told_every_us) {
        s->clock_told_us = now;
        log_event(LOG_WARNING, "clock-set", "whose=PostgreSQL by_ms=%" PRId64, set / 1000);
    }
    if (first || s->last_now_us > now + clock_offset_us(&s->clock) + standstill_us) {
        s->last_now_us = 0;
        s->base.clock_set++;
    }
}

int64_t store_now_us(struct store *base)
{
    struct pg_store *s = (struct pg_store *)base;
    int64_t now = s->clock.known ? clock_mono_us() + clock_offset_us(&s->clock) : clock_wall_us();
    if (now > s->last_now_us)
        s->last_now_us = now;
    return s->last_now_us;
}

int64_t store_mint_stamps(struct pg_store *s, size_t n)
{
    int64_t us = store_now_us(&s->base) - stamp_epoch_us;
    if (us < 0) /* a host without a clock that has not met PostgreSQL */
        us = 0;
    int64_t stamp = (us << SLOT_BITS) | s->stamp_slot;
    if (stamp <= s->last_stamp)
        stamp = (((s->last_stamp >> SLOT_BITS) + 1) << SLOT_BITS) | s->stamp_slot;
    s->last_stamp = stamp_at(stamp, n);
    return stamp;
}

/* ---- state ---- */

static bool is_good(const struct link *k)
{
    return k->usable && !k->doubtful && !k->bulk;
}

bool store_kind_usable(const struct pg_store *s, enum link_kind kind)
{
    for (size_t i = 0; i < s->nlinks; i++) {
        if (s->links[i].kind == kind && is_good(&s->links[i]))
            return true;
    }
    return false;
}

/* ... for reads and writes alike. */
static bool kind_usable(const struct pg_store *s, enum link_kind kind)
{
    for (size_t i = 0; i < s->nlinks; i++) {
        const struct link *k = &s->links[i];
        if (k->kind == kind && is_good(k) && !k->read_only)
            return true;
    }
    return false;
}

static bool kind_failed(const struct pg_store *s, enum link_kind kind)
{
    bool failed = false;
    for (size_t i = 0; i < s->nlinks; i++) {
        const struct link *k = &s->links[i];
        if (k->kind != kind || k->bulk)
            continue;
        if (k->usable)
            return false;
        failed |= k->failures > 0 && !k->excused;
    }
    return failed;
}

static const char *state_name(enum store_state st)
{
    static const char *const names[] = {"starting", "online", "away"};
    return names[st];
}

void store_set_state(struct pg_store *s, enum store_state to, const char *why)
{
    enum store_state from = s->state;
    char quoted[LOG_QUOTE_SIZE];
    if (from == to)
        return;
    CHECK(to != STORE_STARTING);
    CHECK(from != STORE_STARTING || to == STORE_ONLINE);
    log_event(to == STORE_AWAY ? LOG_WARNING : LOG_NOTICE, "store-state", "from=%s to=%s why=%s",
              state_name(from), state_name(to), log_quote(why, quoted));
    s->state = to;
    breaker_state_set(s, from, why);
    handover_announce(s);
}

void store_give_up_query(struct pg_store *s)
{
    if (s->links[0].usable)
        link_lost(&s->links[0], "the other connections are lost");
}

bool store_takes_read_only(const struct pg_store *s)
{
    return s->state == STORE_AWAY && !store_kind_usable(s, LINK_COMMIT);
}

void store_update_state(struct pg_store *s)
{
    if (!s->booted || s->stopping)
        return;
    bool usable = kind_usable(s, LINK_READ) && kind_usable(s, LINK_COMMIT);
    breaker_kinds_usable(s, usable);
    if (usable && breaker_lets_in(s)) {
        store_set_state(s, STORE_ONLINE, "reads and writes have their connections");
    } else if (s->state == STORE_ONLINE && (kind_failed(s, LINK_READ) || kind_failed(s, LINK_COMMIT))) {
        store_set_state(s, STORE_AWAY, s->breaker.last_loss);
        store_give_up_query(s);
    }
}

/* ---- where the database is ---- */

/* How one gets in may change while older connections go on; where to may not: half of the
 * connections would lead to another database. */
static bool is_about_access(const char *keyword)
{
    return strcmp(keyword, "user") == 0 || strcmp(keyword, "password") == 0 ||
           strcmp(keyword, "passfile") == 0 || strncmp(keyword, "ssl", 3) == 0;
}

static bool same_value(const char *a, const char *b)
{
    return strcmp(a != NULL ? a : "", b != NULL ? b : "") == 0;
}

/* Both lists have all of libpq's options, in its order. */
static bool same_database(const char *a, const char *b)
{
    PQconninfoOption *x = PQconninfoParse(a, NULL);
    PQconninfoOption *y = PQconninfoParse(b, NULL);
    bool same = x != NULL && y != NULL;
    for (size_t i = 0; same && x[i].keyword != NULL; i++)
        same = is_about_access(x[i].keyword) || same_value(x[i].val, y[i].val);
    PQconninfoFree(x);
    PQconninfoFree(y);
    return same;
}

void store_take_url(struct pg_store *s)
{
    const char *url = s->config->database_url;
    if (strcmp(url, s->conninfo) == 0 || (s->refused_url != NULL && strcmp(url, s->refused_url) == 0))
        return;
    bool taken = same_database(url, s->conninfo);
    log_event(taken ? LOG_NOTICE : LOG_WARNING, taken ? "database-url-taken" : "database-url-not-taken",
              "note=%s", taken ? "\"for new connections\""
                               : "\"it differs in more than user, password and TLS: restart\"");
    char **to = taken ? &s->conninfo : &s->refused_url;
    mem_free(*to);
    *to = mem_strdup(url);
}

/* ---- links ---- */

struct link *store_bulk_link(struct pg_store *s)
{
    return &s->links[s->nread + s->ncommit];
}

static void link_connect(struct link *k)
{
    struct pg_store *s = k->store;
    if (s->stopping || lane_state(k->lane) != LANE_DOWN)
        return;
    if ((k->kind != LINK_QUERY && !s->booted) || (k->bulk && !k->wanted))
        return;
    if (k->kind == LINK_LISTEN && !listen_is_wanted(s)) {
        k->failures = k->quick_losses = 0;
        return;
    }
    store_take_url(s);
    int how = s->config->pg_pooler == POOLER_TRANSACTION ? LANE_BEHIND_POOLER : 0;
    if (k->kind == LINK_READ && store_takes_read_only(s))
        how |= LANE_ANY_SERVER;
    lane_connect(k->lane, s->conninfo, k->application_name, store_timeout_us(s), how);
}

static void on_retry(void *arg)
{
    struct link *k = arg;
    if (k->waits_for_slot)
        link_lost(k, "no slot yet");
    else
        link_connect(k);
}

/* A server that takes writes is there: what others read is older than what it has. */
static void leave_read_only(struct pg_store *s)
{
    for (size_t i = 0; i < s->nlinks; i++) {
        if (s->links[i].usable && s->links[i].read_only)
            link_lost(&s->links[i], "there is a server that can be written to");
    }
}

void link_heard(struct link *k)
{
    if (!k->doubtful)
        return;
    k->doubtful = false;
    store_update_state(k->store);
}

void link_became_usable(struct link *k)
{
    k->usable = true;
    k->doubtful = false;
    if (k->kind == LINK_COMMIT && !k->bulk)
        leave_read_only(k->store);
    k->failures = 0;
    k->usable_since_us = clock_mono_us();
    log_event(LOG_VERBOSE, "lane-ready", "lane=%s", k->name);
    store_update_state(k->store);
    handover_announce(k->store);
    merge_pump(k->store);
    vacuum_pump(k->store);
}

/* The first attempt after a loss comes at once; then 50 ms, doubling to 2 s, with jitter. */
static int64_t backoff_us(const struct link *k)
{
    int tries = k->failures + k->quick_losses;
    if (tries <= 1)
        return 0;
    int shift = tries - 2 > 6 ? 6 : tries - 2;
    int64_t us = (int64_t)50000 << shift;
    if (us > 2000000)
        us = 2000000;
    uint16_t dice;
    random_bytes(&dice, sizeof(dice));
    return us * 3 / 4 + us * dice / 131072;
}

void link_lost(struct link *k, const char *why)
{
    struct pg_store *s = k->store;
    char quoted[LOG_QUOTE_SIZE];
    bool was_usable = k->usable;
    pg_note_loss(s, why);
    if (lane_state(k->lane) != LANE_DOWN)
        lane_close(k->lane);
    k->usable = false;
    k->waits_for_slot = false;
    k->doubtful = false;
    breaker_note_loss(s, why);
    if (was_usable)
        breaker_restart_trial(s);
    if (k->bulk) {
        s->vacuuming = false;
        merge_lost(s);
    }
    if (was_usable)
        s->lost_connections++;
    /* Losing a connection is no failure yet; not getting it back is. */
    k->failures += was_usable ? 0 : 1;
    k->excused = s->slot == 0;
    if (was_usable) {
        bool quick = clock_mono_us() - k->usable_since_us < 1000000;
        k->quick_losses = quick ? k->quick_losses + 1 : 0;
    }
    if (!s->stopping && (was_usable || k->failures <= 3 || k->failures % 30 == 0))
        log_event(LOG_WARNING, was_usable ? "lane-lost" : "lane-not-connected",
                  "lane=%s attempt=%d why=%s", k->name, k->failures, log_quote(why, quoted));
    if (k->reading != NULL || (k->xact != NULL && k->committing == NULL) ||
        (k->committing != NULL && s->stopping))
        batch_give_up(k);
    if (k->kind == LINK_QUERY)
        query_fail_all(s, why);
    if (k->kind == LINK_LISTEN)
        listen_lost(s);
    if (s->migration != NULL)
        schema_lost(s, why);
    if (!s->stopping)
        timer_set(k->retry, backoff_us(k));
    if (k->kind == LINK_QUERY && !was_usable && !s->stopping)
        breaker_ask_idle_links(s);
    store_update_state(s);
    handover_announce(s);
}

static void on_lane_connected(void *arg, struct lane *l)
{
    (void)l;
    boot_link(arg);
}

static void on_lane_lost(void *arg, struct lane *l, const char *why)
{
    (void)l;
    link_lost(arg, why);
}

static void on_lane_notified(void *arg, struct lane *l, const char *payload)
{
    (void)l;
    listen_notified(arg, payload);
}

static const struct lane_events link_events = {on_lane_connected, on_lane_lost, on_lane_notified};

static void link_init(struct link *k, struct pg_store *s, enum link_kind kind, int number)
{
    static const char *const names[] = {"query", "read", "commit", "listen"};
    k->store = s;
    k->kind = kind;
    k->number = number;
    snprintf(k->name, sizeof(k->name), "%s-%d", names[kind], number);
    snprintf(k->application_name, sizeof(k->application_name), "respgres %.40s %s",
             s->config->instance_name, k->name);
    params_init(&k->params);
    params_init(&k->settings);
    k->lane = lane_new(s->loop, s->hosts, k->name, &link_events, k);
    k->retry = timer_new(s->loop, on_retry, k);
}

void store_open_links(struct pg_store *s)
{
    for (size_t i = 1; i < s->nlinks; i++) {
        if (s->links[i].waits_for_slot)
            boot_goes_on(&s->links[i]);
        else if (lane_state(s->links[i].lane) == LANE_DOWN)
            timer_set(s->links[i].retry, 0);
    }
}

/* ---- the store's functions ---- */

static struct pg_store *self(const struct store *base)
{
    return (struct pg_store *)base;
}

static void pg_free(struct store *base)
{
    struct pg_store *s = self(base);
    s->stopping = true;
    for (size_t i = 0; i < s->nlinks; i++) {
        struct link *k = &s->links[i];
        lane_free(k->lane);
        timer_free(k->retry);
        params_release(&k->params);
        params_release(&k->settings);
        mem_free(k->order);
    }
    mem_free(s->links);
    listen_free(s);
    messages_free(s);
    buf_release(&s->notice);
    docs_release(&s->docs);
    buf_release(&s->fleet);
    timer_free(s->housekeeping);
    handover_release(s);
    breaker_release(s);
    merge_release(s);
    for (int i = 0; i < STATEMENT_COUNT; i++)
        buf_release(&s->texts[i]);
    hosts_free(s->hosts);
    mem_free(s->conninfo);
    mem_free(s->refused_url);
    mem_free(s);
}

static enum store_state pg_state(const struct store *base)
{
    return self(base)->state;
}

static size_t pg_read_lanes(const struct store *base)
{
    return self(base)->nread;
}

static size_t pg_commit_lanes(const struct store *base)
{
    return self(base)->ncommit;
}

static struct link *read_link(const struct store *base, size_t lane)
{
    return &self(base)->links[1 + lane];
}

static struct link *commit_link(const struct store *base, size_t lane)
{
    return &self(base)->links[1 + self(base)->nread + lane];
}

static bool pg_read_lane_idle(const struct store *base, size_t lane)
{
    const struct link *k = read_link(base, lane);
    return k->usable && k->reading == NULL && lane_state(k->lane) == LANE_READY;
}

static bool pg_commit_lane_idle(const struct store *base, size_t lane)
{
    struct link *k = commit_link(base, lane);
    if (k->bulk && !k->wanted) {
        k->wanted = true;
        timer_set(k->retry, 0);
    }
    return k->usable && k->committing == NULL && k->xact == NULL && lane_state(k->lane) == LANE_READY;
}

static void pg_read(struct store *base, size_t lane, struct read_batch *b)
{
    CHECK(pg_read_lane_idle(base, lane));
    batch_read(read_link(base, lane), b);
}

static void pg_commit(struct store *base, size_t lane, struct commit_batch *b)
{
    CHECK(pg_commit_lane_idle(base, lane));
    batch_commit(commit_link(base, lane), b);
}

static void pg_xact_begin(struct store *base, size_t lane, struct store_xact *x)
{
    CHECK(pg_commit_lane_idle(base, lane));
    xact_begin(commit_link(base, lane), x);
}

static void pg_xact_step(struct store *base, size_t lane, struct store_xact *x)
{
    CHECK(commit_link(base, lane)->xact == x);
    xact_step(commit_link(base, lane), x);
}

static void pg_xact_end(struct store *base, size_t lane, struct store_xact *x)
{
    CHECK(commit_link(base, lane)->xact == x);
    xact_end(commit_link(base, lane), x);
}

static void pg_query(struct store *base, struct store_query *q)
{
    query_enqueue(self(base), q);
}

static void info_ops(struct buf *out, const char *name, const struct op_stats *st)
{
    uint64_t batches = histogram_count(&st->sizes);
    double n = batches ? (double)batches : 1;
    buf_printf(out, "%s_batches:%llu\r\n%s_items:%llu\r\n", name, (unsigned long long)batches, name,
               (unsigned long long)st->items);
    buf_printf(out, "%s_items_per_batch:%.2f\r\n%s_items_per_batch_max:%llu\r\n", name,
               (double)st->items / n, name, (unsigned long long)st->max_items);
    buf_printf(out, "%s_round_trip_us:%.0f\r\n%s_round_trip_us_max:%llu\r\n", name,
               (double)st->us / n, name, (unsigned long long)st->max_us);
}

static void pg_info(struct store *base, struct buf *out)
{
    struct pg_store *s = self(base);
    buf_printf(out, "postgres_state:%s\r\npostgres_version:%s\r\n", state_name(s->state),
               s->server_version);
    buf_printf(out, "postgres_slot:%d\r\npostgres_incarnation:%lld\r\n", s->slot,
               (long long)s->incarnation);
    for (size_t i = 0; i < s->nlinks; i++) {
        const struct link *k = &s->links[i];
        if (k->kind == LINK_LISTEN && !k->usable && !listen_is_wanted(s))
            continue;
        buf_printf(out, "postgres_lane_%s:state=%s,connects=%llu\r\n", k->name,
                   !k->usable ? "down" : lane_state(k->lane) == LANE_BUSY ? "busy" : "idle",
                   (unsigned long long)lane_connects(k->lane));
    }
    listen_info(s, out);
    messages_info(s, out);
    buf_append_bytes(out, buf_bytes(&s->fleet));
    info_ops(out, "postgres_read", &s->reads);
    info_ops(out, "postgres_commit", &s->commits);
    buf_printf(out, "postgres_rejected_items:%llu\r\n", (unsigned long long)s->rejected_items);
    buf_printf(out, "postgres_inactive_writes:%llu\r\n", (unsigned long long)s->inactive_writes);
    buf_printf(out, "postgres_docs:%llu\r\npostgres_docs_refused:%llu\r\n",
               (unsigned long long)s->docs.decoded, (unsigned long long)s->docs.refused);
    buf_printf(out, "postgres_lost_connections:%llu\r\n",
               (unsigned long long)s->lost_connections);
    breaker_info(s, out);
    merge_info(s, out);
    buf_printf(out, "postgres_settled_applied:%llu\r\npostgres_settled_not_applied:%llu\r\n",
               (unsigned long long)s->settled_applied,
               (unsigned long long)s->settled_not_applied);
    buf_printf(out, "postgres_swept_rows:%llu\r\n", (unsigned long long)s->swept);
    buf_printf(out, "postgres_table_bytes:%lld\r\npostgres_vacuums:%llu\r\n",
               (long long)s->table_bytes, (unsigned long long)s->vacuums);
    buf_printf(out, "postgres_oldest_xmin_age:%lld\r\n", (long long)s->oldest_xmin_age);
    buf_printf(out, "postgres_clock_offset_us:%lld\r\npostgres_clock_error_us:%lld\r\n",
               (long long)(clock_mono_us() + clock_offset_us(&s->clock) - clock_wall_us()),
               (long long)clock_offset_error_us(&s->clock, clock_mono_us()));
}

static void pg_set_notices(struct store *base, const struct store_notices *notices, void *arg)
{
    self(base)->notices = notices;
    self(base)->notices_arg = arg;
}

static void pg_want(struct store *base, unsigned wants)
{
    listen_want(self(base), wants);
}

static unsigned pg_hears(const struct store *base)
{
    return listen_hears(self(base));
}

static void pg_publish(struct store *base, bool shard, struct bytes channel, struct bytes message)
{
    messages_publish(self(base), shard, channel, message);
}

static enum store_room pg_publish_room(const struct store *base)
{
    return messages_room(self(base));
}

static int64_t pg_fresh_until_us(const struct store *base)
{
    return listen_fresh_until_us(self(base));
}

static unsigned pg_fleet_events(const struct store *base)
{
    return self(base)->fleet_events;
}

static void pg_reset_stats(struct store *base)
{
    struct pg_store *s = self(base);
    s->reads = (struct op_stats){0};
    s->commits = (struct op_stats){0};
    s->rejected_items = 0;
    s->inactive_writes = 0;
    s->docs.decoded = 0;
    s->docs.refused = 0;
    s->settled_applied = 0;
    s->settled_not_applied = 0;
    s->swept = 0;
    s->lost_connections = 0;
    s->listening.lag_us_max = 0;
    messages_reset_stats(s);
}

static void pg_stop(struct store *base)
{
    struct pg_store *s = self(base);
    s->stopping = true;
    timer_clear(s->housekeeping);
    breaker_stop(s);
    listen_stop(s);
    for (size_t i = 0; i < s->nlinks; i++)
        timer_clear(s->links[i].retry);
    if (!s->listening.link->usable)
        messages_lost(s);
    query_pump(s);
}

static bool pg_stopped(const struct store *base)
{
    const struct pg_store *s = self(base);
    return s->stopping && (s->slot_released || !s->links[0].usable) && !messages_are_on_the_way(s);
}

static const struct store_ops pg_ops = {
    pg_free, pg_state, pg_read_lanes, pg_commit_lanes, pg_read_lane_idle, pg_commit_lane_idle,
    pg_read, pg_commit, pg_xact_begin, pg_xact_step, pg_xact_end, pg_query, store_now_us,
    pg_set_notices, pg_fresh_until_us, pg_fleet_events, pg_info, pg_reset_stats, pg_collect, pg_why, pg_stop, pg_stopped,
    NULL, NULL, pg_want, pg_hears, pg_publish, pg_publish_room,
};

struct store *postgres_store_new(struct loop *loop, const struct config *config,
                                 void (*fatal)(void *arg, const char *why), void *arg)
{
    struct pg_store *s = mem_zalloc(sizeof(*s));
    s->base.ops = &pg_ops;
    s->loop = loop;
    s->config = config;
    s->fatal = fatal;
    s->fatal_arg = arg;
    s->conninfo = mem_strdup(config->database_url);
    s->hosts = hosts_new(loop);
    docs_init(&s->docs, config);
    s->queries_tail = &s->queries;
    if (gethostname(s->host, sizeof(s->host) - 1) != 0)
        snprintf(s->host, sizeof(s->host), "unknown");
    for (int i = 0; i < STATEMENT_COUNT; i++) {
        buf_init(&s->texts[i]);
        /* Where nothing is prepared, the names are still seen in pg_stat_activity. */
        if (config->pg_pooler == POOLER_TRANSACTION)
            buf_printf(&s->texts[i], "/* %s */ ", statement_get((enum statement_id)i)->name);
        statement_expand(&s->texts[i], statement_get((enum statement_id)i)->text,
                         config->pg_schema);
    }
    s->nread = (size_t)config->pg_read_lanes;
    s->ncommit = (size_t)config->pg_commit_lanes + 1;
    s->nlinks = 1 + s->nread + s->ncommit + 1;
    s->links = mem_zalloc(s->nlinks * sizeof(*s->links));
    link_init(&s->links[0], s, LINK_QUERY, 0);
    for (size_t i = 0; i < s->nread; i++)
        link_init(&s->links[1 + i], s, LINK_READ, (int)i);
    for (size_t i = 0; i < s->ncommit; i++)
        link_init(&s->links[1 + s->nread + i], s, LINK_COMMIT, (int)i);
    store_bulk_link(s)->bulk = true;
    link_init(&s->links[s->nlinks - 1], s, LINK_LISTEN, 0);
    listen_init(&s->links[s->nlinks - 1]);
    messages_init(s);
    handover_init(s);
    breaker_init(s);
    merge_init(s);
    housekeeping_start(s);
    link_connect(&s->links[0]);
    return &s->base;
}
