/* deadline: what `pg-timeout` says about those that wait for PostgreSQL. While this process itself was held
 * up (it was stopped, or something took very long in one turn of its loop), nobody has looked whether
 * PostgreSQL had answered: such a time does not count. */
#include "engine/pubsub.h"
#include "engine/script.h"

enum { HOLD_UP_PART = 4, LEAST_HOLD_UP_US = 100 * 1000 };

/* Whole-keyspace queries and large values may take their time while PostgreSQL answers others. */
static bool has_own_limit(const struct txn *t, int64_t now_us)
{
    const struct engine *e = t->engine;
    if (script_is_paused(t)) /* it is nobody's fault but its own */
        return true;
    if (engine_is_loading(e))
        return false;
    if (t->state == TXN_QUEUED && pubsub_waits(t))
        return true;
    if (store_memory_is_truth(e->store)) /* it is the disk that it waits for, as in Redis */
        return t->state == TXN_GATHERED || t->state == TXN_EXCLUSIVE || t->state == TXN_QUERYING;
    if (t->state == TXN_GATHERED && t->gather->lane == e->ncommits - 1)
        return now_us - t->arrived_us < STORE_BULK_TIMEOUT_MS * 1000;
    return t->state == TXN_QUERYING;
}

/* Nobody will answer its read, and it has done nothing: it is told what later ones are told. */
static bool is_in_vain(const struct txn *t)
{
    const struct engine *e = t->engine;
    return t->state == TXN_FETCHING && store_state(e->store) == STORE_AWAY && engine_is_loading(e);
}

/* ---- while this process was held up ---- */

/* A look that comes late by a good part of pg-timeout; a turn that is merely long is none. */
static void note_hold_up(struct engine *e, int64_t now_us)
{
    int64_t before_us = e->deadlines_at_us;
    int64_t least_us = e->config->pg_timeout_ms * 1000 / HOLD_UP_PART;
    if (least_us < LEAST_HOLD_UP_US)
        least_us = LEAST_HOLD_UP_US;
    e->deadlines_at_us = now_us;
    if (before_us == 0 || now_us - before_us < least_us)
        return;
    e->hold_ups[e->nhold_ups++ % HOLD_UPS] = (struct hold_up){before_us, now_us};
}

/* How much of the time since then was a hold-up. */
static int64_t held_up_since(const struct engine *e, int64_t since_us)
{
    int64_t sum = 0;
    for (size_t i = 0; i < HOLD_UPS; i++) {
        const struct hold_up *h = &e->hold_ups[i];
        int64_t from_us = h->from_us > since_us ? h->from_us : since_us;
        sum += h->until_us > from_us ? h->until_us - from_us : 0;
    }
    return sum;
}

static bool is_late(const struct txn *t, int64_t limit_us)
{
    return t->arrived_us <= limit_us &&
           t->arrived_us + held_up_since(t->engine, t->arrived_us) <= limit_us;
}

/* ---- looking ---- */

static void check_deadline(struct txn *t, int64_t limit)
{
    if (is_in_vain(t))
        txn_in_vain(t);
    else if (!t->held && is_late(t, limit) && !has_own_limit(t, loop_now_us(t->engine->loop)))
        txn_time_out(t);
}

/* Who waits behind a query of its own client, or behind replies that it does not read, has no
 * limit, and may have very many beside it: of the queues only those are looked at that are about to
 * go on. */
void engine_check_deadlines(struct engine *e)
{
    int64_t limit = loop_now_us(e->loop) - e->config->pg_timeout_ms * 1000;
    note_hold_up(e, loop_now_us(e->loop));
    LIST_EACH(it, &e->started)
    check_deadline(LIST_ITEM(it, struct txn, started_node), limit);
    LIST_EACH(it, &e->pumping)
    {
        struct client *c = LIST_ITEM(it, struct client, pump_node);
        LIST_EACH(waiting, &c->queue)
        if (c->active == 0 && !c->output_full)
            check_deadline(LIST_ITEM(waiting, struct txn, work_node), limit);
    }
}
