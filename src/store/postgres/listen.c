/* listen: the LISTEN link of `consistency cached`. It tells the engine what others have written, and
 * how far that is proven.
 *
 * Coming: LISTEN and the mark "caching" in the registry are committed together; from then on every
 * statement that begins tells us what it writes. Statements that had begun before are waited for: they
 * hold a lock on the table since before they took their snapshot. Then the link is trusted.
 *
 * Notices come in the order of commits. So when the link's own ping comes back, everything that had
 * been committed before the ping was sent has been heard; answers from memory are good until
 * `cached-max-lag` after that moment. The ping is only sent while the registry still has the mark, and
 * it looks whether the table of keys is still the same one: a schema that is dropped and restored has
 * no trigger that tells. */
#include "store/postgres/internal.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "store/postgres/notice.h"

enum { POLL_US = 50 * 1000, PINGS_PER_LAG = 4 };

static void ping(struct link *k);
static void ask_whether_gone(struct link *k);

static int64_t max_lag_us(const struct pg_store *s)
{
    return s->config->cached_max_lag_ms * 1000;
}

static struct listening *of(struct link *k)
{
    return &k->store->listening;
}

static void on_timer(void *arg)
{
    struct link *k = arg;
    if (lane_state(k->lane) != LANE_READY)
        return;
    if (of(k)->trusted)
        ping(k);
    else
        ask_whether_gone(k);
}

void listen_init(struct link *k)
{
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
    if (s->listening.timer != NULL)
        timer_clear(s->listening.timer);
}

void listen_lost(struct pg_store *s)
{
    struct listening *l = &s->listening;
    timer_clear(l->timer);
    l->trusted = false;
    l->proven_us = 0;
}

int64_t listen_fresh_until_us(const struct pg_store *s)
{
    const struct listening *l = &s->listening;
    return l->trusted && l->proven_us != 0 ? l->proven_us + max_lag_us(s) : 0;
}

/* ---- pings ---- */

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
        link_lost(k, "the registry has forgotten that this instance caches");
        return;
    }
    if (strcmp(PQgetvalue(results[0], 0, 1), of(k)->table) != 0) {
        link_lost(k, "the table of keys has been replaced");
        return;
    }
    of(k)->ping_checked = true;
    prove(of(k));
    timer_set(of(k)->timer, max_lag_us(k->store) / PINGS_PER_LAG);
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
    link_begin(k);
    link_add(k, STMT_PING, p, true);
    lane_submit(k->lane, store_timeout_us(k->store), on_pinged);
}

void listen_notified(struct link *k, const char *payload)
{
    struct pg_store *s = k->store;
    struct listening *l = &s->listening;
    if (payload[0] != 'p') {
        notice_take(payload, s->slot, s->notices, s->notices_arg);
        return;
    }
    if (!l->trusted || strcmp(payload, buf_cstr(&l->text)) != 0)
        return;
    l->ping_heard = true;
    prove(l);
}

/* ---- coming ---- */

static void trust(struct link *k)
{
    struct pg_store *s = k->store;
    log_event(LOG_NOTICE, "cache-trusted", "lane=%s", k->name);
    s->listening.trusted = true;
    s->listening.starts++;
    s->notices->all_stale(s->notices_arg);
    link_became_usable(k);
    ping(k);
}

/* Column 0: the transactions that began before us and have not ended, as text[], or NULL. */
static void take_older(struct link *k, const PGresult *r)
{
    struct listening *l = of(k);
    if (PQgetisnull(r, 0, 0)) {
        trust(k);
        return;
    }
    mem_free(l->older);
    l->older = mem_strdup(PQgetvalue(r, 0, 0));
    timer_set(l->timer, POLL_US);
}

static void on_gone_asked(void *arg, struct lane *lane, PGresult **results, int n)
{
    struct link *k = arg;
    (void)lane;
    if (boot_good(k, results, n, "older transactions"))
        take_older(k, results[0]);
}

static void ask_whether_gone(struct link *k)
{
    params_reset(&k->params);
    params_text(&k->params, of(k)->older);
    link_begin(k);
    link_add(k, STMT_OLDER_WRITERS_LEFT, &k->params, false);
    lane_submit(k->lane, store_timeout_us(k->store), on_gone_asked);
}

static void on_registered(void *arg, struct lane *lane, PGresult **results, int n)
{
    struct link *k = arg;
    (void)lane;
    if (!boot_good(k, results, n, "LISTEN"))
        return;
    if (strcmp(PQcmdTuples(results[1]), "0") == 0) {
        link_lost(k, "the slot has another owner");
        return;
    }
    snprintf(of(k)->table, sizeof(of(k)->table), "%s", first_text(results[1], 0));
    params_reset(&k->params);
    link_begin(k);
    link_add(k, STMT_OLDER_WRITERS, &k->params, false);
    lane_submit(k->lane, store_timeout_us(k->store), on_gone_asked);
}

void listen_begin(struct link *k)
{
    struct pg_store *s = k->store;
    if (s->slot == 0) {
        link_lost(k, "no slot yet");
        return;
    }
    struct params *p = &k->params;
    link_begin(k);
    params_reset(p);
    lane_add_text(k->lane, store_text(s, STMT_LISTEN), p, false);
    params_reset(p);
    params_int4(p, s->slot);
    params_int8(p, s->incarnation);
    params_int8(p, s->claimed_us);
    link_add(k, STMT_START_CACHING, p, true);
    lane_submit(k->lane, store_timeout_us(s), on_registered);
}

void listen_info(const struct pg_store *s, struct buf *out)
{
    const struct listening *l = &s->listening;
    if (l->timer == NULL) {
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
