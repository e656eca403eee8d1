/* breaker: when PostgreSQL counts as away, and when as back. It opens on an outage and on nothing
 * else, and early enough for what waits to be answered from elsewhere within pg-timeout:
 *
 * - Silence. Something is in flight and no connection has heard a byte for 0.3 of pg-timeout: a
 * fresh connection is made and asks for an answer (the probe). If neither it nor any other
 * connection hears a byte for 0.4 more, PostgreSQL is away. A byte on any of them proves that the
 * server lives: what waits there waits for a lock, or its one connection is dead, and that is no
 * outage.
 * - No connection of a kind (all that read, or all that write) is usable, and an attempt to get one
 * has failed, or none has come in 0.7 of pg-timeout (0.9 while the server answers attempts).
 * - An error that means "this server cannot write": it may still be read.
 *
 * A connection that is idle behind a pooler, or behind a network that is cut, does not notice that
 * PostgreSQL is gone. So when the query link, which is never idle for long, can't be had again, the
 * idle ones are asked, too.
 *
 * It closes when connections of both kinds have been usable for a while without a loss; a commit
 * lane is not usable before it has written its own row. A server that seems to be able to write and
 * then is not gets longer and longer trials. */
#include "store/postgres/internal.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"

enum { LONGEST_TRIAL_US = 30 * 1000 * 1000, MANY_OUTAGES = 3 };

static const int64_t hour_us = 3600LL * 1000 * 1000;

/* ---- silence ---- */

static int64_t part_of_timeout(const struct pg_store *s, int percent)
{
    int64_t us = store_timeout_us(s) * percent / 100;
    return us < 5000 ? 5000 : us;
}

/* Its statements may take long, and send nothing meanwhile. */
static bool takes_long(const struct link *k)
{
    return k->kind == LINK_QUERY || k->bulk;
}

static int64_t last_heard_us(const struct pg_store *s)
{
    int64_t last = lane_heard_us(s->breaker.probe);
    for (size_t i = 0; i < s->nlinks; i++) {
        int64_t heard = lane_heard_us(s->links[i].lane);
        last = heard > last ? heard : last;
    }
    return last;
}

static bool is_busy(const struct link *k)
{
    return k->usable && lane_state(k->lane) == LANE_BUSY;
}

/* Has it been silent, and everything else, for so long that the server is to be asked? */
static bool is_silent(const struct pg_store *s, const struct link *k, int64_t heard_us,
                      int64_t now_us)
{
    int64_t sent_us = lane_sent_us(k->lane);
    int64_t since = heard_us > sent_us ? heard_us : sent_us;
    bool asked = s->breaker.proven_us > sent_us;
    if (s->breaker.proven_us > since)
        since = s->breaker.proven_us;
    return now_us - since >= part_of_timeout(s, takes_long(k) && asked ? 100 : 30);
}

static void close_probe(struct breaker *b)
{
    b->suspected_us = 0;
    lane_close(b->probe);
}

static void server_lives(struct breaker *b)
{
    b->proven_us = clock_mono_us();
    close_probe(b);
}

static void suspect(struct pg_store *s)
{
    struct breaker *b = &s->breaker;
    b->suspected_us = clock_mono_us();
    b->probes++;
    log_event(LOG_VERBOSE, "probe", "note=\"nothing heard for a while\"");
    lane_connect(b->probe, s->conninfo, s->probe_name, store_timeout_us(s),
                 s->config->pg_pooler == POOLER_TRANSACTION ? LANE_BEHIND_POOLER : 0);
}

static void on_probe_answered(void *arg, struct lane *l, PGresult **results, int n)
{
    struct pg_store *s = arg;
    (void)l;
    (void)results;
    (void)n;
    server_lives(&s->breaker);
}

static void on_probe_connected(void *arg, struct lane *l)
{
    struct pg_store *s = arg;
    struct params none;
    params_init(&none);
    lane_begin(l);
    lane_add_text(l, store_text(s, STMT_PROBE), &none, false);
    lane_submit(l, store_timeout_us(s), on_probe_answered);
}

/* One that is refused with an error has heard something; else the silence goes on, until it is long
 * enough. */
static void on_probe_lost(void *arg, struct lane *l, const char *why)
{
    char quoted[LOG_QUOTE_SIZE];
    (void)arg;
    (void)l;
    log_event(LOG_VERBOSE, "probe-failed", "why=%s", log_quote(why, quoted));
}

static void on_probe_notified(void *arg, struct lane *l, const char *payload)
{
    (void)arg;
    (void)l;
    (void)payload;
}

static const struct lane_events probe_events = {on_probe_connected, on_probe_lost,
                                                on_probe_notified};

/* ---- idle connections ---- */

static void on_idle_answered(void *arg, struct lane *l, PGresult **results, int n)
{
    struct link *k = arg;
    const PGresult *error = lane_first_error(results, n);
    (void)l;
    if (error != NULL) {
        char why[160];
        lane_error_text(error, why, sizeof(why));
        link_lost(k, why);
    } else {
        handover_announce(k->store); /* what has come meanwhile can be sent */
    }
}

void breaker_ask_idle_links(struct pg_store *s)
{
    struct params none;
    params_init(&none);
    for (size_t i = 0; i < s->nlinks; i++) {
        struct link *k = &s->links[i];
        bool idle = k->usable && lane_state(k->lane) == LANE_READY && k->reading == NULL &&
                    k->committing == NULL && k->xact == NULL;
        if (!idle || k->bulk || (k->kind != LINK_READ && k->kind != LINK_COMMIT))
            continue;
        lane_begin(k->lane);
        lane_add_text(k->lane, store_text(s, STMT_PROBE), &none, false);
        lane_submit(k->lane, store_timeout_us(s), on_idle_answered);
    }
}

/* ---- opening ---- */

/* Silence says nothing about what the batches have done: commits stay where they are, for
 * postgres_take_batch or until their connections are given up. All else is given up here. */
static void give_up_links(struct pg_store *s, const char *why)
{
    for (size_t i = 0; i < s->nlinks; i++) {
        struct link *k = &s->links[i];
        if (k->usable && k->committing != NULL)
            k->doubtful = true;
        else if (k->usable)
            link_lost(k, why);
    }
}

static void open_silent(struct pg_store *s, const char *why)
{
    close_probe(&s->breaker);
    store_set_state(s, STORE_AWAY, why);
    give_up_links(s, why);
}

/* SQLSTATEs of PostgreSQL's appendix "Error Codes": disk full, I/O error, read-only transaction,
 * crash shutdown. 57P01 is what a single terminated backend says, too: the next attempt tells. */
static const char *why_not_writable(const char *code)
{
    static const char *const reasons[][2] = {{"53100", "the disk is full"},
                                             {"58030", "I/O error"},
                                             {"25006", "the server is read-only"},
                                             {"57P02", "the server has crashed"},
                                             {"57P03", "the server does not take connections"}};
    for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++) {
        if (strcmp(code, reasons[i][0]) == 0)
            return reasons[i][1];
    }
    return NULL;
}

bool breaker_cannot_write(struct link *k, const PGresult *error)
{
    struct pg_store *s = k->store;
    char text[160];
    char why[220];
    const char *reason = why_not_writable(lane_sqlstate(error));
    if (reason == NULL)
        return false;
    if (s->state != STORE_ONLINE)
        return true;
    lane_error_text(error, text, sizeof(text));
    snprintf(why, sizeof(why), "%s: %s", reason, text);
    s->breaker.failed_trials += s->breaker.failed_trials < 16;
    s->breaker.unwritable_us = clock_mono_us();
    store_set_state(s, STORE_AWAY, why);
    for (size_t i = 0; i < s->nlinks; i++) {
        struct link *other = &s->links[i];
        if (other->kind != LINK_COMMIT || !other->usable || other == k)
            continue;
        if (other->committing != NULL)
            other->doubtful = true;
        else
            link_lost(other, reason);
    }
    return true;
}

/* ---- closing ---- */

/* How long connections have to be usable before anybody relies on them. */
static int64_t trial_us(const struct pg_store *s)
{
    int64_t us = part_of_timeout(s, 25);
    us = us > 250000 ? 250000 : us;
    us <<= s->breaker.failed_trials;
    return us > LONGEST_TRIAL_US ? LONGEST_TRIAL_US : us;
}

static void on_trial_over(void *arg)
{
    store_update_state(arg);
}

bool breaker_lets_in(struct pg_store *s)
{
    struct breaker *b = &s->breaker;
    if (s->state != STORE_AWAY)
        return true;
    int64_t now = clock_mono_us();
    int64_t trial = trial_us(s);
    if (b->usable_since_us == 0)
        b->usable_since_us = now;
    int64_t left = b->usable_since_us + trial - now;
    if (left > 0)
        timer_set(b->trial, left);
    return left <= 0;
}

void breaker_restart_trial(struct pg_store *s)
{
    s->breaker.usable_since_us = 0;
    timer_clear(s->breaker.trial);
}

/* ---- looking ---- */

static void check_silence(struct pg_store *s, int64_t now)
{
    struct breaker *b = &s->breaker;
    int64_t heard = last_heard_us(s);
    if (b->suspected_us != 0) {
        if (heard > b->suspected_us)
            server_lives(b);
        else if (now - b->suspected_us >= part_of_timeout(s, 40))
            open_silent(s, "PostgreSQL is silent");
        return;
    }
    for (size_t i = 0; i < s->nlinks; i++) {
        const struct link *k = &s->links[i];
        if (is_busy(k) && is_silent(s, k, heard, now)) {
            suspect(s);
            return;
        }
    }
}

static void check_kinds(struct pg_store *s, int64_t now)
{
    struct breaker *b = &s->breaker;
    if (b->unusable_since_us == 0)
        return;
    bool answers = now - last_heard_us(s) < part_of_timeout(s, 40);
    if (now - b->unusable_since_us < part_of_timeout(s, answers ? 90 : 70))
        return;
    char why[240];
    snprintf(why, sizeof(why), "no connection in time%s%s",
             b->last_loss[0] != '\0' ? "; last: " : "", b->last_loss);
    close_probe(b);
    store_set_state(s, STORE_AWAY, why);
    store_give_up_query(s);
}

/* A look that comes late means that this process was held up: what has arrived meanwhile is read
 * before silence is believed. */
static bool was_held_up(struct breaker *b, int64_t now, int64_t period)
{
    int64_t late = now - b->looked_us - 3 * period;
    b->looked_us = now;
    if (late <= 0)
        return false;
    if (b->suspected_us != 0)
        b->suspected_us = now;
    if (b->unusable_since_us != 0)
        b->unusable_since_us = now;
    return true;
}

static int64_t look_period_us(const struct pg_store *s)
{
    int64_t us = part_of_timeout(s, 5);
    return us > 100000 ? 100000 : us;
}

static void on_look(void *arg)
{
    struct pg_store *s = arg;
    int64_t now = clock_mono_us();
    int64_t period = look_period_us(s);
    bool held_up = was_held_up(&s->breaker, now, period);
    if (s->state == STORE_ONLINE && !s->stopping && !held_up) {
        check_silence(s, now);
        if (s->state == STORE_ONLINE)
            check_kinds(s, now);
    }
    timer_set(s->breaker.look, period);
}

void breaker_init(struct pg_store *s)
{
    struct breaker *b = &s->breaker;
    snprintf(s->probe_name, sizeof(s->probe_name), "respgres %.40s probe",
             s->config->instance_name);
    b->look = timer_new(s->loop, on_look, s);
    b->trial = timer_new(s->loop, on_trial_over, s);
    b->probe = lane_new(s->loop, s->hosts, "probe", &probe_events, s);
    b->looked_us = clock_mono_us();
    timer_set(b->look, look_period_us(s));
}

void breaker_release(struct pg_store *s)
{
    lane_free(s->breaker.probe);
    timer_free(s->breaker.look);
    timer_free(s->breaker.trial);
}

void breaker_stop(struct pg_store *s)
{
    close_probe(&s->breaker);
    timer_clear(s->breaker.look);
    timer_clear(s->breaker.trial);
}

void breaker_kinds_usable(struct pg_store *s, bool usable)
{
    struct breaker *b = &s->breaker;
    if (usable)
        b->unusable_since_us = 0;
    else if (b->unusable_since_us == 0)
        b->unusable_since_us = clock_mono_us();
    if (!usable)
        breaker_restart_trial(s);
}

void breaker_note_loss(struct pg_store *s, const char *why)
{
    snprintf(s->breaker.last_loss, sizeof(s->breaker.last_loss), "%s", why);
}

/* ---- what is told ---- */

static void note_outage(struct breaker *b, int64_t now, const char *why)
{
    size_t slots = sizeof(b->recent) / sizeof(b->recent[0]);
    int64_t *oldest = &b->recent[b->outages % slots];
    bool many = *oldest != 0 && now - *oldest < hour_us;
    *oldest = now;
    b->outages++;
    b->away_since_us = now;
    snprintf(b->reason, sizeof(b->reason), "%s", why);
    for (char *p = b->reason; *p != '\0'; p++)
        *p = *p == '\r' || *p == '\n' ? ' ' : *p;
    if (many)
        log_event(LOG_WARNING, "store-unsteady", "note=\"more than %d outages in an hour\"",
                  MANY_OUTAGES);
}

void breaker_state_set(struct pg_store *s, enum store_state from, const char *why)
{
    struct breaker *b = &s->breaker;
    int64_t now = clock_mono_us();
    if (from == STORE_AWAY) {
        b->away_us += now - b->away_since_us;
        b->away_since_us = 0;
    }
    if (s->state == STORE_AWAY)
        note_outage(b, now, why);
    b->unusable_since_us = 0;
    breaker_restart_trial(s);
}

/* Long enough online: the next trial is a short one again. */
void breaker_committed(struct pg_store *s)
{
    struct breaker *b = &s->breaker;
    if (b->failed_trials > 0 && s->state == STORE_ONLINE &&
        clock_mono_us() - b->unwritable_us > 2 * trial_us(s) + 1000000)
        b->failed_trials = 0;
}

void breaker_info(const struct pg_store *s, struct buf *out)
{
    const struct breaker *b = &s->breaker;
    int64_t away = b->away_us;
    if (b->away_since_us != 0)
        away += clock_mono_us() - b->away_since_us;
    buf_printf(out, "postgres_outages:%llu\r\npostgres_last_outage_reason:%s\r\n",
               (unsigned long long)b->outages, b->reason);
    buf_printf(out, "postgres_away_seconds:%lld\r\npostgres_probes:%llu\r\n",
               (long long)(away / 1000000), (unsigned long long)b->probes);
}

bool postgres_readable(const struct store *base)
{
    return store_kind_usable((const struct pg_store *)base, LINK_READ);
}
