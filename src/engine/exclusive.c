/* exclusive: txns that run inside an open PostgreSQL transaction with their rows locked, one at a
 * time: MULTI blocks with whole-keyspace commands in them, or with commands about the connection or
 * the server beside keys, and txns that have lost the race for their keys too often. Everybody
 * finishes.
 *
 * The block runs from one whole-keyspace command to the next: what was changed so far is written,
 * then the query is asked, within the transaction. After a FLUSH or SWAPDB the keys are read again.
 */
#include "engine/block.h"
#include "engine/more.h"
#include "engine/script.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"

struct exclusive {
    struct engine *engine;
    struct list waiting;      /* txn.work_node */
    struct txn *txn;          /* at work, or NULL */
    struct store_xact xact;
    struct read_item *reads; /* what the rows hold, the transaction's own writes included */
    bool *removed;           /* by it, a key each */
    struct commit_item *lock_items;
    struct commit_item *writes;
    int next_command;
    int proto; /* of the replies from here on: HELLO in the block changes it */
    bool querying;            /* the step under way has the query of command next_command */
    bool ending;
    bool query_due;           /* command next_command is a query, and those before it have run */
    bool asking; /* the block wants more keys: all is rolled back, and it begins anew with them */
};

static void on_xact(struct store_xact *x);

void exclusive_init(struct engine *e)
{
    struct exclusive *ex = mem_zalloc(sizeof(*ex));
    ex->engine = e;
    list_init(&ex->waiting);
    e->exclusive = ex;
}

/* What is known of a key when its transaction has ended. `read`: what the transaction has left,
 * NULL = PostgreSQL has not told. Then what was known before stays so, and is read again before it is
 * used: should PostgreSQL go now, this instance knows nothing better. */
static void settle_entry(struct engine *e, const struct txn_key *k, const struct read_item *read,
                         bool removed)
{
    struct entry *entry = k->entry;
    entry->as_of = 0;
    if (store_memory_is_truth(e->store) || entry->dirty != NULL)
        return;
    if (read == NULL) {
        block_look(e, entry);
        return;
    }
    if (read->version <= 0) {
        entry_set_ended(e->keyspace, entry, -read->version, read->ended);
        entry->ended_here = removed;
        return;
    }
    value_drop_bytes(k->key.value);
    entry_set_live(e->keyspace, entry, value_ref(k->key.value), read->version, read->value_version,
                   read->expires_us);
}

/* Their database may be another one now. */
static void forget_entries(struct txn *t)
{
    for (int i = 0; i < t->nkeys; i++) {
        struct entry *entry = t->keys[i].entry;
        if (!store_memory_is_truth(t->engine->store) && entry->dirty == NULL)
            entry_set_unknown(t->engine->keyspace, entry);
    }
}

static void leave_entries(struct txn *t, const struct exclusive *applied)
{
    for (int i = 0; i < t->nkeys; i++) {
        struct entry *entry = t->keys[i].entry;
        entry->work->exclusive = false;
        settle_entry(t->engine, &t->keys[i], applied != NULL ? &applied->reads[i] : NULL,
                     applied != NULL && applied->removed[i]);
        if (block_is_waited_for(entry))
            block_settled(t->engine, entry);
        entry_wake_later(t->engine, entry);
    }
}

void exclusive_release(struct engine *e)
{
    struct exclusive *ex = e->exclusive;
    if (ex->txn != NULL)
        list_push_back(&ex->waiting, &ex->txn->work_node);
    LIST_EACH(it, &ex->waiting)
    {
        struct txn *t = LIST_ITEM(it, struct txn, work_node);
        leave_entries(t, NULL);
        txn_free(t);
    }
    mem_free(ex->reads);
    mem_free(ex->removed);
    mem_free(ex->lock_items);
    mem_free(ex->writes);
    mem_free(ex);
}

bool exclusive_has_begun(const struct txn *t)
{
    return t->engine->exclusive->txn == t;
}

bool exclusive_busy(const struct engine *e)
{
    return e->exclusive->txn != NULL || !list_empty(&e->exclusive->waiting);
}

void exclusive_join(struct txn *t)
{
    for (int i = 0; i < t->nkeys; i++) {
        struct entry_work *w = t->keys[i].entry->work;
        CHECK(w->gather == NULL && !w->exclusive && w->readers == 0);
        w->exclusive = true;
    }
    txn_set_state(t, TXN_EXCLUSIVE);
    list_push_back(&t->engine->exclusive->waiting, &t->work_node);
}

/* ---- begin ---- */

static bool alters_spaces(const struct txn *t)
{
    for (int i = 0; i < t->ncommands; i++) {
        enum command_id id = t->commands[i].cmd->id;
        if (id == CMD_FLUSHDB || id == CMD_FLUSHALL || id == CMD_SWAPDB)
            return true;
    }
    return false;
}

static void begin(struct exclusive *ex, struct txn *t)
{
    size_t n = (size_t)t->nkeys;
    ex->txn = t;
    ex->next_command = 0;
    ex->querying = false;
    ex->ending = false;
    ex->asking = false;
    ex->reads = mem_realloc(ex->reads, (n + 1) * sizeof(*ex->reads));
    ex->removed = mem_realloc(ex->removed, n + 1);
    memset(ex->removed, 0, n);
    ex->lock_items = mem_realloc(ex->lock_items, (n + 1) * sizeof(*ex->lock_items));
    ex->writes = mem_realloc(ex->writes, (n + 1) * sizeof(*ex->writes));
    for (size_t i = 0; i < n; i++) {
        const struct key *k = &t->keys[i].key;
        ex->reads[i] = (struct read_item){.db = k->db, .key = k->name};
        ex->lock_items[i] = (struct commit_item){.db = k->db, .key = k->name};
    }
    ex->xact = (struct store_xact){
        .reads = ex->reads, .nreads = n, .alters_spaces = alters_spaces(t), .done = on_xact};
    ex->xact.spaces = ex->engine->spaces;
    ex->xact.nspaces = (size_t)ex->engine->config->databases;
    ex->xact.locks.items = ex->lock_items;
    ex->xact.locks.n = n;
    ex->xact.batch.items = ex->writes;
    ex->engine->store->ops->xact_begin(ex->engine->store, 0, &ex->xact);
}

void exclusive_send(struct engine *e)
{
    struct exclusive *ex = e->exclusive;
    while (ex->txn == NULL && !list_empty(&ex->waiting) && e->commits[0].sent == NULL &&
           e->store->ops->commit_lane_idle(e->store, 0)) {
        struct txn *t = LIST_ITEM(ex->waiting.next, struct txn, work_node);
        list_remove(&t->work_node);
        if (t->client == NULL) {
            leave_entries(t, NULL);
            txn_free(t);
            continue;
        }
        begin(ex, t);
    }
}

/* ---- running ---- */

static void load_values(struct exclusive *ex)
{
    struct txn *t = ex->txn;
    for (int i = 0; i < t->nkeys; i++) {
        struct key *k = &t->keys[i].key;
        struct read_item *it = &ex->reads[i];
        value_unref(k->value);
        k->value = it->value; /* takes the reference */
        it->value = NULL;
        k->change = KEY_UNCHANGED;
        k->blind = false;
        k->guessed = it->guessed;
        k->removed = false;
        k->asked = t->keys[i].watched;
        k->expiry = it->version > 0 && it->expires_us != STORE_NEVER
                        ? (struct expiry){EXPIRY_AT, it->expires_us}
                        : (struct expiry){EXPIRY_NONE, 0};
    }
}

static bool watches_hold(const struct exclusive *ex)
{
    const struct txn *t = ex->txn;
    for (int i = 0; i < t->nkeys; i++) {
        const struct txn_key *k = &t->keys[i];
        int64_t version = ex->reads[i].version;
        bool live = version > 0;
        if (!k->watched)
            continue;
        if (!txn_watch_holds(k, live, live ? version : -version))
            return false;
    }
    return true;
}

/* The keys' changes so far → items to be written. */
static void collect_writes(struct exclusive *ex)
{
    struct txn *t = ex->txn;
    size_t n = 0;
    for (int i = 0; i < t->nkeys; i++) {
        struct key *k = &t->keys[i].key;
        if (k->change == KEY_UNCHANGED)
            continue;
        ex->writes[n++] = (struct commit_item){
            .db = k->db, .key = k->name, .expect = EXPECT_ANY, .value = k->value,
            .saw_absent = k->asked ||
                          (t->client != NULL && client_saw_absent(t->client, t->keys[i].entry)),
            .removed = k->removed, .op = k->change == KEY_TOUCHED ? COMMIT_TOUCH : COMMIT_WRITE,
            .expiry = k->value != NULL ? k->expiry : (struct expiry){EXPIRY_NONE, 0}};
        k->change = KEY_UNCHANGED;
    }
    ex->xact.batch.n = n;
}

static void note_version(struct read_item *read, const struct commit_item *c, int64_t time_us)
{
    bool live = c->version > 0 && (c->op == COMMIT_TOUCH || c->value != NULL);
    read->version = live || c->version < 0 ? c->version : -c->version;
    if (c->op == COMMIT_WRITE)
        read->value_version = c->version;
    if (!c->held_back)
        read->ended = 0;
    else if (read->ended == 0)
        read->ended = -c->version;
    read->expires_us = STORE_NEVER;
    if (c->expiry.kind != EXPIRY_NONE)
        read->expires_us = (c->expiry.kind == EXPIRY_RELATIVE ? time_us : 0) + c->expiry.us;
}

/* Of those that have just been written, which are in the order of the keys: what stands there now,
 * and what had expired. */
static void note_written(struct exclusive *ex, struct txn *t)
{
    int n = 0;
    for (size_t i = 0; i < ex->xact.batch.n; i++, n++) {
        const struct commit_item *c = &ex->writes[i];
        while (t->keys[n].key.db != c->db || !bytes_eq(t->keys[n].key.name, c->key)) {
            n++;
            CHECK(n < t->nkeys);
        }
        if (!ex->xact.reread) /* else all was read again behind it */
            note_version(&ex->reads[n], c, ex->xact.batch.time_us);
        ex->removed[n] = c->op == COMMIT_WRITE && c->value == NULL;
        if (c->expired_before)
            events_put_expired(t, &t->keys[n].key);
    }
}

static void end(struct exclusive *ex)
{
    ex->ending = true;
    ex->xact.reread = false;
    collect_writes(ex);
    ex->engine->store->ops->xact_end(ex->engine->store, 0, &ex->xact);
}

/* Runs commands up to the next whole-keyspace one, if there is one, which is to be asked now. */
void exclusive_run_commands(struct txn *t)
{
    struct exclusive *ex = t->engine->exclusive;
    ex->query_due = false;
    struct reply r = {&t->reply, ex->proto, false};
    for (; ex->next_command < t->ncommands && !more_asked(t) && !script_is_void(t); ex->next_command++) {
        struct txn_command *tc = &t->commands[ex->next_command];
        if (!(tc->cmd->flags & CF_QUERY)) {
            txn_run_command(t, tc, &r);
            ex->proto = r.proto;
            continue;
        }
        if (!txn_may_run(t, tc, &r) || !query_prepare(t, tc, &r))
            continue; /* its arguments were wrong, or it is forbidden: the error is written */
        ex->query_due = true;
        return;
    }
}

static void ask(struct exclusive *ex)
{
    const struct txn *t = ex->txn;
    collect_writes(ex);
    ex->querying = true;
    ex->xact.query = &ex->txn->query;
    ex->xact.reread = t->query.kind == QUERY_FLUSH || t->query.kind == QUERY_SWAP;
    ex->engine->store->ops->xact_step(ex->engine->store, 0, &ex->xact);
}

static void ran(struct exclusive *ex)
{
    ex->asking = more_asked(ex->txn);
    ex->xact.rollback = ex->asking || script_was_stopped(ex->txn);
    if (ex->query_due && !ex->xact.rollback)
        ask(ex);
    else
        end(ex);
}

static void go_on(struct exclusive *ex)
{
    struct txn *t = ex->txn;
    struct reply r = {&t->reply, ex->proto, false};
    more_begin(t);
    if (t->script != NULL)
        script_run(t, &r);
    else
        exclusive_run_commands(t);
    more_end(t);
    if (script_is_paused(t))
        script_hold(t);
    else
        ran(ex);
}

void exclusive_ran(struct txn *t)
{
    CHECK(t->engine->exclusive->txn == t);
    ran(t->engine->exclusive);
}

static void start_running(struct exclusive *ex)
{
    struct txn *t = ex->txn;
    struct reply r;
    txn_reply_init(t, &r);
    ex->proto = t->proto;
    script_begin(t);
    t->lookups = (struct lookups){0};
    txn_set_now(t, ex->xact.time_us / 1000);
    events_begin_run(t);
    load_values(ex);
    if (!watches_hold(ex)) {
        session_put_back(t); /* by an earlier run, which wanted more keys */
        reply_null_array(&r);
        end(ex);
        return;
    }
    if (t->exec)
        reply_array(&r, (size_t)t->ncommands);
    go_on(ex);
}

static void take_answer(struct exclusive *ex)
{
    struct txn *t = ex->txn;
    struct reply r = {&t->reply, ex->proto, false};
    ex->querying = false;
    note_written(ex, t);
    t->on_query(t, &t->query, &r);
    t->rows.len = 0;
    t->nrows = 0;
    if (ex->xact.reread)
        load_values(ex);
    ex->next_command++;
    go_on(ex);
}

/* ---- the end ---- */

static void finish(struct exclusive *ex)
{
    struct txn *t = ex->txn;
    enum store_result result = ex->xact.result;
    bool applied = result == STORE_OK && ex->ending && !ex->xact.rollback;
    bool told = applied && !ex->xact.local && !ex->xact.alters_spaces;
    script_drop(t);
    ex->txn = NULL;
    for (int i = 0; i < t->nkeys; i++)
        value_unref(ex->reads[i].value);
    if (applied)
        note_written(ex, t);
    leave_entries(t, told ? ex : NULL);
    if (ex->xact.alters_spaces) {
        forget_entries(t);
        fresh_forget_all(t->engine);
        block_look_all(t->engine);
    }
    if (ex->asking && more_add_keys(t)) {
        txn_again(t);
    } else if (result == STORE_OK) {
        if (!block_park(t))
            txn_done(t);
    } else if (result == STORE_REFUSED) {
        char error[200];
        snprintf(error, sizeof(error), "ERR PostgreSQL refused the write: %s", ex->xact.error);
        txn_fail(t, error);
    } else if (result == STORE_FAILED) {
        txn_fail(t, ex->xact.error);
    } else if (ex->ending && result == STORE_LOST) {
        txn_fail(t, "ERR PostgreSQL did not confirm, the transaction may or may not have been "
                    "applied");
    } else {
        txn_again(t);
    }
}

static void on_xact(struct store_xact *x)
{
    struct exclusive *ex = LIST_ITEM(x, struct exclusive, xact);
    struct engine *e = ex->engine;
    if (x->result != STORE_OK || ex->ending)
        finish(ex);
    else if (ex->querying)
        take_answer(ex);
    else
        start_running(ex);
    engine_pump_clients(e);
}
