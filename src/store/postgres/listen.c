/* listen: the link by which this instance hears what others do. It comes when somebody here wants to
 * hear something (listen_want) and goes a while after nobody does any more.
 *
 * Coming: LISTEN and what is wanted (`wants` in the registry) are committed together; from then on
 * every statement that begins tells us. For published messages that is all. For keys, statements that
 * had begun before are waited for: they hold a lock on the table since before they took their
 * snapshot. Then the link is trusted: every write of a key is told. Whoever hears of keys is marked
 * `caching`, too, which is what triggers and older binaries look at.
 *
 * Notices come in the order of commits. So when the link's own ping comes back, everything that had
 * been committed before the ping was sent has been heard; answers from memory are good until
 * `cached-max-lag` after that moment. The ping is only sent while the registry still has the mark, and
 * it looks whether the table of keys is still the same one: a schema that is dropped and restored has
 * no trigger that tells. Where nothing is answered from memory, a slower ping shows that the link
 * lives and is still registered.
 *
 * Behind a pooler in transaction mode no session can LISTEN: of keys nothing is heard there. */
#include "store/postgres/internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "store/postgres/notice.h"

enum {
    POLL_US = 50 * 1000,
    PINGS_PER_LAG = 4,
    PING_US = 2 * 1000 * 1000,   /* where nothing is answered from memory */
    GRACE_US = 10 * 1000 * 1000, /* how long what nobody wants any more is still heard */
};

#define WANT_KEYS (STORE_WANT_CACHING | STORE_WANT_KEYS)

/* In the registry, in place of STORE_WANT_MESSAGES: in the table, to be polled. */
enum { WANT_POLLED = 8 };

static int64_t max_lag_us(const struct pg_store *s)
{
    return s->config->cached_max_lag_ms * 1000;
}

static struct listening *of(struct link *k)
{
    return &k->store->listening;
}

static bool pooled(const struct pg_store *s)
{
    return s->config->pg_pooler == POOLER_TRANSACTION;
}

static void on_timer(void *arg)
{
    listen_go_on(arg);
}

void listen_init(struct link *k)
{
    of(k)->link = k;
    of(k)->timer = timer_new(k->store->loop, on_timer, k);
}

void listen_free(struct pg_store *s)
{
    timer_free(s->listening.timer);
    mem_free(s->listening.older);
    buf_release(&s->listening.text);
}

void listen_stop(struct pg_store *s)
{
    timer_clear(s->listening.timer);
}

static void tell_hears(struct pg_store *s)
{
    unsigned now = listen_hears(s);
    if (now == s->listening.told)
        return;
    s->listening.told = now;
    if (s->notices != NULL)
        s->notices->hears(s->notices_arg, now);
}

void listen_lost(struct pg_store *s)
{
    struct listening *l = &s->listening;
    timer_clear(l->timer);
    l->trusted = false;
    l->asking = false;
    l->registered = 0;
    l->proven_us = 0;
    messages_lost(s);
    tell_hears(s);
}

int64_t listen_fresh_until_us(const struct pg_store *s)
{
    const struct listening *l = &s->listening;
    bool good = l->trusted && l->proven_us != 0 && (l->registered & STORE_WANT_CACHING) != 0;
    for (size_t i = 0; i < s->nlinks; i++)
        good &= !s->links[i].owes_xact; /* it may commit yet, and no notice tells us what we write */
    return good ? l->proven_us + max_lag_us(s) : 0;
}

unsigned listen_hears(const struct pg_store *s)
{
    const struct listening *l = &s->listening;
    return l->registered & ~(l->trusted ? 0U : WANT_KEYS);
}

/* ---- what is wanted ---- */

bool listen_is_wanted(const struct pg_store *s)
{
    return s->listening.wants != 0 || messages_are_on_the_way(s);
}

void listen_wake(struct pg_store *s)
{
    struct link *k = s->listening.link;
    if (s->migration != NULL)
        return;
    /* While it is being sought, its attempts have their own pace. */
    if (lane_state(k->lane) == LANE_DOWN && k->failures == 0 && !s->stopping)
        timer_set(k->retry, 0);
    else if (k->usable)
        timer_set(s->listening.timer, 0);
}

void listen_want(struct pg_store *s, unsigned wants)
{
    struct listening *l = &s->listening;
    if (pooled(s))
        wants &= ~WANT_KEYS;
    if (wants == l->wants)
        return;
    l->wants = wants;
    l->excess_since_us = 0;
    listen_wake(s);
}

/* ---- pings ---- */

static int64_t ping_pause_us(struct link *k)
{
    bool caching = (of(k)->registered & STORE_WANT_CACHING) != 0;
    return caching ? max_lag_us(k->store) / PINGS_PER_LAG : PING_US;
}

/* Its notice and its result come in either order. */
static void prove(struct listening *l)
{
    if (!l->ping_heard || !l->ping_checked)
        return;
    l->proven_us = l->ping_sent_us;
    int64_t lag = clock_mono_us() - l->ping_sent_us;
    l->lag_us = lag;
    if (lag > l->lag_us_max)
        l->lag_us_max = lag;
}

static void on_pinged(void *arg, struct lane *lane, PGresult **results, int n)
{
    struct link *k = arg;
    (void)lane;
    if (!boot_good(k, results, n, "ping"))
        return;
    if (PQntuples(results[0]) == 0) {
        link_lost(k, "the registry has forgotten what this instance wants to hear");
        return;
    }
    if (strcmp(PQgetvalue(results[0], 0, 1), of(k)->table) != 0) {
        link_lost(k, "the table of keys has been replaced");
        return;
    }
    of(k)->ping_checked = true;
    prove(of(k));
    of(k)->ping_at_us = clock_mono_us() + ping_pause_us(k);
    listen_go_on(k);
}

static void ping(struct link *k)
{
    struct listening *l = of(k);
    l->ping_sent_us = clock_mono_us();
    l->ping_heard = l->ping_checked = false;
    notice_ping(&l->text, k->store->slot, k->store->incarnation, ++l->ping_number);
    struct params *p = &k->params;
    params_reset(p);
    params_text(p, buf_cstr(&l->text));
    params_int4(p, k->store->slot);
    params_int8(p, k->store->incarnation);
    params_int8(p, k->store->claimed_us);
    params_int4(p, (int32_t)l->registered);
    link_begin(k);
    link_add(k, STMT_PING, p, true);
    lane_submit(k->lane, store_timeout_us(k->store), on_pinged);
}

void listen_notified(struct link *k, const char *payload)
{
    struct pg_store *s = k->store;
    struct listening *l = &s->listening;
    if (payload[0] == 'm') {
        messages_take(k, payload);
        return;
    }
    if (payload[0] != 'p') {
        notice_take(payload, s->slot, s->notices, s->notices_arg);
        return;
    }
    if (l->registered == 0 || strcmp(payload, buf_cstr(&l->text)) != 0)
        return;
    l->ping_heard = true;
    prove(l);
}

/* ---- coming: keys ---- */

static void trust(struct link *k)
{
    struct pg_store *s = k->store;
    log_event(LOG_NOTICE, "cache-trusted", "lane=%s", k->name);
    s->listening.trusted = true;
    s->listening.starts++;
    s->listening.ping_at_us = 0;
    if (s->notices != NULL)
        s->notices->all_stale(s->notices_arg);
    tell_hears(s);
}

/* Column 0: the transactions that began before us and have not ended, as text[], or NULL. */
static void on_older_asked(void *arg, struct lane *lane, PGresult **results, int n)
{
    struct link *k = arg;
    struct listening *l = of(k);
    const PGresult *r = results[0];
    (void)lane;
    if (!boot_good(k, results, n, "older transactions"))
        return;
    mem_free(l->older);
    l->older = PQgetisnull(r, 0, 0) ? NULL : mem_strdup(PQgetvalue(r, 0, 0));
    l->asking = l->older != NULL;
    l->older_at_us = clock_mono_us() + POLL_US;
    if (!l->asking)
        trust(k);
    listen_go_on(k);
}

static void ask_for_older(struct link *k)
{
    params_reset(&k->params);
    if (of(k)->asking)
        params_text(&k->params, of(k)->older);
    link_begin(k);
    link_add(k, of(k)->asking ? STMT_OLDER_WRITERS_LEFT : STMT_OLDER_WRITERS, &k->params, false);
    lane_submit(k->lane, store_timeout_us(k->store), on_older_asked);
}

/* ---- registering ---- */

/* Nobody here wants to hear anything: the connection goes. */
static void leave(struct link *k)
{
    log_event(LOG_VERBOSE, "lane-closed", "lane=%s", k->name);
    lane_close(k->lane);
    k->usable = false;
    listen_lost(k->store);
}

static void on_registered(void *arg, struct lane *lane, PGresult **results, int n)
{
    struct link *k = arg;
    struct listening *l = of(k);
    bool polls = pooled(k->store);
    (void)lane;
    if (!boot_good(k, results, n, "LISTEN"))
        return;
    PGresult *r = results[polls ? 0 : 1];
    if (strcmp(PQcmdTuples(r), "0") == 0) {
        link_lost(k, "the slot has another owner");
        return;
    }
    if ((l->registering & WANT_KEYS) == 0 || (l->registered & WANT_KEYS) == 0)
        l->trusted = l->asking = false;
    if ((l->registering & ~l->registered) != 0)
        l->ping_at_us = 0;
    if (polls && l->registered == 0)
        messages_started(k, results + 1);
    l->registered = l->registering;
    l->excess_since_us = 0;
    snprintf(l->table, sizeof(l->table), "%s", first_text(r, 0));
    tell_hears(k->store);
    if (l->registered == 0 && l->wants == 0)
        leave(k);
    else
        listen_go_on(k);
}

static void enlist(struct link *k, unsigned wants)
{
    struct pg_store *s = k->store;
    struct listening *l = of(k);
    if (s->slot == 0) {
        link_lost(k, "no slot yet");
        return;
    }
    struct params *p = &k->params;
    l->registering = wants;
    link_begin(k);
    params_reset(p);
    if (!pooled(s))
        lane_add_text(k->lane, store_text(s, wants == 0 ? STMT_UNLISTEN : STMT_LISTEN), p, false);
    params_int4(p, s->slot);
    params_int8(p, s->incarnation);
    params_int8(p, s->claimed_us);
    params_int4(p, pooled(s) && wants != 0 ? WANT_POLLED : (int32_t)wants);
    params_int4(p, (wants & WANT_KEYS) != 0);
    link_add(k, STMT_ENLIST, p, false);
    if (pooled(s) && wants != 0)
        messages_add_start(k);
    lane_submit(k->lane, store_timeout_us(s), on_registered);
}

/* ---- what is to be done next ---- */

static int64_t sooner(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* True if something was sent. Else `*at_us` is when to look again at the latest. */
static bool send_next(struct link *k, int64_t now, int64_t *at_us)
{
    struct listening *l = of(k);
    bool keys = (l->registered & WANT_KEYS) != 0;
    if ((l->wants & ~l->registered) != 0) {
        enlist(k, l->wants | l->registered);
        return true;
    }
    if (keys && !l->trusted && (!l->asking || now >= l->older_at_us)) {
        ask_for_older(k);
        return true;
    }
    if (keys && !l->trusted)
        *at_us = sooner(*at_us, l->older_at_us);
    if (l->registered != 0 && !pooled(k->store)) {
        if (now >= l->ping_at_us) {
            ping(k);
            return true;
        }
        *at_us = sooner(*at_us, l->ping_at_us);
    }
    return messages_pump(k, now, at_us);
}

/* What is no longer wanted is given up after a while. */
static bool send_less(struct link *k, int64_t now, int64_t *at_us)
{
    struct listening *l = of(k);
    bool in_use = l->registered != 0 || messages_are_on_the_way(k->store);
    if (l->registered == l->wants && in_use) {
        l->excess_since_us = 0;
        return false;
    }
    if (l->excess_since_us == 0)
        l->excess_since_us = now;
    if (now - l->excess_since_us < GRACE_US) {
        *at_us = sooner(*at_us, l->excess_since_us + GRACE_US);
        return false;
    }
    if (l->registered == l->wants)
        leave(k);
    else
        enlist(k, l->wants);
    return true;
}

void listen_go_on(struct link *k)
{
    int64_t now = clock_mono_us();
    int64_t at_us = INT64_MAX;
    if (!k->usable || lane_state(k->lane) != LANE_READY)
        return;
    if (k->store->stopping) {
        if (messages_are_on_the_way(k->store))
            (void)messages_pump(k, now, &at_us);
        return;
    }
    if (send_next(k, now, &at_us) || send_less(k, now, &at_us))
        return;
    if (at_us != INT64_MAX)
        timer_set(of(k)->timer, at_us > now ? at_us - now : 0);
}

void listen_begin(struct link *k)
{
    of(k)->excess_since_us = 0;
    link_became_usable(k);
    listen_go_on(k);
}

void listen_info(const struct pg_store *s, struct buf *out)
{
    const struct listening *l = &s->listening;
    if (s->config->consistency != CONSISTENCY_CACHED) {
        buf_append_cstr(out, "postgres_consistency:strict\r\n");
        return;
    }
    int64_t until = listen_fresh_until_us(s);
    const char *state = !l->trusted ? "strict" : clock_mono_us() < until ? "trusted" : "behind";
    buf_printf(out, "postgres_consistency:cached\r\npostgres_cache_state:%s\r\n", state);
    buf_printf(out, "postgres_cached_max_lag_us:%lld\r\npostgres_cached_lag_us:%lld\r\n",
               (long long)max_lag_us(s), (long long)l->lag_us);
    buf_printf(out, "postgres_cached_lag_us_max:%lld\r\npostgres_cache_starts:%llu\r\n",
               (long long)l->lag_us_max, (unsigned long long)l->starts);
}
