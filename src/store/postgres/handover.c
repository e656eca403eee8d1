/* handover: what the PostgreSQL store gives to whoever serves while PostgreSQL is away, and asks
 * for on its behalf afterwards.
 *
 * A batch whose connection went has an outcome, and only its lane's row knows it. A batch that is
 * handed over is answered by somebody else, so the link keeps a debt instead of the batch: before
 * it is usable again it fences the old backend and reads that row (boot.c: settle), and tells.
 * Outcomes of an earlier life of this process are asked for on the query link, one after the other;
 * what was asked for and is not answered when that link goes is asked for again. */
#include "store/postgres/internal.h"

#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"

struct settlement {
    struct journal_lane lane;
    struct settlement *next;
};

static struct pg_store *self(const struct store *base)
{
    return (struct pg_store *)base;
}

/* ---- events ---- */

static void on_announce(void *arg)
{
    struct pg_store *s = arg;
    if (s->events != NULL)
        s->events->state(s->events_arg);
}

void handover_init(struct pg_store *s)
{
    s->announce = timer_new(s->loop, on_announce, s);
}

void handover_release(struct pg_store *s)
{
    timer_free(s->announce);
    while (s->settlements != NULL) {
        struct settlement *first = s->settlements;
        s->settlements = first->next;
        mem_free(first);
    }
}

void handover_announce(struct pg_store *s)
{
    if (s->events != NULL)
        timer_set(s->announce, 0);
}

void postgres_set_events(struct store *base, const struct postgres_events *events, void *arg)
{
    struct pg_store *s = self(base);
    s->events = events;
    s->events_arg = arg;
    handover_announce(s);
}

/* ---- batches ---- */

struct commit_batch *postgres_take_batch(struct store *base, size_t lane, struct journal_lane *out)
{
    struct pg_store *s = self(base);
    CHECK(lane < s->ncommit);
    struct link *k = &s->links[1 + s->nread + lane];
    struct commit_batch *b = k->committing;
    if (b == NULL || k->xact != NULL)
        return NULL;
    k->committing = NULL;
    k->owed = (struct journal_lane){k->slot, k->incarnation, k->number, k->stamp};
    for (size_t i = 0; i < b->n; i++)
        b->items[i].version = stamp_at(k->stamp, i);
    *out = k->owed;
    log_event(LOG_NOTICE, "batch-handed-over", "lane=%s items=%zu", k->name, b->n);
    if (lane_state(k->lane) != LANE_DOWN)
        link_lost(k, "its batch is handed over");
    return b;
}

void postgres_drop_xact(struct store *base, size_t lane)
{
    struct pg_store *s = self(base);
    CHECK(lane < s->ncommit);
    struct link *k = &s->links[1 + s->nread + lane];
    if (k->xact == NULL)
        return;
    if (k->committing == NULL) { /* it would be committed behind the back of who serves now */
        link_lost(k, "its transaction begins anew in memory");
        return;
    }
    k->committing = NULL;
    k->owed = (struct journal_lane){k->slot, k->incarnation, k->number, k->stamp};
    k->owes_xact = true;
    if (lane_state(k->lane) != LANE_DOWN)
        link_lost(k, "nobody waits for its transaction any more");
    else
        xact_give_up(k);
}

/* ---- outcomes ---- */

struct positions {
    int32_t *list;
    size_t n;
    size_t cap;
};

static void add_position(void *arg, size_t i, int64_t position)
{
    struct positions *p = arg;
    (void)i;
    if (p->n == p->cap) {
        p->cap = p->cap == 0 ? 64 : p->cap * 2;
        p->list = mem_realloc(p->list, p->cap * sizeof(*p->list));
    }
    p->list[p->n++] = (int32_t)position;
}

/* A row that has a later stamp than the batch has been used since: it knows nothing of it. */
void handover_settled(struct pg_store *s, const struct journal_lane *lane, const PGresult *r)
{
    struct postgres_outcome o = {0};
    struct positions accepted = {0};
    bool found = PQntuples(r) == 1;
    int64_t stamp = found ? pg_int8(PQgetvalue(r, 0, 0)) : 0;
    o.known = found && stamp <= lane->stamp;
    o.applied = found && stamp == lane->stamp;
    o.whole = o.applied && PQgetisnull(r, 0, 2);
    if (o.applied && !o.whole)
        pg_each_int(PQgetvalue(r, 0, 2), add_position, &accepted);
    o.accepted = accepted.list;
    o.naccepted = accepted.n;
    s->settled_applied += o.applied;
    s->settled_not_applied += o.known && !o.applied;
    log_event(LOG_NOTICE, "batch-settled", "slot=%d lane=%d applied=%s", (int)lane->slot,
              (int)lane->lane,
              !o.known    ? "unknown"
              : o.applied ? "yes"
                          : "no");
    if (s->events != NULL)
        s->events->settled(s->events_arg, lane, &o);
    mem_free(accepted.list);
}

/* ---- of an earlier life ---- */

void postgres_settle(struct store *base, const struct journal_lane *lane)
{
    struct pg_store *s = self(base);
    struct settlement *added = mem_zalloc(sizeof(*added));
    struct settlement **end = &s->settlements;
    added->lane = *lane;
    while (*end != NULL)
        end = &(*end)->next;
    *end = added;
    query_pump(s);
}

static void send(struct link *k, enum statement_id id, lane_done done)
{
    const struct journal_lane *lane = &k->store->settlements->lane;
    struct params *p = &k->params;
    params_reset(p);
    params_int4(p, lane->slot);
    params_int8(p, lane->incarnation);
    params_int4(p, lane->lane);
    link_begin(k);
    link_add(k, id, p, true);
    lane_submit(k->lane, BOOT_TIMEOUT_US, done);
}

/* The head is asked for again. */
static void on_terminated(void *arg, struct lane *l, PGresult **results, int n)
{
    struct link *k = arg;
    (void)l;
    if (boot_good(k, results, n, "end an earlier backend"))
        query_pump(k->store);
}

static void on_settled(void *arg, struct lane *l, PGresult **results, int n)
{
    struct link *k = arg;
    struct pg_store *s = k->store;
    const PGresult *error = lane_first_error(results, n);
    if (error != NULL && strcmp(lane_sqlstate(error), "55P03") == 0) {
        send(k, s->config->pg_pooler == POOLER_NONE ? STMT_TERMINATE_LANE : STMT_TERMINATE_BATCH,
             on_terminated);
        return;
    }
    if (error != NULL) {
        boot_failed(k, error, "settle a batch");
        return;
    }
    if (lane_commit_uncertain(l)) {
        link_lost(k, "settle a batch: the standby did not confirm");
        return;
    }
    struct settlement *head = s->settlements;
    s->settlements = head->next;
    handover_settled(s, &head->lane, results[0]);
    mem_free(head);
    query_pump(s);
}

bool handover_pump(struct pg_store *s, struct link *k)
{
    if (s->settlements == NULL)
        return false;
    send(k, STMT_SETTLE_LANE, on_settled);
    return true;
}

/* ---- identity, clock and stamps ---- */

/* The first sample of PostgreSQL's own clock takes the place of this one. */
static const int64_t journal_clock_error_us = 1800LL * 1000 * 1000;

void postgres_set_identity(struct store *base, int slot, int64_t incarnation, int64_t last_stamp,
                           int64_t offset_us)
{
    struct pg_store *s = self(base);
    CHECK(s->claimed_us == 0);
    s->slot = slot;
    s->stamp_slot = slot;
    s->incarnation = incarnation;
    if (last_stamp > s->last_stamp)
        s->last_stamp = last_stamp;
    clock_offset_set(&s->clock, offset_us, journal_clock_error_us, clock_mono_us());
}

int postgres_slot(const struct store *base)
{
    return self(base)->stamp_slot;
}

int64_t postgres_incarnation(const struct store *base)
{
    return self(base)->incarnation;
}

int64_t postgres_last_stamp(const struct store *base)
{
    return self(base)->last_stamp;
}

bool postgres_clock(const struct store *base, int64_t *offset_us)
{
    const struct pg_store *s = self(base);
    if (s->clock.known)
        *offset_us = clock_offset_us(&s->clock);
    return s->clock.known;
}

int64_t postgres_mint_stamps(struct store *base, size_t n)
{
    struct pg_store *s = self(base);
    CHECK(s->stamp_slot != 0);
    return store_mint_stamps(s, n);
}

void postgres_holds_journal(struct store *base, bool holds)
{
    self(base)->holds_journal = holds;
}

void postgres_keep_slot(struct store *base)
{
    self(base)->keep_slot = true;
}

const char *postgres_reason(const struct store *s)
{
    return ((const struct pg_store *)s)->breaker.reason;
}
