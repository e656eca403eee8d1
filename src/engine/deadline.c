/* deadline: what `pg-timeout` says about those that wait for PostgreSQL. */
#include "engine/script.h"

/* Whole-keyspace queries and large values may take their time while PostgreSQL answers others. */
static bool has_own_limit(const struct txn *t, int64_t now_us)
{
    const struct engine *e = t->engine;
    if (script_is_paused(t)) /* it is nobody's fault but its own */
        return true;
    if (engine_is_loading(e))
        return false;
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

static void check_deadline(struct txn *t, int64_t limit)
{
    if (is_in_vain(t))
        txn_in_vain(t);
    else if (!t->held && t->arrived_us <= limit && !has_own_limit(t, loop_now_us(t->engine->loop)))
        txn_time_out(t);
}

/* Who waits behind a query of its own client, or behind replies that it does not read, has no
 * limit, and may have very many beside it: of the queues only those are looked at that are about to
 * go on. */
void engine_check_deadlines(struct engine *e)
{
    int64_t limit = loop_now_us(e->loop) - e->config->pg_timeout_ms * 1000;
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
