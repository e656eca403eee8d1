/* xact: one transaction of several steps on a commit lane, with all its rows locked from the first:
 * for what cannot be one batch (whole-keyspace commands inside MULTI) and for what has lost the race
 * too often. The lane serves nothing else meanwhile.
 *
 * begin: BEGIN, the spaces' lock, the rows' locks, the values. step: writes, a query, the values
 * again. end: writes, outcome, COMMIT. The outcome stands in the lane's row like that of any batch,
 * so that a connection lost during COMMIT is settled in the same way. */
#include "store/postgres/internal.h"

#include <stdio.h>
#include <string.h>

static void finish(struct link *k, enum store_result result)
{
    struct store_xact *x = k->xact;
    k->xact = NULL;
    x->result = result;
    x->done(x);
}

void xact_give_up(struct link *k)
{
    finish(k, STORE_LOST);
}

static void on_rolled_back(void *arg, struct lane *l, PGresult **results, int n)
{
    struct link *k = arg;
    (void)l;
    (void)results;
    (void)n;
    finish(k, k->xact->result);
}

static enum store_result result_of(struct link *k, const PGresult *error)
{
    const char *code = lane_sqlstate(error);
    if (strcmp(code, "55P03") == 0 || strcmp(code, "57014") == 0)
        return STORE_LOCKED;
    if (strncmp(code, "40", 2) == 0)
        return STORE_LOCKED; /* deadlock or serialization: the caller tries again */
    if (batch_drop_docs(k, code))
        return STORE_LOCKED;
    return STORE_REFUSED;
}

static void fail(struct link *k, const PGresult *error)
{
    struct store_xact *x = k->xact;
    struct params none;
    lane_error_text(error, x->error, sizeof(x->error));
    if (breaker_cannot_write(k, error)) {
        char why[sizeof(x->error)];
        snprintf(why, sizeof(why), "%s", x->error);
        link_lost(k, why);
        return;
    }
    x->result = result_of(k, error);
    params_init(&none);
    lane_begin(k->lane);
    lane_add_text(k->lane, "ROLLBACK", &none, false);
    lane_submit(k->lane, store_timeout_us(k->store), on_rolled_back);
}

/* The last result of an operation that reads values is that of STMT_READ_LOCKED. */
static bool take_reads(struct store_xact *x, const PGresult *r)
{
    struct read_batch b = {
        .items = x->reads, .n = x->nreads, .spaces = x->spaces, .nspaces = x->nspaces};
    for (size_t i = 0; i < b.n; i++)
        batch_reset_item(&x->reads[i]);
    for (int row = 0; row < PQntuples(r); row++) {
        if (!batch_take_row(&b, r, row))
            return false;
    }
    x->time_us = b.time_us;
    return true;
}

static void add_locks_and_reads(struct link *k)
{
    struct store_xact *x = k->xact;
    batch_add_lock_keys(k, &x->locks);
    struct read_batch b = {.items = x->reads, .n = x->nreads};
    batch_add_read(k, STMT_READ_LOCKED, &b);
}

static void on_begun(void *arg, struct lane *l, PGresult **results, int n)
{
    struct link *k = arg;
    const PGresult *error = lane_first_error(results, n);
    if (error != NULL) {
        fail(k, error);
        return;
    }
    struct store_xact *x = k->xact;
    x->result = take_reads(x, results[n - 1]) ? STORE_OK : STORE_REFUSED;
    if (x->result == STORE_OK)
        store_clock_sample(k->store, x->time_us, l);
    x->done(x);
}

void xact_begin(struct link *k, struct store_xact *x)
{
    struct params *p = &k->params;
    k->xact = x;
    lane_begin(k->lane);
    params_reset(p);
    lane_add_text(k->lane, "BEGIN", p, false);
    link_add_settings(k);
    params_text(p, k->store->config->pg_schema);
    link_add(k, x->alters_spaces ? STMT_OWN_SPACES : STMT_SHARE_SPACES, p, true);
    add_locks_and_reads(k);
    lane_submit(k->lane, store_timeout_us(k->store), on_begun);
}

static void on_stepped(void *arg, struct lane *l, PGresult **results, int n)
{
    struct link *k = arg;
    struct store_xact *x = k->xact;
    (void)l;
    const PGresult *error = lane_first_error(results, n);
    if (error != NULL) {
        fail(k, error);
        return;
    }
    /* Writes (if any), the query, and the values again (if asked for). */
    int at = x->batch.n > 0 ? 1 : 0;
    if (at == 1 && PQntuples(results[0]) == 1 && !PQgetisnull(results[0], 0, 0))
        batch_take_answer(k, &x->batch, results[0]);
    query_take_rows(x->query, results[at]);
    x->result = STORE_OK;
    if (x->reread && !take_reads(x, results[n - 1]))
        x->result = STORE_REFUSED;
    x->done(x);
    query_release_rows(x->query);
}

void xact_step(struct link *k, struct store_xact *x)
{
    lane_begin(k->lane);
    if (x->batch.n > 0)
        batch_add_commit(k, &x->batch);
    params_reset(&k->params);
    enum statement_id id = query_add_params(k->store, &k->params, x->query);
    link_add(k, id, &k->params, true);
    if (x->reread)
        add_locks_and_reads(k);
    lane_submit(k->lane, store_timeout_us(k->store) * 10, on_stepped);
}

static void on_batch_done(struct commit_batch *b)
{
    struct store_xact *x = (struct store_xact *)((char *)b - offsetof(struct store_xact, batch));
    x->result = b->result;
    x->done(x);
}

static void on_ended(void *arg, struct lane *l, PGresult **results, int n)
{
    struct link *k = arg;
    struct store_xact *x = k->xact;
    const PGresult *error = lane_first_error(results, n);
    link_heard(k);
    k->committing = NULL;
    if (error != NULL) {
        fail(k, error);
    } else if (PQntuples(results[0]) == 0 || PQgetisnull(results[0], 0, 0) || lane_commit_uncertain(l)) {
        finish(k, STORE_LOST);
    } else {
        /* A COMMIT of a transaction that had failed answers ROLLBACK. */
        bool committed = strcmp(PQcmdStatus(results[1]), "COMMIT") == 0;
        if (x->batch.n > 0)
            batch_take_answer(k, &x->batch, results[0]);
        finish(k, committed ? STORE_OK : STORE_LOST);
    }
}

static void roll_back(struct link *k, enum store_result result)
{
    struct params none;
    k->xact->result = result;
    params_init(&none);
    lane_begin(k->lane);
    lane_add_text(k->lane, "ROLLBACK", &none, false);
    lane_submit(k->lane, store_timeout_us(k->store), on_rolled_back);
}

void xact_end(struct link *k, struct store_xact *x)
{
    struct params none;
    if (x->rollback) {
        roll_back(k, STORE_OK);
        return;
    }
    params_init(&none);
    lane_begin(k->lane);
    batch_add_commit(k, &x->batch);
    lane_add_text(k->lane, "COMMIT", &none, false);
    /* From here on the outcome may be in doubt: settled like a batch that is not sent again. */
    x->batch.abandoned = true;
    x->batch.done = on_batch_done;
    k->committing = &x->batch;
    lane_submit(k->lane, store_timeout_us(k->store), on_ended);
}
